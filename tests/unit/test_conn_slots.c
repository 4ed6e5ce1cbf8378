/* SPDX-License-Identifier: MIT */
/* rpc/conn_slots: how many connections a user and a process may have. */
#include "support/suite.h"

#include <errno.h>
#include <string.h>

#include "rpc/conn_slots.h"
#include "unit/fail.h"

enum { MOST = 64, HELD_MAX = 1024 };

static struct conn_slots slots;
static struct conn_slot held[HELD_MAX];
static unsigned held_count;
static char why[CONN_SLOTS_WHY_SIZE];

static void begin(void) {
    fail_off();
    memset(&slots, 0, sizeof slots);
    held_count = 0;
    why[0] = '\0';
}

static void end(void) {
    fail_off();
    for (unsigned i = 0; i < held_count; i++)
        conn_slots_return(&slots, &held[i]);
    ck_assert_uint_eq(slots.taken, 0);
    for (int i = 0; i < CONN_SLOTS_CHAINS; i++)
        ck_assert_ptr_null(slots.chains[i]);
}

static int take(const struct conn_slots_request *claim) {
    int r = conn_slots_take(&slots, claim, &held[held_count], why);
    held_count += r == 0 ? 1 : 0;
    return r;
}

/* Takes slots until none is granted; returns their number. */
static unsigned take_all(const struct conn_slots_request *claim) {
    unsigned count = 0;
    while (take(claim) == 0)
        count++;
    return count;
}

/* Takes slots for one user, each from another process, until none is granted. */
static unsigned take_all_of_user(uint64_t user) {
    unsigned count = 0;
    for (uint64_t process = user * 1000;; process++) {
        const struct conn_slots_request claim = {.most = MOST, .user = user, .process = process};
        if (take(&claim) < 0)
            return count;
        count++;
    }
}

START_TEST(test_one_process_leaves_a_quarter) {
    const struct conn_slots_request one = {.most = MOST, .per_user = CONN_SLOTS_ANY, .user = 1, .process = 10},
                                    other = {.most = MOST, .per_user = CONN_SLOTS_ANY, .user = 1, .process = 11};
    ck_assert_uint_eq(take_all(&one), 48);
    ck_assert_ptr_nonnull(strstr(why, "this process has 48 of the server's 64 connections"));
    ck_assert_ptr_nonnull(strstr(why, "connections_per_process"));
    ck_assert_uint_eq(take_all(&other), 12);
    ck_assert_int_eq(take(&one), -EUSERS);
}
END_TEST

/* Any number of processes leaves a half. */
START_TEST(test_one_user_leaves_a_half) {
    ck_assert_uint_eq(take_all_of_user(1), 32);
    ck_assert_ptr_nonnull(strstr(why, "this user has 32 of the server's 64 connections"));
    ck_assert_ptr_nonnull(strstr(why, "connections_per_user"));
    ck_assert_uint_eq(take_all_of_user(2), 16);
    ck_assert_uint_eq(take_all_of_user(3), 8);
    ck_assert_uint_eq(take_all_of_user(4), 4);
}
END_TEST

START_TEST(test_the_first_one_of_each_comes_while_there_is_any) {
    for (uint64_t i = 0; i < 8; i++) {
        const struct conn_slots_request claim = {.most = 8, .user = i, .process = 1000 + i};
        ck_assert_int_eq(take(&claim), 0);
    }
    const struct conn_slots_request late = {.most = 8, .user = 99, .process = 1099};
    ck_assert_int_eq(take(&late), -EUSERS);
    ck_assert_str_eq(why, "the server has as many connections as it takes, 8");
    conn_slots_return(&slots, &held[--held_count]);
    ck_assert_int_eq(take(&late), 0);
}
END_TEST

START_TEST(test_numbers_hold_instead_of_shares) {
    const struct conn_slots_request
        few = {.most = MOST, .per_user = CONN_SLOTS_ANY, .per_process = 3, .user = 1, .process = 1001},
        user = {.most = MOST, .per_user = 5, .per_process = CONN_SLOTS_ANY, .user = 2, .process = 1002},
        all = {.most = MOST, .per_user = CONN_SLOTS_ANY, .per_process = CONN_SLOTS_ANY, .user = 3, .process = 1003};
    ck_assert_uint_eq(take_all(&few), 3);
    ck_assert_uint_eq(take_all(&user), 5);
    ck_assert_uint_eq(take_all(&all), MOST - 8);
}
END_TEST

START_TEST(test_a_refused_connection_takes_no_slot) {
    const struct conn_slots_request one = {
        .most = MOST, .per_user = CONN_SLOTS_ANY, .per_process = 1, .user = 1, .process = 1001};
    ck_assert_uint_eq(take_all(&one), 1);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(take(&one), -EUSERS);
    ck_assert_uint_eq(slots.taken, 1);
}
END_TEST

START_TEST(test_no_memory_for_a_holder) {
    const struct conn_slots_request one = {.most = MOST, .user = 1, .process = 2};
    fail_call(INJECT_ALLOC, _i, 1, ENOMEM);
    ck_assert_int_eq(take(&one), -ENOMEM);
    ck_assert_uint_eq(slots.taken, 0);
    for (int i = 0; i < CONN_SLOTS_CHAINS; i++)
        ck_assert_ptr_null(slots.chains[i]);
}
END_TEST

START_TEST(test_an_empty_slot) {
    struct conn_slot empty = {.user = NULL};
    conn_slots_return(&slots, &empty);
    ck_assert_uint_eq(slots.taken, 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("conn_slots");
    suite_fixture(s, begin, end);
    suite_add(s, test_one_process_leaves_a_quarter);
    suite_add(s, test_one_user_leaves_a_half);
    suite_add(s, test_the_first_one_of_each_comes_while_there_is_any);
    suite_add(s, test_numbers_hold_instead_of_shares);
    suite_add(s, test_a_refused_connection_takes_no_slot);
    suite_add_loop(s, test_no_memory_for_a_holder, 1, 3);
    suite_add(s, test_an_empty_slot);
    return suite_run(s);
}
