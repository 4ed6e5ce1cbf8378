/* SPDX-License-Identifier: MIT */
/*
 * One end of a pair of outboxes without a lane: rings, the doorbell's flags, and a socket that carries doorbells, all
 * driven by hand.
 *
 * The other end is a thread or a process. A wait that never ends shows a lost wake-up: then `is_lost` is set. When the
 * other end's socket is closed, `is_gone` is set, and the data that the other end wrote before can still be read.
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
    uint64_t arms, rung; /* our sleeping episodes, and our doorbells */
    bool is_lost, is_gone;
};

/* Begins an end over two outboxes, or over another struct that has their parts. */
void ring_end_init(struct ring_end *ret, const struct outbox *own, const struct outbox *theirs, int fd);

/* `due` is one of BELL_...; sends a doorbell if `due` demands one. */
void ring_end_ring(struct ring_end *end, uint32_t due);

/* Returns whether there is a frame, or another event of `wants`. */
bool ring_end_has(struct ring_end *end, uint32_t wants);

/* Sleeps until ring_end_has() is true, or until another wake-up. */
void ring_end_sleep(struct ring_end *end, uint32_t wants);

/* Reports to the other end every event that it may wait for, before this end is abandoned. */
void ring_end_finish(struct ring_end *end);

#endif
