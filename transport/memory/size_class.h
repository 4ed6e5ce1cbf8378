/* SPDX-License-Identifier: MIT */
/*
 * A size class: the blocks of one size, and which of the free ones goes out next.
 *
 * Sizes. Four classes for each doubling, from 1 KiB up: 1024, 1280, 1536, 1792, 2048, 2560, ... So a block is less than
 * a quarter larger than a payload of more than 1 KiB. All are multiples of 64, from 2 MiB up of 512 KiB.
 *
 * Which block. Lines that the other side's core still holds, modified, are the dearest to write again; memory that has
 * left the shared cache comes next. So each class has a distance of reuse: the number of blocks that it rotates over.
 * Free blocks of the rotation *rest*, in the order in which they came back, and the one that has rested longest goes
 * out next. What a burst left beyond that is *spare*: it is touched last. Of these the oldest arena's go out first, so
 * that younger ones become wholly free again, and can go; within an arena that which came back last, as it is with a
 * distance of 1 and one arena.
 *
 *     total = out + resting + spare,    resting = 0  or  out + resting <= distance,    1 <= distance <= target
 *
 * `distance` is less than `target` while there is no memory for more. arena.spare_younger links the arenas with spare
 * blocks, from `oldest` on, by arena.order.
 *
 * Threads: the pool's owner's.
 */
#ifndef MEMORY_SIZE_CLASS_H
#define MEMORY_SIZE_CLASS_H

#include "memory/slot.h"

struct size_class {
    uint32_t target, distance;
    uint32_t total, out; /* blocks */
    struct slot_queue resting;
    struct arena *oldest; /* that has spare blocks */
};

#define SIZE_CLASS_SMALLEST ((size_t) 1024)
/* Larger sizes have no class. */
#define SIZE_CLASS_LARGEST (SIZE_MAX / 4 + 1)
/* One more than the largest number, on any machine. */
#define SIZE_CLASS_COUNT 216

/*
 * The number of the class of a size, which is at most SIZE_CLASS_LARGEST; and the size of a class's blocks. The classes
 * of a doubling, (2^n, 2^(n+1)], are numbered by the two bits below the highest of size - 1.
 */
static inline uint32_t size_class_number(size_t size) {
    if (size <= SIZE_CLASS_SMALLEST)
        return 0;
    unsigned n = 63u - (unsigned) __builtin_clzll((unsigned long long) size - 1);
    unsigned quarter = (unsigned) ((size - 1) >> (n - 2)) & 3;
    return (n - 10) * 4 + quarter + 1;
}
size_t size_class_stride(uint32_t number);

/* Adds a block that was made, FREE. Of an arena the last one that is added goes out first. */
void size_class_add(struct size_class *class, struct pool_slot *slot);

/* Takes all blocks of an arena out of it for good, of which `out` are OUT. */
void size_class_remove(struct size_class *class, struct arena *arena, uint32_t out);

/* Are there as many, out or resting, as the distance wants? */
static inline bool size_class_is_full(const struct size_class *class) {
    return class->out + class->resting.count >= class->distance;
}

/*
 * The block that goes out next, of at least `size` bytes (blocks of large sizes differ), now OUT. NULL: none is free;
 * or, unless `any`, there are too few to keep the distance. In the steady state the head of a list will do.
 */
struct pool_slot *size_class_search(struct size_class *class, size_t size, bool any);

/* Takes the first spare one of an arena, which has one; `previous` is the arena before it, NULL for the oldest. */
static inline struct pool_slot *size_class_take_spare(struct size_class *class, struct arena *arena,
                                                      struct arena *previous) {
    struct pool_slot *slot = arena->spare;
    arena->spare = slot->link.next;
    if (!arena->spare)
        *(previous ? &previous->spare_younger : &class->oldest) = arena->spare_younger;
    return slot;
}

static inline struct pool_slot *size_class_pick(struct size_class *class, size_t size) {
    struct pool_slot *slot = size_class_is_full(class) ? class->resting.head : NULL;
    struct arena *arena = slot ? slot->arena : class->oldest;
    if (!arena || arena->stride < size)
        return size_class_search(class, size, false);
    if (slot)
        slot_queue_remove(&class->resting, slot, NULL);
    else
        slot = size_class_take_spare(class, arena, NULL);
    slot->is_free = false;
    class->out++;
    return slot;
}

/* The first spare one of its arena: that takes its place among the others. */
void size_class_put_first_spare(struct size_class *class, struct pool_slot *slot);

static inline void size_class_put_spare(struct size_class *class, struct pool_slot *slot) {
    struct arena *arena = slot->arena;
    if (!arena->spare) {
        size_class_put_first_spare(class, slot);
        return;
    }
    slot->link.next = arena->spare;
    arena->spare = slot;
}

/* An OUT one came back. As many more rest as fewer are out. */
static inline void size_class_put(struct size_class *class, struct pool_slot *slot) {
    class->out--;
    slot->is_free = true;
    if (class->resting.head || class->out < class->distance)
        slot_queue_append(&class->resting, slot);
    else
        size_class_put_spare(class, slot);
}

/* There is no memory for more blocks: the distance is what there is. Until blocks come or go. */
void size_class_expect_growth(struct size_class *class);

#endif
