/* SPDX-License-Identifier: MIT */
/* tools/calibrate: its conclusions from measurements, and that the library reads the table that it writes. */
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "calibrate/cpus.h"
#include "calibrate/table.h"
#include "calibrate/trial.h"
#include "calibrate/verdict.h"

/* --- verdicts --- */

START_TEST(test_medians) {
    double odd[] = {5, 1, 3}, even[] = {4, 1, 2, 100}, one[] = {7};
    ck_assert_double_eq(verdict_median(odd, 3), 3);
    ck_assert_double_eq(verdict_median(even, 4), 3);
    ck_assert_double_eq(verdict_median(one, 1), 7);
}
END_TEST

START_TEST(test_crossovers) {
    static const struct {
        double costs[5]; /* costs of one way, relative to the other way's */
        size_t usual, first;
    } cases[] = {
        {{0.5, 0.8, 1.2, 2, 3}, 2, 2},   {{0.5, 0.8, 1.2, 2, 3}, 0, 2},
        {{0.5, 0.8, 1.2, 2, 3}, 5, 2},   {{0.5, 0.5, 0.5, 0.5, 0.5}, 2, 5}, /* always */
        {{2, 2, 2, 2, 2}, 2, 0},                                            /* never */
        {{0.5, 1.5, 0.5, 2, 3}, 0, 3},   /* one size that does not fit counts less than two that do */
        {{0.5, 0.98, 1.02, 2, 3}, 3, 3}, /* the difference is not worth a change */
        {{0.5, 0.98, 1.02, 2, 3}, 1, 1}, {{1, 1, 1, 1, 1}, 4, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double ratios[5];
        for (int k = 0; k < 5; k++)
            ratios[k] = log(cases[i].costs[k]);
        size_t first = verdict_crossover(ratios, 5, cases[i].usual);
        ck_assert_msg(first == cases[i].first, "case %zu: %zu", i, first);
    }
}
END_TEST

/* One size with a wrong measurement of any factor, as when a process loses its CPU, must not outvote two sizes. */
START_TEST(test_crossovers_with_an_outlier) {
    ck_assert_uint_eq(verdict_crossover((double[]){-0.5, -0.5, 10, -0.5, -0.5}, 5, 5), 5);
    ck_assert_uint_eq(verdict_crossover((double[]){0.5, 0.5, -10, 0.5, 0.5}, 5, 0), 0);
    ck_assert_uint_eq(verdict_crossover((double[]){-10, -0.5, 0.5, 0.5, 0.5}, 5, 0), 2);
}
END_TEST

START_TEST(test_means) {
    ck_assert_double_eq_tol(verdict_mean((double[]){0.1, 0.3}, 2), 0.2, 1e-9);
    ck_assert_double_eq_tol(verdict_mean((double[]){100, -0.2, -0.2, -0.3}, 4), 0, 1e-9);
    ck_assert_double_eq_tol(verdict_mean((double[]){-100, 0.2, 0.2, 0.3}, 4), 0, 1e-9);
    ck_assert_double_eq(verdict_mean(NULL, 0), 0);
}
END_TEST

START_TEST(test_agreement) {
    ck_assert(verdict_agrees(256, 256));
    ck_assert(verdict_agrees(256, 512));
    ck_assert(verdict_agrees(512, 256));
    ck_assert(verdict_agrees(0, 0));
    ck_assert(verdict_agrees(CALIBRATION_UNLIMITED, CALIBRATION_UNLIMITED));
    ck_assert(!verdict_agrees(256, 768));
    ck_assert(!verdict_agrees(768, 256));
    ck_assert(!verdict_agrees(0, 1));
    ck_assert(!verdict_agrees(1, 0));
    ck_assert(!verdict_agrees(CALIBRATION_UNLIMITED, 16384));
}
END_TEST

START_TEST(test_the_cheapest) {
    ck_assert_uint_eq(verdict_cheapest((double[]){0, 0.5, -0.1, -0.3}, 4), 3);
    ck_assert_uint_eq(verdict_cheapest((double[]){0, -0.3, -0.1, -0.29}, 4), 1);
    ck_assert_uint_eq(verdict_cheapest((double[]){0, -0.02, 0.1}, 3), 0); /* the difference is not worth a change */
    ck_assert_uint_eq(verdict_cheapest((double[]){0}, 1), 0);
}
END_TEST

/* --- tables --- */

START_TEST(test_a_written_table_is_read) {
    const struct calibration table = {100, 200, 300, CALIBRATION_UNLIMITED, 0, 77777};
    struct calibration read = {0};
    struct calibration_flaw flaw;
    char text[1024] = "";
    FILE *file = fmemopen(text, sizeof text - 1, "w");
    ck_assert_ptr_nonnull(file);
    table_write_version(file);
    for (size_t i = 0; i < CALIBRATION_KEYS; i++)
        table_write_key(file, &calibration_keys[i], table_value(&table, &calibration_keys[i]));
    fclose(file);
    ck_assert_int_eq(calibration_parse(&read, text, "any", &flaw), 0);
    ck_assert_mem_eq(&read, &table, sizeof table);
}
END_TEST

/* Trials that were never run, with invented times. */
static struct trial *trials;
static struct calibration built_in;

static void make_trials(void) {
    built_in = calibration_built_in(&(struct caches){.l2 = 1 << 20, .l3 = 32 << 20});
    trials = trials_new(&built_in);
    ck_assert_ptr_nonnull(trials);
}

static void free_trials(void) {
    ck_assert_int_eq(munmap(trials, TRIALS * sizeof *trials), 0);
}

enum { ROUNDS = 4 };

/* Fills the trial of `key`: at work i the first way takes first(i), and all others take other(i), or twice that, in
 * each of four rounds. */
static struct trial *trial_as_if(size_t key, double (*first)(size_t), double (*other)(size_t)) {
    struct trial *trial = trials;
    while (trial->key != &calibration_keys[key])
        trial++;
    ck_assert_uint_lt((size_t) (trial - trials), TRIALS);
    trial->rounds = ROUNDS;
    for (size_t r = 0; r < ROUNDS; r++)
        for (size_t w = 0; w < trial->ways_count; w++)
            for (size_t i = 0; i < trial->works_count; i++)
                trial->times[r][w][i] = (r > 1 ? 2 : 1) * (w ? other(i) : first(i));
    return trial;
}

static double one(size_t i) {
    (void) i;
    return 1;
}

static double two(size_t i) {
    (void) i;
    return 2;
}

static double late(size_t i) {
    return i < 3 ? 0.5 : 2;
}

/* Returns the value that calibrate concludes. The table must contain `words`, or with NULL call the value certain,
 * and must be one that the library accepts. */
static uint64_t concluded_with(const struct trial *trial, const char *words) {
    struct calibration table = built_in, read = built_in;
    struct calibration_flaw flaw;
    char text[4096] = "";
    FILE *file = fmemopen(text, sizeof text - 1, "w");
    ck_assert_ptr_nonnull(file);
    table_write_version(file);
    bool is_certain = trial_conclude(trial, &table, file);
    fclose(file);
    ck_assert_msg(words ? !is_certain && strstr(text, words) : is_certain && !strstr(text, "# as built in:"), "%s",
                  text);
    int r = calibration_parse(&read, text, "any", &flaw);
    ck_assert_msg(r == 0, "%s: %s", flaw.text, text);
    ck_assert_mem_eq(&read, &table, sizeof table);
    return table_value(&table, trial->key);
}

static uint64_t concluded(const struct trial *trial) {
    return concluded_with(trial, NULL);
}

/* In the order of the keys: the conclusion when the first way is always cheaper, when the other way is, and when
 * there is a crossover. */
START_TEST(test_conclusions) {
    static const uint64_t expected[CALIBRATION_KEYS][3] = {
        {3072, 32, 192},
        {3072, 32, 192},
        {131072, 2048, 16384},
        {CALIBRATION_UNLIMITED, 8192, 262144},
        {4 << 20, 1 << 20, 4 << 20},
        {262144, 4096, 32768},
    };
    ck_assert_uint_eq(concluded(trial_as_if((size_t) _i, one, two)), expected[_i][0]);
    ck_assert_uint_eq(concluded(trial_as_if((size_t) _i, two, one)), expected[_i][1]);
    if (calibration_keys[_i].offset != offsetof(struct calibration, reuse_footprint))
        ck_assert_uint_eq(concluded(trial_as_if((size_t) _i, late, one)), expected[_i][2]);
}
END_TEST

static uint64_t built_in_of(const struct trial *trial) {
    return table_value(&built_in, trial->key);
}

/* A round in which another process had the CPUs, a size with only wrong measurements, and a size without any: none
 * changes the conclusion. */
START_TEST(test_conclusions_with_outliers) {
    struct trial *trial = trial_as_if((size_t) _i, two, one);
    uint64_t value = concluded(trial);
    for (size_t i = 0; i < trial->works_count; i++) {
        trial->times[0][0][i] *= 10000;
        trial->times[3][1][i] *= 3;
    }
    ck_assert_uint_eq(concluded(trial), value);
    for (size_t r = 0; r < ROUNDS; r++) {
        trial->times[r][1][2] *= 10000;
        trial->times[r][0][4] = 0;
    }
    ck_assert_uint_eq(concluded(trial), value);
}
END_TEST

START_TEST(test_halves_that_disagree) {
    struct trial *trial = trial_as_if((size_t) _i, two, one);
    for (size_t r = 0; r < ROUNDS; r++)
        for (size_t w = 0; w < trial->ways_count; w++)
            for (size_t i = 0; i < trial->works_count; i++)
                trial->times[r][w][i] = (r % 2 == 0) == (w == 0) ? 1 : 2;
    ck_assert_uint_eq(concluded_with(trial, "one half of the rounds says"), built_in_of(trial));
}
END_TEST

START_TEST(test_missing_measurements) {
    struct trial *trial = trial_as_if((size_t) _i, two, one);
    for (size_t r = 0; r < ROUNDS; r += 2)
        for (size_t i = 0; i < trial->works_count / 2; i++)
            trial->times[r][1][i] = 0;
    ck_assert_uint_eq(concluded_with(trial, "too little of it could be measured"), built_in_of(trial));
    trial->rounds = 0;
    ck_assert_uint_eq(concluded_with(trial, "too little of it could be measured"), built_in_of(trial));
}
END_TEST

/* A context accepts each way's table: the measuring processes write and read it. */
START_TEST(test_the_ways_are_in_bounds) {
    for (size_t t = 0; t < TRIALS; t++)
        for (size_t w = 0; w < trials[t].ways_count; w++)
            for (size_t i = 0; i < CALIBRATION_KEYS; i++) {
                uint64_t value = table_value(&trials[t].ways[w].table, &calibration_keys[i]);
                ck_assert_uint_ge(value, calibration_keys[i].least);
                ck_assert_uint_le(value, calibration_keys[i].most);
            }
}
END_TEST

START_TEST(test_cpus) {
    int cpus[2];
    ck_assert(cpus_parse("0,1", cpus));
    ck_assert_int_eq(cpus[0], 0);
    ck_assert_int_eq(cpus[1], 1);
    ck_assert(cpus_parse("3,3", cpus));
    static const char *const bad[] = {"", "0", "0,", ",1", "0,1,2", "0,1x", "-1,0", "0,-1", "0,99999", "a,b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!cpus_parse(bad[i], cpus), "%s", bad[i]);
    cpus_choose(cpus);
    ck_assert_int_ge(cpus[0], 0);
    ck_assert_int_ge(cpus[1], cpus[0]);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("calibrate");
    suite_add(s, test_medians);
    suite_add(s, test_crossovers);
    suite_add(s, test_crossovers_with_an_outlier);
    suite_add(s, test_means);
    suite_add(s, test_agreement);
    suite_add(s, test_the_cheapest);
    suite_add(s, test_a_written_table_is_read);
    suite_add(s, test_cpus);
    suite_fixture(s, make_trials, free_trials);
    suite_add_loop(s, test_conclusions, 0, CALIBRATION_KEYS);
    suite_add_loop(s, test_conclusions_with_outliers, 0, CALIBRATION_KEYS);
    suite_add_loop(s, test_halves_that_disagree, 0, CALIBRATION_KEYS);
    suite_add_loop(s, test_missing_measurements, 0, CALIBRATION_KEYS);
    suite_add(s, test_the_ways_are_in_bounds);
    return suite_run(s);
}
