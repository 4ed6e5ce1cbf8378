/* SPDX-License-Identifier: MIT */
/* bench/: the histogram and its percentiles, payloads, the clock's steps. No test depends on a measured time. */
#include "bench/clock.h"
#include "bench/histogram.h"
#include "bench/payload.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static struct histogram *histogram_new(void) {
    struct histogram *h = calloc(1, sizeof(*h));
    ck_assert_ptr_nonnull(h);
    return h;
}

START_TEST(test_buckets_tile_all_values) {
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t from = histogram_bucket_floor(bucket), to = histogram_bucket_floor(bucket + 1);
        ck_assert_uint_lt(from, to);
        ck_assert_uint_eq(histogram_bucket(from), bucket);
        ck_assert_uint_eq(histogram_bucket(to - 1), bucket);
        ck_assert_uint_le((to - from) * HISTOGRAM_SUB, from < HISTOGRAM_SUB ? HISTOGRAM_SUB : from);
    }
    ck_assert_uint_eq(histogram_bucket_floor(HISTOGRAM_BUCKETS), (uint64_t) 1 << HISTOGRAM_TOP_BITS);
}
END_TEST

START_TEST(test_values_beyond_the_top_are_counted) {
    ck_assert_uint_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    struct histogram *h = histogram_new();
    histogram_add(h, UINT64_MAX);
    ck_assert_uint_eq(h->count, 1);
    ck_assert_uint_eq(h->max, UINT64_MAX);
    free(h);
}
END_TEST

START_TEST(test_an_empty_histogram) {
    struct histogram *h = histogram_new();
    ck_assert_double_eq(histogram_percentile(h, 0.5), 0);
    free(h);
}
END_TEST

START_TEST(test_percentiles_of_small_values_are_exact_but_for_half_a_step) {
    struct histogram *h = histogram_new();
    for (uint64_t value = 1; value <= 100; value++)
        histogram_add(h, value);
    ck_assert_double_eq_tol(histogram_percentile(h, 0.5), 50.5, 1e-9);
    ck_assert_double_eq_tol(histogram_percentile(h, 0.99), 99.5, 1e-9);
    ck_assert_double_eq_tol(histogram_percentile(h, 0), 0.5, 1e-9);
    ck_assert_double_eq(histogram_percentile(h, 1), 100);
    free(h);
}
END_TEST

/* A time of 12.8 steps reads as 13 steps four times of five, and as 12 once. */
START_TEST(test_a_median_between_two_steps) {
    struct histogram *h = histogram_new();
    for (int i = 0; i < 1000; i++)
        histogram_add(h, i % 5 == 0 ? 12 : 13);
    ck_assert_double_eq_tol(histogram_percentile(h, 0.5), 12.875, 1e-9);
    free(h);
}
END_TEST

START_TEST(test_percentiles_of_large_values_are_right_to_a_hundredth) {
    struct histogram *h = histogram_new();
    for (int i = 1; i <= 100000; i++)
        histogram_add(h, (uint64_t) i * 1000);
    for (int thousandth = 1; thousandth < 1000; thousandth++) {
        double share = thousandth / 1000.0, exact = share * 1e8;
        ck_assert_double_eq_tol(histogram_percentile(h, share), exact, exact / 100 + 1000);
    }
    ck_assert_double_le(histogram_percentile(h, 0.99999), (double) h->max);
    free(h);
}
END_TEST

START_TEST(test_rare_values_are_found_at_the_tail) {
    struct histogram *h = histogram_new();
    for (int i = 0; i < 9990; i++)
        histogram_add(h, 10);
    for (int i = 0; i < 10; i++)
        histogram_add(h, 5000);
    ck_assert_double_le(histogram_percentile(h, 0.999), 10.5);
    ck_assert_double_ge(histogram_percentile(h, 0.9991), 4900);
    free(h);
}
END_TEST

START_TEST(test_adding_up) {
    struct histogram *a = histogram_new(), *b = histogram_new(), *both = histogram_new();
    for (uint64_t i = 0; i < 5000; i++) {
        histogram_add(i % 3 ? a : b, i * i);
        histogram_add(both, i * i);
    }
    histogram_merge(a, b);
    ck_assert_mem_eq(a, both, sizeof(*a));
    free(a), free(b), free(both);
}
END_TEST

static const size_t SIZES[] = {8, 16, 32, 56, 64, 72, 120, 248, 256, 264, 320, 376, 4096, 65528, 65536};

