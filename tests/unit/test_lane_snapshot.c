/* SPDX-License-Identifier: MIT */
/*
 * lane/snapshot: copies of pooled payloads, for a side that takes stable ones only. The copies stay in order, one turn
 * copies no more than a turn may, no copy is made that has no reader, and an end halfway leaves nothing.
 *
 * The steps of both sides are taken one by one, on one thread. The tests count bytes, not time.
 */
#include "support/suite.h"

#include <errno.h>

#include "memory/work.h"
#include "unit/fail.h"
#include "unit/lane_pair.h"

#define TURNS 5 /* turns that one large payload takes */
#define LARGE ((TURNS - 1) * WORK_PER_TURN + 1000)

static struct pair pair;

static void open_pair(void) {
    pair.server.options.accept = SEA_STABLE_ONLY;
    pair_open_in(&pair, 1);
}

static void before(void) {
    fail_off();
    memset(&pair, 0, sizeof pair);
}

/* Sends a block with the bytes `fill`, except the last one. */
static void send_block(enum wire_type type, uint64_t id, size_t size, int fill) {
    sea_block *block = NULL;
    ck_assert_int_eq(pools_new_block(&block, &pair.client.lane.remote->pools, size), 0);
    char *bytes = sea_block_data(block);
    memset(bytes, fill, size);
    bytes[size - 1] = (char) (fill + 1);
    const struct lane_message message = {.type = type, .id = id, .method = 1, .block = block};
    ck_assert_int_eq(lane_send(&pair.client.lane, &message, false), 0);
    sea_block_unref(block);
}

static void assert_copy(const struct lane_message *message, size_t size, int fill) {
    ck_assert_ptr_nonnull(message->block);
    ck_assert(sea_block_is_sealed(message->block));
    ck_assert_int_eq(sea_block_class(message->block), SEA_INLINE);
    ck_assert_uint_eq(sea_block_size(message->block), size);
    const char *bytes = sea_block_view(message->block);
    for (size_t at = 0; at < size - 1; at += 997)
        ck_assert_int_eq(bytes[at], fill);
    ck_assert_int_eq(bytes[size - 2], fill);
    ck_assert_int_eq(bytes[size - 1], fill + 1);
}

static uint64_t server_copied(void) {
    return pair.server.lane.is_copying ? pair.server.lane.snapshot.done : 0;
}

/* Gives the server one turn, before which the connection must not sleep. */
static void server_turn(void) {
    lane_dispatch(&pair.server.lane, 0);
}

static void assert_wants_a_turn(void) {
    struct lane *lane = &pair.server.lane;
    ck_assert_uint_eq(lane_deadline(lane), 0);
    ck_assert(lane_has_work(lane));
    ck_assert(!lane_spin_for_frame(lane, 1)); /* no message goes the short way */
    ck_assert(!lane_is_calm(lane));
    ck_assert(!lane_prepare_sleep(lane));
}

static uint64_t client_leases(void) {
    lane_take_releases(&pair.client.lane);
    return pair.client.lane.remote->account->leased_blocks;
}

/* --- steps --- */

/* Messages behind a copy wait, and the lease of the payload stays until the copy is complete. */
START_TEST(test_a_large_copy_takes_turns) {
    open_pair();
    send_block(WIRE_ONEWAY, 0, LARGE, 5);
    send_block(WIRE_ONEWAY, 0, 3000, 7);
    server_turn(); /* the announcement may end this turn early */
    for (int turn = 1; pair.server.arrived_count == 0; turn++) {
        uint64_t copied = server_copied();
        ck_assert_int_le(turn, TURNS);
        ck_assert_uint_le(copied, (uint64_t) turn * WORK_PER_TURN);
        assert_wants_a_turn();
        ck_assert_uint_eq(client_leases(), 2);
        ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_SNAPSHOTS], 0);
        server_turn();
    }
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    assert_copy(&pair.server.arrived[0], LARGE, 5);
    assert_copy(&pair.server.arrived[1], 3000, 7);
    ck_assert_uint_eq(client_leases(), 0);
    struct figures figures = side_figures(&pair.server);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SNAPSHOTS], 2);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_COPIED_BYTES], LARGE + 3000);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_BYTES], LARGE + 3000);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 2);
    pair_deinit(&pair);
}
END_TEST

