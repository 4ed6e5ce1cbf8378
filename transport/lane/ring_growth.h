/* SPDX-License-Identifier: MIT */
/*
 * Growth: an outbox is handed out with small rings, for most connections are idle most of the time. Each of its two
 * rings may be followed, once, by a larger one in memory of its own, which a RING datagram brings.
 *
 *     frame ring     grows to `ring_size` when it is full, when a frame needs more than a quarter of it, or when it
 *                    goes round often
 *     release ring   grows to what `blocks_max` needs, so that it always has room, when it is full
 *
 * Nothing pauses: the writer goes on in the new memory at once. Of the frame ring the mark of the RING is the last
 * frame in the old lines (one of which is kept free for it). Of the release ring the RING names the first entry in the
 * new memory. Positions, `consumed`, and the word `asleep` stay as they are, in the page that was handed out first.
 *
 * Once, and straight to the full size: then a ring never takes more memory than if it had begun with that, what a peer
 * makes us map is bounded, and the reader has to remember one successor. Rings do not shrink.
 *
 * A refusal (the budget, the machine, descriptors) costs speed alone: small rings go on. A message that is larger than
 * a frame of the small ring goes through the socket; a frame that finds the ring full waits; a release that finds its
 * ring full is a datagram, whose mark waits like a frame. It is tried again after GROWTH_RETRY_NS. Memory that was
 * made, and that the socket had no room to announce, is kept until then. A receiver that cannot take the ring has no
 * way to go on: the connection ends.
 *
 * Owns: struct growth of the lane, with the memory of all four larger rings. Touches: the lane's rings (it moves them),
 * own.lines, own.releases and their peers in `theirs`, the socket, the doorbell's `due`; the context's budget,
 * admission and census, and what lane_note_sent() notes. Threads: the connection's; lane_end_growth() belongs to the
 * end, and to a greeting that goes without outboxes.
 */
#ifndef LANE_RING_GROWTH_H
#define LANE_RING_GROWTH_H

#include "lane/outbox.h"

struct lane;

#define GROWTH_RETRY_NS (UINT64_C(100) * 1000 * 1000)

struct growth {
    struct outbox_ring frames, releases;             /* ours; with a descriptor: the peer does not know of it yet */
    struct outbox_ring their_frames, their_releases; /* the peer's, from their announcement on */
    uint64_t their_mark;    /* number of the RING datagram at the end of their old lines; 0: in use, or not announced */
    uint32_t their_lines;   /* of their_frames */
    uint32_t their_entries; /* of their_releases, while the old ones are still to be read; else 0 */
    uint32_t their_from;    /* number of the first release that lies there, modulo 2^32 */
    uint32_t lines, entries;   /* to which ours may grow */
    uint64_t retry_at;         /* after a refusal; 0: there was none */
    uint64_t lap_at, lap_tail; /* when it was looked last how often the frame ring goes round, and where it was */
};

/* The rings in the outboxes are in use: notes how far they may grow. */
void lane_begin_growth(struct lane *lane, uint32_t lines, uint32_t entries);
void lane_end_growth(struct lane *lane);

/* The lines with which a frame ring begins that may grow to `lines`. */
uint32_t growth_first_lines(uint32_t lines);

/* Has the frame ring grown as far as it may? */
static inline bool growth_is_done(const struct growth *growth, const struct outbox *own) {
    return own->lines >= growth->lines;
}

/* It is full, or too small for a frame: it grows, if it may. 0, or why not: -EALREADY (it has), -EAGAIN, or what
 * refused it. */
int lane_grow_frames(struct lane *lane);

/* The writer has used up the room that it knew of: the ring grows if it goes round often. */
void lane_consider_growth(struct lane *lane);

/* Is there room in the release ring, which grows for it if it may? As release_has_room(). */
int lane_release_room(struct lane *lane);

/* The peer announces a ring; `fd` (-1: lost) is taken. 0, or why the connection ends, with *ret_why. */
int lane_accept_ring(struct lane *lane, const struct wire_ring *ring, int fd, const char **ret_why);

/* The mark of that datagram was passed over: frames may go on in the new ring. */
void lane_follow_frames(struct lane *lane, uint64_t number);

/* All releases before some number were read: they may go on in the new ring. */
void lane_follow_releases(struct lane *lane);

#endif
