/* SPDX-License-Identifier: MIT */
/*
 * Two processes, each on a CPU of its own, that make calls to each other in a way that was ordered: the client and the
 * server of one measurement. The order is a calibration that both read, so that nothing but the choice under test
 * differs.
 *
 * They use the public interface alone, and end with whoever runs them.
 */
#ifndef CALIBRATE_PAIR_H
#define CALIBRATE_PAIR_H

#include "memory/calibration.h"
#include <stdbool.h>
#include <stddef.h>

/* How payloads are to travel. */
struct way {
    struct calibration table; /* of both */
    uint32_t accept;          /* what the server takes, SEA_... */
    bool socket_only;
    int payload_class; /* that the client's blocks must get, SEA_... */
};

/* One payload is written in full by one side and read in full by the other, and the answer waited for. */
enum pattern {
    PATTERN_BLOCK, /* a block there, nothing back */
    PATTERN_PLAIN, /* the same, and once more as plain bytes */
    PATTERN_BOTH   /* a block there, and one of the same size back */
};

struct work {
    size_t size; /* bytes */
    enum pattern pattern;
};

enum { PAIR_CLIENT, PAIR_SERVER, PAIR_CPUS };

/*
 * Measures each work for a moment, some milliseconds: the least of the medians of some slices, in microseconds, goes to
 * ret_times, which is memory that processes share. 0 where no two slices came near the least; untouched where the
 * deadline, in microseconds of CLOCK_MONOTONIC, came first. Blocks until both processes are gone. false: one failed,
 * and has said why on standard error.
 */
bool pair_measure(const struct way *way, const int cpus[PAIR_CPUS], const struct work *works, size_t count,
                  double deadline_us, double *ret_times);

#endif
