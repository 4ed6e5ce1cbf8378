/* SPDX-License-Identifier: MIT */
/*
 * lane/ring_growth: rings begin small and are followed by larger ones. The tests check when rings grow, that growth
 * loses and reorders no message, and the cases in which a larger ring cannot be made or cannot be accepted.
 */
#include "support/suite.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/machine.h"
#include "support/random.h"
#include "sys/fdpass.h"
#include "unit/fail.h"
#include "unit/lane_pair.h"
#include "unit/settle.h"
#include "unit/valgrind.h"

#define PAGE ((uint64_t) 4096)
#define FRAMES ((uint64_t) 65536)
#define RELEASES ((uint64_t) 16384)

static struct pair pair;

static void open_pair(void) {
    pair_open_in(&pair, 1);
    ck_assert_uint_eq(pair.client.lane.own.lines, 32);
    ck_assert_uint_eq(pair.server.lane.own.releases, 64);
}

static int send_one(struct side *side, uint64_t id, size_t size) {
    return side_send(side, WIRE_CALL, id, size ? new_inline(side, size, (int) id) : NULL, false);
}

/* Sends messages without payload, with ids from `from` on, until there is no room. Returns the next id. */
static uint64_t fill(struct side *side, uint64_t from) {
    while (send_one(side, from, 0) == 0)
        ck_assert_uint_lt(++from, SIDE_MAX);
    return from;
}

static void assert_ids(struct side *side, uint64_t count) {
    ck_assert_uint_eq(side->arrived_count, count);
    for (uint64_t i = 0; i < count; i++)
        ck_assert_uint_eq(side->arrived[i].id, i);
}

/* --- frames --- */

START_TEST(test_an_idle_connection_has_a_page) {
    open_pair();
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_OUTBOX_BYTES], PAGE);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_OUTBOX_BYTES], PAGE);
    ck_assert_uint_eq(pair.client.lane.own.size, PAGE);
    ck_assert_uint_eq(pair.client.lane.theirs.size, PAGE);
    pair_deinit(&pair);
}
END_TEST

/* One line carries the mark; all frames before and after it arrive, in order, and the cursor continues. */
START_TEST(test_a_full_ring_grows) {
    open_pair();
    struct lane *lane = &pair.client.lane;
    uint64_t sent = fill(&pair.client, 0);
    ck_assert_uint_eq(sent, 1022);
    ck_assert_uint_eq(lane->own.lines, 1024);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_OUTBOX_BYTES], PAGE + FRAMES);
    ck_assert_uint_eq(quota_used(&pair.client.ctx->budget, QUOTA_BYTES), PAGE + FRAMES);
    ck_assert_uint_eq(pair.server.lane.theirs.lines, 32);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.lane.theirs.lines, 1024);
    assert_ids(&pair.server, sent);
    pair.server.arrived_count = 0;
    ck_assert_uint_eq(fill(&pair.client, 0), 1023);
    pair_settle(&pair);
    assert_ids(&pair.server, 1023);
    ck_assert_uint_eq(lane->datagrams_out, 1);
    ck_assert_uint_eq(pair.server.lane.own.lines, 32); /* its own ring did not have to grow */
    pair_deinit(&pair);
}
END_TEST

/* A frame larger than a quarter of the small ring, but not of the large one. */
START_TEST(test_a_frame_too_large_for_the_small_ring) {
    open_pair();
    /* otherwise the payload would be copied to the pool */
    pair.client.lane.negotiated.accept &= ~(uint32_t) SEA_POOLED;
    ck_assert_int_eq(send_one(&pair.client, 0, ring_bytes_max(32)), 0);
    ck_assert_uint_eq(pair.client.lane.own.lines, 32);
    ck_assert_int_eq(send_one(&pair.client, 1, ring_bytes_max(32) + 1), 0);
    ck_assert_uint_eq(pair.client.lane.own.lines, 1024);
    ck_assert_int_eq(send_one(&pair.client, 2, ring_bytes_max(1024)), 0);
    ck_assert_uint_eq(pair.client.lane.datagrams_out, 1); /* the RING datagram */
    ck_assert_int_eq(send_one(&pair.client, 3, ring_bytes_max(1024) + 1), 0);
    ck_assert_uint_eq(pair.client.lane.datagrams_out, 2);
    pair_settle(&pair);
    assert_ids(&pair.server, 4);
    for (int i = 0; i < 4; i++) {
        const struct lane_message *in = &pair.server.arrived[i];
        const uint8_t *bytes = in->block ? sea_block_view(in->block) : in->bytes;
        for (size_t k = 0; k < in->payload_size; k++)
            ck_assert_uint_eq(bytes[k], (unsigned) i);
    }
    pair_deinit(&pair);
}
END_TEST

