/* SPDX-License-Identifier: MIT */
/*
 * The harness: Check, with a fixture around every test that counts the resources of the process.
 *
 * The harness counts before and after each test: open descriptors, mappings of memfds, child processes that nothing has
 * waited for, and the figures that suite_count() was told of. Any difference fails the test with a message that names
 * the resources that were left or lost. Threads that close descriptors get a bounded time before the harness judges. A
 * test that ends by exit() instead of returning fails too.
 *
 * Each test runs in a process of its own, with a hang guard, unless CK_FORK=no (for debuggers and valgrind).
 *
 *     START_TEST(test_x) { ck_assert_int_eq(memfd_new(1, false, &fd), 0); ... } END_TEST
 *     int main(void) {
 *         struct suite *s = suite_new("memfd");
 *         suite_add(s, test_x);
 *         return suite_run(s);
 *     }
 *
 * suite_run() prints Check's lines, then one "SKIP name: why" for each skipped test and one "NOTE name: text" for each
 * test_note(), and appends "name passed failed skipped" to the file that SEALANE_TALLY names. A program has one suite;
 * one thread.
 */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

struct suite;

/* Makes a suite. `name` is borrowed for as long as the suite lives. Aborts when memory is short, as all functions
 * here do. */
struct suite *suite_new(const char *name);

/* Adds a test made with START_TEST. The loop form runs it for _i in [from, to), 0 <= from. */
#define suite_add(suite, test) suite_add_test((suite), (test), 0, 1)
#define suite_add_loop(suite, test, from, to) suite_add_test((suite), (test), (from), (to))
void suite_add_test(struct suite *suite, const TTest *test, int from, int to);

/* Sets the hang guard, in seconds, of the tests that are added from now on; 300 at first. It should be ten times as
 * long as the test usually takes, since other programs may want the CPUs too. CK_TIMEOUT_MULTIPLIER applies. */
void suite_guard(struct suite *suite, int seconds);

/* Sets the time, in milliseconds, that threads have for closing before a remaining descriptor counts as a leak; 2000
 * at first. */
void suite_settle(struct suite *suite, int ms);

/* Sets functions that run around each test that is added from now on, inside the counted part; NULL for none.
 * `after` runs also after a skipped test, but not after a failed one. */
void suite_fixture(struct suite *suite, void (*before)(void), void (*after)(void));

/* Adds a figure that every test must leave unchanged: blocks, leases. `what` is borrowed. */
void suite_count(struct suite *suite, const char *what, uint64_t (*count)(void));

/* Runs the tests, prints and tallies the results, and frees the suite. Returns the exit status: 0, 1 when a test
 * failed, 77 when all were skipped. */
int suite_run(struct suite *suite);

/* Ends a test as one that cannot run here, visibly. Call it inside the test, on its own thread and in its own
 * process. */
_Noreturn void test_skip(const char *why, ...) __attribute__((format(printf, 1, 2)));

/* For a test that may pass in several ways: notes the way that it took, in a few words. */
void test_note(const char *text);

/* Scales a wait of a test: milliseconds times CK_TIMEOUT_MULTIPLIER, so that slow tools (valgrind) get their time, and
 * times the threads that want each CPU now, so that a busy machine is no failure. */
int test_timeout_ms(int ms);

/* Like test_timeout_ms(), for a time that the test waits out while other steps must not take so long: at most three
 * seconds. */
int test_short_timeout_ms(int ms);

/* Whether CK_TIMEOUT_MULTIPLIER says that this build, or the tool that runs it, is slow. */
bool test_is_slow_build(void);

#endif
