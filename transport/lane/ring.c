/* SPDX-License-Identifier: MIT */
/* The rings. See ring.h for their invariants. Shared words are read once each, into locals. */
#include "lane/ring.h"

#include <errno.h>
#include <string.h>

static uint32_t shift_of(uint32_t power) {
    return (uint32_t) __builtin_ctz(power);
}

void ring_out_init(struct ring_out *ring, struct line *at, uint32_t lines, const shared32 *consumed) {
    *ring = (struct ring_out){.lines = at, .consumed = consumed, .mask = lines - 1, .shift = shift_of(lines)};
    ring->room = lines - 1;
    ring->bytes_max = ring_bytes_max(lines);
    ring_out_seek(ring, 0);
}

void ring_in_init(struct ring_in *ring, const struct line *at, uint32_t lines, shared32 *consumed) {
    *ring = (struct ring_in){.lines = at, .consumed = consumed, .mask = lines - 1, .shift = shift_of(lines)};
    ring->bytes_max = ring_bytes_max(lines);
    ring_in_seek(ring, 0);
}

void release_out_init(struct release_out *ring, struct release_entry *at, uint32_t entries, const shared32 *taken) {
    *ring = (struct release_out){.entries = at, .taken = taken, .mask = entries - 1, .shift = shift_of(entries)};
}

void release_in_init(struct release_in *ring, const struct release_entry *at, uint32_t entries, shared32 *taken) {
    *ring = (struct release_in){.entries = at, .taken = taken, .mask = entries - 1, .shift = shift_of(entries)};
    release_in_seek(ring, 0);
}

/*
 * A tag says in which lap a line was written, of the laps of its ring. In the new memory no line was: its tags are 0,
 * which is no lap's. (After 2^32 laps of the old ring it would be one's, hours of nothing but frames: a ring that is so
 * busy has grown long before.)
 */
void ring_out_move(struct ring_out *ring, struct line *at, uint32_t lines) {
    ring->lines = at;
    ring->mask = lines - 1;
    ring->room = lines - 1;
    ring->bytes_max = ring_bytes_max(lines);
    ring->shift = shift_of(lines);
    ring_out_seek(ring, ring->tail);
}

void ring_in_move(struct ring_in *ring, const struct line *at, uint32_t lines) {
    ring->lines = at;
    ring->mask = lines - 1;
    ring->shift = shift_of(lines);
    ring->bytes_max = ring_bytes_max(lines);
    ring_in_seek(ring, ring->head);
}

void release_out_move(struct release_out *ring, struct release_entry *at, uint32_t entries) {
    ring->entries = at;
    ring->mask = entries - 1;
    ring->shift = shift_of(entries);
}

void release_in_move(struct release_in *ring, const struct release_entry *at, uint32_t entries) {
    ring->entries = at;
    ring->mask = entries - 1;
    ring->shift = shift_of(entries);
    release_in_seek(ring, ring->head);
}

uint32_t ring_bytes_max(uint32_t lines) {
    return LINE_FIRST_BYTES + (lines / 4 - 1) * LINE_MORE_BYTES;
}

int ring_has_room(struct ring_out *ring, uint64_t count) {
    if (ring_knows_room(ring, count))
        return 1;
    /* Acquire [CUR1] pairs with the release in ring_publish_consumed(): the reader has copied the lines before it says
     * so. Weaker: they are written anew while it still reads. */
    uint32_t consumed = shared32_load_acquire(ring->consumed);
    if ((uint32_t) ring->tail - consumed > (uint32_t) ring->tail - ring->known)
        return -EPROTO; /* it went backwards, or beyond the frames that were written */
    ring->known = consumed;
    return ring_knows_room(ring, count);
}

void ring_write(struct ring_out *ring, const uint64_t words[LINE_WORDS], const void *bytes, uint32_t size) {
    uint64_t first[LINE_WORDS];
    uint32_t part = size < LINE_FIRST_BYTES ? size : LINE_FIRST_BYTES;
    memcpy(first, words, sizeof(first));
    if (part)
        memcpy(first + LINE_FIRST_WORD, bytes, part);
    if (size > part)
        ring_put_later(ring, (const char *) bytes + part, size - part);
    for (uint32_t i = 1; i < LINE_WORDS; i++)
        shared64_store(&ring->next->words[i], first[i]);
    ring_publish(ring, first[0], line_count(size));
}

/* The last word of a frame may be more than `to` has room for. */
void ring_collect(const struct ring_in *ring, void *to, uint32_t size) {
    char copy[LINE_SHORT_MOST];
    uint32_t part = size < LINE_FIRST_BYTES ? size : LINE_FIRST_BYTES, rest = size - part, whole = rest & ~7u;
    words_get_few(&ring->next->words[LINE_FIRST_WORD], copy, LINE_FIRST_BYTES / 8);
    if (rest && size <= LINE_SHORT_MOST)
        ring_get_short(ring, copy + part, rest);
    memcpy(to, copy, size <= LINE_SHORT_MOST ? size : part);
    if (size <= LINE_SHORT_MOST)
        return;
    ring_get_bytes(ring, (char *) to + part, whole);
    const struct line *last = ring_in_line(ring, ring->head + 1 + whole / LINE_SIZE);
    word_get(&last->words[whole % LINE_SIZE / 8], copy);
    memcpy((char *) to + part + whole, copy, rest - whole);
}

bool ring_publish_consumed(struct ring_in *ring) {
    if (ring->published == (uint32_t) ring->head)
        return false;
    ring->published = (uint32_t) ring->head;
    /* Release [CUR1], partner in ring_has_room(). */
    shared32_store_release(ring->consumed, ring->published);
    return true;
}

int release_has_room(struct release_out *ring) {
    if (release_knows_room(ring))
        return 1;
    /* Acquire [CUR2] pairs with the release in release_read(): the reader has copied the handle before it says so.
     * Weaker: the entry is written anew while it still reads. */
    uint32_t taken = shared32_load_acquire(ring->taken);
    if ((uint32_t) ring->tail - taken > (uint32_t) ring->tail - ring->known)
        return -EPROTO; /* it went backwards, or beyond the frames that were written */
    ring->known = taken;
    return release_knows_room(ring);
}
