/* SPDX-License-Identifier: MIT */
/*
 * Clocks. See clock.h.
 *
 * CLOCK_REALTIME has no namespaces, so its value at the zero of CLOCK_MONOTONIC identifies our CLOCK_MONOTONIC to all
 * processes of the machine. But CLOCK_REALTIME can be set: two sides that read it before and after differ, though they
 * have one clock. If both know the number of their time namespace, equal numbers decide.
 *
 * Facts relied on (tests/contract/test_clock.c): /proc/self/ns/time has one inode for each time namespace; its offsets
 * move CLOCK_MONOTONIC and not CLOCK_REALTIME.
 */
#include "sys/clock.h"

#include "sys/inject.h"
#include "sys/wait.h"
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

/* Another thread may run between two readings of a clock; the closest of so many pairs is taken. */
enum { LOOKS = 4 };

static int64_t realtime_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t epoch_read(void) {
    uint64_t closest = UINT64_MAX;
    int64_t epoch = 0;
    for (int i = 0; i < LOOKS; i++) {
        uint64_t before = wait_now();
        int64_t real = realtime_now();
        uint64_t took = wait_now() - before;
        if (took >= closest)
            continue;
        closest = took;
        epoch = real - (int64_t) (before + took / 2);
    }
    return epoch;
}

struct clock_name clock_name_own(void) {
    struct stat status;
    bool is_known = INJECT(FSTAT, stat("/proc/self/ns/time", &status)) == 0;
    return (struct clock_name){.space = is_known ? status.st_ino : 0, .epoch = epoch_read()};
}

int64_t clock_shift(const struct clock_name *ours, const struct clock_name *theirs) {
    bool are_known = ours->space && theirs->space;
    int64_t shift;
    if (are_known && ours->space == theirs->space)
        return 0;
    if (__builtin_sub_overflow(theirs->epoch, ours->epoch, &shift))
        return theirs->epoch < 0 ? INT64_MIN : INT64_MAX;
    bool is_small = shift > -CLOCK_SLACK_NS && shift < CLOCK_SLACK_NS;
    return is_small && !are_known ? 0 : shift;
}

uint64_t clock_move(uint64_t instant, int64_t shift) {
    uint64_t size = shift < 0 ? -(uint64_t) shift : (uint64_t) shift;
    if (instant == 0)
        return 0;
    if (shift < 0)
        return instant > size ? instant - size : 1;
    return instant < UINT64_MAX - size ? instant + size : UINT64_MAX;
}
