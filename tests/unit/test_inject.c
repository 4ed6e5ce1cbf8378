/* SPDX-License-Identifier: MIT */
/* sys/inject: without a hook no call changes; with a hook, exactly the calls that it names are not made. */
#include "support/suite.h"

#include <errno.h>
#include <string.h>

#include "sys/inject.h"

static int asked[INJECT_KINDS];

static int count_and_deny_open(enum inject_kind kind) {
    asked[kind]++;
    return kind == INJECT_OPEN ? EMFILE : 0;
}

static void remove_hook(void) {
    inject_set_hook(NULL);
    memset(asked, 0, sizeof asked);
}

static int calls;

static int call(int result) {
    calls++;
    return result;
}

START_TEST(test_without_a_hook_the_call_happens) {
    calls = 0;
    errno = E2BIG;
    ck_assert_int_eq(INJECT(OPEN, call(7)), 7);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(errno, E2BIG);
}
END_TEST

START_TEST(test_a_denied_call_does_not_happen) {
    calls = 0;
    inject_set_hook(count_and_deny_open);
    errno = 0;
    ck_assert_int_eq(INJECT(OPEN, call(7)), -1);
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_int_eq(INJECT_OR(OPEN, 99, call(7)), 99);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(asked[INJECT_OPEN], 2);
}
END_TEST

START_TEST(test_an_allowed_call_keeps_errno) {
    calls = 0;
    inject_set_hook(count_and_deny_open);
    errno = E2BIG;
    ck_assert_int_eq(INJECT(DUP, call(7)), 7);
    ck_assert_int_eq(INJECT_OR(MMAP, 99, call(8)), 8);
    ck_assert_int_eq(errno, E2BIG);
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(asked[INJECT_DUP], 1);
    ck_assert_int_eq(asked[INJECT_MMAP], 1);
}
END_TEST

START_TEST(test_the_hook_can_be_removed) {
    inject_set_hook(count_and_deny_open);
    ck_assert(inject_fails(INJECT_OPEN));
    inject_set_hook(NULL);
    ck_assert(!inject_fails(INJECT_OPEN));
    ck_assert_int_eq(asked[INJECT_OPEN], 1);
}
END_TEST

START_TEST(test_every_kind_has_a_name_of_its_own) {
    for (int i = 0; i < INJECT_KINDS; i++) {
        const char *name = inject_name((enum inject_kind) i);
        ck_assert_ptr_nonnull(name);
        ck_assert_str_ne(name, "");
        ck_assert_str_ne(name, "unknown");
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(name, inject_name((enum inject_kind) j));
    }
    ck_assert_str_eq(inject_name(INJECT_MEMFD_CREATE), "memfd_create");
    ck_assert_str_eq(inject_name(INJECT_KINDS), "unknown");
}
END_TEST

int main(void) {
    struct suite *s = suite_new("inject");
    suite_fixture(s, remove_hook, remove_hook);
    suite_add(s, test_without_a_hook_the_call_happens);
    suite_add(s, test_a_denied_call_does_not_happen);
    suite_add(s, test_an_allowed_call_keeps_errno);
    suite_add(s, test_the_hook_can_be_removed);
    suite_add(s, test_every_kind_has_a_name_of_its_own);
    return suite_run(s);
}
