/* SPDX-License-Identifier: MIT */
/* memory/sealed: our sealed memory, which is written, cut and frozen; and a peer's, which is examined before it is
 * mapped. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory/reserve.h"
#include "memory/sealed.h"
#include "support/child.h"
#include "support/machine.h"
#include "support/trap.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/memfd.h"
#include "unit/fail.h"
#include "unit/settle.h"
#include "unit/valgrind.h"
#include <sealane/block.h>

#define MIB ((size_t) 1 << 20)
#define PAGE ((size_t) sysconf(_SC_PAGESIZE))

enum { SIZES = 8 };

/* Sizes: zero, a few bytes, around a page, around a huge page. */
static size_t size_of(int i) {
    const size_t sizes[SIZES] = {0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1};
    return sizes[i];
}

static struct refusal_log refusals;
static struct admission admission;

static void make_log(void) {
    settle_begin();
    fail_off();
    machine_restore();
    refusal_init(&refusals);
    admission_init(&admission, &refusals, NULL);
}

static void drop_log(void) {
    fail_off();
    machine_restore();
    admission_deinit(&admission);
    refusal_deinit(&refusals);
    settle_threads();
}

/* Makes a sealed memory as a caller does that has no cheaper way left. */
static int explained_new(struct sealed *ret, size_t size, enum sealed_layout layout, bool allow_huge) {
    int r = sealed_new(ret, size, layout, allow_huge, &admission);
    return r < 0 ? reserve_explain(r, size, layout == SEALED_HUGETLB, &admission) : 0;
}

static sea_refusal newest(void) {
    sea_refusal refusal;
    refusal_read(&refusals, &refusal);
    return refusal;
}

static struct sealed new_sealed(size_t size) {
    struct sealed sealed;
    ck_assert_int_eq(explained_new(&sealed, size, SEALED_EXACT, true), 0);
    return sealed;
}

static struct stat status_of(int fd) {
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    return status;
}

/* Returns byte `i` of pattern `seed`; the pattern does not repeat soon. */
static unsigned char pattern(size_t i, unsigned seed) {
    return (unsigned char) ((i * 31 + (i >> 8) * 17 + (i >> 16) + seed) % 251);
}

static void pattern_fill(void *data, size_t size, size_t from, unsigned seed) {
    for (size_t i = 0; i < size; i++)
        ((unsigned char *) data)[i] = pattern(from + i, seed);
}

static bool pattern_holds(const void *data, size_t size, size_t from, unsigned seed) {
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *) data)[i] != pattern(from + i, seed))
            return false;
    return true;
}

static bool is_zero(const void *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (((const char *) data)[i] != 0)
            return false;
    return true;
}

/* Fills all of it through a buffer of its own. */
static void fill_all(struct sealed *sealed, unsigned seed) {
    char *bytes = malloc(sealed->size + 1);
    ck_assert_ptr_nonnull(bytes);
    pattern_fill(bytes, sealed->size, 0, seed);
    ck_assert_int_eq(sealed_fill(sealed, 0, bytes, sealed->size), 0);
    free(bytes);
}

static bool holds_all(struct sealed *sealed, unsigned seed) {
    const void *view = sealed_map(sealed);
    ck_assert_ptr_nonnull(view);
    return pattern_holds(view, sealed->size, 0, seed);
}

/* Checks that the kernel refuses every way of writing. */
static void assert_unwritable(const struct sealed *sealed) {
    char link[40];
    ck_assert(memfd_seals_hold(fcntl(sealed->fd, F_GET_SEALS)));
    ck_assert_int_eq(pwrite(sealed->fd, "x", 1, 0), -1);
    ck_assert(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, sealed->fd, 0) == MAP_FAILED);
    if (sealed->data)
        ck_assert_int_eq(mprotect(sealed->data, 1, PROT_READ | PROT_WRITE), -1);
    snprintf(link, sizeof link, "/proc/self/fd/%d", sealed->fd);
    CLEANUP_FD int fd = open(link, O_RDWR | O_CLOEXEC); /* root can open it */
    if (fd >= 0) {
        ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
        ck_assert_int_eq(errno,
                         sealed->layout == SEALED_HUGETLB ? EINVAL : EPERM); /* hugetlb pages accept no write() */
        ck_assert_int_eq(ftruncate(fd, (off_t) (sealed_file_size(sealed->size, sealed->layout) + 2 * MIB)), -1);
    }
}

/* --- examining a peer's memory --- */

/* Takes `fd`. On failure only the reason is written. */
static int import(int fd, const struct sealed_claim *claim, struct sealed *ret, const char **ret_why) {
    struct sealed before;
    memset(ret, 0x5a, sizeof *ret);
    before = *ret;
    *ret_why = NULL;
    int r = sealed_import(ret, fd, claim, ret_why);
    if (r < 0) {
        ck_assert_mem_eq(ret, &before, sizeof before);
        ck_assert_ptr_nonnull(*ret_why);
    }
    return r;
}

/* Checks that the memory is refused without having been mapped. */
static void assert_rejected(int fd, const struct sealed_claim *claim, int error, const char *word) {
    struct sealed sealed;
    const char *why;
    fail_call(INJECT_MMAP, 0, 0, 0);
    int r = import(fd, claim, &sealed, &why);
    ck_assert_msg(r == error, "%d instead of %d: %s", r, error, why);
    ck_assert_msg(strstr(why, word) != NULL, "%s", why);
    ck_assert_int_eq(fail_calls(INJECT_MMAP), 0);
}

static const struct sealed_claim anything = {.size = UINT64_MAX, .size_max = UINT64_MAX, .any_pages = true};

/* --- making --- */

START_TEST(test_new_memory_is_reserved_and_zero) {
    size_t size = size_of(_i);
    struct sealed sealed = new_sealed(size);
    ck_assert_uint_eq(sealed.size, size);
    ck_assert(!sealed.is_frozen);
    ck_assert_int_eq(sealed.layout, SEALED_EXACT);
    struct stat status = status_of(sealed.fd);
    ck_assert_int_eq(status.st_size, (off_t) size);
    ck_assert_uint_ge((size_t) status.st_blocks * 512, size); /* real pages: writing cannot raise SIGBUS */
    ck_assert_int_eq(fcntl(sealed.fd, F_GETFD), FD_CLOEXEC);
    void *data = sealed_map(&sealed);
    ck_assert_ptr_nonnull(data);
    ck_assert_ptr_eq(sealed_map(&sealed), data);
    ck_assert(is_zero(data, size));
    bool may_be_huge = size >= MEMFD_HUGE_SIZE; /* depends on this machine's setting */
    int pages = sealed_pages(&sealed);
    ck_assert(pages == (size ? SEA_PAGES_SMALL : SEA_PAGES_NONE) || (may_be_huge && pages == SEA_PAGES_THP));
    memset(data, 'x', size);
    ck_assert_int_eq(status_of(sealed.fd).st_blocks, status.st_blocks);
    sealed_deinit(&sealed);
    ck_assert_int_eq(sealed.fd, -1);
    ck_assert_ptr_null(sealed.data);
    ck_assert_int_eq(newest().error, 0);
}
END_TEST

START_TEST(test_the_empty_one_can_be_ended) {
    struct sealed sealed = SEALED_EMPTY;
    sealed_deinit(&sealed);
    sealed_deinit(&sealed);
    ck_assert_int_eq(sealed.fd, -1);
}
END_TEST

START_TEST(test_file_sizes) {
    ck_assert_uint_eq(sealed_file_size(0, SEALED_EXACT), 0);
    ck_assert_uint_eq(sealed_file_size(12345, SEALED_EXACT), 12345);
    ck_assert_uint_eq(sealed_file_size(0, SEALED_HUGETLB), 0);
    ck_assert_uint_eq(sealed_file_size(1, SEALED_HUGETLB), 2 * MIB);
    ck_assert_uint_eq(sealed_file_size(2 * MIB, SEALED_HUGETLB), 2 * MIB);
    ck_assert_uint_eq(sealed_file_size(2 * MIB + 1, SEALED_HUGETLB), 4 * MIB);
    ck_assert_uint_eq(sealed_file_size(UINT64_C(1) << 62, SEALED_HUGETLB), UINT64_C(1) << 62);
    ck_assert_uint_eq(sealed_file_size(UINT64_MAX - 1, SEALED_HUGETLB), UINT64_MAX);
    ck_assert_uint_eq(sealed_file_size(0, SEALED_PADDED), 0);
    ck_assert_uint_eq(sealed_file_size(MIB, SEALED_PADDED), 2 * MIB);
    ck_assert_uint_eq(sealed_file_size(2 * MIB, SEALED_PADDED), 2 * MIB);
    ck_assert_uint_eq(sealed_file_size(2 * MIB + 1, SEALED_PADDED), 4 * MIB);
}
END_TEST

/* --- writing --- */

