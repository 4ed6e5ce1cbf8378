/* SPDX-License-Identifier: MIT */
/* sys/cred: the identity of the process at the other end of a socket. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
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

/* Also checks that the credentials name the child and not this process, after the child has ended. */
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
    if (cred.pidfd >= 0) { /* readable, because the process has ended */
        struct pollfd item = {.fd = cred.pidfd, .events = POLLIN};
        ck_assert_int_eq(poll(&item, 1, test_timeout_ms(5000)), 1);
    }
    fd_close(cred.pidfd);
}
END_TEST

START_TEST(test_a_pidfd_is_optional) {
    int pair[2];
    new_pair(pair);
    struct cred cred = {.pidfd = 99};
    fail_call(INJECT_GETSOCKOPT, 2, 1, ENOPROTOOPT);
    ck_assert_int_eq(cred_read(pair[0], &cred), 0);
    ck_assert_int_eq(cred.pidfd, -1);
    ck_assert_int_eq(cred.pid, getpid());
    fd_close(pair[0]);
    fd_close(pair[1]);
}
END_TEST

START_TEST(test_a_socket_without_a_peer) {
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CLEANUP_FD int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct cred cred = {.pid = -7};
    ck_assert_int_eq(cred_read(fd, &cred), -ENOTCONN);
    ck_assert_int_eq(cred_read(file, &cred), -ENOTSOCK);
    ck_assert_int_eq(cred_read(-1, &cred), -EBADF);
    fail_once(INJECT_GETSOCKOPT, ENOBUFS);
    ck_assert_int_eq(cred_read(fd, &cred), -ENOBUFS);
    ck_assert_int_eq(cred.pid, -7);
}
END_TEST

START_TEST(test_supplementary_groups) {
    int pair[2];
    uint32_t *groups = NULL, *none = NULL;
    size_t count = 77;
    gid_t own[300];
    int own_count = getgroups(300, own);
    ck_assert_int_ge(own_count, 0);
    new_pair(pair);
    int r = cred_read_groups(pair[0], &groups, &count);
    if (r == -ENOPROTOOPT)
        test_skip("this kernel does not tell a peer's groups");
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(count, (size_t) own_count);
    for (int i = 0; i < own_count; i++) /* the kernel sorts them */
        ck_assert_uint_ne(groups[i], UINT32_MAX);
    heap_free(groups);
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(cred_read_groups(pair[0], &none, &count), -ENOMEM);
    fail_once(INJECT_GETSOCKOPT, ENOPROTOOPT);
    ck_assert_int_eq(cred_read_groups(pair[0], &none, &count), -ENOPROTOOPT);
    ck_assert_ptr_null(none);
    fd_close(pair[0]);
    fd_close(pair[1]);
}
END_TEST

/* More groups than the first read has room for. */
START_TEST(test_many_supplementary_groups) {
    int pair[2];
    uint32_t *groups = NULL;
    size_t count = 0;
    gid_t own[300];
    if (geteuid() != 0)
        test_skip("only root can choose its groups");
    for (int i = 0; i < 300; i++)
        own[i] = 7000 + (gid_t) i;
    ck_assert_int_eq(setgroups(300, own), 0);
    new_pair(pair);
    int r = cred_read_groups(pair[0], &groups, &count);
    if (r == -ENOPROTOOPT)
        test_skip("this kernel does not tell a peer's groups");
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(count, 300);
    for (int i = 0; i < 300; i++)
        ck_assert_uint_eq(groups[i], own[i]);
    heap_free(groups);
    fd_close(pair[0]);
    fd_close(pair[1]);
}
END_TEST

/* The pid is looked up only where the kernel passes no pidfd: the pid of a process that was reaped may belong to
 * another process. */
START_TEST(test_the_sender_of_a_datagram) {
    fail_call(INJECT_OPEN, 0, 0, 0); /* an order for no call, which only counts */
    ck_assert_int_eq(cred_sender(getpid(), 77), 77);
    ck_assert_int_eq(cred_sender(0, CRED_UNTOLD), -ENOENT);
    ck_assert_int_eq(cred_sender(0, -EINVAL), -ENOENT); /* a process outside our pid namespace */
    ck_assert_int_eq(cred_sender(getpid(), -EINVAL), -ESRCH);
    ck_assert_int_eq(cred_sender(getpid(), -ESRCH), -ESRCH);
    ck_assert_int_eq(cred_sender(getpid(), -EMFILE), -EMFILE);
    ck_assert_int_eq(fail_calls(INJECT_OPEN), 0);
    int fd = cred_sender(getpid(), CRED_UNTOLD);
    ck_assert_int_eq(fail_calls(INJECT_OPEN), 1);
    ck_assert(fd >= 0 || fd == -ENOSYS);
    fd_close(fd);
}
END_TEST

/* A process counts as alive where the kernel cannot be asked. */
START_TEST(test_whether_a_process_has_ended) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(0);
    int pidfd = cred_pidfd(pid);
    if (pidfd == -ENOSYS) {
        waitpid(pid, NULL, 0);
        test_skip("no pidfds here");
    }
    ck_assert_int_ge(pidfd, 0);
    ck_assert_int_eq(poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, -1), 1);
    fail_once(INJECT_POLL, ENOMEM);
    ck_assert(!cred_has_ended(pidfd));
    ck_assert(cred_has_ended(pidfd));
    ck_assert(!cred_has_ended(-1));
    fd_close(pidfd);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("cred");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_a_pair_shows_its_maker);
    suite_add(s, test_a_client_is_shown_after_its_end);
    suite_add(s, test_a_pidfd_is_optional);
    suite_add(s, test_a_socket_without_a_peer);
    suite_add(s, test_supplementary_groups);
    suite_add(s, test_many_supplementary_groups);
    suite_add(s, test_the_sender_of_a_datagram);
    suite_add(s, test_whether_a_process_has_ended);
    return suite_run(s);
}
