/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end: what the kernel noted at connect() and accept(), which nobody can change later.
 *
 * Nothing is judged here; lane/policy.c does that.
 *
 * Facts relied on: SO_PEERCRED of connect()/accept() is the identity at connect time and stays readable after the
 * peer is gone; SO_PEERPIDFD may be missing (tests/contract/test_send.c).
 *
 * Threads: any.
 */
#include "sys/cred.h"

#include "sys/seam.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux 6.5. The number differs on these two; there we do without. */
#if !defined(SO_PEERPIDFD) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PEERPIDFD 77
#endif

static int read_pidfd(int socket) {
#ifdef SO_PEERPIDFD
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    if (SEAM(GETSOCKOPT, getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size)) == 0)
        return pidfd;
#else
    (void) socket;
#endif
    return -1;
}

int cred_read(int socket, struct cred *ret_cred) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (SEAM(GETSOCKOPT, getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size)) < 0)
        return -errno;
    if (peer.uid == (uid_t) -1)
        return -ENOTCONN;

    *ret_cred = (struct cred){.pid = peer.pid, .uid = peer.uid, .gid = peer.gid, .pidfd = read_pidfd(socket)};
    return 0;
}

uint32_t cred_own_uid(void) {
    return geteuid();
}
