/* SPDX-License-Identifier: MIT */
/*
 * The fault sweep: every system call of a voyage is made to fail, one at a time, with each errno that it can have, in
 * the client and in the server.
 *
 * For each failure: no process crashes, hangs or leaks; the voyage completes with the right bytes, or the client's
 * function returns an error other than its time-out, or the server's application is told (its own function returned an
 * error, or the refusal was counted); and the same processes can make the voyage again when no call fails. And the
 * client's texts about the failure are true: see WORDS.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/service.h"
#include "support/suite.h"
#include "sweep/sweep.h"

#define CALLS_MAX 400 /* calls of one kind; more would be an endless loop */

/* The errors of each kind. The kinds that a role meets in every voyage are marked: if a role meets none of them, the
 * sweep tests nothing. */
static const struct fault {
    int errors[10]; /* up to the first 0 */
    bool by_client, by_server;
} faults[INJECT_KINDS] = {
    [INJECT_ALLOC] = {{ENOMEM}, true, true},
    [INJECT_MEMFD_CREATE] = {{EINVAL, EMFILE, ENFILE, ENOMEM, EPERM}, true, true},
    [INJECT_FTRUNCATE] = {{EINTR, EFBIG, ENOMEM, EPERM}, true, true},
    [INJECT_FALLOCATE] = {{EINTR, ENOSPC, ENOMEM, EOPNOTSUPP, EPERM}, true, true},
    [INJECT_ADD_SEALS] = {{EBUSY, EPERM}, true, true},
    [INJECT_GET_SEALS] = {{EINVAL, EBADF, EPERM}, true, true},
    [INJECT_OPEN] = {{EMFILE, ENFILE, ENOENT, EACCES, EINTR, ENOMEM, EPERM}, true, true},
    [INJECT_FCHMOD] = {{EPERM, EIO}, false, false},
    [INJECT_FCHOWN] = {{EPERM}, false, false},
    [INJECT_FSTAT] = {{ENOMEM, EIO, EPERM}, true, true},
    [INJECT_FSTATFS] = {{EINTR, EIO, ENOSYS}, true, true},
    [INJECT_MMAP] = {{ENOMEM, EPERM, EAGAIN}, true, true},
    [INJECT_MADVISE] = {{EINVAL, ENOMEM, EAGAIN, EPERM}, false, false},
    [INJECT_DONTDUMP] = {{EINVAL, EPERM}, true, true},
    [INJECT_MLOCK] = {{ENOMEM, EPERM}, false, false},
    [INJECT_MINCORE] = {{EAGAIN}, false, false},
    [INJECT_MBIND] = {{EINVAL, EPERM, ENOSYS}, false, false},
    [INJECT_SYSINFO] = {{EPERM, ENOSYS}, false, false},
    [INJECT_PREAD] = {{EINTR, EIO}, false, false},
    [INJECT_PWRITE] = {{EINTR, ENOSPC, ENOMEM, EPERM}, true, false},
    [INJECT_COPY_FILE_RANGE] = {{EXDEV, EINVAL, ENOSYS, EINTR, EIO}, true, false},
    [INJECT_SENDFILE] = {{EINVAL, ENOSYS, EINTR, EIO, ENOMEM, EPERM}, true, false},
    [INJECT_SPLICE] = {{EINVAL, EINTR, EIO}, true, false},
    [INJECT_SOCKET] = {{EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM}, true, true},
    [INJECT_BIND] = {{EADDRINUSE, EACCES, ENOMEM, EPERM}, false, true},
    [INJECT_LISTEN] = {{EADDRINUSE, ENOMEM, EPERM}, false, true},
    [INJECT_ACCEPT] = {{EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOMEM, ENOBUFS, EINTR, EPERM}, false, true},
    [INJECT_CONNECT] = {{EAGAIN, ECONNREFUSED, EINTR, ENOENT, ENOMEM, EPERM}, true, false},
    [INJECT_GETSOCKOPT] = {{ENOPROTOOPT, ENOMEM, EPERM}, true, true},
    [INJECT_SETSOCKOPT] = {{ENOPROTOOPT, ENOMEM, EPERM}, false, false},
    [INJECT_SENDMSG] = {{EAGAIN, EINTR, ETOOMANYREFS, EPIPE, ECONNRESET, ENOBUFS, ENOMEM, EMSGSIZE, EPERM}, true, true},
    [INJECT_RECVMSG] = {{EAGAIN, EINTR, ECONNRESET, ENOMEM, EPERM}, true, true},
    [INJECT_POLL] = {{EINTR, ENOMEM, EPERM}, true, false},
    [INJECT_EPOLL_CREATE] = {{EMFILE, ENFILE, ENOMEM, EPERM}, false, true},
    [INJECT_EPOLL_CTL] = {{ENOMEM, ENOSPC, EPERM}, false, true},
    [INJECT_EPOLL_WAIT] = {{EINTR, EPERM}, false, true},
    [INJECT_EVENTFD] = {{EMFILE, ENFILE, ENOMEM, EPERM}, false, true},
    [INJECT_FLOCK] = {{EINTR, EWOULDBLOCK, ENOLCK, EPERM}, false, true},
    [INJECT_MKDIR] = {{EACCES, ENOSPC, EEXIST, EPERM}, false, true},
    [INJECT_UNLINK] = {{EACCES, ENOENT, EBUSY, EPERM}, false, true},
    [INJECT_DUP] = {{EMFILE, EINTR, EPERM}, false, false},
    [INJECT_SET_FLAGS] = {{EPERM}, true, true},
    [INJECT_FACCESSAT] = {{EACCES, EPERM}, false, false},
    [INJECT_SCHED_GET] = {{EPERM, ESRCH}, true, true},
    [INJECT_PTHREAD_CREATE] = {{EAGAIN}, false, false},
};

