/* SPDX-License-Identifier: MIT */
/*
 * registry/pooled_block, registry/views: our pool that one peer reads, and our views of the peer's arenas. The tests
 * check the charges and their duration, the leases, refusals and lies, and the end of a peer while the application
 * still holds blocks.
 */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "memory/arena.h"
#include "sys/heap.h"
#include "sys/single_thread.h"
#include "unit/crowd.h"
#include "unit/disposal_jam.h"
#include "unit/room_peer.h"
#include "wire/handle.h"

#define STRIDE ((size_t) 4096)
#define COUNT 4u

static struct owner one;
static struct arena theirs; /* the peer's own, writable view of its memory */

static void before(void) {
    ctx_before();
    owner_init(&one, 1000);
    theirs = ARENA_EMPTY;
}

static void after(void) {
    fail_off();
    if (one.peer)
        owner_end(&one, 0);
    arena_deinit(&theirs);
    theirs = ARENA_EMPTY;
    ctx_after();
}

static void anew(const sea_ctx_options *options) {
    one.peer = peer_free(one.peer);
    ctx_anew(options);
    owner_init(&one, 1000);
}

static sea_block *new_block(struct owner *owner, size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(pools_new_block(&block, &owner->peer->pools, size), 0);
    return block;
}

static uint64_t lease(struct owner *owner, sea_block *block) {
    uint64_t handle = 0;
    ck_assert(pooled_block_is_free(block));
    ck_assert_int_eq(pools_lease(&owner->peer->pools, block, &handle), 0);
    ck_assert(!pooled_block_is_free(block));
    return handle;
}

static uint64_t budget_bytes(void) {
    return quota_used(&ctx->budget, QUOTA_BYTES);
}

static bool is_filled(const void *data, size_t size, int fill) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != fill)
            return false;
    return true;
}

/* --- our pool: blocks and their charges --- */

START_TEST(test_a_new_block) {
    struct owner two;
    owner_init(&two, 1000);
    sea_block *block = new_block(&one, 5000), *other = new_block(&two, 1);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    ck_assert_uint_eq(sea_block_size(block), 5000);
    ck_assert(!sea_block_is_sealed(block));
    ck_assert_ptr_nonnull(sea_block_data(block));
    ck_assert_ptr_eq(sea_block_view(block), sea_block_data(block));
    ck_assert(is_filled(sea_block_view(block), 5000, 0));
    ck_assert_int_eq(sea_block_pages(block), SEA_PAGES_NONE);
    int fd = -1;
    ck_assert_int_eq(sea_block_export(block, &fd), -EOPNOTSUPP);
    ck_assert(pools_have(&one.peer->pools, block) && !pools_have(&two.peer->pools, block));
    ck_assert(pools_have(&two.peer->pools, other) && !pools_have(&one.peer->pools, other));
    ck_assert(pooled_block_is_free(block));
    ck_assert_ptr_ne(pooled_block_arena(block), pooled_block_arena(other)); /* an arena has one audience */
    ck_assert(!pooled_block_arena(block)->is_announced);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 2);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], 5001);
    sea_block_unref(other);
    owner_end(&two, 0);
    sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS] + ctx_figures().of[SEA_FIGURE_BYTES], 0);
}
END_TEST

static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 65536, 100000, 1 << 20, (4 << 20) + 1, 17 << 20};
#define SIZES ((int) (sizeof sizes / sizeof *sizes))

/* Whole arenas are charged, to the budget alone: bytes, a descriptor, and one block for each arena, for any use of
 * its blocks. */
START_TEST(test_arenas_are_charged_to_the_budget) {
    size_t size = sizes[_i];
    sea_block *block = new_block(&one, size);
    const struct arena *arena = pooled_block_arena(block);
    memset(sea_block_data(block), 1, size);
    ck_assert_uint_eq(budget_bytes(), arena->size);
    ck_assert_uint_ge(arena->stride, size);
    ck_assert_uint_eq(arena->size % (size_t) sysconf(_SC_PAGESIZE), 0);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_FDS), 1);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_BLOCKS), 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], size);
    owner_assert_charged(&one, 0, 0, 0);
    sea_block_unref(block);
    ck_assert_uint_gt(budget_bytes(), 0); /* kept for the next block */
    owner_end(&one, 0);
    ck_assert_uint_eq(budget_bytes(), 0);
}
END_TEST

START_TEST(test_blocks_are_used_again) {
    uint64_t used = 0;
    for (int i = 0; i < 200; i++) {
        sea_block *block = new_block(&one, 100000);
        memset(sea_block_data(block), 1, 100000);
        sea_block_unref(block);
        if (i == 100)
            used = budget_bytes();
    }
    ck_assert_uint_gt(used, 0);
    ck_assert_uint_eq(budget_bytes(), used);
}
END_TEST

START_TEST(test_fill_shrink_and_seal) {
    sea_block *block = new_block(&one, 5000);
    ck_assert_int_eq(sea_block_fill(block, 4000, "abc", 3), 0);
    ck_assert_int_eq(sea_block_fill(block, 4998, "abc", 3), -EINVAL);
    ck_assert_mem_eq((const char *) sea_block_view(block) + 4000, "abc", 3);
    ck_assert_int_eq(sea_block_shrink(block, 5001), -EINVAL);
    uint64_t charged = budget_bytes();
    ck_assert_int_eq(sea_block_shrink(block, 100), 0);
    ck_assert_uint_eq(sea_block_size(block), 100);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], 100);
    ck_assert_uint_eq(budget_bytes(), charged); /* the arena stays unchanged */
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert_ptr_nonnull(sea_block_view(block));
    ck_assert_int_eq(sea_block_fill(block, 0, "abc", 3), -EPERM);
    ck_assert_int_eq(sea_block_shrink(block, 10), -EPERM);
    sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], 0);
}
END_TEST

static int copy_of(sea_block **ret_block, struct peer *peer, const void *bytes, size_t size) {
    int r = peer_new_copy(ret_block, peer, size);
    if (r < 0)
        return r;
    memcpy(sea_block_data(*ret_block), bytes, size);
    (*ret_block)->is_readonly = true;
    return 0;
}

/* A private copy: its class is inline, though it lies in memory that is used again, and that the peer may read. */
START_TEST(test_a_copy) {
    char bytes[3000];
    sea_block *block = NULL;
    memset(bytes, 8, sizeof bytes);
    ck_assert_int_eq(copy_of(&block, one.peer, bytes, sizeof bytes), 0);
    memset(bytes, 9, sizeof bytes);
    ck_assert_int_eq(sea_block_class(block), SEA_INLINE);
    ck_assert_uint_eq(sea_block_size(block), sizeof bytes);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert(is_filled(sea_block_view(block), sizeof bytes, 8));
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], sizeof bytes);
    ck_assert(!pooled_block_arena(block)->is_announced);
    owner_end(&one, 0);
    ck_assert(is_filled(sea_block_view(block), sizeof bytes, 8));
    sea_block_unref(block);
}
END_TEST

START_TEST(test_a_copy_over_the_limit) {
    sea_block *block = NULL;
    char bytes[3000] = "";
    one.peer->account->out_limit.bytes = 2999; /* so the copy lies in the heap, not in the pool */
    ck_assert_int_eq(copy_of(&block, one.peer, bytes, sizeof bytes), 0);
    ck_assert_ptr_null(block->slot);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 0);
    ck_assert_int_eq(sea_block_class(block), SEA_INLINE);
    ck_assert_uint_eq(quota_used(&one.peer->account->quota, QUOTA_BYTES), sizeof bytes);
    sea_block_unref(block);
    ck_assert_uint_eq(quota_used(&one.peer->account->quota, QUOTA_BYTES), 0);
    block = NULL;
    one.peer->account->quota.limit[QUOTA_BYTES] = 2999; /* the copy is charged to the peer */
    ck_assert_int_eq(copy_of(&block, one.peer, bytes, sizeof bytes), -EDQUOT);
    ck_assert_ptr_null(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], 0);
}
END_TEST

