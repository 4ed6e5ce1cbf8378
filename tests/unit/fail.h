/* SPDX-License-Identifier: MIT */
/*
 * Failures on demand, by fault injection (INJECT()): for the unit tests of transport/sys.
 *
 * fail_call(KIND, n, times, error) makes the nth call of that kind from now on (the first is 1) fail, and `times` - 1
 * calls after it. Calls of every kind are counted all the time. There is one order for each kind; fail_off() removes
 * all orders and the hook. All state is atomic, because the threads of the reaper and of servers make calls, too.
 */
#ifndef TESTS_UNIT_FAIL_H
#define TESTS_UNIT_FAIL_H

#include <stdatomic.h>

#include "sys/inject.h"

#define FAIL_ALWAYS 1000000000

struct fail_order {
    atomic_int calls, first, last, error;
    void (*_Atomic also)(void); /* runs before each call of the kind, also before calls that do not fail */
};
static struct fail_order fail_orders[INJECT_KINDS];

static inline int fail_hook(enum inject_kind kind) {
    struct fail_order *order = &fail_orders[kind];
    int call = atomic_fetch_add(&order->calls, 1) + 1;
    void (*also)(void) = order->also;
    if (also != NULL)
        also();
    return call >= order->first && call <= order->last ? order->error : 0;
}

static inline void fail_call(enum inject_kind kind, int n, int times, int error) {
    struct fail_order *order = &fail_orders[kind];
    atomic_store(&order->calls, 0);
    order->first = n;
    order->last = n + times - 1;
    order->error = error;
    inject_set_hook(fail_hook);
}

/* Makes the next call fail, but not the call after it. */
static inline void fail_once(enum inject_kind kind, int error) {
    fail_call(kind, 1, 1, error);
}

static inline void fail_always(enum inject_kind kind, int error) {
    fail_call(kind, 1, FAIL_ALWAYS, error);
}

/* Runs `also` just before each call of the kind; the calls succeed. */
static inline void fail_never_but(enum inject_kind kind, void (*also)(void)) {
    fail_call(kind, 0, 0, 0);
    fail_orders[kind].also = also;
}

/* Returns the number of calls of the kind since the last order for it. */
static inline int fail_calls(enum inject_kind kind) {
    return atomic_load(&fail_orders[kind].calls);
}

static inline void fail_off(void) {
    inject_set_hook(NULL);
    for (int i = 0; i < INJECT_KINDS; i++) {
        atomic_store(&fail_orders[i].calls, 0);
        fail_orders[i].first = 0;
        fail_orders[i].last = 0;
        fail_orders[i].error = 0;
        fail_orders[i].also = NULL;
    }
}

#endif
