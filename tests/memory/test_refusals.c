/* SPDX-License-Identifier: MIT */
/*
 * Each limit is made small in turn: a caller that needs memory gets an error that explains the limit, no process is
 * killed, the server and the connection go on, and when the limit is lifted all memory can be had again.
 *
 * The client is the test, the server a thread of it. The client's context reads the machine's limits from a temporary
 * directory (which stands for /proc and /sys/fs/cgroup); rlimits are real, and so are the cgroups at the end, in a
 * child.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include "registry/ctx.h"
#include "support/child.h"
#include "support/group.h"
#include "support/machine.h"
#include "support/raw.h"
#include "support/service.h"
#include "support/suite.h"
#include "unit/fail.h"
#include "unit/tree.h"
#include "unit/valgrind.h"

#define MIB (UINT64_C(1) << 20)
/* more than one look at the machine serves for, see machine_has(); and a size that needs no padding */
#define SIZE (6 * MIB)

static char address[80];
static struct service *service;
static sea_ctx *ctx;
static sea_conn *conn;

/* --- the machine that the context sees: 1 GiB, of which 16 MiB are kept free --- */

static void machine_has(uint64_t left) {
    char text[128];
    snprintf(text, sizeof text, "MemTotal: %llu kB\nMemAvailable: %llu kB\n", (unsigned long long) MIB,
             (unsigned long long) ((left + 16 * MIB) / 1024));
    tree_write("meminfo", text);
}

/* Call this only after children were forked. */
static void serve(void) {
    if (!service)
        service = service_start(address, NULL, NULL);
}

static void connect_with(const sea_ctx_options *ctx_options, const sea_options *options) {
    serve();
    machine_has(32 * MIB);
    ck_assert_int_eq(sea_ctx_new(&ctx, ctx_options), 0);
    ctx->admission.proc = ctx->admission.mount = tree_path;
    ctx->admission.allowance = ctx->admission.stale = 0; /* grants from the real machine */
    ck_assert_int_eq(sea_connect(&conn, ctx, address, options), 0);
}

static void disconnect(void) {
    conn = sea_conn_free(conn);
    ctx = sea_ctx_unref(ctx);
}

static void before(void) {
    fail_off();
    machine_restore();
    tree_make();
    snprintf(address, sizeof address, "unix:%s", raw_name());
}

static void after(void) {
    fail_off();
    machine_restore();
    if (service) {
        ck_assert(service_settles(service, 0, 5000));
        ck_assert_int_eq(service_stop(service), 0);
        service = NULL;
    }
    tree_remove();
}

/* The thread sanitizer's shadow memory is several times as large as the program's memory: page faults and cgroups
 * count it, too. */
static void skip_under_tsan(void) {
#if defined(__SANITIZE_THREAD__)
    test_skip("the thread sanitizer takes memory of its own for each page");
#endif
}

/* --- service --- */

static int make(sea_block **ret_block, bool is_sealed, size_t size) {
    sea_block *block = NULL;
    int r = is_sealed ? sea_block_new_sealed(&block, ctx, size, 0) : sea_block_new(&block, conn, size);
    if (r < 0)
        return r;
    if (!sea_block_data(block)) {
        sea_block_unref(block);
        return -ENOMEM;
    }
    memset(sea_block_data(block), 7, size);
    *ret_block = block;
    return 0;
}

static void assert_served(sea_block *block) {
    size_t size = sea_block_size(block);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call(conn, SERVICE_ECHO, block, 60000, &reply), 0);
    ck_assert_uint_eq(sea_msg_size(reply), size);
    const unsigned char *bytes = sea_msg_data(reply);
    ck_assert(bytes[0] == 7 && bytes[size - 1] == 7);
    sea_msg_release(reply);
}

static void assert_full_service(size_t size) {
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        sea_block *block = NULL;
        int r = make(&block, is_sealed, size);
        sea_refusal refusal;
        sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
        ck_assert_msg(r == 0, "%s: %d (%s, %s)", is_sealed ? "sealed" : "pooled", r, refusal.limit, refusal.advice);
        assert_served(block);
    }
}

static void assert_small_service(void) {
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call_bytes(conn, SERVICE_ECHO, "hello", 5, 60000, &reply), 0);
    ck_assert_uint_eq(sea_msg_size(reply), 5);
    sea_msg_release(reply);
}

static struct figures figures(void) {
    struct figures now;
    sea_ctx_figures(ctx, now.of, SEA_FIGURES);
    return now;
}

static void assert_refused(int r, int error, const char *limit, uint64_t needed) {
    sea_refusal refusal;
    char line[256];
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(r, error);
    ck_assert_int_eq(refusal.error, error);
    ck_assert_str_eq(refusal.limit, limit);
    ck_assert_uint_ge(refusal.needed, needed);
    ck_assert_uint_lt(refusal.available, refusal.needed);
    ck_assert_str_ne(refusal.advice, "");
    ck_assert_int_lt(sea_refusal_format(&refusal, line, sizeof line), (int) sizeof line);
    ck_assert_ptr_nonnull(strstr(line, limit));
}

