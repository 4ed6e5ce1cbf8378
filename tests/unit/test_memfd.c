/* SPDX-License-Identifier: MIT */
/* sys/memfd: making, reserving, sealing and examining memory files. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "support/machine.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/memfd.h"
#include "unit/fail.h"

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static void restore(void) {
    fail_off();
    machine_restore();
}

static int new_memfd(size_t size) {
    int fd = -1;
    ck_assert_int_eq(memfd_new(size, false, &fd), 0);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static struct stat status_of(int fd) {
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    return status;
}

START_TEST(test_new_is_empty_and_private) {
    CLEANUP_FD int fd = new_memfd(12345);
    struct stat status = status_of(fd);
    ck_assert_int_eq(status.st_size, 12345);
    ck_assert_int_eq(status.st_blocks, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & ALL_SEALS, 0);
}
END_TEST

START_TEST(test_an_old_kernel_is_remembered) {
    fail_call(INJECT_MEMFD_CREATE, 1, 1, EINVAL);
    CLEANUP_FD int first = new_memfd(1);
    ck_assert_int_eq(fail_calls(INJECT_MEMFD_CREATE), 2);
    CLEANUP_FD int second = new_memfd(1);
    ck_assert_int_ne(second, first);
    ck_assert_int_eq(fail_calls(INJECT_MEMFD_CREATE), 3);
    ck_assert_int_eq(fcntl(second, F_GET_SEALS) & ALL_SEALS, 0);
}
END_TEST

START_TEST(test_new_reports_why_not) {
    int fd = -7;
    fail_always(INJECT_MEMFD_CREATE, EMFILE);
    ck_assert_int_eq(memfd_new(1, false, &fd), -EMFILE);
    fail_always(INJECT_MEMFD_CREATE, EINVAL);
    ck_assert_int_eq(memfd_new(1, false, &fd), -EINVAL);
    fail_off();
    fail_once(INJECT_FTRUNCATE, ENOMEM);
    ck_assert_int_eq(memfd_new(1, false, &fd), -ENOMEM);
    ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_an_interrupted_resize_goes_on) {
    fail_call(INJECT_FTRUNCATE, 1, 3, EINTR);
    CLEANUP_FD int fd = new_memfd(4096);
    ck_assert_int_eq(fail_calls(INJECT_FTRUNCATE), 4);
    ck_assert_int_eq(status_of(fd).st_size, 4096);
}
END_TEST

/* Without the comparison SIGXFSZ would end this process. */
START_TEST(test_the_file_size_limit_is_an_error) {
    struct rlimit before, limit;
    int fd = -7;
    CLEANUP_FD int large = new_memfd(20000);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 10000;
    setrlimit(RLIMIT_FSIZE, &limit);
    int too_large = memfd_new(10001, false, &fd);
    int untouched = fd;
    int fits = memfd_new(10000, false, &fd);
    int grown = memfd_resize(fd, 10001), cut = memfd_resize(large, 15000);
    setrlimit(RLIMIT_FSIZE, &before);

    ck_assert_int_eq(too_large, -EFBIG);
    ck_assert_int_eq(untouched, -7);
    ck_assert_int_eq(fits, 0);
    ck_assert_int_eq(grown, -EFBIG);
    ck_assert_int_eq(status_of(fd).st_size, 10000);
    ck_assert_int_eq(cut, 0);
    ck_assert_int_eq(status_of(large).st_size, 15000);
    fd_close(fd);
}
END_TEST

START_TEST(test_no_file_is_larger_than_an_offset) {
    int fd = -7;
    ck_assert_int_eq(memfd_new((size_t) INT64_MAX + 1, false, &fd), -EFBIG);
    ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_reserve_gets_real_pages_in_steps) {
    size_t size = ((size_t) 40 << 20) + 100;
    CLEANUP_FD int fd = new_memfd(size);
    fail_call(INJECT_FALLOCATE, 0, 0, 0);
    ck_assert_int_eq(memfd_reserve(fd, 0, size), 0);
    ck_assert_int_eq(fail_calls(INJECT_FALLOCATE), 3);
    ck_assert_uint_ge((size_t) status_of(fd).st_blocks * 512, size);
    ck_assert_int_eq(status_of(fd).st_size, (off_t) size);
}
END_TEST

