/* SPDX-License-Identifier: MIT */
/*
 * The trials: for each choice that the library makes by size, the possible ways, each forced, are measured against each
 * other; and the conclusions for the table.
 *
 * A trial is measured in rounds. In a round each way gets a moment at each size, one right after the other, and only
 * the ratios within a round count: the host moves the CPUs, and times of different seconds cannot be compared. Other
 * processes may use the CPUs, too: a value is reliable only if the even rounds and the odd ones lead to it
 * independently.
 */
#ifndef CALIBRATE_TRIAL_H
#define CALIBRATE_TRIAL_H

#include "calibrate/pair.h"
#include <stdio.h>

enum { TRIALS = 6, WAYS_MOST = 6, WORKS_MOST = 16, ROUNDS_MOST = 64 };

struct trial {
    const struct calibration_key *key; /* the key that the trial decides */
    const char *about;                 /* a description, and the meaning of its ratios */
    struct way ways[WAYS_MOST];
    uint64_t footprints[WAYS_MOST]; /* for a trial of the footprint: the footprint of each way */
    size_t ways_count;
    struct work works[WORKS_MOST];
    size_t works_count;
    double times[ROUNDS_MOST][WAYS_MOST][WORKS_MOST]; /* us; 0: not measured */
    size_t rounds;
};

/* Makes all trials. The memory is shared with the measuring processes, and stays. */
struct trial *trials_new(const struct calibration *built_in);

/* Runs one more round, at most ROUNDS_MOST in all; it ends at the deadline, as in pair.h. Returns false on failure. */
bool trial_run(struct trial *trial, const int cpus[PAIR_CPUS], double deadline_us);

/*
 * Writes the measurements, as comments of the file, and the conclusion, which also goes into *table, which holds the
 * built-in values. Returns false if there is no conclusion, and the built-in value stays: the two halves of the rounds
 * differ by more than a factor of 2, or know less than two thirds of the sizes.
 */
bool trial_conclude(const struct trial *trial, struct calibration *table, FILE *file);

#endif
