/* SPDX-License-Identifier: MIT */
/* memory/view: a peer's arenas, examined before they are mapped. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/arena.h"
#include "memory/view.h"
#include "support/trap.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "unit/fail.h"
#include "unit/settle.h"

#define PAGE ((size_t) sysconf(_SC_PAGESIZE))
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

static void before(void) {
    fail_off();
    settle_begin();
}

static void after(void) {
    fail_off();
    settle_threads();
}

static struct arena new_arena(size_t stride, uint32_t count) {
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, stride, count, NULL), 0);
    return arena;
}

static struct view open_view(const struct arena *arena) {
    struct view view;
    const char *why = "";
    int r = view_open(&view, dup(arena->fd), arena->size, arena->stride, arena->count, &why);
    ck_assert_msg(r == 0, "%s", why);
    return view;
}

/* Checks that the arena is refused without having been mapped, and that only the reason is written. */
static void assert_rejected(int fd, uint64_t size, uint64_t stride, uint32_t count, int error, const char *word) {
    struct view view, same;
    const char *why = NULL;
    memset(&view, 0x5a, sizeof view);
    memcpy(&same, &view, sizeof view);
    fail_call(INJECT_MMAP, 0, 0, 0);
    int r = view_open(&view, fd, size, stride, count, &why);
    ck_assert_ptr_nonnull(why);
    ck_assert_msg(r == error, "%d instead of %d: %s", r, error, why);
    ck_assert_msg(strstr(why, word) != NULL, "%s", why);
    ck_assert_int_eq(fail_calls(INJECT_MMAP), 0);
    ck_assert_mem_eq(&view, &same, sizeof view);
}

START_TEST(test_the_owner_writes_and_we_read) {
    struct arena arena = new_arena(1280, 10);
    struct view view = open_view(&arena);
    for (uint32_t i = 0; i < arena.count; i++)
        memset(arena_at(&arena, i), 'a' + (int) i, arena.stride);
    for (uint32_t i = 0; i < arena.count; i++) {
        const char *block = view_at(&view, i, 1280);
        ck_assert_ptr_nonnull(block);
        ck_assert_int_eq(block[0], 'a' + (int) i);
        ck_assert_int_eq(block[1279], 'a' + (int) i);
    }
    ck_assert_int_eq(mprotect((void *) (uintptr_t) view.data, view.size, PROT_READ | PROT_WRITE), -1);
    ck_assert_int_eq(errno, EACCES);
    view_close(&view);
    arena_deinit(&arena);
}
END_TEST

START_TEST(test_bounds) {
    struct arena arena = new_arena(1280, 10);
    struct view view = open_view(&arena);
    ck_assert_ptr_eq(view_at(&view, 0, 0), view.data);
    ck_assert_ptr_eq(view_at(&view, 9, 1280), view.data + 9 * 1280);
    ck_assert_ptr_null(view_at(&view, 10, 0));
    ck_assert_ptr_null(view_at(&view, UINT32_MAX, 1));
    ck_assert_ptr_null(view_at(&view, 0, 1281));
    ck_assert_ptr_null(view_at(&view, 9, UINT64_MAX));
    view_close(&view);
    arena_deinit(&arena);
}
END_TEST

START_TEST(test_a_view_outlives_its_owner) {
    struct arena arena = new_arena(4096, 4);
    struct view view = open_view(&arena);
    memcpy(arena_at(&arena, 3), "still here", 11);
    arena_deinit(&arena);
    ck_assert_str_eq(view_at(&view, 3, 4096), "still here");
    view_close(&view);
    ck_assert_ptr_null(view.data);
}
END_TEST

START_TEST(test_each_seal_is_needed) {
    static const int needed[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE};
    assert_rejected(trap_memfd(PAGE, SEALS & ~needed[_i]), PAGE, 64, 1, -EBADF, "F_SEAL");
}
END_TEST

/* An arena that not even its owner can write is equally good. */
START_TEST(test_frozen_memory_will_do) {
    struct view view;
    const char *why = "";
    ck_assert_int_eq(view_open(&view, trap_memfd(PAGE, TRAP_ALL_SEALS), PAGE, 1024, 4, &why), 0);
    view_close(&view);
}
END_TEST

START_TEST(test_other_kinds_of_descriptors) {
    static int (*const traps[])(void) = {trap_dev_zero,  trap_pipe,    trap_socket, trap_directory,
                                         trap_path_only, trap_eventfd, trap_epoll};
    fail_always(INJECT_FSTAT, EIO); /* on an unsealed descriptor no further call may be made */
    assert_rejected(traps[_i](), 4096, 64, 1, -EBADF, "not a memfd");
    ck_assert_int_eq(fail_calls(INJECT_FSTAT), 0);
}
END_TEST

