/* SPDX-License-Identifier: MIT */
/*
 * registry/pools and the public pools, over two connections: separate lifetimes, generations that drain, and the memory
 * of both sides, which is given back without a call of the application, and without waking a side that has nothing to
 * give.
 */
#include "support/suite.h"

#include <sched.h>
#include <stdatomic.h>

#include "memory/arena.h"
#include "unit/conn_pair.h"
#include "unit/fail.h"
#include "unit/host.h"
#include "wire/handle.h"

#if WITH_UV
#include <sealane/uv.h>
#include <uv.h>
#endif

#define KIB ((size_t) 1 << 10)
#define MIB ((size_t) 1 << 20)

static struct ends ends;

/* The own pools of both ends give back nothing by the clock. */
static const sea_pool_options lasting = {.retained_ms = -1};

static void before(void) {
    memset(&ends, 0, sizeof ends);
    ends.a.options.pool = ends.b.options.pool = &lasting;
    ends_open(&ends);
}

static void after(void) {
    ends_deinit(&ends);
}

static sea_pool *pool_of(const sea_pool_options *options) {
    sea_pool *pool = NULL;
    ck_assert_int_eq(sea_pool_new(&pool, ends.a.conn, options), 0);
    return pool;
}

static sea_block *block_of(sea_pool *pool, size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_pool_block(&block, pool, size), 0);
    memset(sea_block_data(block), 7, size);
    return block;
}

static struct pool_figures figures_of(sea_pool *pool) {
    struct pool_figures figures;
    sea_pool_figures(pool, figures.of, SEA_POOL_FIGURES);
    return figures;
}

/* Returns the number of a's blocks that b maps: the arenas are charged as blocks, beside the blocks in them. */
static uint64_t seen_by_b(void) {
    const struct account *account = ends.b.conn->lane.remote->account;
    return quota_used(&account->quota, QUOTA_BLOCKS) - account->imported_blocks;
}

/* b keeps the block, and with it the lease. */
static void lend(sea_block *block) {
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, block, 0), 0);
    ends_settle(&ends);
}

static void give_back(unsigned count) {
    while (count--)
        sea_msg_release(ends.b.kept[--ends.b.kept_count]);
    ends_settle(&ends);
}

static sea_block *sealed_block(size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, size, 0), 0);
    return block;
}

START_TEST(test_a_pool_is_another_memory) {
    sea_pool *pool = pool_of(&(sea_pool_options){.name = "settings"});
    sea_block *own = end_block(&ends.a, 5000, 1), *other = block_of(pool, 5000);
    ck_assert_int_eq(sea_block_class(other), SEA_POOLED);
    ck_assert_ptr_ne(own->slot->arena, other->slot->arena);
    ck_assert_str_eq(sea_pool_name(pool), "settings");
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_ACTIVE_BLOCKS], 1);
    ck_assert_uint_eq(figures_of(sea_conn_pool(ends.a.conn)).of[SEA_POOL_FIGURE_ACTIVE_BLOCKS], 1);
    lend(own);
    lend(other);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_SENT_POOLED_MESSAGES], 2);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_FALLBACKS], 0);
    ck_assert(msg_is_filled(ends.b.kept[1], 5000, 7));
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_LEASED_BLOCKS], 1);
    give_back(2);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_ACTIVE_BLOCKS], 0);
    sea_block *small = block_of(pool, 10);
    ck_assert_int_eq(sea_block_class(small), SEA_INLINE); /* as sea_block_new() does */
    sea_block_unref(small);
    ck_assert_ptr_null(sea_pool_free(pool));
    ends_settle(&ends);
    ck_assert_uint_eq(seen_by_b(), 1);
}
END_TEST

/* Returns how many different blocks single blocks of that size are. */
static unsigned cycle_of(sea_pool *pool, size_t size) {
    const void *first[16] = {NULL};
    unsigned count = 0;
    for (unsigned i = 0; i < 64; i++) {
        sea_block *block = block_of(pool, size);
        unsigned known = 0;
        while (known < count && first[known] != block->data)
            known++;
        ck_assert_uint_lt(known, 16);
        first[known] = block->data;
        count = known == count ? count + 1 : count;
        sea_block_unref(block);
    }
    return count;
}

/* It changes for all pools of the connection: with arenas, without, and new ones. */
START_TEST(test_the_footprint_of_reuse) {
    sea_pool *used = pool_of(&lasting), *unused = pool_of(&lasting);
    struct pools *pools = &ends.a.conn->lane.remote->pools;
    pools_set_footprint(pools, 4 * 128 * KIB);
    ck_assert_uint_eq(cycle_of(used, 128 * KIB), 4);
    pools_set_footprint(pools, 9 * 128 * KIB);
    sea_pool *made_later = pool_of(&lasting);
    ck_assert_uint_eq(cycle_of(used, 128 * KIB), 9);
    ck_assert_uint_eq(cycle_of(unused, 128 * KIB), 9);
    ck_assert_uint_eq(cycle_of(made_later, 128 * KIB), 9);
    ck_assert_uint_eq(cycle_of(sea_conn_pool(ends.a.conn), 128 * KIB), 9);
    pools_set_footprint(pools, 2 * 128 * KIB);
    ck_assert_uint_eq(cycle_of(used, 128 * KIB), 2);
    sea_pool_free(used);
    sea_pool_free(unused);
    sea_pool_free(made_later);
    ends_settle(&ends);
}
END_TEST

START_TEST(test_options) {
    sea_pool *pool = NULL;
    ck_assert_int_eq(sea_pool_new(&pool, ends.a.conn, &(sea_pool_options){.rotate_age_ms = -1}), -EINVAL);
    ck_assert_int_eq(sea_pool_new(&pool, ends.a.conn, &(sea_pool_options){.rotate_idle_ms = -1}), -EINVAL);
    ck_assert_int_eq(sea_pool_new(&pool, ends.a.conn, &(sea_pool_options){.size = 1}), -EINVAL);
    ck_assert_ptr_null(pool);
    sea_conn *conn = NULL;
    sea_options options = {.pool = &(sea_pool_options){.rotate_age_ms = -1}};
    ck_assert_int_eq(sea_connect(&conn, ends.a.ctx, "unix:@sealane-nobody", &options), -EINVAL);
    pool = pool_of(&(sea_pool_options){.name = "a name of more than thirty-one bytes, which is cut"});
    ck_assert_str_eq(sea_pool_name(pool), "a name of more than thirty-one ");
    sea_pool_free(pool);
    ck_assert_ptr_null(sea_pool_free(NULL));
}
END_TEST

/* By default a pool keeps an amount that follows from the budget: 32 MiB at most. */
START_TEST(test_retained_memory_of_a_small_budget) {
    static const uint64_t budgets[] = {64 * MIB, 640 * MIB, UINT64_C(1) << 40}, kept[] = {MIB, 10 * MIB, 32 * MIB};
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.a.ctx_options.budget_bytes = budgets[_i];
    ends_open(&ends);
    ck_assert_uint_eq(sea_conn_pool(ends.a.conn)->retained_max, kept[_i]);
    sea_pool *pool = pool_of(NULL), *other = pool_of(&(sea_pool_options){.retained_max = 7});
    ck_assert_uint_eq(pool->retained_max, kept[_i]);
    ck_assert_uint_eq(other->retained_max, 7);
    lend(end_block(&ends.a, 100 * KIB, 1));
    lend(end_block(&ends.a, 8 * MIB, 1));
    give_back(2);
    ck_assert_uint_le(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], kept[_i]);
    sea_pool_free(pool);
    sea_pool_free(other);
}
END_TEST

START_TEST(test_a_pool_has_its_share) {
    sea_pool *pool = pool_of(&(sea_pool_options){.bytes_max = 2 * MIB});
    sea_block *first = block_of(pool, MIB), *second = block_of(pool, MIB), *third = NULL;
    ck_assert_int_eq(sea_pool_block(&third, pool, MIB), 0);
    /* made in another way: this is no refusal, but it is counted */
    ck_assert_int_eq(sea_block_class(third), SEA_SEALED);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_REFUSALS], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_FALLBACKS], 1);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_PEAK_BYTES], 2 * MIB);
    sea_block_unref(first);
    sea_block_unref(second);
    sea_block_unref(third);
    sea_pool_free(pool);
}
END_TEST

