/* SPDX-License-Identifier: MIT */
/* One measurement as a line: of JSON for programs, of text for people. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "work.h"

#include <stdio.h>

struct measurement {
    uint64_t laps;             /* round trips, or one-way messages, of all clients in the steady time */
    double seconds;            /* the steady time */
    struct histogram *latency; /* of round trips, or the mean time of a message; NULL: not measured */
    double finer;              /* the histogram's quantum is the clock's step divided by this */
    double floors[2];          /* before and after, nanoseconds; 0: not measured */
    double syscalls;           /* for each message, on both sides together; negative: not counted */
    double wakeups;            /* for both sides together, each second; negative: not counted */
    const char *note;
};

/* Returns p50 divided by the floor; 0 if one of them is missing. */
double report_ratio(const struct measurement *m);

void report_json(FILE *out, const struct cell *cell, const struct measurement *m);
void report_text(FILE *out, const struct cell *cell, const struct measurement *m);

#endif
