/* SPDX-License-Identifier: MIT */
/*
 * What every system carries: 64-bit words seed, seed + 1, seed + 2, ... in full, or only the first and the last.
 *
 * A reader adds all words up and compares with what the first one promises, so that an old or torn payload shows, and
 * no compiler can leave the reading out. Both directions run at the speed of memory. Sizes are multiples of 8.
 */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory may be aligned in any way; multiples of 8 are fastest. */
void payload_fill(void *data, size_t size, uint64_t seed);
uint64_t payload_sum(const void *data, size_t size);
bool payload_is_right(const void *data, size_t size);

/* Only the ends. */
void payload_fill_ends(void *data, size_t size, uint64_t seed);
bool payload_ends_are_right(const void *data, size_t size);

#endif
