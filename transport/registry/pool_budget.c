/* SPDX-License-Identifier: MIT */
/* Whom a pool's memory is charged to. See pool_budget.h. */
#include "registry/pool_budget.h"

#include "memory/fair_share.h"
#include "registry/peer.h"
#include "sys/heap.h"
#include <errno.h>

/* Of the budget. So many connections can take all of it by what is little. */
enum { LITTLE = 1024 };

struct pool_budget *pool_budget_new(sea_pool *pool) {
    struct pool_budget *budget = heap_new(1, sizeof(*budget));
    if (!budget)
        return NULL;
    atomic_store_explicit(&budget->refs, 1, memory_order_relaxed);
    budget->ctx = sea_ctx_ref(pool->peer->account->ctx);
    budget->user = user_ref(budget->ctx, pool->peer->account->user);
    budget->pool = pool;
    tally_begin(&budget->tally, budget->ctx);
    return budget;
}

struct pool_budget *pool_budget_end(struct pool_budget *budget) {
    tally_end(&budget->tally, budget->ctx);
    pthread_mutex_lock(&budget->ctx->lock);
    budget->pool = NULL;
    pthread_mutex_unlock(&budget->ctx->lock);
    return pool_budget_unref(budget);
}

struct pool_budget *pool_budget_ref(struct pool_budget *budget) {
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
    return budget;
}

