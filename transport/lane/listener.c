/* SPDX-License-Identifier: MIT */
/*
 * Listeners. The lock is taken before the socket's path is looked at and held until the names are gone, so
 * that two servers never both believe that the path is theirs. Whoever kills a server frees its lock: the kernel does.
 */
#include "lane/listener.h"

#include "sys/cred.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/path.h"
#include "sys/reaper.h"
#include "sys/socket.h"
#include <errno.h>
#include <stdio.h>

#define LOCK_PATH_SIZE (ADDRESS_NAME_SIZE + 8)

static bool has_path(const struct address *address) {
    return address->fd < 0 && address->name[0] == '/';
}

static const char *lock_path(const struct address *address, char buf[LOCK_PATH_SIZE]) {
    snprintf(buf, LOCK_PATH_SIZE, "%s.lock", address->name);
    return buf;
}

static int path_claim(struct listener *listener, const char **ret_why) {
    char lock[LOCK_PATH_SIZE];
    if (!has_path(&listener->address))
        return 0;
    int r = path_lock(lock_path(&listener->address, lock), &listener->lock_fd);
    *ret_why = r == -EADDRINUSE
                   ? "a server is running there: the lock file beside its socket is held"
                   : "the lock file beside the socket cannot be made: is there such a directory, and is it ours?";
    if (r < 0)
        return r;
    *ret_why = "something that is not a socket has this path: remove it, or use another";
    return path_unlink_socket(listener->address.name);
}

int listener_open(struct listener *ret, const char *address, unsigned mode, const char **ret_why) {
    return listener_open_for(ret, address, mode, SOCKET_GROUP_NONE, ret_why);
}

int listener_open_for(struct listener *ret, const char *address, unsigned mode, uint32_t group, const char **ret_why) {
    struct listener listener = LISTENER_EMPTY;
    int r = address_parse(address, true, &listener.address, ret_why);
    if (r < 0)
        return r;
    if (listener.address.fd >= 0) {
        *ret_why = "the inherited descriptor is not a listening AF_UNIX SOCK_SEQPACKET socket";
        r = socket_adopt(listener.address.fd, true);
        listener.fd = r == 0 ? listener.address.fd : -1;
    } else {
        r = path_claim(&listener, ret_why);
        if (r == 0) {
            r = socket_listen_for(listener.address.name, mode, group, &listener.fd);
            *ret_why = r == -EPERM && group != SOCKET_GROUP_NONE
                           ? "the socket file cannot be given to its group: only root may, or a member of that group"
                           : "cannot listen at this address";
        }
    }
    if (r < 0) {
        listener_close(&listener);
        return r;
    }
    cred_ask(listener.fd, true);
    *ret = listener;
    return 0;
}

/* Who waits to be accepted may have sent already: closing the listener would close that, here. */
static void listener_refuse_waiting(int listener) {
    int fd = -1;
    socket_shutdown(listener);
    while (socket_accept(listener, &fd) == 0)
        fdpass_close(fd);
}

void listener_close(struct listener *listener) {
    char lock[LOCK_PATH_SIZE];
    if (listener->lock_fd >= 0) {
        if (listener->fd >= 0)
            path_unlink(listener->address.name);
        path_unlink(lock_path(&listener->address, lock));
    }
    /* Whoever gave us an inherited socket may hold it too, and serve those who wait with our successor. If nobody does,
     * this close is the last one, and may block as above. */
    if (listener->address.fd >= 0 && listener->fd >= 0)
        reaper_take(&listener->fd, 1);
    else if (listener->fd >= 0) {
        listener_refuse_waiting(listener->fd);
        fd_close(listener->fd);
    }
    fd_close(listener->lock_fd);
    *listener = LISTENER_EMPTY;
}
