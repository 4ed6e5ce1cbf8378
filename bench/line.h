/* SPDX-License-Identifier: MIT */
/* The floor of the machine, at this moment: what two processes need to tell each other one word and back. */
#ifndef BENCH_LINE_H
#define BENCH_LINE_H

#include <stdatomic.h>
#include <stdint.h>

/* Two lines, one written by each side. */
struct line_pair {
    _Alignas(64) _Atomic uint64_t there;
    _Alignas(64) _Atomic uint64_t back;
};

static inline void line_store(_Atomic uint64_t *line, uint64_t value) {
    atomic_store_explicit(line, value, memory_order_release);
}

static inline void line_await(const _Atomic uint64_t *line, uint64_t value) {
    while (atomic_load_explicit(line, memory_order_acquire) != value)
        ;
}

/* The median round trip of a cache line between two processes of our own, spinning on these CPUs, in nanoseconds; 0
 * when it is the same CPU, or when it could not be measured. Takes some ten milliseconds. */
double line_floor_ns(int here, int there);

#endif
