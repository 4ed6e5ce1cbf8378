/* SPDX-License-Identifier: MIT */
/* rpc/calls: the calls that wait for replies, in the order of their deadlines; slots, and ids that are never used
 * again. */
#include "support/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "rpc/calls.h"
#include "sys/wait.h"
#include "unit/fail.h"

enum { PLENTY = 1000000 };

static struct calls calls;
static int users[4096]; /* their addresses identify the callers */

static void done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) conn;
    (void) status;
    (void) reply;
    (void) user;
}

static void make_table(void) {
    fail_off();
    calls = (struct calls){.in_flight = 0};
}

static void drop_table(void) {
    fail_off();
    calls_deinit(&calls);
}

static uint64_t begin(int user, uint64_t deadline) {
    uint64_t id = 0;
    ck_assert_int_eq(
        calls_begin(&calls, PLENTY, deadline, (struct call_waiter){.done = done, .user = &users[user]}, &id), 0);
    return id;
}

static void assert_first(uint64_t id, uint64_t deadline) {
    uint64_t first = 0, when = 0;
    ck_assert(calls_first(&calls, &first, &when));
    ck_assert_uint_eq(first, id);
    ck_assert_uint_eq(when, deadline);
}

static void assert_none_pending(void) {
    uint64_t first = 17, when = 18;
    ck_assert(!calls_first(&calls, &first, &when));
    ck_assert_uint_eq(first, 17);
    ck_assert_uint_eq(when, 18);
}

static void finish(uint64_t id, int user) {
    struct call_waiter waiter = {0};
    ck_assert_int_eq(calls_finish(&calls, id, &waiter), 0);
    ck_assert(waiter.done == done);
    ck_assert_ptr_eq(waiter.user, &users[user]);
}

START_TEST(test_an_empty_table) {
    struct call_waiter waiter = {.user = &calls};
    assert_none_pending();
    ck_assert_int_eq(calls_finish(&calls, 0, &waiter), -ENOENT);
    ck_assert_int_eq(calls_finish(&calls, 1, &waiter), -ENOENT);
    ck_assert_int_eq(calls_finish(&calls, UINT64_MAX, &waiter), -ENOENT);
    ck_assert_int_eq(calls_abandon(&calls, 1, &waiter), -ENOENT);
    ck_assert_ptr_eq(waiter.user, &calls);
    calls_deinit(&calls);
    calls_deinit(&calls);
}
END_TEST

START_TEST(test_a_call_and_its_reply) {
    struct call_waiter waiter;
    uint64_t id = begin(3, 50);
    ck_assert_uint_eq(calls.in_flight, 1);
    assert_first(id, 50);
    finish(id, 3);
    ck_assert_uint_eq(calls.in_flight, 0);
    assert_none_pending();
    ck_assert_int_eq(calls_finish(&calls, id, &waiter), -ENOENT); /* a second reply */
}
END_TEST

START_TEST(test_a_call_that_was_never_sent) {
    struct call_waiter waiter;
    uint64_t kept = begin(1, 50), id = begin(2, 40);
    calls_undo(&calls, id);
    ck_assert_uint_eq(calls.in_flight, 1);
    assert_first(kept, 50);
    ck_assert_int_eq(calls_finish(&calls, id, &waiter), -ENOENT);
    finish(kept, 1);
}
END_TEST

/* For any order of beginning, calls come up by deadline; calls without one come last, and calls with equal deadlines
 * in the order in which they began. */
START_TEST(test_the_nearest_deadline_is_first) {
    static const uint64_t orders[][6] = {
        {10, 20, 30, 40, 50, 60},
        {60, 50, 40, 30, 20, 10},
        {30, 10, 60, 20, 50, 40},
        {7, 7, 7, 7, 7, 7},
        {WAIT_FOREVER, 5, WAIT_FOREVER, 5, 0, WAIT_FOREVER},
        {0, WAIT_FOREVER, 0, WAIT_FOREVER - 1, 1, 0},
    };
    uint64_t ids[6];
    bool is_gone[6] = {false};
    for (int i = 0; i < 6; i++)
        ids[i] = begin(i, orders[_i][i]);
    for (int n = 0; n < 6; n++) {
        int nearest = -1;
        for (int i = 0; i < 6; i++)
            if (!is_gone[i] && (nearest < 0 || orders[_i][i] < orders[_i][nearest]))
                nearest = i;
        assert_first(ids[nearest], orders[_i][nearest]);
        finish(ids[nearest], nearest);
        is_gone[nearest] = true;
    }
    assert_none_pending();
}
END_TEST

