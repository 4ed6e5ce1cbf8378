/* SPDX-License-Identifier: MIT */
/*
 * The short way of small requests: see small.c.
 *
 * Owns: nothing; a request is a spare message of the connection, which its handler takes. Touches: the lane's incoming
 * ring, corks and tally; the list of incoming calls; handlers run inside. Threads: the connection's, not after its end.
 */
#ifndef RPC_SMALL_H
#define RPC_SMALL_H

#include "rpc/conn.h"

/*
 * The turn of a connection whose ring has a frame: those that go the short way, and then, if there is anything else to
 * do, a turn in full, with as many frames as are left of what one turn takes. If there is nothing else, it looks
 * `tries` times for the next frame, and goes on with that: a way through the loop costs as much as a request. Returns
 * how many frames were handled.
 */
int small_turn(sea_conn *conn, unsigned tries);

/* Was a quarter of the ring passed over since a bell was last due? Then it is time for a turn in full: releases, pools
 * and deadlines must not wait for ever because there is always a small message. */
static inline bool small_has_gone_round(const struct lane *lane) {
    return lane->doorbell.due & DOORBELL_ROOM;
}

#endif
