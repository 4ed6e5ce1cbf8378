/* SPDX-License-Identifier: MIT */
/*
 * A message's memory. A connection keeps some messages that have ended, its spares, for the next ones. Each message is
 * charged to its peer beyond the number that the calls in flight bound.
 */
#ifndef RPC_MSG_MEMORY_H
#define RPC_MSG_MEMORY_H

#include "rpc/conn.h"

/* An answer that another thread gave. */
struct answer {
    enum { ANSWER_BLOCK, ANSWER_COPY, ANSWER_BYTES, ANSWER_ERROR } kind;
    int status;       /* of an error */
    char *text;       /* of an error, owned; NULL: none */
    sea_block *block; /* owned reference. ANSWER_COPY: of an inline block, whose bytes are sent */
    size_t size;      /* ANSWER_BYTES: they lie where the bytes of the call were */
};

/* No thread owns it: a thread that uses a message which was released finds that out before it does any harm. */
extern struct mailbox msg_dead_box;
#define MSG_DEAD_BOX (&msg_dead_box)

struct sea_msg {
    sea_conn *conn;         /* owned reference; borrowed while it is a spare */
    struct account *payer;  /* owned reference */
    uint64_t charged;       /* to it, bytes */
    struct lane_message in; /* owns a reference of its block, and its text; its bytes are `bytes` */
    struct mailbox *box;    /* borrowed from the payer; MSG_DEAD_BOX while it is a spare */
    _Atomic bool is_cancelled;
    _Atomic bool is_posted; /* its mail is on its way: no thread uses the message any more */
    struct mail mail;       /* what a thread that does not own the connection has done with it */
    struct answer answer;   /* that thread's, until the mail is run */
    sea_msg *next, **link;  /* on conn->incoming; link NULL: not an unanswered call */
    bool has_small;         /* `small` is in use: the message's bytes as a block, made when somebody asks for it */
    sea_block small; /* its bytes follow: LANE_BYTES_MAX of them. Who holds a reference of it keeps this memory */
};

/* How many spares a connection keeps. */
uint32_t msg_spares_most(void);

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
    msg->box = conn->box;
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
