/* SPDX-License-Identifier: MIT */
/*
 * Connecting, up to the handshake: for sea_connect() and for loops.
 *
 * Owns: nothing; the new connection is the caller's. Touches: the refusals of the context. Threads: any; the calling
 * thread drives the new connection. conn_connect() does not wait; sea_connect() waits for the handshake, and callbacks
 * of the connection run meanwhile.
 */
#ifndef RPC_CONNECT_H
#define RPC_CONNECT_H

#include "rpc/conn.h"

/* Checks the options, opens the socket, and makes the connection; the handshake is still to come. -EAGAIN: the server's
 * backlog is full, or the kernel is short of memory for a greeting. An inherited socket never gets -EAGAIN. Other
 * errors: as sea_connect(). */
int conn_connect(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *given);

#endif