START_TEST(test_any_of_the_list_may_end) {
    uint64_t ids[5];
    for (int i = 0; i < 5; i++)
        ids[i] = begin(i, 10 + (uint64_t) i);
    finish(ids[2], 2); /* from the middle */
    assert_first(ids[0], 10);
    finish(ids[4], 4); /* the last one */
    finish(ids[0], 0); /* the first one */
    assert_first(ids[1], 11);
    uint64_t last = begin(9, 99), between = begin(8, 12);
    finish(ids[1], 1);
    assert_first(between, 12);
    finish(between, 8);
    assert_first(ids[3], 13);
    finish(ids[3], 3);
    assert_first(last, 99);
    finish(last, 9);
    assert_none_pending();
}
END_TEST

/* calls_first_late() finds the first call with a deadline in the past, except a given one. */
START_TEST(test_late_calls) {
    uint64_t second = begin(1, 20), first = begin(2, 10), id = 77;
    ck_assert(!calls_first_late(&calls, 9, 0, &id) && id == 77);
    ck_assert(calls_first_late(&calls, 10, 0, &id) && id == first);
    ck_assert(calls_first_late(&calls, 20, second, &id) && id == first);
    ck_assert(!calls_first_late(&calls, 19, first, &id) && id == first);
    ck_assert(calls_first_late(&calls, 20, first, &id) && id == second);
    calls_undo(&calls, first);
    ck_assert(!calls_first_late(&calls, 20, second, &id));
    calls_undo(&calls, second);
    ck_assert(!calls_first_late(&calls, 20, 0, &id));
}
END_TEST

/* The caller has its error already; the slot is in use until the peer answers. */
START_TEST(test_an_abandoned_call_holds_its_slot) {
    uint64_t id = begin(1, 10), other = begin(2, 20), refused = 77;
    struct call_waiter waiter = {0};
    ck_assert_int_eq(calls_abandon(&calls, id, &waiter), 0);
    ck_assert(waiter.done == done);
    ck_assert_ptr_eq(waiter.user, &users[1]);
    assert_first(other, 20); /* it does not expire any more */
    ck_assert_uint_eq(calls.in_flight, 2);
    ck_assert_int_eq(calls_begin(&calls, 2, 30, waiter, &refused), -EAGAIN);

    ck_assert_int_eq(calls_abandon(&calls, id, &waiter), -ENOENT); /* only once */
    /* the late reply is expected, but goes to no caller */
    ck_assert_int_eq(calls_finish(&calls, id, &waiter), 0);
    ck_assert(waiter.done == NULL);
    ck_assert_uint_eq(calls.in_flight, 1);
    ck_assert_int_eq(calls_finish(&calls, id, &waiter), -ENOENT);
    ck_assert_uint_eq(refused, 77);
    finish(other, 2);
}
END_TEST

START_TEST(test_all_may_be_abandoned) {
    uint64_t ids[20];
    struct call_waiter waiter;
    for (int i = 0; i < 20; i++)
        ids[i] = begin(i, 100 - (uint64_t) i);
    for (int i = 0; i < 20; i++) {
        uint64_t id = 0, deadline = 0;
        ck_assert(calls_first(&calls, &id, &deadline));
        ck_assert_uint_eq(id, ids[19 - i]);
        ck_assert_int_eq(calls_abandon(&calls, id, &waiter), 0);
        ck_assert_ptr_eq(waiter.user, &users[19 - i]);
    }
    assert_none_pending();
    ck_assert_uint_eq(calls.in_flight, 20);
    uint64_t one_more = begin(50, 5);
    assert_first(one_more, 5);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(calls_finish(&calls, ids[i], &waiter), 0);
    ck_assert_uint_eq(calls.in_flight, 1);
    finish(one_more, 50);
}
END_TEST

