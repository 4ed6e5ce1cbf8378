/* SPDX-License-Identifier: MIT */
/*
 * The views of a peer's arenas by the numbers that the peer gave them.
 *
 * Two that would be in the same place make the table larger. An honest peer hands out numbers that differ in the low
 * bits (memory/arena_ids.h), so that the table stays as small as its own; a hostile one makes it 65 536 entries large
 * at most.
 *
 * Owns: the entries. The references of the views in the table are counted by its user, registry/views.h, which also
 * charges the entries. Threads: as there.
 */
#ifndef REGISTRY_VIEW_TABLE_H
#define REGISTRY_VIEW_TABLE_H

#include "util/id_table.h"
#include <stdint.h>

struct arena_view;

/* Zeroed: an empty one. */
struct view_table {
    struct id_table ids; /* owned entries */
};

/* Makes room for that number, which no view has. -ENOMEM. */
int view_table_reserve(struct view_table *table, uint32_t id);

/* Enters a view; there is room for its number. */
void view_table_add(struct view_table *table, uint32_t id, struct arena_view *view);

/* NULL: no view has that number. */
static inline struct arena_view *view_table_find(const struct view_table *table, uint32_t id) {
    return id_table_find(&table->ids, id);
}

/* Removes the view of that number, and returns it. NULL: there is none. */
struct arena_view *view_table_remove(struct view_table *table, uint32_t id);

/* The next one in the table, from `*place` on, which starts at 0; NULL: no more. */
struct arena_view *view_table_next(const struct view_table *table, uint32_t *place);

/* Removes the one at that place, which is below view_table_next()'s `*place`, and returns it. */
struct arena_view *view_table_take(struct view_table *table, uint32_t place);

/* Frees the entries; the views stay. */
void view_table_deinit(struct view_table *table);

#endif
