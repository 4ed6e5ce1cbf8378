/* SPDX-License-Identifier: MIT */
/*
 * The short way of small messages: a call, a one-way message or a good reply with at most LINE_SMALL_BYTES bytes
 * (1056, in 17 lines), while nothing waits before it. No heap, no block, no lock; and the counters change after the
 * line is published, while the peer reads it.
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

/* Can it go the short way now? */
static inline bool lane_takes_small(const struct lane *lane, size_t size) {
    return size < lane->small_end && ring_knows_room(&lane->out, line_count(size));
}

/* Publishes it; lane_takes_small() was true. `bytes` is borrowed. */
static inline void lane_write_small(struct lane *lane, enum wire_type type, uint64_t id, uint64_t deadline,
                                    uint32_t method, const void *bytes, size_t size) {
    struct ring_out *out = &lane->out;
    struct line *line = out->next;
    uint64_t class = size ? WIRE_CLASS_INLINE : 0, lines = 1;
    if (size > LINE_FIRST_BYTES) {
        lines = line_count(size);
        words_put_few(&line->words[LINE_FIRST_WORD], bytes, LINE_FIRST_BYTES / 8);
        ring_put_later(out, (const char *) bytes + LINE_FIRST_BYTES, size - LINE_FIRST_BYTES);
    } else {
        words_put_line(&line->words[LINE_FIRST_WORD], bytes, size);
    }
    shared64_store(&line->words[1], id);
    shared64_store(&line->words[2], deadline);
    shared64_store(&line->words[3], method | (uint64_t) size << 32);
    ring_publish(out, (uint64_t) type << 32 | class << 40, lines);
    ring_out_ask(out, lines);
}

/* What there is to do after that. */
static inline void lane_sent_small(struct lane *lane, size_t size) {
    tally_count(&lane->tally, sent_inline, 1);
    tally_count(&lane->tally, sent_inline_bytes, size);
    lane->doorbell.due |= DOORBELL_FRAMES;
    if (!lane->corks)
        lane_ring_bell_if_heard(lane);
}

/* What the first words of a small frame say. */
struct small_frame {
    uint64_t id, deadline;
    enum wire_type type;
    uint32_t method, size;
};

static inline void small_peek(const struct lane *lane, uint64_t words[LINE_FIRST_WORD]) {
    const struct line *line = lane->in.next;
    words[0] = shared64_load(&line->words[0]);
    words[1] = shared64_load(&line->words[1]);
    words[2] = shared64_load(&line->words[2]);
    words[3] = shared64_load(&line->words[3]);
}

/* Copies what the frame that is there says of itself. Is it a call or a one-way message that can be received the short
 * way? */
static inline bool lane_peek_request(const struct lane *lane, struct small_frame *ret) {
    uint64_t head[LINE_FIRST_WORD];
    small_peek(lane, head);
    if (!line_is_plain_request(head))
        return false;
    *ret = (struct small_frame){head[1], head[2], line_type(head), (uint32_t) head[3], line_inline_size(head)};
    return ret->size <= lane->small_in_most;
}

/* The same for the good answer to the call `id`. */
static inline bool lane_peek_answer(const struct lane *lane, uint64_t id, struct small_frame *ret) {
    uint64_t head[LINE_FIRST_WORD];
    small_peek(lane, head);
    if (head[1] != id || !line_is_plain_answer(head))
        return false;
    *ret = (struct small_frame){id, 0, WIRE_REPLY, 0, line_inline_size(head)};
    return ret->size <= lane->small_in_most;
}

/* Copies its bytes. `to` has room for LINE_SMALL_BYTES; some bytes behind the payload are written too. */
static inline void lane_read_small(const struct lane *lane, size_t size, char *to) {
    const struct ring_in *in = &lane->in;
    if (size <= LINE_FIRST_BYTES) {
        words_get_few(&in->next->words[LINE_FIRST_WORD], to, (size + 7) / 8);
        return;
    }
    words_get_few(&in->next->words[LINE_FIRST_WORD], to, LINE_FIRST_BYTES / 8);
    ring_get_later(in, to + LINE_FIRST_BYTES, size - LINE_FIRST_BYTES);
}

static inline void lane_received_small(struct lane *lane, size_t size) {
    tally_count(&lane->tally, received_inline, 1);
    tally_count(&lane->tally, received_inline_bytes, size);
}

#endif
