/* SPDX-License-Identifier: MIT */
/*
 * A pool: the arenas of one lifetime class, for one audience, and which of their blocks are out.
 *
 * It grows by itself. A payload is given a block of its size class (memory/size_class.h); when none is free there, an
 * arena is made: the first of a class is small, each further one as large as all before, or once these are half a MiB
 * as a twelfth of them, up to a bound; a payload larger than a quarter of that bound gets an arena of its own, of one
 * block, rounded up to the page only.
 *
 *     mapped   = sum of size over the arenas, each charged through pool_ops by its size, and as one descriptor until it
 * is announced retained = mapped - bytes_out, over the arenas of the newest generation: free, kept for the next leases
 * <= blocks_out reserved = sum of size over the reserved arenas, all of the newest generation
 *
 * Generations. Each arena is of the generation in which it was made. pool_rotate() begins a new one: arenas of older
 * ones hand out no more blocks, *drain*, and each is retired as soon as its last block is back. What is free of them
 * goes at once. By itself a pool rotates as memory/rotation.h says: when an arena is made, and in pool_maintain().
 *
 * Bounded: whenever an arena was made, arenas that are wholly free have gone first, the longest free first, until
 * retained was at most retained_max or there were none. At other times pool_trim() and pool_maintain() do that; put and
 * take never do.
 *
 * Hot blocks. Of each small size the block that its owner's thread has put last lies in front of the pool, and goes out
 * next. So long it is OUT to all else: neither lists nor counts change while one block comes and goes. pool_trim(),
 * pool_end() and pool_gauges() put hot blocks where they belong first. Sizes with a rotation have none.
 *
 * Threads. One, the owner's, calls everything. Only pool_put() may be called by any, also after pool_end(). Taking and
 * putting take no lock and make no system call, as long as no arena has to be made and no owner that sleeps is to be
 * told.
 *
 * Life:  pool_new()  -->  pool_end()  -->  the last block that was still out comes back: all is gone.
 */
#ifndef MEMORY_POOL_H
#define MEMORY_POOL_H

#include "memory/pool_front.h"
#include "memory/pool_ops.h"
#include "memory/size_class.h"

struct pool;

/* Makes an empty one, without an arena. -ENOMEM. */
int pool_new(struct pool **ret_pool, const struct pool_options *options);

/*
 * Ends the audience's part of it: what is free goes; arenas of which blocks are out go with the last of these.
 * No slot may be leased. Takes the pool (or NULL), returns NULL.
 */
struct pool *pool_end(struct pool *pool);

/* Is the slot one of this pool's? */
bool pool_has(const struct pool *pool, const struct pool_slot *slot);

/*
 * Takes a block of at least `size` bytes; its bytes are what somebody left there, of the same audience.
 * What `charge` said, when it said no twice · -EOVERFLOW: the audience has as many arenas as there are numbers ·
 * -ENOMEM, -EFBIG (RLIMIT_FSIZE), -EMFILE, -ENFILE: the machine. reserve_explain() has words for these · -EINVAL: no
 * F_SEAL_FUTURE_WRITE here.
 */
int pool_take(struct pool *pool, size_t size, struct pool_slot **ret_slot);

/* The same of what is free, the hot ones aside. NULL: none is, or an arena had better be made. */
struct pool_slot *pool_take_ready(struct pool *pool, size_t size);

/* The same of a hot one. NULL: there is none. */
static inline struct pool_slot *pool_take_hot(struct pool *pool, size_t size) {
    struct pool_front *front = (struct pool_front *) pool;
    uint32_t number = size_class_number(size);
    struct pool_slot *slot = number < POOL_HOT_CLASSES ? front->hot[number] : NULL;
    if (!slot || slot == &pool_closed)
        return NULL;
    front->hot[number] = NULL;
    front->allocated += slot->arena->stride;
    return slot;
}

