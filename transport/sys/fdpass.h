/* SPDX-License-Identifier: MIT */
/*
 * Datagrams with descriptors over a SOCK_SEQPACKET socket: the only sendmsg and the only recvmsg.
 *
 * Owns: nothing; descriptors that arrive are the caller's. Touches: the socket; descriptors that cannot be handed over
 * go to the reaper. Threads: any; one at a time for each direction of a socket.
 */
#ifndef SYS_FDPASS_H
#define SYS_FDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* The kernel's SCM_MAX_FD: as many can arrive in one message, whatever was agreed. */
#define FDPASS_MAX 253

/*
 * Sends one datagram; never blocks, never raises SIGPIPE. `fds` are borrowed: they may be closed once this returned
 * 0, the kernel holds its own references. -EAGAIN: the queue is full · -ETOOMANYREFS: this user has too many
 * descriptors in flight; no event will tell when that changes · -EPIPE: the peer is gone (ECONNRESET and ENOTCONN
 * too) · -EMSGSIZE.
 */
int fdpass_send(int socket, const struct iovec *iov, size_t iov_count, const int *fds, size_t fds_count);

struct fdpass {
    size_t size;       /* bytes of the datagram that were delivered */
    bool is_truncated; /* bytes did not fit */
    bool are_fds_lost; /* descriptors were dropped on the way: EMFILE, or a control buffer that was short */
    /* Which process sent it, as the kernel says, where cred_ask() was called: its number (0: not said, or not visible
     * here) and its pidfd (owned by the caller; -1: not said; less: the errno value for want of one: cred_sender()). */
    int pid, pidfd;
    size_t fds_count;
    /* Owned by the caller, close-on-exec. Of unknown kind: call nothing but memfd_inspect() on them. */
    int fds[FDPASS_MAX];
};

/*
 * Receives one datagram into `iov`; never blocks. Returns 1 with *ret, 0 at the end (the peer is gone
 * and all that it sent was delivered), -EAGAIN when nothing is there. ECONNRESET that precedes queued
 * datagrams is passed over.
 */
int fdpass_recv(int socket, const struct iovec *iov, size_t iov_count, struct fdpass *ret);

/* The same, of a socket for which socket_be_patient() was true: waits for a datagram, for as long as was said there.
 * -EAGAIN: none came, or a signal did. */
int fdpass_wait(int socket, const struct iovec *iov, size_t iov_count, struct fdpass *ret);

/*
 * Ends and closes a socket on which a stranger could send; accepts -1, returns -1. Closing it would also close the
 * descriptors in datagrams that nobody has read, which can block: if there are any, the reaper closes it. What we sent
 * before still arrives.
 */
int fdpass_close(int socket);

#endif
