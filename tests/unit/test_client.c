/* SPDX-License-Identifier: MIT */
/*
 * The blocking functions (rpc/connect, rpc/call, rpc/conn_wait, rpc/interrupt), against a server on another thread, a
 * server process that is killed, and peers that are no servers. The tests cover connecting and its errors, calls that
 * wait, and events while a call waits.
 */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/conn.h"
#include "support/child.h"
#include "support/speaker.h"
#include "sys/wait.h"
#include "unit/fail.h"
#include "unit/host.h"

enum method {
    ECHO = 1,      /* answers with the block that came */
    KEEP = 2,      /* answers only at DROP */
    DROP = 3,      /* one-way: releases all kept messages */
    REFUSE = 4,    /* answers -EDOM with a text */
    CALL_BACK = 5, /* calls ECHO of the caller with the payload, and answers with the result */
    REVERSED = 6,  /* answers the first of five calls last */
    COUNT = 7,     /* one-way */
    LEAVE = 8,     /* the server closes this connection */
    PUSH = 9,      /* one-way: ten COUNTs back */
};

#define KEPT_MAX 16

/* Belongs to the server's thread, except atomic fields. */
static struct desk {
    sea_msg *kept[KEPT_MAX];
    int kept_count;
    sea_msg *reversed[5];
    int reversed_count;
    _Atomic unsigned counted, closed;
} desk;

static void on_echo(sea_msg *msg, void *user) {
    sea_block *block = sea_msg_block(msg);
    (void) user;
    sea_reply(msg, block ? sea_block_ref(block) : NULL);
}

static void on_keep(sea_msg *msg, void *user) {
    (void) user;
    ck_assert_int_lt(desk.kept_count, KEPT_MAX);
    desk.kept[desk.kept_count++] = msg;
}

static void desk_clear(void *user) {
    (void) user;
    while (desk.kept_count > 0)
        sea_msg_release(desk.kept[--desk.kept_count]);
    while (desk.reversed_count > 0)
        sea_msg_release(desk.reversed[--desk.reversed_count]);
}

static void on_drop(sea_msg *msg, void *user) {
    desk_clear(user);
    sea_msg_release(msg);
}

static void on_refuse(sea_msg *msg, void *user) {
    (void) user;
    sea_reply_error(msg, -EDOM, "out of the domain");
}

static void called_back(sea_conn *conn, int status, sea_msg *reply, void *user) {
    sea_msg *call = user;
    (void) conn;
    sea_block *block = reply ? sea_msg_block(reply) : NULL;
    if (status < 0)
        sea_reply_error(call, status, NULL);
    else
        sea_reply(call, block ? sea_block_ref(block) : NULL);
    sea_msg_release(reply);
}

static void on_call_back(sea_msg *msg, void *user) {
    sea_block *block = sea_msg_block(msg);
    (void) user;
    int r = sea_call_start(sea_msg_conn(msg), ECHO, block ? sea_block_ref(block) : NULL, -1, called_back, msg, NULL);
    if (r < 0)
        sea_reply_error(msg, r, NULL);
}

static void on_reversed(sea_msg *msg, void *user) {
    desk.reversed[desk.reversed_count++] = msg;
    while (desk.reversed_count == 5 || (desk.reversed_count > 0 && desk.reversed[4])) {
        on_echo(desk.reversed[--desk.reversed_count], user);
        if (desk.reversed_count == 0)
            desk.reversed[4] = NULL;
    }
}

static void on_count(sea_msg *msg, void *user) {
    (void) user;
    atomic_fetch_add(&desk.counted, 1);
    sea_msg_release(msg);
}

static void on_leave(sea_msg *msg, void *user) {
    (void) user;
    sea_conn_close(sea_msg_conn(msg));
    sea_msg_release(msg);
}

static void on_push(sea_msg *msg, void *user) {
    (void) user;
    for (int i = 0; i < 10; i++)
        sea_send(sea_msg_conn(msg), COUNT, NULL, 0);
    sea_msg_release(msg);
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) conn;
    (void) event;
    (void) user;
    atomic_fetch_add(&desk.closed, 1);
}

static const sea_method methods[] = {
    {.number = ECHO, .name = "echo", .handler = on_echo},
    {.number = KEEP, .name = "keep", .handler = on_keep},
    {.number = DROP, .name = "drop", .handler = on_drop},
    {.number = REFUSE, .name = "refuse", .handler = on_refuse},
    {.number = CALL_BACK, .name = "back", .handler = on_call_back},
    {.number = REVERSED, .name = "reversed", .handler = on_reversed},
    {.number = COUNT, .name = "count", .handler = on_count},
    {.number = LEAVE, .name = "leave", .handler = on_leave},
    {.number = PUSH, .name = "push", .handler = on_push},
};

static struct host host;
static sea_ctx *ctx;

static void scene_set(void) {
    memset(&desk, 0, sizeof desk);
    host = (struct host){.options = {SEA_METHODS(methods), .on_close = on_close, .service = "harbour", .calls_max = 8,
                                     .connections_per_process = 256}, /* enough even where RLIMIT_NOFILE is 1024 */
                         .at_end = desk_clear};
    host_start(&host);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
}

static void scene_end(void) {
    struct figures f;
    sea_ctx_figures(ctx, f.of, SEA_FIGURES);
    ck_assert_uint_eq(f.of[SEA_FIGURE_CONNECTIONS] + f.of[SEA_FIGURE_OUTGOING_CALLS] + f.of[SEA_FIGURE_INCOMING_CALLS],
                      0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_LEASED_BLOCKS] + f.of[SEA_FIGURE_IMPORTED_BLOCKS] + f.of[SEA_FIGURE_BLOCKS], 0);
    sea_ctx_unref(ctx);
    host_stop(&host);
}

static sea_conn *connected(const sea_options *options) {
    sea_conn *conn = NULL;
    sea_options patient = options ? *options : (sea_options){0};
    patient.handshake_ms = 60000; /* a busy machine must not end a handshake */
    int r = sea_connect(&conn, ctx, host.address, &patient);
    sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_msg(r == 0, "not connected (%d): %s", r, refusal.advice);
    return conn;
}

static sea_block *new_block(sea_conn *conn, size_t size, int fill) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, conn, size), 0);
    memset(sea_block_data(block), fill, size);
    return block;
}

