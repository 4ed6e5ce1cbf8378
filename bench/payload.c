/* SPDX-License-Identifier: MIT */
/*
 * Payloads: written and read eight words at a time, which compilers turn into the machine's vectors. Functions of
 * another file, so that no caller's compiler knows what they do.
 */
#include "payload.h"

#include <string.h>

enum { WORD = sizeof(uint64_t), LANES = 8 };

typedef uint64_t words __attribute__((vector_size(LANES * WORD)));

static const words STAIRS = {0, 1, 2, 3, 4, 5, 6, 7};

static uint64_t word_at(const void *data, size_t at) {
    uint64_t word;
    memcpy(&word, (const char *) data + at, WORD);
    return word;
}

void payload_fill(void *data, size_t size, uint64_t seed) {
    char *to = data, *end = to + size;
    words next = seed + STAIRS;
    for (; (size_t) (end - to) >= sizeof(next); to += sizeof(next), next += LANES)
        memcpy(to, &next, sizeof(next));
    for (seed = next[0]; end - to >= WORD; to += WORD, seed++)
        memcpy(to, &seed, WORD);
}

/* Adds up what there is of whole vectors and moves *from past them. */
static uint64_t sum_vectors(const char **from, const char *end) {
    words sums = {0};
    uint64_t sum = 0;
    for (; (size_t) (end - *from) >= sizeof(sums); *from += sizeof(sums)) {
        words some;
        memcpy(&some, *from, sizeof(some));
        sums += some;
    }
    for (int i = 0; i < LANES; i++)
        sum += sums[i];
    return sum;
}

uint64_t payload_sum(const void *data, size_t size) {
    const char *from = data, *end = from + size;
    uint64_t sum = size > 2 * sizeof(words) ? sum_vectors(&from, end) : 0;
    for (; end - from >= WORD; from += WORD)
        sum += word_at(from, 0);
    return sum;
}

bool payload_is_right(const void *data, size_t size) {
    uint64_t count = size / WORD;
    return payload_sum(data, size) == count * word_at(data, 0) + count * (count - 1) / 2;
}

void payload_fill_ends(void *data, size_t size, uint64_t seed) {
    uint64_t last = seed + size / WORD - 1;
    memcpy(data, &seed, WORD);
    memcpy((char *) data + size - WORD, &last, WORD);
}

bool payload_ends_are_right(const void *data, size_t size) {
    return word_at(data, size - WORD) == word_at(data, 0) + size / WORD - 1;
}
