/* SPDX-License-Identifier: MIT */
/*
 * Whom a pool's memory is charged to, and whether there may be more of it.
 *
 * One for each pool that has begun. Its arenas are charged to the context's budget, one by one. Before that its peer's
 * fair share of the budget is asked, or where the application gave quotas that of the user; then what the peer takes;
 * then the pool's bytes_max. Other blocks for that peer, sealed ones and in the heap, count in the same share, wherever
 * they go then, but registry/block.c charges them. What a share or the peer refuses has the other pools of the
 * connection trimmed first; what else is done about a refusal, and when pools give back, registry/pools.c decides.
 *
 * Owned by reference: the pool's, one by each arena, and one by each other block. So it outlives the pool and the
 * connection for as long as the application holds blocks, and with it the context and the account of the user.
 *
 * Threads: the connection's, but for what gives back: pool_budget_return(), pool_budget_unref(), and what
 * POOL_BUDGET_OPS have for late blocks.
 *
 * Invariants: used == sum of the pool's arenas, == 0 with the last reference; others likewise of other blocks. The
 * user's `made` == sum of used + others over all pools of its connections.
 */
#ifndef REGISTRY_POOL_BUDGET_H
#define REGISTRY_POOL_BUDGET_H

#include "memory/pool.h"
#include "registry/ctx.h"
#include <sealane/pool.h>

struct pool_budget {
    struct tally tally; /* of its blocks; it has ended when the pool has */
    _Atomic uint32_t refs;
    _Atomic uint64_t used;   /* of arenas */
    _Atomic uint64_t others; /* of other blocks that were made for the pool's peer: sealed ones, and in the heap */
    sea_ctx *ctx;            /* owned reference */
    struct user *user;       /* owned reference */
    sea_pool *pool;          /* borrowed; NULL once that has ended. Set under the context's lock */
};

/* How a struct pool asks, whose owner is a budget. What concerns the connection's other pools is passed on to these. */
extern const struct pool_ops POOL_BUDGET_OPS;

/* Of a pool that begins, whose connection lives. The caller owns one reference. NULL: out of memory. */
struct pool_budget *pool_budget_new(sea_pool *pool);

/* The pool has ended: drops its reference. Returns NULL. */
struct pool_budget *pool_budget_end(struct pool_budget *budget);

struct pool_budget *pool_budget_ref(struct pool_budget *budget);
struct pool_budget *pool_budget_unref(struct pool_budget *budget);

/* Bytes of arenas. NULL: none. */
uint64_t pool_budget_used(const struct pool_budget *budget);

/*
 * Of a block that is made for the pool's peer elsewhere. Whoever makes it holds a reference (pools_ref_budget()), adds
 * its bytes before it charges the context with them (-EDQUOT, noted in `log`), and returns as many.
 */
int pool_budget_add(struct pool_budget *budget, uint64_t bytes, struct refusal_log *log);
void pool_budget_return(struct pool_budget *budget, uint64_t bytes);

#endif
