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
#include <stddef.h>
#include <string.h>

/* So many lines at most does a frame with so many bytes have: line_count() takes longer. */
static inline uint64_t small_lines_most(size_t size) {
    return 1 + size / LINE_FIRST_BYTES;
}

/* Can it go the short way now? */
static inline bool lane_takes_small(const struct lane *lane, size_t size) {
    return size < lane->small_end && ring_knows_room(&lane->out, small_lines_most(size));
}

/*
 * Bytes to and from the words of a line. In the first two lines a word at a time: wider loads of what narrower stores
 * have just written wait until those have left the store buffer (doc/measurements.md); in the lines behind them in
 * pairs of words. The words of a line are written out one by one, since counting them took as long as copying them.
 */
static inline void small_put_word(struct line *line, int at, const char *from) {
    uint64_t word;
    memcpy(&word, from, 8);
    shared64_store(&line->words[at], word);
}

/* The bytes behind the last whole word, 1 to 7 of `size` in all, which end at `end`. */
static inline uint64_t small_last_word(const char *end, size_t size) {
    size_t count = size % 8;
    uint64_t word = 0;
    if (size >= 8) {
        memcpy(&word, end - 8, 8);
        return word >> (8 - count) * 8;
    }
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t) (unsigned char) end[(ptrdiff_t) i - (ptrdiff_t) count] << i * 8;
    return word;
}

/* Up to seven words, from `at` on; `size` bytes. The words behind them keep what they had: our own bytes, of an earlier
 * frame. */
static inline void small_put(struct line *line, int at, const char *from, size_t size) {
    if (size % 8)
        shared64_store(&line->words[at + (int) (size / 8)], small_last_word(from + size, size));
    switch (size / 8) {
    case 7:
        small_put_word(line, at + 6, from + 48); /* fall through */
    case 6:
        small_put_word(line, at + 5, from + 40); /* fall through */
    case 5:
        small_put_word(line, at + 4, from + 32); /* fall through */
    case 4:
        small_put_word(line, at + 3, from + 24); /* fall through */
    case 3:
        small_put_word(line, at + 2, from + 16); /* fall through */
    case 2:
        small_put_word(line, at + 1, from + 8); /* fall through */
    case 1:
        small_put_word(line, at, from); /* fall through */
    default:
        break;
    }
}

/* A later line that is full. */
static inline void small_put_full(struct line *line, const char *from) {
    shared64_store_pair(&line->words[1], from);
    shared64_store_pair(&line->words[3], from + 16);
    shared64_store_pair(&line->words[5], from + 32);
    small_put_word(line, 7, from + 48);
}

/* All but the first line, in which the walk is: `size` is not 0. */
static inline void small_put_lines(struct ring_walk *walk, const char *from, size_t size) {
    for (;; from += LINE_MORE_BYTES, size -= LINE_MORE_BYTES) {
        ring_walk_on(walk);
        shared64_store(&walk->line->words[0], walk->tag);
        if (size <= LINE_MORE_BYTES)
            break;
        small_put_full(walk->line, from);
    }
    small_put(walk->line, 1, from, size);
}

/* Whole words: some bytes behind the last one are written too. */
static inline void small_get_word(const struct line *line, int at, char *to) {
    uint64_t word = shared64_load(&line->words[at]);
    memcpy(to, &word, 8);
}

static inline void small_get(const struct line *line, int at, char *to, size_t size) {
    switch ((size + 7) / 8) {
    case 7:
        small_get_word(line, at + 6, to + 48); /* fall through */
    case 6:
        small_get_word(line, at + 5, to + 40); /* fall through */
    case 5:
        small_get_word(line, at + 4, to + 32); /* fall through */
    case 4:
        small_get_word(line, at + 3, to + 24); /* fall through */
    case 3:
        small_get_word(line, at + 2, to + 16); /* fall through */
    case 2:
        small_get_word(line, at + 1, to + 8); /* fall through */
    case 1:
        small_get_word(line, at, to); /* fall through */
    default:
        break;
    }
}

static inline void small_get_full(const struct line *line, char *to) {
    shared64_load_pair(&line->words[1], to);
    shared64_load_pair(&line->words[3], to + 16);
    shared64_load_pair(&line->words[5], to + 32);
    small_get_word(line, 7, to + 48);
}

/* Publishes it; lane_takes_small() was true. `bytes` is borrowed. */
static inline void lane_write_small(struct lane *lane, enum wire_type type, uint64_t id, uint64_t deadline,
                                    uint32_t method, const void *bytes, size_t size) {
    struct ring_walk walk = ring_out_walk(&lane->out);
    struct line *line = walk.line;
    uint64_t class = size ? WIRE_CLASS_INLINE : 0;
    if (size > LINE_FIRST_BYTES) {
        small_put(line, LINE_FIRST_WORD, bytes, LINE_FIRST_BYTES);
        small_put_lines(&walk, (const char *) bytes + LINE_FIRST_BYTES, size - LINE_FIRST_BYTES);
    } else {
        small_put(line, LINE_FIRST_WORD, bytes, size);
    }
    shared64_store(&line->words[1], id);
    shared64_store(&line->words[2], deadline);
    shared64_store(&line->words[3], method | (uint64_t) size << 32);
    ring_publish_walk(&lane->out, (uint64_t) type << 32 | class << 40, walk);
    ring_out_ask(&lane->out, walk.count);
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

/* Copies its bytes, and returns its last line. `to` has room for LINE_SMALL_BYTES; some bytes behind the payload are
 * written too. */
static inline const struct line *lane_read_small(const struct lane *lane, size_t size, char *to) {
    const struct ring_in in = lane->in; /* see struct ring_walk */
    const struct line *line = in.next;
    if (size <= LINE_FIRST_BYTES) {
        small_get(line, LINE_FIRST_WORD, to, size);
        return line;
    }
    small_get(line, LINE_FIRST_WORD, to, LINE_FIRST_BYTES);
    to += LINE_FIRST_BYTES;
    size -= LINE_FIRST_BYTES;
    for (line = ring_in_after(&in, line); size > LINE_MORE_BYTES; to += LINE_MORE_BYTES, size -= LINE_MORE_BYTES) {
        small_get_full(line, to);
        line = ring_in_after(&in, line);
    }
    small_get(line, 1, to, size);
    return line;
}

/* Passes over it. */
static inline void lane_pass_small(struct lane *lane, const struct line *last) {
    if (ring_in_pass(&lane->in, last))
        lane->doorbell.due |= DOORBELL_ROOM;
}

static inline void lane_received_small(struct lane *lane, size_t size) {
    tally_count(&lane->tally, received_inline, 1);
    tally_count(&lane->tally, received_inline_bytes, size);
}

#endif
