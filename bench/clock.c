/* SPDX-License-Identifier: MIT */
/* The clock of the measurements: the choice of the clock, its rate, its step and its cost. */
#include "clock.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { READINGS = 4096, ROUNDING = 2 };

static const uint64_t CALIBRATION_NS = 10000000;

struct clock bench_clock = {.tick_ns = 1, .step = 1, .scale = 1u << 20};

/* Returns whether the time-stamp counter runs at a constant rate in every state of the core. */
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

static bool is_about_multiple(uint64_t value, uint64_t of) {
    uint64_t rest = value % of;
    return rest <= ROUNDING || rest >= of - ROUNDING;
}

/* Takes readings after varying delays. Returns the smallest difference beyond rounding. */
static uint64_t take_differences(uint64_t *ret_differences) {
    uint64_t least = UINT64_MAX, last = clock_ticks();
    for (int i = 0; i < READINGS; i++) {
        for (volatile int idle = i % 29; idle > 0; idle--)
            ;
        uint64_t now = clock_ticks();
        ret_differences[i] = now - last;
        last = now;
        if (ret_differences[i] > ROUNDING && ret_differences[i] < least)
            least = ret_differences[i];
    }
    return least;
}

/* Returns the exact step: the mean of the numbers that the short differences are multiples of, if they are multiples
 * of about `least`. */
static uint64_t refine(const uint64_t *differences, uint64_t least) {
    uint64_t sum = 0, steps = 0;
    for (int i = 0; i < READINGS; i++)
        if (differences[i] < 10 * least) {
            sum += differences[i];
            steps += (differences[i] + least / 2) / least;
        }
    return steps ? (sum + steps / 2) / steps : 1;
}

/* If almost all differences are multiples of one number, that number is the step. */
static uint64_t measure_step(void) {
    uint64_t differences[READINGS], least = take_differences(differences), step = refine(differences, least);
    int multiples = 0;
    for (int i = 0; i < READINGS; i++)
        multiples += is_about_multiple(differences[i], step);
    return multiples > READINGS / 10 * 9 ? step : 1;
}

/* Takes the cheapest of several runs: a disturbance only makes a run dearer. */
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
    bench_clock.scale = ((1u << 20) + bench_clock.step / 2) / bench_clock.step;
    bench_clock.cost = measure_cost();
}
