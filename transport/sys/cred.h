/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a socket: SO_PEERCRED, and SO_PEERPIDFD where the kernel has it (6.5+). */
#ifndef SYS_CRED_H
#define SYS_CRED_H

#include <stdint.h>

struct cred {
    int32_t pid;
    uint32_t uid, gid;
    int pidfd; /* owned; -1 where there is none */
};

/* -ENOTCONN: nobody is there, and never was. The caller owns ret_cred->pidfd. */
int cred_read(int socket, struct cred *ret_cred);
uint32_t cred_own_uid(void); /* effective */

#endif
