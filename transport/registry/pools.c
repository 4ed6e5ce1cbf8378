/* SPDX-License-Identifier: MIT */
/* The pools of a connection. See pools.h. */
#include "registry/pools.h"

#include "memory/reserve.h"
#include "registry/options.h"
#include "sys/heap.h"
#include "sys/misuse.h"
#include "sys/wait.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Free memory that a connection keeps for its next blocks: what eight blocks of 4 MiB that are used by turns need; but
 * a small budget is for more than that. */
static const uint64_t RETAINED_MAX = UINT64_C(32) << 20;
enum { RETAINED_SHARE = 64 };

/* Free memory that is kept for inline blocks, bytes: 1024 of the smallest size class. */
#define PRIVATE_RETAINED_MAX (UINT64_C(1) << 20)

/* For how long free memory is kept, milliseconds: a person's pause is no reason to make it anew. */
static const int RETAINED_MS = 10000;

/* How often the peer's refusal of an arena makes new arenas: a sender waits no longer than this after the peer has room
 * again, and a peer that never has room costs new arenas no more often. */
static const uint64_t RENEWAL_NS = UINT64_C(1000) * 1000 * 1000;

/* How long memory is kept that cycles have left: threads that are moved away may come back. */
static const uint64_t SURPLUS_NS = UINT64_C(1000) * 1000 * 1000;

static const uint64_t NS_PER_MS = 1000 * 1000;

int pools_check_options(const sea_pool_options *given, const char **ret_why) {
    sea_pool_options options;
    int r = pool_options_take(given, &options, ret_why);
    if (r == 0 && (options.rotate_age_ms < 0 || options.rotate_idle_ms < 0))
        return *ret_why = "a pool's time is negative", -EINVAL;
    return r;
}

static uint64_t ms_to_ns(int ms) {
    return ms < 0 ? 0 : (uint64_t) ms * NS_PER_MS;
}

static uint64_t retained_default(const sea_ctx *ctx) {
    uint64_t share = ctx->budget.limit[QUOTA_BYTES] / RETAINED_SHARE;
    return share < RETAINED_MAX ? share : RETAINED_MAX;
}

void pools_set_options(sea_pool *pool, const sea_pool_options *given) {
    sea_pool_options taken, *options = &taken;
    const char *why;
    pool_options_take(given, options, &why); /* pools_check_options() has refused others */
    snprintf(pool->name, sizeof(pool->name), "%s", options->name ? options->name : "");
    pool->bytes_max = options->bytes_max;
    pool->retained_max = options->retained_max ? options->retained_max : retained_default(pool->pools->account->ctx);
    pool->policy = (struct pool_policy){
        .bytes = options->rotate_bytes,
        .age = ms_to_ns(options->rotate_age_ms),
        .idle = ms_to_ns(options->rotate_idle_ms),
        .keep = ms_to_ns(options->retained_ms ? options->retained_ms : RETAINED_MS),
    };
}

static void pools_add(struct pools *pools, sea_pool *pool, const sea_pool_options *options) {
    pool->pools = pools;
    pools_set_options(pool, options);
    LIST_PUSH(&pools->all, pool, link);
}

static void trim_but(void *owner, const struct pool_budget *but) {
    const struct pools *pools = owner;
    for (sea_pool *pool = pools->all; pool; pool = pool->link.next)
        if (pool->pool && pool->budget != but)
            pool_trim(pool->pool, 0);
}

/* Notes an announced arena that is gone; reserve_retired() has made room for it. */
static void note_retired(void *owner, uint32_t arena_id) {
    struct pools *pools = owner;
    pools->retired[pools->retired_count++] = arena_id;
    pools->needs_maintenance = true;
}

static void want_maintenance(void *owner) {
    struct pools *pools = owner;
    pools->needs_maintenance = true;
}

static const struct budget_ops BUDGET_OPS = {
    .trim_others = trim_but,
    .retired = note_retired,
    .needs_maintenance = want_maintenance,
};

void pools_init(struct pools *pools, struct account *account) {
    static const sea_pool_options private = {.retained_max = PRIVATE_RETAINED_MAX};
    *pools = (struct pools){.account = account,
                            .group = {.account = account, .ops = &BUDGET_OPS, .owner = pools},
                            .reuse_footprint = account->ctx->calibration.reuse_footprint,
                            .surplus_at = WAIT_FOREVER,
                            .deadline = WAIT_FOREVER};
    refusal_init(&pools->group.refused);
    pools->private.is_private = true;
    pools_add(pools, &pools->private, &private);
    pools_add(pools, &pools->own, NULL);
    pools->own.is_own = true;
}

