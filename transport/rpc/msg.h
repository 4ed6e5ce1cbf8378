/* SPDX-License-Identifier: MIT */
/*
 * Messages. See <sealane/msg.h>. An unanswered call is on its connection's list of incoming calls, so that a cancel
 * finds it, or, once cancelled, on the list of cancelled calls. Every other message is on no list.
 *
 * Owns: a message owns a reference of its connection and of its block, and its text; the application owns the message.
 * Touches: the lists and counts of the connection, its spares, the payer's account; an answer goes out by the lane, and
 * on_cancel is called. Threads: the connection's; other threads claim a message, post its mail, and read its constant
 * fields. After the end of the connection a mail runs at once on the thread that posts it, under the lock of the
 * mailbox (mailbox_enter()).
 */
#ifndef RPC_MSG_H
#define RPC_MSG_H

#include "lane/small.h"
#include "rpc/conn.h"
#include <stddef.h>

/* Takes in->block, also on failure. -EDQUOT, noted: kept messages are charged to the peer · -ENOMEM. */
int msg_new(sea_conn *conn, const struct lane_message *in, sea_msg **ret_msg);

/* The deadline of a call that has come: on_cancel will be told when it passes. */
void msg_note_deadline(sea_msg *call);

/* Takes a spare of the connection, which has one, for the message of a small frame. The caller writes its bytes. */
static inline sea_msg *msg_take_spare(sea_conn *conn, const struct small_frame *frame) {
    sea_msg *msg = conn->spares.first;
    conn->spares.first = msg->next;
    conn->spares.count--;
    msg->box = conn->box;
    msg->in.type = frame->type;
    msg->in.id = frame->id;
    msg->in.deadline = frame->deadline;
    msg->in.method = frame->method;
    msg->in.bytes_size = frame->size;
    msg_set_plain(msg, true);
    conn->refs++;
    return msg;
}

/* A message that msg_take_spare() took brings a block. Takes the reference. */
static inline void msg_set_block(sea_msg *msg, sea_block *block) {
    msg_set_plain(msg, false);
    msg->in.block = block;
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
    if (conn->options.on_cancel)
        msg_note_deadline(msg);
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

/*
 * A call is about to be answered with `bytes`, or a block (NULL). Of a payload so large that no two of them fit the
 * caches (by our own calibration the blocks of its size do not cycle), the release goes before the answer: then the
 * caller makes its next payload in the same memory. Not where the bytes lie in the payload.
 */
void msg_drop_large(sea_msg *call, const void *bytes);

/* Sends the answer of an unanswered call. An answer that cannot be sent is replaced by an error that says so. */
int msg_answer(sea_msg *call, struct lane_message *reply);
int msg_answer_error(sea_msg *call, int status, const char *text);

/* A thread that does not own the connection takes the message, before it posts it: no thread may use it from then on.
 * -EINVAL: it was released, answered or taken already. */
int msg_claim(sea_msg *msg);

/* Has another thread claimed the message, and has its mail not been run? Then the connection's thread must not use it.
 * */
static inline bool msg_is_claimed(const sea_msg *msg) {
    return atomic_load_explicit(&msg->is_posted, memory_order_relaxed);
}

/* The mail is run: the connection's thread uses the message now. */
static inline void msg_unclaim(sea_msg *msg) {
    atomic_store_explicit(&msg->is_posted, false, memory_order_relaxed);
}

/* A message is released or answered by two threads. As misuse_tell(). */
int msg_tell_twice(void);

/* From any thread: has `run` called on the connection's thread, with the message's mail. */
void msg_post(sea_msg *msg, void (*run)(struct mail *mail));
void msg_release_by_mail(struct mail *mail);

static inline sea_msg *msg_of_mail(struct mail *mail) {
    return (sea_msg *) (void *) ((char *) mail - offsetof(sea_msg, mail));
}

/* Frees a message that is on no list. */
void msg_free(sea_msg *msg);

/* The same in few instructions, for a plain message. (While the connection has not ended, its owner has a reference.)
 */
static inline void msg_free_plain(sea_msg *msg) {
    sea_conn *conn = msg->conn;
    bool is_plain = atomic_load_explicit(&msg->is_plain, memory_order_relaxed);
    if (!is_plain || conn->is_ended || conn->spares.count >= conn->spares.most) {
        msg_free(msg);
        return;
    }
    msg_keep_spare(&conn->spares, msg);
    conn->refs--;
}

/* The caller of `id` does not wait any more. Returns how many messages were looked at. */
uint32_t msg_cancel(sea_conn *conn, uint64_t id);

/* Cancels the calls that are past their deadline. */
void msg_cancel_late(sea_conn *conn, uint64_t now);

/* The connection has ended: all unanswered calls are cancelled. */
void msg_cancel_all(sea_conn *conn);

#endif
