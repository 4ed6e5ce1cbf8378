/* SPDX-License-Identifier: MIT */
/* sys/limits: what the machine and our user allow. */
#include "support/suite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "sys/limits.h"
#include "unit/fail.h"

/* The soft limit as asked for while it is `value`. */
static uint64_t asked_under(int resource, rlim_t value, uint64_t ask(void)) {
    struct rlimit before, limit;
    ck_assert_int_eq(resource == RLIMIT_NOFILE ? getrlimit(RLIMIT_NOFILE, &before) : getrlimit(RLIMIT_FSIZE, &before),
                     0);
    limit = before;
    limit.rlim_cur = value;
    int r = resource == RLIMIT_NOFILE ? setrlimit(RLIMIT_NOFILE, &limit) : setrlimit(RLIMIT_FSIZE, &limit);
    uint64_t asked = ask();
    (void) (resource == RLIMIT_NOFILE ? setrlimit(RLIMIT_NOFILE, &before) : setrlimit(RLIMIT_FSIZE, &before));
    if (r < 0)
        test_skip("the hard limit does not let us set this one: %s", strerror(errno));
    return asked;
}

START_TEST(test_descriptors) {
    ck_assert_uint_eq(asked_under(RLIMIT_NOFILE, 123, limits_nofile), 123);
    ck_assert_uint_eq(asked_under(RLIMIT_NOFILE, 64, limits_nofile), 64);
}
END_TEST

START_TEST(test_file_size) {
    ck_assert_uint_eq(asked_under(RLIMIT_FSIZE, 1 << 20, limits_fsize), 1 << 20);
}
END_TEST

START_TEST(test_no_file_size_limit) {
    ck_assert_uint_eq(asked_under(RLIMIT_FSIZE, RLIM_INFINITY, limits_fsize), UINT64_MAX);
}
END_TEST

START_TEST(test_memory) {
    uint64_t total = 0, available = limits_memory_available();
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL)
        test_skip("/proc/meminfo cannot be read");
    int fields = fscanf(file, "MemTotal: %" SCNu64, &total);
    fclose(file);
    ck_assert_int_eq(fields, 1);
    ck_assert_uint_gt(available, 0);
    ck_assert_uint_le(available, total * 1024);
    ck_assert_uint_eq(available % 1024, 0);
}
END_TEST

/* Cheap, and never bolder than the answer in bytes. Meanwhile others may take some. */
START_TEST(test_plenty_is_there) {
    ck_assert(!limits_memory_is_plenty(UINT64_MAX));
    ck_assert(!limits_memory_is_plenty(UINT64_C(1) << 62));
    for (uint64_t size = 4096; limits_memory_is_plenty(size); size *= 2)
        ck_assert_uint_le(size, limits_memory_available());
}
END_TEST

START_TEST(test_memory_that_cannot_be_read) {
    fail_once(SEAM_OPEN, ENOENT);
    ck_assert_uint_eq(limits_memory_available(), UINT64_MAX);
    fail_once(SEAM_PREAD, EIO);
    ck_assert_uint_eq(limits_memory_available(), UINT64_MAX);
    fail_once(SEAM_PREAD, EINTR);
    ck_assert_uint_ne(limits_memory_available(), UINT64_MAX);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("limits");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_descriptors);
    suite_add(s, test_file_size);
    suite_add(s, test_no_file_size_limit);
    suite_add(s, test_memory);
    suite_add(s, test_plenty_is_there);
    suite_add(s, test_memory_that_cannot_be_read);
    return suite_run(s);
}
