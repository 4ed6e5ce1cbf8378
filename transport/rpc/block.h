/* SPDX-License-Identifier: MIT */
/*
 * Blocks for a connection. See <sealane/block.h>.
 *
 * Owns: nothing; a new block is the caller's. Touches: the pools of the connection, the budget, the refusals; incoming
 * releases are taken before a pool grows. Threads: the connection's. Before the handshake blocks are refused with
 * -EAGAIN, after the end with -EPIPE.
 */
#ifndef RPC_BLOCK_H
#define RPC_BLOCK_H

#include "rpc/conn.h"

/* Makes a block as sea_block_new() does. A pooled block comes from `pool`, which is one of the connection's; an inline
 * or a sealed block ignores `pool`. The caller has adopted the connection. */
int conn_block_new(sea_conn *conn, sea_pool *pool, size_t size, sea_block **ret_block);

/* Makes a block for this connection with a copy of `data`. The caller owns it. Errors: as sea_block_new(). */
int conn_block_of(sea_conn *conn, const void *data, size_t size, sea_block **ret_block);

#endif
