/* SPDX-License-Identifier: MIT */
/*
 * The figures of a connection, read where they are kept. See <sealane/figures.h>.
 *
 * Owns: nothing. Touches: reads the account, the pools, the leases, the terms, the distance and the counts of calls;
 * gauges put blocks that came back, and hot ones, into their size classes. Threads: the connection's; after its end the
 * application's, under the lock of the mailbox.
 */
#include "registry/figures.h"
#include "rpc/conn.h"

static bool is_accepted(const struct negotiated *negotiated, int payload_class) {
    /* A peer that copies pooled payloads takes them as stable ones. */
    return negotiated->accept & (uint32_t) payload_class &&
           !(payload_class == SEA_POOLED && negotiated->peer_snapshots);
}

static void conn_figure_limits(const struct negotiated *negotiated, uint64_t *values) {
    values[SEA_CONN_FIGURE_INLINE_MAX_BYTES] = negotiated->inline_max;
    values[SEA_CONN_FIGURE_BLOCK_MAX_BYTES] = negotiated->block_max;
    values[SEA_CONN_FIGURE_LEASED_MAX_BYTES] = negotiated->bytes_max;
    values[SEA_CONN_FIGURE_LEASED_MAX_BLOCKS] = negotiated->blocks_max;
    values[SEA_CONN_FIGURE_OUTGOING_MAX_CALLS] = negotiated->calls_max;
    values[SEA_CONN_FIGURE_ACCEPTS_INLINE] = is_accepted(negotiated, SEA_INLINE);
    values[SEA_CONN_FIGURE_ACCEPTS_POOLED] = is_accepted(negotiated, SEA_POOLED);
    values[SEA_CONN_FIGURE_ACCEPTS_SEALED] = is_accepted(negotiated, SEA_SEALED);
}

static void conn_figure_account(const struct peer *remote, uint64_t *values) {
    const struct account *account = remote->account;
    struct lease_report oldest = peer_oldest_lease(remote);
    struct pool_gauges arenas;
    pools_gauges(&remote->pools, &arenas);
    values[SEA_CONN_FIGURE_LEASED_BLOCKS] = atomic_load_explicit(&account->leased_blocks, memory_order_relaxed);
    values[SEA_CONN_FIGURE_LEASED_BYTES] = atomic_load_explicit(&account->leased_bytes, memory_order_relaxed);
    values[SEA_CONN_FIGURE_IMPORTED_BLOCKS] = account->imported_blocks;
    values[SEA_CONN_FIGURE_IMPORTED_BYTES] = account->imported_bytes;
    values[SEA_CONN_FIGURE_ALLOCATED_BYTES] = arenas.allocated;
    values[SEA_CONN_FIGURE_ACTIVE_BYTES] = arenas.bytes_out;
    values[SEA_CONN_FIGURE_MAPPED_BYTES] = arenas.mapped;
    values[SEA_CONN_FIGURE_MAPPED_PEAK_BYTES] = remote->pools.group.mapped_peak;
    values[SEA_CONN_FIGURE_RETAINED_BYTES] = arenas.retained;
    values[SEA_CONN_FIGURE_IMPORTED_ARENA_BYTES] = account->mapped_bytes;
    values[SEA_CONN_FIGURE_OLDEST_LEASE_BYTES] = oldest.size;
    values[SEA_CONN_FIGURE_OLDEST_LEASE_NANOSECONDS] = oldest.age;
    figures_of_quota(&account->quota, &values[SEA_CONN_FIGURE_QUOTA_USED_BYTES]);
    figures_of_quota(&account->user->quota, &values[SEA_CONN_FIGURE_USER_QUOTA_USED_BYTES]);
}

/* After the end of the connection any thread releases what came from it. */
static void conn_figure_all(const sea_conn *conn, uint64_t *values) {
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(conn->box);
    conn_figure_account(conn->lane.remote, values);
    conn_figure_limits(&conn->lane.negotiated, values);
    values[SEA_CONN_FIGURE_DISTANCE] = conn->lane.distance.state;
    values[SEA_CONN_FIGURE_LINE_NANOSECONDS] = conn->lane.distance.line_ns;
    values[SEA_CONN_FIGURE_OUTGOING_CALLS] = conn->calls.in_flight;
    values[SEA_CONN_FIGURE_INCOMING_CALLS] = conn->incoming_count;
}

void sea_conn_figures(const sea_conn *conn, uint64_t *ret_values, size_t count) {
    uint64_t values[SEA_CONN_FIGURES] = {0};
    if (conn_adopt((sea_conn *) (uintptr_t) conn) == 0)
        conn_figure_all(conn, values);
    figures_copy(values, SEA_CONN_FIGURES, ret_values, count);
}
