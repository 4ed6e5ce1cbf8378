/* SPDX-License-Identifier: MIT */
/*
 * Functions that the programs which measure other systems share: they prepare a cell for the other system.
 *
 * Each of bench/peer_*.c measures one system, used as its documentation advises and tuned where that helps: a
 * comparison needs the other system at its best. bench/peers.mk builds them, where their libraries are installed;
 * `make` builds only those of Aeron and iceoryx2, where configure finds these. A plain Unix socket is among the floors.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

struct cell;

enum { PEER_URL_MAX = 100 };

enum { PEER_CLIENT, PEER_SERVER };

/* The ends of the Unix socket that peer_make_pair() made. */
extern int peer_pair[2];

/* An adapter's prepare(): makes malloc keep freed memory. Systems that allocate a buffer for each message would
 * otherwise pay for fresh pages each time. */
int peer_keep_memory(struct cell *cell);

/* Does this, and makes a connected Unix socket, with buffers as large as the kernel grants. */
int peer_make_pair(struct cell *cell);

/* Returns the address of this cell's server, as "ipc://...". */
const char *peer_url(const struct cell *cell, char url[PEER_URL_MAX]);

#endif
