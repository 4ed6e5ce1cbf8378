/* SPDX-License-Identifier: MIT */
/* memory/fair_share: how much one connection gets, how much any number of hoarders leave, and how much a newcomer
 * finds. */
#include "support/suite.h"

#include <stdint.h>

#include "memory/fair_share.h"

static const uint64_t BUDGET = UINT64_C(1) << 30;

/* Takes all bytes that the share allows. */
static uint64_t take(struct fair_share *share) {
    uint64_t size = fair_share_room(share);
    share->left -= size;
    share->user += size;
    share->peer += size;
    return size;
}

static struct fair_share share_of(uint64_t left, uint64_t user, uint64_t peer) {
    return (struct fair_share){.budget = BUDGET, .left = left, .user = user, .peer = peer};
}

START_TEST(test_one_alone) {
    struct fair_share share = share_of(BUDGET, 0, 0);
    uint64_t size = take(&share);
    ck_assert_uint_gt(size, BUDGET * 30 / 100);
    ck_assert_uint_lt(size, BUDGET / 3);
    ck_assert_uint_eq(fair_share_room(&share), 0);
    ck_assert(!fair_share_allows(&share, 1));
}
END_TEST

/* The room equals the largest amount that is allowed, at every level. */
START_TEST(test_the_room_is_the_allowed_amount) {
    for (uint64_t left = 0; left <= BUDGET; left += BUDGET / 8)
        for (uint64_t peer = 0; peer <= BUDGET - left; peer += BUDGET / 8) {
            const struct fair_share share = share_of(left, BUDGET - left, peer);
            uint64_t room = fair_share_room(&share);
            ck_assert_uint_le(room, left);
            ck_assert(room == 0 || fair_share_allows(&share, room));
            ck_assert(!fair_share_allows(&share, room + 1));
        }
}
END_TEST

/* Hoarders come one after another and give nothing back; all of one user, or each of a user of its own. */
START_TEST(test_a_newcomer_finds_room) {
    uint64_t left = BUDGET, user = 0, last = BUDGET;
    for (uint64_t n = 1; n <= 1000; n++) {
        struct fair_share share = share_of(left, user, 0);
        uint64_t size = take(&share);
        ck_assert_uint_lt(size, last);
        ck_assert_uint_gt(size, BUDGET / 50 / (n * n));
        left -= size;
        user += _i == 0 ? size : 0;
        last = size;
    }
    ck_assert_uint_gt(left, BUDGET / 2000);
}
END_TEST

/* Hoarders take a page at a time by turns: together they get more than a third of the budget, and a newcomer then
 * finds more than half of what each of them has. */
START_TEST(test_hoarders_share) {
    enum { MOST = 100 };
    const int counts[] = {2, 10, MOST};
    uint64_t left = BUDGET, peers[MOST] = {0};
    int count = counts[_i];
    for (bool is_done = false; !is_done;) {
        is_done = true;
        for (int i = 0; i < count; i++) {
            const struct fair_share share = share_of(left, BUDGET - left, peers[i]);
            if (!fair_share_allows(&share, 4096))
                continue;
            peers[i] += 4096;
            left -= 4096;
            is_done = false;
        }
    }
    for (int i = 1; i < count; i++)
        ck_assert_uint_le(peers[0] - peers[i], 4096);
    ck_assert_uint_gt(BUDGET - left, BUDGET / 3);
    const struct fair_share again = share_of(left, BUDGET - left, 0), stranger = share_of(left, 0, 0);
    ck_assert_uint_gt(fair_share_room(&again), peers[0] / 2);
    ck_assert_uint_gt(fair_share_room(&stranger), fair_share_room(&again));
}
END_TEST

/* A user with a hundred connections leaves more to another user's first connection than to one more of its own. */
START_TEST(test_users_share) {
    uint64_t left = BUDGET, last = BUDGET;
    for (int user = 0; user < 5; user++) {
        uint64_t held = 0, first = 0;
        for (int i = 0; i < 100; i++) {
            struct fair_share share = share_of(left, held, 0);
            uint64_t size = take(&share);
            first = i == 0 ? size : first;
            left -= size;
            held += size;
        }
        ck_assert_uint_gt(first, BUDGET / 5000);
        ck_assert_uint_lt(held, last);
        last = held;
    }
}
END_TEST

/* Sizes beyond the budget do not get around the limit. */
START_TEST(test_the_ends) {
    const struct fair_share full = share_of(0, BUDGET, 0), all = share_of(BUDGET, 0, 0);
    const struct fair_share endless = {.budget = UINT64_MAX, .left = UINT64_MAX};
    ck_assert_uint_eq(fair_share_room(&full), 0);
    ck_assert(!fair_share_allows(&full, 1));
    ck_assert(!fair_share_allows(&all, BUDGET));
    ck_assert(!fair_share_allows(&all, BUDGET + 1));
    ck_assert(!fair_share_allows(&all, UINT64_MAX));
    ck_assert(fair_share_allows(&endless, UINT64_C(1) << 60));
    ck_assert(!fair_share_allows(&endless, UINT64_C(1) << 63));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("fair_share");
    suite_add(s, test_one_alone);
    suite_add(s, test_the_room_is_the_allowed_amount);
    suite_add_loop(s, test_a_newcomer_finds_room, 0, 2);
    suite_add_loop(s, test_hoarders_share, 0, 3);
    suite_add(s, test_users_share);
    suite_add(s, test_the_ends);
    return suite_run(s);
}
