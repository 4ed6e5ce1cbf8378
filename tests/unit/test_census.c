/* SPDX-License-Identifier: MIT */
/* memory/census and sea_ctx_shared(): the memory that all our shared objects take up, also after a reader had pages
 * added. */
#include "support/suite.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/census.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "unit/conn_pair.h"
#include "unit/fail.h"
#include "unit/valgrind.h"

#define PAGE ((size_t) sysconf(_SC_PAGESIZE))
#define HUGE MEMFD_HUGE_SIZE
#define SIZE ((size_t) 64 << 10)

#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

static struct census census;

static void before(void) {
    fail_off();
    census_init(&census);
}

static void after(void) {
    fail_off();
    census_deinit(&census);
}

static struct census_sums counted(void) {
    struct census_sums sums;
    census_count(&census, &sums);
    return sums;
}

/* Returns an address within an area of 4 MiB that is a multiple of a huge page's size, with room for one behind it. */
static char *aligned_area(char **ret_area) {
    *ret_area = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(*ret_area, MAP_FAILED);
    return *ret_area + (-(uintptr_t) *ret_area & (HUGE - 1));
}

static int try_collapse(char *at) {
    (void) *(volatile char *) at;
    return madvise(at, HUGE, MADV_COLLAPSE) < 0 ? -errno : 0;
}

static void collapse_at(char *at) {
    ck_assert_int_eq(try_collapse(at), 0);
}

/* Acts as a reader that has the descriptor. */
static void collapse_fd(int fd) {
    char *area, *at = aligned_area(&area);
    ck_assert_ptr_eq(mmap(at, HUGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0), at);
    collapse_at(at);
    munmap(area, 2 * HUGE);
}

/* Acts as a reader that has only a mapping. */
static void collapse_mapped(void *data) {
    char *area, *at = aligned_area(&area);
    ck_assert_ptr_eq(mremap(data, 0, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, at), at);
    collapse_at(at);
    munmap(area, 2 * HUGE);
}

static int new_memfd(size_t size, void **ret_data) {
    int fd = -1;
    ck_assert_int_eq(memfd_new(size, false, &fd), 0);
    ck_assert_int_eq(map_new_writable(fd, size, false, ret_data), 0);
    memset(*ret_data, 7, size);
    return fd;
}

static const size_t sizes[] = {1, SIZE, HUGE - 4096, HUGE, HUGE + SIZE};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void skip_if_valgrind(void) {
    if (is_under_valgrind())
        test_skip("valgrind knows no mremap() that adds a mapping");
}

/* Call this before the test holds any resource. */
static void skip_without_collapse(void) {
    void *data;
    char *area, *at = aligned_area(&area);
    skip_if_valgrind();
    int fd = new_memfd(SIZE, &data);
    ck_assert_ptr_eq(mmap(at, HUGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0), at);
    int error = try_collapse(at);
    munmap(area, 2 * HUGE);
    map_free(data, SIZE);
    close(fd);
    if (error < 0)
        test_skip("MADV_COLLAPSE: %s (before Linux 6.1, shmem_enabled=deny, or no huge page is free)",
                  strerror(-error));
}

START_TEST(test_objects_of_the_census) {
    size_t size = sizes[_i], whole = (size + PAGE - 1) / PAGE * PAGE;
    struct census_entry mapped, opened;
    void *data = NULL;
    skip_if_valgrind();
    CLEANUP_FD int fd = new_memfd(size, &data);
    uint64_t allocated = 0; /* more than whole pages where huge pages are for all memfds */
    ck_assert_int_eq(memfd_allocated(fd, &allocated), 0);
    uint64_t excess = memfd_excess(size, allocated);
    census_enter_mapped(&census, &mapped, data, size, excess);
    struct census_sums sums = counted();
    ck_assert_uint_eq(sums.files, 1);
    ck_assert_uint_eq(sums.reserved, whole + excess);
    ck_assert_uint_eq(sums.resident, whole + excess);
    census_enter_fd(&census, &opened, fd, size, excess);
    sums = counted();
    ck_assert_uint_eq(sums.files, 2);
    ck_assert_uint_eq(sums.resident, 2 * (whole + excess));
    ck_assert_uint_eq(sums.added + sums.untold, 0);
    census_leave(&mapped);
    census_leave(&mapped);
    census_leave(&opened);
    ck_assert_uint_eq(counted().files + counted().reserved + counted().resident, 0);
    map_free(data, size);
}
END_TEST

/* Pages behind the end count, too, although no mapping shows them. */
START_TEST(test_pages_that_a_reader_added) {
    size_t size = sizes[_i], whole = (size + PAGE - 1) / PAGE * PAGE, most = (size + HUGE - 1) / HUGE * HUGE;
    struct census_entry mapped, opened;
    void *data = NULL;
    skip_without_collapse();
    CLEANUP_FD int fd = new_memfd(size, &data);
    census_enter_mapped(&census, &mapped, data, size, 0);
    census_enter_fd(&census, &opened, fd, size, 0);
    collapse_fd(fd);
    struct census_sums sums = counted();
    ck_assert_uint_eq(sums.reserved, 2 * whole);
    ck_assert_uint_eq(sums.resident, 2 * most);
    ck_assert_uint_eq(sums.added, 2 * (most - whole));
    ck_assert_int_eq(((char *) data)[size - 1], 7);
    census_leave(&mapped);
    census_leave(&opened);
    map_free(data, size);
}
END_TEST

