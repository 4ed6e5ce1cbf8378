/* SPDX-License-Identifier: MIT */
/* memory/arena: memory that only its owner can write, handed out to one audience. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory/arena.h"
#include "memory/refusal.h"
#include "memory/reserve.h"
#include "support/machine.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "unit/fail.h"
#include "unit/tree.h"
#include "unit/valgrind.h"

#define MIB ((size_t) 1 << 20)
#define PAGE ((size_t) sysconf(_SC_PAGESIZE))

static void before(void) {
    fail_off();
    machine_restore();
}

static const struct {
    size_t stride;
    uint32_t count;
} shapes[] = {{64, 1}, {1024, 64}, {1280, 3}, {5 * 64, 1000}, {MIB, 1}, {MIB, 2}, {2 * MIB + 4096, 3}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static struct arena new_arena(int shape) {
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, shapes[shape].stride, shapes[shape].count, NULL), 0);
    return arena;
}

static struct stat status_of(int fd) {
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    return status;
}

START_TEST(test_sizes) {
    ck_assert_uint_eq(arena_size(64, 1), PAGE);
    ck_assert_uint_eq(arena_size(PAGE, 1), PAGE);
    ck_assert_uint_eq(arena_size(PAGE, 3), 3 * PAGE);
    ck_assert_uint_eq(arena_size(PAGE + 64, 1), 2 * PAGE);
    ck_assert_uint_eq(arena_size(64, 1u << 24), (size_t) 64 << 24);
}
END_TEST

START_TEST(test_shapes_that_are_none) {
    static const struct {
        size_t stride;
        uint32_t count;
    } wrong[] = {{0, 1},
                 {64, 0},
                 {63, 1},
                 {96, 1},
                 {64, (1u << 24) + 1},
                 {SIZE_MAX - 63, 1},
                 {SIZE_MAX / 4 + 1, 2},
                 {SIZE_MAX / 64 * 64, 3}};
    struct arena arena;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_uint_eq(arena_size(wrong[i].stride, wrong[i].count), 0);
        ck_assert_int_eq(arena_init(&arena, wrong[i].stride, wrong[i].count, NULL), -ENOMEM);
    }
}
END_TEST

START_TEST(test_all_its_pages_are_there) {
    struct arena arena = new_arena(_i);
    ck_assert_uint_eq(arena.size, arena_size(shapes[_i].stride, shapes[_i].count));
    struct stat status = status_of(arena.fd);
    ck_assert_uint_eq((size_t) status.st_size, arena.size);
    ck_assert_uint_ge((size_t) status.st_blocks * 512, arena.size);
    memset(arena.data, 'x', arena.size);
    ck_assert_int_eq(status_of(arena.fd).st_blocks, status.st_blocks);
    arena_deinit(&arena);
    ck_assert_int_eq(arena.fd, -1);
    ck_assert_ptr_null(arena.data);
    arena_deinit(&arena); /* an empty arena */
}
END_TEST

