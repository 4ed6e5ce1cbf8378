/* SPDX-License-Identifier: MIT */
/*
 * Listeners. The path is claimed (lane/path_claim.h) before it is bound, and its lock is held until the names are gone,
 * so that two servers never both believe that they own the path. The end removes only names that still name the files
 * made here.
 */
#include "lane/listener.h"

#include "lane/path_claim.h"
#include "sys/cred.h"
#include "sys/fdpass.h"
#include "sys/fork_guard.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "sys/socket.h"
#include <errno.h>

static const unsigned STICKY = 01000; /* cleaners of runtime directories leave files with this bit alone */

static bool has_path(const struct address *address) {
    return address->fd < 0 && address->name[0] == '/';
}

/* Right after they were made. */
static int listener_identify(struct listener *listener) {
    listener->generation = fork_guard_generation();
    listener->uid = cred_own_uid();
    listener->gid = cred_own_gid();
    int r = listener->lock_fd < 0 ? 0 : path_identify_fd(listener->lock_fd, &listener->lock_id);
    return r < 0 || listener->lock_fd < 0 ? r : path_identify(listener->address.name, &listener->socket_id);
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
        r = has_path(&listener.address) ? claim_path(listener.address.name, &listener.lock_fd, ret_why) : 0;
        if (r == 0) {
            r = socket_listen_for(listener.address.name, mode | STICKY, group, &listener.fd);
            *ret_why = r == -EADDRINUSE ? "the address is taken: by a server, or by the child of one that was killed, "
                                          "which has its socket: "
                                          "stop it, or use another address"
                                        : "cannot listen at this address";
        }
    }
    if (r == 0)
        r = listener_identify(&listener);
    if (r < 0) {
        listener_close(&listener);
        return r;
    }
    cred_ask(listener.fd, true); /* accepted sockets inherit it: the first datagram names the process that speaks */
    *ret = listener;
    return 0;
}

int listener_check(const struct listener *listener, const char **ret_why) {
    char lock[CLAIM_LOCK_SIZE];
    const char *path = listener->address.name;
    *ret_why = "";
    if (listener->lock_fd < 0)
        return 0;
    if (!path_names(path, &listener->socket_id))
        return *ret_why =
                   "the socket file was removed or replaced: nobody can connect here any more; start the server anew",
               -ESTALE;
    if (!path_names(claim_lock_path(path, lock), &listener->lock_id))
        return *ret_why = "the lock file beside the socket was removed or replaced; start the server anew", -ESTALE;
    return 0;
}

void listener_renew(struct listener *listener) {
    if (listener->generation == fork_guard_generation())
        return;
    listener->generation = fork_guard_generation();
    if (listener->address.fd < 0 && listener->uid == cred_own_uid() && listener->gid == cred_own_gid())
        socket_listen_again(listener->fd);
}

/* Takes the listener. Clients that wait to be accepted may have sent descriptors already: closing the listener would
 * close these, here. Where not all clients can be accepted, above all for want of descriptors, the reaper closes it. */
static void listener_refuse_waiting(int listener) {
    int r, fd = -1;
    socket_shutdown(listener);
    while ((r = socket_accept(listener, &fd)) == 0)
        fdpass_close(fd);
    if (r == -EAGAIN || r == -EINVAL) /* no client waits */
        fd_close(listener);
    else
        reaper_take(&listener, 1);
}

/* A file that was not identified yet was made a moment ago, and we hold the lock. */
static void drop_name(const char *path, const struct path_id *id) {
    if (id->inode)
        path_unlink_own(path, id);
    else
        path_unlink(path);
}

void listener_close(struct listener *listener) {
    char lock[CLAIM_LOCK_SIZE];
    if (listener->lock_fd >= 0) {
        if (listener->fd >= 0)
            drop_name(listener->address.name, &listener->socket_id);
        drop_name(claim_lock_path(listener->address.name, lock), &listener->lock_id);
    }
    /* The process that gave us an inherited socket may hold it too, and pass the waiting clients to our successor. If
     * no process holds it, this close is the last one, and may block as above. */
    if (listener->address.fd >= 0 && listener->fd >= 0)
        reaper_take(&listener->fd, 1);
    else if (listener->fd >= 0)
        listener_refuse_waiting(listener->fd);
    fd_close(listener->lock_fd);
    *listener = LISTENER_EMPTY;
}