START_TEST(test_written_memory_is_frozen) {
    struct sealed sealed = new_sealed(size_of(_i));
    pattern_fill(sealed_map(&sealed), sealed.size, 0, 1);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert(sealed.is_frozen);
    ck_assert_ptr_null(sealed.data); /* the writable pointers have ended */
    ck_assert(holds_all(&sealed, 1));
    ck_assert_int_eq(status_of(sealed.fd).st_mode & 0777, 0444);
    ck_assert_int_eq(fcntl(sealed.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(fcntl(sealed.fd, F_GETFD), FD_CLOEXEC);
    if (sealed.size > 0)
        assert_unwritable(&sealed);
    sealed_deinit(&sealed);
}
END_TEST

/* Copies to many different places; a plain buffer gets the same bytes. */
static void fill_here_and_there(struct sealed *sealed, char *model) {
    static const size_t odd[][2] = {{0, 1}, {4095, 2}, {100, 10000}, {65536, 65536}, {1, 0}, {2 * MIB - 3, 4}};
    char *bytes = malloc(MIB);
    ck_assert_ptr_nonnull(bytes);
    for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
        size_t offset = odd[i][0], size = odd[i][1];
        if (offset > sealed->size || size > sealed->size - offset)
            continue;
        pattern_fill(bytes, size, 0, 40 + i);
        memcpy(model + offset, bytes, size);
        ck_assert_int_eq(sealed_fill(sealed, offset, bytes, size), 0);
    }
    size_t tail = sealed->size < 7 ? sealed->size : 7; /* up to the last byte */
    memset(model + sealed->size - tail, 'z', tail);
    ck_assert_int_eq(sealed_fill(sealed, sealed->size - tail, model + sealed->size - tail, tail), 0);
    free(bytes);
}

START_TEST(test_filled_at_offsets) {
    for (int mapped = 0; mapped < 2; mapped++) {
        struct sealed sealed = new_sealed(size_of(_i));
        char *model = calloc(1, sealed.size + 1);
        ck_assert_ptr_nonnull(model);
        if (mapped)
            sealed_map(&sealed);
        fail_call(INJECT_MMAP, 0, 0, 0);
        fill_here_and_there(&sealed, model);
        ck_assert_int_eq(fail_calls(INJECT_MMAP), 0); /* its maker need not map it */
        ck_assert_int_eq(sealed_freeze(&sealed), 0);
        ck_assert_mem_eq(sealed_map(&sealed), model, sealed.size);
        sealed_deinit(&sealed);
        free(model);
    }
}
END_TEST

START_TEST(test_fills_and_pointers_may_alternate) {
    struct sealed sealed = new_sealed(3 * PAGE);
    ck_assert_int_eq(sealed_fill(&sealed, 0, "one", 3), 0);
    char *data = sealed_map(&sealed);
    ck_assert_mem_eq(data, "one", 3);
    memcpy(data + PAGE, "two", 3);
    ck_assert_int_eq(sealed_fill(&sealed, 2 * PAGE, "three", 5), 0);
    ck_assert_mem_eq(data + 2 * PAGE, "three", 5);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    const char *view = sealed_map(&sealed);
    ck_assert_mem_eq(view, "one", 3);
    ck_assert_mem_eq(view + PAGE, "two", 3);
    ck_assert_mem_eq(view + 2 * PAGE, "three", 5);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_a_fill_that_fails) {
    struct sealed sealed = new_sealed(PAGE);
    fail_once(INJECT_PWRITE, EIO);
    ck_assert_int_eq(sealed_fill(&sealed, 0, "x", 1), failure_of(INJECT_PWRITE, EIO));
    ck_assert_int_eq(sealed_fill(&sealed, 0, "y", 1), 0);
    ck_assert_int_eq(*(char *) sealed_map(&sealed), 'y');
    sealed_deinit(&sealed);
}
END_TEST

/* --- writing from files --- */

/* Returns a file of `size` patterned bytes, deleted already, at position 0. */
static int new_file(size_t size) {
    char name[] = "/tmp/sealane-sealed-XXXXXX", *bytes = malloc(size + 1);
    int fd = mkostemp(name, O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_ptr_nonnull(bytes);
    unlink(name);
    pattern_fill(bytes, size, 0, 5);
    ck_assert_int_eq(pwrite(fd, bytes, size, 0), (ssize_t) size);
    free(bytes);
    return fd;
}

/* Fills all of it, from the descriptor's own position, to offset 0. */
START_TEST(test_filled_from_a_file) {
    size_t size = size_of(_i);
    CLEANUP_FD int file = new_file(size);
    struct sealed sealed = new_sealed(size);
    if (size > 0)
        ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, -1, size), (int64_t) size);
    ck_assert_int_eq(lseek(file, 0, SEEK_CUR), (off_t) size);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert(holds_all(&sealed, 5));
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_filled_from_the_middle_of_a_file) {
    static const size_t froms[] = {0, 1, 4095, 4096, 70000}, tos[] = {0, 1, 4096, 12345};
    CLEANUP_FD int file = new_file(100000);
    ck_assert_int_eq(lseek(file, 17, SEEK_SET), 17);
    for (size_t i = 0; i < 4; i++) {
        struct sealed sealed = new_sealed(60000);
        if (_i % 2)
            sealed_map(&sealed);
        size_t from = froms[_i / 2], to = tos[i], size = 20000;
        ck_assert_int_eq(sealed_fill_file(&sealed, to, file, (int64_t) from, size), (int64_t) size);
        const char *data = sealed_map(&sealed);
        ck_assert(is_zero(data, to));
        ck_assert(pattern_holds(data + to, size, from, 5));
        ck_assert(is_zero(data + to + size, sealed.size - to - size));
        sealed_deinit(&sealed);
    }
    ck_assert_int_eq(lseek(file, 0, SEEK_CUR), 17); /* an explicit offset leaves the position unchanged */
}
END_TEST

/* The position moves by the bytes that were read, so that the next block continues there. */
START_TEST(test_files_go_on_where_they_were) {
    CLEANUP_FD int file = new_file(10000);
    for (size_t at = 0; at < 10000; at += 2500) {
        struct sealed sealed = new_sealed(2500);
        ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, -1, 2500), 2500);
        ck_assert(pattern_holds(sealed_map(&sealed), 2500, at, 5));
        sealed_deinit(&sealed);
    }
}
END_TEST

START_TEST(test_a_file_that_is_too_short) {
    CLEANUP_FD int file = new_file(10000);
    struct sealed sealed = new_sealed(20000);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 0, 20000), 10000);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 9999, 2), 1);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 10000, 1), 0);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 50000, 1), 0);
    ck_assert_int_eq(sealed_fill_file(&sealed, 10000, file, -1, 10000), 10000);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, -1, 1), 0); /* the position is at the end now */
    ck_assert_int_eq(status_of(sealed.fd).st_size, 20000);
    sealed_deinit(&sealed);
}
END_TEST

/* Holes read as zeros, which overwrite the old bytes. */
START_TEST(test_a_sparse_file) {
    size_t size = 4 * MIB;
    CLEANUP_FD int file = new_file(PAGE);
    ck_assert_int_eq(pwrite(file, "end", 3, (off_t) size - 3), 3);
    struct sealed sealed = new_sealed(size);
    memset(sealed_map(&sealed), 0xee, size);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 0, size), (int64_t) size);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    const char *view = sealed_map(&sealed);
    ck_assert(pattern_holds(view, PAGE, 0, 5));
    ck_assert(is_zero(view + PAGE, size - PAGE - 3));
    ck_assert_mem_eq(view + size - 3, "end", 3);
    ck_assert_uint_ge((size_t) status_of(sealed.fd).st_blocks * 512, size); /* the memory itself has got no holes */
    sealed_deinit(&sealed);
}
END_TEST

/* A descriptor that gives `size` bytes and then the end: a pipe or a socket, with a child that writes. */
struct source {
    struct child child;
    int fd;
    int other;
    size_t size;
};

static int pour(int line, void *arg) {
    struct source *source = arg;
    char *bytes = malloc(source->size + 1);
    int fd = -1;
    if (!bytes || !line_hear_fd(line, 10000, &fd)) {
        free(bytes);
        return 1;
    }
    pattern_fill(bytes, source->size, 0, 6);
    for (size_t done = 0; done < source->size;) {
        ssize_t n = write(fd, bytes + done, source->size - done < 50001 ? source->size - done : 50001);
        if (n <= 0)
            return 2;
        done += (size_t) n;
    }
    free(bytes);
    close(fd);
    return 0;
}

static void source_open(struct source *source, bool is_socket, size_t size) {
    int ends[2];
    ck_assert_int_eq(is_socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC), 0);
    source->fd = ends[0];
    source->size = size;
    child_start(&source->child, pour, source);
    ck_assert(line_tell_fd(source->child.line, ends[1]));
    close(ends[1]);
}

static void source_close(struct source *source) {
    ck_assert_int_eq(child_end(&source->child, 10000), 0);
    close(source->fd);
}

