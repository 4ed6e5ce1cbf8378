/* SPDX-License-Identifier: MIT */
/*
 * A connection's beginning, and the poller that drives it.
 *
 * Owns: nothing; a new connection is the caller's. Touches: the connection's watch, and `work` of the poller; the
 * wakers of the mailbox and of the context. Threads: the poller's, which is the connection's. Other threads call the
 * waker, under the lock of the mailbox or of the context; the end of the connection (conn_turn.c) takes the watch off.
 */
#ifndef RPC_CONN_LOOP_H
#define RPC_CONN_LOOP_H

#include "rpc/conn.h"

/*
 * Takes `fd`. `scratch` (borrowed) may be NULL: then the context lends one when something is received. The caller owns
 * one reference. The caller still has to dispatch or to watch it: nothing has been received yet, and a refusal of the
 * policy waits for the first turn.
 */
int conn_new(sea_conn **ret_conn, sea_ctx *ctx, int fd, bool is_server, const sea_options *options, uint8_t *scratch);

/* Lets `poller` (borrowed) drive it. */
int conn_watch(sea_conn *conn, struct poller *poller);

#endif
