/* SPDX-License-Identifier: MIT */
/*
 * lane/rings, with lane/send, lane/receive and lane/doorbell: lanes with outboxes. The tests check which messages go
 * through the ring, that all stay in order, when and how often a sleeping side gets a doorbell, a full ring, and the
 * end of a connection.
 *
 * The steps of both sides are taken one by one, on one thread: between any two of them the other side may or may not
 * have gone on.
 */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "support/random.h"
#include "support/ring_speaker.h"
#include "support/trap.h"
#include "unit/fail.h"
#include "unit/lane_pair.h"
#include "unit/settle.h"
#include "unit/tree.h"

#define RING_SMALL 4096 /* 64 lines */
#define BYTES_MOST 872  /* bytes of one frame of it */

/* Size of an outbox when it is handed out: 32 lines and 64 releases. */
#define OUTBOX_BYTES ((uint64_t) 4096)

static struct draft draft;
static struct pair pair;

static void open_with(uint32_t ring_size) {
    memset(&pair, 0, sizeof pair);
    pair.client.options.ring_size = pair.server.options.ring_size = ring_size;
    pair_open_in(&pair, 1);
}

/* Makes the side poll its rings from now on, so that it gets no doorbell. */
static void keep_awake(struct side *side) {
    lane_dispatch(&side->lane, 0);
    ck_assert(!side->lane.doorbell.is_armed);
}

/* Lets both sides finish their work and sleep. */
static void fall_asleep(void) {
    pair_settle(&pair);
    ck_assert(pair.client.lane.doorbell.is_armed && pair.server.lane.doorbell.is_armed);
}

static void send_one_way(struct side *side, size_t size, int fill) {
    ck_assert_int_eq(side_send(side, WIRE_ONEWAY, 0, size ? new_inline(side, size, fill) : NULL, false), 0);
}

/* Returns the number of datagrams that both sides sent since the last call. */
static int datagrams_sent(void) {
    int calls = fail_calls(INJECT_SENDMSG);
    fail_call(INJECT_SENDMSG, 0, 0, 0);
    return calls;
}

/* --- agreement --- */

START_TEST(test_both_must_want_outboxes) {
    pair.client.has_outbox = _i & 1;
    pair.server.has_outbox = _i & 2;
    pair_open(&pair);
    ck_assert_int_eq(pair.client.lane.has_rings, _i == 3);
    ck_assert_int_eq(pair.server.lane.has_rings, _i == 3);
    ck_assert_int_eq(pair.client.lane.own.page != NULL, _i == 3);
    ck_assert_int_eq(pair.client.lane.own.fd, -1); /* sent to the peer, or not kept */
    ck_assert_int_eq(pair.server.lane.own.fd, -1);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_OUTBOX_BYTES], _i == 3 ? OUTBOX_BYTES : 0);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_OUTBOX_BYTES], _i == 3 ? OUTBOX_BYTES : 0);
    ck_assert_uint_eq(quota_used(&pair.client.ctx->budget, QUOTA_BYTES), _i == 3 ? OUTBOX_BYTES : 0);
    ck_assert_uint_eq(quota_used(&pair.server.ctx->budget, QUOTA_BYTES), _i == 3 ? OUTBOX_BYTES : 0);
    send_one_way(&pair.client, 100, 1);
    send_one_way(&pair.server, 100, 1);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count + pair.server.arrived_count, 2);
    pair_deinit(&pair);
}
END_TEST

/* Each side announces the size of its own ring. */
START_TEST(test_rings_of_different_sizes) {
    pair.client.options.ring_size = 4096;
    pair.server.options.ring_size = 1 << 20;
    pair_open_in(&pair, 1);
    ck_assert_uint_eq(pair.client.lane.own.lines, 64);
    ck_assert_uint_eq(pair.client.lane.growth.lines, 64);
    ck_assert_uint_eq(pair.client.lane.theirs.lines, 32);
    ck_assert_uint_eq(pair.server.lane.own.lines, 32);
    ck_assert_uint_eq(pair.server.lane.growth.lines, 16384);
    ck_assert_uint_eq(pair.server.lane.theirs.lines, 64);
    pair_deinit(&pair);
}
END_TEST

static const enum inject_kind scarce[] = {INJECT_MEMFD_CREATE, INJECT_FALLOCATE, INJECT_MMAP, INJECT_OPEN};

START_TEST(test_a_server_without_memory_for_its_own) {
    pair.client.has_outbox = pair.server.has_outbox = true;
    pair_init(&pair);
    bool is_mmap = scarce[_i] == INJECT_MMAP; /* the first mmap() is for the client's outbox */
    /* so that admission must look at the machine */
    pair.server.ctx->admission.allowance = pair.server.ctx->admission.stale = OUTBOX_BYTES;
    fail_call(scarce[_i], is_mmap ? 2 : 1, 1, scarce[_i] == INJECT_OPEN ? EMFILE : ENOMEM);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.opened + pair.client.opened, 0);
    ck_assert_int_lt(pair.server.end.reason, 0);
    ck_assert_int_eq(pair.client.end.reason, pair.server.end.reason);
    ck_assert_str_eq(pair.client.end_text, "the server has no room for an outbox");
    ck_assert_uint_eq(quota_used(&pair.server.ctx->budget, QUOTA_BYTES), 0);
    fail_off();
    pair_deinit(&pair);
}
END_TEST

static sea_refusal refusal_of(const struct side *side) {
    sea_refusal refusal;
    sea_ctx_refusal(side->ctx, &refusal, sizeof(refusal));
    return refusal;
}