static bool is_filled(const sea_msg *msg, size_t size, int fill) {
    const unsigned char *bytes = sea_msg_data(msg);
    if (sea_msg_size(msg) != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != fill)
            return false;
    return true;
}

/* Makes one call that must succeed. */
static void check_echo(sea_conn *conn, size_t size, int fill) {
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call(conn, ECHO, new_block(conn, size, fill), -1, &reply), 0);
    ck_assert(is_filled(reply, size, fill));
    sea_msg_release(reply);
}

static void assert_explained(int error, const char *limit) {
    sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, error);
    ck_assert_str_eq(refusal.limit, limit);
}

/* calls */

START_TEST(test_calls_of_all_sizes) {
    sea_conn *conn = connected(NULL);
    ck_assert_str_eq(sea_conn_service(conn), "harbour");
    const size_t sizes[] = {0, 1, 65536, 65537, 5000000};
    for (int i = 0; i < 5; i++)
        check_echo(conn, sizes[i], i + 1);
    sea_conn_free(conn);
}
END_TEST

START_TEST(test_an_answer_that_is_an_error) {
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call(conn, REFUSE, new_block(conn, 100000, 1), -1, &reply), -EDOM);
    ck_assert_str_eq(sea_conn_text(conn), "out of the domain");
    ck_assert_int_eq(sea_call(conn, 12345, NULL, -1, &reply), -ENOSYS);
    ck_assert_str_eq(sea_conn_text(conn), "no such method: 12345");
    ck_assert_ptr_null(reply);
    check_echo(conn, 10, 1);
    sea_conn_free(conn);
}
END_TEST

/* The library releases the reply: scene_end() finds no import of ours, and the server's block comes back. */
START_TEST(test_a_reply_without_an_output) {
    static const size_t sizes[] = {0, 10, 1000, 100000};
    sea_conn *conn = connected(NULL);
    struct conn_figures figures;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        ck_assert_int_eq(sea_call(conn, ECHO, new_block(conn, sizes[i], 1), -1, NULL), 0);
    for (int i = 0; i < 3; i++) /* the first call makes a spare message, which the short way of the others needs */
        ck_assert_int_eq(sea_call_bytes(conn, ECHO, "x", 1, -1, NULL), 0);
    ck_assert_int_eq(sea_call(conn, REFUSE, NULL, -1, NULL), -EDOM);
    ck_assert_str_eq(sea_conn_text(conn), "out of the domain");
    sea_conn_figures(conn, figures.of, SEA_CONN_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_IMPORTED_BLOCKS] + figures.of[SEA_CONN_FIGURE_OUTGOING_CALLS], 0);
    sea_conn_free(conn);
}
END_TEST

START_TEST(test_a_deadline) {
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    char text[64];
    ck_assert_int_eq(sea_call(conn, KEEP, new_block(conn, 100000, 1), 20, &reply), -ETIMEDOUT);
    snprintf(text, sizeof text, "no reply of method %d within its 20 ms", KEEP);
    ck_assert_str_eq(sea_conn_text(conn), text);
    ck_assert_ptr_null(reply);
    check_echo(conn, 10, 1);
    ck_assert_int_eq(sea_send(conn, DROP, NULL, 0), 0); /* the late answers come, and go to no call */
    check_echo(conn, 10, 2);
    sea_conn_free(conn);
}
END_TEST

/* A deadline in the past: no function that takes a deadline sends anything. */
START_TEST(test_a_deadline_that_has_passed) {
    static const char text[] = "method 1: the deadline had passed before the call was sent";
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    check_echo(conn, 10, 1); /* so that a call can go the short way */
    uint64_t sent = figures_of_ctx(ctx).of[SEA_FIGURE_SENT_INLINE_MESSAGES];
    ck_assert_int_eq(ECHO, 1);
    ck_assert_int_eq(sea_call(conn, ECHO, NULL, 0, &reply), -ETIMEDOUT);
    ck_assert_str_eq(sea_conn_text(conn), text);
    ck_assert_int_eq(sea_call_bytes(conn, ECHO, "x", 1, 0, &reply), -ETIMEDOUT);
    ck_assert_int_eq(sea_call_until(conn, ECHO, new_block(conn, 10, 1), 1, &reply), -ETIMEDOUT);
    ck_assert_int_eq(sea_call_until(conn, ECHO, NULL, wait_now(), &reply), -ETIMEDOUT);
    ck_assert_str_eq(sea_conn_text(conn), text);
    ck_assert_int_eq(sea_conn_wait(conn, 0), 0);
    ck_assert_ptr_null(reply);
    ck_assert_uint_eq(figures_of_ctx(ctx).of[SEA_FIGURE_SENT_INLINE_MESSAGES], sent);
    ck_assert_int_eq(sea_send_bytes(conn, DROP, "x", 1, 0), 0); /* this function does not wait, and sends */
    check_echo(conn, 10, 2);
    sea_conn_free(conn);
}
END_TEST

START_TEST(test_an_absolute_deadline) {
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    uint64_t deadline = wait_now() + 50000000;
    ck_assert_int_eq(sea_call_until(conn, KEEP, NULL, deadline, &reply), -ETIMEDOUT);
    ck_assert_uint_ge(wait_now(), deadline);
    ck_assert_ptr_nonnull(strstr(sea_conn_text(conn), " within its 4")); /* 49 ms, or fewer */
    ck_assert_int_eq(sea_call_until(conn, ECHO, NULL, wait_now() + UINT64_C(3600000000000), &reply), 0);
    sea_msg_release(reply);
    ck_assert_int_eq(sea_call_until(conn, ECHO, NULL, 0, &reply), 0); /* a call without a deadline */
    sea_msg_release(reply);
    ck_assert_int_eq(sea_call_until(conn, ECHO, NULL, UINT64_MAX, &reply), 0);
    sea_msg_release(reply);
    sea_conn_free(conn);
}
END_TEST

struct ended_calls {
    unsigned ended;
    int statuses[KEPT_MAX];
    sea_msg *replies[KEPT_MAX];
};

static void count_end(sea_conn *conn, int status, sea_msg *reply, void *user) {
    struct ended_calls *tally = user;
    (void) conn;
    ck_assert_uint_lt(tally->ended, KEPT_MAX);
    tally->replies[tally->ended] = reply;
    tally->statuses[tally->ended++] = status;
}