/* --- one limit after the other --- */

static struct rlimit lifted;
static int limited; /* the limited resource */

static void limit_to(int resource, rlim_t value) {
    limited = resource;
    getrlimit((__rlimit_resource_t) resource, &lifted);
    struct rlimit limit = {value, lifted.rlim_max};
    ck_assert_int_eq(setrlimit((__rlimit_resource_t) resource, &limit), 0);
}

static void lift_rlimit(void) {
    ck_assert_int_eq(setrlimit((__rlimit_resource_t) limited, &lifted), 0);
}

static void set_memory(void) {
    machine_has(2 * MIB);
}

static void lift_tree(void) {
    tree_remove();
    ck_assert_int_eq(mkdir(tree_path, 0700), 0);
    machine_has(32 * MIB);
}

static void set_promises(void) {
    tree_write("meminfo",
               "MemTotal: 1048576 kB\nMemAvailable: 1048576 kB\nCommitLimit: 9000 kB\nCommitted_AS: 8000 kB\n");
    tree_write("sys/vm/overcommit_memory", "2\n");
}

static void set_group_2(const char *dir, const char *max, const char *high) {
    static const char *const files[] = {"memory.max", "memory.high", "memory.current"};
    const char *texts[] = {max, high, "30000000\n"};
    char name[128];
    tree_write("self/cgroup", "0::/app/worker\n");
    tree_write("cgroup.controllers", "memory\n");
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", dir, files[i]);
        tree_write(name, texts[i]);
    }
}

static void set_own_max(void) {
    set_group_2("app/worker/", "33554432\n", "max\n");
}

static void set_ancestors_max(void) {
    set_group_2("app/worker/", "max\n", "max\n");
    set_group_2("", "33554432\n", "max\n");
}

static void set_ancestors_high(void) {
    set_group_2("app/", "max\n", "33554432\n");
}

static void set_group_1(const char *dir) {
    char name[128];
    tree_write("self/cgroup", "3:cpu:/x\n2:memory:/app/worker\n");
    snprintf(name, sizeof name, "memory/%smemory.limit_in_bytes", dir);
    tree_write(name, "33554432\n");
    snprintf(name, sizeof name, "memory/%smemory.usage_in_bytes", dir);
    tree_write(name, "30000000\n");
}

static void set_own_limit_1(void) {
    set_group_1("app/worker/");
}

static void set_roots_limit_1(void) {
    set_group_1("");
}

static void set_file_size(void) {
    limit_to(RLIMIT_FSIZE, SIZE - 1);
}

/* Open descriptors stay open; a descriptor that is closed meanwhile cannot be opened again. */
static void set_descriptors(void) {
    limit_to(RLIMIT_NOFILE, 3);
}

static void set_address_space(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    ck_assert(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    /* pools give back some address space to try again */
    limit_to(RLIMIT_AS, pages * (rlim_t) sysconf(_SC_PAGESIZE) - 16 * MIB);
}

static const struct {
    void (*set)(void), (*lift)(void);
    int error;
    const char *limit;
    uint64_t needed;
} limits[] = {
    {set_memory, lift_tree, -ENOMEM, "MemAvailable", SIZE},
    {set_promises, lift_tree, -ENOMEM, "CommitLimit (vm.overcommit_memory is 2)", SIZE},
    {set_own_max, lift_tree, -ENOMEM, "cgroup memory.max", SIZE},
    {set_ancestors_max, lift_tree, -ENOMEM, "cgroup memory.max", SIZE},
    {set_ancestors_high, lift_tree, -ENOMEM, "cgroup memory.high", SIZE},
    {set_own_limit_1, lift_tree, -ENOMEM, "cgroup memory.limit_in_bytes", SIZE},
    {set_roots_limit_1, lift_tree, -ENOMEM, "cgroup memory.limit_in_bytes", SIZE},
    {set_file_size, lift_rlimit, -ENOMEM, "RLIMIT_FSIZE", SIZE},
    {set_descriptors, lift_rlimit, -EMFILE, "RLIMIT_NOFILE", 1},
    {set_address_space, lift_rlimit, -ENOMEM, "RLIMIT_AS", SIZE},
};
enum { LIMITS = sizeof limits / sizeof *limits };

START_TEST(test_a_limit_and_its_end) {
    bool is_rlimit = limits[_i].lift == lift_rlimit;
    if (is_rlimit && is_under_valgrind())
        test_skip("%s is valgrind's own affair", limits[_i].limit);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    if (limits[_i].set == set_address_space)
        test_skip("sanitizers use up the address space");
#endif
    connect_with(NULL, NULL);
    assert_full_service(SIZE);
    limits[_i].set();
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        sea_block *block = NULL;
        size_t size = is_sealed ? SIZE : SIZE + MIB; /* the pool has a free block of SIZE */
        int r = make(&block, is_sealed, size);
        assert_refused(r, limits[_i].error, limits[_i].limit, limits[_i].needed);
        assert_small_service();
    }
    limits[_i].lift();
    assert_full_service(SIZE + MIB);
    disconnect();
}
END_TEST