/*
 * For another block like this one, which is OUT, how much would be made that had better not be? Bytes. 0: none, because
 * one is free, there is nobody who could give one back, or those that there are do not fill the footprint of reuse yet.
 */
uint64_t pool_growth(const struct pool_slot *slot);

/* Gives back an OUT slot: from any thread; or, the short way, from the owner's, also after pool_end(). */
void pool_put(struct pool_slot *slot);
void pool_put_own(struct pool_slot *slot);

/*
 * Makes arenas until `count` blocks of at least `size` bytes are free, and where that is more as many as the pool
 * rotates over, if they are granted. Arenas with these blocks are reserved: until the next generation, or
 * pool_unreserve(), nothing but pool_end() retires them. As pool_take(); what was made by then stays, reserved.
 */
int pool_reserve(struct pool *pool, size_t size, uint32_t count);
void pool_unreserve(struct pool *pool);

/* Retires arenas that are wholly free and not reserved, the longest free first, until at most `keep` bytes are
 * retained. */
void pool_trim(struct pool *pool, uint64_t keep);

/* Retires one of these. Returns its bytes; 0: there is none. */
uint64_t pool_trim_one(struct pool *pool);

/* Begins a new generation. */
void pool_rotate(struct pool *pool);

/*
 * The owner's thread is about to sleep: does what is due at `now` (CLOCK_MONOTONIC), of much some, and returns when to
 * do it again: `now` at once, WAIT_FOREVER never. From then on, pool_ops.tell says once when a block comes back, if one
 * is waited for.
 */
uint64_t pool_maintain(struct pool *pool, uint64_t now);

/* Since the last pool_maintain(): is a block waited for, which may be with the peer? */
bool pool_is_waiting(const struct pool *pool);

/*
 * Over how many blocks of `size` bytes a pool rotates: as many as `footprint` holds, at most 64; but over one of those
 * that are larger than that, or smaller than `least`. Where writing and reading is cheapest: memory/calibration.h,
 * doc/measurements.md. Pure; at least 1.
 */
uint32_t pool_distance(size_t size, uint64_t footprint, uint64_t least);

/* --- leases: who of the blocks that are out is held by the peer --- */

/* The peer gets a hold on an OUT slot: its handle, never 0, and not that of any earlier lease of it. */
uint64_t slot_lease(struct pool_slot *slot);

/* The peer has got the descriptor of one of the pool's arenas, or is about to: ours is closed. Once for each. */
void pool_note_announced(struct arena *arena);

/* The slot that the peer means, of whichever pool. NULL: it holds no such lease. */
struct pool_slot *pool_find_lease(const struct arena_ids *audience, uint64_t handle);

/* The peer's hold ends; the slot is OUT. */
void slot_release(struct pool_slot *slot);

/* All that the peer holds, the newest first: the one after `slot`, or the first one for NULL. NULL: no more. */
struct pool_slot *pool_next_lease(const struct pool *pool, const struct pool_slot *slot);

/* The lease that it has held for longest; NULL: none. */
const struct pool_slot *pool_oldest_lease(const struct pool *pool);

/* --- */

/* Looks at all arenas. */
void pool_gauges(struct pool *pool, struct pool_gauges *ret_gauges);

/* Of one generation: all but peaks and what drains. Looks at all arenas and leases. */
void pool_generation(struct pool *pool, uint64_t number, struct pool_gauges *ret_gauges);

/* The number of the oldest generation that has arenas, or else of the newest. Looks at all arenas. */
uint64_t pool_oldest_generation(const struct pool *pool);

/* As pool_gauges() says, bytes_out and retained; what came back since the last call of another function is missing. */
uint64_t pool_active(const struct pool *pool);
uint64_t pool_retained(const struct pool *pool);

/* Bytes of its arenas that are in memory: of one generation, or, for 0, of all. A system call for each 4 MiB, or arena.
 */
uint64_t pool_resident(const struct pool *pool, uint64_t generation);

#endif
