/* SPDX-License-Identifier: MIT */
/*
 * wire/frame: the layout does not drift (golden bytes, which doc/PROTOCOL.md shows, too), every written frame is read
 * back, and no other bytes are accepted.
 */
#include "wire/frame.h"

#include "support/document.h"
#include "support/frame_oracle.h"
#include "support/random.h"
#include "support/suite.h"
#include <errno.h>
#include <sealane/base.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (int) (sizeof(array) / sizeof((array)[0]))

/* A frame of each kind: its name in doc/PROTOCOL.md, its bytes, and its content (except head.size and head.fds). */
struct sample {
    const char *name;
    const char *hex;
    struct wire_frame frame;
};

static const struct sample samples[] = {
    {
        "hello-client",
        "01 00 00 00 4c 00 00 00 00 00 00 00 00 00 00 00 "
        "53 45 41 4c 01 00 01 00 00 00 00 00 00 00 00 00 "
        "05 00 00 00 00 00 01 00 00 00 00 10 00 00 00 00 "
        "00 00 00 40 00 00 00 00 00 04 00 00 00 01 00 00 "
        "01 00 00 00 04 00 00 00 65 63 68 6f",
        {.head = {.type = WIRE_HELLO},
         .hello = {.magic = WIRE_MAGIC,
                   .version_min = 1,
                   .version_max = 1,
                   .accept = WIRE_CLASS_INLINE | WIRE_CLASS_SEALED,
                   .inline_max = 65536,
                   .block_max = 1u << 28,
                   .bytes_max = 1u << 30,
                   .blocks_max = 1024,
                   .calls_max = 256,
                   .fds_max = 1,
                   .service_size = 4,
                   .service = "echo"}},
    },
    {
        "hello-server",
        "01 00 00 00 4c 00 00 00 00 00 00 00 00 00 00 00 "
        "53 45 41 4c 01 00 01 00 01 00 00 00 00 00 00 00 "
        "05 00 00 00 00 00 01 00 00 00 00 10 00 00 00 00 "
        "00 00 00 40 00 00 00 00 00 04 00 00 00 01 00 00 "
        "01 00 00 00 04 00 00 00 65 63 68 6f",
        {.head = {.type = WIRE_HELLO},
         .hello = {.magic = WIRE_MAGIC,
                   .version_min = 1,
                   .version_max = 1,
                   .features = WIRE_FEATURE_HUGETLB,
                   .accept = WIRE_CLASS_INLINE | WIRE_CLASS_SEALED,
                   .inline_max = 65536,
                   .block_max = 1u << 28,
                   .bytes_max = 1u << 30,
                   .blocks_max = 1024,
                   .calls_max = 256,
                   .fds_max = 1,
                   .service_size = 4,
                   .service = "echo"}},
    },
    {
        "call-inline",
        "03 00 00 00 3d 00 00 00 01 00 00 00 00 00 00 00 "
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 "
        "01 00 00 00 00 00 00 00 68 65 6c 6c 6f",
        {.head = {.type = WIRE_CALL, .id = 1},
         .message = {.method = 1, .payload_size = 5, .payload_class = WIRE_CLASS_INLINE, .payload = "hello"}},
    },
    {
        "reply-inline",
        "05 00 00 00 3d 00 00 00 01 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 "
        "01 00 00 00 00 00 00 00 68 65 6c 6c 6f",
        {.head = {.type = WIRE_REPLY, .id = 1},
         .message = {.payload_size = 5, .payload_class = WIRE_CLASS_INLINE, .payload = "hello"}},
    },
    {
        "call-sealed",
        "03 01 00 00 38 00 00 00 02 00 00 00 00 00 00 00 "
        "01 00 00 00 00 00 00 00 ab 89 67 45 23 01 00 00 "
        "01 00 00 00 05 00 00 00 00 00 10 00 00 00 00 00 "
        "04 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_CALL, .id = 2},
         .message = {.method = 1,
                     .deadline = 0x0123456789ab,
                     .handle = 0x500000001,
                     .payload_size = 1u << 20,
                     .payload_class = WIRE_CLASS_SEALED}},
    },
    {
        "reply-error",
        "05 00 00 00 46 00 00 00 02 00 00 00 00 00 00 00 "
        "00 00 00 00 da ff ff ff 00 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 00 0e 00 00 00 6e 6f 20 73 75 63 68 20 "
        "6d 65 74 68 6f 64",
        {.head = {.type = WIRE_REPLY, .id = 2},
         .message = {.status = -ENOSYS, .text_size = 14, .text = "no such method"}},
    },
    {
        "release",
        "06 00 00 00 28 00 00 00 00 00 00 00 00 00 00 00 "
        "02 00 00 00 00 00 00 00 01 00 00 00 05 00 00 00 "
        "02 00 00 00 05 00 00 00",
        {.head = {.type = WIRE_RELEASE}, .release = {.count = 2, .handles = {0x500000001, 0x500000002}}},
    },
    {
        "oneway-empty",
        "04 00 00 00 38 00 00 00 00 00 00 00 00 00 00 00 "
        "07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_ONEWAY}, .message = {.method = 7}},
    },
    {
        "oneway-hugetlb",
        "04 01 00 00 38 00 00 00 00 00 00 00 00 00 00 00 "
        "07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "03 00 00 00 05 00 00 00 01 00 20 00 00 00 00 00 "
        "04 01 00 00 00 00 00 00",
        {.head = {.type = WIRE_ONEWAY},
         .message = {.method = 7,
                     .handle = 0x500000003,
                     .payload_size = (2u << 20) + 1,
                     .payload_class = WIRE_CLASS_SEALED,
                     .pages = WIRE_PAGES_HUGETLB}},
    },
    {
        "oneway-padded",
        "04 01 00 00 38 00 00 00 00 00 00 00 00 00 00 00 "
        "07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "04 00 00 00 05 00 00 00 00 00 10 00 00 00 00 00 "
        "04 02 00 00 00 00 00 00",
        {.head = {.type = WIRE_ONEWAY},
         .message = {.method = 7,
                     .handle = 0x500000004,
                     .payload_size = 1u << 20,
                     .payload_class = WIRE_CLASS_SEALED,
                     .pages = WIRE_PAGES_PADDED}},
    },
    {
        "cancel",
        "07 00 00 00 10 00 00 00 02 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_CANCEL, .id = 2}},
    },
    {
        "goodbye",
        "02 00 00 00 18 00 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_GOODBYE}, .goodbye = {.reason = 0, .text_size = 0, .text = ""}},
    },
    {
        "goodbye-refusal",
        "02 00 00 00 30 00 00 00 00 00 00 00 00 00 00 00 "
        "f3 ff ff ff 18 00 00 00 75 73 65 72 20 31 30 30 "
        "31 20 69 73 20 6e 6f 74 20 61 6c 6c 6f 77 65 64",
        {.head = {.type = WIRE_GOODBYE},
         .goodbye = {.reason = -EACCES, .text_size = 24, .text = "user 1001 is not allowed"}},
    },
    {
        "hello-outbox",
        "01 01 00 00 48 00 00 00 00 00 00 00 00 00 00 00 "
        "53 45 41 4c 01 00 01 00 02 00 00 00 00 00 00 00 "
        "05 00 00 00 00 00 01 00 00 00 00 10 00 00 00 00 "
        "00 00 00 40 00 00 00 00 00 04 00 00 00 01 00 00 "
        "01 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_HELLO},
         .hello = {.magic = WIRE_MAGIC,
                   .version_min = 1,
                   .version_max = 1,
                   .features = WIRE_FEATURE_OUTBOX,
                   .accept = WIRE_CLASS_INLINE | WIRE_CLASS_SEALED,
                   .inline_max = 65536,
                   .block_max = 1u << 28,
                   .bytes_max = 1u << 30,
                   .blocks_max = 1024,
                   .calls_max = 256,
                   .fds_max = 1,
                   .service = ""}},
    },
    {
        "hello-clock",
        "01 00 00 00 5c 00 00 00 00 00 00 00 00 00 00 00 "
        "53 45 41 4c 01 00 01 00 10 00 00 00 00 00 00 00 "
        "05 00 00 00 00 00 01 00 00 00 00 10 00 00 00 00 "
        "00 00 00 40 00 00 00 00 00 04 00 00 00 01 00 00 "
        "01 00 00 00 04 00 00 00 65 63 68 6f fe ff ff ff "
        "ff ff ff ff fa ff ff ef 00 00 00 00",
        {.head = {.type = WIRE_HELLO},
         .hello = {.magic = WIRE_MAGIC,
                   .version_min = 1,
                   .version_max = 1,
                   .features = WIRE_FEATURE_CLOCK,
                   .accept = WIRE_CLASS_INLINE | WIRE_CLASS_SEALED,
                   .inline_max = 65536,
                   .block_max = 1u << 28,
                   .bytes_max = 1u << 30,
                   .blocks_max = 1024,
                   .calls_max = 256,
                   .fds_max = 1,
                   .service_size = 4,
                   .service = "echo",
                   .clock_epoch = -2,
                   .clock_space = 4026531834}},
    },
    {
        "doorbell",
        "08 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_DOORBELL}},
    },
    {
        "arena",
        "0a 01 00 00 28 00 00 00 00 00 00 00 00 00 00 00 "
        "03 00 00 00 10 00 00 00 00 00 01 00 00 00 00 00 "
        "00 00 10 00 00 00 00 00",
        {.head = {.type = WIRE_ARENA}, .arena = {.id = 3, .count = 16, .stride = 1u << 16, .size = 1u << 20}},
    },
    {
        "retire",
        "0b 00 00 00 18 00 00 00 00 00 00 00 00 00 00 00 "
        "03 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_RETIRE}, .retire = {.id = 3}},
    },
    {
        "ring-frames",
        "0c 01 00 00 20 00 00 00 00 00 00 00 00 00 00 00 "
        "01 00 00 00 00 04 00 00 00 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_RING}, .ring = {.kind = WIRE_RING_FRAMES, .count = 1024}},
    },
    {
        "ring-releases",
        "0c 01 00 00 20 00 00 00 00 00 00 00 00 00 00 00 "
        "02 00 00 00 00 04 00 00 21 00 00 00 00 00 00 00",
        {.head = {.type = WIRE_RING}, .ring = {.kind = WIRE_RING_RELEASES, .count = 1024, .from = 33}},
    },
};

