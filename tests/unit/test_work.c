/* SPDX-License-Identifier: MIT */
/*
 * What one turn of a connection may do, whatever its peer sends: two connections, of which one is driven turn by turn. What is counted is
 * bytes, leases and messages, not time.
 */
#include "support/suite.h"

#include "memory/work.h"
#include "unit/conn_pair.h"
#include "unit/fail.h"

static struct ends ends;

static void before(void) {
    fail_off();
    memset(&ends, 0, sizeof ends);
}

#define NO_METHOD 99

/* --- copies for a side that takes stable payloads only --- */

START_TEST(test_no_copy_for_a_method_that_is_not_there) {
    ends.b.options.accept = SEA_STABLE_ONLY;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, NO_METHOD, end_block(&ends.a, 3000000, 5), -1, 0, NULL), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, NO_METHOD, end_block(&ends.a, 3000000, 5), 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, -ENOSYS);
    sea_figures figures = end_figures(&ends.b);
    ck_assert_uint_eq(figures.received_pooled, 2);
    ck_assert_uint_eq(figures.snapshots + figures.copied_bytes, 0);
    ck_assert_uint_eq(end_figures(&ends.a).leased_blocks, 0);
    ends_deinit(&ends);
}
END_TEST

/* Its caller gave up before it came. */
START_TEST(test_no_copy_of_a_reply_that_comes_late) {
    uint64_t id;
    ends.a.options.accept = SEA_STABLE_ONLY;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 0, &id), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 1);
    ck_assert_int_eq(sea_reply(ends.b.kept[--ends.b.kept_count], end_block(&ends.b, 3000000, 5)), 0);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.a).received_pooled, 1);
    ck_assert_uint_eq(end_figures(&ends.a).snapshots, 0);
    ck_assert_uint_eq(end_figures(&ends.b).leased_blocks, 0);
    ends_deinit(&ends);
}
END_TEST

/* The deadline of a blocking call passes while its peer makes us copy: the call ends before all of that is copied. */
START_TEST(test_a_blocking_call_keeps_its_deadline) {
    enum { MANY = 30, SIZE = 4 << 20 }; /* announcements included, no more frames than a turn handles */
    sea_msg *reply = NULL;
    ends.a.options.accept = SEA_STABLE_ONLY;
    ends_open(&ends);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(sea_send(ends.b.conn, END_KEEP, end_block(&ends.b, SIZE, i), 0), 0);
    ck_assert_int_eq(sea_call_bytes(ends.a.conn, END_ECHO, "x", 1, 1, &reply), -ETIMEDOUT);
    ck_assert_uint_lt(ends.a.kept_count, MANY);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.kept_count, MANY);
    ck_assert(msg_is_filled(ends.a.kept[MANY - 1], SIZE, MANY - 1));
    ends_deinit(&ends);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("work");
    suite_fixture(s, before, fail_off);
    suite_add(s, test_no_copy_for_a_method_that_is_not_there);
    suite_add(s, test_no_copy_of_a_reply_that_comes_late);
    suite_add(s, test_a_blocking_call_keeps_its_deadline);
    return suite_run(s);
}
