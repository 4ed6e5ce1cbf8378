/* SPDX-License-Identifier: MIT */
/* Misuse. See misuse.h. */
#include "sys/misuse.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool misuse_is_checked(void) {
    static atomic_int known; /* 0: not asked yet. Relaxed: each thread finds the same answer */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (!answer) {
        const char *value = secure_getenv("SEALANE_CHECK");
        answer = value && *value && strcmp(value, "0") != 0 ? 1 : 2;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 1;
}

int misuse_tell(const char *text) {
    if (!misuse_is_checked())
        return -EINVAL;
    fprintf(stderr, "sealane: %s\n", text);
    abort();
}