static const struct sample *sample_find(const char *name) {
    for (int i = 0; i < COUNT(samples); i++) {
        if (strcmp(samples[i].name, name) == 0)
            return &samples[i];
    }
    ck_abort_msg("no sample \"%s\"", name);
    return NULL;
}

static size_t sample_bytes(const struct sample *sample, uint8_t *ret) {
    return hex_read(sample->hex, ret, FRAME_MAX);
}

/* Decodes from memory of exactly that size, so that a sanitizer sees an access beyond it. `*ret` borrows no memory
 * that stays valid. */
static const char *decode_tight(const uint8_t *data, size_t size, struct wire_frame *ret) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    const char *wrong = wire_decode(copy, size, ret);
    if (!wrong)
        ck_assert_ptr_null(oracle_violation(copy, size, ret));
    free(copy);
    return wrong;
}

/* Checks that an accepted frame keeps the promises of wire/frame.h, and encodes to the bytes that it came from.
 * Returns whether the bytes were accepted. */
static bool is_accepted_soundly(const uint8_t *data, size_t size) {
    static uint8_t again[FRAME_MAX];
    struct wire_frame frame;

    memset(&frame, 0xa5, sizeof(frame));
    if (wire_decode(data, size, &frame))
        return false;
    const char *broken = oracle_violation(data, size, &frame);
    if (broken)
        ck_abort_msg("accepted, but: %s", broken);
    memset(again, 0xa5, size);
    assert_bytes("encoded again", again, frame_encode_again(&frame, again), data, size);
    return true;
}

/* --- encoding --- */

START_TEST(test_encode_golden) {
    static uint8_t wanted[FRAME_MAX], buf[FRAME_MAX];
    const struct sample *sample = &samples[_i];
    size_t wanted_size = sample_bytes(sample, wanted);

    /* Encodes twice over different litter: the encoder writes each byte of the frame, and none behind it. */
    for (int litter = 0; litter <= 0xff; litter += 0xff) {
        memset(buf, litter, sizeof(buf));
        assert_bytes(sample->name, buf, frame_encode_again(&sample->frame, buf), wanted, wanted_size);
        for (size_t i = wanted_size; i < sizeof(buf); i++) {
            if (buf[i] != litter)
                ck_abort_msg("%s: byte %zu, behind the frame, was touched", sample->name, i);
        }
    }
}
END_TEST

