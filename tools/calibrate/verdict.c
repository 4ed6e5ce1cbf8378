/* SPDX-License-Identifier: MIT */
/* Conclusions from measurements. See verdict.h. */
#include "calibrate/verdict.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

double verdict_median(double *values, size_t count) {
    qsort(values, count, sizeof(*values), compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double capped(double ratio) {
    return ratio > VERDICT_CAP ? VERDICT_CAP : ratio < -VERDICT_CAP ? -VERDICT_CAP : ratio;
}

/* Returns the excess cost when the first `first` sizes go the one way. */
static double regret(const double *ratios, size_t count, size_t first) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double paid = capped(i < first ? ratios[i] : -ratios[i]);
        sum += paid > 0 ? paid : 0;
    }
    return sum;
}

size_t verdict_crossover(const double *ratios, size_t count, size_t usual) {
    size_t best = usual;
    for (size_t first = 0; first <= count; first++)
        if (regret(ratios, count, first) < regret(ratios, count, best))
            best = first;
    double gain = regret(ratios, count, usual) - regret(ratios, count, best);
    return gain > VERDICT_MARGIN * (double) count ? best : usual;
}

size_t verdict_cheapest(const double *means, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (means[i] < means[best] - (best == 0 ? VERDICT_MARGIN : 0))
            best = i;
    return best;
}

double verdict_mean(const double *ratios, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += capped(ratios[i]);
    return count ? sum / (double) count : 0;
}

bool verdict_agrees(uint64_t a, uint64_t b) {
    return a == b || (a / 2 <= b && b / 2 <= a && a && b);
}
