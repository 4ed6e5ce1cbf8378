/* SPDX-License-Identifier: MIT */
/* Lines. See line.h. */
#include "wire/line.h"

#include <string.h>

/* Two's complement, without the implementation-defined conversion. */
static int32_t signed_of(uint32_t bits) {
    return bits <= INT32_MAX ? (int32_t) bits : -(int32_t) (UINT32_MAX - bits) - 1;
}

/* Frames that are no messages: all but their id is 0. */
static const char *line_check_plain(const uint64_t words[LINE_WORDS]) {
    return (words[0] >> 40 | words[2] | words[3]) != 0 ? "a CANCEL or MARK with more than an id" : NULL;
}

static void message_of(const uint64_t words[LINE_WORDS], enum wire_type type, struct wire_message *ret) {
    uint32_t value = (uint32_t) words[3];
    *ret = (struct wire_message){
        .method = type == WIRE_REPLY ? 0 : value,
        .status = type == WIRE_REPLY ? signed_of(value) : 0,
        .deadline = words[2],
        .payload_class = (uint8_t) (words[0] >> 40),
        .text_size = (uint16_t) (words[0] >> 48),
        .payload_size = words[3] >> 32,
    };
}

static const char *pooled_of(const uint64_t words[LINE_WORDS], struct wire_message *ret) {
    if (ret->payload_size != 0)
        return "a pooled payload with an inline size";
    if ((words[6] | words[7]) != 0)
        return "reserved words of a pooled payload are not zero";
    ret->handle = words[4];
    ret->payload_size = words[5];
    return NULL;
}

const char *line_decode(const uint64_t words[LINE_WORDS], struct wire_frame *ret, uint32_t *ret_bytes) {
    uint8_t type = (uint8_t) (words[0] >> 32);
    const char *wrong = NULL;
    ret->head = (struct wire_head){.type = type, .id = words[1]};
    *ret_bytes = 0;
    if (type == WIRE_CANCEL || type == WIRE_MARK)
        return line_check_plain(words);
    if (type != WIRE_CALL && type != WIRE_ONEWAY && type != WIRE_REPLY)
        return "a frame type that does not belong in a ring";
    if (type == WIRE_ONEWAY && ret->head.id != 0)
        return "an id where there is no call";
    message_of(words, (enum wire_type) type, &ret->message);
    if (ret->message.payload_class == WIRE_CLASS_SEALED)
        return "a sealed payload in a ring";
    if (ret->message.payload_class == WIRE_CLASS_POOLED)
        wrong = pooled_of(words, &ret->message);
    if (!wrong)
        wrong = wire_check_message(&ret->head, &ret->message);
    if (!wrong && ret->message.payload_class != WIRE_CLASS_POOLED)
        *ret_bytes = (uint32_t) ret->message.payload_size + ret->message.text_size;
    return wrong;
}
