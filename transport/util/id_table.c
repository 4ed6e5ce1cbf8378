/* SPDX-License-Identifier: MIT */
/* Tables of items by their ids. See id_table.h. */
#include "util/id_table.h"

void *id_table_remove(struct id_table *table, uint32_t id) {
    void *item = id_table_find(table, id);
    if (item)
        table->entries[id & (table->capacity - 1)].item = NULL;
    return item;
}

void *id_table_next(const struct id_table *table, uint32_t *place) {
    while (*place < table->capacity) {
        void *item = table->entries[(*place)++].item;
        if (item)
            return item;
    }
    return NULL;
}

void *id_table_take(struct id_table *table, uint32_t place) {
    void *item = table->entries[place - 1].item;
    table->entries[place - 1].item = NULL;
    return item;
}

struct id_entry *id_table_widen(struct id_table *table, struct id_entry *entries, uint32_t capacity) {
    struct id_table wider = {entries, capacity};
    struct id_entry *before = table->entries;
    for (uint32_t i = 0; i < table->capacity; i++)
        if (before[i].item)
            id_table_put(&wider, before[i].id, before[i].item);
    *table = wider;
    return before;
}
