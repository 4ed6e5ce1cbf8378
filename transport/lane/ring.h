/* SPDX-License-Identifier: MIT */
/*
 * The rings of an outbox: frames, and releases. Each has one writer and one reader in two processes that do not trust
 * each other; each side keeps its position in private memory. No side ever waits here.
 *
 * Frames. Positions count lines since the connection began. The line of position p is number p mod lines: one after
 * the other, so that the prefetchers of the reader's CPU help with frames of many lines (doc/measurements.md). The
 * first line of a frame has a tag: the lap in which it was written, counted from 1, so a line of an earlier lap, or
 * never written, is no frame. The writer stores that tag last, which publishes the frame.
 *
 * Later lines of a short frame have tags too. Those of a longer frame are bytes from end to end, which are copied in
 * one go. So that bytes of the lap before are never taken for a tag, the writer then sees to the line behind a frame
 * before it publishes the frame (ring_publish()).
 *
 *     writer:  consumed <= head <= tail < consumed + lines    (`consumed` is the reader's word, head its position)
 *              next == the line of tail, next_tag == its tag
 *              the line of tail does not have the tag next_tag
 *     reader:  the tags of frames below tail are there; the tag of `tail` is not
 *              next == the line of head, next_tag == the tag that publishes it
 *
 * Releases. An entry is a tag and a handle. The reader says in `taken` how many it has read, so that the writer knows
 * of room. A ring that has an entry for each lease that may be out always has room, for a lease counts until its owner
 * has read its release.
 *
 *     writer:  taken <= head <= tail <= taken + entries
 *
 * Owns: positions and what was last seen; the lines, entries and cursors are borrowed from the two outboxes, or from
 * the rings that follow them. Touches: our words there; the peer's are only read. Threads: one on each side, of ours
 * the connection's. After its end the memory is gone, and no function may be called.
 */
#ifndef LANE_RING_H
#define LANE_RING_H

#include "sys/shared_words.h"
#include "wire/line.h"
#include <stdbool.h>
#include <string.h>

struct line {
    shared64 words[LINE_WORDS];
};

/* How many lines before their turn lines are asked for, to be written and to be read. */
enum { RING_AHEAD_OUT = 8, RING_AHEAD_IN = 4 };

struct release_entry {
    shared32 tag;
    uint32_t reserved;
    shared64 handle;
};

static_assert(sizeof(struct line) == LINE_SIZE && sizeof(struct release_entry) == 16, "as doc/PROTOCOL.md says");

struct ring_out {
    struct line *lines;       /* borrowed, in our outbox */
    const shared32 *consumed; /* borrowed, in the peer's */
    uint32_t mask, shift;
    uint32_t bytes_max; /* of one frame: ring_bytes_max() */
    uint32_t room;      /* lines that frames may take: all but one, and but one more while the ring may still grow */
    uint32_t known;     /* the newest `consumed` that we have looked at */
    uint32_t next_tag;
    struct line *next;
    uint64_t tail;      /* changed by ring_out_seek() alone */
    uint64_t bytes_end; /* the position behind the newest line of bytes */
};

struct ring_in {
    const struct line *lines; /* borrowed, in the peer's outbox */
    shared32 *consumed;       /* borrowed, in ours */
    uint32_t mask, shift;
    uint32_t bytes_max; /* of one frame: ring_bytes_max() */
    uint32_t published; /* what `consumed` says */
    uint64_t head;      /* changed by ring_in_seek() alone */
    const struct line *next;
    uint32_t next_tag;
};

struct release_out {
    struct release_entry *entries; /* borrowed, in our outbox */
    const shared32 *taken;         /* borrowed, in the peer's */
    uint32_t mask, shift;
    uint32_t known; /* the newest `taken` that we have looked at */
    uint64_t tail;
};

struct release_in {
    const struct release_entry *entries; /* borrowed, in the peer's outbox */
    shared32 *taken;                     /* borrowed, in ours */
    uint32_t mask, shift;
    uint32_t next_tag; /* of the entry of head, once it is there */
    uint64_t head;
};

/* `lines`, `entries`: a power of two. */
void ring_out_init(struct ring_out *ring, struct line *at, uint32_t lines, const shared32 *consumed);
void ring_in_init(struct ring_in *ring, const struct line *at, uint32_t lines, shared32 *consumed);
void release_out_init(struct release_out *ring, struct release_entry *at, uint32_t entries, const shared32 *taken);
void release_in_init(struct release_in *ring, const struct release_entry *at, uint32_t entries, shared32 *taken);

/*
 * The ring goes on in other memory, which is zero, and larger: positions go on too. The writer has written all that it
 * writes to the old lines; the reader has passed over the last of it.
 */
void ring_out_move(struct ring_out *ring, struct line *at, uint32_t lines);
void ring_in_move(struct ring_in *ring, const struct line *at, uint32_t lines);
void release_out_move(struct release_out *ring, struct release_entry *at, uint32_t entries);
void release_in_move(struct release_in *ring, const struct release_entry *at, uint32_t entries);

