/* SPDX-License-Identifier: MIT */
/*
 * The pools of one connection: one for each lifetime, and a private one for inline blocks. Only the peer of the
 * connection may read their arenas; the private pool has memory from the heap, which no peer reads.
 *
 * Each has a budget, which its arenas are charged to (registry/pool_budget.h). All pools but the private one together
 * never hold more than the peer takes, each never more than its bytes_max.
 *
 * Owns: the connection's own pool and the private one; each other sea_pool is the application's until pools_free(), and
 * then goes when its arenas are gone; the audience's ids; the list of retired arenas, which the lane sends and empties.
 * A struct pool that has ended lives on in memory/pool.h until its blocks are back. Touches: the account: charges and
 * work when leases end, and its member (trim, has_memory, oldest_pooled); the context's refusals. Making an arena may
 * call the application (admission_tell()); a lack of memory asks other connections to trim.
 *
 * Threads: the connection's. After the connection's end (pools_end()) the pools are empty, and pools_free() is left: on
 * the thread that has the sea_pool. Blocks come back on any thread (memory/pool.h).
 */
#ifndef REGISTRY_POOLS_H
#define REGISTRY_POOLS_H

#include "registry/pooled_block.h"
#include "util/list.h"
#include <sealane/pool.h>

struct pools;

struct sea_pool {
    struct pools *pools;        /* borrowed; NULL once the connection has ended */
    void *conn;                 /* the application's face of it, borrowed; for the layers above */
    struct pool *pool;          /* owned; made with the first block */
    struct pool_budget *budget; /* owned reference; as `pool` */
    LIST_LINK(sea_pool) link;   /* of the same connection */
    uint64_t bytes_max, retained_max;
    struct pool_policy policy;
    bool is_private; /* of inline blocks: no peer sees their memory */
    bool is_freed;   /* by the application: it goes when its arenas are gone */
    bool is_own;     /* the connection lends it to the program, which does not free it */
    char name[32];
};

struct pools {
    struct account *account; /* borrowed */
    struct budget_group group;
    struct arena_ids audience; /* owned */
    sea_pool own, private;     /* of the connection itself */
    sea_pool *all;             /* these and others, which are owned from pools_free() on */
    uint32_t *retired;         /* owned; ids of arenas that are gone, while the peer does not know it yet */
    uint32_t retired_count, retired_capacity;
    uint64_t reuse_footprint;  /* bytes, of each pool */
    uint64_t active, retained; /* bytes, when pools_maintain() was last called */
    uint64_t surplus_at;       /* when memory goes that shorter cycles have left; WAIT_FOREVER: there is none */
    uint64_t renewed_at;       /* CLOCK_MONOTONIC, by pools_renew() */
    uint64_t maintained_at;    /* wait_now_coarse(), by pools_maintain() */
    uint64_t deadline;         /* when to call pools_maintain(); WAIT_FOREVER: no need to */
    bool needs_maintenance;    /* before the connection sleeps, pools_maintain() is to be called */
    bool is_waiting;           /* a pool waits for blocks that may be with the peer (pool_is_waiting()) */
};

void pools_init(struct pools *pools, struct account *account);

/* Changes the footprint of reuse of all pools, also of those that are made later; at first it is the calibration's. See
 * pool_set_footprint(). What the cycles leave when they become shorter goes after a second, a turn's work at a time,
 * unless a larger footprint comes before. Other free memory is the options' matter. */
void pools_set_footprint(struct pools *pools, uint64_t footprint);

/* After pools_end(). */
void pools_deinit(struct pools *pools);

/* The connection has ended: drops every lease and ends all pools; sea_pool.pools is NULL then. Returns how many leases
 * there were, and their bytes. A second call finds none. */
uint64_t pools_end(struct pools *pools, uint64_t *ret_bytes);

/* Before pools_end(): as much of that as the account's work allows; adds to both what the leases were. true: little is
 * left. */
bool pools_end_some(struct pools *pools, uint64_t *count, uint64_t *bytes);

/* -EINVAL, -E2BIG: these options are not valid, for the reason in *ret_why, a static text. */
int pools_check_options(const sea_pool_options *given, const char **ret_why);

/* Sets the options of a pool without arenas. pools_check_options() has accepted `given`, which may be NULL. */
void pools_set_options(sea_pool *pool, const sea_pool_options *given);

