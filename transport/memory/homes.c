/* SPDX-License-Identifier: MIT */
/* Homes: a pool's arenas from the first charge to the last. See homes.h for what holds of them. */
#include "memory/homes.h"

#include "sys/heap.h"
#include "sys/map.h"
#include <errno.h>

/* The place of those that are never hot. */
static struct pool_slot *no_place = &pool_closed;

void homes_init(struct homes *homes, const struct pool_options *options) {
    const size_t unit = _Alignof(max_align_t);
    homes->ops = options->ops;
    homes->owner = options->owner;
    homes->admission = options->admission;
    homes->census = options->census;
    homes->audience = options->audience;
    homes->slot_size = sizeof(struct pool_slot) + (options->extra + unit - 1) / unit * unit;
    homes->is_private = options->is_private;
    rotation_init(&homes->rotation, &options->policy);
}

/* The next of these homes in the audience's table, from `*place` on, which starts at 0; NULL: no more. The one returned may go. */
static struct home *homes_next(const struct homes *homes, uint32_t *place) {
    struct home *home;
    do
        home = (struct home *) arenas_next(homes->audience, place);
    while (home && home->homes != homes);
    return home;
}

/* --- made --- */

static int home_new(struct homes *homes, size_t stride, uint32_t count, struct home **ret_home) {
    CLEANUP_FREE struct home *home = heap_new(1, sizeof(*home) + homes->slot_size * count);
    if (!home)
        return -ENOMEM;
    int r = homes->is_private ? arena_init_private(&home->arena, stride, count, homes->admission)
                              : arena_init(&home->arena, stride, count, homes->admission);
    if (r < 0)
        return r;
    home->homes = homes;
    for (uint32_t i = 0; i < count; i++) {
        struct pool_slot *slot = home_slot(home, i);
        slot->arena = &home->arena;
        slot->data = arena_at(&home->arena, i);
        slot->index = i;
    }
    *ret_home = home;
    home = NULL;
    return 0;
}

void home_free(struct home *home, const struct pool_ops *ops, void *owner) {
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
    struct homes *homes = home_of(slot)->homes;
    uint32_t number = size_class_number(slot->arena->stride);
    slot->hot = number < POOL_HOT_CLASSES && class->target == 1 ? &homes->front.hot[number] : &no_place;
    size_class_add(class, slot);
}

/* Makes it part of the pool: all FREE. */
static void home_open(struct home *home, struct size_class *class) {
    struct homes *homes = home->homes;
    home->class = class;
    if (!homes->is_private)
        census_enter_mapped(homes->census, &home->counted, home->arena.data, home->arena.size, home->arena.excess);
    arenas_add(homes->audience, &home->arena);
    for (uint32_t i = home->arena.count; i-- > 0;)
        slot_open(home_slot(home, i), class);
    home->generation = homes->rotation.generation;
    homes_add_idle(homes, home);
    homes->mapped += home->arena.size;
    homes->arenas++;
    if (homes->mapped > homes->mapped_peak)
        homes->mapped_peak = homes->mapped;
    rotation_note_arena(&homes->rotation);
    homes->ops->stirred(homes->owner);
}

int homes_make(struct homes *homes, struct size_class *class, size_t stride, uint32_t count) {
    struct home *home = NULL;
    uint64_t size = arena_size(stride, count);
    uint32_t fds = homes->is_private ? 0 : 1;
    int r = size > 0 ? arenas_reserve(homes->audience) : -ENOMEM;
    if (r == 0)
        r = homes->ops->charge(homes->owner, size, fds);
    if (r < 0)
        return r;
    r = home_new(homes, stride, count, &home);
    if (r < 0) {
        homes->ops->uncharge(homes->owner, size, fds);
        return r;
    }
    r = home->arena.excess > 0 ? homes->ops->charge(homes->owner, home->arena.excess, 0) : 0;
    if (r < 0) {
        home->arena.excess = 0;
        home_free(home, homes->ops, homes->owner);
        return r;
    }
    home_open(home, class);
    return 0;
}

/* --- gone --- */

/* None of its slots is out, nor in a class, nor is it on the idle list. */
static void home_retire(struct home *home) {
    struct homes *homes = home->homes;
    arenas_remove(homes->audience, &home->arena);
    homes->mapped -= home->arena.size;
    homes->arenas--;
    if (home->arena.is_announced)
        homes->ops->retired(homes->owner, home->arena.id);
    home_free(home, homes->ops, homes->owner);
}

static void home_retire_idle(struct home *home) {
    size_class_remove(home->class, &home->arena, 0);
    homes_remove_idle(home->homes, home);
    home_retire(home);
}

void homes_retire_idle(struct homes *homes, uint64_t keep) {
    uint64_t most = keep > 0 ? keep + homes->reserved : 0; /* beside what is reserved, some of which may be out */
    while (homes->idle_head && homes_retained(homes) > most)
        home_retire_idle(homes->idle_head);
}

uint64_t homes_retire_one(struct homes *homes) {
    uint64_t before = homes->mapped;
    if (homes->idle_head)
        home_retire_idle(homes->idle_head);
    return before - homes->mapped;
}

