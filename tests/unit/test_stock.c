/* SPDX-License-Identifier: MIT */
/* memory/stock: sealed memory that is made ahead, and given back where it is not used. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory/stock.h"
#include "sys/map.h"
#include "unit/fail.h"
#include "unit/valgrind.h"
#include <sealane/ctx.h>

#define KIB ((size_t) 1 << 10)
#define MIB ((size_t) 1 << 20)
#define BUDGET (256 * MIB)

static struct refusal_log refusals;
static struct admission admission;
static struct quota budget;
static struct stock stock;

static void before(void) {
    const struct limits limits = {.bytes = BUDGET, .blocks = 100, .fds = 100};
    fail_off();
    refusal_init(&refusals);
    quota_init(&budget, "budget", NULL, &limits);
    admission_init(&admission, &refusals, &budget);
    stock_init(&stock, &budget, &admission);
}

static void after(void) {
    fail_off();
    stock_deinit(&stock);
    ck_assert_uint_eq(quota_used(&budget, QUOTA_BYTES), 0);
    ck_assert_uint_eq(quota_used(&budget, QUOTA_BLOCKS), 0);
    ck_assert_uint_eq(quota_used(&budget, QUOTA_FDS), 0);
    admission_deinit(&admission);
    refusal_deinit(&refusals);
}

static struct stock_form form_of(size_t size) {
    return (struct stock_form){.size = size};
}

/* Ends memory that came from the stock, with its charge. */
static void end_sealed(struct sealed *sealed) {
    quota_return(&budget, sealed_file_size(sealed->size, sealed->layout), 1, 1);
    sealed_deinit(sealed);
}

/* Asks for a block of the form, and ends it. Returns whether it was ready. */
static bool ask(const struct stock_form *form) {
    struct sealed sealed = SEALED_EMPTY;
    bool was_ready = stock_take(&stock, form, &sealed);
    ck_assert_int_eq(sealed.fd >= 0, was_ready);
    if (was_ready)
        end_sealed(&sealed);
    return was_ready;
}

/* Returns how often the function had to ask until the stock wanted a block; 1000: the stock never does. */
static int ask_until_wanted(const struct stock_form *form) {
    int count = 0;
    while (count < 1000 && !stock_is_wanted(&stock)) {
        ck_assert(!ask(form));
        count++;
    }
    return count;
}

static void assert_charged(uint64_t bytes) {
    ck_assert_uint_eq(quota_used(&budget, QUOTA_BYTES), bytes);
    ck_assert_uint_eq(quota_used(&budget, QUOTA_BLOCKS), bytes ? 1 : 0);
    ck_assert_uint_eq(quota_used(&budget, QUOTA_FDS), bytes ? 1 : 0);
    ck_assert_int_eq(stock_deadline(&stock) != WAIT_FOREVER, bytes != 0);
}

START_TEST(test_equal_blocks_in_a_row) {
    struct stock_form form = form_of(300 * KIB);
    struct sealed sealed = SEALED_EMPTY;
    struct stat status;
    stock_make(&stock); /* nothing is wanted */
    assert_charged(0);
    ck_assert_int_eq(ask_until_wanted(&form), STOCK_NEEDED);
    stock_make(&stock);
    ck_assert(!stock_is_wanted(&stock));
    assert_charged(300 * KIB);
    stock_make(&stock);
    assert_charged(300 * KIB);

    ck_assert(stock_take(&stock, &form, &sealed));
    ck_assert_uint_eq(quota_used(&budget, QUOTA_BYTES), 300 * KIB); /* the caller's */
    ck_assert_uint_eq(stock_deadline(&stock), WAIT_FOREVER);
    ck_assert(stock_is_wanted(&stock));
    ck_assert_uint_eq(sealed.size, 300 * KIB);
    ck_assert(!sealed.is_frozen);
    ck_assert_int_eq(fstat(sealed.fd, &status), 0);
    ck_assert_int_eq(status.st_size, 300 * KIB);
    ck_assert_uint_ge((uint64_t) status.st_blocks * 512, 300 * KIB); /* reserved */
    char *data = sealed_map(&sealed);
    ck_assert_ptr_nonnull(data);
    ck_assert(data[0] == 0 && memcmp(data, data + 1, 300 * KIB - 1) == 0);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    end_sealed(&sealed);
    assert_charged(0);
}
END_TEST