static void tally_clear(struct ended_calls *tally) {
    while (tally->ended > 0)
        sea_msg_release(tally->replies[--tally->ended]);
}

START_TEST(test_replies_in_another_order) {
    sea_conn *conn = connected(NULL);
    struct ended_calls tally = {0};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(sea_call_start(conn, REVERSED, new_block(conn, 10, i), -1, count_end, &tally, NULL), 0);
    while (tally.ended < 5)
        ck_assert_int_gt(sea_conn_wait(conn, test_timeout_ms(10000)), 0);
    for (int i = 0; i < 5; i++)
        ck_assert(is_filled(tally.replies[i], 10, 4 - i));
    tally_clear(&tally);
    sea_conn_free(conn);
}
END_TEST

/* All slots are taken: a waiting call gets the first free slot, or ends at its deadline. */
START_TEST(test_a_call_beyond_the_limit_waits) {
    sea_conn *conn = connected(NULL);
    struct ended_calls tally = {0};
    sea_msg *reply = NULL;
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, count_end, &tally, NULL), 0);
    ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, count_end, &tally, NULL), -EAGAIN);
    ck_assert_int_eq(sea_call(conn, ECHO, new_block(conn, 100000, 1), 20, &reply), -ETIMEDOUT);
    assert_explained(-ETIMEDOUT, "peer's calls_max");
    ck_assert_uint_eq(tally.ended, 0);
    ck_assert_int_eq(sea_send(conn, DROP, NULL, 0), 0);
    check_echo(conn, 100000, 2);
    while (tally.ended < 8)
        ck_assert_int_gt(sea_conn_wait(conn, test_timeout_ms(10000)), 0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(tally.statuses[i], -ECANCELED);
    tally_clear(&tally);
    sea_conn_free(conn);
}
END_TEST

/* The server calls the client while the client waits for it. */
START_TEST(test_handlers_run_while_a_call_waits) {
    const sea_options options = {SEA_METHODS(methods)};
    sea_conn *conn = connected(&options);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call(conn, CALL_BACK, new_block(conn, 200000, 5), -1, &reply), 0);
    ck_assert(is_filled(reply, 200000, 5));
    sea_msg_release(reply);
    sea_conn_free(conn);
}
END_TEST

START_TEST(test_wait_has_its_time) {
    const sea_options options = {SEA_METHODS(methods)};
    sea_conn *conn = connected(&options);
    ck_assert_int_eq(sea_conn_wait(conn, 0), 0);
    ck_assert_int_eq(sea_conn_wait(conn, 5), 0);
    ck_assert_int_eq(sea_send(conn, PUSH, NULL, 0), 0);
    while (atomic_load(&desk.counted) < 10)
        ck_assert_int_eq(sea_conn_wait(conn, test_timeout_ms(10000)), 1);
    ck_assert_uint_eq(atomic_load(&desk.counted), 10);
    ck_assert_int_eq(sea_conn_wait(conn, 0), 0);
    sea_conn_free(conn);
}
END_TEST

/* The server's last message is an event: the wait may first return 1, and then the error. */
START_TEST(test_a_wait_for_an_idle_end) {
    struct host own = {.options = {.idle_ms = test_short_timeout_ms(30)}}; /* after sea_connect() has returned */
    const sea_options patient = {.handshake_ms = 60000};
    sea_conn *conn = NULL;
    int r, numbers = -1;
    host_start(&own);
    ck_assert_int_eq(sea_connect(&conn, ctx, own.address, &patient), 0);
    do {
        r = sea_conn_wait(conn, test_timeout_ms(10000));
        numbers++;
    } while (r > 0);
    ck_assert_int_eq(r, -EPIPE);
    ck_assert_int_le(numbers, 1);
    ck_assert(!sea_conn_is_open(conn));
    ck_assert_ptr_nonnull(strstr(sea_conn_text(conn), "idle_ms"));
    ck_assert_int_eq(sea_conn_wait(conn, 0), -EPIPE);
    sea_conn_free(conn);
    host_stop(&own);
}
END_TEST

/* A wake-up by other threads needs a descriptor, and a call that may be forbidden. */
START_TEST(test_a_wake_up_that_cannot_be_had) {
    static const struct {
        int error;
        const char *limit, *advice;
    } cases[] = {{EMFILE, "RLIMIT_NOFILE", "raise the limit"}, {ENFILE, "fs.file-max", "end programs"}};
    sea_conn *conn = NULL;
    sea_refusal refusal;
    fail_once(INJECT_EVENTFD, cases[_i].error);
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, NULL), -cases[_i].error);
    fail_off();
    ck_assert_ptr_null(conn);
    assert_explained(-cases[_i].error, cases[_i].limit);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_ptr_nonnull(strstr(refusal.advice, cases[_i].advice));
}
END_TEST

static void *interrupt_from_thread(void *conn) {
    nap();
    ck_assert_int_eq(sea_conn_interrupt(conn), 0);
    return NULL;
}

/* A sandbox forbids the call: the wait looks now and then. */
START_TEST(test_a_wait_ends_without_an_eventfd) {
    pthread_t thread;
    fail_once(INJECT_EVENTFD, EPERM);
    sea_conn *conn = connected(NULL);
    fail_off();
    ck_assert_int_eq(conn->interrupt.wake_fd, -1);
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_from_thread, conn), 0);
    ck_assert_int_eq(sea_conn_wait(conn, -1), -EINTR);
    pthread_join(thread, NULL);
    sea_conn_free(conn);
}
END_TEST

/* An interrupt ends one wait, and an interrupt before the wait is not lost. */
START_TEST(test_a_wait_is_interrupted) {
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_conn_interrupt(conn), 0);
    ck_assert_int_eq(sea_conn_wait(conn, -1), -EINTR);
    ck_assert_str_eq(sea_conn_text(conn), "interrupted: sea_conn_interrupt() was called");
    ck_assert_int_eq(sea_conn_wait(conn, 1), 0);
    ck_assert_int_eq(sea_call(conn, 12345, NULL, -1, &reply), -ENOSYS);
    ck_assert_int_eq(sea_conn_interrupt(conn), 0);
    ck_assert_int_eq(sea_call(conn, KEEP, NULL, -1, &reply), -EINTR);
    ck_assert_str_eq(sea_conn_text(conn), "interrupted: sea_conn_interrupt() was called");
    ck_assert_ptr_null(reply);
    check_echo(conn, 10, 1);
    check_echo(conn, 100000, 1);
    ck_assert_int_eq(sea_send(conn, DROP, NULL, 0), 0);
    check_echo(conn, 10, 2);
    sea_conn_free(conn);
}
END_TEST