/* The held blocks use up the budget: releasing them is enough. */
START_TEST(test_the_budget_and_its_end) {
    const struct {
        struct {
            uint64_t bytes;
            uint32_t blocks, fds;
        } budget;
        const char *limit;
        uint64_t needed;
    } cases[] = {{{.bytes = 9 * MIB}, "budget (bytes)", SIZE}, {{.fds = 1}, "budget (descriptors)", 1}};
    const sea_ctx_options options = {.budget_bytes = cases[_i].budget.bytes,
                                     .budget_blocks = cases[_i].budget.blocks,
                                     .budget_fds = cases[_i].budget.fds,
                                     .peer_bytes = 1 << 30,
                                     .peer_fds = 100,
                                     .user_bytes = 1 << 30,
                                     .user_fds = 100};
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        sea_block *held = NULL, *block = NULL;
        connect_with(&options, NULL);
        ck_assert_int_eq(make(&held, is_sealed, SIZE), 0);
        assert_refused(make(&block, is_sealed, SIZE), -EDQUOT, cases[_i].limit, cases[_i].needed);
        assert_small_service();
        sea_block_unref(held);
        ck_assert_int_eq(make(&block, is_sealed, SIZE), 0);
        assert_served(block);
        disconnect();
    }
}
END_TEST

/* Makes small calls until the peer's releases have arrived; the lane reads them while it waits for an answer. */
static void await_releases(void) {
    for (int i = 0; i < 1000; i++) {
        assert_small_service();
        if (figures().of[SEA_FIGURE_LEASED_BLOCKS] == 0)
            return;
    }
    ck_abort_msg("%llu blocks are still on lease", (unsigned long long) figures().of[SEA_FIGURE_LEASED_BLOCKS]);
}

/* The share of one user covers the blocks that all its connections hold. (The quota of one peer does not refuse the
 * sender, but makes it wait.) */
START_TEST(test_the_share_of_a_user) {
    const sea_ctx_options options = {.user_bytes = 14 * MIB};
    sea_block *block = NULL;
    connect_with(&options, NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(make(&block, true, SIZE), 0);
        ck_assert_int_eq(sea_send(conn, SERVICE_KEEP, block, 0), 0);
    }
    ck_assert_int_eq(make(&block, true, SIZE), 0);
    assert_refused(sea_send(conn, SERVICE_KEEP, block, 0), -EDQUOT, "user quota (bytes)", SIZE);
    assert_small_service();
    service_drop(service);
    await_releases();
    ck_assert_int_eq(make(&block, true, SIZE), 0);
    assert_served(block);
    disconnect();
}
END_TEST

/* Other processes take the available memory while memory is reserved: after one step of 16 MiB the reservation is
 * undone. */
static void others_take_all(void) {
    machine_has(0);
}

START_TEST(test_refused_between_two_steps) {
    /* without huge pages, sealed blocks are reserved and not touched */
    const sea_ctx_options options = {.memory_flags = SEA_MEMORY_NO_HUGE};
    sea_block *block = NULL;
    int is_sealed = _i;
    enum inject_kind kind = is_sealed ? INJECT_FALLOCATE : INJECT_MADVISE;
    connect_with(&options, NULL);
    machine_has(256 * MIB);
    fail_call(kind, 0, 0, 0);
    fail_orders[kind].also = others_take_all;
    int r = make(&block, is_sealed, 64 * MIB);
    int steps = fail_calls(kind) - (is_sealed ? 0 : 1); /* DONTFORK */
    fail_off();
    assert_refused(r, -ENOMEM, "MemAvailable", 64 * MIB);
    ck_assert_int_eq(steps, 1);
    assert_small_service();
    machine_has(256 * MIB);
    assert_full_service(64 * MIB);
    disconnect();
}
END_TEST