START_TEST(test_a_payload_equals_the_written_bytes) {
    size_t size = SIZES[_i], count = size / 8;
    uint64_t *data = malloc(size + 8), seed = 0xfffffffffffffff0;
    ck_assert_ptr_nonnull(data);
    data[count] = 42;
    payload_fill(data, size, seed);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(data[i], seed + i);
    ck_assert_uint_eq(data[count], 42);
    ck_assert_uint_eq(payload_sum(data, size), count * seed + count * (count - 1) / 2);
    ck_assert(payload_is_right(data, size));
    ck_assert(payload_ends_are_right(data, size));
    free(data);
}
END_TEST

START_TEST(test_each_word_that_is_wrong_shows) {
    size_t size = SIZES[_i], count = size / 8;
    uint64_t *data = malloc(size);
    ck_assert_ptr_nonnull(data);
    payload_fill(data, size, 7);
    for (size_t i = count > 1 ? 0 : 1; i < count; i++) {
        data[i] ^= 1;
        ck_assert(!payload_is_right(data, size));
        data[i] ^= 1;
    }
    ck_assert(payload_is_right(data, size));
    free(data);
}
END_TEST

START_TEST(test_payloads_anywhere_in_memory) {
    char data[1024 + 8];
    for (size_t shift = 0; shift < 8; shift++) {
        payload_fill(data + shift, 1024, shift);
        ck_assert(payload_is_right(data + shift, 1024));
    }
}
END_TEST

START_TEST(test_only_the_ends) {
    uint64_t data[64];
    memset(data, 0xee, sizeof(data));
    payload_fill_ends(data, sizeof(data), 5);
    ck_assert(payload_ends_are_right(data, sizeof(data)));
    ck_assert(!payload_is_right(data, sizeof(data)));
    ck_assert_uint_eq(data[0], 5);
    ck_assert_uint_eq(data[1], 0xeeeeeeeeeeeeeeee);
    ck_assert_uint_eq(data[63], 68);
    data[63]++;
    ck_assert(!payload_ends_are_right(data, sizeof(data)));
    payload_fill_ends(data, 8, 9);
    ck_assert(payload_is_right(data, 8));
}
END_TEST

START_TEST(test_steps_of_the_clock) {
    bench_clock = (struct clock){.tick_ns = 0.5, .step = 26, .cost = 24, .scale = 40330};
    ck_assert_uint_eq(clock_steps(0), 0);
    ck_assert_uint_eq(clock_steps(24), 0);
    ck_assert_uint_eq(clock_steps(24 + 12), 0);
    ck_assert_uint_eq(clock_steps(24 + 14), 1);
    ck_assert_uint_eq(clock_steps(24 + 260), 10);
    ck_assert_double_eq_tol((double) clock_steps(24 + 26000000), 1e6, 10); /* exact to a hundred thousandth */
    ck_assert_double_eq_tol(clock_steps_ns(10), 130, 1e-9);
}
END_TEST

START_TEST(test_calibration_gives_a_clock_that_goes_on) {
    clock_calibrate();
    ck_assert_uint_ge(bench_clock.step, 1);
    ck_assert_uint_ge(bench_clock.scale, 1);
    ck_assert_double_gt(bench_clock.tick_ns, 0);
    uint64_t before = clock_ticks();
    ck_assert_uint_le(before, clock_ticks());
}
END_TEST

int main(void) {
    int sizes = sizeof(SIZES) / sizeof(SIZES[0]);
    struct suite *s = suite_new("bench-work");
    suite_add(s, test_buckets_tile_all_values);
    suite_add(s, test_values_beyond_the_top_are_counted);
    suite_add(s, test_an_empty_histogram);
    suite_add(s, test_percentiles_of_small_values_are_exact_but_for_half_a_step);
    suite_add(s, test_a_median_between_two_steps);
    suite_add(s, test_percentiles_of_large_values_are_right_to_a_hundredth);
    suite_add(s, test_rare_values_are_found_at_the_tail);
    suite_add(s, test_adding_up);
    suite_add_loop(s, test_a_payload_equals_the_written_bytes, 0, sizes);
    suite_add_loop(s, test_each_word_that_is_wrong_shows, 0, sizes);
    suite_add(s, test_payloads_anywhere_in_memory);
    suite_add(s, test_only_the_ends);
    suite_add(s, test_steps_of_the_clock);
    suite_add(s, test_calibration_gives_a_clock_that_goes_on);
    return suite_run(s);
}
