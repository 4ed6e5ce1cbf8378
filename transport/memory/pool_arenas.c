/* SPDX-License-Identifier: MIT */
/* Homes: a pool's arenas from the first charge to the last. See pool_arenas.h for what holds of them. */
#include "memory/pool_arenas.h"

#include "sys/heap.h"
#include "sys/map.h"
#include "util/arith.h"
#include <errno.h>

/* The place of those that are never hot. */
static struct pool_slot *no_place = &pool_closed;

void pool_arenas_init(struct pool_arenas *arenas, const struct pool_options *options) {
    arenas->ops = options->ops;
    arenas->owner = options->owner;
    arenas->admission = options->admission;
    arenas->census = options->census;
    arenas->audience = options->audience;
    arenas->slot_size = sizeof(struct pool_slot) + round_up(options->extra, _Alignof(max_align_t));
    arenas->is_private = options->is_private;
    rotation_init(&arenas->rotation, &options->policy);
}

/* The next of these arenas in the audience's table, from `*place` on, which starts at 0; NULL: no more. The one
 * returned may go. */
static struct pool_arena *pool_arenas_next(const struct pool_arenas *arenas, uint32_t *place) {
    struct pool_arena *home;
    do
        home = (struct pool_arena *) arena_ids_next(arenas->audience, place);
    while (home && home->arenas != arenas);
    return home;
}

/* --- made --- */

static int pool_arena_new(struct pool_arenas *arenas, size_t stride, uint32_t count, struct pool_arena **ret_home) {
    CLEANUP_FREE struct pool_arena *home = heap_new(1, sizeof(*home) + arenas->slot_size * count);
    if (!home)
        return -ENOMEM;
    int r = arenas->is_private ? arena_init_private(&home->arena, stride, count, arenas->admission)
                               : arena_init(&home->arena, stride, count, arenas->admission);
    if (r < 0)
        return r;
    home->arenas = arenas;
    for (uint32_t i = 0; i < count; i++) {
        struct pool_slot *slot = pool_arena_slot(home, i);
        slot->arena = &home->arena;
        slot->data = arena_at(&home->arena, i);
        slot->index = i;
    }
    *ret_home = home;
    home = NULL;
    return 0;
}

void pool_arena_free(struct pool_arena *home, const struct pool_ops *ops, void *owner) {
    uint64_t size = home->arena.size, excess = home->arena.excess;
    uint32_t fds = home->arena.fd >= 0 ? 1 : 0;
    census_leave(&home->counted);
    arena_deinit(&home->arena);
    heap_free(home);
    if (excess > 0)
        ops->uncharge(owner, excess, 0);
    ops->uncharge(owner, size, fds);
}

static void slot_open(struct pool_slot *slot, struct size_class *class) {
    struct pool_arenas *arenas = pool_arena_of(slot)->arenas;
    uint32_t number = size_class_number(slot->arena->stride);
    slot->hot = number < POOL_HOT_CLASSES && class->target == 1 ? &arenas->front.hot[number] : &no_place;
    size_class_add(class, slot);
}

/* Makes it part of the pool: all FREE. */
static void pool_arena_open(struct pool_arena *home, struct size_class *class) {
    struct pool_arenas *arenas = home->arenas;
    home->class = class;
    if (!arenas->is_private)
        census_enter_mapped(arenas->census, &home->counted, home->arena.data, home->arena.size, home->arena.excess);
    arena_ids_add(arenas->audience, &home->arena);
    for (uint32_t i = home->arena.count; i-- > 0;)
        slot_open(pool_arena_slot(home, i), class);
    home->generation = arenas->rotation.generation;
    pool_arenas_add_idle(arenas, home);
    arenas->mapped += home->arena.size;
    arenas->arenas++;
    if (arenas->mapped > arenas->mapped_peak)
        arenas->mapped_peak = arenas->mapped;
    rotation_note_arena(&arenas->rotation);
    arenas->ops->needs_maintenance(arenas->owner);
}

