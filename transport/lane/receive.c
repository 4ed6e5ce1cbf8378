/* SPDX-License-Identifier: MIT */
/*
 * What comes in on a lane.
 *
 * Whatever the peer sent is in private memory before it is looked at (the scratch buffer), so nothing can change
 * between check and use. Each descriptor that arrived is either handed to the block that owns it from then on, or to the reaper.
 *
 * Three outcomes: handled · refused (a limit of ours: the peer is told, the connection goes on) · a fault
 * (the peer broke the protocol: the connection ends, with a text that names what was wrong).
 */
#include "lane/lane.h"

#include "sys/fdpass.h"
#include "sys/reaper.h"
#include "sys/socket.h"
#include "sys/wait.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Too many hostile descriptors wait to be closed: look again after so long. */
static const uint64_t REAPER_RETRY_NS = 50 * 1000 * 1000;

static void lane_fault(struct lane *lane, const char *why) {
    lane_doom(lane, -EPROTO, why);
}

static void accept_hello(struct lane *lane, const struct wire_hello *hello) {
    const char *why = NULL;
    int r = terms_agree(&lane->hello, hello, lane->is_server, socket_datagram_max(lane->fd), &lane->terms, &why);
    if (r == 0 && lane->is_server)
        r = lane_send_hello(lane), why = "the handshake could not be sent";
    if (r < 0) {
        lane_doom(lane, r, why);
        return;
    }
    lane->account->out_limit = terms_credit(&lane->terms, &lane->ctx->peer_limits);
    lane->state = LANE_OPEN;
    ctx_count(lane->ctx, connections, 1);
    lane->ops->opened(lane->owner);
}

static void accept_goodbye(struct lane *lane, const struct wire_goodbye *goodbye) {
    char text[WIRE_TEXT_MAX + 1];
    int reason = goodbye->reason;
    if (lane->state == LANE_OPEN && reason != 0)
        reason = -EPIPE; /* what the peer thinks of us is its opinion: its words are kept in the text */
    snprintf(text, sizeof(text), "%.*s", (int) goodbye->text_size, goodbye->text_size ? goodbye->text : "");
    lane_doom(lane, reason, text);
}

static void accept_release(struct lane *lane, const struct wire_release *release) {
    for (uint32_t i = 0; i < release->count; i++)
        if (lease_release(&lane->ctx->leases, lane->account, release->handles[i]) < 0) {
            lane_fault(lane, "a handle was released that is not on lease to this peer");
            return;
        }
}

/* Checks that need the connection's state. Returns what is wrong, or NULL. */
static const char *message_check(const struct lane *lane, const struct wire_message *message) {
    switch (message->payload_class) {
    case 0:
        return NULL;
    case WIRE_CLASS_INLINE:
        return message->payload_size > lane->hello.inline_max ? "an inline payload is over the negotiated limit" : NULL;
    case WIRE_CLASS_SEALED:
        if (!(lane->hello.accept & SEA_SEALED))
            return "a sealed payload was sent, which was not negotiated";
        if (message->payload_size > lane->hello.block_max)
            return "a sealed payload is over the negotiated limit";
        if (message->is_hugetlb && !(lane->hello.features & WIRE_FEATURE_HUGETLB))
            return "a hugetlb payload was sent, which was not negotiated";
        if (peer_has_import(lane->account, message->handle))
            return "a handle was announced that is already on lease";
        /* A lease counts until the peer has our RELEASE. Those that wait to be sent are counted, so that a peer which
         * does not read them cannot make their list grow without end. */
        if (peer_is_over_limit(lane->account, message->payload_size) ||
            lane->releases_count >= lane->account->in_limit.blocks - lane->account->imported_blocks)
            return "more blocks or bytes were sent than the negotiated credit";
        return NULL;
    default:
        return "a payload class was sent that was not negotiated";
    }
}

static bool is_lie(int error) {
    return error == -EBADF || error == -EMSGSIZE || error == -ENODATA;
}

/* Makes the payload's block. Takes `fd` (-1: none came). 0, or a negative errno value with *ret_why; is_lie() tells faults from refusals. */
static int payload_receive(struct lane *lane, const struct wire_message *message, int fd, sea_block **ret_block,
                           const char **ret_why) {
    *ret_why = "the payload was refused by a limit of the receiver";
    if (message->payload_class == WIRE_CLASS_INLINE)
        return block_receive_inline(ret_block, lane->ctx, message->payload, (size_t) message->payload_size);
    if (fd < 0)
        return refusal_note(&lane->ctx->refusals, -EMFILE, "RLIMIT_NOFILE", 1, 0,
                            "close descriptors, or raise the limit (ulimit -n)");
    const struct sealed_claim claim = {
        .size = message->payload_size, .size_max = lane->hello.block_max, .is_hugetlb = message->is_hugetlb};
    return block_receive_sealed(ret_block, lane->account, message->handle, fd, &claim, ret_why);
}

/*
 * A limit of ours kept the payload out: its lease goes back, and whoever waits for an answer gets one. A one-way message has nobody who
 * waits, and a hole in a stream must not go unnoticed: there both sides are told, by the end of the connection.
 */
