/* SPDX-License-Identifier: MIT */
/* sys/clock: names of clocks, the shift between two clocks, and deadlines that mean the same instant in two time
 * namespaces. */
#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"
#include "sys/wait.h" /* NOLINT(readability-duplicate-include): this one is ours, the other is the system's */
#include "unit/host.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const int64_t SECOND = 1000000000;

/* --- names --- */

START_TEST(test_one_process_has_one_clock) {
    struct clock_name first = clock_name_own(), second = clock_name_own();
    ck_assert_uint_eq(first.space, second.space);
    ck_assert_int_eq(clock_shift(&first, &second), 0);
}
END_TEST

/* The numbers of the time namespaces decide where both are known; otherwise a small shift counts as the error of two
 * readings. */
START_TEST(test_shifts) {
    static const struct {
        struct clock_name ours, theirs;
        int64_t shift;
    } cases[] = {
        {{7, 100}, {7, 100}, 0},
        {{7, 100}, {7, 900 * 1000000000000}, 0}, /* CLOCK_REALTIME was set between the two readings */
        {{7, 100}, {8, 105}, 5},
        {{0, 100}, {8, 105}, 0},
        {{7, 100}, {0, -CLOCK_SLACK_NS + 101}, 0},
        {{7, 100}, {0, -CLOCK_SLACK_NS + 99}, -CLOCK_SLACK_NS - 1},
        {{0, 0}, {0, CLOCK_SLACK_NS}, CLOCK_SLACK_NS},
        {{1, INT64_MIN}, {2, INT64_MAX}, INT64_MAX},
        {{1, INT64_MAX}, {2, INT64_MIN}, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_int_eq(clock_shift(&cases[i].ours, &cases[i].theirs), cases[i].shift);
}
END_TEST

START_TEST(test_moving_stays_within_the_numbers) {
    ck_assert_uint_eq(clock_move(0, 5), 0);
    ck_assert_uint_eq(clock_move(0, -5), 0);
    ck_assert_uint_eq(clock_move(10, 5), 15);
    ck_assert_uint_eq(clock_move(10, -5), 5);
    ck_assert_uint_eq(clock_move(10, -10), 1);
    ck_assert_uint_eq(clock_move(10, INT64_MIN), 1);
    ck_assert_uint_eq(clock_move(UINT64_MAX, INT64_MIN), UINT64_MAX - ((uint64_t) 1 << 63));
    ck_assert_uint_eq(clock_move(UINT64_MAX - 1, 5), UINT64_MAX);
    ck_assert_uint_eq(clock_move(UINT64_MAX, INT64_MAX), UINT64_MAX);
}
END_TEST

/* Without /proc, the two clocks alone are compared. */
START_TEST(test_a_number_that_cannot_be_asked_for) {
    struct clock_name known = clock_name_own();
    fail_here(INJECT_FSTAT, ENOENT);
    struct clock_name unknown = clock_name_own();
    inject_set_hook(NULL);
    ck_assert_uint_eq(unknown.space, 0);
    ck_assert_int_eq(clock_shift(&known, &unknown), 0);
}
END_TEST

/* --- two time namespaces --- */

enum { ASK = 1, BACK = 2, HOUR_MS = 3600 * 1000, SLACK_MS = 600 * 1000 };

/* Answers with the remaining milliseconds of the call's hour, or -1 if the call counts as over. */
static void on_ask(sea_msg *msg, void *user) {
    (void) user;
    int64_t left = ((int64_t) sea_msg_deadline(msg) - (int64_t) wait_now()) / 1000000;
    if (sea_msg_is_cancelled(msg))
        left = -1;
    sea_reply_bytes(msg, &left, sizeof left);
}

static void on_asked(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) conn;
    (void) status;
    sea_reply_bytes(user, sea_msg_data(reply), sea_msg_size(reply));
    sea_msg_release(reply);
}

/* Calls ASK of the caller, and answers with the result. */
static void on_back(sea_msg *msg, void *user) {
    (void) user;
    if (sea_call_start(sea_msg_conn(msg), ASK, NULL, HOUR_MS, on_asked, msg, NULL) < 0)
        sea_reply_error(msg, -EIO, "");
}

static const sea_method methods[] = {{.number = ASK, .name = "ask", .handler = on_ask},
                                     {.number = BACK, .name = "back", .handler = on_back}};

struct scene {
    struct host host;
    int64_t seconds; /* the client's clock is ahead by this much */
};

static bool is_about_an_hour(sea_conn *conn, uint32_t method) {
    sea_msg *reply = NULL;
    int64_t left = 0;
    if (sea_call_bytes(conn, method, "", 0, HOUR_MS, &reply) < 0 || sea_msg_size(reply) != sizeof left)
        return false;
    memcpy(&left, sea_msg_data(reply), sizeof left);
    sea_msg_release(reply);
    return left > HOUR_MS - SLACK_MS && left <= HOUR_MS + 1000;
}

/* Returns 0: all deadlines are right. 1: the server sees the client's deadlines wrong; 2: the client sees the
 * server's wrong; 3: both are wrong, or there is no connection. */
static int client_run(const struct scene *scene) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    sea_options options = scene->host.options;
    int wrong = 3;
    sea_ctx_new(&ctx, NULL);
    if (sea_connect(&conn, ctx, scene->host.address, &options) == 0)
        wrong = !is_about_an_hour(conn, ASK) + 2 * !is_about_an_hour(conn, BACK);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return wrong;
}

/* Moves the clock of processes that are forked from now on. */
static bool shift_clock(int64_t seconds) {
    char text[64];
    int size = snprintf(text, sizeof text, "monotonic %lld 0\n", (long long) seconds);
    if (unshare(CLONE_NEWTIME) < 0)
        return false;
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    bool is_shifted = fd >= 0 && write(fd, text, (size_t) size) == size;
    close(fd);
    return is_shifted;
}

/* Begins on demand. Returns 77 if this process may not make time namespaces. */
static int shifted_run(int line, void *arg) {
    uint64_t word;
    int status = 0;
    if (!shift_clock(((struct scene *) arg)->seconds) || !line_hear(line, 20000, &word))
        return 77;
    pid_t pid = fork();
    if (pid == 0)
        _exit(client_run(arg));
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

/* The clock is ahead by a day, then back by half of the machine's uptime: each side's deadlines are right for the
 * other side. */
START_TEST(test_deadlines_between_time_namespaces) {
    struct scene scene = {.seconds = _i & 1 ? -(int64_t) (wait_now() / (uint64_t) SECOND / 2) : 86400};
    struct child child;
    scene.host.options = (sea_options){SEA_METHODS(methods), .socket_only = _i & 2};
    snprintf(scene.host.address, sizeof scene.host.address, "unix:%s", raw_name());
    child_start(&child, shifted_run, &scene);
    host_start(&scene.host);
    line_tell(child.line, 1);
    int status = child_end(&child, 60000);
    host_stop(&scene.host);
    if (status == 77)
        test_skip("no time namespaces here, or no right to make one");
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("clock");
    suite_guard(s, 600);
    suite_add(s, test_one_process_has_one_clock);
    suite_add(s, test_shifts);
    suite_add(s, test_moving_stays_within_the_numbers);
    suite_add(s, test_a_number_that_cannot_be_asked_for);
    suite_add_loop(s, test_deadlines_between_time_namespaces, 0, 4);
    return suite_run(s);
}
