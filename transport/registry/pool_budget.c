/* SPDX-License-Identifier: MIT */
/* Budgets of pools. See pool_budget.h. */
#include "registry/pool_budget.h"

#include "memory/fair_share.h"
#include "sys/heap.h"
#include <errno.h>

/* A part of the budget: this many connections together can take all of it by little amounts. */
enum { LITTLE = 1024 };

struct pool_budget *pool_budget_new(struct budget_group *group, uint64_t bytes_max, bool is_private) {
    struct pool_budget *budget = heap_new(1, sizeof(*budget));
    if (!budget)
        return NULL;
    atomic_store_explicit(&budget->refs, 1, memory_order_relaxed);
    budget->ctx = sea_ctx_ref(group->account->ctx);
    budget->user = user_ref(budget->ctx, group->account->user);
    budget->group = group;
    budget->bytes_max = bytes_max;
    budget->is_private = is_private;
    LIST_PUSH(&group->all, budget, link);
    tally_begin(&budget->tally, budget->ctx);
    return budget;
}

struct pool_budget *pool_budget_end(struct pool_budget *budget) {
    LIST_REMOVE(budget, link);
    tally_end(&budget->tally, budget->ctx);
    pthread_mutex_lock(&budget->ctx->lock);
    budget->group = NULL;
    pthread_mutex_unlock(&budget->ctx->lock);
    return pool_budget_unref(budget);
}

struct pool_budget *pool_budget_ref(struct pool_budget *budget) {
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
    return budget;
}