/* Makes mappings of one page each, separated by pages with other rights, until the limit refuses one. */
START_TEST(test_mappings_and_their_end) {
    if (is_under_valgrind())
        test_skip("valgrind has mappings of its own");
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    test_skip("sanitizers have mappings of their own");
#endif
    const size_t page = (size_t) sysconf(_SC_PAGESIZE), pages = 200000;
    sea_block *pooled = NULL, *sealed = NULL;
    connect_with(NULL, NULL);
    assert_full_service(SIZE);
    sea_ctx_trim(ctx); /* the pool could exchange a free arena for the new one */
    ck_assert_int_eq(sea_conn_wait(conn, 0), 0);
    char *area = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(area, MAP_FAILED);
    size_t i = 0;
    while (i < pages && mprotect(area + i * page, page, PROT_READ) == 0)
        i += 2;
    /* That needed two mappings: one may be left, which is enough for the library. Neighbours differ, so that the kernel
     * does not merge them. */
    enum { LAST_MAX = 8 };
    void *last[LAST_MAX] = {NULL};
    for (int j = 0; i < pages && j < LAST_MAX; j++)
        last[j] = mmap(NULL, page, j % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int r_pooled = make(&pooled, false, SIZE + MIB);
    sea_refusal first;
    sea_ctx_refusal(ctx, &first, sizeof(first));
    int r_sealed = make(&sealed, true, SIZE);
    sea_refusal second;
    sea_ctx_refusal(ctx, &second, sizeof(second));
    munmap(area, pages * page);
    for (int j = 0; j < LAST_MAX; j++)
        if (last[j] && last[j] != MAP_FAILED)
            munmap(last[j], page);
    if (i >= pages)
        test_skip("vm.max_map_count is more than %zu", pages);
    ck_assert_int_eq(r_pooled, -ENOMEM);
    ck_assert_str_eq(first.limit, "vm.max_map_count");
    ck_assert_int_eq(r_sealed, -ENOMEM);
    ck_assert_str_eq(second.limit, "vm.max_map_count");
    assert_small_service();
    assert_full_service(SIZE + MIB);
    disconnect();
}
END_TEST

/* --- the low-water mark --- */

static struct {
    int calls;
    sea_refusal nearly;
    sea_block *spare;   /* owned; released when memory runs low */
    bool is_more_found; /* the callback makes the machine's memory larger */
} low;

static void on_low_water(const sea_refusal *nearly, void *user) {
    ck_assert_ptr_eq(user, &low);
    ck_assert_int_eq(pthread_mutex_trylock(&ctx->lock), 0);
    pthread_mutex_unlock(&ctx->lock);
    low.calls++;
    low.nearly = *nearly;
    low.spare = sea_block_unref(low.spare);
    if (low.is_more_found)
        machine_has(32 * MIB);
}

START_TEST(test_the_budget_runs_low) {
    const sea_ctx_options options = {.budget_bytes = 19 * MIB,
                                     .peer_bytes = 1 << 30,
                                     .user_bytes = 1 << 30,
                                     .low_water = 2 * MIB,
                                     .on_low_water = on_low_water,
                                     .low_water_user = &low};
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        sea_block *first = NULL, *second = NULL, *third = NULL;
        memset(&low, 0, sizeof low);
        connect_with(&options, NULL);
        ck_assert_int_eq(make(&low.spare, true, SIZE), 0);
        ck_assert_int_eq(make(&first, is_sealed, SIZE), 0);
        ck_assert_int_eq(low.calls, 0);
        ck_assert_int_eq(make(&second, is_sealed, SIZE), 0); /* leaves 1 MiB, as the context sees it */
        ck_assert_int_eq(low.calls, 1);
        ck_assert_str_eq(low.nearly.limit, "budget (bytes)");
        ck_assert_int_eq(low.nearly.error, 0);
        ck_assert_int_eq(make(&third, is_sealed, SIZE), 0); /* in the room of the spare block */
        assert_served(first);
        assert_served(second);
        assert_served(third);
        disconnect();
    }
}
END_TEST

/* For any shortage of the budget: a request that would be refused gets the room that the callback releases, and no
 * refusal is counted. */
START_TEST(test_nothing_is_refused_before) {
    const struct {
        uint64_t bytes;
        uint32_t blocks, fds;
    } budgets[] = {{.bytes = 14 * MIB}, {.blocks = 2}, {.fds = 2}};
    static const char *const names[] = {"budget (bytes)", "budget (blocks)", "budget (descriptors)"};
    const sea_ctx_options options = {.budget_bytes = budgets[_i].bytes,
                                     .budget_blocks = budgets[_i].blocks,
                                     .budget_fds = budgets[_i].fds,
                                     .peer_bytes = 1 << 30,
                                     .peer_blocks = 100,
                                     .peer_fds = 100,
                                     .user_bytes = 1 << 30,
                                     .user_blocks = 100,
                                     .user_fds = 100,
                                     .low_water = MIB,
                                     .on_low_water = on_low_water,
                                     .low_water_user = &low};
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        sea_block *first = NULL, *second = NULL;
        struct figures figures;
        memset(&low, 0, sizeof low);
        connect_with(&options, NULL);
        ck_assert_int_eq(make(&low.spare, true, SIZE), 0);
        ck_assert_int_eq(make(&first, is_sealed, SIZE), 0);
        ck_assert_int_eq(make(&second, is_sealed, SIZE), 0);
        sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
        ck_assert_uint_eq(figures.of[SEA_FIGURE_REFUSALS], 0);
        ck_assert_int_eq(low.calls, 1);
        ck_assert_str_eq(low.nearly.limit, names[_i]);
        ck_assert_ptr_null(low.spare);
        assert_served(first);
        assert_served(second);
        disconnect();
    }
}
END_TEST

