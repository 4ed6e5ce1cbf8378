/* SPDX-License-Identifier: MIT */
/* sys/fdpass: datagrams with descriptors: whole, short, and hostile. Plain sendmsg() sends the hostile ones. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/trap.h"
#include "sys/failure.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "unit/fail.h"
#include "unit/valgrind.h"

static int left, right; /* the two ends; the fixture makes and closes them */
static struct fdpass pass;
static char buffer[64];

static void open_ends(void) {
    int pair[2];
    fail_off();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    left = pair[0];
    right = pair[1];
    memset(buffer, 0, sizeof buffer);
}

static void close_ends(void) {
    fail_off();
    left = fd_close(left);
    right = fd_close(right);
}

static int send_text(const char *text, const int *fds, size_t count) {
    struct iovec piece = {.iov_base = (void *) (uintptr_t) text, .iov_len = strlen(text)};
    return fdpass_send(left, &piece, 1, fds, count);
}

static int receive(void) {
    struct iovec piece = {.iov_base = buffer, .iov_len = sizeof buffer};
    return fdpass_recv(right, &piece, 1, &pass);
}

static void close_received(void) {
    for (size_t i = 0; i < pass.fds_count; i++)
        fd_close(pass.fds[i]);
}

/* Sends with plain sendmsg(): `items` SCM_RIGHTS items of one descriptor each, all of them /dev/null. */
static void send_raw(const char *text, size_t items) {
    char control[8 * CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {.iov_base = (void *) (uintptr_t) text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control};
    CLEANUP_FD int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_uint_le(items, 8);
    message.msg_controllen = items * CMSG_SPACE(sizeof(int));
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    for (size_t i = 0; i < items; i++, item = CMSG_NXTHDR(&message, item)) {
        *item = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(item), &file, sizeof file);
    }
    ck_assert_int_eq(sendmsg(left, &message, MSG_NOSIGNAL), (ssize_t) strlen(text));
}

START_TEST(test_bytes) {
    ck_assert_int_eq(receive(), -EAGAIN);
    ck_assert_int_eq(send_text("hello", NULL, 0), 0);
    ck_assert_int_eq(receive(), 1);
    ck_assert_uint_eq(pass.size, 5);
    ck_assert_str_eq(buffer, "hello");
    ck_assert(!pass.is_truncated);
    ck_assert(!pass.are_fds_lost);
    ck_assert_uint_eq(pass.fds_count, 0);
    ck_assert_int_eq(receive(), -EAGAIN);
}
END_TEST

START_TEST(test_pieces) {
    char first[2], second[10] = "";
    struct iovec out[] = {{"ab", 2}, {"", 0}, {"cde", 3}}, in[] = {{first, 2}, {second, 10}};
    ck_assert_int_eq(fdpass_send(left, out, 3, NULL, 0), 0);
    ck_assert_int_eq(fdpass_recv(right, in, 2, &pass), 1);
    ck_assert_uint_eq(pass.size, 5);
    ck_assert_mem_eq(first, "ab", 2);
    ck_assert_str_eq(second, "cde");
}
END_TEST

static const size_t counts[] = {1, 2, 3, 4, 252, 253};

