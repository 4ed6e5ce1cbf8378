/* SPDX-License-Identifier: MIT */
/*
 * A peer: all that a connection and its peer lend each other, and the account of it.
 *
 * Owned by the connection's lane, from its beginning to its end. The account, and what blocks need of it, may outlive
 * the peer.
 *
 * Threads: the connection's.
 */
#ifndef REGISTRY_PEER_H
#define REGISTRY_PEER_H

#include "registry/imports.h"
#include "registry/lease.h"
#include "registry/pooled.h"
#include <sealane/block.h>
#include <stdbool.h>

struct peer {
    struct account *account; /* owned reference */
    struct lease_table leases;
    struct pooled pooled;
    uint64_t dropped_blocks, dropped_bytes; /* leases that peer_end_some() has dropped */
};

/* `user` is what user_name() says; `on_release` and `owner` are the account's. NULL: out of memory. */
struct peer *peer_new(sea_ctx *ctx, uint64_t user, account_on_release *on_release, void *owner);

/* After peer_end(). Returns NULL. */
struct peer *peer_free(struct peer *peer);

/* Is pools_maintain() wanted soon, though the connection may not rest? */
static inline bool pools_need_maintenance(const struct peer *peer) {
    return peer->pooled.pools.needs_maintenance ||
           atomic_load_explicit(&peer->account->member.trim, memory_order_relaxed);
}

/* The connection is about to end: does what peer_end() has to do, as much as the account's work allows. true: the rest
 * takes no time. */
bool peer_end_some(struct peer *peer);

/* The connection has ended: drops every lease that the peer held, forgets its handles, and calls on_release no more.
 * Returns how many leases were dropped, those by peer_end_some() included. */
uint64_t peer_end(struct peer *peer, uint64_t *ret_bytes);

/* Gives back the tables that are empty. */
void peer_trim(struct peer *peer);

/* The lease that the peer has held for longest. */
struct lease_report peer_oldest_lease(const struct peer *peer);

#endif
