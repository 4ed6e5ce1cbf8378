/* SPDX-License-Identifier: MIT */
/*
 * loop/uv: servers and connections on libuv loops. In every test the loop ends by itself, has no handle left, and can
 * be closed: a watch that was left behind would prevent that.
 */
#include "support/suite.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "support/child.h"
#include "support/speaker.h"
#include "sys/map.h"
#include "unit/conn_pair.h"
#include "unit/fail.h"
#include "unit/host.h"

#include <sealane/uv.h>

#define CLIENTS_MAX 100

static uv_loop_t loop;
static char address[160];
static struct end serving; /* the server's side of all connections; its `conn` is the newest */
static sea_server *server;
static struct end clients[CLIENTS_MAX];

static void on_open(sea_conn *conn, void *user) {
    struct end *end = user;
    end->conn = conn;
    end->opened++;
    if (end->at_open)
        end->at_open(end);
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct end *end = user;
    (void) conn;
    end->closed++;
    end->event = *event;
    end->event.text = NULL;
    end->conn = NULL;
}

static void scene_set(void) {
    fail_off();
    memset(clients, 0, sizeof clients);
    memset(&serving, 0, sizeof serving);
    server = NULL;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    snprintf(address, sizeof address, "unix:%s", raw_name());
    end_prepare(&serving);
    serving.options.on_open = on_open;
    serving.options.on_close = on_close;
    serving.options.on_room = NULL;
}

static void server_open(void) {
    ck_assert_int_eq(sea_uv_server_new(&server, serving.ctx, &loop, address, &serving.options), 0);
}

static void server_close(void) {
    server = sea_server_free(server);
}

static void client_open(struct end *client) {
    end_prepare(client);
    ck_assert_int_eq(sea_uv_connect(&client->conn, client->ctx, &loop, address, &client->options), 0);
}

static void count_handle(uv_handle_t *handle, void *count) {
    (void) handle;
    ++*(int *) count;
}

