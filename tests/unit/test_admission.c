/* SPDX-License-Identifier: MIT */
/* memory/admission: how much is granted, how long one look at the machine serves, and when the low-water callback
 * runs. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>

#include "memory/admission.h"
#include "unit/fail.h"
#include "unit/tree.h"

#define MIB (UINT64_C(1) << 20)
#define NONE UINT64_MAX

static struct refusal_log refusals;
static struct quota budget;
static struct admission admission;
static struct {
    int calls;
    sea_refusal nearly;
    uint64_t release; /* bytes that the callback gives back to the budget */
} told;

static void on_low(const sea_refusal *nearly, void *user) {
    ck_assert_ptr_eq(user, &told);
    ck_assert_int_eq(pthread_mutex_trylock(&admission.lock), 0); /* no lock is held */
    pthread_mutex_unlock(&admission.lock);
    told.calls++;
    told.nearly = *nearly;
    quota_return(&budget, told.release, 0, 0);
    told.release = 0;
}

static void before(void) {
    const struct limits limits = {.bytes = 100 * MIB, .blocks = 1000, .fds = 1000};
    fail_off();
    tree_make();
    memset(&told, 0, sizeof told);
    refusal_init(&refusals);
    quota_init(&budget, "budget", NULL, &limits);
    admission_init(&admission, &refusals, &budget);
    admission.proc = admission.mount = tree_path;
}

static void after(void) {
    fail_off();
    admission_deinit(&admission);
    refusal_deinit(&refusals);
    tree_remove();
}

static void want_to_know(uint64_t mark) {
    admission.low_mark = mark;
    admission.on_low = on_low;
    admission.user = &told;
}

/* --- the decision --- */

static struct admission_numbers numbers(uint64_t available, uint64_t promised, uint64_t limit, uint64_t left) {
    struct admission_numbers n = {.memory = {available == NONE ? NONE : 6400 * MIB, available, promised, false},
                                  .cgroup = {.limit = limit, .left = left, .knob = limit == NONE ? "" : "memory.max"}};
    n.cgroup.kept = limit == NONE ? 0 : limit / 32 < 2 * MIB ? 2 * MIB : limit / 32 > 64 * MIB ? 64 * MIB : limit / 32;
    snprintf(n.cgroup.group, sizeof n.cgroup.group, "%s", limit == NONE ? "" : "/a/b");
    return n;
}

