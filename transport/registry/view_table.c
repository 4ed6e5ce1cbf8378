/* SPDX-License-Identifier: MIT */
/* Numbers of the peer's arenas. See view_table.h. */
#include "registry/view_table.h"

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

int view_table_reserve(struct view_table *table, uint32_t id) {
    int r = 0;
    assert(id <= HANDLE_ARENA_MAX); /* so that there is an end of it */
    while (r == 0 && !id_table_is_free(&table->ids, id))
        r = widen(&table->ids);
    return r;
}

void view_table_add(struct view_table *table, uint32_t id, struct arena_view *view) {
    id_table_put(&table->ids, id, view);
}

struct arena_view *view_table_remove(struct view_table *table, uint32_t id) {
    return id_table_remove(&table->ids, id);
}

struct arena_view *view_table_next(const struct view_table *table, uint32_t *place) {
    return id_table_next(&table->ids, place);
}

struct arena_view *view_table_take(struct view_table *table, uint32_t place) {
    return id_table_take(&table->ids, place + 1);
}

void view_table_deinit(struct view_table *table) {
    heap_free(table->ids.entries);
    *table = (struct view_table){.ids = {.entries = NULL}};
}
