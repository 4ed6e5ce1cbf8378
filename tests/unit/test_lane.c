/* SPDX-License-Identifier: MIT */
/*
 * lane: the life of one end of a connection: which peers are let in, the handshake and its agreement, turns, and the
 * end. test_lane_send.c tests the messages that go out, test_lane_receive.c the messages that come in; policy and
 * negotiation have tests of their own.
 */
#include "support/suite.h"

#include <errno.h>
#include <unistd.h>

#include "unit/fail.h"
#include "unit/lane_pair.h"

#define NOBODY 4002

static struct draft draft;

/* handshake */

START_TEST(test_two_lanes_greet_each_other) {
    struct pair pair = {
        .client.options = {.inline_max = 100, .calls_max = 3},
        .server.options = {.service = "harbour", .block_max = 5000, .bytes_max = 9000, .blocks_max = 7}};
    pair_open(&pair);
    ck_assert_uint_eq(pair.client.opened, 1);
    ck_assert_uint_eq(pair.server.opened, 1);
    const struct negotiated *to_server = &pair.client.lane.negotiated, *to_client = &pair.server.lane.negotiated;
    ck_assert_uint_eq(to_client->inline_max, 100);
    ck_assert_uint_eq(to_client->calls_max, 3);
    ck_assert_str_eq(to_client->service, "");
    ck_assert_uint_eq(to_server->block_max, 5000);
    ck_assert_uint_eq(to_server->bytes_max, 9000);
    ck_assert_uint_eq(to_server->blocks_max, 7);
    ck_assert_uint_eq(to_server->accept, SEA_STABLE_ONLY);
    ck_assert(!to_server->peer_hugetlb);
    ck_assert_str_eq(to_server->service, "harbour");
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_CONNECTIONS], 1);
    ck_assert_int_eq(pair.server.lane.peer.pid, getpid());
    ck_assert_uint_eq(pair.server.lane.peer.uid, geteuid());
    ck_assert_uint_eq(lane_deadline(&pair.client.lane), WAIT_FOREVER);
    ck_assert_int_eq(lane_events(&pair.client.lane), POLLIN);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_the_client_speaks_first) {
    struct side server = {0}, client = {0};
    struct speaker *mute_client = side_face_speaker(&server, true), *mute_server = side_face_speaker(&client, false);
    struct pollfd item = {.fd = mute_client->fd, .events = POLLIN};
    side_settle(&server);
    ck_assert_int_eq(poll(&item, 1, 0), 0);
    ck_assert_uint_eq(speaker_expect(mute_server, WIRE_HELLO)->hello.magic, WIRE_MAGIC);
    ck_assert_int_eq(side_send(&client, WIRE_ONEWAY, 0, NULL, false), -EAGAIN);
    ck_assert_int_eq(client.lane.state, LANE_GREETING);
    side_deinit(&server);
    side_deinit(&client);
    speaker_free(mute_client);
    speaker_free(mute_server);
}
END_TEST

static const struct {
    const char *server, *demand;
    bool agrees;
} services[] = {
    {"harbour", "harbour", true},   {"harbour", NULL, true},       {NULL, NULL, true},
    {"harbour", "harbours", false}, {"harbour", "habrour", false}, {NULL, "harbour", false},
};
#define SERVICES ((int) (sizeof services / sizeof *services))

START_TEST(test_the_service_is_demanded_by_the_client) {
    struct pair pair = {.client.options.service = services[_i].demand, .server.options.service = services[_i].server};
    pair_init(&pair);
    pair_settle(&pair);
    if (services[_i].agrees) {
        ck_assert_uint_eq(pair.client.opened + pair.server.opened, 2);
    } else {
        ck_assert_uint_eq(pair.client.opened + pair.server.opened, 0);
        ck_assert_int_eq(pair.client.end.reason, -ENOENT);
        ck_assert_int_eq(pair.server.end.reason, -ENOENT);
        ck_assert_ptr_nonnull(strstr(pair.client.end_text, "not the service"));
    }
    pair_deinit(&pair);
}
END_TEST

