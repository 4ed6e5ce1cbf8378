/* SPDX-License-Identifier: MIT */
/*
 * The public face of pools. See <sealane/pool.h>. A pool outlives its connection as long as the application wants; it
 * is empty then, and asks for nothing but its own memory.
 *
 * Owns: nothing; registry/pools has the pools. Touches: the connection's pools and budget; most functions first take
 * the releases that the peer has written, and ask for maintenance. Threads: the connection's, which each function but
 * those that only read adopts; after the end the application's.
 */
#include "rpc/block.h"

#include <errno.h>

/* NULL: it has ended. */
static sea_conn *pool_conn(const sea_pool *pool) {
    return pool->pools ? pool->conn : NULL;
}

int sea_pool_new(sea_pool **ret_pool, sea_conn *conn, const sea_pool_options *options) {
    struct refusal_log *log = &conn->ctx->refusals;
    uint64_t mark = refusal_mark(log);
    const char *why = "";
    int r = pools_check_options(options, &why);
    if (r < 0)
        return refusal_explain(log, r, "sea_pool_options", why);
    r = conn_adopt(conn);
    if (r == 0)
        r = conn->is_ended ? -EPIPE : pools_new(ret_pool, &conn->lane.remote->pools, options);
    if (r == -ENOMEM)
        refusal_explain(log, r, "pool", "out of memory");
    if (r == 0)
        (*ret_pool)->conn = conn;
    return conn_explain_end(conn, mark, r);
}

sea_pool *sea_pool_free(sea_pool *pool) {
    sea_conn *conn = pool ? pool_conn(pool) : NULL;
    if (conn && conn_adopt(conn) < 0)
        return NULL;
    if (conn)
        lane_take_releases(&conn->lane);
    pools_free(pool);
    if (conn)
        lane_maintain_pools_now(&conn->lane);
    return NULL;
}

sea_pool *sea_conn_pool(sea_conn *conn) {
    return &conn->lane.remote->pools.own;
}

int sea_pool_block(sea_block **ret_block, sea_pool *pool, size_t size) {
    sea_conn *conn = pool_conn(pool);
    int r = conn ? conn_adopt(conn) : -EPIPE;
    return r == 0 ? conn_block_new(conn, pool, size, ret_block) : r;
}

static int conn_reserve(sea_conn *conn, sea_pool *pool, size_t size, uint32_t count) {
    if (!conn->is_open)
        return conn->is_ended ? -EPIPE : lane_explain(&conn->lane, -EAGAIN);
    int class = class_choice_for(&conn->lane.choice, &conn->lane.negotiated, size);
    if (class == 0)
        return lane_explain_size(&conn->lane, size);
    if (class != SEA_POOLED)
        return refusal_explain(&conn->ctx->refusals, -EOPNOTSUPP, "sea_pool_reserve",
                               "payloads of this size do not travel pooled to this peer");
    lane_take_releases(&conn->lane);
    int r = conn->lane.is_broken ? -EPIPE : pools_reserve(pool, size, count);
    lane_request_maintenance(&conn->lane);
    return r;
}

int sea_pool_reserve(sea_pool *pool, size_t size, uint32_t count) {
    sea_conn *conn = pool_conn(pool);
    if (!conn)
        return -EPIPE;
    uint64_t mark = refusal_mark(&conn->ctx->refusals);
    int r = conn_adopt(conn);
    return conn_explain_end(conn, mark, r == 0 ? conn_reserve(conn, pool, size, count) : r);
}

int sea_pool_copy(sea_block **ret_copy, sea_pool *pool, sea_block *block) {
    sea_block *copy = NULL;
    size_t size = sea_block_size(block);
    const void *bytes = sea_block_view(block);
    int r = bytes ? sea_pool_block(&copy, pool, size) : -ENOMEM;
    if (r == 0)
        r = sea_block_fill(copy, 0, bytes, size);
    if (r < 0)
        sea_block_unref(copy);
    else
        *ret_copy = copy;
    return r;
}

void sea_pool_rotate(sea_pool *pool) {
    sea_conn *conn = pool_conn(pool);
    if (!conn || conn_adopt(conn) < 0 || !pool->pool)
        return;
    lane_take_releases(&conn->lane);
    pool_rotate(pool->pool);
    lane_maintain_pools_now(&conn->lane);
}

const char *sea_pool_name(const sea_pool *pool) {
    return pool->name;
}

uint64_t sea_pool_resident(sea_pool *pool) {
    return pool->pool ? pool_resident(pool->pool, 0) : 0;
}

uint64_t sea_pool_generation_resident(sea_pool *pool, uint64_t number) {
    return pool->pool && number > 0 ? pool_resident(pool->pool, number) : 0;
}
