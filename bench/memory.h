/* SPDX-License-Identifier: MIT */
/*
 * Memory, measured: each case is one question, answered by figures that are printed as lines of JSON; bench/run/memory.py
 * asks them and judges.
 *
 *     speed    what does it cost to loan a block and to give it back, beside malloc() and free()?
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <sealane/sealane.h>
#include <stdbool.h>
#include <sys/types.h>

struct order {
    const char *name;   /* the case's */
    const char *system; /* "sealane", or what malloc() is called here */
    double seconds;     /* of one figure */
};

/* Returns 0 or a negative errno value. */
int memory_speed(const struct order *order);

/* --- a server in a process of its own --- */

struct service {
    pid_t pid; /* -1: none */
    char address[64];
};

/* Serves until it is ended; ready when this returns. `name` tells it from others of this process. */
int service_start(struct service *ret_service, const char *name, const sea_options *options);
void service_end(struct service *service);

#endif
