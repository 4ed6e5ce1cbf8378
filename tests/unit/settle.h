/* SPDX-License-Identifier: MIT */
/*
 * The reaper's threads end by themselves, shortly after they have closed the last descriptor. A process that ends
 * before them leaves their stacks behind, which valgrind reports as possibly lost.
 *
 * settle_threads() waits until the process has no more threads than at settle_begin(); a tool may run a thread of its
 * own, as the thread sanitizer does. It does not wait long, and checks only that settle_begin() was called.
 */
#ifndef TESTS_UNIT_SETTLE_H
#define TESTS_UNIT_SETTLE_H

#include <dirent.h>
#include <time.h>

#include "support/suite.h"

static int settle_threads_before;

static inline int settle_count(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Runs before a test; both functions belong into its fixture. */
static inline void settle_begin(void) {
    settle_threads_before = settle_count();
}

static inline void settle_threads(void) {
    /* otherwise the count would always be too high, and each wait would take its full time */
    ck_assert_int_gt(settle_threads_before, 0);
    for (int ms = 0; ms < test_timeout_ms(100) && settle_count() > settle_threads_before; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#endif
