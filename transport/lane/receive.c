/* SPDX-License-Identifier: MIT */
/*
 * What comes in on a lane.
 *
 * Whatever the peer sent is in private memory before it is looked at (the scratch buffer), so nothing can change
 * between check and use. Each descriptor that arrived is either handed to the block that owns it from then on, or to
 * the reaper.
 *
 * Three outcomes: handled · refused (a limit of ours: the peer is told, the connection goes on) · a fault
 * (the peer broke the protocol: the connection ends, with a text that names the fault).
 *
 * Owns: received descriptors until a block or the reaper has them; the held message, which came before its mark.
 * Touches: nearly all of struct lane: a HELLO sets the terms and opens the outboxes, a first datagram replaces the
 * speaker's pidfd; the peer's account, leases and views; the thread's or the context's scratch. It calls the owner by
 * `opened`, `coming`, `arrived` and `cancelled`, which may end the lane. Threads: the connection's.
 */
#include "lane/lane.h"

#include "memory/reserve.h"
#include "sys/cred.h"
#include "sys/disposal.h"
#include "sys/failure.h"
#include "sys/fdpass.h"
#include "sys/fork_guard.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "sys/socket.h"
#include "sys/wait.h"
#include "wire/handle.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Too many hostile descriptors wait to be closed, or there is no memory: look again after so long. */
static const uint64_t RETRY_NS = 50 * 1000 * 1000;

static void lane_fault(struct lane *lane, const char *why) {
    lane_fail(lane, -EPROTO, why);
}

/* Takes `fd`. A client learns here whether the server wants outboxes too; a server answers with its own. */
static int agree_on_outboxes(struct lane *lane, const struct wire_hello *hello, int fd, const char **ret_why) {
    if (hello->features & WIRE_FEATURE_OUTBOX && fd < 0)
        return *ret_why = lane->is_server
                              ? "the server's process has no descriptor left for the outbox (its RLIMIT_NOFILE)"
                              : "the client's process has no descriptor left for the outbox (its RLIMIT_NOFILE)",
               -EMFILE;
    if (lane->negotiated.has_outboxes)
        return lane_open_outboxes(lane, fd, ret_why);
    if (fd >= 0)
        reaper_take(&fd, 1);
    lane_close_outboxes(lane);
    if (!lane->is_server && hello->features & WIRE_FEATURE_OUTBOX)
        return *ret_why = "an outbox came that was not asked for", -EPROTO;
    lane->hello.features &= ~(uint64_t) WIRE_FEATURE_OUTBOX;
    return 0;
}

static int agree_on_terms(struct lane *lane, const struct wire_hello *hello, const char **ret_why) {
    return negotiation_agree(&lane->hello, hello, lane->is_server, socket_datagram_max(lane->fd), &lane->negotiated,
                             ret_why);
}

/* Takes `fd`. A server that may not make or verify an outbox uses the socket, as a client does that may not. */
static int agree(struct lane *lane, const struct wire_hello *hello, int fd, const char **ret_why) {
    int r = agree_on_terms(lane, hello, ret_why);
    if (r == 0)
        r = agree_on_outboxes(lane, hello, fd, ret_why);
    else if (fd >= 0)
        reaper_take(&fd, 1);
    if (!lane->is_server || !failure_is_forbidden(r))
        return r;
    lane_do_without_outboxes(lane);
    return agree_on_terms(lane, hello, ret_why);
}

/* Takes `fd`. */
static void accept_hello(struct lane *lane, const struct wire_hello *hello, int fd) {
    const char *why = NULL;
    int r = agree(lane, hello, fd, &why);
    lane->hello.features &= hello->features | ~(uint64_t) WIRE_FEATURE_CLOCK; /* a server only answers with it */
    if (r == 0 && lane->is_server)
        r = lane_send_hello(lane), why = "the handshake could not be sent";
    if (r < 0) {
        lane_fail(lane, r, why);
        return;
    }
    cred_ask(lane->fd, false);
    if (!(lane->hello.accept & SEA_SEALED) && !lane->has_rings) /* descriptors of larger rings come always */
        socket_refuse_fds(lane->fd);
    uint32_t ring_bytes = lane->has_rings ? ring_bytes_max(lane->growth.lines) : 0;
    lane->choice = class_choice_make(&lane->ctx->calibration, &lane->negotiated, ring_bytes);
    lane->remote->account->grant = negotiation_grant(&lane->negotiated);
    lane->remote->account->out_limit = negotiation_credit(&lane->negotiated, &lane->ctx->peer_limits);
    lane->state = LANE_OPEN;
    lane_set_small(lane);
    tally_count(&lane->tally, connections, 1);
    lane->ops->opened(lane->owner);
}

