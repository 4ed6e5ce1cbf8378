/* SPDX-License-Identifier: MIT */
/*
 * A slot: the pool's record of one block of an arena. It lies in the owner's private memory; peers do not see it.
 *
 *     FREE   --pool_take()-->  OUT  --pool_put()-->  FREE
 *     OUT    --slot_lease()-->  LEASED  --slot_release()-->  OUT
 *
 * A slot is on one list at most: on a list of its size class while FREE, on the return stack on its way there, on the
 * pool's list of leases while LEASED. `link` belongs to the owner's thread; of an OUT slot that another thread puts, it
 * belongs to that thread. Only the list of leases is linked both ways, since leases end in any order.
 *
 * Owns: nothing; the slots lie in one piece of memory with their arena (memory/pool_arenas.h). Threads: the owner's,
 * but for an OUT slot: `extra`, and the bytes at `data`, belong to the block's user.
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
    /* Borrowed from the pool: the place where the slot may be hot. If another slot is there, or it is closed, it may
     * not. */
    struct pool_slot **hot;
    uint32_t index;      /* of the block in its arena */
    uint64_t leased_at;  /* wait_now_coarse() of the newest lease */
    uint32_t generation; /* of the newest lease; 0: never leased */
    bool is_leased, is_free;
    bool is_queued; /* the user's, while OUT: the slot will be leased when the peer takes it */
    char extra[] __attribute__((aligned(_Alignof(max_align_t)))); /* the user's, of pool_options.extra bytes */
};

/* A queue of slots, linked one way. */
struct slot_queue {
    struct pool_slot *head, *tail; /* `tail` of an empty queue is undefined */
    uint32_t count;
};

static inline void slot_queue_append(struct slot_queue *queue, struct pool_slot *slot) {
    slot->link.next = NULL;
    if (queue->head)
        queue->tail->link.next = slot; /* a queue with a head has a tail; NOLINT(clang-analyzer-core.NullDereference) */
    else
        queue->head = slot;
    queue->tail = slot;
    queue->count++;
}

/* Removes the slot behind `previous`, or the head for NULL. */
static inline void slot_queue_remove(struct slot_queue *queue, struct pool_slot *slot, struct pool_slot *previous) {
    *(previous ? &previous->link.next : &queue->head) = slot->link.next;
    if (queue->tail == slot)
        queue->tail = previous;
    queue->count--;
}

#endif
