/* SPDX-License-Identifier: MIT */
/* registry/views: the peer's arenas by their numbers. */
#include "support/suite.h"

#include <errno.h>

#include "registry/views.h"
#include "unit/fail.h"
#include "wire/handle.h"

enum { MANY = 1000, ALL = HANDLE_ARENA_MAX };

/* Objects that have an address. */
static char arenas[ALL + 1];
static struct views views;

static struct arena_view *arena(uint32_t id) {
    return (struct arena_view *) (void *) &arenas[id];
}

static void add(uint32_t id) {
    ck_assert_int_eq(views_reserve(&views, id), 0);
    views_add(&views, id, arena(id));
}

static void after(void) {
    fail_off();
    views_deinit(&views);
}

START_TEST(test_an_empty_one) {
    uint32_t place = 0;
    ck_assert_ptr_null(views_find(&views, 0));
    ck_assert_ptr_null(views_find(&views, ALL));
    ck_assert_ptr_null(views_remove(&views, 1));
    ck_assert_ptr_null(views_next(&views, &place));
}
END_TEST

START_TEST(test_each_by_its_number) {
    for (uint32_t id = 1; id <= MANY; id++)
        add(id);
    for (uint32_t id = 1; id <= MANY; id++)
        if (views_find(&views, id) != arena(id))
            ck_abort_msg("%u", id);
    ck_assert_ptr_null(views_find(&views, 0));
    ck_assert_ptr_null(views_find(&views, MANY + 1));
    ck_assert_ptr_eq(views_remove(&views, 7), arena(7));
    ck_assert_ptr_null(views_find(&views, 7));
    ck_assert_ptr_null(views_remove(&views, 7));
    uint32_t place = 0, count = 0;
    while (views_next(&views, &place))
        count++;
    ck_assert_uint_eq(count, MANY - 1);
}
END_TEST

/* An honest peer's numbers grow, and the live ones differ in their low bits. */
START_TEST(test_few_at_a_time_take_little) {
    for (uint32_t id = 1; id <= ALL; id++) {
        add(id);
        if (id > 8 && views_remove(&views, id - 8) != arena(id - 8))
            ck_abort_msg("%u", id);
    }
    ck_assert_uint_le(views.table.capacity, 16);
}
END_TEST

/* A hostile peer's numbers have equal low bits. */
START_TEST(test_the_worst_that_there_is) {
    for (uint32_t id = 1; id <= ALL; id *= 2)
        add(id);
    add(ALL / 2 + 2); /* 0x8001: collides with 1 until all bits count */
    ck_assert_uint_eq(views.table.capacity, ALL + 1);
    for (uint32_t id = 1; id <= ALL; id *= 2)
        ck_assert_ptr_eq(views_find(&views, id), arena(id));
}
END_TEST

START_TEST(test_no_memory) {
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(views_reserve(&views, 1), -ENOMEM);
    add(1);
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(views_reserve(&views, 17), -ENOMEM);
    ck_assert_ptr_eq(views_find(&views, 1), arena(1));
    add(17);
    ck_assert_ptr_eq(views_find(&views, 1), arena(1));
    ck_assert_ptr_eq(views_find(&views, 17), arena(17));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("views");
    suite_fixture(s, NULL, after);
    suite_add(s, test_an_empty_one);
    suite_add(s, test_each_by_its_number);
    suite_add(s, test_few_at_a_time_take_little);
    suite_add(s, test_the_worst_that_there_is);
    suite_add(s, test_no_memory);
    return suite_run(s);
}
