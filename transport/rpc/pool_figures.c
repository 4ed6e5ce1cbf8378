/* SPDX-License-Identifier: MIT */
/*
 * The figures of a pool, and of one generation of a pool, read where they are kept. See <sealane/figures.h>.
 *
 * Owns: nothing. Touches: sea_pool_figures() first takes the releases that the peer has written; gauges put blocks that
 * came back, and hot ones, into their size classes. Threads: the connection's; after its end the pool is empty, and
 * belongs to the application's thread.
 */
#include "registry/figures.h"
#include "rpc/conn.h"

#include <errno.h>

/* What a pool and one of its generations have in common. */
static void pool_figure_gauges(const struct pool_gauges *gauges, const struct pool_slot *oldest, uint64_t *values) {
    struct lease_report lease = pooled_block_lease_of(oldest);
    values[SEA_POOL_FIGURE_ALLOCATED_BYTES] = gauges->allocated;
    values[SEA_POOL_FIGURE_ACTIVE_BLOCKS] = gauges->blocks_out;
    values[SEA_POOL_FIGURE_ACTIVE_BYTES] = gauges->bytes_out;
    values[SEA_POOL_FIGURE_ARENAS] = gauges->arenas;
    values[SEA_POOL_FIGURE_MAPPED_BYTES] = gauges->mapped;
    values[SEA_POOL_FIGURE_RETAINED_BYTES] = gauges->retained;
    values[SEA_POOL_FIGURE_OLDEST_LEASE_BYTES] = lease.size;
    values[SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS] = lease.age;
}

static void pool_figure_leases(const struct pool *pool, uint64_t *values) {
    const struct pool_slot *slot = NULL;
    while ((slot = pool_next_lease(pool, slot))) {
        values[SEA_POOL_FIGURE_LEASED_BLOCKS]++;
        values[SEA_POOL_FIGURE_LEASED_BYTES] += slot->arena->stride;
    }
}

static void pool_figure_all(struct pool *pool, uint64_t *values) {
    struct pool_gauges gauges;
    pool_gauges(pool, &gauges);
    pool_figure_gauges(&gauges, pool_oldest_lease(pool), values);
    pool_figure_leases(pool, values);
    values[SEA_POOL_FIGURE_RESERVED_BYTES] = gauges.reserved;
    values[SEA_POOL_FIGURE_MAPPED_PEAK_BYTES] = gauges.mapped_peak;
    values[SEA_POOL_FIGURE_ACTIVE_PEAK_BYTES] = gauges.out_peak;
    values[SEA_POOL_FIGURE_GENERATION] = gauges.generation;
    values[SEA_POOL_FIGURE_OLDEST_GENERATION] = pool_oldest_generation(pool);
    values[SEA_POOL_FIGURE_DRAINING_ARENAS] = gauges.draining_arenas;
    values[SEA_POOL_FIGURE_DRAINING_MAPPED_BYTES] = gauges.draining_mapped;
    values[SEA_POOL_FIGURE_DRAINING_ACTIVE_BYTES] = gauges.draining_bytes_out;
}

void sea_pool_figures(sea_pool *pool, uint64_t *ret_values, size_t count) {
    uint64_t values[SEA_POOL_FIGURES] = {[SEA_POOL_FIGURE_GENERATION] = 1, [SEA_POOL_FIGURE_OLDEST_GENERATION] = 1};
    if (pool->pool && conn_adopt(pool->conn) == 0) {
        lane_take_releases(&((sea_conn *) pool->conn)->lane);
        pool_figure_all(pool->pool, values);
    }
    figures_copy(values, SEA_POOL_FIGURES, ret_values, count);
}

int sea_pool_generation_figures(sea_pool *pool, uint64_t number, uint64_t *ret_values, size_t count) {
    uint64_t values[SEA_POOL_FIGURES] = {
        [SEA_POOL_FIGURE_GENERATION] = number, [SEA_POOL_FIGURE_OLDEST_GENERATION] = number};
    struct pool_gauges gauges = {.arenas = 0};
    sea_conn *conn = pool->pools ? pool->conn : NULL;
    int r = conn ? conn_adopt(conn) : 0;
    if (r < 0)
        return r;
    if (pool->pool)
        pool_generation(pool->pool, number, &gauges);
    if (!gauges.arenas)
        return conn ? refusal_explain(&conn->ctx->refusals, -ENOENT, "pool", "it has no arena of this generation")
                    : -ENOENT;
    pool_figure_gauges(&gauges, gauges.oldest_lease, values);
    values[SEA_POOL_FIGURE_LEASED_BLOCKS] = gauges.leases;
    values[SEA_POOL_FIGURE_LEASED_BYTES] = gauges.leased;
    figures_copy(values, SEA_POOL_FIGURES, ret_values, count);
    return 0;
}