/* The callback may release a block of the pool that asks: there are other threads, so the block comes back by the
 * return stack. */
START_TEST(test_a_block_of_the_same_pool) {
    const sea_ctx_options options = {.budget_bytes = 9 * MIB,
                                     .peer_bytes = 1 << 30,
                                     .user_bytes = 1 << 30,
                                     .low_water = MIB,
                                     .on_low_water = on_low_water,
                                     .low_water_user = &low};
    sea_block *block = NULL;
    memset(&low, 0, sizeof low);
    connect_with(&options, NULL);
    ck_assert_int_eq(make(&low.spare, false, SIZE), 0);
    ck_assert_int_eq(make(&block, false, SIZE), 0);
    ck_assert_int_eq(low.calls, 1);
    assert_served(block);
    disconnect();
}
END_TEST

/* A block that would be refused is made, because the callback found room. */
START_TEST(test_before_the_first_refusal) {
    const sea_ctx_options options = {.low_water = 2 * MIB, .on_low_water = on_low_water, .low_water_user = &low};
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        sea_block *block = NULL;
        memset(&low, 0, sizeof low);
        connect_with(&options, NULL);
        machine_has(MIB);
        low.is_more_found = true;
        ck_assert_int_eq(make(&block, is_sealed, SIZE), 0);
        ck_assert_int_eq(low.calls, 1);
        ck_assert_str_eq(low.nearly.limit, "MemAvailable");
        ck_assert_uint_eq(low.nearly.available, MIB);
        ck_assert_uint_eq(figures().of[SEA_FIGURE_REFUSALS], 0);
        assert_served(block);
        low.is_more_found = false;
        machine_has(MIB);
        assert_refused(make(&block, is_sealed, SIZE + MIB), -ENOMEM, "MemAvailable", SIZE);
        ck_assert_int_eq(low.calls, 2); /* there was more memory in between */
        assert_refused(make(&block, is_sealed, SIZE + MIB), -ENOMEM, "MemAvailable", SIZE);
        ck_assert_int_eq(low.calls, 2);
        disconnect();
    }
}
END_TEST

/* --- how memory is made --- */

static uint64_t locked_bytes(void) {
    char line[128];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "VmLck: %llu", &kilobytes);
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

START_TEST(test_locked) {
    const sea_ctx_options options = {.memory_flags = SEA_MEMORY_LOCK};
    sea_block *sealed = NULL, *pooled = NULL;
    if (is_under_valgrind())
        test_skip("valgrind does not know mlock2()");
    connect_with(&options, NULL);
    int r = make(&sealed, true, 2 * MIB);
    uint64_t one = locked_bytes();
    sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    if (r < 0 && strcmp(refusal.limit, "RLIMIT_MEMLOCK") == 0) {
        disconnect();
        test_skip("RLIMIT_MEMLOCK is less than 2 MiB");
    }
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(one, 2 * MIB);
    ck_assert_int_eq(make(&pooled, false, SIZE), 0);
    ck_assert_uint_ge(locked_bytes(), 2 * MIB + SIZE);
    assert_served(sealed);
    assert_served(pooled);
    disconnect();
    ck_assert_uint_eq(locked_bytes(), 0);
}
END_TEST

/* A payload that does not fill a huge page: it lies in one, locked or not. */
START_TEST(test_locked_and_padded) {
    if (is_under_valgrind())
        test_skip("valgrind does not know mlock2()");
    if (!machine_grant_huge())
        test_skip("shmem_enabled cannot be set here");
    for (int is_locked = 0; is_locked < 2; is_locked++) {
        const sea_ctx_options options = {.memory_flags = is_locked ? SEA_MEMORY_LOCK : 0};
        sea_block *block = NULL;
        connect_with(&options, NULL);
        ck_assert_int_eq(make(&block, true, 3 * MIB / 2), 0);
        int pages = sea_block_pages(block);
        uint64_t locked = locked_bytes();
        assert_served(block);
        disconnect();
        if (!is_locked && pages != SEA_PAGES_THP)
            test_skip("no huge page is free");
        ck_assert_int_eq(pages, SEA_PAGES_THP);
        ck_assert_uint_eq(locked, is_locked ? 2 * MIB : 0);
    }
}
END_TEST

