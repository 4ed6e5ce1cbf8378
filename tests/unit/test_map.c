/* SPDX-License-Identifier: MIT */
/* sys/map: mappings of memfds, their alignment, and that no mapping is left behind. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/machine.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "unit/fail.h"

#define MIB ((size_t) 1 << 20)

static void restore(void) {
    fail_off();
    machine_restore();
}

static int new_memfd(size_t size) {
    int fd = -1;
    ck_assert_int_eq(memfd_new(size, false, &fd), 0);
    return fd;
}

static int new_sealed(const char *text, size_t size) {
    int fd = new_memfd(size);
    ck_assert_int_eq(pwrite(fd, text, strlen(text), 0), (ssize_t) strlen(text));
    ck_assert_int_eq(memfd_seal(fd), 0);
    return fd;
}

/* Returns the pages of address space in use; a mapping that was trimmed wrongly would leave some. */
static long address_space(void) {
    long pages = -1;
    FILE *file = fopen("/proc/self/statm", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    return pages;
}

static const size_t sizes[] = {1, 4096, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 5 * MIB + 4097, 4 * MIB + 123456};
#define SIZES (int) (sizeof sizes / sizeof *sizes)

START_TEST(test_writable_is_the_file) {
    size_t size = sizes[_i];
    CLEANUP_FD int fd = new_memfd(size);
    void *data = NULL;
    address_space();
    long before = address_space();
    uint64_t count = map_count();
    ck_assert_int_eq(map_new_writable(fd, size, true, &data), 0);
    ck_assert_uint_eq(map_count(), count + 1);
    ck_assert_int_eq(address_space() - before, (long) ((size + 4095) / 4096));
    if (size >= MEMFD_HUGE_SIZE)
        ck_assert_uint_eq((uintptr_t) data % MEMFD_HUGE_SIZE, 0);

    char *bytes = data, read_back[2] = "";
    bytes[0] = 'a';
    bytes[size - 1] = 'z';
    ck_assert_int_eq(pread(fd, read_back, 1, 0), 1);
    ck_assert_int_eq(pread(fd, read_back + 1, 1, (off_t) size - 1), 1);
    ck_assert_int_eq(read_back[1], 'z');
    if (size > 1)
        ck_assert_int_eq(read_back[0], 'a');

    ck_assert_ptr_null(map_free(data, size));
    ck_assert_uint_eq(map_count(), count);
    ck_assert_int_eq(address_space(), before);
    ck_assert_int_eq(memfd_seal(fd), 0); /* no writable mapping is left */
}
END_TEST

START_TEST(test_readable_is_the_file) {
    size_t size = sizes[_i] + 7;
    CLEANUP_FD int fd = new_sealed("frozen", size);
    const void *data = NULL;
    address_space();
    long before = address_space();
    ck_assert_int_eq(map_new_readable(fd, size, &data), 0);
    ck_assert_mem_eq(data, "frozen", 6);
    if (size >= MEMFD_HUGE_SIZE)
        ck_assert_uint_eq((uintptr_t) data % MEMFD_HUGE_SIZE, 0);
    ck_assert_int_eq(mprotect((void *) (uintptr_t) data, size, PROT_READ | PROT_WRITE), -1);
    ck_assert_int_eq(errno, EACCES);
    ck_assert_ptr_null(map_free(data, size));
    ck_assert_int_eq(address_space(), before);
}
END_TEST

/* Before Linux 6.7 a sealed memfd cannot be mapped shared. */
START_TEST(test_readable_falls_back_to_private) {
    size_t size = sizes[_i] + 7;
    CLEANUP_FD int fd = new_sealed("frozen", size);
    int last = size >= MEMFD_HUGE_SIZE ? 2 : 1; /* the mapping itself; before a large one comes a reserved area */
    fail_call(INJECT_MMAP, last, 1, EPERM);
    const void *data = NULL;
    ck_assert_int_eq(map_new_readable(fd, size, &data), 0);
    ck_assert_int_eq(fail_calls(INJECT_MMAP), 2 * last);
    ck_assert_mem_eq(data, "frozen", 6);
    map_free(data, size);
}
END_TEST

/* A large mapping begins where the last one ended, with one call. */
START_TEST(test_a_free_place_is_used_again) {
    CLEANUP_FD int fd = new_memfd(5 * MIB), other = new_memfd(2 * MIB);
    void *first = NULL, *second = NULL;
    ck_assert_int_eq(map_new_writable(fd, 5 * MIB, true, &first), 0);
    map_free(first, 5 * MIB);
    long before = address_space();
    fail_call(INJECT_MMAP, 0, 0, 0);
    ck_assert_int_eq(map_new_writable(other, 2 * MIB, true, &second), 0);
    ck_assert_int_eq(fail_calls(INJECT_MMAP), 1);
    ck_assert_ptr_eq(second, first);
    map_free(second, 2 * MIB);
    ck_assert_int_eq(address_space(), before);
}
END_TEST

/* Another mapping has the place meanwhile, or a part of it. */
START_TEST(test_a_free_place_that_is_taken) {
    CLEANUP_FD int fd = new_memfd(5 * MIB);
    void *first = NULL, *second = NULL;
    ck_assert_int_eq(map_new_writable(fd, 4 * MIB, false, &first), 0);
    char *taken = (char *) first + 2 * MIB * (size_t) _i;
    map_free(first, 4 * MIB);
    ck_assert_ptr_eq(mmap(taken, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), taken);
    long before = address_space();
    ck_assert_int_eq(map_new_writable(fd, 5 * MIB, false, &second), 0);
    ck_assert_uint_eq((uintptr_t) second % MEMFD_HUGE_SIZE, 0);
    ck_assert_ptr_ne(second, first);
    ck_assert_int_eq(mincore(taken, 4096, (unsigned char[1]){0}), 0); /* the other mapping is still there */
    map_free(second, 5 * MIB);
    ck_assert_int_eq(address_space(), before);
    munmap(taken, 4096);
}
END_TEST

START_TEST(test_nothing_is_not_mapped) {
    CLEANUP_FD int fd = new_memfd(4096);
    void *data = &fd;
    const void *view = &fd;
    ck_assert_int_eq(map_new_writable(fd, 0, false, &data), -EINVAL);
    ck_assert_int_eq(map_new_readable(fd, 0, &view), -EINVAL);
    ck_assert_int_eq(map_new_writable(fd, SIZE_MAX, false, &data), -ENOMEM);
    ck_assert_int_eq(map_new_writable(-1, 4096, false, &data), -EBADF);
    ck_assert_ptr_eq(data, &fd);
    ck_assert_ptr_eq(view, &fd);
    ck_assert_ptr_null(map_free(NULL, 4096));
}
END_TEST

START_TEST(test_failures_leave_nothing) {
    static const struct {
        enum inject_kind kind;
        int n;
        size_t size;
    } cases[] = {
        {INJECT_MMAP, 1, 4096}, {INJECT_MMAP, 1, 4 * MIB}, {INJECT_MMAP, 2, 4 * MIB}, {INJECT_MADVISE, 1, 4 * MIB}};
    CLEANUP_FD int fd = new_memfd(4 * MIB);
    void *data = &fd;
    address_space();
    long before = address_space();
    fail_call(cases[_i].kind, cases[_i].n, 1, ENOMEM);
    ck_assert_int_eq(map_new_writable(fd, cases[_i].size, false, &data), -ENOMEM);
    ck_assert_int_eq(fail_calls(cases[_i].kind), cases[_i].n);
    ck_assert_ptr_eq(data, &fd);
    ck_assert_int_eq(address_space(), before);
}
END_TEST

START_TEST(test_huge_pages_are_only_a_wish) {
    CLEANUP_FD int fd = new_memfd(4096);
    fail_call(INJECT_MADVISE, 2, 1, EINVAL); /* the first call is MADV_DONTFORK */
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, 4096, true, &data), 0);
    ck_assert_int_eq(fail_calls(INJECT_MADVISE), 2);
    map_free(data, 4096);
}
END_TEST

