/* SPDX-License-Identifier: MIT */
/* The arenas of an audience. See arena_ids.h. Knows nothing of blocks. */
#include "memory/arena_ids.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <errno.h>

/* Half the ids, so that a free place in the table is soon found. */
static const uint32_t ARENAS_MAX = (HANDLE_ARENA_MAX + 1) / 2;
static const uint32_t CAPACITY_FIRST = 8;

static struct arena **table_at(const struct arena_ids *arenas, uint32_t id) {
    return &arenas->table[id & (arenas->capacity - 1)];
}

/* Ids that differed in their low bits go on to do so with one bit more. */
int arena_ids_reserve(struct arena_ids *arenas) {
    if (arenas->count >= ARENAS_MAX)
        return -EOVERFLOW;
    if (2 * (arenas->count + 1) <= arenas->capacity)
        return 0;
    struct arena_ids wider = {.capacity = arenas->capacity ? arenas->capacity * 2 : CAPACITY_FIRST};
    wider.table = heap_new(wider.capacity, sizeof(*wider.table));
    if (!wider.table)
        return -ENOMEM;
    for (uint32_t i = 0; i < arenas->capacity; i++)
        if (arenas->table[i])
            *table_at(&wider, arenas->table[i]->id) = arenas->table[i];
    heap_free(arenas->table);
    arenas->table = wider.table;
    arenas->capacity = wider.capacity;
    return 0;
}

void arena_ids_add(struct arena_ids *arenas, struct arena *arena) {
    do {
        arena->id = (uint32_t) (arenas->made++ % HANDLE_ARENA_MAX) + 1;
    } while (*table_at(arenas, arena->id));
    arena->order = arenas->made;
    *table_at(arenas, arena->id) = arena;
    arenas->count++;
}

void arena_ids_remove(struct arena_ids *arenas, const struct arena *arena) {
    *table_at(arenas, arena->id) = NULL;
    arenas->count--;
}

struct arena *arena_ids_find(const struct arena_ids *arenas, uint32_t id) {
    struct arena *arena = arenas->capacity > 0 ? *table_at(arenas, id) : NULL;
    return arena && arena->id == id ? arena : NULL;
}

struct arena *arena_ids_next(const struct arena_ids *arenas, uint32_t *place) {
    while (*place < arenas->capacity) {
        struct arena *arena = arenas->table[(*place)++];
        if (arena)
            return arena;
    }
    return NULL;
}

void arena_ids_trim(struct arena_ids *arenas) {
    if (arenas->count > 0)
        return;
    arenas->table = heap_free(arenas->table);
    arenas->capacity = 0;
}

void arena_ids_deinit(struct arena_ids *arenas) {
    heap_free(arenas->table);
    *arenas = (struct arena_ids){.table = NULL};
}