/* --- our pool: limits --- */

static void assert_refused(int error, const char *limit) {
    sea_refusal refusal = ctx_refusal();
    ck_assert_int_eq(refusal.error, error);
    ck_assert_str_eq(refusal.limit, limit);
    ck_assert_uint_gt(strlen(refusal.advice), 0);
}

/* The peer's limit bounds our arenas, so that the peer never has to refuse one. */
START_TEST(test_the_peers_limit_bounds_the_pool) {
    sea_block *blocks[64];
    int count = 0, r = 0;
    one.peer->account->out_limit.bytes = 100000;
    while (count < 64 && (r = pools_new_block(&blocks[count], &one.peer->pools, 10000)) == 0) {
        ck_assert_uint_le(budget_bytes(), 100000);
        count++;
    }
    ck_assert_int_eq(r, -EDQUOT);
    ck_assert_int_ge(count, 7); /* a block is less than a quarter larger than its payload */
    assert_refused(-EDQUOT, "peer's bytes_max");
    ck_assert_uint_gt(ctx_refusal().needed, ctx_refusal().available);
    sea_block_unref(blocks[--count]);
    blocks[count] = new_block(&one, 10000);
    for (int i = 0; i <= count; i++)
        sea_block_unref(blocks[i]);
    ck_assert_uint_gt(quota_used(&ctx->budget, QUOTA_FDS), 0);
    sea_block_unref(new_block(&one, 90000)); /* free memory makes room for another size */
    ck_assert_uint_le(budget_bytes(), 100000);
}
END_TEST

START_TEST(test_more_than_the_peer_takes) {
    sea_block *block = NULL;
    one.peer->account->out_limit.bytes = 100000;
    ck_assert_int_eq(pools_new_block(&block, &one.peer->pools, 100001), -EDQUOT);
    assert_refused(-EDQUOT, "peer's bytes_max");
    ck_assert_ptr_null(block);
    ck_assert_uint_eq(budget_bytes(), 0);
}
END_TEST

/* Our own limit for the peer is smaller than the peer's limit. */
START_TEST(test_more_than_a_peer_may_have) {
    sea_block *block = NULL;
    anew(&(sea_ctx_options){.peer_bytes = 100000});
    one.peer->account->out_limit.bytes = 100000;
    ck_assert_int_eq(pools_new_block(&block, &one.peer->pools, 100001), -EDQUOT);
    assert_refused(-EDQUOT, "peer quota (bytes)");
    ck_assert_ptr_nonnull(strstr(ctx_refusal().advice, "peer_bytes"));
    ck_assert_ptr_null(block);
    ck_assert_uint_eq(budget_bytes(), 0);
}
END_TEST

START_TEST(test_the_budget_bounds_the_pool) {
    const sea_ctx_options small[] = {{.budget_bytes = 50000, .peer_bytes = 50000}, {.budget_fds = 1}};
    static const char *const limits[] = {"budget (bytes)", "budget (descriptors)"};
    const size_t next = _i == 0 ? 30001 : 70000; /* too large for the first arena */
    sea_block *first = NULL, *second = NULL;
    anew(&small[_i]);
    ck_assert_int_eq(pools_new_block(&first, &one.peer->pools, 30000), 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 0); /* although a larger arena would not fit */
    ck_assert_int_eq(pools_new_block(&second, &one.peer->pools, next), -EDQUOT);
    assert_refused(-EDQUOT, limits[_i]);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1); /* one refusal for several attempts */
    ck_assert_ptr_null(second);
    sea_block_unref(first);
    second = new_block(&one, next); /* the first block's arena is given back for it */
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_FDS), 1);
    sea_block_unref(second);
}
END_TEST

/* --- our pool: fair shares --- */

enum { UNIT = 10000, UNITS_MOST = 1000 };
static const uint64_t SHARED = UINT64_C(8) << 20;

/* A peer that takes everything that it may, and gives nothing back. */
struct hoarder {
    struct owner owner;
    sea_block *blocks[UNITS_MOST];
    int count;
};

static uint64_t left_of_budget(void) {
    return SHARED - budget_bytes();
}

static int make_pooled(struct hoarder *hoarder, sea_block **ret_block) {
    return pools_new_block(ret_block, &hoarder->owner.peer->pools, UNIT);
}

static int make_sealed(struct hoarder *hoarder, sea_block **ret_block) {
    return peer_new_sealed(ret_block, hoarder->owner.peer, UNIT);
}

static int make_arrived(struct hoarder *hoarder, sea_block **ret_block) {
    return peer_new_arrived(ret_block, hoarder->owner.peer, UNIT);
}

/* Makes a copy in the heap, where the pool has no room. */
static int make_copy(struct hoarder *hoarder, sea_block **ret_block) {
    static const char bytes[UNIT];
    hoarder->owner.peer->account->out_limit.bytes = 0;
    return copy_of(ret_block, hoarder->owner.peer, bytes, UNIT);
}

static int (*const makers[])(struct hoarder *hoarder, sea_block **ret_block) = {make_pooled, make_sealed, make_arrived,
                                                                                make_copy};
#define MAKERS 4

static void hoard(struct hoarder *hoarder, uint32_t uid, int maker) {
    owner_init(&hoarder->owner, uid);
    for (hoarder->count = 0; makers[maker](hoarder, &hoarder->blocks[hoarder->count]) == 0; hoarder->count++)
        ck_assert_int_lt(hoarder->count, UNITS_MOST - 1);
}

static void hoarder_end(struct hoarder *hoarder) {
    owner_end(&hoarder->owner, 0);
    while (hoarder->count > 0)
        sea_block_unref(hoarder->blocks[--hoarder->count]);
}

/* There are three hoarders, of one user or each of its own, with any kind of blocks: the next peer still gets its
 * call answered. */
START_TEST(test_hoarders_leave_room) {
    static struct hoarder hoarders[3];
    const sea_ctx_options options = {.budget_bytes = SHARED, .budget_blocks = 100000};
    int maker = _i % MAKERS, are_strangers = _i / MAKERS;
    uint64_t before;
    anew(&options);
    hoard(&hoarders[0], 2000, maker);
    assert_refused(-EDQUOT, "fair share (bytes)");
    ck_assert_uint_gt(ctx_refusal().needed, ctx_refusal().available);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_FAIR_SHARE_REFUSALS], 1);
    ck_assert_uint_ge(budget_bytes(), SHARED / 4);
    ck_assert_uint_le(budget_bytes(), SHARED / 3);
    for (int i = 1; i < 3; i++) {
        before = left_of_budget();
        hoard(&hoarders[i], 2000 + (uint32_t) (i * are_strangers), maker);
        ck_assert_uint_ge(before - left_of_budget(), SHARED / 16);
    }
    ck_assert_uint_ge(left_of_budget(), SHARED / 4);
    sea_block_unref(new_block(&one, 100000));
    for (int i = 0; i < 3; i++)
        hoarder_end(&hoarders[i]);
    owner_end(&one, 0);
    ck_assert_uint_eq(left_of_budget(), SHARED);
    ck_assert_ptr_null(ctx->users); /* no charge of any user is left */
    owner_init(&one, 1000);
}
END_TEST

