/* SPDX-License-Identifier: MIT */
/*
 * A slot: what the pool knows of one block of an arena. Private memory of the owner's; peers see nothing of it.
 *
 *     FREE   --pool_take()-->  OUT  --pool_put()-->  FREE
 *     OUT    --slot_lease()-->  LEASED  --slot_release()-->  OUT
 *
 * A slot is on one list at most: its size class's while FREE, the stack of returns on its way there, the pool's leases while
 * LEASED. `next` and `previous` belong to whoever has it in that state: to the owner's thread, but for an OUT slot
 * that another thread puts.
 */
#ifndef MEMORY_SLOT_H
#define MEMORY_SLOT_H

#include "memory/arena.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum slot_place { SLOT_OUT, SLOT_RESTING, SLOT_SPARE }; /* the latter two: FREE, on that list of its class */

struct pool_slot {
    _Alignas(max_align_t) struct arena *arena; /* borrowed: it outlives its slots */
    void *data;                                /* the block's first byte */
    struct pool_slot *next, *previous;
    uint32_t index;      /* of the block in its arena */
    uint64_t leased_at;  /* when that was: wait_now_coarse() */
    uint32_t generation; /* of the newest lease; 0: never leased */
    bool is_leased;
    uint8_t place;                                                /* enum slot_place */
    char extra[] __attribute__((aligned(_Alignof(max_align_t)))); /* the user's, of pool_options.extra bytes */
};

/* A list of slots, linked both ways. */
struct slot_list {
    struct pool_slot *head, *tail;
    uint32_t count;
};

static inline void slot_list_prepend(struct slot_list *list, struct pool_slot *slot) {
    slot->previous = NULL;
    slot->next = list->head;
    *(list->head ? &list->head->previous : &list->tail) = slot;
    list->head = slot;
    list->count++;
}

static inline void slot_list_append(struct slot_list *list, struct pool_slot *slot) {
    slot->next = NULL;
    slot->previous = list->tail;
    *(list->tail ? &list->tail->next : &list->head) = slot;
    list->tail = slot;
    list->count++;
}

static inline void slot_list_remove(struct slot_list *list, struct pool_slot *slot) {
    *(slot->previous ? &slot->previous->next : &list->head) = slot->next;
    *(slot->next ? &slot->next->previous : &list->tail) = slot->previous;
    list->count--;
}

#endif
