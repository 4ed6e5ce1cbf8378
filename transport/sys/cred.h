/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a socket: SO_PEERCRED, and SO_PEERPIDFD where the kernel has it (6.5+). */
#ifndef SYS_CRED_H
#define SYS_CRED_H

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

/* The peer's supplementary groups, as they were at connect() or listen(). The caller frees *ret_groups with heap_free(). Errors:
 * -ENOPROTOOPT (before Linux 4.13), -ENODATA (nobody is there), -ENOMEM. */
int cred_read_groups(int socket, uint32_t **ret_groups, size_t *ret_count);

#endif
