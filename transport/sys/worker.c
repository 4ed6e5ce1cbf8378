/* SPDX-License-Identifier: MIT */
/* Worker threads. See worker.h. */
#include "sys/worker.h"

#include "sys/inject.h"
#include "sys/wait.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* close() and munmap() need little; the rest is room for static thread-local storage and for sanitizers. */
#define STACK_SIZE ((size_t) 256 << 10)

int worker_start(void *(*run)(void *) ) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (wait_is_realtime())
        pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED); /* SCHED_OTHER */

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    error = INJECT_OR(PTHREAD_CREATE, errno, pthread_create(&thread, &attributes, run, NULL));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}
