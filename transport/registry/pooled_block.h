/* SPDX-License-Identifier: MIT */
/*
 * Pooled blocks of ours: blocks that lie in slots of a pool. One peer may read the arenas of the pool. The slots of a
 * private pool hold small inline blocks, and the peer gets copies of them.
 *
 * A slot carries its block (slot->extra), so that no block is allocated. A lease is the slot's: it is given to the one
 * peer of the pool, and taken back by its handle. The memory is free again when the block's last reference and its
 * lease are gone, in whichever order and thread.
 *
 * Owns: nothing; slots and their blocks are the pool's. Touches: the account: the charge of a lease, and its work when
 * a lease ends; the counts of blocks, in the budget's tally or in the context.
 *
 * Threads: the connection's, but for the end of a block: any thread puts the slot back, also after the connection's
 * end.
 */
#ifndef REGISTRY_POOLED_BLOCK_H
#define REGISTRY_POOLED_BLOCK_H

#include "registry/block.h"
#include "registry/lease.h"

/* A slot that was taken becomes a block, writable. `budget` is its pool's, borrowed. */
sea_block *pooled_block_lend(struct pool_slot *slot, struct pool_budget *budget, size_t size);

/* The block that lies in a slot which is out. */
static inline const sea_block *pooled_block_in(const struct pool_slot *slot) {
    return (const sea_block *) (const void *) slot->extra;
}

/* A slot's lease, for the figures. NULL: none. */
struct lease_report pooled_block_lease_of(const struct pool_slot *slot);

/* The arena in which the block lies. */
static inline struct arena *pooled_block_arena(const sea_block *block) {
    return block->slot->arena;
}

/* May the block be leased: has it no lease yet, and waits in no message that will grant one? */
static inline bool pooled_block_is_free(const sea_block *block) {
    return !block->slot->is_leased && !block->slot->is_queued;
}

void pooled_block_note_queued(const sea_block *block, bool is_queued);

/* The memory that one more block of this size would add to a pool that had better not grow, in bytes: pool_growth(). */
uint64_t pooled_block_growth(const sea_block *block);

/* Grants the lease, with a reference of its own, and charges the account. -EDQUOT. */
int pooled_block_lease(struct account *account, sea_block *block, uint64_t *ret_handle);

/* The same for a block that is free and alive, without noting a refusal; takes the caller's reference. Returns the
 * handle; 0: there was no room, and the reference is the caller's. */
uint64_t pooled_block_take_lease(struct account *account, sea_block *block);

/* Ends the lease of that handle outside of a turn, which has no work to bound. false: there is no such lease. */
bool pooled_block_take_back(struct account *account, const struct arena_ids *audience, uint64_t handle);

/* Ends the lease of a slot. Returns the payload's size. */
uint64_t pooled_block_end_lease(struct account *account, struct pool_slot *slot);

#endif