/* There is no other way where the peer accepts no sealed blocks. */
START_TEST(test_a_share_without_another_way) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.b.options.accept = SEA_INLINE | SEA_POOLED;
    ends_open(&ends);
    sea_pool *pool = pool_of(&(sea_pool_options){.bytes_max = 2 * MIB});
    sea_block *first = block_of(pool, MIB), *second = block_of(pool, MIB), *third = NULL;
    sea_refusal refusal;
    ck_assert_int_eq(sea_pool_block(&third, pool, MIB), -EDQUOT);
    sea_ctx_refusal(ends.a.ctx, &refusal, sizeof(refusal));
    ck_assert_str_eq(refusal.limit, "pool's bytes_max");
    ck_assert_uint_eq(refusal.needed, MIB);
    ck_assert_uint_eq(refusal.available, 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_REFUSALS], 1);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_FALLBACKS], 0);
    sea_block_unref(first);
    sea_block_unref(second);
    sea_pool_free(pool);
}
END_TEST

/* Memory that one pool keeps for later must not use up the peer's limit for another pool. */
START_TEST(test_the_peers_limit_is_of_all) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.b.options.bytes_max = 4 * MIB;
    ends_open(&ends);
    sea_pool *pool = pool_of(&lasting);
    sea_block_unref(block_of(pool, 3 * MIB));
    ck_assert_uint_ge(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 3 * MIB);
    sea_block *block = end_block(&ends.a, 2 * MIB, 1);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 0);
    sea_block *more = block_of(pool, 3 * MIB);
    ck_assert_int_eq(sea_block_class(more), SEA_SEALED);
    sea_block_unref(more);
    sea_block_unref(block);
    sea_pool_free(pool);
}
END_TEST

/* --- memory that is only kept must not cause a refusal --- */

#define BUDGET (9 * MIB) /* room for one block of 6 MiB */

/* Makes connection a keep 6 MiB of free memory. */
static sea_pool *keep_all(void) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.a.options.pool = ends.b.options.pool = &lasting;
    ends.a.ctx_options = (sea_ctx_options){.budget_bytes = BUDGET, .peer_bytes = 100 * BUDGET};
    ends_open(&ends);
    sea_pool *pool = pool_of(&lasting);
    sea_block_unref(block_of(pool, 6 * MIB));
    ck_assert_uint_ge(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 6 * MIB);
    return pool;
}

START_TEST(test_budget_in_the_own_pools) {
    sea_pool *pool = keep_all();
    sea_block *block = end_block(&ends.a, 6 * MIB, 1);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_REFUSALS], 0);
    sea_block_unref(block);
    sea_pool_free(pool);
}
END_TEST

/* The machine's memory is short: the first attempt notices, and the pool's free memory goes. */
START_TEST(test_memory_of_the_machine_in_the_own_pools) {
    sea_pool *pool = keep_all();
    sea_block *block = NULL;
    fail_call(INJECT_MEMFD_CREATE, 1, 2, ENOMEM); /* once with one pool's free memory, and once without any */
    int r = sea_block_new(&block, ends.a.conn, MIB);
    fail_off();
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_REFUSALS], 0);
    sea_block_unref(block);
    sea_pool_free(pool);
}
END_TEST

/* A peer with a limit no larger than the pool's share gets a sealed block, of memory that the connection's pools
 * keep. */
START_TEST(test_free_pool_memory_for_a_sealed_block) {
    sea_pool *pool = keep_all();
    sea_pool *small = pool_of(&(sea_pool_options){.bytes_max = MIB});
    sea_block *block = block_of(small, 6 * MIB);
    ck_assert_int_eq(sea_block_class(block), SEA_SEALED);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_REFUSALS], 0);
    sea_block_unref(block);
    sea_pool_free(small);
    sea_pool_free(pool);
}
END_TEST

/* Memory that belongs to other threads goes in the next turns of their connections; these are woken, but not at each
 * attempt. */
START_TEST(test_memory_in_pools_of_other_threads) {
    static const size_t size = 6 * MIB;
    sea_pool *pool = keep_all();
    _Atomic int *is_told = &ends.a.conn->lane.remote->account->member.trim;
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, size, 0), -EDQUOT);
    ck_assert(atomic_load(is_told));
    ck_assert_uint_ge(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], size);
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 0);
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, size, 0), 0);
    ends.a.ctx->next_trim = UINT64_MAX;
    sea_block *none = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&none, ends.a.ctx, size, 0), -EDQUOT);
    ck_assert(!atomic_load(is_told));
    ends.a.ctx->next_trim = 0;
    ck_assert_int_eq(sea_block_new_sealed(&none, ends.a.ctx, size, 0), -EDQUOT);
    ck_assert(!atomic_load(is_told)); /* it keeps no memory */
    sea_block_unref(block_of(pool, 4096));
    ck_assert_int_eq(sea_block_new_sealed(&none, ends.a.ctx, size, 0), -EDQUOT);
    ck_assert_int_eq(atomic_load(is_told), TRIM_FREE);
    ck_assert_uint_gt(ends.a.ctx->next_trim, wait_now());
    ck_assert_ptr_null(none);
    sea_block_unref(block);
    sea_pool_free(pool);
}
END_TEST

/* A shortage elsewhere takes free memory, but no reserved memory. */
START_TEST(test_reserved_memory_of_other_threads) {
    sea_pool *pool = sea_conn_pool(ends.a.conn);
    sea_block *block = NULL;
    ck_assert_int_eq(sea_pool_reserve(pool, 65536, 4), 0);
    uint64_t reserved = figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES];
    ck_assert_uint_ge(reserved, 4 * 65536);
    sea_block *out[4];
    for (int i = 0; i < 4; i++)
        out[i] = block_of(pool, 65536);
    sea_block_unref(block_of(pool, 5000)); /* its arena is free, and not reserved */
    ck_assert_uint_gt(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], reserved);
    ends.a.ctx->budget.limit[QUOTA_BYTES] = quota_used(&ends.a.ctx->budget, QUOTA_BYTES);
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, MIB, 0), -EDQUOT);
    ck_assert_int_eq(ends.a.conn->lane.remote->account->member.trim, TRIM_FREE);
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES], reserved);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], reserved);
    for (int i = 0; i < 4; i++)
        sea_block_unref(out[i]);
    sea_ctx_trim(ends.a.ctx);
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES], 0);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
}
END_TEST

/* Memory of other connections makes no room under this peer's own limit. */
START_TEST(test_a_full_share_wakes_no_connection) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.b.options.accept = SEA_INLINE | SEA_POOLED;
    ends.b.options.bytes_max = 4 * MIB;
    ends_open(&ends);
    struct peer *other = peer_new(ends.a.ctx, 1000, NULL, NULL);
    other->account->member.has_memory = true;
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, 5 * MIB), -EMSGSIZE);
    sea_block *first = end_block(&ends.a, 3 * MIB, 1);
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, 3 * MIB), -EDQUOT);
    ck_assert(!other->account->member.trim);
    ends.a.ctx->budget.limit[QUOTA_BYTES] = quota_used(&ends.a.ctx->budget, QUOTA_BYTES);
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, MIB / 2), -EDQUOT);
    ck_assert(other->account->member.trim);
    sea_block_unref(first);
    peer_free(other);
}
END_TEST

/* Long-lived blocks are still there after many rotations, and hold only their own arenas. */
START_TEST(test_long_lives_across_rotations) {
    enum { LONG = 6 };
    sea_pool *pool = sea_conn_pool(ends.a.conn);
    for (int i = 0; i < LONG; i++) {
        lend(end_block(&ends.a, 100 * KIB, i));
        for (int k = 0; k < 8; k++) {
            lend(end_block(&ends.a, 100 * KIB, 99));
            give_back(1);
        }
        sea_pool_rotate(pool);
        ends_settle(&ends);
        ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_GENERATION], (uint64_t) i + 2);
        ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_DRAINING_ACTIVE_BYTES], (uint64_t) (i + 1) * 112 * KIB);
        ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], 0);
        ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_ARENAS], seen_by_b());
        ck_assert_uint_eq(sea_pool_resident(pool), figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES]);
    }
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_OLDEST_GENERATION], 1);
    uint64_t sum = 0;
    for (uint64_t number = 1; number <= LONG; number++) {
        struct pool_figures one;
        ck_assert_int_eq(sea_pool_generation_figures(pool, number, one.of, SEA_POOL_FIGURES), 0);
        ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_ACTIVE_BLOCKS], 1);
        ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_LEASED_BLOCKS], 1);
        ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_ACTIVE_BYTES], 112 * KIB);
        ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_LEASED_BYTES], 112 * KIB);
        ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_ALLOCATED_BYTES], 9 * 112 * KIB);
        ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_RETAINED_BYTES], 0);
        ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_OLDEST_LEASE_BYTES], 100 * KIB);
        ck_assert_uint_eq(sea_pool_generation_resident(pool, number), one.of[SEA_POOL_FIGURE_MAPPED_BYTES]);
        sum += one.of[SEA_POOL_FIGURE_MAPPED_BYTES];
    }
    ck_assert_uint_eq(sum, figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES]);
    struct pool_figures none;
    ck_assert_int_eq(sea_pool_generation_figures(pool, LONG + 1, none.of, SEA_POOL_FIGURES), -ENOENT);
    ck_assert_uint_eq(sea_pool_generation_resident(pool, LONG + 1), 0);
    for (int i = LONG - 1; i >= 0; i--) {
        ck_assert(msg_is_filled(ends.b.kept[i], 100 * KIB, i));
        uint64_t seen = seen_by_b();
        give_back(1);
        ck_assert_uint_lt(seen_by_b(), seen); /* a woke b without a call */
    }
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
    ck_assert_uint_eq(sea_pool_resident(pool), 0);
    ck_assert_uint_gt(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_PEAK_BYTES], 0);
}
END_TEST

