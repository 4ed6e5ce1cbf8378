/* SPDX-License-Identifier: MIT */
/*
 * A size class: the blocks of one size, and which of the free ones goes out next.
 *
 * Sizes. Four classes for each doubling, from 1 KiB up: 1024, 1280, 1536, 1792, 2048, 2560, ... So a block is less than a
 * quarter larger than a payload of more than 1 KiB. All are multiples of 64, from 2 MiB up of 512 KiB.
 *
 * Which block. Lines that the other side's core still holds, modified, are the dearest to write again; memory that has left
 * the shared cache comes next. So each class has a distance of reuse: the number of blocks that it rotates over. Free
 * blocks of the rotation *rest*, in the order in which they came back, and the one that has rested longest goes out
 * next. What a burst left beyond that is *spare*: it is touched last, the newest first. With a distance of 1 that is a stack.
 *
 *     total = out + resting + spare,    resting = 0  or  out + resting <= distance,    1 <= distance <= target
 *
 * `distance` is less than `target` while there is no memory for more.
 *
 * Threads: the pool's owner's.
 */
#ifndef MEMORY_SIZE_CLASS_H
#define MEMORY_SIZE_CLASS_H

#include "memory/slot.h"

struct size_class {
    uint32_t target, distance;
    uint32_t total, out; /* blocks */
    struct slot_queue resting, spare;
};

#define SIZE_CLASS_SMALLEST ((size_t) 1024)
/* Larger sizes have no class. */
#define SIZE_CLASS_LARGEST (SIZE_MAX / 4 + 1)
/* One more than the largest number, on any machine. */
#define SIZE_CLASS_COUNT 216

/*
 * The number of the class of a size, which is at most SIZE_CLASS_LARGEST; and the size of a class's blocks. The classes of a
 * doubling, (2^n, 2^(n+1)], are numbered by the two bits below the highest of size - 1.
 */
static inline uint32_t size_class_number(size_t size) {
    if (size <= SIZE_CLASS_SMALLEST)
        return 0;
    unsigned n = 63u - (unsigned) __builtin_clzll((unsigned long long) size - 1);
    unsigned quarter = (unsigned) ((size - 1) >> (n - 2)) & 3;
    return (n - 10) * 4 + quarter + 1;
}
size_t size_class_stride(uint32_t number);

/* Adds a block that was made, FREE. */
void size_class_add(struct size_class *class, struct pool_slot *slot);

/* Takes those blocks of an arena that are FREE out of it for good. */
void size_class_remove(struct size_class *class, const struct arena *arena);

/* So many that are OUT will not come back. */
void size_class_forget(struct size_class *class, uint32_t count);

/*
 * The block that goes out next, of at least `size` bytes (blocks of large sizes differ), now OUT. NULL: none is free; or,
 * unless `any`, there are too few to keep the distance. In the steady state the head of a list will do.
 */
struct pool_slot *size_class_search(struct size_class *class, size_t size, bool any);

static inline struct pool_slot *size_class_pick(struct size_class *class, size_t size) {
    bool is_rotation_full = class->out + class->resting.count >= class->distance;
    struct slot_queue *queue = is_rotation_full && class->resting.head ? &class->resting : &class->spare;
    struct pool_slot *slot = queue->head;
    if (!slot || slot->arena->stride < size)
        return size_class_search(class, size, false);
    slot_queue_remove(queue, slot, NULL);
    slot->is_free = false;
    class->out++;
    return slot;
}

/* What rests beyond the distance becomes spare. */
void size_class_balance(struct size_class *class);

/* An OUT one came back. */
static inline void size_class_put(struct size_class *class, struct pool_slot *slot) {
    class->out--;
    slot->is_free = true;
    if (!class->resting.head && class->out >= class->distance) {
        slot_queue_prepend(&class->spare, slot);
        return;
    }
    slot_queue_append(&class->resting, slot);
    size_class_balance(class);
}

/* There is no memory for more blocks: the distance is what there is. Until blocks come or go. */
void size_class_settle_for(struct size_class *class);

#endif
