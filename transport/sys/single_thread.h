/* SPDX-License-Identifier: MIT */
/*
 * Is the calling thread the only one of this process? Then no other thread can be in the middle of an operation, and
 * protection from other threads is not needed: a locked instruction takes as long as ten others. The C library answers
 * from a variable; a C library without that variable always answers no.
 *
 * Owns: nothing. Threads: any. A yes holds until the calling thread starts another one.
 */
#ifndef SYS_SINGLE_THREAD_H
#define SYS_SINGLE_THREAD_H

#include <stdbool.h>

#if defined(__has_include) && __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>

/* A new thread sees all that was done before its start, and a thread that sees the end of another one sees all that
 * this one did. */
static inline bool is_single_threaded(void) {
    return __libc_single_threaded;
}

#else

static inline bool is_single_threaded(void) {
    return false;
}

#endif

#endif