START_TEST(test_the_oldest_lease_is_told) {
    sea_pool *pool = pool_of(&lasting);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS], 0);
    lend(block_of(pool, 5000));
    lend(block_of(pool, 70000));
    struct pool_figures figures = figures_of(pool);
    ck_assert_uint_ne(figures.of[SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS], 0);
    ck_assert_uint_eq(figures.of[SEA_POOL_FIGURE_OLDEST_LEASE_BYTES], 5000);
    ck_assert_uint_lt(figures.of[SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS], UINT64_C(3600) * 1000000000);
    ck_assert_uint_eq(figures.of[SEA_POOL_FIGURE_LEASED_BLOCKS], 2);
    ck_assert_uint_eq(figures.of[SEA_POOL_FIGURE_LEASED_BYTES], 5120 + 80 * KIB);
    ck_assert_uint_eq(figures.of[SEA_POOL_FIGURE_ACTIVE_BYTES], figures.of[SEA_POOL_FIGURE_LEASED_BYTES]);
    ck_assert_uint_eq(figures.of[SEA_POOL_FIGURE_ALLOCATED_BYTES], figures.of[SEA_POOL_FIGURE_ACTIVE_BYTES]);
    struct pool_figures one;
    ck_assert_int_eq(sea_pool_generation_figures(pool, 1, one.of, SEA_POOL_FIGURES), 0);
    ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_ALLOCATED_BYTES], figures.of[SEA_POOL_FIGURE_ALLOCATED_BYTES]);
    ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_RETAINED_BYTES], figures.of[SEA_POOL_FIGURE_RETAINED_BYTES]);
    ck_assert_uint_eq(one.of[SEA_POOL_FIGURE_LEASED_BYTES], figures.of[SEA_POOL_FIGURE_LEASED_BYTES]);
    uint64_t aged = one.of[SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS];
    ck_assert_uint_ge(aged, figures.of[SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS]); /* read a little later */
    ck_assert_uint_lt(aged, UINT64_C(3600) * 1000000000);
    give_back(2);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS], 0);
    sea_pool_free(pool);
}
END_TEST

/* A generation begins after this number of bytes, and the free arenas of older ones go; none begins by itself. */
START_TEST(test_rotating_by_bytes) {
    sea_pool *pool = pool_of(&(sea_pool_options){.retained_ms = -1, .rotate_bytes = _i ? MIB : 0});
    for (int i = 0; i < 35; i++) {
        lend(block_of(pool, 100 * KIB));
        give_back(1);
    }
    struct pool_figures figures = figures_of(pool);
    ck_assert_uint_eq(figures.of[SEA_POOL_FIGURE_GENERATION], _i ? 4 : 1);
    ck_assert_uint_gt(figures.of[SEA_POOL_FIGURE_ALLOCATED_BYTES], 3 * MIB);
    ck_assert_uint_lt(figures.of[SEA_POOL_FIGURE_ALLOCATED_BYTES], 4 * MIB);
    sea_pool_free(pool);
}
END_TEST

/* Pools that give back everything by the clock. */
static const sea_pool_options hasty[] = {
    {.retained_ms = 1}, {.retained_ms = -1, .rotate_idle_ms = 1}, {.retained_ms = -1, .rotate_age_ms = 1}};

/* Time alone gives the memory back, on both sides; afterwards neither side wakes up any more. */
START_TEST(test_an_idle_pair) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.a.options.pool = &hasty[_i];
    ends.b.options.pool = &lasting;
    ends_open(&ends);
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1);
    ck_assert_int_eq(sea_conn_prepare(ends.b.conn), -1);
    lend(end_block(&ends.a, 100 * KIB, 1));
    lend(end_block(&ends.a, MIB, 1));
    ck_assert_uint_eq(seen_by_b(), 2);
    give_back(2);
    while (seen_by_b() > 0) {
        if (sea_conn_prepare(ends.a.conn) >= 0)
            end_turn_at_deadline(&ends.a);
        ends_settle(&ends);
    }
    ck_assert_uint_eq(figures_of(sea_conn_pool(ends.a.conn)).of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
    ck_assert_uint_eq(
        end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES] + end_figures(&ends.a).of[SEA_FIGURE_RETAINED_BYTES], 0);
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1);
    ck_assert_int_eq(sea_conn_prepare(ends.b.conn), -1);
}
END_TEST

/* The blocks come back only after both sides have gone to sleep. */
START_TEST(test_blocks_that_come_back_late) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.a.options.pool = &hasty[0];
    ends_open(&ends);
    lend(end_block(&ends.a, MIB, 1));
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1); /* no arena is free */
    ck_assert(ends.a.conn->lane.doorbell.wants & DOORBELL_RELEASES);
    uint64_t rung = end_figures(&ends.b).of[SEA_FIGURE_DOORBELLS];
    sea_msg_release(ends.b.kept[--ends.b.kept_count]);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_DOORBELLS], rung + 1);
    ends_settle(&ends);
    while (figures_of(sea_conn_pool(ends.a.conn)).of[SEA_POOL_FIGURE_MAPPED_BYTES] > 0)
        end_turn_at_deadline(&ends.a);
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1);
}
END_TEST

START_TEST(test_the_process_totals) {
    sea_block *block = end_block(&ends.a, MIB, 1);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], MIB);
    lend(block);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_RETAINED_BYTES], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ACTIVE_BYTES], MIB);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_ARENA_BYTES], MIB);
    give_back(1);
    lend(end_block(&ends.a, 100 * KIB, 1)); /* the sending side finds b's releases */
    struct figures figures = end_figures(&ends.a);
    ck_assert_uint_ge(figures.of[SEA_FIGURE_RETAINED_BYTES], MIB);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_ACTIVE_BYTES], 112 * KIB);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_ACTIVE_BYTES] + figures.of[SEA_FIGURE_RETAINED_BYTES],
                      figures.of[SEA_FIGURE_ARENA_BYTES]);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BUDGET_USED_BYTES],
                      figures.of[SEA_FIGURE_ARENA_BYTES] + figures.of[SEA_FIGURE_OUTBOX_BYTES]);
    give_back(1);
    sea_pool_rotate(sea_conn_pool(ends.a.conn));
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_ARENA_BYTES], 0);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_ARENA_PEAK_BYTES],
                      figures.of[SEA_FIGURE_ARENA_BYTES]);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_BUDGET_PEAK_BYTES],
                      figures.of[SEA_FIGURE_ARENA_BYTES] + figures.of[SEA_FIGURE_OUTBOX_BYTES]);
}
END_TEST

/* The kernel's counts are a little late, for each CPU. */
START_TEST(test_the_process_is_resident) {
    uint64_t resident = sea_ctx_resident(ends.a.ctx);
    if (resident == UINT64_MAX)
        test_skip("/proc/self/status cannot be read");
    sea_block *block = end_block(&ends.a, 8 * MIB, 1);
    ck_assert_uint_ge(sea_ctx_resident(ends.a.ctx), resident + 4 * MIB);
    sea_block_unref(block);
}
END_TEST

static struct conn_figures conn_figures(const struct end *end) {
    struct conn_figures figures;
    sea_conn_figures(end->conn, figures.of, SEA_CONN_FIGURES);
    return figures;
}

