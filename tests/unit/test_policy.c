/* SPDX-License-Identifier: MIT */
/* lane/policy: which users are let in, and which callback decides. */
#include "support/suite.h"

#include <errno.h>
#include <limits.h>
#include <sys/types.h>
#include <unistd.h>

#include "lane/policy.h"

/* Neither our user nor root, whichever user runs this test. */
static const uint32_t STRANGER = 3000000001, OTHER = 3000000002;

static int answer, asked;
static const sea_peer *asked_about;
static const void *asked_with;

static int allow(const sea_peer *peer, void *user) {
    asked++;
    asked_about = peer;
    asked_with = user;
    return answer;
}

static void forget(void) {
    answer = asked = 0;
    asked_about = NULL;
    asked_with = NULL;
}

static int check(const sea_options *options, uint32_t uid, uint32_t gid) {
    const sea_peer peer = {.pid = 1, .uid = uid, .gid = gid, .pidfd = -1};
    return policy_check(options, &peer);
}

START_TEST(test_by_default_we_and_root) {
    const sea_options options = {0};
    ck_assert_int_eq(check(&options, geteuid(), STRANGER), 0);
    ck_assert_int_eq(check(&options, 0, STRANGER), 0);
    ck_assert_int_eq(check(&options, STRANGER, STRANGER), -EACCES);
    ck_assert_int_eq(check(&options, STRANGER, getegid()), -EACCES); /* a shared group is not enough */
    ck_assert_int_eq(check(&options, UINT32_MAX, UINT32_MAX), -EACCES);
}
END_TEST

/* The effective user counts, and users other than root let root in. */
START_TEST(test_a_server_of_another_user) {
    const sea_options options = {0};
    if (geteuid() != 0 || seteuid(65534) < 0)
        test_skip("only root can be somebody else");
    int own = check(&options, 65534, STRANGER), root = check(&options, 0, 0), other = check(&options, 65533, 65534);
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(own, 0);
    ck_assert_int_eq(root, 0);
    ck_assert_int_eq(other, -EACCES);
}
END_TEST

START_TEST(test_users_that_are_listed) {
    const uint32_t users[] = {7, STRANGER};
    const sea_options options = {.users = users, .users_count = 2}, shorter = {.users = users, .users_count = 1};
    ck_assert_int_eq(check(&options, STRANGER, OTHER), 0);
    ck_assert_int_eq(check(&options, 7, OTHER), 0);
    ck_assert_int_eq(check(&options, OTHER, STRANGER), -EACCES); /* a user's number is not a group's */
    ck_assert_int_eq(check(&shorter, STRANGER, OTHER), -EACCES);
    ck_assert_int_eq(check(&options, geteuid(), OTHER), 0); /* a list adds to the default */
    ck_assert_int_eq(check(&options, 0, OTHER), 0);
}
END_TEST

START_TEST(test_groups_that_are_listed) {
    const uint32_t groups[] = {7, STRANGER};
    const sea_options options = {.groups = groups, .groups_count = 2}, shorter = {.groups = groups, .groups_count = 1};
    ck_assert_int_eq(check(&options, OTHER, STRANGER), 0);
    ck_assert_int_eq(check(&options, OTHER, 7), 0);
    ck_assert_int_eq(check(&options, STRANGER, OTHER), -EACCES);
    ck_assert_int_eq(check(&shorter, OTHER, STRANGER), -EACCES);
}
END_TEST

/* Not even our own number or root's: an administrator may choose either as the overflow id. */
START_TEST(test_an_ambiguous_id_matches_nothing) {
    const uint32_t ids[] = {STRANGER};
    const sea_options options = {.users = ids, .users_count = 1, .groups = ids, .groups_count = 1};
    const uint32_t uids[] = {geteuid(), 0, STRANGER};
    for (int i = 0; i < 3; i++) {
        sea_peer peer = {.pid = 1, .uid = uids[i], .gid = STRANGER, .is_uid_ambiguous = true, .is_gid_ambiguous = true};
        ck_assert_int_eq(policy_check(&options, &peer), -EACCES);
        peer.is_gid_ambiguous = false; /* this group was listed */
        ck_assert_int_eq(policy_check(&options, &peer), 0);
        peer.gid = OTHER;
        peer.is_uid_ambiguous = false;
        ck_assert_int_eq(policy_check(&options, &peer), 0);
    }
}
END_TEST

