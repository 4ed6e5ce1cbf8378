/* SPDX-License-Identifier: MIT */
/* memory/quota: a charge is made in full or not at all, up a chain of quotas, and a refusal names its limit. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "memory/quota.h"

static struct refusal_log refusals;

static void make_log(void) {
    refusal_init(&refusals);
}

static void drop_log(void) {
    refusal_deinit(&refusals);
}

static struct quota quota_of(const char *name, struct quota *parent, uint64_t bytes, uint32_t blocks, uint32_t fds) {
    const struct limits limits = {.bytes = bytes, .blocks = blocks, .fds = fds};
    struct quota quota;
    memset(&quota, 0xff, sizeof quota);
    quota_init(&quota, name, parent, &limits);
    return quota;
}

static int charge(struct quota *quota, uint64_t bytes, uint32_t blocks, uint32_t fds) {
    return quota_charge(quota, bytes, blocks, fds, &refusals);
}

static sea_refusal newest(void) {
    sea_refusal refusal;
    refusal_read(&refusals, &refusal);
    return refusal;
}

static void assert_used(const struct quota *quota, uint64_t bytes, uint64_t blocks, uint64_t fds) {
    ck_assert_uint_eq(quota_used(quota, QUOTA_BYTES), bytes);
    ck_assert_uint_eq(quota_used(quota, QUOTA_BLOCKS), blocks);
    ck_assert_uint_eq(quota_used(quota, QUOTA_FDS), fds);
}

START_TEST(test_a_new_quota_is_unused) {
    struct quota quota = quota_of("peer quota", NULL, 3, 2, 1);
    assert_used(&quota, 0, 0, 0);
    ck_assert_str_eq(quota.name, "peer quota");
    ck_assert_ptr_null(quota.parent);
    ck_assert_uint_eq(quota.limit[QUOTA_BYTES], 3);
    ck_assert_uint_eq(quota.limit[QUOTA_BLOCKS], 2);
    ck_assert_uint_eq(quota.limit[QUOTA_FDS], 1);
}
END_TEST

START_TEST(test_charges_add_up_and_are_given_back) {
    struct quota quota = quota_of("budget", NULL, 1000, 100, 10);
    ck_assert_int_eq(charge(&quota, 100, 2, 1), 0);
    ck_assert_int_eq(charge(&quota, 11, 3, 0), 0);
    assert_used(&quota, 111, 5, 1);
    quota_return(&quota, 100, 0, 0);
    assert_used(&quota, 11, 5, 1);
    quota_return(&quota, 11, 5, 1);
    assert_used(&quota, 0, 0, 0);
    ck_assert_int_eq(newest().error, 0);
}
END_TEST

static void assert_amounts(const uint64_t *amounts, uint64_t bytes, uint32_t blocks, uint32_t fds) {
    ck_assert_uint_eq(amounts[QUOTA_BYTES], bytes);
    ck_assert_uint_eq(amounts[QUOTA_BLOCKS], blocks);
    ck_assert_uint_eq(amounts[QUOTA_FDS], fds);
}

/* A charge that was refused, here or by the parent, never counts in a peak. */
START_TEST(test_peaks) {
    struct quota parent = quota_of("user quota", NULL, 1000, 100, 10);
    struct quota quota = quota_of("peer quota", &parent, 2000, 10, 10);
    struct quota_amounts told;
    ck_assert_int_eq(charge(&quota, 300, 2, 1), 0);
    quota_return(&quota, 200, 2, 1);
    ck_assert_int_eq(charge(&quota, 100, 4, 0), 0);
    ck_assert_int_eq(charge(&quota, 901, 1, 0), -EDQUOT);
    ck_assert_int_eq(charge(&quota, 500, 9, 0), -EDQUOT);
    quota_read(&quota, &told);
    assert_amounts(told.used, 200, 4, 0);
    assert_amounts(told.peak, 300, 4, 1);
    assert_amounts(told.limit, 2000, 10, 10);
    quota_read(&parent, &told);
    assert_amounts(told.peak, 300, 4, 1);
    quota_return(&quota, 200, 4, 0);
}
END_TEST