START_TEST(test_the_tightest_limit_decides) {
    static const struct {
        uint64_t available, promised, limit, left;
        uint64_t may;
        const char *name;
    } cases[] = {
        {NONE, NONE, NONE, NONE, NONE, ""},
        {1000 * MIB, NONE, NONE, NONE, 900 * MIB, "MemAvailable"}, /* a 64th of the total is kept free */
        {50 * MIB, NONE, NONE, NONE, 0, "MemAvailable"},
        {1000 * MIB, 7 * MIB, NONE, NONE, 7 * MIB, "CommitLimit (vm.overcommit_memory is 2)"},
        {1000 * MIB, 7000 * MIB, NONE, NONE, 900 * MIB, "MemAvailable"},
        /* a 32nd of the limit is kept free */
        {1000 * MIB, NONE, 320 * MIB, 100 * MIB, 90 * MIB, "cgroup memory.max"},
        {1000 * MIB, NONE, 8 * MIB, 8 * MIB, 6 * MIB, "cgroup memory.max"},         /* but 2 MiB at least */
        {1000 * MIB, NONE, 64000 * MIB, 500 * MIB, 436 * MIB, "cgroup memory.max"}, /* and 64 MiB at most */
        {1000 * MIB, NONE, 8 * MIB, MIB, 0, "cgroup memory.max"},
        {NONE, NONE, 8 * MIB, 0, 0, "cgroup memory.max"},
        {1000 * MIB, 50 * MIB, 320 * MIB, 100 * MIB, 50 * MIB, "CommitLimit (vm.overcommit_memory is 2)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct admission_numbers n = numbers(cases[i].available, cases[i].promised, cases[i].limit, cases[i].left);
        struct admission_verdict verdict;
        admission_judge(&n, cases[i].may, &verdict);
        ck_assert_int_eq(verdict.tightest.error, 0);
        ck_assert_uint_eq(verdict.tightest.available, cases[i].may);
        ck_assert_uint_eq(verdict.tightest.needed, cases[i].may);
        ck_assert_str_eq(verdict.tightest.limit, cases[i].name);
        if (cases[i].may == NONE)
            continue;
        admission_judge(&n, cases[i].may + 1, &verdict);
        ck_assert_int_eq(verdict.tightest.error, -ENOMEM);
        ck_assert_str_ne(verdict.tightest.advice, "");
    }
}
END_TEST

START_TEST(test_the_advice_names_the_group) {
    struct admission_numbers n = numbers(1000 * MIB, NONE, 8 * MIB, MIB);
    struct admission_verdict verdict;
    admission_judge(&n, 1, &verdict);
    ck_assert_str_eq(verdict.tightest.advice, "raise it in /a/b, or release memory there; 2097152 bytes are kept free");
    memset(n.cgroup.group, 'x', sizeof n.cgroup.group - 1);
    n.cgroup.limit = INT64_MAX;
    admission_judge(&n, 1, &verdict);
    ck_assert_ptr_nonnull(strstr(verdict.tightest.advice, "bytes are kept free"));
}
END_TEST

START_TEST(test_an_estimate_from_sysinfo) {
    struct admission_numbers n = numbers(1000 * MIB, NONE, NONE, NONE);
    struct admission_verdict verdict;
    n.memory.is_rough = true;
    admission_judge(&n, 900 * MIB + 1, &verdict);
    ck_assert_int_eq(verdict.tightest.error, -ENOMEM);
    ck_assert_str_eq(verdict.tightest.limit, "free memory (sysinfo)");
    ck_assert_ptr_nonnull(strstr(verdict.tightest.advice, "/proc/meminfo"));
    ck_assert_ptr_nonnull(strstr(verdict.tightest.advice, "bytes are kept free"));
    ck_assert(!verdict.is_blind);
}
END_TEST

START_TEST(test_limits_that_cannot_be_seen) {
    struct admission_numbers n = numbers(NONE, NONE, 8 * MIB, 8 * MIB);
    struct admission_verdict verdict;
    admission_judge(&n, 0, &verdict);
    ck_assert(verdict.is_blind);
    n = numbers(1000 * MIB, NONE, NONE, NONE);
    admission_judge(&n, 0, &verdict);
    ck_assert(!verdict.is_blind);
    n.cgroup.is_unseen = true;
    admission_judge(&n, 0, &verdict);
    ck_assert(verdict.is_blind);
}
END_TEST

/* --- looking --- */

/* Gives the machine `left` bytes beyond the 100 MiB that admission keeps free. */
static void machine_has(uint64_t left) {
    char text[128];
    snprintf(text, sizeof text, "MemTotal: %llu kB\nMemAvailable: %llu kB\n", (unsigned long long) (6400 * MIB / 1024),
             (unsigned long long) ((left + 100 * MIB) / 1024));
    tree_write("meminfo", text);
}

static uint64_t looked_up(void) {
    struct admission_verdict verdict;
    admission_check(&admission, 0, &verdict);
    return verdict.tightest.available;
}

/* Takes a grant and makes its memory at once; a look at the machine before that would still count the memory as
 * available. */
static int admit(uint64_t size) {
    int r = admission_admit(&admission, size);
    if (r == 0)
        admission_made(&admission, size);
    return r;
}

START_TEST(test_granted_and_refused) {
    ck_assert_int_eq(admission_admit(NULL, NONE), 0);
    fail_always(INJECT_SYSINFO, ENOSYS);
    ck_assert_int_eq(admit(NONE), 0); /* no figure can be read, so nothing is forbidden */
    machine_has(80 * MIB);
    looked_up();
    ck_assert_int_eq(admit(80 * MIB), 0);
    ck_assert_int_eq(admit(80 * MIB + 1), -ENOMEM);
    ck_assert_int_eq(admit(NONE), -ENOMEM);
    machine_has(90 * MIB); /* memory became available */
    ck_assert_int_eq(admit(90 * MIB), 0);
    ck_assert_uint_eq(refusals.count, 0);
}
END_TEST

/* One look serves for grants of an eighth of the available memory in total, once. */
START_TEST(test_one_look_serves_for_several) {
    machine_has(80 * MIB);
    ck_assert_uint_eq(looked_up(), 80 * MIB);
    fail_call(INJECT_OPEN, 0, 0, 0);
    admission.looked_at += UINT64_C(3600) * 1000000000; /* fresh for an hour, so that the test measures no time */
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(admit(MIB), 0);
    ck_assert_int_eq(fail_calls(INJECT_OPEN), 0);
    machine_has(0);
    ck_assert_int_eq(admit(MIB), -ENOMEM);
    ck_assert_int_gt(fail_calls(INJECT_OPEN), 0);
}
END_TEST

/* An old look serves for a quarter of the memory that is kept free, but for no more than the eighth. */
START_TEST(test_an_old_look_serves_for_little) {
    machine_has(8000 * MIB);
    looked_up();
    admission.looked_at -= ADMISSION_AGE;
    fail_call(INJECT_OPEN, 0, 0, 0);
    ck_assert_int_eq(admit(20 * MIB), 0);
    ck_assert_int_eq(admit(5 * MIB), 0);
    ck_assert_int_eq(fail_calls(INJECT_OPEN), 0);
    ck_assert_int_eq(admit(1), 0);
    ck_assert_int_gt(fail_calls(INJECT_OPEN), 0);
    machine_has(8 * MIB);
    looked_up();
    admission.looked_at -= ADMISSION_AGE;
    fail_call(INJECT_OPEN, 0, 0, 0);
    ck_assert_int_eq(admit(MIB), 0);
    ck_assert_int_eq(fail_calls(INJECT_OPEN), 0);
    ck_assert_int_eq(admit(1), 0);
    ck_assert_int_gt(fail_calls(INJECT_OPEN), 0);
}
END_TEST

START_TEST(test_after_a_refusal_everything_is_looked_at) {
    machine_has(MIB);
    ck_assert_int_eq(admit(2 * MIB), -ENOMEM);
    fail_call(INJECT_OPEN, 0, 0, 0);
    ck_assert_int_eq(admit(1), 0);
    ck_assert_int_gt(fail_calls(INJECT_OPEN), 0);
}
END_TEST

/* When several callers ask before any of their memory is made, none gets memory that another caller was promised. */
START_TEST(test_promised_memory_is_not_available) {
    machine_has(80 * MIB);
    admission.allowance = admission.stale = 0;
    ck_assert_int_eq(admission_admit(&admission, 50 * MIB), 0);
    ck_assert_uint_eq(looked_up(), 30 * MIB);
    ck_assert_int_eq(admission_admit(&admission, 31 * MIB), -ENOMEM);
    ck_assert_uint_eq(looked_up(), 30 * MIB);
    ck_assert_int_eq(admission_again(&admission, 50 * MIB), 0); /* a caller's own promise counts for it */
    admission_made(&admission, 20 * MIB);
    machine_has(60 * MIB);
    ck_assert_uint_eq(looked_up(), 30 * MIB);
    machine_has(20 * MIB); /* another process took more */
    ck_assert_int_eq(admission_again(&admission, 30 * MIB), -ENOMEM);
    admission_made(&admission, 30 * MIB);
    ck_assert_uint_eq(looked_up(), 20 * MIB);
}
END_TEST

/* --- the low-water mark --- */

START_TEST(test_no_callback_for_low_water) {
    machine_has(0);
    ck_assert_int_eq(admit(1), -ENOMEM);
    admission_watch(&admission, 100 * MIB, 0, 0);
    ck_assert(!admission_tell(&admission));
}
END_TEST

START_TEST(test_the_machine_runs_low) {
    want_to_know(10 * MIB);
    machine_has(100 * MIB);
    ck_assert_int_eq(admit(90 * MIB), 0); /* leaves exactly the mark */
    ck_assert(!admission_tell(&admission));
    ck_assert_int_eq(admit(90 * MIB + 1), 0);
    ck_assert(admission_tell(&admission));
    ck_assert_int_eq(told.calls, 1);
    ck_assert_str_eq(told.nearly.limit, "MemAvailable");
    ck_assert_uint_eq(told.nearly.needed, 90 * MIB + 1);
    ck_assert_uint_eq(told.nearly.available, 100 * MIB);
    ck_assert_int_eq(told.nearly.error, 0);
    ck_assert_str_ne(told.nearly.advice, "");
    ck_assert(!admission_tell(&admission)); /* once */
}
END_TEST

/* The callback runs again only after the available memory was a quarter above the mark. */
START_TEST(test_hysteresis) {
    static const struct {
        uint64_t left;
        int calls;
    } steps[] = {{9, 1}, {5, 1}, {11, 1}, {9, 1}, {12, 1}, {9, 1}, {13, 1}, {9, 2}, {100, 2}, {0, 3}, {0, 3}};
    want_to_know(10 * MIB);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        machine_has(steps[i].left * MIB);
        looked_up();
        admission_tell(&admission);
        ck_assert_int_eq(told.calls, steps[i].calls);
    }
}
END_TEST