START_TEST(test_decode_golden) {
    uint8_t bytes[256];
    struct wire_frame frame;
    const struct sample *sample = &samples[_i];
    size_t size = sample_bytes(sample, bytes);

    ck_assert_ptr_null(decode_tight(bytes, size, &frame));
    ck_assert(is_accepted_soundly(bytes, size));
    ck_assert_uint_eq(frame.head.type, sample->frame.head.type);
    ck_assert_uint_eq(frame.head.id, sample->frame.head.id);
    ck_assert_uint_eq(frame.head.size, size);
}
END_TEST

START_TEST(test_decode_anywhere) { /* at every alignment */
    uint8_t bytes[256], buf[256 + 8];
    size_t size = sample_bytes(&samples[_i], bytes);

    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(buf + shift, bytes, size);
        ck_assert(is_accepted_soundly(buf + shift, size));
    }
}
END_TEST

/* Every field has a different value here, so that two swapped fields show. */
START_TEST(test_hello_fields) {
    uint8_t buf[WIRE_HELLO_MOST];
    struct wire_frame frame;
    char service[WIRE_SERVICE_MAX];
    memset(service, '~', sizeof(service));
    service[0] = '!';
    struct wire_hello hello = {.magic = WIRE_MAGIC,
                               .version_min = 0x0102,
                               .version_max = 0x0304,
                               .features = 0xf0f1f2f3f4f5f6f7,
                               .accept = 0x80000005,
                               .inline_max = WIRE_INLINE_CEILING,
                               .block_max = 0xe0e1e2e3e4e5e6e7,
                               .bytes_max = 0xd0d1d2d3d4d5d6d7,
                               .blocks_max = 0xc0c1c2c3,
                               .calls_max = 0xb0b1b2b3,
                               .fds_max = 0xa0a1a2a3,
                               .service_size = WIRE_SERVICE_MAX,
                               .service = service,
                               .clock_epoch = -0x0f0e0d0c0b0a0908,
                               .clock_space = 0x9091929394959697};

    ck_assert_uint_eq(wire_encode_hello(buf, &hello), sizeof(buf));
    ck_assert_ptr_null(wire_decode(buf, sizeof(buf), &frame));
    ck_assert_uint_eq(frame.hello.version_min, hello.version_min);
    ck_assert_uint_eq(frame.hello.version_max, hello.version_max);
    ck_assert_uint_eq(frame.hello.features, hello.features);
    ck_assert_uint_eq(frame.hello.accept, hello.accept);
    ck_assert_uint_eq(frame.hello.inline_max, hello.inline_max);
    ck_assert_uint_eq(frame.hello.block_max, hello.block_max);
    ck_assert_uint_eq(frame.hello.bytes_max, hello.bytes_max);
    ck_assert_uint_eq(frame.hello.blocks_max, hello.blocks_max);
    ck_assert_uint_eq(frame.hello.calls_max, hello.calls_max);
    ck_assert_uint_eq(frame.hello.fds_max, hello.fds_max);
    ck_assert_uint_eq(frame.hello.service_size, WIRE_SERVICE_MAX);
    ck_assert_mem_eq(frame.hello.service, service, WIRE_SERVICE_MAX);
    ck_assert_int_eq(frame.hello.clock_epoch, hello.clock_epoch);
    ck_assert_uint_eq(frame.hello.clock_space, hello.clock_space);
}
END_TEST

START_TEST(test_hello_smallest) { /* nothing is accepted, and no service is named */
    uint8_t buf[WIRE_HELLO_MOST];
    struct wire_frame frame;
    struct wire_hello hello = {.magic = WIRE_MAGIC};

    ck_assert_uint_eq(wire_encode_hello(buf, &hello), WIRE_HELLO_SIZE);
    ck_assert_ptr_null(wire_decode(buf, WIRE_HELLO_SIZE, &frame));
    ck_assert_uint_eq(frame.hello.service_size, 0);
    ck_assert_uint_eq(frame.hello.version_max, 0);
}
END_TEST

START_TEST(test_message_fields) {
    uint8_t buf[WIRE_MESSAGE_SIZE];
    struct wire_frame frame;
    struct wire_message call = {.method = 0xf0f1f2f3,
                                .deadline = 0xe0e1e2e3e4e5e6e7,
                                .handle = 0xd0d1d2d3d4d5d6d7,
                                .payload_size = WIRE_BLOCK_CEILING,
                                .payload_class = WIRE_CLASS_SEALED,
                                .pages = WIRE_PAGES_HUGETLB};

    ck_assert_uint_eq(wire_encode_message(buf, WIRE_CALL, UINT64_MAX, &call), sizeof(buf));
    ck_assert_ptr_null(wire_decode(buf, sizeof(buf), &frame));
    ck_assert_uint_eq(frame.head.id, UINT64_MAX);
    ck_assert_uint_eq(frame.head.fds, 1);
    ck_assert_uint_eq(frame.message.method, call.method);
    ck_assert_uint_eq(frame.message.deadline, call.deadline);
    ck_assert_uint_eq(frame.message.handle, call.handle);
    ck_assert_uint_eq(frame.message.payload_size, call.payload_size);
    ck_assert_uint_eq(frame.message.payload_class, WIRE_CLASS_SEALED);
    ck_assert_uint_eq(frame.message.pages, WIRE_PAGES_HUGETLB);
    ck_assert_int_eq(frame.message.status, 0);
    ck_assert_uint_eq(frame.message.text_size, 0);
    ck_assert_ptr_null(frame.message.payload);
}
END_TEST

START_TEST(test_message_inline_largest) {
    static uint8_t buf[FRAME_MAX];
    struct wire_frame frame;
    struct wire_message message = {.payload_size = WIRE_INLINE_CEILING, .payload_class = WIRE_CLASS_INLINE};

    memset(buf, 'x', sizeof(buf));
    ck_assert_uint_eq(wire_encode_message(buf, WIRE_ONEWAY, 0, &message), WIRE_MESSAGE_SIZE);
    ck_assert_ptr_null(wire_decode(buf, sizeof(buf), &frame));
    ck_assert_uint_eq(frame.head.size, sizeof(buf));
    ck_assert_ptr_eq(frame.message.payload, buf + WIRE_MESSAGE_SIZE);
    ck_assert(is_accepted_soundly(buf, sizeof(buf)));
}
END_TEST