/* Frees the objects that the test has left; then the loop must end, and be empty. */
static void scene_end(void) {
    int handles = 0;
    fail_off();
    server_close();
    serving.conn = NULL;
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (clients[i].ctx)
            end_deinit(&clients[i]);
    end_deinit(&serving);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    uv_walk(&loop, count_handle, &handles);
    ck_assert_int_eq(handles, 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void run(void) {
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

/* Gives the loop turns until the condition holds. */
#define run_until(condition)                                                                  \
    while (!(condition)) {                                                                    \
        int is_alive_ = uv_run(&loop, UV_RUN_ONCE);                                           \
        ck_assert_msg(is_alive_ || (condition), "the loop has ended before: %s", #condition); \
    }

/* one loop */

/* Frees the client at its last answer, and the server when there is no client any more. */
static unsigned clients_left;

static void leave_at_the_last(struct end *end, const struct outcome *outcome) {
    ck_assert_int_eq(outcome->status, 0);
    if (end->outcomes_count < end->sunk)
        return;
    end_free_conn(end);
    if (--clients_left == 0)
        server_close();
}

static void call_at_open(struct end *end) {
    for (unsigned i = 0; i < end->sunk; i++)
        ck_assert_int_eq(
            end_call(end, END_ECHO, end_block(end, i % 2 ? 100 : 100000, (int) i), i % 3 ? -1 : 60000, i, NULL), 0);
}

static void must_not_close(struct end *end) {
    ck_abort_msg("a connection ended (%d): %s", end->event.reason, end->event.text);
}

static const unsigned crowds[][2] = {{1, 1}, {1, 200}, {100, 10}}; /* number of clients, and calls of each */

START_TEST(test_server_and_clients_on_one_loop) {
    server_open();
    clients_left = crowds[_i][0];
    for (unsigned i = 0; i < crowds[_i][0]; i++) {
        clients[i].at_open = call_at_open;
        clients[i].at_done = leave_at_the_last;
        clients[i].at_close = must_not_close;
        clients[i].sunk = crowds[_i][1];
        client_open(&clients[i]);
    }
    run(); /* the loop ends by itself */
    ck_assert_ptr_null(server);
    ck_assert_uint_eq(serving.opened, crowds[_i][0]);
    ck_assert_uint_eq(serving.closed, crowds[_i][0]);
    for (unsigned i = 0; i < crowds[_i][0]; i++) {
        ck_assert_uint_eq(clients[i].outcomes_count, crowds[_i][1]);
        for (unsigned k = 0; k < crowds[_i][1]; k++) {
            const struct outcome *outcome = &clients[i].outcomes[k];
            ck_assert(msg_is_filled(outcome->reply, outcome->tag % 2 ? 100 : 100000, (int) outcome->tag));
        }
    }
}
END_TEST

/* An end in steps takes a turn of the loop for each step, and no time in between. */
START_TEST(test_the_end_goes_on_in_each_turn) {
    enum { LEASES = 100, SIZE = 70000, TURNS_MOST = 30 };
    server_open();
    client_open(&clients[0]);
    run_until(clients[0].opened);
    for (unsigned i = 0; i < LEASES; i++) {
        sea_block *block = NULL;
        ck_assert_int_eq(sea_block_new_sealed(&block, clients[0].ctx, SIZE, 0), 0);
        ck_assert_int_eq(sea_send(clients[0].conn, END_KEEP, block, 0), 0);
        run_until(serving.kept_count == i + 1);
    }
    server_close();
    int turns = 0;
    for (; !clients[0].closed && turns < TURNS_MOST; turns++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(clients[0].closed, 1);
    ck_assert_int_gt(turns, 4); /* and not all steps at once */
    ck_assert_uint_eq(clients[0].event.reclaimed_blocks, LEASES);
}
END_TEST

START_TEST(test_nothing_waits_on_a_loop) {
    sea_msg *reply = NULL;
    server_open();
    client_open(&clients[0]);
    run_until(clients[0].opened);
    sea_conn *conn = clients[0].conn;
    ck_assert_int_eq(sea_call(conn, END_ECHO, NULL, 1000, &reply), -EDEADLK);
    ck_assert_int_eq(sea_conn_wait(conn, 1000), -EDEADLK);
    ck_assert_int_eq(sea_send(conn, END_ECHO, end_block(&clients[0], 100000, 1), -1), -EDEADLK);
    ck_assert_int_eq(sea_server_run(server), -EDEADLK);
    ck_assert_int_eq(sea_server_fd(server), -EDEADLK);
    ck_assert_int_eq(sea_server_prepare(server), -1);
    ck_assert_int_eq(sea_server_dispatch(server), -EDEADLK);
    sea_server_stop(server); /* has no effect */
    ck_assert_int_eq(sea_send(conn, END_KEEP, NULL, 0), 0);
    run_until(serving.kept_count == 1);
}
END_TEST

START_TEST(test_before_the_handshake_there_is_no_room) {
    server_open();
    client_open(&clients[0]);
    ck_assert_int_eq(end_call(&clients[0], END_ECHO, NULL, -1, 1, NULL), -EAGAIN);
    ck_assert_uint_eq(clients[0].opened, 0);
    run_until(clients[0].opened);
    ck_assert_int_eq(end_call(&clients[0], END_ECHO, NULL, -1, 1, NULL), 0);
    run_until(clients[0].outcomes_count == 1);
}
END_TEST

static void flood(struct end *end) {
    while (end->outcomes[0].tag < 5000) {
        int r = sea_send(end->conn, END_SINK, end_number(end, end->outcomes[0].tag), 0);
        if (r < 0) {
            ck_assert_int_eq(r, -EAGAIN);
            return;
        }
        end->outcomes[0].tag++;
    }
}

START_TEST(test_a_flood_goes_on_when_there_is_room) {
    server_open();
    clients[0].at_open = clients[0].at_room = flood;
    client_open(&clients[0]);
    run_until(serving.sunk == 5000);
    ck_assert_uint_gt(clients[0].rooms, 0);
}
END_TEST

/* A reply outside of any turn, while the socket is full: the loop must poll for room. */
START_TEST(test_late_replies_find_a_full_socket) {
    unsigned sent = 0;
    server_open();
    client_open(&clients[0]);
    run_until(clients[0].opened);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(end_call(&clients[0], END_KEEP, NULL, -1, i, NULL), 0);
    run_until(serving.kept_count == 200);
    while (sea_send(serving.conn, 99, NULL, 0) == 0) /* there is no such method: the message is dropped */
        ck_assert_uint_lt(++sent, 10000);
    end_drop(&serving);
    run_until(clients[0].outcomes_count == 200);
}
END_TEST

/* deadlines */

START_TEST(test_deadlines_by_timers) {
    static const int timeouts[] = {30, 1, 2, 10, 60000, -1};
    server_open();
    client_open(&clients[0]);
    run_until(clients[0].opened);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(end_call(&clients[0], END_KEEP, NULL, timeouts[i], i, NULL), 0);
    run_until(clients[0].outcomes_count == 4 && serving.kept_count == 6);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(clients[0].outcomes[i].status, -ETIMEDOUT);
        ck_assert_uint_lt(clients[0].outcomes[i].tag, 4);
    }
    for (int i = 0; i < 10 && !sea_msg_is_cancelled(serving.kept[0]); i++)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert(sea_msg_is_cancelled(serving.kept[0]));
    ck_assert(!sea_msg_is_cancelled(serving.kept[5]));
}
END_TEST

START_TEST(test_a_client_that_does_not_greet) {
    serving.options.handshake_ms = 10;
    server_open();
    struct speaker *speaker = speaker_new(raw_connect(address + strlen("unix:")));
    run_until(serving.closed);
    ck_assert_int_eq(serving.event.reason, -ETIMEDOUT);
    ck_assert_uint_eq(serving.opened, 0);
    ck_assert_int_eq(speaker_farewell(speaker).reason, -ETIMEDOUT);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_server_that_does_not_greet) {
    int listener = raw_listen(address + strlen("unix:"));
    clients[0].options.handshake_ms = 10;
    client_open(&clients[0]);
    run(); /* an ended connection keeps no loop alive */
    ck_assert_uint_eq(clients[0].closed, 1);
    ck_assert_int_eq(clients[0].event.reason, -ETIMEDOUT);
    ck_assert_uint_eq(clients[0].opened, 0);
    close(listener);
}
END_TEST

/* ends */

START_TEST(test_a_handshake_that_fails) {
    serving.options.service = "harbour";
    server_open();
    clients[0].options.service = "airport";
    client_open(&clients[0]);
    run_until(clients[0].closed && serving.closed);
    ck_assert_uint_eq(clients[0].opened + serving.opened, 0);
    ck_assert_int_eq(clients[0].event.reason, -ENOENT);
    ck_assert_int_eq(serving.event.reason, -ENOENT);
    ck_assert_int_eq(end_call(&clients[0], END_ECHO, NULL, -1, 1, NULL), -EPIPE);
}
END_TEST

START_TEST(test_a_loop_lives_as_long_as_a_connection) {
    server_open();
    client_open(&clients[0]);
    run_until(clients[0].opened);
    server_close();
    run_until(clients[0].closed);
    ck_assert_int_eq(clients[0].event.reason, 0);
    run();
    ck_assert(!uv_loop_alive(&loop));
}
END_TEST

START_TEST(test_a_close_comes_on_the_next_turn) {
    server_open();
    client_open(&clients[0]);
    run_until(clients[0].opened);
    sea_conn_close(clients[0].conn);
    ck_assert_uint_eq(clients[0].closed, 0);
    run_until(clients[0].closed && serving.closed);
    ck_assert_int_eq(clients[0].event.reason, 0);
    ck_assert_int_eq(serving.event.reason, 0);
}
END_TEST

static void free_at_done(struct end *end, const struct outcome *outcome) {
    (void) outcome;
    if (end->outcomes_count > 1)
        return;
    sea_conn_free(end->conn); /* this ends the other calls; their callbacks compare end->conn */
    end->conn = NULL;
}

static void free_at_hook(struct end *end, sea_msg *msg) {
    end_free_conn(end);
    sea_msg_release(msg);
}

static void push_hooks(struct end *end) {
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(sea_send(end->conn, END_HOOK, end_block(end, 100000, 1), 0), 0);
}

static void call_three(struct end *end) {
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(end_call(end, END_ECHO, NULL, -1, i, NULL), 0);
}

static void call_in_vain(struct end *end) {
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(end_call(end, END_KEEP, NULL, 1, i, NULL), 0);
}

enum place { IN_OPEN, IN_CLOSE_OF_OPEN, IN_CLOSE_OF_REFUSED, IN_DONE, IN_EXPIRY, IN_HOOK, PLACES };

START_TEST(test_free_from_inside) {
    struct end *client = &clients[0];
    client->at_open = _i == IN_OPEN ? end_free_conn : _i == IN_EXPIRY ? call_in_vain : call_three;
    client->at_close = end_free_conn;
    client->at_done = _i == IN_DONE || _i == IN_EXPIRY ? free_at_done : NULL;
    client->hook = free_at_hook;
    client->options.service = _i == IN_CLOSE_OF_REFUSED ? "airport" : NULL;
    serving.at_open = _i == IN_HOOK ? push_hooks : NULL;
    server_open();
    client_open(client);
    if (_i == IN_CLOSE_OF_OPEN) {
        run_until(client->outcomes_count == 3);
        server_close();
    }
    run_until(!client->conn);
    ck_assert_uint_eq(client->closed, _i == IN_CLOSE_OF_OPEN || _i == IN_CLOSE_OF_REFUSED);
    if (server)
        run_until(serving.closed);
}
END_TEST

static void close_server(uv_timer_t *timer) {
    server_close();
    uv_close((uv_handle_t *) timer, NULL);
}

START_TEST(test_a_server_is_freed_by_the_loop) {
    uv_timer_t timer;
    server_open();
    for (int i = 0; i < 10; i++) {
        clients[i].at_close = end_free_conn;
        client_open(&clients[i]);
    }
    for (int i = 0; i < 10; i++) {
        run_until(clients[i].opened);
        ck_assert_int_eq(end_call(&clients[i], END_KEEP, NULL, -1, 0, NULL), 0);
    }
    run_until(serving.kept_count == 10);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, close_server, 0, 0);
    run();
    ck_assert_uint_eq(serving.closed, 10);
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_eq(clients[i].closed, 1);
        ck_assert_int_eq(clients[i].outcomes[0].status, -EPIPE);
    }
}
END_TEST

/* other processes and threads */

static int serve_in_child(int line, void *arg) {
    struct host own = {.options = {SEA_METHODS(end_methods)}};
    (void) arg;
    snprintf(own.address, sizeof own.address, "%s", address);
    host_open(&own);
    line_tell(line, 1);
    return -sea_server_run(own.server);
}

/* Calls that wait for the end of the loop's turn, where they are answered. */
static sea_msg *gathered[1000];
static unsigned gathered_count;

static void gather(sea_msg *msg, void *user) {
    (void) user;
    gathered[gathered_count++] = msg;
}

static void answer_gathered(uv_check_t *check) {
    (void) check;
    while (gathered_count)
        sea_reply(gathered[--gathered_count], NULL);
}

static int serve_by_turns(int line, void *arg) {
    static const sea_method methods[] = {{.number = END_ECHO, .name = "gather", .handler = gather}};
    const sea_options options = {SEA_METHODS(methods), .calls_max = 1000, .waiting = SEA_WAIT_SLEEP};
    uv_loop_t own;
    uv_check_t check;
    sea_ctx *ctx = NULL;
    sea_server *by_turns = NULL;
    (void) arg;
    ck_assert_int_eq(uv_loop_init(&own), 0);
    ck_assert_int_eq(uv_check_init(&own, &check), 0);
    uv_check_start(&check, answer_gathered);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_uv_server_new(&by_turns, ctx, &own, address, &options), 0);
    line_tell(line, 1);
    return uv_run(&own, UV_RUN_DEFAULT);
}

static void count_answer(sea_conn *conn, int status, sea_msg *reply, void *count) {
    (void) conn;
    ck_assert_int_eq(status, 0);
    sea_msg_release(reply);
    ++*(unsigned *) count;
}

/* There are more calls than one turn handles, so that timers handle some of them, before the poll. */
START_TEST(test_calls_are_answered_at_the_end_of_the_turn) {
    struct child child;
    const sea_options options = {.ring_size = 1 << 18};
    sea_conn *conn = NULL;
    uint64_t word;
    child_start(&child, serve_by_turns, NULL);
    ck_assert(line_hear(child.line, 10000, &word));
    ck_assert_int_eq(sea_connect(&conn, serving.ctx, address, &options), 0);
    for (unsigned round = 1; round <= 20; round++) {
        unsigned answered = 0;
        sea_batch_begin(conn);
        for (unsigned i = 0; i < 45 * round; i++)
            ck_assert_int_eq(sea_call_start(conn, END_ECHO, NULL, -1, count_answer, &answered, NULL), 0);
        sea_batch_end(conn);
        while (answered < 45 * round)
            ck_assert_int_ge(sea_conn_wait(conn, 20000), 1);
    }
    sea_conn_free(conn);
    child_kill(&child);
}
END_TEST

/* --- a flood beside other users of the loop --- */

static int flood_in_child(int line, void *arg) {
    const sea_options options = {.waiting = SEA_WAIT_SLEEP};
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    (void) line;
    (void) arg;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_connect(&conn, ctx, address, &options);
    while (r == 0)
        r = sea_send_bytes(conn, END_HOOK, NULL, 0, -1);
    return r;
}

/* Handles messages more slowly than they come. */
static void be_slow(struct end *end, sea_msg *msg) {
    uint64_t begin = wait_now();
    (void) end;
    while (wait_now() - begin < 20000)
        ;
    sea_msg_release(msg);
}

static void count_tick(uv_timer_t *timer) {
    ++*(unsigned *) timer->data;
}

/* The application's timers fire, and new connections are served. */
START_TEST(test_a_flood_leaves_the_loop_its_turns) {
    struct child children[2];
    unsigned ticks = 0;
    uv_timer_t timer = {.data = &ticks};
    serving.hook = be_slow;
    server_open();
    for (int i = 0; i < 2; i++)
        child_start(&children[i], flood_in_child, NULL);
    run_until(serving.opened == 2);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, count_tick, 5, 5);
    run_until(ticks >= 3);
    client_open(&clients[0]);
    run_until(clients[0].opened);
    run_until(ticks >= 6);
    for (int i = 0; i < 2; i++)
        child_kill(&children[i]);
    uv_close((uv_handle_t *) &timer, NULL);
    run_until(serving.closed == 2);
}
END_TEST

