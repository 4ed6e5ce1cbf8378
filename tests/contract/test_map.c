/* SPDX-License-Identifier: MIT */
/* The kernel's contract on mapping memfds, on holes, and on huge pages: facts that sys/map and memory/sealed rely
 * on. */
#include "contract/kernel.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "support/machine.h"

#define HUGE (2 * MIB)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The mapping is shared, or, before Linux 6.7, private: a private one shows the same pages. */
START_TEST(test_a_sealed_memfd_can_be_mapped) {
    int fd = kernel_memfd(PAGE);
    ck_assert_int_eq(pwrite(fd, "frozen", 6, 0), 6);
    kernel_seal(fd, ALL_SEALS);
    void *view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    test_note(view == MAP_FAILED ? "privately" : "shared");
    if (view == MAP_FAILED) {
        ck_assert_int_eq(errno, EPERM);
    } else {
        ck_assert_mem_eq(view, "frozen", 6);
        ck_assert_int_eq(mprotect(view, PAGE, PROT_READ | PROT_WRITE), -1);
        ck_assert_int_eq(errno, EACCES);
        munmap(view, PAGE);
    }
    view = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(view, MAP_FAILED);
    ck_assert_mem_eq(view, "frozen", 6);
    munmap(view, PAGE);
    close(fd);
}
END_TEST

static bool is_resident(void *page) {
    unsigned char state = 0;
    ck_assert_int_eq(mincore(page, PAGE, &state), 0);
    return (state & 1) != 0;
}

/* Reading a hole through a mapping takes a page, and the reader is charged. pread() takes none. */
START_TEST(test_reading_a_hole) {
    int fd = kernel_memfd(4 * PAGE);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_uint_eq(kernel_allocated(fd), 0);
    char byte = 'x';
    ck_assert_int_eq(pread(fd, &byte, 1, PAGE), 1);
    ck_assert_int_eq(byte, 0);
    ck_assert_uint_eq(kernel_allocated(fd), 0);

    void *view = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (view == MAP_FAILED)
        view = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(view, MAP_FAILED);
    ck_assert(!is_resident(view));
    ck_assert_int_eq(*(volatile char *) view, 0);
    ck_assert_uint_ge(kernel_allocated(fd), PAGE);
    ck_assert(is_resident(view));
    munmap(view, 4 * PAGE);
    close(fd);
}
END_TEST

/* So st_blocks shows only the holes of careless senders: pages behind the end count, too. The quota is the
 * protection. */
START_TEST(test_blocks_can_be_faked) {
    int fd = kernel_memfd(4 * PAGE);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, 4 * PAGE, 4 * PAGE), 0);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_int_eq(kernel_stat(fd).st_size, 4 * PAGE);
    ck_assert_uint_ge(kernel_allocated(fd), 4 * PAGE);
    close(fd);
}
END_TEST

/* A file's size does not mean that it has memory. */
START_TEST(test_any_size_can_be_sealed) {
    int fd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ftruncate(fd, INT64_MAX), 0);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_int_eq(kernel_stat(fd).st_size, INT64_MAX);
    ck_assert_uint_eq(kernel_allocated(fd), 0);
    close(fd);
}
END_TEST

static int touch(void *page) {
    signal(SIGBUS, SIG_DFL);
    return *(volatile char *) page;
}

/* A mapping may be longer than its file; therefore the library asks for the size first. */
START_TEST(test_behind_the_end_is_sigbus) {
    int fd = kernel_memfd(PAGE);
    char *view = kernel_map(fd, 2 * PAGE, PROT_READ);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(touch(view + PAGE));
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGBUS);
    munmap(view, 2 * PAGE);
    close(fd);
}
END_TEST

