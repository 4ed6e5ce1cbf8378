/* SPDX-License-Identifier: MIT */
/*
 * The reaper closes descriptors that a peer chose, on threads of its own, because close() of a hostile one
 * can block: for seconds (a TCP socket with SO_LINGER), or for good (a file of a FUSE daemon that hangs).
 * One for the process, made when first needed; its threads block all signals.
 *
 * Owns: the descriptors that it takes, its queue and its threads. Touches: nothing but these descriptors. Threads: any,
 * not from signal handlers.
 */
#ifndef SYS_REAPER_H
#define SYS_REAPER_H

#include <stdbool.h>
#include <stddef.h>

/* The most descriptors that one datagram brings: FDPASS_MAX (sys/fdpass.h). */
#define REAPER_BATCH_MAX 253

/* Takes the descriptors. Never blocks while a thread can be made. */
void reaper_take(const int *fds, size_t count);

/* Is there room for REAPER_BATCH_MAX more? Otherwise nothing may be received that could carry descriptors. */
bool reaper_has_room(void);

/* Do few enough descriptors wait for a server to accept new clients? A connected client can lie once, with
 * REAPER_BATCH_MAX descriptors, and is disconnected; only a client that connects again and again could fill the queue,
 * or our table of descriptors. */
bool reaper_is_calm(void);

/* Descriptors that are waiting or being closed. */
size_t reaper_pending(void);

#endif
