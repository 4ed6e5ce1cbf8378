/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a socket: SO_PEERCRED, and SO_PEERPIDFD where the kernel has it (6.5+); and who sent a
 * datagram. */
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

/* -ENOTCONN: nobody is there, and never was. The caller owns ret_cred->pidfd. */
int cred_read(int socket, struct cred *ret_cred);
uint32_t cred_own_uid(void); /* effective */
uint32_t cred_own_gid(void); /* effective */

/* The peer's supplementary groups, as they were at connect() or listen(). The caller frees *ret_groups with
 * heap_free(). Errors: -ENOPROTOOPT (before Linux 4.13), -ENODATA (nobody is there), -ENOMEM. */
int cred_read_groups(int socket, uint32_t **ret_groups, size_t *ret_count);

/* From now on (`on`), or no more: each datagram that arrives on this socket says which process sent it (fdpass_recv()).
 * What accept() makes of a listener inherits it. Optional: a kernel that lacks one of the two options says less. */
void cred_ask(int socket, bool on);

/* A pidfd of a process that was named by its number, or a negative errno value: -ESRCH: it has ended. The caller owns
 * it. */
int cred_pidfd(int32_t pid);

/* The kernel said nothing. */
enum { CRED_UNTOLD = -1 };

/*
 * A pidfd of the process that sent a datagram. `pid` is its number; `told`, which is taken, is what the kernel put
 * beside it (SCM_PIDFD): a descriptor, a negative errno value for want of one, or CRED_UNTOLD. Errors: -ESRCH: it has
 * ended; others: it is not known.
 *
 * Only where nothing was told, before Linux 6.5, the number is asked for, and then whoever has it now is taken for the
 * sender: a process that ended after it had sent may be mistaken for a later one with its number. Nothing that the
 * kernel tells there shows it.
 */
int cred_sender(int32_t pid, int told);

/* Has the process ended, whole? Never blocks. Where that cannot be asked: false. */
bool cred_has_ended(int pidfd);

#endif
