/* SPDX-License-Identifier: MIT */
/* Messages: their life, their end, and what users read of them. See msg.h. Answers are in reply.c. */
#include "rpc/msg.h"

#include "lane/pooled.h"
#include "sys/clock.h"
#include "sys/heap.h"
#include "sys/misuse.h"
#include <errno.h>
#include <string.h>

int msg_new(sea_conn *conn, const struct lane_message *in, sea_msg **ret_msg) {
    bool has_text = in->text && *in->text;
    sea_msg *msg = NULL;
    int r = msg_alloc(&conn->spares, conn->lane.remote->account, conn->lane.hello.calls_max, &msg);
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
    msg->has_small = false;
    msg_set_plain(msg, false);
    msg->link = NULL;
    msg->conn = conn; /* the reference is counted here: messages arrive on the owner's thread */
    conn->refs++;
    if (in->type == WIRE_CALL)
        msg_add_incoming(msg);
    *ret_msg = msg;
    return 0;
}

static bool is_cancelled(const sea_msg *msg) {
    return atomic_load_explicit(&msg->is_cancelled, memory_order_relaxed);
}

static void msg_unlink(sea_msg *call) {
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
}

static void msg_link(sea_msg *call, sea_msg **list) {
    call->next = *list;
    call->link = list;
    if (call->next)
        call->next->link = &call->next;
    *list = call;
}

/* Afterwards the message may be gone, and others. */
static void cancel(sea_msg *call) {
    sea_conn *conn = call->conn;
    msg_set_plain(call, false);
    msg_unlink(call);
    msg_link(call, &conn->cancelled);
    atomic_store_explicit(&call->is_cancelled, true, memory_order_relaxed);
    bool is_told = conn->options.on_cancel && !conn->is_freed;
    if (is_told && !atomic_load_explicit(&call->is_posted, memory_order_relaxed))
        conn->options.on_cancel(call, conn->options.user);
}

/* A peer may lie, and give two calls one id: the first one is cancelled. */
uint32_t msg_cancel(sea_conn *conn, uint64_t id) {
    uint32_t examined = 0;
    sea_msg *call = conn->incoming;
    for (; call && call->in.id != id; call = call->next)
        examined++;
    if (call)
        cancel(call);
    return examined + 1;
}

void msg_note_deadline(sea_msg *call) {
    uint64_t deadline = sea_msg_deadline(call);
    if (deadline)
        call->conn->cancel_at = deadline_sooner(call->conn->cancel_at, deadline);
}

void msg_cancel_late(sea_conn *conn, uint64_t now) {
    sea_msg *late = NULL;
    conn->cancel_at = WAIT_FOREVER;
    for (sea_msg *call = conn->incoming, *next; call; call = next) {
        next = call->next;
        uint64_t deadline = sea_msg_deadline(call);
        if (!deadline || deadline > now) {
            msg_note_deadline(call);
        } else {
            msg_unlink(call);
            msg_link(call, &late);
        }
    }
    while (late)
        cancel(late);
}

void msg_cancel_all(sea_conn *conn) {
    while (conn->incoming)
        cancel(conn->incoming);
}

/* The short way. */
static bool return_block(sea_conn *conn, sea_block *block) {
    struct lane *lane = &conn->lane;
    return !conn->is_ended && (lane_return_pooled(lane, block) || lane_return_copy(lane, block));
}

void msg_free(sea_msg *msg) {
    sea_conn *conn = msg->conn;
    sea_block *block = msg->in.block;
    if (block && !return_block(conn, block))
        sea_block_unref(block);
    if (msg->in.text)
        heap_free((void *) (uintptr_t) msg->in.text);
    if (msg->has_small)
        sea_block_unref(&msg->small);
    else if (conn->is_ended)
        msg_discard(msg);
    else
        msg_dealloc(&conn->spares, msg);
    if (--conn->refs == 0)
        conn_destroy(conn);
}

