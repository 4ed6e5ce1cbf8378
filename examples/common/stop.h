/* SPDX-License-Identifier: MIT */
/*
 * SIGINT and SIGTERM as something that poll() can wait for. The first one asks the program to end in good order; the
 * second one is the system's own and ends it at once.
 */
#ifndef COMMON_STOP_H
#define COMMON_STOP_H

#include <stdbool.h>

/* Returns the descriptor that becomes readable, borrowed for good, or a negative errno value. */
int stop_begin(void);

/* Has one of them come? */
bool stop_is_asked(void);

#endif
