/* SPDX-License-Identifier: MIT */
/* Size classes. See size_class.h for the sizes and the order. Borrows the slots; allocates nothing. */
#include "memory/size_class.h"

#include <assert.h>

/* Of blocks that differ in size, as large ones do, so many are looked at. */
enum { LOOKS = 8 };

static_assert(sizeof(size_t) <= 8, "SIZE_CLASS_COUNT");

size_t size_class_stride(uint32_t number) {
    if (number == 0)
        return SIZE_CLASS_SMALLEST;
    unsigned n = (number - 1) / 4 + 10, quarter = (number - 1) % 4;
    return (size_t) (quarter + 5) << (n - 2);
}

void size_class_balance(struct size_class *class) {
    struct pool_slot *slot;
    while ((slot = class->resting.head) && class->out + class->resting.count > class->distance) {
        slot_queue_remove(&class->resting, slot, NULL);
        slot_queue_prepend(&class->spare, slot);
    }
}

void size_class_add(struct size_class *class, struct pool_slot *slot) {
    slot_queue_append(&class->spare, slot);
    slot->is_free = true;
    class->total++;
    class->distance = class->target;
}

/* Returns how many there were. */
static uint32_t queue_remove_all(struct slot_queue *queue, const struct arena *arena) {
    uint32_t count = queue->count;
    struct pool_slot *previous = NULL;
    for (struct pool_slot *slot = queue->head; slot; slot = slot->next)
        if (slot->arena == arena)
            slot_queue_remove(queue, slot, previous);
        else
            previous = slot;
    return count - queue->count;
}

void size_class_remove(struct size_class *class, const struct arena *arena) {
    class->total -= queue_remove_all(&class->resting, arena) + queue_remove_all(&class->spare, arena);
    class->distance = class->target;
}

void size_class_forget(struct size_class *class, uint32_t count) {
    class->total -= count;
    class->out -= count;
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
        slot = slot->next;
    }
    return NULL;
}

struct pool_slot *size_class_search(struct size_class *class, size_t size, bool any) {
    bool is_rotation_full = class->out + class->resting.count >= class->distance;
    struct pool_slot *slot = is_rotation_full ? queue_take(&class->resting, size) : NULL;
    if (!slot)
        slot = queue_take(&class->spare, size);
    if (!slot && any)
        slot = queue_take(&class->resting, size);
    if (!slot)
        return NULL;
    slot->is_free = false;
    class->out++;
    size_class_balance(class);
    return slot;
}

void size_class_settle_for(struct size_class *class) {
    uint32_t count = class->out + class->resting.count;
    class->distance = count < 1 ? 1 : count < class->target ? count : class->target;
}
