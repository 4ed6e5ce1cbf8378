/* SPDX-License-Identifier: MIT */
/*
 * Lines: words in shared memory, each alone in its cache line and written by one side, by which processes signal each
 * other. The floor of the machine at any moment is the round trip of one word.
 *
 * A process that sleeps for a word (a futex) must be woken with the same value of `asleep`.
 */
#ifndef BENCH_LINE_H
#define BENCH_LINE_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct line {
    _Alignas(64) _Atomic uint32_t word;
};

static inline void line_tell(struct line *line, uint32_t word, bool asleep) {
    atomic_store_explicit(&line->word, word, memory_order_release);
    if (asleep)
        syscall(SYS_futex, &line->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static inline void line_await(struct line *line, uint32_t word, bool asleep) {
    for (uint32_t seen; (seen = atomic_load_explicit(&line->word, memory_order_acquire)) != word;)
        if (asleep)
            syscall(SYS_futex, &line->word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

/* Returns the median round trip of a cache line between two processes of our own, spinning on these CPUs, in
 * nanoseconds; 0 when the CPUs are one, or when the measurement failed. Takes some ten milliseconds. */
double line_floor_ns(int here, int there);

#endif
