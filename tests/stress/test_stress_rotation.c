/* SPDX-License-Identifier: MIT */
/*
 * The memory that peaks leave behind, between two processes: five times, 64 MiB of blocks of mixed sizes are out at
 * once, and one block in a hundred outlives its peak by another peak. With separate lifetimes and rotation, the shared
 * memory that the kernel reports for each process, mapped or held by a descriptor alone, is back within 5 % of its
 * earlier amount after each peak; in one pool it is not, though all free memory goes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/child.h"
#include "support/figures.h"
#include "support/random.h"
#include "support/raw.h"
#include "support/suite.h"

#define MIB ((size_t) 1 << 20)
#define STANDING (48 * MIB) /* blocks that both processes hold all the time */
#define SPIKE (64 * MIB)
#define PATIENCE_MS 60000

enum { SPIKES = 5, BLOCKS_MOST = 1000, LONG_EVERY = 100, LONG_MOST = BLOCKS_MOST / LONG_EVERY + 1 };

/* Returns the KiB of memfds that are open in this process: a missing close() keeps them. */
static uint64_t held_memory(void) {
    uint64_t blocks = 0;
    DIR *dir = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char target[256] = "";
        struct stat st;
        ssize_t size = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        if (size > 0 && strncmp(target, "/memfd:", 7) == 0 && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            blocks += (uint64_t) st.st_blocks;
    }
    closedir(dir);
    return blocks / 2;
}

/* Adds RssShmem: pages of memfds that are mapped in this process, as the kernel counts them. The machine's Shmem
 * counts all processes. */
static uint64_t shared_memory(void) {
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "RssShmem: %llu", &kib) != 1)
        ;
    fclose(file);
    return kib + held_memory();
}

/* --- the server, which holds the blocks that it receives --- */

enum { STAND = 1, HOLD, KEEP, FLUSH, MEASURE };

static struct server {
    sea_msg *held[BLOCKS_MOST], *kept[2][LONG_MOST], *standing[64];
    unsigned held_count, kept_count[2], standing_count;
} server;

static void drop(sea_msg **msgs, unsigned *count) {
    while (*count > 0)
        sea_msg_release(msgs[--*count]);
}

/* Reads the whole payload, so that each page is mapped here. */
static sea_msg *touched(sea_msg *msg) {
    const volatile uint8_t *bytes = sea_msg_data(msg);
    for (size_t i = 0; i < sea_msg_size(msg); i += 4096)
        (void) bytes[i];
    return msg;
}

static void on_stand(sea_msg *msg, void *user) {
    (void) user;
    server.standing[server.standing_count++] = touched(msg);
}

static void on_hold(sea_msg *msg, void *user) {
    (void) user;
    server.held[server.held_count++] = touched(msg);
}

static void on_keep(sea_msg *msg, void *user) {
    (void) user;
    server.kept[0][server.kept_count[0]++] = touched(msg);
}

/* The peak is over, and the long-lived blocks of the peak before it end, too. */
static void on_flush(sea_msg *msg, void *user) {
    (void) user;
    drop(server.held, &server.held_count);
    drop(server.kept[1], &server.kept_count[1]);
    memcpy(server.kept[1], server.kept[0], sizeof server.kept[0]);
    server.kept_count[1] = server.kept_count[0];
    server.kept_count[0] = 0;
    sea_reply(msg, NULL);
}

static void on_measure(sea_msg *msg, void *user) {
    uint64_t kib = shared_memory();
    (void) user;
    sea_reply_bytes(msg, &kib, sizeof kib);
}

static void on_gone(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) conn, (void) event;
    drop(server.held, &server.held_count);
    drop(server.kept[0], &server.kept_count[0]);
    drop(server.kept[1], &server.kept_count[1]);
    drop(server.standing, &server.standing_count);
    sea_server_stop(*(sea_server **) user);
}

static int serve(int line, void *arg) {
    static const sea_method methods[] = {{.number = STAND, .name = "stand", .handler = on_stand},
                                         {.number = HOLD, .name = "hold", .handler = on_hold},
                                         {.number = KEEP, .name = "keep", .handler = on_keep},
                                         {.number = FLUSH, .name = "flush", .handler = on_flush},
                                         {.number = MEASURE, .name = "measure", .handler = on_measure}};
    sea_ctx *ctx = NULL;
    sea_server *self = NULL;
    const sea_options options = {SEA_METHODS(methods), .user = &self, .on_close = on_gone, .blocks_max = 4096};
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_server_new(&self, ctx, arg, &options), 0);
    line_tell(line, 1);
    int r = sea_server_run(self);
    sea_server_free(self);
    sea_ctx_unref(ctx);
    return -r;
}

/* --- the client --- */

static sea_conn *conn;

static void ask(uint32_t method, uint64_t *ret_number) {
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call(conn, method, NULL, PATIENCE_MS, &reply), 0);
    if (ret_number)
        memcpy(ret_number, sea_msg_data(reply), sizeof *ret_number);
    sea_msg_release(reply);
}

/* Both processes' shared memory, in KiB. */
struct amounts {
    uint64_t here, there;
};

/* Measures after both processes have had their turns. */
static struct amounts measure(void) {
    struct amounts amounts;
    ask(MEASURE, NULL);
    ask(MEASURE, &amounts.there);
    amounts.here = shared_memory();
    return amounts;
}

static void send_block(sea_pool *pool, uint32_t method, size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_pool_block(&block, pool, size), 0);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    memset(sea_block_data(block), (int) method, size);
    int r = sea_send(conn, method, block, PATIENCE_MS);
    ck_assert_msg(r == 0, "%s", strerror(-r));
}

