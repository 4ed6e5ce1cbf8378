/* SPDX-License-Identifier: MIT */
/*
 * The kernel's contract on the sizes of a memfd's pages: facts that sys/memfd (reserve), memory/sealed and memory/view
 * rely on.
 *
 * Each test sets the machine's setting that it tests, for as long as it runs.
 */
#include "contract/kernel.h"

#include <stdio.h>

#include "support/machine.h"

#define HUGE (2 * MIB)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

static void choose(const char *word) {
    if (!machine_choose_huge(word))
        test_skip("transparent_hugepage/shmem_enabled cannot be changed to %s", word);
}

static const size_t sizes[] = {1, PAGE, 16 * PAGE, 21 * PAGE, MIB, HUGE - PAGE, HUGE, HUGE + PAGE, 3 * MIB + 1};
enum { SIZES = sizeof sizes / sizeof *sizes };

static size_t in_pages(size_t size, size_t unit) {
    return (size + unit - 1) / unit * unit;
}

static void fill(int fd, size_t size) {
    static const char zeros[1 << 16];
    for (size_t at = 0; at < size; at += sizeof zeros) {
        size_t part = size - at < sizeof zeros ? size - at : sizeof zeros;
        ck_assert_int_eq(pwrite(fd, zeros, part, (off_t) at), (ssize_t) part);
    }
}

/* Where all memfds get huge pages, the last one reaches beyond the end; no file has less than its size. */
START_TEST(test_always_adds_pages) {
    size_t size = sizes[_i];
    choose("always");
    for (int is_filled = 0; is_filled < 2; is_filled++) {
        int fd = kernel_memfd(size);
        if (is_filled)
            fill(fd, size);
        else
            ck_assert_int_eq(fallocate(fd, 0, 0, (off_t) size), 0);
        ck_assert_uint_ge(kernel_allocated(fd), in_pages(size, PAGE));
        ck_assert_uint_le(kernel_allocated(fd), in_pages(size, HUGE));
        close(fd);
    }
}
END_TEST

/* Setting a file to the size that it already has cuts the pages behind its end, and nothing else, mapped or not. */
START_TEST(test_the_same_size_cuts) {
    size_t size = sizes[_i];
    choose("always");
    int fd = kernel_memfd(size);
    char *data = kernel_map(fd, size, PROT_READ | PROT_WRITE);
    ck_assert_int_eq(fallocate(fd, 0, 0, (off_t) size), 0);
    data[0] = 'a';
    data[size - 1] = 'z';
    ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
    ck_assert_uint_eq(kernel_allocated(fd), in_pages(size, PAGE));
    ck_assert_int_eq(data[size - 1], 'z');
    if (size > 1)
        ck_assert_int_eq(data[0], 'a');
    fill(fd, size);
    ck_assert_uint_eq(kernel_allocated(fd), in_pages(size, PAGE));
    munmap(data, size);
    close(fd);
}
END_TEST

/* Page faults of a mapping that ends where its file does bring pages behind the end on some kernels (6.1), and none
 * on others (6.18). Setting the size that the file already has cuts these, too. */
START_TEST(test_pages_that_faults_add_are_cut) {
    size_t size = sizes[_i];
    choose("always");
    int fd = kernel_memfd(size);
    char *data = kernel_map(fd, size, PROT_READ | PROT_WRITE);
    int r = madvise(data, in_pages(size, PAGE), MADV_POPULATE_WRITE), error = errno;
    size_t faulted = kernel_allocated(fd);
    ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
    size_t cut = kernel_allocated(fd);
    munmap(data, size);
    close(fd);
    if (r < 0 && error == EINVAL)
        test_skip("MADV_POPULATE_WRITE is not known: before Linux 5.14");
    ck_assert_int_eq(r, 0);
    ck_assert_uint_ge(faulted, in_pages(size, PAGE));
    ck_assert_uint_le(faulted, in_pages(size, HUGE));
    ck_assert_uint_eq(cut, in_pages(size, PAGE));
    if (faulted > cut)
        test_note("they added the rest of a huge page");
}
END_TEST

/* Collapses the first 2 MiB of a file, as any process can that may read the file. Returns 0, or an errno value. */
static int collapse(int fd) {
    char *area = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *at = area + (-(uintptr_t) area & (HUGE - 1));
    ck_assert_ptr_eq(mmap(at, HUGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0), at);
    (void) *(volatile char *) at;
    int r = madvise(at, HUGE, MADV_COLLAPSE), error = errno;
    munmap(area, 2 * HUGE);
    return r < 0 ? error : 0;
}