/* A slow thread may write to the wake-up descriptor after the interrupt was reported: this ends one wait at most. */
START_TEST(test_a_late_bell_is_silenced) {
    sea_conn *conn = connected(NULL);
    wait_bell_ring(conn->interrupt.wake_fd);
    ck_assert_int_eq(sea_conn_wait(conn, 20), 0);
    ck_assert_int_eq(wait_fd(conn->interrupt.wake_fd, POLLIN, wait_now()), 0);
    ck_assert_int_eq(sea_conn_interrupt(conn), 0);
    ck_assert_int_eq(sea_conn_wait(conn, -1), -EINTR);
    sea_conn_free(conn);
}
END_TEST

/* The turns that one late call took for its reply are not taken from the next late call. */
START_TEST(test_each_late_call_has_its_turns) {
    sea_conn *conn = connected(NULL);
    conn->late_turns = 1000;
    ck_assert_int_eq(sea_conn_wait(conn, 1), 0);
    ck_assert_uint_eq(conn->late_turns, 0);
    sea_conn_free(conn);
}
END_TEST

/* A spinning side polls its socket each millisecond; another system call would double what that costs. The read end of
 * a pipe that nobody writes to, which blocks, takes the bell's place: it is not read. */
START_TEST(test_a_bell_that_does_not_ring_is_not_read) {
    sea_conn *conn = connected(NULL);
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_ge(dup2(pipe_fds[0], conn->interrupt.wake_fd), 0);
    ck_assert_int_eq(sea_conn_wait(conn, 20), 0);
    conn->lane.spin.waiting = SEA_WAIT_SPIN;
    ck_assert_int_eq(sea_conn_wait(conn, 20), 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    sea_conn_free(conn);
}
END_TEST

static sea_conn *interrupted;

static void on_signal(int number) {
    (void) number;
    sea_conn_interrupt(interrupted);
}

static void *interrupt_soon(void *thread) {
    nap();
    pthread_kill(*(pthread_t *) thread, SIGUSR1);
    return NULL;
}

/* Ctrl-C, at any moment. A signal with a handler that does nothing ends no wait. */
START_TEST(test_a_signal_handler_interrupts) {
    const sea_options options = {.waiting = _i};
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t thread, self = pthread_self();
    sigaction(SIGUSR1, &action, NULL);
    interrupted = connected(&options);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_soon, &self), 0);
        ck_assert_int_eq(sea_conn_wait(interrupted, -1), -EINTR);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    sea_conn_free(interrupted);
}
END_TEST

/* The server accepts no descriptors: the client cannot send its outbox, and works without one. */
START_TEST(test_a_server_that_takes_no_descriptors) {
    struct host own = {.options = {.methods = host.options.methods,
                                   .methods_count = host.options.methods_count,
                                   .method_size = host.options.method_size,
                                   .accept = SEA_INLINE,
                                   .socket_only = true}};
    host_start(&own);
    for (int i = 0; i < 10; i++) {
        sea_ctx *other = NULL;
        sea_conn *conn = NULL;
        ck_assert_int_eq(sea_ctx_new(&other, NULL), 0);
        int r = sea_connect(&conn, other, own.address, NULL);
        ck_assert_int_eq(r, 0);
        sea_msg *reply = NULL;
        ck_assert_int_eq(sea_call_bytes(conn, ECHO, "abc", 3, 20000, &reply), 0);
        ck_assert_uint_eq(sea_msg_size(reply), 3);
        sea_msg_release(reply);
        sea_conn_free(conn);
        sea_ctx_unref(other);
    }
    host_stop(&own);
}
END_TEST

START_TEST(test_wait_returns_for_a_deadline) {
    sea_conn *conn = connected(NULL);
    struct ended_calls tally = {0};
    ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, 10, count_end, &tally, NULL), 0);
    ck_assert_int_gt(sea_conn_wait(conn, -1), 0);
    ck_assert_uint_eq(tally.ended, 1);
    ck_assert_int_eq(tally.statuses[0], -ETIMEDOUT);
    sea_conn_free(conn);
}
END_TEST

/* A wait returns 1, however much one turn handles. */
START_TEST(test_a_wait_returns_one) {
    sea_conn *conn = connected(NULL);
    struct ended_calls tally = {0};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(sea_call_start(conn, ECHO, NULL, -1, count_end, &tally, NULL), 0);
    while (tally.ended < 2) {
        nap();
        ck_assert_int_eq(sea_conn_wait(conn, -1), 1);
    }
    for (int i = 0; i < 2; i++)
        sea_msg_release(tally.replies[i]);
    sea_conn_free(conn);
}
END_TEST

START_TEST(test_a_flood_waits_for_room) {
    sea_conn *conn = connected(NULL);
    for (int i = 0; i < 20000; i++)
        ck_assert_int_eq(sea_send(conn, COUNT, i % 100 ? NULL : new_block(conn, 70000, 1), -1), 0);
    check_echo(conn, 1, 1);
    ck_assert_uint_eq(atomic_load(&desk.counted), 20000);
    sea_conn_free(conn);
}
END_TEST

/* The server has no turn: as many messages as fit go into the socket, then the time is over. */
START_TEST(test_a_send_has_its_time) {
    int fds[2], sent = 0, r;
    char address[32];
    sea_conn *conn = NULL;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    struct speaker *speaker = speaker_new(fds[1]);
    static struct draft draft;
    struct wire_hello hello = hello_sound();
    draft_hello(&draft, &hello);
    speaker_send(speaker, &draft);
    snprintf(address, sizeof address, "fd:%d", fds[0]);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    while ((r = sea_send(conn, COUNT, NULL, 0)) == 0)
        sent++;
    ck_assert_int_gt(sent, 0);
    ck_assert_int_eq(r, -EAGAIN);
    ck_assert_int_eq(sea_send(conn, COUNT, NULL, 10), -EAGAIN);
    assert_explained(-EAGAIN, "socket");
    speaker_free(speaker);
    ck_assert_int_eq(sea_send(conn, COUNT, NULL, -1), -EPIPE);
    sea_conn_free(conn);
}
END_TEST