/* Many small payloads: a turn ends when it has copied as much as a turn may. */
START_TEST(test_many_copies_take_turns) {
    enum { MANY = 64, SIZE = 256 << 10 };
    uint64_t most = 0, before = 0;
    open_pair();
    for (int i = 0; i < MANY; i++)
        send_block(WIRE_ONEWAY, 0, SIZE, i);
    for (int turns = 0; pair.server.arrived_count < MANY; turns++) {
        ck_assert_int_lt(turns, 10 * MANY);
        side_turn(&pair.server);
        uint64_t copied = side_figures(&pair.server).of[SEA_FIGURE_COPIED_BYTES];
        most = copied - before > most ? copied - before : most;
        before = copied;
    }
    ck_assert_uint_gt(most, 0);
    ck_assert_uint_le(most, WORK_PER_TURN);
    for (int i = 0; i < MANY; i++)
        assert_copy(&pair.server.arrived[i], SIZE, i);
    pair_deinit(&pair);
}
END_TEST

/* Frames that came the short way are of the turn that follows, and so are their copies. */
START_TEST(test_a_turn_that_has_copied_already) {
    struct lane *lane = &pair.server.lane;
    open_pair();
    for (int i = 0; i < 2; i++) {
        send_block(WIRE_ONEWAY, 0, 3000, i);
        pair_settle(&pair);
    }
    side_drop(&pair.server);
    send_block(WIRE_ONEWAY, 0, 3000, 5);
    lane->taken = 1;
    lane->remote->account->work.left = 0;
    lane_dispatch(lane, 0);
    ck_assert_uint_eq(pair.server.arrived_count, 0);
    ck_assert(lane->has_more);
    lane_dispatch(lane, 0);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    assert_copy(&pair.server.arrived[0], 3000, 5);
    pair_deinit(&pair);
}
END_TEST

/* A copy larger than the limit for an arena lies in the heap; it is released, and made again. */
START_TEST(test_a_copy_in_the_heap) {
    enum { SIZE = (9 << 20) + 5 };
    open_pair();
    for (int i = 0; i < 2; i++) {
        send_block(WIRE_CALL, (uint64_t) i + 1, SIZE, 5);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 1);
        assert_copy(&pair.server.arrived[0], SIZE, 5);
        ck_assert_ptr_null(pair.server.arrived[0].block->slot);
        ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_BYTES], SIZE);
        ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_ARENA_BYTES], 0);
        side_drop(&pair.server);
        ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_BYTES], 0);
    }
    pair_deinit(&pair);
}
END_TEST

/* --- copies without a reader --- */

START_TEST(test_no_copy_without_a_reader) {
    open_pair();
    pair.server.is_deaf = true;
    send_block(WIRE_CALL, 1, LARGE, 5);
    pair_settle(&pair);
    ck_assert_uint_gt(pair.server.asked, 0);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    ck_assert_ptr_null(pair.server.arrived[0].block);
    struct figures figures = side_figures(&pair.server);
    ck_assert_uint_eq(
        figures.of[SEA_FIGURE_SNAPSHOTS] + figures.of[SEA_FIGURE_COPIED_BYTES] + figures.of[SEA_FIGURE_BYTES], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 1);
    ck_assert_uint_eq(client_leases(), 0);
    pair_deinit(&pair);
}
END_TEST

/* The caller gives up between two steps. */
START_TEST(test_a_copy_whose_call_is_abandoned) {
    open_pair();
    send_block(WIRE_CALL, 1, LARGE, 5);
    send_block(WIRE_ONEWAY, 0, 10, 7);
    while (server_copied() == 0)
        side_turn(&pair.server);
    ck_assert_uint_lt(server_copied(), LARGE);
    pair.server.is_deaf = true;
    server_turn();
    ck_assert_uint_ge(pair.server.arrived_count, 1);
    ck_assert_ptr_null(pair.server.arrived[0].block);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_BYTES], 0);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_SNAPSHOTS], 0);
    ck_assert_uint_eq(pair.server.lane.remote->account->quota.parent->used[QUOTA_BLOCKS],
                      side_figures(&pair.server).of[SEA_FIGURE_IMPORTED_ARENA_BYTES] > 0 ? 2
                                                                                         : 0); /* the client's arenas */
    pair_settle(&pair);
    ck_assert_uint_eq(client_leases(), 0);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    pair_deinit(&pair);
}
END_TEST

