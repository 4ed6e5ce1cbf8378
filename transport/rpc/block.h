/* SPDX-License-Identifier: MIT */
/* Blocks for a connection. See <sealane/block.h>. */
#ifndef RPC_BLOCK_H
#define RPC_BLOCK_H

#include "rpc/conn.h"

/* Makes a block as sea_block_new() does, from one of the connection's pools. */
int conn_block_new(sea_conn *conn, sea_pool *pool, size_t size, sea_block **ret_block);

/* Makes a block for this connection with a copy of `data`. The caller owns it. Errors: as sea_block_new(). */
int conn_block_of(sea_conn *conn, const void *data, size_t size, sea_block **ret_block);

#endif