/* Where the kernel reports no figure, the reserved size is taken. */
START_TEST(test_missing_figures_of_the_kernel) {
    static const enum inject_kind kinds[] = {INJECT_MMAP, INJECT_MINCORE, INJECT_FSTAT};
    struct census_entry mapped, opened;
    void *data = NULL;
    skip_without_collapse();
    CLEANUP_FD int fd = new_memfd(SIZE, &data);
    census_enter_mapped(&census, &mapped, data, SIZE, 0);
    census_enter_fd(&census, &opened, fd, SIZE, 0);
    fail_once(kinds[_i], EAGAIN);
    struct census_sums sums = counted();
    ck_assert_uint_eq(sums.untold, SIZE);
    ck_assert_uint_ge(sums.resident, 2 * SIZE);
    census_leave(&mapped);
    census_leave(&opened);
    map_free(data, SIZE);
}
END_TEST

START_TEST(test_no_census) {
    struct census_entry entry = {0};
    census_leave(&entry);
    census_enter_fd(NULL, &entry, 1, SIZE, 0);
    census_leave(&entry);
    ck_assert_uint_eq(counted().files, 0);
}
END_TEST

/* --- the context's census --- */

static sea_shared shared_of(const struct end *end) {
    sea_shared shared;
    sea_ctx_shared(end->ctx, &shared, sizeof(shared));
    return shared;
}

static struct ends ends;

/* An outbox, an arena, and a sealed block: each takes up the amount that the budget was charged. */
START_TEST(test_a_context_tells_of_all) {
    memset(&ends, 0, sizeof ends);
    ends_open(&ends);
    sea_shared first = shared_of(&ends.a);
    ck_assert_uint_eq(first.files, 1);
    ck_assert_uint_eq(first.reserved, end_figures(&ends.a).of[SEA_FIGURE_OUTBOX_BYTES]);
    sea_block *pooled = end_block(&ends.a, 5000, 1), *sealed = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&sealed, ends.a.ctx, 5000, 0), 0);
    memset(sea_block_data(sealed), 1, 5000);
    ck_assert_uint_eq(shared_of(&ends.a).files, 2);
    ck_assert_int_eq(sea_block_seal(sealed), 0);
    sea_shared shared = shared_of(&ends.a);
    ck_assert_uint_eq(shared.files, 3);
    ck_assert_uint_eq(shared.reserved, first.reserved + end_figures(&ends.a).of[SEA_FIGURE_ARENA_BYTES] + 2 * PAGE);
    ck_assert_uint_eq(shared.added, 0);
    sea_block_unref(pooled);
    sea_block_unref(sealed);
    ck_assert_uint_eq(shared_of(&ends.a).files, 2);
    ends_deinit(&ends);
}
END_TEST

/* A reader may enlarge each of them. */
START_TEST(test_a_context_tells_of_pages_added) {
    skip_without_collapse();
    memset(&ends, 0, sizeof ends);
    ends_open(&ends);
    sea_block *pooled = end_block(&ends.a, 5000, 1), *sealed = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&sealed, ends.a.ctx, 5000, 0), 0);
    memset(sea_block_data(sealed), 1, 5000);
    ck_assert_int_eq(sea_block_seal(sealed), 0);
    sea_shared shared = shared_of(&ends.a);
    ck_assert_uint_eq(shared.added, 0);
    CLEANUP_FD int fd = -1;
    ck_assert_int_eq(sea_block_export(sealed, &fd), 0);
    collapse_fd(fd);
    ck_assert_uint_eq(shared_of(&ends.a).added, HUGE - 2 * PAGE);
    collapse_mapped(pooled->slot->arena->data);
    collapse_mapped(ends.a.conn->lane.own.page);
    ck_assert_uint_eq(shared_of(&ends.a).resident, 3 * HUGE);
    ck_assert_uint_eq(shared_of(&ends.a).added, 3 * HUGE - shared.reserved);
    ck_assert_uint_eq(shared_of(&ends.a).untold, 0);
    sea_block_unref(pooled);
    sea_block_unref(sealed);
    ends_deinit(&ends);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("census");
    suite_fixture(s, before, after);
    suite_add_loop(s, test_objects_of_the_census, 0, SIZES);
    suite_add_loop(s, test_pages_that_a_reader_added, 0, SIZES - 1);
    suite_add_loop(s, test_missing_figures_of_the_kernel, 0, 3);
    suite_add(s, test_no_census);
    suite_add(s, test_a_context_tells_of_all);
    suite_add(s, test_a_context_tells_of_pages_added);
    return suite_run(s);
}