/* A pool without memory, of a connection that lives. The caller owns it. -ENOMEM. */
int pools_new(sea_pool **ret_pool, struct pools *pools, const sea_pool_options *options);

/* Takes an application's pool (or NULL). While the connection lives its blocks drain, and pools_maintain() frees it
 * when no arena is left; after pools_end() it is freed at once. A connection's own pool stays: that is a misuse.
 * Returns NULL. */
sea_pool *pools_free(sea_pool *pool);

/* A block's memory. -EPIPE: the connection has ended. Other errors are for pools_explain(), should there be no other
 * way; only -EDQUOT has a meaning before: a limit refused. */
int pools_take(sea_pool *pool, size_t size, struct pool_slot **ret_slot);

/*
 * Notes why pools_take() has just failed. Returns the error to tell: -EPIPE (not noted) · -EDQUOT (a limit) · -ENOMEM ·
 * -EMFILE, -ENFILE · -ENODEV, -EACCES (NUMA nodes) · -EPERM, -ENOSYS, and others: a system call that is forbidden, or
 * that failed without a known limit.
 */
int pools_explain(struct pools *pools, int error, size_t size);

/* So that `count` blocks of `size` bytes are free: see pool_reserve(). The pool's connection lives. Errors: noted, as
 * by pools_explain(). */
int pools_reserve(sea_pool *pool, size_t size, uint32_t count);

/* The budget of the connection's own pool, borrowed: the share of a block that is made for the peer elsewhere. -ENOMEM,
 * -EPIPE. */
int pools_share(struct pools *pools, struct pool_budget **ret_share);

/* --- blocks --- */

/* A writable block from one of the pools. Errors: as pools_take(), not noted: pools_explain() does that. */
int pools_take_block(sea_block **ret_block, sea_pool *pool, size_t size);

/* A writable block of `size` bytes from the connection's own pool. Its bytes are what an earlier payload for this peer
 * left, or 0. Errors: noted, as by pools_explain(). */
int pools_new_block(sea_block **ret_block, struct pools *pools, size_t size);

/* A writable inline block from the private pool. Errors: as pools_take(), not noted. */
int pools_new_inline(sea_block **ret_block, struct pools *pools, size_t size);

/* A block of the class SEA_POOLED or SEA_INLINE from free memory. NULL: an arena has to be made. */
sea_block *pools_ready_block(const struct pools *pools, int payload_class, size_t size);

/* A block of the class SEA_POOLED or SEA_INLINE in the memory that came back last. NULL: there is none. */
static inline sea_block *pools_hot_block(const struct pools *pools, int payload_class, size_t size) {
    struct pool *pool = (payload_class == SEA_INLINE ? &pools->private : &pools->own)->pool;
    struct pool_slot *slot = pool && size <= POOL_HOT_LARGEST ? pool_take_hot(pool, size) : NULL;
    return slot ? block_lend(slot_block(slot), payload_class, size) : NULL;
}

/* Grants the lease of a block for which pools_have() is true. -EDQUOT, -ENOMEM. */
int pools_lease(struct pools *pools, sea_block *block, uint64_t *ret_handle);

/* The peer gives a lease back, or it was never sent. -ESTALE: it has no such lease. */
int pools_release(struct pools *pools, uint64_t handle);

/* Is it a block of a pool of this connection, and may the peer read its arena? */
static inline bool pools_have(const struct pools *pools, const sea_block *block) {
    const sea_pool *pool = block->slot ? pools->all : NULL;
    while (pool && (pool->is_private || pool->budget != block->budget))
        pool = pool->link.next;
    return pool;
}

/* The lease that the peer has held for longest; NULL: it holds none. */
const struct pool_slot *pools_oldest_lease(const struct pools *pools);

/* Sums: allocated, bytes_out, mapped and retained. Looks at all arenas. */
void pools_gauges(const struct pools *pools, struct pool_gauges *ret_sums);

/*
 * Trims and rotates the pools that are due, forgets those that are gone, and says in `deadline` when to do so again.
 * Before the connection sleeps. Returns whether sea_ctx_trim() was called: then the caller gives back its own spare
 * memory.
 */
bool pools_maintain(struct pools *pools);

/* Gives back the tables of arenas while there are none, and none to tell of. */
void pools_trim(struct pools *pools);

/*
 * The peer had no room for something of ours. An arena that it refused it goes on to refuse: so new ones are made,
 * which it may have room for by then. At most once a second.
 */
void pools_renew(struct pools *pools);

#endif
