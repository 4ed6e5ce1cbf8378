/* SPDX-License-Identifier: MIT */
/*
 * A progress line on standard error that is overwritten in place, for people at a terminal. Where standard error is no
 * terminal it is off and costs nothing. The process has one progress line. One thread.
 */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Turns the line on if standard error is a terminal. With `total_bytes` 0 (unknown) the line shows no time left. */
void progress_begin(uint64_t total_bytes);
bool progress_is_on(void);

/* Updates the line at most ten times a second; further calls do nothing. */
void progress_show(uint64_t files, uint64_t bytes);

/* Erases the line before the program prints something else. The next progress_show() draws it again. */
void progress_hide(void);

#endif
