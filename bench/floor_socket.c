/* SPDX-License-Identifier: MIT */
/* A payload copied through a Unix socket, of packets or of bytes. In the spinning mode, a side receives without
 * waiting. */
#include "floors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *const VARIANTS[] = {"seqpacket", "stream", NULL};

static const int ROOM = 4 << 20; /* bytes; the kernel may grant less, and a packet must fit */

static int pair[2];

static int prepare(struct cell *cell) {
    int type = strcmp(cell->variant, "stream") == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    for (int end = 0; end < 2; end++)
        setsockopt(pair[end], SOL_SOCKET, SO_SNDBUF, &ROOM, sizeof(ROOM));
    return 0;
}

static int give(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        data += n;
        size -= (size_t) n;
    }
    return 0;
}

static int take(const struct cell *cell, int fd, char *data, size_t size) {
    int flags = cell->mode == WORK_SPIN ? MSG_DONTWAIT : 0;
    while (size > 0) {
        ssize_t n = recv(fd, data, size, flags);
        if (n == 0)
            return -EPIPE;
        if (n < 0 && errno != EAGAIN)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t) n;
        }
    }
    return 0;
}

static int serve(struct cell *cell) {
    char *data = aligned_alloc(64, (cell->size + 63) / 64 * 64);
    int r = 0;
    cell_ready(cell);
    while (r == 0 && (r = take(cell, pair[1], data, cell->size)) == 0) {
        cell_read(cell, data, cell->size);
        if (cell->kind == WORK_ONEWAY) {
            cell_arrived(cell);
        } else {
            cell_write(cell, data, cell->reply);
            r = give(pair[1], data, cell->reply);
        }
    }
    free(data);
    return r;
}

static int round_trip(struct cell *cell, char *data) {
    cell_write(cell, data, cell->size);
    int r = give(pair[0], data, cell->size);
    if (r == 0 && cell->kind != WORK_ONEWAY && (r = take(cell, pair[0], data, cell->reply)) == 0)
        cell_read(cell, data, cell->reply);
    return r;
}

static int measure(struct cell *cell) {
    char *data = aligned_alloc(64, (cell->size + 63) / 64 * 64);
    int r = 0;
    while (r == 0 && cell_next(cell))
        r = round_trip(cell, data);
    if (r == 0 && cell->kind == WORK_IDLE)
        r = take(cell, pair[0], data, cell->size);
    free(data);
    return r;
}

const struct adapter floor_socket = {.system = "socket",
                                     .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                     .modes = WORK_SPIN | WORK_SLEEP,
                                     .variants = VARIANTS,
                                     .prepare = prepare,
                                     .serve = serve,
                                     .measure = measure};