/* The most payload or text that one frame holds, bytes: a frame takes a quarter of the ring at most. */
uint32_t ring_bytes_max(uint32_t lines);

/* Is there room for `count` lines, as far as we have looked? At most `room` are written and not known to be consumed.
 */
static inline bool ring_knows_room(const struct ring_out *ring, uint64_t count) {
    return (uint32_t) ring->tail - ring->known + count <= ring->room;
}

/* Is there room for `count` lines? 1, 0, or -EPROTO: the peer's cursor makes no sense. Looks at it only if need be. */
int ring_has_room(struct ring_out *ring, uint64_t count);

static inline struct line *ring_out_line(const struct ring_out *ring, uint64_t position) {
    return &ring->lines[(uint32_t) position & ring->mask];
}

static inline uint32_t ring_tag(uint64_t position, uint32_t shift) {
    return (uint32_t) (position >> shift) + 1;
}

/* Goes on writing at `position`. */
static inline void ring_out_seek(struct ring_out *ring, uint64_t position) {
    ring->tail = position;
    ring->next = ring_out_line(ring, position);
    ring->next_tag = ring_tag(position, ring->shift);
}

/*
 * Publishes a frame of so many lines at the tail; all words are written but the first line's first word. If the line
 * behind it was a line of bytes a lap ago, its bytes may look like a tag: it gets that of the lap before.
 */
static inline void ring_publish(struct ring_out *ring, uint64_t word, uint64_t count) {
    struct line *line = ring->next;
    word |= ring->next_tag;
    ring_out_seek(ring, ring->tail + count);
    if (count >= LINE_SHORT_LINES) /* it may be no short frame */
        ring->bytes_end = ring->tail;
    if (ring->tail - ring->bytes_end <= ring->mask)
        shared64_store(&ring->next->words[0], ring->next_tag - 1);
    /* Release [RING1] pairs with the acquire in ring_has_frame(): all else that the frame says, and that the next line
     * is none, is written before its tag. */
    shared64_store_release(&line->words[0], word);
}

/*
 * Copies the bytes of the later lines of a frame that will be published at the tail: `size`, which is not 0, bytes of
 * private memory, at any address. The rest of the last line keeps what it had: our own bytes, of an earlier frame.
 */
static inline void ring_put_short(const struct ring_out *ring, const char *from, size_t size) {
    uint64_t at = ring->tail + 1;
    for (; size > LINE_SHORT_BYTES; at++, from += LINE_SHORT_BYTES, size -= LINE_SHORT_BYTES) {
        struct line *line = ring_out_line(ring, at);
        shared64_store(&line->words[0], ring_tag(at, ring->shift));
        words_put_few(&line->words[1], from, LINE_SHORT_BYTES / 8);
    }
    struct line *last = ring_out_line(ring, at);
    shared64_store(&last->words[0], ring_tag(at, ring->shift));
    words_put_line(&last->words[1], from, size);
}

static inline void ring_put_bytes(const struct ring_out *ring, const char *from, size_t size) {
    uint32_t at = (uint32_t) (ring->tail + 1) & ring->mask;
    size_t room = (size_t) (ring->mask + 1 - at) * LINE_SIZE;
    if (size > room) {
        words_put(ring->lines[at].words, from, room);
        from += room;
        size -= room;
        at = 0;
    }
    words_put(ring->lines[at].words, from, size);
}

static inline void ring_put_later(const struct ring_out *ring, const char *from, size_t size) {
    if (size <= LINE_SHORT_MOST - LINE_FIRST_BYTES)
        ring_put_short(ring, from, size);
    else
        ring_put_bytes(ring, from, size);
}

/* Asks for the lines of a next frame that is as long as the last one, and for the line behind it: they lie in the
 * reader's cache, which has read them a lap ago. */
static inline void ring_out_ask(const struct ring_out *ring, uint64_t count) {
    const struct line *line = ring->next, *end = line + count;
    if (count <= 2)
        line = end = ring_out_line(ring, ring->tail + RING_AHEAD_OUT);
    if (count == 2)
        end++;
    for (; line <= end; line++) /* at the ring's end also behind it, which does no harm */
        shared_ask_to_write(line);
}

/* Writes a frame of one line and publishes it. The caller has asked for room. */
static inline void ring_write_line(struct ring_out *ring, const uint64_t words[LINE_WORDS]) {
    for (int i = 1; i < LINE_WORDS; i++)
        shared64_store(&ring->next->words[i], words[i]);
    ring_publish(ring, words[0], 1);
}

/* Writes and publishes a frame of any size. `words` is its head (line_encode()), behind which the bytes go. */
void ring_write(struct ring_out *ring, const uint64_t words[LINE_WORDS], const void *bytes, uint32_t size);