static const char *refusal(const sea_options *options, const sea_peer *peer, bool is_server) {
    static char text[POLICY_TEXT_SIZE];
    policy_refusal(options, peer, is_server, text);
    ck_assert_uint_lt(strlen(text), POLICY_TEXT_SIZE - 1); /* the text was not cut */
    return text;
}

START_TEST(test_refusals_name_the_known_limits) {
    const sea_peer known = {.uid = STRANGER, .gid = OTHER};
    const sea_peer ambiguous = {.uid = UINT32_MAX, .gid = UINT32_MAX, .is_uid_ambiguous = true};
    const sea_options plain = {0}, asking = {.allow = allow};
    for (int is_server = 0; is_server < 2; is_server++) {
        const char *text = refusal(&plain, &known, is_server);
        ck_assert_ptr_null(strstr(text, "namespace"));
        ck_assert_ptr_nonnull(strstr(text, "user 3000000001"));
        ck_assert_ptr_nonnull(strstr(text, "`users`"));
        ck_assert_ptr_nonnull(strstr(text, "sea_options"));
        ck_assert_ptr_nonnull(strstr(refusal(&plain, &ambiguous, is_server), "does not map"));
    }
    ck_assert_ptr_nonnull(strstr(refusal(&plain, &known, true), "group 3000000002"));
    ck_assert_ptr_nonnull(strstr(refusal(&asking, &known, true), "`allow` says no"));
}
END_TEST

START_TEST(test_the_callback_is_asked_last) {
    const uint32_t users[] = {STRANGER}, groups[] = {STRANGER};
    const sea_options options = {
        .users = users, .users_count = 1, .groups = groups, .groups_count = 1, .allow = allow, .user = &asked};
    answer = -EPERM;
    ck_assert_int_eq(check(&options, geteuid(), OTHER), 0);
    ck_assert_int_eq(check(&options, 0, OTHER), 0);
    ck_assert_int_eq(check(&options, STRANGER, OTHER), 0);
    ck_assert_int_eq(check(&options, OTHER, STRANGER), 0);
    ck_assert_int_eq(asked, 0);
    ck_assert_int_eq(check(&options, OTHER, OTHER), -EPERM);
    ck_assert_int_eq(asked, 1);
}
END_TEST

START_TEST(test_the_callbacks_word_holds) {
    const sea_peer peer = {.pid = 77, .uid = STRANGER, .gid = OTHER, .pidfd = -1};
    const sea_options options = {.allow = allow, .user = &answer};
    ck_assert_int_eq(policy_check(&options, &peer), 0);
    ck_assert_ptr_eq(asked_about, &peer);
    ck_assert_ptr_eq(asked_with, &answer);
    answer = -EAGAIN;
    ck_assert_int_eq(policy_check(&options, &peer), -EAGAIN);
    ck_assert_int_eq(asked, 2);
}
END_TEST

/* Only 0 lets a peer in: a callback that returns "true" by mistake lets no peer in. A result that is no errno value
 * is reported as one. */
START_TEST(test_a_callback_that_says_neither) {
    static const int neither[] = {1, INT_MAX, -4096, INT_MIN};
    const sea_options options = {.allow = allow};
    for (size_t i = 0; i < sizeof neither / sizeof *neither; i++) {
        answer = neither[i];
        ck_assert_int_eq(check(&options, STRANGER, STRANGER), -EACCES);
    }
    answer = -4095;
    ck_assert_int_eq(check(&options, STRANGER, STRANGER), -4095);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("policy");
    suite_fixture(s, forget, forget);
    suite_add(s, test_by_default_we_and_root);
    suite_add(s, test_a_server_of_another_user);
    suite_add(s, test_users_that_are_listed);
    suite_add(s, test_groups_that_are_listed);
    suite_add(s, test_an_ambiguous_id_matches_nothing);
    suite_add(s, test_refusals_name_the_known_limits);
    suite_add(s, test_the_callback_is_asked_last);
    suite_add(s, test_the_callbacks_word_holds);
    suite_add(s, test_a_callback_that_says_neither);
    return suite_run(s);
}
