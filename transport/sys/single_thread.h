/* SPDX-License-Identifier: MIT */
/*
 * Is the calling thread the only one of this process? Then nobody else can be in the middle of anything, and what
 * protects from other threads need not be paid for: a locked instruction takes as long as ten others. The C library
 * answers from a variable; where it has none, nobody is ever alone.
 */
#ifndef SYS_SINGLE_THREAD_H
#define SYS_SINGLE_THREAD_H

#include <stdbool.h>

#if defined(__has_include) && __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>

/* A thread that begins sees all that was done before, and so does who sees that it has ended. */
static inline bool is_single_threaded(void) {
    return __libc_single_threaded;
}

#else

static inline bool is_single_threaded(void) {
    return false;
}

#endif

#endif
