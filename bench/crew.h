/* SPDX-License-Identifier: MIT */
/*
 * The processes of a cell: forked, pinned, waited for, counted and ended.
 *
 * A child dies with its parent, in whatever way the parent ends. System calls are counted by stopping at each of them
 * (ptrace), which is slow but misses none, in any thread: times measured meanwhile are meaningless.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Forks; the child runs on that CPU only, or, if `cpu` < 0, on any. Returns -1 on failure. */
pid_t crew_fork(int cpu);

/*
 * Keeps a CPU from idling, at the lowest priority, until the process is killed. The host of a virtual machine finds a
 * place for a CPU when it wakes up: the distance between two CPUs may differ after each pause, such as those between
 * the floor and the laps of a cell.
 */
pid_t crew_keep_awake(int cpu);

/* Call it in a child, before the calls to be counted: its parent traces it from now on. */
void crew_be_traced(void);

/* Waits for one child. Returns its exit status, or 128 plus its signal. */
int crew_wait(pid_t pid);

/* Sends SIGTERM, waits half a second, sends SIGKILL. Does nothing for -1. */
void crew_end(pid_t pid);
void crew_kill(pid_t pid);

/*
 * Waits for the first child that ends, and returns its exit status as crew_wait() does. If the children are traced,
 * counts each system call that begins while counts(user) is true.
 */
pid_t crew_wait_any(bool traced, bool (*counts)(void *user), void *user, uint64_t *ret_syscalls, int *ret_status);

/* Returns how often the threads of a process have gone to sleep voluntarily since it began; 0 when it is gone. */
uint64_t crew_sleeps(pid_t pid);

#endif