/* Do the bytes of an answer lie in the payload of the call? */
static bool lies_in(const void *bytes, sea_block *block) {
    uintptr_t from = (uintptr_t) bytes, first = (uintptr_t) sea_block_view(block);
    return from - first < sea_block_size(block);
}

void msg_drop_large(sea_msg *call, const void *bytes) {
    sea_block *block = call->in.block;
    if (!block || sea_block_size(block) <= call->conn->ctx->calibration.reuse_footprint)
        return;
    if (bytes && lies_in(bytes, block))
        return;
    call->in.block = sea_block_unref(block);
}

int msg_answer(sea_msg *call, struct lane_message *reply) {
    struct lane *lane = &call->conn->lane;
    msg_drop_large(call, reply->bytes);
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

int msg_answer_error(sea_msg *call, int status, const char *text) {
    char clean[WIRE_TEXT_MAX + 1];
    struct lane_message reply = {.status = status, .text = clean};
    clean[wire_text_clean(clean, text)] = '\0';
    return msg_answer(call, &reply);
}

int msg_tell_twice(void) {
    return misuse_tell("a message is released or answered twice");
}

int msg_claim(sea_msg *msg) {
    if (msg->box == MSG_DEAD_BOX)
        return misuse_tell("a message is used that was released or answered already");
    return atomic_exchange_explicit(&msg->is_posted, true, memory_order_relaxed) ? msg_tell_twice() : 0;
}

void msg_post(sea_msg *msg, void (*run)(struct mail *mail)) {
    msg->mail.run = run;
    mailbox_deliver(msg->box, &msg->mail);
}

static bool is_late(const sea_msg *call) {
    uint64_t deadline = sea_msg_deadline(call);
    return deadline && deadline <= wait_now();
}

/* The caller reads the answer if it has not given up: its clock was read later than ours. */
static RARE void msg_end(sea_msg *msg) {
    if (msg->link && is_late(msg))
        msg_answer_error(msg, -ETIMEDOUT, "the deadline had passed before the call was answered");
    else if (msg->link)
        msg_answer_error(msg, -ECANCELED, is_cancelled(msg) ? "cancelled" : "the call was dropped without an answer");
    msg_free(msg);
}

void msg_release_by_mail(struct mail *mail) {
    sea_msg *msg = msg_of_mail(mail);
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(msg->box);
    msg_unclaim(msg);
    msg_end(msg);
}

sea_msg *sea_msg_release(sea_msg *msg) {
    if (!msg)
        return NULL;
    if (!mailbox_is_mine(msg->box)) {
        if (msg_claim(msg) == 0)
            msg_post(msg, msg_release_by_mail);
    } else if (msg_is_claimed(msg)) {
        msg_tell_twice();
    } else if (msg->link) {
        msg_end(msg);
    } else {
        msg_free_plain(msg);
    }
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

static void small_end_by_mail(struct mail *mail) {
    sea_msg *msg = msg_of_mail(mail);
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(msg->box);
    msg_discard(msg);
}

/* The message itself was released before: its mail is free. */
static void small_end(sea_block *small) {
    sea_msg *msg = (sea_msg *) (void *) ((char *) small - offsetof(sea_msg, small));
    sea_ctx_unref(small->ctx);
    msg_post(msg, small_end_by_mail);
}

static const struct block_ops SMALL_OPS = {.end = small_end};

sea_block *sea_msg_block(const sea_msg *msg) {
    sea_msg *own = (sea_msg *) (uintptr_t) msg;
    if (msg->in.block || !msg->in.bytes_size)
        return msg->in.block;
    if (!msg->has_small)
        block_init_inline(&own->small, sea_ctx_ref(msg->conn->ctx), msg->in.bytes_size, &SMALL_OPS);
    own->has_small = true;
    msg_set_plain(own, false);
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
    return is_cancelled(msg) || is_late(msg);
}
