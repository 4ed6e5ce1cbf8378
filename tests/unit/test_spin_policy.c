/* SPDX-License-Identifier: MIT */
/*
 * lane/spin_policy: spinning ends, never begins where it must not, and adapts. No test asserts a duration: a long wait
 * is simulated by setting the instant at which it began.
 */
#include "lane/spin_policy.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/suite.h"
#include "sys/wait.h"
#include "unit/fail.h"

#define LONG_AGO 1

static cpu_set_t cpus_before;

static void cpus_note(void) {
    ck_assert_int_eq(sched_getaffinity(0, sizeof cpus_before, &cpus_before), 0);
}

static void cpus_restore(void) {
    sched_setaffinity(0, sizeof cpus_before, &cpus_before);
}

/* Binds this process to one CPU; its peer is the process itself. */
static void use_one_cpu(void) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus_before)) {
            CPU_SET(cpu, &one);
            break;
        }
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

static struct spin_policy spin_policy_of(int waiting) {
    struct spin_policy spin;
    if (CPU_COUNT(&cpus_before) < 2)
        test_skip("there is only one CPU to run on");
    spin_policy_init(&spin, waiting, getpid());
    return spin;
}

/* Returns the number of polls before the policy gives up; fails when it never does. */
static unsigned looks(struct spin_policy *spin) {
    uint64_t deadline = wait_deadline(test_timeout_ms(20000));
    unsigned count = 0;
    while (spin_policy_continue(spin)) {
        count++;
        ck_assert(count % 4096 || wait_now() < deadline);
    }
    return count;
}

static void late(struct spin_policy *spin) {
    spin->since = LONG_AGO;
    spin_policy_reward(spin);
}

static void soon(struct spin_policy *spin) {
    spin->since = 0; /* long before the first reading of the clock */
    spin_policy_reward(spin);
}

START_TEST(test_policies_that_sleep_at_once) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_SLEEP);
    for (int i = 0; i < 100; i++) {
        ck_assert(!spin_policy_continue(&spin));
        soon(&spin);
    }
    ck_assert(!spin_policy_never_sleeps(&spin));
}
END_TEST

START_TEST(test_looking_ends) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_ADAPTIVE);
    ck_assert(!spin_policy_never_sleeps(&spin));
    ck_assert_uint_gt(looks(&spin), 0);
    late(&spin);
    ck_assert_uint_gt(looks(&spin), 0);
}
END_TEST

/* When spinning does not pay, the policy polls less and less, in the end less often than one reading of the clock;
 * and it recovers. */
START_TEST(test_it_learns) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_ADAPTIVE);
    for (int i = 0; i < 20; i++)
        late(&spin);
    unsigned few = looks(&spin);
    ck_assert_uint_lt(few, 64);
    spin.since = 0;
    ck_assert_uint_eq(looks(&spin), few); /* without a reading of the clock: the same number each time */
    uint32_t worst = spin.score;
    for (int i = 0; i < 5; i++)
        soon(&spin);
    ck_assert_uint_gt(spin.score, worst);
}
END_TEST

START_TEST(test_adaptation_is_bounded) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_ADAPTIVE);
    for (int i = 0; i < 1000; i++)
        soon(&spin);
    uint32_t most = spin.score;
    soon(&spin);
    ck_assert_uint_eq(spin.score, most);
    looks(&spin);
    for (int i = 0; i < 1000; i++)
        late(&spin);
    ck_assert_uint_eq(spin.score, 0);
    soon(&spin);
    ck_assert_uint_eq(spin.score, 1);
}
END_TEST

/* A frame ends the wait: the next wait begins anew. */
START_TEST(test_a_reward_ends_the_wait) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_ADAPTIVE);
    for (int i = 0; i < 10; i++)
        soon(&spin);
    looks(&spin);
    ck_assert_uint_ne(spin.since, 0);
    spin_policy_reward(&spin);
    ck_assert_uint_eq(spin.since, 0);
    ck_assert(spin_policy_continue(&spin));
}
END_TEST

/* A connection that spins polls without end, but polls the socket now and then. */
START_TEST(test_a_spinner) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_SPIN);
    ck_assert(spin_policy_never_sleeps(&spin));
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_gt(looks(&spin), 0);
        ck_assert(spin_policy_continue(&spin));
        spin_policy_reward(&spin);
    }
    ck_assert(spin_policy_never_sleeps(&spin));
}
END_TEST

