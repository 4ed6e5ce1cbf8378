/* SPDX-License-Identifier: MIT */
/*
 * Calls of ours: begun, and waited for. See <sealane/conn.h>.
 *
 * A small call takes the short way: sea_call_bytes() writes its line, and looks for the answer before the call is
 * entered among those that wait. Whatever is unusual goes the long way instead, before anything was done.
 *
 * Owns: a payload from sea_call...() on, and the wait of a blocking call, which lies on its stack. Touches:
 * conn->calls, the lane (frames, room), the texts; a wait gives the connection turns, in which handlers run and may
 * free it. Threads: the connection's; sea_call_cancel() any thread, which leaves a mail. After the end: -EPIPE or
 * -EPROTO.
 */
#include "rpc/call_end.h"
#include "rpc/conn_turn.h"
#include "rpc/conn_wait.h"
#include "rpc/msg.h"
#include "rpc/payload.h"
#include "rpc/small.h"

#include "lane/pooled.h"
#include "sys/heap.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

static const uint64_t NS_PER_MS = 1000 * 1000;

/* How often the answer of a call is looked for before the call is entered among those that wait: a few microseconds. */
static const unsigned LOOKS = 256;

/* The peer takes no more calls for now; or none at all. */
static int call_wait(sea_conn *conn) {
    if (conn->lane.negotiated.calls_max == 0)
        return refusal_keep(&conn->ctx->refusals, -EDQUOT, "peer's calls_max", 1, 0,
                            "it takes no calls at all: send one-way messages, or raise that limit");
    conn->lane.shortage = (struct lane_shortage){
        .limit = "peer's calls_max",
        .needed = 1,
        .advice = "calls of ours have to end: wait for on_room, give a longer time-out, or raise that limit"};
    conn->wants_call = true;
    return -EAGAIN;
}

/* `call` brings method and payload. */
static int call_start(sea_conn *conn, struct lane_message *call, uint64_t deadline, struct call_waiter waiter) {
    if (!conn->is_open)
        return conn->is_ended ? conn_end_reason(conn) : -EAGAIN;
    int r = calls_begin(&conn->calls, conn->lane.negotiated.calls_max, deadline, waiter, &call->id);
    if (r == -EAGAIN)
        r = call_wait(conn);
    if (r < 0)
        return r;
    call->type = WIRE_CALL;
    call->deadline = deadline == WAIT_FOREVER ? 0 : deadline;
    r = lane_send(&conn->lane, call, false);
    if (r < 0) {
        calls_undo(&conn->calls, call->id);
        if (r == -EPIPE)
            conn_note_gone(conn);
        return r;
    }
    tally_count(&conn->lane.tally, calls_out, 1);
    if (conn->watch.poller && !conn_turns(conn))
        watch_update(&conn->watch, lane_events(&conn->lane), conn_deadline(conn));
    return 0;
}

/* A deadline, and how long it is away, for the text of a call that it ends. A time-out of 0 has passed already. */
struct term {
    uint64_t deadline;
    int timeout_ms;
    bool has_passed;
};

static struct term term_of(int timeout_ms) {
    return (struct term){wait_deadline(timeout_ms), timeout_ms, timeout_ms == 0};
}

static struct term term_until(uint64_t deadline_ns) {
    uint64_t now = wait_now();
    if (deadline_ns == 0 || deadline_ns == WAIT_FOREVER)
        return (struct term){WAIT_FOREVER, -1, false};
    uint64_t left_ms = deadline_ns > now ? (deadline_ns - now) / NS_PER_MS : 0;
    return (struct term){deadline_ns, left_ms < INT_MAX ? (int) left_ms : INT_MAX, deadline_ns <= now};
}

static int explain_passed(sea_conn *conn, uint32_t method) {
    snprintf(conn->text, sizeof(conn->text), "method %" PRIu32 ": the deadline had passed before the call was sent",
             method);
    return conn_say(conn, -ETIMEDOUT, conn->text);
}

static int explain_no_done(const sea_conn *conn) {
    return refusal_explain(&conn->ctx->refusals, -EINVAL, "sea_call_start()",
                           "`done` is NULL: it is told how the call ended; sea_send() sends what is not answered");
}

/* `call` brings method and payload, which is borrowed. */
static int call_start_term(sea_conn *conn, struct lane_message *call, struct term term, sea_done *done, void *user,
                           uint64_t *ret_id) {
    uint64_t mark = refusal_mark(&conn->ctx->refusals);
    struct call_waiter waiter = {done, user, call->method, term.timeout_ms};
    int r = conn_adopt(conn);
    if (r < 0)
        return r;
    bool is_first = !conn->lane.wants_room && !conn->wants_call;
    r = !done             ? explain_no_done(conn)
        : term.has_passed ? explain_passed(conn, call->method)
                          : call_start(conn, call, term.deadline, waiter);
    if (r == -EAGAIN && is_first)
        lane_explain(&conn->lane, r);
    if (r == 0 && ret_id)
        *ret_id = call->id;
    return conn_explain_end(conn, mark, r);
}