/* The decoder does not check whether pooled payloads were agreed on. */
START_TEST(test_message_pooled) {
    uint8_t buf[WIRE_MESSAGE_SIZE];
    struct wire_frame frame;
    struct wire_message message = {.handle = 9, .payload_size = 100, .payload_class = WIRE_CLASS_POOLED};

    wire_encode_message(buf, WIRE_CALL, 1, &message);
    ck_assert_ptr_null(wire_decode(buf, sizeof(buf), &frame));
    ck_assert_uint_eq(frame.head.fds, 0);
    ck_assert_uint_eq(frame.message.payload_class, WIRE_CLASS_POOLED);
    ck_assert(is_accepted_soundly(buf, sizeof(buf)));
}
END_TEST

START_TEST(test_arena_fields) {
    uint8_t buf[WIRE_ARENA_SIZE] = {0};
    struct wire_frame frame;
    const struct wire_arena largest = {.id = WIRE_ARENA_MAX,
                                       .count = WIRE_ARENA_BLOCKS_MAX,
                                       .stride = WIRE_BLOCK_CEILING / WIRE_ARENA_BLOCKS_MAX,
                                       .size = WIRE_BLOCK_CEILING};

    ck_assert_uint_eq(wire_encode_arena(buf, &largest), sizeof(buf));
    ck_assert_ptr_null(decode_tight(buf, sizeof(buf), &frame));
    ck_assert_uint_eq(frame.head.fds, 1);
    ck_assert_uint_eq(frame.arena.id, largest.id);
    ck_assert_uint_eq(frame.arena.count, largest.count);
    ck_assert_uint_eq(frame.arena.stride, largest.stride);
    ck_assert_uint_eq(frame.arena.size, largest.size);
}
END_TEST

START_TEST(test_arena_smallest) { /* one block of one line, in a file of exactly that size */
    uint8_t buf[WIRE_ARENA_SIZE] = {0};
    struct wire_frame frame;
    const struct wire_arena smallest = {.id = 1, .count = 1, .stride = 64, .size = 64};

    ck_assert_ptr_null(decode_tight(buf, wire_encode_arena(buf, &smallest), &frame));
    ck_assert_uint_eq(frame.arena.size, 64);
}
END_TEST

START_TEST(test_retire_range) {
    static const uint32_t ids[] = {1, WIRE_ARENA_MAX};
    uint8_t buf[WIRE_RETIRE_SIZE] = {0};
    struct wire_frame frame;

    for (int i = 0; i < COUNT(ids); i++) {
        ck_assert_ptr_null(decode_tight(buf, wire_encode_retire(buf, ids[i]), &frame));
        ck_assert_uint_eq(frame.retire.id, ids[i]);
    }
}
END_TEST

START_TEST(test_ring_range) {
    static const struct wire_ring rings[] = {
        {WIRE_RING_FRAMES, 1, 0},
        {WIRE_RING_FRAMES, WIRE_RING_LINES_MAX, 0},
        {WIRE_RING_RELEASES, 1, UINT32_MAX},
        {WIRE_RING_RELEASES, WIRE_RING_RELEASES_MAX, 0},
    };
    uint8_t buf[WIRE_RING_SIZE] = {0};
    struct wire_frame frame;

    for (int i = 0; i < COUNT(rings); i++) {
        ck_assert_ptr_null(decode_tight(buf, wire_encode_ring(buf, &rings[i]), &frame));
        ck_assert_uint_eq(frame.ring.kind, rings[i].kind);
        ck_assert_uint_eq(frame.ring.count, rings[i].count);
        ck_assert_uint_eq(frame.ring.from, rings[i].from);
    }
}
END_TEST

START_TEST(test_status_range) {
    static const int statuses[] = {-1, -EPROTO, -4095};
    uint8_t buf[WIRE_GOODBYE_SIZE + WIRE_TEXT_MAX];
    struct wire_frame frame;

    for (int i = 0; i < COUNT(statuses); i++) {
        struct wire_message reply = {.status = statuses[i]};
        ck_assert_ptr_null(wire_decode(buf, wire_encode_message(buf, WIRE_REPLY, 1, &reply), &frame));
        ck_assert_int_eq(frame.message.status, statuses[i]);
        ck_assert_ptr_null(wire_decode(buf, wire_encode_goodbye(buf, statuses[i], NULL), &frame));
        ck_assert_int_eq(frame.goodbye.reason, statuses[i]);
    }
}
END_TEST

START_TEST(test_release_counts) {
    uint8_t buf[WIRE_RELEASE_SIZE + 8 * WIRE_RELEASES_MAX];
    struct wire_frame frame;
    uint64_t handles[WIRE_RELEASES_MAX];

    for (uint32_t i = 0; i < WIRE_RELEASES_MAX; i++)
        handles[i] = UINT64_MAX - i;
    for (uint32_t count = 1; count <= WIRE_RELEASES_MAX; count++) {
        size_t size = wire_encode_release(buf, handles, count);
        ck_assert_uint_eq(size, WIRE_RELEASE_SIZE + 8 * count);
        ck_assert_ptr_null(decode_tight(buf, size, &frame));
        ck_assert_uint_eq(frame.release.count, count);
        ck_assert_mem_eq(frame.release.handles, handles, 8 * count);
    }
}
END_TEST

/* --- refused bytes --- */

/* A sample with `hex` written over it at `offset`, and made longer (or shorter); head.size is adjusted. */
struct corruption {
    const char *sample;
    const char *hex;
    size_t offset;
    int longer;
    const char *wrong;
};

