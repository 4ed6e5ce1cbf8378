/* SPDX-License-Identifier: MIT */
/* The clock of the measurements: which one, its rate, its step and its cost. */
#include "clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { READINGS = 4096 };

static const uint64_t CALIBRATION_NS = 10000000;

struct clock bench_clock = {.tick_ns = 1, .step = 1, .scale = 1u << 20};

/* Does the time-stamp counter run evenly, whatever the core does? */
static int counter_is_invariant(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
#else
    return 0;
#endif
}

static double measure_tick_ns(void) {
    uint64_t ns = clock_now_ns(), ticks = clock_ticks(), end;
    while ((end = clock_now_ns()) - ns < CALIBRATION_NS)
        ;
    return (double) (end - ns) / (double) (clock_ticks() - ticks);
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint64_t measure_step(void) {
    uint64_t first = clock_ticks(), step = 0;
    for (int i = 0; i < READINGS; i++)
        step = common_divisor(clock_ticks() - first, step);
    return step ? step : 1;
}

/* The cheapest of some runs: what disturbs a run makes it dearer. */
static uint64_t measure_cost(void) {
    uint64_t least = UINT64_MAX;
    for (int run = 0; run < 8; run++) {
        uint64_t began = clock_ticks(), end = began;
        for (int i = 0; i < READINGS; i++)
            end = clock_ticks();
        if (end - began < least)
            least = end - began;
    }
    return least / READINGS;
}

void clock_calibrate(void) {
    bench_clock.counts = counter_is_invariant();
    bench_clock.tick_ns = bench_clock.counts ? measure_tick_ns() : 1;
    bench_clock.step = measure_step();
    bench_clock.scale = (1u << 20) / bench_clock.step;
    bench_clock.cost = measure_cost();
}
