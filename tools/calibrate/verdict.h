/* SPDX-License-Identifier: MIT */
/*
 * What measurements come to. Costs are compared as logarithms of ratios, so that twice as dear and half as dear weigh
 * the same. Pure.
 */
#ifndef CALIBRATE_VERDICT_H
#define CALIBRATE_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The middle one of `count` values, which are sorted by this; at least one. */
double verdict_median(double *values, size_t count);

/*
 * Sizes from small to large, for each of which one way costs exp(ratios[i]) times the other. How many of them, from the
 * smallest on, should go the one way and all others the other, so that the sum of what is paid above the cheaper one is
 * least? `usual` is the answer unless another is better by more than VERDICT_MARGIN for each size: noise changes
 * nothing. No size pays more than VERDICT_CAP: none decides alone.
 */
size_t verdict_crossover(const double *ratios, size_t count, size_t usual);

/* The cheapest of `count` ways: means[i] is how they compare to the first one, which is the answer unless another is
 * better by more than VERDICT_MARGIN. */
size_t verdict_cheapest(const double *means, size_t count);

/* Of `count` ratios as above, each cut to VERDICT_CAP. */
double verdict_mean(const double *ratios, size_t count);

/* Did two measurements of the same come to the same, by a factor of 2? */
bool verdict_agrees(uint64_t a, uint64_t b);

#define VERDICT_MARGIN 0.03
#define VERDICT_CAP 0.7 /* twice as dear */

#endif
