/* SPDX-License-Identifier: MIT */
/*
 * lane/ring and lane/doorbell with a thread at each end: frames, releases, and sleep, in memory that both threads see.
 * The payloads are plain memory, so the thread sanitizer reports an error if a barrier of doc/memory-model.md is
 * missing.
 *
 * A thread without work polls a few times, or sleeps at once, at random. A lost wake-up is a wait that never ends, and
 * fails the test. The sizes are small, so that rings are often full and empty; the long run, between processes, is in
 * tests/stress.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/random.h"
#include "support/ring_end.h"
#include "support/scale.h"
#include "support/suite.h"

#define LINES 64
#define RELEASES 256

struct end {
    struct ring_end ring;
    uint64_t state;
    uint64_t to_send, to_take; /* frames */
    uint64_t sent, taken;
};
static struct end ends[2];
static struct outbox outboxes[2];
static int fds[2];

/* The blocks that the frames name: each belongs to the end that holds it at the moment. */
static uint64_t blocks[RELEASES][8];

static void end_init(int i, uint64_t to_send, uint64_t to_take) {
    ends[i] = (struct end){.state = 77 + (uint64_t) i, .to_send = to_send, .to_take = to_take};
    ring_end_init(&ends[i].ring, &outboxes[i], &outboxes[1 - i], fds[i]);
}

static void scene_set(uint64_t first_sends, uint64_t second_sends) {
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(outbox_new(&outboxes[i], LINES, RELEASES), 0);
    end_init(0, first_sends, second_sends);
    end_init(1, second_sends, first_sends);
}

static void end_wait(struct end *end, uint32_t wants) {
    for (uint32_t looks = random_below(&end->state, 4); looks > 0; looks--) {
        if (ring_end_has(&end->ring, wants))
            return;
        sched_yield();
    }
    ring_end_sleep(&end->ring, wants);
}

static void *end_finish(struct end *end) {
    ring_end_finish(&end->ring);
    return end->ring.is_lost ? "a wake-up was lost" : NULL;
}

/* --- frames, both ways --- */

static void frame_make(uint64_t number, uint8_t bytes[], uint32_t *ret_size) {
    uint64_t state = number * 2 + 1;
    random_next(&state);
    *ret_size = random_below(&state, 3) ? random_below(&state, 33) : random_below(&state, ring_bytes_max(LINES));
    for (uint32_t i = 0; i < *ret_size; i++)
        bytes[i] = (uint8_t) (number + i);
}

static bool frame_send(struct end *end) {
    uint8_t bytes[1024];
    uint64_t words[LINE_WORDS];
    uint32_t size;
    frame_make(end->sent, bytes, &size);
    if (ring_has_room(&end->ring.out, line_count(size)) != 1)
        return false;
    const struct wire_message message = {.payload_size = size, .payload_class = size ? WIRE_CLASS_INLINE : 0};
    line_encode(words, WIRE_CALL, end->sent, &message);
    ring_write(&end->ring.out, words, bytes, size);
    end->sent++;
    ring_end_ring(&end->ring, DOORBELL_FRAMES);
    return true;
}

/* Returns whether it was the expected frame. */
static bool frame_take(struct end *end) {
    uint8_t wanted[1024], bytes[1024];
    uint64_t words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t size, wanted_size;
    frame_make(end->taken, wanted, &wanted_size);
    ring_peek(&end->ring.in, words);
    if (line_decode(words, &frame, &size) || frame.head.id != end->taken || size != wanted_size)
        return false;
    ring_collect(&end->ring.in, bytes, size);
    if (memcmp(bytes, wanted, size) != 0)
        return false;
    if (ring_advance(&end->ring.in, line_count(size)))
        ring_end_ring(&end->ring, DOORBELL_ROOM);
    end->taken++;
    return true;
}

static void *converse(void *arg) {
    struct end *end = arg;
    while ((end->sent < end->to_send || end->taken < end->to_take) && !end->ring.is_lost) {
        bool can_send = end->sent < end->to_send && random_below(&end->state, 8);
        if (can_send && frame_send(end))
            continue;
        if (!ring_has_frame(&end->ring.in)) {
            if (end->sent < end->to_send && ring_has_room(&end->ring.out, LINES / 4) == 1)
                continue;
            end_wait(end, end->sent < end->to_send ? DOORBELL_ROOM : 0);
        } else if (!frame_take(end)) {
            return "another frame than was sent";
        }
    }
    return end_finish(end);
}

/* --- leases: frames one way, releases the other --- */

static uint64_t block_sum(const uint64_t block[8]) {
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++)
        sum += block[i];
    return sum;
}

