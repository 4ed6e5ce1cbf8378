/* SPDX-License-Identifier: MIT */
/* All figures of an object at once, as a value: figures_of_ctx(ctx).of[SEA_FIGURE_BLOCKS]. */
#ifndef TESTS_SUPPORT_FIGURES_H
#define TESTS_SUPPORT_FIGURES_H

#include <sealane/figures.h>

struct figures {
    uint64_t of[SEA_FIGURES];
};

struct conn_figures {
    uint64_t of[SEA_CONN_FIGURES];
};

struct pool_figures {
    uint64_t of[SEA_POOL_FIGURES];
};

static inline struct figures figures_of_ctx(sea_ctx *ctx) {
    struct figures figures;
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    return figures;
}

static inline struct conn_figures figures_of_conn(const sea_conn *conn) {
    struct conn_figures figures;
    sea_conn_figures(conn, figures.of, SEA_CONN_FIGURES);
    return figures;
}

static inline struct pool_figures figures_of_pool(sea_pool *pool) {
    struct pool_figures figures;
    sea_pool_figures(pool, figures.of, SEA_POOL_FIGURES);
    return figures;
}

#endif
