/* SPDX-License-Identifier: MIT */
/* A speaker with an outbox. See ring_speaker.h. */
#include "support/ring_speaker.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/suite.h"

#define PATIENCE_MS 5000

struct ring_speaker *ring_speaker_new(int fd, uint32_t lines, uint32_t releases) {
    struct ring_speaker *self = calloc(1, sizeof *self);
    ck_assert_ptr_nonnull(self);
    self->theirs = OUTBOX_EMPTY;
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
    const struct wire_hello *hello = &speaker_expect(self->speaker, WIRE_HELLO)->hello;
    ck_assert_uint_eq(self->speaker->in.fds_count, 1);
    self->speaker->in.fds_count = 0; /* taken */
    int r = outbox_open(&self->theirs, self->speaker->in.fds[0], hello->blocks_max, &why);
    ck_assert_msg(r == 0, "%s", why);
    ring_out_init(&self->out, outbox_frames(&self->own), self->own.lines, outbox_consumed(&self->theirs));
    ring_in_init(&self->in, outbox_frames(&self->theirs), self->theirs.lines, outbox_consumed(&self->own));
    release_out_init(&self->releases_out, outbox_releases(&self->own), self->own.releases);
    release_in_init(&self->releases_in, outbox_releases(&self->theirs), self->theirs.releases);
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
    (void) speaker_send(self->speaker, &draft); /* it may have been ended already */
}

static void frame_take(struct ring_speaker *self, struct wire_frame *ret_frame, void *bytes, uint32_t room) {
    uint64_t words[LINE_WORDS];
    uint32_t size;
    ring_peek(&self->in, words);
    const char *wrong = line_decode(words, ret_frame, &size);
    ck_assert_msg(!wrong, "the library wrote a frame that is not sound: %s", wrong);
    ring_collect(&self->in, bytes, size < room ? size : room);
    ring_advance(&self->in, line_count(size));
    ring_publish_consumed(&self->in);
}

struct wire_frame ring_expect(struct ring_speaker *self, enum wire_type type, void *bytes, uint32_t size) {
    struct wire_frame frame = {0};
    struct timespec pause = {.tv_nsec = 100000};
    for (int waited = 0; waited < test_patience(PATIENCE_MS) * 10; waited++) {
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
