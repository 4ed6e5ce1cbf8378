/* SPDX-License-Identifier: MIT */
/*
 * Messages. See <sealane/msg.h>. An unanswered call is on its connection's list of incoming ones, so that a
 * cancel finds it; every other message is on none.
 */
#ifndef RPC_MSG_H
#define RPC_MSG_H

#include "rpc/conn.h"

struct sea_msg {
    sea_conn *conn;         /* owned reference; borrowed while it is a spare */
    struct peer *payer;     /* owned reference */
    uint64_t charged;       /* to it, bytes */
    struct lane_message in; /* owns a reference of its block, and its text; its bytes are `bytes` */
    bool is_cancelled;
    sea_msg *next, **link; /* on conn->incoming; link NULL: not an unanswered call */
    bool has_small;        /* `small` is in use: the message's bytes as a block, made when somebody asks for it */
    sea_block small;       /* its bytes follow: LANE_BYTES_MAX of them. Who holds a reference of it keeps this memory */
};

/* Takes in->block, also on failure. -EDQUOT, noted: the peer's messages that are kept are charged to it · -ENOMEM. */
int msg_new(sea_conn *conn, const struct lane_message *in, sea_msg **ret_msg);

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

/* An unanswered call of the peer's. */
static inline void msg_add_incoming(sea_msg *msg) {
    sea_conn *conn = msg->conn;
    msg->next = conn->incoming;
    msg->link = &conn->incoming;
    if (msg->next)
        msg->next->link = &msg->next;
    conn->incoming = msg;
    conn->incoming_count++;
    tally_count(&conn->lane.tally, calls_in, 1);
}

static inline void msg_remove_incoming(sea_msg *msg) {
    *msg->link = msg->next;
    if (msg->next)
        msg->next->link = msg->link;
    msg->link = NULL;
    msg->conn->incoming_count--;
    tally_uncount(&msg->conn->lane.tally, calls_in, 1);
}

/* The long way of sea_reply_bytes(). */
int msg_reply_bytes(sea_msg *call, const void *data, size_t size);

/* Frees a message that is on no list. */
void msg_free(sea_msg *msg);

/* Frees the messages that the connection keeps for the next ones. */
void msg_drop_spares(sea_conn *conn);

/* The caller of `id` does not wait any more. Returns how many messages were looked at. */
uint32_t msg_cancel(sea_conn *conn, uint64_t id);

/* The connection has ended: all unanswered calls are cancelled. */
void msg_cancel_all(sea_conn *conn);

#endif
