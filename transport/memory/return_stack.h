/* SPDX-License-Identifier: MIT */
/*
 * Returns: the stack by which any thread gives blocks back to the pool's owner. No locks.
 *
 *     NULL           --return_stack_try_put()-->    slots            --return_stack_take()-->  NULL
 *     NULL           --return_stack_try_watch()-->  WATCHED          --return_stack_take()-->  NULL
 *     WATCHED        --return_stack_try_put()-->    slots, WATCHED   --return_stack_take()-->  NULL
 *     any of these   --return_stack_end()-->        ENDED, for good
 *
 * It is empty when its top is NULL, or WATCHED: then the owner sleeps, and whoever puts a slot over that mark tells it.
 * The owner takes it whole, so that no slot can come back to its top while somebody looks at it. Linked by slot->link.next,
 * the newest first.
 *
 * It tells nobody, and counts nothing: memory/pool.c does. Private memory.
 *
 * Threads: any may look at the top and put; all else is the owner's. It may be gone as soon as the last slot that was
 * OUT is put.
 */
#ifndef MEMORY_RETURN_STACK_H
#define MEMORY_RETURN_STACK_H

#include "memory/slot.h"
#include <stdatomic.h>

/* Zeroed: empty, and not watched. */
struct return_stack {
    _Atomic(struct pool_slot *) top;
};

/* What the top can be besides a slot: of an empty one whose owner sleeps; of one that has ended. */
extern struct pool_slot return_stack_watched_mark, return_stack_ended_mark;
#define RETURN_STACK_WATCHED (&return_stack_watched_mark)
#define RETURN_STACK_ENDED (&return_stack_ended_mark)

/* Of what return_stack_take() and return_stack_end() give: is there one more? */
static inline bool return_stack_is_slot(const struct pool_slot *slot) {
    return slot && slot != RETURN_STACK_WATCHED;
}

/* The top, by which nothing is ordered: to compare, not to follow. */
static inline struct pool_slot *return_stack_top(const struct return_stack *returns) {
    return atomic_load_explicit(&returns->top, memory_order_relaxed);
}

/* What is to be put over. */
static inline struct pool_slot *return_stack_top_acquire(const struct return_stack *returns) {
    /* Acquire [POOL2], here and where the exchange fails, partner in memory/return_stack.c. Weaker: counts that are not
     * there yet. */
    return atomic_load_explicit(&returns->top, memory_order_acquire);
}

/* Puts an OUT slot over `*top`, which is not ENDED. Not done: something else is there by now, or nothing was tried; it
 * is in `*top`. */
static inline bool return_stack_try_put(struct return_stack *returns, struct pool_slot **top, struct pool_slot *slot) {
    slot->link.next = *top;
    /* Release [POOL1], partner in return_stack_take(). Afterwards neither the slot nor the stack is ours. */
    return atomic_compare_exchange_weak_explicit(&returns->top, top, slot, memory_order_acq_rel, memory_order_acquire);
}

/* All that came back: slots, then NULL, or the mark if it was watched. From here on it is not. */
static inline struct pool_slot *return_stack_take(struct return_stack *returns) {
    /* Acquire [POOL1] pairs with the release in return_stack_try_put(): whoever put a slot has read and written its
     * block's last byte before it goes out again. */
    return atomic_exchange_explicit(&returns->top, NULL, memory_order_acquire);
}

/* From here on whoever puts a slot tells the owner. False: slots are there, to be taken first. */
bool return_stack_try_watch(struct return_stack *returns);

/* From here on nothing is put. What the owner wrote before is seen by whoever finds ENDED. As return_stack_take(), for
 * the last time. */
struct pool_slot *return_stack_end(struct return_stack *returns);

#endif