/* The mark lies within the amount for which one look serves, so that a grant must look again there. */
START_TEST(test_the_mark_is_not_passed_unseen) {
    want_to_know(10 * MIB);
    machine_has(11 * MIB);
    looked_up();
    ck_assert_int_eq(admit(MIB), 0);
    machine_has(10 * MIB);
    ck_assert_int_eq(admit(1), 0);
    ck_assert(admission_tell(&admission));
}
END_TEST

START_TEST(test_a_refusal_is_told_before) {
    want_to_know(10 * MIB);
    machine_has(100 * MIB);
    ck_assert_int_eq(admit(200 * MIB), -ENOMEM);
    ck_assert(admission_tell(&admission));
    ck_assert_uint_eq(told.nearly.available, 100 * MIB);
}
END_TEST

START_TEST(test_the_budget_runs_low) {
    want_to_know(10 * MIB);
    admission_watch(&admission, 90 * MIB, 0, 0);
    ck_assert(!admission_tell(&admission));
    ck_assert_int_eq(quota_charge(&budget, 90 * MIB, 0, 0, &refusals), 0);
    told.release = 90 * MIB;
    admission_watch(&admission, 1, 0, 0);
    ck_assert(admission_tell(&admission));
    ck_assert_str_eq(told.nearly.limit, "budget (bytes)");
    ck_assert_uint_eq(told.nearly.needed, 1);
    ck_assert_uint_eq(told.nearly.available, 10 * MIB);
    admission_watch(&admission, 80 * MIB, 0, 0); /* the process's share was emptied, and the mark is set again */
    admission_watch(&admission, 91 * MIB, 0, 0);
    ck_assert(admission_tell(&admission));
    ck_assert_int_eq(told.calls, 2);
}
END_TEST

