/* SPDX-License-Identifier: MIT */
/* A process with more than one thread pays for what protects from the others; a process with one must not notice the
 * difference. */
#ifndef TESTS_UNIT_CROWD_H
#define TESTS_UNIT_CROWD_H

#include <check.h>
#include <pthread.h>

static void *crowd_member(void *nothing) {
    return nothing;
}

/* From here on this process has had threads, and counts as one that has some. */
static inline void crowd_gather(void) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, crowd_member, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

#endif
