/* SPDX-License-Identifier: MIT */
/*
 * A voyage: everything that a client does with a server of support/service.h, from the context to its end. The sweeps
 * run it again and again, with one fault each time.
 *
 * Its steps: a context · connecting · a sealed block, filled by its pointer, from a buffer, a file and a pipe · a call
 * with it, answered with a new sealed block · that block forwarded in a second call · inline calls · pooled calls: in
 * arenas that are new, known, and retired for larger ones; a pooled reply sent back, as a copy · bursts of one-way
 * messages, small ones in one batch, and more pooled ones than the server holds at a time · export and import · a
 * one-way message · a second connection that subscribes, and takes stable payloads only · a sealed block published over
 * the first connection, and taken from the second; and a pooled one, which arrives as a copy · everything released and
 * closed. Every byte is checked.
 *
 * The voyage stops at the first step that fails, and frees all its resources. No step waits longer than STEP_MS.
 */
#ifndef TESTS_SWEEP_VOYAGE_H
#define TESTS_SWEEP_VOYAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define VOYAGE_WRONG 1 /* a status: the voyage completed, but with wrong bytes */

struct voyage_report {
    int status;               /* 0: completed; a negative errno value; VOYAGE_WRONG */
    char step[32];            /* the step that failed */
    int opened[2], closed[2]; /* how often on_open and on_close ran, for both connections */
    uint64_t refusals;        /* refusals that the context has counted */
    /* for a step that failed: the context's newest refusal, and the reason for the connection's end */
    char why[420];
    bool is_left_open; /* with `outlives`: a connection did not end */
};

/* With `outlives`: the server is expected to die, so that after a failure the voyage waits until both connections
 * have ended. */
void voyage_run(const char *address, bool outlives, struct voyage_report *ret);

/* Makes calls and one-way messages of every class at full speed, until one fails; then ends as voyage_run() with
 * `outlives`. `strokes_done` counts them meanwhile. */
void voyage_rush(const char *address, _Atomic unsigned *strokes_done, struct voyage_report *ret);

#endif