/* Of pooled blocks: more than 1 KiB. */
static size_t mixed_size(uint64_t *state) {
    static const size_t limits[] = {4096, 20000, 100000, 100000, 300000, 700000};
    return 1100 + random_below(state, (uint32_t) limits[random_below(state, 6)]);
}

static void spike(sea_pool *brief, sea_pool *lasting, uint64_t *state) {
    size_t sum = 0;
    unsigned count = 0;
    while (sum < SPIKE) {
        size_t size = mixed_size(state);
        bool is_long = count % LONG_EVERY == LONG_EVERY / 2;
        send_block(is_long ? lasting : brief, is_long ? KEEP : HOLD, size);
        sum += size;
        ck_assert_uint_lt(++count, BLOCKS_MOST);
    }
    struct amounts high = measure();
    ck_assert_uint_ge(high.here, (SPIKE + STANDING) >> 10);
    ck_assert_uint_ge(high.there, (SPIKE + STANDING) >> 10);
    ask(FLUSH, NULL);
}

static bool is_back(struct amounts now, struct amounts base) {
    printf("# %llu and %llu KiB, of %llu and %llu\n", (unsigned long long) now.here, (unsigned long long) now.there,
           (unsigned long long) base.here, (unsigned long long) base.there);
    fflush(stdout);
    return now.here * 100 <= base.here * 105 && now.there * 100 <= base.there * 105;
}

static void begin(struct child *child, sea_ctx **ret_ctx) {
    char address[160];
    uint64_t word;
    snprintf(address, sizeof address, "unix:%s", raw_name());
    child_start(child, serve, address);
    ck_assert(line_hear(child->line, PATIENCE_MS, &word));
    ck_assert_int_eq(sea_ctx_new(ret_ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&conn, *ret_ctx, address, NULL), 0);
}

static void end(struct child *child, sea_ctx *ctx) {
    sea_conn_free(conn);
    ck_assert_int_eq(child_end(child, PATIENCE_MS), 0);
    sea_ctx_unref(ctx);
}

static void stand(sea_pool *pool) {
    for (size_t i = 0; i < STANDING / MIB; i++)
        send_block(pool, STAND, MIB);
}

START_TEST(test_lifetimes_apart) {
    struct child child;
    sea_ctx *ctx = NULL;
    sea_pool *lasting = NULL;
    uint64_t state = 1;
    begin(&child, &ctx);
    ck_assert_int_eq(sea_pool_new(&lasting, conn, &(sea_pool_options){.retained_max = 1}), 0);
    sea_pool *brief = sea_conn_pool(conn);
    stand(lasting);
    struct amounts base = measure();
    for (int i = 0; i < SPIKES; i++) {
        spike(brief, lasting, &state);
        sea_pool_rotate(brief);
        ck_assert_msg(is_back(measure(), base), "after spike %d", i + 1);
    }
    struct pool_figures figures;
    sea_pool_figures(brief, figures.of, SEA_POOL_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
    ck_assert_uint_ge(figures.of[SEA_POOL_FIGURE_MAPPED_PEAK_BYTES], SPIKE);
    ck_assert_uint_eq(sea_pool_resident(lasting) >> 10, (sea_pool_figures(lasting, figures.of, SEA_POOL_FIGURES),
                                                         figures.of[SEA_POOL_FIGURE_MAPPED_BYTES] >> 10));
    sea_pool_free(lasting);
    end(&child, ctx);
}
END_TEST

/* Free arenas go all the same; but the long-lived blocks lie in all arenas, and the memory beside them stays. */
START_TEST(test_lifetimes_mixed) {
    struct child child;
    sea_ctx *ctx = NULL;
    sea_pool *standing = NULL;
    struct pool_figures figures;
    uint64_t state = 1;
    begin(&child, &ctx);
    ck_assert_int_eq(sea_pool_new(&standing, conn, NULL), 0);
    sea_pool *mixed = sea_conn_pool(conn);
    stand(standing);
    struct amounts base = measure();
    for (int i = 0; i < SPIKES; i++) {
        spike(mixed, mixed, &state);
        sea_ctx_trim(ctx);
        is_back(measure(), base);
        sea_pool_figures(mixed, figures.of, SEA_POOL_FIGURES);
        ck_assert_uint_lt(figures.of[SEA_POOL_FIGURE_MAPPED_BYTES], SPIKE / 8);
        ck_assert_msg(figures.of[SEA_POOL_FIGURE_MAPPED_BYTES] * 5 > figures.of[SEA_POOL_FIGURE_ACTIVE_BYTES] * 6,
                      "after spike %d", i + 1);
    }
    sea_pool_free(standing);
    end(&child, ctx);
}
END_TEST

/* The blocks that the dead peer held, of any generation, come back, and then their memory goes. */
START_TEST(test_killed_while_draining) {
    struct child child;
    sea_ctx *ctx = NULL;
    struct figures figures;
    uint64_t state = 1, before = shared_memory();
    begin(&child, &ctx);
    sea_pool *pool = sea_conn_pool(conn);
    for (int i = 0; i < 8; i++) {
        for (int k = 0; k < 30; k++)
            send_block(pool, HOLD, mixed_size(&state));
        if (i % 2)
            sea_pool_rotate(pool);
    }
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BLOCKS], 240);
    child_kill(&child);
    while (sea_conn_wait(conn, PATIENCE_MS) >= 0)
        ;
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECLAIMED_BLOCKS], 240);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_ARENA_BYTES], 0);
    ck_assert_uint_eq(shared_memory(), before);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("stress_rotation");
    suite_guard(s, 600);
    suite_add(s, test_lifetimes_apart);
    suite_add(s, test_lifetimes_mixed);
    suite_add(s, test_killed_while_draining);
    return suite_run(s);
}
