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
    struct slot_list resting, spare;
};

#define SIZE_CLASS_SMALLEST ((size_t) 1024)
/* Larger sizes have no class. */
#define SIZE_CLASS_LARGEST (SIZE_MAX / 4 + 1)
/* One more than the largest number, on any machine. */
#define SIZE_CLASS_COUNT 216

/* The number of the class of a size, which is at most SIZE_CLASS_LARGEST; and the size of a class's blocks. */
uint32_t size_class_number(size_t size);
size_t size_class_stride(uint32_t number);

/* Adds a block that was made, FREE. */
void size_class_add(struct size_class *class, struct pool_slot *slot);

/* Takes a FREE one out of it for good. */
void size_class_remove(struct size_class *class, struct pool_slot *slot);

/* So many that are OUT will not come back. */
void size_class_forget(struct size_class *class, uint32_t count);

/*
 * The block that goes out next, of at least `size` bytes (blocks of large sizes differ), now OUT. NULL: none is free; or,
 * unless `any`, there are too few to keep the distance.
 */
struct pool_slot *size_class_pick(struct size_class *class, size_t size, bool any);

/* An OUT one came back. */
void size_class_put(struct size_class *class, struct pool_slot *slot);

/* There is no memory for more blocks: the distance is what there is. Until blocks come or go. */
void size_class_settle_for(struct size_class *class);

#endif
