/* SPDX-License-Identifier: MIT */
/*
 * The memory of messages. A connection keeps some messages that have ended, its spares, for the next ones. Each message
 * is charged to its peer beyond the number that the calls in flight bound.
 *
 * While misuse is checked (sys/misuse.h) no message is used again: the last released ones stay in memory, buried, so
 * that a later use of one of them is found.
 *
 * Owns: the lists of spares. Touches: the account of the payer (charge, count and reference of each message).
 * Threads: the connection's. After its end msg_discard() belongs to the thread that holds the lock of the mailbox, and
 * the thread that frees the connection drops the spares.
 */
#ifndef RPC_MSG_MEMORY_H
#define RPC_MSG_MEMORY_H

#include "lane/lane.h"
#include "registry/mailbox.h"
#include <sealane/msg.h>

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
    /* A small request or answer, to which nothing unusual has happened: no block, no text. The thread that has a call
     * and the connection's thread may both clear it. */
    _Atomic bool is_plain;
    bool has_small;  /* `small` is in use: the message's bytes as a block, made by sea_msg_block() */
    sea_block small; /* followed by its bytes, LANE_BYTES_MAX. A reference of it keeps this memory */
};

/* The messages that a connection keeps. */
struct msg_spares {
    sea_msg *first;  /* owned; for the next messages */
    sea_msg *buried; /* owned; oldest first */
    uint32_t count;  /* of both lists */
    uint32_t most;   /* spares that are kept; 0: misuse is checked */
};

void msg_spares_init(struct msg_spares *spares);

/* Frees all that is kept. */
void msg_spares_drop(struct msg_spares *spares);

/* Takes a spare, or makes a message, which is charged to `payer` (borrowed) if that has more messages than `calls_max`
 * calls and the spares account for. Errors: -EDQUOT, noted as a refusal · -ENOMEM. */
int msg_alloc(struct msg_spares *spares, struct account *payer, uint32_t calls_max, sea_msg **ret_msg);

/* Keeps a message whose payload and text are gone, or frees it. */
void msg_dealloc(struct msg_spares *spares, sea_msg *msg);

static inline void msg_set_plain(sea_msg *msg, bool is_plain) {
    atomic_store_explicit(&msg->is_plain, is_plain, memory_order_relaxed);
}

/* Keeps a plain message; there is room for it. A spare keeps the values of the fields that msg_take_spare() does not
 * set. */
static inline void msg_keep_spare(struct msg_spares *spares, sea_msg *msg) {
    msg->box = MSG_DEAD_BOX;
    msg->next = spares->first;
    spares->first = msg;
    spares->count++;
}

/* Frees a message, also when it has become a block. */
void msg_discard(sea_msg *msg);

#endif
