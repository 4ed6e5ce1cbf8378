/* SPDX-License-Identifier: MIT */
/*
 * A pool: the arenas of one lifetime class, for one audience, and the states of their blocks.
 *
 * Growth. A payload gets a block of its size class (memory/size_class.h). When the class has no free block, the pool
 * makes an arena. The first arena of a class is small. Each further one is as large as all before it together, or, once
 * these have half a MiB, as a twelfth of them; the size of an arena is bounded. A payload larger than a quarter of that
 * bound gets an arena of its own, with one block, which is rounded up to the page only.
 *
 *     mapped   = sum of size over the arenas. Each arena is charged through pool_ops: its size, and one descriptor
 *                until it is announced
 *     retained = mapped - bytes_out, over the arenas of the newest generation: free memory that is kept for later use
 *     leases   <= blocks_out
 *     reserved = sum of size over the reserved arenas, which are all of the newest generation
 *
 * Generations. An arena belongs to the generation in which it was made. pool_rotate() begins a new generation. From
 * then on older arenas hand out no blocks: they *drain*, and the pool retires each one when its last block comes back.
 * Older arenas without blocks that are out go at once. A pool also rotates by itself, by the rules of
 * memory/rotation.h: when pool_take() has to make an arena, and in pool_maintain().
 *
 * Bounds. Before pool_take() makes an arena, it retires arenas that are wholly free and not reserved, the longest free
 * first, until retained is at most retained_max + reserved or no such arena is left. At other times pool_trim() and
 * pool_maintain() do that. Where a free block is found, taking retires none of these arenas, and putting never does.
 * pool_reserve() makes arenas without retiring any, and without rotating.
 *
 * Hot blocks (memory/pool_front.h). A hot block counts as OUT everywhere else: no list and no count changes while one
 * block comes and goes. Functions that make or retire arenas, or end the pool, and pool_gauges() and pool_generation()
 * first put hot blocks back into their classes. Size classes with a cycle have no hot block.
 *
 * The watch: how a pool whose owner sleeps notices a block that comes back. pool_maintain() begins it if blocks are out
 * whose return is to be noticed at once (pool_is_waiting()): it puts the mark WATCHED on the empty return stack
 * (memory/return_stack.h), and closes the front, so that no block becomes hot. The next block that comes back meets the
 * mark: pool_put() on any thread puts the block over it, and wakes the owner by pool_ops.hold and pool_ops.tell;
 * pool_put_own() leaves the mark, and calls pool_ops.needs_maintenance. The owner takes the mark off with the stack,
 * and the front opens; where pool_take_ready() finds the mark, it calls pool_ops.needs_maintenance, since blocks that
 * become hot from then on are to be collected before the owner sleeps.
 *
 * Owns: the arenas with their slots and descriptors, the size classes, and the list of leases. Touches: the owner's
 * charges (pool_ops), the audience's ids, the promises of admission, and the census: whenever an arena is made or goes.
 *
 * Threads: one, the owner's, calls all functions. Any thread may call pool_put(), also after pool_end(). Taking
 * and putting a block take no lock and make no system call, with these exceptions: the pool makes an arena; the owner's
 * thread takes back the last block of an arena that drains, by putting it or by collecting the return stack, and
 * retires the arena; a thread wakes the owner; after pool_end() a thread puts the last block of an arena, and frees it.
 * An arena that goes takes the census's lock, is unmapped, and is uncharged.
 *
 * Life:  pool_new()  -->  pool_end()  -->  the last block that is out comes back: all memory of the pool is freed.
 */
#ifndef MEMORY_POOL_H
#define MEMORY_POOL_H

#include "memory/pool_front.h"
#include "memory/pool_ops.h"
#include "memory/size_class.h"

struct pool;

/* Makes an empty pool, without an arena. -ENOMEM. */
int pool_new(struct pool **ret_pool, const struct pool_options *options);

/*
 * Ends the pool: arenas without blocks that are out go now, each other arena goes when its last block comes back. No
 * slot may be leased. Takes the pool (or NULL), returns NULL.
 */
struct pool *pool_end(struct pool *pool);

/* Does the slot belong to this pool? */
bool pool_has(const struct pool *pool, const struct pool_slot *slot);

/*
 * Takes a block of at least `size` bytes. Its bytes are as the block's last user, of the same audience, left them.
 * Errors: the error of `charge`, when it refused twice (of pool_reserve(): once) · -EOVERFLOW: the audience has as many
 * arenas as there are ids · -ENOMEM, -EFBIG (RLIMIT_FSIZE), -EMFILE, -ENFILE: the machine has no more;
 * reserve_explain() explains these · -EINVAL: this kernel has no F_SEAL_FUTURE_WRITE.
 */
int pool_take(struct pool *pool, size_t size, struct pool_slot **ret_slot);

/* Takes a free block, but not a hot one. NULL: no block is free, or an arena should be made. */
struct pool_slot *pool_take_ready(struct pool *pool, size_t size);

/* Takes the hot block of the size, which is at most POOL_HOT_LARGEST. NULL: the size has none. */
static inline struct pool_slot *pool_take_hot(struct pool *pool, size_t size) {
    struct pool_front *front = (struct pool_front *) pool;
    uint32_t number = size_class_number(size);
    struct pool_slot *slot = front->hot[number];
    if (!slot || slot == &pool_closed)
        return NULL;
    front->hot[number] = NULL;
    front->allocated += slot->arena->stride;
    return slot;
}

