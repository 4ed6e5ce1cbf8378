/* SPDX-License-Identifier: MIT */
/*
 * A size class: the blocks of one size, and the order in which its free blocks go out.
 *
 * Sizes. Four classes for each doubling, from 1 KiB up: 1024, 1280, 1536, 1792, 2048, 2560, ... So a block is less than
 * a quarter larger than a payload of more than 1 KiB. All sizes are multiples of 64, from 2 MiB up of 512 KiB.
 *
 * Order. Cache lines that the other side's core still holds, modified, are the most expensive to write again; memory
 * that has left the shared cache comes next. So each class has a distance of reuse: the number of blocks that it
 * cycles over. Free blocks of the cycle are *resting*, in the order in which they came back; the block that has
 * rested longest goes out next. Free blocks that a burst left beyond the cycle are *spare*: they go out last. Among
 * spare blocks those of the oldest arena go out first, so that younger arenas become wholly free and can go. Within an
 * arena the spare block that came back last goes out first. With a distance of 1 and one arena this is the order of all
 * blocks.
 *
 *     total = out + resting + spare,    resting = 0  or  out + resting <= distance,    1 <= distance <= target
 *
 * `distance` is less than `target` while there is no memory for more blocks. A lower target leaves blocks that the
 * cycle has used until then: the *surplus*, at most total - target. arena.spare_younger links the arenas with spare
 * blocks, from `oldest` on, by arena.order.
 *
 * Owns: nothing; it borrows slots and arenas of one pool, and links them. Touches: slot.link, slot.is_free,
 * arena.spare and arena.spare_younger. Threads: the pool's owner's.
 */
#ifndef MEMORY_SIZE_CLASS_H
#define MEMORY_SIZE_CLASS_H

#include "memory/slot.h"

struct size_class {
    uint32_t target, distance;
    uint32_t total, out; /* blocks */
    uint32_t surplus;    /* blocks; less by those of each arena that goes */
    struct slot_queue resting;
    struct arena *oldest; /* the oldest arena with spare blocks */
};

#define SIZE_CLASS_SMALLEST ((size_t) 1024)
/* Larger sizes have no class. */
#define SIZE_CLASS_LARGEST (SIZE_MAX / 4 + 1)
/* More than the largest number, 208: whole levels of memory/pool.c. */
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

/* Adds a new block, FREE. The block of an arena that is added last goes out first. */
void size_class_add(struct size_class *class, struct pool_slot *slot);

/* Removes all blocks of an arena for good. `out` of them are OUT. */
void size_class_remove(struct size_class *class, struct arena *arena, uint32_t out);

/* Are as many blocks out or resting as the distance asks for? */
static inline bool size_class_is_full(const struct size_class *class) {
    return class->out + class->resting.count >= class->distance;
}

/*
 * Takes the block that goes out next, of at least `size` bytes (blocks of large sizes differ); it is OUT then. It looks
 * at the first few resting blocks, and at the spare ones of the first few arenas, with `any` of all arenas. NULL: none
 * of these is large enough; or, unless `any`, there is no spare one, and too few blocks are there to keep the distance.
 * In the steady state the head of a list fits.
 */
struct pool_slot *size_class_search(struct size_class *class, size_t size, bool any);

/* Takes the first spare block of an arena, which has one; `previous` is the arena before it, NULL for the oldest. */
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

/* Puts the first spare block of its arena: the arena takes its place among the others. */
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

/* Puts an OUT block back. It rests if the cycle has room, or if others rest: the cycle stays as large as before. */
static inline void size_class_put(struct size_class *class, struct pool_slot *slot) {
    class->out--;
    slot->is_free = true;
    if (class->resting.head || class->out < class->distance)
        slot_queue_append(&class->resting, slot);
    else
        size_class_put_spare(class, slot);
}

/* Changes the target of a class while it is in use. If more blocks rest than the new target asks for, those of the
 * youngest arenas become spare, so that these arenas stay free. What a lower target leaves is added to the surplus; a
 * higher one may use it again, and ends it. */
void size_class_set_target(struct size_class *class, uint32_t target);

/* Sets the distance to the number of blocks that are out or resting (at least 1), since there is no memory for more. It
 * is the target again when an arena comes or goes. */
void size_class_expect_growth(struct size_class *class);

#endif
