/* SPDX-License-Identifier: MIT */
/* Payloads of messages that are sent: bytes in the frame, or a block. See payload.h. */
#include "rpc/payload.h"

#include "rpc/block.h"

int message_of_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, struct lane_message *ret_message) {
    *ret_message = (struct lane_message){.method = method, .bytes = data, .bytes_size = size};
    if (size == 0 || lane_takes_bytes(&conn->lane, size))
        return 0;
    ret_message->bytes_size = 0;
    return conn_block_of(conn, data, size, &ret_message->block);
}
