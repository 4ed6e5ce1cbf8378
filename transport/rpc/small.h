/* SPDX-License-Identifier: MIT */
/* The short way of small messages, from the public functions to the lane (lane/small.h). Each function either does it all, or
 * nothing and says so: then it is for the long way. */
#ifndef RPC_SMALL_H
#define RPC_SMALL_H

#include "rpc/conn.h"

/* Sends a call and looks for its answer, but not for long. May the connection be waited for? Then: */
enum small_call {
    SMALL_NOT_SENT, /* the long way */
    SMALL_SENT,     /* `id` is in flight: the caller enters it, with calls_begin(), and goes on waiting */
    SMALL_ANSWERED  /* *ret_reply, owned by the caller */
};
enum small_call small_call(sea_conn *conn, uint32_t method, const void *data, size_t size, uint64_t deadline,
                           sea_msg **ret_reply);

/* Answers and releases the call. */
bool small_reply(sea_msg *call, const void *data, size_t size);

bool small_send(sea_conn *conn, uint32_t method, const void *data, size_t size);

/* The turn of a connection whose ring has a frame. Handles all that go the short way, up to a bound, and then the rest, if there is some.
 * Returns how many. */
int small_turn(sea_conn *conn);

#endif