void pools_set_footprint(struct pools *pools, uint64_t footprint) {
    uint64_t before = pools->reuse_footprint;
    if (footprint == before)
        return;
    pools->reuse_footprint = footprint;
    bool has_surplus = footprint < before && pools->audience.count > 0;
    pools->surplus_at = has_surplus ? wait_now() + SURPLUS_NS : WAIT_FOREVER;
    for (sea_pool *pool = pools->all; pool; pool = pool->link.next)
        if (pool->pool)
            pool_set_footprint(pool->pool, footprint);
}

void pools_deinit(struct pools *pools) {
    refusal_deinit(&pools->group.refused);
}

int pools_new(sea_pool **ret_pool, struct pools *pools, const sea_pool_options *options) {
    sea_pool *pool = heap_new(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pools_add(pools, pool, options);
    *ret_pool = pool;
    return 0;
}

static int pool_begin(sea_pool *pool) {
    struct pool_budget *budget = pool_budget_new(&pool->pools->group, pool->bytes_max, pool->is_private);
    if (!budget)
        return -ENOMEM;
    const struct pool_options options = {
        .ops = &POOL_BUDGET_OPS,
        .owner = budget,
        .admission = &budget->ctx->admission,
        .census = &budget->ctx->census,
        .audience = &pool->pools->audience,
        .extra = sizeof(sea_block),
        .retained_max = pool->retained_max,
        .reuse_footprint = pool->pools->reuse_footprint,
        .reuse_least = budget->ctx->calibration.reuse_least,
        .is_private = pool->is_private,
        .policy = pool->policy,
    };
    int r = pool_new(&pool->pool, &options);
    if (r < 0) {
        pool_budget_end(budget);
        return r;
    }
    pool->budget = budget;
    return 0;
}

/* Would more memory help? */
static bool is_memory_short(const struct pools *pools, int error) {
    return error == -ENOMEM || (error == -EDQUOT && !pools->group.is_at_own_limit);
}

/* After an attempt that ended with `error`: is it worth another one? */
static bool pools_make_room(const sea_pool *pool, int error) {
    sea_ctx *ctx = pool->pools->account->ctx;
    bool has_more = admission_tell(&ctx->admission);
    if (error < 0 && is_memory_short(pool->pools, error))
        has_more |= pool_budget_make_room(ctx, pool->budget);
    return error < 0 && has_more && pool->pool;
}

int pools_take(sea_pool *pool, size_t size, struct pool_slot **ret_slot) {
    if (!pool->pools)
        return -EPIPE;
    int r = pool->pool ? 0 : pool_begin(pool);
    if (r == 0)
        r = pool_take(pool->pool, size, ret_slot);
    return pools_make_room(pool, r) ? pool_take(pool->pool, size, ret_slot) : r;
}

int pools_explain(struct pools *pools, int error, size_t size) {
    sea_ctx *ctx = pools->account->ctx;
    if (error == -EPIPE)
        return error;
    return error == -EDQUOT ? refusal_pass(&pools->group.refused, &ctx->refusals)
                            : reserve_explain(error, size, false, &ctx->admission);
}

int pools_reserve(sea_pool *pool, size_t size, uint32_t count) {
    int r = pool->pool ? 0 : pool_begin(pool);
    if (r == 0)
        r = pool_reserve(pool->pool, size, count);
    if (pools_make_room(pool, r))
        r = pool_reserve(pool->pool, size, count);
    return r < 0 ? pools_explain(pool->pools, r, size) : 0;
}

int pools_share(struct pools *pools, struct pool_budget **ret_share) {
    sea_pool *pool = &pools->own;
    if (!pool->pools)
        return -EPIPE;
    int r = pool->pool ? 0 : pool_begin(pool);
    if (r == 0)
        *ret_share = pool->budget;
    return r;
}

/* --- blocks --- */

int pools_take_block(sea_block **ret_block, sea_pool *pool, size_t size) {
    struct pool_slot *slot = NULL;
    int r = pools_take(pool, size, &slot);
    if (r == 0)
        *ret_block = pooled_block_lend(slot, pool->budget, size);
    return r;
}

int pools_new_block(sea_block **ret_block, struct pools *pools, size_t size) {
    int r = pools_take_block(ret_block, &pools->own, size);
    return r < 0 ? pools_explain(pools, r, size) : 0;
}

int pools_new_inline(sea_block **ret_block, struct pools *pools, size_t size) {
    return pools_take_block(ret_block, &pools->private, size);
}

sea_block *pools_ready_block(const struct pools *pools, int payload_class, size_t size) {
    const sea_pool *pool = payload_class == SEA_INLINE ? &pools->private : &pools->own;
    struct pool_slot *slot = pool->pool ? pool_take_ready(pool->pool, size) : NULL;
    return slot ? pooled_block_lend(slot, pool->budget, size) : NULL;
}

/* As many as there are arenas, so that arenas can be retired without fail. */
static int reserve_retired(struct pools *pools) {
    uint32_t need = pools->retired_count + pools->audience.count;
    if (need < pools->retired_capacity)
        return 0;
    uint32_t capacity = need * 2 + 8;
    uint32_t *retired = heap_resize(pools->retired, capacity, sizeof(*retired));
    if (!retired)
        return -ENOMEM;
    pools->retired = retired;
    pools->retired_capacity = capacity;
    return 0;
}

int pools_lease(struct pools *pools, sea_block *block, uint64_t *ret_handle) {
    int r = block->slot->arena->is_announced ? 0 : reserve_retired(pools);
    return r < 0 ? r : pooled_block_lease(pools->account, block, ret_handle);
}

int pools_release(struct pools *pools, uint64_t handle) {
    struct pool_slot *slot = pool_find_lease(&pools->audience, handle);
    if (!slot)
        return -ESTALE;
    pooled_block_end_lease(pools->account, slot);
    return 0;
}

/* --- the end --- */

/* No lease is left. */
static void pool_finish(sea_pool *pool) {
    if (!pool->pool)
        return;
    pool->pool = pool_end(pool->pool);
    pool->budget = pool_budget_end(pool->budget);
}

static uint64_t pool_drop_leases(struct pools *pools, const sea_pool *pool, uint64_t *bytes) {
    struct pool_slot *slot;
    uint64_t count = 0;
    for (; pool->pool && (slot = pool_next_lease(pool->pool, NULL)); count++)
        *bytes += pooled_block_end_lease(pools->account, slot);
    return count;
}

/* pooled_block_end_lease() takes from the work. */
static void drop_some_leases(struct pools *pools, const sea_pool *pool, uint64_t *count, uint64_t *bytes) {
    struct pool_slot *slot;
    while (pool->pool && pools->account->work.left && (slot = pool_next_lease(pool->pool, NULL))) {
        *bytes += pooled_block_end_lease(pools->account, slot);
        ++*count;
    }
}

/* Frees free arenas, reserved ones too. */
static void free_some_arenas(struct pools *pools, const sea_pool *pool) {
    uint64_t freed = 1;
    if (pool->pool)
        pool_unreserve(pool->pool);
    while (pool->pool && pools->account->work.left && (freed = pool_trim_one(pool->pool)))
        work_take(&pools->account->work, WORK_PER_MEMFD + freed);
}

bool pools_end_some(struct pools *pools, uint64_t *count, uint64_t *bytes) {
    for (const sea_pool *pool = pools->all; pool && pools->account->work.left; pool = pool->link.next) {
        drop_some_leases(pools, pool, count, bytes);
        free_some_arenas(pools, pool);
    }
    return pools->account->work.left > 0;
}

uint64_t pools_end(struct pools *pools, uint64_t *ret_bytes) {
    uint64_t count = 0;
    *ret_bytes = 0;
    for (sea_pool *pool = pools->all, *next; pool; pool = next) {
        next = pool->link.next;
        count += pool_drop_leases(pools, pool, ret_bytes);
        pool_finish(pool);
        pool->pools = NULL;
        if (pool->is_freed)
            heap_free(pool);
    }
    arena_ids_deinit(&pools->audience);
    heap_free(pools->retired);
    pools->all = NULL;
    pools->retired = NULL;
    pools->retired_count = pools->retired_capacity = 0;
    pools->deadline = pools->surplus_at = WAIT_FOREVER;
    pools->active = pools->retained = 0;
    pools->needs_maintenance = pools->is_waiting = false;
    return count;
}

/* While the connection lives pools_maintain() frees the pool, as soon as no block of it is out. */
sea_pool *pools_free(sea_pool *pool) {
    if (pool && pool->is_own) {
        misuse_tell("a program frees the pool of a connection: sea_conn_pool() lends it");
        return NULL;
    }
    if (!pool || !pool->pools)
        return heap_free(pool);
    if (pool->pool)
        pool_rotate(pool->pool);
    pool->is_freed = true;
    pool->pools->needs_maintenance = true;
    return NULL;
}

/* --- figures and maintenance --- */

const struct pool_slot *pools_oldest_lease(const struct pools *pools) {
    const struct pool_slot *oldest = NULL;
    for (const sea_pool *pool = pools->all; pool; pool = pool->link.next) {
        const struct pool_slot *slot = pool->pool ? pool_oldest_lease(pool->pool) : NULL;
        if (slot && (!oldest || slot->leased_at < oldest->leased_at))
            oldest = slot;
    }
    return oldest;
}

void pools_gauges(const struct pools *pools, struct pool_gauges *ret_sums) {
    *ret_sums = (struct pool_gauges){.mapped = 0};
    for (const sea_pool *pool = pools->all; pool; pool = pool->link.next) {
        struct pool_gauges one = {.mapped = 0};
        if (pool->pool)
            pool_gauges(pool->pool, &one);
        ret_sums->allocated += one.allocated;
        ret_sums->bytes_out += one.bytes_out;
        ret_sums->mapped += one.mapped;
        ret_sums->retained += one.retained;
    }
}

/* Is it over: freed, and nothing of it is left? */
static bool pool_is_gone(const sea_pool *pool) {
    return pool->is_freed && (!pool->pool || pool_budget_used(pool->budget) == 0);
}

static void pools_maintain_one(struct pools *pools, sea_pool *pool, uint64_t now, enum trim trim) {
    if (!pool->pool)
        return;
    if (trim == TRIM_ALL)
        pool_unreserve(pool->pool);
    if (trim != TRIM_NOTHING)
        pool_trim(pool->pool, 0);
    uint64_t deadline = pool_maintain(pool->pool, now);
    if (deadline < pools->deadline)
        pools->deadline = deadline;
    pools->is_waiting |= pool_is_waiting(pool->pool);
    pools->active += pool_active(pool->pool);
    pools->retained += pool_retained(pool->pool);
}

void pools_renew(struct pools *pools) {
    uint64_t now = wait_now();
    if (now - pools->renewed_at < RENEWAL_NS)
        return;
    pools->renewed_at = now;
    for (const sea_pool *pool = pools->all; pool; pool = pool->link.next)
        if (pool->pool && !pool->is_private)
            pool_rotate(pool->pool);
    pools->needs_maintenance = true;
}

/* So much goes at a time, and the last arena whole. Returns whether there may be more. */
static bool trim_surplus(struct pools *pools) {
    uint64_t gone = 0, freed;
    for (const sea_pool *pool = pools->all; pool && gone < WORK_PER_TURN; pool = pool->link.next)
        while (pool->pool && !pool->is_private && gone < WORK_PER_TURN && (freed = pool_trim_surplus(pool->pool)))
            gone += WORK_PER_MEMFD + freed;
    return gone >= WORK_PER_TURN;
}

static void pools_drop_surplus(struct pools *pools, uint64_t now) {
    bool is_over = pools->surplus_at <= now && !trim_surplus(pools);
    if (is_over || pools->audience.count == 0)
        pools->surplus_at = WAIT_FOREVER;
    if (pools->surplus_at < pools->deadline)
        pools->deadline = pools->surplus_at;
}

static void pools_tell_leases(struct pools *pools) {
    const struct pool_slot *oldest = pools_oldest_lease(pools);
    atomic_store_explicit(&pools->account->member.oldest_pooled, oldest ? oldest->leased_at : 0, memory_order_relaxed);
}

bool pools_maintain(struct pools *pools) {
    enum trim trim = ctx_take_trim(&pools->account->member);
    uint64_t now = pools->audience.count > 0 ? wait_now() : 0;
    pools->maintained_at = wait_now_coarse();
    pools->deadline = WAIT_FOREVER;
    pools->is_waiting = false;
    pools->active = pools->retained = 0;
    pools_drop_surplus(pools, now);
    for (sea_pool *pool = pools->all, *next; pool; pool = next) {
        pools_maintain_one(pools, pool, now, trim);
        next = pool->link.next;
        if (!pool_is_gone(pool))
            continue;
        LIST_REMOVE(pool, link);
        pool_finish(pool);
        heap_free(pool);
    }
    pools->needs_maintenance = false;
    atomic_store_explicit(&pools->account->member.has_memory, pools->active + pools->retained > 0,
                          memory_order_relaxed);
    pools_tell_leases(pools);
    return trim == TRIM_ALL;
}

void pools_trim(struct pools *pools) {
    arena_ids_trim(&pools->audience);
    if (pools->audience.count > 0 || pools->retired_count > 0)
        return;
    pools->retired = heap_free(pools->retired);
    pools->retired_capacity = 0;
}