/* A connection that comes back finds the share that its user still holds. */
START_TEST(test_a_new_connection_does_not_clear_the_share) {
    static struct hoarder hoarders[2];
    const sea_ctx_options options = {.budget_bytes = SHARED};
    anew(&options);
    hoard(&hoarders[0], 2000, 0);
    uint64_t made = hoarders[0].owner.peer->account->user->made;
    owner_end(&hoarders[0].owner, 0);
    hoard(&hoarders[1], 2000, 0);
    ck_assert_uint_gt(hoarders[1].owner.peer->account->user->made, made);
    ck_assert_uint_lt(hoarders[1].owner.peer->account->user->made, made + made / 2);
    owner_init(&hoarders[0].owner, 2000);
    hoarder_end(&hoarders[0]);
    hoarder_end(&hoarders[1]);
}
END_TEST

/* Free memory in the connection's other pools is given back first. */
START_TEST(test_the_share_of_a_connection_is_of_all_its_pools) {
    const sea_ctx_options options = {.budget_bytes = SHARED};
    sea_pool *pool = NULL;
    sea_block *block = NULL;
    anew(&options);
    ck_assert_int_eq(pools_new(&pool, &one.peer->pools, NULL), 0);
    ck_assert_int_eq(pools_take_block(&block, pool, SHARED / 5), 0);
    sea_block *other = NULL;
    ck_assert_int_eq(pools_new_block(&other, &one.peer->pools, SHARED / 5), -EDQUOT);
    assert_refused(-EDQUOT, "fair share (bytes)");
    sea_block_unref(block);
    sea_block_unref(new_block(&one, SHARED / 5));
    pools_free(pool);
}
END_TEST

/* A context with a given quota applies this quota alone. */
START_TEST(test_given_quotas_hold_instead) {
    static struct hoarder hoarder;
    const sea_ctx_options options[] = {{.budget_bytes = SHARED, .peer_bytes = SHARED},
                                       {.budget_bytes = SHARED, .user_bytes = SHARED / 2}};
    const uint64_t most[] = {SHARED, SHARED / 2};
    static const char *const limits[] = {"budget (bytes)", "user quota (bytes)"};
    anew(&options[_i]);
    hoard(&hoarder, 2000, 0);
    assert_refused(-EDQUOT, limits[_i]);
    ck_assert_uint_le(budget_bytes(), most[_i]);
    ck_assert_uint_gt(budget_bytes(), most[_i] - 2 * UNIT);
    hoarder_end(&hoarder);
}
END_TEST

static const struct {
    enum inject_kind kind;
    int error, result;
    const char *limit; /* NULL: any limit */
} failures[] = {
    {INJECT_ALLOC, ENOMEM, -ENOMEM, NULL},
    {INJECT_MEMFD_CREATE, ENOMEM, -ENOMEM, NULL},
    {INJECT_MEMFD_CREATE, EMFILE, -EMFILE, "RLIMIT_NOFILE"},
    {INJECT_MEMFD_CREATE, ENFILE, -ENFILE, "fs.file-max"},
    {INJECT_FTRUNCATE, EFBIG, -ENOMEM, "size of a file"},
    {INJECT_FTRUNCATE, ENOMEM, -ENOMEM, NULL},
    {INJECT_MMAP, ENOMEM, -ENOMEM, NULL},
    {INJECT_ADD_SEALS, EPERM, 0, NULL},
    {INJECT_OPEN, EMFILE, -EMFILE, "RLIMIT_NOFILE"},
};
#define FAILURES ((int) (sizeof failures / sizeof *failures))

/* Each call in turn fails, each time: no charge and no memory is left, the refusal is reported, and the next block
 * finds the pool unchanged. */
START_TEST(test_an_arena_that_cannot_be_made) {
    int refused = 0;
    for (int n = 1; n < 100; n++) {
        sea_block *block = NULL;
        fail_call(failures[_i].kind, n, FAIL_ALWAYS, failures[_i].error);
        int r = pools_new_block(&block, &one.peer->pools, 5000);
        fail_off();
        if (r == 0) {
            sea_block_unref(block);
            break;
        }
        refused++;
        ck_assert_ptr_null(block);
        if (failures[_i].result)
            ck_assert_int_eq(r, failures[_i].result);
        ck_assert_uint_eq(budget_bytes() + quota_used(&ctx->budget, QUOTA_FDS), 0);
        ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS] + ctx_figures().of[SEA_FIGURE_BYTES], 0);
        if (failures[_i].limit)
            assert_refused(failures[_i].result, failures[_i].limit);
        owner_end(&one, 0);
        owner_init(&one, 1000);
    }
    ck_assert_int_gt(refused, 0);
    sea_block_unref(new_block(&one, 5000));
}
END_TEST

/* A connection has numbers for this many arenas: running out of them is no shortage of memory. */
START_TEST(test_no_number_for_an_arena) {
    sea_block *block = NULL;
    uint32_t *count = &one.peer->pools.audience.count;
    *count = HANDLE_ARENA_MAX;
    int r = pools_new_block(&block, &one.peer->pools, 5000);
    *count = 0;
    ck_assert_int_eq(r, -ENOMEM);
    assert_refused(-ENOMEM, "arenas of a connection");
    sea_block_unref(new_block(&one, 5000));
}
END_TEST

/* --- our pool: leases --- */

START_TEST(test_a_lease) {
    sea_block *block = new_block(&one, 5000);
    uint64_t handle = lease(&one, block);
    ck_assert_uint_eq(handle_arena(handle), pooled_block_arena(block)->id);
    ck_assert_uint_gt(handle_arena(handle), 0);
    ck_assert_ptr_eq(sea_block_view(block), arena_at(pooled_block_arena(block), handle_index(handle)));
    ck_assert_uint_eq(block->refs, 2);
    owner_assert_charged(&one, 5000, 1, 0);
    owner_assert_leased(&one, 1, 5000);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BLOCKS], 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BYTES], 5000);
    ck_assert_int_eq(pools_release(&one.peer->pools, handle), 0);
    ck_assert(pooled_block_is_free(block));
    ck_assert_uint_eq(block->refs, 1);
    owner_assert_charged(&one, 0, 0, 0);
    owner_assert_leased(&one, 0, 0);
    sea_block_unref(block);
}
END_TEST

/* The block returns to the pool when its lease and its last reference are gone, in any order. */
START_TEST(test_a_block_ends_with_its_lease_and_its_last_reference) {
    sea_block *block = new_block(&one, 5000);
    uint64_t handle = lease(&one, block);
    if (_i == 0)
        sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_int_eq(pools_release(&one.peer->pools, handle), 0);
    if (_i == 1) {
        ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
        memset(sea_block_data(block), 3, 5000);
        sea_block_unref(block);
    }
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS] + ctx_figures().of[SEA_FIGURE_BYTES], 0);
}
END_TEST

START_TEST(test_no_handle_comes_twice) {
    uint64_t handles[500];
    sea_block *block = new_block(&one, 5000);
    for (int i = 0; i < 500; i++) {
        handles[i] = lease(&one, block);
        ck_assert_uint_ne(handles[i], 0);
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(handles[i], handles[k]);
        ck_assert_int_eq(pools_release(&one.peer->pools, handles[i]), 0);
    }
    sea_block_unref(block);
}
END_TEST

START_TEST(test_a_lease_over_the_quota) {
    const sea_ctx_options small[] = {{.peer_bytes = 4999}, {.peer_blocks = 1}, {.user_blocks = 1}};
    anew(&small[_i]);
    sea_block *blocks[2] = {new_block(&one, _i > 0 ? 1 : 5000), new_block(&one, 5000)};
    uint64_t handle = 0, first = _i > 0 ? lease(&one, blocks[0]) : 0;
    ck_assert_int_eq(pools_lease(&one.peer->pools, blocks[1], &handle), -EDQUOT);
    ck_assert_uint_eq(handle, 0);
    ck_assert(pooled_block_is_free(blocks[1]));
    ck_assert_uint_eq(blocks[1]->refs, 1);
    owner_assert_leased(&one, first != 0, first != 0);
    if (first) {
        ck_assert_int_eq(pools_release(&one.peer->pools, first), 0);
        ck_assert_int_eq(pools_release(&one.peer->pools, lease(&one, blocks[1])), 0);
    }
    for (int i = 0; i < 2; i++)
        sea_block_unref(blocks[i]);
}
END_TEST

