/* SPDX-License-Identifier: MIT */
/*
 * One-way messages. See <sealane/conn.h>.
 *
 * Owns: the payload, from the call on; the lane borrows it. Touches: the lane (frames, room, wants_blocks), the pools
 * when they are due; a send with a time-out waits, in turns of the connection, in which handlers run and may free it.
 * Threads: the connection's. After its end: -EPIPE or -EPROTO.
 */
#include "rpc/conn_turn.h"
#include "rpc/conn_wait.h"
#include "rpc/payload.h"

#include "lane/pooled.h"
#include "sys/heap.h"
#include <errno.h>

/* Memory is made, in base pages, some 10 ms for 16 MiB (memory/reserve.c). */
static const uint64_t GROWTH_BYTES_PER_NS = 2;

static void stop_wanting(struct lane **lane) {
    (*lane)->wants_blocks = false;
}

/*
 * A stream that goes round in few blocks stays in the caches, and takes no memory. So before the pool has to grow for
 * the next block, one that comes back is waited for, for as long as growing would take: that costs at most twice the
 * best choice.
 */
static void await_block(sea_conn *conn, const sea_block *sent, uint64_t deadline) {
    struct lane *lane = &conn->lane;
    bool is_ours = sent && pools_have(&lane->remote->pools, sent); /* others' pools may be other threads' */
    uint64_t growth = is_ours ? pooled_block_growth(sent) : 0;
    if (!growth)
        return;
    deadline = deadline_sooner(deadline, wait_now() + growth / GROWTH_BYTES_PER_NS);
    CLEANUP(stop_wanting) struct lane *wanting = lane;
    wanting->wants_blocks = true;
    while (!conn->is_ended && pooled_block_growth(sent) && wait_now() < deadline && conn_wait_turn(conn, deadline) >= 0)
        ;
}

/* `out` brings method and payload, which is borrowed. */
static int send_waiting(sea_conn *conn, struct lane_message *out, int timeout_ms) {
    uint64_t deadline = wait_deadline(timeout_ms), mark = refusal_mark(&conn->ctx->refusals);
    int r = conn_adopt(conn);
    if (r < 0)
        return r;
    if (timeout_ms && !conn_can_wait(conn))
        r = conn_explain_deadlock(conn);
    bool is_first = timeout_ms || !conn->lane.wants_room;
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    out->type = WIRE_ONEWAY;
    while (r >= 0) {
        r = conn->is_ended ? conn_end_reason(held) : lane_send(&conn->lane, out, false);
        if (r != -EAGAIN || timeout_ms == 0 || wait_now() >= deadline)
            break;
        r = conn_wait_turn(conn, deadline);
    }
    if (r == 0 && timeout_ms) {
        await_block(conn, out->block, deadline);
        lane_maintain_pools_when_due(&conn->lane);
    }
    if (r == -EAGAIN && is_first)
        lane_explain(&conn->lane, r);
    if (r == -EPIPE)
        conn_note_gone(conn);
    interrupt_tell(&conn->interrupt, r);
    return conn_explain_end(held, mark, r);
}

static int send_block_waiting(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms) {
    CLEANUP_BLOCK sea_block *taken = block;
    struct lane_message out = {.method = method, .block = taken};
    return send_waiting(conn, &out, timeout_ms);
}

/* What a sender that may wait does behind a message that went the short way. Takes a reference of the block. */
static RARE int rest_after_send(sea_conn *conn, sea_block *sent, int timeout_ms) {
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    CLEANUP_BLOCK sea_block *kept = sent;
    await_block(held, kept, wait_deadline(timeout_ms));
    lane_maintain_pools_when_due(&conn->lane);
    return 0;
}

/* Takes the block. */
static int send_small_block(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms) {
    CLEANUP_BLOCK sea_block *taken = block;
    return sea_send_bytes(conn, method, payload_bytes(taken), taken->size, timeout_ms);
}

int sea_send(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms) {
    struct lane *lane = &conn->lane;
    uint64_t handle = 0;
    if (conn_is_mine(conn) && payload_is_small(lane, block))
        return send_small_block(conn, method, block, timeout_ms);
    if (conn_is_mine(conn) && (!timeout_ms || conn_can_wait(conn)) && lane_takes_pooled(lane, block))
        handle = lane_lend_pooled(lane, block);
    if (!handle)
        return send_block_waiting(conn, method, block, timeout_ms);
    size_t size = block->size;
    lane_write_pooled(lane, WIRE_ONEWAY, 0, 0, method, handle, size);
    lane_sent_pooled(lane, size);
    if (timeout_ms && (pooled_block_growth(block) || lane_pools_are_due_at(lane, block->slot->leased_at)))
        return rest_after_send(conn, sea_block_ref(block), timeout_ms);
    return 0;
}

static RARE int send_bytes_waiting(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms) {
    CLEANUP_MESSAGE struct lane_message out = {.block = NULL};
    int r = message_of_bytes(conn, method, data, size, &out);
    return r == 0 ? send_waiting(conn, &out, timeout_ms) : r;
}

int sea_send_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms) {
    if (!conn_is_mine(conn) || (timeout_ms && !conn_can_wait(conn)) || !lane_takes_small(&conn->lane, size))
        return send_bytes_waiting(conn, method, data, size, timeout_ms);
    lane_write_small(&conn->lane, WIRE_ONEWAY, 0, 0, method, data, size);
    lane_sent_small(&conn->lane, size);
    return 0;
}
