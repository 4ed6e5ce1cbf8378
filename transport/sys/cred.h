/* SPDX-License-Identifier: MIT */
/*
 * The process on the other side of a socket: SO_PEERCRED, and SO_PEERPIDFD where the kernel has it (6.5+); and the
 * sender of a datagram.
 *
 * Owns: nothing; pidfds and lists of groups are the caller's. Touches: an option of the caller's socket, in cred_ask().
 * It judges no identity: lane/policy.c does. Threads: any.
 */
#ifndef SYS_CRED_H
#define SYS_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cred {
    int32_t pid;
    uint32_t uid, gid;
    int pidfd; /* owned; -1 where there is none */
};

/* -ENOTCONN: the socket has never been connected. The caller owns ret_cred->pidfd. */
int cred_read(int socket, struct cred *ret_cred);
uint32_t cred_own_uid(void); /* effective */
uint32_t cred_own_gid(void); /* effective */

/* The peer's supplementary groups, as they were at connect() or listen(). The caller frees *ret_groups with
 * heap_free(). Errors: -ENOPROTOOPT (before Linux 4.13), -ENODATA (not connected), -ENOMEM. */
int cred_read_groups(int socket, uint32_t **ret_groups, size_t *ret_count);

/* Switches on or off that each datagram arriving on this socket names the process that sent it (fdpass_recv()). Sockets
 * that accept() makes of a listener inherit it. Optional: a kernel that lacks one of the two options says less. */
void cred_ask(int socket, bool on);

/* A pidfd of a process by its number, or a negative errno value: -ESRCH: it has ended. The caller owns it. */
int cred_pidfd(int32_t pid);

/* The kernel reported neither a descriptor nor an error. */
enum { CRED_UNTOLD = -1 };

/*
 * A pidfd of the process that sent a datagram. `pid` is its number; `told`, which is taken, is the kernel's report
 * beside it (SCM_PIDFD): a descriptor, the negative errno value of a missing one, or CRED_UNTOLD. Errors: -ESRCH: the
 * process has ended; others: it is not known.
 *
 * Only after CRED_UNTOLD, before Linux 6.5, the function opens the process by its number, and takes the process that
 * has the number now for the sender: a later process with the number of a sender that has ended may be mistaken for it.
 * Such a kernel has no means to detect this.
 */
int cred_sender(int32_t pid, int told);

/* Has the process ended, with all its threads? Never blocks. False where the kernel cannot be asked. */
bool cred_has_ended(int pidfd);

#endif
