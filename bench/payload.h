/* SPDX-License-Identifier: MIT */
/*
 * The payload of every system: 64-bit words seed, seed + 1, seed + 2, ... in full, or only the first and the last.
 *
 * A reader adds up all words and compares the sum with the one that the first word implies, so that an old or torn
 * payload shows, and no compiler can remove the reading. Both directions run at the speed of memory. Sizes are
 * multiples of 8.
 */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Any alignment is allowed; multiples of 8 are fastest. */
void payload_fill_large(void *data, size_t size, uint64_t seed);
uint64_t payload_sum_large(const void *data, size_t size);

/* Up to this size a function of another file costs more than the payload. */
#define PAYLOAD_SMALL ((size_t) 64)

static inline uint64_t payload_word(const void *data, size_t at) {
    uint64_t word;
    memcpy(&word, (const char *) data + at, sizeof(word));
    return word;
}

static inline void payload_fill(void *data, size_t size, uint64_t seed) {
    if (size > PAYLOAD_SMALL) {
        payload_fill_large(data, size, seed);
        return;
    }
    for (size_t at = 0; at < size; at += sizeof(seed), seed++)
        memcpy((char *) data + at, &seed, sizeof(seed));
}

static inline uint64_t payload_sum(const void *data, size_t size) {
    uint64_t sum = 0;
    if (size > PAYLOAD_SMALL)
        return payload_sum_large(data, size);
    for (size_t at = 0; at < size; at += sizeof(sum))
        sum += payload_word(data, at);
    return sum;
}

static inline bool payload_is_right(const void *data, size_t size) {
    uint64_t count = size / sizeof(count);
    return payload_sum(data, size) == count * payload_word(data, 0) + count * (count - 1) / 2;
}

/* Writes only the ends. */
void payload_fill_ends(void *data, size_t size, uint64_t seed);
bool payload_ends_are_right(const void *data, size_t size);

#endif
