/* SPDX-License-Identifier: MIT */
/*
 * Our calls. See calls.h. The pending ones are on a list sorted by deadline; a new one is put in from the end, which is
 * where it belongs when all have the same time-out.
 */
#include "rpc/calls.h"

#include "sys/heap.h"
#include <errno.h>
#include <string.h>

enum { CAPACITY_FIRST = 8, SLOT_SIZE = sizeof(struct call_slot) };

/* The slot that `id` names, whose number is (uint32_t) id; NULL: no call in flight has that id. */
static struct call_slot *call_find(const struct calls *calls, uint64_t id) {
    struct slot_head *head = slot_table_find(&calls->slots, SLOT_SIZE, (uint32_t) id, (uint32_t) (id >> 32));
    struct call_slot *slot = (struct call_slot *) head;
    return slot && slot->state != CALL_FREE ? slot : NULL;
}

static RARE int calls_grow(struct slot_table *table) {
    uint32_t before = table->capacity, capacity = before ? before * 2 : CAPACITY_FIRST;
    struct call_slot *slots = heap_resize(table->slots, capacity, SLOT_SIZE);
    if (!slots)
        return -ENOMEM;
    memset(&slots[before], 0, SLOT_SIZE * (capacity - before)); /* CALL_FREE */
    slot_table_add(table, SLOT_SIZE, slots, capacity);
    return 0;
}

static void slot_free(struct calls *calls, struct call_slot *slot, uint32_t number) {
    calls_settle(calls);
    if (slot->state == CALL_PENDING)
        slot_list_remove(&calls->pending, &calls->slots, SLOT_SIZE, number);
    slot->state = CALL_FREE;
    slot_table_give(&calls->slots, SLOT_SIZE, number, slot->head.generation + 1);
    calls->in_flight--;
}

int calls_begin(struct calls *calls, uint32_t limit, uint64_t deadline, struct call_waiter waiter, uint64_t *ret_id) {
    calls_settle(calls);
    if (calls->in_flight >= limit)
        return -EAGAIN;
    if (!calls->slots.free_first && calls_grow(&calls->slots) < 0)
        return -ENOMEM;
    uint32_t number = slot_table_take(&calls->slots, SLOT_SIZE);
    struct call_slot *slot = calls_at(calls, number);
    slot->state = CALL_PENDING;
    slot->deadline = deadline;
    slot->waiter = waiter;
    calls->in_flight++;
    uint32_t before = calls->pending.last;
    while (before && calls_at(calls, before)->deadline > deadline)
        before = calls_at(calls, before)->head.previous;
    slot_list_insert(&calls->pending, &calls->slots, SLOT_SIZE, before, number);
    *ret_id = calls_id(calls, number);
    return 0;
}

void calls_undo(struct calls *calls, uint64_t id) {
    slot_free(calls, call_find(calls, id), (uint32_t) id);
}

int calls_finish(struct calls *calls, uint64_t id, struct call_waiter *ret_waiter) {
    struct call_slot *slot = call_find(calls, id);
    if (!slot)
        return -ENOENT;
    *ret_waiter = slot->waiter;
    slot_free(calls, slot, (uint32_t) id);
    return 0;
}

bool calls_is_pending(const struct calls *calls, uint64_t id) {
    const struct call_slot *slot = call_find(calls, id);
    return slot && slot->state == CALL_PENDING;
}

bool calls_first_late(const struct calls *calls, uint64_t now, uint64_t but, uint64_t *ret_id) {
    uint32_t number = calls->pending.first;
    if (number && calls_id(calls, number) == but)
        number = calls_at(calls, number)->head.next;
    if (!number || calls_at(calls, number)->deadline > now)
        return false;
    *ret_id = calls_id(calls, number);
    return true;
}

int calls_abandon(struct calls *calls, uint64_t id, struct call_waiter *ret_waiter) {
    struct call_slot *slot = call_find(calls, id);
    if (!slot || slot->state != CALL_PENDING)
        return -ENOENT;
    *ret_waiter = slot->waiter;
    slot_list_remove(&calls->pending, &calls->slots, SLOT_SIZE, (uint32_t) id);
    slot->state = CALL_ABANDONED;
    slot->waiter = (struct call_waiter){.done = NULL};
    return 0;
}

bool calls_first(const struct calls *calls, uint64_t *ret_id, uint64_t *ret_deadline) {
    uint32_t number = calls->pending.first;
    if (!number)
        return false;
    *ret_id = calls_id(calls, number);
    *ret_deadline = calls_at(calls, number)->deadline;
    return true;
}

void calls_trim(struct calls *calls) {
    calls_settle(calls);
    if (calls->in_flight == 0)
        heap_free(slot_table_clear(&calls->slots, SLOT_SIZE));
}

void calls_deinit(struct calls *calls) {
    heap_free(slot_table_clear(&calls->slots, SLOT_SIZE));
    calls->pending = (struct slot_list){0, 0};
    calls->in_flight = 0;
}