/* The totals of all pools, and for each side the memory that the other side makes it hold. */
START_TEST(test_a_connection_totals) {
    sea_pool *pool = pool_of(&lasting);
    sea_block *kept = block_of(pool, 5000), *small = block_of(pool, 100);
    lend(end_block(&ends.a, MIB, 1));
    for (uint64_t began = wait_now_coarse(); wait_now_coarse() == began;)
        sched_yield(); /* so that one lease is the older */
    lend(sealed_block(20000));
    struct pool_figures own = figures_of(sea_conn_pool(ends.a.conn)), other = figures_of(pool);
    struct conn_figures a = conn_figures(&ends.a), b = conn_figures(&ends.b);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_MAPPED_BYTES], end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES]);
    ck_assert_uint_gt(a.of[SEA_CONN_FIGURE_MAPPED_BYTES],
                      own.of[SEA_POOL_FIGURE_MAPPED_BYTES] +
                          other.of[SEA_POOL_FIGURE_MAPPED_BYTES]); /* and private memory */
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_MAPPED_PEAK_BYTES], a.of[SEA_CONN_FIGURE_MAPPED_BYTES]);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_ACTIVE_BYTES] + a.of[SEA_CONN_FIGURE_RETAINED_BYTES],
                      a.of[SEA_CONN_FIGURE_MAPPED_BYTES]);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_ALLOCATED_BYTES], a.of[SEA_CONN_FIGURE_ACTIVE_BYTES]);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_LEASED_BLOCKS], 2);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_OLDEST_LEASE_BYTES], MIB);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_QUOTA_USED_BLOCKS], 2);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_QUOTA_USED_BYTES], MIB + 20000);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_QUOTA_LIMIT_BLOCKS], ends.a.ctx->peer_limits.blocks);
    ck_assert_uint_eq(a.of[SEA_CONN_FIGURE_USER_QUOTA_USED_BYTES], MIB + 20000);
    ck_assert_uint_eq(b.of[SEA_CONN_FIGURE_IMPORTED_ARENA_BYTES],
                      own.of[SEA_POOL_FIGURE_MAPPED_BYTES]); /* the other pool's arena was never sent */
    ck_assert_uint_eq(b.of[SEA_CONN_FIGURE_MAPPED_BYTES] + a.of[SEA_CONN_FIGURE_IMPORTED_ARENA_BYTES], 0);
    ck_assert_uint_eq(b.of[SEA_CONN_FIGURE_QUOTA_USED_BYTES], own.of[SEA_POOL_FIGURE_MAPPED_BYTES] + 20000);
    sea_msg_release(ends.b.kept[0]); /* the arena's message; the sealed block stays */
    ends.b.kept[0] = ends.b.kept[--ends.b.kept_count];
    ends_settle(&ends);
    ck_assert_uint_eq(conn_figures(&ends.a).of[SEA_CONN_FIGURE_OLDEST_LEASE_BYTES], 20000);
    give_back(1);
    sea_block_unref(kept);
    sea_block_unref(small);
    sea_pool_free(pool);
    sea_ctx_trim(ends.a.ctx);
    sea_pool_rotate(sea_conn_pool(ends.a.conn));
    ends_settle(&ends);
    ck_assert_uint_eq(conn_figures(&ends.a).of[SEA_CONN_FIGURE_MAPPED_BYTES],
                      end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES]);
    ck_assert_uint_lt(conn_figures(&ends.a).of[SEA_CONN_FIGURE_MAPPED_BYTES], own.of[SEA_POOL_FIGURE_MAPPED_BYTES]);
    ck_assert_uint_eq(conn_figures(&ends.a).of[SEA_CONN_FIGURE_MAPPED_PEAK_BYTES], a.of[SEA_CONN_FIGURE_MAPPED_BYTES]);
    ck_assert_uint_eq(conn_figures(&ends.a).of[SEA_CONN_FIGURE_QUOTA_PEAK_BLOCKS], 2);
    ck_assert_uint_eq(conn_figures(&ends.a).of[SEA_CONN_FIGURE_OLDEST_LEASE_NANOSECONDS], 0);
    ck_assert_uint_eq(conn_figures(&ends.b).of[SEA_CONN_FIGURE_IMPORTED_ARENA_BYTES], 0);
    ck_assert_uint_eq(conn_figures(&ends.b).of[SEA_CONN_FIGURE_QUOTA_PEAK_BYTES],
                      own.of[SEA_POOL_FIGURE_MAPPED_BYTES] + 20000);
}
END_TEST

/* A connection that has ended reports nothing more, even before it is freed. */
START_TEST(test_a_connection_that_ended_holds_nothing) {
    lend(end_block(&ends.a, MIB, 1));
    sea_block *kept = end_block(&ends.a, MIB, 1);
    give_back(1);
    lend(end_block(&ends.a, 100 * KIB, 1));
    ck_assert_uint_gt(end_figures(&ends.a).of[SEA_FIGURE_RETAINED_BYTES], 0);
    end_free_conn(&ends.b);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.closed, 1);
    ck_assert_uint_eq(
        end_figures(&ends.a).of[SEA_FIGURE_RETAINED_BYTES] + end_figures(&ends.a).of[SEA_FIGURE_ACTIVE_BYTES], 0);
    sea_block_unref(kept);
}
END_TEST

/* A retirement that finds no room in the ring, or in the socket, waits for room. */
START_TEST(test_retiring_through_a_full_ring) {
    lend(end_block(&ends.a, MIB, 1));
    give_back(1);
    char bytes[200] = "";
    int r = 0;
    while (r == 0)
        r = _i ? sea_send_bytes(ends.a.conn, END_KEEP, bytes, sizeof bytes, 0)
               : sea_send(ends.a.conn, END_KEEP, sealed_block(10), 0);
    ck_assert_int_eq(r, -EAGAIN);
    while (_i && sea_send_bytes(ends.a.conn, END_KEEP, NULL, 0, 0) == 0)
        continue; /* up to the last line */
    sea_pool_rotate(sea_conn_pool(ends.a.conn));
    /* on this side the arena is gone */
    ck_assert_uint_eq(figures_of(sea_conn_pool(ends.a.conn)).of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
    ck_assert_uint_eq(ends.a.conn->lane.remote->pools.retired_count, 1);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.conn->lane.remote->pools.retired_count, 0);
    end_drop(&ends.b);
    ends_settle(&ends);
    ck_assert_uint_eq(quota_used(&ends.b.conn->lane.remote->account->quota, QUOTA_FDS), 0);
    ck_assert(sea_conn_is_open(ends.a.conn) && sea_conn_is_open(ends.b.conn));
}
END_TEST

/* A lie of b harms only b: leases that it never gives back hold their arenas, and nothing else. */
START_TEST(test_a_peer_that_gives_nothing_back) {
    sea_pool *pool = sea_conn_pool(ends.a.conn);
    for (int i = 0; i < 50; i++) {
        if (i % 10 == 0)
            lend(end_block(&ends.a, 200 * KIB, 1));
        lend(end_block(&ends.a, 200 * KIB, 2));
        give_back(1);
        sea_pool_rotate(pool);
        ck_assert_uint_le(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 6 * MIB);
    }
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_LEASED_BLOCKS], 5);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_DRAINING_ACTIVE_BYTES],
                      figures_of(pool).of[SEA_POOL_FIGURE_ACTIVE_BYTES]);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_OLDEST_GENERATION], 1);
    give_back(5);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
}
END_TEST

/* A lie is found when the releases are read before sleeping: the connection must not go to sleep. */
START_TEST(test_a_lie_before_sleeping) {
    lend(end_block(&ends.a, MIB, 1));
    release_write(&ends.b.conn->lane.releases_out, handle_make(7, 1, 1));
    ck_assert(!lane_prepare_sleep(&ends.a.conn->lane));
    ends_settle(&ends);
    ck_assert_int_eq(ends.a.event.reason, -EPROTO);
    ck_assert_uint_eq(ends.a.event.reclaimed_blocks, 1);
}
END_TEST

/* Reading a pool's figures also reads the releases, and a message may be waiting for these: the room event must not
 * be lost. */
START_TEST(test_room_that_is_seen_by_the_way) {
    static const sea_pool_options options = {.retained_ms = -1};
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.a.options.pool = &options;
    ends.b.options.blocks_max = 1;
    ends_open(&ends);
    lend(end_block(&ends.a, MIB, 1));
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, MIB, 1), 0), -EAGAIN);
    sea_msg_release(ends.b.kept[--ends.b.kept_count]);
    if (_i == 0)
        figures_of(sea_conn_pool(ends.a.conn));
    else
        lane_prepare_sleep(&ends.a.conn->lane);
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), 0);
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_uint_eq(ends.a.rooms, 1);
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1);
}
END_TEST

/* --- pools, freed or with a connection that ends --- */

START_TEST(test_a_freed_pool_goes_with_its_blocks) {
    sea_pool *pool = pool_of(&lasting);
    lend(block_of(pool, 5000));
    sea_block *kept = block_of(pool, 100 * KIB);
    sea_pool_free(pool);
    ends_settle(&ends);
    ck_assert_uint_eq(seen_by_b(), 1);
    memset(sea_block_data(kept), 8, 100 * KIB);
    lend(kept); /* the block can still be sent */
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_FALLBACKS], 0);
    ck_assert_uint_eq(seen_by_b(), 2);
    give_back(2);
    ck_assert_uint_eq(seen_by_b(), 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], 0);
    ck_assert_ptr_eq(ends.a.conn->lane.remote->pools.all, sea_conn_pool(ends.a.conn));
}
END_TEST