START_TEST(test_reserve_by_filling) {
    size_t size = ((size_t) 1 << 20) + 100, from = 8192;
    char last = 'x';
    CLEANUP_FD int fd = new_memfd(size);
    fail_call(INJECT_PWRITE, 1, 1, EINTR);
    ck_assert_int_eq(memfd_reserve_filled(fd, from, size - from), 0);
    ck_assert_uint_ge((size_t) status_of(fd).st_blocks * 512, size - from);
    ck_assert_int_eq(status_of(fd).st_size, (off_t) size);
    ck_assert_int_eq(pread(fd, &last, 1, (off_t) size - 1), 1);
    ck_assert_int_eq(last, 0);
    fail_once(INJECT_PWRITE, ENOSPC);
    ck_assert_int_eq(memfd_reserve_filled(fd, 0, size), -ENOMEM);
    fail_once(INJECT_PWRITE, EPERM);
    ck_assert_int_eq(memfd_reserve_filled(fd, 0, size), failure_of(INJECT_PWRITE, EPERM));
}
END_TEST

/* For machines that give huge pages to all memfds (shmem_enabled=always). */
START_TEST(test_reserve_adds_no_pages) {
    static const size_t sizes[] = {1, 65536, 86016, (3 << 20) + 5};
    if (!machine_choose_huge("always"))
        test_skip("transparent_hugepage/shmem_enabled cannot be changed");
    size_t size = sizes[_i % 4], whole = (size + 4095) / 4096 * 4096;
    CLEANUP_FD int fd = new_memfd(size);
    ck_assert_int_eq(_i < 4 ? memfd_reserve(fd, 0, size) : memfd_reserve_filled(fd, 0, size), 0);
    ck_assert_uint_eq((size_t) status_of(fd).st_blocks * 512, whole);
    ck_assert_int_eq(status_of(fd).st_size, (off_t) size);
}
END_TEST

/* Pages that cannot be cut stay, and are reported. */
START_TEST(test_pages_that_stay) {
    uint64_t allocated = 0;
    if (!machine_choose_huge("always"))
        test_skip("transparent_hugepage/shmem_enabled cannot be changed");
    CLEANUP_FD int fd = new_memfd(65536);
    fail_once(INJECT_FTRUNCATE, EBUSY);
    ck_assert_int_eq(memfd_reserve(fd, 0, 65536), 0);
    ck_assert_int_eq(memfd_allocated(fd, &allocated), 0);
    if (allocated == 65536)
        test_skip("the system granted no huge page: memory is fragmented");
    ck_assert_uint_eq(memfd_excess(65536, allocated), MEMFD_HUGE_SIZE - 65536);
}
END_TEST

START_TEST(test_excess) {
    ck_assert_uint_eq(memfd_excess(0, 0), 0);
    ck_assert_uint_eq(memfd_excess(1, 4096), 0);
    ck_assert_uint_eq(memfd_excess(4097, 4096), 0); /* a hole is another case */
    ck_assert_uint_eq(memfd_excess(4096, 8192), 4096);
    ck_assert_uint_eq(memfd_excess(1, MEMFD_HUGE_SIZE), MEMFD_HUGE_SIZE - 4096);
}
END_TEST

START_TEST(test_reserve_of_nothing) {
    CLEANUP_FD int fd = new_memfd(0);
    ck_assert_int_eq(memfd_reserve(fd, 0, 0), 0);
    ck_assert_int_eq(status_of(fd).st_blocks, 0);
}
END_TEST

START_TEST(test_a_full_machine_is_enomem) {
    CLEANUP_FD int fd = new_memfd(4096);
    fail_once(INJECT_FALLOCATE, ENOSPC);
    ck_assert_int_eq(memfd_reserve(fd, 0, 4096), -ENOMEM);
    fail_once(INJECT_FALLOCATE, EIO);
    ck_assert_int_eq(memfd_reserve(fd, 0, 4096), failure_of(INJECT_FALLOCATE, EIO));
}
END_TEST