/* Another thread may have asked for another form since it was wanted, or time may have passed. */
START_TEST(test_a_wish_is_not_stale) {
    struct stock_form form = form_of(4096);
    ask_until_wanted(&form);
    if (_i == 0)
        stock.last.size = STOCK_HUGE_MAX + 1;
    else if (_i == 1)
        stock.last_at -= STOCK_INTERVAL;
    else
        stock.streak = 1;
    stock_make(&stock);
    assert_charged(0);
    ck_assert(!stock_is_wanted(&stock));
    ck_assert_uint_eq(stock.needed, STOCK_NEEDED); /* nothing was made for nothing */
}
END_TEST

static unsigned made;

/* Asks for another block, and makes it, while the first one is being made. */
static int make_meanwhile(enum inject_kind kind) {
    struct stock_form form = form_of(4096);
    if (kind != INJECT_MEMFD_CREATE || made++ > 0)
        return 0;
    ck_assert(!ask(&form));
    ck_assert(stock_is_wanted(&stock));
    stock_make(&stock);
    return 0;
}

START_TEST(test_one_is_made_at_a_time) {
    struct stock_form form = form_of(4096);
    made = 0;
    ask_until_wanted(&form);
    inject_set_hook(make_meanwhile);
    stock_make(&stock);
    ck_assert_uint_eq(made, 1);
    assert_charged(4096);
    atomic_store(&stock.is_wanted, true);
    stock_make(&stock); /* there is one */
    fail_off();
    ck_assert_uint_eq(made, 1);
    assert_charged(4096);
    ck_assert_uint_eq(stock.needed, STOCK_NEEDED);
}
END_TEST

START_TEST(test_blocks_that_differ) {
    struct stock_form one = form_of(300 * KIB), other = form_of(300 * KIB - 1);
    for (int i = 0; i < 20; i++) {
        ck_assert(!ask(&one));
        ck_assert(!ask(&other));
        ck_assert(!stock_is_wanted(&stock));
    }
    other = (struct stock_form){.size = 300 * KIB, .allow_huge = true};
    for (int i = 0; i < 20; i++) {
        ck_assert(!ask(&one));
        ck_assert(!ask(&other));
        ck_assert(!stock_is_wanted(&stock));
    }
}
END_TEST

/* Blocks with pauses are no sequence. */
START_TEST(test_blocks_now_and_then) {
    struct stock_form form = form_of(4096);
    for (int i = 0; i < 3 * STOCK_NEEDED; i++) {
        stock.last_at -= STOCK_INTERVAL; /* so much later */
        ck_assert(!ask(&form));
        ck_assert(!stock_is_wanted(&stock));
    }
}
END_TEST

/* A block that is not used is not made again so soon; a block that is used is. */
START_TEST(test_waste) {
    struct stock_form form = form_of(4096), other = form_of(100);
    for (int needed = STOCK_NEEDED; needed < 100; needed *= 2) {
        ck_assert_int_eq(ask_until_wanted(&form), needed);
        stock_make(&stock);
        assert_charged(4096);
        if (_i) {
            atomic_fetch_sub(&stock.made_at, STOCK_KEEP);
            stock_expire(&stock);
        } else {
            ck_assert(!ask(&other));
        }
        assert_charged(0);
        ck_assert(!stock_drop(&stock));
        if (_i)
            ck_assert(!ask(&other));
    }
    ask_until_wanted(&form);
    stock_make(&stock);
    ck_assert(ask(&form));
    ck_assert(!ask(&other));
    ck_assert_int_eq(ask_until_wanted(&form), STOCK_NEEDED);
}
END_TEST

/* What others need was no wrong guess. */
START_TEST(test_a_drop_is_no_waste) {
    struct stock_form form = form_of(4096);
    ask_until_wanted(&form);
    for (int i = 0; i < 20; i++) {
        stock_make(&stock);
        assert_charged(4096);
        ck_assert(stock_drop(&stock));
        assert_charged(0);
        ck_assert(!ask(&form));
        ck_assert(stock_is_wanted(&stock));
    }
}
END_TEST

START_TEST(test_it_expires) {
    struct stock_form form = form_of(4096);
    ask_until_wanted(&form);
    stock_make(&stock);
    stock_expire(&stock);
    assert_charged(4096);
    uint64_t now = wait_now(), deadline = stock_deadline(&stock);
    ck_assert_uint_gt(deadline, now);
    ck_assert_uint_le(deadline, now + STOCK_KEEP);
    atomic_fetch_sub(&stock.made_at, STOCK_KEEP);
    stock_expire(&stock);
    assert_charged(0);
}
END_TEST

