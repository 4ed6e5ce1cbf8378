/* SPDX-License-Identifier: MIT */
/*
 * rpc: a process is killed while a child that it forked, and that never called exec(), lives on with all its
 * descriptors. The connection's socket stays open then; the other side must learn of the death all the same, in every
 * way of waiting.
 *
 * The child is made with fork(), or (odd `_i`) by a plain system call that runs no handlers of the library, as some
 * run-times do.
 */
#include "support/suite.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/conn.h"
#include "support/child.h"
#include "unit/host.h"

#if WITH_UV
#include <sealane/uv.h>
#include <uv.h>
#endif

enum method { HEIR = 1, KEEP = 2, LEND = 3, SAME = 4 };

#define PATIENCE_MS 20000
#define LENT ((size_t) 1 << 20)

static char address[160];
static pid_t heir; /* child of the process that was killed */
static bool is_silent;

/* Returns a child that holds every descriptor of this process, for as long as the test needs it. */
static pid_t heir_new(void) {
    fflush(NULL);
    pid_t pid = is_silent ? (pid_t) syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    if (pid == 0) {
        alarm(120);
        for (;;)
            pause();
    }
    return pid;
}

/* Skips the test if the kernel cannot name the process that sent a greeting: without the name the death is not seen. */
static void need_pidfds(const sea_peer *peer) {
    if (peer->pidfd < 0)
        test_skip("needs pidfds (Linux 5.3)");
}

static void on_heir(sea_msg *msg, void *user) {
    (void) user;
    pid_t pid = heir_new();
    sea_reply_bytes(msg, &pid, sizeof pid);
}

static void on_keep(sea_msg *msg, void *user) { /* keeps the call until the end */
    (void) msg;
    (void) user;
}

static void on_lend(sea_msg *msg, void *user) {
    sea_block *block = NULL;
    (void) user;
    ck_assert_int_eq(sea_block_new(&block, sea_msg_conn(msg), LENT), 0);
    sea_reply(msg, block);
}

static void on_same(sea_msg *msg, void *user) {
    (void) user;
    sea_reply_bytes(msg, sea_msg_data(msg), sea_msg_size(msg));
}

static const sea_method methods[] = {{.number = SAME, .name = "same", .handler = on_same},
                                     {.number = HEIR, .name = "heir", .handler = on_heir},
                                     {.number = KEEP, .name = "keep", .handler = on_keep},
                                     {.number = LEND, .name = "lend", .handler = on_lend}};

static void scene_set(int i) {
    snprintf(address, sizeof address, "unix:%s", raw_name());
    is_silent = i & 1;
    heir = 0;
}

static void scene_end(void) {
    if (heir > 0)
        kill(heir, SIGKILL);
}

/* --- the server is killed --- */

static int serve(int line, void *arg) {
    struct host host = {.options = {SEA_METHODS(methods)}};
    (void) arg;
    snprintf(host.address, sizeof host.address, "%s", address);
    host_open(&host);
    line_tell(line, 1);
    return -sea_server_run(host.server);
}

static void server_start(struct child *ret) {
    uint64_t word;
    child_start(ret, serve, NULL);
    ck_assert(line_hear(ret->line, PATIENCE_MS, &word));
}

static void note_heir(const sea_msg *reply) {
    ck_assert_uint_eq(sea_msg_size(reply), sizeof heir);
    memcpy(&heir, sea_msg_data(reply), sizeof heir);
    ck_assert_int_gt(heir, 0);
}

static sea_conn *connect_and_leave_an_heir(sea_ctx *ctx, int waiting) {
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    const sea_options options = {.waiting = waiting, .handshake_ms = 60000};
    ck_assert_int_eq(sea_connect(&conn, ctx, address, &options), 0);
    need_pidfds(sea_conn_peer(conn));
    ck_assert_int_eq(sea_call(conn, HEIR, NULL, test_timeout_ms(PATIENCE_MS), &reply), 0);
    note_heir(reply);
    sea_msg_release(reply);
    return conn;
}

static const int waits[] = {SEA_WAIT_ADAPTIVE, SEA_WAIT_SPIN, SEA_WAIT_SLEEP};