static void message_refuse(struct lane *lane, const struct wire_head *head, const struct wire_message *message,
                           int error, const char *why) {
    struct lane_message reply = {.type = WIRE_REPLY, .id = head->id, .status = error};
    snprintf(reply.text, sizeof(reply.text), "%s", why);
    if (message->handle)
        lane_release(lane, message->handle);
    if (head->type == WIRE_CALL)
        lane_send(lane, &reply, true);
    if (head->type == WIRE_ONEWAY)
        lane_doom(lane, error, why);
    if (head->type == WIRE_REPLY) {
        const char *fault = lane->ops->arrived(lane->owner, &reply);
        if (fault)
            lane_fault(lane, fault);
    }
}

static void count_received(struct lane *lane, const struct wire_message *message) {
    if (message->payload_class == WIRE_CLASS_SEALED)
        ctx_count(lane->ctx, received_sealed, 1);
    else
        ctx_count(lane->ctx, received_inline, 1);
    if (message->payload_class == WIRE_CLASS_INLINE)
        ctx_count(lane->ctx, copied_bytes, message->payload_size);
    ctx_count(lane->ctx, received_bytes, message->payload_size);
}

/* Takes `fd`. */
static void accept_message(struct lane *lane, const struct wire_head *head, const struct wire_message *message,
                           int fd) {
    struct lane_message in = {
        .type = (enum wire_type) head->type,
        .id = head->id,
        .method = message->method,
        .status = message->status,
        .deadline = message->deadline,
    };
    const char *why = message_check(lane, message);
    int r = why ? -EPROTO : 0;
    if (r == 0 && message->payload_class == WIRE_CLASS_SEALED)
        r = lane_reserve_release(lane);
    if (r < 0) {
        if (fd >= 0)
            reaper_take(&fd, 1);
        lane_doom(lane, r, why ? why : "out of memory for a handle");
        return;
    }
    r = message->payload_class ? payload_receive(lane, message, fd, &in.block, &why) : 0;
    if (is_lie(r)) {
        lane_fault(lane, why);
        return;
    }
    if (r < 0) {
        message_refuse(lane, head, message, r, why);
        return;
    }
    if (message->text_size)
        memcpy(in.text, message->text, message->text_size);
    count_received(lane, message);
    why = lane->ops->arrived(lane->owner, &in);
    if (why)
        lane_fault(lane, why);
}

/* Takes `fd`: -1, or the one that the frame declares. */
static void accept_frame(struct lane *lane, const struct wire_frame *frame, int fd) {
    switch (frame->head.type) {
    case WIRE_HELLO:
        accept_hello(lane, &frame->hello);
        break;
    case WIRE_GOODBYE:
        accept_goodbye(lane, &frame->goodbye);
        break;
    case WIRE_RELEASE:
        accept_release(lane, &frame->release);
        break;
    case WIRE_CANCEL:
        lane->ops->cancelled(lane->owner, frame->head.id);
        break;
    default:
        accept_message(lane, &frame->head, &frame->message, fd);
    }
}

static const char *order_check(const struct lane *lane, uint8_t type) {
    if (lane->state == LANE_GREETING && type != WIRE_HELLO && type != WIRE_GOODBYE)
        return "a frame came before the handshake";
    if (lane->state == LANE_OPEN && type == WIRE_HELLO)
        return "a second handshake";
    return NULL;
}

/* Descriptors that were lost for want of room in our table are our limit, not the peer's lie. */
static const char *fds_check(const struct wire_frame *frame, const struct fdpass *pass) {
    if (pass->are_fds_lost && pass->fds_count < frame->head.fds)
        return NULL;
    if (pass->fds_count == frame->head.fds && !pass->are_fds_lost)
        return NULL;
    return pass->fds_count > frame->head.fds || pass->are_fds_lost ? "more descriptors came than were declared"
                                                                   : "fewer descriptors came than were declared";
}

static void accept_datagram(struct lane *lane, const struct fdpass *pass) {
    struct wire_frame frame;
    const char *why =
        pass->is_truncated ? "a datagram is larger than any frame" : wire_decode(lane->scratch, pass->size, &frame);
    if (!why)
        why = order_check(lane, frame.head.type);
    if (!why)
        why = fds_check(&frame, pass);
    if (why || pass->fds_count > 1) {
        reaper_take(pass->fds, pass->fds_count);
        lane_fault(lane, why ? why : "more descriptors came than one frame can hold");
        return;
    }
    accept_frame(lane, &frame, pass->fds_count ? pass->fds[0] : -1);
}

int lane_receive(struct lane *lane) {
    struct fdpass pass;
    struct iovec iov = {.iov_base = lane->scratch, .iov_len = LANE_SCRATCH_SIZE};
    if (!reaper_has_room()) {
        lane->retry_at = wait_now() + REAPER_RETRY_NS;
        lane->is_choked = true;
        return 0;
    }
    int r = fdpass_recv(lane->fd, &iov, 1, &pass);
    if (r == 1) {
        accept_datagram(lane, &pass);
        return 1;
    }
    if (r != -EAGAIN)
        lane_doom(lane, r == 0 ? -EPIPE : r, r == 0 ? "the peer is gone" : "the socket failed");
    return 0;
}