START_TEST(test_the_limit) {
    uint64_t id = 77, ids[3];
    const struct call_waiter waiter = {.done = done};
    ck_assert_int_eq(calls_begin(&calls, 0, 1, waiter, &id), -EAGAIN);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(calls_begin(&calls, 3, 1, waiter, &ids[i]), 0);
    ck_assert_int_eq(calls_begin(&calls, 3, 1, waiter, &id), -EAGAIN);
    ck_assert_int_eq(calls_begin(&calls, 2, 1, waiter, &id), -EAGAIN);
    ck_assert_uint_eq(id, 77);
    calls_undo(&calls, ids[1]);
    ck_assert_int_eq(calls_begin(&calls, 3, 1, waiter, &id), 0);
    ck_assert_uint_eq(calls.in_flight, 3);
}
END_TEST

START_TEST(test_a_slot_again_is_another_call) {
    enum { AGAIN = 100 };
    struct call_waiter waiter;
    uint64_t ids[AGAIN];
    for (int i = 0; i < AGAIN; i++) {
        ids[i] = begin(i, 1);
        for (int k = 0; k < i; k++) {
            ck_assert_uint_ne(ids[k], ids[i]);
            ck_assert_int_eq(calls_finish(&calls, ids[k], &waiter), -ENOENT);
            ck_assert_int_eq(calls_abandon(&calls, ids[k], &waiter), -ENOENT);
        }
        assert_first(ids[i], 1);
        if (i % 2)
            calls_undo(&calls, ids[i]);
        else
            finish(ids[i], i);
    }
    ck_assert_uint_eq(calls.slots.capacity, 8); /* one slot at a time is in use */
}
END_TEST

/* The slots' memory is given back while there is no call, and old ids still name no later call. */
START_TEST(test_trimmed) {
    struct call_waiter waiter;
    uint64_t ids[20];
    calls_trim(&calls);
    for (int i = 0; i < 20; i++)
        ids[i] = begin(i, 1);
    ck_assert_uint_ne(calls_ready_id(&calls, PLENTY), 0);
    calls_skip_id(&calls);
    for (int i = 1; i < 20; i++)
        finish(ids[i], i);
    calls_trim(&calls);
    ck_assert_uint_eq(calls.slots.capacity, 32);
    finish(ids[0], 0);
    calls_trim(&calls);
    ck_assert_uint_eq(calls.slots.capacity, 0);
    ck_assert_ptr_null(calls.slots.slots);
    ck_assert_uint_eq(calls_next_id(&calls, PLENTY), 0);
    for (int i = 0; i < 20; i++) {
        uint64_t id = begin(i, 1);
        for (int k = 0; k < 20; k++)
            ck_assert_uint_ne(ids[k], id);
        ck_assert_int_eq(calls_finish(&calls, ids[i], &waiter), -ENOENT);
    }
}
END_TEST

/* Ids that a lying peer may answer: near the true id in every part. */
START_TEST(test_ids_that_were_never_given) {
    struct call_waiter waiter = {.user = &calls};
    uint64_t id = begin(0, 1);
    for (int bit = 0; bit < 64; bit++) {
        ck_assert_int_eq(calls_finish(&calls, id ^ UINT64_C(1) << bit, &waiter), -ENOENT);
        ck_assert_int_eq(calls_abandon(&calls, id ^ UINT64_C(1) << bit, &waiter), -ENOENT);
    }
    for (uint64_t at = 0; at < 70; at++)
        if (at != (uint32_t) id)
            ck_assert_int_eq(calls_finish(&calls, at, &waiter), -ENOENT);
    ck_assert_int_eq(calls_finish(&calls, id << 32, &waiter), -ENOENT);
    ck_assert_ptr_eq(waiter.user, &calls);
    finish(id, 0);
}
END_TEST

START_TEST(test_the_table_grows_and_keeps) {
    enum { MANY = 1000 };
    uint64_t ids[MANY];
    for (int i = 0; i < MANY; i++) {
        ids[i] = begin(i, (uint64_t) (i * 7919 % MANY)); /* each deadline once, in a mixed order */
        for (int k = 0; k < i; k += 97)
            ck_assert_uint_ne(ids[k], ids[i]);
    }
    ck_assert_uint_eq(calls.in_flight, MANY);
    for (uint64_t expected = 0; expected < MANY; expected++) {
        uint64_t id = 0, deadline = 0;
        struct call_waiter waiter = {0};
        ck_assert(calls_first(&calls, &id, &deadline));
        ck_assert_uint_eq(deadline, expected);
        ck_assert_int_eq(calls_finish(&calls, id, &waiter), 0);
        ptrdiff_t user = (int *) waiter.user - users;
        ck_assert_uint_eq(ids[user], id);
        ck_assert_int_eq(user * 7919 % MANY, (int) expected);
    }
    ck_assert_uint_eq(calls.in_flight, 0);
}
END_TEST

