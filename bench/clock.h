/* SPDX-License-Identifier: MIT */
/*
 * The clock of the measurements: the cheapest exact clock.
 *
 * On x86 with an invariant time-stamp counter it is that counter, otherwise CLOCK_MONOTONIC. A counter may not count
 * singly (one of 2.6 GHz went in steps of 26, ten nanoseconds): the calibration finds the step, and also the cost of a
 * reading, so that a short round trip is not charged for being timed. One process calibrates; its children inherit the
 * result.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

struct clock {
    int counts;     /* the clock is the counter; otherwise ticks are nanoseconds */
    double tick_ns; /* nanoseconds in a tick */
    uint64_t step;  /* ticks: the smallest difference that the clock can show */
    uint64_t cost;  /* ticks that a reading takes */
    uint64_t scale; /* of clock_steps(): 2^20 / step, so that no lap is lengthened by a division */
};

extern struct clock bench_clock;

/* Takes some twenty milliseconds. Call it once, before clock_ticks(). */
void clock_calibrate(void);

static inline uint64_t clock_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static inline uint64_t clock_ticks(void) {
#if defined(__x86_64__)
    if (bench_clock.counts)
        return __rdtsc();
#endif
    return clock_now_ns();
}

/* Converts a duration to steps, rounded, less the cost of the reading. */
static inline uint64_t clock_steps(uint64_t ticks) {
    return ticks <= bench_clock.cost ? 0 : ((ticks - bench_clock.cost) * bench_clock.scale + (1u << 19)) >> 20;
}

static inline double clock_steps_ns(double steps) {
    return steps * (double) bench_clock.step * bench_clock.tick_ns;
}

static inline double clock_ns(uint64_t ticks) {
    return (double) ticks * bench_clock.tick_ns;
}

#endif
