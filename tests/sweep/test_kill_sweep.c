/* SPDX-License-Identifier: MIT */
/*
 * The kill sweep: a process is killed with SIGKILL before each of its system calls, from the handshake to the end of a
 * voyage; first the client, then the server. It is also killed at any instant, while calls of every class go through
 * rings and arenas at full speed, with hardly any system call.
 *
 * The survivor gets exactly one event for each connection, holds no resource of the dead process afterwards, leaks
 * nothing, and goes on: the server serves the next client, and the client finds the next server at the same address,
 * where the dead server has left its socket and its lock.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/random.h"
#include "support/service.h"
#include "support/suite.h"
#include "sweep/sweep.h"

#define CALLS_MAX 2000
#define INSTANTS 100
#define INSTANTS_NS 10000000u
#define SECOND_NS 1000000000u
#define GUARD_NS (5 * (uint64_t) SECOND_NS) /* the measured time is printed */

static struct {
    int cases, count;
    unsigned strokes;
    uint64_t worst_ns; /* time from the victim's death until the survivor has noticed */
    char text[3000];
} findings;

__attribute__((format(printf, 2, 3))) static void find(const struct board *board, const char *format, ...) {
    size_t used = strlen(findings.text);
    char what[600];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(findings.text + used, sizeof findings.text - used, "\n  %s: %s", blow_name(board), what);
    findings.count++;
}

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t) at.tv_sec * SECOND_NS + (uint64_t) at.tv_nsec;
}

static void note_delay(const struct board *board, uint64_t since_ns) {
    uint64_t took = now_ns() - since_ns;
    if (took > findings.worst_ns)
        findings.worst_ns = took;
    if (took > GUARD_NS * (uint64_t) test_timeout_ms(1))
        find(board, "the survivor took %.1f s to notice", (double) took / 1e9);
}

static void judge_client(const struct board *board, int status) {
    if (status != 0)
        find(board, "the client ended with %d", status);
    if (board->client_leak[0])
        find(board, "the client: %s", board->client_leak);
}

static void judge_next(struct board *board) {
    judge_client(board, sweep_visit(board, false, &board->next));
    if (board->next.status != 0)
        find(board, "the next voyage: %s at \"%s\"", strerrorname_np(-board->next.status), board->next.step);
}

static void judge_server(const struct board *board, bool has_answered) {
    if (!has_answered)
        find(board, "the server does not answer");
    else if (!board->is_settled)
        find(board, "the server still holds something");
    else if (!board->are_events_single)
        find(board, "the server's callbacks do not come once each");
}

/* The client is killed. Returns false when it completed the voyage. */
static bool kill_client(struct board *board, struct child *server, int n) {
    sweep_aim(board, (struct blow){.kind = INJECT_KINDS, .n = n});
    int status = sweep_sail(board);
    if (!atomic_load(&board->has_struck)) {
        ck_assert_msg(status == 0 && board->voyage.status == 0, "the client ended with %d", status);
        return false;
    }
    uint64_t begun = now_ns();
    judge_server(board, sweep_check(server));
    note_delay(board, begun);
    judge_next(board);
    if (status != -SIGKILL)
        find(board, "the client ended with %d", status);
    return true;
}

/* Each connection that was open has had one event. A connection that was not open may have had one, or none. */
static void judge_events(const struct board *board, const struct voyage_report *voyage) {
    if (voyage->is_left_open)
        find(board, "a connection outlives the server");
    for (int i = 0; i < 2; i++)
        if (voyage->opened[i] > 1 || voyage->closed[i] > 1 || voyage->closed[i] < voyage->opened[i])
            find(board, "connection %d: on_open %d times, on_close %d times", i, voyage->opened[i], voyage->closed[i]);
}

/* The server was killed while the voyage went on. */
static void judge_survivor(const struct board *board, const struct voyage_report *voyage) {
    if (voyage->status == 0)
        return; /* the server died after the voyage */
    judge_events(board, voyage);
    if (voyage->status == VOYAGE_WRONG || voyage->status == -ETIMEDOUT)
        find(board, "%s at \"%s\"", voyage->status > 0 ? "wrong bytes" : "silence", voyage->step);
}

/* The dead server has left its socket and its lock at the address. */
static void judge_successor(struct board *board) {
    struct child server;
    if (!sweep_serve(&server, board, false)) {
        find(board, "the next server: %s", strerrorname_np(-board->start_error));
        child_end(&server, 5000);
        return;
    }
    judge_next(board);
    judge_server(board, sweep_check(&server));
    int status = sweep_stop(&server);
    if (status != 0)
        find(board, "the next server ended with %d", status);
    if (board->leak[0])
        find(board, "the next server: %s", board->leak);
}

