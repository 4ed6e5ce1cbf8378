/* SPDX-License-Identifier: MIT */
/* memory/return_stack: the states of the stack, one transition at a time. test_pool tests threads that race on it. */
#include "support/suite.h"

#include "memory/return_stack.h"

static struct pool_slot slots[3];

static void put(struct return_stack *returns, struct pool_slot *slot) {
    struct pool_slot *top = return_stack_top_acquire(returns);
    while (!return_stack_try_put(returns, &top, slot))
        ck_assert_ptr_ne(top, RETURN_STACK_ENDED);
}

START_TEST(test_the_newest_comes_first) {
    struct return_stack returns = {NULL};
    ck_assert_ptr_null(return_stack_top(&returns));
    ck_assert_ptr_null(return_stack_take(&returns));
    put(&returns, &slots[0]);
    put(&returns, &slots[1]);
    ck_assert_ptr_eq(return_stack_top(&returns), &slots[1]);
    ck_assert_ptr_eq(return_stack_take(&returns), &slots[1]);
    ck_assert_ptr_eq(slots[1].link.next, &slots[0]);
    ck_assert_ptr_null(slots[0].link.next);
    ck_assert_ptr_null(return_stack_top(&returns));
}
END_TEST

START_TEST(test_only_an_empty_one_is_watched) {
    struct return_stack returns = {NULL};
    put(&returns, &slots[0]);
    ck_assert(!return_stack_try_watch(&returns));
    ck_assert_ptr_eq(return_stack_take(&returns), &slots[0]);
    ck_assert(return_stack_try_watch(&returns));
    ck_assert(return_stack_try_watch(&returns));
    ck_assert_ptr_eq(return_stack_top(&returns), RETURN_STACK_WATCHED);
    ck_assert_ptr_eq(return_stack_take(&returns), RETURN_STACK_WATCHED);
    ck_assert_ptr_null(return_stack_top(&returns));
}
END_TEST

START_TEST(test_a_put_over_the_mark) {
    struct return_stack returns = {NULL};
    ck_assert(return_stack_try_watch(&returns));
    put(&returns, &slots[0]);
    put(&returns, &slots[1]);
    ck_assert(!return_stack_try_watch(&returns));
    ck_assert_ptr_eq(return_stack_take(&returns), &slots[1]);
    ck_assert(return_stack_is_slot(slots[1].link.next));
    ck_assert_ptr_eq(slots[0].link.next, RETURN_STACK_WATCHED);
    ck_assert(!return_stack_is_slot(slots[0].link.next));
}
END_TEST

START_TEST(test_a_late_put_finds_the_end) {
    struct return_stack returns = {NULL};
    struct pool_slot *seen = return_stack_top_acquire(&returns);
    put(&returns, &slots[0]);
    ck_assert_ptr_eq(return_stack_end(&returns), &slots[0]);
    ck_assert(!return_stack_try_put(&returns, &seen, &slots[1]));
    ck_assert_ptr_eq(seen, RETURN_STACK_ENDED);
    ck_assert_ptr_eq(return_stack_top_acquire(&returns), RETURN_STACK_ENDED);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("return_stack");
    suite_add(s, test_the_newest_comes_first);
    suite_add(s, test_only_an_empty_one_is_watched);
    suite_add(s, test_a_put_over_the_mark);
    suite_add(s, test_a_late_put_finds_the_end);
    return suite_run(s);
}
