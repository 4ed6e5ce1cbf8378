/* SPDX-License-Identifier: MIT */
/*
 * The peer's arenas that we look at, by the numbers that it gave them.
 *
 * Two that would be in the same place make the table larger. An honest peer hands out numbers that differ in the low
 * bits (memory/arena_ids.h), so that the table stays as small as its own; a hostile one makes it 65 536 entries large
 * at most.
 *
 * Borrows what is in it. Threads: the connection's.
 */
#ifndef REGISTRY_VIEWS_H
#define REGISTRY_VIEWS_H

#include "util/id_table.h"
#include <stdint.h>

struct arena_view;

/* Zeroed: an empty one. */
struct views {
    struct id_table table; /* owned entries */
};

/* Makes room for that number, which nobody has. -ENOMEM. */
int views_reserve(struct views *views, uint32_t id);

/* There is room for it. */
void views_add(struct views *views, uint32_t id, struct arena_view *view);

/* NULL: nobody has that number. */
struct arena_view *views_find(const struct views *views, uint32_t id);

/* Returns it; nobody has the number any more. NULL: nobody had. */
struct arena_view *views_remove(struct views *views, uint32_t id);

/* The next one in the table, from `*place` on, which starts at 0; NULL: no more. */
struct arena_view *views_next(const struct views *views, uint32_t *place);

/* Removes the one at that place, which is below views_next()'s `*place`, and returns it. */
struct arena_view *views_take(struct views *views, uint32_t place);

/* Forgets all. */
void views_deinit(struct views *views);

#endif