START_TEST(test_populating) {
    int fd = kernel_memfd(4 * PAGE);
    char *data = kernel_map(fd, 6 * PAGE, PROT_READ | PROT_WRITE);
    int r = madvise(data, 4 * PAGE, MADV_POPULATE_WRITE), error = errno;
    size_t allocated = kernel_allocated(fd);
    int behind = madvise(data, 6 * PAGE, MADV_POPULATE_WRITE), behind_error = errno;
    int unknown = madvise(data, PAGE, 9999), unknown_error = errno;
    munmap(data, 6 * PAGE);
    close(fd);
    ck_assert_int_eq(unknown, -1);
    ck_assert_int_eq(unknown_error, EINVAL); /* also the error of MADV_POPULATE_WRITE before Linux 5.14 */
    if (r < 0) {
        ck_assert_int_eq(error, EINVAL);
        test_skip("no MADV_POPULATE_WRITE: Linux 5.14");
    }
    ck_assert_uint_ge(allocated, 4 * PAGE);
    ck_assert_int_eq(behind, -1);
    ck_assert_int_eq(behind_error, EFAULT); /* and no SIGBUS */
}
END_TEST

static int look_for(void *page) {
    return msync(page, PAGE, MS_ASYNC) < 0 && errno == ENOMEM ? 0 : 1;
}

START_TEST(test_mappings_can_stay_behind_at_fork) {
    int fd = kernel_memfd(PAGE);
    void *data = kernel_map(fd, PAGE, PROT_READ | PROT_WRITE);
    ck_assert(!kernel_child(look_for, data));
    ck_assert_int_eq(madvise(data, PAGE, MADV_DONTFORK), 0);
    ck_assert(kernel_child(look_for, data));
    munmap(data, PAGE);
    close(fd);
}
END_TEST

/* Sums the kilobytes in a field of /proc/self/smaps, from the mapping at `data` to the next mapping. */
static uint64_t smaps_field(const void *data, const char *field) {
    char line[512];
    uint64_t sum = 0, value;
    bool is_inside = false;
    FILE *file = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            is_inside = from == (uintptr_t) data;
        else if (is_inside && strncmp(line, field, strlen(field)) == 0 &&
                 sscanf(line + strlen(field), ": %" SCNu64 " kB", &value) == 1)
            sum += value;
    }
    fclose(file);
    return sum;
}

/* The fallback for kernels before 6.7: a private view shows the file's own pages, and takes none. */
START_TEST(test_a_private_view_shares_the_pages) {
    size_t size = 16 * PAGE;
    int fd = kernel_memfd(size);
    for (size_t i = 0; i < size; i += PAGE)
        ck_assert_int_eq(pwrite(fd, "x", 1, (off_t) i), 1);
    kernel_seal(fd, ALL_SEALS);
    size_t allocated = kernel_allocated(fd), seen = 0;
    const char *view = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(view, MAP_FAILED);
    for (size_t i = 0; i < size; i += PAGE)
        seen += *(volatile const char *) (view + i) == 'x';
    uint64_t resident = smaps_field(view, "Rss"), own = smaps_field(view, "Anonymous");
    munmap((void *) (uintptr_t) view, size);
    ck_assert_uint_eq(seen, size / PAGE);
    ck_assert_uint_eq(resident, size / 1024);
    ck_assert_uint_eq(own, 0);
    ck_assert_uint_eq(kernel_allocated(fd), allocated);
    close(fd);
}
END_TEST

