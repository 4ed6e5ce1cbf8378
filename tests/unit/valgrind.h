/* SPDX-License-Identifier: MIT */
/*
 * Returns whether this test runs under valgrind. A few tests cannot: under valgrind, no other thread runs while one
 * hangs in close(), and valgrind manages RLIMIT_NOFILE itself.
 */
#ifndef TESTS_UNIT_VALGRIND_H
#define TESTS_UNIT_VALGRIND_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool is_under_valgrind(void) {
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

#endif