/*
 * How many bytes of memory another block like this one, which is OUT, would make necessary, although waiting would be
 * better. 0: none, because a block is free, because the peer holds no lease that it could give back, or because the
 * blocks of the class are fewer than two, or do not fill the footprint of reuse yet.
 */
uint64_t pool_growth(const struct pool_slot *slot);

/* Puts an OUT slot back. pool_put() may be called by any thread. pool_put_own() is the shorter way for the owner's
 * thread, also after pool_end(). */
void pool_put(struct pool_slot *slot);
void pool_put_own(struct pool_slot *slot);

/*
 * Makes arenas until `count` blocks of at least `size` bytes are free. If the class cycles over more blocks than that,
 * it also tries to make these. Arenas with such blocks are reserved: until the next generation, or pool_unreserve(),
 * only pool_end() retires them. Errors as for pool_take(), but the first refusal of `charge` is final: nothing is
 * retired to make room. Arenas that were made before the error stay, reserved.
 */
int pool_reserve(struct pool *pool, size_t size, uint32_t count);
void pool_unreserve(struct pool *pool);

/* Retires arenas that are wholly free and not reserved, the longest free first, until at most `keep` + reserved bytes
 * are retained; with `keep` 0 all of them. */
void pool_trim(struct pool *pool, uint64_t keep);

/* Retires one such arena, the longest free one. Returns its bytes; 0: there is none. */
uint64_t pool_trim_one(struct pool *pool);

/* Retires the longest free one of the arenas that cycles have left since pool_set_footprint() made them shorter: never
 * more than they left. Returns its bytes; 0: there is none. */
uint64_t pool_trim_surplus(struct pool *pool);

/* Begins a new generation. */
void pool_rotate(struct pool *pool);

/*
 * For an owner's thread that is about to sleep. Does the maintenance that is due at `now` (CLOCK_MONOTONIC), a bounded
 * part of it at a time. Returns when the owner should call again: `now` for at once, WAIT_FOREVER for never. If the
 * pool waits for a block, the watch begins (see above).
 */
uint64_t pool_maintain(struct pool *pool, uint64_t now);

/* Did the last pool_maintain() leave the pool waiting for blocks that the peer may hold? */
bool pool_is_waiting(const struct pool *pool);

/*
 * How many blocks of `size` bytes a pool cycles over, so that writing and reading are cheapest (memory/calibration.h,
 * doc/tuning.md): as many as `footprint` holds, at most 64. It is 1 for blocks larger than `footprint` or smaller than
 * `least`. Pure.
 */
uint32_t pool_distance(size_t size, uint64_t footprint, uint64_t least);

/*
 * Changes the footprint of reuse, while blocks may be out. A larger one lets each class in use grow by an arena
 * whenever it is asked for a block, until its cycle is complete or memory is refused. With a smaller one the blocks
 * beyond the cycle are free memory like any other, and those of the youngest arenas go out last; pool_trim_surplus()
 * gives back as much.
 */
void pool_set_footprint(struct pool *pool, uint64_t footprint);

/* --- leases: the blocks that the peer holds --- */

/* Leases an OUT slot to the peer. Returns the handle, which is never 0; a slot has an earlier handle again after
 * 2^24 - 1 leases (wire/handle.h). */
uint64_t slot_lease(struct pool_slot *slot);

/* The peer has the descriptor of this arena, or is about to get it: the pool closes its own. Once for each arena. */
void pool_note_announced(struct arena *arena);

/* Returns the slot that the peer's handle names, in any pool of the audience. NULL: the peer holds no such lease. */
struct pool_slot *pool_find_lease(const struct arena_ids *audience, uint64_t handle);

/* Ends the peer's lease; the slot is OUT. */
void slot_release(struct pool_slot *slot);

/* Both. NULL: as pool_find_lease(). */
struct pool_slot *pool_end_lease(const struct arena_ids *audience, uint64_t handle);

/* Iterates over the leased slots, the newest lease first: returns the slot after `slot`, or the first one for NULL.
 * NULL: no more. */
struct pool_slot *pool_next_lease(const struct pool *pool, const struct pool_slot *slot);

/* The slot that the peer has held for longest; NULL: the peer holds none. */
const struct pool_slot *pool_oldest_lease(const struct pool *pool);

/* --- */

/* Reads the gauges of the whole pool. Costs a step for each arena. */
void pool_gauges(struct pool *pool, struct pool_gauges *ret_gauges);

/* Reads the gauges of one generation: all but the peaks and the gauges of draining arenas. Costs a step for each arena
 * and each lease. */
void pool_generation(struct pool *pool, uint64_t number, struct pool_gauges *ret_gauges);

/* The number of the oldest generation that has arenas, or of the newest one if no generation has any. Costs a step for
 * each arena. */
uint64_t pool_oldest_generation(const struct pool *pool);

/* The gauges bytes_out and retained. Here hot blocks, and blocks on the return stack, count as out. */
uint64_t pool_active(const struct pool *pool);
uint64_t pool_retained(const struct pool *pool);

/* Bytes of the arenas that are in memory: of one generation, or, for 0, of all. Costs a system call for each 4 MiB, at
 * least one for each arena. */
uint64_t pool_resident(const struct pool *pool, uint64_t generation);

#endif
