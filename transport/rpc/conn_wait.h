/* SPDX-License-Identifier: MIT */
/* Waiting for a connection on its user's thread. */
#ifndef RPC_CONN_WAIT_H
#define RPC_CONN_WAIT_H

#include "rpc/conn.h"

/* Waits once, at most until `deadline`, and gives the connection its turn. -EINTR: the interrupt is raised; the
 * function that returns this error to the user calls interrupt_tell(). Other errors: the socket cannot be polled. */
int conn_wait_turn(sea_conn *conn, uint64_t deadline);

#endif
