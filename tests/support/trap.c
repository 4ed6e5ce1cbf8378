/* SPDX-License-Identifier: MIT */
/* Hostile descriptors, and the lingering connection. hung.c has the file system that hangs. */
#include "support/trap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/memfd.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "support/machine.h"
#include "support/suite.h"

#define PAGE ((size_t) 4096)
#define HUGE ((size_t) 2 << 20)

static int checked(int fd) {
    ck_assert_msg(fd >= 0, "a trap could not be made: %s", strerror(errno));
    return fd;
}

static void fill(int fd, size_t from, size_t to) {
    static const char bytes[65536] = {'t', 'r', 'a', 'p'};
    for (size_t at = from; at < to;) {
        size_t piece = to - at < sizeof bytes ? to - at : sizeof bytes;
        ck_assert_int_eq(pwrite(fd, bytes, piece, (off_t) at), (ssize_t) piece);
        at += piece;
    }
}

static int memfd_of_size(uint64_t size) {
    int fd = checked(memfd_create("a trap\nset for you", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
    return fd;
}

static int sealed_with(int fd, int seals) {
    if (seals != 0)
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

int trap_memfd(size_t size, int seals) {
    int fd = memfd_of_size(size);
    fill(fd, 0, size);
    return sealed_with(fd, seals);
}

int trap_sparse(uint64_t size) {
    return sealed_with(memfd_of_size(size), TRAP_ALL_SEALS);
}

int trap_excess(size_t size, size_t more, int seals) {
    int fd = memfd_of_size(size);
    fill(fd, 0, size);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t) size, (off_t) more), 0);
    return sealed_with(fd, seals);
}

int trap_holes(size_t size) {
    int fd = memfd_of_size(size);
    fill(fd, 0, PAGE);
    fill(fd, 2 * PAGE, size);
    return sealed_with(fd, TRAP_ALL_SEALS);
}

int trap_disguised_hole(size_t size) {
    int fd = memfd_of_size(size);
    fill(fd, 0, PAGE);
    fill(fd, 2 * PAGE, size);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t) size, (off_t) PAGE), 0);
    return sealed_with(fd, TRAP_ALL_SEALS);
}

int trap_dev_zero(void) {
    return checked(open("/dev/zero", O_RDWR | O_CLOEXEC));
}

int trap_pipe(void) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[1]);
    return ends[0];
}

int trap_socket(void) {
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    close(ends[1]);
    return ends[0];
}

int trap_directory(void) {
    return checked(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int trap_path_only(void) {
    return checked(open("/proc/self/exe", O_PATH | O_CLOEXEC));
}

int trap_eventfd(void) {
    return checked(eventfd(0, EFD_CLOEXEC));
}

int trap_epoll(void) {
    return checked(epoll_create1(EPOLL_CLOEXEC));
}

int trap_shm_file(size_t size) {
    char path[] = "/dev/shm/sealane-trap-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -1;
    unlink(path);
    fill(fd, 0, size);
    return fd;
}

int trap_hugetlb(size_t size) {
    size_t pages = (size + HUGE - 1) / HUGE;
    bool is_there = machine_add_hugetlb((long) pages);
    int fd = !is_there ? -1 : memfd_create("huge trap", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);
    if (fd >= 0 && ftruncate(fd, (off_t) (pages * HUGE)) == 0 && fallocate(fd, 0, 0, (off_t) (pages * HUGE)) == 0)
        return sealed_with(fd, TRAP_ALL_SEALS);
    if (fd >= 0)
        close(fd);
    trap_hugetlb_done();
    return -1;
}

void trap_hugetlb_done(void) {
    machine_restore();
}

/* Connects over loopback, with more data to send than the other end will ever take. */
void trap_lingering(struct trap *ret) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ck_assert_int_eq(bind(listener, (struct sockaddr *) &address, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *) &address, &size), 0);
    int fd = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &address, size), 0);
    int other = checked(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    close(listener);
    static const char bytes[65536];
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    const struct linger linger = {.l_onoff = 1, .l_linger = 2};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    *ret = (struct trap){.fd = fd, .other = other, .daemon.line = -1};
}

void trap_disarm(struct trap *trap) {
    if (trap->daemon.pid > 0)
        child_kill(&trap->daemon);
    if (trap->other >= 0)
        close(trap->other);
    trap->other = -1;
}

void trap_free(struct trap *trap) {
    trap_disarm(trap);
    if (trap->fd >= 0)
        close(trap->fd);
    trap->fd = -1;
}
