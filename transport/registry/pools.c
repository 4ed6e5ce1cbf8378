/* SPDX-License-Identifier: MIT */
/* The pools of a connection. See pools.h. */
#include "registry/pools.h"

#include "memory/reserve.h"
#include "memory/share.h"
#include "registry/block.h"
#include "sys/heap.h"
#include "sys/wait.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Free memory that a connection keeps for its next blocks: what eight rotating blocks of 4 MiB need; but a small budget is for more than that. */
static const uint64_t RETAINED_MAX = UINT64_C(32) << 20;
enum { RETAINED_SHARE = 64 };

/* Of inline blocks there are 1024 then. */
#define PRIVATE_RETAINED_MAX (UINT64_C(1) << 20)

/* For how long: a pause of a person's is no reason to make it anew. */
static const int RETAINED_MS = 10000;

/* After a refusal that passes nobody waits for longer; one that stays costs new arenas no more often. */
static const uint64_t RENEWAL_NS = UINT64_C(1000) * 1000 * 1000;

static const uint64_t NS_PER_MS = 1000 * 1000;

struct pool_budget *pool_budget_unref(struct pool_budget *budget) {
    /* Release [BUD1] pairs with the acquire half of the same operation by whoever drops the last reference. Weaker: a use after free. */
    if (!budget || atomic_fetch_sub_explicit(&budget->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    user_put(budget->ctx, budget->user);
    sea_ctx_unref(budget->ctx);
    return heap_free(budget);
}

static uint64_t budget_used(const struct pool_budget *budget) {
    return budget ? atomic_load_explicit(&budget->used, memory_order_relaxed) : 0;
}

/* Of what the peer maps. */
static uint64_t pools_used(const struct pools *pools) {
    uint64_t used = 0;
    for (const sea_pool *pool = pools->all; pool; pool = pool->next)
        used += pool->is_private ? 0 : budget_used(pool->budget);
    return used;
}

/* Private memory too. */
static void pools_note_peak(struct pools *pools) {
    uint64_t used = pools_used(pools) + budget_used(pools->private.budget);
    if (used > pools->mapped_peak)
        pools->mapped_peak = used;
}

static void trim_others(const struct pools *pools, const sea_pool *but) {
    for (sea_pool *pool = pools->all; pool; pool = pool->next)
        if (pool != but && pool->pool)
            pool_trim(pool->pool, 0);
}

static int check_limit(struct refusal_log *log, const char *limit, uint64_t most, uint64_t used, uint64_t bytes,
                       const char *advice) {
    if (used <= most && bytes <= most - used)
        return 0;
    return refusal_note(log, -EDQUOT, limit, bytes, used > most ? 0 : most - used, advice);
}

/* Of the budget: what was made for the peer, for its user, and what is left. */
static struct share peer_share(const struct peer *peer) {
    const struct quota *budget = &peer->ctx->budget;
    struct share share = {.budget = budget->limit[QUOTA_BYTES],
                          .left = budget->limit[QUOTA_BYTES] - quota_used(budget, QUOTA_BYTES),
                          .user = atomic_load_explicit(&peer->user->made, memory_order_relaxed)};
    for (const sea_pool *pool = peer->pooled.pools.all; pool; pool = pool->next)
        if (pool->budget)
            share.peer += budget_used(pool->budget) + atomic_load_explicit(&pool->budget->others, memory_order_relaxed);
    return share;
}

/* Where the application gave quotas these hold. That of the peer bounds what it takes, out_limit, and its leases. */
static int check_user(const struct peer *peer, uint64_t bytes, struct refusal_log *log) {
    const struct quota *quota = &peer->user->quota;
    uint64_t made = atomic_load_explicit(&peer->user->made, memory_order_relaxed);
    if (quota->limit[QUOTA_BYTES] >= peer->ctx->budget.limit[QUOTA_BYTES])
        return 0; /* the budget will say so */
    return check_limit(log, "user quota (bytes)", quota->limit[QUOTA_BYTES], made, bytes,
                       "release blocks, or raise the bytes of `user` in sea_ctx_options");
}

/* `but` is growing. */
static int check_share(const struct peer *peer, const sea_pool *but, uint64_t bytes, struct refusal_log *log) {
    struct share share = peer_share(peer);
    if (!peer->ctx->has_fair_shares)
        return check_user(peer, bytes, log);
    if (share_allows(&share, bytes))
        return 0;
    trim_others(&peer->pooled.pools, but);
    share = peer_share(peer);
    if (share_allows(&share, bytes))
        return 0;
    return refusal_note(
        log, -EDQUOT, "fair share (bytes)", bytes, share_room(&share),
        "release blocks, raise the budget, or set the bytes of `peer` in sea_ctx_options, which bound it instead");
}

/* What the peer takes, and what the application wants of the pool. */
static int check_limits(const struct pool_budget *budget, uint64_t bytes) {
    const sea_pool *pool = budget->pool;
    struct pools *pools = &pool->peer->pooled.pools;
    uint64_t most = pool->peer->out_limit.bytes;
    if (bytes > most || pools_used(pools) > most - bytes)
        trim_others(pools, pool);
    bool is_ours = most >= pool->peer->ctx->peer_limits.bytes;
    int r = check_limit(&pools->refused, is_ours ? "peer quota (bytes)" : "peer's bytes_max", most, pools_used(pools),
                        bytes,
                        is_ours ? "release blocks, or raise peer.bytes in sea_ctx_options"
                                : "release blocks, or raise the peer's bytes_max in sea_options");
    if (r < 0 || !pool->bytes_max)
        return r;
    return check_limit(&pools->refused, "pool's bytes_max", pool->bytes_max, budget_used(budget), bytes,
                       "release blocks of this pool, or raise its bytes_max in sea_pool_options");
}

static int budget_check(const struct pool_budget *budget, uint64_t bytes) {
    const sea_pool *pool = budget->pool;
    struct pools *pools = &pool->peer->pooled.pools;
    pools->is_share_full = false;
    int r = check_share(pool->peer, pool, bytes, &pools->refused);
    if (r < 0 || pool->is_private)
        return r;
    r = check_limits(budget, bytes);
    pools->is_share_full = r < 0;
    return r;
}

/* An arena counts as a block too: small ones without number would use up our mappings. */
static int budget_charge(void *owner, uint64_t bytes, uint32_t fds) {
    struct pool_budget *budget = owner;
    struct pools *pools = &budget->pool->peer->pooled.pools;
    int r = budget_check(budget, bytes);
    if (r < 0)
        return r;
    admission_watch(&budget->ctx->admission, bytes, 1, fds);
    admission_tell(&budget->ctx->admission); /* what it lets go of may be what is missing */
    r = quota_charge(&budget->ctx->budget, bytes, 1, fds, &pools->refused);
    if (r < 0)
        return r;
    ctx_count(budget->ctx, arena_bytes, bytes);
    atomic_fetch_add_explicit(&budget->user->made, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
    pools_note_peak(&budget->pool->peer->pooled.pools);
    return 0;
}

static void budget_uncharge(void *owner, uint64_t bytes, uint32_t fds) {
    struct pool_budget *budget = owner;
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&budget->user->made, bytes, memory_order_relaxed);
    ctx_uncount(budget->ctx, arena_bytes, bytes);
    quota_return(&budget->ctx->budget, bytes, 1, fds);
    pool_budget_unref(budget);
}

static void budget_uncharge_fd(void *owner) {
    struct pool_budget *budget = owner;
    quota_return(&budget->ctx->budget, 0, 0, 1);
}

static void budget_stirred(void *owner) {
    struct pool_budget *budget = owner;
    budget->pool->peer->pooled.pools.is_restless = true;
}

/* Room for the id was made when the arena was leased from first. */
static void budget_retired(void *owner, uint32_t arena_id) {
    struct pool_budget *budget = owner;
    struct pools *pools = &budget->pool->peer->pooled.pools;
    pools->retired[pools->retired_count++] = arena_id;
    pools->is_restless = true;
}

static void budget_hold(void *owner) {
    struct pool_budget *budget = owner;
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
}

static void budget_tell(void *owner) {
    struct pool_budget *budget = owner;
    pthread_mutex_lock(&budget->ctx->lock);
    if (budget->pool)
        pools_wake(budget->pool->peer);
    pthread_mutex_unlock(&budget->ctx->lock);
    pool_budget_unref(budget);
}

static const struct pool_ops POOL_OPS = {
    .charge = budget_charge,
    .uncharge = budget_uncharge,
    .uncharge_fd = budget_uncharge_fd,
    .retired = budget_retired,
    .stirred = budget_stirred,
    .hold = budget_hold,
    .tell = budget_tell,
};

const char *pools_check_options(const sea_pool_options *options) {
    static const sea_pool_options defaults;
    if (memcmp(options->reserved, defaults.reserved, sizeof(defaults.reserved)) != 0)
        return "reserved fields of the pool's options are not zero";
    return options->rotate_age_ms < 0 || options->rotate_idle_ms < 0 ? "a pool's time is negative" : NULL;
}

static uint64_t ms_to_ns(int ms) {
    return ms < 0 ? 0 : (uint64_t) ms * NS_PER_MS;
}

static uint64_t retained_default(const sea_ctx *ctx) {
    uint64_t share = ctx->budget.limit[QUOTA_BYTES] / RETAINED_SHARE;
    return share < RETAINED_MAX ? share : RETAINED_MAX;
}

void pools_set_options(sea_pool *pool, const sea_pool_options *options) {
    static const sea_pool_options defaults;
    if (!options)
        options = &defaults;
    snprintf(pool->name, sizeof(pool->name), "%s", options->name ? options->name : "");
    pool->bytes_max = options->bytes_max;
    pool->retained_max = options->retained_max ? options->retained_max : retained_default(pool->peer->ctx);
    pool->policy = (struct pool_policy){
        .bytes = options->rotate_bytes,
        .age = ms_to_ns(options->rotate_age_ms),
        .idle = ms_to_ns(options->rotate_idle_ms),
        .keep = ms_to_ns(options->retained_ms ? options->retained_ms : RETAINED_MS),
    };
}

static void pools_add(struct peer *peer, sea_pool *pool, const sea_pool_options *options) {
    struct pools *pools = &peer->pooled.pools;
    pool->peer = peer;
    pools_set_options(pool, options);
    pool->next = pools->all;
    pools->all = pool;
}

void pools_init(struct peer *peer) {
    peer->pooled.pools = (struct pools){.deadline = WAIT_FOREVER};
    refusal_init(&peer->pooled.pools.refused);
    static const sea_pool_options private = {.retained_max = PRIVATE_RETAINED_MAX};
    peer->pooled.pools.private.is_private = true;
    pools_add(peer, &peer->pooled.pools.private, &private);
    pools_add(peer, &peer->pooled.pools.own, NULL);
}

int pools_new(sea_pool **ret_pool, struct peer *peer, const sea_pool_options *options) {
    sea_pool *pool = heap_new(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pools_add(peer, pool, options);
    *ret_pool = pool;
    return 0;
}

static int pool_begin(sea_pool *pool) {
    struct pool_budget *budget = heap_new(1, sizeof(*budget));
    if (!budget)
        return -ENOMEM;
    atomic_store_explicit(&budget->refs, 1, memory_order_relaxed);
    budget->ctx = sea_ctx_ref(pool->peer->ctx);
    budget->user = user_get(budget->ctx, pool->peer->user->uid); /* there is one */
    budget->pool = pool;
    const struct pool_options options = {
        .ops = &POOL_OPS,
        .owner = budget,
        .admission = &budget->ctx->admission,
        .audience = &pool->peer->pooled.pools.audience,
        .extra = sizeof(sea_block),
        .retained_max = pool->retained_max,
        .reuse_footprint = budget->ctx->calibration.reuse_footprint,
        .reuse_least = budget->ctx->calibration.reuse_least,
        .is_private = pool->is_private,
        .policy = pool->policy,
    };
    int r = pool_new(&pool->pool, &options);
    if (r < 0) {
        pool_budget_unref(budget);
        return r;
    }
    pool->budget = budget;
    tally_begin(&budget->tally, budget->ctx);
    return 0;
}

bool pools_give_back(sea_ctx *ctx, struct peer *peer) {
    const struct arenas *audience = peer ? &peer->pooled.pools.audience : NULL;
    uint32_t before = peer ? audience->count : 0;
    if (peer)
        trim_others(&peer->pooled.pools, NULL);
    peers_give_back(ctx, peer);
    return peer && audience->count < before;
}

/* Would more memory help? */
static bool is_memory_short(const struct pools *pools, int error) {
    return error == -ENOMEM || (error == -EDQUOT && !pools->is_share_full);
}

/* After an attempt that ended with `error`: is it worth another one? */
static bool pools_make_room(const sea_pool *pool, int error) {
    struct peer *peer = pool->peer;
    bool has_more = admission_tell(&peer->ctx->admission);
    if (error < 0 && is_memory_short(&peer->pooled.pools, error))
        has_more |= pools_give_back(peer->ctx, peer);
    return error < 0 && has_more && pool->pool;
}

int pools_take(sea_pool *pool, size_t size, struct pool_slot **ret_slot) {
    if (!pool->peer)
        return -EPIPE;
    int r = pool->pool ? 0 : pool_begin(pool);
    if (r == 0)
        r = pool_take(pool->pool, size, ret_slot);
    return pools_make_room(pool, r) ? pool_take(pool->pool, size, ret_slot) : r;
}

int pools_explain(struct peer *peer, int error, size_t size) {
    if (error == -EPIPE)
        return error;
    return error == -EDQUOT ? refusal_pass(&peer->pooled.pools.refused, &peer->ctx->refusals)
                            : reserve_explain(error, size, false, &peer->ctx->admission);
}

int pools_reserve(sea_pool *pool, size_t size, uint32_t count) {
    int r = pool->pool ? 0 : pool_begin(pool);
    if (r == 0)
        r = pool_reserve(pool->pool, size, count);
    if (pools_make_room(pool, r))
        r = pool_reserve(pool->pool, size, count);
    return r < 0 ? pools_explain(pool->peer, r, size) : 0;
}

int pools_ref_budget(sea_pool *pool, struct pool_budget **ret_budget) {
    if (!pool->peer)
        return -EPIPE;
    int r = pool->pool ? 0 : pool_begin(pool);
    if (r < 0)
        return r;
    budget_hold(pool->budget);
    *ret_budget = pool->budget;
    return 0;
}

int pool_budget_add(struct pool_budget *budget, uint64_t bytes, struct refusal_log *log) {
    int r = check_share(budget->pool->peer, NULL, bytes, log);
    if (r < 0)
        return r;
    atomic_fetch_add_explicit(&budget->others, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&budget->user->made, bytes, memory_order_relaxed);
    return 0;
}

void pool_budget_return(struct pool_budget *budget, uint64_t bytes) {
    atomic_fetch_sub_explicit(&budget->others, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&budget->user->made, bytes, memory_order_relaxed);
}

/* No lease is left. */
static void pool_finish(sea_pool *pool) {
    if (!pool->pool)
        return;
    struct pool_budget *budget = pool->budget;
    pool->pool = pool_end(pool->pool);
    tally_end(&budget->tally, budget->ctx);
    pthread_mutex_lock(&budget->ctx->lock);
    budget->pool = NULL;
    pthread_mutex_unlock(&budget->ctx->lock);
    pool->budget = NULL;
    pool_budget_unref(budget);
}

static uint64_t pool_drop_leases(struct peer *peer, const sea_pool *pool, uint64_t *bytes) {
    struct pool_slot *slot;
    uint64_t count = 0;
    for (; pool->pool && (slot = pool_next_lease(pool->pool, NULL)); count++)
        *bytes += pooled_end_lease(peer, slot);
    return count;
}

uint64_t pools_end(struct peer *peer, uint64_t *ret_bytes) {
    struct pools *pools = &peer->pooled.pools;
    uint64_t count = 0;
    *ret_bytes = 0;
    for (sea_pool *pool = pools->all, *next; pool; pool = next) {
        next = pool->next;
        count += pool_drop_leases(peer, pool, ret_bytes);
        pool_finish(pool);
        pool->peer = NULL;
        if (pool->is_freed)
            heap_free(pool);
    }
    arenas_deinit(&pools->audience);
    heap_free(pools->retired);
    refusal_deinit(&pools->refused);
    pools->all = NULL;
    pools->retired = NULL;
    pools->retired_count = pools->retired_capacity = 0;
    pools->deadline = WAIT_FOREVER;
    pools->active = pools->retained = 0;
    pools->is_restless = pools->is_waiting = false;
    return count;
}

/* Its blocks may be out: then it goes in pools_tend(). */
sea_pool *pools_free(sea_pool *pool) {
    if (!pool || !pool->peer)
        return heap_free(pool);
    assert(pool != &pool->peer->pooled.pools.own); /* the connection's */
    if (pool->pool)
        pool_rotate(pool->pool);
    pool->is_freed = true;
    pool->peer->pooled.pools.is_restless = true;
    return NULL;
}

bool pools_have(const struct pools *pools, const struct pool_slot *slot) {
    for (const sea_pool *pool = pools->all; pool; pool = pool->next)
        if (!pool->is_private && pool->pool && pool_has(pool->pool, slot))
            return true;
    return false;
}

const struct pool_slot *pools_oldest_lease(const struct pools *pools) {
    const struct pool_slot *oldest = NULL;
    for (const sea_pool *pool = pools->all; pool; pool = pool->next) {
        const struct pool_slot *slot = pool->pool ? pool_oldest_lease(pool->pool) : NULL;
        if (slot && (!oldest || slot->leased_at < oldest->leased_at))
            oldest = slot;
    }
    return oldest;
}

void pools_gauges(const struct pools *pools, struct pool_gauges *ret_sums) {
    *ret_sums = (struct pool_gauges){.mapped = 0};
    for (const sea_pool *pool = pools->all; pool; pool = pool->next) {
        struct pool_gauges one = {.mapped = 0};
        if (pool->pool)
            pool_gauges(pool->pool, &one);
        ret_sums->allocated += one.allocated;
        ret_sums->bytes_out += one.bytes_out;
        ret_sums->mapped += one.mapped;
        ret_sums->retained += one.retained;
    }
}

/* As many as there are arenas. */
int pools_reserve_retired(struct pools *pools) {
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

/* Is it over: freed, and nothing of it is left? */
static bool pool_is_gone(const sea_pool *pool) {
    return pool->is_freed && (!pool->pool || budget_used(pool->budget) == 0);
}

static void pool_tend(struct pools *pools, sea_pool *pool, uint64_t now, bool has_to_trim) {
    if (!pool->pool)
        return;
    if (has_to_trim) {
        pool_unreserve(pool->pool);
        pool_trim(pool->pool, 0);
    }
    uint64_t deadline = pool_rest(pool->pool, now);
    if (deadline < pools->deadline)
        pools->deadline = deadline;
    pools->is_waiting |= pool_is_waiting(pool->pool);
    pools->active += pool_active(pool->pool);
    pools->retained += pool_retained(pool->pool);
}

void pools_renew(struct peer *peer) {
    struct pools *pools = &peer->pooled.pools;
    uint64_t now = wait_now();
    if (now - pools->renewed_at < RENEWAL_NS)
        return;
    pools->renewed_at = now;
    for (const sea_pool *pool = pools->all; pool; pool = pool->next)
        if (pool->pool && !pool->is_private)
            pool_rotate(pool->pool);
    pools->is_restless = true;
}

static void pools_tell_leases(struct pools *pools) {
    const struct pool_slot *oldest = pools_oldest_lease(pools);
    atomic_store_explicit(&pools->leased_at, oldest ? oldest->leased_at : 0, memory_order_relaxed);
}

bool pools_tend(struct peer *peer) {
    struct pools *pools = &peer->pooled.pools;
    bool has_to_trim = atomic_load_explicit(&peer->has_to_trim, memory_order_relaxed);
    uint64_t now = pools->audience.count > 0 ? wait_now() : 0;
    if (has_to_trim)
        atomic_store_explicit(&peer->has_to_trim, false, memory_order_relaxed);
    pools->deadline = WAIT_FOREVER;
    pools->is_waiting = false;
    pools->active = pools->retained = 0;
    for (sea_pool **link = &pools->all, *pool; (pool = *link);) {
        pool_tend(pools, pool, now, has_to_trim);
        if (!pool_is_gone(pool)) {
            link = &pool->next;
            continue;
        }
        *link = pool->next;
        pool_finish(pool);
        heap_free(pool);
    }
    pools->is_restless = false;
    pools_tell_leases(pools);
    return has_to_trim;
}

void pools_trim(struct pools *pools) {
    arenas_trim(&pools->audience);
    if (pools->audience.count > 0 || pools->retired_count > 0)
        return;
    pools->retired = heap_free(pools->retired);
    pools->retired_capacity = 0;
}

void pools_wake(struct peer *peer) {
    if (peer->wake)
        peer->wake(peer->waker);
}