static const struct corruption corruptions[] = {
    /* the head */
    {"cancel", "00", 0, 0, "unknown frame type"},
    {"cancel", "09", 0, 0, "unknown frame type"}, /* MARK: in rings only */
    {"cancel", "0d", 0, 0, "unknown frame type"},
    {"cancel", "ff", 0, 0, "unknown frame type"},
    {"cancel", "01", 1, 0, "descriptors with a frame that takes none"},
    {"doorbell", "01", 1, 0, "descriptors with a frame that takes none"},
    {"retire", "01", 1, 0, "descriptors with a frame that takes none"},
    {"goodbye", "ff", 1, 0, "descriptors with a frame that takes none"},
    {"release", "01", 1, 0, "descriptors with a frame that takes none"},
    {"cancel", "01", 2, 0, "reserved bytes of the head are not zero"},
    {"cancel", "80", 3, 0, "reserved bytes of the head are not zero"},
    {"cancel", "0f", 4, 0, "the frame's size is not the datagram's"},
    {"cancel", "11", 4, 0, "the frame's size is not the datagram's"},
    {"cancel", "01", 7, 0, "the frame's size is not the datagram's"},
    {"hello-client", "01", 8, 0, "an id where there is no call"},
    {"goodbye", "80", 15, 0, "an id where there is no call"},
    {"release", "01", 8, 0, "an id where there is no call"},
    {"oneway-empty", "01", 12, 0, "an id where there is no call"},
    {"doorbell", "01", 8, 0, "an id where there is no call"},
    {"arena", "01", 8, 0, "an id where there is no call"},
    {"retire", "80", 15, 0, "an id where there is no call"},
    {"cancel", "01", 0, 0, "shorter than its type's fixed part"},
    {"cancel", "07", 0, 1, "CANCEL whose sizes do not add up"},
    /* HELLO */
    {"hello-client", "73", 16, 0, "HELLO without the magic"},
    {"hello-client", "00", 19, 0, "HELLO without the magic"},
    {"hello-client", "02", 20, 0, "HELLO with an empty range of versions"},
    {"hello-client", "00 01", 20, 0, "HELLO with an empty range of versions"},
    {"hello-client", "00", 22, 0, "HELLO with an empty range of versions"},
    {"hello-client", "01 00 02 00", 36, 0, "HELLO with an inline limit above the protocol's"},
    {"hello-client", "ff", 39, 0, "HELLO with an inline limit above the protocol's"},
    {"hello-client", "00", 64, 0, "HELLO that takes sealed payloads but no descriptors"},
    {"hello-client", "40", 68, 60, "HELLO with a service name that is too long"},
    {"hello-client", "ff", 68, 251, "HELLO with a service name that is too long"},
    {"hello-client", "03", 68, 0, "HELLO whose sizes do not add up"},
    {"hello-client", "05", 68, 0, "HELLO whose sizes do not add up"},
    {"hello-client", "04", 68, 1, "HELLO whose sizes do not add up"},
    {"hello-client", "04", 68, -1, "HELLO whose sizes do not add up"},
    {"hello-client", "01", 69, 0, "reserved bytes of a HELLO are not zero"},
    {"hello-client", "01", 70, 0, "reserved bytes of a HELLO are not zero"},
    {"hello-client", "80", 71, 0, "reserved bytes of a HELLO are not zero"},
    {"hello-client", "20", 72, 0, "HELLO with a service name of forbidden characters"},
    {"hello-client", "00", 73, 0, "HELLO with a service name of forbidden characters"},
    {"hello-client", "2f", 74, 0, "HELLO with a service name of forbidden characters"},
    {"hello-client", "7f", 75, 0, "HELLO with a service name of forbidden characters"},
    {"hello-client", "e4", 75, 0, "HELLO with a service name of forbidden characters"},
    {"hello-client", "01", 1, 0, "the number of descriptors does not fit the HELLO's features"},
    {"hello-client", "02", 24, 0, "the number of descriptors does not fit the HELLO's features"},
    {"hello-outbox", "00", 1, 0, "the number of descriptors does not fit the HELLO's features"},
    {"hello-outbox", "02", 1, 0, "the number of descriptors does not fit the HELLO's features"},
    {"hello-client", "10", 24, 0, "HELLO whose sizes do not add up"},
    {"hello-client", "10", 24, 15, "HELLO whose sizes do not add up"},
    {"hello-clock", "00", 24, 0, "HELLO whose sizes do not add up"},
    {"hello-clock", "10", 24, -1, "HELLO whose sizes do not add up"},
    {"hello-outbox", "05", 24, 0, "the number of descriptors does not fit the HELLO's features"},
    /* DOORBELL, ARENA, RETIRE */
    {"doorbell", "08", 0, 1, "DOORBELL whose sizes do not add up"},
    {"arena", "0a", 0, 1, "ARENA whose sizes do not add up"},
    {"arena", "0a", 0, -8, "shorter than its type's fixed part"},
    {"arena", "00", 1, 0, "ARENA without its descriptor"},
    {"arena", "02", 1, 0, "ARENA without its descriptor"},
    {"arena", "00", 16, 0, "ARENA with an id out of range"},
    {"arena", "00 00 01 00", 16, 0, "ARENA with an id out of range"},
    {"arena", "01", 19, 0, "ARENA with an id out of range"},
    {"arena", "00", 20, 0, "ARENA with a count out of range"},
    {"arena", "01 00 00 01", 20, 0, "ARENA with a count out of range"},
    {"arena", "ff ff ff ff", 20, 0, "ARENA with a count out of range"},
    {"arena", "01 00 00 00 00 00 00 40", 32, 0, "ARENA above the protocol's limit"},
    {"arena", "ff ff ff ff ff ff ff ff", 32, 0, "ARENA above the protocol's limit"},
    {"arena", "00 00 00", 24, 0, "ARENA with a stride out of range"},
    {"arena", "20 ff 00", 24, 0, "ARENA with a stride out of range"},
    {"arena", "40", 24, 0, "ARENA with a stride out of range"},
    /* 16 of these strides would wrap around */
    {"arena", "00 00 00 00 00 00 00 10", 24, 0, "ARENA with a stride out of range"},
    {"arena", "11", 20, 0, "ARENA with a stride out of range"},
    {"arena", "ff ff 0f", 32, 0, "ARENA with a stride out of range"},
    {"arena", "00 00 00", 32, 0, "ARENA with a stride out of range"},
    {"retire", "0b", 0, 1, "RETIRE whose sizes do not add up"},
    {"retire", "00", 16, 0, "RETIRE with an id out of range"},
    {"retire", "00 00 01", 16, 0, "RETIRE with an id out of range"},
    {"retire", "80", 19, 0, "RETIRE with an id out of range"},
    {"retire", "01", 20, 0, "reserved bytes of a RETIRE are not zero"},
    {"retire", "80", 23, 0, "reserved bytes of a RETIRE are not zero"},
    {"ring-frames", "0c", 0, 1, "RING whose sizes do not add up"},
    {"ring-frames", "00", 1, 0, "RING without its descriptor"},
    {"ring-frames", "02", 1, 0, "RING without its descriptor"},
    {"ring-frames", "00", 16, 0, "RING of an unknown kind"},
    {"ring-frames", "03", 16, 0, "RING of an unknown kind"},
    {"ring-frames", "80", 19, 0, "RING of an unknown kind"},
    {"ring-frames", "00 00 00 00", 20, 0, "RING with a count out of range"},
    {"ring-frames", "01 04 00 00", 20, 0, "RING with a count out of range"},
    {"ring-frames", "00 80 00 00", 20, 0, "RING with a count out of range"},
    {"ring-frames", "00 00 00 80", 20, 0, "RING with a count out of range"},
    {"ring-releases", "00 00 02 00", 20, 0, "RING with a count out of range"},
    {"ring-frames", "01", 24, 0, "RING of frames with a number"},
    {"ring-frames", "01", 28, 0, "reserved bytes of a RING are not zero"},
    {"ring-releases", "80", 31, 0, "reserved bytes of a RING are not zero"},
    /* GOODBYE */
    {"goodbye", "01", 16, 0, "GOODBYE with a reason that is no errno value"},
    {"goodbye", "00 f0 ff ff", 16, 0, "GOODBYE with a reason that is no errno value"},
    {"goodbye", "00 00 00 80", 16, 0, "GOODBYE with a reason that is no errno value"},
    {"goodbye", "01", 20, 0, "GOODBYE whose sizes do not add up"},
    {"goodbye", "00", 20, 1, "GOODBYE whose sizes do not add up"},
    {"goodbye-refusal", "17", 20, 0, "GOODBYE whose sizes do not add up"},
    {"goodbye-refusal", "00 01", 20, 232, "a text that is too long"},
    {"goodbye", "01", 22, 0, "reserved bytes of a GOODBYE are not zero"},
    {"goodbye", "01", 23, 0, "reserved bytes of a GOODBYE are not zero"},
    {"goodbye-refusal", "1b", 24, 0, "a text with control characters"},
    {"goodbye-refusal", "00", 30, 0, "a text with control characters"},
    {"goodbye-refusal", "7f", 47, 0, "a text with control characters"},
    {"goodbye-refusal", "c2 9b", 46, 0, "a text with control characters"},
    /* RELEASE */
    {"release", "00", 16, 0, "RELEASE with a count out of range"},
    {"release", "41", 16, 504, "RELEASE with a count out of range"},
    {"release", "02 00 00 20", 16, 0, "RELEASE with a count out of range"}, /* 8 * count would wrap around */
    {"release", "01", 16, 0, "RELEASE whose sizes do not add up"},
    {"release", "03", 16, 0, "RELEASE whose sizes do not add up"},
    {"release", "02", 16, 4, "RELEASE whose sizes do not add up"},
    {"release", "01", 20, 0, "reserved bytes of a RELEASE are not zero"},
    {"release", "01", 23, 0, "reserved bytes of a RELEASE are not zero"},
    {"release", "00 00 00 00 00 00 00 00", 24, 0, "RELEASE of no handle"},
    {"release", "00 00 00 00 00 00 00 00", 32, 0, "RELEASE of no handle"},
    /* messages: a field that does not belong to the type */
    {"reply-inline", "01", 16, 0, "REPLY with a method"},
    {"call-inline", "ff ff ff ff", 20, 0, "a status where nothing is answered"},
    {"oneway-empty", "ff ff ff ff", 20, 0, "a status where nothing is answered"},
    {"oneway-empty", "01", 24, 0, "a deadline where nobody waits"},
    {"reply-inline", "01", 31, 0, "a deadline where nobody waits"},
    {"reply-error", "01 00 00 00", 20, 0, "REPLY with a status that is no errno value"},
    {"reply-error", "00 f0 ff ff", 20, 0, "REPLY with a status that is no errno value"},
    {"reply-error", "00 00 00 80", 20, 0, "REPLY with a status that is no errno value"},
    {"reply-error", "00 00 00 00", 20, 0, "a text without an error"},
    {"call-inline", "05", 52, 0, "a text without an error"},
    {"reply-inline", "da ff ff ff", 20, 0, "REPLY with both an error and a payload"},
    {"call-inline", "01", 50, 0, "reserved bytes of a message are not zero"},
    {"call-inline", "01", 51, 0, "reserved bytes of a message are not zero"},
    {"call-inline", "01", 54, 0, "reserved bytes of a message are not zero"},
    {"call-inline", "01", 55, 0, "reserved bytes of a message are not zero"},
    /* messages: payloads */
    {"call-inline", "03", 48, 0, "unknown payload class"},
    {"call-inline", "08", 48, 0, "unknown payload class"},
    {"call-inline", "ff", 48, 0, "unknown payload class"},
    {"call-inline", "01", 49, 0, "pages are named of what has none of its own"},
    {"call-inline", "02", 49, 0, "pages are named of what has none of its own"},
    {"oneway-empty", "01", 49, 0, "pages are named of what has none of its own"},
    {"oneway-hugetlb", "02", 48, 0, "pages are named of what has none of its own"},
    {"oneway-padded", "02", 48, 0, "pages are named of what has none of its own"},
    {"oneway-hugetlb", "03", 49, 0, "unknown pages"},
    {"oneway-padded", "ff", 49, 0, "unknown pages"},
    {"call-inline", "01", 1, 0, "the number of descriptors does not fit the payload's class"},
    {"oneway-empty", "01", 1, 0, "the number of descriptors does not fit the payload's class"},
    {"call-sealed", "00", 1, 0, "the number of descriptors does not fit the payload's class"},
    {"call-sealed", "02", 1, 0, "the number of descriptors does not fit the payload's class"},
    {"call-sealed", "fd", 1, 0, "the number of descriptors does not fit the payload's class"},
    {"call-sealed", "02", 48, 0, "the number of descriptors does not fit the payload's class"},
    {"call-sealed", "00 00 00 00 00 00 00 00", 32, 0, "a block without a handle"},
    {"call-inline", "01", 32, 0, "a handle without a block"},
    {"oneway-empty", "01", 39, 0, "a handle without a block"},
    {"call-sealed", "00 00 00", 40, 0, "an empty payload with a class"},
    {"call-inline", "00", 40, -5, "an empty payload with a class"},
    {"oneway-empty", "01", 40, 0, "a payload without a class"},
    {"call-inline", "00", 48, 0, "a payload without a class"},
    {"call-inline", "01 00 02", 40, 131068, "an inline payload above the protocol's limit"},
    {"call-inline", "05 00 00 00 01", 40, 0, "an inline payload above the protocol's limit"},
    {"call-sealed", "01 00 00 00 00 00 00 40", 40, 0, "a block above the protocol's limit"},
    {"call-sealed", "ff ff ff ff ff ff ff ff", 40, 0, "a block above the protocol's limit"},
    {"call-inline", "04", 40, 0, "a message whose sizes do not add up"},
    {"call-inline", "06", 40, 0, "a message whose sizes do not add up"},
    {"call-inline", "05", 40, 1, "a message whose sizes do not add up"},
    {"call-sealed", "04", 48, 1, "a message whose sizes do not add up"},
    {"oneway-empty", "00", 48, 1, "a message whose sizes do not add up"},
    {"reply-error", "0d", 52, 0, "a message whose sizes do not add up"},
    {"reply-error", "0f", 52, 0, "a message whose sizes do not add up"},
    {"reply-error", "00 01", 52, 242, "a text that is too long"},
    {"reply-error", "0a", 56, 0, "a text with control characters"},
    {"reply-error", "c2 80", 68, 0, "a text with control characters"},
    {"reply-error", "c2 9f", 56, 0, "a text with control characters"},
};