START_TEST(test_a_pool_outlives_its_connection) {
    sea_pool *pool = pool_of(&lasting), *freed = pool_of(&lasting);
    sea_block *kept = block_of(pool, 5000), *other = block_of(freed, 5000), *none = NULL;
    sea_pool_free(freed);
    end_free_conn(&ends.a);
    ck_assert_int_eq(sea_pool_block(&none, pool, 5000), -EPIPE);
    sea_pool_rotate(pool);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES] + sea_pool_resident(pool), 0);
    ck_assert_uint_gt(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], 0);
    sea_block_unref(kept);
    sea_block_unref(other);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], 0);
    sea_pool_free(pool);
}
END_TEST

/* The peer dies while it holds leases on draining generations, and on a pool that was freed. */
START_TEST(test_death_while_draining) {
    sea_pool *pool = pool_of(&lasting);
    for (int i = 0; i < 5; i++) {
        lend(end_block(&ends.a, 100 * KIB, 1));
        lend(block_of(pool, 5000));
        sea_pool_rotate(i % 2 ? pool : sea_conn_pool(ends.a.conn));
    }
    sea_block *kept = block_of(pool, MIB);
    sea_pool_free(pool);
    end_free_conn(&ends.b);
    end_settle(&ends.a);
    ck_assert_uint_eq(ends.a.closed, 1);
    ck_assert_uint_eq(ends.a.event.reclaimed_blocks, 10);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], MIB); /* the arena of the block that we hold */
    memset(sea_block_data(kept), 1, MIB);
    sea_block_unref(kept);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], 0);
}
END_TEST

/* --- copies --- */

START_TEST(test_moving_on_to_a_copy) {
    sea_pool *pool = pool_of(&lasting);
    sea_block *block = block_of(pool, 5000), *copy = NULL;
    lend(sea_block_ref(block));
    sea_pool_rotate(pool);
    ck_assert_int_eq(sea_pool_copy(&copy, pool, block), 0);
    ck_assert_ptr_ne(copy->slot->arena, block->slot->arena);
    ck_assert(!sea_block_is_sealed(copy));
    ck_assert_int_eq(memcmp(sea_block_view(copy), sea_block_view(block), 5000), 0);
    sea_block_unref(block);
    give_back(1);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_DRAINING_ARENAS], 0);
    lend(copy);
    ck_assert(msg_is_filled(ends.b.kept[0], 5000, 7));
    give_back(1);
    sea_pool_free(pool);
}
END_TEST

/* A receiver copies an arrived payload to private memory: the sender's block is free. */
START_TEST(test_keeping_a_copy) {
    sea_pool *kept = NULL;
    sea_block *copy = NULL;
    ck_assert_int_eq(sea_pool_new(&kept, ends.b.conn, &lasting), 0);
    lend(end_block(&ends.a, 100 * KIB, 9));
    ck_assert_int_eq(sea_pool_copy(&copy, kept, sea_msg_block(ends.b.kept[0])), 0);
    give_back(1);
    sea_pool_rotate(sea_conn_pool(ends.a.conn));
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_settle(&ends);
    ck_assert_uint_eq(seen_by_b(), 0);
    ck_assert_int_eq(*(const char *) sea_block_view(copy), 9);
    sea_block_unref(copy);
    sea_pool_free(kept);
}
END_TEST

/* --- loops that wait --- */

#if WITH_UV

static void close_handle(uv_handle_t *handle, void *user) {
    (void) user;
    ck_abort_msg("a handle of type %d was left", (int) handle->type);
}

static void on_reply(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) conn;
    ck_assert_int_eq(status, 0);
    sea_msg_release(reply);
    *(bool *) user = true;
}

static void on_echo(sea_msg *msg, void *user) {
    sea_block *block = NULL;
    (void) user;
    ck_assert_int_eq(sea_block_new(&block, sea_msg_conn(msg), MIB), 0);
    sea_reply(msg, block);
}

/* Once everything is given back, a loop waits without end. */
START_TEST(test_an_idle_loop) {
    static const sea_method methods[] = {{.number = 1, .name = "echo", .handler = on_echo}};
    const sea_options options = {SEA_METHODS(methods), .pool = &hasty[_i]};
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    sea_conn *conn = NULL;
    uv_loop_t loop;
    bool is_done = false;
    char address[160];
    struct figures figures;
    snprintf(address, sizeof address, "unix:%s", raw_name());
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(sea_uv_server_new(&server, ctx, &loop, address, &options), 0);
    ck_assert_int_eq(sea_uv_connect(&conn, ctx, &loop, address, &options), 0);
    while (!sea_conn_is_open(conn))
        uv_run(&loop, UV_RUN_ONCE);
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, conn, MIB), 0);
    ck_assert_int_eq(sea_call_start(conn, 1, block, -1, on_reply, &is_done, NULL), 0);
    do {
        uv_run(&loop, UV_RUN_ONCE);
        sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    } while (!is_done || figures.of[SEA_FIGURE_ARENA_BYTES] > 0);
    struct pollfd backend = {.fd = uv_backend_fd(&loop), .events = POLLIN};
    do
        uv_run(&loop, UV_RUN_NOWAIT);
    while (uv_backend_timeout(&loop) != -1 || poll(&backend, 1, 0) > 0);
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    uint64_t doorbells = figures.of[SEA_FIGURE_DOORBELLS];
    ck_assert_int_eq(poll(&backend, 1, 30), 0);
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_DOORBELLS], doorbells);
    sea_conn_free(conn);
    sea_server_free(server);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_walk(&loop, close_handle, NULL);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    sea_ctx_unref(ctx);
}
END_TEST

#else

START_TEST(test_an_idle_loop) {
    test_skip("this build has no libuv");
}
END_TEST

#endif

/* --- other threads: a server that sleeps, in its own loop (0) or on libuv (1) --- */

enum { LOOPS = 2, GIVE = 1, HOARD = 2 };

static struct host host;
static _Atomic(sea_block *) hoard;

static void on_give(sea_msg *msg, void *user) {
    sea_block *block = NULL;
    (void) user;
    ck_assert_int_eq(sea_block_new(&block, sea_msg_conn(msg), MIB), 0);
    sea_reply(msg, block);
}

/* Keeps a block of a draining generation. */
static void on_hoard(sea_msg *msg, void *user) {
    sea_block *block = NULL;
    sea_pool *pool = sea_conn_pool(sea_msg_conn(msg));
    (void) user;
    ck_assert_int_eq(sea_block_new(&block, sea_msg_conn(msg), MIB), 0);
    sea_pool_rotate(pool);
    sea_reply(msg, NULL);
    atomic_store(&hoard, block);
}

static const sea_method giving[] = {{.number = GIVE, .name = "give", .handler = on_give},
                                    {.number = HOARD, .name = "hoard", .handler = on_hoard}};

#if WITH_UV

static struct {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    sea_ctx *ctx;
    sea_server *server;
} looped;

static void on_stop(uv_async_t *stop) {
    sea_server_free(looped.server);
    uv_close((uv_handle_t *) stop, NULL);
}

static void *loop_run(void *arg) {
    uv_run(&looped.loop, UV_RUN_DEFAULT);
    return arg;
}

static void loop_start(void) {
    snprintf(host.address, sizeof host.address, "unix:%s", raw_name());
    ck_assert_int_eq(sea_ctx_new(&host.ctx, NULL), 0);
    ck_assert_int_eq(uv_loop_init(&looped.loop), 0);
    ck_assert_int_eq(uv_async_init(&looped.loop, &looped.stop, on_stop), 0);
    ck_assert_int_eq(sea_uv_server_new(&looped.server, host.ctx, &looped.loop, host.address, &host.options), 0);
    ck_assert_int_eq(pthread_create(&looped.thread, NULL, loop_run, NULL), 0);
}

static void loop_end(void) {
    uv_async_send(&looped.stop);
    ck_assert_int_eq(pthread_join(looped.thread, NULL), 0);
    ck_assert_int_eq(uv_loop_close(&looped.loop), 0);
    sea_ctx_unref(host.ctx);
}

/* libuv's own descriptors stay open from its first loop on. */
static bool prepare_uv(void) {
    uv_loop_t loop;
    return uv_loop_init(&loop) == 0 && uv_loop_close(&loop) == 0;
}

#else

static void loop_start(void) {
    test_skip("this build has no libuv");
}

static void loop_end(void) {}

static bool prepare_uv(void) {
    return true;
}

#endif

