/* SPDX-License-Identifier: MIT */
/* The ends of our own calls: each waiter is called exactly once. */
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