/* Plain bytes without a block, when the ring cannot grow for them: they go through the socket. */
START_TEST(test_plain_bytes_without_a_larger_ring) {
    static const char bytes[600] = "bytes";
    const struct lane_message message = {.type = WIRE_CALL, .id = 0, .method = 7, .bytes = bytes, .bytes_size = 600};
    open_pair();
    fail_always(INJECT_MEMFD_CREATE, EMFILE);
    ck_assert_int_eq(lane_send(&pair.client.lane, &message, false), 0);
    fail_off();
    pair_settle(&pair);
    assert_ids(&pair.server, 1);
    ck_assert_mem_eq(pair.server.arrived[0].bytes ? pair.server.arrived[0].bytes
                                                  : sea_block_view(pair.server.arrived[0].block),
                     bytes, 600);
    ck_assert_uint_eq(pair.client.lane.own.lines, 32);
    pair_deinit(&pair);
}
END_TEST

/* A ring that completes a lap within some milliseconds grows although it is never full; a slower one does not grow. */
START_TEST(test_a_busy_ring_grows) {
    open_pair();
    struct lane *lane = &pair.client.lane;
    for (uint64_t i = 0; i < 1000 && lane->own.lines == 32; i++) {
        lane->growth.lap_at = _i ? wait_now() - (_i == 2 ? UINT64_C(10000000000) : 0) : 0;
        ck_assert_int_eq(send_one(&pair.client, i, 0), 0);
        pair_settle(&pair);
    }
    ck_assert_uint_eq(lane->own.lines, _i == 1 ? 1024 : 32);
    assert_ids(&pair.server, pair.server.arrived_count);
    pair_deinit(&pair);
}
END_TEST

/* Any messages, with both sides going on in any order. */
START_TEST(test_order_across_growth) {
    uint64_t state = 7 + (uint64_t) _i, sent = 0;
    open_pair();
    pair.client.lane.negotiated.accept &= ~(uint32_t) (_i % 2 ? SEA_POOLED : 0);
    while (sent < 400) {
        uint32_t kind = random_below(&state, 40);
        sea_block *block = kind == 0  ? new_sealed(&pair.client, 5, 1)
                           : kind < 4 ? new_inline(&pair.client, 100 * kind, 1)
                                      : NULL;
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, sent++, block, true), 0);
        if (random_below(&state, 30) == 0)
            side_turn(&pair.server);
        if (random_below(&state, 30) == 0)
            side_turn(&pair.client);
    }
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.lane.own.lines, 1024);
    assert_ids(&pair.server, 400);
    pair_deinit(&pair);
}
END_TEST

/* Makes the client's ring grow in steps, so that the server has its turns between them. `ret_memory` does not belong
 * to the lane. */
static void send_ring(struct lane *lane, struct outbox_ring *ret_memory) {
    const struct wire_ring ring = {.kind = WIRE_RING_FRAMES, .count = 1024};
    uint8_t buf[WIRE_RING_SIZE];
    struct iovec iov = {.iov_base = buf, .iov_len = wire_encode_ring(buf, &ring)};
    ck_assert_int_eq(outbox_ring_new(ret_memory, FRAMES), 0);
    ck_assert_int_eq(fdpass_send(lane->fd, &iov, 1, &ret_memory->fd, 1), 0);
    ret_memory->fd = fd_close(ret_memory->fd);
}

static void send_cancel(struct lane *lane) {
    uint8_t buf[WIRE_CANCEL_SIZE];
    struct iovec iov = {.iov_base = buf, .iov_len = wire_encode_cancel(buf, 99)};
    ck_assert_int_eq(fdpass_send(lane->fd, &iov, 1, NULL, 0), 0);
}

static void write_next_mark(struct lane *lane) {
    uint64_t words[LINE_WORDS];
    line_encode(words, WIRE_MARK, ++lane->datagrams_out, NULL);
    ring_write_line(&lane->out, words);
}

/* A reader that has found the ring empty receives the RING before it sees the mark, or even the mark of the datagram
 * before: it changes rings at the RING's own mark. */
