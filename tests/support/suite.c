/* SPDX-License-Identifier: MIT */
/*
 * The harness. Every test is registered with Check as a loop test of one function, run_counted(); the loop number says
 * which test runs, and which turn of it. So counting, skipping and the check of a test's end are in one place, whether
 * or not Check forks.
 *
 * Data that must survive the test's process lies in `board`, a shared anonymous mapping: one entry for each run, in the
 * order in which Check runs them, which is also the order of its results.
 *
 * Not here: the definition of a leak of this library (suite_count()), and helpers of particular tests.
 */
#include "support/suite.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "support/holdings.h"

/* Against tests that hang. Ten times as long as any test usually takes, so that a test which only has to wait for a CPU
 * on a busy machine does not fail. */
#define GUARD_SECONDS 300
#define TESTS_MAX 256
#define TURNS_MAX 1000000 /* turns of one loop test; a round number, because Check prints test * TURNS_MAX + turn */
#define RUNS_MAX 65536
#define COUNTS_MAX 8
#define SETTLE_MS 2000 /* for closers on other threads */
#define SHORT_MS_MOST 3000
#define SKIP_STATUS 77 /* Automake's */

enum run_state { RUN_BEGUN = 1, RUN_RETURNED, RUN_SKIPPED };

struct run {
    enum run_state state;
    char why[160];
};

/* Invariant: runs[0 .. begun) are in the order of srunner_results(). Pages that are never touched cost nothing. */
struct board {
    int begun;
    struct run runs[RUNS_MAX];
};

struct test {
    const TTest *borrowed;
    TTest trampoline; /* the function that Check runs instead of the test */
    void (*before)(void), (*after)(void);
};

struct suite {
    const char *name;
    Suite *check;
    int guard, settle_ms;
    void (*before)(void), (*after)(void);
    struct test tests[TESTS_MAX];
    int tests_count;
    struct {
        const char *what;
        uint64_t (*count)(void);
        uint64_t before;
    } counts[COUNTS_MAX];
    int counts_count;
    bool forks;
    pid_t runner; /* the process that runs suite_run() */
    struct board *board;
    struct holdings *held; /* inventory before the current test; without CK_FORK it outlives a test that failed */
};

static struct suite *the_suite; /* Check hands no pointer to its tests */
static jmp_buf skip_point;
static struct run *the_run; /* the run of this process */

/* Read by AddressSanitizer, if the program has it: callbacks often get pointers to frames that have ended. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_stack_use_after_return=1";
}

static void require(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "test harness: %s\n", what);
    abort();
}

static double load_factor(void);

struct suite *suite_new(const char *name) {
    require(!the_suite, "one suite per program");
    struct suite *suite = calloc(1, sizeof *suite);
    require(suite, "out of memory");
    load_factor(); /* for sandboxes */
    suite->name = name;
    suite->guard = GUARD_SECONDS;
    suite->settle_ms = SETTLE_MS;
    suite->check = suite_create(name);
    suite->board = mmap(NULL, sizeof *suite->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(suite->board != MAP_FAILED, "no memory for the board");
    the_suite = suite;
    return suite;
}

void suite_guard(struct suite *suite, int seconds) {
    suite->guard = seconds;
}

void suite_settle(struct suite *suite, int ms) {
    suite->settle_ms = ms;
}

void suite_fixture(struct suite *suite, void (*before)(void), void (*after)(void)) {
    suite->before = before;
    suite->after = after;
}

void suite_count(struct suite *suite, const char *what, uint64_t (*count)(void)) {
    require(suite->counts_count < COUNTS_MAX, "too many counts");
    suite->counts[suite->counts_count].what = what;
    suite->counts[suite->counts_count++].count = count;
}

static double multiplier(void) {
    const char *text = getenv("CK_TIMEOUT_MULTIPLIER");
    double value = text ? strtod(text, NULL) : 1;
    return value >= 1 ? value : 1;
}

/*
 * How many threads want each CPU, at least 1: the average of a minute, or the number at this moment if that is more.
 * Time limits are scaled with it, so that they count about as CPU time does. Where the file cannot be read, as in a
 * sandbox, the factor stays what it was.
 */
static double load_factor(void) {
    static _Atomic double known = 1;
    char text[80] = "";
    double average = 0;
    int running = 0, old_errno = errno;
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        errno = old_errno;
        return known;
    }
    bool is_read = read(fd, text, sizeof text - 1) > 0 && sscanf(text, "%lf %*s %*s %d/", &average, &running) == 2;
    close(fd);
    if (!is_read)
        return known;
    double wanted = running > average ? running : average, factor = wanted / (double) sysconf(_SC_NPROCESSORS_ONLN);
    known = factor > 1 ? factor : 1;
    return known;
}

int test_timeout_ms(int ms) {
    double scaled = ms * multiplier() * load_factor();
    return scaled < INT_MAX ? (int) scaled : INT_MAX;
}

int test_short_timeout_ms(int ms) {
    int scaled = test_timeout_ms(ms);
    return scaled < SHORT_MS_MOST ? scaled : SHORT_MS_MOST;
}

bool test_is_slow_build(void) {
    return multiplier() > 1;
}

static void take_inventory(struct suite *suite) {
    holdings_free(suite->held);
    suite->held = holdings_new();
    for (int i = 0; i < suite->counts_count; i++)
        suite->counts[i].before = suite->counts[i].count();
}

