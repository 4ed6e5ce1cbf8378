/* SPDX-License-Identifier: MIT */
/*
 * The kernel's contract on sockets, on sending, and on names: facts that sys/fdpass, sys/socket, sys/cred, sys/path and
 * lane/send rely on.
 */
#include "contract/kernel.h"
#include "support/userns.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/un.h>

static void bind_to(int fd, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ck_assert_uint_lt(strlen(path), sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
}

/* Makes a listening socket with a name that the kernel chooses (autobind), and returns the name. */
static int new_listener(int backlog, struct sockaddr_un *ret_address, socklen_t *ret_size) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    sa_family_t family = AF_UNIX;
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &family, sizeof family), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    *ret_size = sizeof *ret_address;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) ret_address, ret_size), 0);
    return fd;
}

static int connect_to(const struct sockaddr_un *address, socklen_t size) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    if (connect(fd, (const struct sockaddr *) address, size) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

START_TEST(test_no_more_than_253) {
    int pair[2], fds[FDS_MAX + 1];
    kernel_pair(SOCK_SEQPACKET, pair);
    for (int i = 0; i <= FDS_MAX; i++)
        fds[i] = pair[0];
    ck_assert_int_eq(kernel_send(pair[0], "x", fds, FDS_MAX + 1), -EINVAL);
    ck_assert_int_eq(kernel_send(pair[0], "x", fds, FDS_MAX), 0);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_uint_eq(got.fds_count, FDS_MAX);
    ck_assert_int_eq(got.flags & MSG_CTRUNC, 0);
    kernel_close_all(got.fds, got.fds_count);
    kernel_close_all(pair, 2);
}
END_TEST

/*
 * Applies to ordinary users only, so it runs in a child. A message has 40 descriptors, and the limit is 64: the second
 * or third message exceeds it. The exit status is the line that failed.
 */
static int send_too_many(void *arg) {
    int pair[2], fds[40], r = 0, sent = 0;
    (void) arg;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    if (!kernel_become_nobody() || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0)
        return 2;
    int file = open("/dev/null", O_RDONLY);
    for (int i = 0; i < 40; i++)
        fds[i] = file;
    while (sent < 10 && (r = kernel_send(pair[0], "x", fds, 40)) == 0)
        sent++;
    if (r != -ETOOMANYREFS)
        return 3;
    struct pollfd item = {.fd = pair[0], .events = POLLOUT};
    if (poll(&item, 1, 0) != 1 || item.revents != POLLOUT) /* no event reports the end of the shortage */
        return 4;
    if (kernel_send(pair[0], "x", NULL, 0) != 0) /* a message without descriptors is sent */
        return 5;
    for (int i = 0; i <= sent; i++) {
        struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
        kernel_close_all(got.fds, got.fds_count);
    }
    return kernel_send(pair[0], "x", fds, 40) == 0 ? 0 : 6; /* they arrived: there is room again */
}

START_TEST(test_descriptors_in_flight_are_counted) {
    ck_assert(kernel_child(send_too_many, NULL));
}
END_TEST

/* A message that sendmsg() took arrives, even when the sender has closed its own descriptors. */
START_TEST(test_the_kernel_holds_messages_in_flight) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    int fd = kernel_memfd(PAGE);
    ck_assert_int_eq(pwrite(fd, "kept", 4, 0), 4);
    ck_assert_int_eq(kernel_send(pair[0], "x", &fd, 1), 0);
    close(fd);
    close(pair[0]);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    char text[5] = "";
    ck_assert_uint_eq(got.fds_count, 1);
    ck_assert_int_eq(pread(got.fds[0], text, 4, 0), 4);
    ck_assert_str_eq(text, "kept");
    close(got.fds[0]);
    close(pair[1]);
}
END_TEST

/* O_NONBLOCK belongs to the open file, which a peer may share; MSG_DONTWAIT belongs to the call. */
START_TEST(test_not_waiting_is_ours_per_call) {
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), theirs = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0);
    ck_assert_int_eq(fcntl(theirs, F_SETFL, 0), 0);
    ck_assert_int_eq(fcntl(wake_fd, F_GETFL) & O_NONBLOCK, 0);
    close(wake_fd);
    close(theirs);

    int pair[2], sent = 0, r;
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(fcntl(pair[0], F_SETFL, 0), 0);
    ck_assert_int_eq(fcntl(pair[1], F_SETFL, 0), 0);
    while ((r = kernel_send(pair[0], "x", NULL, 0)) == 0)
        ck_assert_int_lt(sent++, 1000000);
    ck_assert_int_eq(r, -EAGAIN);
    for (int i = 0; i < sent; i++)
        ck_assert_int_eq(kernel_receive(pair[1], ROOM, 0).size, 1);
    ck_assert_int_eq(kernel_receive(pair[1], ROOM, 0).size, -EAGAIN);
    kernel_close_all(pair, 2);
}
END_TEST

static volatile sig_atomic_t pipes_broken;

static void count_sigpipe(int signal) {
    (void) signal;
    pipes_broken++;
}