START_TEST(test_a_ring_before_its_mark) {
    struct outbox_ring memory;
    open_pair();
    struct lane *lane = &pair.client.lane;
    ck_assert_int_eq(send_one(&pair.client, 0, 0), 0);
    if (_i)
        send_cancel(lane);
    send_ring(lane, &memory);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.lane.datagrams_in, (unsigned) _i + 1);
    ck_assert_int_eq(send_one(&pair.client, 1, 0), 0);
    if (_i)
        write_next_mark(lane);
    ck_assert_int_eq(send_one(&pair.client, 2, 0), 0);
    side_settle(&pair.server);
    assert_ids(&pair.server, 3);
    ck_assert_uint_eq(pair.server.lane.theirs.lines, 32);
    write_next_mark(lane);
    ring_out_move(&lane->out, memory.at, 1024);
    lane_set_small(lane);
    lane->own.lines = 1024;
    for (uint64_t id = 3; id < 100; id++)
        ck_assert_int_eq(send_one(&pair.client, id, 0), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.lane.theirs.lines, 1024);
    assert_ids(&pair.server, 100);
    pair_deinit(&pair);
    outbox_ring_deinit(&memory);
}
END_TEST

/* A sleeping reader is woken for the mark as for any frame, even when no frame follows. */
START_TEST(test_a_mark_wakes_the_reader) {
    open_pair();
    pair_settle(&pair);
    uint64_t before = side_figures(&pair.client).of[SEA_FIGURE_DOORBELLS];
    ck_assert_int_eq(lane_grow_frames(&pair.client.lane), 0);
    lane_ring_bell(&pair.client.lane);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_DOORBELLS], before + 1);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.lane.theirs.lines, 1024);
    pair_deinit(&pair);
}
END_TEST

/* The connection ends right after the growth: the frames in both rings are handled first. */
START_TEST(test_the_end_after_growth) {
    open_pair();
    uint64_t sent = fill(&pair.client, 0);
    if (_i)
        lane_close(&pair.client.lane, 0, "");
    else
        lane_deinit(&pair.client.lane);
    side_settle(&pair.server);
    assert_ids(&pair.server, sent);
    ck_assert_int_eq(pair.server.end.reason, _i ? 0 : -EPIPE);
    pair_deinit(&pair);
}
END_TEST

/* --- rings that cannot be made --- */

static const struct {
    enum inject_kind kind;
    int error;
} refusals[] = {
    {INJECT_MEMFD_CREATE, EMFILE}, {INJECT_MEMFD_CREATE, ENOMEM},  {INJECT_FALLOCATE, ENOSPC},
    {INJECT_MMAP, ENOMEM},         {INJECT_ADD_SEALS, EINVAL},     {INJECT_OPEN, EMFILE},
    {INJECT_SENDMSG, EAGAIN},      {INJECT_SENDMSG, ETOOMANYREFS}, {INJECT_SENDMSG, ENOMEM},
};
#define REFUSALS ((int) (sizeof refusals / sizeof *refusals))

/* The small ring stays in use, no refusal is noted, and after a while the lane tries again. */
START_TEST(test_a_larger_ring_is_refused) {
    open_pair();
    struct lane *lane = &pair.client.lane;
    lane_dispatch(&pair.server.lane, 0); /* the server is awake: no doorbell is due */
    fail_call(refusals[_i].kind, 1, 1, refusals[_i].error);
    uint64_t began = wait_now(), sent = fill(&pair.client, 0);
    ck_assert_uint_eq(sent, 30);
    fail_off();
    ck_assert_uint_ge(lane->growth.retry_at, began + GROWTH_RETRY_NS);
    ck_assert_uint_eq(lane->own.lines, 32);
    uint64_t bytes = PAGE + (refusals[_i].kind == INJECT_SENDMSG ? FRAMES : 0); /* the ring that was made is kept */
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_OUTBOX_BYTES], bytes);
    ck_assert_uint_eq(quota_used(&pair.client.ctx->budget, QUOTA_BYTES), bytes);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_REFUSALS], 0);
    ck_assert_str_eq(lane->shortage.limit, "frame ring (bytes)");
    ck_assert_ptr_nonnull(strstr(lane->shortage.advice, "a larger ring could not be had"));
    pair_settle(&pair);
    assert_ids(&pair.server, sent);
    ck_assert_uint_eq(pair.client.rooms, 1);
    pair.server.arrived_count = 0;
    lane->growth.retry_at = wait_now();
    sent = fill(&pair.client, 0);
    ck_assert_uint_eq(lane->own.lines, 1024);
    pair_settle(&pair);
    assert_ids(&pair.server, sent);
    pair_deinit(&pair);
}
END_TEST