START_TEST(test_decode_corrupted) {
    static uint8_t buf[2 * FRAME_MAX];
    const struct corruption *c = &corruptions[_i];
    struct wire_frame frame;
    size_t size = sample_bytes(sample_find(c->sample), buf);

    memset(buf + size, 'x', sizeof(buf) - size);
    size = (size_t) ((ptrdiff_t) size + c->longer);
    if (c->longer != 0) {
        for (int i = 0; i < 4; i++)
            buf[4 + i] = (uint8_t) (size >> 8 * i & 0xff);
    }
    ck_assert_uint_gt(hex_read(c->hex, buf + c->offset, 16), 0);
    const char *wrong = decode_tight(buf, size, &frame);
    ck_assert_msg(wrong, "%s with %s at %zu (%+d bytes) was accepted", c->sample, c->hex, c->offset, c->longer);
    ck_assert_str_eq(wrong, c->wrong);
}
END_TEST

/* Each byte of each sample takes each value: the result is refused, or another sound frame. */
START_TEST(test_decode_any_byte) {
    uint8_t buf[256];
    size_t size = sample_bytes(&samples[_i], buf);

    for (size_t at = 0; at < size; at++) {
        uint8_t right = buf[at];
        for (unsigned value = 0; value <= 0xff; value++) {
            buf[at] = (uint8_t) value;
            if (!is_accepted_soundly(buf, size) && value == right)
                ck_abort_msg("byte %zu: refused unharmed", at);
        }
        buf[at] = right;
    }
}
END_TEST