static void assert_stale(uint64_t handle) {
    ck_assert_int_eq(pools_release(&one.peer->pools, handle), -ESTALE);
}

START_TEST(test_a_handle_that_is_none) {
    assert_stale(handle_make(1, 0, 1)); /* there is no pool yet */
    sea_block *block = new_block(&one, 5000);
    assert_stale(handle_make(pooled_block_arena(block)->id, 0, 1)); /* there is no lease yet */
    uint64_t handle = lease(&one, block);
    uint32_t id = handle_arena(handle), index = handle_index(handle), generation = handle_generation(handle);
    assert_stale(0);
    assert_stale(UINT64_MAX);
    assert_stale(handle_make(0, index, generation)); /* the handle of a sealed block */
    assert_stale(handle_make(id + 1, index, generation));
    assert_stale(handle_make(id + 8, index, generation)); /* the same place in the table */
    assert_stale(handle_make(id ^ 0x8000, index, generation));
    assert_stale(handle_make(id, index + 1, generation));
    assert_stale(handle_make(id, pooled_block_arena(block)->count, generation));
    assert_stale(handle_make(id, HANDLE_INDEX_MAX, generation));
    assert_stale(handle_make(id, index, generation + 1));
    assert_stale(handle_make(id, index, 0));
    owner_assert_leased(&one, 1, 5000);
    ck_assert_int_eq(pools_release(&one.peer->pools, handle), 0);
    assert_stale(handle); /* twice */
    uint64_t next = lease(&one, block);
    assert_stale(handle); /* and it does not name its successor's lease */
    ck_assert_int_eq(pools_release(&one.peer->pools, next), 0);
    sea_block_unref(block);
}
END_TEST

/* Each peer has handles of its own, though both peers use equal numbers. */
START_TEST(test_anothers_handle) {
    struct owner two;
    owner_init(&two, 1000);
    sea_block *mine = new_block(&one, 5000), *others = new_block(&two, 5000);
    uint64_t handle = lease(&two, others);
    assert_stale(handle);
    ck_assert_uint_eq(lease(&one, mine), handle);
    ck_assert_int_eq(pools_release(&one.peer->pools, handle), 0);
    owner_assert_leased(&two, 1, 5000);
    ck_assert_int_eq(pools_release(&two.peer->pools, handle), 0);
    sea_block_unref(mine);
    sea_block_unref(others);
    owner_end(&two, 0);
}
END_TEST

/* --- our pool: arenas that are given back --- */

/* Retired arenas that the peer knows go to a list, from which the lane announces them. */
START_TEST(test_retired_arenas_are_noted) {
    bool is_announced = _i == 1;
    one.peer->account->out_limit.bytes = 200000;
    sea_block *block = new_block(&one, 100000);
    uint32_t id = pooled_block_arena(block)->id;
    uint64_t handle = lease(&one, block);
    if (is_announced)
        pool_note_announced(pooled_block_arena(block));
    ck_assert_int_eq(pools_release(&one.peer->pools, handle), 0);
    sea_block_unref(block);
    ck_assert_uint_eq(one.peer->pools.retired_count, 0);
    block = new_block(&one, 150000); /* the limit has room for one of the two */
    ck_assert_uint_eq(one.peer->pools.retired_count, is_announced);
    if (is_announced)
        ck_assert_uint_eq(one.peer->pools.retired[0], id);
    ck_assert_uint_ne(pooled_block_arena(block)->id, id); /* a number is used again only much later */
    sea_block_unref(block);
}
END_TEST

/* For any number of arenas that go before the lane can announce them. */
START_TEST(test_many_retired_arenas) {
    enum { MANY = 100 };
    uint32_t ids[MANY];
    one.peer->account->out_limit.bytes = 200000;
    for (int i = 0; i < MANY; i++) {
        sea_block *block = new_block(&one, i % 2 ? 150000 : 100000);
        ids[i] = pooled_block_arena(block)->id;
        uint64_t handle = lease(&one, block);
        pool_note_announced(pooled_block_arena(block));
        ck_assert_int_eq(pools_release(&one.peer->pools, handle), 0);
        sea_block_unref(block);
    }
    ck_assert_uint_eq(one.peer->pools.retired_count, MANY - 1);
    for (uint32_t i = 0; i < MANY - 1; i++)
        ck_assert_uint_eq(one.peer->pools.retired[i], ids[i]);
}
END_TEST

/* The place in the list is allocated with the lease, so that the lease fails instead. */
START_TEST(test_no_memory_for_a_lease) {
    sea_block *block = new_block(&one, 5000);
    uint64_t handle = 0;
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(pools_lease(&one.peer->pools, block, &handle), -ENOMEM);
    ck_assert_uint_eq(handle, 0);
    ck_assert(pooled_block_is_free(block));
    owner_assert_charged(&one, 0, 0, 0);
    ck_assert_int_eq(pools_release(&one.peer->pools, lease(&one, block)), 0);
    sea_block_unref(block);
}
END_TEST

/* --- our pool: the end --- */

START_TEST(test_the_end_drops_the_leases) {
    sea_block *kept = new_block(&one, 5000), *given = new_block(&one, 7000);
    lease(&one, kept);
    lease(&one, given);
    sea_block_unref(given);
    memset(sea_block_data(kept), 6, 5000);
    ck_assert_uint_eq(owner_end(&one, 12000), 2);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BLOCKS] + ctx_figures().of[SEA_FIGURE_LEASED_BYTES], 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_uint_eq(kept->refs, 1);
    ck_assert(is_filled(sea_block_view(kept), 5000, 6)); /* the block can be written again */
    memset(sea_block_data(kept), 7, 5000);
    ck_assert_uint_gt(budget_bytes(), 0); /* only this block is still charged */
    sea_block_unref(kept);
    ck_assert_uint_eq(budget_bytes(), 0);
}
END_TEST

/* The context stays complete until the last block of the pool is gone. */
START_TEST(test_a_block_outlives_its_context_and_peer) {
    sea_ctx *last = NULL;
    struct owner owner = {.peer = NULL};
    ck_assert_int_eq(sea_ctx_new(&last, NULL), 0);
    owner.peer = peer_new(last, 1000, owner_on_release, &owner);
    owner.peer->account->out_limit.bytes = UINT64_MAX;
    sea_block *blocks[3];
    for (int i = 0; i < 3; i++)
        memset(sea_block_data(blocks[i] = new_block(&owner, 100000)), i, 100000);
    owner_end(&owner, 0);
    sea_ctx_unref(last);
    for (int i = 0; i < 3; i++) {
        ck_assert(is_filled(sea_block_view(blocks[i]), 100000, i));
        sea_block_unref(blocks[i]);
    }
}
END_TEST

START_TEST(test_the_end_of_nothing) {
    uint64_t bytes = 77;
    ck_assert_uint_eq(pools_end(&one.peer->pools, &bytes), 0);
    ck_assert_uint_eq(bytes, 0);
    ck_assert_uint_eq(pools_end(&one.peer->pools, &bytes), 0);
}
END_TEST

/* --- our pool: inline blocks --- */

static sea_block *new_inline(struct owner *owner, size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(pools_new_inline(&block, &owner->peer->pools, size), 0);
    return block;
}