START_TEST(test_the_server_is_killed) {
    struct child child;
    uint64_t word;
    child_start(&child, serve_in_child, NULL);
    ck_assert(line_hear(child.line, 10000, &word));
    client_open(&clients[0]);
    run_until(clients[0].opened);
    ck_assert_int_eq(end_call(&clients[0], END_ECHO, end_block(&clients[0], 100000, 1), -1, 1, NULL), 0);
    run_until(clients[0].outcomes_count == 1);
    child_kill(&child);
    run(); /* the only connection ends */
    ck_assert_uint_eq(clients[0].closed, 1);
    ck_assert_int_eq(clients[0].event.reason, -EPIPE);
}
END_TEST

START_TEST(test_a_client_that_waits) {
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    struct host host = {.options = {SEA_METHODS(end_methods)}};
    host_start(&host);
    snprintf(address, sizeof address, "%s", host.address);
    client_open(&clients[0]); /* of a server with a loop of its own */
    ck_assert_int_eq(sea_connect(&conn, clients[0].ctx, address, NULL), 0);
    run_until(clients[0].opened);
    ck_assert_int_eq(end_call(&clients[0], END_ECHO, NULL, -1, 1, NULL), 0);
    run_until(clients[0].outcomes_count == 1);
    ck_assert_int_eq(sea_call(conn, END_ECHO, NULL, -1, &reply), 0);
    sea_msg_release(reply);
    sea_conn_free(conn);
    end_free_conn(&clients[0]);
    wait_until(host_figures(&host).of[SEA_FIGURE_CONNECTIONS] == 0);
    host_stop(&host);
}
END_TEST