int pool_arenas_make(struct pool_arenas *arenas, struct size_class *class, size_t stride, uint32_t count) {
    struct pool_arena *home = NULL;
    uint64_t size = arena_size(stride, count);
    uint32_t fds = arenas->is_private ? 0 : 1;
    int r = size > 0 ? arena_ids_reserve(arenas->audience) : -ENOMEM;
    if (r == 0)
        r = arenas->ops->charge(arenas->owner, size, fds);
    if (r < 0)
        return r;
    r = pool_arena_new(arenas, stride, count, &home);
    if (r < 0) {
        arenas->ops->uncharge(arenas->owner, size, fds);
        return r;
    }
    r = home->arena.excess > 0 ? arenas->ops->charge(arenas->owner, home->arena.excess, 0) : 0;
    if (r < 0) {
        home->arena.excess = 0;
        pool_arena_free(home, arenas->ops, arenas->owner);
        return r;
    }
    pool_arena_open(home, class);
    return 0;
}

/* --- gone --- */

/* None of its slots is out, nor in a class, nor is it on the idle list. */
static void pool_arena_retire(struct pool_arena *home) {
    struct pool_arenas *arenas = home->arenas;
    arena_ids_remove(arenas->audience, &home->arena);
    arenas->mapped -= home->arena.size;
    arenas->arenas--;
    if (home->arena.is_announced)
        arenas->ops->retired(arenas->owner, home->arena.id);
    pool_arena_free(home, arenas->ops, arenas->owner);
}

static void pool_arena_retire_idle(struct pool_arena *home) {
    size_class_remove(home->class, &home->arena, 0);
    pool_arenas_remove_idle(home->arenas, home);
    pool_arena_retire(home);
}

void pool_arenas_retire_idle(struct pool_arenas *arenas, uint64_t keep) {
    uint64_t most = keep > 0 ? keep + arenas->reserved : 0; /* beside what is reserved, some of which may be out */
    while (arenas->idle.first && pool_arenas_retained(arenas) > most)
        pool_arena_retire_idle(arenas->idle.first);
}

uint64_t pool_arenas_retire_one(struct pool_arenas *arenas) {
    uint64_t before = arenas->mapped;
    if (arenas->idle.first)
        pool_arena_retire_idle(arenas->idle.first);
    return before - arenas->mapped;
}

/* --- reserved --- */

static void pool_arena_reserve(struct pool_arena *home) {
    struct pool_arenas *arenas = home->arenas;
    if (home->is_reserved)
        return;
    if (home->out == 0)
        pool_arenas_remove_idle(arenas, home);
    home->is_reserved = true;
    arenas->reserved += home->arena.size;
}

uint32_t pool_arenas_reserve(struct pool_arenas *arenas, const struct size_class *class, size_t size, uint32_t count) {
    struct pool_arena *home;
    uint32_t place = 0;
    while (count > 0 && (home = pool_arenas_next(arenas, &place))) {
        uint32_t ready = home->arena.count - home->out;
        if (home->class != class || home->arena.stride < size || ready == 0)
            continue;
        pool_arena_reserve(home);
        count -= min_u32(ready, count);
    }
    return count;
}

void pool_arenas_unreserve(struct pool_arenas *arenas) {
    struct pool_arena *home;
    uint32_t place = 0;
    while (arenas->reserved > 0 && (home = pool_arenas_next(arenas, &place))) {
        if (!home->is_reserved)
            continue;
        home->is_reserved = false;
        arenas->reserved -= home->arena.size;
        if (home->out == 0)
            pool_arenas_add_idle(arenas, home);
    }
}

/* --- generations --- */

/* It hands out no more blocks. Some are out. */
static void pool_arena_close(struct pool_arena *home) {
    struct pool_arenas *arenas = home->arenas;
    size_class_remove(home->class, &home->arena, home->out);
    for (uint32_t i = 0; i < home->arena.count; i++)
        pool_arena_slot(home, i)->hot = &no_place;
    home->class = NULL;
    home->allocated = arenas->front.allocated - arenas->rotation.first_byte;
    arenas->draining.arenas++;
    arenas->draining.mapped += home->arena.size;
    arenas->draining.bytes_out += home->arena.stride * home->out;
}

