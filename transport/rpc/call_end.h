/* SPDX-License-Identifier: MIT */
/*
 * The ends of our own calls: each waiter is called exactly once.
 *
 * Owns: nothing. Touches: conn->calls, conn->told, the texts and the tally; a late call sends a CANCEL. The
 * application's callbacks run here, and may free the connection: the caller holds a reference. Threads: the
 * connection's; the end of the connection calls calls_end() before it gives up the thread's rights.
 */
#ifndef RPC_CALL_END_H
#define RPC_CALL_END_H

#include "rpc/conn.h"

/* Calls one waiter; the caller has removed the call from the table. Takes `reply`. */
void call_end(sea_conn *conn, struct call_waiter waiter, int status, sea_msg *reply);

/* Ends each pending call after its deadline, but not a call while its reply is being copied. */
void calls_expire(sea_conn *conn);

/* Ends all pending calls with `status`, also if an exception leaves a callback. */
void calls_end(sea_conn *conn, int status);

#endif
