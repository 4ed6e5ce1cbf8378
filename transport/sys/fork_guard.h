/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that a child of fork() must not hold: the ones of its parent's connections. They would keep a socket open
 * that the parent's death should end.
 *
 * Owns: the table of guarded numbers, one for the process; the descriptors are borrowed. Touches: the handlers of
 * fork(), with the first call; in a child it replaces the descriptors. Threads: any.
 */
#ifndef SYS_FORK_GUARD_H
#define SYS_FORK_GUARD_H

/* From now on the descriptor (borrowed) is a dead socket in every child of fork(). Accepts -1. */
void fork_guard_add(int fd);

/* Ends the guard, before the descriptor is closed or handed on. Accepts a descriptor without a guard, and -1. */
void fork_guard_remove(int fd);

/* The number of forks between this process and the one of the first call. Cheap. */
unsigned fork_guard_generation(void);

#endif
