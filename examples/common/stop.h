/* SPDX-License-Identifier: MIT */
/*
 * SIGINT and SIGTERM as a descriptor for poll(). The first signal asks the program to end in good order; the second one
 * has the default action and ends the process at once.
 */
#ifndef COMMON_STOP_H
#define COMMON_STOP_H

#include <stdbool.h>

/* Returns the descriptor that becomes readable, borrowed for the life of the process, or a negative errno value. */
int stop_begin(void);

/* Returns whether one of the signals has arrived. */
bool stop_is_asked(void);

#endif
