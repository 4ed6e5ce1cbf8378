/* SPDX-License-Identifier: MIT */
/*
 * The floors: programs that a person would write by hand, without a library, for one case each. A library's figures are
 * compared with these, taken at the same moment.
 *
 * No floor checks data or protects one side from the other.
 */
#ifndef BENCH_FLOORS_H
#define BENCH_FLOORS_H

#include "work.h"

extern const struct adapter floor_line;   /* a word there and back: cache lines (spin), futexes (sleep) */
extern const struct adapter floor_ring;   /* one producer, one consumer, one way */
extern const struct adapter floor_shared; /* a payload in memory that both map from the start */
extern const struct adapter floor_socket; /* a payload copied through a Unix socket */
extern const struct adapter floor_memfd;  /* a payload in a fresh sealed memfd, its descriptor through a socket */
extern const struct adapter floor_memory; /* one process: copies, writes, reads */

#endif
