/* SPDX-License-Identifier: MIT */
/*
 * A turn of a connection: it reads the socket and the ring, calls handlers, and judges deadlines.
 *
 * Every call of ours ends in exactly one of five places: reply_arrived() in conn_turn.c, or small_answer() in call.c (a
 * reply came), calls_expire() (its deadline), sea_call_cancel(), and calls_end() (the connection is gone).
 */
#ifndef RPC_CONN_TURN_H
#define RPC_CONN_TURN_H

#include "rpc/conn.h"

/* What a connection's lane calls; its owner is the connection. */
extern const struct lane_ops CONN_LANE_OPS;

/* One turn: what poll and the clock ask for. Returns the number of frames handled. Where no loop does that, it looks at
 * the socket itself now and then. */
int conn_turn(sea_conn *conn, short revents);

/* conn_turn(), for a caller that drives the connection already and holds a reference. */
int conn_run_turn(sea_conn *conn, short revents);

#endif
