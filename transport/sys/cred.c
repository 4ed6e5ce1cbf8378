/* SPDX-License-Identifier: MIT */
/*
 * The process on the other side of a socket: the kernel's record of connect() and accept(), which cannot be changed
 * later; and the process that sent a datagram.
 *
 * The two differ. A client sees the process that called listen() as its server: a server that bound its socket and then
 * became a daemon, or inherited the socket, is a different process. Only the sender of a datagram is the process that
 * speaks.
 *
 * Nothing is judged here; lane/policy.c does that.
 *
 * Facts relied on: SO_PEERCRED of connect()/accept() is the identity at connect time and stays readable after the peer
 * is gone; SO_PEERPIDFD may be missing (tests/contract/test_send.c); an accepted socket inherits SO_PASSCRED and
 * SO_PASSPIDFD, and datagrams sent before it was accepted name their sender too (tests/contract/test_receive.c).
 */
#include "sys/cred.h"

#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/inject.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.5. The number differs on these two; there we do without. */
#if !defined(SO_PEERPIDFD) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PEERPIDFD 77
#endif
#if !defined(SO_PASSPIDFD) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PASSPIDFD 76
#endif

/* More than most users are in. */
enum { GROUPS_FIRST = 64 };

static int read_pidfd(int socket) {
#ifdef SO_PEERPIDFD
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    if (INJECT(GETSOCKOPT, getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size)) == 0)
        return pidfd;
#else
    (void) socket;
#endif
    return -1;
}

int cred_read(int socket, struct cred *ret_cred) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (INJECT(GETSOCKOPT, getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size)) < 0)
        return failure_of(INJECT_GETSOCKOPT, errno);
    if (peer.uid == (uid_t) -1)
        return -ENOTCONN;

    *ret_cred = (struct cred){.pid = peer.pid, .uid = peer.uid, .gid = peer.gid, .pidfd = read_pidfd(socket)};
    return 0;
}

/* Linux 4.13. */
#if !defined(SO_PEERGROUPS) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PEERGROUPS 59
#endif

/* *size: in, the size of the buffer; out, the size of the list. */
static int read_groups(int socket, uint32_t *groups, socklen_t *size) {
#ifdef SO_PEERGROUPS
    return INJECT(GETSOCKOPT, getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, size)) < 0 ? -errno : 0;
#else
    (void) socket;
    (void) groups;
    (void) size;
    return -ENOPROTOOPT;
#endif
}

int cred_read_groups(int socket, uint32_t **ret_groups, size_t *ret_count) {
    static_assert(sizeof(gid_t) == sizeof(uint32_t), "the kernel's groups are 32 bits wide");
    socklen_t size = GROUPS_FIRST * sizeof(uint32_t);
    CLEANUP_FREE uint32_t *groups = heap_new(GROUPS_FIRST, sizeof(*groups));
    int r = groups ? read_groups(socket, groups, &size) : -ENOMEM;
    if (r == -ERANGE) {
        heap_free(groups);
        groups = heap_new(size, 1);
        r = groups ? read_groups(socket, groups, &size) : -ENOMEM;
    }
    if (r < 0)
        return r;
    *ret_count = size / sizeof(*groups);
    *ret_groups = groups;
    groups = NULL;
    return 0;
}

uint32_t cred_own_uid(void) {
    return geteuid();
}

uint32_t cred_own_gid(void) {
    return getegid();
}

void cred_ask(int socket, bool on) {
    int value = on;
    (void) INJECT(SETSOCKOPT, setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &value, sizeof value));
#ifdef SO_PASSPIDFD
    (void) INJECT(SETSOCKOPT, setsockopt(socket, SOL_SOCKET, SO_PASSPIDFD, &value, sizeof value));
#endif
}

int cred_pidfd(int32_t pid) {
#ifdef SYS_pidfd_open
    int fd = (int) INJECT(OPEN, syscall(SYS_pidfd_open, pid, 0));
    return fd < 0 ? -errno : fd;
#else
    (void) pid;
    return -ENOSYS;
#endif
}

/* Linux 6.5 to 6.15 report EINVAL or ESRCH for a process that was reaped. Another process may have its number by
 * now. */
int cred_sender(int32_t pid, int told) {
    if (told >= 0)
        return told;
    if (pid <= 0)
        return -ENOENT;
    if (told == CRED_UNTOLD)
        return cred_pidfd(pid);
    return told == -EINVAL ? -ESRCH : told;
}

bool cred_has_ended(int pidfd) {
    struct pollfd item = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && INJECT(POLL, poll(&item, 1, 0)) == 1 && (item.revents & POLLIN) != 0;
}
