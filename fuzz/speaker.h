/* SPDX-License-Identifier: MIT */
/*
 * Another process, which the peer can name as the sender of its HELLO (as root): the library then watches for its end.
 * It does nothing, and ends by itself after a minute.
 */
#ifndef FUZZ_SPEAKER_H
#define FUZZ_SPEAKER_H

#include <sys/types.h>

/* The process, which is started if there is none. 0: it cannot be. */
pid_t speaker_begin(void);

/* Ends it, if there is one. When this returns it has ended. */
void speaker_end(void);

#endif