/* Driven as a foreign loop does it: poll, then dispatch. */
START_TEST(test_driven_by_poll) {
    sea_conn *conn = connected(NULL);
    struct ended_calls tally = {0};
    unsigned begun = 0, ended = 0;
    while (ended < 200) {
        while (begun < 200 && begun - ended - tally.ended < 8 &&
               sea_call_start(conn, ECHO, new_block(conn, 1000, 1), 60000, count_end, &tally, NULL) == 0)
            begun++;
        struct pollfd item = {.fd = sea_conn_fd(conn), .events = sea_conn_events(conn)};
        ck_assert_int_ge(sea_conn_prepare(conn), 0);
        ck_assert_int_ge(poll(&item, 1, sea_conn_prepare(conn)), 0);
        ck_assert_int_eq(sea_conn_dispatch(conn, item.revents), 0);
        for (unsigned i = 0; i < tally.ended; i++)
            ck_assert_int_eq(tally.statuses[i], 0);
        ended += tally.ended;
        tally_clear(&tally);
    }
    ck_assert_int_ne(sea_conn_prepare(conn), 0); /* the pool's free memory goes at some time */
    sea_conn_free(conn);
}
END_TEST

START_TEST(test_many_connections) {
    sea_conn *conns[200];
    for (int i = 0; i < 200; i++)
        conns[i] = connected(NULL);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 200; i++)
            check_echo(conns[i], round == 1 ? 70000 : 100, i % 100);
    ck_assert_uint_eq(host_figures(&host).of[SEA_FIGURE_CONNECTIONS], 200);
    for (int i = 0; i < 200; i++)
        sea_conn_free(conns[i]);
    wait_until(atomic_load(&desk.closed) == 200); /* the callback runs after the figures have changed */
    ck_assert_uint_eq(host_figures(&host).of[SEA_FIGURE_CONNECTIONS], 0);
}
END_TEST

static void *call_in_thread(void *arg) {
    sea_conn *conn = connected(NULL);
    int fill = *(int *) arg;
    for (int i = 0; i < 100; i++)
        check_echo(conn, i % 3 ? 1000 : 80000, fill);
    sea_conn_free(conn);
    return NULL;
}

/* Threads share one context, and have a connection each. */
START_TEST(test_threads_share_a_context) {
    pthread_t threads[4];
    int fills[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_in_thread, &fills[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    wait_until(host_figures(&host).of[SEA_FIGURE_CONNECTIONS] == 0);
}
END_TEST

/* ends */

START_TEST(test_the_server_leaves) {
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    struct ended_calls tally = {0};
    ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, count_end, &tally, NULL), 0);
    ck_assert_int_eq(sea_call(conn, LEAVE, NULL, -1, &reply), -EPIPE); /* no call is answered after the GOODBYE */
    ck_assert_int_eq(sea_call(conn, ECHO, NULL, -1, &reply), -EPIPE);
    ck_assert_uint_eq(tally.ended, 1);
    ck_assert_int_eq(tally.statuses[0], -EPIPE);
    ck_assert(!sea_conn_is_open(conn));
    sea_conn_free(conn);
}
END_TEST

static int serve_in_child(int line, void *arg) {
    struct host own = {.options = {SEA_METHODS(methods)}};
    snprintf(own.address, sizeof own.address, "%s", (const char *) arg);
    host_open(&own);
    line_tell(line, 1);
    return -sea_server_run(own.server);
}

static unsigned closes;
static sea_close_event last_close;

static void note_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) conn;
    (void) user;
    closes++;
    last_close = *event;
}

/* A server is killed while calls wait in it: each call ends once, and the blocks that the server held come back. */
START_TEST(test_the_server_is_killed) {
    char address[160];
    struct child child;
    uint64_t word;
    const sea_options options = {.on_close = note_close};
    struct ended_calls tally = {0};
    sea_msg *reply = NULL;
    sea_conn *conn = NULL;
    snprintf(address, sizeof address, "unix:%s", raw_name());
    child_start(&child, serve_in_child, address);
    ck_assert(line_hear(child.line, 10000, &word));
    ck_assert_int_eq(sea_connect(&conn, ctx, address, &options), 0);
    ck_assert_int_eq(sea_conn_peer(conn)->pid, child.pid);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(sea_call_start(conn, KEEP, new_block(conn, 100000, 1), -1, count_end, &tally, NULL), 0);
    check_echo(conn, 10, 1);
    closes = 0;
    child_kill(&child);
    ck_assert_int_eq(sea_call(conn, KEEP, NULL, -1, &reply), -EPIPE);
    ck_assert_int_eq(sea_conn_wait(conn, -1), -EPIPE);
    ck_assert_uint_eq(tally.ended, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(tally.statuses[i], -EPIPE);
        ck_assert_ptr_null(tally.replies[i]);
    }
    ck_assert_uint_eq(closes, 1);
    ck_assert_int_eq(last_close.reason, -EPIPE);
    ck_assert_uint_eq(last_close.reclaimed_blocks, 3);
    ck_assert_uint_eq(last_close.reclaimed_bytes, 300000);
    sea_conn_free(conn);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

static void *speak_nonsense(void *arg) {
    static struct draft draft;
    struct speaker *speaker = speaker_new(*(int *) arg);
    speaker_greet(speaker, NULL);
    draft_inline(&draft, speaker_expect(speaker, WIRE_CALL)->head.id, 0, 10);
    draft_put(&draft, 50, 1, 1);
    speaker_send(speaker, &draft);
    ck_assert_int_eq(speaker_farewell(speaker).reason, -EPROTO);
    speaker_free(speaker);
    return NULL;
}

START_TEST(test_a_server_that_breaks_the_protocol) {
    int fds[2];
    char address[32];
    pthread_t thread;
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, speak_nonsense, &fds[1]), 0);
    snprintf(address, sizeof address, "fd:%d", fds[0]);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    ck_assert_int_eq(sea_call(conn, ECHO, NULL, -1, &reply), -EPROTO);
    ck_assert_str_ne(sea_conn_text(conn), "");
    ck_assert_int_eq(sea_conn_wait(conn, -1), -EPROTO);
    pthread_join(thread, NULL);
    sea_conn_free(conn);
}
END_TEST

