/* SPDX-License-Identifier: MIT */
/*
 * A context for each test, with the proof that it ends as it began: for the unit tests of all modules that charge.
 *
 * ctx_before() and ctx_after() are a suite's fixture. After a test, the fixture holds the only reference of the
 * context, and every gauge, the budget and each user's account are empty. A test that wants other limits calls
 * ctx_anew().
 */
#ifndef TESTS_UNIT_ROOM_CTX_H
#define TESTS_UNIT_ROOM_CTX_H

#include <check.h>

#include "registry/ctx.h"
#include "support/figures.h"
#include "unit/fail.h"

static sea_ctx *ctx;

static inline struct figures ctx_figures(void) {
    struct figures figures;
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    return figures;
}

static inline sea_refusal ctx_refusal(void) {
    sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    return refusal;
}

static inline void ctx_assert_budget(uint64_t bytes, uint64_t blocks, uint64_t fds) {
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_BYTES), bytes);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_BLOCKS), blocks);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_FDS), fds);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BYTES], bytes);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], blocks);
}

static inline void ctx_assert_empty(void) {
    struct figures figures = ctx_figures();
    ctx_assert_budget(0, 0, 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BYTES], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_IMPORTED_BYTES], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_CONNECTIONS], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_OUTGOING_CALLS], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_INCOMING_CALLS], 0);
    ck_assert_ptr_null(ctx->users);
    ck_assert_uint_eq(ctx->refs, 1);
}

static inline void ctx_before(void) {
    fail_off();
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
}

static inline void ctx_after(void) {
    fail_off();
    ctx_assert_empty();
    ctx = sea_ctx_unref(ctx);
}

static inline void ctx_anew(const sea_ctx_options *options) {
    ctx_after();
    ck_assert_int_eq(sea_ctx_new(&ctx, options), 0);
}

#endif
