/* SPDX-License-Identifier: MIT */
/*
 * Pooled blocks between us and one peer: the pool of ours, which only this peer may read, and our views of its arenas.
 *
 * Ours. The pool is charged to the context's budget, arena by arena, and never grows beyond the bytes that the peer takes. A lease
 * is the slot's: it is given to the one peer of the pool, and taken back by its handle. The block's memory is free again when its
 * last reference and its lease are gone, in whichever order and thread.
 *
 * The peer's. An arena is charged to the peer when it is announced, with its size and as a descriptor. Views are held by the
 * table, until the arena is retired or the connection ends, and by each block that the application holds.
 */
#ifndef REGISTRY_POOLED_H
#define REGISTRY_POOLED_H

#include "memory/pool.h"
#include "memory/view.h"
#include "wire/frame.h"
#include <sealane/base.h>

struct peer;
struct pool_budget;
struct arena_view;

struct pooled {
    struct audience audience;   /* owned */
    struct pool *pool;          /* owned; made with the first block */
    struct pool_budget *budget; /* owned reference */
    uint32_t *retired;          /* owned; ids of arenas that are gone, of which the peer was not told yet */
    uint32_t retired_count, retired_capacity;
    struct arena_view **views; /* owned, by arena id */
    uint32_t views_capacity;
};

/* Drops every lease, ends the pool and the views. Returns how many leases there were. */
uint64_t pooled_end(struct peer *peer, uint64_t *ret_bytes);

/* A writable block of `size` bytes, as many as the peer takes at most. Its bytes are what an earlier payload for this peer left, or 0. Errors:
 * -EDQUOT, -ENOMEM, -EMFILE, noted as refusals. */
int pooled_new(sea_block **ret_block, struct peer *peer, size_t size);

/* Retires what is free beyond what a busy connection needs. */
void pooled_trim(struct peer *peer);

/* Is it a block of this peer's pool? */
bool pooled_is_for(const struct peer *peer, const sea_block *block);

/* The arena in which such a block lies. */
struct arena *pooled_arena(const sea_block *block);

/* May it be leased: has it no lease yet? */
bool pooled_is_free(const sea_block *block);

/* Grants the lease, with a reference of its own. -EDQUOT. */
int pooled_lease(struct peer *peer, sea_block *block, uint64_t *ret_handle);

/* The peer gives it back, or it was never sent. -ESTALE: it has no such lease. */
int pooled_release(struct peer *peer, uint64_t handle);

/*
 * The peer announces an arena. Takes `fd` (-1: lost on the way). Errors: -EPROTO (it lies, as *ret_why says) · -ENOMEM. What a quota
 * refuses is no error: its blocks are refused one by one.
 */
int pooled_open(struct peer *peer, const struct wire_arena *arena, int fd, const char **ret_why);

/* -EPROTO: it has no such arena. */
int pooled_retire(struct peer *peer, uint32_t id);

/* A private copy, sealed and of the class inline, charged to the peer: in a block of our pool, whose memory is recycled, or else in the heap. Errors:
 * as pooled_new(). */
int pooled_copy(sea_block **ret_block, struct peer *peer, const void *data, size_t size);

/* Where a payload of the peer's lies. -EPROTO: nowhere in its arenas · -EDQUOT: in one that was refused. */
int pooled_find(const struct peer *peer, uint64_t handle, uint64_t size, const void **ret_data);

/* A block for it, whose end gives the lease back; charged to the peer. Errors: as pooled_find(), -EDQUOT, -ENOMEM. */
int pooled_receive(sea_block **ret_block, struct peer *peer, uint64_t handle, uint64_t size);

/* Between the rooms of the registry. */
void pooled_drop_view(struct arena_view *view);

#endif
