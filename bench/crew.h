/* SPDX-License-Identifier: MIT */
/*
 * The processes of a cell: forked, pinned, waited for, counted and ended.
 *
 * A child dies with its parent, however that ends. Counting system calls is done by stopping at each of them (ptrace),
 * which is slow but misses none, of no thread: times taken meanwhile mean nothing.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Like fork(); the child runs on that CPU only, or, < 0, on any. -1 when it failed. */
pid_t crew_fork(int cpu);

/* In a child, before anything that shall be counted: its parent traces it from now on. */
void crew_be_traced(void);

/* Waits for one child. Its exit status, or 128 and its signal. */
int crew_wait(pid_t pid);

/* SIGTERM, half a second, SIGKILL. Nothing for -1. */
void crew_end(pid_t pid);
void crew_kill(pid_t pid);

/*
 * Waits for the first child that ends, whichever, and tells its exit status as crew_wait(). Where they are traced, it
 * counts each system call that begins while *counting(user) says so.
 */
pid_t crew_wait_any(bool traced, bool (*counts)(void *user), void *user, uint64_t *ret_syscalls, int *ret_status);

/* How often the threads of a process went to sleep of their own will since it began; 0 when it is gone. */
uint64_t crew_sleeps(pid_t pid);

#endif
