/* SPDX-License-Identifier: MIT */
/*
 * One end of a pair of outboxes without a lane: rings, bell, and a socket as doorbell, driven by hand.
 *
 * The other end is a thread or a process. A wake-up that is lost is a wait that never ends: then `is_lost`. The other
 * end's socket is closed: `is_gone`, and what it wrote before can still be read.
 */
#ifndef TESTS_SUPPORT_RING_END_H
#define TESTS_SUPPORT_RING_END_H

#include "lane/doorbell.h"
#include "lane/outbox.h"
#include "lane/ring.h"

struct ring_end {
    struct ring_out out;
    struct ring_in in;
    struct release_out releases_out;
    struct release_in releases_in;
    struct doorbell doorbell;
    int fd;              /* borrowed: a SOCK_SEQPACKET socket that does not block */
    uint64_t arms, rung; /* episodes of ours, doorbells of ours */
    bool is_lost, is_gone;
};

/* Over two outboxes, or whatever has their parts. */
void ring_end_init(struct ring_end *ret, const struct outbox *own, const struct outbox *theirs, int fd);

/* `due` is of BELL_...: rings if it must. */
void ring_end_ring(struct ring_end *end, uint32_t due);

/* Is there a frame, or what else is wanted? */
bool ring_end_has(struct ring_end *end, uint32_t wants);

/* Sleeps until there is, or until woken for another reason. */
void ring_end_sleep(struct ring_end *end, uint32_t wants);

/* Tells the other end of everything that it may wait for, before this one is left alone. */
void ring_end_finish(struct ring_end *end);

#endif
