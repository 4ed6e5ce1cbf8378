/* SPDX-License-Identifier: MIT */
/*
 * Spikes: for a moment much memory is needed, in blocks of 16 B to 64 MiB; one block in a hundred lives until the next
 * spike has passed. How much memory stays?
 *
 * Variants: "rotate", which has a pool for long-lived blocks, and rotates the other pool after each spike; "still",
 * which has one pool and never rotates it; each with "-pair" behind it for blocks that a second process holds and
 * reads, so that both processes are counted.
 *
 *     expected = memory that was resident before, and the memory of the blocks that are still alive, in each process
 *
 * Before: after a first spike, rotated in any case, which makes the memory that any use makes once (some 250 kB, the
 * allocator's), and when all blocks are gone.
 */
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HOLD = 1, KEEP = 2, LET_GO = 3 };
enum { BLOCKS = 8192, LONG_ONE_IN = 100, CYCLES = 20, SAMPLES = 8, PAGE = 4096, SETTLES = 50, STILL = 4, FOREVER = -1 };

static const size_t LEAST = 16, MOST = (size_t) 64 << 20;
static const uint64_t BYTES = UINT64_C(1) << 30;

/* --- the second process: it reads payloads, and holds them until it must release them --- */

static struct holder {
    sea_msg *held[BLOCKS], *kept[2][BLOCKS];
    int held_count, kept_count[2];
} holder;

static unsigned read_pages(const sea_msg *msg) {
    const volatile char *bytes = sea_msg_data(msg);
    unsigned sum = 0;
    for (size_t i = 0; i < sea_msg_size(msg); i += PAGE)
        sum += (unsigned) bytes[i];
    return sum;
}

static void on_hold(sea_msg *msg, void *user) {
    (void) user;
    read_pages(msg);
    if (sea_msg_method(msg) == HOLD)
        holder.held[holder.held_count++] = msg;
    else
        holder.kept[0][holder.kept_count[0]++] = msg;
}

static void release_all(sea_msg **msgs, int *count) {
    while (*count > 0)
        sea_msg_release(msgs[--*count]);
}

static void on_let_go(sea_msg *msg, void *user) {
    (void) user;
    release_all(holder.held, &holder.held_count);
    release_all(holder.kept[1], &holder.kept_count[1]);
    memcpy(holder.kept[1], holder.kept[0], sizeof(holder.kept[0]));
    holder.kept_count[1] = holder.kept_count[0];
    holder.kept_count[0] = 0;
    sea_reply_bytes(msg, NULL, 0);
}

static const sea_method METHODS[] = {{.number = HOLD, .name = "hold", .handler = on_hold},
                                     {.number = KEEP, .name = "keep", .handler = on_hold},
                                     {.number = LET_GO, .name = "let go", .handler = on_let_go}};
static const sea_options SERVER = {SEA_METHODS(METHODS), .blocks_max = 2 * BLOCKS};

/* --- the first one --- */

struct spiker {
    const struct order *order;
    struct service service;
    sea_ctx *ctx;
    sea_conn *conn;
    sea_pool *lasting; /* for long-lived blocks; NULL: there is one pool for all */
    bool is_pair, rotates;
    sea_block *held[BLOCKS], *kept[2][BLOCKS]; /* not used for a pair: the other process holds the blocks */
    int held_count, kept_count[2];
    uint64_t kept_bytes[2]; /* of this cycle, and of the last one */
    uint64_t seed, base;
    double began;
};

static uint64_t resident(const struct spiker *spiker) {
    return resident_of(getpid()) + (spiker->is_pair ? resident_of(spiker->service.pid) : 0);
}

/* Returns the memory of the blocks that live on. */
static uint64_t alive(const struct spiker *spiker) {
    uint64_t figures[SEA_POOL_FIGURES] = {[SEA_POOL_FIGURE_MAPPED_BYTES] =
                                              spiker->kept_bytes[0] + spiker->kept_bytes[1]};
    if (spiker->lasting)
        sea_pool_figures(spiker->lasting, figures, SEA_POOL_FIGURES);
    return figures[SEA_POOL_FIGURE_MAPPED_BYTES] * (spiker->is_pair ? 2 : 1);
}

static void sample(const struct spiker *spiker, int cycle, const char *moment) {
    printf("{\"case\":\"spikes\",\"variant\":\"%s\",\"cycle\":%d,\"moment\":\"%s\",\"t\":%.3f,\"resident\":%llu,"
           "\"expected\":%llu}\n",
           spiker->order->variant, cycle, moment, seconds_now() - spiker->began, (unsigned long long) resident(spiker),
           (unsigned long long) spiker->base + alive(spiker));
}

static void write_pages(sea_block *block, size_t size) {
    volatile char *bytes = sea_block_data(block);
    for (size_t i = 0; i < size; i += PAGE)
        bytes[i] = 1;
    bytes[size - 1] = 1;
}

