/* SPDX-License-Identifier: MIT */
/* The arenas of a pool, from their first charge to their last. See pool_arenas.h for the invariants. */
#include "memory/pool_arenas.h"

#include "sys/heap.h"
#include "sys/map.h"
#include "util/arith.h"
#include <errno.h>

/* The place of slots that are never hot. */
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

/* Returns the next arena of this pool in the audience's table, from `*place` on, which is 0 at first; NULL: no more.
 * The arena that was returned may be freed. */
static struct pool_arena *pool_arenas_next(const struct pool_arenas *arenas, uint32_t *place) {
    struct pool_arena *arena;
    do
        arena = (struct pool_arena *) arena_ids_next(arenas->audience, place);
    while (arena && arena->arenas != arenas);
    return arena;
}

/* --- making arenas --- */

static int pool_arena_new(struct pool_arenas *arenas, size_t stride, uint32_t count, struct pool_arena **ret_arena) {
    CLEANUP_FREE struct pool_arena *arena = heap_new(1, sizeof(*arena) + arenas->slot_size * count);
    if (!arena)
        return -ENOMEM;
    int r = arenas->is_private ? arena_init_private(&arena->base, stride, count, arenas->admission)
                               : arena_init(&arena->base, stride, count, arenas->admission);
    if (r < 0)
        return r;
    arena->arenas = arenas;
    for (uint32_t i = 0; i < count; i++) {
        struct pool_slot *slot = pool_arena_slot(arena, i);
        slot->arena = &arena->base;
        slot->data = arena_at(&arena->base, i);
        slot->index = i;
    }
    *ret_arena = arena;
    arena = NULL;
    return 0;
}

void pool_arena_free(struct pool_arena *arena, const struct pool_ops *ops, void *owner) {
    uint64_t size = arena->base.size, excess = arena->base.excess;
    uint32_t fds = arena->base.fd >= 0 ? 1 : 0;
    census_leave(&arena->counted);
    arena_deinit(&arena->base);
    heap_free(arena);
    if (excess > 0)
        ops->uncharge(owner, excess, 0);
    ops->uncharge(owner, size, fds);
}

/* A class with a cycle has no hot block. */
static void slot_set_hot(struct pool_slot *slot, const struct size_class *class) {
    struct pool_arenas *arenas = pool_arena_of(slot)->arenas;
    uint32_t number = size_class_number(slot->arena->stride);
    slot->hot = number < POOL_HOT_CLASSES && class->target == 1 ? &arenas->front.hot[number] : &no_place;
}

void pool_arenas_note_cycle(struct pool_arenas *arenas, const struct size_class *class) {
    struct pool_arena *arena;
    uint32_t place = 0;
    while ((arena = pool_arenas_next(arenas, &place)))
        for (uint32_t i = 0; arena->class == class && i < arena->base.count; i++)
            slot_set_hot(pool_arena_slot(arena, i), class);
}

static void slot_open(struct pool_slot *slot, struct size_class *class) {
    slot_set_hot(slot, class);
    size_class_add(class, slot);
}

/* Makes the arena a part of the pool, with all slots FREE. */
static void pool_arena_open(struct pool_arena *arena, struct size_class *class) {
    struct pool_arenas *arenas = arena->arenas;
    arena->class = class;
    if (!arenas->is_private)
        census_enter_mapped(arenas->census, &arena->counted, arena->base.data, arena->base.size, arena->base.excess);
    arena_ids_add(arenas->audience, &arena->base);
    for (uint32_t i = arena->base.count; i-- > 0;)
        slot_open(pool_arena_slot(arena, i), class);
    arena->generation = arenas->rotation.generation;
    pool_arenas_add_idle(arenas, arena);
    arenas->mapped += arena->base.size;
    arenas->arenas++;
    if (arenas->mapped > arenas->mapped_peak)
        arenas->mapped_peak = arenas->mapped;
    rotation_note_arena(&arenas->rotation);
    arenas->ops->needs_maintenance(arenas->owner);
}

