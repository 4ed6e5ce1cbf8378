/* SPDX-License-Identifier: MIT */
/*
 * A sandbox: the kernel answers one system call of this process with an error, as the seccomp filter of a container or
 * a browser does. The filter stays for the rest of the process's life, also for threads and children that are made
 * later.
 */
#ifndef TESTS_SUPPORT_SANDBOX_H
#define TESTS_SUPPORT_SANDBOX_H

#include <stdbool.h>

/* Value of `argument` that matches any argument. */
#define SANDBOX_ANY (-1)

/* Forbids the system call with that number; with `argument`, only where the call's second argument equals it (a
 * command of fcntl()). Returns false if this machine has no seccomp filters. */
bool sandbox_forbid(long call, long argument, int error);

#endif