/* A copy of the block will be sent: the block lies in memory that no peer can see, and takes no descriptor. */
START_TEST(test_an_inline_block) {
    sea_block *block = new_inline(&one, 100), *other = new_inline(&one, 0);
    ck_assert_int_eq(sea_block_class(block), SEA_INLINE);
    ck_assert_uint_eq(sea_block_size(block), 100);
    ck_assert(!sea_block_is_sealed(block));
    ck_assert(!pools_have(&one.peer->pools, block));
    ck_assert_int_eq(pooled_block_arena(block)->fd, -1);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_FDS), 0);
    ck_assert_uint_gt(budget_bytes(), 100);
    memset(sea_block_data(block), 3, 100);
    ck_assert_int_eq(sea_block_shrink(block, 40), 0);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert(is_filled(sea_block_view(block), 40, 3));
    ck_assert_ptr_nonnull(sea_block_view(other));
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 2);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], 40);
    sea_block_unref(other);
    sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS] + ctx_figures().of[SEA_FIGURE_BYTES], 0);
}
END_TEST

START_TEST(test_an_inline_block_outlives_its_connection) {
    sea_block *block = new_inline(&one, 100);
    memset(sea_block_data(block), 5, 100);
    owner_end(&one, 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    ck_assert(is_filled(sea_block_view(block), 100, 5));
    sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS] + ctx_figures().of[SEA_FIGURE_BYTES], 0);
    ck_assert_uint_eq(budget_bytes(), 0);
}
END_TEST

/* The next block of that size lies where the last one lay, and is as good as new. */
START_TEST(test_blocks_that_are_ready) {
    int class = _i ? SEA_POOLED : SEA_INLINE;
    if (!is_single_threaded())
        test_skip("a tool has a thread of its own here");
    ck_assert_ptr_null(pools_hot_block(&one.peer->pools, class, 200));
    ck_assert_ptr_null(pools_ready_block(&one.peer->pools, class, 200));
    sea_block *block = _i ? new_block(&one, 200) : new_inline(&one, 200), *other;
    ck_assert_int_eq(sea_block_seal(block), 0);
    sea_block_unref(block);
    ck_assert_ptr_eq(other = pools_hot_block(&one.peer->pools, class, 90), block);
    ck_assert_ptr_null(pools_hot_block(&one.peer->pools, class, 90));
    ck_assert_int_eq(sea_block_class(block), class);
    ck_assert_uint_eq(sea_block_size(block), 90);
    ck_assert_ptr_nonnull(sea_block_data(block));
    ck_assert_ptr_nonnull(other = pools_ready_block(&one.peer->pools, class, 91));
    ck_assert_ptr_ne(other, block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], 181);
    sea_block_unref(block);
    sea_block_unref(other);
    ck_assert_ptr_null(
        pools_ready_block(&one.peer->pools, class, (size_t) 20 << 20)); /* such a block would have to be made */
    ck_assert_ptr_null(pools_ready_block(&one.peer->pools, class, SIZE_MAX));
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS] + ctx_figures().of[SEA_FIGURE_BYTES], 0);
}
END_TEST

/* Two references: dropping the second one gives the block back. */
START_TEST(test_the_last_of_several_references) {
    if (_i)
        crowd_gather();
    sea_block *block = new_inline(&one, 10);
    sea_block_ref(block);
    sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_ptr_nonnull(sea_block_data(block));
    sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 0);
}
END_TEST

START_TEST(test_no_memory_for_an_inline_block) {
    sea_block *block = NULL;
    int calls = 0;
    for (int r = -1; r < 0; calls++) {
        fail_call(INJECT_ALLOC, calls + 1, 1, ENOMEM);
        r = pools_new_inline(&block, &one.peer->pools, 100);
        ck_assert(r == 0 || r == -ENOMEM);
        fail_off();
    }
    ck_assert_int_ge(calls, 3); /* the account of the pools, the pool, its arena, and the arena's own memory */
    sea_block_unref(block);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 0);
}
END_TEST

/* --- our pool: other threads --- */

#define RELAY 1000

struct relay {
    _Atomic(sea_block *) blocks[RELAY];
};

static void *unref_all(void *arg) {
    struct relay *relay = arg;
    for (int i = 0; i < RELAY; i++) {
        sea_block *block;
        while (!(block = atomic_load_explicit(&relay->blocks[i], memory_order_acquire)))
            sched_yield();
        ck_assert(is_filled(sea_block_view(block), 2000, i & 0xff));
        sea_block_unref(block);
    }
    return NULL;
}

/* The last reference goes on another thread, while this thread takes further blocks; or after the end. */
START_TEST(test_blocks_end_on_another_thread) {
    static struct relay relay;
    pthread_t thread;
    int last = _i == 0 ? RELAY : RELAY / 2;
    sea_block *blocks[RELAY];
    memset(&relay, 0, sizeof relay);
    ck_assert_int_eq(pthread_create(&thread, NULL, unref_all, &relay), 0);
    for (int i = 0; i < RELAY; i++) {
        blocks[i] = new_block(&one, 2000);
        memset(sea_block_data(blocks[i]), i & 0xff, 2000);
        if (i < last)
            atomic_store_explicit(&relay.blocks[i], blocks[i], memory_order_release);
    }
    if (last < RELAY)
        owner_end(&one, 0);
    for (int i = last; i < RELAY; i++)
        atomic_store_explicit(&relay.blocks[i], blocks[i], memory_order_release);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS] + ctx_figures().of[SEA_FIGURE_BYTES], 0);
}
END_TEST

/* --- the peer's arenas --- */

/* Announces `theirs` as the peer would, with a descriptor for it. */
static struct wire_arena announced(uint32_t id) {
    return (struct wire_arena){.id = id, .count = theirs.count, .stride = theirs.stride, .size = theirs.size};
}

static int open_arena(const struct wire_arena *arena, int fd, const char **ret_why) {
    const char *why = NULL;
    int r = views_open(&one.peer->views, arena, fd, &why);
    if (r < 0)
        ck_assert(why && *why);
    if (ret_why)
        *ret_why = why;
    return r;
}

static void make_theirs(void) {
    ck_assert_int_eq(arena_init(&theirs, STRIDE, COUNT, NULL), 0);
}

static void open_theirs(uint32_t id) {
    struct wire_arena arena = announced(id);
    if (!theirs.data) {
        make_theirs();
        arena = announced(id);
    }
    ck_assert_int_eq(open_arena(&arena, dup(theirs.fd), NULL), 0);
}

static const void *found(uint64_t handle, uint64_t size) {
    const void *data = NULL;
    ck_assert_int_eq(views_find(&one.peer->views, handle, size, &data), 0);
    return data;
}

static int find(uint64_t handle, uint64_t size) {
    static const char untouched;
    const void *data = &untouched;
    int r = views_find(&one.peer->views, handle, size, &data);
    ck_assert(r == 0 || data == &untouched);
    return r;
}

