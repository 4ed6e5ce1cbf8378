/* SPDX-License-Identifier: MIT */
/*
 * Another process, which the peer can name as the sender of its HELLO (as root): the library then watches for its end.
 * The process sleeps, and ends by itself after a minute.
 */
#ifndef FUZZ_SPEAKER_H
#define FUZZ_SPEAKER_H

#include <sys/types.h>

/* Returns the process, and starts it if there is none; 0: that is impossible. */
pid_t speaker_begin(void);

/* Ends the process, if there is one, and waits for its end. */
void speaker_end(void);

#endif
