/* SPDX-License-Identifier: MIT */
/*
 * The harness: Check, with a fixture around every test that counts what the process holds.
 *
 * Before a test and after it, these are counted, and any difference fails the test with a message that
 * names what was left (or lost): open descriptors, mappings of memfds, child processes that nobody
 * waited for, and whatever suite_count() was told of. Closers that work on threads of their own get a
 * bounded time before they are judged. A test that ends by exit() instead of returning fails too.
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
 * suite_run() prints Check's lines, then one "SKIP name: why" per skipped test and one "NOTE name: text" for each
 * test_note(), and appends "name passed failed skipped" to the file that SEALANE_TALLY names. One suite per program;
 * one thread.
 */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stdint.h>

struct suite;

/* `name` is borrowed for as long as the suite lives. Aborts when memory is short, as all of this does. */
struct suite *suite_new(const char *name);

/* Adds a test made with START_TEST; the loop form runs it for _i in [from, to), 0 <= from. */
#define suite_add(suite, test) suite_add_test((suite), (test), 0, 1)
#define suite_add_loop(suite, test, from, to) suite_add_test((suite), (test), (from), (to))
void suite_add_test(struct suite *suite, const TTest *test, int from, int to);

/* The hang guard, in seconds, of the tests that are added from now on; 30 at first. CK_TIMEOUT_MULTIPLIER applies. */
void suite_guard(struct suite *suite, int seconds);

/* How long closers on other threads may take, in milliseconds, before what is left is a leak; 2000 at first. */
void suite_settle(struct suite *suite, int ms);

/* Called around each test that is added from now on, inside what is counted; NULL for none. `after` is not called when
 * the test failed, and is when it was skipped. */
void suite_fixture(struct suite *suite, void (*before)(void), void (*after)(void));

/* A further figure that every test must leave as it found it: blocks, leases. `what` is borrowed. */
void suite_count(struct suite *suite, const char *what, uint64_t (*count)(void));

/* Runs, prints, tallies, frees. Returns the exit status: 0, 1 when something failed, 77 when all was skipped. */
int suite_run(struct suite *suite);

/* Inside a test, on its own thread and in its own process: ends it, visibly, as one that cannot run here. */
_Noreturn void test_skip(const char *why, ...) __attribute__((format(printf, 1, 2)));

/* Inside a test that may pass in more than one way: the way that it was, in some words. */
void test_note(const char *text);

/* For waits in tests: milliseconds times CK_TIMEOUT_MULTIPLIER, so that slow tools (valgrind) get their time. */
int test_spin_policy(int ms);

#endif
