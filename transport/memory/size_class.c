/* SPDX-License-Identifier: MIT */
/* Size classes. See size_class.h for the sizes and the order. */
#include "memory/size_class.h"

#include "util/arith.h"
#include <assert.h>

/* So many blocks are examined where blocks differ in size, like large ones. */
enum { LOOKS = 8 };

static_assert(sizeof(size_t) <= 8, "SIZE_CLASS_COUNT");

size_t size_class_stride(uint32_t number) {
    if (number == 0)
        return SIZE_CLASS_SMALLEST;
    unsigned n = (number - 1) / 4 + 10, quarter = (number - 1) % 4;
    return (size_t) (quarter + 5) << (n - 2);
}

/* The place of an arena, or where it is to be: few are older and have spare blocks, since those go out first. */
static struct arena **place_of(struct size_class *class, const struct arena *arena) {
    struct arena **place = &class->oldest;
    while (*place && (*place)->order < arena->order)
        place = &(*place)->spare_younger;
    return place;
}

void size_class_put_first_spare(struct size_class *class, struct pool_slot *slot) {
    struct arena *arena = slot->arena, **place = place_of(class, arena);
    slot->link.next = NULL;
    arena->spare = slot;
    arena->spare_younger = *place;
    *place = arena;
}

void size_class_add(struct size_class *class, struct pool_slot *slot) {
    size_class_put_spare(class, slot);
    slot->is_free = true;
    class->total++;
    class->distance = class->target;
}

static void queue_remove_all(struct slot_queue *queue, const struct arena *arena) {
    struct pool_slot *previous = NULL;
    for (struct pool_slot *slot = queue->head; slot; slot = slot->link.next)
        if (slot->arena == arena)
            slot_queue_remove(queue, slot, previous);
        else
            previous = slot;
}

void size_class_remove(struct size_class *class, struct arena *arena, uint32_t out) {
    queue_remove_all(&class->resting, arena);
    if (arena->spare)
        *place_of(class, arena) = arena->spare_younger;
    arena->spare = NULL;
    class->total -= arena->count;
    class->out -= out;
    class->surplus -= min_u32(arena->count, class->surplus);
    class->distance = class->target;
}

/* Takes the first that will do. */
static struct pool_slot *queue_take(struct slot_queue *queue, size_t size) {
    struct pool_slot *slot = queue->head, *previous = NULL;
    for (int i = 0; slot && i < LOOKS; i++) {
        if (slot->arena->stride >= size) {
            slot_queue_remove(queue, slot, previous);
            return slot;
        }
        previous = slot;
        slot = slot->link.next;
    }
    return NULL;
}

/* `any`: wherever it lies. An arena that was just made is the last one. */
static struct pool_slot *take_spare(struct size_class *class, size_t size, bool any) {
    struct arena *arena = class->oldest, *previous = NULL;
    for (int i = 0; arena && (any || i < LOOKS); i++) {
        if (arena->stride >= size)
            return size_class_take_spare(class, arena, previous);
        previous = arena;
        arena = arena->spare_younger;
    }
    return NULL;
}

/* A spare block was taken while resting ones were too small: the resting blocks beyond the distance become spare. */
static void balance(struct size_class *class) {
    struct pool_slot *slot;
    while ((slot = class->resting.head) && class->out + class->resting.count > class->distance) {
        slot_queue_remove(&class->resting, slot, NULL);
        size_class_put_spare(class, slot);
    }
}

struct pool_slot *size_class_search(struct size_class *class, size_t size, bool any) {
    struct pool_slot *slot = size_class_is_full(class) ? queue_take(&class->resting, size) : NULL;
    if (!slot)
        slot = take_spare(class, size, any);
    if (!slot && any)
        slot = queue_take(&class->resting, size);
    if (!slot)
        return NULL;
    slot->is_free = false;
    class->out++;
    balance(class);
    return slot;
}

/* Removes a resting block of the youngest arena. There is one. */
static struct pool_slot *queue_take_youngest(struct slot_queue *queue) {
    struct pool_slot *youngest = queue->head, *before = NULL;
    for (struct pool_slot *slot = queue->head; slot->link.next; slot = slot->link.next)
        if (slot->link.next->arena->order > youngest->arena->order) {
            before = slot;
            youngest = slot->link.next;
        }
    slot_queue_remove(queue, youngest, before);
    return youngest;
}

void size_class_set_target(struct size_class *class, uint32_t target) {
    uint32_t cycle = min_u32(class->target, class->out + class->resting.count);
    class->surplus = target > class->target ? 0 : class->surplus + cycle - min_u32(target, cycle);
    class->target = class->distance = target;
    while (class->resting.head && class->out + class->resting.count > target)
        size_class_put_spare(class, queue_take_youngest(&class->resting));
}

void size_class_expect_growth(struct size_class *class) {
    uint32_t count = class->out + class->resting.count;
    class->distance = count < 1 ? 1 : count < class->target ? count : class->target;
}
