/* SPDX-License-Identifier: MIT */
/*
 * The trials: for each choice that the library makes by size, the ways it could go, each forced, against each other;
 * and what follows for the table.
 *
 * A trial is measured in rounds. In a round each way gets a moment at each size, right after the other, and only the
 * ratios within a round count: the host moves the CPUs about, and times of different seconds say little about each
 * other. Others may want the CPUs too: a value is believed only if the even rounds and the odd ones come to it, each by
 * themselves.
 */
#ifndef CALIBRATE_TRIAL_H
#define CALIBRATE_TRIAL_H

#include "calibrate/pair.h"
#include <stdio.h>

enum { TRIALS = 6, WAYS_MOST = 6, WORKS_MOST = 16, ROUNDS_MOST = 64 };

struct trial {
    const struct calibration_key *key; /* what it is about */
    const char *about;                 /* in words, with what its ratios are */
    struct way ways[WAYS_MOST];
    uint64_t footprints[WAYS_MOST]; /* of a trial of the footprint: what each way has */
    size_t ways_count;
    struct work works[WORKS_MOST];
    size_t works_count;
    double times[ROUNDS_MOST][WAYS_MOST][WORKS_MOST]; /* us; 0: not measured */
    size_t rounds;
};

/* Makes all of them. The memory is shared with the processes that measure, and stays. */
struct trial *trials_new(const struct calibration *built_in);

/* One more round, at most ROUNDS_MOST in all; it ends at the deadline, as in pair.h. false: it failed. */
bool trial_run(struct trial *trial, const int cpus[PAIR_CPUS], double deadline_us);

/*
 * What was measured, as comments of the file; and what follows, also in *table, which holds the built-in values. false:
 * nothing does, and the value stays as it is built in: the two halves of the rounds differ by more than a factor of 2,
 * or know less than two thirds of the sizes.
 */
bool trial_conclude(const struct trial *trial, struct calibration *table, FILE *file);

#endif
