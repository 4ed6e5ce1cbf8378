/* SPDX-License-Identifier: MIT */
/* sys/limits: the limits of the machine and of our user. */
#include "support/suite.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "sys/limits.h"
#include "unit/fail.h"

/* Returns the result of `ask` while the soft limit is `value`. */
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

/* --- the rest of a limit, for explanations --- */

START_TEST(test_locked_memory) {
    struct rlimit limit;
    static char page[4096];
    ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_max < 1 << 20)
        test_skip("RLIMIT_MEMLOCK is too low");
    uint64_t unlimited = limits_locked_left();
    limit.rlim_cur = 1 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    uint64_t before = limits_locked_left();
    if (mlock2(page, sizeof page, 0) < 0) /* not mlock(), which sanitizers replace by nothing */
        test_skip("mlock2: %s", strerror(errno));
    uint64_t after = limits_locked_left();
    munlock(page, sizeof page);
    ck_assert_uint_le(before, 1 << 20);
    ck_assert_uint_lt(after, before);
    ck_assert_uint_ge(unlimited, before);
}
END_TEST

START_TEST(test_address_space) {
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY}, limit = {(rlim_t) 1 << 46, RLIM_INFINITY};
#if defined(__SANITIZE_THREAD__)
    test_skip("the thread sanitizer uses up the address space");
#endif
    setrlimit(RLIMIT_AS, &none);
    ck_assert_uint_eq(limits_address_left(), UINT64_MAX);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    uint64_t before = limits_address_left();
    ck_assert_uint_lt(before, UINT64_C(1) << 46);
    void *area = mmap(NULL, 1 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(area, MAP_FAILED);
    uint64_t after = limits_address_left();
    munmap(area, 1 << 30);
    ck_assert_uint_le(after + (1 << 30), before);
}
END_TEST

START_TEST(test_mappings) {
    uint64_t before = limits_maps_left();
    if (before == UINT64_MAX)
        test_skip("/proc/sys/vm/max_map_count cannot be read");
    char *area = mmap(NULL, 200 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < 200; i += 2) /* cuts the mapping into pieces */
        mprotect(area + i * 4096, 4096, PROT_READ);
    uint64_t after = limits_maps_left();
    munmap(area, 200 * 4096);
    ck_assert_uint_le(after + 198, before);
    ck_assert_uint_ge(after + 220, before);
}
END_TEST

START_TEST(test_unreadable_figures_are_no_limit) {
    const struct rlimit limit = {(rlim_t) 1 << 46, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
    fail_always(INJECT_OPEN, EACCES);
    ck_assert_uint_eq(limits_maps_left(), UINT64_MAX);
    ck_assert_uint_eq(limits_address_left(), UINT64_MAX);
    ck_assert_uint_eq(limits_locked_left(), UINT64_MAX);
    fail_off();
    fail_always(INJECT_PREAD, EIO);
    ck_assert_uint_eq(limits_maps_left(), UINT64_MAX);
    ck_assert_uint_eq(limits_address_left(), UINT64_MAX);
    ck_assert_uint_eq(limits_locked_left(), UINT64_MAX);
}
END_TEST

START_TEST(test_mappings_of_an_unknown_kernel) {
    fail_always(INJECT_OPEN, ENOENT);
    ck_assert_uint_eq(limits_maps(), 65530);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("limits");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_descriptors);
    suite_add(s, test_file_size);
    suite_add(s, test_no_file_size_limit);
    suite_add(s, test_locked_memory);
    suite_add(s, test_address_space);
    suite_add(s, test_mappings);
    suite_add(s, test_mappings_of_an_unknown_kernel);
    suite_add(s, test_unreadable_figures_are_no_limit);
    return suite_run(s);
}
