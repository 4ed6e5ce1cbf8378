/* SPDX-License-Identifier: MIT */
/*
 * A number for each thread, that no other thread of this process has, or will have. It is not the address of the
 * thread: the C library gives the memory of a thread that has ended to the next one, which would pass for it.
 *
 * The number lies at a fixed distance from the thread's pointer (initial-exec), so that reading it calls no function.
 * The C library keeps some room there for libraries that are loaded later; one that keeps none has another model.
 *
 * Owns: the newest number, and each thread's own. Threads: any, each for itself.
 */
#ifndef SYS_THREAD_ID_H
#define SYS_THREAD_ID_H

#include <features.h>
#include <stdint.h>

#ifdef __GLIBC__
#define THREAD_ID_MODEL __attribute__((visibility("hidden"), tls_model("initial-exec")))
#else
#define THREAD_ID_MODEL __attribute__((visibility("hidden")))
#endif

/* Is no thread's number. */
#define THREAD_ID_NONE UINTPTR_MAX

extern _Thread_local uintptr_t thread_id_given THREAD_ID_MODEL;

/* The number of the calling thread, or 0 if it has none yet. */
static inline uintptr_t thread_id_known(void) {
    return thread_id_given;
}

/* Gives the calling thread its number. */
uintptr_t thread_id_give(void);

static inline uintptr_t thread_id(void) {
    return thread_id_given ? thread_id_given : thread_id_give();
}

#endif
