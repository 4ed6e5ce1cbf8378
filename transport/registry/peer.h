/* SPDX-License-Identifier: MIT */
/*
 * A peer's account: what it holds of ours (leases), what we hold of it (imports), and what it may.
 *
 * One for each connection. Imports keep the account alive beyond the connection's end: their memory is charged until
 * the application lets go of it. Owned by reference; belongs to the connection's thread, but for leases, which the
 * table's lock protects.
 *
 * Invariants: leased_blocks == length of the lease list + pooled blocks on lease; imported_blocks == number of imports
 * in the chains while the connection lives; quota.used[QUOTA_BLOCKS] == leased_blocks + imports not yet released +
 * copies of pooled payloads (import.is_copy) + arenas of the peer's that we map; bytes include these arenas, inline
 * payloads beyond PEER_INLINE_FREE, replies that are queued, and messages that are kept.
 */
#ifndef REGISTRY_PEER_H
#define REGISTRY_PEER_H

#include "memory/work.h"
#include "registry/ctx.h"
#include "registry/pooled.h"
#include <sealane/block.h>
#include <stdbool.h>

struct import;

/* What one side lets the other make it hold. */
struct credit {
    uint64_t bytes;
    uint32_t blocks;
};

/* Called when a block that came from this peer has lost its last reference: the lease goes back. */
typedef void peer_on_release(void *owner, uint64_t handle);

/* Of imports: the first table, and the largest, in which they are entered anew within a millisecond. */
enum { PEER_CHAINS_FIRST = 256, PEER_CHAINS_MAX = 1 << 15 };

/* A connection's own, like its buffers: so that small messages that come and go cost nothing here, and that who uses
 * all that it was granted is still heard. */
#define PEER_INLINE_FREE (UINT64_C(64) << 10)

/* What a connection is asked to give back: all that is free when somebody has no room; what is reserved, and tables, by
 * sea_ctx_trim() alone. */
enum trim { TRIM_NOTHING, TRIM_FREE, TRIM_ALL };

struct peer {
    uint32_t refs;
    sea_ctx *ctx;                                 /* owned reference */
    struct user *user;                            /* owned reference */
    struct quota quota;                           /* leases and imports together; its parent is the user's */
    struct slot_list leases;                      /* the newest first; under the lease table's lock */
    struct credit out_limit, in_limit;            /* as the peer granted us, as we granted it */
    _Atomic uint64_t leased_blocks, leased_bytes; /* of sealed and of pooled blocks */
    uint64_t imported_blocks, imported_bytes;
    uint64_t messages;                      /* of its connection, that there are */
    uint64_t inline_free;                   /* bytes of inline payloads that it is not charged with */
    struct work work;                       /* that its connection may still do for it in this turn */
    uint64_t dropped_blocks, dropped_bytes; /* leases that peer_end_some() has dropped */
    struct pooled pooled;
    struct import **imports;   /* chains by handle, owned; made with the first import; NULL: there is none */
    uint32_t imports_capacity; /* how many: 0, or a power of two */
    uint64_t imports_key;      /* odd; of their hash, so that the peer cannot choose handles which share a chain */
    struct peer *next, **link; /* on the context's list until the connection has ended; under its lock */
    /* From any thread, under the context's lock: gives the connection a turn. NULL: nothing does. */
    void (*wake)(void *waker);
    void *waker;      /* likewise; borrowed until the connection has ended */
    _Atomic int trim; /* enum trim; raised by any thread, taken in the connection's next turn */
    peer_on_release *on_release;
    void *owner; /* of on_release, borrowed; NULL once the connection has ended */
};

/* A peer's block that we hold. Embedded in the block. */
struct import {
    struct peer *peer; /* owned reference; NULL: the block is not an import */
    uint64_t handle;
    struct import *next;
    bool is_pooled; /* its bytes are charged with its arena */
    bool is_copy;   /* private memory of ours, which the peer's payload takes up: no lease */
    bool is_inline; /* such a copy, of an inline payload: charged in bytes alone, since it takes no mapping */
    bool is_free;   /* and within PEER_INLINE_FREE: not charged */
};