static long faults(void) {
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

/* Before Linux 5.14 only an access maps a page: an arena's pages are reserved when it is made, and mapped when they
 * are written. */
static bool can_populate(void) {
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can = page != MAP_FAILED && map_populate(page, PAGE) == 0;
    munmap(page, PAGE);
    return can;
}

/* The writer of the first payload must not wait for the kernel. */
START_TEST(test_all_its_pages_are_mapped) {
    if (!can_populate())
        test_skip("this kernel has no MADV_POPULATE_WRITE");
    if (is_under_valgrind())
        test_skip("the memory checker's faults are counted with ours");
    struct arena arena = new_arena(_i);
    CLEANUP_FD int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    long before = faults();
    /* the kernel reads the pages, so no sanitizer looks */
    long written = syscall(SYS_read, zeros, arena.data, arena.size);
    long taken = faults() - before;
    ck_assert_int_eq(written, (long) arena.size);
    ck_assert_int_lt(taken, 8 + written / (long) PAGE / 16); /* the call itself takes some faults */
    arena_deinit(&arena);
}
END_TEST

/* After its announcement an arena needs no descriptor. */
START_TEST(test_announced) {
    struct arena arena = new_arena(_i);
    int fd = arena.fd;
    arena_note_announced(&arena);
    ck_assert(arena.is_announced);
    ck_assert_int_eq(arena.fd, -1);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    memset(arena.data, 'x', arena.size);
    ck_assert_uint_eq(map_count_resident(arena.data, arena.size), arena.size);
    arena_deinit(&arena);
    ck_assert_ptr_null(arena.data);
}
END_TEST

START_TEST(test_blocks_lie_side_by_side) {
    struct arena arena = new_arena(_i);
    ck_assert(!arena.is_announced);
    for (uint32_t i = 0; i < arena.count; i++) {
        ck_assert_ptr_eq(arena_at(&arena, i), arena.data + i * arena.stride);
        ck_assert_uint_eq((uintptr_t) arena_at(&arena, i) % 64, 0);
    }
    ck_assert_uint_le(arena.stride * arena.count, arena.size);
    arena_deinit(&arena);
}
END_TEST

START_TEST(test_a_private_one) {
    struct arena arena = ARENA_EMPTY;
    ck_assert_int_eq(arena_init_private(&arena, 1024, 5, NULL), 0);
    ck_assert_int_eq(arena.fd, -1);
    ck_assert_uint_eq(arena.size, arena_size(1024, 5));
    for (size_t i = 0; i < arena.size; i++)
        if (arena.data[i])
            ck_abort_msg("byte %zu", i);
    memset(arena_at(&arena, 4), 'x', 1024);
    arena_deinit(&arena);
    ck_assert_ptr_null(arena.data);
    ck_assert_int_eq(arena_init_private(&arena, 1000, 5, NULL), -ENOMEM);
    fail_call(INJECT_ALLOC, 1, 1, ENOMEM);
    ck_assert_int_eq(arena_init_private(&arena, 1024, 5, NULL), -ENOMEM);
    fail_off();
}
END_TEST

/* A private arena asks admission before it is made, although its memory comes from malloc(). */
START_TEST(test_a_private_one_is_admitted) {
    struct arena arena = ARENA_EMPTY;
    struct admission asked;
    tree_make();
    admission_init(&asked, NULL, NULL);
    asked.proc = asked.mount = tree_path;
    /* 16 MiB are kept free, and one page is left */
    tree_write("meminfo", "MemTotal: 1048576 kB\nMemAvailable: 16388 kB\n");
    fail_call(INJECT_ALLOC, 0, 0, 0);
    ck_assert_int_eq(arena_init_private(&arena, 1024, 5, &asked), -ENOMEM);
    ck_assert_int_eq(fail_calls(INJECT_ALLOC), 0);
    ck_assert_int_eq(arena_init_private(&arena, 1024, 4, &asked), 0);
    ck_assert_uint_eq(asked.promised, 0);
    arena_deinit(&arena);
    admission_deinit(&asked);
    tree_remove();
}
END_TEST

/* Written bytes show through the descriptor, and the descriptor permits no way of writing. */
START_TEST(test_one_writer) {
    struct arena arena = new_arena(_i);
    const void *view = NULL;
    char link[40];
    ck_assert(memfd_seals_hold_others(fcntl(arena.fd, F_GET_SEALS)));
    ck_assert_int_eq(fcntl(arena.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(fcntl(arena.fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(status_of(arena.fd).st_mode & 0777, 0444);
    ck_assert_int_eq(map_new_readable(arena.fd, arena.size, &view), 0);
    memcpy(arena_at(&arena, arena.count - 1), "written late", 13);
    ck_assert_str_eq((const char *) view + (arena.count - 1) * arena.stride, "written late");
    map_free(view, arena.size);

    snprintf(link, sizeof link, "/proc/self/fd/%d", arena.fd);
    CLEANUP_FD int fd = open(link, O_RDWR | O_CLOEXEC); /* root may open it for writing */
    if (fd >= 0) {
        ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
        ck_assert_ptr_eq(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        ck_assert_int_eq(ftruncate(fd, 0), -1);
        ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t) PAGE), -1);
    }
    arena_deinit(&arena);
}
END_TEST

/* Every system call of the construction fails in turn: none leaves a resource behind. */
START_TEST(test_every_call_can_fail) {
    static const struct {
        enum inject_kind kind;
        int error, told;
    } failures[] = {{INJECT_MEMFD_CREATE, EMFILE, -EMFILE}, {INJECT_MEMFD_CREATE, ENFILE, -ENFILE},
                    {INJECT_MEMFD_CREATE, ENOMEM, -ENOMEM}, {INJECT_FTRUNCATE, ENOMEM, -ENOMEM},
                    {INJECT_MMAP, ENOMEM, -ENOMEM},         {INJECT_MADVISE, ENOMEM, -ENOMEM},
                    {INJECT_ADD_SEALS, EINVAL, -EINVAL},    {INJECT_OPEN, EMFILE, -EMFILE},
                    {INJECT_PWRITE, ENOSPC, -ENOMEM}};
    struct arena arena = ARENA_EMPTY;
    fail_once(failures[_i].kind, failures[_i].error);
    if (failures[_i].kind == INJECT_OPEN) /* the first open() calls only read the policy of huge pages */
        fail_always(INJECT_OPEN, failures[_i].error);
    if (failures[_i].kind == INJECT_MADVISE)
        fail_call(INJECT_MADVISE, 2, 1, failures[_i].error); /* the first call is DONTFORK, the second POPULATE_READ */
    ck_assert_int_eq(arena_init(&arena, 4096, 16, NULL), failures[_i].told);
    ck_assert_int_eq(arena.fd, -1);
    ck_assert_ptr_null(arena.data);
}
END_TEST

/* When the kernel refuses to keep the mapping from children, no arena is made. */
START_TEST(test_no_arena_that_children_inherit) {
    struct arena arena = ARENA_EMPTY;
    fail_once(INJECT_MADVISE, ENOMEM);
    ck_assert_int_eq(arena_init(&arena, 4096, 16, NULL), -ENOMEM);
}
END_TEST

START_TEST(test_kernels_that_cannot_populate) {
    struct arena arena = ARENA_EMPTY;
    fail_call(INJECT_MADVISE, 2, 1, EINVAL);
    ck_assert_int_eq(arena_init(&arena, 4096, 16, NULL), 0);
    ck_assert_uint_ge((size_t) status_of(arena.fd).st_blocks * 512, arena.size);
    arena_deinit(&arena);
}
END_TEST

/* Without /proc the descriptor is a duplicate, which the seals make equally harmless. */
START_TEST(test_without_proc) {
    struct arena arena = ARENA_EMPTY;
    fail_always(INJECT_OPEN, ENOENT);
    ck_assert_int_eq(arena_init(&arena, 4096, 16, NULL), 0);
    ck_assert_int_eq(pwrite(arena.fd, "x", 1, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    arena_deinit(&arena);
}
END_TEST

START_TEST(test_the_file_size_limit) {
    const struct rlimit limit = {.rlim_cur = 16 * 4096, .rlim_max = RLIM_INFINITY};
    struct arena arena = ARENA_EMPTY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(arena_init(&arena, 4096, 17, NULL), -EFBIG);
    ck_assert_int_eq(arena_init(&arena, 4096, 16, NULL), 0);
    arena_deinit(&arena);
}
END_TEST

static struct admission admission;

START_TEST(test_more_than_the_machine_has) {
    struct arena arena = ARENA_EMPTY;
    admission_init(&admission, NULL, NULL);
    fail_call(INJECT_FALLOCATE, 0, 0, 0);
    /* 32 TiB: refused before a page is touched; under valgrind its own mmap() refuses. */
    ck_assert_int_eq(arena_init(&arena, (size_t) 1 << 45, 1, &admission), is_under_valgrind() ? -EINVAL : -ENOMEM);
    ck_assert_int_eq(fail_calls(INJECT_FALLOCATE), 0);
    ck_assert_int_eq(arena.fd, -1);
    admission_deinit(&admission);
}
END_TEST

START_TEST(test_huge_pages_where_they_are_granted) {
    if (!machine_grant_huge())
        test_skip("shmem_enabled cannot be set here");
    struct arena arena = ARENA_EMPTY;
    ck_assert_int_eq(arena_init(&arena, 2 * MIB + 4096, 3, NULL), 0);
    ck_assert_uint_eq((uintptr_t) arena.data % MEMFD_HUGE_SIZE, 0);
    size_t huge = map_count_huge(arena.data, arena.size);
    arena_deinit(&arena);
    ck_assert_int_eq(arena_init(&arena, MIB, 1, NULL), 0); /* too small for a huge page */
    ck_assert_uint_eq(map_count_huge(arena.data, arena.size), 0);
    arena_deinit(&arena);
    if (huge == 0)
        test_skip("no huge page was free");
    ck_assert_uint_eq(huge, 6 * MIB);
}
END_TEST

/* Returns the number of 64 KiB pages that the whole machine has made since it started. */
static uint64_t folios_made(void) {
    unsigned long long count = 0;
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/hugepages-64kB/stats/shmem_alloc", "re");
    if (!file || fscanf(file, "%llu", &count) != 1)
        test_skip("this kernel does not count pages of 64 KiB");
    fclose(file);
    return count;
}

START_TEST(test_folios_where_they_are_granted) {
    static const char *const words[] = {"always", "within_size", "advise"};
    if (!machine_choose_folios(words[_i]))
        test_skip("hugepages-64kB/shmem_enabled cannot be changed");
    struct arena arena = ARENA_EMPTY;
    uint64_t allocated = 0, before = folios_made();
    ck_assert_int_eq(arena_init(&arena, 4096, 128, NULL), 0);
    uint64_t made = folios_made() - before;
    ck_assert_uint_eq((uintptr_t) arena.data % (512 << 10), 0);
    ck_assert_int_eq(memfd_allocated(arena.fd, &allocated), 0);
    ck_assert_uint_eq(allocated, arena.size);
    memset(arena.data, 7, arena.size);
    arena_deinit(&arena);
    ck_assert_int_eq(arena_init(&arena, 64, 64, NULL), 0); /* too small for a 64 KiB page */
    ck_assert_int_eq(memfd_allocated(arena.fd, &allocated), 0);
    ck_assert_uint_eq(allocated, arena.size);
    arena_deinit(&arena);
    if (made == 0 && is_under_valgrind())
        test_skip("valgrind does not align mappings");
    ck_assert_uint_ge(made, 8);
}
END_TEST

/* For machines that give huge pages to all memfds. */
START_TEST(test_no_page_is_added) {
    static const struct {
        size_t stride;
        uint32_t count;
    } cases[] = {{64, 64}, {4096, 16}, {MIB + 4096, 1}, {MIB + 4096, 3}};
    if (!machine_choose_huge("always"))
        test_skip("shmem_enabled cannot be set here");
    struct arena arena = ARENA_EMPTY;
    uint64_t allocated = 0;
    ck_assert_int_eq(arena_init(&arena, cases[_i].stride, cases[_i].count, NULL), 0);
    ck_assert_int_eq(memfd_allocated(arena.fd, &allocated), 0);
    ck_assert_uint_eq(allocated, arena.size);
    ck_assert_uint_eq(arena.excess, 0);
    arena_deinit(&arena);
}
END_TEST

/* --- memory/reserve: the part that test_sealed.c does not use --- */

START_TEST(test_pages_that_are_there) {
    static const struct {
        uint64_t size, allocated;
        bool is_whole;
    } cases[] = {{4096, 4096, true},
                 {4096, 0, false},
                 {8192, 4096, false},
                 {4096, 2 << 20, true},
                 {4096, (2 << 20) + 1, false},
                 {2 << 20, 2 << 20, true},
                 {2 << 20, (2 << 20) + 4096, false},
                 {0, 0, true},
                 {UINT64_MAX, UINT64_MAX, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct memfd_info info = {.size = cases[i].size, .allocated = cases[i].allocated};
        ck_assert_msg(reserve_is_whole(&info) == cases[i].is_whole, "case %zu", i);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("arena");
    suite_fixture(s, before, before);
    suite_add(s, test_sizes);
    suite_add(s, test_shapes_that_are_none);
    suite_add_loop(s, test_all_its_pages_are_there, 0, SHAPES);
    suite_add_loop(s, test_all_its_pages_are_mapped, 0, SHAPES);
    suite_add_loop(s, test_announced, 0, SHAPES);
    suite_add_loop(s, test_blocks_lie_side_by_side, 0, SHAPES);
    suite_add(s, test_a_private_one);
    suite_add(s, test_a_private_one_is_admitted);
    suite_add_loop(s, test_one_writer, 0, SHAPES);
    suite_add_loop(s, test_every_call_can_fail, 0, 9);
    suite_add(s, test_no_arena_that_children_inherit);
    suite_add(s, test_kernels_that_cannot_populate);
    suite_add(s, test_without_proc);
    suite_add(s, test_the_file_size_limit);
    suite_add(s, test_more_than_the_machine_has);
    suite_add(s, test_huge_pages_where_they_are_granted);
    suite_add_loop(s, test_folios_where_they_are_granted, 0, 3);
    suite_add_loop(s, test_no_page_is_added, 0, 4);
    suite_add(s, test_pages_that_are_there);
    return suite_run(s);
}
