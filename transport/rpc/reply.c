/* SPDX-License-Identifier: MIT */
/*
 * Answers to calls. See <sealane/msg.h>.
 *
 * On the connection's thread an answer is sent at once. Another thread leaves it in the message, whose mail carries it:
 * that takes no memory but for a text, and for bytes that are more than the message has room for.
 *
 * Owns: the call and the block that an answer takes, also on failure; on another thread the answer keeps them, and its
 * text, until its mail was run. Touches: the lane, which sends, and the lists and spares that msg.h names. Threads:
 * any. After the end of the connection an answer is dropped with -EPIPE: the mail runs at once, under the lock of the
 * mailbox.
 */
#include "lane/pooled.h"
#include "rpc/block.h"
#include "rpc/msg.h"
#include "rpc/payload.h"
#include "sys/heap.h"
#include <errno.h>
#include <string.h>

static bool is_cancelled(const sea_msg *call) {
    return atomic_load_explicit(&call->is_cancelled, memory_order_relaxed);
}

static bool is_errno(int status) {
    return status < 0 && status >= WIRE_STATUS_LEAST;
}

static int explain(const sea_msg *call, int r, const char *why) {
    return refusal_explain(&call->conn->ctx->refusals, r, "message", why);
}

static int explain_twice(const sea_msg *call, int r) {
    return explain(call, r, "it was answered or released before");
}

static int explain_gone(const sea_msg *call) {
    return explain(call, -EPIPE, "its connection has ended");
}

static int explain_cancelled(const sea_msg *call) {
    return explain(call, -ECANCELED, "its caller has given up");
}

static int explain_no_call(const sea_msg *call) {
    return explain(call, -EINVAL, "it is no call that waits for an answer");
}

static int explain_no_errno(const sea_msg *call) {
    return explain(call, -EINVAL, "the status is no negative errno value");
}

/* `reply` brings the payload. */
static int msg_reply(sea_msg *call, struct lane_message *reply) {
    struct refusal_log *log = &call->conn->ctx->refusals;
    uint64_t mark = refusal_mark(log);
    if (!call->link)
        return explain_no_call(call);
    if (call->conn->is_ended)
        return explain_gone(call);
    return is_cancelled(call) ? explain_cancelled(call) : refusal_end(log, mark, msg_answer(call, reply));
}

/* --- on the connection's thread --- */

static int reply_block(sea_msg *call, sea_block *block) {
    struct lane_message reply = {.block = block};
    int r = msg_is_claimed(call) ? explain_twice(call, msg_tell_twice()) : msg_reply(call, &reply);
    sea_block_unref(block);
    if (!msg_is_claimed(call))
        sea_msg_release(call);
    return r;
}

static int reply_error(sea_msg *call, int status, const char *text) {
    struct refusal_log *log = &call->conn->ctx->refusals;
    uint64_t mark = refusal_mark(log);
    if (msg_is_claimed(call))
        return explain_twice(call, msg_tell_twice());
    int r = !call->link         ? explain_no_call(call)
            : !is_errno(status) ? explain_no_errno(call)
                                : refusal_end(log, mark, msg_answer_error(call, status, text));
    sea_msg_release(call);
    return r;
}

static RARE int reply_bytes(sea_msg *call, const void *data, size_t size) {
    struct lane_message reply = {.bytes = data, .bytes_size = size};
    sea_block *block = NULL;
    if (msg_is_claimed(call))
        return explain_twice(call, msg_tell_twice());
    int r = size == 0 || lane_takes_bytes(&call->conn->lane, size) ? 0 : conn_block_of(call->conn, data, size, &block);
    if (r < 0) {
        reply_error(call, r, "the reply could not be made");
        return r;
    }
    if (block)
        return reply_block(call, block);
    r = msg_reply(call, &reply);
    sea_msg_release(call);
    return r;
}

/* --- on other threads --- */

static void answer_drop(const struct answer *answer) {
    sea_block_unref(answer->block);
    heap_free(answer->text);
}

static void answer_by_mail(struct mail *mail) {
    sea_msg *call = msg_of_mail(mail);
    /* Dropped after the visit: the end of a block may need the owner's rights of another account. */
    CLEANUP(answer_drop) struct answer answer = call->answer;
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(call->box);
    msg_unclaim(call);
    call->answer = (struct answer){.kind = ANSWER_BLOCK};
    switch (answer.kind) {
    case ANSWER_BLOCK:
        reply_block(call, sea_block_ref(answer.block));
        break;
    case ANSWER_COPY:
        reply_bytes(call, sea_block_view(answer.block), sea_block_size(answer.block));
        break;
    case ANSWER_BYTES:
        reply_bytes(call, call->small.bytes, answer.size);
        break;
    case ANSWER_ERROR:
        reply_error(call, answer.status, answer.text);
        break;
    }
}

