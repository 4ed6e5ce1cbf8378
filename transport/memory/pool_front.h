/* SPDX-License-Identifier: MIT */
/*
 * The front of a pool: its hot blocks. The block of each small size that the owner's thread has put last is hot, and
 * goes out next. memory/pool.h says how hot blocks count.
 *
 *     hot[number] = NULL, a slot of that class, or &pool_closed
 *     all places are closed, or none
 *
 * Owns: nothing; it is the first part of struct pool, and borrows the pool's slots. Threads: the pool's owner's. Once
 * the pool has ended all places are closed, and only read.
 */
#ifndef MEMORY_POOL_FRONT_H
#define MEMORY_POOL_FRONT_H

#include "memory/slot.h"

/* The first member of a pool. The classes are the sizes up to the largest hot one, bytes. */
enum { POOL_HOT_CLASSES = 17, POOL_HOT_LARGEST = 16 << 10 };
struct pool_front {
    /* &pool_closed: from the begin of a watch (memory/pool.h) to its end, and after pool_end() */
    struct pool_slot *hot[POOL_HOT_CLASSES];
    uint64_t allocated; /* bytes of all blocks ever taken */
};
extern struct pool_slot pool_closed;

/* Is there a hot block in this place? */
static inline bool pool_front_is_hot(const struct pool_slot *slot) {
    return slot && slot != &pool_closed;
}

/* Closes all places, which are empty: from here on each block that is put goes to the pool itself. */
void pool_front_close(struct pool_front *front);

/* Opens all places. Returns whether they were closed. */
bool pool_front_open(struct pool_front *front);

/* On the owner's thread, also after pool_end(): makes the slot the hot one. False: another one is; the caller still has
 * to put the slot. */
static inline bool pool_put_hot(struct pool_slot *slot) {
    if (*slot->hot)
        return false;
    *slot->hot = slot;
    return true;
}

#endif