/* Checks that the client gets an error, that our side knows the reason, and that no outbox was attempted. */
static void assert_no_room_for_it(int error) {
    fail_call(INJECT_MEMFD_CREATE, 0, 0, 0);
    pair_settle(&pair);
    ck_assert_int_eq(fail_calls(INJECT_MEMFD_CREATE), 0);
    ck_assert_uint_eq(pair.server.opened + pair.client.opened, 0);
    ck_assert_int_eq(pair.client.end.reason, error);
    ck_assert_str_eq(pair.client.end_text, "the server has no room for an outbox");
    ck_assert_int_eq(refusal_of(&pair.server).error, error);
    ck_assert_uint_eq(quota_used(&pair.server.ctx->budget, QUOTA_BYTES), 0);
    pair_deinit(&pair);
}

START_TEST(test_a_budget_without_room_for_it) {
    pair.client.has_outbox = pair.server.has_outbox = true;
    pair.server.ctx_options.budget_bytes = OUTBOX_BYTES - 1;
    pair_init(&pair);
    assert_no_room_for_it(-EDQUOT);
    memset(&pair, 0, sizeof pair);
    pair.server.ctx_options.budget_bytes = OUTBOX_BYTES;
    pair_open_in(&pair, 1);
    pair_deinit(&pair);
}
END_TEST

/* Sets a machine on which the kernel would kill the process. */
static void machine_has(const struct side *side, const char *kilobytes) {
    char text[128];
    snprintf(text, sizeof text, "MemTotal: 1048576 kB\nMemAvailable: %s kB\n", kilobytes);
    tree_write("meminfo", text);
    side->ctx->admission.proc = side->ctx->admission.mount = tree_path;
    side->ctx->admission.allowance = side->ctx->admission.stale = 0; /* grants from the real machine */
}

START_TEST(test_a_machine_without_room_for_it) {
    tree_make();
    pair.client.has_outbox = pair.server.has_outbox = true;
    pair_init(&pair);
    machine_has(&pair.server, "16386"); /* 16 MiB are kept free, and 2 KiB are left */
    assert_no_room_for_it(-ENOMEM);
    tree_remove();
}
END_TEST

static int lows;

static void count_low(const sea_refusal *nearly, void *user) {
    (void) nearly;
    machine_has(user, "65536");
    lows++;
}

/* The outbox gets the memory that the low-water callback releases. */
START_TEST(test_low_water_before_an_outbox_is_refused) {
    tree_make();
    lows = 0;
    pair.client.has_outbox = pair.server.has_outbox = true;
    pair.server.ctx_options.low_water = 1 << 20;
    pair.server.ctx_options.on_low_water = count_low;
    pair.server.ctx_options.low_water_user = &pair.server;
    pair_init(&pair);
    machine_has(&pair.server, "16386");
    pair_settle(&pair);
    ck_assert_int_eq(lows, 1);
    ck_assert_uint_eq(pair.server.opened + pair.client.opened, 2);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_REFUSALS], 0);
    pair_deinit(&pair);
    tree_remove();
}
END_TEST

START_TEST(test_a_client_without_memory_for_its_own) {
    struct side *side = &pair.client;
    int fds[2];
    lane_socketpair(fds);
    ck_assert_int_eq(sea_ctx_new(&side->ctx, NULL), 0);
    side->scratch = heap_new(1, LANE_SCRATCH_SIZE);
    /* so that admission need not look at the machine */
    side->ctx->admission.allowance = side->ctx->admission.stale = OUTBOX_BYTES;
    bool is_open = scarce[_i] == INJECT_OPEN; /* other open() calls here read the maps of user ids */
    fail_call(scarce[_i], 1, is_open ? FAIL_ALWAYS : 1, is_open ? EMFILE : ENOMEM);
    int r = lane_init(&side->lane, side->ctx, fds[0], false, &side->options, side->scratch, &side_ops, side);
    ck_assert_int_eq(r, scarce[_i] == INJECT_OPEN ? -EMFILE : -ENOMEM);
    sea_refusal refusal;
    sea_ctx_refusal(side->ctx, &refusal, sizeof(refusal));
    ck_assert_str_eq(refusal.limit, scarce[_i] == INJECT_OPEN ? "RLIMIT_NOFILE" : "memory");
    ck_assert_uint_eq(refusal.needed, scarce[_i] == INJECT_OPEN ? 1 : OUTBOX_BYTES);
    fail_off();
    sea_ctx_unref(side->ctx);
    heap_free(side->scratch);
    close(fds[1]);
}
END_TEST

/* --- which way --- */

/* A payload that fits into a quarter of the ring needs no system call while both sides are awake. */
START_TEST(test_small_payloads_go_through_the_ring) {
    static const size_t sizes[] = {0, 1, 32, 33, 88, 89, BYTES_MOST};
    open_with(RING_SMALL);
    for (int i = 0; i < 7; i++) {
        keep_awake(&pair.server);
        datagrams_sent();
        send_one_way(&pair.client, sizes[i], i);
        ck_assert_int_eq(datagrams_sent(), 0);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, (unsigned) i + 1);
    }
    ck_assert_uint_eq(pair.client.lane.datagrams_out, 0);
    fail_off();
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_the_socket_takes_the_rest) {
    open_with(RING_SMALL);
    keep_awake(&pair.server);
    datagrams_sent();
    const struct lane_message large = {.type = WIRE_ONEWAY, .block = new_inline(&pair.client, 50000, 1)};
    /* otherwise the payload would be copied to the pool */
    pair.client.lane.negotiated.accept &= ~(uint32_t) SEA_POOLED;
    ck_assert_int_eq(lane_send(&pair.client.lane, &large, false), 0);
    sea_block_unref(large.block);
    ck_assert_int_eq(datagrams_sent(), 1);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 2), false), 0);
    ck_assert_int_eq(datagrams_sent(), 1);
    ck_assert_uint_eq(pair.client.lane.datagrams_out, 2);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    ck_assert_uint_eq(sea_block_size(pair.server.arrived[0].block), 50000);
    pair_deinit(&pair);
}
END_TEST

