/* SPDX-License-Identifier: MIT */
/* memory/returns: the states of the stack, one transition at a time. Threads that race on it: test_pool. */
#include "support/suite.h"

#include "memory/returns.h"

static struct pool_slot slots[3];

static void put(struct returns *returns, struct pool_slot *slot) {
    struct pool_slot *top = returns_look(returns);
    while (!returns_try_put(returns, &top, slot))
        ck_assert_ptr_ne(top, RETURNS_ENDED);
}

START_TEST(test_the_newest_comes_first) {
    struct returns returns = {NULL};
    ck_assert_ptr_null(returns_glance(&returns));
    ck_assert_ptr_null(returns_take(&returns));
    put(&returns, &slots[0]);
    put(&returns, &slots[1]);
    ck_assert_ptr_eq(returns_glance(&returns), &slots[1]);
    ck_assert_ptr_eq(returns_take(&returns), &slots[1]);
    ck_assert_ptr_eq(slots[1].next, &slots[0]);
    ck_assert_ptr_null(slots[0].next);
    ck_assert_ptr_null(returns_glance(&returns));
}
END_TEST

START_TEST(test_only_an_empty_one_is_watched) {
    struct returns returns = {NULL};
    put(&returns, &slots[0]);
    ck_assert(!returns_try_watch(&returns));
    ck_assert_ptr_eq(returns_take(&returns), &slots[0]);
    ck_assert(returns_try_watch(&returns));
    ck_assert(returns_try_watch(&returns));
    ck_assert_ptr_eq(returns_glance(&returns), RETURNS_WATCHED);
    ck_assert_ptr_eq(returns_take(&returns), RETURNS_WATCHED);
    ck_assert_ptr_null(returns_glance(&returns));
}
END_TEST

START_TEST(test_what_is_put_over_the_mark) {
    struct returns returns = {NULL};
    ck_assert(returns_try_watch(&returns));
    put(&returns, &slots[0]);
    put(&returns, &slots[1]);
    ck_assert(!returns_try_watch(&returns));
    ck_assert_ptr_eq(returns_take(&returns), &slots[1]);
    ck_assert(returns_is_slot(slots[1].next));
    ck_assert_ptr_eq(slots[0].next, RETURNS_WATCHED);
    ck_assert(!returns_is_slot(slots[0].next));
}
END_TEST

START_TEST(test_who_comes_late_finds_the_end) {
    struct returns returns = {NULL};
    struct pool_slot *seen = returns_look(&returns);
    put(&returns, &slots[0]);
    ck_assert_ptr_eq(returns_end(&returns), &slots[0]);
    ck_assert(!returns_try_put(&returns, &seen, &slots[1]));
    ck_assert_ptr_eq(seen, RETURNS_ENDED);
    ck_assert_ptr_eq(returns_look(&returns), RETURNS_ENDED);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("returns");
    suite_add(s, test_the_newest_comes_first);
    suite_add(s, test_only_an_empty_one_is_watched);
    suite_add(s, test_what_is_put_over_the_mark);
    suite_add(s, test_who_comes_late_finds_the_end);
    return suite_run(s);
}
