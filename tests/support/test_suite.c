/* SPDX-License-Identifier: MIT */
/*
 * Tests of the harness (support/suite.h): suites that must fail or be skipped, and the words that they must print. Each
 * inner suite runs in a process of its own: this program, started again with the suite's name as its argument. The test
 * judges the output and the exit status.
 */
#include "support/suite.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "support/holdings.h"

static uint64_t leases;

static uint64_t count_leases(void) {
    return leases;
}

/* The tests of the inner suites: their names say what they do. */

static int memfd_of(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    return fd;
}

START_TEST(inner_passes) {
    int fd = memfd_of("kept short");
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(inner_leaks_fd) {
    memfd_of("drifting\nwreck");
}
END_TEST

START_TEST(inner_loses_fd) {
    ck_assert_int_eq(close(STDIN_FILENO), 0);
}
END_TEST

START_TEST(inner_swaps_fd) {
    int fd = memfd_of("swapped");
    ck_assert_int_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(inner_leaks_mapping) {
    int fd = memfd_of("chart");
    ck_assert_ptr_ne(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(inner_leaks_count) {
    leases += 3;
}
END_TEST

START_TEST(inner_leaks_child) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(0);
}
END_TEST

START_TEST(inner_hangs) {
    for (;;)
        pause();
}
END_TEST

START_TEST(inner_crashes) {
    signal(SIGSEGV, SIG_DFL); /* sanitizers would turn the signal into an exit */
    raise(SIGSEGV);
}
END_TEST

START_TEST(inner_exits) {
    exit(0);
}
END_TEST

START_TEST(inner_fails) {
    ck_assert_int_eq(6 * 9, 42);
}
END_TEST

START_TEST(inner_skips) {
    test_skip("there is no %s here", "moon");
}
END_TEST

START_TEST(inner_skips_and_leaks) {
    memfd_of("left by the skipped");
    test_skip("never mind");
}
END_TEST

START_TEST(inner_turns) {
    ck_assert_int_ne(_i, 7);
}
END_TEST

static void *close_later(void *fd) {
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    close(*(int *) fd);
    return NULL;
}

/* A descriptor that a helper thread closes in time is no leak. */
START_TEST(inner_closes_late) {
    static int fd;
    fd = memfd_of("late");
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, close_later, &fd), 0);
    ck_assert_int_eq(pthread_detach(thread), 0);
}
END_TEST

/* A socket that was sent over itself, with a memfd, lives until some AF_UNIX socket is released
 * (tests/contract/test_receive.c). */
START_TEST(inner_sends_socket_over_itself) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int fds[2] = {pair[1], memfd_of("carried")};
    char control[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec iov = {.iov_base = control, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(cmsg), fds, sizeof fds);
    ck_assert_int_eq(sendmsg(pair[0], &msg, MSG_DONTWAIT), 1);
    close(fds[1]);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

static int fixture_state;

static void fixture_before(void) {
    fixture_state = 1;
}

static void fixture_after(void) {
    leases += 5;
}

START_TEST(inner_has_fixture) {
    ck_assert_int_eq(fixture_state, 1);
}
END_TEST

static void add_count(struct suite *suite) {
    suite_count(suite, "leases", count_leases);
}

static void add_short_guard(struct suite *suite) {
    suite_guard(suite, 1);
}

static void add_fixture(struct suite *suite) {
    add_count(suite);
    suite_fixture(suite, fixture_before, fixture_after);
}

/* The inner suites, the words that their output must contain, and their exit status. */
static const struct expectation {
    const char *name;
    const TTest *const *test;
    void (*prepare)(struct suite *suite);
    int turns;
    int status;
    const char *words[3];
    const char *tally;
} expectations[] = {
    {"passes", &inner_passes, NULL, 1, 0, {"100%: Checks: 1, Failures: 0, Errors: 0"}, "1 0 0"},
    {"leaks-fd", &inner_leaks_fd, NULL, 1, 1, {"leak: left over: fd ", "memfd:drifting?wreck"}, "0 1 0"},
    {"loses-fd", &inner_loses_fd, NULL, 1, 1, {"leak: lost: fd 0 "}, "0 1 0"},
    {"swaps-fd", &inner_swaps_fd, NULL, 1, 1, {"left over: fd 0 (/memfd:swapped", "lost: fd 0 "}, "0 1 0"},
    {"leaks-mapping", &inner_leaks_mapping, NULL, 1, 1, {"leak: left over: mapping ", "/memfd:chart"}, "0 1 0"},
    {"leaks-count", &inner_leaks_count, add_count, 1, 1, {"leak: leases: 0 before, 3 after"}, "0 1 0"},
    {"fails", &inner_fails, NULL, 1, 1, {"Assertion '6 * 9 == 42' failed"}, "0 1 0"},
    {"skips", &inner_skips, NULL, 1, 77, {"SKIP inner_skips: there is no moon here"}, "0 0 1"},
    {"skips-and-leaks", &inner_skips_and_leaks, NULL, 1, 1, {"left over: fd ", "left by the skipped"}, "0 1 0"},
    {"turns", &inner_turns, NULL, 10, 1, {"Checks: 10, Failures: 1", "_i == 7"}, "9 1 0"},
    {"closes-late", &inner_closes_late, NULL, 1, 0, {"Failures: 0, Errors: 0"}, "1 0 0"},
    {"socket-over-itself", &inner_sends_socket_over_itself, NULL, 1, 0, {"Failures: 0, Errors: 0"}, "1 0 0"},
    {"fixture", &inner_has_fixture, add_fixture, 1, 1, {"leak: leases: 0 before, 5 after"}, "0 1 0"},
    /* from here on: tests that end the process, and need CK_FORK */
    {"leaks-child", &inner_leaks_child, NULL, 1, 1, {"a child process that nobody waited for"}, "0 1 0"},
    {"hangs", &inner_hangs, add_short_guard, 1, 1, {"inner_hangs", "timeout expired"}, "0 1 0"},
    {"crashes", &inner_crashes, NULL, 1, 1, {"inner_crashes", "signal 11"}, "0 1 0"},
    {"exits", &inner_exits, NULL, 1, 1, {"FAIL inner_exits: ended by exit() instead of returning"}, "0 1 0"},
};
#define EXPECTATIONS (sizeof expectations / sizeof *expectations)
#define EXPECTATIONS_WITHOUT_FORK (EXPECTATIONS - 4)

static int run_inner(const char *name) {
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        const struct expectation *e = &expectations[i];
        if (strcmp(e->name, name))
            continue;
        struct suite *suite = suite_new(e->name);
        suite_settle(suite, *e->test == inner_closes_late ? 2000 : 100);
        if (e->prepare)
            e->prepare(suite);
        suite_add_loop(suite, *e->test, 0, e->turns);
        return suite_run(suite);
    }
    return 99;
}

/* Starts this program with `argument`; returns its exit status and, in `output`, its printed text. */
static int start_self(const char *argument, const char *fork_mode, const char *tally, char *output, size_t size) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        setenv("CK_FORK", fork_mode, 1);
        setenv("SEALANE_TALLY", tally, 1);
        unsetenv("CK_VERBOSITY");
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "test_suite", argument, (char *) NULL);
        _exit(98);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; used + 1 < size && (got = read(ends[0], output + used, size - used - 1)) > 0;)
        used += (size_t) got;
    output[used] = 0;
    close(ends[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void expect(const struct expectation *e, const char *fork_mode) {
    char tally[] = "/tmp/sealane-tally-XXXXXX", output[8192], line[64], wanted[96];
    int fd = mkstemp(tally);
    ck_assert_int_ge(fd, 0);
    int status = start_self(e->name, fork_mode, tally, output, sizeof output);
    unlink(tally);
    ck_assert_msg(status == e->status, "%s: exit status %d, not %d; it said: %s", e->name, status, e->status, output);
    for (size_t i = 0; i < 3 && e->words[i]; i++)
        ck_assert_msg(strstr(output, e->words[i]), "%s: no \"%s\" in: %s", e->name, e->words[i], output);
    ssize_t size = read(fd, line, sizeof line - 1);
    ck_assert_int_gt(size, 0);
    line[size] = 0;
    snprintf(wanted, sizeof wanted, "%s %s\n", e->name, e->tally);
    ck_assert_str_eq(line, wanted);
    close(fd);
}

START_TEST(test_verdict) {
    expect(&expectations[_i], "yes");
}
END_TEST

/* Without fork the verdicts must be equal, except for tests that end the process. */
START_TEST(test_verdict_without_fork) {
    const struct expectation *e = &expectations[_i];
    if (*e->test == inner_hangs || *e->test == inner_crashes || *e->test == inner_exits ||
        *e->test == inner_leaks_child)
        return;
    expect(e, "no");
}
END_TEST

START_TEST(test_holdings_are_counted) {
    struct holdings *before = holdings_new();
    int fd = memfd_of("one");
    void *data = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(data, MAP_FAILED);
    struct holdings *after = holdings_new();
    ck_assert_uint_eq(holdings_fds(after), holdings_fds(before) + 1);
    ck_assert_uint_eq(holdings_mappings(after), holdings_mappings(before) + 1);
    munmap(data, 4096);
    close(fd);
    holdings_free(before);
    holdings_free(after);
}
END_TEST

/* However many resources differ, the text stays within its buffer. */
START_TEST(test_holdings_text_is_bounded) {
    enum { MANY = 100 };
    struct holdings *before = holdings_new();
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = memfd_of("one of many");
    struct holdings *after = holdings_new();
    char text[201];
    text[200] = 'x';
    ck_assert(holdings_differ(before, after, text, 200));
    ck_assert_uint_eq(strlen(text), 199);
    ck_assert_int_eq(text[200], 'x');
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    holdings_free(before);
    holdings_free(after);
}
END_TEST

int main(int argc, char **argv) {
    if (argc > 1)
        return run_inner(argv[1]);
    struct suite *suite = suite_new("suite");
    suite_add_loop(suite, test_verdict, 0, (int) EXPECTATIONS);
    suite_add_loop(suite, test_verdict_without_fork, 0, (int) EXPECTATIONS_WITHOUT_FORK);
    suite_add(suite, test_holdings_are_counted);
    suite_add(suite, test_holdings_text_is_bounded);
    return suite_run(suite);
}