static sea_conn *served_by(int loop) {
    sea_conn *conn = NULL;
    memset(&host, 0, sizeof host);
    host.options.methods = giving;
    host.options.methods_count = 2;
    host.options.method_size = sizeof *giving;
    host.options.pool = &lasting;
    if (loop == 0)
        host_start(&host);
    else
        loop_start();
    ck_assert_int_eq(sea_connect(&conn, ends.a.ctx, host.address, NULL), 0);
    return conn;
}

static void serve_no_more(int loop, sea_conn *conn) {
    sea_conn_free(conn);
    if (loop == 0)
        host_stop(&host);
    else
        loop_end();
}

START_TEST(test_trimming_from_elsewhere) {
    sea_conn *conn = served_by(_i);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call(conn, GIVE, NULL, 60000, &reply), 0);
    sea_msg_release(reply);
    ck_assert_uint_eq(host_figures(&host).of[SEA_FIGURE_ARENA_BYTES], MIB);
    sea_ctx_trim(host.ctx);
    wait_until(host_figures(&host).of[SEA_FIGURE_ARENA_BYTES] == 0);
    uint64_t doorbells = host_figures(&host).of[SEA_FIGURE_DOORBELLS];
    for (int i = 0; i < 100; i++)
        sea_ctx_trim(host.ctx); /* no memory is left, so the server is not woken */
    ck_assert_uint_eq(host_figures(&host).of[SEA_FIGURE_DOORBELLS], doorbells);
    serve_no_more(_i, conn);
}
END_TEST

/* Another thread drops the last block of a generation while its owner sleeps. */
START_TEST(test_put_from_elsewhere) {
    sea_conn *conn = served_by(_i);
    for (int i = 0; i < 20; i++) {
        sea_msg *reply = NULL;
        ck_assert_int_eq(sea_call(conn, HOARD, NULL, 60000, &reply), 0);
        sea_msg_release(reply);
        wait_until(atomic_load(&hoard));
        ck_assert_uint_eq(host_figures(&host).of[SEA_FIGURE_ARENA_BYTES], MIB);
        sea_block_unref(atomic_exchange(&hoard, NULL));
        wait_until(host_figures(&host).of[SEA_FIGURE_ARENA_BYTES] == 0);
    }
    serve_no_more(_i, conn);
}
END_TEST

/* Connections without outboxes have no pooled blocks, but they have a receive buffer. */
START_TEST(test_trimming_a_socket) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.a.options.socket_only = true;
    ends_open(&ends);
    ck_assert_ptr_nonnull(ends.a.ctx->scratch);
    sea_ctx_trim(ends.a.ctx);
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_ptr_null(ends.a.ctx->scratch);
    ctx_return_scratch(ends.a.ctx, ctx_lend_scratch(ends.a.ctx, LANE_SCRATCH_SIZE));
    sea_conn_dispatch(ends.a.conn, 0); /* one turn is enough */
    ck_assert_ptr_nonnull(ends.a.ctx->scratch);
    sea_pool *pool = pool_of(&lasting);
    sea_block *block = block_of(pool, 100 * KIB); /* sealed, because there is no other way */
    ck_assert_int_eq(sea_block_class(block), SEA_SEALED);
    sea_block_unref(block);
    sea_pool_rotate(pool);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
    sea_pool_free(pool);
}
END_TEST

/* An idle connection with blocking functions trims in its next turn. */
START_TEST(test_trimming_an_idle_connection) {
    lend(end_block(&ends.a, MIB, 1));
    give_back(1);
    sea_ctx_trim(ends.a.ctx);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], MIB);
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES], 0);
    ends_settle(&ends);
    ck_assert_uint_eq(seen_by_b(), 0);
    sea_ctx *nobody = NULL;
    ck_assert_int_eq(sea_ctx_new(&nobody, NULL), 0);
    sea_ctx_trim(nobody);
    sea_ctx_unref(nobody);
}
END_TEST

/* Returns how many kinds of spare objects a connection keeps. */
static unsigned kept_by(const struct end *end) {
    const struct peer *remote = end->conn->lane.remote;
    const void *const tables[] = {
        end->conn->spares.first,        end->conn->calls.slots.slots,         end->conn->lane.releases,
        remote->account->imports.heads, remote->views.table.ids.entries,      remote->pools.retired,
        remote->leases.slots.slots,     remote->pools.audience.table.entries,
    };
    unsigned count = 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        count += tables[i] != NULL;
    return count;
}

static void trim_both(void) {
    sea_ctx_trim(ends.a.ctx);
    sea_ctx_trim(ends.b.ctx);
    ends_settle(&ends);
}

/* Each side calls, lends pooled and sealed payloads, and releases everything again. */
static void exchange(uint64_t *ret_id) {
    for (int i = 0; i < 2; i++) {
        struct end *end = i ? &ends.a : &ends.b;
        ck_assert_int_eq(end_call(end, END_ECHO, end_block(end, MIB, 1), -1, 0, ret_id), 0);
        sea_block *block = NULL;
        ck_assert_int_eq(sea_block_new_sealed(&block, end->ctx, 1000, 0), 0);
        ck_assert_int_eq(end_call(end, END_ECHO, block, -1, 1, NULL), 0);
        ends_settle(&ends);
        ck_assert_uint_eq(end->outcomes_count, 2);
        end_drop(end);
        ends_settle(&ends);
    }
}

/* Idle memory goes, memory in use stays, and the connection works as a new one does. */
START_TEST(test_trimming_all_that_is_kept) {
    uint64_t id = 0, later = 0;
    exchange(&id);
    ck_assert_uint_eq(kept_by(&ends.a), 8);
    ck_assert_uint_eq(kept_by(&ends.b), 8);
    trim_both();
    trim_both(); /* by now each side knows that the other side's arenas are gone */
    ck_assert_uint_eq(kept_by(&ends.a), 0);
    ck_assert_uint_eq(kept_by(&ends.b), 0);
    lend(end_block(&ends.a, MIB, 1));
    lend(sealed_block(1000));
    trim_both();
    ck_assert_ptr_nonnull(ends.a.conn->lane.remote->leases.slots.slots);
    ck_assert_ptr_nonnull(ends.b.conn->lane.remote->account->imports.heads);
    ck_assert(msg_is_filled(ends.b.kept[0], MIB, 1));
    give_back(2);
    exchange(&later);
    ck_assert_uint_ne(id, later);
    trim_both();
    trim_both();
    ck_assert_uint_eq(kept_by(&ends.a) + kept_by(&ends.b), 0);
}
END_TEST

/* --- reserved memory --- */

static void reopen(const sea_pool_options *own, uint64_t bytes_max) {
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends.a.options.pool = own;
    ends.b.options.bytes_max = bytes_max;
    ends_open(&ends);
}

static const size_t reserved_sizes[][2] = {{5000, 100}, {200 * KIB, 20}, {5 * MIB, 3}, {MIB, 1}};

/* Blocks are taken, given back and taken again, one at a time and all together, and no memory is made for them. */
START_TEST(test_reserved_blocks_are_there) {
    enum { COUNT_MAX = 100 };
    size_t size = reserved_sizes[_i][0], count = reserved_sizes[_i][1];
    sea_block *blocks[COUNT_MAX];
    sea_pool *pool = pool_of(&lasting);
    ck_assert_int_eq(sea_pool_reserve(pool, size, (uint32_t) count), 0);
    ck_assert_uint_ge(figures_of(pool).of[SEA_POOL_FIGURE_RETAINED_BYTES], size * count);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES],
                      figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES]);
    ck_assert_int_eq(sea_pool_reserve(pool, size, (uint32_t) count), 0);
    fail_call(INJECT_MEMFD_CREATE, 0, 0, 0);
    for (int i = 0; i < COUNT_MAX; i++)
        sea_block_unref(block_of(pool, size));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++)
            blocks[i] = block_of(pool, size);
        for (size_t i = 0; i < count; i++)
            sea_block_unref(blocks[i]);
    }
    ck_assert_int_eq(fail_calls(INJECT_MEMFD_CREATE), 0);
    fail_off();
    sea_pool_free(pool);
}
END_TEST

/* Reserved memory stays when the clock, another pool, or the limit of kept memory demands memory; and no side wakes
 * up for it. */