void lane_part(struct lane *lane) {
    if (!lane->is_parting)
        lane->parted_at = lane->in.head;
    lane->is_parting = true;
}

void lane_part_with_speaker(struct lane *lane) {
    lane->has_speaker = false;
    lane_part(lane);
    socket_shutdown(lane->fd); /* what waits in it is still received, and then its end */
}

/* The peer's last word: the frames that it wrote before come first. */
static void lane_leave(struct lane *lane, int reason, const char *text) {
    if (!lane->has_rings) {
        lane_fail(lane, reason, text);
        return;
    }
    lane_part(lane);
    lane->is_leaving = true;
    lane->reason = reason;
    snprintf(lane->text, sizeof(lane->text), "%s", text);
}

static void accept_goodbye(struct lane *lane, const struct wire_goodbye *goodbye) {
    char text[WIRE_TEXT_MAX + 1];
    int reason = goodbye->reason;
    if (lane->state == LANE_OPEN && reason != 0)
        reason = -EPIPE; /* what the peer thinks of us is its opinion: its words are kept in the text */
    snprintf(text, sizeof(text), "%.*s", (int) goodbye->text_size, goodbye->text_size ? goodbye->text : "");
    lane_leave(lane, reason, text);
}

static void accept_release(struct lane *lane, const struct wire_release *release) {
    for (uint32_t i = 0; i < release->count; i++)
        if (peer_release(lane->remote, release->handles[i]) < 0) {
            lane_fault(lane, "a handle was released that is not on lease to this peer");
            return;
        }
}

/* A sealed or pooled payload. Which handles name what, is checked where both kinds of blocks are named: elsewhere any
 * number will do. */
static const char *message_check_block(const struct lane *lane, const struct wire_message *message) {
    bool is_pooled = message->payload_class == WIRE_CLASS_POOLED;
    if (!is_pooled && lane->has_rings && handle_arena(message->handle))
        return "the handle of a sealed payload names an arena";
    if (is_pooled && !(message->handle & HANDLE_GENERATION_MASK))
        return "a handle has no generation";
    return peer_check(lane->remote, message, lane->releases_count);
}

/* Checks that need the connection's state. Returns the fault, or NULL. */
static const char *message_check(const struct lane *lane, const struct wire_message *message) {
    switch (message->payload_class) {
    case 0:
        return NULL;
    case WIRE_CLASS_INLINE:
        return message->payload_size > lane->hello.inline_max ? "an inline payload is over the negotiated limit" : NULL;
    case WIRE_CLASS_POOLED:
        if (!lane->has_rings || !(lane->hello.accept & SEA_POOLED))
            return "a pooled payload was sent, which was not negotiated";
        if (message->payload_size > lane->hello.block_max)
            return "a pooled payload is over the negotiated limit";
        return message_check_block(lane, message);
    case WIRE_CLASS_SEALED:
        if (!(lane->hello.accept & SEA_SEALED))
            return "a sealed payload was sent, which was not negotiated";
        if (message->payload_size > lane->hello.block_max)
            return "a sealed payload is over the negotiated limit";
        if (message->pages == WIRE_PAGES_HUGETLB && !(lane->hello.features & WIRE_FEATURE_HUGETLB))
            return "a hugetlb payload was sent, which was not negotiated";
        return message_check_block(lane, message);
    default:
        return "a payload class was sent that was not negotiated";
    }
}

static bool is_lie(int error) {
    return error == -EBADF || error == -EMSGSIZE || error == -ENODATA || error == -EPROTO;
}

/* Why a payload is refused: a text for its sender, which cannot look at our limits. */
static const char *refusal_text(int error) {
    switch (error) {
    case -EDQUOT:
        return "the payload was refused by a limit of the receiver: its quota for this peer, or its budget, is used up";
    case -EMFILE:
        return "the payload was refused by a limit of the receiver: its process has no descriptor left (RLIMIT_NOFILE)";
    case -ENFILE:
        return "the payload was refused by a limit of the receiver: its machine has no file left (fs.file-max)";
    case -ENOMEM:
        return "the payload was refused by a limit of the receiver: it has no memory for it";
    default:
        return "the payload was refused by the receiver: a call that it needs fails there";
    }
}