START_TEST(test_decode_truncated) {
    uint8_t buf[257] = {0};
    struct wire_frame frame;
    size_t size = sample_bytes(&samples[_i], buf);

    for (size_t cut = 0; cut <= sizeof(buf); cut++) {
        if (cut == size)
            continue;
        const char *wanted =
            cut < WIRE_HEAD_SIZE ? "shorter than a frame's head" : "the frame's size is not the datagram's";
        ck_assert_str_eq(decode_tight(buf, cut, &frame), wanted);
    }
}
END_TEST

/* A frame with a correct size field, but too short or too long for its content. */
START_TEST(test_decode_truncated_honestly) {
    uint8_t buf[257] = {0};
    struct wire_frame frame;
    size_t size = sample_bytes(&samples[_i], buf);

    for (size_t cut = WIRE_HEAD_SIZE; cut <= sizeof(buf); cut++) {
        buf[4] = (uint8_t) (cut & 0xff);
        buf[5] = (uint8_t) (cut >> 8);
        ck_assert_msg(cut == size || decode_tight(buf, cut, &frame), "%zu bytes of %zu accepted", cut, size);
    }
}
END_TEST

START_TEST(test_decode_nothing) {
    struct wire_frame frame;
    ck_assert_str_eq(wire_decode(NULL, 0, &frame), "shorter than a frame's head");
}
END_TEST

/* Random bytes; half of the rounds put a correct head before them, so that chance gets past it. */
START_TEST(test_decode_random) {
    uint8_t buf[700];
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) + (uint64_t) _i;

    for (int round = 0; round < 20000; round++) {
        size_t size = random_next(&state) % sizeof(buf);
        for (size_t i = 0; i < size; i++)
            buf[i] = (uint8_t) (random_next(&state) >> 32);
        if (round % 2 == 1 && size >= WIRE_HEAD_SIZE) {
            memset(buf, 0, WIRE_HEAD_SIZE);
            buf[0] = (uint8_t) (1 + random_next(&state) % 11);
            buf[4] = (uint8_t) (size & 0xff);
            buf[5] = (uint8_t) (size >> 8);
        }
        unsigned said =
            size < 8 ? 0 : buf[4] | (unsigned) buf[5] << 8 | (unsigned) buf[6] << 16 | (unsigned) buf[7] << 24;
        if (is_accepted_soundly(buf, size) && (said != size || size < WIRE_HEAD_SIZE))
            ck_abort_msg("%zu bytes accepted that say they are %u", size, said);
    }
}
END_TEST

/* Samples with a few bytes changed: the decoder accepts many, and all accepted frames are sound. */
START_TEST(test_decode_mutated) {
    static uint8_t bytes[COUNT(samples)][256];
    size_t sizes[COUNT(samples)];
    uint64_t state = UINT64_C(0xd1b54a32d192ed03) + (uint64_t) _i;
    int accepted = 0;

    for (int i = 0; i < COUNT(samples); i++)
        sizes[i] = sample_bytes(&samples[i], bytes[i]);
    for (int round = 0; round < 20000; round++) {
        uint8_t buf[256];
        size_t which = random_next(&state) % (size_t) COUNT(samples), size = sizes[which];
        memcpy(buf, bytes[which], size);
        for (uint64_t changes = 1 + random_next(&state) % 3; changes > 0; changes--)
            buf[random_next(&state) % size] = (uint8_t) (random_next(&state) >> 32);
        accepted += is_accepted_soundly(buf, size);
    }
    ck_assert_int_gt(accepted, 1000);
    ck_assert_int_lt(accepted, 19000);
}
END_TEST

/* --- texts --- */

