/* SPDX-License-Identifier: MIT */
/*
 * The kernel's contract on receiving descriptors: facts that sys/fdpass, sys/memfd (inspect), sys/reaper and
 * lane/receive rely on.
 */
#include "contract/kernel.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <linux/userfaultfd.h>

#include "support/trap.h"

#define HUGE (2 * MIB)

/* Only some kinds of files have seals. */
START_TEST(test_only_memfds_have_seals) {
    int pair[2], pipe_ends[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    int kinds[] = {pair[0],
                   pair[1],
                   pipe_ends[0],
                   pipe_ends[1],
                   open("/", O_RDONLY | O_CLOEXEC),
                   open("/dev/null", O_RDWR | O_CLOEXEC),
                   open("/dev/zero", O_RDWR | O_CLOEXEC),
                   eventfd(0, EFD_CLOEXEC)};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ck_assert_int_ge(kinds[i], 0);
        ck_assert_int_eq(fcntl(kinds[i], F_GET_SEALS), -1);
        ck_assert_int_eq(errno, EINVAL);
    }
    kernel_close_all(kinds, sizeof kinds / sizeof *kinds);

    int path_only = open("/", O_PATH | O_CLOEXEC);
    ck_assert_int_eq(fcntl(path_only, F_GET_SEALS), -1);
    ck_assert_int_eq(errno, EBADF);
    close(path_only);
}
END_TEST

/* So a file that its maker can still change never has SHRINK, GROW and WRITE. */
START_TEST(test_what_cannot_be_sealed_says_so) {
    int fd = memfd_create("contract", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(SEALS_OF(fd), F_SEAL_SEAL);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    ck_assert_int_eq(errno, EPERM);
    close(fd);
    fd = trap_shm_file(PAGE);
    if (fd < 0)
        test_skip("no tmpfs at /dev/shm");
    ck_assert_int_eq(SEALS_OF(fd), F_SEAL_SEAL);
    close(fd);
}
END_TEST

static long stat_it(int fd) {
    struct stat status;
    return fstat(fd, &status);
}

static long statfs_it(int fd) {
    struct statfs system;
    return fstatfs(fd, &system);
}

static long close_it(int fd) {
    return close(fd);
}

/* The file of a FUSE daemon that does not answer. If the first call hung, this test would hang. */
START_TEST(test_seals_can_always_be_asked_for) {
    struct trap trap;
    char why[160];
    if (!trap_hung(&trap, why, sizeof why))
        test_skip("%s", why);
    ck_assert_int_eq(fcntl(trap.fd, F_GET_SEALS), -1);
    ck_assert_int_eq(errno, EINVAL);

    struct kernel_call stat_call, statfs_call, close_call;
    kernel_call_begin(&stat_call, stat_it, trap.fd);
    kernel_call_begin(&statfs_call, statfs_it, trap.fd);
    bool has_stat_hung = kernel_call_hangs(&stat_call), has_statfs_hung = kernel_call_hangs(&statfs_call);
    kernel_call_begin(&close_call, close_it, fcntl(trap.fd, F_DUPFD_CLOEXEC, 0));
    bool has_close_hung = kernel_call_hangs(&close_call);
    ck_assert_int_eq(fcntl(trap.fd, F_GET_SEALS), -1);
    trap_disarm(&trap);
    kernel_call_end(&stat_call);
    kernel_call_end(&statfs_call);
    kernel_call_end(&close_call);
    trap_free(&trap);
    ck_assert(has_stat_hung && has_statfs_hung && has_close_hung);
}
END_TEST

/* A hugetlb memfd can carry all seals and still raise SIGBUS: only its file system shows what it is. */
START_TEST(test_the_file_system_tells_hugetlb) {
    struct statfs system;
    int fd = kernel_memfd(PAGE);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_int_eq(fstatfs(fd, &system), 0);
    ck_assert_uint_eq((uint32_t) system.f_type, 0x01021994);
    close(fd);

    fd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | 21u << 26);
    if (fd < 0)
        test_skip("no hugetlb memfds: %s", strerror(errno));
    ck_assert_int_eq(ftruncate(fd, HUGE), 0);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_int_eq(SEALS_OF(fd), ALL_SEALS);
    ck_assert_int_eq(fstatfs(fd, &system), 0);
    ck_assert_uint_eq((uint32_t) system.f_type, 0x958458f6);
    ck_assert_uint_eq(kernel_allocated(fd), 0); /* no page exists */
    close(fd);
}
END_TEST

