/* SPDX-License-Identifier: MIT */
/*
 * An audience: whoever may read certain arenas, which is one connection's peer. The arenas that are open to it, of whichever of its
 * pools, by their numbers.
 *
 *     table[id & (capacity - 1)] = the arena of that id;   2 * arenas <= capacity
 *
 * A number is used again only after all others. Borrows the arenas. Threads: the connection's.
 */
#ifndef MEMORY_AUDIENCE_H
#define MEMORY_AUDIENCE_H

#include "memory/arena.h"

/* Zeroed: an empty one. */
struct audience {
    struct arena **table; /* owned */
    uint32_t capacity;    /* a power of two, or 0 */
    uint32_t arenas;
    uint32_t newest_id;
};

/* Makes room for one more. -ENOMEM, also when the numbers are used up. */
int audience_reserve(struct audience *audience);

/* Gives the arena its number; there is room for it. */
void audience_add(struct audience *audience, struct arena *arena);
void audience_remove(struct audience *audience, const struct arena *arena);

/* NULL: nobody has that number. */
struct arena *audience_find(const struct audience *audience, uint32_t id);

/* The next one in the table, from `*place` on, which starts at 0; NULL: no more. The one returned may be removed. */
struct arena *audience_next(const struct audience *audience, uint32_t *place);

/* It is empty, or its arenas are told to nobody any more. */
void audience_deinit(struct audience *audience);

#endif