START_TEST(test_a_call_to_a_server_that_is_killed) {
    struct child server;
    sea_ctx *ctx;
    sea_msg *reply = NULL;
    scene_set(_i);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    server_start(&server);
    sea_conn *conn = connect_and_leave_an_heir(ctx, waits[_i / 2]);
    ck_assert_int_eq(sea_conn_peer(conn)->pid, server.pid);
    child_kill(&server);
    ck_assert_int_eq(sea_call(conn, KEEP, NULL, test_timeout_ms(PATIENCE_MS), &reply), -EPIPE);
    ck_assert_str_eq(sea_conn_text(conn), "the peer is gone");
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    scene_end();
}
END_TEST

/* Returns a process that sends the signal after a while. */
static pid_t signal_soon(pid_t pid, int number, unsigned ms) {
    fflush(NULL);
    pid_t sender = fork();
    if (sender == 0) {
        usleep(ms * 1000);
        _exit(kill(pid, number) < 0);
    }
    return sender;
}

static void send_and_await(sea_conn *conn, unsigned count) {
    while (count--) {
        sea_msg *reply = NULL;
        ck_assert_int_eq(sea_call_bytes(conn, SAME, "12345678", 8, -1, &reply), 0);
        ck_assert_uint_eq(sea_msg_size(reply), 8);
        sea_msg_release(reply);
    }
}

/* The client has one thread, and sleeps since its last call, in which its socket alone woke it. */
START_TEST(test_a_server_is_killed_while_its_client_sleeps) {
    struct child server;
    sea_ctx *ctx;
    sea_msg *reply = NULL;
    scene_set(_i);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    server_start(&server);
    sea_conn *conn = connect_and_leave_an_heir(ctx, SEA_WAIT_SLEEP);
    send_and_await(conn, 100);
    pid_t sender = signal_soon(server.pid, SIGKILL, (unsigned) _i);
    ck_assert_int_eq(sea_call(conn, KEEP, NULL, test_timeout_ms(PATIENCE_MS), &reply), -EPIPE);
    ck_assert_str_eq(sea_conn_text(conn), "the peer is gone");
    waitpid(sender, NULL, 0);
    child_kill(&server);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    scene_end();
}
END_TEST

static sea_conn *interrupted;

static void on_signal(int number) {
    (void) number;
    sea_conn_interrupt(interrupted);
}

/* Likewise, at any moment of the call; a handler that restarts system calls, too. */
START_TEST(test_a_signal_interrupts_a_client_that_sleeps) {
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = _i % 2 ? SA_RESTART : 0};
    struct child server;
    sea_ctx *ctx;
    sea_msg *reply = NULL;
    scene_set(0);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    server_start(&server);
    interrupted = connect_and_leave_an_heir(ctx, SEA_WAIT_SLEEP);
    sigaction(SIGUSR1, &action, NULL);
    for (unsigned i = 0; i < 20; i++) {
        send_and_await(interrupted, 10);
        pid_t sender = signal_soon(getpid(), SIGUSR1, i / 4);
        ck_assert_int_eq(sea_call(interrupted, KEEP, NULL, _i / 2 ? 60000 : -1, &reply), -EINTR);
        ck_assert_int_eq(waitpid(sender, NULL, 0), sender);
    }
    child_kill(&server);
    sea_conn_free(interrupted);
    sea_ctx_unref(ctx);
    scene_end();
}
END_TEST

#if defined(__has_include) && __has_include(<sys/single_threaded.h>)
/* With one thread most calls are woken by the doorbell that they receive, without a poll. */
START_TEST(test_a_client_that_sleeps_waits_in_one_call) {
    struct child server;
    sea_ctx *ctx;
    unsigned waits_only = 0;
    scene_set(0);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    server_start(&server);
    sea_conn *conn = connect_and_leave_an_heir(ctx, SEA_WAIT_SLEEP);
    ck_assert(conn->is_patient);
    for (int i = 0; i < 10000 && waits_only < 10; i++) {
        uint64_t polled_at = conn->polled_at, rung = conn->lane.doorbell.episode;
        send_and_await(conn, 1);
        waits_only += conn->lane.doorbell.episode != rung && conn->polled_at == polled_at;
    }
    ck_assert_uint_eq(waits_only, 10);
    child_kill(&server);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    scene_end();
}
END_TEST
#endif