/* While the socket is full a larger ring is made once, and announced when there is room; or it is freed with the
 * connection. */
START_TEST(test_a_ring_that_cannot_be_announced_is_kept) {
    open_pair();
    struct lane *lane = &pair.client.lane;
    lane_dispatch(&pair.server.lane, 0); /* the server is awake: no doorbell is due */
    fail_call(INJECT_MEMFD_CREATE, 0, 0, 0);
    fail_always(INJECT_SENDMSG, EAGAIN);
    uint64_t sent = fill(&pair.client, 0);
    for (int i = 0; i < 10; i++) {
        lane->growth.retry_at = wait_now();
        ck_assert_int_eq(send_one(&pair.client, sent, 0), -EAGAIN);
    }
    ck_assert_int_gt(fail_calls(INJECT_SENDMSG), 10);
    ck_assert_int_eq(fail_calls(INJECT_MEMFD_CREATE), 1);
    fail_off();
    lane->growth.retry_at = wait_now();
    if (_i == 0) {
        sent = fill(&pair.client, sent);
        ck_assert_uint_eq(lane->own.lines, 1024);
        ck_assert_int_eq(lane->growth.frames.fd, -1);
        pair_settle(&pair);
        assert_ids(&pair.server, sent);
    }
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_budget_without_room_for_a_larger_ring) {
    pair.client.ctx_options.budget_bytes = 3 * PAGE;
    open_pair();
    for (int lap = 0; lap < 20; lap++) {
        pair.server.arrived_count = 0;
        uint64_t sent = fill(&pair.client, 0);
        ck_assert_uint_eq(sent, 30);
        pair_settle(&pair);
        assert_ids(&pair.server, sent);
        pair.client.lane.growth.retry_at = 0;
    }
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_REFUSALS], 0);
    pair_deinit(&pair);
}
END_TEST

/* --- rings that cannot be accepted --- */

static void assert_it_ended(int error, const char *word) {
    side_settle(&pair.server);
    ck_assert_int_eq(pair.server.end.reason, error);
    ck_assert_msg(strstr(pair.server.end_text, word), "%s", pair.server.end_text);
    side_settle(&pair.client);
    ck_assert_int_eq(pair.client.end.reason, -EPIPE);
    ck_assert_str_eq(pair.client.end_text, pair.server.end_text);
    pair_deinit(&pair);
}

START_TEST(test_a_reader_without_descriptors) {
    struct rlimit before, none = {.rlim_cur = 0};
    if (is_under_valgrind())
        test_skip("valgrind keeps RLIMIT_NOFILE to itself");
    open_pair();
    fill(&pair.client, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    none.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    lane_dispatch(&pair.server.lane, POLLIN);
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_uint_eq(pair.server.arrived_count, 30); /* the messages before it */
    assert_it_ended(-EMFILE, "RLIMIT_NOFILE");
}
END_TEST

START_TEST(test_a_reader_without_mappings) {
    open_pair();
    fill(&pair.client, 0);
    fail_always(INJECT_MMAP, ENOMEM);
    lane_dispatch(&pair.server.lane, POLLIN);
    fail_off();
    assert_it_ended(-ENOMEM, "cannot be mapped");
}
END_TEST

/* --- releases --- */

/* Lends `count` sealed blocks of the client to the server. */
static void lend(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, i, new_sealed(&pair.client, 10, 1), true), 0);
        if (i % 50 == 49)
            pair_settle(&pair);
    }
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, count);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], count);
}

/* The client does not read while the releases come back. */
START_TEST(test_a_release_ring_grows) {
    static const unsigned counts[] = {64, 65, 500, 1024};
    open_pair();
    for (int round = 0; round < 3; round++) {
        lend(counts[_i]);
        side_drop(&pair.server);
        ck_assert_uint_eq(pair.server.lane.own.releases, counts[_i] > 64 ? 1024 : 64);
        pair_settle(&pair);
        ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
        ck_assert_uint_eq(pair.client.lane.theirs.releases, counts[_i] > 64 ? 1024 : 64);
        ck_assert_uint_eq(pair.server.lane.releases_count, 0);
    }
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_OUTBOX_BYTES], PAGE + (counts[_i] > 64 ? RELEASES : 0));
    pair_deinit(&pair);
}
END_TEST

