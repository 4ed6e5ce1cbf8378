/* SPDX-License-Identifier: MIT */
/*
 * The short way of small messages: a call, a one-way message or a good reply with at most two lines of bytes, while
 * nothing waits before it. No heap, no block, no lock; and the counters change after the line is published, while the
 * peer reads it.
 *
 * Inline, because a round trip is little more than its instructions between seeing one line and publishing the next
 * (doc/measurements.md). An unusual frame goes the long way (send.c, receive.c), which writes and reads the same
 * lines.
 *
 * Owns: nothing. Touches: the lane's rings, its tally and the doorbell's `due`; lane_sent_small() may ring.
 * rpc/small.c, rpc/call.c, rpc/send.c and rpc/reply.c decide when. Threads: the connection's, before its end.
 */
#ifndef LANE_SMALL_H
#define LANE_SMALL_H

#include "lane/lane.h"
#include <string.h>

/* Can it go the short way now? */
static inline bool lane_takes_small(const struct lane *lane, size_t size) {
    return lane->state == LANE_OPEN && !lane->has_failed && lane->has_rings && !lane->queue_head &&
           size <= lane->small_max && ring_knows_room(&lane->out, 2);
}

/*
 * Bytes to and from the words of a line, `at` and on. A word at a time: wider loads of what narrower stores have just
 * written wait until those have left the store buffer (doc/measurements.md).
 */
static inline void small_put(struct line *line, int at, const void *bytes, size_t size) {
    const char *from = bytes;
    uint64_t word = 0;
    for (; size >= 8; size -= 8, from += 8) {
        memcpy(&word, from, 8);
        shared64_store(&line->words[at++], word);
    }
    if (size) {
        word = 0;
        memcpy(&word, from, size);
        shared64_store(&line->words[at++], word);
    }
    while (at < LINE_WORDS)
        shared64_store(&line->words[at++], 0);
}

/* Whole words: some bytes behind `size` are written too. */
static inline void small_get(const struct line *line, int at, void *to, size_t size) {
    char *t = to;
    for (size_t done = 0; done < size; done += 8) {
        uint64_t word = shared64_load(&line->words[at++]);
        memcpy(t + done, &word, 8);
    }
}

/* Publishes it; lane_takes_small() was true. `bytes` is borrowed. */
static inline void lane_write_small(struct lane *lane, enum wire_type type, uint64_t id, uint64_t deadline,
                                    uint32_t method, const void *bytes, size_t size) {
    struct ring_out *out = &lane->out;
    struct line *line = ring_out_line(out, out->tail);
    uint64_t class = size ? WIRE_CLASS_INLINE : 0;
    bool is_long = size > LINE_FIRST_BYTES;
    if (is_long) {
        struct line *second = ring_out_line(out, out->tail + 1);
        small_put(second, 1, (const char *) bytes + LINE_FIRST_BYTES, size - LINE_FIRST_BYTES);
        shared64_store(&second->words[0], ring_tag(out->tail + 1, out->shift));
    }
    small_put(line, LINE_FIRST_WORD, bytes, is_long ? LINE_FIRST_BYTES : size);
    shared64_store(&line->words[1], id);
    shared64_store(&line->words[2], deadline);
    shared64_store(&line->words[3], method | (uint64_t) size << 32);
    ring_publish(out, line, (uint64_t) type << 32 | class << 40, is_long ? 2 : 1);
}

/* What there is to do after that. */
static inline void lane_sent_small(struct lane *lane, size_t size) {
    tally_count(&lane->tally, sent_inline, 1);
    tally_count(&lane->tally, copied_bytes, size);
    tally_count(&lane->tally, sent_bytes, size);
    lane->doorbell.due |= DOORBELL_FRAMES;
    if (!lane->corks)
        lane_ring_bell(lane);
}

/* Does the frame that is there bring a pooled block? It never goes the short way. */
static inline bool lane_next_is_pooled(const struct lane *lane) {
    return (shared64_load(&lane->in.next->words[0]) >> 40 & 0xff) == WIRE_CLASS_POOLED;
}

/* What the first words of a small frame say. */
struct small_frame {
    uint64_t id, deadline;
    enum wire_type type;
    uint32_t method, size;
};

/* Copies what the frame that is there says of itself. Can it be received the short way? */
static inline bool lane_peek_small(const struct lane *lane, struct small_frame *ret) {
    uint64_t head[LINE_FIRST_WORD];
    for (int i = 0; i < LINE_FIRST_WORD; i++)
        head[i] = shared64_load(&lane->in.next->words[i]);
    if (!line_is_small(head))
        return false;
    *ret = (struct small_frame){head[1], head[2], line_type(head), (uint32_t) head[3], line_inline_size(head)};
    return ret->size <= lane->hello.inline_max;
}

/* Copies its bytes. `to` has room for LINE_SMALL_BYTES; some bytes behind the payload are written too. */
static inline void lane_read_small(const struct lane *lane, size_t size, void *to) {
    const struct ring_in *in = &lane->in;
    bool is_long = size > LINE_FIRST_BYTES;
    small_get(in->next, LINE_FIRST_WORD, to, is_long ? LINE_FIRST_BYTES : size);
    if (is_long)
        small_get(ring_in_line(in, in->head + 1), 1, (char *) to + LINE_FIRST_BYTES, size - LINE_FIRST_BYTES);
}

static inline void lane_received_small(struct lane *lane, size_t size) {
    tally_count(&lane->tally, received_inline, 1);
    tally_count(&lane->tally, copied_bytes, size);
    tally_count(&lane->tally, received_bytes, size);
}

#endif
