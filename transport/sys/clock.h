/* SPDX-License-Identifier: MIT */
/*
 * Which clock is ours. CLOCK_MONOTONIC is the same for all processes of one time namespace; in another one it is
 * shifted by a fixed amount. Two sides of a connection tell each other what this room says of their clocks, and
 * compare.
 */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <stdint.h>

struct clock_name {
    uint64_t space; /* the time namespace's number; 0: it cannot be asked for */
    int64_t epoch;  /* CLOCK_REALTIME less CLOCK_MONOTONIC, nanoseconds: as the two were when this was made */
};

/* One system call, and a few looks at clocks. */
struct clock_name clock_name_own(void);

/*
 * What has to be added to an instant of the clock `theirs` for the same instant of `ours`; 0 for one clock. Without the
 * numbers of both namespaces a difference below CLOCK_SLACK_NS is taken for none. Pure; any numbers may be asked about.
 */
#define CLOCK_SLACK_NS INT64_C(100000000)
int64_t clock_shift(const struct clock_name *ours, const struct clock_name *theirs);

/* instant + shift; what lies outside of the numbers is 1, or UINT64_MAX. 0 (no instant) stays. */
uint64_t clock_move(uint64_t instant, int64_t shift);

#endif
