/* SPDX-License-Identifier: MIT */
/* A speaker with an outbox. See ring_speaker.h. */
#include "support/ring_speaker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/suite.h"

#define PATIENCE_MS 5000

struct ring_speaker *ring_speaker_new(int fd, uint32_t lines, uint32_t releases) {
    struct ring_speaker *self = calloc(1, sizeof *self);
    ck_assert_ptr_nonnull(self);
    self->theirs = OUTBOX_EMPTY;
    self->grown[0] = self->grown[1] = OUTBOX_RING_NONE;
    self->speaker = speaker_new(fd);
    ck_assert_int_eq(outbox_new(&self->own, lines, releases), 0);
    return self;
}

struct ring_speaker *ring_speaker_free(struct ring_speaker *self) {
    if (!self)
        return NULL;
    speaker_free(self->speaker);
    outbox_deinit(&self->own);
    outbox_deinit(&self->theirs);
    outbox_ring_deinit(&self->grown[0]);
    outbox_ring_deinit(&self->grown[1]);
    free(self);
    return NULL;
}

void ring_speaker_hello(struct ring_speaker *self, uint64_t features) {
    static struct draft draft;
    struct wire_hello hello = hello_sound();
    hello.features = WIRE_FEATURE_OUTBOX | features;
    hello.blocks_max = self->own.releases;
    draft_hello(&draft, &hello);
    draft_add_fd(&draft, self->own.fd);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
}

void ring_speaker_open(struct ring_speaker *self) {
    const char *why = "";
    speaker_expect(self->speaker, WIRE_HELLO);
    ck_assert_uint_eq(self->speaker->in.fds_count, 1);
    self->speaker->in.fds_count = 0; /* taken */
    int r = outbox_open(&self->theirs, self->speaker->in.fds[0], &why);
    ck_assert_msg(r == 0, "%s", why);
    ring_out_init(&self->out, outbox_frames(&self->own), self->own.lines, outbox_consumed(&self->theirs));
    ring_in_init(&self->in, outbox_frames(&self->theirs), self->theirs.lines, outbox_consumed(&self->own));
    release_out_init(&self->releases_out, outbox_releases(&self->own), self->own.releases, outbox_taken(&self->theirs));
    release_in_init(&self->releases_in, outbox_releases(&self->theirs), self->theirs.releases,
                    outbox_taken(&self->own));
}

void ring_say(struct ring_speaker *self, enum wire_type type, uint64_t id, const struct wire_message *message,
              const void *bytes) {
    uint64_t words[LINE_WORDS];
    uint32_t size = 0;
    if (message)
        size =
            message->text_size + (message->payload_class == WIRE_CLASS_INLINE ? (uint32_t) message->payload_size : 0);
    line_encode(words, type, id, message);
    ck_assert_int_eq(ring_has_room(&self->out, line_count(size)), 1);
    ring_write(&self->out, words, bytes, size);
}

void ring_say_inline(struct ring_speaker *self, uint64_t id, uint32_t method, uint32_t size) {
    static const char zeros[WIRE_INLINE_CEILING];
    const struct wire_message message = {
        .method = method, .payload_size = size, .payload_class = size > 0 ? WIRE_CLASS_INLINE : 0};
    ring_say(self, id == 0 ? WIRE_ONEWAY : method == 0 ? WIRE_REPLY : WIRE_CALL, id, &message, zeros);
}

void ring_say_mark(struct ring_speaker *self, uint64_t number) {
    ring_say(self, WIRE_MARK, number, NULL, NULL);
}

void ring_say_words(struct ring_speaker *self, const uint64_t words[LINE_WORDS]) {
    ck_assert_int_eq(ring_has_room(&self->out, 1), 1);
    ring_write(&self->out, words, NULL, 0);
}

void ring_speaker_doorbell(struct ring_speaker *self) {
    static struct draft draft;
    draft_doorbell(&draft);
    (void) speaker_send(self->speaker, &draft); /* the connection may have been ended already */
}

/* Returns the type of the next datagram, or 0 if there is none. */
static int next_type(const struct ring_speaker *self) {
    uint8_t type = 0;
    return recv(self->speaker->fd, &type, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? type : 0;
}

/* Handles a mark that was passed over: it may be the mark of a RING, which lies behind doorbells. */
static void follow(struct ring_speaker *self) {
    const char *why = "";
    while (next_type(self) == WIRE_DOORBELL)
        speaker_expect(self->speaker, WIRE_DOORBELL);
    if (next_type(self) != WIRE_RING)
        return;
    const struct wire_ring ring = speaker_expect(self->speaker, WIRE_RING)->ring;
    struct outbox_ring *memory = &self->grown[ring.kind == WIRE_RING_RELEASES];
    self->speaker->in.fds_count = 0; /* taken */
    int r = outbox_ring_open(memory, self->speaker->in.fds[0], outbox_ring_bytes(ring.kind, ring.count), &why);
    ck_assert_msg(r == 0, "%s", why);
    if (ring.kind == WIRE_RING_FRAMES)
        ring_in_move(&self->in, memory->at, ring.count);
    else
        ck_assert_uint_eq((uint32_t) self->releases_in.head, ring.from);
    if (ring.kind == WIRE_RING_RELEASES)
        release_in_move(&self->releases_in, memory->at, ring.count);
}

static void frame_take(struct ring_speaker *self, struct wire_frame *ret_frame, void *bytes, uint32_t room) {
    uint64_t words[LINE_WORDS];
    uint32_t size;
    ring_peek(&self->in, words);
    const char *wrong = line_decode(words, ret_frame, &size);
    ck_assert_msg(!wrong, "the library wrote a frame that is not sound: %s", wrong);
    ring_collect(&self->in, bytes, size < room ? size : room);
    ring_advance(&self->in, line_count(size));
    if (ret_frame->head.type == WIRE_MARK)
        follow(self);
    ring_publish_consumed(&self->in);
}

struct wire_frame ring_expect(struct ring_speaker *self, enum wire_type type, void *bytes, uint32_t size) {
    struct wire_frame frame = {0};
    struct timespec pause = {.tv_nsec = 100000};
    for (int waited = 0; waited < test_timeout_ms(PATIENCE_MS) * 10; waited++) {
        while (ring_has_frame(&self->in)) {
            frame_take(self, &frame, bytes, size);
            if (frame.head.type == type)
                return frame;
        }
        nanosleep(&pause, NULL);
    }
    ck_abort_msg("no frame of type %d came", (int) type);
    return frame;
}

shared32 *ring_speaker_word(struct ring_speaker *self, size_t offset) {
    ck_assert_uint_le(offset + 4, self->own.size);
    return (shared32 *) (void *) ((char *) self->own.page + offset);
}