/* For each of the three amounts the whole limit can be charged, and not one more. */
START_TEST(test_the_limit_is_the_last_that_fits) {
    static const char *const limits[] = {"user quota (bytes)", "user quota (blocks)", "user quota (descriptors)"};
    static const char *const units[] = {"bytes", "blocks", "descriptors"};
    struct quota quota = quota_of("user quota", NULL, 70, 70, 70);
    uint32_t amounts[3] = {7, 7, 7};
    ck_assert_int_eq(charge(&quota, 7, 7, 7), 0);
    amounts[_i] = 64;
    ck_assert_int_eq(charge(&quota, amounts[0], amounts[1], amounts[2]), -EDQUOT);
    assert_used(&quota, 7, 7, 7);

    sea_refusal refusal = newest();
    ck_assert_int_eq(refusal.error, -EDQUOT);
    ck_assert_str_eq(refusal.limit, limits[_i]);
    ck_assert_uint_eq(refusal.needed, 64);
    ck_assert_uint_eq(refusal.available, 63);
    ck_assert_ptr_nonnull(strstr(refusal.advice, "user quota"));
    ck_assert_ptr_nonnull(strstr(refusal.advice, units[_i]));
    ck_assert_ptr_nonnull(strstr(refusal.advice, "70"));
    ck_assert_ptr_nonnull(strstr(refusal.advice, "sea_ctx_options"));
    ck_assert_uint_eq(refusals.count, 1);

    amounts[_i] = 63;
    ck_assert_int_eq(charge(&quota, amounts[0], amounts[1], amounts[2]), 0);
    ck_assert_uint_eq(quota_used(&quota, (enum quota_unit) _i), 70);
    ck_assert_uint_eq(refusals.count, 1);
}
END_TEST

START_TEST(test_of_nothing_only_nothing_fits) {
    struct quota quota = quota_of("budget", NULL, 0, 0, 0);
    ck_assert_int_eq(charge(&quota, 0, 0, 0), 0);
    ck_assert_int_eq(charge(&quota, 1, 0, 0), -EDQUOT);
    ck_assert_int_eq(charge(&quota, 0, 1, 0), -EDQUOT);
    ck_assert_int_eq(charge(&quota, 0, 0, 1), -EDQUOT);
    ck_assert_uint_eq(newest().available, 0);
    assert_used(&quota, 0, 0, 0);
}
END_TEST

START_TEST(test_the_largest_numbers_do_not_wrap) {
    struct quota quota = quota_of("budget", NULL, UINT64_MAX, UINT32_MAX, UINT32_MAX);
    ck_assert_int_eq(charge(&quota, UINT64_MAX - 1, UINT32_MAX, 0), 0);
    ck_assert_int_eq(charge(&quota, UINT64_MAX, 0, 0), -EDQUOT);
    ck_assert_uint_eq(newest().needed, UINT64_MAX);
    ck_assert_uint_eq(newest().available, 1);
    ck_assert_int_eq(charge(&quota, 2, 0, 0), -EDQUOT);
    ck_assert_int_eq(charge(&quota, 0, 1, 0), -EDQUOT);
    ck_assert_int_eq(charge(&quota, 1, 0, UINT32_MAX), 0);
    assert_used(&quota, UINT64_MAX, UINT32_MAX, UINT32_MAX);
    quota_return(&quota, UINT64_MAX, UINT32_MAX, UINT32_MAX);
    assert_used(&quota, 0, 0, 0);
}
END_TEST

START_TEST(test_parents_are_charged_too) {
    struct quota machine = quota_of("machine", NULL, 100, 100, 100);
    struct quota user = quota_of("user quota", &machine, 100, 100, 100);
    struct quota peer = quota_of("peer quota", &user, 100, 100, 100);
    ck_assert_int_eq(charge(&peer, 30, 3, 1), 0);
    ck_assert_int_eq(charge(&user, 20, 2, 1), 0);
    assert_used(&peer, 30, 3, 1);
    assert_used(&user, 50, 5, 2);
    assert_used(&machine, 50, 5, 2);
    quota_return(&peer, 30, 3, 1);
    assert_used(&peer, 0, 0, 0);
    assert_used(&user, 20, 2, 1);
    assert_used(&machine, 20, 2, 1);
}
END_TEST

