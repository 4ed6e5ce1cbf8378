/* SPDX-License-Identifier: MIT */
/* The short way of small messages: see small.c. */
#ifndef RPC_SMALL_H
#define RPC_SMALL_H

#include "rpc/conn.h"

/* The turn of a connection whose ring has a frame. Handles all that go the short way, up to a bound, and then the rest, if there is some.
 * Returns how many. */
int small_turn(sea_conn *conn);

#endif