/* The client does not rely on the server's check: it checks the service, too. */
START_TEST(test_a_client_checks_the_service_itself) {
    struct side client = {.options.service = "harbour"};
    struct speaker *speaker = side_face_speaker(&client, false);
    struct wire_hello hello = hello_sound();
    hello.service = "airport";
    hello.service_size = 7;
    draft_hello(&draft, &hello);
    speaker_send(speaker, &draft);
    side_settle(&client);
    ck_assert_uint_eq(client.opened, 0);
    ck_assert_int_eq(client.end.reason, -ENOENT);
    ck_assert_int_eq(speaker_farewell(speaker).reason, -ENOENT);
    side_deinit(&client);
    speaker_free(speaker);
}
END_TEST

static const struct {
    uint16_t min, max;
    bool agrees;
} versions[] = {{1, 1, true}, {0, 9, true}, {2, 9, false}, {0, 0, false}};
#define VERSIONS ((int) (sizeof versions / sizeof *versions))

START_TEST(test_the_version_must_be_common) {
    struct side server = {0};
    struct speaker *speaker = side_face_speaker(&server, true);
    struct wire_hello hello = hello_sound();
    hello.version_min = versions[_i].min;
    hello.version_max = versions[_i].max;
    draft_hello(&draft, &hello);
    speaker_send(speaker, &draft);
    side_settle(&server);
    ck_assert_uint_eq(server.opened, versions[_i].agrees);
    if (versions[_i].agrees) {
        speaker_expect(speaker, WIRE_HELLO);
    } else {
        ck_assert_int_eq(server.end.reason, -EPROTONOSUPPORT);
        struct farewell farewell = speaker_farewell(speaker);
        ck_assert_int_eq(farewell.reason, -EPROTONOSUPPORT);
        ck_assert_str_ne(farewell.text, "");
    }
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_handshake_has_its_time) {
    struct side side = {.options.handshake_ms = 1};
    struct speaker *speaker = side_face_speaker(&side, _i == 0);
    ck_assert_uint_eq(side.closed, 0);
    side_turn_at_deadline(&side);
    ck_assert_uint_eq(side.closed, 1);
    ck_assert_int_eq(side.end.reason, -ETIMEDOUT);
    ck_assert_str_eq(side.end_text,
                     _i == 0 ? "the handshake was not finished in time, within the server's 1 ms (handshake_ms)"
                             : "the handshake was not finished in time, within the client's 1 ms (handshake_ms)");
    ck_assert_int_eq(speaker_farewell(speaker).reason, -ETIMEDOUT);
    side_deinit(&side);
    speaker_free(speaker);
}
END_TEST

/* A greeting that arrived while the lane had no turn was in time. A turn for the deadline says nothing of the
 * socket. */
START_TEST(test_a_greeting_that_is_there_is_in_time) {
    struct side side = {.options.handshake_ms = 1};
    struct speaker *speaker = side_face_speaker(&side, _i == 0);
    struct wire_hello hello = hello_sound();
    draft_hello(&draft, &hello);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    wait_fd(-1, 0, lane_deadline(&side.lane));
    lane_dispatch(&side.lane, 0);
    ck_assert_uint_eq(side.closed, 0);
    ck_assert_uint_eq(side.opened, 1);
    speaker_expect(speaker, WIRE_HELLO);
    side_deinit(&side);
    speaker_free(speaker);
}
END_TEST

/* Makes a pair of sockets as another user: SO_PEERCRED names that user at both ends. */
static void stranger_socketpair(int ret_fds[2]) {
    if (geteuid() != 0)
        test_skip("needs root, to make a socket as another user");
    ck_assert_int_eq(seteuid(NOBODY), 0);
    lane_socketpair(ret_fds);
    ck_assert_int_eq(seteuid(0), 0);
}