/* poll() itself fails while a call waits: the call ends, and its late answer goes to no call. */
START_TEST(test_polling_fails) {
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    fail_here(INJECT_POLL, ENOMEM);
    ck_assert_int_eq(sea_call(conn, KEEP, NULL, -1, &reply), -ENOMEM);
    ck_assert_int_eq(sea_send(conn, DROP, NULL, 0), 0);
    check_echo(conn, 10, 1);
    fail_here(INJECT_POLL, ENOMEM);
    ck_assert_int_eq(sea_conn_wait(conn, -1), -ENOMEM);
    struct ended_calls tally = {0};
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, count_end, &tally, NULL), 0);
    fail_here(INJECT_POLL, ENOMEM); /* while a call waits for room */
    ck_assert_int_eq(sea_call(conn, ECHO, NULL, -1, &reply), -ENOMEM);
    ck_assert_uint_eq(tally.ended, 0);
    sea_conn_free(conn);
}
END_TEST

/* sea_conn_free() from a callback, while a blocking function waits */

static sea_conn *to_free;

static void free_it(sea_msg *msg, void *user) {
    (void) user;
    to_free = sea_conn_free(to_free);
    sea_msg_release(msg);
}

static void free_at_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) event;
    (void) user;
    to_free = sea_conn_free(conn);
}

static void free_at_open(sea_conn *conn, void *user) {
    (void) user;
    to_free = sea_conn_free(conn);
}

START_TEST(test_freed_while_a_call_waits) {
    const sea_method freeing[] = {{.number = ECHO, .name = NULL, .handler = free_it}};
    const sea_options options = {SEA_METHODS(freeing)};
    sea_conn *conn = to_free = connected(&options);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call(conn, CALL_BACK, NULL, -1, &reply), -ECANCELED);
    ck_assert_ptr_null(to_free);
}
END_TEST

/* No slot is free yet, so no call ends. */
START_TEST(test_freed_while_a_call_waits_for_room) {
    const sea_method freeing[] = {{.number = ECHO, .name = NULL, .handler = free_it}};
    const sea_options options = {SEA_METHODS(freeing)};
    sea_conn *conn = to_free = connected(&options);
    struct ended_calls tally = {0};
    sea_msg *reply = NULL;
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(sea_call_start(conn, i ? KEEP : CALL_BACK, NULL, -1, count_end, &tally, NULL), 0);
    ck_assert_int_eq(sea_call(conn, ECHO, NULL, -1, &reply), -EPIPE);
    ck_assert_uint_eq(tally.ended, 8);
    ck_assert_ptr_null(to_free);
}
END_TEST

START_TEST(test_freed_while_waiting) {
    const sea_options options = {.on_close = free_at_close};
    sea_conn *conn = to_free = connected(&options);
    ck_assert_int_eq(sea_send(conn, LEAVE, NULL, 0), 0);
    int r;
    while ((r = sea_conn_wait(conn, -1)) > 0 && to_free)
        ;
    ck_assert(r == -EPIPE || !to_free);
    ck_assert_ptr_null(to_free);
}
END_TEST

START_TEST(test_freed_inside_connect) {
    const sea_options at_open = {.on_open = free_at_open};
    const sea_options at_close = {.on_close = free_at_close, .service = "airport"};
    sea_conn *conn = NULL;
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, &at_open), -ECANCELED);
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, &at_close), -ECANCELED);
    ck_assert_ptr_null(conn);
}
END_TEST

/* connecting and its errors */

static int refused(const char *address, const sea_options *options) {
    sea_conn *conn = NULL;
    sea_refusal refusal;
    int r = sea_connect(&conn, ctx, address, options);
    ck_assert_ptr_null(conn);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, r);
    size_t length = strlen(address), most = sizeof refusal.limit - 4; /* of a long address only the end, behind "..." */
    ck_assert_str_eq(length <= most + 3 ? refusal.limit : refusal.limit + 3,
                     length <= most + 3 ? address : address + (length - most));
    ck_assert_str_ne(refusal.advice, "");
    return r;
}

static const struct {
    const char *address;
    int error;
} addresses[] = {
    {"unix:@sealane-test-nobody-listens-here", -ECONNREFUSED},
    {"unix:/nonexistent/socket", -ENOENT},
    {"unix:/proc/self/exe/socket", -ENOTDIR},
    {"unix:", -EINVAL},
    {"unix:@", -EINVAL},
    {"unix:relative", -EINVAL},
    {".hidden", -EINVAL},
    {"with/slash", -EINVAL},
    {"tcp:localhost", -EINVAL},
    {"fd:", -EINVAL},
    {"fd:x", -EINVAL},
    {"fd:-1", -EINVAL},
    {"fd:99999999999", -EINVAL},
    {"fd:1000000", -EBADF},
    {"systemd:", -EINVAL},
    {"unix:/"
     "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567",
     -ENAMETOOLONG},
};
#define ADDRESSES ((int) (sizeof addresses / sizeof *addresses))

START_TEST(test_addresses_without_a_server) {
    ck_assert_int_eq(refused(addresses[_i].address, NULL), addresses[_i].error);
}
END_TEST

