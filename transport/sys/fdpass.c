/* SPDX-License-Identifier: MIT */
/*
 * Datagrams with descriptors: the only sendmsg() and the only recvmsg() of the library.
 *
 * Every path out of fdpass_recv() hands the descriptors that arrived to the caller, or to the reaper. This file
 * examines neither the descriptors nor the datagram's bytes. A message that lost descriptors on the way is handed over
 * with the rest of them.
 *
 * Facts relied on (tests/contract/): descriptors can be missing from a message that was delivered, and only MSG_CTRUNC
 * reports that; several SCM_RIGHTS items arrive as one; ECONNRESET precedes queued datagrams, once; a message without
 * bytes looks like the end except for its control data (all test_receive.c); 253 descriptors and no more (test_send.c).
 */
#include "sys/fdpass.h"

#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/inject.h"
#include "sys/reaper.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SCM_PIDFD /* Linux 6.5 */
#define SCM_PIDFD 0x04
#endif

static_assert(FDPASS_MAX <= REAPER_BATCH_MAX, "the reaper has room for the descriptors of a datagram");

#define RIGHTS_SIZE CMSG_SPACE(sizeof(int) * FDPASS_MAX)

/* For what cred_ask() asks for, and for what arrives unasked on an inherited socket that has SO_PASSCRED, SO_PASSPIDFD
 * or SO_PASSSEC set: were there no room for it, it would be taken for lost descriptors. */
#define OTHERS_SIZE 512

/* The kernel reports it once for a connection; more often only a test does. */
#define RESETS_MAX 4

int fdpass_send(int socket, const struct iovec *iov, size_t iov_count, const int *fds, size_t fds_count) {
    union {
        struct cmsghdr head;
        char bytes[RIGHTS_SIZE];
    } control;
    struct msghdr message = {.msg_iov = (struct iovec *) (uintptr_t) iov, .msg_iovlen = iov_count};

    if (fds_count > FDPASS_MAX)
        return -EINVAL;
    if (fds_count > 0) {
        memset(&control, 0, CMSG_SPACE(sizeof(int) * fds_count)); /* the padding is copied into the kernel too */
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
        memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * fds_count);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
    }

    ssize_t n;
    do {
        n = INJECT(SENDMSG, sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    switch (errno) {
    case ECONNRESET:
    case ECONNREFUSED: /* before Linux 5.18, while the peer is closing */
    case ENOTCONN:
        return -EPIPE;
    case ENOBUFS:
        return -ENOMEM;
    default:
        return failure_of(INJECT_SENDMSG, errno);
    }
}

static void collect_rights(const unsigned char *data, size_t count, struct fdpass *pass) {
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, data + i * sizeof fd, sizeof fd);
        if (pass->fds_count < FDPASS_MAX) {
            pass->fds[pass->fds_count++] = fd;
        } else {
            reaper_take(&fd, 1);
            pass->are_fds_lost = true;
        }
    }
}

static void collect_control(struct msghdr *message, struct fdpass *pass) {
    for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item != NULL; item = CMSG_NXTHDR(message, item)) {
        size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (item->cmsg_level != SOL_SOCKET)
            continue;
        if (item->cmsg_type == SCM_RIGHTS) {
            collect_rights(CMSG_DATA(item), count, pass);
        } else if (item->cmsg_type == SCM_PIDFD && count == 1) {
            fd_close(pass->pidfd);
            memcpy(&pass->pidfd, CMSG_DATA(item), sizeof pass->pidfd); /* negative: the kernel had none */
        } else if (item->cmsg_type == SCM_CREDENTIALS && item->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
            struct ucred sender;
            memcpy(&sender, CMSG_DATA(item), sizeof sender);
            pass->pid = sender.pid;
        }
    }
}

/* Like recvmsg(), but skips the reset that precedes the peer's datagrams; and interruptions, unless it waits. */
static ssize_t receive(int socket, struct msghdr *message, size_t control_size, int flags) {
    for (int resets = 0;;) {
        message->msg_controllen = control_size;
        message->msg_flags = 0;
        ssize_t n = INJECT(RECVMSG, recvmsg(socket, message, flags | MSG_CMSG_CLOEXEC));
        if (n >= 0)
            return n;
        if (errno == ECONNRESET && ++resets <= RESETS_MAX)
            continue;
        if (errno == EINTR && !(flags & MSG_DONTWAIT))
            return -EAGAIN;
        if (errno != EINTR)
            return failure_of(INJECT_RECVMSG, errno);
    }
}

static int receive_one(int socket, const struct iovec *iov, size_t iov_count, struct fdpass *ret, int flags) {
    union {
        struct cmsghdr head;
        char bytes[RIGHTS_SIZE + OTHERS_SIZE];
    } control;
    struct msghdr message = {
        .msg_iov = (struct iovec *) (uintptr_t) iov, .msg_iovlen = iov_count, .msg_control = &control};

    ssize_t n = receive(socket, &message, sizeof control, flags);
    if (n == -ECONNRESET)
        return 0;
    if (n < 0)
        return (int) n;
    if (n == 0 && message.msg_controllen == 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return 0;

    ret->size = (size_t) n;
    ret->is_truncated = (message.msg_flags & MSG_TRUNC) != 0;
    ret->are_fds_lost = (message.msg_flags & MSG_CTRUNC) != 0;
    ret->fds_count = 0;
    ret->pid = 0;
    ret->pidfd = -1;
    collect_control(&message, ret);
    return 1;
}

int fdpass_recv(int socket, const struct iovec *iov, size_t iov_count, struct fdpass *ret) {
    return receive_one(socket, iov, iov_count, ret, MSG_DONTWAIT);
}

int fdpass_wait(int socket, const struct iovec *iov, size_t iov_count, struct fdpass *ret) {
    return receive_one(socket, iov, iov_count, ret, 0);
}

/*
 * Is the socket empty for good? With SO_PASSCRED every datagram carries its sender's credentials, so that a datagram
 * without bytes differs from the end. The buffer has space for credentials and nothing else, so that no descriptor is
 * installed. Without credentials the peer could use the space: each MSG_PEEK installs the descriptors that fit.
 */
static bool is_empty_for_good(int socket) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct msghdr message = {.msg_control = &control};
    int on = 1;
    bool is_marked = INJECT(SETSOCKOPT, setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on)) == 0;
    shutdown(socket, SHUT_RDWR);
    if (!is_marked)
        return false;
    ssize_t n = receive(socket, &message, sizeof control, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 && message.msg_controllen == 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

int fdpass_close(int socket) {
    if (socket < 0)
        return -1;
    if (is_empty_for_good(socket))
        return fd_close(socket);
    reaper_take(&socket, 1);
    return -1;
}
