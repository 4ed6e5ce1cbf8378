/* SPDX-License-Identifier: MIT */
/* sys/caches: cache sizes from /sys, and from a /sys that lacks some or all of them. */
#include "support/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/caches.h"
#include "unit/fail.h"

static char dir[64];

static void write_field(int index, const char *field, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/index%d", dir, index);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/index%d/%s", dir, index, field);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "%s\n", text);
    fclose(file);
}

static void write_cache(int index, const char *level, const char *type, const char *size) {
    write_field(index, "level", level);
    write_field(index, "type", type);
    write_field(index, "size", size);
}

static void make_dir(void) {
    fail_off();
    snprintf(dir, sizeof dir, "/tmp/sealane-caches-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void) {
    static const char *const fields[] = {"level", "type", "size"};
    char path[128];
    fail_off();
    for (int index = 0; index < 8; index++) {
        for (int i = 0; i < 3; i++) {
            snprintf(path, sizeof path, "%s/index%d/%s", dir, index, fields[i]);
            unlink(path);
        }
        snprintf(path, sizeof path, "%s/index%d", dir, index);
        rmdir(path);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

static void assert_caches(size_t l2, size_t l3) {
    struct caches caches = caches_read(dir);
    ck_assert_uint_eq(caches.l2, l2);
    ck_assert_uint_eq(caches.l3, l3);
}

START_TEST(test_a_usual_machine) {
    write_cache(0, "1", "Data", "32K");
    write_cache(1, "1", "Instruction", "32K");
    write_cache(2, "2", "Unified", "1024K");
    write_cache(3, "3", "Unified", "32768K");
    assert_caches((size_t) 1 << 20, (size_t) 32 << 20);
}
END_TEST

START_TEST(test_no_third_level) {
    write_cache(0, "1", "Data", "32K");
    write_cache(1, "2", "Unified", "2M");
    assert_caches((size_t) 2 << 20, 0);
}
END_TEST

START_TEST(test_instructions_do_not_count) {
    write_cache(0, "2", "Instruction", "4M");
    write_cache(1, "2", "Data", "512K");
    write_cache(2, "3", "Unified", "1G");
    assert_caches((size_t) 512 << 10, (size_t) 1 << 30);
}
END_TEST

START_TEST(test_nothing_is_told) {
    assert_caches(0, 0);
    write_field(0, "level", "2"); /* and there is no size */
    assert_caches(0, 0);
}
END_TEST

START_TEST(test_nonsense) {
    write_cache(0, "2", "Unified", "");
    write_cache(1, "3", "Unified", "99999999999999999999G");
    assert_caches(0, 0);
    write_cache(0, "2", "Unified", "12345");
    assert_caches(12345, 0);
}
END_TEST

START_TEST(test_a_directory_with_a_long_name) {
    char name[400];
    snprintf(name, sizeof name, "/%0390d", 0);
    struct caches caches = caches_read(name);
    ck_assert_uint_eq(caches.l2 + caches.l3, 0);
}
END_TEST

START_TEST(test_here_it_is_always_something) {
    struct caches caches = caches_here(), again = caches_here();
    ck_assert_uint_gt(caches.l2, 0);
    ck_assert_uint_eq(again.l2, caches.l2);
    ck_assert_uint_eq(again.l3, caches.l3);
}
END_TEST

START_TEST(test_guessed_without_sys) {
    fail_always(INJECT_OPEN, ENOENT);
    struct caches caches = caches_here();
    int asked = fail_calls(INJECT_OPEN);
    ck_assert_uint_gt(caches.l2, 0);
    ck_assert_uint_eq(caches.l3, (size_t) 8 << 20);
    fail_off();
    fail_call(INJECT_OPEN, 0, 0, 0);
    ck_assert_uint_eq(caches_here().l3, caches.l3); /* the sizes are read once */
    ck_assert_int_gt(asked, 0);
    ck_assert_int_eq(fail_calls(INJECT_OPEN), 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("caches");
    suite_fixture(s, make_dir, remove_dir);
    suite_add(s, test_a_usual_machine);
    suite_add(s, test_no_third_level);
    suite_add(s, test_instructions_do_not_count);
    suite_add(s, test_nothing_is_told);
    suite_add(s, test_nonsense);
    suite_add(s, test_a_directory_with_a_long_name);
    suite_add(s, test_here_it_is_always_something);
    suite_add(s, test_guessed_without_sys);
    return suite_run(s);
}
