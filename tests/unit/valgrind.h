/* SPDX-License-Identifier: MIT */
/*
 * Does this test run under valgrind? For the few that cannot: there, no other thread runs while one hangs in close(),
 * and RLIMIT_NOFILE is valgrind's own affair.
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
