/* SPDX-License-Identifier: MIT */
/* Messages and replies. See <sealane/msg.h>. */
#include "rpc/msg.h"

#include "lane/small.h"
#include "rpc/block.h"
#include "sys/clock.h"
#include "sys/heap.h"
#include <errno.h>
#include <string.h>

int msg_new(sea_conn *conn, const struct lane_message *in, sea_msg **ret_msg) {
    bool has_text = in->text && *in->text;
    sea_msg *msg = NULL;
    int r = msg_alloc(conn, &msg);
    char *text = r == 0 && has_text ? heap_strdup(in->text) : NULL;
    if (r == 0 && has_text && !text) {
        msg_discard(msg);
        r = -ENOMEM;
    }
    if (r < 0) {
        sea_block_unref(in->block);
        return r;
    }
    msg->in = *in;
    msg->in.text = text;
    msg->in.bytes = msg->small.bytes;
    if (in->bytes_size)
        memcpy(msg->small.bytes, in->bytes, in->bytes_size);
    msg->is_cancelled = msg->has_small = false;
    msg->link = NULL;
    msg->conn = conn_ref(conn);
    if (in->type == WIRE_CALL)
        msg_add_incoming(msg);
    *ret_msg = msg;
    return 0;
}

uint32_t msg_cancel(sea_conn *conn, uint64_t id) {
    uint32_t examined = 0;
    for (sea_msg *msg = conn->incoming; msg; msg = msg->next, examined++)
        if (msg->in.id == id)
            msg->is_cancelled = true;
    return examined;
}

void msg_cancel_all(sea_conn *conn) {
    for (sea_msg *msg = conn->incoming; msg; msg = msg->next)
        msg->is_cancelled = true;
}

void msg_free(sea_msg *msg) {
    sea_conn *conn = msg->conn;
    if (msg->in.block)
        sea_block_unref(msg->in.block);
    if (msg->in.text)
        heap_free((void *) (uintptr_t) msg->in.text);
    if (msg->has_small)
        sea_block_unref(&msg->small);
    else
        msg_dealloc(conn, msg);
    if (--conn->refs == 0)
        conn_destroy(conn);
}

/* Sends the answer of an unanswered call. An answer that cannot be sent is replaced by one that says so. */
static int msg_answer(sea_msg *call, struct lane_message *reply) {
    struct lane *lane = &call->conn->lane;
    reply->type = WIRE_REPLY;
    reply->id = call->in.id;
    msg_remove_incoming(call);
    int r = lane_send(lane, reply, true);
    if (r == 0 || r == -EPIPE)
        return r;
    struct lane_message error_reply = {
        .type = WIRE_REPLY, .id = call->in.id, .status = r, .text = "the reply could not be sent"};
    lane_send(lane, &error_reply, true);
    return r;
}

static int msg_answer_error(sea_msg *call, int status, const char *text) {
    char clean[WIRE_TEXT_MAX + 1];
    struct lane_message reply = {.status = status, .text = clean};
    clean[wire_text_clean(clean, text)] = '\0';
    return msg_answer(call, &reply);
}

/* `reply` brings the payload. */
static int msg_reply(sea_msg *call, struct lane_message *reply) {
    if (!call->link)
        return -EINVAL;
    if (call->conn->is_ended)
        return -EPIPE;
    return call->is_cancelled ? -ECANCELED : msg_answer(call, reply);
}

int sea_reply(sea_msg *call, sea_block *block) {
    struct lane_message reply = {.block = block};
    int r = msg_reply(call, &reply);
    sea_block_unref(block);
    sea_msg_release(call);
    return r;
}

static int msg_reply_bytes(sea_msg *call, const void *data, size_t size) {
    struct lane_message reply = {.bytes = data, .bytes_size = size};
    sea_block *block = NULL;
    int r = size == 0 || lane_takes_bytes(&call->conn->lane, size) ? 0 : conn_block_of(call->conn, data, size, &block);
    if (r < 0) {
        sea_reply_error(call, r, "the reply could not be made");
        return r;
    }
    if (block)
        return sea_reply(call, block);
    r = msg_reply(call, &reply);
    sea_msg_release(call);
    return r;
}

int sea_reply_bytes(sea_msg *call, const void *data, size_t size) {
    struct lane *lane = &call->conn->lane;
    if (!call->link || call->is_cancelled || !lane_takes_small(lane, size))
        return msg_reply_bytes(call, data, size);
    lane_write_small(lane, WIRE_REPLY, call->in.id, 0, 0, data, size);
    lane_sent_small(lane, size);
    msg_remove_incoming(call);
    msg_free(call);
    return 0;
}

int sea_reply_error(sea_msg *call, int status, const char *text) {
    bool is_errno = status < 0 && status >= WIRE_STATUS_LEAST;
    int r = call->link && is_errno ? msg_answer_error(call, status, text) : -EINVAL;
    sea_msg_release(call);
    return r;
}

sea_msg *sea_msg_release(sea_msg *msg) {
    if (!msg)
        return NULL;
    if (msg->link)
        msg_answer_error(msg, -ECANCELED, msg->is_cancelled ? "cancelled" : "the call was dropped without an answer");
    msg_free(msg);
    return NULL;
}

const void *sea_msg_data(const sea_msg *msg) {
    return msg->in.block ? sea_block_view(msg->in.block) : msg->small.bytes;
}

size_t sea_msg_size(const sea_msg *msg) {
    return msg->in.block ? sea_block_size(msg->in.block) : msg->in.bytes_size;
}

int sea_msg_class(const sea_msg *msg) {
    return msg->in.block ? sea_block_class(msg->in.block) : SEA_INLINE;
}

bool sea_msg_is_stable(const sea_msg *msg) {
    return sea_msg_class(msg) != SEA_POOLED;
}

static void small_end(sea_block *small) {
    sea_ctx_unref(small->ctx);
    msg_discard((sea_msg *) (void *) ((char *) small - offsetof(sea_msg, small)));
}

static const struct block_ops SMALL_OPS = {.end = small_end};

sea_block *sea_msg_block(const sea_msg *msg) {
    sea_msg *own = (sea_msg *) (uintptr_t) msg;
    if (msg->in.block || !msg->in.bytes_size)
        return msg->in.block;
    if (!msg->has_small)
        block_init_inline(&own->small, sea_ctx_ref(msg->conn->ctx), msg->in.bytes_size, &SMALL_OPS);
    own->has_small = true;
    return &own->small;
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
    return msg->in.text ? msg->in.text : "";
}

uint64_t sea_msg_deadline(const sea_msg *msg) {
    return clock_move(msg->in.deadline, msg->conn->lane.negotiated.clock_shift);
}

bool sea_msg_is_cancelled(const sea_msg *msg) {
    uint64_t deadline = sea_msg_deadline(msg);
    return msg->is_cancelled || (deadline && deadline <= wait_now());
}