int sea_call_start(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_done *done, void *user,
                   uint64_t *ret_id) {
    CLEANUP_BLOCK sea_block *taken = block;
    struct lane_message call = {.method = method, .block = taken};
    return call_start_term(conn, &call, term_of(timeout_ms), done, user, ret_id);
}

int sea_call_start_until(sea_conn *conn, uint32_t method, sea_block *block, uint64_t deadline_ns, sea_done *done,
                         void *user, uint64_t *ret_id) {
    CLEANUP_BLOCK sea_block *taken = block;
    struct lane_message call = {.method = method, .block = taken};
    return call_start_term(conn, &call, term_until(deadline_ns), done, user, ret_id);
}

int sea_call_start_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms, sea_done *done,
                         void *user, uint64_t *ret_id) {
    CLEANUP_MESSAGE struct lane_message call = {.block = NULL};
    int r = message_of_bytes(conn, method, data, size, &call);
    return r == 0 ? call_start_term(conn, &call, term_of(timeout_ms), done, user, ret_id) : r;
}

struct blocking_call {
    bool is_done;
    int status;
    sea_msg *reply;
};

static void blocking_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    struct blocking_call *call = user;
    (void) conn;
    *call = (struct blocking_call){.is_done = true, .status = status, .reply = reply};
}

static int call_begin_waiting(sea_conn *conn, struct lane_message *message, struct term term,
                              struct blocking_call *call) {
    struct call_waiter waiter = {blocking_done, call, message->method, term.timeout_ms};
    if (term.has_passed)
        return explain_passed(conn, message->method);
    for (;;) {
        int r = call_start(conn, message, term.deadline, waiter);
        if (r != -EAGAIN)
            return r;
        if (term.deadline != WAIT_FOREVER && wait_now() >= term.deadline)
            return lane_explain(&conn->lane, -ETIMEDOUT);
        r = conn_wait_turn(conn, term.deadline);
        if (r < 0)
            return interrupt_tell(&conn->interrupt, r);
    }
}

/* On the thread that drives the connection. -ENOENT: the call has ended. */
static int call_cancel(sea_conn *conn, uint64_t id) {
    struct call_waiter waiter;
    int r = calls_abandon(&conn->calls, id, &waiter);
    if (r < 0)
        return r;
    lane_send_cancel(&conn->lane, id);
    conn_rearm(conn);
    call_end(conn, waiter, -ECANCELED, NULL);
    return 0;
}

struct waiting {
    sea_conn *conn; /* borrowed: the caller holds a reference, because handlers that run meanwhile may free it */
    struct blocking_call *call;
    uint64_t id;
    bool is_done;
};

/* Polling failed, or an exception left a handler: nothing may be told to this frame of the stack later. (And nothing
 * through the mailbox, should another thread have taken the connection against the rules.) */
static void waiting_end(struct waiting *waiting) {
    if (!waiting->is_done && !waiting->call->is_done)
        call_cancel(waiting->conn, waiting->id);
    if (!waiting->is_done)
        sea_msg_release(waiting->call->reply);
}

/* Of the call whose answer is first in the ring. NULL: another frame is there, or the answer is for the long way. */
static inline ALWAYS sea_msg *take_small_answer(sea_conn *conn, uint64_t id) {
    struct lane *lane = &conn->lane;
    struct small_frame frame;
    if (!lane_peek_answer(lane, id, &frame))
        return NULL;
    sea_msg *reply = msg_take_spare(conn, &frame);
    lane_read_small(lane, frame.size, reply->small.bytes);
    lane_pass(lane, line_count(frame.size));
    lane_received_small(lane, frame.size);
    return reply;
}

/* The doorbell has woken us. true: for this call's answer, which went the short way, and nothing else was there. */
static bool call_takes_answer(sea_conn *conn, uint64_t id) {
    struct lane *lane = &conn->lane;
    struct call_waiter waiter;
    if (conn->wants_call || !conn->spares.first || !ring_has_frame(&lane->in) || mailbox_has_mail(conn->box))
        return false;
    sea_msg *reply = take_small_answer(conn, id);
    if (!reply)
        return false;
    calls_finish(&conn->calls, id, &waiter);
    call_end(conn, waiter, 0, reply);
    return !small_has_gone_round(lane);
}

