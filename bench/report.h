/* SPDX-License-Identifier: MIT */
/* One measurement as a line: of JSON for programs, of text for people. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "work.h"

#include <stdio.h>

struct measurement {
    uint64_t laps;             /* round trips, or messages one way, of all clients in the steady time */
    double seconds;            /* the steady time */
    struct histogram *latency; /* of round trips, or of a message on average; NULL: none was taken */
    double finer;              /* it is in so many parts of the clock's steps */
    double floors[2];          /* before and after, nanoseconds; 0 is none */
    double syscalls;           /* for each message, on both sides together; negative: not counted */
    double wakeups;            /* of both sides in a second; negative: not counted */
    const char *note;
};

/* p50 over the floor; 0 without either. */
double report_ratio(const struct measurement *m);

void report_json(FILE *out, const struct cell *cell, const struct measurement *m);
void report_text(FILE *out, const struct cell *cell, const struct measurement *m);

#endif