START_TEST(test_a_stranger_is_told_at_once) {
    struct side server = {0};
    int fds[2];
    stranger_socketpair(fds);
    side_init(&server, fds[0], true);
    struct speaker *speaker = speaker_new(fds[1]);
    ck_assert_uint_eq(lane_deadline(&server.lane), 0);
    side_settle(&server);
    ck_assert_int_eq(server.end.reason, -EACCES);
    struct farewell farewell = speaker_farewell(speaker);
    ck_assert_int_eq(farewell.reason, -EACCES);
    ck_assert_str_eq(farewell.text, server.end_text); /* the operator reads the text that the peer got */
    ck_assert_ptr_nonnull(strstr(farewell.text, "user 4002 (group 0)"));
    ck_assert_ptr_nonnull(strstr(farewell.text, "`users` or `groups`"));
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_nothing_is_told_to_a_strange_server) {
    struct side client = {0};
    int fds[2];
    stranger_socketpair(fds);
    side_init(&client, fds[0], false);
    struct speaker *speaker = speaker_new(fds[1]);
    side_settle(&client);
    ck_assert_int_eq(client.end.reason, -EACCES);
    ck_assert_ptr_nonnull(strstr(client.end_text, "user 4002, whom we do not trust"));
    static struct raw_datagram in;
    ck_assert_int_eq(raw_recv(speaker->fd, 1000, &in), 1);
    ck_assert_uint_eq(in.data[0], WIRE_GOODBYE);
    ck_assert_int_eq(raw_recv(speaker->fd, 1000, &in), 0);
    side_deinit(&client);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_listed_stranger_is_served) {
    const uint32_t users[] = {NOBODY};
    const sea_options trusting = {.users = users, .users_count = 1};
    struct pair pair = {.client.options = trusting, .server.options = trusting};
    int fds[2];
    stranger_socketpair(fds);
    side_init(&pair.client, fds[0], false);
    side_init(&pair.server, fds[1], true);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.opened + pair.server.opened, 2);
    ck_assert_uint_eq(pair.server.lane.peer.uid, NOBODY);
    pair_deinit(&pair);
}
END_TEST

/* The server refused and closed before the client sent a byte: the reason lies in the socket. */
START_TEST(test_a_refusal_that_was_faster_than_the_greeting) {
    struct side client = {0};
    int fds[2];
    lane_socketpair(fds);
    struct speaker *speaker = speaker_new(fds[1]);
    draft_goodbye(&draft, -EUSERS, "full");
    speaker_send(speaker, &draft);
    speaker_free(speaker);
    side_init(&client, fds[0], false);
    side_settle(&client);
    ck_assert_int_eq(client.end.reason, -EUSERS);
    ck_assert_str_eq(client.end_text, "full");
    ck_assert_uint_eq(client.opened, 0);
    side_deinit(&client);
}
END_TEST

START_TEST(test_a_server_without_a_word_is_gone) {
    struct side client = {0};
    speaker_free(side_face_speaker(&client, false));
    side_settle(&client);
    ck_assert_int_eq(client.end.reason, -EPIPE);
    ck_assert_str_eq(client.end_text, "the peer is gone");
    side_deinit(&client);
}
END_TEST

static int init_failing(enum inject_kind kind, int n, int error) {
    struct side side = {0};
    int fds[2];
    ck_assert_int_eq(sea_ctx_new(&side.ctx, NULL), 0);
    lane_socketpair(fds);
    fail_call(kind, n, 1, error);
    int r = lane_init(&side.lane, side.ctx, fds[0], false, &side.options, NULL, &side_ops, &side);
    fail_off();
    if (r == 0)
        lane_deinit(&side.lane);
    ck_assert_uint_eq(side.closed, 0);
    sea_ctx_unref(side.ctx);
    close(fds[1]);
    return r;
}

/* A lane that cannot be made takes the socket all the same: otherwise the harness would find it. */
START_TEST(test_a_lane_that_cannot_be_made) {
    ck_assert_int_eq(init_failing(INJECT_ALLOC, 1, ENOMEM), -ENOMEM);
    ck_assert_int_eq(init_failing(INJECT_ALLOC, 2, ENOMEM), -ENOMEM);
    ck_assert_int_eq(init_failing(INJECT_GETSOCKOPT, 1, ENOTCONN), -ENOTCONN);
    ck_assert_int_eq(init_failing(INJECT_SENDMSG, 1, EIO), -EIO);
}
END_TEST

START_TEST(test_a_pidfd_is_not_needed) {
    ck_assert_int_eq(init_failing(INJECT_GETSOCKOPT, 2, ENOPROTOOPT), 0);
}
END_TEST

/* turns */

/* A turn handles a part of the flood; other connections get their turns in between. */
START_TEST(test_a_flood_is_handled_in_portions) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 0, 7, 1);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    ck_assert_int_eq(lane_dispatch(&server.lane, POLLIN), 64);
    ck_assert_uint_eq(server.arrived_count, 64);
    ck_assert_int_eq(lane_dispatch(&server.lane, POLLIN), 36);
    ck_assert_int_eq(lane_dispatch(&server.lane, POLLIN), 0);
    ck_assert_uint_eq(server.arrived_count, 100);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_nothing_is_read_without_being_told) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 0, 7, 1);
    speaker_send(speaker, &draft);
    ck_assert_int_eq(lane_dispatch(&server.lane, 0), 0);
    ck_assert_uint_eq(server.arrived_count, 0);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* the end */