START_TEST(test_no_signal_where_none_is_wanted) {
    int pair[2];
    struct sigaction action = {.sa_handler = count_sigpipe}, before;
    kernel_pair(SOCK_SEQPACKET, pair);
    close(pair[1]);
    sigaction(SIGPIPE, &action, &before);
    int r = kernel_send(pair[0], "x", NULL, 0);
    sigaction(SIGPIPE, &before, NULL);
    close(pair[0]);
    ck_assert_int_eq(r, -EPIPE);
    ck_assert_int_eq(pipes_broken, 0);
}
END_TEST

/* The largest datagram is SO_SNDBUF less 32 bytes. */
START_TEST(test_the_largest_datagram) {
    int pair[2], size = 0;
    socklen_t length = sizeof size;
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, &length), 0);
    char *bytes = calloc(1, (size_t) size);
    ck_assert_int_eq(send(pair[0], bytes, (size_t) size - 31, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_int_eq(send(pair[0], bytes, (size_t) size - 32, MSG_NOSIGNAL), size - 32);
    ck_assert_int_eq(recv(pair[1], bytes, (size_t) size, 0), size - 32);
    free(bytes);
    kernel_close_all(pair, 2);
}
END_TEST

/* Optional options exist, or are refused with the error that means "unknown". */
START_TEST(test_missing_options_say_so) {
    int pair[2], value = 0;
    socklen_t size = sizeof value;
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(getsockopt(pair[0], SOL_SOCKET, 9999, &value, &size), -1);
    ck_assert_int_eq(errno, ENOPROTOOPT);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, 9999, &value, sizeof value), -1);
    ck_assert_int_eq(errno, ENOPROTOOPT);
    ck_assert_int_eq(memfd_create("contract", 0x00800000), -1);
    ck_assert_int_eq(errno, EINVAL);

    value = -1;
    if (getsockopt(pair[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &value, &size) < 0) {
        ck_assert_int_eq(errno, ENOPROTOOPT);
    } else {
        ck_assert_int_eq(fcntl(value, F_GETFD), FD_CLOEXEC);
        close(value);
    }
    int fd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING | 8 /* MFD_NOEXEC_SEAL */);
    if (fd < 0) {
        ck_assert_int_eq(errno, EINVAL);
    } else {
        ck_assert_int_eq(SEALS_OF(fd), 0);
        ck_assert_int_eq(fchmod(fd, 0400), 0); /* F_SEAL_EXEC freezes the bits for execution only */
        close(fd);
    }
    kernel_close_all(pair, 2);
}
END_TEST

static struct ucred cred_of(int fd) {
    struct ucred cred = {0};
    socklen_t size = sizeof cred;
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size), 0);
    return cred;
}

START_TEST(test_a_pair_shows_its_maker) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(cred_of(pair[i]).pid, getpid());
        ck_assert_uint_eq(cred_of(pair[i]).uid, geteuid());
    }
    kernel_close_all(pair, 2);
}
END_TEST

struct address {
    struct sockaddr_un name;
    socklen_t size;
};

/* Connects, and becomes another user afterwards. */
static int connect_and_change(void *arg) {
    const struct address *address = arg;
    return connect_to(&address->name, address->size) >= 0 && kernel_become_nobody() ? 0 : 1;
}

/* SO_PEERCRED is the identity at connect() time, also after the peer changed its user, and after its end. */
START_TEST(test_credentials_are_of_connect_time) {
    struct address address;
    int listener = new_listener(5, &address.name, &address.size);
    ck_assert(kernel_child(connect_and_change, &address));
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ne(cred_of(fd).pid, getpid());
    ck_assert_int_gt(cred_of(fd).pid, 0);
    ck_assert_uint_eq(cred_of(fd).uid, geteuid());
    ck_assert_uint_eq(cred_of(fd).gid, getegid());
    close(fd);

    int client = connect_to(&address.name, address.size); /* the client sees the identity of the listener */
    ck_assert_int_eq(cred_of(client).pid, getpid());
    close(client);
    close(listener);
}
END_TEST

enum { OVERFLOW_ID = 65534 };

static int can_enter_a_namespace(void *unused) {
    (void) unused;
    return userns_enter() ? 0 : 1;
}

/* A pair that we made, read in a namespace that does not map us: we look like the user that reads. */
static int look_from_a_namespace(void *arg) {
    const int *pair = arg;
    uint32_t own = geteuid();
    if (!userns_enter())
        return 0;
    bool is_overflow =
        cred_of(pair[0]).uid == OVERFLOW_ID && cred_of(pair[0]).gid == OVERFLOW_ID && geteuid() == OVERFLOW_ID;
    return is_overflow && own != OVERFLOW_ID ? 0 : 1;
}

START_TEST(test_users_that_are_not_mapped_look_alike) {
    int pair[2];
    if (geteuid() == OVERFLOW_ID || !kernel_child(can_enter_a_namespace, NULL))
        test_skip("user namespaces are forbidden here, or this process has several threads");
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert(kernel_child(look_from_a_namespace, pair));
    kernel_close_all(pair, 2);
}
END_TEST

