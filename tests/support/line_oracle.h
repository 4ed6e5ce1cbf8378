/* SPDX-License-Identifier: MIT */
/*
 * A second statement of the promises of wire/line.h, for the unit test and the fuzzer: the properties of every decoded
 * first line, for any words. It shares no code with the decoder but the struct definitions. Pure functions.
 */
#ifndef TESTS_SUPPORT_LINE_ORACLE_H
#define TESTS_SUPPORT_LINE_ORACLE_H

#include "wire/line.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline const char *line_oracle_payload(const struct wire_message *message, uint32_t bytes) {
    switch (message->payload_class) {
    case 0:
        return message->payload_size == 0 && message->handle == 0 && bytes == message->text_size ? NULL : "none";
    case WIRE_CLASS_INLINE:
        return message->payload_size >= 1 && message->payload_size <= WIRE_INLINE_CEILING && message->handle == 0 &&
                       bytes == message->payload_size
                   ? NULL
                   : "inline";
    case WIRE_CLASS_POOLED:
        return message->payload_size >= 1 && message->payload_size <= WIRE_BLOCK_CEILING && message->handle != 0 &&
                       bytes == 0
                   ? NULL
                   : "pooled";
    default:
        return "a class that has no place in a ring";
    }
}

static inline const char *line_oracle_message(const struct wire_head *head, const struct wire_message *message,
                                              uint32_t bytes) {
    if (message->payload || message->text || message->pages)
        return "what a line does not have";
    if (head->type == WIRE_ONEWAY && head->id != 0)
        return "oneway: id";
    if (head->type != WIRE_CALL && message->deadline != 0)
        return "deadline";
    if (head->type == WIRE_REPLY ? message->method != 0 : message->status != 0)
        return "method or status";
    if (message->status > 0 || message->status < -4095)
        return "status";
    if (message->status == 0 ? message->text_size != 0 : message->payload_class != 0)
        return "text or payload";
    return message->text_size > WIRE_TEXT_MAX ? "text" : line_oracle_payload(message, bytes);
}

/* Returns the promise that the frame of line_decode() breaks, or NULL if it breaks none. */
static inline const char *line_oracle_violation(const struct wire_frame *frame, uint32_t bytes) {
    if (frame->head.fds != 0 || frame->head.size != 0)
        return "head";
    if (frame->head.type == WIRE_CANCEL || frame->head.type == WIRE_MARK)
        return bytes == 0 ? NULL : "bytes behind a frame that has none";
    if (frame->head.type < WIRE_CALL || frame->head.type > WIRE_REPLY)
        return "type";
    return line_oracle_message(&frame->head, &frame->message, bytes);
}

/* Can these first words of a frame be received the short way, where a payload may be as large as that? */
static inline bool line_is_small(const uint64_t words[LINE_FIRST_WORD]) {
    return line_inline_size(words) <= LINE_SMALL_BYTES && (line_is_plain_request(words) || line_is_plain_answer(words));
}

/* Returns whether a line that goes the short way (line_is_small()) equals the result of the long way; `wrong` is the
 * error of the long way. */
static inline bool line_oracle_is_small(const uint64_t words[LINE_WORDS], const struct wire_frame *frame,
                                        const char *wrong, uint32_t bytes) {
    const struct wire_message *message = &frame->message;
    if (wrong || frame->head.type < WIRE_CALL || frame->head.type > WIRE_REPLY)
        return false;
    return frame->head.id == words[1] && message->deadline == words[2] && message->method == (uint32_t) words[3] &&
           bytes == words[3] >> 32 && bytes <= LINE_SMALL_BYTES && message->status == 0 && message->text_size == 0 &&
           message->payload_class == (bytes ? WIRE_CLASS_INLINE : 0);
}

/* Returns whether the words that line_encode() wrote of a decoded frame equal the words that were decoded, apart
 * from the tag and the place of the bytes. */
static inline bool line_oracle_is_same(const uint64_t words[LINE_WORDS], const uint64_t again[LINE_WORDS],
                                       const struct wire_frame *frame) {
    bool is_message = frame->head.type != WIRE_CANCEL && frame->head.type != WIRE_MARK;
    bool is_pooled = is_message && frame->message.payload_class == WIRE_CLASS_POOLED;
    if (words[0] >> 32 != again[0] >> 32 || (uint32_t) again[0] != 0)
        return false;
    for (int i = 1; i < LINE_WORDS; i++)
        if (again[i] != (i < LINE_FIRST_WORD || is_pooled ? words[i] : 0))
            return false;
    return true;
}

/* Do the words of a line for which line_is_pooled() is true say what that header promises? */
static inline bool line_oracle_is_pooled(const uint64_t words[LINE_WORDS], const struct wire_frame *frame,
                                         const char *wrong, uint32_t bytes) {
    const struct wire_message *message = &frame->message;
    return !wrong && bytes == 0 && message->payload_class == WIRE_CLASS_POOLED && message->text_size == 0 &&
           message->status == 0 && frame->head.type == line_type(words) && frame->head.id == words[1] &&
           message->deadline == words[2] && message->method == words[3] && message->handle == words[4] &&
           message->payload_size == words[5];
}

#endif
