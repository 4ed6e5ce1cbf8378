/* SPDX-License-Identifier: MIT */
/*
 * The arenas of one audience, which is one connection's peer: those of all its pools, by their numbers.
 *
 *     table[id & (capacity - 1)] = the arena of that id;   2 * count <= capacity
 *
 * A number is used again only after all others. Borrows the arenas. Threads: the connection's.
 */
#ifndef MEMORY_ARENA_IDS_H
#define MEMORY_ARENA_IDS_H

#include "memory/arena.h"
#include "util/id_table.h"

/* Zeroed: an empty one. */
struct arena_ids {
    struct id_table table; /* owned entries */
    uint32_t count;
    uint64_t made; /* arenas that were added, and numbers passed over because they were taken */
};

/* Makes room for one more. -ENOMEM · -EOVERFLOW: the numbers are used up. */
int arena_ids_reserve(struct arena_ids *arenas);

/* Gives the arena its number, and its order; there is room for it. */
void arena_ids_add(struct arena_ids *arenas, struct arena *arena);
void arena_ids_remove(struct arena_ids *arenas, const struct arena *arena);

/* NULL: nobody has that number. */
struct arena *arena_ids_find(const struct arena_ids *arenas, uint32_t id);

/* The next one in the table, from `*place` on, which starts at 0; NULL: no more. The one returned may be removed. */
struct arena *arena_ids_next(const struct arena_ids *arenas, uint32_t *place);

/* Gives the table back, if it is empty; numbers go on from where they were. */
void arena_ids_trim(struct arena_ids *arenas);

/* It is empty. */
void arena_ids_deinit(struct arena_ids *arenas);

#endif
