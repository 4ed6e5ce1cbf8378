/* SPDX-License-Identifier: MIT */
/* Numbers of threads. See thread_id.h. */
#include "sys/thread_id.h"

#include <stdatomic.h>

_Thread_local uintptr_t thread_id_given THREAD_ID_MODEL;

/* Relaxed: only that no number comes twice. */
uintptr_t thread_id_give(void) {
    static _Atomic uintptr_t newest;
    thread_id_given = atomic_fetch_add_explicit(&newest, 1, memory_order_relaxed) + 1;
    return thread_id_given;
}
