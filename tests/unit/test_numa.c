/* SPDX-License-Identifier: MIT */
/* sys/numa: which NUMA nodes there are, and whether the kernel honours a preference. */
#include "support/suite.h"

#include <errno.h>
#include <unistd.h>

#include "sys/map.h"
#include "sys/memfd.h"
#include "sys/numa.h"
#include "unit/fail.h"
#include "unit/tree.h"

static void *data;
static int fd;

static void before(void) {
    fail_off();
    tree_make();
    ck_assert_int_eq(memfd_new(1 << 20, false, &fd), 0);
    ck_assert_int_eq(map_new_writable(fd, 1 << 20, false, &data), 0);
}

static void after(void) {
    fail_off();
    map_free(data, 1 << 20);
    close(fd);
    tree_remove();
}

START_TEST(test_the_nodes_of_this_machine) {
    uint64_t nodes = numa_nodes(NUMA_DIR);
    ck_assert_uint_ne(nodes, 0);
    ck_assert_int_eq(numa_prefer(data, 1 << 20, nodes), 0);
    ck_assert_int_eq(numa_prefer(data, 1 << 20, nodes & -nodes), 0);
    ck_assert_int_eq(map_populate(data, 1 << 20), 0);
}
END_TEST

START_TEST(test_lists) {
    static const struct {
        const char *text;
        uint64_t nodes;
    } cases[] = {{"0\n", 1},
                 {"0-1\n", 3},
                 {"0,2\n", 5},
                 {"1-3,5,62-70\n", UINT64_C(3) << 62 | 0x2e},
                 {"70\n", 1},
                 {"", 1},
                 {"\n", 1},
                 {"99999999999999999999\n", 1},
                 {"0-99999999\n", UINT64_MAX}};
    ck_assert_uint_eq(numa_nodes(tree_path), 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tree_write("has_memory", cases[i].text);
        ck_assert_uint_eq(numa_nodes(tree_path), cases[i].nodes);
    }
}
END_TEST

START_TEST(test_nodes_that_do_not_exist) {
    uint64_t missing = ~numa_nodes(NUMA_DIR);
    if (missing == 0)
        test_skip("this machine has 64 nodes");
    fail_call(INJECT_MBIND, 0, 0, 0);
    ck_assert_int_eq(numa_prefer(data, 1 << 20, missing), -ENODEV);
    ck_assert_int_eq(numa_prefer(data, 1 << 20, UINT64_MAX), -ENODEV);
    ck_assert_int_eq(fail_calls(INJECT_MBIND), 0);
}
END_TEST

START_TEST(test_without_sys) {
    fail_always(INJECT_OPEN, ENOENT);
    ck_assert_uint_eq(numa_nodes(NUMA_DIR), 1);
}
END_TEST

/* Before Linux 5.15 only one node could be preferred; some containers forbid every preference. */
START_TEST(test_kernels_and_containers_that_refuse) {
    uint64_t nodes = numa_nodes(NUMA_DIR);
    fail_once(INJECT_MBIND, EINVAL);
    ck_assert_int_eq(numa_prefer(data, 1 << 20, nodes), 0);
    ck_assert_int_eq(fail_calls(INJECT_MBIND), 2);
    fail_always(INJECT_MBIND, EPERM);
    ck_assert_int_eq(numa_prefer(data, 1 << 20, nodes), 0); /* all existing nodes */
    if ((nodes & (nodes - 1)) == 0)
        test_skip("this machine has one node: whoever prefers it cannot be refused");
    ck_assert_int_eq(numa_prefer(data, 1 << 20, nodes & -nodes), -EACCES);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("numa");
    suite_fixture(s, before, after);
    suite_add(s, test_the_nodes_of_this_machine);
    suite_add(s, test_lists);
    suite_add(s, test_nodes_that_do_not_exist);
    suite_add(s, test_without_sys);
    suite_add(s, test_kernels_and_containers_that_refuse);
    return suite_run(s);
}
