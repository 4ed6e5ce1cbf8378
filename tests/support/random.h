/* SPDX-License-Identifier: MIT */
/* Random numbers for tests: each run gets the same numbers, from a seed other than 0. */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state) { /* xorshift64 */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Returns a number from 0 to `below` - 1, from the high bits, because the low bits of xorshift are weak. */
static inline uint32_t random_below(uint64_t *state, uint32_t below) {
    return (uint32_t) ((random_next(state) >> 32) * below >> 32);
}

#endif
