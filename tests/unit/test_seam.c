/* SPDX-License-Identifier: MIT */
/* sys/seam: without a hook nothing changes; with one, exactly the calls that it names do not happen. */
#include "support/suite.h"

#include <errno.h>
#include <string.h>

#include "sys/seam.h"

static int asked[SEAM_KINDS];

static int count_and_deny_open(enum seam_kind kind) {
    asked[kind]++;
    return kind == SEAM_OPEN ? EMFILE : 0;
}

static void remove_hook(void) {
    seam_set_hook(NULL);
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
    ck_assert_int_eq(SEAM(OPEN, call(7)), 7);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(errno, E2BIG);
}
END_TEST

START_TEST(test_a_denied_call_does_not_happen) {
    calls = 0;
    seam_set_hook(count_and_deny_open);
    errno = 0;
    ck_assert_int_eq(SEAM(OPEN, call(7)), -1);
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_int_eq(SEAM_OR(OPEN, 99, call(7)), 99);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(asked[SEAM_OPEN], 2);
}
END_TEST

START_TEST(test_an_allowed_call_keeps_errno) {
    calls = 0;
    seam_set_hook(count_and_deny_open);
    errno = E2BIG;
    ck_assert_int_eq(SEAM(DUP, call(7)), 7);
    ck_assert_int_eq(SEAM_OR(MMAP, 99, call(8)), 8);
    ck_assert_int_eq(errno, E2BIG);
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(asked[SEAM_DUP], 1);
    ck_assert_int_eq(asked[SEAM_MMAP], 1);
}
END_TEST

START_TEST(test_the_hook_can_be_removed) {
    seam_set_hook(count_and_deny_open);
    ck_assert(seam_fails(SEAM_OPEN));
    seam_set_hook(NULL);
    ck_assert(!seam_fails(SEAM_OPEN));
    ck_assert_int_eq(asked[SEAM_OPEN], 1);
}
END_TEST

START_TEST(test_every_kind_has_a_name_of_its_own) {
    for (int i = 0; i < SEAM_KINDS; i++) {
        const char *name = seam_name((enum seam_kind) i);
        ck_assert_ptr_nonnull(name);
        ck_assert_str_ne(name, "");
        ck_assert_str_ne(name, "unknown");
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(name, seam_name((enum seam_kind) j));
    }
    ck_assert_str_eq(seam_name(SEAM_MEMFD_CREATE), "memfd_create");
    ck_assert_str_eq(seam_name(SEAM_KINDS), "unknown");
}
END_TEST

int main(void) {
    struct suite *s = suite_new("seam");
    suite_fixture(s, remove_hook, remove_hook);
    suite_add(s, test_without_a_hook_the_call_happens);
    suite_add(s, test_a_denied_call_does_not_happen);
    suite_add(s, test_an_allowed_call_keeps_errno);
    suite_add(s, test_the_hook_can_be_removed);
    suite_add(s, test_every_kind_has_a_name_of_its_own);
    return suite_run(s);
}
