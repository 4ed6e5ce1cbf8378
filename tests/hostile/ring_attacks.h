/* SPDX-License-Identifier: MIT */
/*
 * Violations of the protocol inside an outbox: frames, releases and marks that no honest writer writes.
 *
 * Each attack is made once, on a connection that has greeted with outboxes, and must end it with a text that names the
 * violation. The attacks apply in both directions, to a server and to a client.
 */
#ifndef TESTS_HOSTILE_RING_ATTACKS_H
#define TESTS_HOSTILE_RING_ATTACKS_H

#include "support/ring_speaker.h"

struct ring_attack {
    const char *name;
    void (*act)(struct ring_speaker *self); /* makes the attack, and sends its own doorbell */
    const char *word;                       /* must occur in the text, in upper or lower case */
    uint32_t lines;                         /* lines of the attacker's ring; 0: 64 */
};

extern const struct ring_attack ring_attacks[];
extern const int ring_attacks_count;

/* Attacks with pooled payloads of an arena, for which ring_say_arena() has come before. Before the violation come
 * one-way messages of KEEPING_METHOD that are none; the attacked side has to keep them. */
struct lease_attack {
    const char *name;
    uint64_t stride; /* of the arena's blocks */
    void (*act)(struct ring_speaker *self);
    const char *word; /* must occur in the text, in upper or lower case */
};

extern const struct lease_attack lease_attacks[];
extern const int lease_attacks_count;

enum { KEEPING_METHOD = 2, ARENA = 1, ARENA_BLOCKS = 4 }; /* the method: SERVICE_KEEP */

/* Announces the arena ARENA, with ARENA_BLOCKS blocks of `stride` bytes. */
void ring_say_arena(struct ring_speaker *self, uint64_t stride);

/* A one-way message of KEEPING_METHOD with a pooled payload, and a doorbell. */
void ring_say_pooled(struct ring_speaker *self, uint64_t handle, uint64_t size);

/* Violations in the answer to the call `id`, which is written before the call is made. ring_say_arena() with 4096 bytes
 * has come before. */
struct answer_attack {
    const char *name;
    void (*act)(struct ring_speaker *self, uint64_t id);
    const char *word; /* must occur in the text, in upper or lower case */
};

extern const struct answer_attack answer_attacks[];
extern const int answer_attacks_count;

#endif