/* The refusal comes from the quota that refused; the quotas below it have no charge. */
START_TEST(test_a_parent_that_refuses) {
    static const char *const limits[] = {"machine (blocks)", "user quota (blocks)", "peer quota (blocks)"};
    struct quota machine = quota_of("machine", NULL, 100, _i == 0 ? 2 : 100, 100);
    struct quota user = quota_of("user quota", &machine, 100, _i == 1 ? 2 : 100, 100);
    struct quota peer = quota_of("peer quota", &user, 100, _i == 2 ? 2 : 100, 100);
    ck_assert_int_eq(charge(&peer, 1, 1, 1), 0);
    ck_assert_int_eq(charge(&peer, 5, 2, 5), -EDQUOT);
    assert_used(&peer, 1, 1, 1);
    assert_used(&user, 1, 1, 1);
    assert_used(&machine, 1, 1, 1);
    ck_assert_str_eq(newest().limit, limits[_i]);
    ck_assert_uint_eq(newest().needed, 2);
    ck_assert_uint_eq(newest().available, 1);
    ck_assert_uint_eq(refusals.count, 1);
}
END_TEST

START_TEST(test_peers_of_one_user_share_its_quota) {
    struct quota user = quota_of("user quota", NULL, 100, 10, 10);
    struct quota greedy = quota_of("peer quota", &user, 80, 10, 10), modest = quota_of("peer quota", &user, 80, 10, 10);
    ck_assert_int_eq(charge(&greedy, 81, 1, 0), -EDQUOT);
    ck_assert_str_eq(newest().limit, "peer quota (bytes)");
    ck_assert_int_eq(charge(&greedy, 80, 1, 0), 0);
    ck_assert_int_eq(charge(&modest, 21, 1, 0), -EDQUOT);
    ck_assert_str_eq(newest().limit, "user quota (bytes)");
    ck_assert_int_eq(charge(&modest, 20, 1, 0), 0);
    quota_return(&greedy, 80, 1, 0);
    ck_assert_int_eq(charge(&modest, 60, 1, 0), 0);
    assert_used(&user, 80, 2, 0);
}
END_TEST

enum { THREADS = 4, TURNS = 2000, SEATS = 2 };

static struct quota arena_user, arena;
static _Atomic int seated;

static void *take_and_give_back(void *unused) {
    (void) unused;
    for (int i = 0; i < TURNS; i++)
        if (charge(&arena, 3, 2, 1) == 0) {
            if (atomic_fetch_add(&seated, 1) + 1 > SEATS)
                return (void *) "too many were let in";
            atomic_fetch_sub(&seated, 1);
            quota_return(&arena, 3, 2, 1);
        }
    return NULL;
}

static void *take_all(void *unused) {
    uintptr_t taken = 0;
    (void) unused;
    while (charge(&arena, 1, 1, 0) == 0)
        taken++;
    return (void *) taken;
}

START_TEST(test_threads_never_exceed_it) {
    pthread_t threads[THREADS];
    void *complaint;
    arena_user = quota_of("user quota", NULL, 3 * SEATS, UINT32_MAX, UINT32_MAX);
    arena = quota_of("peer quota", &arena_user, UINT64_MAX, UINT32_MAX, SEATS + 1);
    seated = 0;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give_back, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &complaint);
        ck_assert_ptr_null(complaint);
    }
    assert_used(&arena, 0, 0, 0);
    assert_used(&arena_user, 0, 0, 0);
}
END_TEST

START_TEST(test_threads_get_exactly_the_limit) {
    pthread_t threads[THREADS];
    uint64_t sum = 0;
    arena_user = quota_of("user quota", NULL, UINT64_MAX, 20011, 0);
    arena = quota_of("peer quota", &arena_user, UINT64_MAX, UINT32_MAX, 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_all, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *taken;
        pthread_join(threads[i], &taken);
        sum += (uintptr_t) taken;
    }
    ck_assert_uint_eq(sum, 20011);
    assert_used(&arena, 20011, 20011, 0);
    ck_assert_uint_eq(refusals.count, THREADS);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("quota");
    suite_fixture(s, make_log, drop_log);
    suite_add(s, test_a_new_quota_is_unused);
    suite_add(s, test_charges_add_up_and_are_given_back);
    suite_add(s, test_peaks);
    suite_add_loop(s, test_the_limit_is_the_last_that_fits, 0, QUOTA_UNITS);
    suite_add(s, test_of_nothing_only_nothing_fits);
    suite_add(s, test_the_largest_numbers_do_not_wrap);
    suite_add(s, test_parents_are_charged_too);
    suite_add_loop(s, test_a_parent_that_refuses, 0, 3);
    suite_add(s, test_peers_of_one_user_share_its_quota);
    suite_add(s, test_threads_never_exceed_it);
    suite_add(s, test_threads_get_exactly_the_limit);
    return suite_run(s);
}
