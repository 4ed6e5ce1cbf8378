/* SPDX-License-Identifier: MIT */
/* Functions that the programs which measure other systems share. */
#include "peer.h"

#include "work.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/socket.h>

enum { MALLOC_GROWS_BY = 64 << 20, MALLOC_KEEPS = 1 << 30, SOCKET_ROOM = 4 << 20 };

int peer_pair[2];

int peer_keep_memory(struct cell *cell) {
    (void) cell;
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TOP_PAD, MALLOC_GROWS_BY);
    mallopt(M_TRIM_THRESHOLD, MALLOC_KEEPS);
    mallopt(M_ARENA_MAX, 1);
    return 0;
}

int peer_make_pair(struct cell *cell) {
    const int room = SOCKET_ROOM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, peer_pair) < 0)
        return -errno;
    for (int end = 0; end < 2; end++)
        setsockopt(peer_pair[end], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    return peer_keep_memory(cell);
}

const char *peer_url(const struct cell *cell, char url[PEER_URL_MAX]) {
    snprintf(url, PEER_URL_MAX, "ipc://%s/socket", cell->dir);
    return url;
}
