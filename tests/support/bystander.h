/* SPDX-License-Identifier: MIT */
/*
 * An honest client on a thread of its own that calls a service (support/service.h) without a pause. An attack on the
 * service must not disturb this client. The thread checks every answer and remembers the longest call.
 */
#ifndef TESTS_SUPPORT_BYSTANDER_H
#define TESTS_SUPPORT_BYSTANDER_H

#include <stdint.h>

struct bystander;

/* `address` is borrowed. Returns when the first call has been answered. */
struct bystander *bystander_start(const char *address);

/* Waits until `calls` further calls were answered; returns false if that takes longer than `ms`. */
int bystander_sees(struct bystander *self, unsigned calls, int ms);

struct bystander_report {
    unsigned calls;
    unsigned failures;
    uint64_t worst_ns;
    char what[128]; /* the first failure, or "" */
};

/* Stops the client, frees it, and returns its report. */
struct bystander_report bystander_stop(struct bystander *self);

#endif