START_TEST(test_a_peers_arena) {
    open_theirs(3);
    owner_assert_charged(&one, theirs.size, 1, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        memset(arena_at(&theirs, i), (int) i, STRIDE);
    for (uint32_t i = 0; i < COUNT; i++)
        ck_assert(is_filled(found(handle_make(3, i, 1), STRIDE), STRIDE, (int) i));
    memset(arena_at(&theirs, 2), 9, STRIDE); /* the peer may change it */
    ck_assert(is_filled(found(handle_make(3, 2, 1), STRIDE), STRIDE, 9));
    ck_assert_int_eq(views_retire(&one.peer->views, 3), 0);
    owner_assert_charged(&one, 0, 0, 0);
    ck_assert_int_eq(find(handle_make(3, 0, 1), 1), -EPROTO);
    ck_assert_int_eq(views_retire(&one.peer->views, 3), -EPROTO);
    open_theirs(3); /* its number may be used again */
}
END_TEST

static void open_small_blocks(uint32_t count) {
    ck_assert_int_eq(arena_init(&theirs, ARENA_STRIDE_UNIT, count, NULL), 0);
    open_theirs(3);
}

/* The peer chooses how many blocks an arena has: the table of them goes within the work of a turn. */
START_TEST(test_the_table_of_many_blocks_is_work) {
    struct account *account = one.peer->account;
    const uint32_t count = 4096;
    open_small_blocks(count);
    account->work.left = UINT64_MAX;
    if (_i)
        ck_assert(views_end_some(&one.peer->views));
    else
        ck_assert_int_eq(views_retire(&one.peer->views, 3), 0);
    uint64_t work = count * sizeof(uint32_t) + (_i ? WORK_PER_MEMFD + theirs.size : 0);
    ck_assert_uint_eq(UINT64_MAX - account->work.left, work);
    owner_assert_charged(&one, 0, 0, 0);
}
END_TEST

static struct disposal_jam jam;

/* A large table goes as the memory of a large arena does. */
START_TEST(test_the_table_of_very_many_blocks_goes_elsewhere) {
    open_small_blocks((uint32_t) (DISPOSAL_LEAST / sizeof(uint32_t)));
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
    }
    ck_assert_int_eq(views_retire(&one.peer->views, 3), 0);
    ck_assert_uint_eq(disposal_pending(), JAM_DISPOSERS + 2);
    disposal_jam_end(&jam);
    ck_assert_uint_eq(disposal_pending(), 0);
}
END_TEST

START_TEST(test_a_payload_that_lies_nowhere) {
    ck_assert_int_eq(find(handle_make(1, 0, 1), 1), -EPROTO); /* there is no arena at all */
    ck_assert_int_eq(views_retire(&one.peer->views, 1), -EPROTO);
    open_theirs(3);
    ck_assert_int_eq(find(handle_make(3, 0, 1), STRIDE), 0);
    ck_assert_int_eq(find(handle_make(3, COUNT - 1, 1), STRIDE), 0);
    ck_assert_int_eq(find(handle_make(3, 0, 1), STRIDE + 1), -EPROTO);
    ck_assert_int_eq(find(handle_make(3, 0, 1), UINT64_MAX), -EPROTO);
    ck_assert_int_eq(find(handle_make(3, COUNT, 1), 1), -EPROTO);
    ck_assert_int_eq(find(handle_make(3, HANDLE_INDEX_MAX, 1), 1), -EPROTO);
    for (uint32_t id = 0; id < 40; id++)
        ck_assert_int_eq(find(handle_make(id, 0, 1), 1), id == 3 ? 0 : -EPROTO);
    ck_assert_int_eq(find(handle_make(HANDLE_ARENA_MAX, 0, 1), 1), -EPROTO);
    ck_assert_int_eq(views_retire(&one.peer->views, 4), -EPROTO);
    ck_assert_int_eq(views_retire(&one.peer->views, UINT32_MAX), -EPROTO);
}
END_TEST

START_TEST(test_arenas_of_all_names) {
    static const uint32_t ids[] = {1, 15, 16, 17, 255, 4096, HANDLE_ARENA_MAX};
    for (int i = 0; i < 7; i++)
        open_theirs(ids[i]);
    owner_assert_charged(&one, 7 * theirs.size, 7, 0);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(find(handle_make(ids[i], 0, 1), STRIDE), 0);
    for (int i = 0; i < 7; i += 2)
        ck_assert_int_eq(views_retire(&one.peer->views, ids[i]), 0);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(find(handle_make(ids[i], 0, 1), STRIDE), i % 2 ? 0 : -EPROTO);
}
END_TEST

START_TEST(test_announced_twice) {
    const char *why = NULL;
    open_theirs(3);
    struct wire_arena again = announced(3);
    ck_assert_int_eq(open_arena(&again, _i ? dup(theirs.fd) : -1, &why), -EPROTO);
    ck_assert_ptr_nonnull(strstr(why, "twice"));
    owner_assert_charged(&one, theirs.size, 1, 0);
    ck_assert_int_eq(find(handle_make(3, 0, 1), STRIDE), 0);
}
END_TEST

/* Announcements of an arena of COUNT blocks that do not match it. */
static const struct {
    uint64_t size, stride;
    uint32_t count;
} shapes[] = {
    {COUNT * STRIDE, STRIDE, COUNT + 1},
    {COUNT * STRIDE, STRIDE + 64, COUNT},
    {COUNT * STRIDE, 100, 1},
    {COUNT * STRIDE, 0, COUNT},
    {COUNT * STRIDE, STRIDE, 0},
    {COUNT * STRIDE, STRIDE, (1u << 24) + 1},
    {COUNT * STRIDE, (uint64_t) 1 << 63, 2},
    {COUNT * STRIDE, UINT64_MAX - 63, 1},
    {(COUNT + 1) * STRIDE, STRIDE, COUNT},
    {(COUNT - 1) * STRIDE, STRIDE, COUNT - 1},
};
#define SHAPES ((int) (sizeof shapes / sizeof *shapes))

START_TEST(test_an_arena_of_another_shape) {
    make_theirs();
    const struct wire_arena lie = {
        .id = 3, .count = shapes[_i].count, .stride = shapes[_i].stride, .size = shapes[_i].size};
    ck_assert_int_eq(open_arena(&lie, dup(theirs.fd), NULL), -EPROTO);
    owner_assert_charged(&one, 0, 0, 0);
    ck_assert_int_eq(find(handle_make(3, 0, 1), 1), -EPROTO);
    open_theirs(3); /* the lie has used no place */
}
END_TEST

START_TEST(test_a_descriptor_that_is_no_arena) {
    static const int seals[] = {
        0, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL | F_SEAL_GROW,
        F_SEAL_FUTURE_WRITE | F_SEAL_SEAL | F_SEAL_SHRINK, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW};
    const struct wire_arena arena = {.id = 3, .count = COUNT, .stride = STRIDE, .size = COUNT * STRIDE};
    int fd = _i < 5 ? trap_memfd(COUNT * STRIDE, seals[_i]) : _i == 5 ? trap_pipe() : trap_sparse(COUNT * STRIDE);
    ck_assert_int_eq(open_arena(&arena, fd, NULL), -EPROTO);
    owner_assert_charged(&one, 0, 0, 0);
    ck_assert_int_eq(views_retire(&one.peer->views, 3), -EPROTO);
}
END_TEST

/* --- arenas of the peer that we refuse --- */

/* Checks that the arena's number stands for a refusal until the arena is retired. */
static void assert_stands_refused(uint32_t id, int error) {
    sea_block *block = NULL;
    owner_assert_charged(&one, 0, 0, 0);
    ck_assert_int_eq(find(handle_make(id, 0, 1), 1), error);
    ck_assert_int_eq(views_receive(&block, &one.peer->views, handle_make(id, 0, 1), 1), error);
    ck_assert_ptr_null(block);
    struct wire_arena again = announced(id);
    ck_assert_int_eq(open_arena(&again, -1, NULL), -EPROTO);
    ck_assert_int_eq(views_retire(&one.peer->views, id), 0);
    ck_assert_int_eq(find(handle_make(id, 0, 1), 1), -EPROTO);
}

