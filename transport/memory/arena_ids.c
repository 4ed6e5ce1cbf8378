/* SPDX-License-Identifier: MIT */
/* Ids of an audience's arenas. See arena_ids.h. This file knows nothing of blocks. */
#include "memory/arena_ids.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <errno.h>

/* Half the ids, so that a free one is soon found. */
static const uint32_t ARENAS_MAX = (HANDLE_ARENA_MAX + 1) / 2;
static const uint32_t CAPACITY_FIRST = 8;

/* Ids that differ in their low bits also differ in one bit more. */
int arena_ids_reserve(struct arena_ids *arenas) {
    struct id_table *table = &arenas->table;
    if (arenas->count >= ARENAS_MAX)
        return -EOVERFLOW;
    if (2 * (arenas->count + 1) <= table->capacity)
        return 0;
    uint32_t capacity = table->capacity ? table->capacity * 2 : CAPACITY_FIRST;
    struct id_entry *entries = heap_new(capacity, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    heap_free(id_table_widen(table, entries, capacity));
    return 0;
}

void arena_ids_add(struct arena_ids *arenas, struct arena *arena) {
    do {
        arena->id = (uint32_t) (arenas->made++ % HANDLE_ARENA_MAX) + 1;
    } while (!id_table_is_free(&arenas->table, arena->id));
    arena->order = arenas->made;
    id_table_put(&arenas->table, arena->id, arena);
    arenas->count++;
}

void arena_ids_remove(struct arena_ids *arenas, const struct arena *arena) {
    id_table_remove(&arenas->table, arena->id);
    arenas->count--;
}

struct arena *arena_ids_next(const struct arena_ids *arenas, uint32_t *place) {
    return id_table_next(&arenas->table, place);
}

static void table_free(struct arena_ids *arenas) {
    heap_free(arenas->table.entries);
    arenas->table = (struct id_table){.entries = NULL};
}

void arena_ids_trim(struct arena_ids *arenas) {
    if (arenas->count == 0)
        table_free(arenas);
}

void arena_ids_deinit(struct arena_ids *arenas) {
    table_free(arenas);
    *arenas = (struct arena_ids){.count = 0};
}
