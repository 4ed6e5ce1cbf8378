/* SPDX-License-Identifier: MIT */
/*
 * lane/distance: from samples to states, and from states to the footprint of reuse. The test makes the samples itself;
 * it waits for nothing, and reads no clock.
 */
#include "lane/distance.h"

#include "support/random.h"
#include "support/suite.h"

#define MIB (UINT64_C(1) << 20)

static struct distance distance;

static void before(void) {
    distance = (struct distance){.until = 0};
}

/* Returns how often the state changed. */
static unsigned note(uint64_t ns, unsigned count) {
    unsigned changes = 0;
    while (count--)
        changes += distance_note(&distance, ns);
    return changes;
}

static unsigned note_wide(uint64_t ns) {
    return note(ns, DISTANCE_SAMPLES);
}

START_TEST(test_states) {
    static const struct {
        uint64_t ns;
        enum distance_state state;
    } cases[] = {{0, DISTANCE_NEAR},  {10, DISTANCE_NEAR}, {25, DISTANCE_MIDDLE},     {60, DISTANCE_MIDDLE},
                 {120, DISTANCE_FAR}, {190, DISTANCE_FAR}, {UINT64_MAX, DISTANCE_FAR}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        before();
        ck_assert_uint_eq(note_wide(cases[i].ns), 1);
        ck_assert_int_eq(distance.state, cases[i].state);
        ck_assert_uint_eq(distance.line_ns, cases[i].ns < UINT16_MAX ? cases[i].ns : UINT16_MAX);
    }
}
END_TEST

START_TEST(test_a_few_samples_say_nothing) {
    ck_assert_uint_eq(note(150, DISTANCE_SAMPLES_LEAST - 1), 0);
    ck_assert_int_eq(distance.state, DISTANCE_UNKNOWN);
    ck_assert_uint_eq(distance.line_ns, 0);
    ck_assert_uint_eq(note(150, 1), 1);
    ck_assert_int_eq(distance.state, DISTANCE_FAR);
}
END_TEST

/* Between two ranges the state stays what it was. */
START_TEST(test_between_the_ranges) {
    note_wide(25);
    ck_assert_uint_eq(note_wide(17), 0);
    ck_assert_uint_eq(note_wide(80), 0);
    ck_assert_int_eq(distance.state, DISTANCE_MIDDLE);
    ck_assert_uint_eq(note_wide(120), 1);
    ck_assert_uint_eq(note_wide(80), 0);
    ck_assert_int_eq(distance.state, DISTANCE_FAR);
    ck_assert_uint_ge(note_wide(5), 1);
    ck_assert_uint_eq(note_wide(17), 0);
    ck_assert_int_eq(distance.state, DISTANCE_NEAR);
}
END_TEST

/* Interrupts make less than half of the samples longer. */
START_TEST(test_interrupts) {
    uint64_t state = 5;
    note_wide(25);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(note(i % 8 < 3 ? 100 + random_below(&state, 100000) : 20 + random_below(&state, 30), 1), 0);
    ck_assert_int_eq(distance.state, DISTANCE_MIDDLE);
}
END_TEST

/* Prefetchers make a quarter of the samples shorter. */
START_TEST(test_lines_that_are_here) {
    uint64_t state = 6;
    note_wide(150);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(note(i % 4 == 0 ? random_below(&state, 30) : 120 + random_below(&state, 5000), 1), 0);
    ck_assert_int_eq(distance.state, DISTANCE_FAR);
}
END_TEST

/* Threads that are moved are seen within a window of samples, which then come sooner. */
START_TEST(test_a_move) {
    note_wide(25);
    uint32_t seldom = distance.until;
    ck_assert_uint_gt(seldom, 500);
    note(150, 1);
    ck_assert_uint_lt(distance.until, 50);
    ck_assert_uint_eq(note(150, DISTANCE_SAMPLES - 1), 1);
    ck_assert_int_eq(distance.state, DISTANCE_FAR);
    ck_assert_uint_eq(distance.until, seldom);
    note(25, 1);
    ck_assert_uint_lt(distance.until, 50);
    ck_assert_uint_eq(note(25, DISTANCE_SAMPLES - 1), 1);
    ck_assert_int_eq(distance.state, DISTANCE_MIDDLE);
}
END_TEST

static unsigned waits_until_due(void) {
    unsigned waits = 1;
    while (!distance_is_due(&distance))
        waits++;
    return waits;
}

START_TEST(test_when_a_wait_is_timed) {
    for (int i = 0; i < DISTANCE_SAMPLES; i++) {
        ck_assert_uint_eq(waits_until_due(), 1);
        note(25, 1);
    }
    ck_assert_uint_eq(waits_until_due(), 1024);
    distance_miss(&distance, true); /* no frame: some of the next waits are timed */
    ck_assert_uint_eq(waits_until_due(), 4);
    distance_miss(&distance, false); /* a stream: most waits are not timed */
    ck_assert_uint_eq(waits_until_due(), 32);
    note(25, 1);
    distance_hasten(&distance, 1000);
    ck_assert_uint_eq(waits_until_due(), 24);
    note(25, 1);
    distance_hasten(&distance, UINT64_MAX);
    ck_assert_uint_eq(waits_until_due(), 1);
}
END_TEST

START_TEST(test_footprints) {
    static const struct { uint64_t usual, far; } cases[] = {{4 * MIB, 16 * MIB}, {64 * MIB, 64 * MIB}, {0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct calibration calibration = {.reuse_footprint = cases[i].usual};
        before();
        ck_assert_uint_eq(distance_footprint(&distance, &calibration), cases[i].usual);
        note_wide(5);
        ck_assert_uint_eq(distance_footprint(&distance, &calibration), cases[i].usual);
        note_wide(30);
        ck_assert_uint_eq(distance_footprint(&distance, &calibration), cases[i].usual);
        note_wide(150);
        ck_assert_uint_eq(distance_footprint(&distance, &calibration), cases[i].far);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("distance");
    suite_fixture(s, before, NULL);
    suite_add(s, test_states);
    suite_add(s, test_a_few_samples_say_nothing);
    suite_add(s, test_between_the_ranges);
    suite_add(s, test_interrupts);
    suite_add(s, test_lines_that_are_here);
    suite_add(s, test_a_move);
    suite_add(s, test_when_a_wait_is_timed);
    suite_add(s, test_footprints);
    return suite_run(s);
}
