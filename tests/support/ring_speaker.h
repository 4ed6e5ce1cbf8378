/* SPDX-License-Identifier: MIT */
/*
 * A speaker (support/speaker.h) with an outbox of its own, which it writes by hand: sound frames through rings, and any
 * word anywhere.
 *
 * It sends only on demand: no mark, no doorbell and no cursor of its own accord. It asserts, so it belongs to the
 * test's thread.
 */
#ifndef TESTS_SUPPORT_RING_SPEAKER_H
#define TESTS_SUPPORT_RING_SPEAKER_H

#include "lane/outbox.h"
#include "support/speaker.h"

struct ring_speaker {
    struct speaker *speaker; /* owned */
    struct outbox own, theirs;
    struct outbox_ring grown[2]; /* frames and releases of the other side, once it has announced larger rings */
    struct ring_out out;
    struct ring_in in;
    struct release_out releases_out;
    struct release_in releases_in;
    uint64_t marks; /* written */
};

/* Begins a speaker at the end of `fd`, which it takes, with an outbox of `lines` lines and room for `releases`
 * releases. */
struct ring_speaker *ring_speaker_new(int fd, uint32_t lines, uint32_t releases);
struct ring_speaker *ring_speaker_free(struct ring_speaker *self);

/* Sends a sound HELLO with the outbox. `features`: additional feature bits. */
void ring_speaker_hello(struct ring_speaker *self, uint64_t features);

/* Waits for the other side's HELLO, and opens the outbox that came with it. */
void ring_speaker_open(struct ring_speaker *self);

/* Writes a frame; there must be room. */
void ring_say(struct ring_speaker *self, enum wire_type type, uint64_t id, const struct wire_message *message,
              const void *bytes);

/* An inline payload of zeros: a CALL (id != 0), an ONEWAY (id 0), or a REPLY (method 0). */
void ring_say_inline(struct ring_speaker *self, uint64_t id, uint32_t method, uint32_t size);
void ring_say_mark(struct ring_speaker *self, uint64_t number);

/* Writes one line with any words; the tag is set to the right value. */
void ring_say_words(struct ring_speaker *self, const uint64_t words[LINE_WORDS]);

/* Wakes the other side, whether or not it sleeps. */
void ring_speaker_doorbell(struct ring_speaker *self);

/* Waits for the other side's next frame of `type`. Frames before it are passed over and acknowledged, and a larger
 * ring of the other side is followed. The frame's bytes are in `bytes`, at most `size`. */
struct wire_frame ring_expect(struct ring_speaker *self, enum wire_type type, void *bytes, uint32_t size);

/* Returns a word of the speaker's own outbox, for spoiling: the test may write any of them at any time. */
shared32 *ring_speaker_word(struct ring_speaker *self, size_t offset);

#endif
