/* SPDX-License-Identifier: MIT */
/*
 * The audience: the server side of producer. Consumers come, are given blocks, give them back, and go, die or are
 * too slow; all waiting is done here, in one poll(). Which blocks there are is producer.c's business. One thread.
 */
#ifndef EXAMPLES_PRODUCER_AUDIENCE_H
#define EXAMPLES_PRODUCER_AUDIENCE_H

#include <sealane/sealane.h>

enum audience_slow { AUDIENCE_WAIT, AUDIENCE_DROP, AUDIENCE_DISCONNECT };

struct consumer;

/* Figures may be read; the rest is the audience's own. */
struct audience {
    sea_ctx *ctx;       /* one reference */
    sea_server *server; /* owned */
    int stop_fd;        /* borrowed */
    enum audience_slow slow;
    bool has_sum, is_verbose;
    struct consumer *consumers; /* owned */
    bool is_finishing;          /* who comes now comes for the totals only */

    size_t here;     /* consumers at this moment */
    uint64_t blocks; /* given, however many were here */
    uint64_t served, too_slow, died;
    uint64_t reclaimed_blocks, reclaimed_bytes; /* from those who left with some */
};

/* Listens. `audience` has its settings (slow, has_sum, is_verbose, stop_fd) and is zero otherwise; it stays where it
 * is. The errors of sea_server_new(). */
int audience_init(struct audience *audience, sea_ctx *ctx, const char *address);
void audience_deinit(struct audience *audience);

/* Looks after the consumers until something happened, at most `timeout_ms` (< 0: without end). `input`: also until
 * that has something to read, unless -1. Returns whether it has, or a negative errno value. */
int audience_attend(struct audience *audience, int input, int timeout_ms);

/* Until the second `when` of program_now(), or until the program is to stop. */
int audience_attend_until(struct audience *audience, double when);

/* Blocks that are with consumers. */
uint64_t audience_leases(const struct audience *audience);

/*
 * Gives a sealed block (borrowed), whose checksum is `sum`, to every consumer that is here, and waits for those
 * that have to be waited for, or until the program is to stop. Who comes meanwhile begins with the next one.
 */
int audience_give(struct audience *audience, sea_block *block, uint64_t sum);

/*
 * Gives everybody their totals, and waits until everything has come back, or until nothing came back for `linger`
 * seconds. Returns how many blocks did not come back, or a negative errno value.
 */
int64_t audience_finish(struct audience *audience, double linger);

#endif
