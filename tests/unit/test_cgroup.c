/* SPDX-License-Identifier: MIT */
/* sys/cgroup: the room that the memory cgroups have left. The hierarchies are invented, in a temporary directory. */
#include "support/suite.h"

#include <errno.h>

#include "sys/cgroup.h"
#include "unit/fail.h"
#include "unit/tree.h"

#define MIB (UINT64_C(1) << 20)

static void before(void) {
    fail_off();
    tree_make();
}

static void after(void) {
    fail_off();
    tree_remove();
}

/* Reads the room; the tree stands for /proc and /sys/fs/cgroup at once. */
static struct cgroup_room read_tree(uint64_t enough) {
    struct cgroup_room room;
    memset(&room, 0xff, sizeof room);
    cgroup_read(tree_path, tree_path, enough, &room);
    return room;
}

static void assert_room(uint64_t limit, uint64_t left, const char *knob, const char *group) {
    struct cgroup_room room = read_tree(0);
    ck_assert_uint_eq(room.limit, limit);
    ck_assert_uint_eq(room.left, left);
    ck_assert_str_eq(room.knob, knob);
    ck_assert_str_eq(room.group, group);
}

static void assert_no_limit(void) {
    assert_room(UINT64_MAX, UINT64_MAX, "", "");
}

/* Writes the files of a version 2 group; `group` is "" or ends with a slash. */
static void group_2(const char *group, const char *max, const char *high, const char *current) {
    char name[256];
    tree_write("cgroup.controllers", "memory\n");
    snprintf(name, sizeof name, "%smemory.max", group);
    tree_write(name, max);
    snprintf(name, sizeof name, "%smemory.high", group);
    tree_write(name, high);
    snprintf(name, sizeof name, "%smemory.current", group);
    tree_write(name, current);
}

static void group_1(const char *group, const char *limit, const char *usage) {
    char name[256];
    snprintf(name, sizeof name, "memory/%smemory.limit_in_bytes", group);
    tree_write(name, limit);
    snprintf(name, sizeof name, "memory/%smemory.usage_in_bytes", group);
    tree_write(name, usage);
}

#define NONE_1 "9223372036854771712\n"

START_TEST(test_nothing_to_see) {
    assert_no_limit();
    tree_write("self/cgroup", "");
    assert_no_limit();
    tree_write("self/cgroup", "0::/a/b\n");
    assert_no_limit();
    tree_write("self/cgroup", "garbage\n4:cpu\n:\n\n5:cpuset,mem:/a\n");
    assert_no_limit();
}
END_TEST

/* --- version 2 --- */