START_TEST(test_a_child_does_not_inherit) {
    CLEANUP_FD int fd = new_memfd(4096);
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, 4096, false, &data), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(msync(data, 4096, MS_ASYNC) < 0 && errno == ENOMEM ? 0 : 1);
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    map_free(data, 4096);
}
END_TEST

START_TEST(test_populate_gets_pages) {
    size_t size = 4 * MIB;
    CLEANUP_FD int fd = new_memfd(size);
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, size, false, &data), 0);
    fail_once(INJECT_MADVISE, EINTR);
    int r = map_populate(data, size);
    if (r == -EOPNOTSUPP) {
        map_free(data, size);
        fd_close(fd);
        test_skip("no MADV_POPULATE_WRITE: Linux 5.14");
    }
    ck_assert_int_eq(r, 0);
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    ck_assert_int_ge(status.st_blocks * 512, (off_t) size);
    map_free(data, size);
}
END_TEST

START_TEST(test_populate_failures) {
    CLEANUP_FD int fd = new_memfd(4096);
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, 4096, false, &data), 0);
    fail_once(INJECT_MADVISE, ENOMEM);
    ck_assert_int_eq(map_populate(data, 4096), -ENOMEM);
    fail_once(INJECT_MADVISE, EFAULT);
    ck_assert_int_eq(map_populate(data, 4096), -ENOMEM);
    fail_once(INJECT_MADVISE, EINVAL);
    ck_assert_int_eq(map_populate(data, 4096), -EOPNOTSUPP);
    fail_once(INJECT_MADVISE, EIO);
    ck_assert_int_eq(map_populate(data, 4096), failure_of(INJECT_MADVISE, EIO));
    fail_once(INJECT_MADVISE, EPERM);
    ck_assert_int_eq(map_populate(data, 4096), -EOPNOTSUPP);
    map_free(data, 4096);
}
END_TEST