static int receive_copied(struct lane *lane, const struct wire_message *message, sea_block **ret_block) {
    int r = peer_new_arrived(ret_block, lane->remote, (size_t) message->payload_size);
    if (r < 0)
        return r;
    memcpy((*ret_block)->bytes, message->payload, (size_t) message->payload_size);
    work_take(&lane->remote->account->work, message->payload_size);
    (*ret_block)->is_readonly = true;
    return 0;
}

/* Makes the payload's block. Takes `fd` (-1: none came). 0, or a negative errno value with *ret_why; is_lie() tells
 * faults from refusals. */
static int payload_receive(struct lane *lane, const struct wire_message *message, int fd, sea_block **ret_block,
                           const char **ret_why) {
    if (message->payload_class == WIRE_CLASS_INLINE)
        return receive_copied(lane, message, ret_block);
    if (message->payload_class == WIRE_CLASS_POOLED)
        return *ret_why = "a pooled payload was named outside the ring", -EPROTO;
    if (fd < 0)
        return reserve_explain(-EMFILE, message->payload_size, false, &lane->ctx->admission);
    work_take(&lane->remote->account->work, WORK_PER_MEMFD);
    return peer_take(ret_block, lane->remote, message, fd, lane->hello.block_max, ret_why);
}

/*
 * A limit of ours kept the payload out: its lease goes back, and a caller that waits for an answer gets one. For a
 * one-way message no caller waits, and a hole in a stream must not go unnoticed: the end of the connection tells both
 * sides.
 */
static void message_refuse(struct lane *lane, const struct lane_message *in, uint64_t handle, int error,
                           const char *why) {
    struct lane_message reply = {.type = WIRE_REPLY, .id = in->id, .status = error, .text = why, .is_refused = true};
    const char *fault = NULL;
    bool is_wanted;
    if (handle)
        lane_release(lane, handle);
    if (in->type == WIRE_CALL && !(fault = lane->ops->coming(lane->owner, in, &is_wanted)))
        lane_send(lane, &reply, true);
    if (in->type == WIRE_ONEWAY)
        lane_fail(lane, error, why);
    if (in->type == WIRE_REPLY)
        fault = lane->ops->arrived(lane->owner, &reply);
    if (fault)
        lane_fault(lane, fault);
}

static void count_received(struct lane *lane, const struct wire_message *message) {
    if (message->payload_class == WIRE_CLASS_SEALED)
        tally_count(&lane->tally, received_sealed, 1);
    else if (message->payload_class == WIRE_CLASS_POOLED)
        tally_count(&lane->tally, received_pooled, 1);
    else
        tally_count(&lane->tally, received_inline, 1);
    if (message->payload_class == WIRE_CLASS_INLINE)
        tally_count(&lane->tally, received_inline_bytes, message->payload_size);
    else
        tally_count(&lane->tally, received_bytes, message->payload_size);
}

/* Takes the message's block. */
static void hand_over(struct lane *lane, const struct lane_message *in) {
    const char *why = lane->ops->arrived(lane->owner, in);
    lane->handled++;
    if (why)
        lane_fault(lane, why);
}

/* `in` but for its block and its text. */
static struct lane_message message_begin(const struct wire_head *head, const struct wire_message *message) {
    return (struct lane_message){
        .type = (enum wire_type) head->type,
        .id = head->id,
        .method = message->method,
        .status = message->status,
        .deadline = message->deadline,
        .text = "",
        .payload_size = message->payload_size,
    };
}

/* `r` says why the payload is not there. */
static void message_fail(struct lane *lane, const struct lane_message *in, uint64_t handle, int r, const char *why) {
    if (is_lie(r))
        lane_fault(lane, why);
    else
        message_refuse(lane, in, handle, r, why ? why : refusal_text(r));
}

/* The payload is there, or `r` says why not. Takes in->block. */
static void message_end(struct lane *lane, const struct wire_frame *frame, const struct lane_message *in, int r,
                        const char *why) {
    if (r < 0) {
        message_fail(lane, in, frame->message.handle, r, why);
        return;
    }
    count_received(lane, &frame->message);
    if (lane->is_in_order) {
        hand_over(lane, in);
        return;
    }
    lane->held = *in;
    lane->held.text = lane->held_text;
    snprintf(lane->held_text, sizeof(lane->held_text), "%s", in->text ? in->text : "");
    lane->has_held = true;
}

