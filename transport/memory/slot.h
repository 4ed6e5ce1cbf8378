/* SPDX-License-Identifier: MIT */
/*
 * A slot: what the pool knows of one block of an arena. Private memory of the owner's; peers see nothing of it.
 *
 *     FREE   --pool_take()-->  OUT  --pool_put()-->  FREE
 *     OUT    --slot_lease()-->  LEASED  --slot_release()-->  OUT
 *
 * A slot is on one list at most: its size class's while FREE, the stack of returns on its way there, the pool's leases
 * while LEASED. `next` and `previous` belong to whoever has it in that state: to the owner's thread, but for an OUT
 * slot that another thread puts. Only leases are linked both ways: they alone end in any order.
 */
#ifndef MEMORY_SLOT_H
#define MEMORY_SLOT_H

#include "memory/arena.h"
#include "util/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool_slot {
    _Alignas(max_align_t) struct arena *arena; /* borrowed: it outlives its slots */
    void *data;                                /* the block's first byte */
    QUEUE_LINK(struct pool_slot) link;
    /* Borrowed from the pool: where it may lie between the owner's put and take. Taken by somebody: it may not. */
    struct pool_slot **hot;
    uint32_t index;      /* of the block in its arena */
    uint64_t leased_at;  /* when that was: wait_now_coarse() */
    uint32_t generation; /* of the newest lease; 0: never leased */
    bool is_leased, is_free;
    bool is_queued; /* the user's, while OUT: it will be leased, as soon as the peer takes it */
    char extra[] __attribute__((aligned(_Alignof(max_align_t)))); /* the user's, of pool_options.extra bytes */
};

/* Slots in order, linked one way. */
struct slot_queue {
    struct pool_slot *head, *tail; /* the tail of an empty one means nothing */
    uint32_t count;
};

static inline void slot_queue_append(struct slot_queue *queue, struct pool_slot *slot) {
    slot->link.next = NULL;
    if (queue->head)
        queue->tail->link.next = slot; /* who has a head has a tail; NOLINT(clang-analyzer-core.NullDereference) */
    else
        queue->head = slot;
    queue->tail = slot;
    queue->count++;
}

/* `previous` is the one before it, NULL for the head. */
static inline void slot_queue_remove(struct slot_queue *queue, struct pool_slot *slot, struct pool_slot *previous) {
    *(previous ? &previous->link.next : &queue->head) = slot->link.next;
    if (queue->tail == slot)
        queue->tail = previous;
    queue->count--;
}

#endif