START_TEST(test_populate_of_existing_pages) {
    CLEANUP_FD int fd = new_memfd(MIB);
    void *data = NULL;
    ck_assert_int_eq(memfd_reserve_filled(fd, 0, MIB), 0);
    ck_assert_int_eq(map_new_writable(fd, MIB, false, &data), 0);
    fail_once(INJECT_MADVISE, EINVAL);
    ck_assert_int_eq(map_populate_filled(data, MIB), -EOPNOTSUPP);
    fail_once(INJECT_MADVISE, ENOMEM);
    ck_assert_int_eq(map_populate_filled(data, MIB), -ENOMEM);
    int r = map_populate_filled(data, MIB);
    ck_assert(r == 0 || r == -EOPNOTSUPP);
    memset(data, 'x', MIB);
    map_free(data, MIB);
}
END_TEST

/* A touch of these pages would raise SIGBUS. */
START_TEST(test_populate_behind_the_end) {
    int fd = new_memfd(4096);
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, 8192, false, &data), 0);
    int r = map_populate(data, 8192);
    map_free(data, 8192);
    fd_close(fd);
    if (r == -EOPNOTSUPP)
        test_skip("no MADV_POPULATE_WRITE: Linux 5.14");
    ck_assert_int_eq(r, -ENOMEM);
}
END_TEST

START_TEST(test_small_pages_are_not_huge) {
    CLEANUP_FD int fd = new_memfd(MIB);
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, MIB, true, &data), 0);
    memset(data, 1, MIB);
    ck_assert_uint_eq(map_count_huge(data, MIB), 0);
    map_free(data, MIB);
}
END_TEST