static void make_hanger(struct trap *ret) {
    trap_lingering(ret);
    struct linger linger = {.l_onoff = 1, .l_linger = 3600};
    ck_assert_int_eq(setsockopt(ret->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

/* The reason for the reaper's threads. */
START_TEST(test_close_can_hang) {
    struct trap trap;
    make_hanger(&trap);
    struct kernel_call call;
    kernel_call_begin(&call, close_it, trap.fd);
    bool has_hung = kernel_call_hangs(&call);
    close(trap.other); /* resets the connection */
    kernel_call_end(&call);
    ck_assert(has_hung);
}
END_TEST

static long receive_without_room(int fd) {
    return kernel_receive(fd, 0, 0).size;
}

/* The reason to provide always room for the largest number of descriptors. */
START_TEST(test_receiving_without_room_can_hang) {
    struct trap trap;
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    make_hanger(&trap);
    ck_assert_int_eq(kernel_send(pair[0], "x", &trap.fd, 1), 0);
    /* The last reference must be the message's, so that this close() waits for nothing. */
    close(trap.fd);
    struct kernel_call call;
    kernel_call_begin(&call, receive_without_room, pair[1]);
    bool has_hung = kernel_call_hangs(&call);
    close(trap.other);
    ck_assert_int_eq(kernel_call_end(&call), 1);
    kernel_close_all(pair, 2);
    ck_assert(has_hung);
}
END_TEST

START_TEST(test_descriptors_can_be_refused) {
    int pair[2], off = 0;
    kernel_pair(SOCK_SEQPACKET, pair);
    int r = setsockopt(pair[1], SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &off, sizeof off), error = errno;
    int with = kernel_send(pair[0], "x", pair, 1), without = kernel_send(pair[0], "x", NULL, 0);
    kernel_close_all(pair, 2);
    ck_assert_int_eq(without, 0);
    if (r < 0) {
        ck_assert_int_eq(error, ENOPROTOOPT);
        test_skip("no SO_PASSRIGHTS: Linux 6.16");
    }
    ck_assert_int_eq(with, -EPERM);
}
END_TEST

/* At EMFILE the bytes are delivered, and as many descriptors as there is room for. Only MSG_CTRUNC shows the loss. */
START_TEST(test_descriptors_are_lost_at_emfile) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    int fds[5] = {pair[0], pair[0], pair[0], pair[0], pair[0]};
    ck_assert_int_eq(kernel_send(pair[0], "x", fds, 5), 0);
    struct rlimit before, limit;
    getrlimit(RLIMIT_NOFILE, &before);
    int next = dup(pair[0]);
    close(next);
    limit = before;
    limit.rlim_cur = (rlim_t) next + 1; /* numbers above may be in use, by descriptors inherited from the caller */
    setrlimit(RLIMIT_NOFILE, &limit);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(got.size, 1);
    ck_assert_uint_eq(got.fds_count, 1);
    ck_assert_int_ne(got.flags & MSG_CTRUNC, 0);
    kernel_close_all(got.fds, got.fds_count);
    kernel_close_all(pair, 2);
}
END_TEST

START_TEST(test_descriptors_are_lost_without_room) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    int fds[5] = {pair[0], pair[0], pair[0], pair[0], pair[0]};
    ck_assert_int_eq(kernel_send(pair[0], "x", fds, 5), 0);
    struct kernel_received got = kernel_receive(pair[1], CMSG_SPACE(2 * sizeof(int)), 0);
    ck_assert_int_eq(got.size, 1);
    ck_assert_uint_eq(got.fds_count, 2);
    ck_assert_int_ne(got.flags & MSG_CTRUNC, 0);
    kernel_close_all(got.fds, got.fds_count);
    kernel_close_all(pair, 2);
}
END_TEST

/* A receiver with room for one descriptor may get two, where a long is twice an int: arrays must have room for the
 * padding. */
START_TEST(test_padding_has_room_for_one_more) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "x", pair, 2), 0);
    struct kernel_received got = kernel_receive(pair[1], CMSG_SPACE(sizeof(int)), 0);
    ck_assert_uint_eq(got.fds_count, (CMSG_SPACE(sizeof(int)) - CMSG_LEN(0)) / sizeof(int));
    kernel_close_all(got.fds, got.fds_count);
    kernel_close_all(pair, 2);
}
END_TEST