struct pool_budget *pool_budget_unref(struct pool_budget *budget) {
    /* Release [BUD1] pairs with the acquire half of the same operation by the thread that drops the last reference.
     * Weaker: a use after free. */
    if (!budget || atomic_fetch_sub_explicit(&budget->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    user_put(budget->ctx, budget->user);
    sea_ctx_unref(budget->ctx);
    return heap_free(budget);
}

/* Bytes of the arenas that the peer maps; with private ones, of all. */
static uint64_t group_used(const struct budget_group *group, bool with_private) {
    uint64_t used = 0;
    for (const struct pool_budget *budget = group->all; budget; budget = budget->link.next)
        used += budget->is_private && !with_private ? 0 : pool_budget_used(budget);
    return used;
}

static void group_note_peak(struct budget_group *group) {
    uint64_t used = group_used(group, true);
    if (used > group->mapped_peak)
        group->mapped_peak = used;
}

static int check_limit(struct refusal_log *log, const char *limit, uint64_t most, uint64_t used, uint64_t bytes,
                       const char *advice) {
    if (used <= most && bytes <= most - used)
        return 0;
    return refusal_note(log, -EDQUOT, limit, bytes, used > most ? 0 : most - used, advice);
}

/* The parts of the budget: made for the peer, made for its user, and left. */
static struct fair_share group_share(const struct budget_group *group) {
    const struct quota *budget = &group->account->ctx->budget;
    struct fair_share share = {.budget = budget->limit[QUOTA_BYTES],
                               .left = budget->limit[QUOTA_BYTES] - quota_used(budget, QUOTA_BYTES),
                               .user = atomic_load_explicit(&group->account->user->made, memory_order_relaxed)};
    for (const struct pool_budget *one = group->all; one; one = one->link.next)
        share.peer += pool_budget_used(one) + atomic_load_explicit(&one->others, memory_order_relaxed);
    return share;
}

/* Where the application gave quotas, these hold. The quota of the peer bounds its out_limit and its leases. */
static int check_user(const struct account *account, uint64_t bytes, struct refusal_log *log) {
    const struct quota *quota = &account->user->quota;
    uint64_t made = atomic_load_explicit(&account->user->made, memory_order_relaxed);
    if (quota->limit[QUOTA_BYTES] >= account->ctx->budget.limit[QUOTA_BYTES])
        return 0; /* the budget will say so */
    return check_limit(log, "user quota (bytes)", quota->limit[QUOTA_BYTES], made, bytes,
                       "release blocks, or raise user_bytes in sea_ctx_options");
}

/* `but` is growing. */
static int check_share(const struct budget_group *group, const struct pool_budget *but, uint64_t bytes,
                       struct refusal_log *log) {
    if (!group->account->ctx->has_fair_shares)
        return check_user(group->account, bytes, log);
    struct fair_share share = group_share(group);
    if (!fair_share_allows(&share, bytes)) {
        group->ops->trim_others(group->owner, but);
        share = group_share(group);
    }
    if (fair_share_allows(&share, bytes))
        return 0;
    return refusal_note(
        log, -EDQUOT, "fair share (bytes)", bytes, fair_share_room(&share),
        "release blocks, raise the budget, or set peer_bytes in sea_ctx_options, which bounds it instead");
}

/* What the peer takes, and what the application wants of the pool. */
static int check_limits(const struct pool_budget *budget, uint64_t bytes) {
    struct budget_group *group = budget->group;
    uint64_t most = group->account->out_limit.bytes;
    if (bytes > most || group_used(group, false) > most - bytes)
        group->ops->trim_others(group->owner, budget);
    bool is_ours = most >= group->account->ctx->peer_limits.bytes;
    int r = check_limit(&group->refused, is_ours ? "peer quota (bytes)" : "peer's bytes_max", most,
                        group_used(group, false), bytes,
                        is_ours ? "release blocks, or raise peer_bytes in sea_ctx_options"
                                : "release blocks, or raise the peer's bytes_max in sea_options");
    if (r < 0 || !budget->bytes_max)
        return r;
    return check_limit(&group->refused, "pool's bytes_max", budget->bytes_max, pool_budget_used(budget), bytes,
                       "release blocks of this pool, or raise its bytes_max in sea_pool_options");
}

static int budget_check(const struct pool_budget *budget, uint64_t bytes) {
    struct budget_group *group = budget->group;
    group->is_at_own_limit = false;
    int r = check_share(group, budget, bytes, &group->refused);
    if (r < 0 || budget->is_private)
        return r;
    r = check_limits(budget, bytes);
    group->is_at_own_limit = r < 0;
    return r;
}

/* An arena counts as a block too: small ones without number would use up our mappings. */
static int budget_charge(void *owner, uint64_t bytes, uint32_t fds) {
    struct pool_budget *budget = owner;
    struct budget_group *group = budget->group;
    int r = budget_check(budget, bytes);
    if (r < 0)
        return r;
    admission_watch(&budget->ctx->admission, bytes, 1, fds);
    admission_tell(&budget->ctx->admission); /* the application's callback may free the missing memory */
    r = quota_charge(&budget->ctx->budget, bytes, 1, fds, &group->refused);
    if (r < 0)
        return r;
    ctx_count(budget->ctx, arena_bytes, bytes);
    atomic_fetch_add_explicit(&budget->user->made, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    pool_budget_ref(budget);
    atomic_store_explicit(&group->account->member.has_memory, true, memory_order_relaxed);
    group_note_peak(group);
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
    const struct pool_budget *budget = owner;
    budget->group->ops->needs_maintenance(budget->group->owner);
}

static void budget_retired(void *owner, uint32_t arena_id) {
    const struct pool_budget *budget = owner;
    budget->group->ops->retired(budget->group->owner, arena_id);
}

static void budget_hold(void *owner) {
    pool_budget_ref(owner);
}

static void budget_tell(void *owner) {
    struct pool_budget *budget = owner;
    pthread_mutex_lock(&budget->ctx->lock);
    if (budget->group)
        ctx_wake(&budget->group->account->member);
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

/* No connection ends for an amount that is small beside the budget. */
static bool is_little(const struct pool_budget *budget, uint64_t bytes) {
    uint64_t most = budget->ctx->budget.limit[QUOTA_BYTES] / LITTLE;
    return bytes + atomic_load_explicit(&budget->others, memory_order_relaxed) <= most;
}

int pool_budget_add(struct pool_budget *budget, uint64_t bytes, struct refusal_log *log) {
    int r = is_little(budget, bytes) ? 0 : check_share(budget->group, NULL, bytes, log);
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

bool pool_budget_make_room(sea_ctx *ctx, const struct pool_budget *budget) {
    struct budget_group *group = budget ? budget->group : NULL;
    uint64_t before = group ? group_used(group, true) : 0;
    bool has_dropped = stock_drop(&ctx->stock);
    if (group)
        group->ops->trim_others(group->owner, NULL);
    ctx_ask_others(ctx, group ? &group->account->member : NULL);
    return has_dropped || (group && group_used(group, true) < before);
}
