/* SPDX-License-Identifier: MIT */
/* A server's connection slots. See conn_slots.h. */
#include "rpc/conn_slots.h"

#include "sys/heap.h"
#include "util/list.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* A holder may have at most this many times as many slots as are left for others. */
enum { USER_TIMES = 1, PROCESS_TIMES = 3 };

static struct conn_slot_holder **slots_chain(struct conn_slots *slots, uint64_t name) {
    return &slots->chains[(name * 0x9e3779b97f4a7c15u) >> 56]; /* 2^64 over the golden ratio: Fibonacci hashing */
}

static struct conn_slot_holder *slots_find(struct conn_slots *slots, uint64_t name) {
    struct conn_slot_holder *holder = *slots_chain(slots, name);
    while (holder && holder->name != name)
        holder = holder->next;
    return holder;
}

static struct conn_slot_holder *slots_enter(struct conn_slots *slots, uint64_t name) {
    struct conn_slot_holder *holder = slots_find(slots, name), **chain = slots_chain(slots, name);
    if (!holder) {
        holder = heap_new(1, sizeof(*holder));
        if (!holder)
            return NULL;
        *holder = (struct conn_slot_holder){.next = *chain, .name = name};
        *chain = holder;
    }
    holder->count++;
    return holder;
}

static void slots_leave(struct conn_slots *slots, struct conn_slot_holder *holder) {
    if (!holder || --holder->count > 0)
        return;
    CHAIN_REMOVE(slots_chain(slots, holder->name), holder, next);
    heap_free(holder);
}

/* `count`, `left`: the values after one more connection. */
static bool is_within(uint32_t count, uint32_t left, uint32_t number, uint32_t times) {
    return number ? count <= number : count == 1 || count <= (uint64_t) left * times;
}

static uint32_t slots_count(struct conn_slots *slots, uint64_t name) {
    const struct conn_slot_holder *holder = slots_find(slots, name);
    return holder ? holder->count : 0;
}

static int slots_check(struct conn_slots *slots, const struct conn_slots_request *claim,
                       char why[CONN_SLOTS_WHY_SIZE]) {
    const struct {
        const char *holder, *option;
        uint64_t name;
        uint32_t number, times;
    } shares[] = {
        {claim->is_user_unknown ? "users who cannot be told apart have" : "this user has", "connections_per_user",
         claim->user, claim->per_user, USER_TIMES},
        {"this process has", "connections_per_process", claim->process, claim->per_process, PROCESS_TIMES},
    };
    if (slots->taken >= claim->most) {
        snprintf(why, CONN_SLOTS_WHY_SIZE, "the server has as many connections as it takes, %" PRIu32, claim->most);
        return -EUSERS;
    }
    for (int i = 0; i < 2; i++) {
        uint32_t count = slots_count(slots, shares[i].name);
        if (is_within(count + 1, claim->most - slots->taken - 1, shares[i].number, shares[i].times))
            continue;
        snprintf(why, CONN_SLOTS_WHY_SIZE,
                 "%s %" PRIu32 " of the server's %" PRIu32 " connections, and may have no more%s%s", shares[i].holder,
                 count, claim->most, shares[i].number ? ": " : " while so few are left for others: ", shares[i].option);
        return -EUSERS;
    }
    return 0;
}

int conn_slots_take(struct conn_slots *slots, const struct conn_slots_request *claim, struct conn_slot *ret_slot,
                    char why[CONN_SLOTS_WHY_SIZE]) {
    int r = slots_check(slots, claim, why);
    if (r < 0)
        return r;
    struct conn_slot slot = {.user = slots_enter(slots, claim->user), .process = slots_enter(slots, claim->process)};
    if (!slot.user || !slot.process) {
        slots_leave(slots, slot.user);
        slots_leave(slots, slot.process);
        snprintf(why, CONN_SLOTS_WHY_SIZE, "the server is out of memory");
        return -ENOMEM;
    }
    slots->taken++;
    *ret_slot = slot;
    return 0;
}

void conn_slots_return(struct conn_slots *slots, struct conn_slot *slot) {
    if (!slot->user)
        return;
    slots_leave(slots, slot->user);
    slots_leave(slots, slot->process);
    slots->taken--;
    *slot = (struct conn_slot){.user = NULL};
}