/* Writes the differences to `text`; returns whether there are any. */
static bool inventory_differs(struct suite *suite, char *text, size_t size) {
    struct holdings *held = holdings_new();
    bool differs = holdings_differ(suite->held, held, text, size);
    holdings_free(held);
    for (int i = 0; i < suite->counts_count; i++) {
        uint64_t before = suite->counts[i].before, after = suite->counts[i].count();
        if (after == before)
            continue;
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s: %" PRIu64 " before, %" PRIu64 " after", differs ? "; " : "",
                 suite->counts[i].what, before, after);
        differs = true;
    }
    return differs;
}

static void judge(struct suite *suite) {
    char text[2048];
    int patience = test_timeout_ms(suite->settle_ms);
    for (int waited = 0; inventory_differs(suite, text, sizeof text); waited += 5) {
        if (waited >= patience)
            ck_abort_msg("leak: %s", text);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    suite->held = holdings_free(suite->held);
}

/* A failed ck_assert() in a forked child would go on here as a second runner when Check does not fork. */
static void end_impostors(struct suite *suite) {
    if (!suite->forks && getpid() != suite->runner)
        _exit(1);
}

static void run_counted(int number) {
    struct suite *suite = the_suite;
    struct test *test = &suite->tests[number / TURNS_MAX];
    end_impostors(suite);
    require(suite->board->begun < RUNS_MAX, "too many runs");
    the_run = &suite->board->runs[suite->board->begun++];
    the_run->state = RUN_BEGUN;
    take_inventory(suite);
    if (setjmp(skip_point) == 0) {
        if (test->before)
            test->before();
        test->borrowed->fn(number % TURNS_MAX);
    }
    if (test->after)
        test->after();
    if (the_run->state != RUN_SKIPPED)
        the_run->state = RUN_RETURNED;
    judge(suite);
}

void suite_add_test(struct suite *suite, const TTest *test, int from, int to) {
    require(suite->tests_count < TESTS_MAX && from >= 0 && to < TURNS_MAX, "too many tests, or turns of one");
    struct test *own = &suite->tests[suite->tests_count];
    *own = (struct test){.borrowed = test, .trampoline = *test, .before = suite->before, .after = suite->after};
    own->trampoline.fn = run_counted;
    TCase *tcase = tcase_create(test->name);
    tcase_set_timeout(tcase, suite->guard);
    int first = suite->tests_count++ * TURNS_MAX;
    tcase_add_loop_test(tcase, &own->trampoline, first + from, first + to);
    suite_add_tcase(suite->check, tcase);
}

void test_skip(const char *why, ...) {
    va_list args;
    va_start(args, why);
    vsnprintf(the_run->why, sizeof the_run->why, why, args);
    va_end(args);
    the_run->state = RUN_SKIPPED;
    longjmp(skip_point, 1);
}

void test_note(const char *text) {
    snprintf(the_run->why, sizeof the_run->why, "%s", text);
}

struct outcome {
    int passed, failed, skipped;
};

/* Walks through Check's results beside the board's entries; prints the facts that Check does not know. */
static struct outcome tell(struct suite *suite, SRunner *runner) {
    struct outcome outcome = {0};
    int count = srunner_ntests_run(runner);
    TestResult **results = srunner_results(runner);
    for (int i = 0; i < count; i++) {
        const struct run *run = &suite->board->runs[i];
        if (tr_rtype(results[i]) != CK_PASS) {
            outcome.failed++;
        } else if (run->state == RUN_SKIPPED) {
            outcome.skipped++;
            printf("SKIP %s: %s\n", tr_tcname(results[i]), run->why);
        } else if (run->state == RUN_BEGUN) {
            outcome.failed++;
            printf("FAIL %s: ended by exit() instead of returning\n", tr_tcname(results[i]));
        } else {
            outcome.passed++;
            if (run->why[0])
                printf("NOTE %s: %s\n", tr_tcname(results[i]), run->why);
        }
    }
    free(results);
    return outcome;
}

static void append_tally(const struct suite *suite, const struct outcome *outcome) {
    const char *path = getenv("SEALANE_TALLY");
    char line[160];
    if (!path)
        return;
    int size =
        snprintf(line, sizeof line, "%s %d %d %d\n", suite->name, outcome->passed, outcome->failed, outcome->skipped);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, (size_t) size) != size)
        fprintf(stderr, "test harness: cannot write to %s\n", path);
    if (fd >= 0)
        close(fd);
}

int suite_run(struct suite *suite) {
    SRunner *runner = srunner_create(suite->check);
    suite->runner = getpid();
    suite->forks = srunner_fork_status(runner) == CK_FORK;
    srunner_run_all(runner, CK_ENV);
    end_impostors(suite);
    struct outcome outcome = tell(suite, runner);
    append_tally(suite, &outcome);
    srunner_free(runner);
    holdings_free(suite->held);
    munmap(suite->board, sizeof *suite->board);
    free(suite);
    the_suite = NULL;
    fflush(stdout);
    if (outcome.failed > 0)
        return EXIT_FAILURE;
    return outcome.skipped > 0 && outcome.passed == 0 ? SKIP_STATUS : EXIT_SUCCESS;
}
