/* SPDX-License-Identifier: MIT */
/*
 * A turn of a connection: it runs mails, reads the socket and the ring, calls handlers, and judges deadlines. Also the
 * callbacks of the lane, and sea_conn_free().
 *
 * Owns: nothing; fields of the connection. Touches: all of the connection and its lane; its messages; the watches of
 * its poller. Handlers and callbacks run inside, and may free the connection: conn_turn() holds a reference. Threads:
 * the connection's, not after its end; the last turn of an ended connection gives the thread's rights up (turn_end()).
 *
 * Every call of ours ends in exactly one of six places: reply_arrived() in conn_turn.c, small_answer() or
 * call_takes_answer() in call.c (a reply came), calls_expire() (its deadline), sea_call_cancel(), and calls_end() (the
 * connection is gone).
 */
#ifndef RPC_CONN_TURN_H
#define RPC_CONN_TURN_H

#include "rpc/conn.h"

/* What a connection's lane calls; its owner is the connection. */
extern const struct lane_ops CONN_LANE_OPS;

/* One turn: what poll and the clock ask for. Returns the number of frames handled. Where no loop does that, it looks at
 * the socket itself now and then. */
int conn_turn(sea_conn *conn, short revents);

/* The socket is readable, and nothing else is the matter; or this waits for that (lane_hear_bell()). Did the doorbell
 * of this sleep come, so that the ring is all there is to look at? Otherwise a turn follows. The caller has adopted the
 * connection and holds a reference. */
bool conn_hear_bell(sea_conn *conn, bool waits);

/* conn_turn(), for a caller that drives the connection already and holds a reference. */
int conn_run_turn(sea_conn *conn, short revents);

#endif
