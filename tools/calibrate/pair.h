/* SPDX-License-Identifier: MIT */
/*
 * Two processes, each on a CPU of its own, that call each other in a prescribed way: the client and the server of one
 * measurement. The prescription is a calibration that both read, so that only the choice under test differs.
 *
 * They use only the public interface, and end with their parent.
 */
#ifndef CALIBRATE_PAIR_H
#define CALIBRATE_PAIR_H

#include "memory/calibration.h"
#include <stdbool.h>
#include <stddef.h>

/* The way that payloads take. */
struct way {
    struct calibration table; /* for both */
    uint32_t accept;          /* classes that the server accepts, SEA_... */
    bool socket_only;
    int payload_class; /* the class that the client's blocks must get, SEA_... */
};

/* One side writes a payload in full, the other reads it in full, and the client waits for the answer. */
enum pattern {
    PATTERN_BLOCK, /* a block there, no payload back */
    PATTERN_PLAIN, /* a block there, no payload back, and then the bytes without a block */
    PATTERN_BOTH   /* a block there, and one of equal size back */
};

struct work {
    size_t size; /* bytes */
    enum pattern pattern;
};

enum { PAIR_CLIENT, PAIR_SERVER, PAIR_CPUS };

/*
 * Measures each work for some milliseconds: the least of the medians of several slices, in microseconds, goes to
 * ret_times, which is memory that processes share. It is 0 where no two slices came near the least; unchanged where the
 * deadline, in microseconds of CLOCK_MONOTONIC, came first. Blocks until both processes are gone. Returns false if one
 * failed; that process has printed the reason on standard error.
 */
bool pair_measure(const struct way *way, const int cpus[PAIR_CPUS], const struct work *works, size_t count,
                  double deadline_us, double *ret_times);

#endif
