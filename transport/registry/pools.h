/* SPDX-License-Identifier: MIT */
/*
 * The pools of one connection: one for each lifetime, whose arenas only its peer may read.
 *
 * Each has a budget, which its arenas are charged to (registry/pool_budget.h). All together never hold more than the
 * peer takes, each never more than its bytes_max. A pool that the application has let go of, or that has ended with the
 * connection, lives on in memory/pool.h until its blocks are back.
 *
 * Threads: the connection's.
 */
#ifndef REGISTRY_POOLS_H
#define REGISTRY_POOLS_H

#include "memory/pool.h"
#include "registry/ctx.h"
#include <sealane/pool.h>

struct peer;
struct pool_budget;

struct sea_pool {
    struct peer *peer;          /* borrowed; NULL once the connection has ended */
    void *conn;                 /* the application's face of it, borrowed; for the layers above */
    struct pool *pool;          /* owned; made with the first block */
    struct pool_budget *budget; /* owned reference; as `pool` */
    sea_pool *next;             /* of the same connection */
    uint64_t bytes_max, retained_max;
    struct pool_policy policy;
    bool is_private; /* of inline blocks, whose memory no peer sees */
    bool is_freed;   /* by the application: it goes when its arenas are gone */
    char name[32];
};

struct pools {
    struct arena_ids audience; /* owned */
    sea_pool own, private;     /* of the connection itself */
    sea_pool *all;             /* these and others, which are owned once they are freed */
    uint32_t *retired;         /* owned; ids of arenas that are gone, of which the peer was not told yet */
    uint32_t retired_count, retired_capacity;
    struct refusal_log refused; /* by a quota: why pools_take() failed last. No refusal yet, there may be another way */
    uint64_t active, retained;  /* bytes, when pools_maintain() was last called */
    uint64_t mapped_peak;       /* bytes, the most that was charged at a time */
    uint64_t renewed_at;        /* CLOCK_MONOTONIC, by pools_renew() */
    uint64_t deadline;          /* when to call pools_maintain(); WAIT_FOREVER: no need to */
    bool is_at_own_limit; /* it failed since the peer takes no more, or the pool: no other memory makes room for that */
    bool needs_maintenance; /* before the connection sleeps, pools_maintain() is to be called */
    bool is_waiting;        /* its return is looked for: of something that may be with the peer */
};

void pools_init(struct peer *peer);

/* Drops every lease and ends all pools. Returns how many leases there were. */
uint64_t pools_end(struct peer *peer, uint64_t *ret_bytes);

/* Before pools_end(): as much of that as the peer's work allows; adds to both what the leases were. true: little is
 * left. */
bool pools_end_some(struct peer *peer, uint64_t *count, uint64_t *bytes);

/* NULL: nothing is wrong; else what is. */
int pools_check_options(const sea_pool_options *given, const char **ret_why);

/* Sets what a pool without arenas will do. `options` were checked, and may be NULL. */
void pools_set_options(sea_pool *pool, const sea_pool_options *given);

/* -ENOMEM, -EPIPE. The caller owns it. */
int pools_new(sea_pool **ret_pool, struct peer *peer, const sea_pool_options *options);
sea_pool *pools_free(sea_pool *pool);

/* A block's memory. On failure an error for pools_explain(), should there be no other way. */
int pools_take(sea_pool *pool, size_t size, struct pool_slot **ret_slot);

/* Notes why pools_take() has just failed. Returns the error to tell: -EPIPE, -EDQUOT, -ENOMEM, -EMFILE, -ENFILE,
 * -ENODEV, -EACCES. */
int pools_explain(struct peer *peer, int error, size_t size);

/* So that `count` blocks of `size` bytes are free: see pool_reserve(). The pool's connection lives. -EDQUOT, -ENOMEM,
 * -EMFILE: noted as refusals. */
int pools_reserve(sea_pool *pool, size_t size, uint32_t count);

/* All pools `but` one (NULL: all) give back what is free. */
void pools_trim_others(const struct pools *pools, const sea_pool *but);

/*
 * Before something is refused for want of memory: what this connection keeps goes at once (`peer` NULL: none is known),
 * the others of the context are told. Returns whether something has gone: then it is worth another try.
 */
bool pools_give_back(sea_ctx *ctx, struct peer *peer);

/* For a block that is made for the pool's peer elsewhere. The caller owns a reference. -ENOMEM, -EPIPE. */
int pools_ref_budget(sea_pool *pool, struct pool_budget **ret_budget);

/* Is the slot one of this connection's? */
bool pools_have(const struct pools *pools, const struct pool_slot *slot);

/* The lease that the peer has held for longest; NULL: it holds none. */
const struct pool_slot *pools_oldest_lease(const struct pools *pools);

/* Sums: allocated, bytes_out, mapped and retained. Looks at all arenas. */
void pools_gauges(const struct pools *pools, struct pool_gauges *ret_sums);

/* So that arenas can be retired without fail: before one is announced. -ENOMEM. */
int pools_reserve_retired(struct pools *pools);

/* Notes an announced arena that is gone: the peer is to be told. */
void pools_retire(struct pools *pools, uint32_t arena_id);

/*
 * Trims, rotates and forgets what is due, and says in `deadline` when to do so again. Before the connection sleeps.
 * Returns whether sea_ctx_trim() was called: then the caller gives back what it keeps itself.
 */
bool pools_maintain(struct peer *peer);

/* Gives back the tables of arenas while there are none, and none to tell of. */
void pools_trim(struct pools *pools);

/*
 * The peer had no room for something of ours. An arena that it refused it goes on to refuse: so new ones are made,
 * which it may have room for by then. At most once a second.
 */
void pools_renew(struct peer *peer);

#endif
