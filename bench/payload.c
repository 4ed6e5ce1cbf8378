/* SPDX-License-Identifier: MIT */
/*
 * Payloads at the speed of memory: the loops are written once, with the compiler's vectors, and compiled twice on
 * x86-64, for every processor and for processors with AVX2. (Without it, 1 MiB took twice as long to write as memcpy()
 * takes.) The functions are in a file of their own, so that a caller's compiler cannot see what they do.
 */
#include "payload.h"

#include <string.h>

enum { WORD = sizeof(uint64_t), LANES = 4, VECTOR = LANES * WORD, FILL_STEP = 2 * VECTOR, SUM_STEP = 4 * VECTOR };

typedef uint64_t words __attribute__((vector_size(VECTOR)));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* From this size on the loops with vectors pay. */
static const size_t LARGE = 256;

static const words STAIRS = {0, 1, 2, 3};

/* Both process whole steps and return the number of bytes in them. */

ALWAYS_INLINE size_t fill_steps(char *to, size_t size, uint64_t seed) {
    words even = seed + STAIRS, odd = even + LANES;
    size_t at = 0;
    for (; size - at >= FILL_STEP; at += FILL_STEP) {
        memcpy(to + at, &even, VECTOR);
        memcpy(to + at + VECTOR, &odd, VECTOR);
        even += 2 * LANES;
        odd += 2 * LANES;
    }
    return at;
}

ALWAYS_INLINE size_t sum_steps(const char *from, size_t size, uint64_t *ret_sum) {
    words a = {0}, b = {0}, c = {0}, d = {0}, some;
    size_t at = 0;
    for (; size - at >= SUM_STEP; at += SUM_STEP) {
        memcpy(&some, from + at, VECTOR);
        a += some;
        memcpy(&some, from + at + VECTOR, VECTOR);
        b += some;
        memcpy(&some, from + at + 2 * VECTOR, VECTOR);
        c += some;
        memcpy(&some, from + at + 3 * VECTOR, VECTOR);
        d += some;
    }
    a += b + c + d;
    *ret_sum = a[0] + a[1] + a[2] + a[3];
    return at;
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static size_t fill_avx2(char *to, size_t size, uint64_t seed) {
    return fill_steps(to, size, seed);
}

__attribute__((target("avx2"))) static size_t sum_avx2(const char *from, size_t size, uint64_t *ret_sum) {
    return sum_steps(from, size, ret_sum);
}

static size_t fill_large(char *to, size_t size, uint64_t seed) {
    return __builtin_cpu_supports("avx2") ? fill_avx2(to, size, seed) : fill_steps(to, size, seed);
}

static size_t sum_large(const char *from, size_t size, uint64_t *ret_sum) {
    return __builtin_cpu_supports("avx2") ? sum_avx2(from, size, ret_sum) : sum_steps(from, size, ret_sum);
}

#else

static size_t fill_large(char *to, size_t size, uint64_t seed) {
    return fill_steps(to, size, seed);
}

static size_t sum_large(const char *from, size_t size, uint64_t *ret_sum) {
    return sum_steps(from, size, ret_sum);
}

#endif

void payload_fill_large(void *data, size_t size, uint64_t seed) {
    char *to = data;
    size_t at = size >= LARGE ? fill_large(to, size, seed) : 0;
    for (seed += at / WORD; at < size; at += WORD, seed++)
        memcpy(to + at, &seed, WORD);
}

uint64_t payload_sum_large(const void *data, size_t size) {
    uint64_t sum = 0;
    size_t at = size >= LARGE ? sum_large(data, size, &sum) : 0;
    for (; at < size; at += WORD)
        sum += payload_word(data, at);
    return sum;
}

void payload_fill_ends(void *data, size_t size, uint64_t seed) {
    uint64_t last = seed + size / WORD - 1;
    memcpy(data, &seed, WORD);
    memcpy((char *) data + size - WORD, &last, WORD);
}

bool payload_ends_are_right(const void *data, size_t size) {
    return payload_word(data, size - WORD) == payload_word(data, 0) + size / WORD - 1;
}