START_TEST(test_no_memory_to_grow) {
    uint64_t id = 77, ids[100];
    const struct call_waiter waiter = {.done = done};
    int n = 0;
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(calls_begin(&calls, PLENTY, 1, waiter, &id), -ENOMEM);
    ck_assert_uint_eq(id, 77);
    ck_assert_uint_eq(calls.in_flight, 0);
    assert_none_pending();

    fail_call(INJECT_ALLOC, 3, FAIL_ALWAYS, ENOMEM);
    while (calls_begin(&calls, PLENTY, (uint64_t) n, waiter, &id) == 0)
        ids[n++] = id;
    ck_assert_int_eq(n, (int) calls.slots.capacity);
    ck_assert_int_gt(n, 8);
    assert_first(ids[0], 0); /* all earlier calls are still there */
    for (int i = 0; i < n; i++) {
        struct call_waiter ended;
        ck_assert_int_eq(calls_finish(&calls, ids[i], &ended), 0);
    }
    ck_assert_int_eq(calls_begin(&calls, PLENTY, 1, waiter, &id), 0);
}
END_TEST

/* A thousand random steps, compared with a plain list. */
START_TEST(test_against_a_plain_list) {
    enum { FREE, PENDING, ABANDONED, CALLS = 64 };
    struct {
        int state;
        uint64_t id, deadline;
        unsigned born;
    } list[CALLS] = {{FREE, 0, 0, 0}};
    unsigned seed = (unsigned) _i, in_flight = 0;
    for (unsigned step = 1; step < 1000; step++) {
        int i = rand_r(&seed) % CALLS;
        struct call_waiter waiter;
        if (list[i].state == FREE) {
            list[i].deadline = (uint64_t) (rand_r(&seed) % 8);
            list[i].id = begin(i, list[i].deadline);
            list[i].born = step;
            list[i].state = PENDING;
            in_flight++;
        } else if (list[i].state == PENDING && rand_r(&seed) % 2) {
            ck_assert_int_eq(calls_abandon(&calls, list[i].id, &waiter), 0);
            ck_assert_ptr_eq(waiter.user, &users[i]);
            list[i].state = ABANDONED;
        } else {
            ck_assert_int_eq(calls_finish(&calls, list[i].id, &waiter), 0);
            ck_assert(waiter.done == (list[i].state == PENDING ? done : NULL));
            list[i].state = FREE;
            in_flight--;
        }
        int first = -1;
        for (int k = 0; k < CALLS; k++)
            if (list[k].state == PENDING &&
                (first < 0 || list[k].deadline < list[first].deadline ||
                 (list[k].deadline == list[first].deadline && list[k].born < list[first].born)))
                first = k;
        ck_assert_uint_eq(calls.in_flight, in_flight);
        if (first < 0)
            assert_none_pending();
        else
            assert_first(list[first].id, list[first].deadline);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("calls");
    suite_fixture(s, make_table, drop_table);
    suite_add(s, test_an_empty_table);
    suite_add(s, test_a_call_and_its_reply);
    suite_add(s, test_a_call_that_was_never_sent);
    suite_add_loop(s, test_the_nearest_deadline_is_first, 0, 6);
    suite_add(s, test_any_of_the_list_may_end);
    suite_add(s, test_late_calls);
    suite_add(s, test_an_abandoned_call_holds_its_slot);
    suite_add(s, test_all_may_be_abandoned);
    suite_add(s, test_the_limit);
    suite_add(s, test_a_slot_again_is_another_call);
    suite_add(s, test_trimmed);
    suite_add(s, test_ids_that_were_never_given);
    suite_add(s, test_the_table_grows_and_keeps);
    suite_add(s, test_no_memory_to_grow);
    suite_add_loop(s, test_against_a_plain_list, 0, 8);
    return suite_run(s);
}