START_TEST(test_a_name_in_the_runtime_directory) {
    char dir[] = "/tmp/sealane-test-XXXXXX", path[128];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    setenv("XDG_RUNTIME_DIR", dir, 1);
    int missing = refused("nobody", NULL);
    snprintf(path, sizeof path, "%s/sealane", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    int silent = refused("nobody", NULL);
    ck_assert_int_eq(chmod(path, 0777), 0);
    int open_to_all = refused("nobody", NULL);
    rmdir(path);
    rmdir(dir);
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_eq(missing, -ENOENT);
    ck_assert_int_eq(silent, -ENOENT);
    ck_assert_int_eq(open_to_all, -EACCES);
}
END_TEST

START_TEST(test_options_without_sense) {
    ck_assert_int_eq(refused(host.address, &(sea_options){.size = 1}), -EINVAL);
    ck_assert_int_eq(refused(host.address, &(sea_options){.handshake_ms = -1}), -EINVAL);
}
END_TEST

START_TEST(test_the_service_is_another) {
    ck_assert_int_eq(refused(host.address, &(sea_options){.service = "airport"}), -ENOENT);
    sea_conn_free(connected(&(sea_options){.service = "harbour"}));
}
END_TEST

/* Descriptors that a client cannot use. The caller keeps them. */
START_TEST(test_inherited_descriptors_of_other_kinds) {
    char address[32];
    int pair[2], listener = raw_listen(raw_name());
    int unconnected = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[] = {listener, unconnected, pair[0], null};
    const int errors[] = {-EINVAL, -ENOTCONN, -EPROTOTYPE, -ENOTSOCK};
    for (int i = 0; i < 4; i++) {
        snprintf(address, sizeof address, "fd:%d", fds[i]);
        ck_assert_int_eq(refused(address, NULL), errors[i]);
        ck_assert_int_eq(close(fds[i]), 0);
    }
    close(pair[1]);
}
END_TEST

/* From then on the library owns the socket; wrong options are reported before. */
START_TEST(test_an_inherited_socket_is_taken_when_it_fails_later) {
    char address[32];
    int fds[2];
    const sea_options wrong = {.waiting = -1}, hurried = {.handshake_ms = 20};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(address, sizeof address, "fd:%d", fds[0]);
    ck_assert_int_eq(refused(address, &wrong), -EINVAL);
    ck_assert_int_ge(fcntl(fds[0], F_GETFD), 0);
    ck_assert_int_eq(refused(address, &hurried), -ETIMEDOUT);
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
}
END_TEST

/* The socket is closed once: a second close would hit a descriptor of another owner. */
START_TEST(test_an_inherited_socket_that_is_full) {
    sea_conn *conn = NULL;
    char address[32], byte = 0;
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    while (send(fds[0], &byte, 1, MSG_DONTWAIT) == 1)
        ;
    ck_assert_int_eq(errno, EAGAIN);
    snprintf(address, sizeof address, "fd:%d", fds[0]);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), -ENOBUFS);
    assert_explained(-ENOBUFS, "handshake");
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
}
END_TEST

/* A shortage in the kernel is temporary. */
START_TEST(test_a_greeting_that_the_kernel_puts_off) {
    static const int errors[] = {ETOOMANYREFS, ENOBUFS};
    sea_conn *conn = NULL;
    fail_here(INJECT_SENDMSG, errors[_i]);
    int r = sea_connect(&conn, ctx, host.address, NULL);
    inject_set_hook(NULL);
    ck_assert_int_eq(r, 0);
    check_echo(conn, 10, 1);
    sea_conn_free(conn);
}
END_TEST

/* An inherited socket is closed by then. The text names the shortage. */
START_TEST(test_an_inherited_socket_that_the_kernel_puts_off) {
    static const struct {
        int error;
        const char *what;
    } cases[] = {{ETOOMANYREFS, "descriptors in flight: "}, {ENOBUFS, "kernel memory: "}};
    sea_conn *conn = NULL;
    sea_refusal refusal;
    char address[32];
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(address, sizeof address, "fd:%d", fds[0]);
    fail_here(INJECT_SENDMSG, cases[_i].error);
    int r = sea_connect(&conn, ctx, address, NULL);
    inject_set_hook(NULL);
    ck_assert_int_eq(r, -ENOBUFS);
    assert_explained(-ENOBUFS, "handshake");
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_msg(strncmp(refusal.advice, cases[_i].what, strlen(cases[_i].what)) == 0, "it says: %s", refusal.advice);
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
}
END_TEST

START_TEST(test_an_inherited_connection) {
    char address[32];
    sea_conn *conn = NULL;
    snprintf(address, sizeof address, "fd:%d", raw_connect(host.address + strlen("unix:")));
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    check_echo(conn, 100, 1);
    sea_conn_free(conn);
}
END_TEST

/* A process listens, but never answers; or never accepts. */
START_TEST(test_a_server_that_says_nothing) {
    const sea_options hurried = {.handshake_ms = 20};
    char address[160];
    snprintf(address, sizeof address, "unix:%s", raw_name());
    int listener = raw_listen(address + strlen("unix:"));
    ck_assert_int_eq(refused(address, &hurried), -ETIMEDOUT);
    int waiting[80], count = 0;
    ck_assert_int_eq(listen(listener, 0), 0);
    while (count < 80) {
        waiting[count] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        memcpy(name.sun_path + 1, address + 6, strlen(address + 6));
        socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address + 6));
        if (connect(waiting[count++], (struct sockaddr *) &name, size) < 0)
            break;
    }
    ck_assert_int_eq(errno, EAGAIN);
    sea_conn *conn = NULL;
    ck_assert_int_eq(sea_connect(&conn, ctx, address, &hurried), -ETIMEDOUT);
    while (count > 0)
        close(waiting[--count]);
    close(listener);
}
END_TEST

static void *refuse_in_thread(void *arg) {
    static struct draft draft;
    struct speaker *speaker = speaker_new(raw_accept(*(int *) arg, 10000));
    draft_goodbye(&draft, -EXDEV, "not from there");
    speaker_send(speaker, &draft);
    speaker_free(speaker);
    return NULL;
}

/* For any reason, and in both orders of the GOODBYE and our greeting. */
START_TEST(test_the_servers_reason_is_kept) {
    char address[160];
    pthread_t thread;
    sea_refusal refusal;
    snprintf(address, sizeof address, "unix:%s", raw_name());
    int listener = raw_listen(address + strlen("unix:"));
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, refuse_in_thread, &listener), 0);
        ck_assert_int_eq(refused(address, NULL), -EXDEV);
        sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
        ck_assert_str_eq(refusal.advice, "not from there");
        pthread_join(thread, NULL);
    }
    close(listener);
}
END_TEST

START_TEST(test_no_descriptor_for_a_connection) {
    fail_here(INJECT_SOCKET, EMFILE);
    ck_assert_int_eq(refused(host.address, NULL), -EMFILE);
}
END_TEST

/* blocks that are made ahead */

static void call_sealed(sea_conn *conn, size_t size) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, size, 0), 0);
    char *data = sea_block_data(block);
    for (size_t i = 0; i < size; i++)
        if (data[i] != 0)
            ck_abort_msg("the block is not fresh");
    memset(data, 9, size);
    ck_assert_int_eq(sea_call(conn, ECHO, block, test_timeout_ms(30000), &reply), 0);
    ck_assert(is_filled(reply, size, 9));
    sea_msg_release(reply);
}

static bool has_stock(void) {
    return stock_deadline(&ctx->stock) != WAIT_FOREVER;
}