/* The longest text of an error, and a CANCEL. */
START_TEST(test_texts_and_cancels) {
    char text[WIRE_TEXT_MAX + 1];
    memset(text, 'x', WIRE_TEXT_MAX);
    text[WIRE_TEXT_MAX] = '\0';
    open_with(RING_SMALL);
    keep_awake(&pair.server);
    datagrams_sent();
    const struct lane_message error = {.type = WIRE_REPLY, .id = 5, .status = -EIO, .text = text};
    ck_assert_int_eq(lane_send(&pair.client.lane, &error, false), 0);
    ck_assert_int_eq(lane_send_cancel(&pair.client.lane, 99), 0);
    ck_assert_int_eq(datagrams_sent(), 0);
    fail_off();
    pair_settle(&pair);
    ck_assert_str_eq(pair.server.arrived[0].text, text);
    ck_assert_int_eq(pair.server.arrived[0].status, -EIO);
    ck_assert_uint_eq(pair.server.cancelled[0], 99);
    pair_deinit(&pair);
}
END_TEST

/* --- order --- */

/* Sends message `number` of a random kind; the message shows its number in its size, its id, or its bytes. */
static int send_numbered(unsigned number, uint32_t kind) {
    struct side *client = &pair.client;
    sea_block *block = NULL;
    if (kind == 0)
        block = new_sealed(client, 4, 0);
    else if (kind == 1)
        block = new_inline(client, 30000, 0);
    else if (kind < 5)
        block = new_inline(client, 4 + 40 * (size_t) kind, 0);
    if (block)
        memcpy(sea_block_data(block), &number, sizeof number);
    return side_send(client, WIRE_CALL, number, block, true);
}

static void expect_numbered(unsigned from, unsigned to) {
    ck_assert_uint_eq(pair.server.arrived_count, to - from);
    for (unsigned i = from; i < to; i++) {
        const struct lane_message *in = &pair.server.arrived[i - from];
        const void *bytes = in->block ? sea_block_view(in->block) : in->bytes;
        ck_assert_uint_eq(in->id, i);
        if (in->block || in->bytes_size)
            ck_assert_mem_eq(bytes, &i, sizeof i);
    }
    side_drop(&pair.server);
}

/* All kinds of messages in a random mixture, while both sides go on at random. */
START_TEST(test_everything_stays_in_order) {
    uint64_t state = 100 + (uint64_t) _i;
    open_with(_i % 2 ? RING_SMALL : 0);
    pair.client.lane.negotiated.inline_max = 65536;
    if (_i % 4 < 2)
        pair.client.lane.negotiated.accept &= ~(uint32_t) SEA_POOLED;
    for (unsigned round = 0, sent = 0; round < 30; round++) {
        unsigned from = sent;
        for (unsigned i = 0; i < 30; i++) {
            ck_assert_int_eq(send_numbered(sent++, random_below(&state, 8)), 0);
            if (random_below(&state, 6) == 0)
                side_turn(&pair.server);
            if (random_below(&state, 6) == 0)
                side_turn(&pair.client);
        }
        pair_settle(&pair);
        expect_numbered(from, sent);
    }
    pair_deinit(&pair);
}
END_TEST

/* Speakers. */

static struct ring_speaker *greet_ring_speaker(struct side *side) {
    int fds[2];
    lane_socketpair(fds);
    side->has_outbox = true;
    side_init(side, fds[0], true);
    struct ring_speaker *self = ring_speaker_new(fds[1], 64, 256);
    ring_speaker_hello(self, 0);
    side_settle(side);
    ck_assert_int_eq(side->lane.state, LANE_OPEN);
    ring_speaker_open(self);
    return self;
}

static struct ring_speaker *racer;

static void send_sealed_datagram(struct ring_speaker *self, uint64_t id) {
    int fd = trap_memfd(4096, TRAP_ALL_SEALS);
    draft_sealed(&draft, id, 7, 1000 + id, 4096, fd);
    ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    close(fd);
}

/* Lets the peer go on just before the lane receives a datagram, after it has found the ring empty. */
static void race_frames(void) {
    if (!racer)
        return;
    struct ring_speaker *self = racer;
    racer = NULL;
    ring_say_inline(self, 1, 7, 8);
    send_sealed_datagram(self, 2);
}

static void race_frames_and_mark(void) {
    if (!racer)
        return;
    struct ring_speaker *self = racer;
    race_frames();
    ring_say_mark(self, 1);
    ring_say_inline(self, 3, 7, 8);
}

static void expect_ids(const struct side *side, unsigned count) {
    ck_assert_uint_eq(side->arrived_count, count);
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(side->arrived[i].id, i + 1);
}

/* A frame that was published before a datagram was sent is handled before the datagram, also when the lane sees the
 * datagram first. */
START_TEST(test_an_early_datagram_waits) {
    struct side *server = &pair.server;
    struct ring_speaker *self = greet_ring_speaker(server);
    ring_speaker_doorbell(self);
    racer = self;
    fail_never_but(INJECT_RECVMSG, _i == 0 ? race_frames : race_frames_and_mark);
    side_turn(server);
    fail_off();
    side_settle(server);
    expect_ids(server, _i == 0 ? 2 : 3);
    if (_i == 0) {
        ring_say_mark(self, 1); /* its mark comes later: the datagram was handled already */
        ring_say_inline(self, 3, 7, 8);
        ring_speaker_doorbell(self);
        side_settle(server);
        expect_ids(server, 3);
    }
    ck_assert_int_eq(server->lane.state, LANE_OPEN);
    side_deinit(server);
    ring_speaker_free(self);
}
END_TEST

