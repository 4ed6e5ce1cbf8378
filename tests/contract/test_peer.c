/* SPDX-License-Identifier: MIT */
/* The kernel's contract on peers: the settings that a connection inherits from its listener, and the uses of a
 * descriptor of a process outside of our pid namespace. */
#include "contract/kernel.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/un.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* <linux/pidfd.h> of Linux 6.13. */
struct pidfd_info_head {
    uint64_t mask, cgroup;
    uint32_t numbers[12];
};
#define PIDFD_INFO_REQUEST _IOWR(0xff, 11, struct pidfd_info_head)

static int connected_to(int listener) {
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *) &address, &size), 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *) &address, size), 0);
    return fd;
}

static int listener_new(void) {
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *) &any, sizeof any.sun_family),
                     0); /* an abstract name that the kernel chooses */
    ck_assert_int_eq(listen(fd, 4), 0);
    return fd;
}

/* A setting that the listener has when the client connects applies from the first datagram on, before accept(). */
START_TEST(test_a_listener_can_refuse_descriptors) {
    int listener = listener_new(), off = 0, file = kernel_memfd(PAGE);
    bool can_refuse = setsockopt(listener, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) == 0;
    int client = connected_to(listener);
    int with = kernel_send(client, "x", &file, 1), without = kernel_send(client, "x", NULL, 0);
    close(client);
    close(listener);
    close(file);
    if (!can_refuse)
        test_skip("no SO_PASSRIGHTS: Linux 6.16");
    ck_assert_int_eq(with, -EPERM);
    ck_assert_int_eq(without, 0);
}
END_TEST

/* A setting that a connection gets later does not affect queued datagrams. */
START_TEST(test_refusing_leaves_queued_messages) {
    int pair[2], off = 0, file = kernel_memfd(PAGE);
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "x", &file, 1), 0);
    bool can_refuse = setsockopt(pair[1], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) == 0;
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    kernel_close_all(got.fds, got.fds_count);
    kernel_close_all(pair, 2);
    close(file);
    if (!can_refuse)
        test_skip("no SO_PASSRIGHTS: Linux 6.16");
    ck_assert_uint_eq(got.fds_count, 1);
}
END_TEST

/* Runs in a pid namespace of its own, with a pidfd of its parent, which is outside. */
static int look_outside(void *arg) {
    int pidfd = *(int *) arg;
    struct pollfd item = {.fd = pidfd, .events = POLLIN};
    struct pidfd_info_head info = {.mask = 1};
    if (poll(&item, 1, 0) != 0)
        return 1;
    if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != EINVAL)
        return 2;
    bool is_told = ioctl(pidfd, PIDFD_INFO_REQUEST, &info) == 0;
    return is_told || (errno != EREMOTE && errno != ENOTTY && errno != EINVAL) ? 3 : 0;
}

static int look_from_outside(void *arg) {
    return unshare(CLONE_NEWPID) == 0 && kernel_child(look_outside, arg) ? 0 : 1;
}

static int can_leave(void *unused) {
    (void) unused;
    return unshare(CLONE_NEWPID) == 0 ? 0 : 1;
}

/* The pidfd reports the process's end, and sends no signals. (Before 6.13 no pidfd reports more; later, a pidfd of a
 * process outside does not.) */
START_TEST(test_a_process_outside_can_only_be_waited_for) {
    int pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd < 0)
        test_skip("no pidfds: %s", strerror(errno));
    /* Runs in children, because a process that has unshared its pid namespace cannot make threads any more, which
     * the leak sanitizer needs. */
    if (!kernel_child(can_leave, NULL))
        close(pidfd), test_skip("no right to make a pid namespace");
    ck_assert(kernel_child(look_from_outside, &pidfd));
    close(pidfd);
}
END_TEST

/* A pidfd of the process that connected: a later process with an equal number cannot take its place. */
START_TEST(test_the_peer_can_be_held) {
    int listener = listener_new(), pidfd = -1;
    int client = connected_to(listener), end = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    socklen_t size = sizeof pidfd;
    int r = getsockopt(end, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0 ? -errno : 0;
    close(end);
    close(client);
    close(listener);
    if (r == -ENOPROTOOPT)
        test_skip("no SO_PEERPIDFD: Linux 6.5");
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(fcntl(pidfd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(pidfd);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_peer");
    suite_add(s, test_a_listener_can_refuse_descriptors);
    suite_add(s, test_refusing_leaves_queued_messages);
    suite_add(s, test_the_peer_can_be_held);
    suite_add(s, test_a_process_outside_can_only_be_waited_for);
    return suite_run(s);
}