/* When there is no huge page for it, the padding goes and the lock stays. */
START_TEST(test_locked_and_cut) {
    const sea_ctx_options options = {.memory_flags = SEA_MEMORY_LOCK};
    sea_block *block = NULL;
    if (is_under_valgrind())
        test_skip("valgrind does not know mlock2()");
    if (!machine_grant_huge())
        test_skip("shmem_enabled cannot be set here");
    connect_with(&options, NULL);
    fail_call(INJECT_FSTAT, 2, 1,
              /*
               * the first fstat() looks for pages behind the end; without the second one the kind of pages is not known
               */
              EIO);
    ck_assert_int_eq(make(&block, true, 3 * MIB / 2), 0);
    ck_assert_int_eq(fail_calls(INJECT_FSTAT), 3); /* the third fstat() counts the pages that the budget pays for */
    ck_assert_uint_eq(locked_bytes(), 3 * MIB / 2);
    assert_served(block);
    disconnect();
    ck_assert_uint_eq(locked_bytes(), 0);
}
END_TEST

/* Runs without the right to lock any amount of memory. */
static int lock_too_much(int line, void *arg) {
    const sea_ctx_options options = {.memory_flags = SEA_MEMORY_LOCK};
    const struct rlimit limit = {MIB, MIB};
    sea_block *block = NULL;
    sea_refusal refusal = {0};
    (void) line, (void) arg;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || (getuid() == 0 && setuid(65534) < 0))
        return 77;
    ck_assert_int_eq(sea_ctx_new(&ctx, &options), 0);
    int r = sea_block_new_sealed(&block, ctx, 2 * MIB, 0);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_str_eq(refusal.limit, "RLIMIT_MEMLOCK");
    ck_assert_uint_eq(refusal.needed, 2 * MIB);
    ck_assert_uint_le(refusal.available, MIB);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, MIB / 2, 0), 0);
    sea_block_unref(block);
    sea_ctx_unref(ctx);
    return 0;
}

START_TEST(test_the_limit_of_locked_memory) {
    struct child child;
    if (is_under_valgrind())
        test_skip("valgrind does not know mlock2()");
    child_start(&child, lock_too_much, NULL);
    int status = child_end(&child, 20000);
    if (status == 77)
        test_skip("no way to be without the right to lock");
    ck_assert_int_eq(status, 0);
}
END_TEST

static long faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt;
}

START_TEST(test_prefaulted) {
    skip_under_tsan();
    const sea_ctx_options options = {.memory_flags = SEA_MEMORY_PREFAULT | SEA_MEMORY_NO_HUGE};
    sea_block *block = NULL;
    connect_with(&options, NULL);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, SIZE, 0), 0);
    char *data = sea_block_data(block);
    long first = faults();
    memset(data, 7, SIZE);
    ck_assert_int_lt(faults() - first, 640); /* of 1536 pages; sanitizers cause some faults of their own */
    assert_served(block);
    disconnect();
}
END_TEST

START_TEST(test_base_pages) {
    const sea_ctx_options options = {.memory_flags = SEA_MEMORY_NO_HUGE};
    sea_block *block = NULL;
    if (!machine_grant_huge())
        test_skip("shmem_enabled cannot be set here");
    connect_with(&options, NULL);
    ck_assert_int_eq(make(&block, true, 4 * MIB), 0);
    ck_assert_int_eq(sea_block_pages(block), SEA_PAGES_SMALL);
    assert_served(block);
    uint64_t used = quota_used(&ctx->budget, QUOTA_BYTES);
    ck_assert_int_eq(make(&block, true, 3 * MIB / 2), 0);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_BYTES) - used, 3 * MIB / 2); /* no padding */
    assert_served(block);
    disconnect();
}
END_TEST

START_TEST(test_nodes) {
    sea_ctx_options options = {.numa_nodes = 1};
    connect_with(&options, NULL);
    fail_call(INJECT_MBIND, 0, 0, 0);
    assert_full_service(SIZE);
    ck_assert_int_eq(fail_calls(INJECT_MBIND), 2);
    disconnect();
    options.numa_nodes = UINT64_C(1) << 63 | 1;
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        sea_block *block = NULL;
        connect_with(&options, NULL);
        assert_refused(make(&block, is_sealed, SIZE), -ENODEV, "NUMA node 63", 1);
        assert_small_service();
        disconnect();
    }
}
END_TEST

/* --- real cgroups --- */

struct squeeze {
    struct group group;
    bool is_parents; /* the limit is the parent's */
    size_t size;     /* of a block */
};

enum { HELD_MAX = 4096 };
static const sea_ctx_options ample = {.budget_bytes = UINT32_MAX,
                                      .budget_blocks = HELD_MAX,
                                      .budget_fds = HELD_MAX,
                                      .peer_bytes = UINT32_MAX,
                                      .peer_blocks = HELD_MAX,
                                      .peer_fds = HELD_MAX};
static sea_block *held[HELD_MAX];

