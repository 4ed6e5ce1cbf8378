/* SPDX-License-Identifier: MIT */
/*
 * The return stack: any thread gives blocks back to the pool's owner by it. No locks.
 *
 *     NULL           --return_stack_try_put()-->    slots            --return_stack_take()-->  NULL
 *     NULL           --return_stack_try_watch()-->  WATCHED          --return_stack_take()-->  NULL
 *     WATCHED        --return_stack_try_put()-->    slots, WATCHED   --return_stack_take()-->  NULL
 *     any of these   --return_stack_end()-->        ENDED, for good
 *
 * The stack is empty when its top is NULL or WATCHED. WATCHED is the mark of the watch that memory/pool.h describes:
 * the thread that puts a slot over it wakes the owner. The owner takes the whole stack at once, so that a slot cannot
 * come back to the top while another thread looks at it (no ABA). slot->link.next links the slots, the newest first.
 *
 * The stack wakes no owner and counts nothing: memory/pool.c does. It is private memory.
 *
 * Owns: nothing; a slot on the stack is the owner's already, and its link is the stack's. Touches: nothing else.
 * Threads: any thread may read the top and put slots; only the owner calls the rest. The stack may be freed as soon as
 * the last OUT slot is put.
 */
#ifndef MEMORY_RETURN_STACK_H
#define MEMORY_RETURN_STACK_H

#include "memory/slot.h"
#include <stdatomic.h>

/* Zeroed: empty, and not watched. */
struct return_stack {
    _Atomic(struct pool_slot *) top;
};

/* Values of the top that are no slot: the mark of an empty stack that is watched, and the mark of an ended stack. */
extern struct pool_slot return_stack_watched_mark, return_stack_ended_mark;
#define RETURN_STACK_WATCHED (&return_stack_watched_mark)
#define RETURN_STACK_ENDED (&return_stack_ended_mark)

/* For the results of return_stack_take() and return_stack_end(): is this a slot? */
static inline bool return_stack_is_slot(const struct pool_slot *slot) {
    return slot && slot != RETURN_STACK_WATCHED;
}

/* Reads the top without any ordering: the caller compares the result, and does not follow it. */
static inline struct pool_slot *return_stack_top(const struct return_stack *returns) {
    return atomic_load_explicit(&returns->top, memory_order_relaxed);
}

/* Reads the top, for return_stack_try_put(). */
static inline struct pool_slot *return_stack_top_acquire(const struct return_stack *returns) {
    /* Acquire [POOL2], here and where the exchange fails, partner in memory/return_stack.c. Weaker: the putting thread
     * would use counts that it does not see yet. */
    return atomic_load_explicit(&returns->top, memory_order_acquire);
}

/* Puts an OUT slot over `*top`, which is not ENDED. False: the top has changed, or the exchange failed spuriously;
 * `*top` is the current top. */
static inline bool return_stack_try_put(struct return_stack *returns, struct pool_slot **top, struct pool_slot *slot) {
    slot->link.next = *top;
    /* Release [POOL1], partner in return_stack_take(). Afterwards neither the slot nor the stack is ours. */
    return atomic_compare_exchange_weak_explicit(&returns->top, top, slot, memory_order_acq_rel, memory_order_acquire);
}

/* Takes the whole stack: slots, then NULL, or the mark if the stack was watched. It is not watched any more. */
static inline struct pool_slot *return_stack_take(struct return_stack *returns) {
    /* Acquire [POOL1] pairs with the release in return_stack_try_put(): the putting thread has read and written the
     * last byte of the block before the block goes out again. */
    return atomic_exchange_explicit(&returns->top, NULL, memory_order_acquire);
}

/* Puts the mark WATCHED on the empty stack, which may have it already. False: the stack has slots, which the owner
 * takes first. */
bool return_stack_try_watch(struct return_stack *returns);

/* Ends the stack: from here on no slot is put. A thread that finds ENDED sees all that the owner wrote before. Returns
 * the slots like return_stack_take(). */
struct pool_slot *return_stack_end(struct return_stack *returns);

#endif