START_TEST(test_filled_from_a_pipe_or_socket) {
    size_t size = size_of(_i / 2);
    struct source source;
    struct sealed sealed = new_sealed(size + 10);
    source_open(&source, _i % 2, size);
    size_t half = size / 2;
    if (half > 0)
        ck_assert_int_eq(sealed_fill_file(&sealed, 0, source.fd, -1, half), (int64_t) half);
    ck_assert_int_eq(sealed_fill_file(&sealed, half, source.fd, -1, size + 10 - half), (int64_t) (size - half));
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, source.fd, -1, 1), 0); /* the end, once more */
    source_close(&source);
    const char *data = sealed_map(&sealed);
    ck_assert(pattern_holds(data, size, 0, 6));
    ck_assert(is_zero(data + size, 10));
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_a_pipe_that_does_not_wait) {
    int ends[2];
    char byte;
    struct sealed sealed = new_sealed(100);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, ends[0], -1, 10), -EAGAIN);
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, ends[0], -1, 10), 3); /* the bytes that came before are not lost */
    ck_assert_int_eq(sealed_fill_file(&sealed, 3, ends[0], -1, 7), -EAGAIN);
    ck_assert_int_eq(write(ends[1], "defgh", 5), 5);
    ck_assert_int_eq(sealed_fill_file(&sealed, 3, ends[0], -1, 4), 4);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1); /* no more bytes were taken than the call asked for */
    ck_assert_int_eq(byte, 'h');
    ck_assert_mem_eq(sealed_map(&sealed), "abcdefg\0", 8);
    close(ends[0]);
    close(ends[1]);
    sealed_deinit(&sealed);
}
END_TEST

/* Files without a size of their own. */
START_TEST(test_filled_from_the_kernels_files) {
    struct sealed sealed = new_sealed(2 * PAGE);
    CLEANUP_FD int text = open("/proc/self/comm", O_RDONLY | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    char expected[64];
    ssize_t length = pread(text, expected, sizeof expected, 0);
    ck_assert_int_gt(length, 0);
    ck_assert_int_eq(sealed_fill_file(&sealed, 1, text, 0, PAGE), length);
    ck_assert_mem_eq((char *) sealed_map(&sealed) + 1, expected, (size_t) length);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, zero, -1, 2 * PAGE), (int64_t) (2 * PAGE));
    ck_assert(is_zero(sealed_map(&sealed), 2 * PAGE));
    sealed_deinit(&sealed);
}
END_TEST

/* Where the kernel moves no bytes itself the bytes are read; the result is equal in each case. */
START_TEST(test_every_way_of_moving) {
    CLEANUP_FD int file = new_file(100000);
    struct sealed sealed = new_sealed(50000);
    static const enum inject_kind ways[] = {INJECT_COPY_FILE_RANGE, INJECT_SENDFILE, INJECT_SPLICE};
    for (int i = 0; i < _i && i < 3; i++)
        fail_always(ways[i], EINVAL);
    fail_call(INJECT_PREAD, 0, 0, 0);
    ck_assert_int_eq(sealed_fill_file(&sealed, 100, file, 7, 40000), 40000);
    ck_assert_int_eq(fail_calls(INJECT_PREAD) > 0, _i >= 2); /* splice() needs a pipe */
    fail_off();
    ck_assert(pattern_holds((char *) sealed_map(&sealed) + 100, 40000, 7, 5));
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_files_that_cannot_be_read) {
    CLEANUP_FD int directory = open("/", O_RDONLY | O_CLOEXEC), path_only = open("/", O_PATH | O_CLOEXEC);
    CLEANUP_FD int unreadable = open("/dev/null", O_WRONLY | O_CLOEXEC), file = new_file(PAGE);
    int ends[2];
    struct sealed sealed = new_sealed(PAGE);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, directory, -1, 1), -EISDIR);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, path_only, -1, 1), -EBADF);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, unreadable, -1, 1), -EBADF);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, -1, -1, 1), -EBADF);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, ends[0], 0, 1), -ESPIPE);
    close(ends[0]);
    close(ends[1]);
    fail_always(INJECT_COPY_FILE_RANGE, EIO);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 0, 1), -EIO);
    fail_off();
    ck_assert(is_zero(sealed_map(&sealed), PAGE));
    sealed_deinit(&sealed);
}
END_TEST

/* --- cutting --- */

START_TEST(test_shrunk) {
    size_t size = size_of(_i);
    const size_t smaller[] = {size, size - (size > 0), size / 2, size > PAGE ? PAGE : 0, 1, 0};
    for (size_t i = 0; i < 6; i++) {
        if (smaller[i] > size)
            continue;
        struct sealed sealed = new_sealed(size);
        if (i % 2)
            sealed_map(&sealed);
        fill_all(&sealed, 2);
        ck_assert_int_eq(sealed_shrink(&sealed, smaller[i]), 0);
        ck_assert_uint_eq(sealed.size, smaller[i]);
        ck_assert_ptr_null(sealed.data);
        struct stat status = status_of(sealed.fd);
        ck_assert_int_eq(status.st_size, (off_t) smaller[i]);
        ck_assert_uint_lt((size_t) status.st_blocks * 512, smaller[i] + PAGE); /* the rest was given back */
        ck_assert_int_eq(sealed_freeze(&sealed), 0);
        ck_assert(holds_all(&sealed, 2));
        sealed_deinit(&sealed);
    }
}
END_TEST

/* A process that maps the rest cannot read the bytes that were cut off. */
START_TEST(test_cut_bytes_are_gone) {
    struct sealed sealed = new_sealed(PAGE);
    memset(sealed_map(&sealed), 's', PAGE);
    ck_assert_int_eq(sealed_shrink(&sealed, 10), 0);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    const char *view = sealed_map(&sealed); /* its page reaches beyond the end */
    ck_assert_mem_eq(view, "ssssssssss", 10);
    ck_assert(is_zero(view + 10, PAGE - 10));
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_a_shrink_that_fails) {
    struct sealed sealed = new_sealed(PAGE);
    fill_all(&sealed, 2);
    fail_once(INJECT_FTRUNCATE, EPERM);
    ck_assert_int_eq(sealed_shrink(&sealed, 1), failure_of(INJECT_FTRUNCATE, EPERM));
    ck_assert_uint_eq(sealed.size, PAGE);
    ck_assert(holds_all(&sealed, 2));
    sealed_deinit(&sealed);
}
END_TEST

/* --- freezing --- */

START_TEST(test_a_foreign_writer_forbids_freezing) {
    struct sealed sealed = new_sealed(2 * PAGE);
    fill_all(&sealed, 3);
    char *foreign = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, sealed.fd, 0);
    ck_assert(foreign != MAP_FAILED);
    sealed_map(&sealed);
    ck_assert_int_eq(sealed_freeze(&sealed), -EBUSY);
    ck_assert(!sealed.is_frozen);
    ck_assert_ptr_null(sealed.data); /* the pointers have ended all the same */
    ck_assert(holds_all(&sealed, 3));
    ck_assert_int_eq(sealed_fill(&sealed, 0, "x", 1), 0); /* still writable */
    munmap(foreign, 2 * PAGE);
    fill_all(&sealed, 4);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert(holds_all(&sealed, 4));
    sealed_deinit(&sealed);
}
END_TEST

