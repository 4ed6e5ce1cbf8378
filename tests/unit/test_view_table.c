/* SPDX-License-Identifier: MIT */
/* registry/view_table: the peer's arenas by their numbers. */
#include "support/suite.h"

#include <errno.h>

#include "registry/view_table.h"
#include "unit/fail.h"
#include "wire/handle.h"

enum { MANY = 1000, ALL = HANDLE_ARENA_MAX };

/* Objects that have an address. */
static char arenas[ALL + 1];
static struct view_table table;

static struct arena_view *arena(uint32_t id) {
    return (struct arena_view *) (void *) &arenas[id];
}

static void add(uint32_t id) {
    ck_assert_int_eq(view_table_reserve(&table, id), 0);
    view_table_add(&table, id, arena(id));
}

static void after(void) {
    fail_off();
    view_table_deinit(&table);
}

START_TEST(test_an_empty_one) {
    uint32_t place = 0;
    ck_assert_ptr_null(view_table_find(&table, 0));
    ck_assert_ptr_null(view_table_find(&table, ALL));
    ck_assert_ptr_null(view_table_remove(&table, 1));
    ck_assert_ptr_null(view_table_next(&table, &place));
}
END_TEST

START_TEST(test_each_by_its_number) {
    for (uint32_t id = 1; id <= MANY; id++)
        add(id);
    for (uint32_t id = 1; id <= MANY; id++)
        if (view_table_find(&table, id) != arena(id))
            ck_abort_msg("%u", id);
    ck_assert_ptr_null(view_table_find(&table, 0));
    ck_assert_ptr_null(view_table_find(&table, MANY + 1));
    ck_assert_ptr_eq(view_table_remove(&table, 7), arena(7));
    ck_assert_ptr_null(view_table_find(&table, 7));
    ck_assert_ptr_null(view_table_remove(&table, 7));
    uint32_t place = 0, count = 0;
    while (view_table_next(&table, &place))
        count++;
    ck_assert_uint_eq(count, MANY - 1);
}
END_TEST

/* An honest peer's numbers grow, and the live ones differ in their low bits. */
START_TEST(test_few_at_a_time_take_little) {
    for (uint32_t id = 1; id <= ALL; id++) {
        add(id);
        if (id > 8 && view_table_remove(&table, id - 8) != arena(id - 8))
            ck_abort_msg("%u", id);
    }
    ck_assert_uint_le(table.ids.capacity, 16);
}
END_TEST

/* A hostile peer's numbers have equal low bits. */
START_TEST(test_the_worst_that_there_is) {
    for (uint32_t id = 1; id <= ALL; id *= 2)
        add(id);
    add(ALL / 2 + 2); /* 0x8001: collides with 1 until all bits count */
    ck_assert_uint_eq(table.ids.capacity, ALL + 1);
    for (uint32_t id = 1; id <= ALL; id *= 2)
        ck_assert_ptr_eq(view_table_find(&table, id), arena(id));
}
END_TEST

START_TEST(test_no_memory) {
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(view_table_reserve(&table, 1), -ENOMEM);
    add(1);
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(view_table_reserve(&table, 17), -ENOMEM);
    ck_assert_ptr_eq(view_table_find(&table, 1), arena(1));
    add(17);
    ck_assert_ptr_eq(view_table_find(&table, 1), arena(1));
    ck_assert_ptr_eq(view_table_find(&table, 17), arena(17));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("view_table");
    suite_fixture(s, NULL, after);
    suite_add(s, test_an_empty_one);
    suite_add(s, test_each_by_its_number);
    suite_add(s, test_few_at_a_time_take_little);
    suite_add(s, test_the_worst_that_there_is);
    suite_add(s, test_no_memory);
    return suite_run(s);
}
