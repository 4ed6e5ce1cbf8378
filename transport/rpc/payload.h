/* SPDX-License-Identifier: MIT */
/*
 * The payload of a message that is sent: bytes in the frame, or a block.
 *
 * Owns: a block that it made, until message_end(). Touches: the pools, as sea_block_new(). Threads: the connection's.
 */
#ifndef RPC_PAYLOAD_H
#define RPC_PAYLOAD_H

#include "rpc/conn.h"
#include "sys/heap.h"

/* Borrows bytes that fit into a frame. Copies other bytes into a block; `ret_message` owns the reference. Errors: as
 * sea_block_new(). */
int message_of_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, struct lane_message *ret_message);

static inline void message_end(const struct lane_message *message) {
    sea_block_unref(message->block);
}
#define CLEANUP_MESSAGE CLEANUP(message_end)

static inline void block_unrefp(sea_block **block) {
    sea_block_unref(*block);
}
#define CLEANUP_BLOCK CLEANUP(block_unrefp)

#endif