static int map_until_told(int line, void *arg) {
    int fd = -1;
    uint64_t word;
    (void) arg;
    if (!line_hear_fd(line, 10000, &fd) || mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
        return 1;
    close(fd);
    line_tell(line, 1);
    line_hear(line, -1, &word);
    return 0;
}

START_TEST(test_another_process_that_writes_forbids_freezing) {
    struct sealed sealed = new_sealed(PAGE);
    struct child writer;
    uint64_t word;
    child_start(&writer, map_until_told, NULL);
    ck_assert(line_tell_fd(writer.line, sealed.fd));
    ck_assert(line_hear(writer.line, 10000, &word));
    ck_assert_int_eq(sealed_freeze(&sealed), -EBUSY);
    ck_assert_int_eq(child_end(&writer, 10000), 0);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    sealed_deinit(&sealed);
}
END_TEST

/* Our own mapping is not inherited: a process that forks while it writes can still freeze the memory. */
START_TEST(test_a_forked_child_does_not_forbid_freezing) {
    struct sealed sealed = new_sealed(PAGE);
    int ends[2];
    char byte;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    sealed_map(&sealed);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    close(ends[1]);
    close(ends[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    sealed_deinit(&sealed);
}
END_TEST

/* A reader could see pages change that a pipe holds. */
START_TEST(test_pages_in_a_pipe_forbid_freezing) {
    int ends[2];
    char bytes[100];
    struct sealed sealed = new_sealed(PAGE);
    fill_all(&sealed, 3); /* otherwise the kernel would put its page of zeros into the pipe */
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(splice(sealed.fd, &(off_t){0}, ends[1], NULL, sizeof bytes, 0), sizeof bytes);
    int busy = sealed_freeze(&sealed);
    ck_assert_int_eq(read(ends[0], bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(busy, -EBUSY);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    close(ends[0]);
    close(ends[1]);
    sealed_deinit(&sealed);
}
END_TEST

/* The seals protect the memory; the read-only descriptor is an addition. */
START_TEST(test_frozen_without_a_new_descriptor) {
    struct sealed sealed = new_sealed(PAGE);
    fill_all(&sealed, 3);
    fail_always(INJECT_OPEN, EMFILE);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    fail_off();
    ck_assert(sealed.is_frozen);
    ck_assert(holds_all(&sealed, 3));
    assert_unwritable(&sealed);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_a_freeze_that_fails) {
    struct sealed sealed = new_sealed(PAGE);
    fill_all(&sealed, 3);
    fail_once(INJECT_ADD_SEALS, EPERM);
    ck_assert_int_eq(sealed_freeze(&sealed), failure_of(INJECT_ADD_SEALS, EPERM));
    ck_assert(!sealed.is_frozen);
    ck_assert(holds_all(&sealed, 3));
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    sealed_deinit(&sealed);
}
END_TEST

enum { READERS = 4 };

static struct sealed shared;
static pthread_barrier_t barrier;

static void *map_and_read(void *unused) {
    (void) unused;
    pthread_barrier_wait(&barrier);
    const char *view = sealed_map(&shared);
    return view && pattern_holds(view, shared.size, 0, 9) ? (void *) (uintptr_t) view : NULL;
}

/* Any thread may read frozen memory; the first reader maps it. */
START_TEST(test_threads_map_it_once) {
    for (int round = 0; round < 20; round++) {
        pthread_t threads[READERS];
        void *views[READERS];
        shared = new_sealed(_i ? 2 * MIB + 1 : PAGE);
        fill_all(&shared, 9);
        ck_assert_int_eq(sealed_freeze(&shared), 0);
        pthread_barrier_init(&barrier, NULL, READERS);
        for (int i = 0; i < READERS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, map_and_read, NULL), 0);
        for (int i = 0; i < READERS; i++)
            pthread_join(threads[i], &views[i]);
        pthread_barrier_destroy(&barrier);
        for (int i = 0; i < READERS; i++) {
            ck_assert_ptr_nonnull(views[i]);
            ck_assert_ptr_eq(views[i], views[0]);
        }
        sealed_deinit(&shared); /* a second mapping would be left over */
    }
}
END_TEST

static void *overtaking;

static void overtake(void) {
    fail_off();
    overtaking = sealed_map(&shared);
}

/* Another thread maps the memory while this thread is about to: the other thread's mapping stays. */
START_TEST(test_overtaken_while_mapping) {
    shared = new_sealed(_i ? 2 * MIB + 1 : PAGE);
    fill_all(&shared, 9);
    ck_assert_int_eq(sealed_freeze(&shared), 0);
    fail_never_but(INJECT_MMAP, overtake);
    void *mapped = sealed_map(&shared);
    ck_assert_ptr_nonnull(overtaking);
    ck_assert_ptr_eq(mapped, overtaking);
    ck_assert(holds_all(&shared, 9));
    sealed_deinit(&shared);
}
END_TEST

/* --- refusals --- */

static void assert_refusal(int error, const char *limit, uint64_t needed) {
    sea_refusal refusal = newest();
    ck_assert_int_eq(refusal.error, error);
    ck_assert_str_eq(refusal.limit, limit);
    ck_assert_uint_eq(refusal.needed, needed);
    ck_assert_str_ne(refusal.advice, "");
    ck_assert_uint_gt(refusals.count, 0);
}

START_TEST(test_refusals_say_which_limit) {
    static const struct {
        enum inject_kind kind;
        int error, result;
        const char *limit;
        uint64_t needed;
    } cases[] = {
        {INJECT_MEMFD_CREATE, EMFILE, -EMFILE, "RLIMIT_NOFILE", 1},
        {INJECT_MEMFD_CREATE, ENFILE, -ENFILE, "fs.file-max", 1},
        {INJECT_MEMFD_CREATE, ENOMEM, -ENOMEM, "memory", 10000},
        {INJECT_FTRUNCATE, ENOMEM, -ENOMEM, "memory", 10000},
        {INJECT_FALLOCATE, ENOSPC, -ENOMEM, "memory", 10000},
        {INJECT_FALLOCATE, ENOMEM, -ENOMEM, "memory", 10000},
        {INJECT_FALLOCATE, EIO, -EIO, "fallocate", 0},
        {INJECT_MEMFD_CREATE, EPERM, -EPERM, "memfd_create", 0},
        {INJECT_FTRUNCATE, ENOSYS, -ENOSYS, "ftruncate", 0},
    };
    struct sealed sealed = {.fd = -7};
    fail_once(cases[_i].kind, cases[_i].error);
    ck_assert_int_eq(explained_new(&sealed, 10000, SEALED_EXACT, true), cases[_i].result);
    ck_assert_int_eq(fail_calls(cases[_i].kind), 1);
    ck_assert_int_eq(sealed.fd, -7);
    assert_refusal(cases[_i].result, cases[_i].limit, cases[_i].needed);
    if (strcmp(cases[_i].limit, "memory") == 0)
        ck_assert_uint_gt(newest().available, 0);
}
END_TEST

/* Neither a sandbox nor a kernel without hugetlb pages is a shortage of them. */
START_TEST(test_hugetlb_memory_that_is_forbidden) {
    struct sealed sealed;
    fail_once(INJECT_MEMFD_CREATE, EPERM);
    ck_assert_int_eq(explained_new(&sealed, 10000, SEALED_HUGETLB, true), -EPERM);
    assert_refusal(-EPERM, "memfd_create", 0);
    ck_assert_ptr_nonnull(strstr(newest().advice, "forbidden"));
    fail_always(INJECT_MEMFD_CREATE, EINVAL);
    ck_assert_int_eq(explained_new(&sealed, 10000, SEALED_HUGETLB, true), -ENOMEM);
    fail_off();
    assert_refusal(-ENOMEM, "hugetlb pool", 10000);
    ck_assert_str_eq(newest().advice, "this kernel has no such pages");
}
END_TEST

START_TEST(test_the_file_size_limit) {
    struct rlimit before, limit;
    struct sealed sealed, other;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 20000;
    setrlimit(RLIMIT_FSIZE, &limit);
    int too_large = explained_new(&other, 20001, SEALED_EXACT, true),
        fits = explained_new(&sealed, 20000, SEALED_EXACT, true);
    int filled = sealed_fill(&sealed, 19999, "x", 1);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(too_large, -ENOMEM);
    ck_assert_int_eq(fits, 0);
    ck_assert_int_eq(filled, 0);
    assert_refusal(-ENOMEM, "RLIMIT_FSIZE", 20001);
    ck_assert_uint_eq(newest().available, 20000);
    sealed_deinit(&sealed);
}
END_TEST

/* Memory that the machine lacks is not reserved: reserving it could make the kernel kill a process. */
START_TEST(test_more_than_the_machine_has) {
    static const size_t sizes[] = {(size_t) 1 << 50, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 1, SIZE_MAX};
    struct sealed sealed = {.fd = -7};
    for (enum sealed_layout layout = SEALED_EXACT; layout <= SEALED_PADDED; layout++) {
        bool hugetlb = layout == SEALED_HUGETLB;
        /* valgrind's mmap() returns EINVAL for a size without room */
        if (layout != SEALED_EXACT && is_under_valgrind())
            continue;
        fail_call(INJECT_FALLOCATE, 0, 0, 0);
        int r = explained_new(&sealed, sizes[_i], layout, true);
        ck_assert_msg(r == -ENOMEM, "layout %d: %d (%s: %s)", (int) layout, r, newest().limit, newest().advice);
        ck_assert_int_eq(sealed.fd, -7);
        ck_assert_int_eq(newest().error, -ENOMEM);
        ck_assert_uint_eq(newest().needed, sizes[_i]);
        if (!hugetlb) {
            ck_assert_str_eq(newest().limit, "MemAvailable");
            ck_assert_uint_lt(newest().available, sizes[_i]);
            ck_assert_int_eq(fail_calls(INJECT_FALLOCATE), 0);
        }
    }
}
END_TEST

START_TEST(test_memory_that_cannot_be_mapped) {
    struct sealed sealed = new_sealed(PAGE);
    fail_always(INJECT_MMAP, ENOMEM);
    ck_assert_ptr_null(sealed_map(&sealed));
    ck_assert_int_eq(sealed_fill(&sealed, 0, "abc", 3), 0); /* filling does not need a mapping */
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert_ptr_null(sealed_map(&sealed));
    fail_off();
    ck_assert_mem_eq(sealed_map(&sealed), "abc", 3);
    sealed_deinit(&sealed);
}
END_TEST

/* --- transparent huge pages --- */

static void grant_huge(void) {
    if (memfd_huge_policy() == MEMFD_HUGE_ADVISE)
        return;
    if (memfd_huge_policy() != MEMFD_HUGE_NEVER)
        test_skip("this system grants huge pages to all: nothing is asked for");
    if (!machine_grant_huge() || memfd_huge_policy() != MEMFD_HUGE_ADVISE)
        test_skip("huge pages for memfds cannot be had: transparent_hugepage/shmem_enabled");
}

START_TEST(test_huge_pages_where_they_are_granted) {
    size_t size = 8 * MIB + (size_t) _i; /* an end inside a page does not matter */
    grant_huge();
    struct sealed sealed = new_sealed(size);
    ck_assert_uint_ge((size_t) status_of(sealed.fd).st_blocks * 512, size);
    ck_assert_ptr_nonnull(sealed.data); /* the mapping reserved the pages, and asked for huge ones */
    int pages = sealed_pages(&sealed);
    if (pages == SEA_PAGES_SMALL) {
        sealed_deinit(&sealed);
        test_skip("the system granted no huge page: memory is fragmented");
    }
    ck_assert_int_eq(pages, SEA_PAGES_THP);
    ck_assert(is_zero(sealed.data, size));
    fill_all(&sealed, 7);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert_int_eq(sealed_pages(&sealed), SEA_PAGES_THP);
    ck_assert(holds_all(&sealed, 7));
    sealed_deinit(&sealed);
}
END_TEST

/* A receiver's mapping has huge pages, too; and the file's last huge page may reach beyond its end. */
START_TEST(test_huge_pages_are_imported) {
    size_t size = 4 * MIB + 12345;
    grant_huge();
    struct sealed sealed = new_sealed(size), imported;
    const struct sealed_claim claim = {.size = size, .size_max = size};
    const char *why = "";
    fill_all(&sealed, 8);
    int pages = sealed_pages(&sealed);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    int r = sealed_import(&imported, dup(sealed.fd), &claim, &why);
    ck_assert_msg(r == 0, "%s", why);
    ck_assert(holds_all(&imported, 8));
    ck_assert_int_eq(sealed_pages(&imported), pages);
    sealed_deinit(&imported);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_no_huge_pages_when_not_wanted) {
    struct sealed sealed;
    grant_huge();
    ck_assert_int_eq(explained_new(&sealed, 4 * MIB, SEALED_EXACT, false), 0);
    memset(sealed_map(&sealed), 1, sealed.size);
    ck_assert_int_eq(sealed_pages(&sealed), SEA_PAGES_SMALL);
    sealed_deinit(&sealed);
    ck_assert_int_eq(explained_new(&sealed, 2 * MIB - 1, SEALED_EXACT, true), 0); /* too small for a huge page */
    memset(sealed_map(&sealed), 1, sealed.size);
    ck_assert_int_eq(sealed_pages(&sealed), SEA_PAGES_SMALL);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_huge_memory_can_be_shrunk) {
    grant_huge();
    for (size_t size = 1; size < 6 * MIB; size = size * 3 + 4093) {
        struct sealed sealed = new_sealed(6 * MIB);
        fill_all(&sealed, 3);
        ck_assert_int_eq(sealed_shrink(&sealed, size), 0);
        ck_assert_int_eq(sealed_freeze(&sealed), 0);
        ck_assert(holds_all(&sealed, 3));
        struct sealed imported;
        const struct sealed_claim claim = {.size = size, .size_max = size};
        const char *why = "";
        int r = sealed_import(&imported, dup(sealed.fd), &claim, &why);
        ck_assert_msg(r == 0, "%zu: %s", size, why);
        sealed_deinit(&imported);
        sealed_deinit(&sealed);
    }
}
END_TEST

/* Kernels that cannot populate reserve base pages, and a full machine is an error. */
START_TEST(test_huge_pages_that_cannot_be_populated) {
    grant_huge();
    struct sealed sealed;
    fail_call(INJECT_MADVISE, 3, 1, EINVAL); /* the calls are DONTFORK, HUGEPAGE, then POPULATE_WRITE */
    ck_assert_int_eq(explained_new(&sealed, 4 * MIB, SEALED_EXACT, true), 0);
    ck_assert_uint_ge((size_t) status_of(sealed.fd).st_blocks * 512, 4 * MIB);
    sealed_deinit(&sealed);
    fail_call(INJECT_MADVISE, 3, 1, ENOMEM);
    ck_assert_int_eq(explained_new(&sealed, 4 * MIB, SEALED_EXACT, true), -ENOMEM);
    assert_refusal(-ENOMEM, "memory", 4 * MIB);
    fail_off();
    fail_always(INJECT_MMAP, ENOMEM);
    ck_assert_int_eq(explained_new(&sealed, 4 * MIB, SEALED_EXACT, true), -ENOMEM);
}
END_TEST

/* --- padding --- */

START_TEST(test_where_padding_pays) {
    static const struct {
        size_t size;
        enum sealed_layout layout;
    } cases[] = {
        {0, SEALED_EXACT},
        {1, SEALED_EXACT},
        {MIB / 4 - 1, SEALED_EXACT},
        {MIB / 4, SEALED_PADDED},
        {2 * MIB - 1, SEALED_PADDED},
        {2 * MIB, SEALED_EXACT},
        {2 * MIB + MIB / 4 - 1, SEALED_EXACT},
        {2 * MIB + MIB / 4, SEALED_PADDED},
        {(size_t) 1 << 40, SEALED_EXACT},
    };
    grant_huge();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_int_eq(sealed_choose_layout(cases[i].size), cases[i].layout);
}
END_TEST

/* A cached answer expires. */
START_TEST(test_the_system_is_asked_again) {
    fail_call(INJECT_OPEN, 0, 0, 0);
    enum memfd_huge_policy policy = sealed_huge_policy();
    ck_assert_int_ge(fail_calls(INJECT_OPEN), 1);
    fail_always(INJECT_OPEN, EACCES);
    for (int i = 0; i < 1000 && fail_calls(INJECT_OPEN) == 0; i++) {
        usleep(1000);
        policy = sealed_huge_policy();
    }
    ck_assert_int_ge(fail_calls(INJECT_OPEN), 1);
    ck_assert_int_eq(policy, MEMFD_HUGE_NEVER); /* a process that cannot read the setting has no grant */
    ck_assert_int_eq(sealed_choose_layout(MIB), SEALED_EXACT);
}
END_TEST

/* Makes padded memory, or skips the test: the kernel may have no huge page left. */
static struct sealed new_padded(size_t size) {
    struct sealed sealed;
    grant_huge();
    ck_assert_int_eq(explained_new(&sealed, size, SEALED_PADDED, true), 0);
    if (sealed.layout == SEALED_EXACT) {
        ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) size);
        sealed_deinit(&sealed);
        test_skip("the system granted no huge page: memory is fragmented");
    }
    return sealed;
}

/* Checks that no byte of an earlier use, or of a part that was cut off, lies behind the payload. */
static void assert_padded(struct sealed *sealed, size_t size) {
    struct stat status = status_of(sealed->fd);
    size_t file_size = (size_t) sealed_file_size(size, SEALED_PADDED);
    const char *view = sealed_map(sealed);
    ck_assert_int_eq(sealed->layout, SEALED_PADDED);
    ck_assert_uint_eq(sealed->size, size);
    ck_assert_int_eq(status.st_size, (off_t) file_size);
    ck_assert_uint_eq((size_t) status.st_blocks * 512, file_size);
    ck_assert(is_zero(view + size, file_size - size));
    ck_assert_int_eq(sealed_pages(sealed), SEA_PAGES_THP);
}

START_TEST(test_padded_memory) {
    static const size_t sizes[] = {MIB / 4, MIB, 2 * MIB - 4097, 3 * MIB + 1};
    size_t size = sizes[_i];
    struct sealed sealed = new_padded(size), imported;
    const struct sealed_claim claim = {.size = size, .size_max = size, .layout = SEALED_PADDED};
    const char *why;
    ck_assert(is_zero(sealed_map(&sealed), size));
    fill_all(&sealed, 5);
    assert_padded(&sealed, size);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    assert_padded(&sealed, size);
    assert_unwritable(&sealed);
    ck_assert_int_eq(import(dup(sealed.fd), &claim, &imported, &why), 0);
    assert_padded(&imported, size);
    ck_assert(holds_all(&imported, 5));
    sealed_deinit(&imported);
    ck_assert_int_eq(import(dup(sealed.fd), &anything, &imported, &why), 0); /* its payload is the whole file */
    ck_assert_uint_eq(imported.size, sealed_file_size(size, SEALED_PADDED));
    ck_assert_int_eq(imported.layout, SEALED_EXACT);
    sealed_deinit(&imported);
    sealed_deinit(&sealed);
}
END_TEST

/* Any call between the mapping and the check of the result fails, or is not granted. */
START_TEST(test_padding_is_cut_where_there_is_no_huge_page) {
    static const struct {
        enum inject_kind kind;
        int call, error;
    } cases[] = {{INJECT_MADVISE, 3, EINVAL}, {INJECT_FSTAT, 2, EIO}};
    struct sealed sealed;
    grant_huge();
    fail_call(cases[_i].kind, cases[_i].call, 1, cases[_i].error);
    ck_assert_int_eq(explained_new(&sealed, MIB, SEALED_PADDED, true), 0);
    fail_off();
    ck_assert_int_eq(sealed.layout, SEALED_EXACT);
    ck_assert_ptr_null(sealed.data);
    ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) MIB);
    ck_assert_uint_ge((size_t) status_of(sealed.fd).st_blocks * 512, MIB);
    fill_all(&sealed, 6);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert(holds_all(&sealed, 6));
    sealed_deinit(&sealed);
}
END_TEST