START_TEST(test_several_items_are_merged) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    _Alignas(struct cmsghdr) char control[3 * CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {.iov_base = "x", .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item != NULL; item = CMSG_NXTHDR(&message, item)) {
        *item = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(item), &pair[0], sizeof(int));
    }
    ck_assert_int_eq(sendmsg(pair[0], &message, MSG_NOSIGNAL), 1);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(got.items, 1);
    ck_assert_uint_eq(got.fds_count, 3);
    ck_assert_int_eq(got.flags & MSG_CTRUNC, 0);
    kernel_close_all(got.fds, got.fds_count);
    kernel_close_all(pair, 2);
}
END_TEST

START_TEST(test_received_ones_are_closed_at_exec) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "x", pair, 1), 0);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_uint_eq(got.fds_count, 1);
    ck_assert_int_eq(fcntl(got.fds[0], F_GETFD), FD_CLOEXEC);
    kernel_close_all(got.fds, got.fds_count);
    kernel_close_all(pair, 2);
}
END_TEST

/* The reason that the library never uses MSG_PEEK. */
START_TEST(test_peeking_installs_descriptors) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "x", pair, 1), 0);
    struct kernel_received first = kernel_receive(pair[1], ROOM, MSG_PEEK);
    struct kernel_received second = kernel_receive(pair[1], ROOM, MSG_PEEK);
    struct kernel_received without = kernel_receive(pair[1], 0, MSG_PEEK);
    struct kernel_received last = kernel_receive(pair[1], ROOM, 0);
    ck_assert_uint_eq(first.fds_count, 1);
    ck_assert_uint_eq(second.fds_count, 1);
    ck_assert_int_ne(second.fds[0], first.fds[0]);
    ck_assert_int_eq(without.size, 1);
    ck_assert_uint_eq(last.fds_count, 1);
    close(first.fds[0]);
    close(second.fds[0]);
    close(last.fds[0]);
    kernel_close_all(pair, 2);
}
END_TEST

/* A message without bytes reads as 0, as the end does, but with control data, which the end never has. */
START_TEST(test_descriptors_without_bytes) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "", pair, 1), 0);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(got.size, 0);
    ck_assert_uint_eq(got.fds_count, 1);
    ck_assert_uint_gt(got.control_size, 0);
    kernel_close_all(got.fds, got.fds_count);

    ck_assert_int_eq(kernel_send(pair[0], "", NULL, 0), 0);
    struct kernel_received empty = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(empty.size, 0);
    ck_assert_uint_eq(empty.control_size, 0);
    close(pair[0]);
    struct kernel_received end = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(end.size, 0);
    ck_assert_uint_eq(end.control_size, 0);
    close(pair[1]);
}
END_TEST

/* The reset comes before the queued messages, once. */
START_TEST(test_a_reset_precedes_queued_messages) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[1], "unread", NULL, 0), 0);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(kernel_send(pair[0], "one", &file, 1), 0);
    ck_assert_int_eq(kernel_send(pair[0], "two", NULL, 0), 0);
    close(file);
    close(pair[0]);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(got.size, -ECONNRESET);
    got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_str_eq(got.text, "one");
    ck_assert_uint_eq(got.fds_count, 1);
    kernel_close_all(got.fds, got.fds_count);
    got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_str_eq(got.text, "two");
    got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(got.size, 0);
    close(pair[1]);
}
END_TEST