/* Findings of one test; all are collected before the test fails. */
static struct {
    int cases, count;
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

/* Judges whether the caller got an answer. The caller's own time-out is none. */
static void judge_voyage(const struct board *board, const struct voyage_report *voyage, bool is_silence_told) {
    if (voyage->status == VOYAGE_WRONG)
        find(board, "wrong bytes at \"%s\"", voyage->step);
    if (voyage->status == -ETIMEDOUT && !is_silence_told)
        find(board, "silence at \"%s\"", voyage->step);
    for (int i = 0; i < 2; i++)
        if (voyage->opened[i] > 1 || voyage->closed[i] > 1)
            find(board, "connection %d: on_open %d times, on_close %d times", i, voyage->opened[i], voyage->closed[i]);
}

static void judge_child(const struct board *board, const char *who, int status) {
    if (status != 0)
        find(board, "the %s ended with %d", who, status);
    if (board->leak[0])
        find(board, "the %s: %s", who, board->leak);
}

static void judge_second(const struct board *board, const struct voyage_report *second) {
    if (second->status != 0)
        find(board, "afterwards: %s at \"%s\"", strerrorname_np(-second->status), second->step);
}

/*
 * A text may only name causes that the errno can mean. Each line has words that belong to some errnos, and to no
 * others: for any blow, a text must not name a limit that was not checked, or that is not short.
 */
static const struct words {
    const char *text;
    int errors[6]; /* up to the first 0; an empty list: never */
} WORDS[] = {
    {"RLIMIT_NOFILE", {EMFILE, ETOOMANYREFS}},
    {"fs.file-max", {ENFILE}},
    {"RLIMIT_FSIZE", {EFBIG}},
    {"RLIMIT_AS", {0}},
    {"RLIMIT_MEMLOCK", {0}},
    {"max_map_count", {0}},
    {"MemAvailable", {ENOMEM}},
    {"address space", {ENOMEM, EAGAIN, EPERM}},
    {"no memory", {ENOMEM, ENOBUFS}},
    {"out of memory", {ENOMEM, ENOBUFS}},
    {"Cannot allocate memory", {ENOMEM, ENOBUFS, ENOSPC, EFBIG, EAGAIN}},
    {"is the server running", {ECONNREFUSED, ENOENT}},
    {"forbid", {EPERM, EACCES, ENOSYS}},
};

static bool has_error(const int *errors, int count, int error) {
    for (int i = 0; i < count && errors[i] != 0; i++)
        if (errors[i] == error)
            return true;
    return false;
}

/* Judges the text of the client's own voyage: only the blow has gone wrong. */
static void judge_text(const struct board *board, const struct voyage_report *voyage) {
    int error = board->blow.error;
    if (voyage->status >= 0 || !atomic_load(&board->has_struck))
        return;
    /* Errors of reading the application's own file need no text, and neither does the end of the connection. */
    bool is_plain =
        voyage->status == -EPIPE || board->blow.kind == INJECT_ALLOC || strncmp(voyage->step, "fill", 4) == 0;
    if (strcmp(voyage->why, " / ") == 0 && !is_plain)
        find(board, "%s at \"%s\" without a text", strerrorname_np(-voyage->status), voyage->step);
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (strstr(voyage->why, WORDS[i].text) && !has_error(WORDS[i].errors, 6, error))
            find(board, "%s at \"%s\", untrue: %s", strerrorname_np(-voyage->status), voyage->step, voyage->why);
}

/* The server's state is judged after each case; its leaks when it stops. */
static void judge_server(const struct board *board, bool has_answered) {
    if (!has_answered)
        find(board, "the server does not answer");
    else if (!board->is_settled)
        find(board, "the server still holds something");
    else if (!board->are_events_single)
        find(board, "the server's callbacks do not come once each");
}

/* There was no call to strike: checks that this is not because of another failure before. Otherwise the sweep would
 * end here in silence, with most of its cases left out. */
static void judge_unstruck(const struct board *board, const struct voyage_report *voyage) {
    if (!atomic_load(&board->has_struck) && voyage->status != 0)
        find(board, "not struck, and yet: %s at \"%s\"", strerrorname_np(abs(voyage->status)), voyage->step);
}

/* Tests one case of the client. Returns whether the call was made, so that it could fail. */
static bool strike_client(struct board *board, struct child *server, struct blow blow) {
    sweep_aim(board, blow);
    int status = sweep_sail(board);
    judge_child(board, "client", status);
    judge_unstruck(board, &board->voyage);
    judge_voyage(board, &board->voyage, board->voyage.refusals > 0);
    judge_text(board, &board->voyage);
    judge_second(board, &board->second);
    judge_server(board, sweep_check(server));
    return atomic_load(&board->has_struck);
}

static void visit(struct board *board, struct voyage_report *report) {
    int status = sweep_visit(board, false, report);
    if (status != 0)
        find(board, "the client ended with %d", status);
    if (board->client_leak[0])
        find(board, "the client: %s", board->client_leak);
}

static void judge_start(const struct board *board) {
    if (board->start_error >= 0)
        find(board, "the server did not start, and said nothing");
    else if (!atomic_load(&board->has_struck))
        find(board, "not struck, and yet the server did not start: %s", strerrorname_np(-board->start_error));
}

/* Tests one case of the server. */
static bool strike_server(struct board *board, struct child *unused, struct blow blow) {
    struct child server;
    (void) unused;
    sweep_clean();
    sweep_aim(board, blow);
    if (!sweep_serve(&server, board, true)) {
        judge_child(board, "server", child_end(&server, 5000));
        judge_start(board);
        return atomic_load(&board->has_struck);
    }
    visit(board, &board->voyage);
    bool has_answered = sweep_pause(&server);
    visit(board, &board->second);
    has_answered = sweep_check(&server) && has_answered;
    judge_child(board, "server", sweep_stop(&server));
    judge_server(board, has_answered);
    judge_unstruck(board, &board->voyage);
    judge_voyage(board, &board->voyage, board->refusals > 0);
    if (board->run_result == 0)
        judge_second(board, &board->second);
    return atomic_load(&board->has_struck);
}

typedef bool strike_role(struct board *board, struct child *server, struct blow blow);

/* For slow tools: SEALANE_SWEEP_SHARE=5 tests every fifth case only. */
static int share(void) {
    const char *text = getenv("SEALANE_SWEEP_SHARE");
    int value = text ? atoi(text) : 1;
    return value > 1 ? value : 1;
}

/* Tests every call of one kind, with every error. Returns the number of calls. */
static int sweep_kind(struct board *board, enum inject_kind kind, struct child *server, strike_role *strike) {
    const struct fault *fault = &faults[kind];
    for (int n = 1; n < CALLS_MAX; n++) {
        for (int i = 0; fault->errors[i] != 0; i++) {
            if ((n + i) % share() != 0)
                continue;
            struct blow blow = {.kind = kind, .n = n, .error = fault->errors[i]};
            if (!strike(board, server, blow))
                return n - 1;
            findings.cases++;
        }
    }
    ck_abort_msg("%s: more than %d calls", inject_name(kind), CALLS_MAX);
}

static void conclude(enum inject_kind kind, const char *role, int calls, bool must_occur) {
    printf("# %s, %s: %d calls, %d faults%s\n", role, inject_name(kind), calls, findings.cases,
           share() > 1 ? ", only a share of them" : "");
    ck_assert_msg(findings.count == 0, "%d findings:%s", findings.count, findings.text);
    ck_assert_msg(calls > 0 || !must_occur || share() > 1, "the %s never calls %s", role, inject_name(kind));
}

START_TEST(test_client) {
    struct board *board = sweep_begin();
    struct child server;
    sweep_aim(board, (struct blow){.kind = INJECT_KINDS});
    ck_assert(sweep_serve(&server, board, false));
    int calls = sweep_kind(board, (enum inject_kind) _i, &server, strike_client);
    judge_child(board, "server", sweep_stop(&server));
    sweep_end(board);
    conclude((enum inject_kind) _i, "client", calls, faults[_i].by_client);
}
END_TEST

START_TEST(test_server) {
    struct board *board = sweep_begin();
    int calls = sweep_kind(board, (enum inject_kind) _i, NULL, strike_server);
    sweep_end(board);
    conclude((enum inject_kind) _i, "server", calls, faults[_i].by_server);
}
END_TEST

/* The server runs on a libuv loop; libuv's own system calls are not struck. */
START_TEST(test_uv_server) {
    struct board *board = sweep_begin();
    service_use_uv(true);
    int calls = sweep_kind(board, (enum inject_kind) _i, NULL, strike_server);
    sweep_end(board);
    bool is_uvs =
        _i == INJECT_EPOLL_CREATE || _i == INJECT_EPOLL_CTL || _i == INJECT_EPOLL_WAIT || _i == INJECT_EVENTFD;
    conclude((enum inject_kind) _i, "libuv server", calls, faults[_i].by_server && !is_uvs);
}
END_TEST

int main(void) {
    service_prepare_uv();
    struct suite *suite = suite_new("fault_sweep");
    suite_guard(suite, 1500);
    suite_add_loop(suite, test_client, 0, INJECT_KINDS);
    suite_add_loop(suite, test_server, 0, INJECT_KINDS);
    suite_add_loop(suite, test_uv_server, 0, INJECT_KINDS);
    return suite_run(suite);
}