/* No huge page was requested, so base pages come, and only as many as the payload needs. */
START_TEST(test_padding_without_a_grant) {
    struct sealed sealed;
    if (memfd_huge_policy() != MEMFD_HUGE_NEVER)
        test_skip("this machine grants huge pages");
    ck_assert_int_eq(explained_new(&sealed, MIB, SEALED_PADDED, true), 0);
    if (sealed.layout == SEALED_EXACT) { /* no other test has granted it meanwhile */
        ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) MIB);
        ck_assert_uint_eq((size_t) status_of(sealed.fd).st_blocks * 512, MIB);
    }
    sealed_deinit(&sealed);
}
END_TEST

/* The limit allows the payload, but not its padding. */
START_TEST(test_padding_over_the_file_size_limit) {
    struct rlimit before, limit;
    struct sealed sealed;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 2 * MIB - 1;
    setrlimit(RLIMIT_FSIZE, &limit);
    int r = explained_new(&sealed, MIB, SEALED_PADDED, true);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(sealed.layout, SEALED_EXACT);
    ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) MIB);
    ck_assert_int_eq(newest().error, 0);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_padding_that_cannot_be_made) {
    static const struct {
        enum inject_kind kind;
        int call, error;
    } cases[] = {{INJECT_MADVISE, 3, ENOMEM}, {INJECT_MMAP, 1, ENOMEM}, {INJECT_FTRUNCATE, 2, ENOMEM}};
    struct sealed sealed = {.fd = -7};
    grant_huge();
    fail_call(INJECT_FSTAT, 2, 1, EIO); /* the first fstat() looks for pages behind the end */
    fail_call(cases[_i].kind, cases[_i].call, 1, cases[_i].error);
    ck_assert_int_eq(explained_new(&sealed, MIB, SEALED_PADDED, true), -ENOMEM);
    ck_assert_int_eq(sealed.fd, -7);
    assert_refusal(-ENOMEM, "memory", MIB);
}
END_TEST