/* One recvmsg() returns one message with its own descriptors. */
START_TEST(test_messages_keep_their_bounds) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "first", NULL, 0), 0);
    ck_assert_int_eq(kernel_send(pair[0], "second", pair, 2), 0);
    ck_assert_int_eq(kernel_send(pair[0], "third", pair, 1), 0);
    static const char *const texts[] = {"first", "second", "third"};
    static const size_t counts[] = {0, 2, 1};
    for (int i = 0; i < 3; i++) {
        struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
        ck_assert_str_eq(got.text, texts[i]);
        ck_assert_uint_eq(got.fds_count, counts[i]);
        kernel_close_all(got.fds, got.fds_count);
    }
    kernel_close_all(pair, 2);
}
END_TEST

START_TEST(test_bytes_that_do_not_fit_are_gone) {
    int pair[2];
    kernel_pair(SOCK_SEQPACKET, pair);
    ck_assert_int_eq(kernel_send(pair[0], "a text that is too long for the room there is", pair, 1), 0);
    struct kernel_received got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(got.size, sizeof got.text - 1);
    ck_assert_int_ne(got.flags & MSG_TRUNC, 0);
    ck_assert_uint_eq(got.fds_count, 1);
    kernel_close_all(got.fds, got.fds_count);
    got = kernel_receive(pair[1], ROOM, 0);
    ck_assert_int_eq(got.size, -EAGAIN);
    kernel_close_all(pair, 2);
}
END_TEST

/*
 * A socket that was sent over itself lives until some AF_UNIX socket is released; the harness relies on this when it
 * counts.
 */
START_TEST(test_a_socket_in_itself_is_collected) {
    int pair[2], witness[2];
    ck_assert_int_eq(pipe2(witness, O_CLOEXEC), 0);
    kernel_pair(SOCK_SEQPACKET, pair);
    int fds[] = {pair[0], pair[1], witness[1]};
    ck_assert_int_eq(kernel_send(pair[0], "x", fds, 3), 0);
    kernel_close_all(pair, 2);
    close(witness[1]);
    struct pollfd item = {.fd = witness[0], .events = POLLIN};
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++) {
        kernel_pair(SOCK_SEQPACKET, pair);
        kernel_close_all(pair, 2);
        r = poll(&item, 1, test_timeout_ms(100));
    }
    close(witness[0]);
    ck_assert_int_eq(r, 1);
    ck_assert_int_ne(item.revents & POLLHUP, 0);
}
END_TEST

static void *missing_page; /* an access to it hangs until the test fills the page */

static long write_from_missing_page(int fd) {
    return write(fd, missing_page, PAGE);
}

static long seal_it(int fd) {
    return fcntl(fd, F_ADD_SEALS, F_SEAL_GROW);
}

