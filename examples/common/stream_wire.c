/* SPDX-License-Identifier: MIT */
/* The stream's checksum; see stream_wire.h. Pure functions. */
#include "stream_wire.h"

#include <string.h>

#define LANES 4 /* independent, so that their multiplications overlap */
#define PRIME 0x100000001b3u

static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t x = (a ^ b) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

uint64_t stream_sum_block(const void *data, size_t size) {
    const unsigned char *p = data;
    uint64_t lanes[LANES] = {1, 2, 3, 4};
    size_t left = size;
    for (; left >= sizeof lanes; p += sizeof lanes, left -= sizeof lanes) {
        uint64_t words[LANES];
        memcpy(words, p, sizeof words);
        for (int i = 0; i < LANES; i++)
            lanes[i] = (lanes[i] ^ words[i] ^ words[i] >> 32) * PRIME;
    }
    for (; left > 0; p++, left--)
        lanes[0] = (lanes[0] ^ *p) * PRIME;
    return mix(mix(mix(mix(size, lanes[0]), lanes[1]), lanes[2]), lanes[3]);
}

uint64_t stream_sum_add(uint64_t sum, uint64_t block_sum) {
    return mix(sum + 1, block_sum);
}
