/* SPDX-License-Identifier: MIT */
/* The figures of a connection. See <sealane/conn.h>. */
#include "rpc/conn.h"

void sea_conn_figures_get(const sea_conn *conn, sea_conn_figures *ret_figures) {
    const struct peer *account = conn->lane.account;
    struct pool_gauges arenas;
    pools_gauges(&account->pooled.pools, &arenas);
    *ret_figures = (sea_conn_figures){
        .leased_blocks = atomic_load_explicit(&account->leased_blocks, memory_order_relaxed),
        .leased_bytes = atomic_load_explicit(&account->leased_bytes, memory_order_relaxed),
        .imported_blocks = account->imported_blocks,
        .imported_bytes = account->imported_bytes,
        .calls_out = conn->calls.in_flight,
        .calls_in = conn->incoming_count,
        .inline_max = conn->lane.negotiated.inline_max,
        .blocks_max = conn->lane.negotiated.blocks_max,
        .calls_max = conn->lane.negotiated.calls_max,
        .block_max = conn->lane.negotiated.block_max,
        .bytes_max = conn->lane.negotiated.bytes_max,
        .accept = conn->lane.negotiated.accept & ~(uint32_t) (conn->lane.negotiated.peer_snapshots ? SEA_POOLED : 0),
        .allocated = arenas.allocated,
        .active = arenas.bytes_out,
        .mapped = arenas.mapped,
        .retained = arenas.retained,
        .mapped_peak = account->pooled.pools.mapped_peak,
        .imported_arena_bytes = account->pooled.views_mapped,
        .oldest_lease = peer_oldest_lease(account),
    };
    quota_read(&account->quota, &ret_figures->quota);
    quota_read(&account->user->quota, &ret_figures->user_quota);
}
