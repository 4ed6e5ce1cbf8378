/* SPDX-License-Identifier: MIT */
/* sys/wait: deadlines, waits for one descriptor, sets of descriptors, and wake-up descriptors ("bells"). No test
 * asserts an upper bound on time. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys/heap.h"
#include "sys/wait.h"
#include "unit/fail.h"

#define MS UINT64_C(1000000)

static void new_pipe(int ret_ends[2]) {
    ck_assert_int_eq(pipe2(ret_ends, O_CLOEXEC | O_NONBLOCK), 0);
}

START_TEST(test_time_goes_on) {
    uint64_t first = wait_now(), then = wait_now();
    ck_assert_uint_gt(first, 0);
    ck_assert_uint_ge(then, first);
}
END_TEST

START_TEST(test_deadlines) {
    uint64_t now = wait_now(), deadline = wait_deadline(1000);
    ck_assert_uint_ge(deadline, now + 1000 * MS);
    ck_assert_uint_le(deadline, wait_now() + 1000 * MS);
    ck_assert_uint_eq(wait_deadline(-1), WAIT_FOREVER);
    ck_assert_uint_eq(wait_deadline(INT_MIN), WAIT_FOREVER);
    ck_assert_uint_le(wait_deadline(0), wait_now());
    ck_assert_uint_gt(wait_deadline(INT_MAX), wait_now() + (uint64_t) (INT_MAX - 1000000) * MS);
}
END_TEST

START_TEST(test_remaining_time) {
    ck_assert_int_eq(wait_left_ms(WAIT_FOREVER), -1);
    ck_assert_int_eq(wait_left_ms(0), 0);
    ck_assert_int_eq(wait_left_ms(wait_now()), 0);
    int left = wait_left_ms(wait_now() + 3600000 * MS);
    ck_assert_int_gt(left, 3500000);
    ck_assert_int_le(left, 3600000);
    ck_assert_int_eq(wait_left_ms(WAIT_FOREVER - 1), INT_MAX);
}
END_TEST

/* If the time were rounded down, a loop would spin through the last millisecond. */
START_TEST(test_remaining_time_is_rounded_up) {
    for (int i = 0; i < 1000; i++) {
        uint64_t deadline = wait_now() + MS / 2;
        int left = wait_left_ms(deadline);
        if (wait_now() < deadline)
            ck_assert_int_eq(left, 1);
        else
            ck_assert_int_le(left, 1);
    }
}
END_TEST

