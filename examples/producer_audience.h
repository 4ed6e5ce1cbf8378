/* SPDX-License-Identifier: MIT */
/*
 * The audience is the server side of producer. Consumers come, are given blocks, give them back, and leave, die or are
 * too slow. All waiting is done here, in one poll(). producer.c makes the blocks. One thread.
 */
#ifndef EXAMPLES_PRODUCER_AUDIENCE_H
#define EXAMPLES_PRODUCER_AUDIENCE_H

#include <sealane/sealane.h>

enum audience_slow { AUDIENCE_WAIT, AUDIENCE_DROP, AUDIENCE_DISCONNECT };

struct consumer;

/* A caller may read the figures; the other fields belong to the audience. */
struct audience {
    sea_ctx *ctx;       /* one reference */
    sea_server *server; /* owned */
    int stop_fd;        /* borrowed */
    enum audience_slow slow;
    bool has_sum, is_verbose;
    struct consumer *consumers; /* owned */
    bool is_finishing;          /* a consumer that comes now gets the totals only */

    size_t here;     /* consumers at this moment */
    uint64_t blocks; /* blocks given, for any number of consumers */
    uint64_t served, too_slow, died;
    uint64_t reclaimed_blocks, reclaimed_bytes; /* from consumers that left while they held some */
};

/* Listens. The caller has set slow, has_sum, is_verbose and stop_fd of `audience`, and zeroed the rest; the struct
 * must not move. Returns the errors of sea_server_new(). */
int audience_init(struct audience *audience, sea_ctx *ctx, const char *address);
void audience_deinit(struct audience *audience);

/* Drives the consumers until an event comes, at most `timeout_ms` (< 0: without end). With `input` other than -1,
 * also returns when `input` is readable. Returns whether it is, or a negative errno value. */
int audience_attend(struct audience *audience, int input, int timeout_ms);

/* Drives the consumers until program_now() reaches `when`, or until the program must stop. */
int audience_attend_until(struct audience *audience, double when);

/* Returns the number of blocks that consumers hold. */
uint64_t audience_leases(const struct audience *audience);

/*
 * Gives a sealed block (borrowed) with the checksum `sum` to every consumer that is connected, and waits for the
 * consumers that need waiting for, or until the program must stop. A consumer that connects meanwhile begins with the
 * next block.
 */
int audience_give(struct audience *audience, sea_block *block, uint64_t sum);

/*
 * Sends every consumer its totals, and waits until every block has come back, or until no block has come back for
 * `linger` seconds. Returns how many blocks did not come back, or a negative errno value.
 */
int64_t audience_finish(struct audience *audience, double linger);

#endif