int pool_arenas_make(struct pool_arenas *arenas, struct size_class *class, size_t stride, uint32_t count) {
    struct pool_arena *arena = NULL;
    uint64_t size = arena_size(stride, count);
    uint32_t fds = arenas->is_private ? 0 : 1;
    int r = size > 0 ? arena_ids_reserve(arenas->audience) : -ENOMEM;
    if (r == 0)
        r = arenas->ops->charge(arenas->owner, size, fds);
    if (r < 0)
        return r;
    r = pool_arena_new(arenas, stride, count, &arena);
    if (r < 0) {
        arenas->ops->uncharge(arenas->owner, size, fds);
        return r;
    }
    r = arena->base.excess > 0 ? arenas->ops->charge(arenas->owner, arena->base.excess, 0) : 0;
    if (r < 0) {
        arena->base.excess = 0;
        pool_arena_free(arena, arenas->ops, arenas->owner);
        return r;
    }
    pool_arena_open(arena, class);
    return 0;
}

/* --- freeing arenas --- */

/* Frees an arena without slots that are out, in a class or on the idle list. */
static void pool_arena_retire(struct pool_arena *arena) {
    struct pool_arenas *arenas = arena->arenas;
    arena_ids_remove(arenas->audience, &arena->base);
    arenas->mapped -= arena->base.size;
    arenas->arenas--;
    if (arena->base.is_announced)
        arenas->ops->retired(arenas->owner, arena->base.id);
    pool_arena_free(arena, arenas->ops, arenas->owner);
}

static void pool_arena_retire_idle(struct pool_arena *arena) {
    size_class_remove(arena->class, &arena->base, 0);
    pool_arenas_remove_idle(arena->arenas, arena);
    pool_arena_retire(arena);
}

void pool_arenas_retire_idle(struct pool_arenas *arenas, uint64_t keep) {
    uint64_t most = keep > 0 ? keep + arenas->reserved : 0; /* the reserved arenas, some of them out, come on top */
    while (arenas->idle.first && pool_arenas_retained(arenas) > most)
        pool_arena_retire_idle(arenas->idle.first);
}

uint64_t pool_arenas_retire_one(struct pool_arenas *arenas) {
    uint64_t before = arenas->mapped;
    if (arenas->idle.first)
        pool_arena_retire_idle(arenas->idle.first);
    return before - arenas->mapped;
}

uint64_t pool_arenas_retire_surplus(struct pool_arenas *arenas) {
    struct pool_arena *arena = arenas->idle.first;
    while (arena && arena->base.count > arena->class->surplus)
        arena = arena->link.next;
    uint64_t size = arena ? arena->base.size : 0;
    if (arena)
        pool_arena_retire_idle(arena);
    return size;
}

/* --- reserved arenas --- */

static void pool_arena_reserve(struct pool_arena *arena) {
    struct pool_arenas *arenas = arena->arenas;
    if (arena->is_reserved)
        return;
    if (arena->out == 0)
        pool_arenas_remove_idle(arenas, arena);
    arena->is_reserved = true;
    arenas->reserved += arena->base.size;
}

uint32_t pool_arenas_reserve(struct pool_arenas *arenas, const struct size_class *class, size_t size, uint32_t count) {
    struct pool_arena *arena;
    uint32_t place = 0;
    while (count > 0 && (arena = pool_arenas_next(arenas, &place))) {
        uint32_t ready = arena->base.count - arena->out;
        if (arena->class != class || arena->base.stride < size || ready == 0)
            continue;
        pool_arena_reserve(arena);
        count -= min_u32(ready, count);
    }
    return count;
}