/* Where fallocate() is forbidden the pages are written; where writing is forbidden too, the error names fallocate(). */
START_TEST(test_reserve_in_a_sandbox) {
    static const int errors[] = {EPERM, ENOSYS, EACCES};
    CLEANUP_FD int fd = new_memfd(3 * 4096);
    fail_always(INJECT_FALLOCATE, errors[_i]);
    ck_assert_int_eq(memfd_reserve(fd, 4096, 2 * 4096), 0);
    ck_assert_int_eq(status_of(fd).st_blocks * 512, 2 * 4096);
    fail_always(INJECT_PWRITE, EPERM);
    ck_assert_int_eq(memfd_reserve(fd, 0, 4096), failure_of(INJECT_FALLOCATE, errors[_i]));
}
END_TEST

START_TEST(test_interruptions_make_smaller_steps) {
    size_t size = (size_t) 2 << 20;
    CLEANUP_FD int fd = new_memfd(size);
    fail_call(INJECT_FALLOCATE, 1, 20, EINTR);
    ck_assert_int_eq(memfd_reserve(fd, 0, size), 0);
    ck_assert_int_eq(fail_calls(INJECT_FALLOCATE), 20 + 8); /* 256 KiB each */
    ck_assert_int_ge(status_of(fd).st_blocks * 512, (off_t) size);
}
END_TEST

static volatile sig_atomic_t alarms;

static void count_alarm(int signal) {
    (void) signal;
    alarms++;
}

/* With whole steps only, each alarm would undo the step, and the call would never end. */
START_TEST(test_reserve_ends_under_a_storm_of_signals) {
    size_t size = (size_t) 64 << 20;
    CLEANUP_FD int fd = new_memfd(size);
    struct sigaction action = {.sa_handler = count_alarm,
                               .sa_flags = SA_RESTART}; /* not restored: an alarm may come late */
    sigaction(SIGALRM, &action, NULL);
    struct itimerval each = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}}, never = {0};
    alarms = 0;
    setitimer(ITIMER_REAL, &each, NULL);
    int r;
    do { /* large pages are reserved quickly */
        ck_assert_int_eq(memfd_resize(fd, 0), 0);
        ck_assert_int_eq(memfd_resize(fd, size), 0);
        r = memfd_reserve(fd, 0, size);
    } while (r == 0 && alarms == 0);
    setitimer(ITIMER_REAL, &never, NULL);
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(alarms, 0);
    ck_assert_int_ge(status_of(fd).st_blocks * 512, (off_t) size);
}
END_TEST

START_TEST(test_shrinking_gives_pages_back) {
    CLEANUP_FD int fd = new_memfd(1 << 20);
    ck_assert_int_eq(memfd_reserve(fd, 0, 1 << 20), 0);
    ck_assert_int_eq(memfd_resize(fd, 4096), 0);
    ck_assert_int_eq(status_of(fd).st_size, 4096);
    ck_assert_int_ge(status_of(fd).st_blocks * 512, 4096);
    ck_assert_int_eq(memfd_resize(fd, 0), 0);
    ck_assert_int_eq(status_of(fd).st_blocks, 0);
    fail_once(INJECT_FTRUNCATE, EPERM);
    ck_assert_int_eq(memfd_resize(fd, 1), failure_of(INJECT_FTRUNCATE, EPERM));
}
END_TEST

START_TEST(test_allocated_are_the_real_pages) {
    uint64_t bytes = 7;
    int fd = -1;
    ck_assert_int_eq(memfd_new(1 << 20, false, &fd), 0);
    ck_assert_int_eq(memfd_allocated(fd, &bytes), 0);
    ck_assert_uint_eq(bytes, 0);
    ck_assert_int_eq(memfd_reserve(fd, 0, 1 << 20), 0);
    ck_assert_int_eq(memfd_allocated(fd, &bytes), 0);
    ck_assert_uint_ge(bytes, 1 << 20);
    close(fd);
    bytes = 7;
    ck_assert_int_eq(memfd_allocated(-1, &bytes), -EBADF);
    ck_assert_uint_eq(bytes, 7);
}
END_TEST

