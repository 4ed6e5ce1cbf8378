/* SPDX-License-Identifier: MIT */
/*
 * lane/ring: both ends of each ring on one thread, in memory that the test can inspect.
 *
 * test_ring_threads and tests/stress check that other CPUs see the publishing store last.
 */
#include "lane/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/document.h"
#include "support/random.h"
#include "support/suite.h"
#include "unit/line_samples.h"

#define LINES_MOST 16384
#define BYTES_MOST (LINE_FIRST_BYTES + (LINES_MOST / 4 - 1) * LINE_MORE_BYTES)
#define COUNT(array) (int) (sizeof(array) / sizeof((array)[0]))

/* A ring of frames with both its ends, between pages that no access may touch. */
static struct scene {
    struct line *lines;
    uint32_t count;
    shared32 consumed;
    struct ring_out out;
    struct ring_in in;
} scene;

static size_t scene_size(void) {
    return (scene.count * sizeof(struct line) + 4095) & ~(size_t) 4095;
}

static void scene_set(uint32_t lines) {
    scene.count = lines;
    char *pages = mmap(NULL, scene_size() + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(pages, MAP_FAILED);
    ck_assert_int_eq(mprotect(pages + 4096, scene_size(), PROT_READ | PROT_WRITE), 0);
    scene.lines = (struct line *) (void *) (pages + 4096);
    shared32_store(&scene.consumed, 0);
    ring_out_init(&scene.out, scene.lines, lines, &scene.consumed);
    ring_in_init(&scene.in, scene.lines, lines, &scene.consumed);
}

static void scene_end(void) {
    munmap((char *) scene.lines - 4096, scene_size() + 8192);
}

/* Advances the ring as if the connection had come to `position`, the first of a lap. Every line has the tag of the
 * lap before. */
static void scene_advance_to(uint64_t position) {
    uint32_t tag = (uint32_t) (position >> scene.in.shift);
    for (uint32_t i = 0; i < scene.count; i++)
        shared64_store(&scene.lines[i].words[0], UINT64_C(0x0103) << 32 | tag);
    ring_out_seek(&scene.out, position);
    ring_in_seek(&scene.in, position);
    scene.out.known = scene.in.published = (uint32_t) position;
    shared32_store(&scene.consumed, (uint32_t) position);
}

/* Returns the line of `position`. */
static struct line *line_of(uint64_t position) {
    return &scene.lines[(uint32_t) position & scene.in.mask];
}

static uint32_t tag_at(uint64_t position) {
    return (uint32_t) shared64_load(&line_of(position)->words[0]);
}

static bool is_frame_at(uint64_t position) {
    struct ring_in in = scene.in;
    ring_in_seek(&in, position);
    return ring_has_frame(&in);
}

/* Fills the bytes with a pattern that differs between frames and between places in a frame. */
static void pattern(uint8_t *bytes, uint32_t size, uint64_t seed) {
    uint64_t state = seed * 2 + 1;
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = random_next(&state);
        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}

static void frame_write(const void *bytes, uint32_t size, uint64_t id) {
    const struct wire_message message = {
        .method = 7, .payload_size = size, .payload_class = size ? WIRE_CLASS_INLINE : 0};
    uint64_t words[LINE_WORDS];
    line_encode(words, WIRE_CALL, id, &message);
    if (ring_has_room(&scene.out, line_count(size)) != 1)
        ck_abort_msg("no room for %u bytes", size);
    ring_write(&scene.out, words, bytes, size);
}

/* Copies the next frame, compares it with the expected one, and passes over it. */
static void frame_read(const uint8_t *bytes, uint32_t size, uint64_t id) {
    static uint8_t copy[BYTES_MOST];
    uint64_t words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t found;
    if (!ring_has_frame(&scene.in))
        ck_abort_msg("no frame at %llu", (unsigned long long) scene.in.head);
    ring_peek(&scene.in, words);
    const char *wrong = line_decode(words, &frame, &found);
    if (wrong || frame.head.id != id || found != size)
        ck_abort_msg("frame %llu of %u bytes, not %llu of %u: %s", (unsigned long long) frame.head.id, found,
                     (unsigned long long) id, size, wrong ? wrong : "");
    ring_collect(&scene.in, copy, size);
    if (size > 0 && memcmp(copy, bytes, size) != 0)
        ck_abort_msg("frame %llu: other bytes", (unsigned long long) id);
    ring_advance(&scene.in, line_count(size));
}

/* --- frames: where they lie --- */

/* The golden bytes of doc/PROTOCOL.md: tags, heads and bytes, each in its place. */
START_TEST(test_golden) {
    const struct line_sample *sample = &line_samples[_i];
    uint8_t wanted[256];
    uint64_t words[LINE_WORDS];
    size_t size = hex_read(sample->hex, wanted, sizeof(wanted));
    scene_set(64);
    line_encode(words, sample->type, sample->id, &sample->message);
    ring_write(&scene.out, words, sample->bytes, sample->bytes ? (uint32_t) strlen(sample->bytes) : 0);
    ck_assert_uint_eq(scene.out.tail, size / LINE_SIZE);
    for (size_t i = 0; i < size / LINE_SIZE; i++)
        assert_bytes(sample->name, (const uint8_t *) line_of(i), LINE_SIZE, wanted + i * LINE_SIZE, LINE_SIZE);
    scene_end();
}
END_TEST

/* Each line is used once a lap, one after the other. */
START_TEST(test_every_line_is_used) {
    uint32_t lines = 64u << _i;
    scene_set(lines);
    for (uint32_t i = 0; i < lines - 1; i++) {
        frame_write(NULL, 0, i);
        ck_assert_ptr_eq(line_of(i), &scene.lines[i]);
    }
    for (uint32_t i = 0; i < lines - 1; i++)
        ck_assert_uint_eq((uint32_t) shared64_load(&scene.lines[i].words[0]), 1);
    ck_assert_int_eq(ring_has_room(&scene.out, 1), 0);
    frame_read(NULL, 0, 0);
    ring_publish_consumed(&scene.in);
    frame_write(NULL, 0, lines - 1);
    ck_assert_uint_eq((uint32_t) shared64_load(&scene.lines[lines - 1].words[0]), 1);
    scene_end();
}
END_TEST

START_TEST(test_bytes_max_fills_a_quarter) {
    for (uint32_t lines = 64; lines <= LINES_MOST; lines *= 2) {
        ck_assert_uint_eq(line_count(ring_bytes_max(lines)), lines / 4);
        ck_assert_uint_eq(line_count(ring_bytes_max(lines) + 1), lines / 4 + 1);
    }
}
END_TEST

/* Every size that a frame may have, and so each size at many places of the lap, including its boundary. */
START_TEST(test_every_size_arrives) {
    static const uint32_t rings[] = {64, 256};
    static uint8_t bytes[BYTES_MOST];
    scene_set(rings[_i]);
    for (int lap = 0; lap < 2; lap++)
        for (uint32_t size = 0; size <= ring_bytes_max(scene.count); size++) {
            pattern(bytes, size, size);
            frame_write(bytes, size, size);
            frame_read(bytes, size, size);
            if (ring_has_frame(&scene.in))
                ck_abort_msg("a frame behind the last, of %u bytes", size);
        }
    scene_end();
}
END_TEST

/* The largest payload in the largest ring, across the end of the lap. */
START_TEST(test_the_largest_ring) {
    static uint8_t bytes[BYTES_MOST];
    scene_set(LINES_MOST);
    pattern(bytes, WIRE_INLINE_CEILING, 1);
    for (uint64_t i = 0; i < 15; i++) {
        frame_write(NULL, 0, i);
        frame_read(NULL, 0, i);
        frame_write(bytes, WIRE_INLINE_CEILING, i);
        frame_read(bytes, WIRE_INLINE_CEILING, i);
    }
    scene_end();
}
END_TEST

/* Every line of a short frame has its own lap's tag, for any size: so no payload lies on a tag. Of a longer frame only
 * the first line has. */
START_TEST(test_every_line_has_its_tag) {
    static uint8_t bytes[BYTES_MOST];
    scene_set(64);
    memset(bytes, 0xff, sizeof(bytes));
    for (uint32_t round = 0; round < 1000; round++) {
        uint64_t from = scene.out.tail;
        uint32_t size = round % (ring_bytes_max(64) + 1);
        frame_write(bytes, size, round);
        uint64_t end = size <= LINE_SHORT_MOST ? scene.out.tail : from + 1;
        for (uint64_t at = from; at < end; at++)
            if (tag_at(at) != (uint32_t) (at / 64) + 1)
                ck_abort_msg("round %u: tag %u at %llu", round, tag_at(at), (unsigned long long) at);
        frame_read(bytes, size, round);
    }
    scene_end();
}
END_TEST

/* --- frames: when they are seen --- */

/* The stores of one frame, separated: the memory before them and after them. */
struct stores {
    struct line before[64], after[64];
    uint64_t tail;
};

static void stores_take(struct stores *ret, uint32_t size, uint64_t seed) {
    static uint8_t bytes[BYTES_MOST];
    pattern(bytes, size, seed);
    ret->tail = scene.out.tail;
    memcpy(ret->before, scene.lines, sizeof(ret->before));
    frame_write(bytes, size, seed);
    memcpy(ret->after, scene.lines, sizeof(ret->after));
}

/* Makes a random choice of the new words visible, in any order, but not the first word of the first line. */
static void stores_show_some(const struct stores *stores, uint64_t *state) {
    const void *first = &line_of(stores->tail)->words[0];
    memcpy(scene.lines, stores->before, sizeof(stores->before));
    uint32_t often = random_below(state, 5);
    for (int line = 0; line < 64; line++)
        for (int i = 0; i < LINE_WORDS; i++)
            if (&scene.lines[line].words[i] != first && random_below(state, 4) < often)
                scene.lines[line].words[i] = stores->after[line].words[i];
}

/* One store publishes a frame: before it the reader sees no frame, whichever other words are visible. */
START_TEST(test_the_first_tag_publishes) {
    uint64_t state = 99;
    scene_set(64);
    for (uint32_t round = 0; round < 3000; round++) {
        struct stores stores;
        uint32_t size = random_below(&state, ring_bytes_max(64) + 1);
        stores_take(&stores, size, round + 1);
        for (int i = 0; i < 4; i++) {
            stores_show_some(&stores, &state);
            for (uint64_t at = stores.tail; at < scene.out.tail; at++)
                if (is_frame_at(stores.tail))
                    ck_abort_msg("round %u: %u bytes are seen too early", round, size);
        }
        memcpy(scene.lines, stores.after, sizeof(stores.after));
        static uint8_t bytes[BYTES_MOST];
        pattern(bytes, size, round + 1);
        frame_read(bytes, size, round + 1);
    }
    scene_end();
}
END_TEST

/* Returns a word as it lies in rings: the head of a frame, with the tag of this lap, the next lap, or any later one. */
static uint64_t lure(uint64_t *state) {
    static const uint64_t heads[] = {UINT64_C(0x0103) << 32, UINT64_C(0x0003) << 32, UINT64_C(0x0009) << 32, 0};
    uint32_t lap = (uint32_t) (scene.out.tail >> scene.out.shift);
    return heads[random_below(state, COUNT(heads))] | (uint32_t) (lap + random_below(state, 6));
}

/*
 * An honest writer relays an attacker's payloads, which look like frames of all laps to come. For any sizes, and so at
 * any places, none of them is ever taken for a frame at the place where the reader looks for the next one, neither
 * before the last frame is read nor afterwards.
 */
START_TEST(test_payloads_are_never_frames) {
    static uint64_t words[BYTES_MOST / 8];
    uint64_t state = 7 + (uint64_t) _i;
    scene_set(64);
    scene_advance_to(_i == 0 ? 0 : (UINT64_C(0xffffffff) - 100) << scene.in.shift);
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t size = random_below(&state, ring_bytes_max(64) / 8 + 1) * 8;
        for (uint32_t i = 0; i < size / 8; i++)
            words[i] = lure(&state);
        frame_write(words, size, round);
        if (is_frame_at(scene.out.tail))
            ck_abort_msg("round %u: a frame beyond the last, of %u bytes", round, size);
        frame_read((const uint8_t *) words, size, round);
        if (ring_has_frame(&scene.in))
            ck_abort_msg("round %u: a frame behind the last", round);
    }
    scene_end();
}
END_TEST

