/* SPDX-License-Identifier: MIT */
/*
 * Claiming a path. The lock is the first witness: a server holds it for as long as it lives, and the kernel frees it.
 *
 * There are two cases in which it says the wrong thing. A cleaner has removed its file: then it is free, and yet a
 * server lives. And a server was killed whose forked child lives on: the child holds the lock, and the listening socket
 * too. So the socket is asked as well. It is alive if the process that called listen() is (a server that became a
 * daemon calls it once more), or if somebody answers: a GOODBYE is answered by a GOODBYE (doc/PROTOCOL.md).
 *
 * A successor takes a lock over that others hold under the lock of the directory, and only while both names still name
 * the files that were judged; the old socket goes under the same lock. So one of two successors does it: the
 * other one judges both files of the old server, which are gone then, or both files of the new server, which answers.
 */
#include "lane/path_claim.h"

#include "sys/cred.h"
#include "sys/failure.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "sys/socket.h"
#include "sys/wait.h"
#include "wire/frame.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>

static const int ANSWER_MS = 500;

enum tenant {
    TENANT_NONE,   /* no process listens */
    TENANT_HIDDEN, /* we may not connect */
    TENANT_GONE,   /* the process that listened has ended, and the present holder of the socket does not answer */
    TENANT_LIVES,  /* or may: it cannot be known */
    TENANT_FULL    /* the same, and no more can connect */
};

const char *claim_lock_path(const char *path, char buf[CLAIM_LOCK_SIZE]) {
    snprintf(buf, CLAIM_LOCK_SIZE, "%s.lock", path);
    return buf;
}

/* Does anybody answer within a bounded time? */
static bool is_answered(int fd) {
    uint8_t buf[WIRE_GOODBYE_SIZE + WIRE_TEXT_MAX];
    struct iovec out = {.iov_base = buf, .iov_len = wire_encode_goodbye(buf, 0, "")};
    struct iovec in = {.iov_base = buf, .iov_len = sizeof(buf)};
    struct fdpass pass;
    (void) fdpass_send(fd, &out, 1, NULL, 0); /* a server that was faster, and has closed already, has said something */
    int r = wait_fd(fd, POLLIN, wait_deadline(ANSWER_MS));
    if (r <= 0)
        return r < 0; /* it could not be waited for: nothing is taken over on a guess */
    if (fdpass_recv(fd, &in, 1, &pass) != 1)
        return false;
    reaper_take(pass.fds, pass.fds_count);
    fd_close(pass.pidfd);
    return true;
}

/* Has the process that called listen() ended? Before Linux 6.5 only its number is told: if no process has that, it has
 * ended. */
static bool listener_has_ended(int fd, struct cred *cred) {
    if (cred_read(fd, cred) < 0)
        return false;
    if (cred->pidfd >= 0 || cred->pid <= 0)
        return cred_has_ended(cred->pidfd);
    int pidfd = cred_pidfd(cred->pid);
    cred->pidfd = pidfd < 0 ? -1 : pidfd;
    return pidfd == -ESRCH || cred_has_ended(cred->pidfd);
}

/* Takes `fd`, which is connected. */
static enum tenant tenant_at(int fd) {
    struct cred cred = {.pidfd = -1};
    socket_refuse_fds(fd);
    bool has_ended = listener_has_ended(fd, &cred);
    enum tenant tenant = has_ended && !is_answered(fd) ? TENANT_GONE : TENANT_LIVES;
    fd_close(cred.pidfd);
    fdpass_close(fd);
    return tenant;
}

/* Or a negative errno value: it could not be asked. */
static int tenant_of(const char *path) {
    int fd = -1;
    int r = socket_connect(path, &fd);
    switch (failure_error(r)) {
    case 0:
        return (int) tenant_at(fd);
    case -ENOENT:
    case -ECONNREFUSED:
        return TENANT_NONE;
    case -EACCES:
    case -EPERM:
        return TENANT_HIDDEN;
    case -EAGAIN:
        return TENANT_FULL;
    case -EPROTOTYPE: /* a socket of another type */
        return TENANT_LIVES;
    default:
        return r;
    }
}

/* Others hold the lock. */
static const char *why_held(int tenant) {
    switch (tenant) {
    case TENANT_NONE:
        return "the lock file beside its socket is held, though nobody listens: a server begins or ends there, or the "
               "child of a killed one lives (`fuser` names it)";
    case TENANT_FULL:
        return "the lock file beside its socket is held, and its socket's queue is full: a server is busy there, or "
               "the child of a killed one lives (`fuser` names it)";
    case TENANT_GONE:
        return "another server has just taken over from one that was killed there: stop it, or use another address";
    default:
        return "a server is running there, or begins to (it holds the lock file beside its socket): stop it, or use "
               "another address";
    }
}

/* The lock file cannot be made, or no process can lock it. */
static const char *why_unlocked(int error) {
    return error == -ENOLCK || error == -EOPNOTSUPP
               ? "the lock file beside the socket cannot be locked: its file system has no flock; use another directory"
               : "the lock file beside the socket cannot be made: is there such a directory, and is it ours?";
}

/* We hold the lock: is the socket free too? */
static int check_socket(const char *path, int tenant, const char **ret_why) {
    *ret_why = "the socket that has this path cannot be asked whether a server lives there";
    if (tenant < 0)
        return tenant;
    *ret_why = tenant == TENANT_FULL ? "somebody listens there, with a full queue of connections: stop that program "
                                       "(`fuser` on the socket names it), or use another address"
                                     : "somebody listens there, though nobody holds a lock file beside the socket: "
                                       "stop that program (`fuser` on the socket names it), or use another address";
    if (tenant == TENANT_LIVES || tenant == TENANT_FULL)
        return -EADDRINUSE;
    *ret_why = "something that is not a socket has this path: remove it, or use another";
    return path_unlink_socket(path);
}

static int claim_with_lock(const char *path, const char *lock, int lock_fd, int tenant, int *ret_lock,
                           const char **ret_why) {
    int r = check_socket(path, tenant, ret_why);
    if (r == 0) {
        *ret_lock = lock_fd;
        return 0;
    }
    path_unlink(lock); /* we hold it */
    fd_close(lock_fd);
    return r;
}

int claim_path(const char *path, int *ret_lock, const char **ret_why) {
    char lock[CLAIM_LOCK_SIZE];
    int fd = -1;
    struct path_tenancy judged = {.lock = claim_lock_path(path, lock), .socket = path};
    int r = path_lock(lock, &fd);
    if (r == 0)
        return claim_with_lock(path, lock, fd, tenant_of(path), ret_lock, ret_why);
    *ret_why = why_unlocked(r);
    if (r != -EADDRINUSE)
        return r;
    bool is_named = path_identify(lock, &judged.lock_id) == 0 && path_identify(path, &judged.socket_id) == 0;
    int tenant = tenant_of(path);
    *ret_why = why_held(tenant);
    if (tenant != TENANT_GONE || !is_named)
        return r;
    r = path_take_lock(&judged, &fd);
    if (r < 0 && r != -EADDRINUSE)
        *ret_why =
            "the child of a killed server holds the lock file beside the socket, and that file cannot be replaced: end "
            "the child (`fuser` names it)";
    if (r == -EBUSY) {
        *ret_why = "the server there was killed, but its directory is locked (flock), by another server that begins "
                   "there or another program: `fuser` on the directory names it";
        r = -EADDRINUSE;
    }
    return r < 0 ? r : claim_with_lock(path, lock, fd, TENANT_GONE, ret_lock, ret_why);
}