/* Waits for the end of a call that was begun. The caller holds a reference of the connection. */
static int call_await(sea_conn *conn, struct blocking_call *call, uint64_t id, sea_msg **ret_reply) {
    int r = 0;
    CLEANUP(waiting_end) struct waiting waiting = {.conn = conn, .call = call, .id = id};
    while (r >= 0 && !call->is_done) {
        bool is_rung;
        r = conn_wait_bell(conn, WAIT_FOREVER, &is_rung); /* the call's own deadline ends it */
        if (is_rung && !call_takes_answer(conn, id))
            r = conn_run_turn(conn, 0);
    }
    if (r < 0)
        interrupt_tell(&conn->interrupt, r);
    else
        r = call->status;
    if (r >= 0 && ret_reply) {
        *ret_reply = call->reply;
        waiting.is_done = true;
    }
    return r < 0 ? r : 0;
}

/* Calls and waits. `message` brings method and payload, which is borrowed. */
static int call_blocking(sea_conn *conn, struct lane_message *message, struct term term, sea_msg **ret_reply) {
    struct blocking_call call = {.is_done = false};
    int r = conn_adopt(conn);
    if (r < 0)
        return r;
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    uint64_t mark = refusal_mark(&conn->ctx->refusals);
    r = conn_can_wait(held) ? call_begin_waiting(conn, message, term, &call) : conn_explain_deadlock(conn);
    if (r == 0)
        r = call_await(conn, &call, message->id, ret_reply);
    return r == 0 ? 0 : conn_explain_end(held, mark, r);
}

static int call_block_blocking(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_msg **ret_reply) {
    CLEANUP_BLOCK sea_block *taken = block;
    struct lane_message call = {.method = method, .block = taken};
    return call_blocking(conn, &call, term_of(timeout_ms), ret_reply);
}

int sea_call_until(sea_conn *conn, uint32_t method, sea_block *block, uint64_t deadline_ns, sea_msg **ret_reply) {
    CLEANUP_BLOCK sea_block *taken = block;
    struct lane_message call = {.method = method, .block = taken};
    return call_blocking(conn, &call, term_until(deadline_ns), ret_reply);
}

static RARE int call_await_small(sea_conn *conn, uint32_t method, int timeout_ms, uint64_t deadline,
                                 sea_msg **ret_reply) {
    struct blocking_call call = {.is_done = false};
    struct call_waiter waiter = {blocking_done, &call, method, timeout_ms};
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    uint64_t id, mark = refusal_mark(&conn->ctx->refusals);
    calls_begin(&conn->calls, UINT32_MAX, deadline, waiter, &id); /* a slot is free */
    tally_count(&conn->lane.tally, calls_out, 1);
    return conn_explain_end(held, mark, call_await(conn, &call, id, ret_reply));
}

static RARE int call_bytes_blocking(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms,
                                    sea_msg **ret_reply) {
    CLEANUP_MESSAGE struct lane_message call = {.block = NULL};
    int r = message_of_bytes(conn, method, data, size, &call);
    return r == 0 ? call_blocking(conn, &call, term_of(timeout_ms), ret_reply) : r;
}

static sea_msg *pooled_answer(sea_conn *conn, uint64_t id) {
    struct pooled_frame frame;
    if (!lane_peek_pooled(&conn->lane, &frame) || frame.head.id != id || frame.head.type != WIRE_REPLY)
        return NULL;
    sea_block *block = lane_take_pooled(&conn->lane, &frame);
    if (!block)
        return NULL;
    sea_msg *reply = msg_take_spare(conn, &frame.head);
    msg_set_block(reply, block);
    calls_skip_id(&conn->calls);
    return reply;
}

static sea_msg *small_answer(sea_conn *conn, uint64_t id) {
    struct lane *lane = &conn->lane;
    if (!lane->small_end || !lane_spin_for_small(lane, spin_policy_may_spin(&lane->spin) ? LOOKS : 1))
        return NULL;
    sea_msg *reply = take_small_answer(conn, id);
    if (!reply)
        return pooled_answer(conn, id);
    calls_skip_id(&conn->calls);
    return reply;
}

static void drop_reply(sea_msg **reply) {
    sea_msg_release(*reply);
}

/* A turn in full behind an answer that came the short way. If an exception leaves a handler, the reply goes. */
static RARE sea_msg *turn_with_reply(sea_conn *conn, sea_msg *reply) {
    CLEANUP(drop_reply) sea_msg *held = reply;
    conn_turn(conn, 0);
    held = NULL;
    return reply;
}

/* May this thread look for the answer of a call before the call is entered among those that wait? */
static bool may_look(const sea_conn *conn) {
    return conn_is_mine(conn) && conn_can_wait(conn) && conn->spares.first;
}

