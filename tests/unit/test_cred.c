/* SPDX-License-Identifier: MIT */
/* sys/cred: who is at the other end. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/cred.h"
#include "sys/heap.h"
#include "sys/socket.h" /* ours; NOLINT(readability-duplicate-include) */
#include "unit/fail.h"

static void new_pair(int ret_pair[2]) {
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_pair), 0);
}

START_TEST(test_a_pair_shows_its_maker) {
    int pair[2];
    new_pair(pair);
    struct cred cred = {.pidfd = -1};
    ck_assert_int_eq(cred_read(pair[0], &cred), 0);
    ck_assert_int_eq(cred.pid, getpid());
    ck_assert_uint_eq(cred.uid, geteuid());
    ck_assert_uint_eq(cred.gid, getegid());
    ck_assert_uint_eq(cred_own_uid(), geteuid());
    if (cred.pidfd >= 0)
        ck_assert_int_eq(fcntl(cred.pidfd, F_GETFD), FD_CLOEXEC);
    fd_close(cred.pidfd);
    fd_close(pair[0]);
    fd_close(pair[1]);
}
END_TEST

/* Which also has it that the child is shown, and not us; and still is when it has ended. */
START_TEST(test_a_client_is_shown_after_its_end) {
    char name[40];
    snprintf(name, sizeof name, "@sealane-test-cred-%d", (int) getpid());
    CLEANUP_FD int listener = -1, fd = -1;
    ck_assert_int_eq(socket_listen(name, 0600, &listener), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        int own = -1;
        _exit(socket_connect(name, &own) == 0 ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);

    struct cred cred = {.pidfd = -1};
    ck_assert_int_eq(socket_accept(listener, &fd), 0);
    ck_assert_int_eq(cred_read(fd, &cred), 0);
    ck_assert_int_eq(cred.pid, pid);
    ck_assert_uint_eq(cred.uid, geteuid());
    if (cred.pidfd >= 0) { /* readable: it has ended */
        struct pollfd item = {.fd = cred.pidfd, .events = POLLIN};
        ck_assert_int_eq(poll(&item, 1, test_patience(5000)), 1);
    }
    fd_close(cred.pidfd);
}
END_TEST

START_TEST(test_a_pidfd_is_optional) {
    int pair[2];
    new_pair(pair);
    struct cred cred = {.pidfd = 99};
    fail_call(SEAM_GETSOCKOPT, 2, 1, ENOPROTOOPT);
    ck_assert_int_eq(cred_read(pair[0], &cred), 0);
    ck_assert_int_eq(cred.pidfd, -1);
    ck_assert_int_eq(cred.pid, getpid());
    fd_close(pair[0]);
    fd_close(pair[1]);
}
END_TEST

START_TEST(test_nobody_is_there) {
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CLEANUP_FD int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct cred cred = {.pid = -7};
    ck_assert_int_eq(cred_read(fd, &cred), -ENOTCONN);
    ck_assert_int_eq(cred_read(file, &cred), -ENOTSOCK);
    ck_assert_int_eq(cred_read(-1, &cred), -EBADF);
    fail_once(SEAM_GETSOCKOPT, ENOBUFS);
    ck_assert_int_eq(cred_read(fd, &cred), -ENOBUFS);
    ck_assert_int_eq(cred.pid, -7);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("cred");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_a_pair_shows_its_maker);
    suite_add(s, test_a_client_is_shown_after_its_end);
    suite_add(s, test_a_pidfd_is_optional);
    suite_add(s, test_nobody_is_there);
    return suite_run(s);
}
