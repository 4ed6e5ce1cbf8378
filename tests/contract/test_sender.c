/* SPDX-License-Identifier: MIT */
/*
 * The kernel's contract on the process that sends through a socket, and on its end: facts that sys/cred, sys/fdpass,
 * lane/receive and lane/listener rely on.
 */
#include "contract/kernel.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>

#ifndef SO_PASSPIDFD /* Linux 6.5 */
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

static struct sockaddr_un name;

static int new_listener(void) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), on = 1;
    ck_assert_int_ge(fd, 0);
    name = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "contract-sender-%d", (int) getpid());
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    (void) setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &name, sizeof name), 0);
    ck_assert_int_eq(listen(fd, 10), 0);
    return fd;
}

static int new_client(void) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &name, sizeof name), 0);
    return fd;
}

struct sender {
    struct ucred cred;
    bool has_pidfd;
    int pidfd; /* a descriptor, or a negative number */
};

static struct sender receive_sender(int socket) {
    _Alignas(struct cmsghdr) char control[256];
    char byte;
    struct sender sender = {.pidfd = -1};
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ck_assert_int_eq(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
        if (item->cmsg_type == SCM_CREDENTIALS)
            memcpy(&sender.cred, CMSG_DATA(item), sizeof sender.cred);
        sender.has_pidfd |= item->cmsg_type == SCM_PIDFD;
        if (item->cmsg_type == SCM_PIDFD)
            memcpy(&sender.pidfd, CMSG_DATA(item), sizeof sender.pidfd);
    }
    return sender;
}

static bool has_ended(int pidfd) {
    struct pollfd item = {.fd = pidfd, .events = POLLIN};
    return poll(&item, 1, 0) == 1;
}

static int send_one(void *socket) {
    return send(*(int *) socket, "x", 1, MSG_NOSIGNAL) == 1 ? 0 : 1;
}

/* The kernel names the process that sends, not the one that connected. An accepted socket inherits the option from
 * its listener, and messages from before accept() name their sender, too. */
START_TEST(test_the_sender_is_named) {
    int listener = new_listener(), client = new_client();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        send_one(&client);
        pause();
    }
    struct pollfd item = {.fd = listener, .events = POLLIN};
    ck_assert_int_eq(poll(&item, 1, test_timeout_ms(10000)), 1);
    int fd = accept(listener, NULL, NULL);
    struct sender sender = receive_sender(fd);
    ck_assert_int_eq(sender.cred.pid, child);
    ck_assert_uint_eq(sender.cred.uid, geteuid());
    if (sender.has_pidfd) {
        ck_assert_int_ge(sender.pidfd, 0);
        ck_assert(!has_ended(sender.pidfd));
    }
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    if (sender.has_pidfd) {
        ck_assert(has_ended(sender.pidfd));
        close(sender.pidfd);
    }
    kernel_close_all((const int[]){listener, client, fd}, 3);
}
END_TEST

/* A process that has ended, and was waited for, is still named by its number; a pidfd of it may be missing. */
START_TEST(test_a_sender_that_has_ended) {
    int listener = new_listener(), client = new_client();
    ck_assert(kernel_child(send_one, &client));
    int fd = accept(listener, NULL, NULL);
    struct sender sender = receive_sender(fd);
    ck_assert_int_gt(sender.cred.pid, 0);
    ck_assert_int_ne(sender.cred.pid, getpid());
    if (sender.pidfd >= 0) {
        ck_assert(has_ended(sender.pidfd));
        close(sender.pidfd);
    }
    kernel_close_all((const int[]){listener, client, fd}, 3);
}
END_TEST

/* Without the option no sender is named, not even of queued messages. */
START_TEST(test_senders_need_not_be_named) {
    int listener = new_listener(), client = new_client(), off = 0;
    int fd = accept(listener, NULL, NULL);
    ck_assert_int_eq(send_one(&client), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &off, sizeof off), 0);
    (void) setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &off, sizeof off);
    ck_assert_uint_eq(kernel_receive(fd, ROOM, 0).control_size, 0);
    kernel_close_all((const int[]){listener, client, fd}, 3);
}
END_TEST

static pid_t listener_pid(int client) {
    struct ucred cred;
    socklen_t size = sizeof cred;
    ck_assert_int_eq(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &cred, &size), 0);
    return cred.pid;
}

static int listen_again(void *listener) {
    return listen(*(int *) listener, 10);
}

/* For a client, the peer is the process that called listen() last. */
START_TEST(test_listening_again_renews_the_listener) {
    int listener = new_listener(), before = new_client(), pidfd = -1;
    socklen_t size = sizeof pidfd;
    ck_assert_int_eq(listener_pid(before), getpid());
    ck_assert(kernel_child(listen_again, &listener));
    int after = new_client();
    ck_assert_int_ne(listener_pid(after), getpid());
    ck_assert_int_eq(listener_pid(before), getpid());
    if (getsockopt(after, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) {
        ck_assert(has_ended(pidfd));
        close(pidfd);
    }
    kernel_close_all((const int[]){listener, before, after}, 3);
}
END_TEST

/* After shutdown() of its own end, a process still receives the queued messages, and then the end, whichever process
 * holds the other end; no message is added. */
START_TEST(test_shutting_down_keeps_queued_messages) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "before", NULL, 0), 0);
    ck_assert_int_eq(shutdown(pair[1], SHUT_RDWR), 0);
    ck_assert_int_eq(kernel_send(pair[0], "after", NULL, 0), -EPIPE);
    struct pollfd item = {.fd = pair[1], .events = POLLIN};
    ck_assert_int_eq(poll(&item, 1, 0), 1);
    ck_assert_int_eq(item.revents, POLLIN | POLLHUP);
    ck_assert_str_eq(kernel_receive(pair[1], 0, 0).text, "before");
    ck_assert_int_eq(kernel_receive(pair[1], 0, 0).size, 0);
    kernel_close_all(pair, 2);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_sender");
    suite_add(s, test_the_sender_is_named);
    suite_add(s, test_a_sender_that_has_ended);
    suite_add(s, test_senders_need_not_be_named);
    suite_add(s, test_listening_again_renews_the_listener);
    suite_add(s, test_shutting_down_keeps_queued_messages);
    return suite_run(s);
}
