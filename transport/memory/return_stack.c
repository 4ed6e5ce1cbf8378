/* SPDX-License-Identifier: MIT */
/* Slow paths of the return stack. See return_stack.h for the states. */
#include "memory/return_stack.h"

struct pool_slot return_stack_watched_mark, return_stack_ended_mark;

bool return_stack_try_watch(struct return_stack *returns) {
    struct pool_slot *top = NULL;
    return atomic_compare_exchange_strong_explicit(&returns->top, &top, RETURN_STACK_WATCHED, memory_order_relaxed,
                                                   memory_order_relaxed) ||
           top == RETURN_STACK_WATCHED;
}

struct pool_slot *return_stack_end(struct return_stack *returns) {
    /* Release [POOL2] pairs with the acquire in return_stack_top_acquire() and return_stack_try_put(): a thread that
     * sees ENDED sees the counts. The acquire half is [POOL1], like in return_stack_take(). */
    return atomic_exchange_explicit(&returns->top, RETURN_STACK_ENDED, memory_order_acq_rel);
}
