/* SPDX-License-Identifier: MIT */
/*
 * rpc/conn_fd, with other threads: the mails that they leave wake the loop that polls a connection's descriptor. Where
 * the descriptor cannot tell of mails the loop looks for them by its time-out. (test_conn.c drives connections as
 * such a loop does, without mails.)
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "rpc/conn.h"
#include "unit/fail.h"
#include "unit/host.h"

enum { ECHO = 1 };

static void on_echo(sea_msg *msg, void *user) {
    (void) user;
    sea_reply(msg, sea_block_ref(sea_msg_block(msg)));
}

static const sea_method methods[] = {{.number = ECHO, .name = "echo", .handler = on_echo}};

static struct host host;
static sea_ctx *ctx;
static sea_conn *conn;
static unsigned posted;

static void start(void) {
    host = (struct host){.options = {.methods = methods, .methods_count = 1}};
    host_start(&host);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    conn = NULL;
    posted = 0;
}

static void stop(void) {
    fail_off();
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    host_stop(&host);
}

static void open_conn(void) {
    const sea_options options = {.handshake_ms = 60000};
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, &options), 0);
}

static bool is_readable(int ms) {
    struct pollfd item = {.fd = sea_conn_fd(conn), .events = sea_conn_events(conn)};
    return poll(&item, 1, ms) == 1;
}

/* Sleeps for as long as the connection allows, and gives it a turn. */
static void turn(void) {
    struct pollfd item = {.fd = sea_conn_fd(conn), .events = sea_conn_events(conn)};
    int ms = sea_conn_prepare(conn);
    ck_assert_int_ge(poll(&item, 1, ms), 0);
    ck_assert_int_eq(sea_conn_dispatch(conn, item.revents), 0);
}

/* Until the loop may sleep without end. */
static void settle(void) {
    while (is_readable(0) || sea_conn_prepare(conn) >= 0)
        turn();
}

static void on_posted(sea_conn *of, int status, void *user) {
    (void) user;
    ck_assert_ptr_eq(of, conn);
    ck_assert_int_eq(status, 0);
    posted++;
}

static void *post(void *arg) {
    ck_assert_int_eq(sea_conn_post(conn, on_posted, NULL), 0);
    return arg;
}

static void *release(void *msg) {
    return sea_msg_release(msg);
}

static void elsewhere(void *(*run)(void *), void *arg) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run, arg), 0);
    pthread_join(thread, NULL);
}

START_TEST(test_a_post_wakes_the_loop) {
    open_conn();
    settle();
    ck_assert_int_eq(sea_conn_prepare(conn), -1); /* with a bell no time-out is needed */
    elsewhere(post, NULL);
    ck_assert(is_readable(test_timeout_ms(10000)));
    ck_assert_int_eq(sea_conn_prepare(conn), 0);
    ck_assert_uint_eq(posted, 0);
    turn();
    ck_assert_uint_eq(posted, 1);
    ck_assert(!is_readable(0)); /* the bell is silent again */
    ck_assert_int_eq(sea_conn_prepare(conn), -1);
}
END_TEST

/* The mails of several threads ring the bell once, until the loop has taken them. */
START_TEST(test_mails_ring_once) {
    enum { MANY = 5 };
    uint64_t rung = 0;
    open_conn();
    settle();
    for (int i = 0; i < MANY; i++)
        elsewhere(post, NULL);
    ck_assert_int_eq(read(conn->interrupt.wake_fd, &rung, sizeof rung), sizeof rung);
    ck_assert_uint_eq(rung, 1);
    ck_assert_int_eq(sea_conn_prepare(conn), 0);
    turn();
    ck_assert_uint_eq(posted, MANY);
    elsewhere(post, NULL);
    ck_assert(is_readable(test_timeout_ms(10000)));
    turn();
    ck_assert_uint_eq(posted, MANY + 1);
}
END_TEST

/* The peer waits for its block: so the release must not wait for the loop's next event. */
START_TEST(test_a_release_wakes_the_loop) {
    enum { SIZE = 100000 };
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    open_conn();
    ck_assert_int_eq(sea_block_new(&block, conn, SIZE), 0);
    ck_assert_int_eq(sea_call(conn, ECHO, block, -1, &reply), 0);
    ck_assert_uint_eq(sea_msg_size(reply), SIZE);
    while (is_readable(0) || sea_conn_prepare(conn) == 0) /* the pools may have a deadline */
        turn();
    elsewhere(release, reply);
    ck_assert(is_readable(test_timeout_ms(10000)));
    turn();
    ck_assert(!mailbox_has_mail(conn->box));
    wait_until(host_figures(&host).of[SEA_FIGURE_LEASED_BLOCKS] == 0);
}
END_TEST

/* _i = 0: the set of the socket and the bell cannot be had; 1: a sandbox forbids the bell. */
START_TEST(test_a_loop_without_a_bell_looks_for_mails) {
    fail_once(_i ? INJECT_EVENTFD : INJECT_EPOLL_CREATE, _i ? EPERM : EMFILE);
    if (_i == 0)
        fail_off();
    open_conn();
    if (_i == 0)
        fail_once(INJECT_EPOLL_CREATE, EMFILE);
    int fd = sea_conn_fd(conn);
    fail_off();
    ck_assert_int_eq(fd == conn->lane.fd, _i == 0);
    while (sea_conn_prepare(conn) == 0)
        turn();
    ck_assert_int_gt(sea_conn_prepare(conn), 0);
    ck_assert_int_le(sea_conn_prepare(conn), 10);
    turn();
    ck_assert_uint_eq(posted, 0);
    elsewhere(post, NULL);
    turn();
    ck_assert_uint_eq(posted, 1);
    ck_assert_int_ne(sea_conn_prepare(conn), -1);
}
END_TEST

/* After its end nothing comes, and no look is needed. */
START_TEST(test_no_looks_after_the_end) {
    fail_once(INJECT_EVENTFD, EPERM);
    open_conn();
    fail_off();
    sea_conn_fd(conn);
    sea_conn_close(conn);
    while (sea_conn_dispatch(conn, 0) == 0)
        ;
    ck_assert_int_eq(sea_conn_post(conn, on_posted, NULL), -EPIPE);
    ck_assert_int_eq(sea_conn_prepare(conn), -1);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("conn_fd");
    suite_fixture(s, start, stop);
    suite_add(s, test_a_post_wakes_the_loop);
    suite_add(s, test_mails_ring_once);
    suite_add(s, test_a_release_wakes_the_loop);
    suite_add_loop(s, test_a_loop_without_a_bell_looks_for_mails, 0, 2);
    suite_add(s, test_no_looks_after_the_end);
    return suite_run(s);
}
