/* SPDX-License-Identifier: MIT */
/*
 * Conclusions from measurements. Costs are compared as logarithms of ratios, so that twice the cost and half the cost
 * have equal weight. Pure functions.
 */
#ifndef CALIBRATE_VERDICT_H
#define CALIBRATE_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns the median of `count` values, at least one; sorts the values. */
double verdict_median(double *values, size_t count);

/*
 * Sizes go from small to large; for each, one way costs exp(ratios[i]) times the other. Returns how many of them, from
 * the smallest on, should go the one way and all others the other way, so that the sum of the costs above the cheaper
 * way is least. The answer is `usual` unless another is better by more than VERDICT_MARGIN for each size: noise changes
 * nothing. No size counts more than VERDICT_CAP: none decides alone.
 */
size_t verdict_crossover(const double *ratios, size_t count, size_t usual);

/* Returns the cheapest of `count` ways: means[i] compares a way with the first one, which is the answer unless
 * another is better by more than VERDICT_MARGIN. */
size_t verdict_cheapest(const double *means, size_t count);

/* Returns the mean of `count` ratios as above, each cut to VERDICT_CAP. */
double verdict_mean(const double *ratios, size_t count);

/* Returns whether two measurements of one value agree, within a factor of 2. */
bool verdict_agrees(uint64_t a, uint64_t b);

#define VERDICT_MARGIN 0.03
#define VERDICT_CAP 0.7 /* twice as dear */

#endif