/* The connection ends while a datagram is held back: its block is released, too. */
START_TEST(test_a_held_datagram_at_the_end) {
    struct side *server = &pair.server;
    struct ring_speaker *self = greet_ring_speaker(server);
    send_sealed_datagram(self, 1);
    server->lane.is_readable = true;
    ck_assert_int_eq(lane_receive(&server->lane), 1);
    ck_assert(server->lane.has_held);
    ck_assert_uint_eq(server->arrived_count, 0);
    if (_i == 0)
        lane_close(&server->lane, 0, "");
    else
        side_settle(server);
    ck_assert_uint_eq(server->arrived_count, _i == 0 ? 0 : 1);
    side_deinit(server);
    ring_speaker_free(self);
}
END_TEST

/* Datagrams between marks that are read late: each mark fetches its datagram. */
START_TEST(test_marks_fetch_their_datagrams) {
    struct side *server = &pair.server;
    struct ring_speaker *self = greet_ring_speaker(server);
    for (uint64_t i = 0; i < 5; i++) {
        ring_say_inline(self, 3 * i + 1, 7, 8);
        send_sealed_datagram(self, 3 * i + 2);
        ring_speaker_doorbell(self);
        ring_say_mark(self, i + 1);
        ring_say_inline(self, 3 * i + 3, 7, 100);
    }
    side_settle(server);
    expect_ids(server, 15);
    side_deinit(server);
    ring_speaker_free(self);
}
END_TEST

/* --- doorbells --- */

START_TEST(test_one_doorbell_an_episode) {
    open_with(RING_SMALL);
    for (unsigned episode = 0; episode < 10; episode++) {
        fall_asleep();
        datagrams_sent();
        for (int i = 0; i < 20; i++)
            send_one_way(&pair.client, 8, 1);
        ck_assert_int_eq(datagrams_sent(), 1);
        pair_settle(&pair);
        ck_assert_int_eq(datagrams_sent(), 0); /* no side waits for room or for an answer */
        ck_assert_uint_eq(pair.server.arrived_count, 20 * (episode + 1));
    }
    fail_off();
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_batch_rings_at_its_end) {
    open_with(0);
    fall_asleep();
    datagrams_sent();
    lane_cork(&pair.client.lane);
    lane_cork(&pair.client.lane);
    for (int i = 0; i < 20; i++)
        send_one_way(&pair.client, 8, 1);
    lane_uncork(&pair.client.lane);
    ck_assert_int_eq(datagrams_sent(), 0);
    lane_uncork(&pair.client.lane);
    ck_assert_int_eq(datagrams_sent(), 1);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 20);
    pair_deinit(&pair);
}
END_TEST

static void answer(struct side *side) {
    const struct lane_message *in = &side->arrived[side->arrived_count - 1];
    if (in->type == WIRE_CALL)
        ck_assert_int_eq(side_send(side, WIRE_REPLY, in->id, NULL, true), 0);
}

/* The answers of one turn are one batch. */
START_TEST(test_a_turn_rings_once) {
    memset(&pair, 0, sizeof pair);
    pair.server.on_arrived = answer;
    pair_open_in(&pair, 1);
    fall_asleep();
    for (uint64_t i = 0; i < 20; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, i, NULL, false), 0);
    datagrams_sent();
    ck_assert(side_turn(&pair.server));
    ck_assert_int_eq(datagrams_sent(), 1);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, 20);
    pair_deinit(&pair);
}
END_TEST

/* The peer was awake when the batch began, and sleeps before it ends. */
START_TEST(test_a_sleeper_in_a_batch) {
    open_with(0);
    keep_awake(&pair.server);
    lane_cork(&pair.client.lane);
    send_one_way(&pair.client, 8, 1);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    ck_assert(pair.server.lane.doorbell.is_armed);
    send_one_way(&pair.client, 8, 1);
    ck_assert(!side_turn(&pair.server) || pair.server.arrived_count == 2);
    datagrams_sent();
    lane_uncork(&pair.client.lane);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    pair_deinit(&pair);
}
END_TEST

/* A side that is about to sleep looks once more: a frame that was published before it announced its sleep sends no
 * doorbell, and is found. */
START_TEST(test_the_last_look) {
    open_with(0);
    keep_awake(&pair.server);
    datagrams_sent();
    send_one_way(&pair.client, 8, 1);
    ck_assert_int_eq(datagrams_sent(), 0);
    ck_assert(!lane_prepare_sleep(&pair.server.lane));
    ck_assert(!pair.server.lane.doorbell.is_armed);
    lane_dispatch(&pair.server.lane, 0);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    ck_assert(lane_prepare_sleep(&pair.server.lane));
    ck_assert(lane_prepare_sleep(&pair.server.lane)); /* once more */
    fail_off();
    pair_deinit(&pair);
}
END_TEST

static void rest_and_be_rung(struct side *side) {
    if (side->arrived_count > 1)
        return;
    lane_prepare_sleep(&side->lane);
    send_one_way(&pair.client, 8, 2);
}

/* A side that has received the doorbell is awake: no second doorbell comes for that episode. */
START_TEST(test_a_doorbell_in_mid_turn) {
    open_with(0);
    keep_awake(&pair.server);
    pair.server.on_arrived = rest_and_be_rung;
    send_one_way(&pair.client, 8, 1);
    lane_dispatch(&pair.server.lane, POLLIN);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    datagrams_sent();
    send_one_way(&pair.client, 8, 3);
    ck_assert_int_eq(datagrams_sent(), 1);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 3);
    pair_deinit(&pair);
}
END_TEST