/* The memory stays padded while that pays, and the part that was cut off is cleared; then it gets the payload's
 * size. */
START_TEST(test_padded_memory_that_is_shrunk) {
    static const struct {
        size_t from, to;
        enum sealed_layout layout;
    } cases[] = {
        {MIB, MIB, SEALED_PADDED},        {MIB, MIB / 2 + 77, SEALED_PADDED},
        {3 * MIB, MIB, SEALED_PADDED},    {3 * MIB, 2 * MIB + 1, SEALED_EXACT},
        {3 * MIB, 2 * MIB, SEALED_EXACT}, {MIB, MIB / 4 - 1, SEALED_EXACT},
        {MIB, 1, SEALED_EXACT},           {MIB, 0, SEALED_EXACT},
    };
    size_t size = cases[_i].to;
    struct sealed sealed = new_padded(cases[_i].from), imported;
    const struct sealed_claim claim = {.size = size, .size_max = size, .layout = cases[_i].layout};
    const char *why = "";
    fill_all(&sealed, 9);
    ck_assert_int_eq(sealed_shrink(&sealed, size), 0);
    ck_assert_int_eq(sealed.layout, cases[_i].layout);
    ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) sealed_file_size(size, sealed.layout));
    if (sealed.layout == SEALED_PADDED)
        assert_padded(&sealed, size);
    ck_assert(holds_all(&sealed, 9));
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    int r = import(dup(sealed.fd), &claim, &imported, &why);
    ck_assert_msg(r == 0, "%s", why);
    ck_assert(holds_all(&imported, 9));
    sealed_deinit(&imported);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_a_shrink_of_padded_memory_that_fails) {
    struct sealed sealed = new_padded(MIB);
    fill_all(&sealed, 2);
    fail_always(INJECT_FTRUNCATE, EIO);
    ck_assert_int_eq(sealed_shrink(&sealed, 10), failure_of(INJECT_FTRUNCATE, EIO));
    fail_off();
    assert_padded(&sealed, MIB);
    ck_assert(holds_all(&sealed, 2));
    sealed_deinit(&sealed);
}
END_TEST

/* The declarations that a peer may make about its memfd, and the conditions that the memfd must then meet. The kind
 * of its pages does not matter. */
START_TEST(test_padding_is_declared) {
    const struct sealed_claim padded = {.size = MIB, .size_max = MIB, .layout = SEALED_PADDED};
    const struct sealed_claim exact = {.size = MIB, .size_max = MIB};
    const struct sealed_claim next = {.size = 2 * MIB + 1, .size_max = 4 * MIB, .layout = SEALED_PADDED};
    const struct sealed_claim limited = {.size = MIB, .size_max = MIB - 1, .layout = SEALED_PADDED};
    struct sealed imported;
    const char *why;
    assert_rejected(trap_memfd(MIB, TRAP_ALL_SEALS), &padded, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(2 * MIB - PAGE, TRAP_ALL_SEALS), &padded, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(4 * MIB, TRAP_ALL_SEALS), &padded, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(2 * MIB, TRAP_ALL_SEALS), &exact, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(2 * MIB, TRAP_ALL_SEALS), &next, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(2 * MIB, TRAP_ALL_SEALS), &limited, -EMSGSIZE, "limit");
    assert_rejected(trap_holes(2 * MIB), &padded, -ENODATA, "holes");
    assert_rejected(trap_sparse(2 * MIB), &padded, -ENODATA, "holes");
    ck_assert_int_eq(import(trap_memfd(2 * MIB, TRAP_ALL_SEALS), &padded, &imported, &why), 0);
    ck_assert_uint_eq(imported.size, MIB);
    ck_assert_int_eq(imported.layout, SEALED_PADDED);
    ck_assert_mem_eq(sealed_map(&imported), "trap", 4);
    sealed_deinit(&imported);
}
END_TEST

START_TEST(test_hugetlb_pages_are_not_padding) {
    const struct sealed_claim padded = {.size = MIB, .size_max = MIB, .layout = SEALED_PADDED};
    int fd = trap_hugetlb(2 * MIB);
    if (fd < 0)
        test_skip("no 2 MiB pages for the pool: vm.nr_hugepages");
    assert_rejected(fd, &padded, -EBADF, "hugetlb");
    trap_hugetlb_done();
}
END_TEST

/* --- hugetlb pages --- */

static void add_hugetlb(long pages) {
    if (!machine_add_hugetlb(pages))
        test_skip("no 2 MiB pages for the pool: vm.nr_hugepages");
}

static struct sealed new_hugetlb(size_t size) {
    struct sealed sealed;
    int r = explained_new(&sealed, size, SEALED_HUGETLB, true);
    ck_assert_msg(r == 0, "%s: %s", strerror(-r), newest().advice);
    return sealed;
}

START_TEST(test_hugetlb_memory) {
    static const size_t sizes[] = {1, 4096, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 4 * MIB};
    size_t size = sizes[_i];
    add_hugetlb(2);
    struct sealed sealed = new_hugetlb(size);
    ck_assert_uint_eq(sealed.size, size);
    ck_assert_int_eq(sealed.layout, SEALED_HUGETLB);
    ck_assert_int_eq(sealed_pages(&sealed), SEA_PAGES_HUGETLB);
    ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) sealed_file_size(size, SEALED_HUGETLB));
    ck_assert(is_zero(sealed_map(&sealed), size));
    ck_assert_ptr_nonnull(sealed_map(&sealed));
    char *model = calloc(1, size);
    ck_assert_ptr_nonnull(model);
    fill_here_and_there(&sealed, model);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert_mem_eq(sealed_map(&sealed), model, size);
    assert_unwritable(&sealed);
    free(model);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_hugetlb_memory_from_files) {
    size_t size = 2 * MIB + 100;
    struct source source;
    add_hugetlb(2);
    struct sealed sealed = new_hugetlb(size);
    CLEANUP_FD int file = new_file(size);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 0, size), (int64_t) size);
    ck_assert(pattern_holds(sealed_map(&sealed), size, 0, 5));
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, (int64_t) size - 5, 10), 5);
    source_open(&source, false, 100000);
    ck_assert_int_eq(sealed_fill_file(&sealed, size - 100000, source.fd, -1, 100000), 100000);
    source_close(&source);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert(pattern_holds((char *) sealed_map(&sealed) + size - 100000, 100000, 0, 6));
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_hugetlb_memory_that_is_shrunk) {
    add_hugetlb(3);
    struct sealed sealed = new_hugetlb(6 * MIB);
    fill_all(&sealed, 2);
    ck_assert_int_eq(sealed_shrink(&sealed, 2 * MIB + 10), 0);
    ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) (4 * MIB));
    ck_assert_int_eq(status_of(sealed.fd).st_blocks * 512, (off_t) (4 * MIB));
    ck_assert(holds_all(&sealed, 2));
    /* the part that was cut off is gone */
    ck_assert(is_zero((char *) sealed_map(&sealed) + 2 * MIB + 10, 2 * MIB - 10));
    ck_assert_int_eq(sealed_shrink(&sealed, 5), 0);
    ck_assert_int_eq(status_of(sealed.fd).st_size, (off_t) (2 * MIB));
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    ck_assert(holds_all(&sealed, 2));
    ck_assert(is_zero((char *) sealed_map(&sealed) + 5, 2 * MIB - 5));
    sealed_deinit(&sealed);
}
END_TEST

/* hugetlb pages can only be written through a mapping. */
START_TEST(test_hugetlb_memory_that_cannot_be_mapped) {
    add_hugetlb(1);
    struct sealed sealed = new_hugetlb(100);
    CLEANUP_FD int file = new_file(100);
    fail_always(INJECT_MMAP, ENOMEM);
    ck_assert_int_eq(sealed_fill(&sealed, 0, "abc", 3), -ENOMEM);
    ck_assert_int_eq(sealed_fill_file(&sealed, 0, file, 0, 100), -ENOMEM);
    ck_assert_int_eq(sealed_shrink(&sealed, 10), -ENOMEM);
    ck_assert_uint_eq(sealed.size, 100);
    fail_off();
    ck_assert_int_eq(sealed_fill(&sealed, 0, "abc", 3), 0);
    ck_assert_int_eq(sealed_shrink(&sealed, 3), 0);
    ck_assert_mem_eq(sealed_map(&sealed), "abc", 3);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_an_empty_hugetlb_block) {
    struct sealed sealed;
    int r = explained_new(&sealed, 0, SEALED_HUGETLB, true);
    if (r < 0)
        test_skip("no hugetlb memfds here: %s", strerror(-r));
    ck_assert_ptr_nonnull(sealed_map(&sealed));
    ck_assert_int_eq(sealed_pages(&sealed), SEA_PAGES_NONE);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    sealed_deinit(&sealed);
}
END_TEST

