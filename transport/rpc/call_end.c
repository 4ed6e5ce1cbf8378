/* SPDX-License-Identifier: MIT */
/* The ends of our own calls. See call_end.h. */
#include "rpc/call_end.h"

#include "rpc/msg.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void call_end(sea_conn *conn, struct call_waiter waiter, int status, sea_msg *reply) {
    tally_uncount(&conn->lane.tally, calls_out, 1);
    conn->told++;
    waiter.done(conn, status, reply, waiter.user);
}

/* Explains a deadline that has passed. If this side holds as many blocks or bytes as it takes, the peer could not send
 * the reply: the text names that limit. */
static void say_late(sea_conn *conn, const struct call_waiter *waiter) {
    const struct account *peer = conn->lane.remote->account;
    int length = snprintf(conn->text, sizeof(conn->text), "no reply of method %" PRIu32 " within its %d ms",
                          waiter->method, waiter->timeout_ms);
    if (peer->imported_blocks)
        snprintf(conn->text + length, sizeof(conn->text) - (size_t) length,
                 "; of what we take at most, %" PRIu64 " of %" PRIu32 " blocks and %" PRIu64 " of %" PRIu64
                 " bytes are held here: release some",
                 peer->imported_blocks, peer->in_limit.blocks, peer->imported_bytes, peer->in_limit.bytes);
    conn_say(conn, -ETIMEDOUT, conn->text);
}

/* The id of the call with a reply that is being copied, turn by turn; 0: no reply is being copied. */
static uint64_t call_being_answered(const sea_conn *conn) {
    const struct lane *lane = &conn->lane;
    return lane->is_copying && lane->snapshot.in.type == WIRE_REPLY ? lane->snapshot.in.id : 0;
}

void calls_expire(sea_conn *conn) {
    uint64_t id, now = wait_now();
    struct call_waiter waiter;
    while (calls_first_late(&conn->calls, now, call_being_answered(conn), &id)) {
        calls_abandon(&conn->calls, id, &waiter);
        lane_send_cancel(&conn->lane, id);
        say_late(conn, &waiter);
        call_end(conn, waiter, -ETIMEDOUT, NULL);
    }
}

struct calls_ending {
    sea_conn *conn;
    int status;
};

/* If an exception left a callback, calls are left; they end here. */
static void calls_end_others(const struct calls_ending *ending) {
    uint64_t id, deadline;
    if (calls_first(&ending->conn->calls, &id, &deadline))
        calls_end(ending->conn, ending->status);
}

void calls_end(sea_conn *conn, int status) {
    CLEANUP(calls_end_others) struct calls_ending ending = {conn, status};
    uint64_t id, deadline;
    struct call_waiter waiter;
    while (calls_first(&conn->calls, &id, &deadline)) {
        calls_abandon(&conn->calls, id, &waiter);
        call_end(conn, waiter, status, NULL);
    }
}
