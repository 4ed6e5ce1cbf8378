/* SPDX-License-Identifier: MIT */
/* sys/heap: private memory, and the destructors of locals. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "sys/heap.h"
#include "unit/fail.h"

/* Too large for any machine; volatile, because the compiler would warn of a known value. */
static volatile size_t huge = SIZE_MAX / 2 + 2;

START_TEST(test_new_memory_is_zero) {
    CLEANUP_FREE unsigned char *p = heap_new(1000, 3);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 3000; i++)
        ck_assert_int_eq(p[i], 0);
}
END_TEST

START_TEST(test_an_overflowing_product_is_refused) {
    ck_assert_ptr_null(heap_new(huge, 2));
    CLEANUP_FREE char *p = heap_new(1, 1);
    p[0] = 'x';
    ck_assert_ptr_null(heap_resize(p, huge, 2));
    ck_assert_int_eq(p[0], 'x');
}
END_TEST

START_TEST(test_nothing_is_something) {
    CLEANUP_FREE void *a = heap_new(0, 8), *b = heap_new(8, 0), *c = heap_resize(NULL, 0, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_nonnull(c);
}
END_TEST

START_TEST(test_resize_keeps_the_contents) {
    int *p = heap_resize(NULL, 4, sizeof *p);
    for (int i = 0; i < 4; i++)
        p[i] = i;
    p = heap_resize(p, 4000, sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(p[i], i);
    p = heap_resize(p, 0, sizeof *p); /* size 0 does not free */
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_null(heap_free(p));
}
END_TEST

START_TEST(test_strdup_copies) {
    char text[] = "sealane";
    CLEANUP_FREE char *copy = heap_strdup(text);
    text[0] = 'x';
    ck_assert_str_eq(copy, "sealane");
}
END_TEST

START_TEST(test_a_shortage_is_null) {
    CLEANUP_FREE char *p = heap_strdup("kept");
    fail_always(INJECT_ALLOC, ENOMEM);
    ck_assert_ptr_null(heap_new(1, 1));
    ck_assert_ptr_null(heap_resize(p, 100, 1));
    ck_assert_ptr_null(heap_strdup("x"));
    ck_assert_int_eq(fail_calls(INJECT_ALLOC), 3);
    ck_assert_str_eq(p, "kept");
}
END_TEST

/* The next connection that ends is the one after which pages are given back, and not an earlier one: half of the
 * herd has gone, and at least HEAP_HERD_LEAST. */
START_TEST(test_a_herd_that_has_gone_leaves_no_pages) {
    enum { FEW = HEAP_HERD_LEAST, MANY = 4 * HEAP_HERD_LEAST };
    for (int i = 0; i < MANY; i++)
        heap_herd_joins();
    for (int i = 0; i < MANY; i++) { /* connections come and go at a constant number */
        ck_assert(!heap_herd_leaves());
        heap_herd_joins();
    }
    for (int i = 0; i < MANY / 2 - 1; i++)
        ck_assert(!heap_herd_leaves());
    ck_assert(heap_herd_leaves());
    for (int i = 0; i < MANY / 2 - FEW - 1; i++)
        ck_assert(!heap_herd_leaves());
    ck_assert(heap_herd_leaves());
    for (int i = 0; i < FEW - 1; i++)
        ck_assert(!heap_herd_leaves());
    ck_assert(heap_herd_leaves());
}
END_TEST

START_TEST(test_destructors_accept_nothing) {
    ck_assert_ptr_null(heap_free(NULL));
    errno = E2BIG;
    ck_assert_int_eq(fd_close(-1), -1);
    ck_assert_int_eq(errno, E2BIG);
    CLEANUP_FREE void *p = NULL;
    CLEANUP_FD int fd = -1;
    ck_assert_ptr_null(p);
    ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(test_fd_close_closes_and_keeps_errno) {
    int fd = dup(0);
    errno = E2BIG;
    ck_assert_int_eq(fd_close(fd), -1);
    ck_assert_int_eq(errno, E2BIG);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_int_eq(errno, EBADF);
    errno = E2BIG;
    fd_close(fd); /* fails */
    ck_assert_int_eq(errno, E2BIG);
}
END_TEST

START_TEST(test_fd_steal_leaves_nothing) {
    int fd = 17;
    ck_assert_int_eq(fd_steal(&fd), 17);
    ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(test_the_attribute_closes_at_the_end_of_the_block) {
    int kept;
    {
        CLEANUP_FD int fd = dup(0);
        ck_assert_int_ge(fd, 0);
        kept = fd;
    }
    ck_assert_int_eq(fcntl(kept, F_GETFD), -1);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("heap");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_new_memory_is_zero);
    suite_add(s, test_an_overflowing_product_is_refused);
    suite_add(s, test_nothing_is_something);
    suite_add(s, test_resize_keeps_the_contents);
    suite_add(s, test_strdup_copies);
    suite_add(s, test_a_shortage_is_null);
    suite_add(s, test_a_herd_that_has_gone_leaves_no_pages);
    suite_add(s, test_destructors_accept_nothing);
    suite_add(s, test_fd_close_closes_and_keeps_errno);
    suite_add(s, test_fd_steal_leaves_nothing);
    suite_add(s, test_the_attribute_closes_at_the_end_of_the_block);
    return suite_run(s);
}
