/* SPDX-License-Identifier: MIT */
/*
 * Blocks for a connection: the payload class follows from the size and from what the peer takes. See block.h.
 *
 * sea_block_new() first takes a free block of the connection's pool. If the pool has none, the class is chosen by the
 * size. Where the pool may not grow (-EDQUOT) a sealed block is tried instead of a pooled one. That helps while the
 * pools have all the bytes that the peer takes, or the pool all of its bytes_max: a sealed block can be made now, and
 * waits for credit when it is sent. Where the fair share, a quota or the budget is used up, perhaps by blocks that our
 * application still has, that limit counts for the sealed block as well.
 */
#include "rpc/block.h"

#include "registry/block.h"
#include "sys/failure.h"
#include <errno.h>

/* From the pool of inline blocks where the peer takes inline and pooled payloads (`ready_below`); else, and where that
 * pool may not grow, from the heap. */
static int inline_new(sea_conn *conn, size_t size, sea_block **ret_block) {
    int r = size < conn->ready_below ? pools_new_inline(ret_block, &conn->lane.remote->pools, size) : -ENOMEM;
    lane_request_maintenance(&conn->lane);
    return r < 0 ? peer_new_inline(ret_block, conn->lane.remote, size) : 0;
}

/* In this layer and not in registry/block.c, because the class depends on the classes that the peer takes. */
static int choose_and_make(sea_conn *conn, sea_pool *pool, size_t size, sea_block **ret_block) {
    const struct negotiated *negotiated = &conn->lane.negotiated;
    if (!conn->is_open)
        return conn->is_ended ? -EPIPE : lane_explain(&conn->lane, -EAGAIN);
    int class = class_choice_for(&conn->lane.choice, negotiated, size);
    if (class == SEA_INLINE)
        return inline_new(conn, size, ret_block);
    if (class == 0)
        return lane_explain_size(&conn->lane, size);
    int r = class == SEA_POOLED ? lane_block_new(&conn->lane, pool, size, ret_block) : -EDQUOT;
    bool is_sealed = r == -EDQUOT && negotiation_take(negotiated, SEA_SEALED, size);
    if (is_sealed)
        r = peer_new_sealed(ret_block, conn->lane.remote, size);
    bool is_inline = failure_is_forbidden(r) && negotiation_take(negotiated, SEA_INLINE, size);
    if (is_inline) /* no memfd, but a frame can carry it */
        r = inline_new(conn, size, ret_block);
    if (r == 0 && (is_inline || (is_sealed && class == SEA_POOLED)))
        tally_count(&conn->lane.tally, fallbacks, 1);
    return r;
}

int conn_block_new(sea_conn *conn, sea_pool *pool, size_t size, sea_block **ret_block) {
    uint64_t mark = refusal_mark(&conn->ctx->refusals);
    return conn_explain_end(conn, mark, choose_and_make(conn, pool, size, ret_block));
}

int conn_block_of(sea_conn *conn, const void *data, size_t size, sea_block **ret_block) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, conn, size);
    if (r == 0)
        r = sea_block_fill(block, 0, data, size);
    if (r < 0)
        sea_block_unref(block);
    else
        *ret_block = block;
    return r;
}

/* Without a hot block: one that the peer has just given back is hot then. A size below `ready_below` is inline or
 * pooled, and the peer takes it so: no limit is asked. */
static RARE int block_new(sea_block **ret_block, sea_conn *conn, size_t size, int payload_class) {
    struct peer *remote = conn->lane.remote;
    bool was_restless = remote->pools.needs_maintenance;
    sea_block *block = NULL;
    if (size < conn->ready_below && payload_class == SEA_POOLED && lane_take_release(&conn->lane))
        block = pools_hot_block(&remote->pools, payload_class, size);
    if (!block && size < conn->ready_below)
        block = pools_ready_block(&remote->pools, payload_class, size);
    if (remote->pools.needs_maintenance && !was_restless) /* else a turn was asked for when it became so */
        lane_request_maintenance(&conn->lane);
    if (!block)
        return conn_block_new(conn, &remote->pools.own, size, ret_block);
    *ret_block = block;
    return 0;
}

/* The steady state: the block of this size that came back last is taken. `payload_class` is what class_choice_for()
 * would say of a size below `ready_below`, and is used for no other size. `ready_below` is 0 before the handshake and
 * after the end. */
int sea_block_new(sea_block **ret_block, sea_conn *conn, size_t size) {
    int payload_class = size <= conn->lane.choice.inline_most ? SEA_INLINE : SEA_POOLED;
    int r = conn_adopt(conn);
    if (r < 0)
        return r;
    sea_block *block =
        size < conn->ready_below ? pools_hot_block(&conn->lane.remote->pools, payload_class, size) : NULL;
    if (!block)
        return block_new(ret_block, conn, size, payload_class);
    *ret_block = block;
    return 0;
}
