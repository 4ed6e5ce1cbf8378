/* SPDX-License-Identifier: MIT */
/*
 * Measurements of memory: each case is one question, answered by figures that are printed as lines of JSON;
 * bench/run/memory.py runs the cases and judges.
 *
 *     speed    what does a loan and a release of a block cost, beside malloc() and free()?
 *     spikes   how much memory stays when much was needed for a moment, again and again?
 *     waste    how much more memory than requested is mapped, over a long mixed load?
 *     fair     what do faulty clients cost the correct ones?
 *     refusals when a limit is small, does the refusal name it; and is everything as before when it is lifted?
 *     soak     does any figure grow, under mixed load with kills, rotations and reconnects?
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <sealane/sealane.h>
#include <stdbool.h>
#include <sys/types.h>

struct order {
    const char *name;    /* name of the case */
    const char *system;  /* "sealane", or the name of the malloc() in use */
    const char *variant; /* a variant of the case, or "" */
    double seconds;      /* for one figure, or for all */
    int count;           /* cycles or rounds; 0: enough for the case */
    uint64_t bytes;      /* at a time; 0: enough for the case */
};

/* Each returns 0 or a negative errno value. */
int memory_speed(const struct order *order);
int memory_spikes(const struct order *order);
int memory_waste(const struct order *order);
int memory_fair(const struct order *order);
int memory_refusals(const struct order *order);
int memory_soak(const struct order *order);

/* --- functions that the cases share --- */

/* A server in a process of its own. */
struct service {
    pid_t pid; /* -1: there is none */
    char address[64];
};

/* Serves until the service is ended; ready when this returns. `name` distinguishes it from other services of this
 * process. */
int service_start(struct service *ret_service, const char *name, const sea_options *options);
void service_end(struct service *service);

/* Returns the bytes that are in memory for a process, as the kernel counts them; 0 when it is gone. */
uint64_t resident_of(pid_t pid);

double seconds_now(void);

/* Return a number in [0, 1), and a size in [least, most], each power of two with equal probability. */
double random_share(uint64_t *state);
size_t random_size(uint64_t *state, size_t least, size_t most);

#endif