/* Pages that come later are locked, too; locking makes no page come. */
START_TEST(test_locked) {
    CLEANUP_FD int fd = new_memfd(MIB);
    unsigned char there[256] = {0};
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, MIB, false, &data), 0);
    int r = map_lock(data, MIB);
    if (r == -ENOLCK) {
        map_free(data, MIB);
        fd_close(fd_steal(&fd));
        test_skip("RLIMIT_MEMLOCK is less than 1 MiB");
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(mincore(data, MIB, there), 0);
    for (size_t i = 0; i < sizeof there; i++)
        if (there[i] & 1)
            ck_abort_msg("page %zu has come", i);
    r = map_populate(data, MIB);
    ck_assert_msg(r == 0 || r == -EOPNOTSUPP, "%s", strerror(-r)); /* -EOPNOTSUPP before Linux 5.14 */
    for (int i = 0; i < 3; i++) {
        static const int refusals[] = {ENOMEM, EPERM, EAGAIN};
        fail_once(INJECT_MLOCK, refusals[i]);
        ck_assert_int_eq(map_lock(data, MIB), -ENOLCK);
    }
    map_free(data, MIB);
}
END_TEST

/* Counts in the maker's mapping, and in a receiver's mapping of the memfd. */
START_TEST(test_huge_pages_are_counted) {
    size_t size = 8 * MIB;
    if (memfd_huge_policy() == MEMFD_HUGE_NEVER && !machine_grant_huge())
        test_skip("no huge pages for memfds here: transparent_hugepage/shmem_enabled");
    CLEANUP_FD int fd = new_memfd(size);
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, size, true, &data), 0);
    memset(data, 1, size);
    size_t huge = map_count_huge(data, size);
    fail_once(INJECT_OPEN, EMFILE);
    size_t unknown = map_count_huge(data, size);
    size_t elsewhere = map_count_huge(&size, sizeof size);
    map_free(data, size);
    ck_assert_uint_eq(unknown, 0);
    ck_assert_uint_eq(elsewhere, 0);
    if (huge == 0) {
        fd_close(fd);
        test_skip("the system granted no huge page: memory is fragmented");
    }
    ck_assert_uint_eq(huge % MEMFD_HUGE_SIZE, 0);
    ck_assert_uint_le(huge, size);

    const void *view = NULL;
    ck_assert_int_eq(memfd_seal(fd), 0);
    ck_assert_int_eq(map_new_readable(fd, size, &view), 0);
    unsigned sum = 0;
    for (size_t i = 0; i < size; i += 4096)
        sum += ((const unsigned char *) view)[i];
    ck_assert_uint_eq(sum, size / 4096);
    ck_assert_uint_eq(map_count_huge(view, size), huge);
    map_free(view, size);
}
END_TEST

/* Counts in several steps, for pages that any process touched in any way; a step without an answer counts as none. */
START_TEST(test_resident) {
    size_t size = 9 * MIB + 4097, page = (size_t) sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;
    size_t step = 1024 * page; /* equals the step in map.c */
    CLEANUP_FD int fd = new_memfd(size);
    uint64_t touched = 0;
    void *data = NULL;
    ck_assert_int_eq(map_new_writable(fd, size, false, &data), 0);
    ck_assert_uint_eq(map_count_resident(data, size), 0);
    ck_assert_int_eq(pwrite(fd, "x", 1, 5 * (off_t) MIB), 1);
    ((char *) data)[0] = 'x';
    ck_assert_int_eq(memfd_allocated(fd, &touched), 0);
    ck_assert_uint_ge(touched, 2 * page); /* more where the machine always gives huge pages */
    ck_assert_uint_eq(map_count_resident(data, size), touched);
    ck_assert_int_eq(memfd_reserve(fd, 0, size), 0);
    ck_assert_uint_eq(map_count_resident(data, size), touched);
    for (size_t i = 0; i < size; i += page)
        ((char *) data)[i] = 'x';
    ck_assert_uint_eq(map_count_resident(data, size), whole);
    fail_once(INJECT_MINCORE, EAGAIN);
    ck_assert_uint_eq(map_count_resident(data, size), whole > step ? whole - step : 0);
    fail_off();
    map_free(data, size);
}
END_TEST