static void assert_clean(const char *text, const char *wanted) {
    char buf[WIRE_TEXT_MAX];
    size_t size = wire_text_clean(buf, text);
    ck_assert_uint_eq(size, strlen(wanted));
    ck_assert_mem_eq(buf, wanted, size);
}

START_TEST(test_text_clean) {
    assert_clean(NULL, "");
    assert_clean("", "");
    assert_clean("as it is, \xc3\xa4\xe2\x82\xac too", "as it is, \xc3\xa4\xe2\x82\xac too");
    assert_clean("\x1b[31mred\x1b[0m\n", "?[31mred?[0m?");
    assert_clean("\x01\x1f\x7f\t\r", "?????");
    assert_clean("\xc2\x9b"
                 "31m",
                 "\xc2?31m");
    assert_clean("\xc2\xa0 \xc3\x9b \x9b", "\xc2\xa0 \xc3\x9b \x9b"); /* no U+0080 to U+009F in these */
}
END_TEST

START_TEST(test_text_cut) {
    char text[400], wanted[WIRE_TEXT_MAX + 1];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(wanted, text, WIRE_TEXT_MAX);
    wanted[WIRE_TEXT_MAX] = '\0';
    assert_clean(text, wanted);

    text[WIRE_TEXT_MAX] = '\0'; /* exactly the maximum length */
    assert_clean(text, wanted);
    text[WIRE_TEXT_MAX] = 'x';

    memcpy(text + WIRE_TEXT_MAX - 2, "\xe2\x82\xac", 3); /* its last byte does not fit: the whole character is cut */
    wanted[WIRE_TEXT_MAX - 2] = '\0';
    assert_clean(text, wanted);

    memset(text, 0x82, WIRE_TEXT_MAX + 1); /* this is no UTF-8: three bytes are cut, no more */
    memset(wanted, 0x82, WIRE_TEXT_MAX - 3);
    wanted[WIRE_TEXT_MAX - 3] = '\0';
    assert_clean(text, wanted);
}
END_TEST

START_TEST(test_text_longest) {
    uint8_t buf[WIRE_MESSAGE_SIZE + WIRE_TEXT_MAX];
    char text[WIRE_TEXT_MAX + 1];
    struct wire_frame frame;
    struct wire_message reply = {.status = -ENOSYS, .text_size = WIRE_TEXT_MAX};

    memset(text, '~', WIRE_TEXT_MAX);
    text[WIRE_TEXT_MAX] = '\0';
    memcpy(buf + wire_encode_message(buf, WIRE_REPLY, 1, &reply), text, WIRE_TEXT_MAX);
    ck_assert_ptr_null(wire_decode(buf, sizeof(buf), &frame));
    ck_assert_uint_eq(frame.message.text_size, WIRE_TEXT_MAX);
    ck_assert_mem_eq(frame.message.text, text, WIRE_TEXT_MAX);

    ck_assert_ptr_null(wire_decode(buf, wire_encode_goodbye(buf, -ENOSYS, text), &frame));
    ck_assert_uint_eq(frame.goodbye.text_size, WIRE_TEXT_MAX);
    ck_assert_mem_eq(frame.goodbye.text, text, WIRE_TEXT_MAX);
}
END_TEST

/* A GOODBYE may carry any pair of bytes as its text. */
START_TEST(test_goodbye_any_text) {
    uint8_t buf[WIRE_GOODBYE_SIZE + WIRE_TEXT_MAX];
    struct wire_frame frame;

    for (unsigned pair = 0x0101; pair <= 0xffff; pair++) {
        char text[3] = {(char) (pair >> 8), (char) (pair & 0xff), '\0'};
        size_t size = wire_encode_goodbye(buf, -EPROTO, text);
        const char *wrong = wire_decode(buf, size, &frame);
        if (wrong || frame.goodbye.text_size != strlen(text))
            ck_abort_msg("%04x: %s", pair, wrong ? wrong : "cut");
    }
}
END_TEST

/* --- the document --- */

/* The class numbers on the wire equal the public ones. */
START_TEST(test_class_values) {
    ck_assert_int_eq(WIRE_CLASS_INLINE, SEA_INLINE);
    ck_assert_int_eq(WIRE_CLASS_POOLED, SEA_POOLED);
    ck_assert_int_eq(WIRE_CLASS_SEALED, SEA_SEALED);
    ck_assert_int_eq(WIRE_CLASS_ANY, SEA_ANY_CLASS);
}
END_TEST

START_TEST(test_document) {
    uint8_t wanted[256];
    char line[256], name[64];
    bool is_shown[COUNT(samples)] = {false};
    FILE *file = document_open();

    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "```hex %63s", name) != 1)
            continue;
        const struct sample *sample = sample_find(name);
        document_check_block(file, name, wanted, sample_bytes(sample, wanted));
        is_shown[sample - samples] = true;
    }
    for (int i = 0; i < COUNT(samples); i++)
        ck_assert_msg(is_shown[i], "doc/PROTOCOL.md does not show \"%s\"", samples[i].name);
    fclose(file);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("frame");
    suite_add_loop(s, test_encode_golden, 0, COUNT(samples));
    suite_add_loop(s, test_decode_golden, 0, COUNT(samples));
    suite_add_loop(s, test_decode_anywhere, 0, COUNT(samples));
    suite_add(s, test_hello_fields);
    suite_add(s, test_hello_smallest);
    suite_add(s, test_message_fields);
    suite_add(s, test_message_inline_largest);
    suite_add(s, test_message_pooled);
    suite_add(s, test_arena_fields);
    suite_add(s, test_arena_smallest);
    suite_add(s, test_retire_range);
    suite_add(s, test_ring_range);
    suite_add(s, test_status_range);
    suite_add(s, test_release_counts);
    suite_add_loop(s, test_decode_corrupted, 0, COUNT(corruptions));
    suite_add_loop(s, test_decode_any_byte, 0, COUNT(samples));
    suite_add_loop(s, test_decode_truncated, 0, COUNT(samples));
    suite_add_loop(s, test_decode_truncated_honestly, 0, COUNT(samples));
    suite_add(s, test_decode_nothing);
    suite_add_loop(s, test_decode_random, 0, 4);
    suite_add_loop(s, test_decode_mutated, 0, 4);
    suite_add(s, test_text_clean);
    suite_add(s, test_text_cut);
    suite_add(s, test_text_longest);
    suite_add(s, test_goodbye_any_text);
    suite_add(s, test_class_values);
    suite_add(s, test_document);
    return suite_run(s);
}