START_TEST(test_no_descriptor_at_all) {
    assert_rejected(-1, 4096, 64, 1, -EBADF, "not a memfd");
}
END_TEST

START_TEST(test_hugetlb_pages_are_not_declared) {
    int fd = trap_hugetlb((size_t) 2 << 20);
    if (fd < 0)
        test_skip("no hugetlb pages here");
    assert_rejected(fd, (size_t) 2 << 20, 4096, 1, -EBADF, "hugetlb");
    trap_hugetlb_done();
}
END_TEST

START_TEST(test_the_size_is_the_declared_one) {
    assert_rejected(trap_memfd(2 * PAGE, SEALS), 2 * PAGE - 1, 64, 1, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(2 * PAGE, SEALS), 2 * PAGE + 1, 64, 1, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(2 * PAGE, SEALS), 0, 64, 1, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(2 * PAGE, SEALS), UINT64_MAX, 64, 1, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(0, SEALS), 0, 64, 1, -EMSGSIZE, "do not fit");
    assert_rejected(trap_sparse(INT64_MAX), INT64_MAX, 64, 1, -ENODATA, "holes");
}
END_TEST

START_TEST(test_blocks_lie_in_the_arena) {
    static const struct {
        uint64_t stride;
        uint32_t count;
    } lies[] = {{0, 1},
                {64, 0},
                {1, 1},
                {100, 10},
                {4096 + 64, 1},
                {2048, 3},
                {64, 65},
                {64, UINT32_MAX},
                {64, (1u << 24) + 1},
                {UINT64_C(1) << 32, 1u << 31},
                {UINT64_C(1) << 63, 2},
                {UINT64_MAX - 63, 1},
                {UINT64_C(1) << 40, 1u << 24}};
    ck_assert_uint_eq(PAGE, 4096);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        assert_rejected(trap_memfd(PAGE, SEALS), PAGE, lies[i].stride, lies[i].count, -EMSGSIZE, "do not fit");
    struct view view;
    const char *why = "";
    ck_assert_int_eq(view_open(&view, trap_memfd(PAGE, SEALS), PAGE, 64, 64, &why), 0); /* just */
    ck_assert_ptr_nonnull(view_at(&view, 63, 64));
    view_close(&view);
}
END_TEST

START_TEST(test_holes) {
    assert_rejected(trap_holes(4 * PAGE), 4 * PAGE, 64, 1, -ENODATA, "holes");
    assert_rejected(trap_sparse(PAGE), PAGE, 64, 1, -ENODATA, "holes");
    assert_rejected(trap_sparse(UINT64_C(1) << 46), UINT64_C(1) << 46, 4096, 1, -ENODATA, "holes");
}
END_TEST

START_TEST(test_looking_fails) {
    static const enum inject_kind kinds[] = {INJECT_GET_SEALS, INJECT_FSTAT, INJECT_FSTATFS};
    int fd = trap_memfd(PAGE, SEALS);
    fail_always(kinds[_i], EIO);
    struct view view;
    const char *why = "";
    ck_assert_int_eq(view_open(&view, fd, PAGE, 64, 1, &why), failure_name(kinds[_i], EIO));
}
END_TEST

/* This is no fault of the peer, and the error shows the difference. */
START_TEST(test_a_view_that_cannot_be_mapped) {
    struct view view;
    const char *why = "";
    for (size_t size = PAGE; size <= (size_t) 4 << 20; size *= 1024) {
        int fd = trap_memfd(size, SEALS);
        fail_always(INJECT_MMAP, ENOMEM);
        ck_assert_int_eq(view_open(&view, fd, size, 64, 1, &why), -ENOMEM);
        ck_assert_ptr_nonnull(strstr(why, "cannot be mapped"));
        fail_off();
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("view");
    suite_fixture(s, before, after);
    suite_add(s, test_the_owner_writes_and_we_read);
    suite_add(s, test_bounds);
    suite_add(s, test_a_view_outlives_its_owner);
    suite_add_loop(s, test_each_seal_is_needed, 0, 4);
    suite_add(s, test_frozen_memory_will_do);
    suite_add_loop(s, test_other_kinds_of_descriptors, 0, 7);
    suite_add(s, test_no_descriptor_at_all);
    suite_add(s, test_hugetlb_pages_are_not_declared);
    suite_add(s, test_the_size_is_the_declared_one);
    suite_add(s, test_blocks_lie_in_the_arena);
    suite_add(s, test_holes);
    suite_add_loop(s, test_looking_fails, 0, 3);
    suite_add(s, test_a_view_that_cannot_be_mapped);
    return suite_run(s);
}
