/* SPDX-License-Identifier: MIT */
/*
 * A message's memory. A connection keeps some messages that have ended, its spares, for the next ones. Each message is
 * charged to its peer beyond the number that the calls in flight bound.
 */
#ifndef RPC_MSG_MEMORY_H
#define RPC_MSG_MEMORY_H

#include "rpc/conn.h"

struct sea_msg {
    sea_conn *conn;         /* owned reference; borrowed while it is a spare */
    struct account *payer;  /* owned reference */
    uint64_t charged;       /* to it, bytes */
    struct lane_message in; /* owns a reference of its block, and its text; its bytes are `bytes` */
    bool is_cancelled;
    sea_msg *next, **link; /* on conn->incoming; link NULL: not an unanswered call */
    bool has_small;        /* `small` is in use: the message's bytes as a block, made when somebody asks for it */
    sea_block small;       /* its bytes follow: LANE_BYTES_MAX of them. Who holds a reference of it keeps this memory */
};

/* Makes a message, or takes a spare. -EDQUOT, noted: the peer's messages that are kept are charged to it · -ENOMEM. */
int msg_alloc(sea_conn *conn, sea_msg **ret_msg);

/* Keeps it as a spare, or frees it. Its payload and text are gone already. */
void msg_dealloc(sea_conn *conn, sea_msg *msg);

/* Frees it, also when it has become a block. */
void msg_discard(sea_msg *msg);

/* Takes the first of the connection's spares, of which there is one, for what the first words of a line say. Its bytes
 * are still to be written. */
static inline sea_msg *msg_take_spare(sea_conn *conn, const uint64_t head[LINE_FIRST_WORD]) {
    sea_msg *msg = conn->spares;
    conn->spares = msg->next;
    conn->spares_count--;
    msg->in.type = line_type(head);
    msg->in.id = head[1];
    msg->in.deadline = head[2];
    msg->in.method = (uint32_t) head[3];
    msg->in.bytes_size = line_inline_size(head);
    conn->refs++;
    return msg;
}

/* Frees the messages that the connection keeps for the next ones. */
void msg_drop_spares(sea_conn *conn);

#endif