/* For blocks and descriptors the mark is a sixteenth, and at least one. */
START_TEST(test_blocks_and_descriptors_run_low) {
    static const struct {
        uint32_t blocks, fds, limit, mark;
        const char *name;
    } cases[] = {
        {1, 0, 1000, 63, "budget (blocks)"},
        {0, 1, 1000, 63, "budget (descriptors)"},
        {1, 0, 3, 1, "budget (blocks)"},
        {0, 1, 3, 1, "budget (descriptors)"},
    };
    uint32_t blocks = cases[_i].blocks, fds = cases[_i].fds, limit = cases[_i].limit, mark = cases[_i].mark;
    budget.limit[QUOTA_BLOCKS] = budget.limit[QUOTA_FDS] = limit;
    admission_watch(&admission, 0, blocks * limit, fds * limit);
    ck_assert(!admission_tell(&admission)); /* no callback is set */
    want_to_know(10 * MIB);
    ck_assert_int_eq(quota_charge(&budget, 0, blocks * (limit - mark - 1), fds * (limit - mark - 1), &refusals), 0);
    admission_watch(&admission, 0, blocks, fds);
    ck_assert(!admission_tell(&admission));
    admission_watch(&admission, 0, blocks * 2, fds * 2);
    ck_assert(admission_tell(&admission));
    ck_assert_str_eq(told.nearly.limit, cases[_i].name);
    ck_assert_uint_eq(told.nearly.needed, 2);
    ck_assert_uint_eq(told.nearly.available, mark + 1);
    ck_assert_str_ne(told.nearly.advice, "");
    admission_watch(&admission, 0, blocks * limit, fds * limit);
    ck_assert(!admission_tell(&admission)); /* once */
    ck_assert_uint_eq(refusals.count, 0);
}
END_TEST

/* The budget and the machine are reported separately. */
START_TEST(test_budget_and_machine) {
    want_to_know(10 * MIB);
    machine_has(5 * MIB);
    looked_up();
    ck_assert(admission_tell(&admission));
    admission_watch(&admission, 95 * MIB, 0, 0);
    ck_assert(admission_tell(&admission));
    looked_up();
    admission_watch(&admission, 95 * MIB, 0, 0);
    ck_assert(!admission_tell(&admission));
    ck_assert_int_eq(told.calls, 2);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("admission");
    suite_fixture(s, before, after);
    suite_add(s, test_the_tightest_limit_decides);
    suite_add(s, test_the_advice_names_the_group);
    suite_add(s, test_an_estimate_from_sysinfo);
    suite_add(s, test_limits_that_cannot_be_seen);
    suite_add(s, test_granted_and_refused);
    suite_add(s, test_one_look_serves_for_several);
    suite_add(s, test_an_old_look_serves_for_little);
    suite_add(s, test_after_a_refusal_everything_is_looked_at);
    suite_add(s, test_promised_memory_is_not_available);
    suite_add(s, test_no_callback_for_low_water);
    suite_add(s, test_the_machine_runs_low);
    suite_add(s, test_hysteresis);
    suite_add(s, test_the_mark_is_not_passed_unseen);
    suite_add(s, test_a_refusal_is_told_before);
    suite_add(s, test_the_budget_runs_low);
    suite_add_loop(s, test_blocks_and_descriptors_run_low, 0, 4);
    suite_add(s, test_budget_and_machine);
    return suite_run(s);
}