START_TEST(test_nothing_in_a_new_ring) {
    scene_set(256);
    for (uint64_t at = 0; at < 256; at++)
        ck_assert(!is_frame_at(at));
    scene_end();
}
END_TEST

/* Tags have 32 bits: lap 2^32 - 1 has tag 0, and the next lap has tag 1 again. Cursors have 32 bits, too, and wrap
 * far earlier. */
START_TEST(test_numbers_wrap) {
    static const uint64_t before_wrap[] = {(UINT64_C(1) << 32) - 128, ((UINT64_C(1) << 32) - 3) << 6};
    static uint8_t bytes[BYTES_MOST];
    uint64_t state = 5;
    scene_set(64);
    scene_advance_to(before_wrap[_i]);
    for (uint32_t lines = 0, round = 0; lines < 6 * 64; round++) {
        uint32_t size = random_below(&state, ring_bytes_max(64) + 1);
        pattern(bytes, size, round);
        ck_assert(!ring_has_frame(&scene.in));
        frame_write(bytes, size, round);
        frame_read(bytes, size, round);
        lines += (uint32_t) line_count(size);
    }
    if (_i == 1)
        ck_assert_uint_lt((uint32_t) (scene.out.tail >> 6), 10);
    else
        ck_assert_uint_gt(scene.out.tail, UINT64_C(1) << 32);
    scene_end();
}
END_TEST