/* A release never waits for room: when the small ring is full, releases go by datagram, for each way in which the
 * larger ring was refused. */
START_TEST(test_releases_without_a_larger_ring) {
    open_pair();
    for (int round = 0; round < 3; round++) {
        lend(200);
        fail_always(INJECT_MEMFD_CREATE, EMFILE);
        if (_i)
            lane_cork(&pair.server.lane);
        side_drop(&pair.server);
        if (_i)
            lane_uncork(&pair.server.lane);
        pair_settle(&pair);
        fail_off();
        ck_assert_uint_eq(pair.server.lane.own.releases, 64);
        ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
        ck_assert_uint_eq(pair.server.lane.releases_count, 0);
    }
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_OUTBOX_BYTES], PAGE);
    ck_assert_int_eq(pair.client.lane.state, LANE_OPEN);
    pair_deinit(&pair);
}
END_TEST

/* The socket has no room either: the releases wait in reserved memory of ours, and go when there is room. */
START_TEST(test_releases_that_find_no_room_at_all) {
    open_pair();
    lend(200);
    fail_always(INJECT_MEMFD_CREATE, EMFILE);
    fail_always(INJECT_SENDMSG, EAGAIN);
    side_drop(&pair.server);
    ck_assert_uint_eq(pair.server.lane.releases_count, 200 - 64);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 200);
    fail_off();
    lane_dispatch(&pair.server.lane, POLLOUT);
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_eq(pair.server.lane.releases_count, 0);
    pair_deinit(&pair);
}
END_TEST

/* A lender stores an absurd cursor. */
START_TEST(test_a_cursor_of_releases_without_sense) {
    static const uint32_t cursors[] = {1000, UINT32_MAX, 0x80000000};
    open_pair();
    lend(100);
    shared32_store(outbox_taken(&pair.client.lane.own), cursors[_i]);
    side_drop(&pair.server);
    side_settle(&pair.server);
    ck_assert_int_eq(pair.server.end.reason, -EPROTO);
    ck_assert_str_eq(pair.server.end_text, "the cursor of the release ring makes no sense");
    pair_deinit(&pair);
}
END_TEST

/* The lender's cursor is plausible, and yet there is no free entry: it has lent more than was agreed. */
START_TEST(test_a_lender_of_too_much) {
    open_pair();
    lend(1024);
    side_drop(&pair.server);
    ck_assert_int_eq(pair.server.lane.state, LANE_OPEN);
    lane_release(&pair.server.lane, 1);
    side_settle(&pair.server);
    ck_assert_int_eq(pair.server.end.reason, -EPROTO);
    ck_assert_ptr_nonnull(strstr(pair.server.end_text, "more leases were granted than blocks_max"));
    pair_deinit(&pair);
}
END_TEST

/* A forked child no longer has our outbox, in which a lender stores its cursor. */
START_TEST(test_a_child_ends_a_lender_with_releases) {
    int status = -1;
    open_pair();
    lend(5);
    side_drop(&pair.server);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        lane_close(&pair.client.lane, 0, "");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 5);
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_int_eq(pair.client.lane.state, LANE_OPEN);
    pair_deinit(&pair);
}
END_TEST

static void before(void) {
    fail_off();
    machine_restore();
    settle_begin();
    memset(&pair, 0, sizeof pair);
}

static void after(void) {
    fail_off();
    machine_restore();
    settle_threads();
}

/* --- pages that the kernel adds, and does not cut --- */

/* Makes the second ftruncate() of a memfd fail, which would cut its excess pages. */
static void keep_excess(void) {
    if (!machine_choose_huge("always"))
        test_skip("transparent_hugepage/shmem_enabled cannot be changed");
    fail_call(INJECT_FTRUNCATE, 2, 1, EBUSY);
}

static void skip_without_excess(uint32_t excess) {
    if (excess == 0)
        test_skip("the system granted no huge page: memory is fragmented");
}

