/* SPDX-License-Identifier: MIT */
/* registry/figures: descriptions that an exporter can rely on, and arrays that are shorter or longer than the library's
 * own. */
#include "support/suite.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "unit/conn_pair.h"

static struct ends ends;

static const struct {
    const sea_figure *(*describe)(unsigned i);
    unsigned count;
} objects[] = {
    {sea_ctx_figure, SEA_FIGURES},
    {sea_conn_figure, SEA_CONN_FIGURES},
    {sea_pool_figure, SEA_POOL_FIGURES},
};

static bool ends_with(const char *name, const char *unit) {
    size_t n = strlen(name), u = strlen(unit);
    return u == 0 || strcmp(name, unit) == 0 || (n > u && name[n - u - 1] == '_' && strcmp(name + n - u, unit) == 0);
}

START_TEST(test_descriptions) {
    const sea_figure *(*describe)(unsigned i) = objects[_i].describe;
    for (unsigned i = 0; i < objects[_i].count; i++) {
        const sea_figure *figure = describe(i);
        ck_assert_ptr_nonnull(figure);
        ck_assert(figure->kind == SEA_GAUGE || figure->kind == SEA_COUNTER);
        ck_assert_msg(ends_with(figure->name, figure->unit), "%s", figure->name);
        ck_assert_msg(figure->help[strlen(figure->help) - 1] == '.', "%s", figure->name);
        for (const char *c = figure->name; *c; c++)
            ck_assert_msg(islower(*c) || *c == '_', "%s", figure->name);
        for (unsigned k = 0; k < i; k++)
            ck_assert_str_ne(figure->name, describe(k)->name);
    }
    ck_assert_ptr_null(describe(objects[_i].count));
    ck_assert_ptr_null(describe(UINT32_MAX));
}
END_TEST

/* The function does not write behind `count` values. */
START_TEST(test_a_short_array) {
    uint64_t values[2] = {7, 7};
    sea_ctx_figures(ends.a.ctx, values, 1);
    ck_assert_uint_eq(values[1], 7);
    values[0] = 7;
    sea_conn_figures(ends.a.conn, values, 1);
    ck_assert_uint_eq(values[0], 0);
    ck_assert_uint_eq(values[1], 7);
    values[0] = 7;
    sea_pool_figures(sea_conn_pool(ends.a.conn), values, 0);
    ck_assert_uint_eq(values[0], 7);
}
END_TEST

/* A program with newer headers than the library's. */
START_TEST(test_a_long_array) {
    enum { LONG = 200 };
    uint64_t values[LONG];
    memset(values, 0xff, sizeof values);
    sea_ctx_figures(ends.a.ctx, values, LONG);
    ck_assert_uint_eq(values[SEA_FIGURE_CONNECTIONS], 1);
    for (int i = SEA_FIGURES; i < LONG; i++)
        ck_assert_uint_eq(values[i], 0);
    memset(values, 0xff, sizeof values);
    sea_conn_figures(ends.a.conn, values, LONG);
    ck_assert_uint_gt(values[SEA_CONN_FIGURE_OUTGOING_MAX_CALLS], 0);
    for (int i = SEA_CONN_FIGURES; i < LONG; i++)
        ck_assert_uint_eq(values[i], 0);
    memset(values, 0xff, sizeof values);
    sea_pool_figures(sea_conn_pool(ends.a.conn), values, LONG);
    ck_assert_uint_eq(values[SEA_POOL_FIGURE_GENERATION], 1);
    for (int i = SEA_POOL_FIGURES; i < LONG; i++)
        ck_assert_uint_eq(values[i], 0);
}
END_TEST

START_TEST(test_a_generation_that_is_not) {
    uint64_t value = 7;
    ck_assert_int_eq(sea_pool_generation_figures(sea_conn_pool(ends.a.conn), 5, &value, 1), -ENOENT);
    ck_assert_uint_eq(value, 7);
}
END_TEST

/* An age of 0 says that there is no lease, so that a lease of this instant is at least a nanosecond old. */
START_TEST(test_a_young_lease_has_an_age) {
    ck_assert_uint_ge(ctx_age(wait_now_coarse()), 1);
    ck_assert_uint_eq(ctx_age(0), 0);
}
END_TEST

static void before(void) {
    memset(&ends, 0, sizeof ends);
    ends_open(&ends);
}

static void after(void) {
    ends_deinit(&ends);
}

int main(void) {
    struct suite *s = suite_new("figures");
    suite_fixture(s, before, after);
    suite_add_loop(s, test_descriptions, 0, 3);
    suite_add(s, test_a_short_array);
    suite_add(s, test_a_long_array);
    suite_add(s, test_a_generation_that_is_not);
    suite_add(s, test_a_young_lease_has_an_age);
    return suite_run(s);
}
