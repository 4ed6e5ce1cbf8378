/* SPDX-License-Identifier: MIT */
/*
 * A failure: a number that names the system call that failed, and its errno.
 *
 * Most errno values name the shortage themselves (ENOMEM, EMFILE, ENFILE, EFBIG, ENOSPC), or have a meaning for the
 * caller of a function (EBADF, EINVAL, EBUSY, EAGAIN, EPIPE, ENOENT): they stay as they are. All others, first of all
 * EPERM and ENOSYS of a sandbox, say nothing without the name of the call. Functions in sys that make or examine
 * memory, functions that wait, and functions of sockets return these errno values as failures, which are below
 * -FAILURE_BASE. The function that explains the error to the user takes the failure apart; no failure crosses the
 * public interface or the wire.
 *
 * Owns: nothing but constant names. It makes no call and reads no errno. Threads: any.
 */
#ifndef SYS_FAILURE_H
#define SYS_FAILURE_H

#include "sys/inject.h"
#include <stdbool.h>

/* errno values are below 4096, kinds of calls below 1024. */
#define FAILURE_BASE (1 << 24)

/* The result of a function whose call of `kind` failed with errno `error`: a failure, or -error as it is. */
int failure_of(enum inject_kind kind, int error);

/* Like failure_of(), but a failure for every errno value, where none of them says enough. */
int failure_name(enum inject_kind kind, int error);

/* The negative errno value in `r`. A number that is no failure is returned as it is. */
int failure_error(int r);

/* The name of the call in `r`, "fcntl(F_ADD_SEALS)", static; NULL: `r` is no failure. */
const char *failure_call(int r);

/* Is this the answer of a filter or a security module: EPERM, EACCES, or ENOSYS? `r` may be a failure or a negative
 * errno value. */
bool failure_is_forbidden(int r);

/* The name of a call as its users know it, "fcntl(F_ADD_SEALS)". Static. */
const char *failure_call_name(enum inject_kind kind);

#endif
