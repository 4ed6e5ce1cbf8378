/* SPDX-License-Identifier: MIT */
/* lane/naps: when sleeping after each few payloads is usual. The test counts the payloads itself. */
#include "lane/naps.h"

#include "support/suite.h"

static struct naps naps;
static uint64_t sent;

static void before(void) {
    naps = naps_begin(false);
    sent = 0;
}

/* Returns how often the answer changed. */
static unsigned sleep_after(uint64_t payloads, unsigned times) {
    unsigned changes = 0;
    while (times--)
        changes += naps_note_sleep(&naps, sent += payloads);
    return changes;
}

START_TEST(test_sleeps_after_each_payload) {
    ck_assert_uint_eq(sleep_after(1, NAPS_USUAL - 1), 0);
    ck_assert(!naps.are_usual);
    ck_assert_uint_eq(sleep_after(4, 1), 1);
    ck_assert(naps.are_usual);
    ck_assert_uint_eq(sleep_after(1, 1000), 0);
}
END_TEST

START_TEST(test_a_sleep_without_a_payload_says_nothing) {
    ck_assert_uint_eq(sleep_after(0, 1000), 0);
    ck_assert(!naps.are_usual);
    sleep_after(1, NAPS_USUAL);
    ck_assert_uint_eq(sleep_after(0, 1000), 0);
    ck_assert(naps.are_usual);
}
END_TEST

START_TEST(test_a_few_bursts_change_nothing) {
    sleep_after(1, NAPS_USUAL);
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_eq(sleep_after(12, 1), 0);
        ck_assert_uint_eq(sleep_after(1, 3), 0);
    }
    ck_assert(naps.are_usual);
}
END_TEST

START_TEST(test_bursts_end_it) {
    sleep_after(1, NAPS_USUAL);
    ck_assert_uint_eq(sleep_after(16, 2), 1);
    ck_assert(!naps.are_usual);
    ck_assert_uint_eq(sleep_after(16, 100), 0);
}
END_TEST

START_TEST(test_a_side_that_never_sleeps) {
    sleep_after(1, NAPS_USUAL);
    unsigned changes = 0;
    for (int i = 0; i < 63; i++)
        changes += naps_note_awake(&naps, ++sent);
    ck_assert_uint_eq(changes, 0);
    ck_assert(naps_note_awake(&naps, ++sent));
    ck_assert(!naps.are_usual);
    ck_assert(!naps_note_awake(&naps, sent += 1000));
}
END_TEST

START_TEST(test_a_side_that_sleeps_from_the_beginning) {
    naps = naps_begin(true);
    ck_assert(naps.are_usual);
    ck_assert_uint_eq(sleep_after(1, 10), 0);
    ck_assert_uint_eq(sleep_after(100, 1), 1);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("naps");
    suite_fixture(s, before, NULL);
    suite_add(s, test_sleeps_after_each_payload);
    suite_add(s, test_a_sleep_without_a_payload_says_nothing);
    suite_add(s, test_a_few_bursts_change_nothing);
    suite_add(s, test_bursts_end_it);
    suite_add(s, test_a_side_that_never_sleeps);
    suite_add(s, test_a_side_that_sleeps_from_the_beginning);
    return suite_run(s);
}