/* An arena is charged before it is examined: an announced size beyond the quota is refused, even if it is a lie. */
START_TEST(test_an_arena_over_the_quota) {
    const sea_ctx_options small[] = {
        {.peer_bytes = COUNT * STRIDE - 1}, {.user_bytes = COUNT * STRIDE - 1}, {.peer_bytes = 0}};
    anew(&small[_i]);
    make_theirs();
    struct wire_arena arena = announced(3);
    if (_i == 2)
        arena.size = UINT64_C(1) << 61;
    ck_assert_int_eq(open_arena(&arena, dup(theirs.fd), NULL), 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    assert_refused(-EDQUOT, _i == 1 ? "user quota (bytes)" : "peer quota (bytes)");
    assert_stands_refused(3, -EDQUOT);
}
END_TEST

/* Pages behind the end, as a peer gets them where all memfds get huge pages. */
START_TEST(test_an_arenas_pages_are_charged) {
    const sea_ctx_options small = {.peer_bytes = 10 * 4096};
    const struct wire_arena arena = {.id = 1, .count = 4, .stride = 1024, .size = 4096};
    const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;
    struct wire_arena other = arena;
    anew(&small);
    other.id = 2;
    ck_assert_int_eq(open_arena(&arena, trap_excess(4096, 7 * 4096, seals), NULL), 0);
    owner_assert_charged(&one, 8 * 4096, 1, 0);
    ck_assert_int_eq(open_arena(&other, trap_excess(4096, 2 * 4096, seals), NULL), 0);
    assert_refused(-EDQUOT, "peer quota (bytes)");
    owner_assert_charged(&one, 8 * 4096, 1, 0);
    ck_assert_int_eq(find(handle_make(2, 0, 1), 1), -EDQUOT);
    ck_assert_int_eq(views_retire(&one.peer->views, 1), 0);
    owner_assert_charged(&one, 0, 0, 0);
}
END_TEST

/* Each arena is one mapping, and a process has a limited number of mappings: so arenas of any size count. */
START_TEST(test_more_arenas_than_blocks) {
    const sea_ctx_options small = {.peer_blocks = 2};
    anew(&small);
    open_theirs(1);
    open_theirs(2);
    open_theirs(3);
    assert_refused(-EDQUOT, "peer quota (blocks)");
    owner_assert_charged(&one, 2 * theirs.size, 2, 0);
    ck_assert_int_eq(find(handle_make(2, 0, 1), 1), 0);
    ck_assert_int_eq(find(handle_make(3, 0, 1), 1), -EDQUOT);
    ck_assert_int_eq(views_retire(&one.peer->views, 3), 0);
    ck_assert_int_eq(views_retire(&one.peer->views, 2), 0);
    open_theirs(3);
    ck_assert_int_eq(find(handle_make(3, 0, 1), 1), 0);
}
END_TEST

/* An arena's number needs a large table, and the quota has no room for the table: this refuses the arena, and no
 * other. */
START_TEST(test_a_table_over_the_quota) {
    enum { WIDE = 1024 };
    anew(&(sea_ctx_options){.peer_bytes = 3 * COUNT * STRIDE});
    open_theirs(1);
    open_theirs(2);
    open_theirs(1 + WIDE);
    assert_refused(-EDQUOT, "peer quota (bytes)");
    owner_assert_charged(&one, 2 * theirs.size, 2, 0);
    ck_assert_int_eq(find(handle_make(1 + WIDE, 0, 1), STRIDE), -EDQUOT);
    ck_assert_int_eq(find(handle_make(1, 0, 1), STRIDE), 0);
    ck_assert_int_eq(views_retire(&one.peer->views, 1), 0);
    ck_assert_int_eq(views_retire(&one.peer->views, 2), 0);
    assert_stands_refused(1 + WIDE, -EDQUOT);
    open_theirs(1 + WIDE);
    ck_assert_int_eq(find(handle_make(1 + WIDE, 0, 1), STRIDE), 0);
    ck_assert_int_eq(views_retire(&one.peer->views, 1 + WIDE), 0);
    peer_trim(one.peer);
    owner_assert_charged(&one, 0, 0, 0);
}
END_TEST

/* Our descriptor table had no room: this is our limit, and no lie of the peer. */
START_TEST(test_an_arena_whose_descriptor_was_lost) {
    make_theirs();
    struct wire_arena arena = announced(3);
    ck_assert_int_eq(open_arena(&arena, -1, NULL), 0);
    assert_refused(-EMFILE, "RLIMIT_NOFILE");
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    assert_stands_refused(3, -EMFILE);
    open_theirs(3);
}
END_TEST

START_TEST(test_an_arena_that_cannot_be_mapped) {
    make_theirs();
    struct wire_arena arena = announced(3);
    fail_once(INJECT_MMAP, ENOMEM);
    ck_assert_int_eq(open_arena(&arena, dup(theirs.fd), NULL), 0);
    assert_refused(-ENOMEM, "address space");
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    assert_stands_refused(3, -ENOMEM);
    open_theirs(3);
}
END_TEST

START_TEST(test_no_memory_for_a_view) {
    make_theirs();
    struct wire_arena arena = announced(3);
    fail_call(INJECT_ALLOC, _i + 1, 1, ENOMEM);
    ck_assert_int_eq(open_arena(&arena, dup(theirs.fd), NULL), -ENOMEM);
    ck_assert_int_eq(fail_calls(INJECT_ALLOC), _i + 1);
    fail_off();
    owner_assert_charged(&one, 0, 0, 0);
    open_theirs(3);
}
END_TEST

/* --- blocks of the peer --- */

static sea_block *receive(uint64_t handle, size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(views_receive(&block, &one.peer->views, handle, size), 0);
    return block;
}

START_TEST(test_a_received_block) {
    open_theirs(3);
    memset(arena_at(&theirs, 1), 5, STRIDE);
    uint64_t handle = handle_make(3, 1, 7);
    sea_block *block = receive(handle, 1000);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    ck_assert_uint_eq(sea_block_size(block), 1000);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert_ptr_eq(sea_block_view(block), found(handle, 1000)); /* it lies in place */
    ck_assert(is_filled(sea_block_view(block), 1000, 5));
    ck_assert_int_eq(sea_block_fill(block, 0, "x", 1), -EPERM);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert(!pools_have(&one.peer->pools, block)); /* we never name a block of the peer's own arenas */
    ck_assert(views_have(&one.peer->views, handle));
    ck_assert_uint_eq(one.peer->account->imported_blocks, 1);
    ck_assert_uint_eq(one.peer->account->imported_bytes, 1000);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BYTES], 1000);
    owner_assert_charged(&one, theirs.size, 2, 0); /* its bytes are charged with the arena */
    ctx_assert_budget(0, 0, 0);
    sea_block *again = sea_block_ref(block);
    sea_block_unref(block);
    ck_assert_uint_eq(one.released_count, 0);
    sea_block_unref(again);
    ck_assert_uint_eq(one.released_count, 1);
    ck_assert_uint_eq(one.released[0], handle);
    ck_assert(!views_have(&one.peer->views, handle));
    owner_assert_charged(&one, theirs.size, 1, 0);
}
END_TEST

START_TEST(test_a_received_block_over_the_quota) {
    const sea_ctx_options small = {.peer_blocks = 2};
    sea_block *block = NULL;
    anew(&small);
    open_theirs(3);
    sea_block *first = receive(handle_make(3, 0, 1), 1);
    ck_assert_int_eq(views_receive(&block, &one.peer->views, handle_make(3, 1, 1), 1), -EDQUOT);
    ck_assert_ptr_null(block);
    ck_assert_uint_eq(one.peer->account->imported_blocks, 1);
    sea_block_unref(first);
    sea_block_unref(receive(handle_make(3, 1, 1), 1));
    ck_assert_uint_eq(one.released_count, 2); /* a refused block is not given back here */
}
END_TEST

