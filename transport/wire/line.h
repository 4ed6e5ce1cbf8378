/* SPDX-License-Identifier: MIT */
/*
 * Frames as they lie in a ring: lines of 64 bytes, encode, decode and validate as pure functions. doc/PROTOCOL.md
 * is their specification.
 *
 * A line is eight little-endian words of 64 bits. The low half of the first word of a frame's first line is its tag,
 * which says in which lap it was written: the ring's business (lane/ring.h). So is that of each later line of a short
 * frame. A frame is one line or several:
 *
 *     first line   word 0  tag 32, type 8, class 8, text_size 16
 *                  word 1  id              CALL, REPLY, CANCEL: of the call. MARK: of a datagram. ONEWAY: 0
 *                  word 2  deadline        CALL; else 0
 *                  word 3  method (CALL, ONEWAY) or status (REPLY) 32, size of the inline payload 32
 *                  words 4 to 7            the first 32 bytes of payload or text;
 *                                          of a pooled payload: its handle, its size, 0, 0
 *     later lines  of a frame with at most 256 bytes:
 *                  word 0  tag 32, 0
 *                  words 1 to 7            the next 56 bytes
 *                  of a frame with more:   the next 64 bytes
 *
 * Only a REPLY with an error has a text, and it has no payload: a frame's bytes are one or the other. Words of a frame
 * that the reader works on were copied to its own memory before: the writer is a stranger.
 *
 * Owns: nothing, and keeps no state. Touches: only the words that the caller gives, never the ring. Threads: any.
 */
#ifndef WIRE_LINE_H
#define WIRE_LINE_H

#include "wire/frame.h"

#define LINE_SIZE 64
#define LINE_WORDS 8
#define LINE_FIRST_WORD 4   /* of a frame's bytes, in its first line */
#define LINE_FIRST_BYTES 32 /* of payload or text in a frame's first line */
#define LINE_MORE_BYTES 64  /* and in each later one */
#define LINE_SHORT_BYTES 56 /* or, of a short frame, beside its tag */

/* The most bytes of a short frame, all lines of which have tags. */
#define LINE_SHORT_LINES 5
#define LINE_SHORT_MOST (LINE_FIRST_BYTES + (LINE_SHORT_LINES - 1) * LINE_SHORT_BYTES)

/* The most bytes of a small message: what so many lines hold. */
#define LINE_SMALL_LINES 17
#define LINE_SMALL_BYTES (LINE_FIRST_BYTES + (LINE_SMALL_LINES - 1) * LINE_MORE_BYTES)

/* How many lines a frame with so many bytes of payload or text takes. */
static inline uint64_t line_count(uint64_t bytes) {
    uint64_t later = bytes - LINE_FIRST_BYTES;
    if (bytes <= LINE_FIRST_BYTES)
        return 1;
    return bytes <= LINE_SHORT_MOST ? 1 + (later + LINE_SHORT_BYTES - 1) / LINE_SHORT_BYTES
                                    : 1 + (later + LINE_MORE_BYTES - 1) / LINE_MORE_BYTES;
}

/* The type and the size that the first words of a frame contain. */
static inline enum wire_type line_type(const uint64_t words[LINE_FIRST_WORD]) {
    return (enum wire_type)(words[0] >> 32 & 0xff);
}

static inline uint32_t line_inline_size(const uint64_t words[LINE_FIRST_WORD]) {
    return (uint32_t) (words[3] >> 32);
}

/* Writes all eight words; the tag's half is 0, and so is the place of payload and text. `message` is ignored in a
 * CANCEL and a MARK. */
static inline void line_encode(uint64_t words[LINE_WORDS], enum wire_type type, uint64_t id,
                               const struct wire_message *message) {
    words[0] = (uint64_t) type << 32;
    words[1] = id;
    for (int i = 2; i < LINE_WORDS; i++)
        words[i] = 0;
    if (type == WIRE_CANCEL || type == WIRE_MARK)
        return;
    bool is_inline = message->payload_class == WIRE_CLASS_INLINE;
    uint32_t value = type == WIRE_REPLY ? (uint32_t) message->status : message->method;
    words[0] |= (uint64_t) message->payload_class << 40 | (uint64_t) message->text_size << 48;
    words[2] = message->deadline;
    words[3] = value | (is_inline ? message->payload_size << 32 : 0);
    if (message->payload_class == WIRE_CLASS_POOLED) {
        words[4] = message->handle;
        words[5] = message->payload_size;
    }
}

/*
 * Are these the first words of the most common frames: of a call or a one-way message, or of the good answer to a call,
 * with an inline payload or none, and no text? line_decode() would accept them, if the payload is not too large. Then
 * word 1 is the id, word 2 a deadline, and word 3 method and size.
 */
static inline bool line_is_plain_request(const uint64_t words[LINE_FIRST_WORD]) {
    uint32_t kind = (uint32_t) (words[0] >> 32), class = line_inline_size(words) ? WIRE_CLASS_INLINE << 8 : 0;
    return kind == (WIRE_CALL | class) || (kind == (WIRE_ONEWAY | class) && (words[1] | words[2]) == 0);
}

static inline bool line_is_plain_answer(const uint64_t words[LINE_FIRST_WORD]) {
    uint32_t kind = (uint32_t) (words[0] >> 32), class = line_inline_size(words) ? WIRE_CLASS_INLINE << 8 : 0;
    return kind == (WIRE_REPLY | class) && (words[2] | (uint32_t) words[3]) == 0;
}

/* Are these the words of a call, a one-way message or a good reply with a pooled payload? line_decode() would accept
 * them. Then word 4 is the handle, and word 5 the payload's size. */
static inline bool line_is_pooled(const uint64_t words[LINE_WORDS]) {
    uint32_t kind = (uint32_t) (words[0] >> 32), class = WIRE_CLASS_POOLED << 8;
    if ((words[3] >> 32 | words[6] | words[7]) != 0 || words[4] == 0 || words[5] - 1 >= WIRE_BLOCK_CEILING)
        return false;
    if (kind == (WIRE_ONEWAY | class))
        return (words[1] | words[2]) == 0;
    return kind == (WIRE_CALL | class) || (kind == (WIRE_REPLY | class) && words[2] == 0 && words[3] == 0);
}

/*
 * Decodes a first line. Returns NULL, or the static text that names the error; then *ret is undefined. After NULL:
 *   - CALL, ONEWAY, REPLY: `head` and `message` are as wire_decode() promises, except that head.size is 0, that no
 * payload is sealed, and that `payload` and `text` are NULL. *ret_bytes is the number of bytes of inline payload or
 * text that follow, beginning with word 4. Of a text only the size is checked: the caller checks the copied bytes with
 * wire_text_is_clean();
 *   - CANCEL, MARK: only `head` is written, with head.size 0, and *ret_bytes, which is 0.
 */
const char *line_decode(const uint64_t words[LINE_WORDS], struct wire_frame *ret, uint32_t *ret_bytes);

#endif