/* --- reserved --- */

static void home_reserve(struct home *home) {
    struct homes *homes = home->homes;
    if (home->is_reserved)
        return;
    if (home->out == 0)
        homes_remove_idle(homes, home);
    home->is_reserved = true;
    homes->reserved += home->arena.size;
}

uint32_t homes_reserve(struct homes *homes, const struct size_class *class, size_t size, uint32_t count) {
    struct home *home;
    uint32_t place = 0;
    while (count > 0 && (home = homes_next(homes, &place))) {
        uint32_t ready = home->arena.count - home->out;
        if (home->class != class || home->arena.stride < size || ready == 0)
            continue;
        home_reserve(home);
        count -= ready < count ? ready : count;
    }
    return count;
}

void homes_unreserve(struct homes *homes) {
    struct home *home;
    uint32_t place = 0;
    while (homes->reserved > 0 && (home = homes_next(homes, &place))) {
        if (!home->is_reserved)
            continue;
        home->is_reserved = false;
        homes->reserved -= home->arena.size;
        if (home->out == 0)
            homes_add_idle(homes, home);
    }
}

/* --- generations --- */

/* It hands out no more blocks. Some are out. */
static void home_close(struct home *home) {
    struct homes *homes = home->homes;
    size_class_remove(home->class, &home->arena, home->out);
    for (uint32_t i = 0; i < home->arena.count; i++)
        home_slot(home, i)->hot = &no_place;
    home->class = NULL;
    home->allocated = homes->front.allocated - homes->rotation.first_byte;
    homes->draining.arenas++;
    homes->draining.mapped += home->arena.size;
    homes->draining.bytes_out += home->arena.stride * home->out;
}

void home_drain(struct home *home, struct pool_slot *slot) {
    struct homes *homes = home->homes;
    slot->is_free = true; /* of no list: nobody gets it any more */
    homes->draining.bytes_out -= home->arena.stride;
    if (--home->out > 0)
        return;
    homes->draining.arenas--;
    homes->draining.mapped -= home->arena.size;
    home_retire(home);
}

void homes_begin_generation(struct homes *homes) {
    struct home *home;
    uint32_t place = 0;
    homes_unreserve(homes);
    homes_retire_idle(homes, 0);
    while ((home = homes_next(homes, &place)))
        if (home->class)
            home_close(home);
    rotation_begin(&homes->rotation, homes->front.allocated);
}

uint32_t homes_end(struct homes *homes) {
    struct home *home;
    uint32_t place = 0, count = 0;
    while ((home = homes_next(homes, &place))) {
        arenas_remove(homes->audience, &home->arena);
        atomic_store_explicit(&home->left, home->out, memory_order_relaxed);
        if (home->out > 0)
            count++;
        else
            home_free(home, homes->ops, homes->owner);
    }
    return count;
}

/* --- figures --- */

/* Summed up only here: takes and puts have enough to count. */
static uint64_t homes_blocks_out(const struct homes *homes) {
    const struct home *home;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((home = homes_next(homes, &place)))
        sum += home->out;
    return sum;
}

void homes_gauges(const struct homes *homes, struct pool_gauges *ret_gauges) {
    *ret_gauges = (struct pool_gauges){
        .mapped = homes->mapped,
        .arenas = homes->arenas,
        .blocks_out = homes_blocks_out(homes),
        .bytes_out = homes->bytes_out,
        .retained = homes_retained(homes),
        .reserved = homes->reserved,
        .allocated = homes->front.allocated,
        .mapped_peak = homes->mapped_peak,
        .out_peak = homes->out_peak,
        .draining_arenas = homes->draining.arenas,
        .draining_mapped = homes->draining.mapped,
        .draining_bytes_out = homes->draining.bytes_out,
        .generation = homes->rotation.generation,
    };
}

void homes_generation(const struct homes *homes, uint64_t number, struct pool_gauges *ret_gauges) {
    struct pool_gauges sum = {.generation = number};
    const struct home *home;
    uint32_t place = 0;
    while ((home = homes_next(homes, &place))) {
        const struct arena *arena = &home->arena;
        if (home->generation != number)
            continue;
        sum.arenas++;
        sum.mapped += arena->size;
        sum.blocks_out += home->out;
        sum.bytes_out += home->out * arena->stride;
        sum.retained += home->class ? arena->size - home->out * arena->stride : 0;
        sum.allocated = home->class ? homes->front.allocated - homes->rotation.first_byte : home->allocated;
    }
    *ret_gauges = sum;
}

uint64_t homes_oldest_generation(const struct homes *homes) {
    uint64_t oldest = homes->rotation.generation;
    const struct home *home;
    uint32_t place = 0;
    while ((home = homes_next(homes, &place)))
        if (home->generation < oldest)
            oldest = home->generation;
    return oldest;
}

uint64_t homes_resident(const struct homes *homes, uint64_t generation) {
    const struct home *home;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((home = homes_next(homes, &place)))
        if (!generation || home->generation == generation)
            sum += map_count_resident(home->arena.data, home->arena.size);
    return sum;
}
