/* SPDX-License-Identifier: MIT */
/* Messages and replies. See <sealane/msg.h>. */
#include "rpc/msg.h"

#include "sys/heap.h"
#include <errno.h>
#include <stdio.h>

static void incoming_add(sea_msg *msg) {
    sea_conn *conn = msg->conn;
    msg->next = conn->incoming;
    msg->link = &conn->incoming;
    if (msg->next)
        msg->next->link = &msg->next;
    conn->incoming = msg;
    conn->incoming_count++;
    ctx_count(conn->ctx, calls_in, 1);
}

static void incoming_remove(sea_msg *msg) {
    *msg->link = msg->next;
    if (msg->next)
        msg->next->link = msg->link;
    msg->link = NULL;
    msg->conn->incoming_count--;
    ctx_uncount(msg->conn->ctx, calls_in, 1);
}

sea_msg *msg_new(sea_conn *conn, const struct lane_message *in) {
    sea_msg *msg = heap_new(1, sizeof(*msg));
    if (!msg) {
        sea_block_unref(in->block);
        return NULL;
    }
    msg->in = *in;
    msg->conn = conn_ref(conn);
    if (in->type == WIRE_CALL)
        incoming_add(msg);
    return msg;
}

void msg_cancel(sea_conn *conn, uint64_t id) {
    for (sea_msg *msg = conn->incoming; msg; msg = msg->next)
        if (msg->in.id == id)
            msg->is_cancelled = true;
}

void msg_cancel_all(sea_conn *conn) {
    for (sea_msg *msg = conn->incoming; msg; msg = msg->next)
        msg->is_cancelled = true;
}

static sea_msg *msg_free(sea_msg *msg) {
    if (msg->link)
        incoming_remove(msg);
    sea_block_unref(msg->in.block);
    conn_unref(msg->conn);
    return heap_free(msg);
}

/* Sends the answer of an unanswered call. An answer that cannot be sent is replaced by one that says so. */
static int msg_answer(sea_msg *call, int status, const char *text, sea_block *block) {
    struct lane *lane = &call->conn->lane;
    struct lane_message reply = {.type = WIRE_REPLY, .id = call->in.id, .status = status, .block = block};
    reply.text[wire_text_clean(reply.text, text)] = '\0';
    incoming_remove(call);
    int r = lane_send(lane, &reply, true);
    if (r == 0 || r == -EPIPE)
        return r;
    reply.block = NULL;
    reply.status = r;
    snprintf(reply.text, sizeof(reply.text), "the reply could not be sent");
    lane_send(lane, &reply, true);
    return r;
}

int sea_reply(sea_msg *call, sea_block *block) {
    int r = -EINVAL;
    if (call->link && call->conn->is_ended)
        r = -EPIPE;
    else if (call->link && call->is_cancelled)
        r = -ECANCELED;
    else if (call->link)
        r = msg_answer(call, 0, NULL, block);
    sea_block_unref(block);
    sea_msg_release(call);
    return r;
}

int sea_reply_error(sea_msg *call, int status, const char *text) {
    bool is_errno = status < 0 && status >= WIRE_STATUS_LEAST;
    int r = call->link && is_errno ? msg_answer(call, status, text, NULL) : -EINVAL;
    sea_msg_release(call);
    return r;
}

sea_msg *sea_msg_release(sea_msg *msg) {
    if (!msg)
        return NULL;
    if (msg->link)
        msg_answer(msg, -ECANCELED, msg->is_cancelled ? "cancelled" : "the call was dropped without an answer", NULL);
    return msg_free(msg);
}

const void *sea_msg_data(const sea_msg *msg) {
    return msg->in.block ? sea_block_view(msg->in.block) : "";
}

size_t sea_msg_size(const sea_msg *msg) {
    return msg->in.block ? sea_block_size(msg->in.block) : 0;
}

int sea_msg_class(const sea_msg *msg) {
    return msg->in.block ? sea_block_class(msg->in.block) : SEA_INLINE;
}

bool sea_msg_is_stable(const sea_msg *msg) {
    return sea_msg_class(msg) != SEA_POOLED;
}

sea_block *sea_msg_block(const sea_msg *msg) {
    return msg->in.block;
}

uint32_t sea_msg_method(const sea_msg *msg) {
    return msg->in.method;
}

bool sea_msg_is_call(const sea_msg *msg) {
    return msg->in.type == WIRE_CALL;
}

sea_conn *sea_msg_conn(const sea_msg *msg) {
    return msg->conn;
}

int sea_msg_status(const sea_msg *msg) {
    return msg->in.status;
}

const char *sea_msg_text(const sea_msg *msg) {
    return msg->in.text;
}

uint64_t sea_msg_deadline(const sea_msg *msg) {
    return msg->in.deadline;
}

bool sea_msg_is_cancelled(const sea_msg *msg) {
    return msg->is_cancelled || (msg->in.deadline && msg->in.deadline <= wait_now());
}