START_TEST(test_descriptors) {
    size_t count = counts[_i];
    int fds[FDPASS_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        ck_assert_int_ge(fds[i] = open(i % 2 ? "/dev/null" : "/dev/zero", O_RDONLY | O_CLOEXEC), 0);
    ck_assert_int_eq(send_text("x", fds, count), 0);
    for (size_t i = 0; i < count; i++)
        fd_close(fds[i]);
    ck_assert_int_eq(receive(), 1);
    ck_assert_uint_eq(pass.fds_count, count);
    ck_assert(!pass.are_fds_lost);
    struct stat zero, other;
    ck_assert_int_eq(stat("/dev/zero", &zero), 0);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(fcntl(pass.fds[i], F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(fstat(pass.fds[i], &other), 0);
        ck_assert_int_eq(other.st_rdev == zero.st_rdev, i % 2 == 0); /* in the order of sending */
    }
    close_received();
}
END_TEST

START_TEST(test_too_many) {
    int fds[FDPASS_MAX + 1] = {0};
    ck_assert_int_eq(send_text("x", fds, FDPASS_MAX + 1), -EINVAL);
    ck_assert_int_eq(receive(), -EAGAIN);
}
END_TEST

START_TEST(test_several_items_are_one) {
    send_raw("x", 7);
    ck_assert_int_eq(receive(), 1);
    ck_assert_uint_eq(pass.fds_count, 7);
    ck_assert(!pass.are_fds_lost);
    close_received();
}
END_TEST

/* This is neither the end nor a leak: the caller sees an empty datagram, and gets its descriptors. */
START_TEST(test_descriptors_without_bytes) {
    send_raw("", 2);
    ck_assert_int_eq(send_text("next", NULL, 0), 0);
    ck_assert_int_eq(receive(), 1);
    ck_assert_uint_eq(pass.size, 0);
    ck_assert_uint_eq(pass.fds_count, 2);
    close_received();
    ck_assert_int_eq(receive(), 1);
    ck_assert_str_eq(buffer, "next");
}
END_TEST

START_TEST(test_the_end) {
    ck_assert_int_eq(send_text("last", NULL, 0), 0);
    left = fd_close(left);
    ck_assert_int_eq(receive(), 1);
    ck_assert_str_eq(buffer, "last");
    pass.size = 77;
    ck_assert_int_eq(receive(), 0);
    ck_assert_int_eq(receive(), 0);
    ck_assert_uint_eq(pass.size, 77);
}
END_TEST

START_TEST(test_an_empty_datagram_is_the_end) {
    send_raw("", 0);
    ck_assert_int_eq(receive(), 0);
}
END_TEST

/* When the peer has left data unread, the kernel reports ECONNRESET before it delivers what the peer had sent. */
START_TEST(test_a_reset_hides_nothing) {
    ck_assert_int_eq(send(right, "unread", 6, MSG_NOSIGNAL), 6);
    send_raw("one", 1);
    send_raw("two", 0);
    left = fd_close(left);
    ck_assert_int_eq(receive(), 1);
    ck_assert_mem_eq(buffer, "one", 3);
    ck_assert_uint_eq(pass.fds_count, 1);
    close_received();
    ck_assert_int_eq(receive(), 1);
    ck_assert_mem_eq(buffer, "two", 3);
    ck_assert_int_eq(receive(), 0);
}
END_TEST

START_TEST(test_resets_without_end) {
    fail_always(INJECT_RECVMSG, ECONNRESET);
    ck_assert_int_eq(receive(), 0);
    ck_assert_int_le(fail_calls(INJECT_RECVMSG), 100);
}
END_TEST

START_TEST(test_bytes_that_do_not_fit) {
    char text[sizeof buffer + 10] = {0};
    memset(text, 'x', sizeof text - 1);
    send_raw(text, 1);
    ck_assert_int_eq(receive(), 1);
    ck_assert(pass.is_truncated);
    ck_assert_uint_eq(pass.size, sizeof buffer);
    ck_assert_uint_eq(pass.fds_count, 1);
    close_received();
    ck_assert_int_eq(receive(), -EAGAIN); /* the rest of the datagram is gone */
}
END_TEST

/* The kernel delivers the bytes and as many descriptors as the table has room for. */
START_TEST(test_no_room_in_the_descriptor_table) {
    if (is_under_valgrind())
        test_skip("valgrind keeps RLIMIT_NOFILE to itself");
    struct rlimit before, limit;
    getrlimit(RLIMIT_NOFILE, &before);
    send_raw("x", 5);
    int next = dup(left);
    fd_close(next);
    limit = before;
    limit.rlim_cur = (rlim_t) next + 2;
    setrlimit(RLIMIT_NOFILE, &limit);
    int r = receive();
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(r, 1);
    ck_assert_uint_eq(pass.size, 1);
    ck_assert(pass.are_fds_lost);
    ck_assert_uint_eq(pass.fds_count, 2);
    close_received();
}
END_TEST

/* An inherited socket may have the option set, too. */
START_TEST(test_credentials_name_the_sender) {
    int on = 1;
    ck_assert_int_eq(setsockopt(right, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    send_raw("x", 3);
    ck_assert_int_eq(receive(), 1);
    ck_assert_uint_eq(pass.size, 1);
    ck_assert_uint_eq(pass.fds_count, 3);
    ck_assert(!pass.are_fds_lost);
    ck_assert_int_eq(pass.pid, getpid());
    ck_assert_int_eq(pass.pidfd, -1);
    close_received();
}
END_TEST

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/* The pidfd comes beside the largest number of descriptors that a datagram can bring. */
START_TEST(test_a_pidfd_names_the_sender) {
    int on = 1, r = setsockopt(right, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on), error = errno;
    if (r < 0) {
        close_ends();
        test_skip("no SO_PASSPIDFD: %s", strerror(error));
    }
    int fds[FDPASS_MAX];
    CLEANUP_FD int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < FDPASS_MAX; i++)
        fds[i] = file;
    ck_assert_int_eq(send_text("x", fds, FDPASS_MAX), 0);
    ck_assert_int_eq(receive(), 1);
    ck_assert_uint_eq(pass.fds_count, FDPASS_MAX);
    ck_assert(!pass.are_fds_lost);
    ck_assert_int_eq(pass.pid, 0);
    ck_assert_int_ge(pass.pidfd, 0);
    ck_assert_int_eq(fcntl(pass.pidfd, F_GETFD), FD_CLOEXEC);
    close(pass.pidfd);
    close_received();
}
END_TEST

static volatile sig_atomic_t pipes_broken;

static void count_sigpipe(int signal) {
    (void) signal;
    pipes_broken++;
}

START_TEST(test_sending_to_a_closed_peer) {
    struct sigaction action = {.sa_handler = count_sigpipe}, before;
    sigaction(SIGPIPE, &action, &before);
    right = fd_close(right);
    int first = send_text("x", NULL, 0), second = send_text("x", &left, 1);
    sigaction(SIGPIPE, &before, NULL);
    ck_assert_int_eq(first, -EPIPE);
    ck_assert_int_eq(second, -EPIPE);
    ck_assert_int_eq(pipes_broken, 0);
}
END_TEST

/* After the end of a peer that left data unread, the first call returns ECONNRESET. */
START_TEST(test_sending_after_a_reset) {
    ck_assert_int_eq(send_text("unread", NULL, 0), 0);
    right = fd_close(right);
    ck_assert_int_eq(send_text("x", NULL, 0), -EPIPE);
    ck_assert_int_eq(send_text("x", NULL, 0), -EPIPE);
}
END_TEST

START_TEST(test_sending_unconnected) {
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct iovec piece = {"x", 1};
    ck_assert_int_eq(fdpass_send(fd, &piece, 1, NULL, 0), -EPIPE);
    ck_assert_int_eq(fdpass_send(-1, &piece, 1, NULL, 0), -EBADF);
    ck_assert_int_eq(fdpass_recv(-1, &piece, 1, &pass), -EBADF);
}
END_TEST

START_TEST(test_a_full_queue) {
    int r, sent = 0;
    while ((r = send_text("x", NULL, 0)) == 0)
        ck_assert_int_lt(sent++, 1000000);
    ck_assert_int_eq(r, -EAGAIN);
    ck_assert_int_gt(sent, 0);
    for (int i = 0; i < sent; i++)
        ck_assert_int_eq(receive(), 1);
    ck_assert_int_eq(receive(), -EAGAIN);
    ck_assert_int_eq(send_text("x", NULL, 0), 0);
}
END_TEST

/* Holds also for a socket that another process made blocking: O_NONBLOCK belongs to the open file, which may be
 * shared. */
START_TEST(test_a_blocking_socket_does_not_block) {
    ck_assert_int_eq(fcntl(left, F_SETFL, 0), 0);
    ck_assert_int_eq(fcntl(right, F_SETFL, 0), 0);
    ck_assert_int_eq(receive(), -EAGAIN);
    int r;
    do {
        r = send_text("x", NULL, 0);
    } while (r == 0);
    ck_assert_int_eq(r, -EAGAIN);
}
END_TEST

START_TEST(test_too_large) {
    size_t size = (size_t) 16 << 20;
    struct iovec piece = {.iov_base = calloc(1, size), .iov_len = size};
    ck_assert_ptr_nonnull(piece.iov_base);
    ck_assert_int_eq(fdpass_send(left, &piece, 1, NULL, 0), -EMSGSIZE);
    free(piece.iov_base);
}
END_TEST

START_TEST(test_send_failures) {
    static const int errors[][2] = {{ETOOMANYREFS, -ETOOMANYREFS},
                                    {ECONNRESET, -EPIPE},
                                    {ECONNREFUSED, -EPIPE},
                                    {ENOTCONN, -EPIPE},
                                    {ENOBUFS, -ENOMEM},
                                    {ENOMEM, -ENOMEM},
                                    {EPERM, -EPERM},
                                    {EAGAIN, -EAGAIN}};
    fail_once(INJECT_SENDMSG, errors[_i][0]);
    ck_assert_int_eq(failure_error(send_text("x", NULL, 0)), errors[_i][1]);
    ck_assert_int_eq(receive(), -EAGAIN);
}
END_TEST

START_TEST(test_interruptions_are_passed_over) {
    fail_call(INJECT_SENDMSG, 1, 3, EINTR);
    ck_assert_int_eq(send_text("x", NULL, 0), 0);
    fail_call(INJECT_RECVMSG, 1, 3, EINTR);
    ck_assert_int_eq(receive(), 1);
    ck_assert_str_eq(buffer, "x");
}
END_TEST

START_TEST(test_receive_failures) {
    ck_assert_int_eq(send_text("x", NULL, 0), 0);
    pass.size = 77;
    fail_once(INJECT_RECVMSG, ENOMEM);
    ck_assert_int_eq(receive(), -ENOMEM);
    ck_assert_uint_eq(pass.size, 77);
    ck_assert_int_eq(receive(), 1); /* the datagram is still there */
}
END_TEST

/* Closes `right`, so that the fixture does not close it again. */
static void close_right(void) {
    ck_assert_int_eq(fdpass_close(right), -1);
    right = -1;
}

START_TEST(test_closing_without_unread_datagrams) {
    char byte;
    int closed = right;
    struct iovec piece = {"bye", 3};
    ck_assert_int_eq(fdpass_close(-1), -1);
    ck_assert_int_eq(send_text("x", NULL, 0), 0);
    ck_assert_int_eq(receive(), 1);
    ck_assert_int_eq(fdpass_send(right, &piece, 1, NULL, 0), 0);
    close_right();
    ck_assert_int_eq(fcntl(closed, F_GETFD), -1); /* at once */
    ck_assert_uint_eq(reaper_pending(), 0);
    ck_assert_int_eq(recv(left, buffer, 3, 0), 3); /* data that we sent before still arrives */
    ck_assert_mem_eq(buffer, "bye", 3);
    ck_assert_int_eq(recv(left, &byte, 1, 0), 0);
}
END_TEST

/* Also waits for its threads, which valgrind would report as lost: /proc/self/task has one directory for each
 * thread, and two more links. */
static void wait_for_reaper(void) {
    struct stat status = {.st_nlink = 3};
    do {
        sched_yield();
        if (is_under_valgrind())
            ck_assert_int_eq(stat("/proc/self/task", &status), 0);
    } while (reaper_pending() > 0 || status.st_nlink > 3);
}

/* Makes a socket with a close() that hangs until `peer` is closed. */
static int make_hanger(int *ret_peer) {
    struct trap trap;
    if (is_under_valgrind()) {
        close_ends();
        test_skip("valgrind runs no other thread while one hangs in close()");
    }
    trap_lingering(&trap);
    struct linger linger = {.l_onoff = 1, .l_linger = 3600};
    ck_assert_int_eq(setsockopt(trap.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    *ret_peer = trap.other;
    return trap.fd;
}

/* The last reference to a descriptor with a hanging close() is in a datagram that was never read: with bytes, without,
 * behind other datagrams. */
START_TEST(test_closing_with_unread_datagrams) {
    static const char *const texts[] = {"x", "", "x"};
    int peer, hanger = make_hanger(&peer);
    if (_i == 2)
        send_raw("", 0);
    ck_assert_int_eq(send_text(texts[_i], &hanger, 1), 0);
    fd_close(hanger); /* not the last reference */
    close_right();
    char byte;
    ck_assert_uint_eq(reaper_pending(), 1);
    int end = (int) recv(left, &byte, 1, 0); /* the peer learns of the end all the same */
    ck_assert(end == 0 || errno == ECONNRESET);
    fd_close(peer);
    wait_for_reaper();
}
END_TEST

/* When fdpass cannot find out, the reaper closes the socket. */
START_TEST(test_closing_failures) {
    static const enum inject_kind kinds[] = {INJECT_SETSOCKOPT, INJECT_RECVMSG};
    struct pollfd item = {.fd = left, .events = POLLIN};
    fail_once(kinds[_i], ENOMEM);
    close_right();
    ck_assert_int_eq(poll(&item, 1, test_timeout_ms(10000)), 1);
    ck_assert_int_ne(item.revents & POLLHUP, 0);
    wait_for_reaper();
}
END_TEST

/* Where the socket cannot be marked, because a sandbox forbids it, the check does not install the descriptors that
 * wait there, and the harness finds none left. */
START_TEST(test_closing_where_marks_are_forbidden) {
    const int fds[] = {left, left, left, left};
    fail_once(INJECT_SETSOCKOPT, EPERM);
    ck_assert_int_eq(send_text("x", fds, 4), 0);
    close_right();
    wait_for_reaper();
}
END_TEST

int main(void) {
    struct suite *s = suite_new("fdpass");
    suite_fixture(s, open_ends, close_ends);
    suite_add(s, test_bytes);
    suite_add(s, test_pieces);
    suite_add_loop(s, test_descriptors, 0, 6);
    suite_add(s, test_too_many);
    suite_add(s, test_several_items_are_one);
    suite_add(s, test_descriptors_without_bytes);
    suite_add(s, test_the_end);
    suite_add(s, test_an_empty_datagram_is_the_end);
    suite_add(s, test_a_reset_hides_nothing);
    suite_add(s, test_resets_without_end);
    suite_add(s, test_bytes_that_do_not_fit);
    suite_add(s, test_no_room_in_the_descriptor_table);
    suite_add(s, test_credentials_name_the_sender);
    suite_add(s, test_a_pidfd_names_the_sender);
    suite_add(s, test_sending_to_a_closed_peer);
    suite_add(s, test_sending_after_a_reset);
    suite_add(s, test_sending_unconnected);
    suite_add(s, test_a_full_queue);
    suite_add(s, test_a_blocking_socket_does_not_block);
    suite_add(s, test_too_large);
    suite_add_loop(s, test_send_failures, 0, 8);
    suite_add(s, test_interruptions_are_passed_over);
    suite_add(s, test_receive_failures);
    suite_add(s, test_closing_without_unread_datagrams);
    suite_add_loop(s, test_closing_with_unread_datagrams, 0, 3);
    suite_add_loop(s, test_closing_failures, 0, 2);
    suite_add(s, test_closing_where_marks_are_forbidden);
    return suite_run(s);
}
