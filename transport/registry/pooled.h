/* SPDX-License-Identifier: MIT */
/*
 * Pooled blocks between us and one peer: of our pools (registry/pools.h), which only this peer may read, and our views
 * of its arenas. And small blocks of which copies are sent: their pool is private.
 *
 * Ours. A lease is the slot's: it is given to the one peer of the pool, and taken back by its handle. The block's
 * memory is free again when its last reference and its lease are gone, in whichever order and thread.
 *
 * The peer's. An arena is charged to the peer when it is announced, with its size and as a block: it takes a mapping.
 * Views are held by the table, until the arena is retired or the connection ends, and by each block that the
 * application holds.
 */
#ifndef REGISTRY_POOLED_H
#define REGISTRY_POOLED_H

#include "memory/view.h"
#include "registry/pools.h"
#include "registry/views.h"
#include "wire/frame.h"
#include <sealane/base.h>

struct peer;

struct pooled {
    struct pools pools;
    struct views views;
    uint64_t views_charged; /* to the peer, bytes */
};

/* NULL: none. */
struct lease_report pooled_lease_of(const struct pool_slot *slot);

/* Drops every lease, ends the pool and the views. Returns how many leases there were. */
uint64_t pooled_end(struct peer *peer, uint64_t *ret_bytes);

/* Before pooled_end(): as much of that as the peer's work allows, and adds to both what the leases were. true: little
 * is left. */
bool pooled_end_some(struct peer *peer, uint64_t *count, uint64_t *bytes);

/* Gives back the tables of arenas, ours and the peer's, that are empty. */
void pooled_trim(struct peer *peer);

/* A writable block of `size` bytes from the connection's own pool, as many as the peer takes at most. Its bytes are
 * what an earlier payload for this peer left, or 0. Errors: -EDQUOT, -ENOMEM, -EMFILE, noted as refusals. */
int pooled_new(sea_block **ret_block, struct peer *peer, size_t size);

/* The same from one of its pools. Errors: as pools_take(). */
int pooled_take(sea_block **ret_block, sea_pool *pool, size_t size);

/* A writable inline block of at most POOLED_INLINE_MAX bytes. Errors: as pools_take(). */
int pooled_new_inline(sea_block **ret_block, struct peer *peer, size_t size);
#define POOLED_INLINE_MAX SIZE_CLASS_SMALLEST

/* Is it a block of one of this peer's pools? */
bool pooled_is_for(const struct peer *peer, const sea_block *block);

/* The block that lies in a slot which is out. */
const sea_block *pooled_block(const struct pool_slot *slot);

/* The arena in which such a block lies. */
struct arena *pooled_arena(const sea_block *block);

/* May it be leased: has it no lease yet, and waits in no message that will grant one? */
bool pooled_is_free(const sea_block *block);
void pooled_note_queued(const sea_block *block, bool is_queued);

/* For another such block, how much memory would be made that had better not be? Bytes; see pool_growth(). */
uint64_t pooled_growth(const sea_block *block);

/* Grants the lease, with a reference of its own. -EDQUOT. */
int pooled_lease(struct peer *peer, sea_block *block, uint64_t *ret_handle);

/* The peer gives it back, or it was never sent. -ESTALE: it has no such lease. */
int pooled_release(struct peer *peer, uint64_t handle);

/*
 * The peer announces an arena. Takes `fd` (-1: lost on the way). Errors: -EPROTO (it lies, as *ret_why says) · -ENOMEM.
 * What a limit of ours refuses is no error, but noted: its blocks are refused one by one.
 */
int pooled_open(struct peer *peer, const struct wire_arena *arena, int fd, const char **ret_why);

/* -EPROTO: it has no such arena. */
int pooled_retire(struct peer *peer, uint32_t id);

/* Room for a copy of the peer's payload, which the peer cannot write: of the class inline, charged to the peer. The
 * caller fills it, and then sets is_sealed. It is a block of our pool, whose memory is recycled (the peer may read it,
 * and knows the bytes), or else lies in the heap. Errors: as pooled_new(). */
int pooled_new_copy(sea_block **ret_block, struct peer *peer, size_t size);

/* Why a payload is refused that lies in an arena which a limit of ours refused: a static text; NULL of any other. */
const char *pooled_why(const struct peer *peer, uint64_t handle);

/* Where a payload of the peer's lies. -EPROTO: nowhere in its arenas · -EDQUOT, -EMFILE, -ENOMEM: in one that a limit
 * of ours refused: a quota, descriptors, mappings. */
int pooled_find(const struct peer *peer, uint64_t handle, uint64_t size, const void **ret_data);

/* A reference of the view in which pooled_find() found that payload; for pooled_drop_view(). */
struct arena_view *pooled_hold_view(const struct peer *peer, uint64_t handle);

/* A block for it, whose end gives the lease back; charged to the peer. Errors: as pooled_find(), and the same of the
 * block. */
int pooled_receive(sea_block **ret_block, struct peer *peer, uint64_t handle, uint64_t size);

/* As pooled_new() and, of SEA_INLINE, pooled_new_inline(), of what is free. NULL: an arena has to be made. */
sea_block *pooled_ready(const struct peer *peer, int payload_class, size_t size);

/* Between the rooms of the registry. The first one returns the payload's size. By the second the last reference of a
 * block that lies in a slot is gone. */
uint64_t pooled_end_lease(struct peer *peer, struct pool_slot *slot);
void pooled_return(sea_block *block);
void pooled_drop_view(struct arena_view *view);

#endif