static void on_stop(uv_async_t *async) {
    server_close();
    uv_close((uv_handle_t *) async, NULL);
}

/* A loop that belongs to the server, on a thread. */
struct other_loop {
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
};

static void *run_other(void *arg) {
    struct other_loop *other = arg;
    ck_assert_int_eq(uv_run(&other->loop, UV_RUN_DEFAULT), 0);
    return NULL;
}

START_TEST(test_two_loops_on_two_threads) {
    struct other_loop other;
    ck_assert_int_eq(uv_loop_init(&other.loop), 0);
    ck_assert_int_eq(uv_async_init(&other.loop, &other.stop, on_stop), 0);
    ck_assert_int_eq(sea_uv_server_new(&server, serving.ctx, &other.loop, address, &serving.options), 0);
    ck_assert_int_eq(pthread_create(&other.thread, NULL, run_other, &other), 0);
    clients_left = CLIENTS_MAX; /* one more than there are, because the other thread frees the server */
    for (int i = 0; i < 20; i++) {
        clients[i].at_open = call_at_open;
        clients[i].at_done = leave_at_the_last;
        clients[i].at_close = must_not_close;
        clients[i].sunk = 50;
        client_open(&clients[i]);
    }
    run();
    for (int i = 0; i < 20; i++)
        ck_assert_uint_eq(clients[i].outcomes_count, 50);
    uv_async_send(&other.stop);
    pthread_join(other.thread, NULL);
    ck_assert_int_eq(uv_loop_close(&other.loop), 0);
    ck_assert_ptr_null(server);
    ck_assert_uint_eq(serving.closed, 20);
}
END_TEST