/* The server is dead: a client that connects is refused, and the next server gets the address. */
START_TEST(test_a_killed_servers_address) {
    struct child server;
    struct host host = {.options = {SEA_METHODS(methods)}};
    sea_ctx *ctx;
    sea_conn *conn = NULL;
    sea_refusal refusal;
    const sea_options patient = {.handshake_ms = 60000};
    scene_set(_i);
    snprintf(address, sizeof address, "unix:/tmp/sealane-gone-%d", (int) getpid());
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    server_start(&server);
    conn = connect_and_leave_an_heir(ctx, SEA_WAIT_ADAPTIVE);
    sea_conn_free(conn);
    child_kill(&server);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, &patient), -ETIMEDOUT);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_ptr_nonnull(strstr(refusal.advice, "has ended"));
    snprintf(host.address, sizeof host.address, "%s", address);
    host_start(&host);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, &patient), 0);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    wait_until(host_figures(&host).of[SEA_FIGURE_CONNECTIONS] == 0);
    host_stop(&host);
    ck_assert_int_ne(access(address + 5, F_OK), 0);
    scene_end();
}
END_TEST

static unsigned done;
static int done_status;

static void note_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) conn;
    (void) user;
    done++;
    done_status = status;
    if (status == 0)
        note_heir(reply);
    sea_msg_release(reply);
}

/* One descriptor reports both, the socket and the process. */
START_TEST(test_another_loops_server_is_killed) {
    struct child server;
    sea_ctx *ctx;
    int r = 0;
    scene_set(_i);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    server_start(&server);
    sea_conn *conn = connect_and_leave_an_heir(ctx, SEA_WAIT_ADAPTIVE);
    done = 0;
    ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, note_done, NULL, NULL), 0);
    struct pollfd item = {.fd = sea_conn_fd(conn), .events = sea_conn_events(conn)};
    while (sea_conn_prepare(conn) == 0)
        ck_assert_int_eq(sea_conn_dispatch(conn, 0), 0);
    child_kill(&server);
    while (r == 0) {
        item.events = sea_conn_events(conn);
        int most = test_timeout_ms(PATIENCE_MS), ms = sea_conn_prepare(conn);
        ck_assert_int_gt(poll(&item, 1, ms >= 0 && ms < most ? ms : most), 0);
        r = sea_conn_dispatch(conn, item.revents);
    }
    ck_assert_int_eq(r, -EPIPE);
    ck_assert_uint_eq(done, 1);
    ck_assert_int_eq(done_status, -EPIPE);
    ck_assert_int_eq(sea_conn_fd(conn), -1);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    scene_end();
}
END_TEST

#if WITH_UV

static unsigned closed;

static void note_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) conn;
    (void) user;
    ck_assert_int_eq(event->reason, -EPIPE);
    closed++;
}

static void ask_for_an_heir(sea_conn *conn, void *user) {
    (void) user;
    ck_assert_int_eq(sea_call_start(conn, HEIR, NULL, -1, note_done, NULL, NULL), 0);
}

START_TEST(test_a_uv_clients_server_is_killed) {
    const sea_options options = {.on_open = ask_for_an_heir, .on_close = note_close, .handshake_ms = 60000};
    struct child server;
    uv_loop_t loop;
    sea_ctx *ctx;
    sea_conn *conn = NULL;
    scene_set(_i);
    done = closed = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    server_start(&server);
    ck_assert_int_eq(sea_uv_connect(&conn, ctx, &loop, address, &options), 0);
    while (!done)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(done_status, 0);
    child_kill(&server);
    uv_run(&loop, UV_RUN_DEFAULT); /* the end of the only connection ends the loop */
    ck_assert_uint_eq(closed, 1);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    scene_end();
}
END_TEST

#else

START_TEST(test_a_uv_clients_server_is_killed) {
    test_skip("this build has no libuv");
}
END_TEST

#endif