/* Writes to a free block and grants it to the other end. */
static void block_grant(struct end *end, uint64_t handle) {
    uint64_t words[LINE_WORDS];
    for (int i = 0; i < 8; i++)
        blocks[handle - 1][i] = end->sent + (uint64_t) i;
    const struct wire_message message = {
        .handle = handle, .payload_size = block_sum(blocks[handle - 1]), .payload_class = WIRE_CLASS_POOLED};
    line_encode(words, WIRE_CALL, end->sent++, &message);
    ring_write(&end->ring.out, words, NULL, 0);
    ring_end_ring(&end->ring, DOORBELL_FRAMES);
}

static void *own_blocks(void *arg) {
    struct end *end = arg;
    uint64_t free_handles[RELEASES], handle;
    uint32_t free_count = RELEASES;
    for (uint32_t i = 0; i < RELEASES; i++)
        free_handles[i] = i + 1;
    while ((end->sent < end->to_send || free_count < RELEASES) && !end->ring.is_lost) {
        while (release_read(&end->ring.releases_in, &handle)) {
            if (handle < 1 || handle > RELEASES || free_count == RELEASES)
                return "a release of what was not out";
            blocks[handle - 1][0]++; /* the block has come back */
            free_handles[free_count++] = handle;
        }
        if (end->sent < end->to_send && free_count > 0 && ring_has_room(&end->ring.out, 1) == 1)
            block_grant(end, free_handles[--free_count]);
        else if (end->sent < end->to_send || free_count < RELEASES)
            end_wait(end, DOORBELL_ROOM | DOORBELL_RELEASES);
    }
    return end_finish(end);
}

static void release_one(struct end *end, uint64_t held[], uint32_t *count) {
    uint32_t i = random_below(&end->state, *count);
    release_write(&end->ring.releases_out, held[i]);
    held[i] = held[--*count];
    ring_end_ring(&end->ring, DOORBELL_RELEASES);
}

static void *hold_blocks(void *arg) {
    struct end *end = arg;
    uint64_t held[RELEASES], words[LINE_WORDS];
    uint32_t count = 0, size;
    struct wire_frame frame;
    while ((end->taken < end->to_take || count > 0) && !end->ring.is_lost) {
        if (!ring_has_frame(&end->ring.in)) {
            if (count > 0)
                release_one(end, held, &count);
            else
                end_wait(end, 0);
            continue;
        }
        ring_peek(&end->ring.in, words);
        if (line_decode(words, &frame, &size) || frame.head.id != end->taken++ || count == RELEASES)
            return "another frame than was sent";
        if (block_sum(blocks[frame.message.handle - 1]) != frame.message.payload_size)
            return "a block that was written to while it was held";
        if (ring_advance(&end->ring.in, 1))
            ring_end_ring(&end->ring, DOORBELL_ROOM);
        held[count++] = frame.message.handle;
        while (count > 0 && random_below(&end->state, 3) == 0)
            release_one(end, held, &count);
    }
    return end_finish(end);
}

/* --- the tests --- */

static void run_both(void *(*first)(void *), void *(*second)(void *) ) {
    pthread_t thread;
    void *fault = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, second, &ends[1]), 0);
    const char *own_fault = first(&ends[0]);
    pthread_join(thread, &fault);
    ck_assert_msg(!own_fault, "first end: %s, after %llu sent and %llu taken", own_fault,
                  (unsigned long long) ends[0].sent, (unsigned long long) ends[0].taken);
    ck_assert_msg(!fault, "second end: %s, after %llu sent and %llu taken", (const char *) fault,
                  (unsigned long long) ends[1].sent, (unsigned long long) ends[1].taken);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(ends[i].sent, ends[i].to_send);
        ck_assert_uint_eq(ends[i].taken, ends[i].to_take);
        ck_assert_uint_le(ends[i].ring.rung, ends[1 - i].ring.arms); /* at most one doorbell for each episode */
        ck_assert(!ring_has_frame(&ends[i].ring.in));
        ck_assert(!release_is_there(&ends[i].ring.releases_in));
    }
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        outbox_deinit(&outboxes[i]);
    }
}

START_TEST(test_frames_one_way) {
    scene_set(scaled(400000), 0);
    run_both(converse, converse);
}
END_TEST

START_TEST(test_frames_both_ways) {
    scene_set(scaled(200000), scaled(200000));
    run_both(converse, converse);
}
END_TEST

START_TEST(test_releases) {
    scene_set(scaled(400000), 0);
    run_both(own_blocks, hold_blocks);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("ring_threads");
    suite_guard(s, 600);
    suite_add(s, test_frames_one_way);
    suite_add(s, test_frames_both_ways);
    suite_add(s, test_releases);
    return suite_run(s);
}
