/* SPDX-License-Identifier: MIT */
/* Size classes. See size_class.h for the sizes and the order. Borrows the slots; allocates nothing. */
#include "memory/size_class.h"

#include <assert.h>

/* Of blocks that differ in size, as large ones do, so many are looked at. */
enum { LOOKS = 8 };

static_assert(sizeof(size_t) <= 8, "SIZE_CLASS_COUNT");

/* The classes of a doubling, (2^n, 2^(n+1)], are numbered by the two bits below the highest of size - 1. */
uint32_t size_class_number(size_t size) {
    if (size <= SIZE_CLASS_SMALLEST)
        return 0;
    unsigned n = 63u - (unsigned) __builtin_clzll((unsigned long long) size - 1);
    unsigned quarter = (unsigned) ((size - 1) >> (n - 2)) & 3;
    return (n - 10) * 4 + quarter + 1;
}

size_t size_class_stride(uint32_t number) {
    if (number == 0)
        return SIZE_CLASS_SMALLEST;
    unsigned n = (number - 1) / 4 + 10, quarter = (number - 1) % 4;
    return (size_t) (quarter + 5) << (n - 2);
}

static struct slot_list *list_of(struct size_class *class, const struct pool_slot *slot) {
    assert(slot->place != SLOT_OUT);
    return slot->place == SLOT_RESTING ? &class->resting : &class->spare;
}

/* What rests beyond the distance is spare. */
static void size_class_balance(struct size_class *class) {
    struct pool_slot *slot;
    while ((slot = class->resting.head) && class->out + class->resting.count > class->distance) {
        slot_list_remove(&class->resting, slot);
        slot_list_prepend(&class->spare, slot);
        slot->place = SLOT_SPARE;
    }
}

void size_class_add(struct size_class *class, struct pool_slot *slot) {
    slot_list_append(&class->spare, slot);
    slot->place = SLOT_SPARE;
    class->total++;
    class->distance = class->target;
}

void size_class_remove(struct size_class *class, struct pool_slot *slot) {
    slot_list_remove(list_of(class, slot), slot);
    slot->place = SLOT_OUT;
    class->total--;
    class->distance = class->target;
}

void size_class_forget(struct size_class *class, uint32_t count) {
    class->total -= count;
    class->out -= count;
    class->distance = class->target;
}

static struct pool_slot *list_find(const struct slot_list *list, size_t size) {
    struct pool_slot *slot = list->head;
    for (int i = 1; slot && slot->arena->stride < size; i++)
        slot = i < LOOKS ? slot->next : NULL;
    return slot;
}

struct pool_slot *size_class_pick(struct size_class *class, size_t size, bool any) {
    bool is_rotation_full = class->out + class->resting.count >= class->distance;
    struct pool_slot *slot = is_rotation_full ? list_find(&class->resting, size) : NULL;
    if (!slot)
        slot = list_find(&class->spare, size);
    if (!slot && any)
        slot = list_find(&class->resting, size);
    if (!slot)
        return NULL;
    slot_list_remove(list_of(class, slot), slot);
    slot->place = SLOT_OUT;
    class->out++;
    size_class_balance(class);
    return slot;
}

void size_class_put(struct size_class *class, struct pool_slot *slot) {
    class->out--;
    slot_list_append(&class->resting, slot);
    slot->place = SLOT_RESTING;
    size_class_balance(class);
}

void size_class_settle_for(struct size_class *class) {
    uint32_t count = class->out + class->resting.count;
    class->distance = count < 1 ? 1 : count < class->target ? count : class->target;
}
