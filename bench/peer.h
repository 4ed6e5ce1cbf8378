/* SPDX-License-Identifier: MIT */
/*
 * What the programs that measure other systems share: how to prepare a cell for them, and favours.
 *
 * Each of bench/peer_*.c measures one system, used as its documentation advises and tuned where that helps: a
 * comparison is worth nothing unless the other side is at its best. They are built by bench/peers.mk, where their
 * libraries are installed, and are no part of `make`. A plain Unix socket is among the floors.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

struct cell;

enum { PEER_URL_MAX = 100 };

enum { PEER_CLIENT, PEER_SERVER };

/* The ends of the Unix socket that peer_make_pair() made. */
extern int peer_pair[2];

/* An adapter's prepare(): lets malloc keep what was freed. Systems that allocate a buffer for each message would else
 * pay for fresh pages each time. */
int peer_keep_memory(struct cell *cell);

/* That, and a connected Unix socket, with buffers as large as the kernel grants. */
int peer_make_pair(struct cell *cell);

/* Where the server of this cell listens, as "ipc://...". */
const char *peer_url(const struct cell *cell, char url[PEER_URL_MAX]);

#endif