START_TEST(test_excess_of_an_outbox_is_charged) {
    keep_excess();
    open_pair();
    uint64_t excess = pair.client.lane.own.excess + pair.server.lane.own.excess;
    uint64_t charged =
        side_figures(&pair.client).of[SEA_FIGURE_OUTBOX_BYTES] + side_figures(&pair.server).of[SEA_FIGURE_OUTBOX_BYTES];
    uint64_t used =
        quota_used(&pair.client.ctx->budget, QUOTA_BYTES) + quota_used(&pair.server.ctx->budget, QUOTA_BYTES);
    pair_deinit(&pair);
    ck_assert_uint_eq(charged, 2 * PAGE + excess);
    ck_assert_uint_eq(used, charged);
    skip_without_excess((uint32_t) excess);
}
END_TEST

START_TEST(test_excess_of_a_ring_is_charged) {
    open_pair();
    keep_excess();
    fill(&pair.client, 0);
    uint32_t excess = pair.client.lane.growth.frames.excess;
    ck_assert_uint_eq(pair.client.lane.own.lines, 1024);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_OUTBOX_BYTES], PAGE + FRAMES + excess);
    ck_assert_uint_eq(quota_used(&pair.client.ctx->budget, QUOTA_BYTES), PAGE + FRAMES + excess);
    pair_settle(&pair);
    pair_deinit(&pair);
    skip_without_excess(excess);
}
END_TEST

/* Returns whether the system grants a huge page to a ring now. */
static bool is_excess_granted(void) {
    struct outbox_ring ring;
    keep_excess();
    ck_assert_int_eq(outbox_ring_new(&ring, FRAMES), 0);
    uint32_t excess = ring.excess;
    outbox_ring_deinit(&ring);
    return excess > 0;
}

/* When the budget has no room for the excess pages, the ring stays small, and no byte is charged. */
START_TEST(test_excess_that_the_budget_refuses) {
    open_pair();
    struct quota *budget = &pair.client.ctx->budget;
    uint64_t taken = budget->limit[QUOTA_BYTES] - quota_used(budget, QUOTA_BYTES) - FRAMES - PAGE;
    ck_assert_int_eq(quota_charge(budget, taken, 0, 0, &pair.client.ctx->refusals), 0);
    keep_excess();
    fill(&pair.client, 0);
    bool has_grown = pair.client.lane.own.lines > 32, is_granted = !has_grown || is_excess_granted();
    quota_return(budget, taken, 0, 0);
    uint64_t used = quota_used(budget, QUOTA_BYTES), bytes = side_figures(&pair.client).of[SEA_FIGURE_OUTBOX_BYTES];
    pair_settle(&pair);
    pair_deinit(&pair);
    if (!is_granted)
        test_skip("the system granted no huge page: memory is fragmented");
    ck_assert(!has_grown);
    ck_assert_uint_eq(bytes, PAGE);
    ck_assert_uint_eq(used, PAGE);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("ring_growth");
    suite_fixture(s, before, after);
    suite_add(s, test_an_idle_connection_has_a_page);
    suite_add(s, test_a_full_ring_grows);
    suite_add(s, test_a_frame_too_large_for_the_small_ring);
    suite_add(s, test_plain_bytes_without_a_larger_ring);
    suite_add_loop(s, test_a_busy_ring_grows, 0, 3);
    suite_add_loop(s, test_order_across_growth, 0, 8);
    suite_add_loop(s, test_a_ring_before_its_mark, 0, 2);
    suite_add(s, test_a_mark_wakes_the_reader);
    suite_add_loop(s, test_the_end_after_growth, 0, 2);
    suite_add_loop(s, test_a_larger_ring_is_refused, 0, REFUSALS);
    suite_add_loop(s, test_a_ring_that_cannot_be_announced_is_kept, 0, 2);
    suite_add(s, test_a_budget_without_room_for_a_larger_ring);
    suite_add(s, test_a_reader_without_descriptors);
    suite_add(s, test_a_reader_without_mappings);
    suite_add_loop(s, test_a_release_ring_grows, 0, 4);
    suite_add_loop(s, test_releases_without_a_larger_ring, 0, 2);
    suite_add(s, test_releases_that_find_no_room_at_all);
    suite_add_loop(s, test_a_cursor_of_releases_without_sense, 0, 3);
    suite_add(s, test_a_lender_of_too_much);
    suite_add(s, test_a_child_ends_a_lender_with_releases);
    suite_add(s, test_excess_of_an_outbox_is_charged);
    suite_add(s, test_excess_of_a_ring_is_charged);
    suite_add(s, test_excess_that_the_budget_refuses);
    return suite_run(s);
}
