/* SPDX-License-Identifier: MIT */
/* A frame of each kind as it lies in a ring in the ring's first lap: the frame's name in doc/PROTOCOL.md, its
 * content, and its bytes. */
#ifndef TESTS_UNIT_LINE_SAMPLES_H
#define TESTS_UNIT_LINE_SAMPLES_H

#include <errno.h>

#include "wire/line.h"

struct line_sample {
    const char *name;
    enum wire_type type;
    uint64_t id;
    struct wire_message message;
    const char *bytes; /* payload or text; NULL: the frame has neither */
    const char *hex;
};

static const struct line_sample line_samples[] = {
    {"line-call",
     WIRE_CALL,
     1,
     {.method = 1, .deadline = 0x0123456789ab, .payload_size = 5, .payload_class = WIRE_CLASS_INLINE},
     "hello",
     "01 00 00 00 03 01 00 00 01 00 00 00 00 00 00 00 "
     "ab 89 67 45 23 01 00 00 01 00 00 00 05 00 00 00 "
     "68 65 6c 6c 6f 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
    {"line-reply",
     WIRE_REPLY,
     1,
     {.payload_size = 40, .payload_class = WIRE_CLASS_INLINE},
     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN",
     "01 00 00 00 05 01 00 00 01 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 28 00 00 00 "
     "61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70 "
     "71 72 73 74 75 76 77 78 79 7a 41 42 43 44 45 46 "
     "01 00 00 00 00 00 00 00 47 48 49 4a 4b 4c 4d 4e "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
    {"line-reply-error",
     WIRE_REPLY,
     2,
     {.status = -ENOSYS, .text_size = 14},
     "no such method",
     "01 00 00 00 05 00 0e 00 02 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 da ff ff ff 00 00 00 00 "
     "6e 6f 20 73 75 63 68 20 6d 65 74 68 6f 64 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
    {"line-oneway",
     WIRE_ONEWAY,
     0,
     {.method = 7},
     NULL,
     "01 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
    {"line-oneway-pooled",
     WIRE_ONEWAY,
     0,
     {.method = 7, .handle = 0x0003000001000002, .payload_size = 70000, .payload_class = WIRE_CLASS_POOLED},
     NULL,
     "01 00 00 00 04 02 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 "
     "02 00 00 01 00 00 03 00 70 11 01 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
    {"line-cancel",
     WIRE_CANCEL,
     2,
     {0},
     NULL,
     "01 00 00 00 07 00 00 00 02 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
    {"line-mark",
     WIRE_MARK,
     1,
     {0},
     NULL,
     "01 00 00 00 09 00 00 00 01 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
     "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
};
#define LINE_SAMPLES ((int) (sizeof(line_samples) / sizeof(line_samples[0])))

#endif
