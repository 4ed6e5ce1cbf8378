/* SPDX-License-Identifier: MIT */
/*
 * How far the two sides of a connection are from each other: the time of a line that the peer has just written. It is
 * short where both CPUs share a cache, and some ten times as long where the line crosses the machine. It changes while
 * a connection works, whenever the scheduler moves a thread, or a hypervisor a CPU. What is cheapest depends on it: the
 * caller asks distance_footprint() again whenever distance_note() says so.
 *
 * The lane samples it from looks that it takes anyway: one in some thousand frames, or MiB of payload. A sample is the
 * time of the look that finds something new less that of a look that finds nothing, so that the time of reading the
 * clock does not count. The second quarter of the newest samples, by size, decides: interrupts and preemption may make
 * half of them longer, and prefetchers a quarter of them shorter. A peer can make itself look near or far by when it
 * writes. It gains nothing: it spoils its own speed, and our memory for it stays within its pools' limits.
 *
 * Owns: its fields, in the lane. Touches: nothing, neither rings nor clock. Threads: the connection's.
 */
#ifndef LANE_DISTANCE_H
#define LANE_DISTANCE_H

#include "memory/calibration.h"
#include <stdbool.h>

/* The values are those of SEA_CONN_FIGURE_DISTANCE. */
enum distance_state { DISTANCE_UNKNOWN, DISTANCE_NEAR, DISTANCE_MIDDLE, DISTANCE_FAR };

enum { DISTANCE_SAMPLES = 8, DISTANCE_SAMPLES_LEAST = DISTANCE_SAMPLES / 2 };

struct distance {
    uint32_t until; /* waits for a frame until the next one that is timed */
    enum distance_state state;
    uint32_t count, next;               /* of `samples`: those that are there, and the place of the next one */
    uint16_t samples[DISTANCE_SAMPLES]; /* the newest ones, nanoseconds */
    uint16_t line_ns;                   /* what they say, nanoseconds; 0: nothing yet */
};

/* Is the wait that begins now to be timed? Then distance_note() or distance_miss() follows. */
static inline bool distance_is_due(struct distance *distance) {
    return distance->until-- == 0;
}

/* So much was done beside the waits: frames, or KiB of payload. */
static inline void distance_hasten(struct distance *distance, uint64_t amount) {
    distance->until = amount < distance->until ? distance->until - (uint32_t) amount : 0;
}

/* Notes a sample, nanoseconds. true: the state has changed. */
bool distance_note(struct distance *distance, uint64_t ns);

/* A timed wait gave no sample: the frame was there already, or (`is_open`) has not come yet. */
void distance_miss(struct distance *distance, bool is_open);

/* The footprint of reuse for the state, bytes: the calibration's where a cache is shared, or nothing is known. A
 * calibration that forbids cycles forbids them in all states. */
uint64_t distance_footprint(const struct distance *distance, const struct calibration *calibration);

#endif