/* On one CPU, a process that polls keeps its peer from writing the frame. */
START_TEST(test_never_on_one_cpu) {
    static const int ways[] = {SEA_WAIT_ADAPTIVE, SEA_WAIT_SPIN, SEA_WAIT_SLEEP};
    struct spin_policy spin;
    use_one_cpu();
    spin_policy_init(&spin, ways[_i], getpid());
    for (int i = 0; i < 100; i++) {
        ck_assert(!spin_policy_continue(&spin));
        ck_assert(!spin_policy_never_sleeps(&spin));
        soon(&spin);
    }
}
END_TEST

/* A process can be moved between CPU sets while it runs: the policy notices, in both directions. */
START_TEST(test_cpus_are_counted_again) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_ADAPTIVE);
    uint64_t deadline = wait_deadline(test_timeout_ms(10000));
    for (int turn = 0; turn < 2; turn++) {
        use_one_cpu();
        while (spin_policy_continue(&spin)) {
            ck_assert_uint_lt(wait_now(), deadline);
            soon(&spin);
        }
        cpus_restore();
        while (!spin_policy_continue(&spin)) {
            ck_assert_uint_lt(wait_now(), deadline);
            soon(&spin);
        }
    }
}
END_TEST

/* A spinning connection notices after some rounds of a millisecond, 101 at most, and spins again when it may. */
START_TEST(test_a_spinner_that_is_moved) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_SPIN);
    uint64_t deadline = wait_deadline(test_timeout_ms(10000));
    int rounds = 0;
    use_one_cpu();
    for (; spin_policy_never_sleeps(&spin); rounds++)
        looks(&spin);
    ck_assert_int_le(rounds, 101);
    ck_assert(!spin_policy_continue(&spin));
    cpus_restore();
    while (!spin_policy_never_sleeps(&spin)) {
        ck_assert_uint_lt(wait_now(), deadline);
        soon(&spin);
    }
    ck_assert(spin_policy_continue(&spin));
}
END_TEST

/* An empty round costs no more than polling the socket: the CPUs are counted in few rounds. */
START_TEST(test_it_is_seldom_asked) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_SPIN);
    uint64_t begun = wait_now();
    fail_call(INJECT_SCHED_GET, 0, 0, 0);
    for (int i = 0; i < 110; i++)
        looks(&spin);
    uint64_t counts = (wait_now() - begun) / 100000000 + 1;
    ck_assert_int_gt(fail_calls(INJECT_SCHED_GET), 0);
    ck_assert_uint_le((uint64_t) fail_calls(INJECT_SCHED_GET), 3 * counts);
    fail_off();
}
END_TEST

/* Otherwise the kernel takes the CPU from the thread, or kills it. */
START_TEST(test_a_real_time_spinner_sleeps) {
    struct spin_policy spin = spin_policy_of(SEA_WAIT_SPIN);
    struct rusage before, after;
    if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) < 0)
        test_skip("no right to run at a real-time priority");
    for (int i = 0; i < 101; i++)
        looks(&spin);
    getrusage(RUSAGE_THREAD, &before);
    for (int i = 0; i < 10; i++)
        looks(&spin);
    getrusage(RUSAGE_THREAD, &after);
    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){.sched_priority = 0});
    /* A sleep that ends before the thread has left its CPU is no switch: on a busy machine not all ten are. */
    ck_assert_int_ge(after.ru_nvcsw - before.ru_nvcsw, 5);
    ck_assert(spin_policy_never_sleeps(&spin));
}
END_TEST

/* The peer's pid is not visible in our namespace: then the peer counts as running on another CPU. */
START_TEST(test_a_peer_that_cannot_be_asked) {
    struct spin_policy spin;
    spin_policy_init(&spin, SEA_WAIT_SPIN, 0);
    ck_assert(spin_policy_never_sleeps(&spin));
    ck_assert(spin_policy_continue(&spin));
}
END_TEST

int main(void) {
    struct suite *s = suite_new("spin_policy");
    suite_fixture(s, cpus_note, cpus_restore);
    suite_add(s, test_policies_that_sleep_at_once);
    suite_add(s, test_looking_ends);
    suite_add(s, test_it_learns);
    suite_add(s, test_adaptation_is_bounded);
    suite_add(s, test_a_reward_ends_the_wait);
    suite_add(s, test_a_spinner);
    suite_add_loop(s, test_never_on_one_cpu, 0, 3);
    suite_add(s, test_cpus_are_counted_again);
    suite_add(s, test_a_spinner_that_is_moved);
    suite_add(s, test_it_is_seldom_asked);
    suite_add(s, test_a_real_time_spinner_sleeps);
    suite_add(s, test_a_peer_that_cannot_be_asked);
    return suite_run(s);
}