static int one_block(struct spiker *spiker, size_t size, bool is_long) {
    sea_block *block = NULL;
    int r = sea_pool_block(&block, is_long && spiker->lasting ? spiker->lasting : sea_conn_pool(spiker->conn), size);
    if (r < 0)
        return r;
    write_pages(block, size);
    spiker->kept_bytes[0] += is_long ? size : 0;
    if (spiker->is_pair)
        return sea_send(spiker->conn, is_long ? KEEP : HOLD, block, FOREVER);
    if (is_long)
        spiker->kept[0][spiker->kept_count[0]++] = block;
    else
        spiker->held[spiker->held_count++] = block;
    return 0;
}

static int grow(struct spiker *spiker, int cycle, uint64_t bytes) {
    uint64_t taken = 0, next = 0;
    int r = 0;
    for (int i = 0; r == 0 && taken < bytes && i < BLOCKS; i++) {
        size_t size = random_size(&spiker->seed, LEAST, MOST);
        r = one_block(spiker, size, i % LONG_ONE_IN == LONG_ONE_IN / 2);
        taken += size;
        if (cycle > 0 && taken >= next) {
            sample(spiker, cycle, "grows");
            next = taken + bytes / SAMPLES;
        }
    }
    return r;
}

static void unref_all(sea_block **blocks, int *count) {
    while (*count > 0)
        sea_block_unref(blocks[--*count]);
}

static int let_go(struct spiker *spiker) {
    sea_msg *reply = NULL;
    unref_all(spiker->held, &spiker->held_count);
    unref_all(spiker->kept[1], &spiker->kept_count[1]);
    memcpy(spiker->kept[1], spiker->kept[0], sizeof(spiker->kept[0]));
    spiker->kept_count[1] = spiker->kept_count[0];
    spiker->kept_count[0] = 0;
    spiker->kept_bytes[1] = spiker->kept_bytes[0];
    spiker->kept_bytes[0] = 0;
    int r = sea_call(spiker->conn, LET_GO, NULL, FOREVER, &reply);
    sea_msg_release(reply);
    return r;
}

/* Waits until no figure changes any more: the other process is told, and unmaps. */
static int settle(const struct spiker *spiker) {
    uint64_t before = 0;
    int r = 0, still = 0;
    for (int i = 0; r >= 0 && i < SETTLES && still < STILL; i++) {
        uint64_t now = resident(spiker);
        still = now == before ? still + 1 : 0;
        before = now;
        r = sea_conn_wait(spiker->conn, 20);
    }
    return r < 0 ? r : 0;
}

static int spike(struct spiker *spiker, int cycle, uint64_t bytes) {
    int r = grow(spiker, cycle, bytes);
    if (r == 0)
        r = let_go(spiker);
    if (r == 0 && (spiker->rotates || cycle == 0))
        sea_pool_rotate(sea_conn_pool(spiker->conn));
    if (r == 0 && spiker->lasting)
        sea_pool_rotate(spiker->lasting);
    return r == 0 ? settle(spiker) : r;
}

static int run(struct spiker *spiker) {
    const struct order *order = spiker->order;
    uint64_t bytes = order->bytes ? order->bytes : BYTES;
    int r = spike(spiker, 0, bytes);
    for (int i = 0; r == 0 && i < 2; i++) /* the long-lived blocks end, too */
        r = spike(spiker, 0, 0);
    spiker->base = resident(spiker);
    spiker->began = seconds_now();
    for (int cycle = 1; r == 0 && cycle <= (order->count ? order->count : CYCLES); cycle++) {
        r = spike(spiker, cycle, bytes);
        sample(spiker, cycle, "after");
    }
    return r;
}

int memory_spikes(const struct order *order) {
    static struct spiker spiker;
    const sea_pool_options lasting = {.name = "lasting", .retained_max = 1};
    spiker = (struct spiker){.order = order, .service = {.pid = -1}, .seed = 1};
    spiker.rotates = strncmp(order->variant, "rotate", 6) == 0;
    spiker.is_pair = strstr(order->variant, "-pair");
    int r = service_start(&spiker.service, "spikes", &SERVER);
    if (r == 0)
        r = sea_ctx_new(&spiker.ctx, NULL);
    if (r == 0)
        r = sea_connect(&spiker.conn, spiker.ctx, spiker.service.address, NULL);
    if (r == 0 && spiker.rotates)
        r = sea_pool_new(&spiker.lasting, spiker.conn, &lasting);
    if (r == 0)
        r = run(&spiker);
    unref_all(spiker.kept[1], &spiker.kept_count[1]);
    sea_pool_free(spiker.lasting);
    sea_conn_free(spiker.conn);
    sea_ctx_unref(spiker.ctx);
    service_end(&spiker.service);
    return r;
}