/* Calls until a block was made ahead. */
static void make_stock(sea_conn *conn) {
    for (int i = 0; i < 10000 && !has_stock(); i++)
        call_sealed(conn, 100000);
    ck_assert(has_stock());
    sea_conn_wait(conn, 0); /* the last release */
}

static uint64_t budget_used(void) {
    struct figures f;
    sea_ctx_figures(ctx, f.of, SEA_FIGURES);
    return f.of[SEA_FIGURE_BUDGET_USED_BYTES];
}

/* The next block of a sequence is made while the caller waits for the answer. */
START_TEST(test_a_block_made_ahead_is_used) {
    sea_conn *conn = connected(NULL);
    call_sealed(conn, 100000);
    ck_assert(!has_stock());
    make_stock(conn);
    uint64_t used = budget_used();
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 100000, 0), 0);
    ck_assert(!has_stock());
    ck_assert_uint_eq(budget_used(), used); /* charged as before */
    sea_block_unref(block);
    ck_assert_uint_eq(budget_used(), used - 100000);
    sea_conn_free(conn);
}
END_TEST

/* Nothing of it stays: with the connection's end, when it is asked for, and where the budget has no room. */
START_TEST(test_a_block_made_ahead_goes) {
    sea_conn *conn = connected(NULL), *other = NULL;
    make_stock(conn);
    if (_i == 0) {
        sea_ctx_trim(ctx);
    } else if (_i == 1) {
        other = connected(NULL);
        sea_conn_free(conn);
        conn = NULL;
    } else if (_i == 2) {
        sea_block *block = NULL;
        uint64_t left = ctx->budget.limit[QUOTA_BYTES] - budget_used();
        ck_assert_int_eq(quota_charge(&ctx->budget, left, 0, 0, &ctx->refusals), 0);
        ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 90000, 0), 0);
        sea_block_unref(block);
        quota_return(&ctx->budget, left, 0, 0);
    } else {
        atomic_fetch_sub(&ctx->stock.made_at, STOCK_KEEP);
        sea_conn_wait(conn, 1);
    }
    ck_assert(!has_stock());
    sea_conn_free(conn);
    sea_conn_free(other);
}
END_TEST

/* A call that must end soon is not delayed. */
START_TEST(test_no_block_is_made_in_a_short_wait) {
    sea_conn *conn = connected(NULL);
    sea_msg *reply = NULL;
    for (int i = 0; i < 100 && !stock_is_wanted(&ctx->stock); i++) {
        sea_block *block = NULL;
        ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 100000, 0), 0);
        sea_block_unref(block);
    }
    ck_assert(stock_is_wanted(&ctx->stock));
    ck_assert_int_eq(sea_call_bytes(conn, KEEP, NULL, 0, 5, &reply), -ETIMEDOUT);
    ck_assert(stock_is_wanted(&ctx->stock));
    ck_assert(!has_stock());
    ck_assert_int_eq(sea_call_bytes(conn, KEEP, NULL, 0, 50, &reply), -ETIMEDOUT);
    ck_assert(has_stock());
    sea_conn_free(conn);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("client");
    suite_fixture(s, scene_set, scene_end);
    suite_add(s, test_calls_of_all_sizes);
    suite_add(s, test_an_answer_that_is_an_error);
    suite_add(s, test_a_reply_without_an_output);
    suite_add(s, test_a_deadline);
    suite_add(s, test_a_deadline_that_has_passed);
    suite_add(s, test_an_absolute_deadline);
    suite_add(s, test_replies_in_another_order);
    suite_add(s, test_a_call_beyond_the_limit_waits);
    suite_add(s, test_handlers_run_while_a_call_waits);
    suite_add(s, test_wait_has_its_time);
    suite_add(s, test_a_wait_for_an_idle_end);
    suite_guard(s, 60);
    suite_add(s, test_a_bell_that_does_not_ring_is_not_read);
    suite_guard(s, 300);
    suite_add(s, test_a_wait_is_interrupted);
    suite_add_loop(s, test_a_wake_up_that_cannot_be_had, 0, 2);
    suite_add(s, test_a_wait_ends_without_an_eventfd);
    suite_add(s, test_a_late_bell_is_silenced);
    suite_add(s, test_each_late_call_has_its_turns);
    suite_add_loop(s, test_a_signal_handler_interrupts, 0, 3);
    suite_add(s, test_a_server_that_takes_no_descriptors);
    suite_add(s, test_wait_returns_for_a_deadline);
    suite_add(s, test_a_wait_returns_one);
    suite_add(s, test_a_flood_waits_for_room);
    suite_add(s, test_a_send_has_its_time);
    suite_add(s, test_driven_by_poll);
    suite_add(s, test_many_connections);
    suite_add(s, test_threads_share_a_context);
    suite_add(s, test_the_server_leaves);
    suite_add(s, test_the_server_is_killed);
    suite_add(s, test_a_server_that_breaks_the_protocol);
    suite_add(s, test_polling_fails);
    suite_add(s, test_freed_while_a_call_waits);
    suite_add(s, test_freed_while_a_call_waits_for_room);
    suite_add(s, test_freed_while_waiting);
    suite_add(s, test_freed_inside_connect);
    suite_add_loop(s, test_addresses_without_a_server, 0, ADDRESSES);
    suite_add(s, test_a_name_in_the_runtime_directory);
    suite_add(s, test_options_without_sense);
    suite_add(s, test_the_service_is_another);
    suite_add(s, test_inherited_descriptors_of_other_kinds);
    suite_add(s, test_an_inherited_socket_is_taken_when_it_fails_later);
    suite_add(s, test_an_inherited_socket_that_is_full);
    suite_add_loop(s, test_a_greeting_that_the_kernel_puts_off, 0, 2);
    suite_add_loop(s, test_an_inherited_socket_that_the_kernel_puts_off, 0, 2);
    suite_add(s, test_an_inherited_connection);
    suite_add(s, test_a_server_that_says_nothing);
    suite_add(s, test_the_servers_reason_is_kept);
    suite_add(s, test_no_descriptor_for_a_connection);
    suite_add(s, test_a_block_made_ahead_is_used);
    suite_add_loop(s, test_a_block_made_ahead_goes, 0, 4);
    suite_add(s, test_no_block_is_made_in_a_short_wait);
    return suite_run(s);
}
