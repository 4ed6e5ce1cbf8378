/* SPDX-License-Identifier: MIT */
/*
 * A speaker (support/speaker.h) with an outbox of its own, which it writes by hand: sound frames through rings, and any
 * word anywhere.
 *
 * It does what it is told and nothing else: no mark, no doorbell, no cursor by itself. Asserts, so it belongs to the
 * test's thread.
 */
#ifndef TESTS_SUPPORT_RING_SPEAKER_H
#define TESTS_SUPPORT_RING_SPEAKER_H

#include "lane/outbox.h"
#include "support/speaker.h"

struct ring_speaker {
    struct speaker *speaker; /* owned */
    struct outbox own, theirs;
    struct outbox_ring grown[2]; /* frames and releases of the other's, once it has announced them */
    struct ring_out out;
    struct ring_in in;
    struct release_out releases_out;
    struct release_in releases_in;
    uint64_t marks; /* written */
};

/* At the end of `fd`, which it takes, with an outbox of so many lines and room for so many releases. */
struct ring_speaker *ring_speaker_new(int fd, uint32_t lines, uint32_t releases);
struct ring_speaker *ring_speaker_free(struct ring_speaker *self);

/* Sends its HELLO, a sound one with the outbox. `features`: further ones. */
void ring_speaker_hello(struct ring_speaker *self, uint64_t features);

/* Waits for the other's HELLO, and opens the outbox that came with it. */
void ring_speaker_open(struct ring_speaker *self);

/* Writes a frame; there must be room. */
void ring_say(struct ring_speaker *self, enum wire_type type, uint64_t id, const struct wire_message *message,
              const void *bytes);

/* An inline payload of zeros: a CALL (id != 0), an ONEWAY (id 0), or a REPLY (method 0). */
void ring_say_inline(struct ring_speaker *self, uint64_t id, uint32_t method, uint32_t size);
void ring_say_mark(struct ring_speaker *self, uint64_t number);

/* One line, with whatever is in the words but for the tag, which is right. */
void ring_say_words(struct ring_speaker *self, const uint64_t words[LINE_WORDS]);

/* Wakes the other side, whether it sleeps or not. */
void ring_speaker_doorbell(struct ring_speaker *self);

/* Waits for the other's next frame of this type, and passes over those before it, telling it so; a larger ring of the
 * other's is followed. Its bytes are in `bytes`, at most `size`. */
struct wire_frame ring_expect(struct ring_speaker *self, enum wire_type type, void *bytes, uint32_t size);

/* The words of its own outbox, as they lie, for spoiling: any of them may be written at any time. */
shared32 *ring_speaker_word(struct ring_speaker *self, size_t offset);

#endif