/* --- a client is killed --- */

static int call(int line, void *arg) {
    sea_ctx *ctx;
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    const sea_options options = {.handshake_ms = 60000};
    (void) arg;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, &options), 0);
    ck_assert_int_eq(sea_call(conn, LEND, NULL, -1, &reply), 0);
    line_tell(line, (uint64_t) heir_new());
    for (;;)
        pause();
}

static void client_start_and_kill(struct child *client) {
    uint64_t word;
    child_start(client, call, NULL);
    ck_assert(line_hear(client->line, PATIENCE_MS, &word));
    heir = (pid_t) word;
    child_kill(client);
}

static atomic_int closes;
static uint64_t reclaimed;

static void note_client(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) conn;
    (void) user;
    if (event->reason == 0) /* the test's own close */
        return;
    ck_assert_int_eq(event->reason, -EPIPE);
    reclaimed = event->reclaimed_bytes;
    atomic_store(&closes, 1);
}

START_TEST(test_a_client_is_killed) {
    struct child client;
    struct host host = {.options = {SEA_METHODS(methods), .on_close = note_client}};
    sea_ctx *ctx;
    sea_conn *conn = NULL;
    scene_set(_i);
    snprintf(host.address, sizeof host.address, "%s", address);
    atomic_store(&closes, 0);
    host_start(&host);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    need_pidfds(sea_conn_peer(conn));
    client_start_and_kill(&client);
    wait_until(atomic_load(&closes));
    ck_assert_uint_ge(reclaimed, LENT);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    wait_until(host_figures(&host).of[SEA_FIGURE_CONNECTIONS] == 0);
    host_stop(&host);
    scene_end();
}
END_TEST

#if WITH_UV

static sea_server *uv_server;

static void leave_the_loop(sea_conn *conn, const sea_close_event *event, void *user) {
    note_client(conn, event, user);
    uv_stop(user);
}

START_TEST(test_a_uv_servers_client_is_killed) {
    struct child client;
    uv_loop_t loop;
    sea_ctx *ctx;
    scene_set(_i);
    const sea_options options = {SEA_METHODS(methods), .on_close = leave_the_loop, .user = &loop,
                                 .handshake_ms = 60000};
    atomic_store(&closes, 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_uv_server_new(&uv_server, ctx, &loop, address, &options), 0);
    child_start(&client, call, NULL);
    uint64_t word;
    while (!line_hear(client.line, 0, &word))
        uv_run(&loop, UV_RUN_NOWAIT);
    heir = (pid_t) word;
    child_kill(&client);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(atomic_load(&closes), 1);
    ck_assert_uint_ge(reclaimed, LENT);
    sea_server_free(uv_server);
    sea_ctx_unref(ctx);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    scene_end();
}
END_TEST

/* libuv opens descriptors of its own with its first loop, and keeps them. */
static void prepare_uv(void) {
    uv_loop_t loop;
    if (uv_loop_init(&loop) == 0)
        uv_loop_close(&loop);
}

#else

START_TEST(test_a_uv_servers_client_is_killed) {
    test_skip("this build has no libuv");
}
END_TEST

static void prepare_uv(void) {}

#endif

int main(void) {
    struct suite *s = suite_new("gone");
    prepare_uv();
    suite_add_loop(s, test_a_call_to_a_server_that_is_killed, 0, 6);
    suite_add_loop(s, test_a_server_is_killed_while_its_client_sleeps, 0, 8);
    suite_add_loop(s, test_a_signal_interrupts_a_client_that_sleeps, 0, 4);
#if defined(__has_include) && __has_include(<sys/single_threaded.h>)
    suite_add(s, test_a_client_that_sleeps_waits_in_one_call);
#endif
    suite_add_loop(s, test_a_killed_servers_address, 0, 2);
    suite_add_loop(s, test_another_loops_server_is_killed, 0, 2);
    suite_add_loop(s, test_a_uv_clients_server_is_killed, 0, 2);
    suite_add_loop(s, test_a_client_is_killed, 0, 2);
    suite_add_loop(s, test_a_uv_servers_client_is_killed, 0, 2);
    return suite_run(s);
}