/* The ring becomes full and empty, by turns, across both wraps. */
START_TEST(test_full_rings_wrap) {
    static const uint64_t starts[] = {0, (UINT64_C(1) << 32) - 64, ((UINT64_C(1) << 32) - 2) << 6};
    scene_set(64);
    scene_advance_to(starts[_i]);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint64_t i = 0; i < 63; i++)
            frame_write(NULL, 0, i);
        ck_assert_int_eq(ring_has_room(&scene.out, 1), 0);
        for (uint64_t i = 0; i < 63; i++)
            frame_read(NULL, 0, i);
        ck_assert(!ring_has_frame(&scene.in));
        ring_publish_consumed(&scene.in);
        ck_assert_int_eq(ring_has_room(&scene.out, 63), 1);
    }
    scene_end();
}
END_TEST

/* --- frames: room --- */

START_TEST(test_room) {
    scene_set(64);
    ck_assert_int_eq(ring_has_room(&scene.out, 63), 1);
    ck_assert_int_eq(ring_has_room(&scene.out, 64), 0);
    for (uint64_t i = 0; i < 60; i++)
        frame_write(NULL, 0, i);
    ck_assert_int_eq(ring_has_room(&scene.out, 3), 1);
    ck_assert_int_eq(ring_has_room(&scene.out, 4), 0);
    shared32_store(&scene.consumed, 10);
    ck_assert_int_eq(ring_has_room(&scene.out, 13), 1);
    ck_assert_int_eq(ring_has_room(&scene.out, 14), 0);
    scene_end();
}
END_TEST