/* Makes a page that is missing until the returned descriptor fills it; returns -1 if that is impossible here. */
static int make_missing_page(void) {
    int fd = (int) syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    struct uffdio_api api = {.api = UFFD_API};
    missing_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {.start = (uintptr_t) missing_page, .len = PAGE},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (missing_page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &range) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void fill_in_page(int fault_fd) {
    struct uffdio_zeropage zero = {.range = {.start = (uintptr_t) missing_page, .len = PAGE}};
    ck_assert_int_eq(ioctl(fault_fd, UFFDIO_ZEROPAGE, &zero), 0);
}

/*
 * A peer is inside write() on the file and holds its lock. The calls that we make on received files do not need that
 * lock: otherwise this test would hang. Sealing needs it: so the library seals before it sends.
 */
START_TEST(test_a_stalled_writer_does_not_stall_us) {
    int fault_fd = make_missing_page();
    if (fault_fd < 0)
        test_skip("no userfaultfd for us: %s", strerror(errno));
    int theirs = kernel_memfd(4 * PAGE), ours = fcntl(theirs, F_DUPFD_CLOEXEC, 0), again = fcntl(theirs, F_DUPFD, 0);
    struct kernel_call write_call, seal_call;
    kernel_call_begin(&write_call, write_from_missing_page, theirs);
    ck_assert(kernel_call_hangs(&write_call));

    char byte;
    ck_assert_int_ge(fcntl(ours, F_GET_SEALS), 0);
    ck_assert_int_eq(kernel_stat(ours).st_size, 4 * PAGE);
    struct statfs system;
    ck_assert_int_eq(fstatfs(ours, &system), 0);
    const char *data = kernel_map(ours, 4 * PAGE, PROT_READ);
    ck_assert_int_eq(data[3 * PAGE], 0);
    ck_assert_int_eq(munmap((void *) (uintptr_t) data, 4 * PAGE), 0);
    ck_assert_int_eq(pread(ours, &byte, 1, 2 * PAGE), 1);
    ck_assert_int_eq(close(ours), 0);

    kernel_call_begin(&seal_call, seal_it, again);
    bool has_hung = kernel_call_hangs(&seal_call);
    fill_in_page(fault_fd);
    ck_assert_int_eq(kernel_call_end(&write_call), PAGE);
    ck_assert_int_eq(kernel_call_end(&seal_call), 0);
    munmap(missing_page, PAGE);
    close(fault_fd);
    close(theirs);
    close(again);
    ck_assert(has_hung);
}
END_TEST

/* Runs in a child that is another user: opens its descriptor again, for writing. */
static int reopen(void *arg) {
    char path[64];
    if (!kernel_become_nobody())
        return 2;
    snprintf(path, sizeof path, "/proc/self/fd/%d", *(int *) arg);
    return open(path, O_RDWR | O_CLOEXEC) >= 0 ? 0 : 1;
}

/* A read-only descriptor is no protection by itself: the file's mode, or the seals, are. */
START_TEST(test_reading_descriptors_can_be_reopened_for_writing) {
    if (geteuid() != 0)
        test_skip("only root can become somebody else");
    int fd = kernel_memfd(PAGE);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int for_reading = open(path, O_RDONLY | O_CLOEXEC);
    if (for_reading < 0) {
        close(fd);
        test_skip("no /proc here");
    }
    ck_assert(kernel_child(reopen, &for_reading));
    ck_assert_int_eq(fchmod(fd, 0400), 0);
    ck_assert(!kernel_child(reopen, &for_reading));
    close(fd);
    close(for_reading);
}
END_TEST

/* A process that has a descriptor of ours may take a lease on the file: then open() waits until the lease ends,
 * unless it has O_NONBLOCK. */
START_TEST(test_a_lease_and_an_open_that_does_not_wait) {
    char path[32];
    int fd = kernel_memfd(PAGE);
    kernel_seal(fd, ALL_SEALS);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int for_reading = open(path, O_RDONLY | O_CLOEXEC);
    close(fd);
    if (for_reading < 0)
        test_skip("no /proc here");
    snprintf(path, sizeof path, "/proc/self/fd/%d", for_reading);
    signal(SIGIO, SIG_IGN);
    if (fcntl(for_reading, F_SETLEASE, F_WRLCK) == 0) {
        ck_assert_int_eq(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), -1);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(fcntl(for_reading, F_SETLEASE, F_UNLCK), 0);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(lseek(for_reading, 7, SEEK_SET), 7);
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 0); /* it has an offset of its own */
    close(fd);
    close(for_reading);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_receive");
    suite_add(s, test_a_lease_and_an_open_that_does_not_wait);
    suite_add(s, test_only_memfds_have_seals);
    suite_add(s, test_what_cannot_be_sealed_says_so);
    suite_add(s, test_seals_can_always_be_asked_for);
    suite_add(s, test_the_file_system_tells_hugetlb);
    suite_add(s, test_close_can_hang);
    suite_add(s, test_receiving_without_room_can_hang);
    suite_add(s, test_descriptors_can_be_refused);
    suite_add(s, test_descriptors_are_lost_at_emfile);
    suite_add(s, test_descriptors_are_lost_without_room);
    suite_add(s, test_padding_has_room_for_one_more);
    suite_add(s, test_several_items_are_merged);
    suite_add(s, test_received_ones_are_closed_at_exec);
    suite_add(s, test_peeking_installs_descriptors);
    suite_add(s, test_descriptors_without_bytes);
    suite_add(s, test_a_reset_precedes_queued_messages);
    suite_add(s, test_messages_keep_their_bounds);
    suite_add(s, test_bytes_that_do_not_fit_are_gone);
    suite_add(s, test_a_socket_in_itself_is_collected);
    suite_add(s, test_a_stalled_writer_does_not_stall_us);
    suite_add(s, test_reading_descriptors_can_be_reopened_for_writing);
    return suite_run(s);
}