static inline const struct line *ring_in_line(const struct ring_in *ring, uint64_t position) {
    return &ring->lines[(uint32_t) position & ring->mask];
}

/* Goes on reading at `position`. */
static inline void ring_in_seek(struct ring_in *ring, uint64_t position) {
    ring->head = position;
    ring->next = &ring->lines[(uint32_t) position & ring->mask];
    ring->next_tag = (uint32_t) (position >> ring->shift) + 1;
}

/* Copies the bytes of the later lines of the frame that is there. Whole words: up to seven bytes behind `size`, which
 * is not 0, are written too. */
static inline void ring_get_short(const struct ring_in *ring, char *to, size_t size) {
    uint64_t at = ring->head + 1;
    for (; size > LINE_SHORT_BYTES; at++, to += LINE_SHORT_BYTES, size -= LINE_SHORT_BYTES)
        words_get_few(&ring_in_line(ring, at)->words[1], to, LINE_SHORT_BYTES / 8);
    words_get_few(&ring_in_line(ring, at)->words[1], to, (size + 7) / 8);
}

static inline void ring_get_bytes(const struct ring_in *ring, char *to, size_t size) {
    uint32_t at = (uint32_t) (ring->head + 1) & ring->mask;
    size_t room = (size_t) (ring->mask + 1 - at) * LINE_SIZE;
    if (size > room)
        words_get(ring->lines[0].words, to + room, size - room);
    words_get(ring->lines[at].words, to, size > room ? room : size);
}

static inline void ring_get_later(const struct ring_in *ring, char *to, size_t size) {
    if (size <= LINE_SHORT_MOST - LINE_FIRST_BYTES)
        ring_get_short(ring, to, size);
    else
        ring_get_bytes(ring, to, size);
}

/* Is a frame there? If so its first line may be copied with ring_peek(). */
static inline bool ring_has_frame(const struct ring_in *ring) {
    /* Acquire [RING1] pairs with the release in ring_publish(): what the frame says was written before its tag. Weaker:
     * words of an earlier lap are taken for it. */
    return (uint32_t) shared64_load_acquire(&ring->next->words[0]) == ring->next_tag;
}

/* Asks for a line that will soon be read. */
static inline void ring_in_ask(const struct ring_in *ring) {
    shared_ask_to_read(ring_in_line(ring, ring->head + RING_AHEAD_IN));
}

static inline void ring_peek(const struct ring_in *ring, uint64_t words[LINE_WORDS]) {
    for (int i = 0; i < LINE_WORDS; i++)
        words[i] = shared64_load(&ring->next->words[i]);
}

/* Copies the frame's bytes. `size` is at most ring_bytes_max(). */
void ring_collect(const struct ring_in *ring, void *to, uint32_t size);

/* Tells the writer of every line that is free. false: it knew. */
bool ring_publish_consumed(struct ring_in *ring);

/* Passes over the frame. Tells the writer so once a quarter of the ring is free that it does not know of: then true. */
static inline bool ring_advance(struct ring_in *ring, uint64_t count) {
    ring_in_seek(ring, ring->head + count);
    return (uint32_t) ring->head - ring->published > ring->mask / 4 && ring_publish_consumed(ring);
}

/* Is there room for one more, as far as we have looked? */
static inline bool release_knows_room(const struct release_out *ring) {
    return (uint32_t) ring->tail - ring->known <= ring->mask;
}

/* Is there room for one more? As ring_has_room(). */
int release_has_room(struct release_out *ring);

/* There is room. */
static inline void release_write(struct release_out *ring, uint64_t handle) {
    struct release_entry *entry = &ring->entries[ring->tail & ring->mask];
    shared64_store(&entry->handle, handle);
    /* Release [REL1] pairs with the acquire in release_is_there(): the handle, and all our reads of the block, come
     * before it. Weaker: the owner writes to a block that is still read here. */
    shared32_store_release(&entry->tag, ring_tag(ring->tail, ring->shift));
    ring->tail++;
}

/* Goes on reading at `position`. */
static inline void release_in_seek(struct release_in *ring, uint64_t position) {
    ring->head = position;
    ring->next_tag = (uint32_t) (position >> ring->shift) + 1;
}

static inline bool release_is_there(const struct release_in *ring) {
    /* Acquire [REL1], partner above. */
    return shared32_load_acquire(&ring->entries[ring->head & ring->mask].tag) == ring->next_tag;
}

/* The next handle that was given back; false: none. */
static inline bool release_read(struct release_in *ring, uint64_t *ret_handle) {
    if (!release_is_there(ring))
        return false;
    *ret_handle = shared64_load(&ring->entries[ring->head & ring->mask].handle);
    release_in_seek(ring, ring->head + 1);
    /* Release [CUR2], partner in release_has_room(). */
    shared32_store_release(ring->taken, (uint32_t) ring->head);
    return true;
}

#endif
