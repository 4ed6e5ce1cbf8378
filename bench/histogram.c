/* SPDX-License-Identifier: MIT */
/* A histogram of fixed size: summing and percentiles. */
#include "histogram.h"

uint64_t histogram_bucket_floor(size_t bucket) {
    if (bucket < 2 * HISTOGRAM_SUB)
        return bucket;
    size_t shift = bucket / HISTOGRAM_SUB - 1;
    return (uint64_t) (HISTOGRAM_SUB + bucket % HISTOGRAM_SUB) << shift;
}

void histogram_merge(struct histogram *h, const struct histogram *other) {
    h->count += other->count;
    if (other->max > h->max)
        h->max = other->max;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += other->buckets[i];
}

/* Returns the place in the bucket below which `below` of its `held` values lie. */
static double inside(size_t bucket, double below, double held) {
    double from = (double) histogram_bucket_floor(bucket), to = (double) histogram_bucket_floor(bucket + 1);
    double value = from - 0.5 + (to - from) * (below / held);
    return value < 0 ? 0 : value;
}

double histogram_percentile(const struct histogram *h, double share) {
    double below = share * (double) h->count;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double held = (double) h->buckets[i];
        if (held > 0 && below <= held) {
            double value = inside(i, below, held);
            return value < (double) h->max ? value : (double) h->max;
        }
        below -= held;
    }
    return (double) h->max;
}