START_TEST(test_an_orderly_end) {
    struct pair pair = {0};
    pair_open(&pair);
    lane_close(&pair.client.lane, 0, "");
    ck_assert_uint_eq(pair.client.closed, 1);
    ck_assert_int_eq(pair.client.end.reason, 0);
    ck_assert_int_eq(pair.client.lane.fd, -1);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.closed, 1);
    ck_assert_int_eq(pair.server.end.reason, 0);
    ck_assert_str_eq(pair.server.end_text, "");
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_FAULTS], 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_CONNECTIONS] +
                          side_figures(&pair.server).of[SEA_FIGURE_CONNECTIONS],
                      0);
    pair_deinit(&pair);
}
END_TEST

/* Messages that were sent before the goodbye arrive before the end. */
START_TEST(test_the_last_words_are_heard) {
    struct pair pair = {0};
    pair_open(&pair);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, i, new_inline(&pair.client, 8, 1), false), 0);
    lane_close(&pair.client.lane, 0, "");
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 100);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_uint_eq(pair.server.arrived[i].id, i);
    ck_assert_uint_eq(pair.server.closed, 1);
    pair_deinit(&pair);
}
END_TEST

/* A peer's reason to leave is no fault of ours; the text is kept. */
START_TEST(test_a_goodbye_with_a_reason) {
    struct pair pair = {0};
    pair_open(&pair);
    lane_close(&pair.client.lane, -EDQUOT, "you do not read\nyour replies");
    pair_settle(&pair);
    ck_assert_int_eq(pair.server.end.reason, -EPIPE);
    ck_assert_str_eq(pair.server.end_text, "you do not read?your replies");
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_frames_after_a_goodbye_are_not_read) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_goodbye(&draft, 0, "");
    speaker_send(speaker, &draft);
    draft_inline(&draft, 0, 7, 1);
    speaker_send(speaker, &draft);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 0);
    ck_assert_int_eq(server.end.reason, 0);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_death_is_noticed_after_the_last_words) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 0, 7, 1);
    for (int i = 0; i < 70; i++)
        speaker_send(speaker, &draft);
    speaker_free(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 70);
    ck_assert_uint_eq(server.closed, 1);
    ck_assert_int_eq(server.end.reason, -EPIPE);
    ck_assert_str_eq(server.end_text, "the peer is gone");
    side_deinit(&server);
}
END_TEST

/* The peer died with unread data of ours: the kernel reports ECONNRESET before the peer's last messages. */
START_TEST(test_a_reset_hides_nothing) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 0, 7, 1);
    speaker_send(speaker, &draft);
    ck_assert_int_eq(side_send(&server, WIRE_ONEWAY, 0, NULL, false), 0);
    speaker_free(speaker);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    ck_assert_int_eq(server.end.reason, -EPIPE);
    side_deinit(&server);
}
END_TEST

START_TEST(test_the_end_drops_the_leases) {
    struct pair pair = {0};
    pair_open(&pair);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 100000, i), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 3);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BYTES], 300000);
    lane_close(&pair.client.lane, _i == 0 ? 0 : -EDQUOT, "");
    ck_assert_uint_eq(pair.client.end.reclaimed_blocks, 3);
    ck_assert_uint_eq(pair.client.end.reclaimed_bytes, 300000);
    struct figures figures = side_figures(&pair.client);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BLOCKS] + figures.of[SEA_FIGURE_BLOCKS], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECLAIMED_BLOCKS],
                      _i == 0 ? 0 : 3); /* counted when the peer died or lied */
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECLAIMED_BYTES], _i == 0 ? 0 : 300000);
    pair_settle(&pair);
    const char *bytes = sea_block_view(pair.server.arrived[2].block); /* readable beyond the end */
    ck_assert_int_eq(bytes[99999], 2);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_an_end_is_told_once) {
    struct pair pair = {0};
    pair_open(&pair);
    lane_close(&pair.client.lane, 0, "");
    lane_close(&pair.client.lane, -EPROTO, "again");
    lane_fail(&pair.client.lane, -EPROTO, "again");
    ck_assert_int_eq(lane_dispatch(&pair.client.lane, POLLIN | POLLOUT), 0);
    ck_assert_uint_eq(pair.client.closed, 1);
    ck_assert_int_eq(pair.client.end.reason, 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, NULL, true), -EPIPE);
    ck_assert_int_eq(lane_send_cancel(&pair.client.lane, 1), -EPIPE);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_doom_waits_for_a_turn) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 0, 7, 1);
    speaker_send(speaker, &draft);
    lane_fail(&server.lane, -ENOMEM, "first");
    lane_fail(&server.lane, -EDQUOT, "second");
    ck_assert_uint_eq(server.closed, 0);
    ck_assert_int_eq(server.lane.state, LANE_OPEN);
    ck_assert_uint_eq(lane_deadline(&server.lane), 0);
    ck_assert_int_eq(side_send(&server, WIRE_ONEWAY, 0, NULL, false), -EPIPE);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 0);
    ck_assert_int_eq(server.end.reason, -ENOMEM);
    struct farewell farewell = speaker_farewell(speaker);
    ck_assert_int_eq(farewell.reason, -ENOMEM);
    ck_assert_str_eq(farewell.text, "first");
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