/* The peer's cursor line is not read without need: here reading it raises a fatal signal. */
START_TEST(test_the_cursor_is_looked_at_only_if_need_be) {
    scene_set(64);
    scene.out.consumed = (const shared32 *) (const void *) ((char *) scene.lines - 64);
    for (uint64_t i = 0; i < 63; i++)
        frame_write(NULL, 0, i);
    ck_assert_uint_eq(scene.out.tail, 63);
    scene_end();
}
END_TEST

/* A cursor may lie anywhere from the last known one to the written position; every other value is a lie. */
START_TEST(test_absurd_cursors) {
    static const uint64_t starts[] = {0, 1000, (UINT64_C(1) << 32) - 30, ((UINT64_C(1) << 32) - 1) << 6};
    const uint32_t base = (uint32_t) starts[_i], known = base + 5, tail = base + 50;
    scene_set(64);
    for (uint32_t distance = 0; distance <= 45; distance++) {
        ring_out_seek(&scene.out, starts[_i] + 50);
        scene.out.known = known;
        shared32_store(&scene.consumed, known + distance);
        ck_assert_int_eq(ring_has_room(&scene.out, 63), distance == 45);
        ck_assert_uint_eq(scene.out.known, known + distance);
    }
    const uint32_t lies[] = {
        tail + 1,           tail + 2,   tail + 64,          tail + 0x7fffffff,  tail + 0x80000000,  known - 1,
        known - 2,          known - 64, known - 0x7fffffff, known + 0x80000000, known ^ 0x80000000, tail ^ 0x80000000,
        known + 0xffff0000, ~known};
    for (int i = 0; i < COUNT(lies); i++) {
        ring_out_seek(&scene.out, starts[_i] + 50);
        scene.out.known = known;
        shared32_store(&scene.consumed, lies[i]);
        ck_assert_msg(ring_has_room(&scene.out, 64) == -EPROTO, "cursor %#x is taken, from %#x to %#x", lies[i], known,
                      tail);
        ck_assert_uint_eq(scene.out.known, known);
    }
    scene_end();
}
END_TEST

