/* SPDX-License-Identifier: MIT */
/*
 * An honest client on a thread of its own, calling a service (support/service.h) without a pause: what an
 * attack on that service must not be felt by. Every answer is checked; the longest call is remembered.
 */
#ifndef TESTS_SUPPORT_BYSTANDER_H
#define TESTS_SUPPORT_BYSTANDER_H

#include <stdint.h>

struct bystander;

/* `address` is borrowed. Returns when the first call has been answered. */
struct bystander *bystander_start(const char *address);

/* Waits until so many further calls were answered; false: within `ms` they were not. */
int bystander_sees(struct bystander *self, unsigned calls, int ms);

struct bystander_report {
    unsigned calls;
    unsigned failures;
    uint64_t worst_ns;
    char what[128]; /* the first failure, "" */
};

/* Stops, frees, and tells. */
struct bystander_report bystander_stop(struct bystander *self);

#endif
