/* SPDX-License-Identifier: MIT */
/*
 * What a child of fork() is not to hold: the descriptors of its parent's connections. They would keep a socket open that the
 * parent's death is to end.
 */
#ifndef SYS_FORKED_H
#define SYS_FORKED_H

/* From now on the descriptor (borrowed) is a dead socket in every child of fork(). Accepts -1. */
void forked_guard(int fd);

/* To be called before it is closed or handed on; accepts what is not guarded, and -1. */
void forked_forget(int fd);

/* How many forks lie between this process and the one in which this was first asked. Cheap. */
unsigned forked_generation(void);

#endif