START_TEST(test_forms_that_are_not_made_ahead) {
    const struct stock_form forms[] = {{.size = 0},
                                       {.size = STOCK_BASE_MAX + 1},
                                       {.size = STOCK_HUGE_MAX + 1, .allow_huge = true},
                                       {.size = MIB, .layout = SEALED_HUGETLB},
                                       {.size = SIZE_MAX / 4}};
    ck_assert_int_eq(ask_until_wanted(&forms[_i]), 1000);
}
END_TEST

START_TEST(test_the_last_size_that_is_made_ahead) {
    const struct stock_form form = {.size = STOCK_BASE_MAX};
    ck_assert_int_eq(ask_until_wanted(&form), STOCK_NEEDED);
}
END_TEST

START_TEST(test_locked_memory_is_not_made_ahead) {
    struct stock_form form = form_of(4096);
    admission.wishes.flags = SEA_MEMORY_LOCK;
    ck_assert_int_eq(ask_until_wanted(&form), 1000);
    admission.wishes.flags = 0;
}
END_TEST

/* A small budget is the program's own. */
START_TEST(test_a_small_part_of_the_budget) {
    struct stock_form form = form_of(MIB);
    budget.limit[QUOTA_BYTES] = STOCK_SHARE * MIB - 1;
    ck_assert_int_eq(ask_until_wanted(&form), 1000);
    budget.limit[QUOTA_BYTES] = STOCK_SHARE * MIB;
    ck_assert(!ask(&form));
    ck_assert(stock_is_wanted(&stock));
}
END_TEST

/* No failure is told to anybody, and none leaves anything. */
START_TEST(test_memory_that_cannot_be_made) {
    static const struct {
        enum inject_kind kind;
        int error;
    } cases[] = {{INJECT_MEMFD_CREATE, EMFILE}, {INJECT_FTRUNCATE, ENOMEM}, {INJECT_FALLOCATE, ENOMEM}};
    struct stock_form form = form_of(100 * KIB);
    ask_until_wanted(&form);
    fail_always(cases[_i].kind, cases[_i].error);
    stock_make(&stock);
    fail_off();
    assert_charged(0);
    ck_assert(!stock_is_wanted(&stock));
    sea_refusal newest;
    refusal_read(&refusals, &newest);
    ck_assert_int_eq(newest.error, 0);
    ck_assert_int_eq(ask_until_wanted(&form), 2 * STOCK_NEEDED);
}
END_TEST

START_TEST(test_a_full_budget) {
    struct stock_form form = form_of(100 * KIB);
    ck_assert_int_eq(quota_charge(&budget, BUDGET - 10, 1, 1, &refusals), 0);
    ask_until_wanted(&form);
    stock_make(&stock);
    ck_assert_uint_eq(quota_used(&budget, QUOTA_BYTES), BUDGET - 10);
    ck_assert(!stock_is_wanted(&stock));
    quota_return(&budget, BUDGET - 10, 1, 1);
    sea_refusal newest;
    refusal_read(&refusals, &newest);
    ck_assert_int_eq(newest.error, 0);
}
END_TEST

static void *take_and_make(void *unused) {
    (void) unused;
    int turns = is_under_valgrind() ? 20 : 300;
    for (int i = 0; i < turns; i++) {
        struct stock_form form = form_of(i / 50 % 2 ? 8 * KIB : 4 * KIB);
        struct sealed sealed = SEALED_EMPTY;
        if (stock_take(&stock, &form, &sealed)) {
            *(char *) sealed_map(&sealed) = 1;
            end_sealed(&sealed);
        }
        stock_make(&stock);
        if (i % 32 == 0)
            stock_drop(&stock);
    }
    return NULL;
}

START_TEST(test_several_threads) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_make, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("stock");
    suite_fixture(s, before, after);
    suite_add(s, test_equal_blocks_in_a_row);
    suite_add_loop(s, test_a_wish_is_not_stale, 0, 3);
    suite_add(s, test_one_is_made_at_a_time);
    suite_add(s, test_blocks_that_differ);
    suite_add(s, test_blocks_now_and_then);
    suite_add_loop(s, test_waste, 0, 2);
    suite_add(s, test_a_drop_is_no_waste);
    suite_add(s, test_it_expires);
    suite_add_loop(s, test_forms_that_are_not_made_ahead, 0, 5);
    suite_add(s, test_the_last_size_that_is_made_ahead);
    suite_add(s, test_locked_memory_is_not_made_ahead);
    suite_add(s, test_a_small_part_of_the_budget);
    suite_add_loop(s, test_memory_that_cannot_be_made, 0, 3);
    suite_add(s, test_a_full_budget);
    suite_add(s, test_several_threads);
    return suite_run(s);
}
