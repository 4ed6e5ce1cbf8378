/* SPDX-License-Identifier: MIT */
/*
 * A histogram of fixed size for durations, exact where they are short and to 0.8 % where they are long.
 *
 * Durations are counted in quanta, the clock's step. Bucket i < 2 * SUB holds the one value i; above that, each power
 * of two is cut into SUB buckets. A value v stands for durations in [v - 1/2, v + 1/2), over which they are taken to be
 * spread evenly: so a percentile is finer than the clock's step, as the mean of many readings is.
 *
 * Adding a value needs no allocation and no floating point. One writer; histograms are summed afterwards.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_TOP_BITS = 40, /* quanta; a longer duration (three hours in steps of 10 ns) counts as this one */
    HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB
};

struct histogram {
    uint64_t count, max; /* the sum of all buckets; the largest value, in quanta */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline size_t histogram_bucket(uint64_t value) {
    if (value < 2 * HISTOGRAM_SUB)
        return (size_t) value;
    if (value >> HISTOGRAM_TOP_BITS)
        return HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63u - (unsigned) __builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (size_t) (shift * HISTOGRAM_SUB + (value >> shift));
}

static inline void histogram_add(struct histogram *h, uint64_t value) {
    h->count++;
    h->buckets[histogram_bucket(value)]++;
    if (value > h->max)
        h->max = value;
}

/* Returns the smallest value of a bucket; also defined for the bucket after the last. */
uint64_t histogram_bucket_floor(size_t bucket);

void histogram_merge(struct histogram *h, const struct histogram *other);

/* Returns the value in quanta below which `share` (0 to 1) of all values lie, never above the largest; 0 if the
 * histogram is empty. */
double histogram_percentile(const struct histogram *h, double share);

#endif