void pool_arenas_unreserve(struct pool_arenas *arenas) {
    struct pool_arena *arena;
    uint32_t place = 0;
    while (arenas->reserved > 0 && (arena = pool_arenas_next(arenas, &place))) {
        if (!arena->is_reserved)
            continue;
        arena->is_reserved = false;
        arenas->reserved -= arena->base.size;
        if (arena->out == 0)
            pool_arenas_add_idle(arenas, arena);
    }
}

/* --- generations --- */

/* Ends the use of an arena with slots that are out: it hands out no more blocks. */
static void pool_arena_close(struct pool_arena *arena) {
    struct pool_arenas *arenas = arena->arenas;
    size_class_remove(arena->class, &arena->base, arena->out);
    for (uint32_t i = 0; i < arena->base.count; i++)
        pool_arena_slot(arena, i)->hot = &no_place;
    arena->class = NULL;
    arena->allocated = arenas->front.allocated - arenas->rotation.first_byte;
    arenas->draining.arenas++;
    arenas->draining.mapped += arena->base.size;
    arenas->draining.bytes_out += arena->base.stride * arena->out;
}

void pool_arena_drain(struct pool_arena *arena, struct pool_slot *slot) {
    struct pool_arenas *arenas = arena->arenas;
    slot->is_free = true; /* on no list: the slot goes out no more */
    arenas->draining.bytes_out -= arena->base.stride;
    if (--arena->out > 0)
        return;
    arenas->draining.arenas--;
    arenas->draining.mapped -= arena->base.size;
    pool_arena_retire(arena);
}

void pool_arenas_begin_generation(struct pool_arenas *arenas) {
    struct pool_arena *arena;
    uint32_t place = 0;
    pool_arenas_unreserve(arenas);
    pool_arenas_retire_idle(arenas, 0);
    while ((arena = pool_arenas_next(arenas, &place)))
        if (arena->class)
            pool_arena_close(arena);
    rotation_begin(&arenas->rotation, arenas->front.allocated);
}

uint32_t pool_arenas_end(struct pool_arenas *arenas) {
    struct pool_arena *arena;
    uint32_t place = 0, count = 0;
    while ((arena = pool_arenas_next(arenas, &place))) {
        arena_ids_remove(arenas->audience, &arena->base);
        atomic_store_explicit(&arena->left, arena->out, memory_order_relaxed);
        if (arena->out > 0)
            count++;
        else
            pool_arena_free(arena, arenas->ops, arenas->owner);
    }
    return count;
}

/* --- gauges --- */

/* Summed up here, so that takes and puts do not have to count. */
static uint64_t pool_arenas_blocks_out(const struct pool_arenas *arenas) {
    const struct pool_arena *arena;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((arena = pool_arenas_next(arenas, &place)))
        sum += arena->out;
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
    const struct pool_arena *arena;
    uint32_t place = 0;
    while ((arena = pool_arenas_next(arenas, &place))) {
        if (arena->generation != number)
            continue;
        sum.arenas++;
        sum.mapped += arena->base.size;
        sum.blocks_out += arena->out;
        sum.bytes_out += arena->out * arena->base.stride;
        sum.retained += arena->class ? arena->base.size - arena->out * arena->base.stride : 0;
        sum.allocated = arena->class ? arenas->front.allocated - arenas->rotation.first_byte : arena->allocated;
    }
    *ret_gauges = sum;
}

uint64_t pool_arenas_oldest_generation(const struct pool_arenas *arenas) {
    uint64_t oldest = arenas->rotation.generation;
    const struct pool_arena *arena;
    uint32_t place = 0;
    while ((arena = pool_arenas_next(arenas, &place)))
        if (arena->generation < oldest)
            oldest = arena->generation;
    return oldest;
}

uint64_t pool_arenas_resident(const struct pool_arenas *arenas, uint64_t generation) {
    const struct pool_arena *arena;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((arena = pool_arenas_next(arenas, &place)))
        if (!generation || arena->generation == generation)
            sum += map_count_resident(arena->base.data, arena->base.size);
    return sum;
}
