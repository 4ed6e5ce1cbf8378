/* SPDX-License-Identifier: MIT */
/* sys/fork_guard: the descriptors that a child of fork() must not get. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fork_guard.h"

static int pair[2];

static void pair_new(void) {
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void pair_close(void) {
    fork_guard_remove(pair[0]);
    close(pair[0]);
    close(pair[1]);
}

/* Runs `body` in a child; returns the exit status. */
static int in_child(int (*body)(void)) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(body());
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static bool is_alive(int fd) {
    return send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/* The descriptor's number is in use, close-on-exec, and refers to nothing useful; no other descriptor is new or
 * missing. */
static int child_looks(void) {
    int next = dup(0);
    if (is_alive(pair[0]) || !is_alive(pair[1]))
        return 1;
    if (fcntl(pair[0], F_GETFD) != FD_CLOEXEC)
        return 2;
    return next == pair[1] + 1 ? 0 : 3;
}

START_TEST(test_a_guarded_descriptor_is_dead_in_a_child) {
    pair_new();
    fork_guard_add(pair[0]);
    unsigned before = fork_guard_generation();
    ck_assert_int_eq(in_child(child_looks), 0);
    ck_assert(is_alive(pair[0]));
    ck_assert_uint_eq(fork_guard_generation(), before);
    pair_close();
}
END_TEST

static int child_has_it(void) {
    return is_alive(pair[0]) ? 0 : 1;
}

START_TEST(test_a_forgotten_one_is_not) {
    pair_new();
    fork_guard_add(pair[0]);
    fork_guard_remove(pair[0]);
    fork_guard_remove(pair[0]);
    fork_guard_remove(-1);
    fork_guard_add(-1);
    ck_assert_int_eq(in_child(child_has_it), 0);
    pair_close();
}
END_TEST

static int grandchild_has_it(void) {
    close(pair[0]);
    return dup2(pair[1], pair[0]) == pair[0] && in_child(child_has_it) == 0 ? 0 : 1;
}

/* A child that closes the descriptor and opens another file with its number keeps that file. */
START_TEST(test_a_child_owes_nothing) {
    pair_new();
    fork_guard_add(pair[0]);
    ck_assert_int_eq(in_child(grandchild_has_it), 0);
    pair_close();
}
END_TEST

static unsigned parents;

static int child_counts(void) {
    return fork_guard_generation() == parents + 1 ? 0 : 1;
}

START_TEST(test_children_are_counted) {
    parents = fork_guard_generation();
    ck_assert_int_eq(in_child(child_counts), 0);
}
END_TEST

static int child_looks_at_a_full_table(void) {
    return is_alive(pair[0]) || fcntl(pair[0], F_GETFD) < 0 ? 1 : 0;
}

START_TEST(test_a_full_table_of_descriptors) {
    struct rlimit limit, low;
    pair_new();
    fork_guard_add(pair[0]);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = (struct rlimit){.rlim_cur = (rlim_t) pair[1] + 1, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    int status = in_child(child_looks_at_a_full_table);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(status, 0);
    pair_close();
}
END_TEST

/* A number beyond the initial size of the table. */
START_TEST(test_a_large_number) {
    struct rlimit limit;
    pair_new();
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 5000)
        test_skip("RLIMIT_NOFILE is below 5000");
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int small = pair[0];
    pair[0] = fcntl(small, F_DUPFD_CLOEXEC, 4000);
    ck_assert_int_ge(pair[0], 4000);
    close(small);
    fork_guard_add(pair[0]);
    int status = in_child(child_has_it);
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    pair_close();
}
END_TEST

int main(void) {
    struct suite *s = suite_new("fork_guard");
    suite_add(s, test_a_guarded_descriptor_is_dead_in_a_child);
    suite_add(s, test_a_forgotten_one_is_not);
    suite_add(s, test_a_child_owes_nothing);
    suite_add(s, test_children_are_counted);
    suite_add(s, test_a_full_table_of_descriptors);
    suite_add(s, test_a_large_number);
    return suite_run(s);
}