/* Names that a peer chose to look like the lines that are counted. */
START_TEST(test_names_do_not_count) {
    static const char *const names[] = {"x\nShmemPmdMapped:     4096 kB\n",
                                        "7f0000000000-7f0000200000 r--s 00000000 00:01 1 \nShmemPmdMapped: 2048 kB",
                                        ".............................................................................."
                                        ".................................."
                                        "......ShmemPmdMapped:     4096 kB"};
    CLEANUP_FD int fd = memfd_create(names[_i], MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    const void *view = NULL;
    ck_assert_int_eq(map_new_readable(fd, 4096, &view), 0);
    ck_assert_uint_eq(map_count_huge(view, 4096), 0);
    map_free(view, 4096);
}
END_TEST

/* The kernel rounds hugetlb mappings up to its pages, also where the caller did not. */
START_TEST(test_hugetlb_of_any_size) {
    static const size_t asked[] = {4 * MIB, 2 * MIB + 4096, 2 * MIB, 100};
    if (!machine_add_hugetlb(2))
        test_skip("the pool of 2 MiB pages cannot be made larger (vm.nr_hugepages)");
    CLEANUP_FD int fd = -1;
    int r = memfd_new(4 * MIB, true, &fd);
    if (r < 0)
        test_skip("no hugetlb memfd here: %s", strerror(-r));
    if (memfd_reserve(fd, 0, 4 * MIB) < 0) {
        fd_close(fd);
        test_skip("the pool of 2 MiB pages is too small (vm.nr_hugepages)");
    }
    void *data = NULL;
    map_count_huge(&r, 1); /* sanitizers keep the memory that they allocate for a stream */
    address_space();
    long before = address_space();
    r = map_new_writable(fd, asked[_i], false, &data);
    ck_assert_int_eq(failure_error(r), asked[_i] % MEMFD_HUGE_SIZE == 0 ? 0 : -EINVAL);
    if (r == 0) {
        ((char *) data)[0] = 'x';
        ck_assert_uint_ge(map_count_huge(data, asked[_i]), 2 * MIB);
        map_free(data, asked[_i]);
    }
    ck_assert_int_eq(address_space(), before);

    const void *view = NULL;
    ck_assert_int_eq(memfd_seal(fd), 0);
    ck_assert_int_eq(map_new_readable(fd, asked[_i], &view), 0);
    ck_assert_int_eq(*(const char *) view, r == 0 ? 'x' : 0);
    map_free(view, asked[_i]);
    ck_assert_int_eq(address_space(), before);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("map");
    suite_fixture(s, restore, restore);
    suite_add_loop(s, test_writable_is_the_file, 0, SIZES);
    suite_add_loop(s, test_readable_is_the_file, 0, SIZES);
    suite_add_loop(s, test_readable_falls_back_to_private, 0, SIZES);
    suite_add(s, test_a_free_place_is_used_again);
    suite_add_loop(s, test_a_free_place_that_is_taken, 0, 2);
    suite_add(s, test_nothing_is_not_mapped);
    suite_add_loop(s, test_failures_leave_nothing, 0, 4);
    suite_add(s, test_huge_pages_are_only_a_wish);
    suite_add(s, test_a_child_does_not_inherit);
    suite_add(s, test_populate_gets_pages);
    suite_add(s, test_populate_failures);
    suite_add(s, test_populate_of_existing_pages);
    suite_add(s, test_populate_behind_the_end);
    suite_add(s, test_small_pages_are_not_huge);
    suite_add(s, test_locked);
    suite_add(s, test_huge_pages_are_counted);
    suite_add(s, test_resident);
    suite_add_loop(s, test_names_do_not_count, 0, 3);
    suite_add_loop(s, test_hugetlb_of_any_size, 0, 4);
    return suite_run(s);
}