START_TEST(test_two_loops_in_turns) {
    uv_loop_t other;
    ck_assert_int_eq(uv_loop_init(&other), 0);
    ck_assert_int_eq(sea_uv_server_new(&server, serving.ctx, &other, address, &serving.options), 0);
    client_open(&clients[0]);
    for (int i = 0; i < 100000 && !clients[0].opened; i++) {
        uv_run(&other, UV_RUN_NOWAIT);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    ck_assert_uint_eq(clients[0].opened, 1);
    server_close();
    ck_assert_int_eq(uv_run(&other, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&other), 0);
    run_until(clients[0].closed);
}
END_TEST

/* memory that libuv's threads make */

#define MIB ((size_t) 1 << 20)
enum { ASKED_MAX = 16 };

static struct {
    pthread_t thread; /* the thread of the loop */
    sea_block *blocks[ASKED_MAX];
    int statuses[ASKED_MAX];
    unsigned count;
} told;

static atomic_uint made_here, made_elsewhere; /* memfds */

static void count_memfd(void) {
    atomic_fetch_add(pthread_equal(pthread_self(), told.thread) ? &made_here : &made_elsewhere, 1);
}

static void take_block(int status, sea_block *block, void *user) {
    ck_assert_ptr_eq(user, &told);
    ck_assert(pthread_equal(pthread_self(), told.thread));
    ck_assert_uint_lt(told.count, ASKED_MAX);
    ck_assert(block ? status == 0 : status < 0);
    told.blocks[told.count] = block;
    told.statuses[told.count++] = status;
}

/* Counts memfds from here on. */
static void told_begin(void) {
    memset(&told, 0, sizeof told);
    told.thread = pthread_self();
    made_here = made_elsewhere = 0;
    fail_never_but(INJECT_MEMFD_CREATE, count_memfd);
}

static void ask(sea_ctx *ctx, size_t size, unsigned flags) {
    unsigned count = told.count;
    ck_assert_int_eq(sea_uv_block_new_sealed(ctx, &loop, size, flags, take_block, &told), 0);
    ck_assert_uint_eq(told.count, count); /* the callback never runs inside the call */
}

START_TEST(test_a_block_is_made_elsewhere) {
    told_begin();
    ask(serving.ctx, 3 * MIB, SEA_BLOCK_NO_HUGE);
    run();
    ck_assert_uint_eq(told.count, 1);
    ck_assert_int_eq(told.statuses[0], 0);
    ck_assert_uint_eq(made_here, 0);
    ck_assert_uint_eq(made_elsewhere, 1);
    sea_block *block = told.blocks[0];
    ck_assert_uint_eq(sea_block_size(block), 3 * MIB);
    ck_assert_int_eq(sea_block_class(block), SEA_SEALED);
    ck_assert_int_eq(sea_block_pages(block), SEA_PAGES_SMALL);
    ck_assert_uint_eq(end_figures(&serving).of[SEA_FIGURE_BYTES], 3 * MIB);
    ck_assert_ptr_nonnull(block->sealed.data); /* mapped, with all its pages */
    ck_assert_uint_eq(map_count_resident(block->sealed.data, 3 * MIB), 3 * MIB);
    memset(sea_block_data(block), 1, 3 * MIB);
    ck_assert_int_eq(sea_block_seal(block), 0);
    sea_block_unref(block);
}
END_TEST

/* There are many more requests than threads; meanwhile the application drops the context, and the loop cannot be
 * closed. */
START_TEST(test_a_loop_that_ends_while_blocks_are_made) {
    sea_ctx *ctx = NULL;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    told_begin();
    for (int i = 0; i < ASKED_MAX; i++)
        ask(ctx, MIB, 0);
    sea_ctx_unref(ctx);
    ck_assert_int_eq(uv_loop_close(&loop), UV_EBUSY);
    run();
    ck_assert_uint_eq(told.count, ASKED_MAX);
    ck_assert_uint_eq(made_elsewhere, ASKED_MAX);
    for (int i = 0; i < ASKED_MAX; i++) {
        ck_assert_int_eq(told.statuses[i], 0);
        sea_block_unref(told.blocks[i]);
    }
}
END_TEST

/* On the loop's thread. */
static const char *explained(int error) {
    static char text[400];
    sea_explain(serving.ctx, NULL, error, text, sizeof(text));
    return text;
}

START_TEST(test_refusals_on_other_threads) {
    sea_refusal refusal;
    end_deinit(&serving);
    serving.ctx_options.budget_bytes = MIB;
    end_prepare(&serving);
    told_begin();
    refusal_explain(&serving.ctx->refusals, -EINVAL, "something", "an old text");
    ck_assert_int_eq(sea_uv_block_new_sealed(serving.ctx, &loop, 1, 0, NULL, NULL), -EINVAL);
    ck_assert_ptr_nonnull(strstr(explained(-EINVAL), "no function"));
    refusal_explain(&serving.ctx->refusals, -EDQUOT, "something", "an old text");
    ask(serving.ctx, 2 * MIB, 0);
    run();
    sea_ctx_refusal(serving.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(told.statuses[0], -EDQUOT);
    ck_assert_ptr_nonnull(strstr(explained(-EDQUOT), "budget (bytes): needed 2097152"));
    ck_assert_str_eq(refusal.limit, "budget (bytes)");
    ck_assert_uint_eq(refusal.needed, 2 * MIB);
    ask(serving.ctx, 1, 1u << 20);
    run();
    ck_assert_int_eq(told.statuses[1], -EINVAL);
    fail_always(INJECT_MADVISE, ENOMEM);
    ask(serving.ctx, 1, 0);
    run();
    fail_off();
    sea_ctx_refusal(serving.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(told.statuses[2], -ENOMEM);
    ck_assert_int_eq(refusal.error, -ENOMEM);
    fail_always(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(sea_uv_block_new_sealed(serving.ctx, &loop, 1, 0, take_block, &told), -ENOMEM);
    fail_off();
    ck_assert_uint_eq(end_figures(&serving).of[SEA_FIGURE_BLOCKS], 0);
    ck_assert_uint_eq(told.count, 3);
}
END_TEST

/* failures */

START_TEST(test_a_connection_that_cannot_be_made) {
    struct end *client = &clients[0];
    end_prepare(client);
    ck_assert_int_eq(sea_uv_connect(&client->conn, client->ctx, &loop, address, NULL), -ECONNREFUSED);
    ck_assert_int_eq(sea_uv_connect(&client->conn, client->ctx, &loop, "unix:/nonexistent/x", NULL), -ENOENT);
    ck_assert_int_eq(sea_uv_connect(&client->conn, client->ctx, &loop, "", NULL), -EINVAL);
    ck_assert_ptr_null(client->conn);
    server_open();
    int r = -1;
    for (int n = 1; r < 0; n++) {
        ck_assert_int_lt(n, 20);
        fail_call(INJECT_ALLOC, n, 1, ENOMEM);
        r = sea_uv_connect(&client->conn, client->ctx, &loop, address, &client->options);
        fail_off();
        ck_assert(r == 0 || r == -ENOMEM);
        ck_assert(n > 1 || r < 0);
    }
    run_until(client->opened);
    ck_assert_uint_eq(client->closed, 0);
}
END_TEST

START_TEST(test_a_server_that_cannot_be_made) {
    int r = -1;
    for (int n = 1; r < 0; n++) {
        ck_assert_int_lt(n, 20);
        fail_call(INJECT_ALLOC, n, 1, ENOMEM);
        r = sea_uv_server_new(&server, serving.ctx, &loop, address, &serving.options);
        fail_off();
        ck_assert(r == 0 || r == -ENOMEM);
        ck_assert(n > 1 || r < 0);
    }
    sea_server *second = NULL;
    ck_assert_int_eq(sea_uv_server_new(&second, serving.ctx, &loop, address, NULL), -EADDRINUSE);
    ck_assert_ptr_null(second);
    client_open(&clients[0]);
    run_until(clients[0].opened);
}
END_TEST

static void on_tick(uv_timer_t *timer) {
    ++*(int *) timer->data;
}

/* Another process that has the listener shuts it down. The loop sleeps in between, longer than a tick. */
START_TEST(test_a_listener_that_is_shut_down) {
    int fd = raw_listen(raw_name()), ticks = 0;
    static uv_timer_t timer; /* scene_end() closes it */
    snprintf(address, sizeof address, "fd:%d", fd);
    server_open();
    ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
    fail_call(INJECT_ACCEPT, 0, 0, 0);
    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    timer.data = &ticks;
    ck_assert_int_eq(uv_timer_start(&timer, on_tick, 20, 20), 0);
    run_until(ticks >= 10 && fail_calls(INJECT_ACCEPT) >= 2);
    ck_assert_int_le(fail_calls(INJECT_ACCEPT), 2 * ticks + 4); /* the timer, then the socket; no tick is left out */
    sea_refusal refusal;
    sea_ctx_refusal(serving.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -EINVAL);
    uv_close((uv_handle_t *) &timer, NULL);
}
END_TEST

/* The watch of an accepted connection finds no memory: the application is told, and the server goes on. */
START_TEST(test_no_memory_for_an_accept) {
    server_open();
    for (int n = 1; n <= 6; n++) {
        struct end *client = &clients[n];
        client_open(client);
        fail_call(INJECT_ALLOC, n, 1, ENOMEM);
        run_until(client->opened || client->closed);
        fail_off();
    }
    client_open(&clients[0]);
    run_until(clients[0].opened);
}
END_TEST

static void *run_in_thread(void *arg) {
    uv_run(arg, UV_RUN_DEFAULT);
    return NULL;
}

static atomic_bool is_run;

static void note_run(uv_async_t *async) {
    atomic_store(&is_run, true);
    uv_close((uv_handle_t *) async, NULL);
}

static void close_both(sea_conn *conn, int status, void *user) {
    (void) conn;
    (void) status;
    (void) user;
    end_free_conn(&clients[0]);
    server_close();
}

/* A loop goes on in another thread. Its idle connections are that thread's; and when it has ended, ours again. */
START_TEST(test_a_loop_moves) {
    pthread_t thread;
    uv_async_t async;
    server_open();
    client_open(&clients[0]);
    run_until(clients[0].opened && serving.opened);
    while (uv_run(&loop, UV_RUN_NOWAIT) && clients[0].conn->watch.poller->hot)
        ;
    ck_assert(conn_is_mine(serving.conn));
    atomic_store(&is_run, false);
    ck_assert_int_eq(uv_async_init(&loop, &async, note_run), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_in_thread, &loop), 0);
    uv_async_send(&async);
    wait_until(atomic_load(&is_run));
    ck_assert(!conn_is_mine(serving.conn));
    ck_assert(!conn_is_mine(clients[0].conn));
    wait_until(poller_is_run_elsewhere(serving.conn->watch.poller));
    ck_assert_int_eq(sea_send(serving.conn, END_SINK, NULL, 0), -EDEADLK);
    ck_assert_int_eq(sea_conn_post(clients[0].conn, close_both, NULL), 0);
    pthread_join(thread, NULL);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("uv");
    uv_loop_init(&loop); /* libuv's own descriptors for signals stay open from its first loop on */
    uv_loop_close(&loop);
    suite_fixture(s, scene_set, scene_end);
    suite_add_loop(s, test_server_and_clients_on_one_loop, 0, 3);
    suite_add(s, test_the_end_goes_on_in_each_turn);
    suite_add(s, test_nothing_waits_on_a_loop);
    suite_add(s, test_before_the_handshake_there_is_no_room);
    suite_add(s, test_a_flood_goes_on_when_there_is_room);
    suite_add(s, test_late_replies_find_a_full_socket);
    suite_add(s, test_deadlines_by_timers);
    suite_add(s, test_a_client_that_does_not_greet);
    suite_add(s, test_a_server_that_does_not_greet);
    suite_add(s, test_a_handshake_that_fails);
    suite_add(s, test_a_loop_lives_as_long_as_a_connection);
    suite_add(s, test_a_close_comes_on_the_next_turn);
    suite_add_loop(s, test_free_from_inside, 0, PLACES);
    suite_add(s, test_a_server_is_freed_by_the_loop);
    suite_add(s, test_calls_are_answered_at_the_end_of_the_turn);
    suite_add(s, test_a_flood_leaves_the_loop_its_turns);
    suite_add(s, test_the_server_is_killed);
    suite_add(s, test_a_client_that_waits);
    suite_add(s, test_two_loops_on_two_threads);
    suite_add(s, test_two_loops_in_turns);
    suite_add(s, test_a_connection_that_cannot_be_made);
    suite_add(s, test_a_server_that_cannot_be_made);
    suite_add(s, test_a_listener_that_is_shut_down);
    suite_add(s, test_no_memory_for_an_accept);
    suite_add(s, test_a_block_is_made_elsewhere);
    suite_add(s, test_a_loop_that_ends_while_blocks_are_made);
    suite_add(s, test_refusals_on_other_threads);
    suite_add(s, test_a_loop_moves);
    return suite_run(s);
}
