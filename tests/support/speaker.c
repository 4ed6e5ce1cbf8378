/* SPDX-License-Identifier: MIT */
/* Speaks the protocol by hand. See speaker.h. */
#include "support/speaker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/suite.h"

#define PATIENCE_MS 5000

struct wire_hello hello_sound(void) {
    return (struct wire_hello){
        .magic = WIRE_MAGIC,
        .version_min = WIRE_VERSION,
        .version_max = WIRE_VERSION,
        .accept = WIRE_CLASS_INLINE | WIRE_CLASS_SEALED,
        .inline_max = 65536,
        .block_max = (uint64_t) 1 << 30,
        .bytes_max = (uint64_t) 1 << 30,
        .blocks_max = 1024,
        .calls_max = 256,
        .fds_max = 1,
    };
}

static void draft_begin(struct draft *draft, size_t size) {
    draft->size = size;
    draft->fds_count = 0;
}

void draft_hello(struct draft *draft, const struct wire_hello *hello) {
    draft_begin(draft, wire_encode_hello(draft->data, hello));
}

void draft_message(struct draft *draft, enum wire_type type, uint64_t id, const struct wire_message *message,
                   const void *payload) {
    draft_begin(draft, wire_encode_message(draft->data, type, id, message));
    if (message->payload_class != WIRE_CLASS_INLINE)
        return;
    ck_assert_uint_le(message->payload_size, sizeof draft->data - draft->size);
    memcpy(draft->data + draft->size, payload, message->payload_size);
    draft->size += message->payload_size;
}

void draft_goodbye(struct draft *draft, int reason, const char *text) {
    draft_begin(draft, wire_encode_goodbye(draft->data, reason, text));
}

void draft_release(struct draft *draft, const uint64_t *handles, uint32_t count) {
    draft_begin(draft, wire_encode_release(draft->data, handles, count));
}

void draft_cancel(struct draft *draft, uint64_t id) {
    draft_begin(draft, wire_encode_cancel(draft->data, id));
}

void draft_doorbell(struct draft *draft) {
    draft_begin(draft, wire_encode_doorbell(draft->data));
}

void draft_arena(struct draft *draft, const struct wire_arena *arena, int fd) {
    draft_begin(draft, wire_encode_arena(draft->data, arena));
    draft_add_fd(draft, fd);
}

void draft_retire(struct draft *draft, uint32_t arena) {
    draft_begin(draft, wire_encode_retire(draft->data, arena));
}

void draft_ring(struct draft *draft, const struct wire_ring *ring, int fd) {
    draft_begin(draft, wire_encode_ring(draft->data, ring));
    draft_add_fd(draft, fd);
}

static enum wire_type type_of(uint64_t id, uint32_t method) {
    if (id == 0)
        return WIRE_ONEWAY;
    return method == 0 ? WIRE_REPLY : WIRE_CALL;
}

void draft_sealed(struct draft *draft, uint64_t id, uint32_t method, uint64_t handle, uint64_t size, int fd) {
    const struct wire_message message = {
        .method = method, .handle = handle, .payload_size = size, .payload_class = WIRE_CLASS_SEALED};
    draft_message(draft, type_of(id, method), id, &message, NULL);
    draft_add_fd(draft, fd);
}

void draft_inline(struct draft *draft, uint64_t id, uint32_t method, size_t size) {
    static const char zeros[RAW_DATAGRAM_MAX];
    const struct wire_message message = {
        .method = method, .payload_size = size, .payload_class = size > 0 ? WIRE_CLASS_INLINE : 0};
    draft_message(draft, type_of(id, method), id, &message, zeros);
}

void draft_add_fd(struct draft *draft, int fd) {
    ck_assert_uint_lt(draft->fds_count, RAW_FDS_MAX);
    draft->fds[draft->fds_count++] = fd;
}

void draft_put(struct draft *draft, size_t offset, size_t size, uint64_t value) {
    for (size_t i = 0; i < size; i++)
        draft->data[offset + i] = (uint8_t) (value >> 8 * i);
}

struct speaker *speaker_new(int fd) {
    struct speaker *speaker = calloc(1, sizeof *speaker);
    ck_assert_ptr_nonnull(speaker);
    speaker->fd = fd;
    return speaker;
}

struct speaker *speaker_free(struct speaker *speaker) {
    if (!speaker)
        return NULL;
    raw_close_fds(&speaker->in);
    if (speaker->fd >= 0)
        close(speaker->fd);
    free(speaker);
    return NULL;
}

int speaker_send(struct speaker *speaker, const struct draft *draft) {
    return raw_send(speaker->fd, draft->data, draft->size, draft->fds, draft->fds_count);
}

/* Reads the next sound frame. Returns 1, or 0 at the end. */
static int speaker_read(struct speaker *speaker) {
    raw_close_fds(&speaker->in);
    int r = raw_recv(speaker->fd, PATIENCE_MS, &speaker->in);
    ck_assert_msg(r >= 0, "nothing came: %s", strerror(-r));
    if (r == 0)
        return 0;
    const char *wrong = wire_decode(speaker->in.data, speaker->in.size, &speaker->frame);
    ck_assert_msg(!wrong, "the library sent a frame that is not sound: %s", wrong);
    ck_assert_uint_eq(speaker->in.fds_count, speaker->frame.head.fds);
    return 1;
}

const struct wire_frame *speaker_expect(struct speaker *speaker, enum wire_type type) {
    for (;;) {
        ck_assert_msg(speaker_read(speaker), "the end came before a frame of type %d", (int) type);
        const struct wire_frame *frame = &speaker->frame;
        if (frame->head.type == type)
            return frame;
        ck_assert_msg(frame->head.type != WIRE_GOODBYE, "goodbye (%d, %.*s) before a frame of type %d",
                      frame->goodbye.reason, frame->goodbye.text_size, frame->goodbye.text, (int) type);
    }
}

void speaker_greet(struct speaker *speaker, const struct wire_hello *hello) {
    static struct draft draft;
    struct wire_hello sound = hello_sound();
    draft_hello(&draft, hello ? hello : &sound);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    speaker_expect(speaker, WIRE_HELLO);
}

struct farewell speaker_farewell(struct speaker *speaker) {
    struct farewell farewell = {0};
    while (speaker_read(speaker)) {
        const struct wire_goodbye *goodbye = &speaker->frame.goodbye;
        ck_assert_msg(!farewell.is_spoken, "something came after the goodbye");
        if (speaker->frame.head.type != WIRE_GOODBYE)
            continue;
        farewell.is_spoken = 1;
        farewell.reason = goodbye->reason;
        memcpy(farewell.text, goodbye->text, goodbye->text_size);
    }
    return farewell;
}
