/* SPDX-License-Identifier: MIT */
/* Numbers of the peer's arenas. See views.h. */
#include "registry/views.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>
#include <stddef.h>

enum { CAPACITY_FIRST = 16 };

static int widen(struct id_table *table) {
    uint32_t capacity = table->capacity ? table->capacity * 2 : CAPACITY_FIRST;
    struct id_entry *entries = heap_new(capacity, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    heap_free(id_table_widen(table, entries, capacity));
    return 0;
}

int views_reserve(struct views *views, uint32_t id) {
    int r = 0;
    assert(id <= HANDLE_ARENA_MAX); /* so that there is an end of it */
    while (r == 0 && !id_table_is_free(&views->table, id))
        r = widen(&views->table);
    return r;
}

void views_add(struct views *views, uint32_t id, struct arena_view *view) {
    id_table_put(&views->table, id, view);
}

struct arena_view *views_find(const struct views *views, uint32_t id) {
    return id_table_find(&views->table, id);
}

struct arena_view *views_remove(struct views *views, uint32_t id) {
    return id_table_remove(&views->table, id);
}

struct arena_view *views_next(const struct views *views, uint32_t *place) {
    return id_table_next(&views->table, place);
}

struct arena_view *views_take(struct views *views, uint32_t place) {
    return id_table_take(&views->table, place + 1);
}

void views_deinit(struct views *views) {
    heap_free(views->table.entries);
    *views = (struct views){.table = {.entries = NULL}};
}