START_TEST(test_any_cursor) {
    uint64_t state = 3;
    scene_set(256);
    for (int round = 0; round < 100000; round++) {
        uint64_t tail = random_next(&state);
        uint32_t used = random_below(&state, 256), cursor = (uint32_t) random_next(&state);
        if (round % 2)
            cursor = (uint32_t) tail - random_below(&state, 600) + 150;
        ring_out_seek(&scene.out, tail);
        scene.out.known = (uint32_t) tail - used;
        shared32_store(&scene.consumed, cursor);
        bool is_known = used == 0;
        bool is_honest = (uint32_t) tail - cursor <= used;
        int wanted = is_known ? 1 : !is_honest ? -EPROTO : cursor == (uint32_t) tail;
        if (ring_has_room(&scene.out, 255) != wanted)
            ck_abort_msg("tail %llu, %u used, cursor %u: not %d", (unsigned long long) tail, used, cursor, wanted);
    }
    scene_end();
}
END_TEST

/* The reader stores its cursor each quarter, and when it is about to sleep; never a cursor that the writer knows. */
START_TEST(test_consumed_is_told_each_quarter) {
    uint32_t lines = 64u << _i;
    scene_set(lines);
    ck_assert(!ring_publish_consumed(&scene.in));
    for (uint32_t i = 1; i <= 3 * lines; i++) {
        bool was_told = ring_advance(&scene.in, 1);
        ck_assert_int_eq(was_told, i % (lines / 4) == 0);
        ck_assert_uint_eq(shared32_load(&scene.consumed), i / (lines / 4) * (lines / 4));
    }
    ck_assert(!ring_publish_consumed(&scene.in));
    ck_assert(!ring_advance(&scene.in, 1));
    ck_assert(ring_publish_consumed(&scene.in));
    ck_assert_uint_eq(shared32_load(&scene.consumed), 3 * lines + 1);
    ck_assert(!ring_publish_consumed(&scene.in));
    scene_end();
}
END_TEST

/* A reader that has read everything leaves room for the largest frame, although it has not stored the cursor of the
 * last quarter. */
START_TEST(test_there_is_always_room_for_the_largest) {
    static uint8_t bytes[BYTES_MOST];
    uint64_t state = 11;
    scene_set(64);
    for (uint32_t round = 0; round < 5000; round++) {
        uint32_t size = random_below(&state, ring_bytes_max(64) + 1);
        ck_assert_int_eq(ring_has_room(&scene.out, 16), 1);
        frame_write(bytes, size, round);
        frame_read(bytes, size, round);
    }
    scene_end();
}
END_TEST

/* As many frames as fit lie in the ring at a time. */
START_TEST(test_frames_queue) {
    static uint8_t bytes[BYTES_MOST];
    uint64_t state = 17, written = 0, read = 0;
    uint32_t sizes[64];
    scene_set(64);
    while (read < 20000) {
        uint32_t size =
            random_below(&state, 8) ? random_below(&state, 33) : random_below(&state, ring_bytes_max(64) + 1);
        if (random_below(&state, 2) && ring_has_room(&scene.out, line_count(size)) == 1) {
            pattern(bytes, size, written);
            sizes[written % 64] = size;
            frame_write(bytes, size, written++);
        } else if (read < written) {
            pattern(bytes, sizes[read % 64], read);
            frame_read(bytes, sizes[read % 64], read);
            read++;
        } else {
            ck_assert(!ring_has_frame(&scene.in));
        }
    }
    scene_end();
}
END_TEST

/* The reader copies between a hostile writer's stores: for any first line, it reads no byte outside the ring. */
START_TEST(test_collecting_stays_inside) {
    static uint8_t copy[BYTES_MOST];
    static const uint32_t rings[] = {64, 256, 1024};
    scene_set(rings[_i]);
    for (uint64_t at = 0; at < scene.count; at++) {
        ring_in_seek(&scene.in, UINT64_MAX - scene.count / 2 + at);
        ring_collect(&scene.in, copy, ring_bytes_max(scene.count));
        ring_collect(&scene.in, copy, 0);
    }
    scene_end();
}
END_TEST

/* --- releases --- */