/* A namespace below another one has the full identity map only if the upper one has it. */
static int map_all_below_one(void *unused) {
    (void) unused;
    char one[32];
    snprintf(one, sizeof one, "0 %u 1", (unsigned) geteuid());
    if (!userns_enter() || !userns_write(getpid(), "uid_map", one) || !userns_enter())
        return 0;
    return userns_write(getpid(), "uid_map", "0 0 4294967295") || userns_is_identity() ? 1 : 0;
}

START_TEST(test_the_full_identity_cannot_be_claimed) {
    if (!kernel_child(can_enter_a_namespace, NULL))
        test_skip("user namespaces are forbidden here, or this process has several threads");
    ck_assert(kernel_child(map_all_below_one, NULL));
}
END_TEST

START_TEST(test_an_unconnected_socket_has_no_peer) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_uint_eq(cred_of(fd).uid, (uid_t) -1);
    ck_assert_int_eq(cred_of(fd).pid, 0);
    close(fd);
}
END_TEST

START_TEST(test_a_full_backlog_is_eagain) {
    struct address address;
    int listener = new_listener(1, &address.name, &address.size), fds[10], count = 0, r;
    while ((r = connect_to(&address.name, address.size)) >= 0) {
        fds[count++] = r;
        ck_assert_int_lt(count, 10);
    }
    ck_assert_int_eq(r, -EAGAIN);
    kernel_close_all(fds, (size_t) count);
    close(listener);
}
END_TEST

/* Even when the client has gone meanwhile, the data that it sent is there. */
START_TEST(test_messages_sent_before_accepting_arrive) {
    struct address address;
    int listener = new_listener(5, &address.name, &address.size);
    int client = connect_to(&address.name, address.size);
    ck_assert_int_eq(kernel_send(client, "early", NULL, 0), 0);
    close(client);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_str_eq(kernel_receive(fd, ROOM, 0).text, "early");
    ck_assert_int_eq(kernel_receive(fd, ROOM, 0).size, 0);
    close(fd);
    close(listener);
}
END_TEST

/* The mode of a socket's descriptor is the mode of its file, less the umask: so it is never wider than requested. */
START_TEST(test_the_mode_before_binding_counts) {
    static const mode_t modes[] = {0600, 0660, 0666, 0200}, masks[] = {0, 022, 077};
    char dir[] = "/tmp/sealane-contract-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(fchmod(fd, modes[_i % 4]), 0);
    mode_t before = umask(masks[_i / 4]);
    bind_to(fd, path);
    umask(before);
    struct stat status;
    ck_assert_int_eq(lstat(path, &status), 0);
    unlink(path);
    rmdir(dir);
    close(fd);
    ck_assert_int_eq(status.st_mode & 07777, modes[_i % 4] & ~masks[_i / 4]);
}
END_TEST

/* The mode can be widened through a descriptor that was opened without following links. */
START_TEST(test_a_path_descriptor_can_be_changed_through_proc) {
    char dir[] = "/tmp/sealane-contract-XXXXXX", path[64], link[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(fchmod(fd, 0600), 0);
    bind_to(fd, path);
    int file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int r = chmod(link, 0666), error = errno;
    mode_t mode = kernel_stat(file).st_mode;
    unlink(path);
    rmdir(dir);
    close(file);
    close(fd);
    if (r < 0 && error == ENOENT)
        test_skip("no /proc here");
    ck_assert_int_eq(r, 0);
    ck_assert(S_ISSOCK(mode));
    ck_assert_int_eq(mode & 07777, 0666);
}
END_TEST

/* A lock belongs to the open file, so one process cannot take it twice, and it ends with its last descriptor. */
START_TEST(test_a_lock_ends_with_its_holder) {
    char path[] = "/tmp/sealane-contract-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC), other = open(path, O_RDWR | O_CLOEXEC);
    unlink(path);
    ck_assert_int_ge(other, 0);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), -1);
    ck_assert_int_eq(errno, EWOULDBLOCK);
    close(fd);
    ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), 0);
    close(other);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_send");
    suite_add(s, test_no_more_than_253);
    suite_add(s, test_descriptors_in_flight_are_counted);
    suite_add(s, test_the_kernel_holds_messages_in_flight);
    suite_add(s, test_not_waiting_is_ours_per_call);
    suite_add(s, test_no_signal_where_none_is_wanted);
    suite_add(s, test_the_largest_datagram);
    suite_add(s, test_missing_options_say_so);
    suite_add(s, test_a_pair_shows_its_maker);
    suite_add(s, test_credentials_are_of_connect_time);
    suite_add(s, test_users_that_are_not_mapped_look_alike);
    suite_add(s, test_the_full_identity_cannot_be_claimed);
    suite_add(s, test_an_unconnected_socket_has_no_peer);
    suite_add(s, test_a_full_backlog_is_eagain);
    suite_add(s, test_messages_sent_before_accepting_arrive);
    suite_add_loop(s, test_the_mode_before_binding_counts, 0, 12);
    suite_add(s, test_a_path_descriptor_can_be_changed_through_proc);
    suite_add(s, test_a_lock_ends_with_its_holder);
    return suite_run(s);
}
