/* SPDX-License-Identifier: MIT */
/*
 * Misuse of the library: what a program does that no program may do, found on a path that is seldom taken.
 *
 * With SEALANE_CHECK=1 in the environment the program ends there, by abort(), with a text on standard error. Without
 * it the function that found the misuse does nothing else, and returns an error if it returns one.
 *
 * Owns: the answer to the first look at the environment. Touches: standard error and the process, under SEALANE_CHECK
 * only. Threads: any, while no thread calls setenv().
 */
#ifndef SYS_MISUSE_H
#define SYS_MISUSE_H

#include <stdbool.h>

/* Is SEALANE_CHECK set? Any thread. A program with more rights than its user (secure_getenv(3)) is never checked. */
bool misuse_is_checked(void);

/* Returns -EINVAL; does not return under SEALANE_CHECK. */
int misuse_tell(const char *text);

#endif
