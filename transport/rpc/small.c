/* SPDX-License-Identifier: MIT */
/*
 * Small messages of plain bytes, the short way (lane/small.h), from the public functions to the handler. Whatever is
 * unusual goes the long way instead, before anything was done.
 *
 * Between seeing one line and publishing the next there is only what these two need. What is left, counting, lists and
 * the look at the peer's sleep word, comes after it, while the line is on its way.
 */
#include "rpc/small.h"

#include "lane/small.h"
#include "rpc/msg.h"

/* How often the answer of a call is looked for before the call is entered among those that wait: a few microseconds. */
static const unsigned LOOKS = 256;

static sea_msg *small_answer(sea_conn *conn, uint64_t id) {
    struct lane *lane = &conn->lane;
    uint64_t head[LINE_FIRST_WORD];
    if (!lane_spin_for_frame(lane, LOOKS) || !lane_peek_small(lane, head) || head[1] != id ||
        line_type(head) != WIRE_REPLY)
        return NULL;
    sea_msg *reply = msg_take_spare(conn, head);
    lane_read_small(lane, reply->in.bytes_size, reply->small.bytes);
    lane_pass(lane, line_count(reply->in.bytes_size));
    lane_received_small(lane, reply->in.bytes_size);
    calls_skip_id(&conn->calls);
    return reply;
}

/* Was a quarter of the ring passed over since a bell was last due? Then it is time for a turn in full: releases, pools
 * and deadlines must not wait for ever because there is always a small message. */
static bool has_gone_round(const struct lane *lane) {
    return lane->doorbell.due & DOORBELL_ROOM;
}

/* Can a call go the short way now, and is looking for its answer any use? */
static bool takes_call(const sea_conn *conn, size_t size) {
    return conn_can_wait(conn) && conn->spares && lane_takes_small(&conn->lane, size) &&
           spin_policy_may_spin(&conn->lane.spin);
}

int sea_call_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms,
                   sea_msg **ret_reply) {
    struct lane *lane = &conn->lane;
    uint64_t id = calls_next_id(&conn->calls, lane->negotiated.calls_max);
    if (!id || !ret_reply || !takes_call(conn, size))
        return client_call_bytes(conn, method, data, size, timeout_ms, ret_reply);
    uint64_t deadline = wait_deadline(timeout_ms);
    lane_write_small(lane, WIRE_CALL, id, deadline == WAIT_FOREVER ? 0 : deadline, method, data, size);
    lane_sent_small(lane, size);
    if (lane->corks)
        lane_ring_bell(lane);
    sea_msg *reply = small_answer(conn, id);
    if (!reply)
        return client_await_small(conn, method, timeout_ms, deadline, ret_reply);
    spin_policy_reward(&lane->spin);
    if (has_gone_round(lane))
        conn_turn(conn, 0);
    *ret_reply = reply;
    return 0;
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

int sea_send_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms) {
    if ((timeout_ms && !conn_can_wait(conn)) || !lane_takes_small(&conn->lane, size))
        return client_send_bytes(conn, method, data, size, timeout_ms);
    lane_write_small(&conn->lane, WIRE_ONEWAY, 0, 0, method, data, size);
    lane_sent_small(&conn->lane, size);
    return 0;
}

struct received {
    struct lane *lane;
    size_t size;
};

static inline void received_count(const struct received *received) {
    lane_received_small(received->lane, received->size);
}

/* One request. false: there is none, or it is for the long way. */
static bool small_take(sea_conn *conn) {
    struct lane *lane = &conn->lane;
    uint64_t head[LINE_FIRST_WORD];
    if (!conn->spares || conn->incoming_count >= lane->hello.calls_max || lane->queue_head ||
        !lane_peek_small(lane, head))
        return false;
    const sea_method *method = conn_method(conn, (uint32_t) head[3]);
    if (!method || line_type(head) == WIRE_REPLY)
        return false;
    sea_msg *msg = msg_take_spare(conn, head);
    size_t size = msg->in.bytes_size;
    lane_read_small(lane, size, msg->small.bytes);
    lane_pass(lane, line_count(size));
    if (line_type(head) == WIRE_CALL)
        msg_add_incoming(msg);
    CLEANUP(received_count) struct received received = {lane, size};
    method->handler(msg, conn->options.user);
    return true;
}

static bool goes_on(const struct lane *lane) {
    return lane->state == LANE_OPEN && !lane->has_failed && ring_has_frame(&lane->in);
}

struct small_turn {
    sea_conn *conn;
    bool is_done;
};

/* An exception keeps from the next frames, and from the bell: another turn sees to both. */
static inline void small_leave(const struct small_turn *turn) {
    sea_conn *conn = turn->conn;
    conn->lane.corks--;
    conn_leave(conn);
    if (!turn->is_done)
        conn_turn_again(conn);
}

/* Returns how many requests were handled. */
static inline int small_take_all(sea_conn *conn) {
    CLEANUP(small_leave) struct small_turn turn = {.conn = conn};
    struct lane *lane = &conn->lane;
    int taken = 0;
    conn->turns++;
    lane->corks++;
    while (taken < LANE_FRAMES_PER_TURN && !lane->doorbell.is_armed && goes_on(lane) && small_take(conn))
        taken++;
    turn.is_done = true;
    return taken;
}

int small_turn(sea_conn *conn) {
    struct lane *lane = &conn->lane;
    CLEANUP_CONN sea_conn *held = conn; /* a handler may free it */
    held->refs++;
    int taken = small_take_all(conn);
    bool is_all = taken && !has_gone_round(lane) && !conn->calls.in_flight;
    if (!lane->corks)
        lane_ring_bell(lane);
    is_all = is_all && lane_is_calm(lane);
    if (!is_all && !conn->is_ended) {
        lane->taken = taken;
        taken = conn_turn(conn, 0);
    }
    return taken;
}