struct pool_budget *pool_budget_unref(struct pool_budget *budget) {
    /* Release [BUD1] pairs with the acquire half of the same operation by whoever drops the last reference. Weaker: a
     * use after free. */
    if (!budget || atomic_fetch_sub_explicit(&budget->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    user_put(budget->ctx, budget->user);
    sea_ctx_unref(budget->ctx);
    return heap_free(budget);
}

uint64_t pool_budget_used(const struct pool_budget *budget) {
    return budget ? atomic_load_explicit(&budget->used, memory_order_relaxed) : 0;
}

/* Of what the peer maps. */
static uint64_t pools_used(const struct pools *pools) {
    uint64_t used = 0;
    for (const sea_pool *pool = pools->all; pool; pool = pool->next)
        used += pool->is_private ? 0 : pool_budget_used(pool->budget);
    return used;
}

/* Private memory too. */
static void pools_note_peak(struct pools *pools) {
    uint64_t used = pools_used(pools) + pool_budget_used(pools->private.budget);
    if (used > pools->mapped_peak)
        pools->mapped_peak = used;
}

static int check_limit(struct refusal_log *log, const char *limit, uint64_t most, uint64_t used, uint64_t bytes,
                       const char *advice) {
    if (used <= most && bytes <= most - used)
        return 0;
    return refusal_note(log, -EDQUOT, limit, bytes, used > most ? 0 : most - used, advice);
}

/* Of the budget: what was made for the peer, for its user, and what is left. */
static struct fair_share peer_share(const struct peer *peer) {
    const struct quota *budget = &peer->account->ctx->budget;
    struct fair_share share = {.budget = budget->limit[QUOTA_BYTES],
                               .left = budget->limit[QUOTA_BYTES] - quota_used(budget, QUOTA_BYTES),
                               .user = atomic_load_explicit(&peer->account->user->made, memory_order_relaxed)};
    for (const sea_pool *pool = peer->pooled.pools.all; pool; pool = pool->next)
        if (pool->budget)
            share.peer +=
                pool_budget_used(pool->budget) + atomic_load_explicit(&pool->budget->others, memory_order_relaxed);
    return share;
}

/* Where the application gave quotas these hold. That of the peer bounds what it takes, out_limit, and its leases. */
static int check_user(const struct peer *peer, uint64_t bytes, struct refusal_log *log) {
    const struct quota *quota = &peer->account->user->quota;
    uint64_t made = atomic_load_explicit(&peer->account->user->made, memory_order_relaxed);
    if (quota->limit[QUOTA_BYTES] >= peer->account->ctx->budget.limit[QUOTA_BYTES])
        return 0; /* the budget will say so */
    return check_limit(log, "user quota (bytes)", quota->limit[QUOTA_BYTES], made, bytes,
                       "release blocks, or raise user_bytes in sea_ctx_options");
}

/* `but` is growing. */
static int check_share(const struct peer *peer, const sea_pool *but, uint64_t bytes, struct refusal_log *log) {
    if (!peer->account->ctx->has_fair_shares)
        return check_user(peer, bytes, log);
    struct fair_share share = peer_share(peer);
    if (!fair_share_allows(&share, bytes)) {
        pools_trim_others(&peer->pooled.pools, but);
        share = peer_share(peer);
    }
    if (fair_share_allows(&share, bytes))
        return 0;
    return refusal_note(
        log, -EDQUOT, "fair share (bytes)", bytes, fair_share_room(&share),
        "release blocks, raise the budget, or set peer_bytes in sea_ctx_options, which bounds it instead");
}

/* What the peer takes, and what the application wants of the pool. */
static int check_limits(const struct pool_budget *budget, uint64_t bytes) {
    const sea_pool *pool = budget->pool;
    struct pools *pools = &pool->peer->pooled.pools;
    uint64_t most = pool->peer->account->out_limit.bytes;
    if (bytes > most || pools_used(pools) > most - bytes)
        pools_trim_others(pools, pool);
    bool is_ours = most >= pool->peer->account->ctx->peer_limits.bytes;
    int r = check_limit(&pools->refused, is_ours ? "peer quota (bytes)" : "peer's bytes_max", most, pools_used(pools),
                        bytes,
                        is_ours ? "release blocks, or raise peer_bytes in sea_ctx_options"
                                : "release blocks, or raise the peer's bytes_max in sea_options");
    if (r < 0 || !pool->bytes_max)
        return r;
    return check_limit(&pools->refused, "pool's bytes_max", pool->bytes_max, pool_budget_used(budget), bytes,
                       "release blocks of this pool, or raise its bytes_max in sea_pool_options");
}

static int budget_check(const struct pool_budget *budget, uint64_t bytes) {
    const sea_pool *pool = budget->pool;
    struct pools *pools = &pool->peer->pooled.pools;
    pools->is_at_own_limit = false;
    int r = check_share(pool->peer, pool, bytes, &pools->refused);
    if (r < 0 || pool->is_private)
        return r;
    r = check_limits(budget, bytes);
    pools->is_at_own_limit = r < 0;
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
    pool_budget_ref(budget);
    atomic_store_explicit(&budget->pool->peer->account->member.has_memory, true, memory_order_relaxed);
    pools_note_peak(pools);
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

static void budget_needs_maintenance(void *owner) {
    struct pool_budget *budget = owner;
    budget->pool->peer->pooled.pools.needs_maintenance = true;
}

static void budget_retired(void *owner, uint32_t arena_id) {
    struct pool_budget *budget = owner;
    pools_retire(&budget->pool->peer->pooled.pools, arena_id);
}

static void budget_hold(void *owner) {
    pool_budget_ref(owner);
}

static void budget_tell(void *owner) {
    struct pool_budget *budget = owner;
    pthread_mutex_lock(&budget->ctx->lock);
    if (budget->pool)
        ctx_wake(&budget->pool->peer->account->member);
    pthread_mutex_unlock(&budget->ctx->lock);
    pool_budget_unref(budget);
}

const struct pool_ops POOL_BUDGET_OPS = {
    .charge = budget_charge,
    .uncharge = budget_uncharge,
    .uncharge_fd = budget_uncharge_fd,
    .retired = budget_retired,
    .needs_maintenance = budget_needs_maintenance,
    .hold = budget_hold,
    .tell = budget_tell,
};

/* Nobody's connection ends for what is no part of the budget to speak of. */
static bool is_little(const struct pool_budget *budget, uint64_t bytes) {
    uint64_t most = budget->ctx->budget.limit[QUOTA_BYTES] / LITTLE;
    return bytes + atomic_load_explicit(&budget->others, memory_order_relaxed) <= most;
}

int pool_budget_add(struct pool_budget *budget, uint64_t bytes, struct refusal_log *log) {
    int r = is_little(budget, bytes) ? 0 : check_share(budget->pool->peer, NULL, bytes, log);
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