static uint32_t take_from(uint32_t count, bool is_sealed, size_t size, int *ret_error) {
    *ret_error = 0;
    while (count < HELD_MAX && (*ret_error = make(&held[count], is_sealed, size)) == 0)
        count++;
    return count;
}

/* The pool's free memory is given back for this block; for sealed blocks, which belong to no connection, in the
 * pool's next turn. */
static uint32_t take_all(bool is_sealed, size_t size, int *ret_error) {
    uint32_t count = take_from(0, is_sealed, size, ret_error);
    ck_assert_int_eq(sea_conn_dispatch(conn, 0), 0);
    return take_from(count, is_sealed, size, ret_error);
}

static void drop_all(uint32_t count) {
    while (count > 0)
        sea_block_unref(held[--count]);
}

static int live_in_a_group(int line, void *arg) {
    struct squeeze *squeeze = arg;
    uint64_t word;
    int error;
    if (!group_enter(&squeeze->group) || !line_hear(line, 20000, &word))
        return 77;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_uint_lt(ctx->budget.limit[QUOTA_BYTES], 64 * MIB); /* a share of the group's memory */
    sea_ctx_unref(ctx);
    ck_assert_int_eq(sea_ctx_new(&ctx, &ample), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        uint32_t count = take_all(is_sealed, squeeze->size, &error);
        assert_refused(error, -ENOMEM,
                       squeeze->group.is_version_1 ? "cgroup memory.limit_in_bytes" : "cgroup memory.max",
                       squeeze->size);
        ck_assert_uint_ge(count * squeeze->size, 32 * MIB); /* of 64 MiB */
        assert_small_service();
        drop_all(count);
        ck_assert_int_eq(sea_conn_dispatch(conn, 0), 0); /* only now does the pool's limit apply */
        assert_full_service(squeeze->size);
    }
    uint32_t before = take_all(true, squeeze->size, &error);
    ck_assert(line_tell(line, 1) && line_hear(line, 20000, &word)); /* the limit is raised */
    drop_all(before);
    uint32_t count = take_all(true, squeeze->size, &error);
    ck_assert_uint_ge((count - before) * squeeze->size, 32 * MIB);
    drop_all(count);
    disconnect();
    return 0;
}

static int begin_in_a_small_group(int line, void *arg) {
    uint64_t word;
    if (!group_enter(arg) || !line_hear(line, 20000, &word))
        return 77;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_uint_eq(ctx->budget.limit[QUOTA_BYTES], 32 * MIB);
    sea_ctx_unref(ctx);
    return 0;
}

/* The settings that a context is made with stay for its life; the amount that is available at that moment does not. */
START_TEST(test_a_context_that_begins_with_nothing) {
    struct group group;
    struct child child;
    const char *why = NULL;
    skip_under_tsan();
    if (!group_make(&group, &why))
        test_skip("%s", why);
    bool is_set = group_limit(&group, false, 24 * MIB);
    child_start(&child, begin_in_a_small_group, &group);
    line_tell(child.line, 1);
    int status = child_end(&child, 20000);
    group_remove(&group);
    if (status == 77)
        test_skip("the group cannot be entered");
    ck_assert_int_eq(status, 0);
    ck_assert(is_set);
}
END_TEST

START_TEST(test_a_real_group) {
    static const struct {
        bool is_parents;
        size_t size;
    } cases[] = {{false, 4 * MIB}, {true, 4 * MIB}, {false, 64 << 10}};
    struct squeeze squeeze = {.is_parents = cases[_i].is_parents, .size = cases[_i].size};
    struct child child;
    const char *why = NULL;
    uint64_t word;
    skip_under_tsan();
    if (!group_make(&squeeze.group, &why))
        test_skip("%s", why);
    bool is_set = group_limit(&squeeze.group, squeeze.is_parents, 64 * MIB);
    child_start(&child, live_in_a_group, &squeeze);
    serve();
    line_tell(child.line, 1);
    bool is_heard = line_hear(child.line, 20000, &word);
    is_set = group_limit(&squeeze.group, squeeze.is_parents, 128 * MIB) && is_set;
    line_tell(child.line, 1);
    int status = child_wait(&child, 20000);
    uint64_t kills = group_kills(&squeeze.group);
    close(child.line);
    group_remove(&squeeze.group);
    if (status == 77)
        test_skip("the group cannot be entered");
    ck_assert_int_eq(status, 0);
    ck_assert(is_set && is_heard);
    if (kills != UINT64_MAX)
        ck_assert_uint_eq(kills, 0);
}
END_TEST

/* --- without /proc, as in a container that mounts none --- */

struct hidden {
    struct group group;
    bool is_group_seen; /* the group is at the root of the hierarchy, as in a container */
};

