/* SPDX-License-Identifier: MIT */
/*
 * Small arithmetic on sizes and counts. Pure functions.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef UTIL_ARITH_H
#define UTIL_ARITH_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Returns a - b, or 0 if b is larger than a. */
static inline uint64_t subtract_to_zero(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* Rounds `size` up to a multiple of `unit`, which is not 0. The caller knows that the result fits. */
static inline size_t round_up(size_t size, size_t unit) {
    return (size + unit - 1) / unit * unit;
}

/* Rounds `size` up to a multiple of `unit`, which is not 0. Returns UINT64_MAX if the result does not fit. */
static inline uint64_t round_up_u64(uint64_t size, uint64_t unit) {
    uint64_t missing = (unit - size % unit) % unit;
    return size > UINT64_MAX - missing ? UINT64_MAX : size + missing;
}

#endif