START_TEST(test_no_memory_for_a_received_block) {
    open_theirs(3);
    sea_block *first = receive(handle_make(3, 0, 2), 1); /* the block's second name is entered in a table */
    for (int n = 1; n <= 2; n++) {
        sea_block *block = NULL;
        fail_call(INJECT_ALLOC, n, 1, ENOMEM);
        ck_assert_int_eq(views_receive(&block, &one.peer->views, handle_make(3, 0, 1), 1), -ENOMEM);
        fail_off();
        ck_assert_ptr_null(block);
        ck_assert_uint_eq(one.peer->account->imported_blocks, 1);
        owner_assert_charged(&one, theirs.size, 2, 0);
    }
    sea_block *second = receive(handle_make(3, 0, 1), 1);
    ck_assert(views_have(&one.peer->views, handle_make(3, 0, 1)));
    sea_block_unref(first);
    ck_assert(!views_have(&one.peer->views, handle_make(3, 0, 2)));
    ck_assert(views_have(&one.peer->views, handle_make(3, 0, 1)));
    sea_block_unref(second);
    ck_assert(!views_have(&one.peer->views, handle_make(3, 0, 1)));
}
END_TEST

/* A block that the application holds stays readable, and charged, whatever the peer does with its arena. */
START_TEST(test_a_block_outlives_its_arena) {
    open_theirs(3);
    memset(arena_at(&theirs, 1), 5, STRIDE);
    sea_block *block = receive(handle_make(3, 1, 7), STRIDE);
    ck_assert_int_eq(views_retire(&one.peer->views, 3), 0);
    ck_assert_int_eq(find(handle_make(3, 1, 7), 1), -EPROTO);
    size_t size = theirs.size;
    arena_deinit(&theirs);
    theirs = ARENA_EMPTY;
    ck_assert(is_filled(sea_block_view(block), STRIDE, 5));
    owner_assert_charged(&one, size, 2, 0);
    sea_block_unref(block);
    ck_assert_uint_eq(one.released_count, 1);
    owner_assert_charged(&one, 0, 0, 0);
}
END_TEST

START_TEST(test_a_name_is_used_again_while_its_old_block_is_held) {
    open_theirs(3);
    memset(arena_at(&theirs, 0), 5, STRIDE);
    sea_block *old = receive(handle_make(3, 0, 1), STRIDE);
    ck_assert_int_eq(views_retire(&one.peer->views, 3), 0);
    arena_deinit(&theirs);
    make_theirs();
    open_theirs(3);
    memset(arena_at(&theirs, 0), 6, STRIDE);
    sea_block *new = receive(handle_make(3, 0, 2), STRIDE);
    ck_assert(is_filled(sea_block_view(old), STRIDE, 5));
    ck_assert(is_filled(sea_block_view(new), STRIDE, 6));
    owner_assert_charged(&one, 2 * theirs.size, 4, 0);
    sea_block_unref(old);
    owner_assert_charged(&one, theirs.size, 2, 0);
    sea_block_unref(new);
}
END_TEST

START_TEST(test_a_block_outlives_its_connection) {
    open_theirs(3);
    memset(arena_at(&theirs, 1), 5, STRIDE);
    sea_block *blocks[2] = {receive(handle_make(3, 1, 7), STRIDE), receive(handle_make(3, 1, 8), STRIDE)};
    ck_assert_uint_eq(owner_end(&one, 0), 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 2); /* still charged to the peer */
    arena_deinit(&theirs);
    theirs = ARENA_EMPTY;
    for (int i = 0; i < 2; i++) {
        ck_assert(is_filled(sea_block_view(blocks[i]), STRIDE, 5));
        sea_block_unref(blocks[i]);
    }
    ck_assert_uint_eq(one.released_count, 0); /* the peer is gone, so no handle is given back */
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
}
END_TEST

START_TEST(test_the_end_closes_the_views) {
    open_theirs(3);
    open_theirs(70);
    struct wire_arena lost = announced(5);
    ck_assert_int_eq(open_arena(&lost, -1, NULL), 0);
    ck_assert_uint_eq(owner_end(&one, 0), 0);
    ck_assert_ptr_null(ctx->users); /* no charge of the peer is left */
}
END_TEST

int main(void) {
    struct suite *s = suite_new("pooled");
    suite_fixture(s, before, after);
    suite_add(s, test_a_new_block);
    suite_add_loop(s, test_arenas_are_charged_to_the_budget, 0, SIZES);
    suite_add(s, test_blocks_are_used_again);
    suite_add(s, test_fill_shrink_and_seal);
    suite_add(s, test_a_copy);
    suite_add(s, test_a_copy_over_the_limit);
    suite_add(s, test_the_peers_limit_bounds_the_pool);
    suite_add(s, test_more_than_the_peer_takes);
    suite_add(s, test_more_than_a_peer_may_have);
    suite_add_loop(s, test_the_budget_bounds_the_pool, 0, 2);
    suite_add_loop(s, test_hoarders_leave_room, 0, 2 * MAKERS);
    suite_add(s, test_a_new_connection_does_not_clear_the_share);
    suite_add(s, test_the_share_of_a_connection_is_of_all_its_pools);
    suite_add_loop(s, test_given_quotas_hold_instead, 0, 2);
    suite_add_loop(s, test_an_arena_that_cannot_be_made, 0, FAILURES);
    suite_add(s, test_no_number_for_an_arena);
    suite_add(s, test_a_lease);
    suite_add_loop(s, test_a_block_ends_with_its_lease_and_its_last_reference, 0, 2);
    suite_add(s, test_no_handle_comes_twice);
    suite_add_loop(s, test_a_lease_over_the_quota, 0, 3);
    suite_add(s, test_a_handle_that_is_none);
    suite_add(s, test_anothers_handle);
    suite_add_loop(s, test_retired_arenas_are_noted, 0, 2);
    suite_add(s, test_many_retired_arenas);
    suite_add(s, test_no_memory_for_a_lease);
    suite_add(s, test_the_end_drops_the_leases);
    suite_add(s, test_a_block_outlives_its_context_and_peer);
    suite_add(s, test_the_end_of_nothing);
    suite_add(s, test_an_inline_block);
    suite_add(s, test_an_inline_block_outlives_its_connection);
    suite_add_loop(s, test_blocks_that_are_ready, 0, 2);
    suite_add_loop(s, test_the_last_of_several_references, 0, 2);
    suite_add(s, test_no_memory_for_an_inline_block);
    suite_add_loop(s, test_blocks_end_on_another_thread, 0, 2);
    suite_add(s, test_a_peers_arena);
    suite_add_loop(s, test_the_table_of_many_blocks_is_work, 0, 2);
    suite_add(s, test_the_table_of_very_many_blocks_goes_elsewhere);
    suite_add(s, test_a_payload_that_lies_nowhere);
    suite_add(s, test_arenas_of_all_names);
    suite_add_loop(s, test_announced_twice, 0, 2);
    suite_add_loop(s, test_an_arena_of_another_shape, 0, SHAPES);
    suite_add_loop(s, test_a_descriptor_that_is_no_arena, 0, 7);
    suite_add_loop(s, test_an_arena_over_the_quota, 0, 3);
    suite_add(s, test_an_arenas_pages_are_charged);
    suite_add(s, test_more_arenas_than_blocks);
    suite_add(s, test_a_table_over_the_quota);
    suite_add(s, test_an_arena_whose_descriptor_was_lost);
    suite_add(s, test_an_arena_that_cannot_be_mapped);
    suite_add_loop(s, test_no_memory_for_a_view, 0, 2);
    suite_add(s, test_a_received_block);
    suite_add(s, test_a_received_block_over_the_quota);
    suite_add(s, test_no_memory_for_a_received_block);
    suite_add(s, test_a_block_outlives_its_arena);
    suite_add(s, test_a_name_is_used_again_while_its_old_block_is_held);
    suite_add(s, test_a_block_outlives_its_connection);
    suite_add(s, test_the_end_closes_the_views);
    return suite_run(s);
}
