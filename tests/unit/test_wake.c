/* SPDX-License-Identifier: MIT */
/*
 * lane/doorbell in whole lanes: a sleeping side is woken for the events that it waits for. Both lanes are on one
 * thread, so each test is one interleaving; tests/model has all of them. These tests show that the lanes act as the
 * model does.
 */
#include "support/suite.h"

#include <errno.h>

#include "unit/lane_pair.h"

static struct pair pair;

static void pair_open_with_rings(void) {
    pair = (struct pair){.client.has_outbox = true, .server.has_outbox = true};
    pair.client.options.ring_size = pair.server.options.ring_size = 4096; /* the ring does not grow */
    pair_open(&pair);
    ck_assert(pair.client.lane.has_rings && pair.server.lane.has_rings);
}

static bool is_rung(const struct side *side) {
    struct pollfd item = {.fd = side->lane.fd, .events = POLLIN};
    ck_assert_int_ge(poll(&item, 1, 0), 0);
    return item.revents & POLLIN;
}

static int send_oneway(struct side *side) {
    return side_send(side, WIRE_ONEWAY, 0, NULL, false);
}

static int send_cancel(struct side *side) {
    return lane_send_cancel(&side->lane, 1);
}

static int send_sealed(struct side *side) {
    return side_send(side, WIRE_ONEWAY, 0, new_sealed(side, 1, 'x'), false);
}

/* Each sends a message of one line. */
static int (*const senders[])(struct side *side) = {send_oneway, send_cancel, send_sealed};

/* Fills the ring, but for the line that stays free; `sender` sends the last line of each quarter, where the reader
 * stores its cursor. */
static void fill_ring(struct side *side, int (*sender)(struct side *side)) {
    uint32_t lines = side->lane.own.lines;
    lane_cork(&side->lane);
    for (uint32_t i = 1; i < lines; i++)
        ck_assert_int_eq(i % (lines / 4) == 0 ? sender(side) : send_oneway(side), 0);
    lane_uncork(&side->lane);
}

START_TEST(test_a_writer_that_waits_for_room_is_woken) {
    pair_open_with_rings();
    struct lane *writer = &pair.client.lane, *reader = &pair.server.lane;
    fill_ring(&pair.client, senders[_i]);
    ck_assert_int_eq(send_oneway(&pair.client), -EAGAIN);
    ck_assert(lane_prepare_sleep(writer));
    ck_assert(!is_rung(&pair.client));
    while (lane_has_work(reader))
        lane_dispatch(reader, 0);
    ck_assert(lane_prepare_sleep(reader));
    ck_assert(is_rung(&pair.client));
    side_settle(&pair.client);
    ck_assert_uint_eq(pair.client.rooms, 1);
    ck_assert_int_eq(send_oneway(&pair.client), 0);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_reader_is_rung_once_for_an_episode) {
    pair_open_with_rings();
    ck_assert(lane_prepare_sleep(&pair.server.lane));
    ck_assert_int_eq(send_oneway(&pair.client), 0);
    ck_assert(is_rung(&pair.server));
    uint32_t rung = pair.client.lane.doorbell.rung;
    ck_assert_int_eq(send_oneway(&pair.client), 0);
    ck_assert_uint_eq(pair.client.lane.doorbell.rung, rung);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    ck_assert(lane_prepare_sleep(&pair.server.lane));
    ck_assert(!is_rung(&pair.server));
    ck_assert_int_eq(send_oneway(&pair.client), 0);
    ck_assert_uint_ne(pair.client.lane.doorbell.rung, rung);
    ck_assert(is_rung(&pair.server));
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_frame_that_came_in_time_keeps_its_reader_awake) {
    pair_open_with_rings();
    lane_dispatch(&pair.server.lane, 0); /* awake */
    ck_assert_int_eq(send_oneway(&pair.client), 0);
    ck_assert(!is_rung(&pair.server));
    ck_assert(!lane_prepare_sleep(&pair.server.lane));
    pair_deinit(&pair);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("wake");
    suite_add_loop(s, test_a_writer_that_waits_for_room_is_woken, 0, 3);
    suite_add(s, test_a_reader_is_rung_once_for_an_episode);
    suite_add(s, test_a_frame_that_came_in_time_keeps_its_reader_awake);
    return suite_run(s);
}
