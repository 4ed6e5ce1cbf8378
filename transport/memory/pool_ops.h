/* SPDX-License-Identifier: MIT */
/*
 * What a pool is told by its owner, and what it tells: options, operations, gauges. memory/pool.h says what the pool does
 * with them, memory/pool_arenas.h does it.
 */
#ifndef MEMORY_POOL_OPS_H
#define MEMORY_POOL_OPS_H

#include "memory/arena_ids.h"
#include "memory/census.h"
#include "memory/rotation.h"

struct pool_ops {
    /* An arena is about to be made. 0, or a negative errno value: the pool retires what it can and asks once more.
     * Blocks may come back meanwhile. */
    int (*charge)(void *owner, uint64_t bytes, uint32_t fds);
    /* An arena is gone. For each charge once; of an arena, and of the pool, the very last thing, on whatever thread. */
    void (*uncharge)(void *owner, uint64_t bytes, uint32_t fds);
    /* An arena was announced, and its descriptor is closed. */
    void (*uncharge_fd)(void *owner);
    /* An announced arena is about to go: the peer may unmap it, and its id will be used again, though not soon. Not
     * called at or after pool_end(). */
    void (*retired)(void *owner, uint32_t arena_id);
    /* On the owner's thread: before that sleeps it is to call pool_maintain(). */
    void (*needs_maintenance)(void *owner);
    /* A slot comes back that pool_maintain() wants to know of: the owner's thread is to be woken. On any thread; `hold`
     * comes before it, for which the owner lives until `tell` is done. */
    void (*hold)(void *owner);
    void (*tell)(void *owner);
};

struct pool_options {
    const struct pool_ops *ops;  /* borrowed, static */
    void *owner;                 /* borrowed until all that was charged is uncharged */
    struct admission *admission; /* borrowed likewise; NULL: nobody is asked */
    struct census *census;       /* borrowed likewise, until the last arena is gone; NULL: none */
    struct arena_ids *audience;  /* borrowed until pool_end(); of several pools */
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
    uint64_t leased;                                               /* bytes; of one generation only */
    const struct pool_slot *oldest_lease;                          /* likewise; NULL: there is none */
    uint64_t allocated;                                            /* bytes of all blocks ever taken */
    uint64_t mapped_peak, out_peak;                                /* the most of mapped and bytes_out there ever was */
    uint64_t draining_arenas, draining_mapped, draining_bytes_out; /* of older generations; included above */
    uint64_t generation;                                           /* the newest one's number, from 1 */
};
#endif