/* A doorbell that could not be sent is tried again with the next frame, and is sent once. */
START_TEST(test_a_doorbell_that_cannot_be_sent) {
    static const int errors[] = {EAGAIN, ENOBUFS, ENOMEM};
    open_with(0);
    fall_asleep();
    fail_once(INJECT_SENDMSG, errors[_i]);
    for (int i = 0; i < 5; i++)
        send_one_way(&pair.client, 8, 1);
    ck_assert_int_eq(fail_calls(INJECT_SENDMSG), 2);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 5);
    pair_deinit(&pair);
}
END_TEST

/* The peer has woken by itself: no frame waits for the socket any more, so room in the socket needs no event. */
START_TEST(test_a_doorbell_that_is_not_wanted_any_more) {
    open_with(0);
    fall_asleep();
    fail_once(INJECT_SENDMSG, EAGAIN);
    send_one_way(&pair.client, 8, 1);
    fail_off();
    ck_assert_int_eq(lane_events(&pair.client.lane), POLLIN | POLLOUT);
    keep_awake(&pair.server);
    send_one_way(&pair.client, 8, 1);
    ck_assert_int_eq(lane_events(&pair.client.lane), POLLIN);
    ck_assert(!pair.client.lane.is_socket_full);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    pair_deinit(&pair);
}
END_TEST

/* --- the full ring --- */

static unsigned fill_ring(struct side *side) {
    unsigned sent = 0;
    while (side_send(side, WIRE_ONEWAY, 0, NULL, false) == 0)
        ck_assert_uint_le(++sent, 64);
    return sent;
}

START_TEST(test_a_full_ring) {
    open_with(RING_SMALL);
    for (unsigned lap = 1; lap <= 5; lap++) {
        ck_assert_uint_eq(fill_ring(&pair.client), 63);
        ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, NULL, false), -EAGAIN);
        ck_assert_int_eq(lane_events(&pair.client.lane), POLLIN); /* room in the ring does not depend on the socket */
        ck_assert_uint_eq(pair.client.rooms, lap - 1);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 63 * lap);
        ck_assert_uint_eq(pair.client.rooms, lap); /* reported once for each refusal */
    }
    pair_deinit(&pair);
}
END_TEST

/* A side that waits for room gets a doorbell, in both ways of sleeping; a side that does not wait gets none. */
START_TEST(test_room_rings) {
    open_with(RING_SMALL);
    fill_ring(&pair.client);
    side_settle(&pair.client);
    ck_assert(pair.client.lane.doorbell.is_armed);
    datagrams_sent();
    side_settle(&pair.server);
    ck_assert_int_eq(datagrams_sent(), 1);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 1);
    pair_deinit(&pair);
}
END_TEST

static void send_again(struct side *side) {
    if (side->rooms < 3)
        fill_ring(side);
}

START_TEST(test_room_is_used_at_once) {
    memset(&pair, 0, sizeof pair);
    pair.client.on_room = send_again;
    pair.client.options.ring_size = RING_SMALL;
    pair_open_in(&pair, 1);
    fill_ring(&pair.client);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 3);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_SENT_INLINE_MESSAGES], pair.server.arrived_count);
    pair_deinit(&pair);
}
END_TEST

/* Replies and cancels wait in order, with frames of all sizes and datagrams among them. */
START_TEST(test_queued_messages_keep_their_order) {
    open_with(RING_SMALL);
    unsigned sent = fill_ring(&pair.client);
    for (unsigned i = 0; i < 100; i++) {
        sea_block *block = i % 7 == 3 ? new_sealed(&pair.client, i + 1, 1) : new_inline(&pair.client, i * 9 + 1, 1);
        ck_assert_int_eq(side_send(&pair.client, WIRE_REPLY, i, block, true), 0);
        ck_assert_int_eq(lane_send_cancel(&pair.client.lane, i), 0);
    }
    lane_dispatch(&pair.server.lane, 0); /* there is room now, but other messages wait for it */
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, NULL, false), -EAGAIN);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, sent + 100);
    for (unsigned i = 0; i < 100; i++) {
        const struct lane_message *in = &pair.server.arrived[sent + i];
        ck_assert_uint_eq(in->id, i);
        ck_assert_uint_eq(in->block ? sea_block_size(in->block) : in->bytes_size, i % 7 == 3 ? i + 1 : i * 9 + 1);
        ck_assert_uint_eq(pair.server.cancelled[i], i);
    }
    pair_deinit(&pair);
}
END_TEST

/* A mark has its room before its datagram is sent: otherwise the datagram would have no place in the order. */
START_TEST(test_no_room_for_a_mark) {
    open_with(RING_SMALL);
    fill_ring(&pair.client);
    datagrams_sent();
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), -EAGAIN);
    ck_assert_int_eq(datagrams_sent(), 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    fail_off();
    pair_settle(&pair);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 64);
    pair_deinit(&pair);
}
END_TEST

/* A datagram that was not sent leaves no mark. */
START_TEST(test_no_mark_without_its_datagram) {
    open_with(0);
    fail_once(INJECT_SENDMSG, ETOOMANYREFS);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), -EAGAIN);
    ck_assert_uint_eq(pair.client.lane.datagrams_out, 0);
    fail_off();
    send_one_way(&pair.client, 8, 1);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    ck_assert_int_eq(pair.server.lane.state, LANE_OPEN);
    pair_deinit(&pair);
}
END_TEST

/* A frame of one line is sent where a frame of five must wait; the side that waits keeps waiting for room for five. */
START_TEST(test_room_for_little_is_not_room) {
    open_with(RING_SMALL);
    for (int i = 0; i < 60; i++)
        send_one_way(&pair.client, 8, 1);
    ck_assert_int_eq(lane_ring_room(&pair.client.lane, 5), -EAGAIN);
    ck_assert_int_eq(lane_ring_room(&pair.client.lane, 1), 0);
    ck_assert(pair.client.lane.is_ring_full);
    pair_settle(&pair);
    ck_assert(!pair.client.lane.is_ring_full);
    pair_deinit(&pair);
}
END_TEST