START_TEST(test_the_hugetlb_pool_runs_out) {
    struct sealed sealed;
    add_hugetlb(1);
    int r;
    size_t size = 2 * MIB;
    do
        r = explained_new(&sealed, size, SEALED_HUGETLB, true);
    while (r == 0 && (sealed_deinit(&sealed), size *= 2) < (size_t) 1 << 40);
    ck_assert_int_eq(r, -ENOMEM);
    assert_refusal(-ENOMEM, "hugetlb pool", size);
    ck_assert_ptr_nonnull(strstr(newest().advice, "vm.nr_hugepages"));
}
END_TEST

/* --- import --- */

START_TEST(test_sealed_memory_is_imported) {
    size_t size = size_of(_i);
    struct sealed sealed = new_sealed(size), imported;
    const struct sealed_claim declared = {.size = size, .size_max = size};
    const char *why;
    fill_all(&sealed, 1);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(import(dup(sealed.fd), i ? &anything : &declared, &imported, &why), 0);
        ck_assert(imported.is_frozen);
        ck_assert_int_eq(imported.layout, SEALED_EXACT);
        ck_assert_uint_eq(imported.size, size);
        ck_assert(holds_all(&imported, 1));
        if (size > 0)
            assert_unwritable(&imported);
        ck_assert_int_eq(sealed_pages(&imported), sealed_pages(&sealed)); /* depends on this machine's setting */
        sealed_deinit(&imported);
    }
    sealed_deinit(&sealed);
}
END_TEST

/* The memory outlives its maker. */
START_TEST(test_an_import_outlives_its_maker) {
    struct sealed sealed = new_sealed(2 * PAGE), imported;
    const char *why;
    fill_all(&sealed, 1);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    int fd = dup(sealed.fd);
    sealed_deinit(&sealed);
    ck_assert_int_eq(import(fd, &anything, &imported, &why), 0);
    ck_assert(holds_all(&imported, 1));
    sealed_deinit(&imported);
}
END_TEST

START_TEST(test_each_seal_is_needed) {
    static const int needed[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
    static const char *const names[] = {"F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE"};
    const struct sealed_claim claim = {.size = PAGE, .size_max = PAGE};
    int seals = TRAP_ALL_SEALS & ~needed[_i];
    assert_rejected(trap_memfd(PAGE, seals), &claim, -EBADF, names[_i]);
    assert_rejected(trap_memfd(PAGE, seals), &anything, -EBADF, names[_i]);
    assert_rejected(trap_memfd(PAGE, seals | F_SEAL_FUTURE_WRITE), &claim, -EBADF, names[_i]);
}
END_TEST

START_TEST(test_no_seals_at_all) {
    assert_rejected(trap_memfd(PAGE, 0), &anything, -EBADF, "F_SEAL");
    int fd = memfd_create("unsealable", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    assert_rejected(fd, &anything, -EBADF, "F_SEAL");
}
END_TEST

START_TEST(test_further_seals_do_no_harm) {
    struct sealed imported;
    const char *why;
    ck_assert_int_eq(import(trap_memfd(PAGE, TRAP_ALL_SEALS | F_SEAL_FUTURE_WRITE), &anything, &imported, &why), 0);
    sealed_deinit(&imported);
}
END_TEST

START_TEST(test_other_kinds_of_descriptors) {
    static int (*const traps[])(void) = {trap_dev_zero,  trap_pipe,    trap_socket, trap_directory,
                                         trap_path_only, trap_eventfd, trap_epoll};
    const struct sealed_claim claim = {.size = 4096, .size_max = 4096};
    fail_always(INJECT_FSTAT, EIO); /* on an unsealed descriptor no further call may be made */
    assert_rejected(traps[_i](), &claim, -EBADF, "not a memfd");
    ck_assert_int_eq(fail_calls(INJECT_FSTAT), 0);
}
END_TEST

START_TEST(test_a_file_in_memory_is_no_memfd) {
    int fd = trap_shm_file(PAGE);
    if (fd < 0)
        test_skip("no tmpfs at /dev/shm");
    assert_rejected(fd, &anything, -EBADF, "F_SEAL");
}
END_TEST

START_TEST(test_the_size_is_the_declared_one) {
    size_t size = 2 * PAGE;
    for (int off = -1; off <= 1; off += 2) {
        const struct sealed_claim claim = {.size = size + (size_t) (off + 2) - 2, .size_max = 10 * PAGE};
        assert_rejected(trap_memfd(size, TRAP_ALL_SEALS), &claim, -EMSGSIZE, "declared size");
    }
    const struct sealed_claim nothing = {.size = 0, .size_max = 10 * PAGE}, large = {.size = UINT64_C(1) << 62};
    assert_rejected(trap_memfd(size, TRAP_ALL_SEALS), &nothing, -EMSGSIZE, "declared size");
    assert_rejected(trap_memfd(size, TRAP_ALL_SEALS), &large, -EMSGSIZE, "declared size");
}
END_TEST

START_TEST(test_the_size_is_limited) {
    const struct sealed_claim less = {.size = UINT64_MAX, .size_max = 2 * PAGE - 1};
    const struct sealed_claim none = {.size = UINT64_MAX, .size_max = 0};
    const struct sealed_claim declared = {.size = 2 * PAGE, .size_max = 2 * PAGE - 1};
    const struct sealed_claim just = {.size = UINT64_MAX, .size_max = 2 * PAGE};
    assert_rejected(trap_memfd(2 * PAGE, TRAP_ALL_SEALS), &less, -EMSGSIZE, "limit");
    assert_rejected(trap_memfd(2 * PAGE, TRAP_ALL_SEALS), &none, -EMSGSIZE, "limit");
    assert_rejected(trap_memfd(2 * PAGE, TRAP_ALL_SEALS), &declared, -EMSGSIZE, "limit");
    assert_rejected(trap_sparse(INT64_MAX), &just, -EMSGSIZE, "limit");
    struct sealed imported;
    const char *why;
    ck_assert_int_eq(import(trap_memfd(2 * PAGE, TRAP_ALL_SEALS), &just, &imported, &why), 0);
    sealed_deinit(&imported);
}
END_TEST

START_TEST(test_holes) {
    size_t size = 4 * PAGE;
    const struct sealed_claim claim = {.size = size, .size_max = size};
    assert_rejected(trap_holes(size), &claim, -ENODATA, "holes");
    assert_rejected(trap_holes(2 * MIB), &anything, -ENODATA, "holes");
    assert_rejected(trap_sparse(size), &claim, -ENODATA, "holes");
    assert_rejected(trap_sparse(1), &anything, -ENODATA, "holes");
    assert_rejected(trap_sparse(UINT64_C(1) << 46), &anything, -ENODATA, "holes");
    assert_rejected(trap_sparse(INT64_MAX), &anything, -ENODATA, "holes");
}
END_TEST

/* A file may have blocks up to the end of its last huge page, but no further. */
START_TEST(test_pages_behind_the_end) {
    size_t size = _i ? 2 * MIB : 3 * PAGE;
    off_t honest = _i ? 0 : (off_t) (2 * MIB - 3 * PAGE);
    struct sealed imported;
    const char *why;
    for (off_t extra = honest; extra <= honest + (off_t) PAGE; extra += (off_t) PAGE) {
        int fd = trap_memfd(size, 0);
        if (extra > 0)
            ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t) size, extra), 0);
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, TRAP_ALL_SEALS), 0);
        if (extra > honest) {
            assert_rejected(fd, &anything, -ENODATA, "behind its end");
            continue;
        }
        ck_assert_int_eq(import(fd, &anything, &imported, &why), 0);
        sealed_deinit(&imported);
    }
}
END_TEST

/* As many blocks lie behind the end as are missing before it: no count shows that. The hole reads as zeros;
 * importers are protected because they charge the full size first. */
START_TEST(test_holes_in_disguise) {
    size_t size = _i ? 2 * MIB : 4 * PAGE;
    struct sealed imported;
    const char *why;
    ck_assert_int_eq(import(trap_disguised_hole(size), &anything, &imported, &why), 0);
    const char *view = sealed_map(&imported);
    ck_assert_uint_eq(imported.size, size);
    ck_assert_mem_eq(view, "trap", 4);
    ck_assert(is_zero(view + PAGE, PAGE));
    ck_assert_mem_eq(view + 2 * PAGE, "trap", 4);
    sealed_deinit(&imported);
}
END_TEST