static bool hide_proc(const struct hidden *hidden) {
    const char *to = hidden->group.is_version_1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    if (hidden->is_group_seen && mount(hidden->group.path, to, NULL, MS_BIND, NULL) < 0)
        return false;
    return mount("none", "/proc", "tmpfs", 0, NULL) == 0;
}

static int live_without_proc(int line, void *arg) {
    struct hidden *hidden = arg;
    uint64_t word;
    int error;
    if (!group_enter(&hidden->group) || !line_hear(line, 20000, &word) || !hide_proc(hidden))
        return 77;
    ck_assert_int_eq(sea_ctx_new(&ctx, hidden->is_group_seen ? &ample : NULL), 0);
    uint32_t count = take_from(0, true, 4 * MIB, &error);
    if (hidden->is_group_seen)
        assert_refused(error, -ENOMEM,
                       hidden->group.is_version_1 ? "cgroup memory.limit_in_bytes" : "cgroup memory.max", 4 * MIB);
    else
        assert_refused(error, -EDQUOT, "budget (bytes)", 4 * MIB);
    ck_assert_uint_ge(count * 4 * MIB, 24 * MIB); /* of 64 MiB */
    drop_all(count);
    ctx = sea_ctx_unref(ctx);
    ck_assert_int_eq(umount("/proc"), 0); /* the leak sanitizer reads /proc at the end */
    return 0;
}

START_TEST(test_a_group_without_proc) {
    struct hidden hidden = {.is_group_seen = _i > 0};
    struct child child;
    const char *why = NULL;
    skip_under_tsan();
    if (is_under_valgrind())
        test_skip("valgrind needs /proc");
    if (!group_make(&hidden.group, &why))
        test_skip("%s", why);
    bool is_set = group_limit(&hidden.group, false, 64 * MIB);
    child_start(&child, live_without_proc, &hidden);
    line_tell(child.line, 1);
    int status = child_end(&child, 20000);
    group_remove(&hidden.group);
    if (status == 77)
        test_skip("the group cannot be entered, or /proc not be hidden");
    ck_assert_int_eq(status, 0);
    ck_assert(is_set);
}
END_TEST

/* A group that is full of file pages which were read once is not full. */
static int fill_with_files(int line, void *arg) {
    struct squeeze *squeeze = arg;
    static char bytes[1 << 20];
    uint64_t word;
    if (!group_enter(&squeeze->group) || !line_hear(line, 20000, &word))
        return 77;
    FILE *file = tmpfile();
    for (int i = 0; file && i < 96; i++)
        fwrite(bytes, sizeof bytes, 1, file);
    if (!file || fflush(file) != 0 || fsync(fileno(file)) < 0)
        return 77;
    ck_assert_int_eq(sea_ctx_new(&ctx, &ample), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    assert_full_service(squeeze->size);
    disconnect();
    fclose(file);
    return 0;
}

START_TEST(test_a_group_full_of_files) {
    struct squeeze squeeze = {.size = 16 * MIB};
    struct child child;
    struct statfs system;
    const char *why = NULL;
    skip_under_tsan();
    if (statfs("/tmp", &system) < 0 || (uint32_t) system.f_type == 0x01021994u)
        test_skip("/tmp is in memory itself");
    if (!group_make(&squeeze.group, &why))
        test_skip("%s", why);
    bool is_set = group_limit(&squeeze.group, false, 64 * MIB);
    child_start(&child, fill_with_files, &squeeze);
    serve();
    line_tell(child.line, 1);
    int status = child_wait(&child, 20000);
    close(child.line);
    group_remove(&squeeze.group);
    if (status == 77)
        test_skip("the group cannot be entered, or no file be written");
    ck_assert_int_eq(status, 0);
    ck_assert(is_set);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("refusals");
    suite_fixture(s, before, after);
    suite_add_loop(s, test_a_limit_and_its_end, 0, LIMITS);
    suite_add_loop(s, test_the_budget_and_its_end, 0, 2);
    suite_add(s, test_the_share_of_a_user);
    suite_add_loop(s, test_refused_between_two_steps, 0, 2);
    suite_add(s, test_mappings_and_their_end);
    suite_add(s, test_the_budget_runs_low);
    suite_add_loop(s, test_nothing_is_refused_before, 0, 3);
    suite_add(s, test_a_block_of_the_same_pool);
    suite_add(s, test_before_the_first_refusal);
    suite_add(s, test_locked);
    suite_add(s, test_locked_and_padded);
    suite_add(s, test_locked_and_cut);
    suite_add(s, test_the_limit_of_locked_memory);
    suite_add(s, test_prefaulted);
    suite_add(s, test_base_pages);
    suite_add(s, test_nodes);
    suite_add(s, test_a_context_that_begins_with_nothing);
    suite_add_loop(s, test_a_real_group, 0, 3);
    suite_add_loop(s, test_a_group_without_proc, 0, 2);
    suite_add(s, test_a_group_full_of_files);
    return suite_run(s);
}