/* A turn handles a bounded number of frames of a full ring, so that other connections get their turns; the rest is
 * handled without a doorbell. */
START_TEST(test_a_turn_is_bounded) {
    open_with(1 << 14);
    keep_awake(&pair.server);
    for (int i = 0; i < 200; i++)
        send_one_way(&pair.client, 8, 1);
    ck_assert_int_eq(lane_dispatch(&pair.server.lane, 0), 64);
    ck_assert_uint_eq(lane_deadline(&pair.server.lane), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 200);
    ck_assert_uint_eq(lane_deadline(&pair.server.lane), WAIT_FOREVER);
    pair_deinit(&pair);
}
END_TEST

static struct ring_speaker *flooding;
static enum wire_type flood_type;
static unsigned flood_left;

/* Just before the lane receives, the peer, on another CPU, has sent one more frame. */
static void flood_once(void) {
    if (flood_left == 0)
        return;
    flood_left--;
    if (flood_type == WIRE_DOORBELL)
        draft_doorbell(&draft);
    else
        draft_cancel(&draft, 77);
    ck_assert(speaker_send(flooding->speaker, &draft) == 0 || pair.server.lane.has_failed);
}

/* A turn does not wait for the datagram of a mark while other datagrams come without end. */
START_TEST(test_a_mark_in_a_flood) {
    struct side *server = &pair.server;
    struct ring_speaker *self = greet_ring_speaker(server);
    ring_say_mark(self, _i == 0 ? UINT64_MAX : 1);
    flooding = self;
    flood_type = _i == 0 ? WIRE_CANCEL : WIRE_DOORBELL;
    flood_left = 1000;
    fail_never_but(INJECT_RECVMSG, flood_once);
    lane_dispatch(&server->lane, POLLIN);
    ck_assert_msg(flood_left > 800, "%u datagrams were received in one turn", 1000 - flood_left);
    fail_off();
    side_deinit(server);
    ring_speaker_free(self);
}
END_TEST

/* --- releases --- */

START_TEST(test_releases_need_no_datagram) {
    open_with(0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 100, 1), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 20);
    keep_awake(&pair.client);
    datagrams_sent();
    side_drop(&pair.server);
    ck_assert_int_eq(datagrams_sent(), 0);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_BLOCKS], 0);
    pair_deinit(&pair);
}
END_TEST

/* Releases of sealed blocks wake a sleeping side at once, even if it waits for nothing: one doorbell for all of
 * them. */
START_TEST(test_releases_wake) {
    open_with(0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 100, 1), false), 0);
    fall_asleep();
    datagrams_sent();
    side_drop(&pair.server);
    ck_assert_int_eq(datagrams_sent(), 1);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    pair_deinit(&pair);
}
END_TEST

/* The largest possible number of leases goes out and comes back, lap after lap of the release ring; the frame ring
 * is full meanwhile. */
START_TEST(test_releases_at_the_full_count) {
    memset(&pair, 0, sizeof pair);
    pair.server.options.blocks_max = 300;
    pair.server.options.ring_size = pair.client.options.ring_size = RING_SMALL;
    pair_open_in(&pair, 1);
    for (int round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 300; i++) {
            while (side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false) == -EAGAIN)
                pair_settle(&pair);
        }
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 300);
        ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), -EAGAIN);
        fill_ring(&pair.server);
        side_drop(&pair.server);
        pair_settle(&pair);
        ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
        pair.client.arrived_count = 0;
    }
    pair_deinit(&pair);
}
END_TEST

/* --- refusals --- */

/* Small payloads need no memory of ours; larger ones do, and are refused as in the socket mode. */
START_TEST(test_the_budget_refuses) {
    memset(&pair, 0, sizeof pair);
    pair.server.ctx_options.budget_bytes = OUTBOX_BYTES + 500;
    pair_open_in(&pair, 1);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_inline(&pair.client, LANE_BYTES_MAX, 1), false), 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 2, new_inline(&pair.client, LANE_BYTES_MAX + 1, 1), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_uint_eq(pair.client.arrived[0].id, 2);
    ck_assert_int_eq(pair.client.arrived[0].status, -EDQUOT);
    ck_assert_int_eq(pair.server.lane.state, LANE_OPEN);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_inline(&pair.client, LANE_BYTES_MAX + 1, 1), false),
                     0);
    pair_settle(&pair);
    ck_assert_int_eq(pair.server.end.reason, -EDQUOT);
    ck_assert_int_eq(pair.client.end.reason, -EPIPE);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_the_user_quota_refuses_sealed_payloads) {
    memset(&pair, 0, sizeof pair);
    pair.server.ctx_options.user_bytes = 80000;
    pair_open_in(&pair, 1);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_sealed(&pair.client, 90000, 1), false), 0);
    pair_settle(&pair);
    ck_assert_int_eq(pair.client.arrived[0].status, -EDQUOT);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0); /* given back through the ring */
    pair_deinit(&pair);
}
END_TEST

/* --- the end --- */

static void send_mixed(struct side *side) {
    for (unsigned i = 0; i < 10; i++) {
        sea_block *block = i % 3 == 1 ? new_sealed(side, 5000, 1) : i % 3 == 2 ? new_inline(side, 500, 1) : NULL;
        ck_assert_int_eq(side_send(side, WIRE_CALL, i, block, false), 0);
    }
}

