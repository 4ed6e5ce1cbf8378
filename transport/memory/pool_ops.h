/* SPDX-License-Identifier: MIT */
/*
 * What the owner of a pool gives to it: options and operations; and the gauges that it reads. memory/pool.h describes
 * the pool, memory/pool_arenas.h uses these, registry/pool_budget.c has the operations.
 *
 * Owns: nothing. Threads: the pool's owner's, but for `uncharge`, `hold` and `tell`: these come on the thread that puts
 * a block, which may be any.
 */
#ifndef MEMORY_POOL_OPS_H
#define MEMORY_POOL_OPS_H

#include "memory/arena_ids.h"
#include "memory/census.h"
#include "memory/rotation.h"

struct pool_ops {
    /* Charges the owner for an arena that is about to be made, and again for pages that the kernel added to it. 0, or a
     * negative errno value: then pool_take() retires as much as it can and asks once more, for one block, and
     * pool_reserve() gives up. Blocks may come back meanwhile. */
    int (*charge)(void *owner, uint64_t bytes, uint32_t fds);
    /* Returns the charge of an arena that is gone, once for each charge. It is the last call for an arena, and for the
     * pool, and may come on any thread. */
    void (*uncharge)(void *owner, uint64_t bytes, uint32_t fds);
    /* Returns the charge for a descriptor: the arena was announced, and its descriptor is closed. */
    void (*uncharge_fd)(void *owner);
    /* An announced arena is about to go: the peer may unmap it, and its id will be used again, though not soon. Not
     * called at or after pool_end(). */
    void (*retired)(void *owner, uint32_t arena_id);
    /* Asks the owner to call pool_maintain() before its thread sleeps. Called on the owner's thread. */
    void (*needs_maintenance)(void *owner);
    /* A slot came back to a pool that is watched (memory/pool.h): `tell` wakes the owner's thread. Both may come on any
     * thread. `hold` comes first: it keeps the owner alive until `tell` has returned. */
    void (*hold)(void *owner);
    void (*tell)(void *owner);
};

struct pool_options {
    const struct pool_ops *ops;  /* borrowed, static */
    void *owner;                 /* borrowed until all charges are returned */
    struct admission *admission; /* borrowed until all charges are returned; NULL: memory needs no admission */
    struct census *census;       /* borrowed until the last arena is gone; NULL: the arenas enter no census */
    struct arena_ids *audience;  /* borrowed until pool_end(); several pools may share it */
    size_t extra;                /* bytes of slot->extra; zeroed when an arena is made, then the user's */
    uint64_t retained_max;       /* bytes */
    uint64_t reuse_footprint;    /* bytes; see pool_distance() */
    uint64_t reuse_least;        /* bytes */
    bool is_private;             /* private arenas: no descriptors, and no leases */
    struct pool_policy policy;
};

struct pool_gauges {
    uint64_t mapped; /* bytes in arenas */
    uint64_t arenas;
    uint64_t blocks_out;
    uint64_t bytes_out; /* of these blocks */
    uint64_t retained;  /* bytes */
    uint64_t reserved;  /* bytes of reserved arenas */
    uint64_t leases;
    uint64_t leased;                                               /* bytes leased; of one generation only */
    const struct pool_slot *oldest_lease;                          /* of one generation only; NULL: no lease */
    uint64_t allocated;                                            /* bytes of all blocks ever taken */
    uint64_t mapped_peak, out_peak;                                /* the largest mapped and bytes_out so far */
    uint64_t draining_arenas, draining_mapped, draining_bytes_out; /* of older generations; also counted above */
    uint64_t generation;                                           /* number of the newest generation, from 1 */
};
#endif
