/* SPDX-License-Identifier: MIT */
/* memory/rotation: when a pool must rotate its arenas, and when it must give memory back. */
#include "support/suite.h"

#include "memory/rotation.h"
#include "sys/wait.h"

static struct rotation begun(struct pool_policy policy) {
    struct rotation rotation;
    rotation_init(&rotation, &policy);
    ck_assert_uint_eq(rotation.generation, 1);
    rotation_note_arena(&rotation);
    ck_assert_int_eq(rotation_check(&rotation, 4, 0), ROTATION_NOTHING); /* a block was taken */
    rotation.began_at = rotation.taken_at = 1000;                        /* the test sets the clock from here on */
    return rotation;
}

START_TEST(test_no_policy) {
    struct rotation r = begun((struct pool_policy){0});
    ck_assert_uint_eq(rotation_deadline(&r, true, true), WAIT_FOREVER);
    ck_assert_int_eq(rotation_check(&r, UINT64_MAX, UINT64_MAX), ROTATION_NOTHING);
    ck_assert(!rotation_is_full(&r, UINT64_MAX));
}
END_TEST

START_TEST(test_the_first_arena_begins_it) {
    struct rotation r;
    uint64_t before = wait_now();
    rotation_init(&r, &(struct pool_policy){.age = 5});
    rotation_note_arena(&r);
    uint64_t began = r.began_at;
    ck_assert_uint_ge(began, before);
    rotation_note_arena(&r);
    ck_assert_uint_eq(r.began_at, began);
    rotation_begin(&r, 77);
    ck_assert_uint_eq(r.generation, 2);
    rotation_note_arena(&r);
    ck_assert_uint_ge(r.began_at, began);
}
END_TEST

START_TEST(test_bytes) {
    struct rotation r = begun((struct pool_policy){.bytes = 100});
    ck_assert(!rotation_is_full(&r, 99));
    ck_assert(rotation_is_full(&r, 100));
    ck_assert_int_eq(rotation_check(&r, 100, 1000), ROTATION_ROTATE);
    rotation_begin(&r, 100);
    ck_assert(!rotation_is_full(&r, 199));
    ck_assert_uint_eq(rotation_deadline(&r, true, true), WAIT_FOREVER);
}
END_TEST

START_TEST(test_age) {
    struct rotation r = begun((struct pool_policy){.age = 50});
    ck_assert_uint_eq(rotation_deadline(&r, true, true), 1050);
    ck_assert_uint_eq(rotation_deadline(&r, false, false), WAIT_FOREVER);
    ck_assert_int_eq(rotation_check(&r, 8, 1049), ROTATION_NOTHING);
    ck_assert_int_eq(rotation_check(&r, 16, 1050), ROTATION_ROTATE); /* even while the pool is busy */
    ck_assert_int_eq(rotation_check(&r, 24, 900), ROTATION_NOTHING); /* an instant in the past */
}
END_TEST

/* Memory that was reserved and not used yet stays. */
START_TEST(test_unused) {
    struct rotation r = begun((struct pool_policy){.age = 50, .idle = 40});
    rotation_begin(&r, 4);
    r.began_at = r.taken_at = 1000;
    ck_assert_int_eq(rotation_check(&r, 4, 9000), ROTATION_NOTHING);
    ck_assert_uint_eq(rotation_deadline(&r, true, true), WAIT_FOREVER);
    ck_assert_int_eq(rotation_check(&r, 8, 9000), ROTATION_ROTATE);
}
END_TEST

START_TEST(test_idle_and_free) {
    struct rotation r = begun((struct pool_policy){.idle = 90, .keep = 50});
    ck_assert_uint_eq(rotation_deadline(&r, true, true), 1050);
    ck_assert_uint_eq(rotation_deadline(&r, true, false), 1090);
    ck_assert_int_eq(rotation_check(&r, 8, 1045), ROTATION_NOTHING); /* a block was taken */
    ck_assert_uint_eq(rotation_deadline(&r, true, true), 1095);
    ck_assert_int_eq(rotation_check(&r, 8, 1094), ROTATION_NOTHING);
    ck_assert_int_eq(rotation_check(&r, 8, 1095), ROTATION_TRIM);
    ck_assert_int_eq(rotation_check(&r, 8, 1134), ROTATION_TRIM);
    ck_assert_int_eq(rotation_check(&r, 8, 1135), ROTATION_ROTATE);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("rotation");
    suite_add(s, test_no_policy);
    suite_add(s, test_the_first_arena_begins_it);
    suite_add(s, test_bytes);
    suite_add(s, test_age);
    suite_add(s, test_unused);
    suite_add(s, test_idle_and_free);
    return suite_run(s);
}