static const char *refuse_to_hear(void *owner, const struct lane_message *message, bool *ret_is_wanted) {
    (void) owner, (void) message, (void) ret_is_wanted;
    return "this message may not come";
}

/* The message itself breaks the protocol: its payload is not copied. */
START_TEST(test_a_message_that_may_not_come) {
    struct lane_ops ops = side_ops;
    ops.coming = refuse_to_hear;
    open_pair();
    pair.server.lane.ops = &ops;
    send_block(WIRE_CALL, 1, LARGE, 5);
    side_settle(&pair.server);
    ck_assert_int_eq(pair.server.closed, 1);
    ck_assert_int_eq(pair.server.end.reason, -EPROTO);
    ck_assert_str_eq(pair.server.end_text, "this message may not come");
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_COPIED_BYTES], 0);
    pair_deinit(&pair);
}
END_TEST

/* --- the end halfway --- */

static void begin_copy(void) {
    open_pair();
    send_block(WIRE_CALL, 1, LARGE, 5);
    while (server_copied() == 0)
        side_turn(&pair.server);
    ck_assert(pair.server.lane.is_copying);
}

static void end_by_closing(void) {
    lane_close(&pair.server.lane, 0, "");
}

static void end_by_the_peers_fault(void) {
    lane_fail(&pair.server.lane, -EPROTO, "a lie");
    server_turn();
}

static void end_by_freeing(void) {
    lane_deinit(&pair.server.lane);
}

static void (*const ends[])(void) = {end_by_closing, end_by_the_peers_fault, end_by_freeing};
enum { ENDS = sizeof ends / sizeof *ends };

/* side_deinit() checks that nothing is left. */
START_TEST(test_an_end_halfway) {
    begin_copy();
    ends[_i]();
    ck_assert(!pair.server.lane.is_copying);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_BYTES], 0);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_IMPORTED_ARENA_BYTES], 0);
    ck_assert_uint_eq(pair.server.arrived_count, 0);
    pair_deinit(&pair);
}
END_TEST

/* Messages that a peer sent before it died are delivered, also when copying them takes turns. */
START_TEST(test_the_peer_dies_halfway) {
    begin_copy();
    lane_deinit(&pair.client.lane);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    assert_copy(&pair.server.arrived[0], LARGE, 5);
    ck_assert_int_eq(pair.server.closed, 1);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_trim_halfway) {
    begin_copy();
    sea_ctx_trim(pair.server.ctx);
    lane_maintain_pools_now(&pair.server.lane);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    assert_copy(&pair.server.arrived[0], LARGE, 5);
    pair_deinit(&pair);
}
END_TEST

/* The arena of a copy's source is retired by the peer's next message, and goes when the copy is complete. */
START_TEST(test_the_arena_is_retired_halfway) {
    begin_copy();
    pool_rotate(pair.client.lane.remote->pools.own.pool);
    lane_maintain_pools_now(&pair.client.lane);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    assert_copy(&pair.server.arrived[0], LARGE, 5);
    lane_dispatch(&pair.client.lane, 0); /* the release is handled; then the arena goes */
    lane_maintain_pools_now(&pair.client.lane);
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_IMPORTED_ARENA_BYTES], 0);
    pair_deinit(&pair);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("lane_snapshot");
    suite_fixture(s, before, fail_off);
    suite_add(s, test_a_large_copy_takes_turns);
    suite_add(s, test_many_copies_take_turns);
    suite_add(s, test_a_turn_that_has_copied_already);
    suite_add(s, test_a_copy_in_the_heap);
    suite_add(s, test_no_copy_without_a_reader);
    suite_add(s, test_a_copy_whose_call_is_abandoned);
    suite_add(s, test_a_message_that_may_not_come);
    suite_add_loop(s, test_an_end_halfway, 0, ENDS);
    suite_add(s, test_the_peer_dies_halfway);
    suite_add(s, test_a_trim_halfway);
    suite_add(s, test_the_arena_is_retired_halfway);
    return suite_run(s);
}