/* Takes the block and the text of `answer`. If `r` is an error, the answer is not sent, and the call is dropped.
 * Returns `r`, or the error that is known before the mail runs. */
static int answer_post(sea_msg *call, const struct answer *answer, int r) {
    if (r == 0 && call->in.type != WIRE_CALL)
        r = explain_no_call(call);
    if (r == 0 && mailbox_is_closed(call->box))
        r = explain_gone(call);
    if (r == 0 && is_cancelled(call))
        r = explain_cancelled(call);
    if (r == 0)
        call->answer = *answer;
    else
        answer_drop(answer);
    msg_post(call, r == 0 ? answer_by_mail : msg_release_by_mail);
    return r;
}

static RARE int post_block(sea_msg *call, sea_block *block) {
    struct answer answer = {.kind = ANSWER_BLOCK, .block = block};
    int r = msg_claim(call);
    if (r == 0)
        return answer_post(call, &answer, 0);
    answer_drop(&answer);
    return explain_twice(call, r);
}

static RARE int post_error(sea_msg *call, int status, const char *text) {
    int r = msg_claim(call);
    if (r < 0)
        return explain_twice(call, r);
    struct answer answer = {.kind = ANSWER_ERROR, .status = status, .text = text ? heap_strdup(text) : NULL};
    return answer_post(call, &answer, is_errno(status) ? 0 : explain_no_errno(call));
}

/* A block that was made of the call's bytes may still be read. */
static bool has_room(const sea_msg *call, size_t size) {
    return size <= LANE_BYTES_MAX && !call->has_small;
}

static RARE int post_bytes(sea_msg *call, const void *data, size_t size) {
    struct answer answer = {.kind = ANSWER_BYTES, .size = size};
    int r = msg_claim(call);
    if (r < 0)
        return explain_twice(call, r);
    if (size > 0 && has_room(call, size)) {
        memmove(call->small.bytes, data, size);
    } else if (size > 0) {
        answer.kind = ANSWER_COPY;
        r = block_copy_inline(&answer.block, call->conn->ctx, NULL, data, size);
    }
    if (r == 0)
        return answer_post(call, &answer, 0);
    answer = (struct answer){.kind = ANSWER_ERROR, .status = r};
    answer_post(call, &answer, 0);
    return r;
}

/* --- on any thread --- */

/* Takes the block, on the connection's thread. */
static int reply_small_block(sea_msg *call, sea_block *block) {
    CLEANUP_BLOCK sea_block *taken = block;
    return sea_reply_bytes(call, payload_bytes(taken), taken->size);
}

int sea_reply(sea_msg *call, sea_block *block) {
    if (!mailbox_is_mine(call->box))
        return post_block(call, block);
    struct lane *lane = &call->conn->lane;
    if (payload_is_small(lane, block))
        return reply_small_block(call, block);
    if (call->in.block && call->link && !msg_is_claimed(call))
        msg_drop_large(call, NULL);
    bool is_short = call->link && !is_cancelled(call) && !msg_is_claimed(call) && lane_takes_pooled(lane, block);
    uint64_t handle = is_short ? lane_lend_pooled(lane, block) : 0;
    if (!handle)
        return reply_block(call, block);
    size_t size = block->size;
    lane_write_pooled(lane, WIRE_REPLY, call->in.id, 0, 0, handle, size);
    lane_sent_pooled(lane, size);
    msg_remove_incoming(call);
    msg_free(call);
    return 0;
}

int sea_reply_bytes(sea_msg *call, const void *data, size_t size) {
    if (!mailbox_is_mine(call->box))
        return post_bytes(call, data, size);
    struct lane *lane = &call->conn->lane;
    if (call->in.block && call->link && !msg_is_claimed(call))
        msg_drop_large(call, data);
    if (!call->link || is_cancelled(call) || msg_is_claimed(call) || !lane_takes_small(lane, size))
        return reply_bytes(call, data, size);
    lane_write_small(lane, WIRE_REPLY, call->in.id, 0, 0, data, size);
    lane_sent_small(lane, size);
    msg_remove_incoming(call);
    msg_free_plain(call);
    return 0;
}

int sea_reply_error(sea_msg *call, int status, const char *text) {
    return mailbox_is_mine(call->box) ? reply_error(call, status, text) : post_error(call, status, text);
}
