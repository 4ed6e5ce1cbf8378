/* SPDX-License-Identifier: MIT */
/*
 * One line on standard error that is written over again: for people at a terminal. Off, and free of cost, everywhere
 * else. There is one for the process. One thread.
 */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Turns it on if standard error is a terminal. `total_bytes` 0: not known, then no time left is shown. */
void progress_begin(uint64_t total_bytes);
bool progress_is_on(void);

/* At most ten times a second; calls in between do nothing. */
void progress_show(uint64_t files, uint64_t bytes);

/* Takes the line away, before something else is written. It comes back with the next progress_show(). */
void progress_hide(void);

#endif