START_TEST(test_each_ancestor) {
    static const char *const groups[] = {"a/b/c/", "a/b/", "a/", ""}, *const names[] = {"/a/b/c", "/a/b", "/a", "/"};
    tree_write("self/cgroup", "0::/a/b/c\n");
    for (int i = 0; i < 4; i++)
        group_2(groups[i], "max\n", "max\n", "1000000\n");
    assert_no_limit();
    group_2(groups[_i], "3145728\n", "max\n", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.max", names[_i]);
    group_2(groups[_i], "max\n", "3145728\n", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.high", names[_i]);
}
END_TEST

START_TEST(test_the_tightest_wins) {
    tree_write("self/cgroup", "0::/a/b\n");
    group_2("a/b/", "8388608\n", "max\n", "1048576\n");
    group_2("a/", "9437184\n", "7340032\n", "6291456\n");
    group_2("", "max\n", "max\n", "0\n");
    assert_room(7 * MIB, MIB, "memory.high", "/a");
}
END_TEST

START_TEST(test_more_is_used_than_allowed) {
    tree_write("self/cgroup", "0::/\n");
    group_2("", "1048576\n", "max\n", "2097152\n");
    assert_room(MIB, 0, "memory.max", "/");
    group_2("", "0\n", "max\n", "0\n");
    assert_room(0, 0, "memory.max", "/");
}
END_TEST

/* A large group keeps more memory free than a small one. */
START_TEST(test_memory_kept_free_counts) {
    tree_write("self/cgroup", "0::/a/b\n");
    group_2("a/b/", "67108864\n", "max\n", "5242880\n");
    group_2("a/", "4294967296\n", "max\n", "4232052736\n");
    assert_room(UINT64_C(4) << 30, 60 * MIB, "memory.max", "/a");
    ck_assert_uint_eq(read_tree(0).kept, 64 * MIB);
    group_2("a/", "4294967296\n", "max\n", "0\n");
    assert_room(64 * MIB, 59 * MIB, "memory.max", "/a/b");
    ck_assert_uint_eq(read_tree(0).kept, 2 * MIB);
}
END_TEST

/* The memory of a full group may consist of file pages only, which the kernel can drop. */
START_TEST(test_file_pages_can_be_dropped) {
    tree_write("self/cgroup", "0::/a\n");
    group_2("a/", "10485760\n", "max\n", "10485760\n");
    tree_write("a/memory.stat", "anon 1\nfile 9\ninactive_file 3145728\nactive_file 2097152\nunevictable 0\n");
    ck_assert_uint_eq(read_tree(MIB).left, 4 * MIB);
    tree_write("a/memory.stat", "inactive 7\n");
    ck_assert_uint_eq(read_tree(MIB).left, 0);
    tree_write("a/memory.stat", "anon 1\ninactive_file 99999999999\nactive_file 0\n");
    ck_assert_uint_eq(read_tree(MIB).left, 10 * MIB);
    /* there is enough room without the file pages, so their number is not read */
    group_2("a/", "10485760\n", "max\n", "5242880\n");
    ck_assert_uint_eq(read_tree(5 * MIB).left, 5 * MIB);
    ck_assert_uint_eq(read_tree(5 * MIB + 1).left, 10 * MIB);
}
END_TEST

/* A container sees its own group as the root, but /proc names the path outside the container. */
START_TEST(test_directories_that_are_not_mounted) {
    static const char *const groups[] = {"0::/kubepods/pod1/x\n", "0::/\n", "0::/../other\n", "0::/a/../b\n"};
    tree_write("self/cgroup", groups[_i]);
    group_2("", "3145728\n", "max\n", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.max", "/");
}
END_TEST

START_TEST(test_beside_version_1) {
    tree_write("self/cgroup", "3:cpu:/x\n0::/a\n");
    tree_write("unified/a/memory.max", "3145728\n");
    tree_write("unified/a/memory.current", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.max", "/a");
}
END_TEST

START_TEST(test_long_names_keep_their_end) {
    char name[200], line[256], dir[256];
    memset(name, 'x', sizeof name);
    memcpy(name + sizeof name - 5, "end", 4);
    snprintf(line, sizeof line, "0::/%.195send\n", name);
    snprintf(dir, sizeof dir, "%.195send/", name);
    tree_write("self/cgroup", line);
    group_2(dir, "3145728\n", "max\n", "1048576\n");
    struct cgroup_room room = read_tree(0);
    ck_assert_uint_eq(room.left, 2 * MIB);
    ck_assert_uint_eq(strlen(room.group), sizeof room.group - 1);
    ck_assert_int_eq(strncmp(room.group, "...xx", 5), 0);
    ck_assert_str_eq(room.group + strlen(room.group) - 4, "xend");
}
END_TEST

/* --- version 1 --- */

START_TEST(test_each_ancestor_of_version_1) {
    static const char *const groups[] = {"a/b/c/", "a/b/", "a/", ""}, *const names[] = {"/a/b/c", "/a/b", "/a", "/"};
    tree_write("self/cgroup", "9:name=systemd:/\n5:cpu,memory,pids:/a/b/c\n3:cpuset:/d\n0::/e\n");
    tree_write("unified/memory.max", "1\n"); /* the kernel limits memory in version 1 or in version 2, not in both */
    for (int i = 0; i < 4; i++)
        group_1(groups[i], NONE_1, "1000000\n");
    assert_no_limit();
    group_1(groups[_i], "3145728\n", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.limit_in_bytes", names[_i]);
}
END_TEST

START_TEST(test_file_pages_of_version_1) {
    tree_write("self/cgroup", "5:memory:/a\n");
    group_1("a/", "10485760\n", "10485760\n");
    tree_write("memory/a/memory.stat", "cache 1\ninactive_file 0\nactive_file 0\ntotal_cache 1\n"
                                       "total_inactive_file 3145728\ntotal_active_file 2097152\n");
    ck_assert_uint_eq(read_tree(MIB).left, 4 * MIB);
}
END_TEST

/* --- trouble --- */

START_TEST(test_unreadable_figures_are_no_limit) {
    tree_write("self/cgroup", "0::/\n");
    group_2("", "3145728\n", "max\n", "1048576\n");
    fail_always(INJECT_OPEN, EACCES);
    assert_no_limit();
    fail_off();
    group_2("", "3145728\n", "max\n", "none\n");
    assert_no_limit();
    group_2("", "3145728\n", "max\n", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.max", "/");
}
END_TEST

/* --- without /proc --- */

/* In a container the mount is the container's own group. */
START_TEST(test_the_mount_alone) {
    group_1("", "4194304\n", "1048576\n");
    assert_room(4 * MIB, 3 * MIB, "memory.limit_in_bytes", "/");
    ck_assert(!read_tree(0).is_unseen);
    group_2("", "3145728\n", "max\n", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.max", "/");
    ck_assert(!read_tree(0).is_unseen);
    group_2("", "max\n", "max\n", "1048576\n");
    assert_no_limit();
    ck_assert(!read_tree(0).is_unseen);
    tree_write("self/cgroup", "0::/\n");
    fail_once(INJECT_PREAD, EIO); /* a failure to read self/cgroup */
    group_2("", "3145728\n", "max\n", "1048576\n");
    assert_room(3 * MIB, 2 * MIB, "memory.max", "/");
}
END_TEST

/* The mount is the whole hierarchy: nothing tells which of its groups is ours. */
START_TEST(test_the_mount_is_the_root) {
    assert_no_limit();
    ck_assert(read_tree(0).is_unseen);
    group_1("", NONE_1, "1000000\n");
    tree_write("memory/release_agent", "");
    assert_no_limit();
    ck_assert(read_tree(0).is_unseen);
    tree_write("cgroup.controllers", "memory\n");
    assert_no_limit();
    ck_assert(read_tree(0).is_unseen);
}
END_TEST

START_TEST(test_a_kernel_without_groups) {
    tree_write("self/stat", "1 (x) R\n");
    assert_no_limit();
    ck_assert(!read_tree(0).is_unseen);
}
END_TEST

START_TEST(test_this_process) {
    struct cgroup_room room;
    cgroup_read("/proc", "/sys/fs/cgroup", 0, &room);
    ck_assert_uint_le(room.left, room.limit);
    ck_assert((room.limit == UINT64_MAX) == (room.knob[0] == '\0'));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("cgroup");
    suite_fixture(s, before, after);
    suite_add(s, test_nothing_to_see);
    suite_add_loop(s, test_each_ancestor, 0, 4);
    suite_add(s, test_the_tightest_wins);
    suite_add(s, test_more_is_used_than_allowed);
    suite_add(s, test_memory_kept_free_counts);
    suite_add(s, test_file_pages_can_be_dropped);
    suite_add_loop(s, test_directories_that_are_not_mounted, 0, 4);
    suite_add(s, test_beside_version_1);
    suite_add(s, test_long_names_keep_their_end);
    suite_add_loop(s, test_each_ancestor_of_version_1, 0, 4);
    suite_add(s, test_file_pages_of_version_1);
    suite_add(s, test_unreadable_figures_are_no_limit);
    suite_add(s, test_the_mount_alone);
    suite_add(s, test_the_mount_is_the_root);
    suite_add(s, test_a_kernel_without_groups);
    suite_add(s, test_this_process);
    return suite_run(s);
}