/* Takes `fd`. */
static void accept_message(struct lane *lane, const struct wire_frame *frame, int fd) {
    const struct wire_message *message = &frame->message;
    struct lane_message in = message_begin(&frame->head, message);
    char text[WIRE_TEXT_MAX + 1];
    const char *why = message_check(lane, message);
    int r = why ? -EPROTO : 0;
    if (r == 0 && message->payload_class == WIRE_CLASS_SEALED)
        r = lane_reserve_release(lane);
    if (r < 0) {
        if (fd >= 0)
            reaper_take(&fd, 1);
        lane_fail(lane, r, why ? why : "out of memory for a handle");
        return;
    }
    r = message->payload_class ? payload_receive(lane, message, fd, &in.block, &why) : 0;
    if (message->text_size) {
        memcpy(text, message->text, message->text_size);
        text[message->text_size] = '\0';
        in.text = text;
    }
    message_end(lane, frame, &in, r, why);
}

/* Datagrams that have a mark in the ring. */
static bool is_numbered(uint8_t type) {
    return type != WIRE_HELLO && type != WIRE_GOODBYE && type != WIRE_DOORBELL;
}

/* Takes `fd`. */
static void accept_arena(struct lane *lane, const struct wire_arena *arena, int fd) {
    const char *why = NULL;
    work_take(&lane->remote->account->work, WORK_PER_MEMFD);
    int r = peer_take_arena(lane->remote, arena, fd, &why);
    if (r < 0)
        lane_fail(lane, r, why);
}

/* A peer with many calls in flight makes each of its cancels a walk through them. */
static void accept_cancel(struct lane *lane, uint64_t id) {
    work_take(&lane->remote->account->work, lane->ops->cancelled(lane->owner, id) * WORK_PER_LOOK);
}

/* Takes `fd`. */
static void accept_ring(struct lane *lane, const struct wire_ring *ring, int fd) {
    const char *why = NULL;
    int r = lane_accept_ring(lane, ring, fd, &why);
    if (r < 0)
        lane_fail(lane, r, why);
}

/* Takes `fd`: -1, or the one that the frame declares. */
static void accept_frame(struct lane *lane, const struct wire_frame *frame, int fd) {
    if (is_numbered(frame->head.type))
        lane->datagrams_in++;
    switch (frame->head.type) {
    case WIRE_DOORBELL:
        if (lane->doorbell.is_armed) /* in mid-turn: of this episode no other comes */
            doorbell_disarm(&lane->doorbell);
        lane->is_readable =
            lane->is_hung_up || lane->is_broken; /* more than one is rare, and the socket would say so */
        return;
    case WIRE_HELLO:
        accept_hello(lane, &frame->hello, fd);
        break;
    case WIRE_GOODBYE:
        accept_goodbye(lane, &frame->goodbye);
        break;
    case WIRE_RELEASE:
        accept_release(lane, &frame->release);
        break;
    case WIRE_CANCEL:
        accept_cancel(lane, frame->head.id);
        break;
    case WIRE_ARENA:
        accept_arena(lane, &frame->arena, fd);
        break;
    case WIRE_RING:
        accept_ring(lane, &frame->ring, fd);
        break;
    case WIRE_RETIRE:
        if (peer_retire_arena(lane->remote, frame->retire.id) < 0)
            lane_fault(lane, "an arena was retired that was not announced");
        break;
    default:
        accept_message(lane, frame, fd);
        return;
    }
    lane->handled++;
}

