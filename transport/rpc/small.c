/* SPDX-License-Identifier: MIT */
/*
 * Small requests of plain bytes, and requests with a pooled payload, the short way (lane/small.h, lane/pooled.h), from
 * the ring to the handler. Whatever is unusual goes the long way instead, before anything was done.
 *
 * Between seeing one line and publishing the next there is only what these two need. What is left, counting, lists and
 * the look at the peer's sleep word, comes after it, while the line is on its way.
 */
#include "rpc/small.h"

#include "lane/pooled.h"
#include "rpc/conn_turn.h"
#include "rpc/msg.h"

/* Looks for the next frame, for each look of the loop at this connection: the way through the loop takes as long as
 * many of them. */
enum { LOOKS_EACH = 8 };

struct received {
    struct lane *lane;
    size_t size;
};

static inline void received_count(const struct received *received) {
    lane_received_small(received->lane, received->size);
}

/* The method of the newest small request serves the next one too, mostly. */
static inline const sea_method *small_method(sea_conn *conn, uint32_t number) {
    const sea_method *newest = conn->newest_method;
    if (newest && newest->number == number)
        return newest;
    const sea_method *method = conn_method(conn, number);
    if (method && method->number == number)
        conn->newest_method = method;
    return method;
}

/* One request with a pooled payload. */
static bool small_take_pooled(sea_conn *conn) {
    struct pooled_frame frame;
    if (!lane_peek_pooled(&conn->lane, &frame))
        return false;
    const sea_method *method = small_method(conn, frame.head.method);
    if (!method || frame.head.type == WIRE_REPLY || !method_takes(method, frame.size))
        return false;
    sea_block *block = lane_take_pooled(&conn->lane, &frame);
    if (!block)
        return false;
    sea_msg *msg = msg_take_spare(conn, &frame.head);
    msg_set_block(msg, block);
    if (frame.head.type == WIRE_CALL)
        msg_add_incoming(msg);
    method_handle(method, conn, msg);
    return true;
}

/* One request. false: there is none, or it is for the long way. */
static inline bool small_take(sea_conn *conn) {
    struct lane *lane = &conn->lane;
    struct small_frame frame;
    if (!conn->spares.first || conn->incoming_count >= lane->hello.calls_max || !lane->small_end)
        return false;
    if (!lane_peek_request(lane, &frame))
        return small_take_pooled(conn);
    const sea_method *method = small_method(conn, frame.method);
    if (!method || !method_takes(method, frame.size))
        return false;
    sea_msg *msg = msg_take_spare(conn, &frame);
    lane_read_small(lane, frame.size, msg->small.bytes);
    lane_pass(lane, line_count(frame.size));
    if (frame.type == WIRE_CALL)
        msg_add_incoming(msg);
    CLEANUP(received_count) struct received received = {lane, frame.size};
    method_handle(method, conn, msg);
    return true;
}

struct small_turn {
    sea_conn *conn;
    bool is_done;
};

/* An exception keeps from the next frames, and from the bell: another turn sees to both. */
static inline void small_leave(const struct small_turn *turn) {
    sea_conn *conn = turn->conn;
    conn->lane.corks--;
    conn_end_turn(conn);
    if (!turn->is_done)
        conn_turn_again(conn);
}

/* Takes the requests that are there, at most as many as a turn takes. Returns how many. */
static inline int small_take_some(sea_conn *conn) {
    struct lane *lane = &conn->lane;
    int taken = 0;
    bool has_more = true;
    while (has_more && small_take(conn)) {
        has_more = ++taken < LANE_FRAMES_PER_TURN && lane->small_end && ring_has_frame(&lane->in);
        if (has_more) /* a stream */
            ring_in_ask(&lane->in);
    }
    return taken;
}

/* Tells the peer of what was done, unless a turn in full follows, which does that: a handler may have ended the
 * connection, and then there are no outboxes. Is nothing left but to wait for the next frame? The connection is in this
 * turn, and in no other. */
static inline bool small_is_all(sea_conn *conn) {
    struct lane *lane = &conn->lane;
    bool has_gone_round = lane->doorbell.due & DOORBELL_ROOM; /* small_has_gone_round(), before the bell */
    if (lane->small_end && lane->corks == 1)
        lane_ring_bell_if_heard(lane);
    return !has_gone_round && !conn->calls.in_flight && !mailbox_has_mail(conn->box) && lane_is_calm(lane);
}

/* Returns how many requests were taken; *ret_last: how many of these the turn in full has to count. 0: it need not
 * follow. */
static inline int small_take_all(sea_conn *conn, unsigned tries, int *ret_last, bool *ret_is_all) {
    CLEANUP(small_leave) struct small_turn turn = {.conn = conn};
    struct lane *lane = &conn->lane;
    int taken = 0, some = 0;
    /* Whoever was woken has not looked at the ring: a doorbell may come without a frame, and a line of the lap before
     * looks like one but for its tag. */
    bool goes_on = !lane->doorbell.is_armed && lane->small_end && ring_has_frame(&lane->in);
    conn_begin_turn(conn);
    lane->corks++;
    *ret_is_all = false;
    while (goes_on) {
        some = small_take_some(conn);
        taken += some;
        *ret_is_all = small_is_all(conn) && some;
        goes_on = *ret_is_all && tries && taken < LANE_FRAMES_PER_TURN && lane_spin_for_small(lane, tries * LOOKS_EACH);
        if (goes_on)
            spin_policy_reward(&lane->spin);
    }
    *ret_last = some;
    turn.is_done = true;
    return taken;
}

int small_turn(sea_conn *conn, unsigned tries) {
    int last = 0;
    bool is_all;
    if (conn_adopt(conn) < 0)
        return 0;
    CLEANUP_CONN sea_conn *held = conn_ref(conn); /* a handler may free it */
    int taken = small_take_all(held, tries, &last, &is_all);
    if (!is_all && !conn->is_ended) {
        conn->lane.taken = last;
        taken += conn_run_turn(conn, 0) - last;
    }
    return taken;
}