START_TEST(test_reserved_blocks_stay) {
    static const sea_pool_options stingy = {.retained_ms = 1, .retained_max = MIB};
    reopen(&stingy, 16 * MIB);
    sea_pool *pool = sea_conn_pool(ends.a.conn);
    ck_assert_int_eq(sea_pool_reserve(pool, 2 * MIB, 2), 0);
    uint64_t reserved = figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES];
    ck_assert_uint_ge(reserved, 4 * MIB);
    lend(block_of(pool, 100 * KIB)); /* this arena is not reserved */
    lend(block_of(pool, 2 * MIB));
    ck_assert_uint_gt(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], reserved);
    give_back(2);
    while (sea_conn_prepare(ends.a.conn) >= 0)
        end_turn_at_deadline(&ends.a);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], reserved);
    sea_pool *other = pool_of(&lasting);
    sea_block *block = block_of(other, 14 * MIB);
    ck_assert_int_eq(sea_block_class(block), SEA_SEALED);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], reserved);
    lend(block_of(pool, 2 * MIB));
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1);
    ck_assert(!(ends.a.conn->lane.doorbell.wants & DOORBELL_RELEASES));
    give_back(1);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], reserved);
    sea_block_unref(block);
    sea_pool_free(other);
}
END_TEST

/* A block that is out meanwhile keeps its arena. */
START_TEST(test_ends_of_a_reservation) {
    sea_pool *pool = sea_conn_pool(ends.a.conn);
    ck_assert_int_eq(sea_pool_reserve(pool, 8 * MIB, 3), 0);
    sea_block *block = block_of(pool, 8 * MIB);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 24 * MIB);
    if (_i == 0)
        sea_pool_rotate(pool);
    else
        sea_ctx_trim(ends.a.ctx);
    ends_settle(&ends);
    sea_conn_wait(ends.a.conn, 0);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 8 * MIB);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES], 0);
    sea_block_unref(block);
    if (_i == 0)
        ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES], 0);
    ck_assert_int_eq(sea_pool_reserve(pool, 8 * MIB, 1), 0);
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES], 8 * MIB);
}
END_TEST

/* There is no room for the blocks over which the pool would rotate: it works without them. */
START_TEST(test_a_reservation_of_all_there_may_be) {
    sea_pool *pool = pool_of(&(sea_pool_options){.bytes_max = 2 * MIB});
    ck_assert_int_eq(sea_pool_reserve(pool, MIB, 2), 0);
    fail_call(INJECT_MEMFD_CREATE, 0, 0, 0);
    sea_block *first = block_of(pool, MIB);
    for (int i = 0; i < 10; i++)
        sea_block_unref(block_of(pool, MIB));
    ck_assert_int_eq(fail_calls(INJECT_MEMFD_CREATE), 0);
    fail_off();
    sea_block_unref(first);
    sea_pool_free(pool);
}
END_TEST

START_TEST(test_reservations_that_are_refused) {
    sea_refusal refusal;
    sea_pool *pool = pool_of(&(sea_pool_options){.bytes_max = 20 * MIB});
    ck_assert_int_eq(sea_pool_reserve(pool, 8 * MIB, 3), -EDQUOT);
    sea_ctx_refusal(ends.a.ctx, &refusal, sizeof(refusal));
    ck_assert_str_eq(refusal.limit, "pool's bytes_max");
    ck_assert_uint_eq(refusal.available, 4 * MIB);
    /* the amount that could be made */
    ck_assert_uint_eq(figures_of(pool).of[SEA_POOL_FIGURE_RESERVED_BYTES], 16 * MIB);
    fail_always(INJECT_MEMFD_CREATE, EMFILE);
    ck_assert_int_eq(sea_pool_reserve(pool, 2 * MIB, 1), -EMFILE);
    fail_off();
    sea_ctx_refusal(ends.a.ctx, &refusal, sizeof(refusal));
    ck_assert_str_eq(refusal.limit, "RLIMIT_NOFILE");
    ck_assert_int_eq(sea_pool_reserve(pool, 10, 1), -EOPNOTSUPP); /* inline */
    ck_assert_int_eq(sea_pool_reserve(pool, SIZE_MAX, 1), -EMSGSIZE);
    end_free_conn(&ends.b);
    ends_settle(&ends);
    ck_assert_int_eq(sea_pool_reserve(pool, 2 * MIB, 1), -EPIPE);
    sea_pool_free(pool);
    ends_deinit(&ends);
    memset(&ends, 0, sizeof ends);
    ends_init(&ends);
    ck_assert_int_eq(sea_pool_reserve(sea_conn_pool(ends.a.conn), MIB, 1), -EAGAIN);
}
END_TEST

/* --- distance --- */

/* The samples of a connection, as if the peer were so far. */
static void move_to(uint64_t ns) {
    struct lane *lane = &ends.a.conn->lane;
    bool is_changed = false;
    for (int i = 0; i < DISTANCE_SAMPLES; i++)
        is_changed |= distance_note(&lane->distance, ns);
    ck_assert(is_changed);
    lane_choose_footprint(lane);
}

/* Uses as many blocks as one would cycle over, or more, by turns. This side sleeps meanwhile, and may measure where its
 * peer really is, but neither counts. */
static void send_by_turns(sea_pool *pool) {
    struct lane *lane = &ends.a.conn->lane;
    const struct distance kept = lane->distance;
    for (int i = 0; i < 40; i++) {
        lend(block_of(pool, MIB));
        give_back(1);
        lane->naps = naps_begin(false);
        lane->distance = kept;
        lane_choose_footprint(lane);
    }
}

static uint64_t mapped(sea_pool *pool) {
    return figures_of(pool).of[SEA_POOL_FIGURE_MAPPED_BYTES];
}

static uint64_t conn_figure_of(unsigned figure) {
    uint64_t values[SEA_CONN_FIGURES];
    sea_conn_figures(ends.a.conn, values, SEA_CONN_FIGURES);
    return values[figure];
}

static const uint64_t USUAL = 4 * MIB, FAR = 16 * MIB;

static void begin_with(uint64_t footprint) {
    ends.a.ctx->calibration.reuse_footprint = footprint;
    pools_set_footprint(&ends.a.conn->lane.remote->pools, footprint);
}

/* With a far peer blocks cycle over more memory, of pools that are made later, too. With a near one it goes again. */
START_TEST(test_the_distance_decides_the_footprint) {
    begin_with(USUAL);
    sea_pool *own = sea_conn_pool(ends.a.conn);
    send_by_turns(own);
    ck_assert_uint_eq(mapped(own), USUAL);
    move_to(150);
    ck_assert_uint_eq(conn_figure_of(SEA_CONN_FIGURE_DISTANCE), DISTANCE_FAR);
    ck_assert_uint_eq(conn_figure_of(SEA_CONN_FIGURE_LINE_NANOSECONDS), 150);
    ck_assert_uint_eq(mapped(own), USUAL);
    send_by_turns(own);
    ck_assert_uint_eq(mapped(own), FAR);
    sea_pool *later = pool_of(&lasting);
    send_by_turns(later);
    ck_assert_uint_eq(mapped(later), FAR);
    move_to(25);
    ends_settle(&ends);
    ck_assert_uint_eq(mapped(own) + mapped(later), 2 * FAR); /* for a second */
    end_turn_at_deadline(&ends.a);
    ends_settle(&ends);
    ck_assert_uint_le(mapped(own), USUAL);
    ck_assert_uint_le(mapped(later), USUAL);
    uint64_t kept = mapped(own) + mapped(later);
    send_by_turns(own);
    ck_assert_uint_eq(mapped(own), USUAL);
    ck_assert_uint_le(kept, 2 * USUAL);
    ck_assert_uint_eq(ends.a.conn->lane.remote->pools.surplus_at, WAIT_FOREVER);
    sea_pool_free(later);
}
END_TEST

/* Uses `count` blocks of 4 MiB at a time: they are free memory, beyond the cycle of that size. */
static void use_at_a_time(sea_pool *pool, unsigned count) {
    sea_block *blocks[8];
    for (unsigned i = 0; i < count; i++)
        blocks[i] = block_of(pool, 4 * MIB);
    for (unsigned i = 0; i < count; i++)
        sea_block_unref(blocks[i]);
}

/* A smaller footprint does not touch free memory that was in no cycle, in no pool: the pools' options rule that. */
START_TEST(test_a_smaller_footprint_keeps_other_memory) {
    begin_with(USUAL);
    struct pools *pools = &ends.a.conn->lane.remote->pools;
    sea_pool *own = sea_conn_pool(ends.a.conn), *other = pool_of(&lasting);
    use_at_a_time(own, 8);
    use_at_a_time(other, 8);
    pools_set_footprint(pools, 0);
    end_turn_at_deadline(&ends.a);
    ends_settle(&ends);
    ck_assert_uint_eq(pools->surplus_at, WAIT_FOREVER);
    ck_assert_uint_eq(mapped(own), 8 * 4 * MIB);
    ck_assert_uint_eq(mapped(other), 8 * 4 * MIB);
    sea_pool_free(other);
}
END_TEST