/* Makes a writable mapping at a multiple of 2 MiB, with MADV_HUGEPAGE if `asks`. */
static char *map_aligned(int fd, size_t size, int prot, bool asks) {
    char *area = mmap(NULL, size + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(area, MAP_FAILED);
    char *data = area + (-(uintptr_t) area & (HUGE - 1));
    ck_assert_ptr_eq(mmap(data, size, prot, MAP_SHARED | MAP_FIXED, fd, 0), data);
    munmap(data + size, HUGE - (size_t) (data - area));
    if (data > area)
        munmap(area, (size_t) (data - area));
    if (asks)
        ck_assert_int_eq(madvise(data, size, MADV_HUGEPAGE), 0);
    return data;
}

/*
 * st_blocks of a filled memfd is never less than its size, with or without huge pages: a receiver would take less for a
 * hole. The sizes end inside a huge page, so that some of its pages may lie behind the end.
 */
START_TEST(test_blocks_cover_the_size) {
    static const size_t sizes[] = {1, PAGE + 1, HUGE - 1, HUGE, HUGE + 1, 2 * HUGE + 12345};
    size_t size = sizes[_i % 6];
    bool asks = _i >= 6;
    if (!machine_grant_huge() && asks) /* so that mappings that do not ask get none, where all memfds would */
        test_skip("huge pages cannot be granted to memfds here (transparent_hugepage/shmem_enabled)");
    int fd = kernel_memfd(size);
    char *data = map_aligned(fd, (size + PAGE - 1) & ~(PAGE - 1), PROT_READ | PROT_WRITE, asks);
    memset(data, 1, size);
    ck_assert_uint_ge(kernel_allocated(fd), size);
    munmap(data, (size + PAGE - 1) & ~(PAGE - 1));
    kernel_seal(fd, ALL_SEALS);
    ck_assert_uint_ge(kernel_allocated(fd), size);
    close(fd);

    int other = kernel_memfd(size); /* by fallocate(), which has no way to ask for huge pages */
    ck_assert_int_eq(fallocate(other, 0, 0, (off_t) size), 0);
    ck_assert_uint_ge(kernel_allocated(other), size);
    close(other);
}
END_TEST

/* Cutting a file that has huge pages leaves no hole in the rest. */
START_TEST(test_blocks_cover_a_file_that_was_cut) {
    static const size_t cuts[] = {1, PAGE, HUGE - PAGE, HUGE, HUGE + 1, 2 * HUGE - 1};
    size_t size = 2 * HUGE, cut = cuts[_i];
    if (!machine_grant_huge())
        test_skip("huge pages cannot be granted to memfds here (transparent_hugepage/shmem_enabled)");
    int fd = kernel_memfd(size);
    char *data = map_aligned(fd, size, PROT_READ | PROT_WRITE, true);
    memset(data, 1, size);
    munmap(data, size);
    ck_assert_int_eq(ftruncate(fd, (off_t) cut), 0);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_uint_ge(kernel_allocated(fd), cut);
    close(fd);
}
END_TEST

/* Huge pages of the writer are mapped whole for a reader with equal alignment. */
START_TEST(test_huge_pages_are_shared) {
    if (!machine_grant_huge())
        test_skip("huge pages cannot be granted to memfds here (transparent_hugepage/shmem_enabled)");
    size_t size = 4 * HUGE;
    int fd = kernel_memfd(size);
    char *data = map_aligned(fd, size, PROT_READ | PROT_WRITE, true);
    memset(data, 1, size);
    uint64_t granted = smaps_field(data, "ShmemPmdMapped");
    munmap(data, size);
    if (granted == 0) {
        close(fd);
        test_skip("the system granted no huge page: memory is fragmented");
    }
    char *view = map_aligned(fd, size, PROT_READ, false);
    unsigned sum = 0;
    for (size_t i = 0; i < size; i += PAGE)
        sum += (unsigned char) view[i];
    ck_assert_uint_eq(sum, size / PAGE);
    ck_assert_uint_eq(smaps_field(view, "ShmemPmdMapped"), granted);
    munmap(view, size);
    close(fd);
}
END_TEST

/* The length of a hugetlb mapping is rounded to its pages, and the mapping cannot be cut inside one. */
START_TEST(test_hugetlb_mappings_are_rounded) {
    if (!machine_add_hugetlb(1))
        test_skip("the pool of 2 MiB pages cannot be made larger (vm.nr_hugepages)");
    int fd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | 21u << 26);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, PAGE), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(ftruncate(fd, HUGE), 0);
    char *data = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED && errno == ENOMEM) {
        close(fd);
        test_skip("somebody else has taken the pool's 2 MiB page");
    }
    ck_assert_ptr_ne(data, MAP_FAILED);
    data[HUGE - 1] = 'x';
    ck_assert_uint_eq(smaps_field(data, "Shared_Hugetlb") + smaps_field(data, "Private_Hugetlb"), HUGE / 1024);
    ck_assert_int_eq(munmap(data, PAGE), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(munmap(data, HUGE), 0);

    ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1); /* write() is impossible, too */
    ck_assert_int_eq(errno, EINVAL);
    char byte;
    ck_assert_int_eq(pread(fd, &byte, 1, HUGE - 1), 1);
    ck_assert_int_eq(byte, 'x');
    close(fd);
}
END_TEST

