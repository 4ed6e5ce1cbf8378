/* SPDX-License-Identifier: MIT */
/*
 * The budget of a pool: what its memory is charged to, and whether there may be more of it.
 *
 * One for each pool that has begun. The arenas are charged to the context's budget, one by one. Before that three
 * limits are asked: the fair share of the connection, or the quota of the user where the application gave quotas; the
 * bytes that the peer takes; and the pool's bytes_max. Other blocks for the same peer, sealed ones and in the heap,
 * count in the share too, wherever they go then; registry/block.c charges them. Of a private pool the first limit alone
 * is asked. Where the fair share or the peer's limit refuses, the other pools of the connection are trimmed first.
 *
 * The budgets of one connection are a group. The group does not know the pools: it calls them through budget_ops.
 *
 * Owned by reference: the pool's, one by each charge of an arena, and one by each other block. So a budget outlives its
 * pool and the connection for as long as the application holds blocks, and with it the context and struct user.
 *
 * Owns: its sums, and references of context and user. Touches: the context's budget, admission and counters, `made` of
 * the user, `has_memory` of the account's member, and the other pools of the group (trimmed by budget_ops). A charge
 * may call the application (admission_tell()); pool_budget_make_room() wakes the context's other members.
 *
 * Threads: the connection's. Any thread, also after the connection's end, gives back: pool_budget_return(),
 * pool_budget_unref(), and `uncharge`, `hold` and `tell` of POOL_BUDGET_OPS. `tell` finds the group, or its end, under
 * the context's lock.
 *
 * Invariants: used == sum of the pool's arenas, == 0 with the last reference; others == sum of other blocks. The user's
 * `made` == sum of used + others over all pools of its connections.
 */
#ifndef REGISTRY_POOL_BUDGET_H
#define REGISTRY_POOL_BUDGET_H

#include "memory/pool.h"
#include "registry/account.h"
#include "util/list.h"

struct pool_budget;

/* How budgets call the pools of their connection. `owner` is the group's. */
struct budget_ops {
    /* All pools but the pool of `but` give back their free memory (NULL: all pools). */
    void (*trim_others)(void *owner, const struct pool_budget *but);
    /* An announced arena is gone: the peer is to be told. */
    void (*retired)(void *owner, uint32_t arena_id);
    /* Before the connection sleeps, its pools want maintenance. */
    void (*needs_maintenance)(void *owner);
};

/* The budgets of one connection. */
struct budget_group {
    struct account *account; /* borrowed */
    const struct budget_ops *ops;
    void *owner;                /* of `ops`, borrowed */
    struct pool_budget *all;    /* of the pools that have begun */
    struct refusal_log refused; /* by a limit: why a charge failed last. No refusal yet, there may be another way */
    uint64_t mapped_peak;       /* bytes, the most that was charged at a time */
    bool is_at_own_limit; /* a charge failed since the peer takes no more, or the pool: other memory makes no room */
};

struct pool_budget {
    struct tally tally; /* of its blocks; it has ended when the pool has */
    _Atomic uint32_t refs;
    _Atomic uint64_t used;      /* bytes of arenas */
    _Atomic uint64_t others;    /* bytes of other blocks that were made for the peer: sealed ones, and in the heap */
    sea_ctx *ctx;               /* owned reference */
    struct user *user;          /* owned reference */
    struct budget_group *group; /* borrowed; NULL once the pool has ended. Set under the context's lock */
    LIST_LINK(struct pool_budget) link; /* of the group */
    uint64_t bytes_max;                 /* 0: no limit of its own */
    bool is_private;                    /* no peer maps its arenas */
};

/* The operations of a struct pool that has a budget as its owner. */
extern const struct pool_ops POOL_BUDGET_OPS;

/* For a pool that begins; its connection lives. The caller owns one reference. NULL: out of memory. */
struct pool_budget *pool_budget_new(struct budget_group *group, uint64_t bytes_max, bool is_private);

/* The pool has ended: drops its reference. Returns NULL. */
struct pool_budget *pool_budget_end(struct pool_budget *budget);

struct pool_budget *pool_budget_ref(struct pool_budget *budget);
struct pool_budget *pool_budget_unref(struct pool_budget *budget);

/* Bytes of arenas. NULL: none. */
static inline uint64_t pool_budget_used(const struct pool_budget *budget) {
    return budget ? atomic_load_explicit(&budget->used, memory_order_relaxed) : 0;
}

/*
 * Of a block that is made for the peer elsewhere. Its maker has a reference, adds the bytes before the context is
 * charged with them (-EDQUOT, noted in `log`), and returns as many.
 */
int pool_budget_add(struct pool_budget *budget, uint64_t bytes, struct refusal_log *log);
void pool_budget_return(struct pool_budget *budget, uint64_t bytes);

/*
 * Before something is refused for want of memory: what the connection of `budget` keeps goes at once (NULL: no
 * connection is known), the other members of the context are asked. Returns whether something has gone: then it is
 * worth another try.
 */
bool pool_budget_make_room(sea_ctx *ctx, const struct pool_budget *budget);

#endif
