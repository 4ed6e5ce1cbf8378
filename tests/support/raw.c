/* SPDX-License-Identifier: MIT */
/* A peer without the library. See raw.h. */
#include "support/raw.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "support/suite.h"

#define SEND_PATIENCE_MS 10000

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * (RAW_FDS_MAX + 1))];
};

const char *raw_name(void) {
    static char name[64];
    static int number;
    snprintf(name, sizeof name, "@sealane-test-%d-%d", (int) getpid(), ++number);
    return name;
}

static socklen_t address_fill(struct sockaddr_un *address, const char *name) {
    size_t size = strlen(name);
    ck_assert_uint_lt(size, sizeof address->sun_path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, size);
    if (name[0] != '@')
        return (socklen_t) sizeof *address;
    address->sun_path[0] = 0;
    return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size);
}

static int socket_new(void) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    return fd;
}

int raw_connect(const char *name) {
    struct sockaddr_un address;
    socklen_t size = address_fill(&address, name);
    int fd = socket_new();
    ck_assert_msg(connect(fd, (struct sockaddr *) &address, size) == 0, "connect %s: %s", name, strerror(errno));
    return fd;
}

int raw_listen(const char *name) {
    struct sockaddr_un address;
    socklen_t size = address_fill(&address, name);
    int fd = socket_new();
    ck_assert_msg(bind(fd, (struct sockaddr *) &address, size) == 0, "bind %s: %s", name, strerror(errno));
    ck_assert_int_eq(listen(fd, 64), 0);
    return fd;
}

static short wait_for(int fd, short events, int ms) {
    struct pollfd poll_fd = {.fd = fd, .events = events};
    return poll(&poll_fd, 1, test_timeout_ms(ms)) == 1 ? poll_fd.revents : 0;
}

int raw_accept(int listener, int ms) {
    ck_assert_msg(wait_for(listener, POLLIN, ms), "nobody connected within %d ms", ms);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

int raw_try_send(int fd, const void *data, size_t size, const int *fds, size_t fds_count) {
    union control control = {0};
    struct iovec iov = {.iov_base = (void *) (uintptr_t) data, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fds_count > 0) {
        ck_assert_uint_le(fds_count, RAW_FDS_MAX);
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof *fds * fds_count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof *fds * fds_count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof *fds * fds_count);
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ? 0 : -errno;
}

int raw_send(int fd, const void *data, size_t size, const int *fds, size_t fds_count) {
    int r;
    while ((r = raw_try_send(fd, data, size, fds, fds_count)) == -EAGAIN)
        ck_assert_msg(wait_for(fd, POLLOUT, SEND_PATIENCE_MS), "the peer does not read");
    return r;
}

static void collect_fds(struct msghdr *msg, struct raw_datagram *ret) {
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        ret->fds_count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof *ret->fds;
        memcpy(ret->fds, CMSG_DATA(cmsg), sizeof *ret->fds * ret->fds_count);
    }
}

int raw_recv(int fd, int ms, struct raw_datagram *ret) {
    union control control;
    struct iovec iov = {.iov_base = ret->data, .iov_len = sizeof ret->data};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    for (;;) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        ssize_t size = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        ret->size = size > 0 ? (size_t) size : 0;
        ret->fds_count = 0;
        if (size >= 0) {
            collect_fds(&msg, ret);
            return size > 0 || ret->fds_count > 0;
        }
        if (errno == EAGAIN && !wait_for(fd, POLLIN, ms))
            return -ETIMEDOUT;
        if (errno != EAGAIN && errno != ECONNRESET && errno != EINTR)
            return -errno;
    }
}

void raw_close_fds(struct raw_datagram *datagram) {
    for (size_t i = 0; i < datagram->fds_count; i++)
        close(datagram->fds[i]);
    datagram->fds_count = 0;
}
