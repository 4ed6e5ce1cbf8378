/* SPDX-License-Identifier: MIT */
/*
 * A sandbox: the kernel answers one system call of this process with an error, as a seccomp filter of a container or a
 * browser does. It stays for the rest of the process's life, for threads and children that are made later too.
 */
#ifndef TESTS_SUPPORT_SANDBOX_H
#define TESTS_SUPPORT_SANDBOX_H

#include <stdbool.h>

/* As `argument`: whatever the call is given. */
#define SANDBOX_ANY (-1)

/* Forbids the call of that number; with `argument`, only where its second argument is that (a command of fcntl()).
 * False: this machine has no seccomp filters. */
bool sandbox_forbid(long call, long argument, int error);

#endif