START_TEST(test_a_ready_descriptor) {
    int ends[2];
    new_pipe(ends);
    ck_assert_int_eq(wait_fd(ends[1], POLLOUT, 0), POLLOUT); /* also when the deadline has passed */
    ck_assert_int_eq(wait_fd(ends[0], POLLIN, 0), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    ck_assert_int_eq(wait_fd(ends[0], POLLIN, WAIT_FOREVER), POLLIN);
    fd_close(ends[1]);
    ck_assert_int_eq(wait_fd(ends[0], 0, WAIT_FOREVER), POLLHUP);
    fd_close(ends[0]);
}
END_TEST

START_TEST(test_a_wait_lasts_until_its_deadline) {
    int ends[2];
    new_pipe(ends);
    uint64_t deadline = wait_deadline(20);
    ck_assert_int_eq(wait_fd(ends[0], POLLIN, deadline), 0);
    ck_assert_uint_ge(wait_now(), deadline);
    deadline = wait_deadline(20);
    ck_assert_int_eq(wait_fd(-1, POLLIN, deadline), 0);
    ck_assert_uint_ge(wait_now(), deadline);
    fd_close(ends[0]);
    fd_close(ends[1]);
}
END_TEST

static volatile sig_atomic_t alarms;

static void count_alarm(int signal) {
    (void) signal;
    alarms++;
}

START_TEST(test_an_interrupted_wait_goes_on) {
    struct sigaction action = {.sa_handler = count_alarm}; /* not restored: an alarm may come late */
    sigaction(SIGALRM, &action, NULL);
    struct itimerval once = {.it_value = {.tv_usec = 2000}}, never = {0};
    alarms = 0;
    uint64_t deadline = wait_deadline(30);
    setitimer(ITIMER_REAL, &once, NULL);
    int r = wait_fd(-1, 0, deadline);
    setitimer(ITIMER_REAL, &never, NULL);
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(alarms, 0);
    ck_assert_uint_ge(wait_now(), deadline);
}
END_TEST

START_TEST(test_wait_failures) {
    int ends[2];
    new_pipe(ends);
    fail_call(INJECT_POLL, 1, 2, EINTR);
    ck_assert_int_eq(wait_fd(ends[1], POLLOUT, 0), POLLOUT);
    ck_assert_int_eq(fail_calls(INJECT_POLL), 3);
    fail_once(INJECT_POLL, ENOMEM);
    ck_assert_int_eq(wait_fd(ends[1], POLLOUT, 0), -ENOMEM);
    fd_close(ends[0]);
    fd_close(ends[1]);
    ck_assert_int_eq(wait_fd(ends[0], POLLIN, WAIT_FOREVER), -EBADF);
}
END_TEST

START_TEST(test_a_set_reports_the_descriptor) {
    int one[2], other[2], who_one = 1, who_other = 2;
    CLEANUP_FD int set = -1;
    new_pipe(one);
    new_pipe(other);
    ck_assert_int_eq(wait_set_new(&set), 0);
    ck_assert_int_eq(fcntl(set, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(wait_set_add(set, one[0], POLLIN, &who_one), 0);
    ck_assert_int_eq(wait_set_add(set, other[0], POLLIN, &who_other), 0);
    struct wait_event events[4];
    ck_assert_int_eq(wait_set_poll(set, events, 4, 0), 0);

    ck_assert_int_eq(write(other[1], "x", 1), 1);
    ck_assert_int_eq(wait_set_poll(set, events, 4, WAIT_FOREVER), 1);
    ck_assert_ptr_eq(events[0].data, &who_other);
    ck_assert_int_eq(events[0].revents, POLLIN);

    ck_assert_int_eq(fd_close(one[1]), -1);
    ck_assert_int_eq(wait_set_poll(set, events, 4, WAIT_FOREVER), 2);
    short revents_of_one = events[0].data == &who_one ? events[0].revents : events[1].revents;
    ck_assert_int_eq(revents_of_one, POLLHUP);
    fd_close(one[0]);
    fd_close(other[0]);
    fd_close(other[1]);
}
END_TEST

START_TEST(test_a_set_changes) {
    int pair[2], who = 1, who_else = 2;
    CLEANUP_FD int set = -1;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    ck_assert_int_eq(wait_set_new(&set), 0);
    ck_assert_int_eq(wait_set_add(set, pair[0], POLLIN, &who), 0);
    struct wait_event event;
    ck_assert_int_eq(wait_set_poll(set, &event, 1, 0), 0);
    ck_assert_int_eq(wait_set_change(set, pair[0], POLLIN | POLLOUT, &who_else), 0);
    ck_assert_int_eq(wait_set_poll(set, &event, 1, WAIT_FOREVER), 1);
    ck_assert_int_eq(event.revents, POLLOUT);
    ck_assert_ptr_eq(event.data, &who_else);
    ck_assert_int_eq(wait_set_change(set, pair[0], 0, &who), 0);
    ck_assert_int_eq(wait_set_poll(set, &event, 1, 0), 0);

    wait_set_remove(set, pair[0]);
    fd_close(pair[1]);
    ck_assert_int_eq(wait_set_poll(set, &event, 1, 0), 0);
    wait_set_remove(set, pair[0]); /* a second removal is harmless */
    fd_close(pair[0]);
}
END_TEST

/* There are more events than one call fetches: every descriptor gets its turn. */
START_TEST(test_a_set_of_many) {
    enum { MANY = 150 };
    int fds[MANY], seen[MANY] = {0};
    CLEANUP_FD int set = -1;
    ck_assert_int_eq(wait_set_new(&set), 0);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(wait_bell_new(&fds[i]), 0);
        wait_bell_ring(fds[i]);
        ck_assert_int_eq(wait_set_add(set, fds[i], POLLIN, &seen[i]), 0);
    }
    struct wait_event events[MANY];
    ck_assert_int_eq(wait_set_poll(set, events, 3, 0), 3);
    for (int turn = 0; turn < 5; turn++) {
        int n = wait_set_poll(set, events, MANY, 0);
        ck_assert_int_gt(n, 0);
        for (int i = 0; i < n; i++)
            ++*(int *) events[i].data;
    }
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_gt(seen[i], 0);
        fd_close(fds[i]);
    }
}
END_TEST

START_TEST(test_a_set_waits_until_its_deadline) {
    CLEANUP_FD int set = -1;
    ck_assert_int_eq(wait_set_new(&set), 0);
    struct wait_event event;
    uint64_t deadline = wait_deadline(20);
    ck_assert_int_eq(wait_set_poll(set, &event, 1, deadline), 0);
    ck_assert_uint_ge(wait_now(), deadline);
}
END_TEST

START_TEST(test_set_failures) {
    CLEANUP_FD int set = -7, wake_fd = -7;
    fail_once(INJECT_EPOLL_CREATE, EMFILE);
    ck_assert_int_eq(wait_set_new(&set), -EMFILE);
    ck_assert_int_eq(set, -7);
    fail_once(INJECT_EVENTFD, ENFILE);
    ck_assert_int_eq(wait_bell_new(&wake_fd), -ENFILE);
    ck_assert_int_eq(wake_fd, -7);

    ck_assert_int_eq(wait_set_new(&set), 0);
    ck_assert_int_eq(wait_bell_new(&wake_fd), 0);
    fail_once(INJECT_EPOLL_CTL, ENOSPC);
    ck_assert_int_eq(wait_set_add(set, wake_fd, POLLIN, NULL), -ENOSPC);
    ck_assert_int_eq(wait_set_change(set, wake_fd, POLLIN, NULL), -ENOENT);
    struct wait_event event;
    fail_once(INJECT_EPOLL_WAIT, EINTR);
    ck_assert_int_eq(wait_set_poll(set, &event, 1, WAIT_FOREVER), 0);
    fail_once(INJECT_EPOLL_WAIT, ENOMEM);
    ck_assert_int_eq(wait_set_poll(set, &event, 1, WAIT_FOREVER), -ENOMEM);
}
END_TEST

START_TEST(test_a_bell_is_heard_until_cleared) {
    CLEANUP_FD int wake_fd = -1;
    ck_assert_int_eq(wait_bell_new(&wake_fd), 0);
    ck_assert_int_eq(fcntl(wake_fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(wait_fd(wake_fd, POLLIN, 0), 0);
    wait_bell_clear(wake_fd); /* clearing an idle one does not block */
    errno = E2BIG;
    wait_bell_ring(wake_fd);
    wait_bell_ring(wake_fd);
    ck_assert_int_eq(errno, E2BIG);
    ck_assert_int_eq(wait_fd(wake_fd, POLLIN, WAIT_FOREVER), POLLIN);
    wait_bell_clear(wake_fd);
    ck_assert_int_eq(wait_fd(wake_fd, POLLIN, 0), 0);
    errno = E2BIG;
    wait_bell_ring(-1);
    ck_assert_int_eq(errno, E2BIG);
}
END_TEST

static int rung_by_signal;

static void ring(int signal) {
    (void) signal;
    wait_bell_ring(rung_by_signal);
}

START_TEST(test_a_bell_rung_by_a_signal) {
    ck_assert_int_eq(wait_bell_new(&rung_by_signal), 0);
    struct sigaction action = {.sa_handler = ring}; /* not restored: an alarm may come late */
    sigaction(SIGALRM, &action, NULL);
    struct itimerval once = {.it_value = {.tv_usec = 5000}};
    setitimer(ITIMER_REAL, &once, NULL);
    ck_assert_int_eq(wait_fd(rung_by_signal, POLLIN, WAIT_FOREVER), POLLIN);
    rung_by_signal = fd_close(rung_by_signal);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("wait");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_time_goes_on);
    suite_add(s, test_deadlines);
    suite_add(s, test_remaining_time);
    suite_add(s, test_remaining_time_is_rounded_up);
    suite_add(s, test_a_ready_descriptor);
    suite_add(s, test_a_wait_lasts_until_its_deadline);
    suite_add(s, test_an_interrupted_wait_goes_on);
    suite_add(s, test_wait_failures);
    suite_add(s, test_a_set_reports_the_descriptor);
    suite_add(s, test_a_set_changes);
    suite_add(s, test_a_set_of_many);
    suite_add(s, test_a_set_waits_until_its_deadline);
    suite_add(s, test_set_failures);
    suite_add(s, test_a_bell_is_heard_until_cleared);
    suite_add(s, test_a_bell_rung_by_a_signal);
    return suite_run(s);
}