/* Frames that were published before the GOODBYE are handled before it. */
START_TEST(test_goodbye_after_frames) {
    open_with(0);
    send_mixed(&pair.client);
    lane_close(&pair.client.lane, _i ? -EIO : 0, _i ? "trouble" : "");
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 10);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq(pair.server.arrived[i].id, i);
    ck_assert_uint_eq(pair.server.closed, 1);
    ck_assert_int_eq(pair.server.end.reason, _i ? -EPIPE : 0);
    ck_assert_str_eq(pair.server.end_text, _i ? "trouble" : "");
    pair_deinit(&pair);
}
END_TEST

/* Frames of a peer that ended without a GOODBYE are handled, too; its memory can still be read. */
START_TEST(test_gone_after_frames) {
    open_with(0);
    send_mixed(&pair.client);
    lane_deinit(&pair.client.lane);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.arrived_count, 10);
    ck_assert_int_eq(pair.server.end.reason, -EPIPE);
    ck_assert_str_eq(pair.server.end_text, "the peer is gone");
    pair_deinit(&pair);
}
END_TEST

enum last_act { CLOSES, SAYS_GOODBYE, STOPS_READING, STOPS_READING_AND_SENDS, LAST_ACTS };

static void act_last(struct ring_speaker *self, enum last_act act) {
    if (act == SAYS_GOODBYE) {
        draft_goodbye(&draft, 0, "");
        ck_assert_int_eq(speaker_send(self->speaker, &draft), 0);
    } else if (act == CLOSES) {
        close(self->speaker->fd);
        self->speaker->fd = -1;
    } else {
        shutdown(self->speaker->fd, SHUT_RD);
        ck_assert_int_eq(side_send(&pair.server, WIRE_ONEWAY, 0, new_sealed(&pair.server, 10, 1), false), -EPIPE);
    }
}

/* The peer keeps writing its ring as fast as it is read, or keeps sending datagrams. */
static void speak_on(struct ring_speaker *self, enum last_act act) {
    int most = act == SAYS_GOODBYE ? 32 : 64; /* the ring is read first: a GOODBYE is handled once the ring is empty */
    for (int i = 0; i < most && ring_has_room(&self->out, 1) == 1; i++)
        ring_say_inline(self, 0, 7, 8);
    draft_cancel(&draft, 77);
    for (int i = 0; act == STOPS_READING_AND_SENDS && i < 64; i++)
        speaker_send(self->speaker, &draft);
}

/* Once the lane has seen the end, it reads the peer's memory for one lap: the peer cannot have published more before
 * its end. */
START_TEST(test_no_frames_are_read_long_after_the_end) {
    struct side *server = &pair.server;
    struct ring_speaker *self = greet_ring_speaker(server);
    act_last(self, (enum last_act) _i);
    for (int turns = 0; turns < 20 && !server->closed; turns++) {
        speak_on(self, (enum last_act) _i);
        lane_dispatch(&server->lane, (short) (POLLIN | (_i == CLOSES ? POLLHUP : 0)));
    }
    ck_assert_uint_eq(server->closed, 1);
    ck_assert_uint_le(server->arrived_count, 64 + 32);
    ck_assert_int_eq(server->end.reason, _i == SAYS_GOODBYE ? 0 : -EPIPE);
    side_deinit(server);
    ring_speaker_free(self);
}
END_TEST

/* Sending finds the peer's death, and the frames that the peer had published are handled first. */
START_TEST(test_sending_to_the_dead) {
    open_with(0);
    send_mixed(&pair.client);
    lane_deinit(&pair.client.lane);
    ck_assert_int_eq(side_send(&pair.server, WIRE_ONEWAY, 0, new_sealed(&pair.server, 10, 1), false), -EPIPE);
    ck_assert_uint_eq(pair.server.closed, 0);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.arrived_count, 10);
    ck_assert_int_eq(pair.server.end.reason, -EPIPE);
    pair_deinit(&pair);
}
END_TEST

/* Both sides hold leases, frames lie in both rings, and one ring is full: the end leaves nothing (side_deinit()
 * checks). */
START_TEST(test_the_end_in_the_middle) {
    open_with(RING_SMALL);
    send_mixed(&pair.client);
    send_mixed(&pair.server);
    if (_i & 1)
        pair_settle(&pair);
    fill_ring(&pair.client);
    ck_assert_int_eq(side_send(&pair.client, WIRE_REPLY, 1, new_inline(&pair.client, 300, 1), true), 0);
    if (_i & 2)
        lane_close(&pair.server.lane, 0, "");
    pair_deinit(&pair);
}
END_TEST

static void close_at_the_reply(struct side *side) {
    const struct lane_message *in = &side->arrived[side->arrived_count - 1];
    if (in->type == WIRE_REPLY)
        lane_close(&side->lane, 0, "");
}

/*
 * The callback that gets the datagram of a mark ends the connection, at the mark that completes a quarter of the ring,
 * where the reader would store its cursor. The datagram brings a payload, or the error that a limit kept it out.
 */
START_TEST(test_the_end_inside_a_mark) {
    memset(&pair, 0, sizeof pair);
    pair.client.options.ring_size = pair.server.options.ring_size = RING_SMALL;
    if (_i)
        pair.client.ctx_options.user_bytes = 80000;
    pair.client.on_arrived = close_at_the_reply;
    pair_open_in(&pair, 1);
    keep_awake(&pair.client);
    lane_cork(&pair.server.lane);
    for (int i = 0; i < RING_SMALL / LINE_SIZE / 4 - 1; i++)
        send_one_way(&pair.server, 8, 1);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_sealed(&pair.server, 90000, 1), false), 0);
    lane_uncork(&pair.server.lane);
    lane_dispatch(&pair.client.lane, 0);
    ck_assert_uint_eq(pair.client.closed, 1);
    ck_assert_int_eq(pair.client.arrived[pair.client.arrived_count - 1].status, _i ? -EDQUOT : 0);
    pair_deinit(&pair);
}
END_TEST

