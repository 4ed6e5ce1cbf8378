/* SPDX-License-Identifier: MIT */
/* A process forks again and again while another of its threads takes a lock. A child must not find that lock held. */
#ifndef TESTS_UNIT_FORK_ASKING_H
#define TESTS_UNIT_FORK_ASKING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"
#include "unit/valgrind.h"

struct fork_asking {
    bool (*ask)(void); /* takes the lock and releases it */
    atomic_bool has_ended;
};

/* Makes no assertions, because Check has a lock of its own. */
static inline void *fork_asking_thread(void *arg) {
    struct fork_asking *asking = arg;
    while (!atomic_load_explicit(&asking->has_ended, memory_order_relaxed))
        (void) asking->ask();
    return NULL;
}

/* Forks while a thread calls `ask` without a pause. `is_right` runs in each child, and takes the lock, too. The
 * thread calls `ask` once before the first fork. */
static inline void fork_while_asking(bool (*ask)(void), bool (*is_right)(void)) {
    const int forks = is_under_valgrind() ? 3 : 200; /* under valgrind each thread waits long for its turn */
    struct fork_asking asking = {.ask = ask};
    pthread_t thread;
    int status = 0;
    ck_assert(ask());
    ck_assert_int_eq(pthread_create(&thread, NULL, fork_asking_thread, &asking), 0);
    for (int i = 0; i < forks && status == 0; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(10); /* ends a child that waits forever */
            _exit(is_right() ? 0 : 1);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
    }
    atomic_store_explicit(&asking.has_ended, true, memory_order_relaxed);
    pthread_join(thread, NULL);
    ck_assert_int_eq(status, 0);
}

#endif
