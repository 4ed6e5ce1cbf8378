/* SPDX-License-Identifier: MIT */
/*
 * A listening socket and, where it has a path, the lock beside it that tells a live server from a dead one.
 *
 * Owns: both descriptors and the two names in the file system, which go with it. Touches: files at the path; opening
 * asks a server that may live there, and closing accepts the clients that wait, to close them.
 * Threads: one at a time, the server's. listener_open() may block for half a second (claim_path()); no other function
 * blocks.
 */
#ifndef LANE_LISTENER_H
#define LANE_LISTENER_H

#include "lane/address.h"
#include "sys/path.h"
#include <stdint.h>

struct listener {
    int fd;      /* owned, non-blocking */
    int lock_fd; /* owned; -1: no path, no lock */
    struct address address;
    struct path_id lock_id, socket_id; /* the files that are ours */
    unsigned generation;               /* of the process that listens (sys/fork_guard.h) */
    uint32_t uid, gid;                 /* of that process then */
};

#define LISTENER_EMPTY ((struct listener){.fd = -1, .lock_fd = -1})

/*
 * Listens. A socket file is stale if no process holds its lock, and is replaced. An inherited descriptor is taken over.
 * On failure *ret_why is a static text. Errors: as address_parse(); -EADDRINUSE; -ENOTSOCK (a file that is not a socket
 * has that path); as socket_listen() and socket_adopt(); each may be a failure (sys/failure.h).
 */
int listener_open(struct listener *ret, const char *address, unsigned mode, const char **ret_why);

/* As listener_open(), with a socket file of that group. Where we may not give the file away the error is a failure that
 * names fchownat. */
int listener_open_for(struct listener *ret, const char *address, unsigned mode, uint32_t group, const char **ret_why);

/* Removes the names that are still its own. */
void listener_close(struct listener *listener);

/* 0, or -ESTALE: the path, or the lock beside it, does not name our file any more, and *ret_why says which. Without a
 * path: 0. */
int listener_check(const struct listener *listener, const char **ret_why);

/* The serving process calls this now and then. A process that was forked since then listens once more, so that clients
 * and successors see that it lives; but not if it belongs to another user now, because clients would take that user for
 * the server's. Cheap. */
void listener_renew(struct listener *listener);

#endif
