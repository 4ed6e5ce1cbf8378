/* SPDX-License-Identifier: MIT */
/*
 * A number for the calling thread: no other thread that lives now has it, and it is never 0. One instruction where the
 * compiler target is known; elsewhere a call of the C library. A thread that begins later may get the number of one
 * that has ended.
 */
#ifndef SYS_THREAD_ID_H
#define SYS_THREAD_ID_H

#include <pthread.h>
#include <stdint.h>

static inline uintptr_t thread_id(void) {
#if defined(__x86_64__) && defined(__LP64__)
    uintptr_t id;
    __asm__("mov %%fs:0, %0" : "=r"(id)); /* the first word of a thread's block is the block's own address */
    return id;
#elif defined(__aarch64__)
    uintptr_t id;
    __asm__("mrs %0, tpidr_el0" : "=r"(id));
    return id;
#else
    return (uintptr_t) pthread_self();
#endif
}

#endif