/* Can a call go the short way now? */
static bool takes_call(const sea_conn *conn, size_t size) {
    return may_look(conn) && lane_takes_small(&conn->lane, size);
}

int sea_call_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms,
                   sea_msg **ret_reply) {
    struct lane *lane = &conn->lane;
    uint64_t id = 0;
    if (ret_reply && timeout_ms != 0 && takes_call(conn, size))
        id = calls_ready_id(&conn->calls, lane->negotiated.calls_max);
    if (!id)
        return call_bytes_blocking(conn, method, data, size, timeout_ms, ret_reply);
    uint64_t deadline = timeout_ms < 0 ? WAIT_FOREVER : wait_deadline(timeout_ms);
    lane_write_small(lane, WIRE_CALL, id, deadline == WAIT_FOREVER ? 0 : deadline, method, data, size);
    lane_sent_small(lane, size);
    if (lane->corks)
        lane_ring_bell(lane);
    sea_msg *reply = small_answer(conn, id);
    if (!reply)
        return call_await_small(conn, method, timeout_ms, deadline, ret_reply);
    spin_policy_reward(&lane->spin);
    *ret_reply = small_has_gone_round(lane) ? turn_with_reply(conn, reply) : reply;
    return 0;
}

/* Takes the block. */
static int call_small_block(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_msg **ret_reply) {
    CLEANUP_BLOCK sea_block *taken = block;
    return sea_call_bytes(conn, method, payload_bytes(taken), taken->size, timeout_ms, ret_reply);
}

/* Takes the block. A pooled call reads the clock: pools that are due get their maintenance here, since an answer that
 * comes in time brings no turn. */
int sea_call(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_msg **ret_reply) {
    struct lane *lane = &conn->lane;
    uint64_t handle = 0, id = 0;
    if (conn_is_mine(conn) && payload_is_small(lane, block))
        return call_small_block(conn, method, block, timeout_ms, ret_reply);
    if (ret_reply && timeout_ms != 0 && may_look(conn) && lane_takes_pooled(lane, block))
        id = calls_ready_id(&conn->calls, lane->negotiated.calls_max);
    if (id)
        handle = lane_lend_pooled(lane, block);
    if (!handle)
        return call_block_blocking(conn, method, block, timeout_ms, ret_reply);
    uint64_t deadline = timeout_ms < 0 ? WAIT_FOREVER : wait_deadline(timeout_ms), lent_at = block->slot->leased_at;
    lane_write_pooled(lane, WIRE_CALL, id, deadline == WAIT_FOREVER ? 0 : deadline, method, handle, block->size);
    bool is_large = block->size > POOL_HOT_LARGEST;
    lane_sent_pooled(lane, block->size);
    if (lane->corks)
        lane_ring_bell(lane);
    sea_msg *reply = small_answer(conn, id);
    if (!reply)
        return call_await_small(conn, method, timeout_ms, deadline, ret_reply);
    spin_policy_reward(&lane->spin);
    if (is_large) /* it may have come back before the answer */
        lane_take_release(lane);
    bool needs_turn = small_has_gone_round(lane) || lane_pools_are_due_at(lane, lent_at);
    *ret_reply = needs_turn ? turn_with_reply(conn, reply) : reply;
    return 0;
}

/* A cancellation from another thread. */
struct cancel {
    struct mail mail; /* the first member */
    sea_conn *conn;   /* borrowed: it stays until its mailbox is closed, with this mail in it */
    uint64_t id;
};

static void cancel_run(struct mail *mail) {
    struct cancel *cancel = (struct cancel *) (void *) mail, own = *cancel;
    heap_free(cancel);
    if (!own.conn->is_ended)
        sea_call_cancel(own.conn, own.id);
}

static RARE int cancel_post(sea_conn *conn, uint64_t id) {
    struct refusal_log *log = &conn->ctx->refusals;
    struct cancel *cancel = heap_new(1, sizeof(*cancel));
    if (!cancel)
        return refusal_explain(log, -ENOMEM, "sea_call_cancel", "out of memory");
    *cancel = (struct cancel){.mail = {.run = cancel_run}, .conn = conn, .id = id};
    if (mailbox_put(conn->box, &cancel->mail))
        return 0;
    heap_free(cancel);
    return refusal_explain(log, -ENOENT, "sea_call_cancel", "the connection has ended, and with it the call");
}

int sea_call_cancel(sea_conn *conn, uint64_t id) {
    if (!conn_is_mine(conn))
        return cancel_post(conn, id);
    int r = call_cancel(conn, id);
    return r < 0 ? refusal_explain(&conn->ctx->refusals, r, "sea_call_cancel", "the call has ended already") : 0;
}