START_TEST(test_a_sealed_memfd_is_frozen) {
    CLEANUP_FD int fd = new_memfd(4096);
    ck_assert_int_eq(memfd_seal(fd), 0);
    ck_assert(memfd_seals_hold(fcntl(fd, F_GET_SEALS)));
    ck_assert_int_eq(write(fd, "x", 1), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(memfd_resize(fd, 8192), failure_of(INJECT_FTRUNCATE, EPERM));
    ck_assert_int_eq(memfd_resize(fd, 0), failure_of(INJECT_FTRUNCATE, EPERM));
    ck_assert_int_eq(memfd_seal(fd), failure_of(INJECT_ADD_SEALS, EPERM));
}
END_TEST

START_TEST(test_sealing_waits_for_writers) {
    CLEANUP_FD int fd = new_memfd(4096);
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(data, MAP_FAILED);
    ck_assert_int_eq(memfd_seal(fd), -EBUSY);
    ck_assert(!memfd_seals_hold(fcntl(fd, F_GET_SEALS)));
    munmap(data, 4096);
    ck_assert_int_eq(memfd_seal(fd), 0);
}
END_TEST

START_TEST(test_a_reopened_memfd_is_for_reading) {
    CLEANUP_FD int fd = new_memfd(4096), reopened = -1;
    ck_assert_int_eq(memfd_seal(fd), 0);
    ck_assert_int_eq(memfd_reopen(fd, &reopened), 0);
    ck_assert_int_eq(fcntl(reopened, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(fcntl(reopened, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(reopened, F_GET_SEALS), fcntl(fd, F_GET_SEALS));
    ck_assert(status_of(reopened).st_ino == status_of(fd).st_ino);
    ck_assert_int_eq(status_of(reopened).st_mode & 07777, 0444);
}
END_TEST

START_TEST(test_reopen_does_without_proc) {
    static const int refusals[] = {ENOENT, EACCES, ELOOP, EPERM};
    CLEANUP_FD int fd = new_memfd(4096), copy = -1;
    ck_assert_int_eq(memfd_seal(fd), 0);
    fail_once(INJECT_OPEN, refusals[_i]);
    ck_assert_int_eq(memfd_reopen(fd, &copy), 0);
    ck_assert(status_of(copy).st_ino == status_of(fd).st_ino);
    ck_assert_int_eq(fcntl(copy, F_GETFD), FD_CLOEXEC);
}
END_TEST

START_TEST(test_reopen_failures) {
    static const int shortages[] = {EMFILE, ENFILE, ENOMEM};
    CLEANUP_FD int fd = new_memfd(4096), copy = -1;
    for (size_t i = 0; i < 3; i++) {
        fail_once(INJECT_OPEN, shortages[i]);
        ck_assert_int_eq(memfd_reopen(fd, &copy), -shortages[i]);
        ck_assert_int_eq(copy, -1);
    }
    fail_once(INJECT_OPEN, ENOENT);
    fail_once(INJECT_DUP, EMFILE);
    ck_assert_int_eq(memfd_reopen(fd, &copy), -EMFILE);
    ck_assert_int_eq(copy, -1);

    fail_once(INJECT_FCHMOD, EPERM); /* another user owns it */
    fail_once(INJECT_OPEN, EINTR);
    ck_assert_int_eq(memfd_reopen(fd, &copy), 0);
    ck_assert_int_eq(fcntl(copy, F_GETFL) & O_ACCMODE, O_RDONLY);
}
END_TEST

START_TEST(test_dup_shares_the_file) {
    CLEANUP_FD int fd = new_memfd(4096), copy = -1;
    ck_assert_int_eq(memfd_dup(fd, &copy), 0);
    ck_assert_int_ne(copy, fd);
    ck_assert_int_eq(fcntl(copy, F_GETFD), FD_CLOEXEC);
    ck_assert(status_of(copy).st_ino == status_of(fd).st_ino);
    int untouched = -7;
    fail_once(INJECT_DUP, EMFILE);
    ck_assert_int_eq(memfd_dup(fd, &untouched), -EMFILE);
    ck_assert_int_eq(untouched, -7);
    ck_assert_int_eq(memfd_dup(-1, &untouched), -EBADF);
}
END_TEST

START_TEST(test_inspect_a_sealed_memfd) {
    CLEANUP_FD int fd = new_memfd(10000);
    ck_assert_int_eq(memfd_reserve(fd, 0, 10000), 0);
    ck_assert_int_eq(memfd_seal(fd), 0);
    struct memfd_info info = {0};
    ck_assert_int_eq(memfd_inspect(fd, &info), 0);
    ck_assert(memfd_seals_hold(info.seals));
    ck_assert(!info.is_hugetlb);
    ck_assert_uint_eq(info.size, 10000);
    ck_assert_uint_eq(info.allocated, (uint64_t) status_of(fd).st_blocks * 512);
    ck_assert_uint_ge(info.allocated, 12288);
}
END_TEST

START_TEST(test_inspect_sees_holes) {
    CLEANUP_FD int fd = new_memfd(1 << 20);
    ck_assert_int_eq(memfd_seal(fd), 0);
    struct memfd_info info = {0};
    ck_assert_int_eq(memfd_inspect(fd, &info), 0);
    ck_assert_uint_eq(info.size, 1 << 20);
    ck_assert_uint_eq(info.allocated, 0);
}
END_TEST

/* A memfd that is not fully sealed may be a file that hangs: then fstat() and fstatfs() must not be called. */
START_TEST(test_inspect_asks_nothing_of_the_unsealed) {
    CLEANUP_FD int fd = new_memfd(10000);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    fail_always(INJECT_FSTAT, EIO);
    fail_always(INJECT_FSTATFS, EIO);
    struct memfd_info info = {.size = 1, .allocated = 1};
    ck_assert_int_eq(memfd_inspect(fd, &info), 0);
    ck_assert(!memfd_seals_hold(info.seals));
    ck_assert_uint_eq(info.size, 0);
    ck_assert_uint_eq(info.allocated, 0);
    ck_assert_int_eq(fail_calls(INJECT_FSTAT), 0);
    ck_assert_int_eq(fail_calls(INJECT_FSTATFS), 0);
}
END_TEST

START_TEST(test_inspect_other_kinds) {
    struct memfd_info info = {.seals = -7};
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    CLEANUP_FD int one = pair[0], other = pair[1];
    CLEANUP_FD int directory = open("/", O_RDONLY | O_CLOEXEC), device = open("/dev/null", O_RDWR | O_CLOEXEC);
    CLEANUP_FD int path_only = open("/", O_PATH | O_CLOEXEC);
    ck_assert_int_eq(memfd_inspect(one, &info), -EINVAL);
    ck_assert_int_eq(memfd_inspect(other, &info), -EINVAL);
    ck_assert_int_eq(memfd_inspect(directory, &info), -EINVAL);
    ck_assert_int_eq(memfd_inspect(device, &info), -EINVAL);
    ck_assert_int_eq(memfd_inspect(path_only, &info), -EBADF);
    ck_assert_int_eq(memfd_inspect(-1, &info), -EBADF);
    ck_assert_int_eq(info.seals, -7);
}
END_TEST

START_TEST(test_inspect_failures) {
    static const enum inject_kind kinds[] = {INJECT_GET_SEALS, INJECT_FSTAT, INJECT_FSTATFS};
    CLEANUP_FD int fd = new_memfd(4096);
    ck_assert_int_eq(memfd_seal(fd), 0);
    struct memfd_info info = {.seals = -7};
    fail_once(kinds[_i], EIO);
    ck_assert_int_eq(memfd_inspect(fd, &info), failure_of(kinds[_i], EIO));
    ck_assert_int_eq(info.seals, -7);
}
END_TEST

/* An interrupted call must not count as an answer. */
START_TEST(test_inspect_is_interrupted) {
    CLEANUP_FD int fd = new_memfd(4096);
    ck_assert_int_eq(memfd_seal(fd), 0);
    struct memfd_info info = {.seals = -7};
    fail_call(INJECT_FSTATFS, 1, 3, EINTR);
    ck_assert_int_eq(memfd_inspect(fd, &info), 0);
    ck_assert_uint_eq(info.size, 4096);
    ck_assert_int_eq(fail_calls(INJECT_FSTATFS), 4);
}
END_TEST

START_TEST(test_close_on_exec) {
    CLEANUP_FD int fd = memfd_create("inherited", 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
    memfd_close_on_exec(fd);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    memfd_close_on_exec(-1); /* harmless */
}
END_TEST

START_TEST(test_hugetlb) {
    if (!machine_add_hugetlb(1))
        test_skip("the pool of 2 MiB pages cannot be made larger (vm.nr_hugepages)");
    int fd = -1;
    int r = memfd_new(MEMFD_HUGE_SIZE, true, &fd);
    if (r < 0)
        test_skip("no hugetlb memfd here: %s", strerror(-r));
    if (memfd_reserve(fd, 0, MEMFD_HUGE_SIZE) < 0) {
        fd_close(fd);
        test_skip("the pool of 2 MiB pages is empty (vm.nr_hugepages)");
    }
    ck_assert_int_eq(memfd_seal(fd), 0);
    struct memfd_info info = {0};
    ck_assert_int_eq(memfd_inspect(fd, &info), 0);
    ck_assert(info.is_hugetlb);
    ck_assert_uint_eq(info.size, MEMFD_HUGE_SIZE);
    ck_assert_uint_eq(info.allocated, MEMFD_HUGE_SIZE);
    fd_close(fd);
}
END_TEST

static long hugetlb_pool(void) {
    long pages = -1;
    FILE *file = fopen("/proc/sys/vm/nr_hugepages", "re");
    if (file == NULL)
        return -1;
    if (fscanf(file, "%ld", &pages) != 1)
        pages = -1;
    fclose(file);
    return pages;
}

START_TEST(test_an_empty_hugetlb_pool_is_enomem) {
    if (!machine_add_hugetlb(0) || hugetlb_pool() != 0) /* the keeper's lock stops other processes from changing it */
        test_skip("there is no pool of 2 MiB pages, or it is not empty (vm.nr_hugepages) and not ours to drain");
    int fd = -1;
    int r = memfd_new((size_t) 1 << 40, true, &fd); /* this takes nothing from the pool yet */
    if (r < 0)
        test_skip("no hugetlb memfd here: %s", strerror(-r));
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(status_of(fd).st_blocks, 0);
    ck_assert_int_eq(memfd_reserve(fd, 0, MEMFD_HUGE_SIZE), -ENOMEM);
    fd_close(fd);
}
END_TEST

START_TEST(test_all_seals_must_hold) {
    static const int needed[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
    ck_assert(memfd_seals_hold(ALL_SEALS));
    ck_assert(memfd_seals_hold(ALL_SEALS | F_SEAL_FUTURE_WRITE | 0x20));
    ck_assert(!memfd_seals_hold(0));
    for (size_t i = 0; i < 4; i++)
        ck_assert(!memfd_seals_hold((ALL_SEALS | F_SEAL_FUTURE_WRITE) & ~needed[i]));
}
END_TEST

START_TEST(test_missing_seals_are_named) {
    char text[100] = "x";
    ck_assert_str_eq(memfd_seals_missing(ALL_SEALS, text, sizeof text), "");
    ck_assert_str_eq(memfd_seals_missing(ALL_SEALS & ~F_SEAL_WRITE, text, sizeof text), "F_SEAL_WRITE");
    ck_assert_str_eq(memfd_seals_missing(0, text, sizeof text),
                     "F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL");
    ck_assert_ptr_eq(memfd_seals_missing(0, text, sizeof text), text);

    text[20] = '#';
    ck_assert_str_eq(memfd_seals_missing(0, text, 20), "F_SEAL_SHRINK, F_SE");
    ck_assert_int_eq(text[20], '#');
    memfd_seals_missing(0, text, 0);
    ck_assert_str_eq(text, "F_SEAL_SHRINK, F_SE");
}
END_TEST

/* Returns the bracketed word of a file, or "". */
static const char *choice_of(const char *path, char *word, size_t size) {
    char text[200] = "";
    FILE *file = fopen(path, "re");
    snprintf(word, size, "%s", "");
    if (file == NULL)
        return word;
    if (fgets(text, sizeof text, file) != NULL && strchr(text, '[') != NULL)
        snprintf(word, size, "%.*s", (int) strcspn(strchr(text, '[') + 1, "]"), strchr(text, '[') + 1);
    fclose(file);
    return word;
}

START_TEST(test_huge_policy_is_the_systems) {
    char word[32], own[32];
    if (_i == 1 && !machine_grant_huge())
        test_skip("transparent_hugepage/shmem_enabled cannot be changed");
    choice_of("/sys/kernel/mm/transparent_hugepage/shmem_enabled", word, sizeof word);
    choice_of("/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/shmem_enabled", own, sizeof own);
    if (strcmp(word, "deny") != 0 && strcmp(word, "force") != 0 && own[0] != '\0' && strcmp(own, "inherit") != 0)
        memcpy(word, own, sizeof word);
    enum memfd_huge_policy expected =
        strcmp(word, "advise") == 0 ? MEMFD_HUGE_ADVISE
        : strcmp(word, "always") == 0 || strcmp(word, "within_size") == 0 || strcmp(word, "force") == 0
            ? MEMFD_HUGE_ALWAYS
            : MEMFD_HUGE_NEVER;
    ck_assert_int_eq(memfd_huge_policy(), expected);
}
END_TEST

START_TEST(test_folios_are_the_systems) {
    static const char *const words[] = {"always", "within_size", "advise", "inherit", "never"};
    if (!machine_choose_huge("never") || !machine_choose_folios(words[_i]))
        test_skip("hugepages-64kB/shmem_enabled cannot be changed");
    size_t size = memfd_folio_size();
    if (size > 0 && size < 65536)
        test_skip("this system grants smaller ones");
    if (_i < 3)
        ck_assert_uint_eq(size, 65536);
    else
        ck_assert_uint_ne(size, 65536); /* "inherit" of a policy "never" */
    fail_always(INJECT_OPEN, ENOENT);
    ck_assert_uint_eq(memfd_folio_size(), 0);
}
END_TEST

START_TEST(test_without_its_file_the_policy_is_never) {
    fail_always(INJECT_OPEN, ENOENT);
    ck_assert_int_eq(memfd_huge_policy(), MEMFD_HUGE_NEVER);
    fail_off();
    fail_always(INJECT_PREAD, EIO);
    ck_assert_int_eq(memfd_huge_policy(), MEMFD_HUGE_NEVER);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("memfd");
    suite_fixture(s, restore, restore);
    suite_add(s, test_new_is_empty_and_private);
    suite_add(s, test_an_old_kernel_is_remembered);
    suite_add(s, test_new_reports_why_not);
    suite_add(s, test_an_interrupted_resize_goes_on);
    suite_add(s, test_the_file_size_limit_is_an_error);
    suite_add(s, test_no_file_is_larger_than_an_offset);
    suite_add(s, test_reserve_gets_real_pages_in_steps);
    suite_add(s, test_reserve_by_filling);
    suite_add_loop(s, test_reserve_adds_no_pages, 0, 8);
    suite_add(s, test_pages_that_stay);
    suite_add(s, test_excess);
    suite_add(s, test_reserve_of_nothing);
    suite_add(s, test_a_full_machine_is_enomem);
    suite_add_loop(s, test_reserve_in_a_sandbox, 0, 3);
    suite_add(s, test_interruptions_make_smaller_steps);
    suite_add(s, test_reserve_ends_under_a_storm_of_signals);
    suite_add(s, test_shrinking_gives_pages_back);
    suite_add(s, test_allocated_are_the_real_pages);
    suite_add(s, test_a_sealed_memfd_is_frozen);
    suite_add(s, test_sealing_waits_for_writers);
    suite_add(s, test_a_reopened_memfd_is_for_reading);
    suite_add_loop(s, test_reopen_does_without_proc, 0, 4);
    suite_add(s, test_reopen_failures);
    suite_add(s, test_dup_shares_the_file);
    suite_add(s, test_inspect_a_sealed_memfd);
    suite_add(s, test_inspect_sees_holes);
    suite_add(s, test_inspect_asks_nothing_of_the_unsealed);
    suite_add(s, test_inspect_other_kinds);
    suite_add_loop(s, test_inspect_failures, 0, 3);
    suite_add(s, test_inspect_is_interrupted);
    suite_add(s, test_close_on_exec);
    suite_add(s, test_hugetlb);
    suite_add(s, test_an_empty_hugetlb_pool_is_enomem);
    suite_add(s, test_all_seals_must_hold);
    suite_add(s, test_missing_seals_are_named);
    suite_add_loop(s, test_huge_policy_is_the_systems, 0, 2);
    suite_add_loop(s, test_folios_are_the_systems, 0, 5);
    suite_add(s, test_without_its_file_the_policy_is_never);
    return suite_run(s);
}
