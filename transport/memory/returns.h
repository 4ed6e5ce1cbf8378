/* SPDX-License-Identifier: MIT */
/*
 * Returns: the stack by which any thread gives blocks back to the pool's owner. No locks.
 *
 *     NULL           --returns_try_put()-->    slots            --returns_take()-->  NULL
 *     NULL           --returns_try_watch()-->  WATCHED          --returns_take()-->  NULL
 *     WATCHED        --returns_try_put()-->    slots, WATCHED   --returns_take()-->  NULL
 *     any of these   --returns_end()-->        ENDED, for good
 *
 * It is empty when its top is NULL, or WATCHED: then the owner sleeps, and whoever puts a slot over that mark tells it. The owner takes it
 * whole, so that no slot can come back to its top while somebody looks at it. Linked by slot->next, the newest first.
 *
 * It tells nobody, and counts nothing: memory/pool.c does. Private memory.
 *
 * Threads: any may look at the top and put; all else is the owner's. It may be gone as soon as the last slot that was OUT is put.
 */
#ifndef MEMORY_RETURNS_H
#define MEMORY_RETURNS_H

#include "memory/slot.h"
#include <stdatomic.h>

/* Zeroed: empty, and not watched. */
struct returns {
    _Atomic(struct pool_slot *) top;
};

/* What the top can be besides a slot: of an empty one whose owner sleeps; of one that has ended. */
extern struct pool_slot returns_watched_mark, returns_ended_mark;
#define RETURNS_WATCHED (&returns_watched_mark)
#define RETURNS_ENDED (&returns_ended_mark)

/* Of what returns_take() and returns_end() give: is there one more? */
static inline bool returns_is_slot(const struct pool_slot *slot) {
    return slot && slot != RETURNS_WATCHED;
}

/* The top, by which nothing is ordered: to compare, not to follow. */
static inline struct pool_slot *returns_glance(const struct returns *returns) {
    return atomic_load_explicit(&returns->top, memory_order_relaxed);
}

/* What is to be put over. */
static inline struct pool_slot *returns_look(const struct returns *returns) {
    /* Acquire [POOL2], here and where the exchange fails, partner in memory/returns.c. Weaker: counts that are not there yet. */
    return atomic_load_explicit(&returns->top, memory_order_acquire);
}

/* Puts an OUT slot over `*top`, which is not ENDED. Not done: something else is there by now, or nothing was tried; it is in `*top`. */
static inline bool returns_try_put(struct returns *returns, struct pool_slot **top, struct pool_slot *slot) {
    slot->next = *top;
    /* Release [POOL1], partner in returns_take(). Afterwards neither the slot nor the stack is ours. */
    return atomic_compare_exchange_weak_explicit(&returns->top, top, slot, memory_order_acq_rel, memory_order_acquire);
}

/* All that came back: slots, then NULL, or the mark if it was watched. From here on it is not. */
static inline struct pool_slot *returns_take(struct returns *returns) {
    /* Acquire [POOL1] pairs with the release in returns_try_put(): whoever put a slot has read and written its block's last byte before it
     * goes out again. */
    return atomic_exchange_explicit(&returns->top, NULL, memory_order_acquire);
}

/* From here on whoever puts a slot tells the owner. False: slots are there, to be taken first. */
bool returns_try_watch(struct returns *returns);

/* From here on nothing is put. What the owner wrote before is seen by whoever finds ENDED. As returns_take(), for the last time. */
struct pool_slot *returns_end(struct returns *returns);

#endif
