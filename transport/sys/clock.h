/* SPDX-License-Identifier: MIT */
/*
 * The identity of our clock. All processes of one time namespace have one CLOCK_MONOTONIC; in another namespace it is
 * shifted by a fixed amount. The two sides of a connection exchange the names of their clocks, and compare them.
 *
 * Owns: nothing. Touches: reads the clocks, and the number of our time namespace below /proc. Threads: any.
 */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <stdint.h>

struct clock_name {
    uint64_t space; /* the number of the time namespace; 0: it cannot be read */
    int64_t epoch;  /* CLOCK_REALTIME less CLOCK_MONOTONIC, nanoseconds, when this was made */
};

/* Takes one system call, and a few readings of clocks. */
struct clock_name clock_name_own(void);

/*
 * The amount that turns an instant of the clock `theirs` into one of `ours`; 0 for one clock. Without the numbers of
 * both namespaces a difference below CLOCK_SLACK_NS counts as none. Pure; accepts all numbers.
 */
#define CLOCK_SLACK_NS INT64_C(100000000)
int64_t clock_shift(const struct clock_name *ours, const struct clock_name *theirs);

/* Returns instant + shift, or 1 or UINT64_MAX where the sum is out of range. 0 (no instant) stays 0. */
uint64_t clock_move(uint64_t instant, int64_t shift);

#endif
