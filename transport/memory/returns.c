/* SPDX-License-Identifier: MIT */
/* Returns: the ways that are seldom gone. See returns.h for the states. */
#include "memory/returns.h"

struct pool_slot returns_watched_mark, returns_ended_mark;

bool returns_try_watch(struct returns *returns) {
    struct pool_slot *top = NULL;
    return atomic_compare_exchange_strong_explicit(&returns->top, &top, RETURNS_WATCHED, memory_order_relaxed,
                                                   memory_order_relaxed) ||
           top == RETURNS_WATCHED;
}

struct pool_slot *returns_end(struct returns *returns) {
    /* Release [POOL2] pairs with the acquire in returns_look() and returns_try_put(): who sees ENDED sees the counts. And [POOL1], as in
     * returns_take(). */
    return atomic_exchange_explicit(&returns->top, RETURNS_ENDED, memory_order_acq_rel);
}
