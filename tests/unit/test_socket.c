/* SPDX-License-Identifier: MIT */
/* sys/socket: making, finding, accepting and adopting sockets. Each test has a directory of its own. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/socket.h" /* this header is ours; NOLINT(readability-duplicate-include) */
#include "unit/fail.h"

static char dir[64], path[80], abstract[80];

static void make_dir(void) {
    fail_off();
    strcpy(dir, "/tmp/sealane-socket-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(abstract, sizeof abstract, "@%s", dir);
}

static void remove_dir(void) {
    fail_off();
    unlink(path);
    ck_assert_int_eq(rmdir(dir), 0); /* no other file was left in it */
}

static int new_listener(const char *name) {
    int fd = -1;
    ck_assert_int_eq(socket_listen(name, 0600, &fd), 0);
    return fd;
}

static void check_flags(int fd) {
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

START_TEST(test_the_mode_is_exact) {
    static const mode_t modes[] = {0600, 0660, 0666}, masks[] = {0, 022, 077, 0777};
    mode_t mode = modes[_i % 3], mask = masks[_i / 3], before = umask(mask);
    int fd = -1, r = socket_listen(path, mode, &fd);
    ck_assert_int_eq(umask(before), mask); /* the process's umask is unchanged */
    ck_assert_int_eq(r, 0);
    struct stat status;
    ck_assert_int_eq(lstat(path, &status), 0);
    ck_assert(S_ISSOCK(status.st_mode));
    ck_assert_int_eq(status.st_mode & 07777, mode);
    fd_close(fd);
}
END_TEST

/* Between bind() and the widening, the hook sees no wider mode than the requested one. */
static mode_t seen;

static void look(void) {
    struct stat status;
    if (lstat(path, &status) == 0)
        seen |= status.st_mode & 07777;
}

START_TEST(test_the_mode_is_never_wider) {
    mode_t before = umask(0);
    int fd = -1;
    seen = 0;
    fail_never_but(INJECT_OPEN, look);
    fail_never_but(INJECT_FSTAT, look);
    fail_never_but(INJECT_LISTEN, look);
    int r = socket_listen(path, 0600, &fd);
    umask(before);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(seen, 0600);
    fd_close(fd);
}
END_TEST

START_TEST(test_connect_and_accept) {
    const char *name = _i == 0 ? path : abstract;
    CLEANUP_FD int listener = new_listener(name), client = -1, served = -7;
    ck_assert_int_eq(socket_accept(listener, &served), -EAGAIN);
    ck_assert_int_eq(served, -7);
    ck_assert_int_eq(socket_connect(name, &client), 0);
    ck_assert_int_eq(socket_accept(listener, &served), 0);
    check_flags(listener);
    check_flags(client);
    check_flags(served);
    char text[4] = "";
    ck_assert_int_eq(send(client, "one", 3, 0), 3);
    ck_assert_int_eq(send(client, "2", 1, 0), 1);
    ck_assert_int_eq(recv(served, text, sizeof text, 0), 3); /* datagrams keep their bounds */
    ck_assert_int_eq(recv(served, text, sizeof text, 0), 1);
    ck_assert_int_eq(access(path, F_OK), _i == 0 ? 0 : -1);
}
END_TEST

START_TEST(test_a_name_is_for_one) {
    const char *name = _i == 0 ? path : abstract;
    CLEANUP_FD int listener = new_listener(name), other = -7;
    ck_assert_int_eq(socket_listen(name, 0600, &other), -EADDRINUSE);
    ck_assert_int_eq(socket_accept(listener, &other), -EAGAIN);
    ck_assert_int_eq(other, -7);
    ck_assert_int_eq(access(path, F_OK), _i == 0 ? 0 : -1); /* the library must not remove it */
}
END_TEST

START_TEST(test_names) {
    char name[200];
    int fd = -7;
    ck_assert_int_eq(socket_listen("", 0600, &fd), -EINVAL);
    ck_assert_int_eq(socket_connect("", &fd), -EINVAL);
    memset(name, 'x', sizeof name);
    name[0] = '@';
    name[108] = '\0';
    ck_assert_int_eq(socket_listen(name, 0600, &fd), -ENAMETOOLONG);
    ck_assert_int_eq(socket_connect(name, &fd), -ENAMETOOLONG);
    ck_assert_int_eq(fd, -7);
    name[107] = '\0';
    ck_assert_int_eq(socket_listen(name, 0600, &fd), 0);
    fd_close(fd);

    memset(name, '/', 107); /* a path of 107 bytes that exists */
    memcpy(name, dir, strlen(dir));
    name[106] = 's';
    ck_assert_uint_eq(strlen(name), 107);
    ck_assert_int_eq(socket_listen(name, 0600, &fd), 0);
    ck_assert_int_eq(unlink(name), 0);
    fd_close(fd);
}
END_TEST

START_TEST(test_addresses_without_a_listener) {
    int fd = -7;
    ck_assert_int_eq(socket_connect(path, &fd), -ENOENT);
    ck_assert_int_eq(socket_connect(abstract, &fd), -ECONNREFUSED);
    fd_close(new_listener(path));
    ck_assert_int_eq(socket_connect(path, &fd), -ECONNREFUSED); /* a socket that a killed server left */
    ck_assert_int_eq(socket_listen("/nowhere/at/all", 0600, &fd), -ENOENT);
    ck_assert_int_eq(socket_listen("/dev/null/s", 0600, &fd), -ENOTDIR);
    ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_where_another_kind_listens) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    CLEANUP_FD int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1;
    ck_assert_int_eq(bind(stream, (struct sockaddr *) &address, sizeof address), 0);
    ck_assert_int_eq(listen(stream, 1), 0);
    ck_assert_int_eq(socket_connect(path, &fd), -EPROTOTYPE);
}
END_TEST

START_TEST(test_the_mode_keeps_others_out) {
    if (geteuid() != 0)
        test_skip("only root can become somebody else");
    CLEANUP_FD int listener = new_listener(path);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        int fd;
        _exit(setgid(12345) == 0 && setuid(12345) == 0 && failure_error(socket_connect(path, &fd)) == -EACCES ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(socket_accept(listener, &(int){-1}), -EAGAIN);
}
END_TEST

START_TEST(test_a_full_backlog) {
    CLEANUP_FD int listener = new_listener(path);
    ck_assert_int_eq(listen(listener, 1), 0);
    int fds[10], connected = 0, r;
    while ((r = socket_connect(path, &fds[connected])) == 0)
        ck_assert_int_lt(++connected, 10);
    ck_assert_int_eq(r, -EAGAIN);
    CLEANUP_FD int served = -1;
    ck_assert_int_eq(socket_accept(listener, &served), 0);
    ck_assert_int_eq(socket_connect(path, &fds[connected]), 0); /* there is room again */
    for (int i = 0; i <= connected; i++)
        fd_close(fds[i]);
}
END_TEST

/* For each failure, no descriptor and no file is left. remove_dir() checks the file. */
START_TEST(test_failures_leave_nothing) {
    static const enum inject_kind kinds[] = {INJECT_SOCKET, INJECT_BIND, INJECT_OPEN, INJECT_FSTAT, INJECT_LISTEN};
    int fd = -7;
    fail_once(kinds[_i], EIO);
    ck_assert_int_eq(socket_listen(path, 0600, &fd), failure_of(kinds[_i], EIO));
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_a_mode_that_cannot_be_widened) {
    mode_t before = umask(077);
    int fd = -7;
    fail_call(INJECT_FCHMOD, 2, 3, EPERM);
    int r = socket_listen(path, 0666, &fd);
    umask(before);
    ck_assert_int_eq(r, failure_name(INJECT_FCHMOD, EPERM));
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(fd, -7);
}
END_TEST

/* The ways that fail: the way of Linux 6.6, and the way through /proc as well. fchmod() before bind() matters only
 * for a moment. */
START_TEST(test_ways_to_widen_a_mode) {
    static const int failing[][2] = {{1, 1}, {2, 1}, {2, 2}};
    mode_t before = umask(077);
    CLEANUP_FD int fd = -1;
    struct stat status;
    fail_call(INJECT_FCHMOD, failing[_i][0], failing[_i][1], EPERM);
    int r = socket_listen(path, 0666, &fd);
    umask(before);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0666);
}
END_TEST

/* The mode is not changed by name where other users could put another file there. */
START_TEST(test_a_mode_in_a_directory_of_others) {
    mode_t before = umask(077);
    int fd = -7;
    ck_assert_int_eq(chmod(dir, 0777), 0);
    fail_call(INJECT_FCHMOD, 2, 2, EPERM);
    int r = socket_listen(path, 0666, &fd);
    umask(before);
    ck_assert_int_eq(chmod(dir, 0700), 0);
    ck_assert_int_eq(r, failure_name(INJECT_FCHMOD, EPERM));
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

static void replace_socket(void) {
    unlink(path);
    fd_close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

/* In a directory that other users can write, another file may have the name now: it keeps its mode. */
START_TEST(test_a_replaced_socket_is_not_widened) {
    int fd = -7;
    fail_never_but(INJECT_OPEN, replace_socket);
    mode_t before = umask(077);
    int r = socket_listen(path, 0666, &fd);
    umask(before);
    ck_assert_int_eq(r, -EACCES);
    ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_client_failures) {
    CLEANUP_FD int listener = new_listener(path), client = -1;
    int fd = -7;
    fail_once(INJECT_SOCKET, EMFILE);
    ck_assert_int_eq(socket_connect(path, &fd), -EMFILE);
    fail_once(INJECT_CONNECT, EACCES);
    ck_assert_int_eq(socket_connect(path, &fd), failure_of(INJECT_CONNECT, EACCES));
    fail_call(INJECT_CONNECT, 1, 2, EINTR);
    ck_assert_int_eq(socket_connect(path, &client), 0);
    fail_once(INJECT_ACCEPT, EMFILE);
    ck_assert_int_eq(socket_accept(listener, &fd), -EMFILE);
    ck_assert_int_eq(fd, -7);
    fail_once(INJECT_ACCEPT, EINTR);
    ck_assert_int_eq(socket_accept(listener, &fd), 0);
    fd_close(fd);
}
END_TEST

START_TEST(test_adopt) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    CLEANUP_FD int one = pair[0], listener = new_listener(abstract);
    int other = pair[1];
    ck_assert_int_eq(socket_adopt(one, false), 0);
    check_flags(one);
    ck_assert_int_eq(fcntl(other, F_GETFD), 0); /* that descriptor is unchanged */
    ck_assert_int_eq(fcntl(listener, F_SETFD, 0), 0);
    ck_assert_int_eq(fcntl(listener, F_SETFL, 0), 0);
    ck_assert_int_eq(socket_adopt(listener, true), 0);
    check_flags(listener);

    ck_assert_int_eq(socket_adopt(listener, false), -EINVAL);
    ck_assert_int_eq(socket_adopt(one, true), -EINVAL);
    fd_close(other);
    ck_assert_int_eq(socket_adopt(one, false), 0); /* the peer's end shows later */
}
END_TEST

START_TEST(test_adopt_refuses) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CLEANUP_FD int stream = pair[0], other = pair[1], file = open("/dev/null", O_RDONLY);
    CLEANUP_FD int lonely = socket(AF_UNIX, SOCK_SEQPACKET, 0), network = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(socket_adopt(stream, false), -EPROTOTYPE);
    ck_assert_int_eq(socket_adopt(file, false), -ENOTSOCK);
    ck_assert_int_eq(socket_adopt(-1, false), -EBADF);
    ck_assert_int_eq(socket_adopt(lonely, false), -ENOTCONN);
    ck_assert_int_eq(socket_adopt(lonely, true), -EINVAL);
    if (network >= 0)
        ck_assert_int_eq(socket_adopt(network, false), -EPROTOTYPE);
    ck_assert_int_eq(fcntl(stream, F_GETFD), 0);
    ck_assert_int_eq(fcntl(stream, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(fcntl(other, F_GETFD), 0);
    for (int i = 1; i <= 3; i++) {
        fail_call(INJECT_GETSOCKOPT, i, 1, EIO);
        ck_assert_int_eq(socket_adopt(lonely, true), failure_of(INJECT_GETSOCKOPT, EIO));
    }
}
END_TEST

START_TEST(test_the_largest_datagram) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    size_t max = socket_datagram_max(pair[0]);
    ck_assert_uint_gt(max, 4096);
    char *bytes = calloc(1, max + 1);
    ck_assert_int_eq(send(pair[0], bytes, max + 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_int_eq(send(pair[0], bytes, max, MSG_NOSIGNAL), (ssize_t) max);
    ck_assert_int_eq(recv(pair[1], bytes, max + 1, 0), (ssize_t) max);
    free(bytes);
    fd_close(pair[0]);
    fd_close(pair[1]);
    ck_assert_uint_eq(socket_datagram_max(-1), 0);
}
END_TEST

START_TEST(test_descriptors_can_be_refused) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    bool refuses = socket_refuse_fds(pair[1]);
    fail_once(INJECT_SETSOCKOPT, ENOPROTOOPT);
    bool denied = socket_refuse_fds(pair[1]);

    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
    struct msghdr message = {.msg_iov = &(struct iovec){"x", 1},
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t n = refuses ? sendmsg(pair[0], &message, MSG_NOSIGNAL) : -1;
    int error = errno;
    fd_close(pair[0]);
    fd_close(pair[1]);
    ck_assert(!denied);
    if (!refuses)
        test_skip("no SO_PASSRIGHTS: Linux 6.16");
    ck_assert_int_eq(n, -1);
    ck_assert_int_eq(error, EPERM);
}
END_TEST

START_TEST(test_a_shutdown_is_the_end) {
    int pair[2];
    char byte;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    ck_assert_int_eq(send(pair[0], "x", 1, 0), 1);
    socket_shutdown(pair[0]);
    ck_assert_int_eq(recv(pair[1], &byte, 1, 0), 1); /* data that we sent before still arrives */
    ck_assert_int_eq(recv(pair[1], &byte, 1, 0), 0);
    ck_assert_int_eq(send(pair[1], "x", 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EPIPE);
    socket_shutdown(-1);
    fd_close(pair[0]);
    fd_close(pair[1]);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("socket");
    suite_fixture(s, make_dir, remove_dir);
    suite_add_loop(s, test_the_mode_is_exact, 0, 12);
    suite_add(s, test_the_mode_is_never_wider);
    suite_add_loop(s, test_connect_and_accept, 0, 2);
    suite_add_loop(s, test_a_name_is_for_one, 0, 2);
    suite_add(s, test_names);
    suite_add(s, test_addresses_without_a_listener);
    suite_add(s, test_where_another_kind_listens);
    suite_add(s, test_the_mode_keeps_others_out);
    suite_add(s, test_a_full_backlog);
    suite_add_loop(s, test_failures_leave_nothing, 0, 5);
    suite_add_loop(s, test_ways_to_widen_a_mode, 0, 3);
    suite_add(s, test_a_mode_in_a_directory_of_others);
    suite_add(s, test_a_mode_that_cannot_be_widened);
    suite_add(s, test_a_replaced_socket_is_not_widened);
    suite_add(s, test_client_failures);
    suite_add(s, test_adopt);
    suite_add(s, test_adopt_refuses);
    suite_add(s, test_the_largest_datagram);
    suite_add(s, test_descriptors_can_be_refused);
    suite_add(s, test_a_shutdown_is_the_end);
    return suite_run(s);
}
