/* SPDX-License-Identifier: MIT */
/*
 * What a child of fork() is not to hold: the descriptors of its parent's connections. They would keep a socket open
 * that the parent's death is to end.
 */
#ifndef SYS_FORK_GUARD_H
#define SYS_FORK_GUARD_H

/* From now on the descriptor (borrowed) is a dead socket in every child of fork(). Accepts -1. */
void fork_guard_add(int fd);

/* To be called before it is closed or handed on; accepts what is not guarded, and -1. */
void fork_guard_remove(int fd);

/* How many forks lie between this process and the one in which this was first asked. Cheap. */
unsigned fork_guard_generation(void);

#endif
