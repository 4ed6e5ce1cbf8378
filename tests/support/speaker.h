/* SPDX-License-Identifier: MIT */
/*
 * Speaks the protocol by hand: frames from wire/frame.h over a raw socket, sound frames and spoiled ones.
 *
 * A draft is a datagram under construction: begin with a sound frame, then spoil its bytes, size and descriptors as the
 * attack needs. A speaker is one end of a connection that sends drafts. All functions assert, so a speaker belongs to
 * the test's thread.
 */
#ifndef TESTS_SUPPORT_SPEAKER_H
#define TESTS_SUPPORT_SPEAKER_H

#include <stddef.h>
#include <stdint.h>

#include "support/raw.h"
#include "wire/frame.h"

struct draft {
    size_t size, fds_count;
    int fds[RAW_FDS_MAX]; /* borrowed */
    uint8_t data[RAW_DATAGRAM_MAX];
};

/* Returns a HELLO that accepts everything, with limits that no test reaches, and demands nothing. */
struct wire_hello hello_sound(void);

/* Each function begins the draft anew. `payload`, borrowed, is copied behind the fixed part if the class is inline. */
void draft_hello(struct draft *draft, const struct wire_hello *hello);
void draft_message(struct draft *draft, enum wire_type type, uint64_t id, const struct wire_message *message,
                   const void *payload);
void draft_goodbye(struct draft *draft, int reason, const char *text);
void draft_release(struct draft *draft, const uint64_t *handles, uint32_t count);
void draft_cancel(struct draft *draft, uint64_t id);
void draft_doorbell(struct draft *draft);
void draft_arena(struct draft *draft, const struct wire_arena *arena, int fd);
void draft_retire(struct draft *draft, uint32_t arena);
void draft_ring(struct draft *draft, const struct wire_ring *ring, int fd);

/* Drafts a sealed payload of `size` bytes in the memfd `fd` under the name `handle`: a CALL (id != 0), a ONEWAY (id
 * 0) of `method`, or a REPLY (method 0). */
void draft_sealed(struct draft *draft, uint64_t id, uint32_t method, uint64_t handle, uint64_t size, int fd);

/* Drafts a message as draft_sealed() does, with `size` inline bytes instead. */
void draft_inline(struct draft *draft, uint64_t id, uint32_t method, size_t size);

void draft_add_fd(struct draft *draft, int fd);
void draft_put(struct draft *draft, size_t offset, size_t size, uint64_t value); /* little-endian */

struct speaker {
    int fd; /* owned */
    struct raw_datagram in;
    struct wire_frame frame; /* the newest frame; it borrows from `in` */
};

/* Makes a speaker at the end of `fd`, which it takes; on the heap, because it is large. */
struct speaker *speaker_new(int fd);
struct speaker *speaker_free(struct speaker *speaker);

int speaker_send(struct speaker *speaker, const struct draft *draft);

/* Waits for a frame of this type. Other frames before it are passed over, except a GOODBYE and the end. Descriptors
 * that come with the frame are left in speaker->in; descriptors of other frames are closed. */
const struct wire_frame *speaker_expect(struct speaker *speaker, enum wire_type type);

/* Sends `hello`, or a sound HELLO if NULL, and waits for the other side's HELLO. */
void speaker_greet(struct speaker *speaker, const struct wire_hello *hello);

/* The way in which the other side ended the connection. */
struct farewell {
    int is_spoken; /* a GOODBYE came before the end */
    int reason;
    char text[WIRE_TEXT_MAX + 1];
};

/* Reads to the end of the connection and closes the descriptors that come; fails if the connection does not end. */
struct farewell speaker_farewell(struct speaker *speaker);

#endif
