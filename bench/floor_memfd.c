/* SPDX-License-Identifier: MIT */
/*
 * A payload in a fresh memfd, which is sealed, sent as a descriptor through a socket, verified, mapped and read:
 * sequences of system calls that a person may write by hand. They differ in the way in which the pages are made.
 *
 *     naive      mapped and filled page by page, by page faults; the reader's mapping, too
 *     populate   both mappings are populated at once
 *     write      the payload is made in private memory that is used again, and written with one write()
 *     huge       mapped and filled in transparent 2 MiB pages, where the system grants them on request
 *     hugetlb    in 2 MiB pages of the hugetlb pool, where there are enough
 */
#include "floors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const VARIANTS[] = {"naive", "populate", "write", "huge", "hugetlb", NULL};

static const int SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

enum { HUGE_SHIFT = 26 }; /* the kernel's MFD_HUGE_SHIFT */

static const size_t HUGE_SIZE = 2u << 20;

static int pair[2];
static char *private; /* memory of the variant "write" */

static bool is(const struct cell *cell, const char *variant) {
    return strcmp(cell->variant, variant) == 0;
}

static int prepare(struct cell *cell) {
    private = malloc(cell->size);
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

/* --- descriptors --- */

union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
};

static int give(int socket, const void *data, size_t size, int fd) {
    union control control = {0};
    struct iovec part = {(void *) data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receives; returns the descriptor that came along, -1 for none. */
static int take(const struct cell *cell, void *data, size_t size, int socket, int *ret_fd) {
    union control control;
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    int flags = MSG_CMSG_CLOEXEC | (cell->mode == WORK_SPIN ? MSG_DONTWAIT : 0);
    ssize_t n;
    do {
        message.msg_controllen = sizeof(control);
        n = recvmsg(socket, &message, flags);
    } while (n < 0 && errno == EAGAIN);
    *ret_fd = -1;
    if (n > 0 && message.msg_controllen >= sizeof(struct cmsghdr))
        memcpy(ret_fd, CMSG_DATA(&control.header), sizeof(int));
    return n < 0 ? -errno : n == 0 ? -EPIPE : 0;
}

/* --- the producer --- */

static unsigned memfd_flags(const struct cell *cell) {
    return MFD_CLOEXEC | MFD_ALLOW_SEALING | (is(cell, "hugetlb") ? MFD_HUGETLB | (21u << HUGE_SHIFT) : 0);
}

static int fill_mapped(struct cell *cell, int fd, size_t size) {
    int flags = MAP_SHARED | (is(cell, "populate") ? MAP_POPULATE : 0);
    char *data = ftruncate(fd, (off_t) size) < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (data == MAP_FAILED)
        return -errno;
    if (is(cell, "huge"))
        madvise(data, size, MADV_HUGEPAGE);
    cell_write(cell, data, cell->size);
    munmap(data, size);
    return 0;
}

static int fill_written(struct cell *cell, int fd) {
    cell_write(cell, private, cell->size);
    for (size_t at = 0; at < cell->size;) {
        ssize_t n = write(fd, private + at, cell->size - at);
        if (n < 0)
            return -errno;
        at += (size_t) n;
    }
    return 0;
}

/* Whole large pages, even where the payload fills only a part of one. */
static size_t file_size(const struct cell *cell) {
    return is(cell, "huge") || is(cell, "hugetlb") ? (cell->size + HUGE_SIZE - 1) / HUGE_SIZE * HUGE_SIZE : cell->size;
}

static int produce(struct cell *cell, int *ret_fd) {
    int fd = memfd_create("bench", memfd_flags(cell));
    if (fd < 0)
        return errno == ENOMEM ? -EOPNOTSUPP : -errno;
    int r = is(cell, "write") ? fill_written(cell, fd) : fill_mapped(cell, fd, file_size(cell));
    if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        r = -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r == -ENOMEM ? -EOPNOTSUPP : r;
}

/* --- the consumer --- */

static int consume(struct cell *cell, int fd) {
    struct stat status;
    size_t size = file_size(cell);
    if (fcntl(fd, F_GET_SEALS) != SEALS || fstat(fd, &status) < 0 || (size_t) status.st_size != size)
        return -EPROTO;
    const char *data = mmap(NULL, size, PROT_READ, MAP_SHARED | (is(cell, "naive") ? 0 : MAP_POPULATE), fd, 0);
    if (data == MAP_FAILED)
        return -errno;
    cell_read(cell, data, cell->size);
    munmap((void *) data, size);
    return 0;
}

static int serve(struct cell *cell) {
    char word[8], reply[256];
    int r = 0;
    cell_ready(cell);
    while (r == 0) {
        int fd = -1;
        r = take(cell, word, sizeof(word), pair[1], &fd);
        if (r == 0)
            r = consume(cell, fd);
        if (fd >= 0)
            close(fd);
        if (r == 0 && cell->kind == WORK_ONEWAY) {
            cell_arrived(cell);
        } else if (r == 0) {
            cell_write(cell, reply, cell->reply);
            r = give(pair[1], reply, cell->reply, -1);
        }
    }
    return r;
}

static int round_trip(struct cell *cell) {
    char word[8] = {0}, reply[256];
    int fd = -1, none, r = produce(cell, &fd);
    if (r < 0)
        return r;
    r = give(pair[0], word, sizeof(word), fd);
    close(fd);
    if (r == 0 && cell->kind == WORK_ROUNDTRIP && (r = take(cell, reply, cell->reply, pair[0], &none)) == 0)
        cell_read(cell, reply, cell->reply);
    return r;
}

static int measure(struct cell *cell) {
    int r = cell->reply > 256 ? -EMSGSIZE : 0;
    while (r == 0 && cell_next(cell))
        r = round_trip(cell);
    return r;
}

const struct adapter floor_memfd = {.system = "memfd",
                                    .cases = WORK_ROUNDTRIP | WORK_ONEWAY,
                                    .modes = WORK_SPIN | WORK_SLEEP,
                                    .variants = VARIANTS,
                                    .prepare = prepare,
                                    .serve = serve,
                                    .measure = measure};
