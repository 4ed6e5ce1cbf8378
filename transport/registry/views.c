/* SPDX-License-Identifier: MIT */
/* Numbers of the peer's arenas. See views.h. */
#include "registry/views.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>
#include <stddef.h>

enum { CAPACITY_FIRST = 16 };

static struct views_entry *place_of(const struct views *views, uint32_t id) {
    return &views->table[id & (views->capacity - 1)];
}

/* Those that have places of their own keep them with one bit more. */
static int widen(struct views *views) {
    struct views wider = {.capacity = views->capacity ? views->capacity * 2 : CAPACITY_FIRST};
    wider.table = heap_new(wider.capacity, sizeof(*wider.table));
    if (!wider.table)
        return -ENOMEM;
    for (uint32_t i = 0; i < views->capacity; i++)
        if (views->table[i].view)
            *place_of(&wider, views->table[i].id) = views->table[i];
    heap_free(views->table);
    *views = wider;
    return 0;
}

int views_reserve(struct views *views, uint32_t id) {
    int r = 0;
    assert(id <= HANDLE_ARENA_MAX); /* so that there is an end of it */
    while (r == 0 && (views->capacity == 0 || place_of(views, id)->view))
        r = widen(views);
    return r;
}

void views_add(struct views *views, uint32_t id, struct arena_view *view) {
    *place_of(views, id) = (struct views_entry){view, id};
}

struct arena_view *views_find(const struct views *views, uint32_t id) {
    const struct views_entry *entry = views->capacity ? place_of(views, id) : NULL;
    return entry && entry->id == id ? entry->view : NULL;
}

struct arena_view *views_remove(struct views *views, uint32_t id) {
    struct arena_view *view = views_find(views, id);
    if (view)
        place_of(views, id)->view = NULL;
    return view;
}

struct arena_view *views_next(const struct views *views, uint32_t *place) {
    while (*place < views->capacity) {
        struct arena_view *view = views->table[(*place)++].view;
        if (view)
            return view;
    }
    return NULL;
}

struct arena_view *views_take(const struct views *views, uint32_t place) {
    struct arena_view *view = views->table[place].view;
    views->table[place].view = NULL;
    return view;
}

void views_deinit(struct views *views) {
    heap_free(views->table);
    *views = (struct views){.table = NULL};
}
