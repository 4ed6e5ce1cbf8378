/* SPDX-License-Identifier: MIT */
/*
 * Sleep and wake-up of two sides. The doorbell decides when a side has to be woken; lane_ring_bell() sends the datagram
 * that wakes it. Each outbox has one word, `asleep`, by which its owner says whether it is about to
 * wait for the socket, and for what:
 *
 *     bit 0     asleep, and to be woken for frames and for releases of sealed blocks
 *     bit 1     also when lines of its frame ring were consumed (it waits for room)
 *     bit 2     also for releases of pooled blocks
 *     bits 3..  the episode: a number that grows each time
 *
 * No side is left sleeping, because each side writes first and then looks, with a full fence between [SLP1]:
 *
 *     sleeper:  asleep = episode | 1; fence; look at the rings; nothing there: wait for the socket
 *     waker:    publish;              fence; look at `asleep`; bit 0 set, and not rung for it yet: ring
 *
 * Without either fence both can look too early: the frame waits, and so does its reader (tests/model shows it).
 *
 * Owns: its fields; both words lie in outboxes, and go with them at the end of the connection. Touches: writes our
 * word, reads the peer's. Threads: the connection's; the partner of each fence is in the other process.
 */
#ifndef LANE_DOORBELL_H
#define LANE_DOORBELL_H

#include "sys/shared_word.h"
#include <stdbool.h>

/* What the peer may be woken for: what we have done since we last looked at its word. */
enum { DOORBELL_FRAMES = 1, DOORBELL_ROOM = 2, DOORBELL_RELEASES = 4 };

/* Of the word of a side that sleeps. */
enum { DOORBELL_ASLEEP = 1 };

struct doorbell {
    shared32 *own;        /* borrowed, in our outbox */
    const shared32 *peer; /* borrowed, in the peer's */
    uint32_t episode;     /* of ours, in place */
    uint32_t asked;       /* the peer's word as doorbell_is_wanted() found it */
    uint32_t rung;        /* the one for which we rang last */
    bool is_armed;        /* our word says asleep */
    uint32_t wants;       /* and for what */
    uint32_t due;         /* DOORBELL_..., done and not yet looked for */
};

void doorbell_init(struct doorbell *doorbell, shared32 *own, const shared32 *peer);

/* We are about to wait: `wants` is of DOORBELL_ROOM and DOORBELL_RELEASES. The caller then looks once more. */
void doorbell_arm(struct doorbell *doorbell, uint32_t wants);

/* We are awake. */
void doorbell_disarm(struct doorbell *doorbell);

/* Does the peer have to be woken for the bits in `due`, which is not 0? If not, clears them. */
bool doorbell_is_wanted(struct doorbell *doorbell);

/* After a frame was published: may the peer have to be woken? Mostly not; then nothing is due any more. */
static inline bool doorbell_is_heard(struct doorbell *doorbell) {
    shared_fence(); /* [SLP1], of the waker; partner in doorbell_arm() */
    if (shared32_load(doorbell->peer) & DOORBELL_ASLEEP)
        return true;
    doorbell->due = 0;
    return false;
}

/* It was rung. */
void doorbell_note_rung(struct doorbell *doorbell);

#endif
