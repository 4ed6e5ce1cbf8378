/* SPDX-License-Identifier: MIT */
/* Audiences. See audience.h. Knows nothing of blocks. */
#include "memory/audience.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <errno.h>

/* Half the ids, so that a free place in the table is soon found. */
static const uint32_t ARENAS_MAX = (HANDLE_ARENA_MAX + 1) / 2;
static const uint32_t CAPACITY_FIRST = 8;

static struct arena **table_at(const struct audience *audience, uint32_t id) {
    return &audience->table[id & (audience->capacity - 1)];
}

/* Ids that differed in their low bits go on to do so with one bit more. */
int audience_reserve(struct audience *audience) {
    if (audience->arenas >= ARENAS_MAX)
        return -ENOMEM;
    if (2 * (audience->arenas + 1) <= audience->capacity)
        return 0;
    struct audience wider = {.capacity = audience->capacity ? audience->capacity * 2 : CAPACITY_FIRST};
    wider.table = heap_new(wider.capacity, sizeof(*wider.table));
    if (!wider.table)
        return -ENOMEM;
    for (uint32_t i = 0; i < audience->capacity; i++)
        if (audience->table[i])
            *table_at(&wider, audience->table[i]->id) = audience->table[i];
    heap_free(audience->table);
    audience->table = wider.table;
    audience->capacity = wider.capacity;
    return 0;
}

void audience_add(struct audience *audience, struct arena *arena) {
    do {
        audience->newest_id = audience->newest_id % HANDLE_ARENA_MAX + 1;
    } while (*table_at(audience, audience->newest_id));
    arena->id = audience->newest_id;
    *table_at(audience, arena->id) = arena;
    audience->arenas++;
}

void audience_remove(struct audience *audience, const struct arena *arena) {
    *table_at(audience, arena->id) = NULL;
    audience->arenas--;
}

struct arena *audience_find(const struct audience *audience, uint32_t id) {
    struct arena *arena = audience->capacity > 0 ? *table_at(audience, id) : NULL;
    return arena && arena->id == id ? arena : NULL;
}

struct arena *audience_next(const struct audience *audience, uint32_t *place) {
    while (*place < audience->capacity) {
        struct arena *arena = audience->table[(*place)++];
        if (arena)
            return arena;
    }
    return NULL;
}

void audience_deinit(struct audience *audience) {
    heap_free(audience->table);
    *audience = (struct audience){.table = NULL};
}
