/* SPDX-License-Identifier: MIT */
/* sys/idmap: which user and group ids name a definite user or group. */
#include "support/child.h"
#include "support/suite.h"
#include "support/userns.h"

#include <errno.h>

#include "sys/idmap.h"
#include "unit/fail.h"

enum { OVERFLOW_ID = 65534 }; /* the default; an administrator may choose another one */

/* The report of a child about its namespace. */
enum { CANNOT_ENTER = 7, NAMES_USER = 1, NAMES_GROUP = 2, NAMES_ROOT = 4, SAID = 8 };

static uint64_t say(void) {
    return SAID | (idmap_names_user(OVERFLOW_ID) ? NAMES_USER : 0) |
           (idmap_names_group(OVERFLOW_ID) ? NAMES_GROUP : 0) | (idmap_names_user(0) ? NAMES_ROOT : 0);
}

/* Reports in a new namespace, and once more when the namespace has got its maps. */
static int speak_from_a_namespace(int line, void *unused) {
    uint64_t word;
    (void) unused;
    if (!userns_enter())
        return CANNOT_ENTER;
    return line_tell(line, say()) && line_hear(line, 10000, &word) && line_tell(line, say()) ? 0 : 1;
}

static void enter(struct child *child) {
    uint64_t word = 0;
    child_start(child, speak_from_a_namespace, NULL);
    if (line_hear(child->line, 10000, &word)) {
        ck_assert_uint_eq(word, SAID | NAMES_ROOT);
        return;
    }
    ck_assert_int_eq(child_end(child, 10000), CANNOT_ENTER);
    test_skip("user namespaces are forbidden here, or this process has several threads");
}

static uint64_t map(struct child *child, const char *uids, const char *gids) {
    uint64_t word = 0;
    bool is_mapped = userns_write(child->pid, "uid_map", uids) && userns_write(child->pid, "setgroups", "deny") &&
                     userns_write(child->pid, "gid_map", gids);
    ck_assert(line_tell(child->line, 0));
    ck_assert(line_hear(child->line, 10000, &word));
    ck_assert_int_eq(child_end(child, 10000), 0);
    if (!is_mapped)
        test_skip("this user may not write the maps of a user namespace");
    return word;
}

START_TEST(test_ids_beyond_the_overflow_ids) {
    ck_assert(idmap_names_user(65536));
    ck_assert(idmap_names_group(65536));
    ck_assert(idmap_names_user(UINT32_MAX - 1));
    ck_assert(!idmap_names_user(UINT32_MAX));
    ck_assert(!idmap_names_group(UINT32_MAX));
    ck_assert(idmap_names_user(0));
    ck_assert(idmap_names_user(OVERFLOW_ID - 1));
}
END_TEST

START_TEST(test_where_all_are_mapped_each_id_names_one) {
    if (!userns_is_identity())
        test_skip("this user namespace does not map every id to itself");
    ck_assert(idmap_names_user(OVERFLOW_ID));
    ck_assert(idmap_names_group(OVERFLOW_ID));
}
END_TEST

START_TEST(test_where_none_is_mapped) {
    struct child child;
    enter(&child);
    child_kill(&child);
}
END_TEST

START_TEST(test_where_one_is_mapped) {
    char uids[32], gids[32];
    struct child child;
    snprintf(uids, sizeof uids, "0 %u 1", (unsigned) geteuid());
    snprintf(gids, sizeof gids, "0 %u 1", (unsigned) getegid());
    enter(&child);
    ck_assert_uint_eq(map(&child, uids, gids), SAID | NAMES_ROOT);
}
END_TEST

/* Containers map the overflow id, too: then it stands for two users. */
START_TEST(test_where_the_overflow_id_is_mapped_too) {
    struct child child;
    enter(&child);
    ck_assert_uint_eq(map(&child, "0 0 65536", "0 0 65536"), SAID | NAMES_ROOT);
}
END_TEST

START_TEST(test_the_full_identity_in_a_namespace) {
    struct child child;
    if (!userns_is_identity())
        test_skip("this user namespace does not map every id to itself");
    enter(&child);
    ck_assert_uint_eq(map(&child, "0 0 4294967295", "0 0 4294967295"), SAID | NAMES_ROOT | NAMES_USER | NAMES_GROUP);
}
END_TEST

/* Without /proc the namespace does not count as the identity. */
START_TEST(test_without_proc) {
    fail_always(_i ? INJECT_PREAD : INJECT_OPEN, _i ? EIO : ENOENT);
    ck_assert(!idmap_names_user(OVERFLOW_ID));
    ck_assert(!idmap_names_group(OVERFLOW_ID));
    ck_assert(idmap_names_user(0));
    ck_assert(idmap_names_user(1000));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("idmap");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_ids_beyond_the_overflow_ids);
    suite_add(s, test_where_all_are_mapped_each_id_names_one);
    suite_add(s, test_where_none_is_mapped);
    suite_add(s, test_where_one_is_mapped);
    suite_add(s, test_where_the_overflow_id_is_mapped_too);
    suite_add(s, test_the_full_identity_in_a_namespace);
    suite_add_loop(s, test_without_proc, 0, 2);
    return suite_run(s);
}