static const char *order_check(const struct lane *lane, uint8_t type) {
    if (lane->state == LANE_GREETING && type != WIRE_HELLO && type != WIRE_GOODBYE)
        return "a frame came before the handshake";
    if (lane->state == LANE_OPEN && type == WIRE_HELLO)
        return "a second handshake";
    if (type == WIRE_DOORBELL && !lane->has_rings)
        return "a doorbell without outboxes";
    if ((type == WIRE_ARENA || type == WIRE_RETIRE) && (!lane->has_rings || !(lane->hello.accept & SEA_POOLED)))
        return "an arena that was not negotiated";
    if (type == WIRE_RING && !lane->has_rings)
        return "a ring without outboxes";
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

/* The first datagram tells which process speaks. Takes its pidfd. */
static void meet_speaker(struct lane *lane, int pid, int pidfd) {
    pidfd = cred_sender(pid, pidfd);
    if (pidfd < 0 && pidfd != -ESRCH)
        return; /* `peer` keeps the identity from the time when the sockets were connected */
    fork_guard_remove(lane->peer.pidfd);
    fd_close(lane->peer.pidfd);
    fork_guard_add(pidfd);
    lane->peer.pid = pid;
    lane->peer.pidfd = pidfd < 0 ? -1 : pidfd;
    lane->has_speaker = pidfd >= 0;
    if (pidfd < 0) /* it has ended already */
        lane_part_with_speaker(lane);
}

/* A place to receive into, until the end of its scope. */
struct receiving {
    struct lane *lane;
    uint8_t *lent; /* by the context; NULL: the lane has one */
};

static struct receiving receiving_begin(struct lane *lane) {
    struct receiving receiving = {.lane = lane};
    if (!lane->scratch)
        lane->scratch = receiving.lent = ctx_lend_scratch(lane->ctx, LANE_SCRATCH_SIZE);
    return receiving;
}

static void receiving_end(const struct receiving *receiving) {
    if (!receiving->lent)
        return;
    receiving->lane->scratch = NULL;
    ctx_return_scratch(receiving->lane->ctx, receiving->lent);
}

/* One datagram. `waits`: also for it to come, for a while. */
static int receive_datagram(struct lane *lane, bool waits) {
    struct fdpass pass;
    CLEANUP(receiving_end) struct receiving receiving = receiving_begin(lane);
    struct iovec iov = {.iov_base = lane->scratch, .iov_len = LANE_SCRATCH_SIZE};
    if (!lane->scratch || !reaper_has_room() || !disposal_has_room()) {
        lane->retry_at = wait_now() + RETRY_NS;
        lane->is_choked = true;
        lane_set_small(lane);
        return 0;
    }
    int r = waits ? fdpass_wait(lane->fd, &iov, 1, &pass) : fdpass_recv(lane->fd, &iov, 1, &pass);
    if (r == 1) {
        if (lane->state == LANE_GREETING)
            meet_speaker(lane, pass.pid, pass.pidfd);
        else
            fd_close(pass.pidfd);
        accept_datagram(lane, &pass);
        return 1;
    }
    lane->is_readable = false;
    if (r == 0)
        lane_leave(lane, -EPIPE, "the peer is gone");
    else if (r != -EAGAIN)
        lane_fail_socket(lane, r);
    return r == 0 && lane->is_leaving;
}

bool lane_receive_bell(struct lane *lane, bool waits) {
    lane->is_readable = true;
    lane->is_in_order = false;
    return receive_datagram(lane, waits) && !lane->doorbell.is_armed; /* a doorbell has disarmed it */
}

/* Passes over a frame of the ring. A writer that waits for room must hear of it after any frame. There is no ring
 * any more if the message that was handed over meanwhile has ended the connection. */
static void pass_over(struct lane *lane, uint64_t lines) {
    if (lane->has_rings)
        lane_pass(lane, lines);
}

static void deliver_held(struct lane *lane) {
    lane->has_held = false;
    hand_over(lane, &lane->held);
}

/*
 * The ring has come to the place of a datagram. It may have been received already, when the ring was empty. Its
 * message is handed over last, because the owner may end the connection then. (A refused reply is told at once, and may
 * end it too: see pass_over().)
 */
static int receive_marked(struct lane *lane, uint64_t number) {
    uint64_t next = lane->datagrams_in + 1;
    if (number > next || (number == next && lane->has_held)) {
        lane_fault(lane, "a mark without its datagram");
        return 1;
    }
    lane->is_in_order = false;
    if (number == next && !receive_datagram(lane, false) && !lane->is_choked && !lane->is_leaving)
        lane_fault(lane, "a mark without its datagram");
    if (lane->is_choked || lane->has_failed)
        return 0;
    if (number > lane->datagrams_in && !lane->is_leaving)
        return 1; /* it was a doorbell */
    pass_over(lane, 1);
    if (lane->has_rings)
        lane_follow_frames(lane, number);
    if (lane->has_held && number == lane->datagrams_in)
        deliver_held(lane);
    return 1;
}

static const char *collect_text(struct lane *lane, uint32_t size, char text[WIRE_TEXT_MAX + 1]) {
    ring_collect(&lane->in, text, size);
    text[size] = '\0';
    return wire_text_is_clean(text, size) ? NULL : "a text with control characters";
}

/* Inline payloads are copied straight to where they stay; small ones to `bytes`, for the handler of the message. */
static int collect_payload(struct lane *lane, uint32_t size, const uint64_t words[LINE_WORDS],
                           char bytes[LANE_BYTES_MAX], struct lane_message *in) {
    if (size <= LANE_BYTES_MAX) {
        bool is_copied = size <= LINE_FIRST_BYTES; /* with the line */
        if (!is_copied)
            ring_collect(&lane->in, bytes, size);
        in->bytes = is_copied ? (const char *) (words + LINE_FIRST_WORD) : bytes;
        in->bytes_size = size;
        return 0;
    }
    int r = peer_new_arrived(&in->block, lane->remote, size);
    if (r < 0)
        return r;
    ring_collect(&lane->in, in->block->bytes, size);
    work_take(&lane->remote->account->work, size);
    in->block->is_readonly = true;
    return 0;
}

/* Copies as much as this turn may, and hands the message over when its copy is whole. */
static void copy_some(struct lane *lane) {
    if (!snapshot_go_on(lane))
        return;
    struct lane_message in = lane->snapshot.in;
    tally_count(&lane->tally, received_pooled, 1);
    tally_count(&lane->tally, received_bytes, lane->snapshot.size);
    hand_over(lane, &in);
}

static int find_payload(struct lane *lane, const struct wire_message *message, struct lane_message *in,
                        const char **ret_why) {
    if (!(lane->hello.features & WIRE_FEATURE_SNAPSHOT))
        return peer_take(&in->block, lane->remote, message, -1, lane->hello.block_max, ret_why);
    int r = snapshot_begin(lane, message, in, ret_why);
    if (r < 0 && !*ret_why)
        *ret_why = peer_why(lane->remote, message->handle, r);
    return r;
}

static void receive_message(struct lane *lane, const struct wire_frame *frame, const uint64_t words[LINE_WORDS],
                            uint32_t bytes) {
    const struct wire_message *message = &frame->message;
    struct lane_message in = message_begin(&frame->head, message);
    char text[WIRE_TEXT_MAX + 1], payload[LANE_BYTES_MAX];
    const char *why = message->payload_class ? message_check(lane, message) : NULL;
    if (!why && message->text_size)
        why = collect_text(lane, bytes, text), in.text = text;
    if (why) {
        lane_fault(lane, why);
        return;
    }
    int r = message->payload_class == WIRE_CLASS_POOLED ? lane_reserve_release(lane) : 0;
    if (message->payload_class == WIRE_CLASS_INLINE)
        r = collect_payload(lane, bytes, words, payload, &in);
    else if (message->payload_class == WIRE_CLASS_POOLED && r == 0)
        r = find_payload(lane, message, &in, &why);
    if (lane->has_rings) /* see pass_over() */
        lane_pass(lane, bytes ? line_count(bytes) : 1);
    if (lane->is_copying)
        copy_some(lane);
    else
        message_end(lane, frame, &in, r, why);
}

/* One frame of the ring, which is there. */
static int receive_frame(struct lane *lane) {
    uint64_t words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t bytes;
    ring_peek(&lane->in, words);
    const char *why = line_decode(words, &frame, &bytes);
    if (!why && bytes > lane->in.bytes_max)
        why = "a frame is larger than a quarter of its ring";
    if (why) {
        lane_fault(lane, why);
        return 1;
    }
    if (frame.head.type == WIRE_MARK)
        return receive_marked(lane, frame.head.id);
    if (frame.head.type != WIRE_CANCEL) {
        receive_message(lane, &frame, words, bytes);
        return 1;
    }
    pass_over(lane, 1);
    lane->handled++;
    accept_cancel(lane, frame.head.id);
    return 1;
}

/* A frame that the peer wrote before its end was seen lies within a lap of where the reader was then: whatever comes
 * behind that was written afterwards, and is not read. */
static bool is_from_before_its_end(const struct lane *lane) {
    return lane->in.head - lane->parted_at <= lane->in.mask;
}

/*
 * The ring first. A datagram that comes before its mark waits until the ring is empty after it was received: then all
 * frames that were published before it was sent have been handled.
 */
int lane_receive(struct lane *lane) {
    if (lane->is_copying) {
        copy_some(lane);
        return 1;
    }
    bool has_frame =
        lane->has_rings && ring_has_frame(&lane->in) && (!lane->is_parting || is_from_before_its_end(lane));
    lane->is_in_order = !lane->has_rings || has_frame;
    if (has_frame)
        return receive_frame(lane);
    if (lane->has_held) {
        deliver_held(lane);
        return 1;
    }
    if (lane->is_leaving) {
        lane_fail(lane, lane->reason, lane->text);
        return 0;
    }
    return lane->is_readable && receive_datagram(lane, false);
}
