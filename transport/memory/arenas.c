/* SPDX-License-Identifier: MIT */
/* The arenas of an audience. See arenas.h. Knows nothing of blocks. */
#include "memory/arenas.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <errno.h>

/* Half the ids, so that a free place in the table is soon found. */
static const uint32_t ARENAS_MAX = (HANDLE_ARENA_MAX + 1) / 2;
static const uint32_t CAPACITY_FIRST = 8;

static struct arena **table_at(const struct arenas *arenas, uint32_t id) {
    return &arenas->table[id & (arenas->capacity - 1)];
}

/* Ids that differed in their low bits go on to do so with one bit more. */
int arenas_reserve(struct arenas *arenas) {
    if (arenas->count >= ARENAS_MAX)
        return -EOVERFLOW;
    if (2 * (arenas->count + 1) <= arenas->capacity)
        return 0;
    struct arenas wider = {.capacity = arenas->capacity ? arenas->capacity * 2 : CAPACITY_FIRST};
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

void arenas_add(struct arenas *arenas, struct arena *arena) {
    do {
        arena->id = (uint32_t) (arenas->made++ % HANDLE_ARENA_MAX) + 1;
    } while (*table_at(arenas, arena->id));
    arena->order = arenas->made;
    *table_at(arenas, arena->id) = arena;
    arenas->count++;
}

void arenas_remove(struct arenas *arenas, const struct arena *arena) {
    *table_at(arenas, arena->id) = NULL;
    arenas->count--;
}

struct arena *arenas_find(const struct arenas *arenas, uint32_t id) {
    struct arena *arena = arenas->capacity > 0 ? *table_at(arenas, id) : NULL;
    return arena && arena->id == id ? arena : NULL;
}

struct arena *arenas_next(const struct arenas *arenas, uint32_t *place) {
    while (*place < arenas->capacity) {
        struct arena *arena = arenas->table[(*place)++];
        if (arena)
            return arena;
    }
    return NULL;
}

void arenas_trim(struct arenas *arenas) {
    if (arenas->count > 0)
        return;
    arenas->table = heap_free(arenas->table);
    arenas->capacity = 0;
}

void arenas_deinit(struct arenas *arenas) {
    heap_free(arenas->table);
    *arenas = (struct arenas){.table = NULL};
}
