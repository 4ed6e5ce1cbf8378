/* SPDX-License-Identifier: MIT */
/*
 * What breaks the protocol inside an outbox: frames, releases and marks that no honest writer writes.
 *
 * Each is done once, on a connection that has greeted with outboxes, and must end it with words that name what was
 * wrong. They hold in both directions, towards a server and towards a client.
 */
#ifndef TESTS_HOSTILE_RING_ATTACKS_H
#define TESTS_HOSTILE_RING_ATTACKS_H

#include "support/ring_speaker.h"

struct ring_attack {
    const char *name;
    void (*act)(struct ring_speaker *self); /* rings for itself */
    const char *word;                       /* must be in the text that tells it, in any case */
    uint32_t lines;                         /* of the attacker's ring; 0: 64 */
};

extern const struct ring_attack ring_attacks[];
extern const int ring_attacks_count;

#endif