static void close_it(struct side *side) {
    lane_close(&side->lane, 0, "enough");
}

static void doom_it(struct side *side) {
    lane_fail(&side->lane, 0, "enough");
}

/* The connection ends from inside a callback, with more data to read behind the message. */
START_TEST(test_an_end_from_inside_a_turn) {
    struct side server = {.on_arrived = _i == 0 ? close_it : doom_it};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 0, 7, 1);
    for (int i = 0; i < 3; i++)
        speaker_send(speaker, &draft);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 1);
    ck_assert_uint_eq(server.closed, 1);
    ck_assert_str_eq(server.end_text, "enough");
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_freed_in_any_state_without_a_word) {
    struct pair pair = {0};
    pair_init(&pair);
    if (_i > 0)
        pair_settle(&pair);
    if (_i > 1) { /* with everything that a lane can own */
        side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false);
        side_send(&pair.server, WIRE_ONEWAY, 0, new_sealed(&pair.server, 10, 1), false);
        pair_settle(&pair);
        side_fill_socket(&pair.client);
        ck_assert_int_eq(side_send(&pair.client, WIRE_REPLY, 1, new_sealed(&pair.client, 10, 1), true), 0);
        side_drop(&pair.client); /* its release waits behind the full socket */
    }
    if (_i > 2)
        lane_fail(&pair.client.lane, 0, "");
    lane_deinit(&pair.client.lane);
    ck_assert_uint_eq(pair.client.closed, 0);
    pair_deinit(&pair);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("lane");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_two_lanes_greet_each_other);
    suite_add(s, test_the_client_speaks_first);
    suite_add_loop(s, test_the_service_is_demanded_by_the_client, 0, SERVICES);
    suite_add(s, test_a_client_checks_the_service_itself);
    suite_add_loop(s, test_the_version_must_be_common, 0, VERSIONS);
    suite_add_loop(s, test_a_handshake_has_its_time, 0, 2);
    suite_add_loop(s, test_a_greeting_that_is_there_is_in_time, 0, 2);
    suite_add(s, test_a_stranger_is_told_at_once);
    suite_add(s, test_nothing_is_told_to_a_strange_server);
    suite_add(s, test_a_listed_stranger_is_served);
    suite_add(s, test_a_refusal_that_was_faster_than_the_greeting);
    suite_add(s, test_a_server_without_a_word_is_gone);
    suite_add(s, test_a_lane_that_cannot_be_made);
    suite_add(s, test_a_pidfd_is_not_needed);
    suite_add(s, test_a_flood_is_handled_in_portions);
    suite_add(s, test_nothing_is_read_without_being_told);
    suite_add(s, test_an_orderly_end);
    suite_add(s, test_the_last_words_are_heard);
    suite_add(s, test_a_goodbye_with_a_reason);
    suite_add(s, test_frames_after_a_goodbye_are_not_read);
    suite_add(s, test_a_death_is_noticed_after_the_last_words);
    suite_add(s, test_a_reset_hides_nothing);
    suite_add_loop(s, test_the_end_drops_the_leases, 0, 2);
    suite_add(s, test_an_end_is_told_once);
    suite_add(s, test_doom_waits_for_a_turn);
    suite_add_loop(s, test_an_end_from_inside_a_turn, 0, 2);
    suite_add_loop(s, test_freed_in_any_state_without_a_word, 0, 4);
    return suite_run(s);
}
