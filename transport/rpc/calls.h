/* SPDX-License-Identifier: MIT */
/*
 * Our calls to one peer: the callback of each call that is in flight, and its deadline.
 *
 * States of a slot, and the only functions that move between them:
 *
 *     FREE  --calls_begin()-->  PENDING  --calls_finish() | calls_undo()-->  FREE
 *                                  |
 *                            calls_abandon()
 *                                  v
 *                              ABANDONED  --calls_finish()-->  FREE
 *
 * An abandoned call (deadline, cancel) has told its caller already, but holds its slot until the peer has
 * answered: the peer still counts it against its limit. An id is {generation, slot}: it never names a later call.
 *
 * Owns: the slots; `user` of a waiter is its caller's. Touches: nothing else: it calls no callback, and sends
 * nothing. Threads: the connection's, and last the thread that frees the connection (calls_deinit()).
 */
#ifndef RPC_CALLS_H
#define RPC_CALLS_H

#include "util/slot_table.h"
#include <sealane/conn.h>
#include <stdbool.h>
#include <stdint.h>

/* The callback of a call's end, and a description of the call for texts. */
struct call_waiter {
    sea_done *done;
    void *user;
    uint32_t method;
    int timeout_ms;
};

enum call_state { CALL_FREE, CALL_PENDING, CALL_ABANDONED };

struct call_slot {
    struct slot_head head; /* on the list of pending calls while PENDING */
    enum call_state state;
    uint64_t deadline;
    struct call_waiter waiter;
};

struct calls {
    struct slot_table slots;  /* owned */
    struct slot_list pending; /* by deadline, the earliest first */
    uint32_t in_flight;       /* PENDING and ABANDONED */
    /* The id of the next call on the short way; 0: none was computed since the slots have changed. While it is not 0,
     * it is ahead of the generation in its slot, which is free: calls_settle() puts that right. */
    uint64_t ready_id;
};

/* -EAGAIN: `limit` are in flight · -ENOMEM. */
int calls_begin(struct calls *calls, uint32_t limit, uint64_t deadline, struct call_waiter waiter, uint64_t *ret_id);

/* The call slot with this number (util/slot_table.h). */
static inline struct call_slot *calls_at(const struct calls *calls, uint32_t number) {
    return (struct call_slot *) calls->slots.slots + (number - 1);
}

/* The id that the call in this slot has. */
static inline uint64_t calls_id(const struct calls *calls, uint32_t number) {
    const struct call_slot *slots = calls->slots.slots;
    return (uint64_t) slots[number - 1].head.generation << 32 | number;
}

/* The id that the next calls_begin() will give; 0 when that may fail. */
static inline uint64_t calls_next_id(const struct calls *calls, uint32_t limit) {
    uint32_t number = calls->slots.free_first;
    return number && calls->in_flight < limit ? calls_id(calls, number) : 0;
}

/* Before the slots change. */
static inline void calls_settle(struct calls *calls) {
    if (calls->ready_id)
        calls_at(calls, (uint32_t) calls->ready_id)->head.generation = (uint32_t) (calls->ready_id >> 32);
    calls->ready_id = 0;
}

/* The same as calls_next_id(), for a call that is sent under that id and is, on the short way, answered before anybody
 * else gets a turn. */
static inline uint64_t calls_ready_id(struct calls *calls, uint32_t limit) {
    if (!calls->ready_id)
        calls->ready_id = calls_next_id(calls, limit);
    return calls->ready_id;
}

/* The call was answered: it was never pending, and no other call gets its id. */
static inline void calls_skip_id(struct calls *calls) {
    calls->ready_id += UINT64_C(1) << 32;
}

/* It was never sent. */
void calls_undo(struct calls *calls, uint64_t id);

/* The reply came. -ENOENT: no call of this id is in flight. `ret_waiter->done` is NULL if it was abandoned. */
int calls_finish(struct calls *calls, uint64_t id, struct call_waiter *ret_waiter);

/* Does a callback wait for this call? */
bool calls_is_pending(const struct calls *calls, uint64_t id);

/* The first pending call, except `but` (0: none), that is past its deadline. */
bool calls_first_late(const struct calls *calls, uint64_t now, uint64_t but, uint64_t *ret_id);

/* -ENOENT: not pending. */
int calls_abandon(struct calls *calls, uint64_t id, struct call_waiter *ret_waiter);

/* The pending call with the nearest deadline. false: none is pending. */
bool calls_first(const struct calls *calls, uint64_t *ret_id, uint64_t *ret_deadline);

/* Gives the slots back, if none is in flight. Ids that were given still name no later call. */
void calls_trim(struct calls *calls);

void calls_deinit(struct calls *calls);

#endif