static struct release_entry entries[1024];
static struct release_out releases_out;
static shared32 taken;
static struct release_in releases_in;

static void releases_set(uint32_t count, uint64_t position) {
    memset(entries, 0, sizeof(entries));
    shared32_store(&taken, 0);
    release_out_init(&releases_out, entries, count, &taken);
    release_in_init(&releases_in, entries, count, &taken);
    for (uint32_t i = 0; i < count && position > 0; i++)
        shared32_store(&entries[i].tag, (uint32_t) (position >> releases_in.shift));
    releases_out.tail = position;
    release_in_seek(&releases_in, position);
}

/* As many releases as there can be leases, lap after lap, without a cursor from the reader in between. */
START_TEST(test_releases_never_block) {
    static const uint64_t starts[] = {0, (UINT64_C(1) << 32) - 256, ((UINT64_C(1) << 32) - 3) << 8};
    uint64_t handle, next = 1;
    releases_set(256, starts[_i]);
    ck_assert(!release_is_there(&releases_in));
    for (int lap = 0; lap < 6; lap++) {
        for (uint64_t i = 0; i < 256; i++)
            release_write(&releases_out, next + i);
        for (uint64_t i = 0; i < 256; i++) {
            ck_assert(release_is_there(&releases_in));
            ck_assert(release_read(&releases_in, &handle));
            ck_assert_uint_eq(handle, next + i);
        }
        next += 256;
        ck_assert(!release_is_there(&releases_in));
        ck_assert(!release_read(&releases_in, &handle));
    }
}
END_TEST

START_TEST(test_releases_in_any_rhythm) {
    uint64_t state = 23, written = 0, read = 0, handle;
    releases_set(1024, 0);
    while (read < 100000) {
        if (random_below(&state, 2) && written - read < 1024)
            release_write(&releases_out, ++written * 0x100000001);
        else if (release_read(&releases_in, &handle) != (read < written))
            ck_abort_msg("%llu written, %llu read", (unsigned long long) written, (unsigned long long) read);
        else if (read < written && handle != ++read * 0x100000001)
            ck_abort_msg("handle %llx at %llu", (unsigned long long) handle, (unsigned long long) read);
    }
}
END_TEST

/* Handles that look like the tags of later laps; and a handle without its tag. */
START_TEST(test_the_tag_publishes_a_release) {
    uint64_t handle;
    releases_set(256, 0);
    for (uint64_t i = 0; i < 10 * 256; i++) {
        uint32_t tag = (uint32_t) (i >> 8) + 1;
        shared64_store(&entries[i & 255].handle, (uint64_t) tag << 32 | tag);
        if (release_is_there(&releases_in))
            ck_abort_msg("release %u is seen without its tag", (unsigned) i);
        release_write(&releases_out, (uint64_t) (tag + 1) << 32 | (tag + 1));
        if (!release_read(&releases_in, &handle))
            ck_abort_msg("release %u is not seen", (unsigned) i);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("ring");
    suite_add_loop(s, test_golden, 0, LINE_SAMPLES);
    suite_add_loop(s, test_every_line_is_used, 0, 9);
    suite_add(s, test_bytes_max_fills_a_quarter);
    suite_add_loop(s, test_every_size_arrives, 0, 2);
    suite_add(s, test_the_largest_ring);
    suite_add(s, test_every_line_has_its_tag);
    suite_add(s, test_the_first_tag_publishes);
    suite_add_loop(s, test_payloads_are_never_frames, 0, 2);
    suite_add(s, test_nothing_in_a_new_ring);
    suite_add_loop(s, test_numbers_wrap, 0, 2);
    suite_add_loop(s, test_full_rings_wrap, 0, 3);
    suite_add(s, test_room);
    suite_add(s, test_the_cursor_is_looked_at_only_if_need_be);
    suite_add_loop(s, test_absurd_cursors, 0, 4);
    suite_add(s, test_any_cursor);
    suite_add_loop(s, test_consumed_is_told_each_quarter, 0, 9);
    suite_add(s, test_there_is_always_room_for_the_largest);
    suite_add(s, test_frames_queue);
    suite_add_loop(s, test_collecting_stays_inside, 0, 3);
    suite_add_loop(s, test_releases_never_block, 0, 3);
    suite_add(s, test_releases_in_any_rhythm);
    suite_add(s, test_the_tag_publishes_a_release);
    return suite_run(s);
}
