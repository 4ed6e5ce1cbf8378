/* SPDX-License-Identifier: MIT */
/*
 * Messages. See <sealane/msg.h>. An unanswered call is on its connection's list of incoming ones, so that a
 * cancel finds it; every other message is on none.
 */
#ifndef RPC_MSG_H
#define RPC_MSG_H

#include "rpc/msg_memory.h"

/* Takes in->block, also on failure. -EDQUOT, noted: the peer's messages that are kept are charged to it · -ENOMEM. */
int msg_new(sea_conn *conn, const struct lane_message *in, sea_msg **ret_msg);

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

/* Frees a message that is on no list. */
void msg_free(sea_msg *msg);

/* The caller of `id` does not wait any more. Returns how many messages were looked at. */
uint32_t msg_cancel(sea_conn *conn, uint64_t id);

/* The connection has ended: all unanswered calls are cancelled. */
void msg_cancel_all(sea_conn *conn);

#endif
