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

/* Does a small message carry the bytes of this block (or NULL)? Then it goes as plain bytes do. */
static inline bool payload_is_small(const struct lane *lane, const sea_block *block) {
    return block && block->payload_class == SEA_INLINE && block->size < lane->small_end &&
           atomic_load_explicit(&block->refs, memory_order_relaxed) > 0;
}

/* The bytes of a block that is sent: nothing changes them any more. (Others may send and read one that is read-only
 * already, in other threads: it is not written to.) */
static inline const void *payload_bytes(sea_block *block) {
    if (!block->is_readonly)
        block->is_readonly = true;
    return sea_block_view(block);
}

static inline void block_unrefp(sea_block **block) {
    sea_block_unref(*block);
}
#define CLEANUP_BLOCK CLEANUP(block_unrefp)

#endif
