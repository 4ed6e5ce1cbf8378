/* SPDX-License-Identifier: MIT */
/*
 * Our calls. See calls.h. The pending ones are on a list sorted by deadline; a new one is put in from the end, which is
 * where it belongs when all have the same time-out.
 */
#include "rpc/calls.h"

#include "sys/heap.h"
#include <errno.h>

static const uint32_t CAPACITY_FIRST = 8;

/* The slot + 1 that `id` names; 0: none in flight. */
static uint32_t id_find(const struct calls *calls, uint64_t id) {
    uint32_t at = (uint32_t) id;
    if (at == 0 || at > calls->capacity)
        return 0;
    const struct call_slot *slot = &calls->slots[at - 1];
    return slot->state != CALL_FREE && slot->generation == id >> 32 ? at : 0;
}

static int calls_grow(struct calls *calls) {
    uint32_t capacity = calls->capacity ? calls->capacity * 2 : CAPACITY_FIRST;
    struct call_slot *slots = heap_resize(calls->slots, capacity, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = capacity; i-- > calls->capacity;) {
        slots[i] = (struct call_slot){.state = CALL_FREE, .generation = calls->generation, .next = calls->free_head};
        calls->free_head = i + 1;
    }
    calls->slots = slots;
    calls->capacity = capacity;
    return 0;
}

static void list_insert(struct calls *calls, uint32_t at) {
    struct call_slot *slots = calls->slots;
    uint32_t before = calls->tail;
    while (before && slots[before - 1].deadline > slots[at - 1].deadline)
        before = slots[before - 1].previous;
    uint32_t after = before ? slots[before - 1].next : calls->head;
    slots[at - 1].previous = before;
    slots[at - 1].next = after;
    *(before ? &slots[before - 1].next : &calls->head) = at;
    *(after ? &slots[after - 1].previous : &calls->tail) = at;
}

static void list_remove(struct calls *calls, uint32_t at) {
    struct call_slot *slots = calls->slots;
    uint32_t before = slots[at - 1].previous, after = slots[at - 1].next;
    *(before ? &slots[before - 1].next : &calls->head) = after;
    *(after ? &slots[after - 1].previous : &calls->tail) = before;
}

static void slot_free(struct calls *calls, uint32_t at) {
    struct call_slot *slot = &calls->slots[at - 1];
    if (slot->state == CALL_PENDING)
        list_remove(calls, at);
    *slot = (struct call_slot){.state = CALL_FREE, .generation = slot->generation + 1, .next = calls->free_head};
    calls->free_head = at;
    calls->in_flight--;
}

int calls_begin(struct calls *calls, uint32_t limit, uint64_t deadline, struct call_waiter waiter, uint64_t *ret_id) {
    if (calls->in_flight >= limit)
        return -EAGAIN;
    if (!calls->free_head && calls_grow(calls) < 0)
        return -ENOMEM;
    uint32_t at = calls->free_head;
    struct call_slot *slot = &calls->slots[at - 1];
    calls->free_head = slot->next;
    slot->state = CALL_PENDING;
    slot->deadline = deadline;
    slot->waiter = waiter;
    calls->in_flight++;
    list_insert(calls, at);
    *ret_id = calls_id(calls, at);
    return 0;
}

void calls_undo(struct calls *calls, uint64_t id) {
    slot_free(calls, id_find(calls, id));
}

int calls_finish(struct calls *calls, uint64_t id, struct call_waiter *ret_waiter) {
    uint32_t at = id_find(calls, id);
    if (!at)
        return -ENOENT;
    *ret_waiter = calls->slots[at - 1].waiter;
    slot_free(calls, at);
    return 0;
}

bool calls_is_pending(const struct calls *calls, uint64_t id) {
    uint32_t at = id_find(calls, id);
    return at && calls->slots[at - 1].state == CALL_PENDING;
}

bool calls_first_late(const struct calls *calls, uint64_t now, uint64_t but, uint64_t *ret_id) {
    uint32_t at = calls->head;
    if (at && calls_id(calls, at) == but)
        at = calls->slots[at - 1].next;
    if (!at || calls->slots[at - 1].deadline > now)
        return false;
    *ret_id = calls_id(calls, at);
    return true;
}

int calls_abandon(struct calls *calls, uint64_t id, struct call_waiter *ret_waiter) {
    uint32_t at = id_find(calls, id);
    if (!at || calls->slots[at - 1].state != CALL_PENDING)
        return -ENOENT;
    struct call_slot *slot = &calls->slots[at - 1];
    *ret_waiter = slot->waiter;
    list_remove(calls, at);
    slot->state = CALL_ABANDONED;
    slot->waiter = (struct call_waiter){.done = NULL};
    return 0;
}

bool calls_first(const struct calls *calls, uint64_t *ret_id, uint64_t *ret_deadline) {
    if (!calls->head)
        return false;
    *ret_id = calls_id(calls, calls->head);
    *ret_deadline = calls->slots[calls->head - 1].deadline;
    return true;
}

/* What begins later goes on from the highest generation there was. */
void calls_trim(struct calls *calls) {
    if (calls->in_flight > 0)
        return;
    for (uint32_t i = 0; i < calls->capacity; i++)
        if (calls->slots[i].generation > calls->generation)
            calls->generation = calls->slots[i].generation;
    calls_deinit(calls);
}

void calls_deinit(struct calls *calls) {
    calls->slots = heap_free(calls->slots);
    calls->capacity = calls->free_head = calls->head = calls->tail = calls->in_flight = 0;
}