START_TEST(test_memory_of_ours_that_others_sealed) {
    int fd = memfd_create("theirs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct sealed imported;
    const char *why;
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, TRAP_ALL_SEALS), 0);
    ck_assert_int_eq(import(fd, &anything, &imported, &why), 0);
    ck_assert_uint_eq(imported.size, 5);
    ck_assert_mem_eq(sealed_map(&imported), "hello", 5);
    assert_unwritable(&imported);
    sealed_deinit(&imported);
}
END_TEST

/* This is no fault of the sender, and the error shows the difference. */
START_TEST(test_an_import_that_cannot_be_mapped) {
    struct sealed imported;
    const char *why;
    fail_always(INJECT_MMAP, ENOMEM);
    ck_assert_int_eq(import(trap_memfd(PAGE, TRAP_ALL_SEALS), &anything, &imported, &why), -ENOMEM);
    ck_assert_ptr_nonnull(strstr(why, "cannot be mapped"));
}
END_TEST

/* This is no fault of the sender either. */
START_TEST(test_looking_fails) {
    static const enum inject_kind kinds[] = {INJECT_GET_SEALS, INJECT_FSTAT, INJECT_FSTATFS};
    static const int errors[] = {EIO, ENOMEM};
    struct sealed imported;
    const char *why;
    fail_always(kinds[_i % 3], errors[_i / 3]);
    ck_assert_int_eq(import(trap_memfd(PAGE, TRAP_ALL_SEALS), &anything, &imported, &why),
                     failure_name(kinds[_i % 3], errors[_i / 3]));
    ck_assert_ptr_nonnull(strstr(why, "could not say"));
}
END_TEST

START_TEST(test_hugetlb_pages_are_declared) {
    size_t size = 2 * MIB + 7;
    add_hugetlb(2);
    struct sealed sealed = new_hugetlb(size), imported;
    fill_all(&sealed, 3);
    ck_assert_int_eq(sealed_freeze(&sealed), 0);
    const struct sealed_claim declared = {.size = size, .size_max = size, .layout = SEALED_HUGETLB};
    const struct sealed_claim undeclared = {.size = 4 * MIB, .size_max = 4 * MIB};
    const struct sealed_claim whole = {.size = UINT64_MAX, .size_max = UINT64_MAX};
    const struct sealed_claim other_size = {.size = 4 * MIB + 1, .size_max = 8 * MIB, .layout = SEALED_HUGETLB};
    const struct sealed_claim limited = {.size = size, .size_max = size - 1, .layout = SEALED_HUGETLB};
    const char *why;

    assert_rejected(dup(sealed.fd), &undeclared, -EBADF, "hugetlb");
    assert_rejected(dup(sealed.fd), &whole, -EBADF, "hugetlb");
    assert_rejected(dup(sealed.fd), &other_size, -EMSGSIZE, "declared size");
    assert_rejected(dup(sealed.fd), &limited, -EMSGSIZE, "limit");
    assert_rejected(trap_memfd(2 * MIB, TRAP_ALL_SEALS), &declared, -EBADF, "hugetlb");

    ck_assert_int_eq(import(dup(sealed.fd), &declared, &imported, &why), 0);
    ck_assert_uint_eq(imported.size, size);
    ck_assert_int_eq(imported.layout, SEALED_HUGETLB);
    ck_assert(holds_all(&imported, 3));
    ck_assert_int_eq(sealed_pages(&imported), SEA_PAGES_HUGETLB);
    sealed_deinit(&imported);

    ck_assert_int_eq(import(dup(sealed.fd), &anything, &imported, &why), 0); /* for a caller that accepts both */
    ck_assert_uint_eq(imported.size, 4 * MIB);
    ck_assert_int_eq(imported.layout, SEALED_HUGETLB);
    sealed_deinit(&imported);
    sealed_deinit(&sealed);
}
END_TEST

/* A hugetlb hole raises SIGBUS when the pool is empty. */
START_TEST(test_hugetlb_holes) {
    int fd = memfd_create("sparse", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | 21u << 26);
    if (fd < 0)
        test_skip("no hugetlb memfds here: %s", strerror(errno));
    ck_assert_int_eq(ftruncate(fd, (off_t) (4 * MIB)), 0);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, TRAP_ALL_SEALS), 0);
    const struct sealed_claim declared = {.size = 4 * MIB, .size_max = 4 * MIB, .layout = SEALED_HUGETLB};
    assert_rejected(fd, &declared, -ENODATA, "holes");
}
END_TEST

int main(void) {
    struct suite *s = suite_new("sealed");
    suite_fixture(s, make_log, drop_log);
    suite_add_loop(s, test_new_memory_is_reserved_and_zero, 0, SIZES);
    suite_add(s, test_the_empty_one_can_be_ended);
    suite_add(s, test_file_sizes);
    suite_add_loop(s, test_written_memory_is_frozen, 0, SIZES);
    suite_add_loop(s, test_filled_at_offsets, 0, SIZES);
    suite_add(s, test_fills_and_pointers_may_alternate);
    suite_add(s, test_a_fill_that_fails);
    suite_add_loop(s, test_filled_from_a_file, 0, SIZES);
    suite_add_loop(s, test_filled_from_the_middle_of_a_file, 0, 10);
    suite_add(s, test_files_go_on_where_they_were);
    suite_add(s, test_a_file_that_is_too_short);
    suite_add(s, test_a_sparse_file);
    suite_add_loop(s, test_filled_from_a_pipe_or_socket, 0, 2 * SIZES);
    suite_add(s, test_a_pipe_that_does_not_wait);
    suite_add(s, test_filled_from_the_kernels_files);
    suite_add_loop(s, test_every_way_of_moving, 0, 4);
    suite_add(s, test_files_that_cannot_be_read);
    suite_add_loop(s, test_shrunk, 0, SIZES);
    suite_add(s, test_cut_bytes_are_gone);
    suite_add(s, test_a_shrink_that_fails);
    suite_add(s, test_a_foreign_writer_forbids_freezing);
    suite_add(s, test_another_process_that_writes_forbids_freezing);
    suite_add(s, test_a_forked_child_does_not_forbid_freezing);
    suite_add(s, test_pages_in_a_pipe_forbid_freezing);
    suite_add(s, test_frozen_without_a_new_descriptor);
    suite_add(s, test_a_freeze_that_fails);
    suite_add_loop(s, test_threads_map_it_once, 0, 2);
    suite_add_loop(s, test_overtaken_while_mapping, 0, 2);
    suite_add_loop(s, test_refusals_say_which_limit, 0, 7);
    suite_add(s, test_hugetlb_memory_that_is_forbidden);
    suite_add(s, test_the_file_size_limit);
    suite_add_loop(s, test_more_than_the_machine_has, 0, 5);
    suite_add(s, test_memory_that_cannot_be_mapped);
    suite_add_loop(s, test_huge_pages_where_they_are_granted, 0, 2);
    suite_add(s, test_huge_pages_are_imported);
    suite_add(s, test_no_huge_pages_when_not_wanted);
    suite_add(s, test_huge_memory_can_be_shrunk);
    suite_add(s, test_huge_pages_that_cannot_be_populated);
    suite_add(s, test_where_padding_pays);
    suite_add(s, test_the_system_is_asked_again);
    suite_add(s, test_padding_over_the_file_size_limit);
    suite_add_loop(s, test_padded_memory, 0, 4);
    suite_add_loop(s, test_padding_is_cut_where_there_is_no_huge_page, 0, 2);
    suite_add(s, test_padding_without_a_grant);
    suite_add_loop(s, test_padding_that_cannot_be_made, 0, 3);
    suite_add_loop(s, test_padded_memory_that_is_shrunk, 0, 8);
    suite_add(s, test_a_shrink_of_padded_memory_that_fails);
    suite_add(s, test_padding_is_declared);
    suite_add(s, test_hugetlb_pages_are_not_padding);
    suite_add_loop(s, test_hugetlb_memory, 0, 6);
    suite_add(s, test_hugetlb_memory_from_files);
    suite_add(s, test_hugetlb_memory_that_is_shrunk);
    suite_add(s, test_hugetlb_memory_that_cannot_be_mapped);
    suite_add(s, test_an_empty_hugetlb_block);
    suite_add(s, test_the_hugetlb_pool_runs_out);
    suite_add_loop(s, test_sealed_memory_is_imported, 0, SIZES);
    suite_add(s, test_an_import_outlives_its_maker);
    suite_add_loop(s, test_each_seal_is_needed, 0, 4);
    suite_add(s, test_no_seals_at_all);
    suite_add(s, test_further_seals_do_no_harm);
    suite_add_loop(s, test_other_kinds_of_descriptors, 0, 7);
    suite_add(s, test_a_file_in_memory_is_no_memfd);
    suite_add(s, test_the_size_is_the_declared_one);
    suite_add(s, test_the_size_is_limited);
    suite_add(s, test_holes);
    suite_add_loop(s, test_pages_behind_the_end, 0, 2);
    suite_add_loop(s, test_holes_in_disguise, 0, 2);
    suite_add(s, test_memory_of_ours_that_others_sealed);
    suite_add(s, test_an_import_that_cannot_be_mapped);
    suite_add_loop(s, test_looking_fails, 0, 6);
    suite_add(s, test_hugetlb_pages_are_declared);
    suite_add(s, test_hugetlb_holes);
    return suite_run(s);
}