/* The server is killed. Returns false when it lived to its end. */
static bool kill_server(struct board *board, int n) {
    struct child server;
    sweep_aim(board, (struct blow){.kind = INJECT_KINDS, .n = n});
    bool has_started = sweep_serve(&server, board, true);
    uint64_t begun = now_ns();
    if (has_started)
        judge_client(board, sweep_visit(board, true, &board->voyage));
    note_delay(board, begun);
    int status = sweep_stop(&server);
    if (!atomic_load(&board->has_struck)) {
        ck_assert_msg(status == 0 && board->voyage.status == 0, "the server ended with %d", status);
        return false;
    }
    if (status != -SIGKILL)
        find(board, "the server ended with %d", status);
    judge_survivor(board, &board->voyage);
    judge_successor(board);
    return true;
}

static void conclude(const char *role) {
    printf("# %s killed %d times; at worst %.1f ms until it was noticed\n", role, findings.cases,
           (double) findings.worst_ns / 1e6);
    ck_assert_msg(findings.count == 0, "%d findings:%s", findings.count, findings.text);
    ck_assert_int_gt(findings.cases, 50);
}

/* Pauses until any instant of the next few milliseconds, in which some hundred calls are made. */
static void pause_somehow(uint64_t *random) {
    nanosleep(&(struct timespec){.tv_nsec = random_below(random, INSTANTS_NS)}, NULL);
}

static void kill_rushing_client(struct board *board, struct child *server, uint64_t *random) {
    struct child client;
    sweep_aim(board, (struct blow){.n = 0});
    bool has_begun = sweep_rush(&client, board);
    pause_somehow(random);
    child_kill(&client);
    uint64_t begun = now_ns();
    if (!has_begun || board->voyage.status != 0)
        find(board, "it had failed before: %d", board->voyage.status);
    findings.strokes += atomic_load(&board->strokes);
    judge_server(board, sweep_check(server));
    note_delay(board, begun);
    judge_next(board);
}

static void kill_server_of_rush(struct board *board, uint64_t *random) {
    struct child server, client;
    sweep_aim(board, (struct blow){.n = 0});
    ck_assert(sweep_serve(&server, board, false));
    bool has_begun = sweep_rush(&client, board);
    pause_somehow(random);
    child_kill(&server);
    uint64_t begun = now_ns();
    judge_client(board, child_end(&client, 20000));
    note_delay(board, begun);
    if (!has_begun || board->voyage.status == 0)
        find(board, "the client goes on without its server");
    findings.strokes += atomic_load(&board->strokes);
    judge_survivor(board, &board->voyage);
    judge_successor(board);
}

static void conclude_rush(const char *role) {
    printf("# %u strokes in all\n", findings.strokes);
    conclude(role);
    ck_assert_uint_gt(findings.strokes, (unsigned) findings.cases);
}

START_TEST(test_client_killed_at_any_instant) {
    struct board *board = sweep_begin();
    struct child server;
    uint64_t random = 20;
    sweep_aim(board, (struct blow){.n = 0});
    ck_assert(sweep_serve(&server, board, false));
    for (; findings.cases < INSTANTS; findings.cases++)
        kill_rushing_client(board, &server, &random);
    ck_assert_int_eq(sweep_stop(&server), 0);
    ck_assert_str_eq(board->leak, "");
    sweep_end(board);
    conclude_rush("the client");
}
END_TEST

START_TEST(test_server_killed_at_any_instant) {
    struct board *board = sweep_begin();
    uint64_t random = 30;
    service_use_uv(_i == 1);
    for (; findings.cases < INSTANTS; findings.cases++)
        kill_server_of_rush(board, &random);
    sweep_end(board);
    conclude_rush("the server");
}
END_TEST

START_TEST(test_client_killed) {
    struct board *board = sweep_begin();
    struct child server;
    sweep_aim(board, (struct blow){.kind = INJECT_KINDS});
    ck_assert(sweep_serve(&server, board, false));
    while (kill_client(board, &server, findings.cases + 1))
        ck_assert_int_lt(++findings.cases, CALLS_MAX);
    ck_assert_int_eq(sweep_stop(&server), 0);
    ck_assert_str_eq(board->leak, "");
    sweep_end(board);
    conclude("the client");
}
END_TEST

/* On the server's own loop, and on libuv's. */
START_TEST(test_server_killed) {
    struct board *board = sweep_begin();
    service_use_uv(_i == 1);
    while (kill_server(board, findings.cases + 1))
        ck_assert_int_lt(++findings.cases, CALLS_MAX);
    sweep_end(board);
    conclude("the server");
}
END_TEST

int main(void) {
    service_prepare_uv();
    struct suite *suite = suite_new("kill_sweep");
    suite_guard(suite, 1500);
    suite_add(suite, test_client_killed);
    suite_add_loop(suite, test_server_killed, 0, 2);
    suite_add(suite, test_client_killed_at_any_instant);
    suite_add_loop(suite, test_server_killed_at_any_instant, 0, 2);
    return suite_run(suite);
}
