/* SPDX-License-Identifier: MIT */
/* How calls of ours end: their waiters are told, exactly once. */
#ifndef RPC_CALL_END_H
#define RPC_CALL_END_H

#include "rpc/conn.h"

/* Tells one waiter, whose call is in the table no more. Takes `reply`. */
void call_end(sea_conn *conn, struct call_waiter waiter, int status, sea_msg *reply);

/* Ends the pending calls whose deadline has passed, but for the one whose reply is being copied. */
void calls_expire(sea_conn *conn);

/* Ends every pending call with `status`, also where an exception leaves a callback. */
void calls_end(sea_conn *conn, int status);

#endif
