/* SPDX-License-Identifier: MIT */
/* A process with several threads pays for protection between them; a process with one thread must behave equally. */
#ifndef TESTS_UNIT_CROWD_H
#define TESTS_UNIT_CROWD_H

#include <check.h>
#include <pthread.h>

static void *crowd_member(void *nothing) {
    return nothing;
}

/* From here on this process has had a second thread, and counts as a process with several. */
static inline void crowd_gather(void) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, crowd_member, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

#endif
