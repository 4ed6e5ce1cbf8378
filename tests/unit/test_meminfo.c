/* SPDX-License-Identifier: MIT */
/* sys/meminfo: the memory that the machine has left. */
#include "support/suite.h"

#include <errno.h>
#include <sys/sysinfo.h>

#include "sys/meminfo.h"
#include "unit/fail.h"
#include "unit/tree.h"

#define KIB UINT64_C(1024)

static void before(void) {
    fail_off();
    tree_make();
}

static void after(void) {
    fail_off();
    tree_remove();
}

static struct meminfo read_tree(void) {
    struct meminfo info;
    meminfo_read(tree_path, &info);
    return info;
}

static void assert_info(struct meminfo info, uint64_t total, uint64_t available, uint64_t promised) {
    ck_assert_uint_eq(info.total, total);
    ck_assert_uint_eq(info.available, available);
    ck_assert_uint_eq(info.promised, promised);
}

START_TEST(test_this_machine) {
    struct meminfo info;
    meminfo_read("/proc", &info);
    if (info.is_rough)
        test_skip("/proc/meminfo cannot be read");
    ck_assert_uint_gt(info.available, 0);
    ck_assert_uint_le(info.available, info.total);
    ck_assert_uint_eq(info.available % KIB, 0);
}
END_TEST

static const char text[] = "MemTotal:        1000 kB\nMemFree:  10 kB\nMemAvailable:     500 kB\n"
                           "CommitLimit:      300 kB\nCommitted_AS:     100 kB\n";

START_TEST(test_fields) {
    tree_write("meminfo", text);
    assert_info(read_tree(), 1000 * KIB, 500 * KIB, UINT64_MAX);
}
END_TEST

START_TEST(test_shared_memory_of_the_process) {
    ck_assert_uint_eq(meminfo_read_shared(tree_path), UINT64_MAX);
    tree_write("self/status", "Name:\tx\nRssFile:\t    5 kB\nRssShmem:\t   12 kB\n");
    ck_assert_uint_eq(meminfo_read_shared(tree_path), 12 * KIB);
    tree_write("self/status", "Name:\tx\nVmRSS:\t    5 kB\n");
    ck_assert_uint_eq(meminfo_read_shared(tree_path), UINT64_MAX);
}
END_TEST

/* Promises limit the result only where the kernel promises no more memory than there is. */
START_TEST(test_promises) {
    static const struct {
        const char *mode;
        uint64_t promised;
    } cases[] = {{"0\n", UINT64_MAX}, {"1\n", UINT64_MAX}, {"2\n", 200 * KIB}, {"", UINT64_MAX}};
    tree_write("meminfo", text);
    tree_write("sys/vm/overcommit_memory", cases[_i].mode);
    ck_assert_uint_eq(read_tree().promised, cases[_i].promised);
}
END_TEST

/* The kernel may have promised more than the limit before the limit was lowered. */
START_TEST(test_too_much_was_promised) {
    tree_write("sys/vm/overcommit_memory", "2\n");
    tree_write("meminfo", "MemTotal: 9 kB\nCommitLimit: 1 kB\nCommitted_AS: 2 kB\n");
    ck_assert_uint_eq(read_tree().promised, 0);
    tree_write("meminfo", "MemTotal: 9 kB\nCommitLimit: 1 kB\n");
    ck_assert_uint_eq(read_tree().promised, UINT64_MAX);
}
END_TEST

/* For a process without /proc. */
START_TEST(test_sysinfo_instead) {
    struct sysinfo system;
    ck_assert_int_eq(sysinfo(&system), 0);
    struct meminfo info = read_tree();
    ck_assert(info.is_rough);
    ck_assert_uint_eq(info.total, (uint64_t) system.totalram * system.mem_unit);
    ck_assert_uint_gt(info.available, 0);
    ck_assert_uint_le(info.available, info.total);
    ck_assert_uint_eq(info.promised, UINT64_MAX);
    tree_write("meminfo", "MemTotal: 9 kB\n"); /* as before Linux 3.14 */
    ck_assert_uint_eq(read_tree().total, info.total);
    tree_write("meminfo", text);
    ck_assert(!read_tree().is_rough);
}
END_TEST

START_TEST(test_unreadable_figures_are_no_limit) {
    static const char *const texts[] = {"", "MemAvailable: 5\n", "MemAvailable: 99999999999999999999999 kB\n",
                                        "xMemAvailable: 5 kB\n"};
    fail_always(INJECT_SYSINFO, ENOSYS);
    assert_info(read_tree(), UINT64_MAX, UINT64_MAX, UINT64_MAX);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tree_write("meminfo", texts[i]);
        assert_info(read_tree(), UINT64_MAX, UINT64_MAX, UINT64_MAX);
    }
    tree_write("meminfo", text);
    fail_once(INJECT_PREAD, EIO);
    assert_info(read_tree(), UINT64_MAX, UINT64_MAX, UINT64_MAX);
    fail_once(INJECT_PREAD, EINTR);
    assert_info(read_tree(), 1000 * KIB, 500 * KIB, UINT64_MAX);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("meminfo");
    suite_fixture(s, before, after);
    suite_add(s, test_this_machine);
    suite_add(s, test_fields);
    suite_add(s, test_shared_memory_of_the_process);
    suite_add_loop(s, test_promises, 0, 4);
    suite_add(s, test_too_much_was_promised);
    suite_add(s, test_sysinfo_instead);
    suite_add(s, test_unreadable_figures_are_no_limit);
    return suite_run(s);
}
