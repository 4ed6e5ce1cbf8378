/* SPDX-License-Identifier: MIT */
/* sys/failure: each number decodes to the values that were encoded, and no number is mistaken for another. */
#include "support/suite.h"

#include <errno.h>
#include <string.h>

#include "sys/failure.h"

START_TEST(test_each_call_and_errno) {
    enum inject_kind kind = (enum inject_kind) _i;
    for (int error = 1; error < 4096; error++) {
        int r = failure_name(kind, error);
        ck_assert_int_lt(r, 0);
        ck_assert_int_eq(failure_error(r), -error);
        ck_assert_ptr_eq(failure_call(r), failure_call_name(kind));
        ck_assert_int_eq(failure_is_forbidden(r), error == EPERM || error == EACCES || error == ENOSYS);
    }
}
END_TEST

START_TEST(test_numbers_that_are_no_failure) {
    static const int plain[] = {0, 1, -ENOMEM, -EPERM, -4095};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        ck_assert_int_eq(failure_error(plain[i]), plain[i]);
        ck_assert_ptr_null(failure_call(plain[i]));
    }
    ck_assert(failure_is_forbidden(-EPERM));
    ck_assert(!failure_is_forbidden(0));
}
END_TEST

/* These errors are clear enough by themselves, or callers depend on them. */
START_TEST(test_errors_that_stay_an_errno) {
    static const int plain[] = {ENOMEM, EMFILE, ENFILE, EFBIG, ENOSPC, EBADF, EINVAL, EBUSY, EAGAIN, EPIPE, ENOENT};
    static const int named[] = {EPERM, ENOSYS, EACCES, EIO, EAFNOSUPPORT};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        ck_assert_int_eq(failure_of(INJECT_MMAP, plain[i]), -plain[i]);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        ck_assert_int_eq(failure_of(INJECT_MMAP, named[i]), failure_name(INJECT_MMAP, named[i]));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("failure");
    suite_add_loop(s, test_each_call_and_errno, 0, INJECT_KINDS);
    suite_add(s, test_numbers_that_are_no_failure);
    suite_add(s, test_errors_that_stay_an_errno);
    return suite_run(s);
}