/* A name may contain any bytes; a newline does not make a line in /proc. */
START_TEST(test_names_are_escaped) {
    int fd = memfd_create("one\ntwo", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, PAGE), 0);
    void *data = kernel_map(fd, PAGE, PROT_READ);
    char line[512];
    bool is_there = false, is_torn = false;
    FILE *file = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) {
        is_there |= strstr(line, "memfd:one\\012two") != NULL;
        is_torn |= strncmp(line, "two", 3) == 0;
    }
    fclose(file);
    munmap(data, PAGE);
    close(fd);
    ck_assert(is_there);
    ck_assert(!is_torn);
}
END_TEST

static int map_all(void *arg) {
    (void) arg;
    for (int i = 0; i < 300000; i++)
        if (mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            return errno == ENOMEM ? 0 : 1;
    return 2;
}

/* Exceeding vm.max_map_count is an error, and has no worse effect. */
START_TEST(test_mappings_end_with_enomem) {
    long most = -1;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    ck_assert(file == NULL || fscanf(file, "%ld", &most) == 1);
    if (file != NULL)
        fclose(file);
    if (most < 0 || most > 200000)
        test_skip("vm.max_map_count is unknown or too large to be reached: %ld", most);
    ck_assert(kernel_child(map_all, NULL));
}
END_TEST

/* Calls io_uring_register() with IORING_REGISTER_BUFFERS. Returns 0, or a negative errno value. */
static int register_buffer(int ring, void *data, size_t size) {
    struct iovec buffer = {.iov_base = data, .iov_len = size};
    return syscall(SYS_io_uring_register, ring, 0, &buffer, 1) < 0 ? -errno : 0;
}

/* Registering a buffer needs the right to write: so received and sealed memory must be read and written by plain
 * requests. */
START_TEST(test_read_only_memory_is_no_registered_buffer) {
    uint32_t parameters[30] = {0}; /* struct io_uring_params: 120 bytes */
    int ring = (int) syscall(SYS_io_uring_setup, 4, parameters);
    if (ring < 0)
        test_skip("no io_uring: %s", strerror(errno));
    int fd = kernel_memfd(PAGE);
    void *own = kernel_map(fd, PAGE, PROT_READ | PROT_WRITE);
    void *view = kernel_map(fd, PAGE, PROT_READ);
    int writable = register_buffer(ring, own, PAGE);
    if (writable == 0)
        ck_assert_int_eq((int) syscall(SYS_io_uring_register, ring, 1, NULL, 0), 0); /* unregister */
    int readable = register_buffer(ring, view, PAGE);
    munmap(view, PAGE);
    munmap(own, PAGE);
    close(fd);
    close(ring);
    if (writable < 0)
        test_skip("io_uring registers nothing here: %s", strerror(-writable));
    ck_assert_int_eq(readable, -EFAULT);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_map");
    suite_fixture(s, machine_restore, machine_restore);
    suite_add(s, test_a_sealed_memfd_can_be_mapped);
    suite_add(s, test_reading_a_hole);
    suite_add(s, test_blocks_can_be_faked);
    suite_add(s, test_any_size_can_be_sealed);
    suite_add(s, test_behind_the_end_is_sigbus);
    suite_add(s, test_populating);
    suite_add(s, test_mappings_can_stay_behind_at_fork);
    suite_add(s, test_a_private_view_shares_the_pages);
    suite_add_loop(s, test_blocks_cover_the_size, 0, 12);
    suite_add_loop(s, test_blocks_cover_a_file_that_was_cut, 0, 6);
    suite_add(s, test_huge_pages_are_shared);
    suite_add(s, test_hugetlb_mappings_are_rounded);
    suite_add(s, test_names_are_escaped);
    suite_add(s, test_mappings_end_with_enomem);
    suite_add(s, test_read_only_memory_is_no_registered_buffer);
    return suite_run(s);
}
