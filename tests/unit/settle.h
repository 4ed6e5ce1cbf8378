/* SPDX-License-Identifier: MIT */
/*
 * The reaper's threads end by themselves, shortly after the last descriptor was closed. A process that ends in between
 * leaves their stacks behind, which valgrind tells as possibly lost.
 *
 * settle_threads() waits until there are no more threads than at settle_begin(): a tool may run one of its own, as the
 * thread sanitizer does. It does not wait for long, and judges nothing but that settle_begin() was called.
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

/* Before a test; both belong into its fixture. */
static inline void settle_begin(void) {
    settle_threads_before = settle_count();
}

static inline void settle_threads(void) {
    ck_assert_int_gt(settle_threads_before, 0); /* else there would always be more, and each wait be a whole one */
    for (int ms = 0; ms < test_spin_policy(100) && settle_count() > settle_threads_before; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#endif
