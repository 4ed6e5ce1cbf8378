/* SPDX-License-Identifier: MIT */
/*
 * Messages. See <sealane/msg.h>. An unanswered call is on its connection's list of incoming ones, so that a
 * cancel finds it; every other message is on none.
 */
#ifndef RPC_MSG_H
#define RPC_MSG_H

#include "rpc/conn.h"

struct sea_msg {
    sea_conn *conn;         /* owned reference */
    struct lane_message in; /* owns a reference of its block, and its text; its bytes are `bytes` */
    bool is_cancelled;
    sea_msg *next, **link; /* on conn->incoming; link NULL: not an unanswered call */
    bool has_small;        /* `small` is in use: the message's bytes as a block, made when somebody asks for it */
    sea_block small;       /* its bytes follow: LANE_BYTES_MAX of them. Who holds a reference of it keeps this memory */
};

/* Takes in->block, also on failure. NULL: out of memory. */
sea_msg *msg_new(sea_conn *conn, const struct lane_message *in);

/* Frees the messages that the connection keeps for the next ones. */
void msg_drop_spares(sea_conn *conn);

/* The caller of `id` does not wait any more. */
void msg_cancel(sea_conn *conn, uint64_t id);

/* The connection has ended: all unanswered calls are cancelled. */
void msg_cancel_all(sea_conn *conn);

#endif