/* A lie in a ring ends the connection, after the frames before it were handled. */
START_TEST(test_a_fault_after_frames) {
    struct side *server = &pair.server;
    struct ring_speaker *self = greet_ring_speaker(server);
    const uint64_t nonsense[LINE_WORDS] = {UINT64_C(0xff) << 32};
    ring_say_inline(self, 1, 7, 40);
    ring_say_words(self, nonsense);
    ring_say_inline(self, 2, 7, 40);
    ring_speaker_doorbell(self);
    side_settle(server);
    expect_ids(server, 1);
    ck_assert_int_eq(server->end.reason, -EPROTO);
    struct farewell farewell = speaker_farewell(self->speaker);
    ck_assert_int_eq(farewell.reason, -EPROTO);
    ck_assert_str_eq(farewell.text, server->end_text);
    side_deinit(server);
    ring_speaker_free(self);
}
END_TEST

static void before(void) {
    fail_off();
    settle_begin();
    memset(&pair, 0, sizeof pair);
    racer = NULL;
}

static void after(void) {
    fail_off();
    settle_threads();
}

/* --- distance --- */

/* A side that only sends samples it from the peer's cursor. */
START_TEST(test_a_sender_samples_the_distance) {
    const struct distance *distance = &pair.client.lane.distance;
    open_with(RING_SMALL);
    for (int i = 0; i < 2000; i++) {
        send_one_way(&pair.client, 8, 1);
        lane_dispatch(&pair.server.lane, 0);
        pair.server.arrived_count = 0;
    }
    ck_assert_uint_eq(distance->count, DISTANCE_SAMPLES);
    ck_assert_int_ne(distance->state, DISTANCE_UNKNOWN);
    ck_assert_int_eq(pair.server.lane.distance.state, DISTANCE_UNKNOWN);
    pair_deinit(&pair);
}
END_TEST

/* A frame that is there already says nothing of the distance. */
START_TEST(test_a_look_that_gives_no_sample) {
    struct lane *lane = &pair.server.lane;
    open_with(RING_SMALL);
    keep_awake(&pair.server);
    ck_assert(!lane_spin_for_frame(lane, 10));
    uint32_t again = lane->distance.until;
    lane->distance.until = 0;
    ck_assert(!lane_spin_for_frame(lane, 1)); /* too few looks to time one */
    ck_assert_uint_gt(lane->distance.until, again);
    send_one_way(&pair.client, 8, 1);
    lane->distance.until = 0;
    ck_assert(lane_spin_for_frame(lane, 10));
    ck_assert_uint_gt(lane->distance.until, 0);
    ck_assert_uint_eq(lane->distance.count, 0);
    pair_deinit(&pair);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("lane_rings");
    suite_fixture(s, before, after);
    suite_add_loop(s, test_both_must_want_outboxes, 0, 4);
    suite_add(s, test_rings_of_different_sizes);
    suite_add(s, test_a_budget_without_room_for_it);
    suite_add(s, test_a_machine_without_room_for_it);
    suite_add(s, test_low_water_before_an_outbox_is_refused);
    suite_add_loop(s, test_a_server_without_memory_for_its_own, 0, 4);
    suite_add_loop(s, test_a_client_without_memory_for_its_own, 0, 4);
    suite_add(s, test_small_payloads_go_through_the_ring);
    suite_add(s, test_the_socket_takes_the_rest);
    suite_add(s, test_texts_and_cancels);
    suite_add_loop(s, test_everything_stays_in_order, 0, 8);
    suite_add_loop(s, test_an_early_datagram_waits, 0, 2);
    suite_add_loop(s, test_a_held_datagram_at_the_end, 0, 2);
    suite_add(s, test_marks_fetch_their_datagrams);
    suite_add(s, test_one_doorbell_an_episode);
    suite_add(s, test_a_batch_rings_at_its_end);
    suite_add(s, test_a_turn_rings_once);
    suite_add(s, test_a_sleeper_in_a_batch);
    suite_add(s, test_the_last_look);
    suite_add(s, test_a_doorbell_in_mid_turn);
    suite_add_loop(s, test_a_doorbell_that_cannot_be_sent, 0, 3);
    suite_add(s, test_a_doorbell_that_is_not_wanted_any_more);
    suite_add(s, test_a_full_ring);
    suite_add(s, test_room_rings);
    suite_add(s, test_room_is_used_at_once);
    suite_add(s, test_queued_messages_keep_their_order);
    suite_add(s, test_no_room_for_a_mark);
    suite_add(s, test_no_mark_without_its_datagram);
    suite_add(s, test_room_for_little_is_not_room);
    suite_add(s, test_a_turn_is_bounded);
    suite_add_loop(s, test_a_mark_in_a_flood, 0, 2);
    suite_add(s, test_releases_need_no_datagram);
    suite_add(s, test_releases_wake);
    suite_add(s, test_releases_at_the_full_count);
    suite_add(s, test_the_budget_refuses);
    suite_add(s, test_the_user_quota_refuses_sealed_payloads);
    suite_add_loop(s, test_goodbye_after_frames, 0, 2);
    suite_add(s, test_gone_after_frames);
    suite_add_loop(s, test_no_frames_are_read_long_after_the_end, 0, LAST_ACTS);
    suite_add(s, test_sending_to_the_dead);
    suite_add_loop(s, test_the_end_in_the_middle, 0, 4);
    suite_add_loop(s, test_the_end_inside_a_mark, 0, 2);
    suite_add(s, test_a_fault_after_frames);
    suite_add(s, test_a_sender_samples_the_distance);
    suite_add(s, test_a_look_that_gives_no_sample);
    return suite_run(s);
}