void pool_arena_drain(struct pool_arena *home, struct pool_slot *slot) {
    struct pool_arenas *arenas = home->arenas;
    slot->is_free = true; /* of no list: nobody gets it any more */
    arenas->draining.bytes_out -= home->arena.stride;
    if (--home->out > 0)
        return;
    arenas->draining.arenas--;
    arenas->draining.mapped -= home->arena.size;
    pool_arena_retire(home);
}

void pool_arenas_begin_generation(struct pool_arenas *arenas) {
    struct pool_arena *home;
    uint32_t place = 0;
    pool_arenas_unreserve(arenas);
    pool_arenas_retire_idle(arenas, 0);
    while ((home = pool_arenas_next(arenas, &place)))
        if (home->class)
            pool_arena_close(home);
    rotation_begin(&arenas->rotation, arenas->front.allocated);
}

uint32_t pool_arenas_end(struct pool_arenas *arenas) {
    struct pool_arena *home;
    uint32_t place = 0, count = 0;
    while ((home = pool_arenas_next(arenas, &place))) {
        arena_ids_remove(arenas->audience, &home->arena);
        atomic_store_explicit(&home->left, home->out, memory_order_relaxed);
        if (home->out > 0)
            count++;
        else
            pool_arena_free(home, arenas->ops, arenas->owner);
    }
    return count;
}

/* --- figures --- */

/* Summed up only here: takes and puts have enough to count. */
static uint64_t pool_arenas_blocks_out(const struct pool_arenas *arenas) {
    const struct pool_arena *home;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((home = pool_arenas_next(arenas, &place)))
        sum += home->out;
    return sum;
}

void pool_arenas_gauges(const struct pool_arenas *arenas, struct pool_gauges *ret_gauges) {
    *ret_gauges = (struct pool_gauges){
        .mapped = arenas->mapped,
        .arenas = arenas->arenas,
        .blocks_out = pool_arenas_blocks_out(arenas),
        .bytes_out = arenas->bytes_out,
        .retained = pool_arenas_retained(arenas),
        .reserved = arenas->reserved,
        .allocated = arenas->front.allocated,
        .mapped_peak = arenas->mapped_peak,
        .out_peak = arenas->out_peak,
        .draining_arenas = arenas->draining.arenas,
        .draining_mapped = arenas->draining.mapped,
        .draining_bytes_out = arenas->draining.bytes_out,
        .generation = arenas->rotation.generation,
    };
}

void pool_arenas_generation(const struct pool_arenas *arenas, uint64_t number, struct pool_gauges *ret_gauges) {
    struct pool_gauges sum = {.generation = number};
    const struct pool_arena *home;
    uint32_t place = 0;
    while ((home = pool_arenas_next(arenas, &place))) {
        const struct arena *arena = &home->arena;
        if (home->generation != number)
            continue;
        sum.arenas++;
        sum.mapped += arena->size;
        sum.blocks_out += home->out;
        sum.bytes_out += home->out * arena->stride;
        sum.retained += home->class ? arena->size - home->out * arena->stride : 0;
        sum.allocated = home->class ? arenas->front.allocated - arenas->rotation.first_byte : home->allocated;
    }
    *ret_gauges = sum;
}

uint64_t pool_arenas_oldest_generation(const struct pool_arenas *arenas) {
    uint64_t oldest = arenas->rotation.generation;
    const struct pool_arena *home;
    uint32_t place = 0;
    while ((home = pool_arenas_next(arenas, &place)))
        if (home->generation < oldest)
            oldest = home->generation;
    return oldest;
}

uint64_t pool_arenas_resident(const struct pool_arenas *arenas, uint64_t generation) {
    const struct pool_arena *home;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((home = pool_arenas_next(arenas, &place)))
        if (!generation || home->generation == generation)
            sum += map_count_resident(home->arena.data, home->arena.size);
    return sum;
}
