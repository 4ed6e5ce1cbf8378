/* SPDX-License-Identifier: MIT */
/*
 * A peer: all that a connection and its peer lend each other, and the account of it. Most functions only choose
 * the module that does the work.
 *
 * Life: the connection's lane owns it. peer_new(); peer_end() at the connection's end; with the connection's memory,
 * which messages may keep for longer, peer_end() again and peer_free(). The account, and what blocks need of it, may
 * outlive the peer.
 *
 * Owns: the table of leases, the pools, the views, and a reference of the account. Touches: the account, the budget and
 * the counters of the context, by these modules; the block that is lent, which becomes read-only. It sends nothing: the
 * lane does. lane and rpc also use the pools, the views and the account of a peer directly.
 *
 * Threads: the connection's; after the connection's end the thread that has entered its mailbox (registry/mailbox.h).
 */
#ifndef REGISTRY_PEER_H
#define REGISTRY_PEER_H

#include "registry/lease.h"
#include "registry/pools.h"
#include "registry/sealed_block.h"
#include "registry/views.h"
#include <sealane/block.h>
#include <stdbool.h>

struct peer {
    struct account *account;                /* owned reference */
    struct lease_table leases;              /* sealed blocks of ours */
    struct pools pools;                     /* pooled blocks of ours */
    struct views views;                     /* the peer's arenas */
    uint64_t dropped_blocks, dropped_bytes; /* leases that peer_end_some() has dropped */
};

/* `user` is what user_name() says; `on_release` and `owner` are the account's. NULL: out of memory. */
struct peer *peer_new(sea_ctx *ctx, uint64_t user, account_on_release *on_release, void *owner);

/* After peer_end(); accepts NULL. Returns NULL. */
struct peer *peer_free(struct peer *peer);

/* --- blocks for the peer: each takes of the connection's share of the budget (-EDQUOT; -EPIPE: the connection has
 * ended) --- */

/* An inline block. Errors: as block_new_inline(). */
int peer_new_inline(sea_block **ret_block, struct peer *peer, size_t size);

/* A read-only private copy. Errors: as block_new_inline(). */
int peer_copy_inline(sea_block **ret_block, struct peer *peer, const void *data, size_t size);

/* A sealed block, or one with the bytes of `from`. Errors: as sealed_block_new(). */
int peer_new_sealed(sea_block **ret_block, struct peer *peer, size_t size);
int peer_copy_sealed(sea_block **ret_block, struct peer *peer, sea_block *from);

/* --- payloads of the peer --- */

/* Checks that a sealed or pooled payload is within the credit that the peer was granted, and that its handle is new.
 * Leases count until the peer has their releases: so many `releases` wait to be sent. Returns NULL, or the fault, a
 * static text. */
const char *peer_check(const struct peer *peer, const struct wire_message *message, uint32_t releases);

/*
 * Takes a sealed or pooled payload, for which peer_check() found no fault, as a block that is charged to the peer. The
 * end of the block gives the lease back. Takes `fd` (-1: of a pooled one). `size_max` is our block_max. Errors, with
 * *ret_why: -EBADF, -EMSGSIZE, -ENODATA, -EPROTO (the peer has lied); others are refusals, and noted: -EDQUOT, -EMFILE,
 * -ENOMEM, or an error of the kernel. After a failure no lease is given back here.
 */
int peer_take(sea_block **ret_block, struct peer *peer, const struct wire_message *message, int fd, uint64_t size_max,
              const char **ret_why);

/* Why a pooled payload was not taken or copied: `error` is that of views_find(). A static text; NULL: no more is
 * known than the error says. */
const char *peer_why(const struct peer *peer, uint64_t handle, int error);

/* The peer announces an arena, or retires one. Takes `fd`. Errors: as views_open() and views_retire(). */
int peer_take_arena(struct peer *peer, const struct wire_arena *arena, int fd, const char **ret_why);
int peer_retire_arena(struct peer *peer, uint32_t id);

/* Room for an inline payload that arrives. All is charged to the budget; beyond the first ACCOUNT_INLINE_FREE bytes it
 * is charged to the peer too, and takes of the connection's share. The caller fills it and makes it read-only. -EDQUOT,
 * -ENOMEM. */
int peer_new_arrived(sea_block **ret_block, struct peer *peer, size_t size);

/* Room for a copy of the peer's payload, which the peer cannot write: of the class inline, charged to the peer. The
 * caller fills it and makes it read-only. The copy is a block of our pool, and its memory is recycled (the peer may
 * read it, and knows the bytes); or it lies in the heap. Errors: -EDQUOT (the peer's quota), and as pools_explain():
 * noted. */
int peer_new_copy(sea_block **ret_block, struct peer *peer, size_t size);

/* The same for the short way, filled with the payload of that handle: in a free block of our pool. NULL: nothing has
 * happened, since something is unusual, or wrong. */
sea_block *peer_take_copy(struct peer *peer, uint64_t handle, uint64_t size);

/* Ends a copy in our pool, of which the caller has a reference, while the connection lives. false: nothing has
 * happened, since something is unusual, or it is no such copy. */
bool peer_return_copy(const struct peer *peer, sea_block *block);

/* --- leases --- */

/* The class in which the block can go to the peer as it is, read-only then; 0: it goes as a copy. Errors: as
 * sea_block_seal(). */
int peer_class_for(const struct peer *peer, sea_block *block);

/*
 * Grants the peer a lease on a block that goes in this class, sealed or pooled, with a reference of its own. The caller
 * has set *ret_unannounced to NULL. If it is another value afterwards, the peer has to get the descriptor of that arena
 * before the frame that names the handle. Errors: -ENOSR (the peer's credit does not allow it now) · -EDQUOT · -ENOMEM.
 */
int peer_lend(struct peer *peer, sea_block *block, int payload_class, uint64_t *ret_handle,
              struct arena **ret_unannounced);

/* The peer gives a lease back, or it was never sent. -ESTALE: the peer has no such lease. */
int peer_release(struct peer *peer, uint64_t handle);

/* The connection is about to end: does what peer_end() has to do, as much as the account's work allows. true: the rest
 * takes no time. */
bool peer_end_some(struct peer *peer);

/* The connection has ended: drops every lease that the peer held, forgets its handles, ends the pools, drops the views,
 * and calls on_release no more. Returns how many leases were dropped, and their bytes, those by peer_end_some()
 * included. A second call drops nothing. */
uint64_t peer_end(struct peer *peer, uint64_t *ret_bytes);

/* Gives back the tables that are empty. */
void peer_trim(struct peer *peer);

/* The lease that the peer has held for longest. */
struct lease_report peer_oldest_lease(const struct peer *peer);

#endif