/* `user` is what user_name() says. The caller owns one reference. NULL: out of memory. */
struct peer *peer_new(sea_ctx *ctx, uint64_t user, peer_on_release *on_release, void *owner);
struct peer *peer_unref(struct peer *peer);

/* Is pools_maintain() wanted soon, though the connection may not rest? */
static inline bool pools_need_maintenance(const struct peer *peer) {
    return peer->pooled.pools.needs_maintenance || atomic_load_explicit(&peer->trim, memory_order_relaxed);
}

/*
 * A limit of the process or the machine is reached: tells all of the context's connections `but` one (NULL: all) to
 * give back what they keep, as sea_ctx_trim() does; but at most once a second. From any thread.
 */
void peers_give_back(sea_ctx *ctx, const struct peer *but);

/* Sets what wakes its connection. */
void peer_set_wake(struct peer *peer, void (*wake)(void *waker), void *waker);

/* The connection is about to end: does what peer_end() has to do, as much as `work` allows. true: the rest takes no
 * time. */
bool peer_end_some(struct peer *peer);

/* The connection has ended: drops every lease that the peer held, forgets its handles, and calls on_release no more.
 * Returns how many leases were dropped, those by peer_end_some() included. */
uint64_t peer_end(struct peer *peer, uint64_t *ret_bytes);

/* Gives back the tables that are empty. */
void peer_trim(struct peer *peer);

/* The lease that the peer has held for longest. */
struct lease_report peer_oldest_lease(const struct peer *peer);

/* Of all peers: its age, 0: none holds any. From any thread; of pooled blocks as pools_maintain() knew. */
uint64_t peers_oldest_age(sea_ctx *ctx);

/* Is there room for one more lease of `size` bytes within what the peer granted? */
bool peer_has_credit(const struct peer *peer, uint64_t size);

/* Called by what grants leases alone: the lease table, and pooled. */
int peer_charge_lease(struct peer *peer, uint64_t size);
void peer_return_lease(struct peer *peer, uint64_t size);

/* Does the peer have a lease of that name with us at this moment? */
bool peer_has_import(const struct peer *peer, uint64_t handle);

/* Would one more import of `size` bytes exceed what we granted? */
bool peer_is_over_limit(const struct peer *peer, uint64_t size);

/* Charges an import to the peer and its user, and enters it. Fails with -EDQUOT or -ENOMEM. */
int peer_add_import(struct peer *peer, struct import *import, uint64_t handle, uint64_t size, bool is_pooled);

/* Charges the peer with a copy of its payload, which it does not hold a lease on. -EDQUOT. */
int peer_add_copy(struct peer *peer, struct import *import, uint64_t size);

/* The same of an inline payload, but for the first PEER_INLINE_FREE bytes of them that there are at a time. */
int peer_add_inline(struct peer *peer, struct import *import, uint64_t size);

/* The opposite of these; gives the lease back to the peer while it lives. `import` is not of any peer then. */
void peer_remove_import(struct import *import, uint64_t size);

/* Charges the peer and its user with pages that the kernel added to an import; no credit counts them. -EDQUOT. Then the
 * opposite. */
int peer_charge_pages(struct peer *peer, uint64_t bytes);
void peer_return_pages(struct peer *peer, uint64_t bytes);

/* Takes an import back that could not be made: as above, but the lease is not given back. */
void peer_cancel_import(struct import *import, uint64_t size);

/* Bytes of our memory that the peer takes up: what waits for it to read it, and its messages that are kept. -EDQUOT. */
int peer_charge_held(struct peer *peer, uint64_t size);
void peer_return_held(struct peer *peer, uint64_t size);

#endif
