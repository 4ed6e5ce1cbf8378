/* SPDX-License-Identifier: MIT */
/*
 * The ids of one audience's arenas. An audience is the peer of one connection; the arenas are in all pools for it.
 *
 *     2 * count <= capacity of the table
 *
 * An id is used again only after all other ids.
 *
 * Owns: the entries; it borrows the arenas. Touches: arena.id and arena.order. Threads: the connection's, until its end
 * has emptied and freed the table: arenas that stay longer are in no table.
 */
#ifndef MEMORY_ARENA_IDS_H
#define MEMORY_ARENA_IDS_H

#include "memory/arena.h"
#include "util/id_table.h"

/* Zeroed: an empty one. */
struct arena_ids {
    struct id_table table; /* owned entries */
    uint32_t count;
    uint64_t made; /* arenas added so far, and ids passed over because they were in use */
};

/* Makes room for one more arena. -ENOMEM · -EOVERFLOW: all ids are in use. */
int arena_ids_reserve(struct arena_ids *arenas);

/* Gives the arena its id and its order. arena_ids_reserve() has made room. */
void arena_ids_add(struct arena_ids *arenas, struct arena *arena);
void arena_ids_remove(struct arena_ids *arenas, const struct arena *arena);

/* Returns the arena with that id, or NULL. */
static inline struct arena *arena_ids_find(const struct arena_ids *arenas, uint32_t id) {
    return id_table_find(&arenas->table, id);
}

/* Returns the next arena from `*place` on, which is 0 at first; NULL: no more. The arena that was returned may be
 * removed. */
struct arena *arena_ids_next(const struct arena_ids *arenas, uint32_t *place);

/* Frees the table if it is empty. Later ids go on from the last one. */
void arena_ids_trim(struct arena_ids *arenas);

/* Frees an empty table. */
void arena_ids_deinit(struct arena_ids *arenas);

#endif