/* Sealed or not: st_blocks may grow after it was read, up to the end of a huge page. */
static void assert_collapse(const char *word, bool is_possible) {
    choose(word);
    int fd = kernel_memfd(PAGE);
    fill(fd, PAGE);
    kernel_seal(fd, ALL_SEALS);
    int error = collapse(fd);
    size_t allocated = kernel_allocated(fd);
    close(fd);
    if (is_possible && error != 0)
        test_skip("MADV_COLLAPSE: %s (before Linux 6.1, or no huge page is free)", strerror(error));
    ck_assert_uint_eq(allocated, is_possible ? HUGE : PAGE);
}

START_TEST(test_a_reader_can_add_pages) {
    assert_collapse("never", true);
}
END_TEST

START_TEST(test_deny_keeps_readers_from_it) {
    assert_collapse("deny", false);
}
END_TEST

/* Counts the pages of a huge page that are in memory, by a second mapping that reaches behind the end of the file by
 * one page. */
static size_t seen_through(void *data, bool *ret_is_blind) {
    unsigned char pages[HUGE / 4096 + 1];
    size_t count = 0;
    void *view = mremap(data, 0, HUGE + PAGE, MREMAP_MAYMOVE);
    if (view == MAP_FAILED)
        test_skip("mremap() adds no mapping here: %s", strerror(errno));
    ck_assert_int_eq(mincore(view, HUGE + PAGE, pages), 0);
    munmap(view, HUGE + PAGE);
    for (size_t i = 0; i < HUGE / PAGE; i++)
        count += pages[i] & 1;
    *ret_is_blind = pages[HUGE / PAGE] & 1;
    return count;
}

/* A process without the descriptor can add pages, too: a mapping of the file is enough, though it ends where the
 * file does. */
START_TEST(test_added_pages_can_be_seen) {
    bool is_blind = true;
    choose("never");
    int fd = kernel_memfd(3 * PAGE);
    char *data = kernel_map(fd, 3 * PAGE, PROT_READ | PROT_WRITE);
    fill(fd, 3 * PAGE);
    ck_assert_uint_eq(seen_through(data, &is_blind), 3);
    ck_assert(!is_blind);
    int error = collapse(fd);
    close(fd);
    size_t count = seen_through(data, &is_blind);
    munmap(data, 3 * PAGE);
    if (error != 0)
        test_skip("MADV_COLLAPSE: %s (before Linux 6.1, or no huge page is free)", strerror(error));
    ck_assert_uint_eq(count, HUGE / PAGE);
    ck_assert(!is_blind);
}
END_TEST

/* Returns the number of 64 KiB pages that memfds got on the whole machine since it started. */
static uint64_t folios_made(void) {
    unsigned long long count = 0;
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/hugepages-64kB/stats/shmem_alloc", "re");
    if (!file || fscanf(file, "%llu", &count) != 1)
        test_skip("this kernel does not count pages of 64 KiB");
    fclose(file);
    return count;
}

static uint64_t made_by_filling(size_t size, bool is_written) {
    int fd = kernel_memfd(size);
    uint64_t before = folios_made();
    if (is_written)
        fill(fd, size);
    else
        ck_assert_int_eq(fallocate(fd, 0, 0, (off_t) size), 0);
    uint64_t made = folios_made() - before;
    close(fd);
    return made;
}

static uint64_t made_by_faults(size_t size, size_t offset) {
    int fd = kernel_memfd(size);
    char *area = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *at = area + (-(uintptr_t) area & (size - 1)) + offset;
    ck_assert_ptr_eq(mmap(at, size - offset, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), at);
    uint64_t before = folios_made();
    ck_assert_int_eq(madvise(at, size - offset, MADV_POPULATE_WRITE), 0);
    uint64_t made = folios_made() - before;
    ck_assert_uint_eq(kernel_allocated(fd), size - offset);
    munmap(area, 2 * size);
    close(fd);
    return made;
}

/* Sizes between the base page and 2 MiB: only faults bring them, and only where address and offset in the file
 * agree. */
START_TEST(test_folios_come_by_faults) {
    const size_t size = 512 << 10;
    bool is_still = false;
    if (!machine_choose_huge("never") || !machine_choose_folios("always"))
        test_skip("hugepages-64kB/shmem_enabled cannot be changed");
    ck_assert_uint_ge(made_by_faults(size, 0), size >> 16);
    for (int i = 0; i < 50 && !is_still; i++) /* other processes may make some at this moment */
        is_still = made_by_filling(size, true) + made_by_filling(size, false) + made_by_faults(size, PAGE) == 0;
    ck_assert(is_still);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("folios");
    suite_fixture(s, machine_restore, machine_restore);
    suite_add_loop(s, test_always_adds_pages, 0, SIZES);
    suite_add_loop(s, test_the_same_size_cuts, 0, SIZES);
    suite_add_loop(s, test_pages_that_faults_add_are_cut, 0, SIZES);
    suite_add(s, test_folios_come_by_faults);
    suite_add(s, test_a_reader_can_add_pages);
    suite_add(s, test_deny_keeps_readers_from_it);
    suite_add(s, test_added_pages_can_be_seen);
    return suite_run(s);
}
