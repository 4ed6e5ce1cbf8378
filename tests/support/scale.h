/* SPDX-License-Identifier: MIT */
/* The amount of work in long tests: all of it at full speed, a part of it under tools that slow everything down. */
#ifndef TESTS_SUPPORT_SCALE_H
#define TESTS_SUPPORT_SCALE_H

#include <stdint.h>

#include "unit/valgrind.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SCALE_DIVISOR 100
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SCALE_DIVISOR 100
#endif
#endif
#ifndef SCALE_DIVISOR
#define SCALE_DIVISOR 1
#endif

/* Returns `full`, or a part of it under slow tools, but at least 1. */
static inline uint64_t scaled(uint64_t full) {
    uint64_t part = full / (is_under_valgrind() ? 200 : SCALE_DIVISOR);
    return part > 0 ? part : 1;
}

#endif
