/* SPDX-License-Identifier: MIT */
/*
 * Memory, measured: each case is one question, answered by figures that are printed as lines of JSON;
 * bench/run/memory.py asks them and judges.
 *
 *     speed    what does it cost to loan a block and to give it back, beside malloc() and free()?
 *     spikes   how much stays in memory when much was needed for a moment, again and again?
 *     waste    how much more than was asked for is mapped, over a long mixed load?
 *     fair     what do others' faults cost those that have none?
 *     refusals when a limit is small, is it said which; and is everything as before when it is lifted?
 *     soak     does anything grow, under mixed load with kills, rotations and reconnects?
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <sealane/sealane.h>
#include <stdbool.h>
#include <sys/types.h>

struct order {
    const char *name;    /* the case's */
    const char *system;  /* "sealane", or what malloc() is called here */
    const char *variant; /* the case's own, or "" */
    double seconds;      /* of one figure, or of all */
    int count;           /* cycles, rounds; 0: as is enough */
    uint64_t bytes;      /* at a time; 0: as is enough */
};

/* Each returns 0 or a negative errno value. */
int memory_speed(const struct order *order);
int memory_spikes(const struct order *order);
int memory_waste(const struct order *order);
int memory_fair(const struct order *order);
int memory_refusals(const struct order *order);
int memory_soak(const struct order *order);

/* --- what they share --- */

/* A server in a process of its own. */
struct service {
    pid_t pid; /* -1: none */
    char address[64];
};

/* Serves until it is ended; ready when this returns. `name` tells it from others of this process. */
int service_start(struct service *ret_service, const char *name, const sea_options *options);
void service_end(struct service *service);

/* Bytes that are in memory for a process, as the kernel counts them; 0 when it is gone. */
uint64_t resident_of(pid_t pid);

double seconds_now(void);

/* A number in [0, 1), and a size in [least, most], each power of two as likely as any other. */
double random_share(uint64_t *state);
size_t random_size(uint64_t *state, size_t least, size_t most);

#endif