/* However much memory a shorter cycle leaves, in however many pools, a turn gives back what a turn may. */
START_TEST(test_a_shorter_cycle_goes_in_steps) {
    begin_with(FAR);
    struct pools *pools = &ends.a.conn->lane.remote->pools;
    sea_pool *own = sea_conn_pool(ends.a.conn), *other = pool_of(&lasting);
    send_by_turns(own);
    send_by_turns(other);
    uint64_t before = mapped(own) + mapped(other);
    ck_assert_uint_eq(before, 2 * FAR);
    pools_set_footprint(pools, USUAL);
    pools->surplus_at = 1;
    unsigned turns = 0;
    for (; pools->surplus_at != WAIT_FOREVER; turns++) {
        pools_maintain(pools);
        uint64_t after = mapped(own) + mapped(other);
        ck_assert_uint_le(before - after, WORK_PER_TURN + MIB);
        ck_assert_uint_eq(pools->surplus_at != WAIT_FOREVER, pools->deadline <= wait_now());
        before = after;
    }
    ck_assert_uint_gt(turns, 10);
    ck_assert_uint_eq(mapped(own), USUAL);
    ck_assert_uint_eq(mapped(other), USUAL);
    sea_pool_free(other);
}
END_TEST

/* A peer that is far again within the second finds the memory where it was. */
START_TEST(test_a_peer_that_comes_and_goes) {
    begin_with(USUAL);
    sea_pool *own = sea_conn_pool(ends.a.conn);
    move_to(150);
    send_by_turns(own);
    move_to(25);
    send_by_turns(own);
    move_to(150);
    ck_assert_uint_eq(ends.a.conn->lane.remote->pools.surplus_at, WAIT_FOREVER);
    ck_assert_uint_eq(mapped(own), FAR);
}
END_TEST

/* A far peer raises no limit. */
START_TEST(test_limits_of_a_far_footprint) {
    begin_with(USUAL);
    sea_pool *pool = pool_of(&(sea_pool_options){.bytes_max = 6 * MIB, .retained_ms = -1});
    sea_pool *thrifty = pool_of(&(sea_pool_options){.retained_max = 5 * MIB, .retained_ms = -1});
    move_to(150);
    send_by_turns(pool);
    ck_assert_uint_eq(mapped(pool), 6 * MIB);
    send_by_turns(thrifty);
    ck_assert_uint_le(figures_of(thrifty).of[SEA_POOL_FIGURE_RETAINED_BYTES], 6 * MIB);
    sea_pool_free(pool);
    sea_pool_free(thrifty);
}
END_TEST

/* A side that sleeps after each payload uses one block again and again; as soon as it does not sleep, it cycles. */
START_TEST(test_sleeps_decide_the_footprint) {
    begin_with(9 * 128 * KIB);
    begin_with(8 * 128 * KIB);
    ck_assert_uint_eq(ends.a.conn->lane.remote->pools.surplus_at, WAIT_FOREVER); /* without memory nothing is due */
    begin_with(9 * 128 * KIB);
    sea_pool *own = sea_conn_pool(ends.a.conn);
    ends.a.conn->lane.naps = naps_begin(false);
    ck_assert_uint_eq(cycle_of(own, 128 * KIB), 9);
    for (int i = 0; i < NAPS_USUAL; i++) {
        lend(block_of(own, 128 * KIB));
        give_back(1);
    }
    ck_assert(ends.a.conn->lane.naps.are_usual);
    ck_assert_uint_eq(cycle_of(own, 128 * KIB), 1);
    move_to(150); /* nor does a distance change that */
    ck_assert_uint_eq(cycle_of(own, 128 * KIB), 1);
    move_to(30);
    for (int burst = 0; burst < 8; burst++) {
        for (int i = 0; i < 8; i++)
            ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, block_of(own, 128 * KIB), 0), 0);
        ends_settle(&ends);
        give_back(8);
    }
    ck_assert(!ends.a.conn->lane.naps.are_usual);
    ck_assert_uint_eq(cycle_of(own, 128 * KIB), 9);
}
END_TEST

static void make_stock(void) {
    struct stock *stock = &ends.a.ctx->stock;
    struct stock_form form = {.size = 4096};
    struct sealed none;
    while (!stock_is_wanted(stock))
        ck_assert(!stock_take(stock, &form, &none));
    stock_make(stock);
    ck_assert_uint_ne(stock_deadline(stock), WAIT_FOREVER);
}

/* What was made ahead and not used goes in the turn of a connection that waits for nothing, also in one that has a
 * message to take. */
START_TEST(test_a_block_made_ahead_expires_in_a_turn) {
    struct stock *stock = &ends.a.ctx->stock;
    make_stock();
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_uint_ne(stock_deadline(stock), WAIT_FOREVER);
    ck_assert_int_ge(sea_conn_prepare(ends.a.conn), 0);
    atomic_fetch_sub(&stock->made_at, STOCK_KEEP + (uint64_t) 20 * 1000 * 1000); /* the coarse clock may be late */
    if (_i)
        ck_assert_int_eq(sea_send_bytes(ends.b.conn, END_SINK, "\0\0\0", 4, 0), 0);
    sea_conn_dispatch(ends.a.conn, 0);
    ck_assert_int_eq((int) ends.a.sunk, _i);
    ck_assert_uint_eq(stock_deadline(stock), WAIT_FOREVER);
    ck_assert_uint_eq(quota_used(&ends.a.ctx->budget, QUOTA_FDS), 0);
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1);
}
END_TEST

int main(void) {
    if (!prepare_uv())
        return 1;
    struct suite *s = suite_new("pools");
    suite_fixture(s, before, after);
    suite_add(s, test_a_pool_is_another_memory);
    suite_add(s, test_the_footprint_of_reuse);
    suite_add(s, test_options);
    suite_add_loop(s, test_retained_memory_of_a_small_budget, 0, 3);
    suite_add(s, test_a_pool_has_its_share);
    suite_add(s, test_a_share_without_another_way);
    suite_add(s, test_the_peers_limit_is_of_all);
    suite_add(s, test_budget_in_the_own_pools);
    suite_add(s, test_memory_of_the_machine_in_the_own_pools);
    suite_add(s, test_free_pool_memory_for_a_sealed_block);
    suite_add(s, test_memory_in_pools_of_other_threads);
    suite_add(s, test_reserved_memory_of_other_threads);
    suite_add(s, test_a_full_share_wakes_no_connection);
    suite_add(s, test_long_lives_across_rotations);
    suite_add(s, test_the_oldest_lease_is_told);
    suite_add_loop(s, test_rotating_by_bytes, 0, 2);
    suite_add_loop(s, test_an_idle_pair, 0, 3);
    suite_add(s, test_blocks_that_come_back_late);
    suite_add(s, test_the_process_totals);
    suite_add(s, test_the_process_is_resident);
    suite_add(s, test_a_connection_totals);
    suite_add(s, test_a_connection_that_ended_holds_nothing);
    suite_add_loop(s, test_retiring_through_a_full_ring, 0, 2);
    suite_add(s, test_a_peer_that_gives_nothing_back);
    suite_add(s, test_a_lie_before_sleeping);
    suite_add_loop(s, test_room_that_is_seen_by_the_way, 0, 2);
    suite_add(s, test_a_freed_pool_goes_with_its_blocks);
    suite_add(s, test_a_pool_outlives_its_connection);
    suite_add(s, test_death_while_draining);
    suite_add(s, test_moving_on_to_a_copy);
    suite_add(s, test_keeping_a_copy);
    suite_add_loop(s, test_an_idle_loop, 0, 3);
    suite_add_loop(s, test_trimming_from_elsewhere, 0, LOOPS);
    suite_add_loop(s, test_put_from_elsewhere, 0, LOOPS);
    suite_add(s, test_trimming_a_socket);
    suite_add(s, test_trimming_an_idle_connection);
    suite_add(s, test_trimming_all_that_is_kept);
    suite_add_loop(s, test_reserved_blocks_are_there, 0, 4);
    suite_add(s, test_reserved_blocks_stay);
    suite_add_loop(s, test_ends_of_a_reservation, 0, 2);
    suite_add(s, test_a_reservation_of_all_there_may_be);
    suite_add(s, test_reservations_that_are_refused);
    suite_add(s, test_the_distance_decides_the_footprint);
    suite_add(s, test_a_peer_that_comes_and_goes);
    suite_add(s, test_a_smaller_footprint_keeps_other_memory);
    suite_add(s, test_a_shorter_cycle_goes_in_steps);
    suite_add(s, test_limits_of_a_far_footprint);
    suite_add(s, test_sleeps_decide_the_footprint);
    suite_add_loop(s, test_a_block_made_ahead_expires_in_a_turn, 0, 2);
    return suite_run(s);
}
