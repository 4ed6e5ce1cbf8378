/* SPDX-License-Identifier: MIT */
/*
 * Time, and waiting for it or for descriptors.
 *
 * Owns: nothing; sets and bells are the caller's descriptors. Threads: any; one thread may poll a set while others
 * change it; any thread may ring a bell.
 */
#ifndef SYS_WAIT_H
#define SYS_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#define WAIT_FOREVER UINT64_MAX

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t wait_now(void);

/* wait_now(), up to some milliseconds late, at a third of its cost. */
uint64_t wait_now_coarse(void);

/* The instant `timeout_ms` from now; negative: WAIT_FOREVER. */
uint64_t wait_deadline(int timeout_ms);

/* Milliseconds until `deadline`, rounded up, 0 when past; -1 for WAIT_FOREVER. */
int wait_left_ms(uint64_t deadline);

/* How many CPUs this thread and the process `pid` may use together. Many, where the kernel cannot be asked. */
unsigned wait_cpus_shared(int pid);

/* Does this thread run under a real-time policy, so that ordinary threads cannot take its CPU? */
bool wait_is_realtime(void);

/* Polls one descriptor (-1: none, just sleeps) until `deadline`. Returns revents, 0 at the deadline; interrupted
 * waits go on. */
int wait_fd(int fd, short events, uint64_t deadline);

/* Like wait_fd(), but also ends when `wake_fd` (a wait_bell_new(); -1: none) is rung. The ring stays until
 * wait_bell_clear(). */
int wait_fd_or_bell(int fd, short events, int wake_fd, uint64_t deadline);

/* Like wait_fd_or_bell(), but also ends when `other` (-1: none) has POLLIN; then WAIT_OTHER is a part of the result. If
 * `wake_fd` is rung, WAIT_BELL is. */
#define WAIT_OTHER 0x10000
#define WAIT_BELL 0x20000
int wait_all(int fd, short events, int other, int wake_fd, uint64_t deadline);

/* A set of descriptors, each with a pointer: epoll. */
struct wait_event {
    void *data;
    short revents; /* POLLIN, POLLOUT, POLLHUP, POLLERR */
};
int wait_set_new(int *ret_fd);
int wait_set_add(int set, int fd, short events, void *data);
int wait_set_change(int set, int fd, short events, void *data);
void wait_set_remove(int set, int fd);
/* Returns how many events were written; 0 at the deadline or when a signal came. */
int wait_set_poll(int set, struct wait_event *ret_events, int max, uint64_t deadline);

/* A descriptor that any thread can make readable, also from a signal handler: eventfd. */
int wait_bell_new(int *ret_fd);
void wait_bell_ring(int fd);
void wait_bell_clear(int fd);

#endif
