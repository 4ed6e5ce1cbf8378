/* SPDX-License-Identifier: MIT */
/* registry/block: the promises of a block to code that makes, fills, sends, keeps and forwards it, and its charges. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/machine.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "unit/room_peer.h"
#include "unit/settle.h"
#include "unit/tree.h"

#define MIB ((size_t) 1 << 20)
#define PAGE ((size_t) sysconf(_SC_PAGESIZE))

enum { SIZES = 5 };

static size_t size_of(int i) {
    const size_t sizes[SIZES] = {0, 1, PAGE - 1, PAGE, 2 * MIB + 1};
    return sizes[i];
}

static void before(void) {
    settle_begin();
    machine_restore();
    ctx_before();
}

static void after(void) {
    machine_restore();
    ctx_after();
    settle_threads();
}

static sea_block *new_sealed(size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, size, 0), 0);
    return block;
}

static sea_block *new_inline(size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(block_new_inline(&block, ctx, NULL, size, 1), 0);
    return block;
}

/* Makes a block of either class: most promises hold for both. */
static sea_block *new_block(bool is_sealed_class, size_t size) {
    return is_sealed_class ? new_sealed(size) : new_inline(size);
}

static sea_block *new_text(bool is_sealed_class, const char *text) {
    sea_block *block = new_block(is_sealed_class, strlen(text));
    ck_assert_int_eq(sea_block_fill(block, 0, text, strlen(text)), 0);
    return block;
}

static void assert_text(sea_block *block, const char *text) {
    ck_assert_uint_eq(sea_block_size(block), strlen(text));
    ck_assert_mem_eq(sea_block_view(block), text, strlen(text));
}

static bool is_zero(const void *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (((const char *) data)[i] != 0)
            return false;
    return true;
}

/* --- making and charging --- */

START_TEST(test_new_blocks) {
    size_t size = size_of(_i / 2);
    sea_block *block = new_block(_i % 2, size);
    ck_assert_uint_eq(sea_block_size(block), size);
    ck_assert_int_eq(sea_block_class(block), _i % 2 ? SEA_SEALED : SEA_INLINE);
    ck_assert(!sea_block_is_sealed(block));
    ctx_assert_budget(size, 1, (uint64_t) (_i % 2));
    char *data = sea_block_data(block);
    ck_assert_ptr_nonnull(data); /* also for an empty block */
    ck_assert(is_zero(data, size));
    memset(data, 'x', size);
    ck_assert_ptr_eq(sea_block_view(block), data);
    ck_assert_ptr_null(sea_block_unref(block));
    ctx_assert_budget(0, 0, 0);
}
END_TEST

START_TEST(test_blocks_hold_their_context) {
    sea_ctx *other = NULL;
    sea_block *block = NULL;
    ck_assert_int_eq(sea_ctx_new(&other, NULL), 0);
    ck_assert_int_eq(sea_block_new_sealed(&block, other, 10, 0), 0);
    sea_ctx_unref(other); /* the order of the destructors does not matter */
    ck_assert_int_eq(sea_block_fill(block, 0, "0123456789", 10), 0);
    ck_assert_int_eq(sea_block_seal(block), 0);
    assert_text(block, "0123456789");
    sea_block_unref(block);
}
END_TEST

START_TEST(test_nothing_to_drop) {
    ck_assert_ptr_null(sea_block_unref(NULL));
    ck_assert_ptr_null(sea_block_ref(NULL));
}
END_TEST

START_TEST(test_unknown_flags) {
    sea_block *block = (sea_block *) &ctx;
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 10, 8), -EINVAL);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 10, UINT32_MAX), -EINVAL);
    ck_assert_ptr_eq(block, &ctx);
}
END_TEST

START_TEST(test_base_pages_on_request) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 2 * MIB, SEA_BLOCK_NO_HUGE), 0);
    ck_assert_int_eq(sea_block_pages(block), SEA_PAGES_SMALL);
    sea_block_unref(block);
}
END_TEST

/* Also for an empty block, and where the kernel lacks MADV_POPULATE_WRITE. */
START_TEST(test_prefault_on_request) {
    sea_block *block = NULL;
    unsigned flags = SEA_BLOCK_PREFAULT | SEA_BLOCK_NO_HUGE;
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 0, flags), 0);
    sea_block_unref(block);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, MIB, flags), 0);
    ck_assert_uint_eq(map_count_resident(sea_block_data(block), MIB), MIB);
    sea_block_unref(block);
    fail_call(INJECT_MADVISE, 2, FAIL_ALWAYS, EINVAL); /* the first madvise() is MADV_DONTFORK */
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, MIB, flags), 0);
    fail_off();
    memset(sea_block_data(block), 1, MIB);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_the_budget) {
    static const struct {
        struct limits budget;
        const char *limit;
        bool is_for_inline;
    } cases[] = {{{.bytes = 250}, "budget (bytes)", true},
                 {{.blocks = 2}, "budget (blocks)", true},
                 {{.fds = 2}, "budget (descriptors)", false}};
    const sea_ctx_options options = {.budget_bytes = cases[_i].budget.bytes,
                                     .budget_blocks = cases[_i].budget.blocks,
                                     .budget_fds = cases[_i].budget.fds};
    for (int class = 0; class < 2; class ++) {
        ctx_anew(&options);
        sea_block *one = new_block(class, 100), *two = new_block(class, 100), *three = (sea_block *) &ctx;
        int r = class ? sea_block_new_sealed(&three, ctx, 100, 0) : block_new_inline(&three, ctx, NULL, 100, 1);
        if (class || cases[_i].is_for_inline) {
            ck_assert_int_eq(r, -EDQUOT);
            ck_assert_ptr_eq(three, &ctx);
            ck_assert_str_eq(ctx_refusal().limit, cases[_i].limit);
            ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
            ctx_assert_budget(200, 2, class ? 2 : 0);
            sea_block_unref(one); /* a descriptor that was given back is available again */
            one = new_block(class, 100);
        } else {
            ck_assert_int_eq(r, 0); /* inline blocks have no descriptor */
            sea_block_unref(three);
        }
        sea_block_unref(one);
        sea_block_unref(two);
    }
}
END_TEST

START_TEST(test_a_machine_that_refuses) {
    sea_block *block = (sea_block *) &ctx;
    fail_once(INJECT_MEMFD_CREATE, EMFILE);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 10, 0), -EMFILE);
    ck_assert_str_eq(ctx_refusal().limit, "RLIMIT_NOFILE");
    fail_once(INJECT_FALLOCATE, ENOSPC);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 10, 0), -ENOMEM);
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 10, 0), -ENOMEM);
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(block_new_inline(&block, ctx, NULL, 10, 1), -ENOMEM);
    ck_assert_ptr_eq(block, &ctx);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 4);
    ctx_assert_budget(0, 0, 0);
}
END_TEST

/* --- states --- */

START_TEST(test_sealing) {
    sea_block *block = new_text(_i, "frozen");
    ck_assert_ptr_nonnull(sea_block_data(block));
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert_int_eq(sea_block_seal(block), 0); /* a second call does nothing */
    assert_text(block, "frozen");
    const void *view = sea_block_view(block);
    ck_assert_ptr_eq(sea_block_view(block), view);

    ck_assert_int_eq(sea_block_fill(block, 0, "x", 1), -EPERM);
    ck_assert_int_eq(sea_block_fill(block, 0, "x", 0), -EPERM);
    ck_assert_int_eq(sea_block_fill_file(block, 0, 0, -1, 1), -EPERM);
    ck_assert_int_eq(sea_block_shrink(block, 1), -EPERM);
    ck_assert_int_eq(sea_block_shrink(block, 6), -EPERM);
    assert_text(block, "frozen");
    ctx_assert_budget(6, 1, (uint64_t) _i);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_an_empty_block_can_be_sealed) {
    sea_block *block = new_block(_i, 0);
    ck_assert_int_eq(sea_block_fill(block, 0, NULL, 0), 0);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_ptr_nonnull(sea_block_view(block));
    ck_assert_int_eq(sea_block_pages(block), SEA_PAGES_NONE);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_sealing_while_another_mapping_writes) {
    sea_block *block = new_text(true, "still mine");
    void *foreign = mmap(NULL, 10, PROT_WRITE, MAP_SHARED, sealed_block_fd(block), 0);
    ck_assert(foreign != MAP_FAILED);
    ck_assert_int_eq(sea_block_seal(block), -EBUSY);
    ck_assert(!sea_block_is_sealed(block));
    ck_assert_int_eq(sea_block_fill(block, 0, "S", 1), 0);
    ck_assert_ptr_nonnull(sea_block_data(block));
    munmap(foreign, 10);
    ck_assert_int_eq(sea_block_seal(block), 0);
    assert_text(block, "Still mine");
    sea_block_unref(block);
}
END_TEST

/* --- filling --- */

START_TEST(test_fill_stays_inside) {
    static const size_t bad[][2] = {{0, 11},           {1, 10},          {10, 1},       {11, 0},
                                    {11, 1},           {SIZE_MAX, 1},    {1, SIZE_MAX}, {SIZE_MAX, SIZE_MAX},
                                    {5, SIZE_MAX - 4}, {SIZE_MAX - 4, 5}};
    sea_block *block = new_text(_i, "0123456789");
    CLEANUP_FD int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(sea_block_fill(block, bad[i][0], "x", bad[i][1]), -EINVAL);
        ck_assert_int_eq(sea_block_fill_file(block, bad[i][0], zero, -1, bad[i][1]), -EINVAL);
    }
    ck_assert_int_eq(sea_block_fill(block, 10, "x", 0), 0);
    ck_assert_int_eq(sea_block_fill_file(block, 10, zero, -1, 0), 0);
    ck_assert_int_eq(sea_block_fill(block, 9, "x", 1), 0);
    assert_text(block, "012345678x");
    sea_block_unref(block);
}
END_TEST

START_TEST(test_fill_is_counted) {
    sea_block *block = new_block(_i, 100);
    ck_assert_int_eq(sea_block_fill(block, 10, "abc", 3), 0);
    ck_assert_int_eq(sea_block_fill(block, 0, "", 0), 0);
    ck_assert_int_eq(sea_block_fill(block, 99, "xy", 2), -EINVAL);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_COPIED_BYTES], 3);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_fill_from_files) {
    static const char text[] = "a line of text that is longer than the block";
    int ends[2];
    sea_block *block = new_block(_i, 20);
    CLEANUP_FD int file = memfd_create("a file", MFD_CLOEXEC);
    ck_assert_int_eq(write(file, text, sizeof text), sizeof text);
    ck_assert_int_eq(sea_block_fill_file(block, 0, file, 2, 20), 20);
    assert_text(block, "line of text that is");
    ck_assert_int_eq(lseek(file, 40, SEEK_SET), 40);
    ck_assert_int_eq(sea_block_fill_file(block, 10, file, -1, 10), 5); /* the end of the input */
    ck_assert_mem_eq(sea_block_view(block), "line of telock\0at is", 20);

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(sea_block_fill_file(block, 0, ends[0], -1, 20), -EAGAIN);
    ck_assert_int_eq(write(ends[1], "pipe", 4), 4);
    ck_assert_int_eq(sea_block_fill_file(block, 0, ends[0], -1, 20), 4);
    close(ends[1]);
    ck_assert_int_eq(sea_block_fill_file(block, 4, ends[0], -1, 16), 0);
    ck_assert_mem_eq(sea_block_view(block), "pipe of telock\0at is", 20);
    ck_assert_int_eq(sea_block_fill_file(block, 0, ends[0], 0, 1), -ESPIPE);
    close(ends[0]);
    ck_assert_int_eq(sea_block_fill_file(block, 0, -1, -1, 1), -EBADF);
    sea_block_unref(block);
}
END_TEST

/* --- cutting --- */

START_TEST(test_shrinking_gives_back) {
    sea_block *block = new_text(_i, "0123456789");
    ck_assert_int_eq(sea_block_shrink(block, 11), -EINVAL);
    ck_assert_int_eq(sea_block_shrink(block, SIZE_MAX), -EINVAL);
    ck_assert_int_eq(sea_block_shrink(block, 10), 0);
    assert_text(block, "0123456789");
    ck_assert_int_eq(sea_block_shrink(block, 4), 0);
    assert_text(block, "0123");
    ctx_assert_budget(4, 1, (uint64_t) _i);
    ck_assert_int_eq(sea_block_fill(block, 4, "x", 1), -EINVAL);
    ck_assert_int_eq(sea_block_shrink(block, 5), -EINVAL); /* a block never grows */
    ck_assert_int_eq(sea_block_shrink(block, 0), 0);
    ctx_assert_budget(0, 1, (uint64_t) _i);
    ck_assert_ptr_nonnull(sea_block_data(block));
    ck_assert_int_eq(sea_block_seal(block), 0);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_a_shrink_that_fails) {
    sea_block *block = new_text(true, "0123456789");
    fail_once(INJECT_FTRUNCATE, EIO);
    ck_assert_int_eq(sea_block_shrink(block, 4), -EIO);
    assert_text(block, "0123456789");
    ctx_assert_budget(10, 1, 1);
    sea_block_unref(block);
}
END_TEST

/* --- mapping --- */

START_TEST(test_a_block_that_cannot_be_mapped) {
    sea_block *block = new_sealed(100);
    fail_always(INJECT_MMAP, ENOMEM);
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert_int_eq(ctx_refusal().error, -ENOMEM);
    ck_assert_str_eq(ctx_refusal().limit, "address space");
    ck_assert_int_eq(sea_block_fill(block, 0, "abc", 3), 0); /* filling and sealing need no mapping */
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_ptr_null(sea_block_view(block));
    fail_off();
    ck_assert_mem_eq(sea_block_view(block), "abc", 3);
    sea_block_unref(block);
}
END_TEST

enum { THREADS = 4, TURNS = 3000 };

static sea_block *common;
static pthread_barrier_t barrier;

static void *use_in_common(void *unused) {
    bool is_good = true;
    (void) unused;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < TURNS; i++) {
        sea_block *block = sea_block_ref(common);
        const char *view = sea_block_view(block);
        is_good = is_good && view && memcmp(view, "for all", 7) == 0 && sea_block_is_sealed(block);
        sea_block_unref(block);
    }
    sea_block_unref(common);
    return is_good ? NULL : (void *) "something else was read";
}

/* Many threads may reference and read a sealed block; the last reference ends it. */
START_TEST(test_threads_share_a_sealed_block) {
    pthread_t threads[THREADS];
    void *complaint, *first = NULL;
    common = new_text(_i, "for all");
    ck_assert_int_eq(sea_block_seal(common), 0);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        sea_block_ref(common);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_in_common, NULL), 0);
    }
    sea_block_unref(common);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &complaint);
        first = first ? first : complaint;
    }
    pthread_barrier_destroy(&barrier);
    ck_assert_ptr_null(first);
    ctx_assert_budget(0, 0, 0);
}
END_TEST

static void *fill_and_hand_on(void *block) {
    return sea_block_fill(block, 0, "made", 4) == 0 && sea_block_seal(block) == 0 ? block : NULL;
}

/* One thread makes the block, another writes it, a third ends it. */
START_TEST(test_a_block_goes_from_thread_to_thread) {
    pthread_t thread;
    void *made = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, fill_and_hand_on, new_block(_i, 4)), 0);
    pthread_join(thread, &made);
    ck_assert_ptr_nonnull(made);
    assert_text(made, "made");
    sea_block_unref(made);
}
END_TEST

/* --- export and import --- */

START_TEST(test_export) {
    sea_block *block = new_text(true, "exported");
    int fd = -7;
    ck_assert_int_eq(sea_block_export(block, &fd), -EPERM); /* not sealed yet: other processes could write */
    ck_assert_int_eq(fd, -7);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    ctx_assert_budget(8, 1, 1); /* the application owns the descriptor */
    sea_block_unref(block);

    char text[20];
    struct memfd_info info;
    ck_assert_int_eq(memfd_inspect(fd, &info), 0);
    ck_assert(memfd_seals_hold(info.seals));
    ck_assert_uint_eq(info.size, 8);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(pread(fd, text, sizeof text, 0), 8);
    ck_assert_mem_eq(text, "exported", 8);
    close(fd);
}
END_TEST

/* Makes an import with an open file that other processes share: `peers` is the sender's descriptor. */
static sea_block *new_import(int *ret_peers) {
    sea_block *block = NULL;
    int fd = trap_memfd(8192, TRAP_ALL_SEALS);
    *ret_peers = dup(fd);
    ck_assert_int_ge(*ret_peers, 0);
    ck_assert_int_eq(sea_block_import(&block, ctx, fd, 8192), 0);
    return block;
}

START_TEST(test_an_exports_offset_is_its_own) {
    char text[4] = "";
    int peers, fd = -1, other = -1;
    sea_block *block = new_import(&peers);
    ck_assert_int_eq(lseek(peers, 4096, SEEK_SET), 4096);
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND), O_RDONLY);
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 0);
    ck_assert_int_eq(lseek(peers, 8192, SEEK_SET), 8192);
    ck_assert_int_eq(read(fd, text, 4), 4);
    ck_assert_mem_eq(text, "trap", 4);
    ck_assert_int_eq(lseek(peers, 0, SEEK_CUR), 8192);
    ck_assert_int_eq(sea_block_export(block, &other), 0);
    ck_assert_int_eq(lseek(other, 0, SEEK_CUR), 0); /* two exports share no position either */
    sea_block_unref(block);
    close(fd);
    close(other);
    close(peers);
}
END_TEST

static void assert_export_fails(sea_block *block, int error, const char *word) {
    sea_refusal refusal;
    int fd = -7;
    ck_assert_int_eq(sea_block_export(block, &fd), error);
    ck_assert_int_eq(fd, -7);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, error);
    ck_assert_msg(strstr(refusal.advice, word) != NULL, "it says: %s", refusal.advice);
}

START_TEST(test_an_export_without_proc) {
    sea_block *block = new_text(true, "a");
    ck_assert_int_eq(sea_block_seal(block), 0);
    fail_always(INJECT_OPEN, ENOENT);
    assert_export_fails(block, -ENOENT, "mount /proc");
    fail_always(INJECT_OPEN, EIO);
    assert_export_fails(block, -EIO, "opened anew");
    fail_off();
    sea_block_unref(block);
}
END_TEST

START_TEST(test_an_export_that_its_maker_forbids) {
    int peers;
    sea_block *block = new_import(&peers);
    if (geteuid() != 0)
        test_skip("only root can be somebody else");
    ck_assert_int_eq(fchmod(peers, 0), 0);
    ck_assert_int_eq(seteuid(4002), 0);
    assert_export_fails(block, -EACCES, "unreadable");
    ck_assert_int_eq(seteuid(0), 0);
    sea_block_unref(block);
    close(peers);
}
END_TEST

/* A block that another user made can be exported: the file's mode lets a process read that has its descriptor. */
START_TEST(test_an_export_of_another_users_block) {
    sea_block *block = new_text(true, "a");
    int fd = -1;
    if (geteuid() != 0)
        test_skip("only root can be somebody else");
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_int_eq(seteuid(4002), 0);
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    ck_assert_int_eq(seteuid(0), 0);
    sea_block_unref(block);
    close(fd);
}
END_TEST

/* Otherwise open() would wait for as long as /proc/sys/fs/lease-break-time says: 45 s. */
START_TEST(test_an_export_under_a_lease) {
    int peers;
    sea_block *block = new_text(true, "a");
    ck_assert_int_eq(sea_block_seal(block), 0);
    peers = block->sealed.fd; /* the descriptor that each receiver has */
    signal(SIGIO, SIG_IGN);
    if (fcntl(peers, F_SETLEASE, F_WRLCK) < 0)
        test_skip("this kernel gives no lease on a memfd");
    assert_export_fails(block, -EAGAIN, "lease");
    ck_assert_int_eq(fcntl(peers, F_SETLEASE, F_UNLCK), 0);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_blocks_that_cannot_be_exported) {
    sea_block *inlined = new_text(false, "a"), *sealed = new_text(true, "a");
    int fd = -7;
    ck_assert_int_eq(sea_block_export(inlined, &fd), -EOPNOTSUPP);
    ck_assert_int_eq(sea_block_seal(inlined), 0);
    ck_assert_int_eq(sea_block_export(inlined, &fd), -EOPNOTSUPP);
    ck_assert_int_eq(sea_block_seal(sealed), 0);
    fail_always(INJECT_OPEN, EMFILE);
    ck_assert_int_eq(sea_block_export(sealed, &fd), -EMFILE);
    ck_assert_int_eq(fd, -7);
    fail_off();
    sea_block_unref(inlined);
    sea_block_unref(sealed);
}
END_TEST

START_TEST(test_import) {
    size_t size = size_of(_i);
    sea_block *block = NULL;
    int fd = -1;
    ck_assert_int_eq(sea_block_import(&block, ctx, trap_memfd(size, TRAP_ALL_SEALS), size), 0);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_int_eq(sea_block_class(block), SEA_SEALED);
    ck_assert_uint_eq(sea_block_size(block), size);
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert_ptr_nonnull(sea_block_view(block));
    if (size >= 4)
        ck_assert_mem_eq(sea_block_view(block), "trap", 4);
    ctx_assert_budget(size, 1, 1); /* charged as a block of our own */
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    sea_block_unref(block);
    close(fd);
}
END_TEST

/* Checks the error and the reason in the refusal. */
static void assert_not_imported(int fd, size_t max_size, int error, const char *word) {
    sea_block *block = (sea_block *) &ctx;
    ck_assert_int_eq(sea_block_import(&block, ctx, fd, max_size), error);
    ck_assert_ptr_eq(block, &ctx);
    ck_assert_int_eq(ctx_refusal().error, error);
    ck_assert_msg(strstr(ctx_refusal().advice, word) != NULL, "%s", ctx_refusal().advice);
    ctx_assert_budget(0, 0, 0);
}

START_TEST(test_descriptors_that_cannot_be_imported) {
    assert_not_imported(trap_memfd(PAGE, TRAP_ALL_SEALS & ~F_SEAL_WRITE), PAGE, -EINVAL, "F_SEAL_WRITE");
    assert_not_imported(trap_memfd(PAGE, TRAP_ALL_SEALS & ~F_SEAL_SHRINK), PAGE, -EINVAL, "F_SEAL_SHRINK");
    assert_not_imported(trap_memfd(PAGE, TRAP_ALL_SEALS & ~F_SEAL_GROW), PAGE, -EINVAL, "F_SEAL_GROW");
    assert_not_imported(trap_memfd(PAGE, TRAP_ALL_SEALS & ~F_SEAL_SEAL), PAGE, -EINVAL, "F_SEAL_SEAL");
    assert_not_imported(trap_pipe(), PAGE, -EINVAL, "memfd");
    assert_not_imported(trap_path_only(), PAGE, -EINVAL, "memfd");
    assert_not_imported(trap_holes(4 * PAGE), SIZE_MAX, -EINVAL, "holes");
    assert_not_imported(trap_sparse(UINT64_C(1) << 46), SIZE_MAX, -EINVAL, "holes");
    assert_not_imported(trap_memfd(PAGE + 1, TRAP_ALL_SEALS), PAGE, -EMSGSIZE, "limit");
    assert_not_imported(trap_memfd(1, TRAP_ALL_SEALS), 0, -EMSGSIZE, "limit");
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 0);
    fail_always(INJECT_MMAP, ENOMEM);
    assert_not_imported(trap_memfd(PAGE, TRAP_ALL_SEALS), PAGE, -ENOMEM, "mapped");
}
END_TEST

/* The text names exactly the missing seals. */
START_TEST(test_missing_seals_are_named) {
    assert_not_imported(trap_memfd(PAGE, TRAP_ALL_SEALS & ~F_SEAL_WRITE), PAGE, -EINVAL, "lacks F_SEAL_WRITE");
    ck_assert_str_eq(ctx_refusal().advice, "the memfd lacks F_SEAL_WRITE");
    assert_not_imported(trap_memfd(PAGE, F_SEAL_GROW), PAGE, -EINVAL, "lacks F_SEAL_SHRINK, F_SEAL_WRITE, F_SEAL_SEAL");
    assert_not_imported(trap_memfd(PAGE, 0), PAGE, -EINVAL, "F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL");
    ck_assert_str_eq(ctx_refusal().limit, "sea_block_import");
}
END_TEST

/* For any flags of its maker: a descriptor that the library owns does not survive exec. */
START_TEST(test_an_import_is_close_on_exec) {
    sea_block *block = NULL;
    int fd = trap_memfd(PAGE, TRAP_ALL_SEALS);
    ck_assert_int_eq(fcntl(fd, F_SETFD, 0), 0);
    ck_assert_int_eq(sea_block_import(&block, ctx, fd, PAGE), 0);
    ck_assert_int_eq(fcntl(sealed_block_fd(block), F_GETFD), FD_CLOEXEC);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_an_import_over_the_budget) {
    const sea_ctx_options options = {.budget_bytes = PAGE - 1};
    ctx_anew(&options);
    assert_not_imported(trap_memfd(PAGE, TRAP_ALL_SEALS), PAGE, -EDQUOT, "budget");
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_import(&block, ctx, trap_memfd(PAGE - 1, TRAP_ALL_SEALS), PAGE), 0);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_no_memory_for_an_import) {
    sea_block *block = (sea_block *) &ctx;
    int fd = trap_memfd(PAGE, TRAP_ALL_SEALS);
    fail_always(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(sea_block_import(&block, ctx, fd, PAGE), -ENOMEM);
    ck_assert_ptr_eq(block, &ctx);
    ctx_assert_budget(0, 0, 0);
}
END_TEST

/* --- payloads from peers --- */

/* Admission covers inline payloads from 16 KiB on, and reads the machine's memory only when the last look is used
 * up. */
START_TEST(test_large_inline_payloads_are_admitted) {
    static const char text[16384];
    sea_block *block = NULL;
    tree_make();
    ctx->admission.proc = ctx->admission.mount = tree_path;
    ctx->admission.allowance = ctx->admission.stale = 0;                     /* grants from the real machine */
    tree_write("meminfo", "MemTotal: 1048576 kB\nMemAvailable: 16384 kB\n"); /* all of it is kept free */
    ck_assert_int_eq(block_copy_inline(&block, ctx, NULL, text, 16384), -ENOMEM);
    ck_assert_str_eq(ctx_refusal().limit, "MemAvailable");
    ctx_assert_budget(0, 0, 0);
    ck_assert_int_eq(block_copy_inline(&block, ctx, NULL, text, 16383), 0);
    sea_block_unref(block);
    tree_write("meminfo", "MemTotal: 1048576 kB\nMemAvailable: 65536 kB\n");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(block_copy_inline(&block, ctx, NULL, text, 16384), 0);
        sea_block_unref(block);
        if (i == 0)
            fail_call(INJECT_OPEN, 0, 0, 0);
    }
    ck_assert_int_eq(fail_calls(INJECT_OPEN), 0);
    ck_assert_uint_eq(ctx->admission.promised, 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    tree_remove();
}
END_TEST

START_TEST(test_a_received_inline_payload) {
    char text[] = "hello";
    sea_block *block = NULL;
    ck_assert_int_eq(block_copy_inline(&block, ctx, NULL, text, 5), 0);
    memset(text, '#', 5); /* the payload is a private copy */
    assert_text(block, "hello");
    ck_assert_int_eq(sea_block_class(block), SEA_INLINE);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    ctx_assert_budget(5, 1, 0);
    sea_block_unref(block);

    const sea_ctx_options options = {.budget_bytes = 4};
    ctx_anew(&options);
    block = (sea_block *) &ctx;
    ck_assert_int_eq(block_copy_inline(&block, ctx, NULL, text, 5), -EDQUOT);
    ck_assert_ptr_eq(block, &ctx);
}
END_TEST

START_TEST(test_a_received_sealed_payload) {
    struct owner peer;
    sea_block *block = NULL;
    uint64_t mappings = map_count();
    owner_init(&peer, 1000);
    ck_assert_int_eq(owner_send(&peer, 7, PAGE + 1, &block), 0);
    ck_assert_uint_eq(map_count(), mappings + 1);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_uint_eq(sea_block_size(block), PAGE + 1);
    ck_assert_mem_eq(sea_block_view(block), "trap", 4);
    ck_assert(!block_is_hugetlb(block));
    ck_assert(imports_have(peer.peer->account, 7));
    owner_assert_charged(&peer, PAGE + 1, 1, 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 1);
    ctx_assert_budget(0, 0, 0); /* charged to the peer, not to us */

    sea_block_ref(block);
    sea_block_unref(block);
    ck_assert_uint_eq(peer.released_count, 0);
    sea_block_unref(block);
    ck_assert_uint_eq(peer.released_count, 1);
    ck_assert_uint_eq(peer.released[0], 7);
    ck_assert_uint_eq(peer.mappings, mappings); /* the memory goes first, and the handle then */
    owner_assert_charged(&peer, 0, 0, 0);
    ck_assert_uint_eq(owner_end(&peer, 0), 0);
}
END_TEST

/* Lies and refusals have different errors; after either, the payload is neither charged nor taken, and no handle is
 * given back. */
START_TEST(test_payloads_that_are_not_taken) {
    static const struct limits none = {0};
    const struct {
        int fd;
        size_t size;
        struct limits peer, user;
        int error;
    } cases[] = {
        {trap_memfd(PAGE, F_SEAL_WRITE), PAGE, none, none, -EBADF},
        {trap_eventfd(), PAGE, none, none, -EBADF},
        {trap_memfd(PAGE, TRAP_ALL_SEALS), PAGE + 1, none, none, -EMSGSIZE},
        {trap_memfd(PAGE, TRAP_ALL_SEALS), PAGE - 1, none, none, -EMSGSIZE},
        {trap_sparse(PAGE), PAGE, none, none, -ENODATA},
        {trap_memfd(PAGE, TRAP_ALL_SEALS), PAGE, {.bytes = PAGE - 1}, none, -EDQUOT},
        {trap_memfd(PAGE, TRAP_ALL_SEALS), PAGE, none, {.bytes = PAGE - 1}, -EDQUOT},
        {trap_memfd(PAGE, 0), PAGE, {.bytes = PAGE - 1}, none, -EDQUOT}, /* charged first, then examined */
        {trap_sparse(INT64_MAX), INT64_MAX, none, none, -EDQUOT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sea_ctx_options options = {.peer_bytes = cases[i].peer.bytes,
                                         .peer_blocks = cases[i].peer.blocks,
                                         .peer_fds = cases[i].peer.fds,
                                         .user_bytes = cases[i].user.bytes,
                                         .user_blocks = cases[i].user.blocks,
                                         .user_fds = cases[i].user.fds};
        const struct sealed_claim claim = {.size = cases[i].size, .size_max = cases[i].size};
        struct owner peer;
        sea_block *block = (sea_block *) &ctx;
        const char *why = NULL;
        ctx_anew(&options);
        owner_init(&peer, 1000);
        int r = sealed_block_receive(&block, peer.peer->account, 7, cases[i].fd, &claim, &why);
        ck_assert_msg(r == cases[i].error, "%zu: %d, %s", i, r, why);
        ck_assert_ptr_eq(block, &ctx);
        bool is_refusal = cases[i].error == -EDQUOT;
        ck_assert(is_refusal || (why && why[0]));
        ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], is_refusal);
        ck_assert(!imports_have(peer.peer->account, 7));
        owner_assert_charged(&peer, 0, 0, 0);
        ck_assert_uint_eq(peer.peer->account->refs, 1);
        ck_assert_uint_eq(peer.released_count, 0);
        ck_assert_uint_eq(owner_end(&peer, 0), 0);
    }
}
END_TEST

START_TEST(test_a_machine_that_cannot_take) {
    static const struct {
        enum inject_kind kind;
        int n;
    } cases[] = {{INJECT_ALLOC, 1},     {INJECT_ALLOC, 2}, {INJECT_MMAP, 1},
                 {INJECT_GET_SEALS, 1}, {INJECT_FSTAT, 1}, {INJECT_FSTATFS, 1}};
    struct owner peer;
    sea_block *block = (sea_block *) &ctx;
    const struct sealed_claim claim = {.size = PAGE, .size_max = PAGE};
    const char *why = NULL;
    int fd = trap_memfd(PAGE, TRAP_ALL_SEALS);
    owner_init(&peer, 1000);
    fail_call(cases[_i].kind, cases[_i].n, 1, ENOMEM);
    ck_assert_int_eq(sealed_block_receive(&block, peer.peer->account, 7, fd, &claim, &why), -ENOMEM);
    ck_assert_ptr_eq(block, &ctx);
    ck_assert_int_eq(ctx_refusal().error, -ENOMEM);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    owner_assert_charged(&peer, 0, 0, 0);
    fail_off();
    ck_assert_int_eq(owner_send(&peer, 7, PAGE, &block), 0); /* the handle is still free */
    sea_block_unref(block);
    ck_assert_uint_eq(owner_end(&peer, 0), 0);
}
END_TEST

/* --- forwarding --- */

/* A payload of one peer goes on to another: it stays lent by the first until the second has given it back. */
START_TEST(test_a_forwarded_block) {
    struct owner from, to;
    sea_block *block = NULL;
    uint64_t handle;
    owner_init(&from, 1000);
    owner_init(&to, 1001);
    ck_assert_int_eq(owner_send(&from, 7, PAGE, &block), 0);
    ck_assert_int_eq(lease_grant(&to.peer->leases, block, &handle), 0);
    owner_assert_charged(&from, PAGE, 1, 1);
    owner_assert_charged(&to, PAGE, 1, 0);
    ctx_assert_budget(0, 0, 0);

    if (_i == 0)
        sea_block_unref(block); /* this process releases it first */
    ck_assert_uint_eq(from.released_count, 0);
    ck_assert_int_eq(lease_release(&to.peer->leases, handle), 0);
    if (_i == 1) {
        ck_assert_uint_eq(from.released_count, 0);
        ck_assert_mem_eq(sea_block_view(block), "trap", 4);
        sea_block_unref(block);
    }
    ck_assert_uint_eq(from.released_count, 1);
    ck_assert_uint_eq(from.released[0], 7);
    ck_assert_uint_eq(to.released_count, 0);
    ck_assert_uint_eq(owner_end(&from, 0), 0);
    ck_assert_uint_eq(owner_end(&to, 0), 0);
}
END_TEST

/* Either peer may end first. */
START_TEST(test_forwarded_and_one_of_them_ends) {
    struct owner from, to;
    sea_block *block = NULL;
    uint64_t handle;
    owner_init(&from, 1000);
    owner_init(&to, 1001);
    ck_assert_int_eq(owner_send(&from, 7, PAGE, &block), 0);
    ck_assert_int_eq(lease_grant(&to.peer->leases, block, &handle), 0);
    sea_block_unref(block);
    if (_i == 0) {
        ck_assert_uint_eq(owner_end(&from, 0), 0);
        ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 1); /* the other peer still reads it */
        ck_assert_uint_eq(owner_end(&to, PAGE), 1);
        ck_assert_uint_eq(from.released_count, 0); /* the first peer is gone, so no handle is given back */
    } else {
        ck_assert_uint_eq(owner_end(&to, PAGE), 1);
        ck_assert_uint_eq(from.released_count, 1);
        ck_assert_uint_eq(owner_end(&from, 0), 0);
    }
}
END_TEST

/* The answer carries the block that the question brought. */
START_TEST(test_sent_back_to_where_it_came_from) {
    struct owner peer;
    sea_block *block = NULL;
    uint64_t handle;
    owner_init(&peer, 1000);
    ck_assert_int_eq(owner_send(&peer, 7, PAGE, &block), 0);
    ck_assert_int_eq(lease_grant(&peer.peer->leases, block, &handle), 0);
    owner_assert_charged(&peer, 2 * PAGE, 2, 1); /* in both directions */
    sea_block_unref(block);
    if (_i == 0) {
        ck_assert_int_eq(lease_release(&peer.peer->leases, handle), 0);
        ck_assert_uint_eq(peer.released_count, 1);
        ck_assert_uint_eq(owner_end(&peer, 0), 0);
    } else {
        ck_assert_uint_eq(owner_end(&peer, PAGE), 1);
        ck_assert_uint_eq(peer.released_count, 0);
    }
}
END_TEST

START_TEST(test_a_received_block_is_exported) {
    struct owner peer;
    sea_block *block = NULL;
    char text[4];
    int fd = -1;
    owner_init(&peer, 1000);
    ck_assert_int_eq(owner_send(&peer, 7, PAGE, &block), 0);
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    sea_block_unref(block);
    ck_assert_uint_eq(owner_end(&peer, 0), 0);
    ck_assert_int_eq(pread(fd, text, 4, 0), 4);
    ck_assert_mem_eq(text, "trap", 4);
    close(fd);
}
END_TEST

/* --- copies --- */

START_TEST(test_a_copy_in_sealed_memory) {
    sea_block *from = new_text(_i, "the same"), *copy = NULL;
    ck_assert_int_eq(sea_block_seal(from), 0);
    ck_assert_int_eq(sealed_block_copy(&copy, NULL, from), 0);
    ck_assert_ptr_ne(copy, from);
    ck_assert_int_eq(sea_block_class(copy), SEA_SEALED);
    ck_assert(sea_block_is_sealed(copy));
    ctx_assert_budget(16, 2, _i ? 2 : 1);
    sea_block_unref(from);
    assert_text(copy, "the same");
    sea_block_unref(copy);
}
END_TEST

START_TEST(test_a_copy_that_fails) {
    static const struct {
        enum inject_kind kind;
        int error, result;
    } cases[] = {{INJECT_ALLOC, ENOMEM, -ENOMEM},
                 {INJECT_MEMFD_CREATE, EMFILE, -EMFILE},
                 {INJECT_PWRITE, EIO, -EIO},
                 {INJECT_ADD_SEALS, EBUSY, -EBUSY}};
    sea_block *from = new_text(false, "the same"), *copy = (sea_block *) &ctx;
    fail_once(cases[_i].kind, cases[_i].error);
    ck_assert_int_eq(sealed_block_copy(&copy, NULL, from), cases[_i].result);
    ck_assert_ptr_eq(copy, &ctx);
    ctx_assert_budget(8, 1, 0);
    sea_block_unref(from);
}
END_TEST

/* --- large pages --- */

START_TEST(test_huge_pages_are_counted) {
    if (memfd_huge_policy() == MEMFD_HUGE_NEVER && !machine_grant_huge())
        test_skip("huge pages for memfds cannot be had: transparent_hugepage/shmem_enabled");
    sea_block *block = new_sealed(4 * MIB), *plain = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&plain, ctx, 4 * MIB, SEA_BLOCK_NO_HUGE), 0);
    memset(sea_block_data(block), 'h', 4 * MIB);
    memset(sea_block_data(plain), 'h', 4 * MIB);
    bool is_huge = sea_block_pages(block) == SEA_PAGES_THP;
    void *foreign = mmap(NULL, 1, PROT_WRITE, MAP_SHARED, sealed_block_fd(block), 0);
    ck_assert_int_eq(sea_block_seal(block), -EBUSY);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_HUGE_BLOCKS], 0);
    munmap(foreign, 1);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_int_eq(sea_block_seal(plain), 0);
    uint64_t counted = ctx_figures().of[SEA_FIGURE_HUGE_BLOCKS];
    sea_block_unref(block);
    sea_block_unref(plain);
    if (!is_huge)
        test_skip("the system granted no huge page: memory is fragmented");
    ck_assert_uint_eq(counted, 1);
}
END_TEST

/* Where all memfds get huge pages, a small block is charged by its size; pages that cannot be cut are charged, too. */
START_TEST(test_the_budget_follows_the_kernels_count) {
    sea_block *blocks[20], *last = NULL;
    uint64_t real = 0, allocated = 0;
    if (!machine_choose_huge("always"))
        test_skip("transparent_hugepage/shmem_enabled cannot be changed");
    for (int i = 0; i < 20; i++) {
        blocks[i] = new_sealed(64 << 10);
        memset(sea_block_data(blocks[i]), 'h', 64 << 10);
        ck_assert_int_eq(sea_block_seal(blocks[i]), 0);
        ck_assert_int_eq(memfd_allocated(sealed_block_fd(blocks[i]), &allocated), 0);
        real += allocated;
    }
    ck_assert_uint_eq(real, 20 * (64 << 10));
    ctx_assert_budget(real, 20, 20);
    fail_call(INJECT_FTRUNCATE, 2, FAIL_ALWAYS, EBUSY);
    last = new_sealed(64 << 10);
    fail_off();
    ck_assert_int_eq(memfd_allocated(sealed_block_fd(last), &allocated), 0);
    ctx_assert_budget(real + allocated, 21, 21);
    ck_assert_int_eq(sea_block_shrink(last, 4096), 0);
    ctx_assert_budget(real + 4096, 21, 21);
    sea_block_unref(last);
    for (int i = 0; i < 20; i++)
        sea_block_unref(blocks[i]);
    ctx_assert_budget(0, 0, 0);
}
END_TEST

/* Makes a padded block, or skips the test. */
static sea_block *new_padded(size_t size) {
    if (memfd_huge_policy() == MEMFD_HUGE_NEVER && !machine_grant_huge())
        test_skip("huge pages for memfds cannot be had: transparent_hugepage/shmem_enabled");
    sea_block *block = new_sealed(size);
    if (block->sealed.layout == SEALED_EXACT) {
        ctx_assert_budget(size, 1, 1);
        sea_block_unref(block);
        test_skip("the system granted no huge page: memory is fragmented");
    }
    return block;
}

START_TEST(test_padded_blocks_are_charged_in_full) {
    sea_block *block = new_padded(3 * MIB);
    ck_assert_uint_eq(sea_block_size(block), 3 * MIB);
    ck_assert_uint_eq(block_footprint(block), 4 * MIB);
    ctx_assert_budget(4 * MIB, 1, 1);
    ck_assert_int_eq(sea_block_shrink(block, MIB), 0);
    ctx_assert_budget(2 * MIB, 1, 1);
    ck_assert_int_eq(sea_block_shrink(block, 100), 0);
    ctx_assert_budget(100, 1, 1);
    ck_assert_int_eq(sea_block_seal(block), 0);
    sea_block_unref(block);
    ctx_assert_budget(0, 0, 0);
}
END_TEST

/* The exported descriptor shows the padding, which reads as zeros. */
START_TEST(test_padded_blocks_are_exported) {
    sea_block *block = new_padded(MIB), *imported = NULL;
    int fd = -1;
    memset(sea_block_data(block), 'p', MIB);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_int_eq(sea_block_pages(block), SEA_PAGES_THP);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_HUGE_BLOCKS], 1);
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    ck_assert_int_eq(sea_block_import(&imported, ctx, fd, 2 * MIB), 0);
    ck_assert_uint_eq(sea_block_size(imported), 2 * MIB);
    const char *view = sea_block_view(imported);
    ck_assert(view[0] == 'p' && view[MIB - 1] == 'p');
    ck_assert(is_zero(view + MIB, MIB));
    ctx_assert_budget(4 * MIB, 2, 2);
    sea_block_unref(imported);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_blocks_without_padding) {
    const sea_ctx_options options = {.budget_bytes = 2 * MIB + MIB / 2};
    ctx_anew(&options);
    sea_block *padded = new_padded(MIB), *plain = NULL, *copy = NULL;
    sea_block *exact = new_sealed(MIB / 4); /* the quota has room for the payload, and not for its padding */
    ck_assert_int_eq(exact->sealed.layout, SEALED_EXACT);
    ctx_assert_budget(2 * MIB + MIB / 4, 2, 2);
    sea_block_unref(exact);
    sea_block_unref(padded);
    ck_assert_int_eq(sea_block_new_sealed(&plain, ctx, MIB, SEA_BLOCK_NO_HUGE), 0);
    ck_assert_int_eq(plain->sealed.layout, SEALED_EXACT);
    ck_assert_int_eq(sealed_block_copy(&copy, NULL, plain), 0); /* for peers without room for the padding */
    ck_assert_int_eq(copy->sealed.layout, SEALED_EXACT);
    ctx_assert_budget(2 * MIB, 2, 2);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 0);
    sea_block_unref(copy);
    sea_block_unref(plain);
}
END_TEST

START_TEST(test_a_received_padded_payload) {
    const struct sealed_claim claim = {.size = MIB, .size_max = MIB, .layout = SEALED_PADDED};
    struct owner peer;
    sea_block *block = NULL;
    const char *why = NULL;
    owner_init(&peer, 1000);
    int fd = trap_memfd(2 * MIB, TRAP_ALL_SEALS);
    ck_assert_int_eq(sealed_block_receive(&block, peer.peer->account, 7, fd, &claim, &why), 0);
    ck_assert_uint_eq(sea_block_size(block), MIB);
    owner_assert_charged(&peer, 2 * MIB, 1, 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BYTES], 2 * MIB);
    sea_block_unref(block);
    owner_assert_charged(&peer, 0, 0, 0);
    fd = trap_memfd(MIB, TRAP_ALL_SEALS);
    ck_assert_int_eq(sealed_block_receive(&block, peer.peer->account, 7, fd, &claim, &why), -EMSGSIZE);
    owner_assert_charged(&peer, 0, 0, 0);
    ck_assert_uint_eq(owner_end(&peer, 0), 0);
}
END_TEST

START_TEST(test_resident_memory) {
    sea_block *block = NULL, *small = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 16 * PAGE + 1, SEA_BLOCK_NO_HUGE), 0);
    ck_assert_uint_eq(sea_block_resident(block), 17 * PAGE);
    ck_assert_int_eq(sea_block_seal(block), 0);
    ck_assert_uint_ge(sea_block_resident(block), 17 * PAGE); /* a reader may have added some pages */
    fail_once(INJECT_FSTAT, EIO);
    ck_assert_uint_eq(sea_block_resident(block), UINT64_MAX);
    sea_block_unref(block);
    ck_assert_int_eq(block_new_inline(&small, ctx, NULL, 100, 1), 0);
    ck_assert_uint_eq(sea_block_resident(small), 0);
    sea_block_unref(small);
}
END_TEST

/* Pages behind the end, as a peer gets them where all memfds get huge pages: they are charged, but do not count
 * against the credit. */
START_TEST(test_received_pages_are_charged) {
    const sea_ctx_options options = {.peer_bytes = 10 * PAGE};
    const struct sealed_claim claim = {.size = PAGE, .size_max = PAGE};
    struct owner peer;
    sea_block *block = NULL, *other = NULL;
    const char *why = NULL;
    ctx_anew(&options);
    owner_init(&peer, 1000);
    int fd = trap_excess(PAGE, 7 * PAGE, TRAP_ALL_SEALS);
    ck_assert_int_eq(sealed_block_receive(&block, peer.peer->account, 7, fd, &claim, &why), 0);
    owner_assert_charged(&peer, 8 * PAGE, 1, 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BYTES], PAGE);
    fd = trap_excess(PAGE, 2 * PAGE, TRAP_ALL_SEALS);
    ck_assert_int_eq(sealed_block_receive(&other, peer.peer->account, 8, fd, &claim, &why), -EDQUOT);
    owner_assert_charged(&peer, 8 * PAGE, 1, 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    sea_block_unref(block);
    owner_assert_charged(&peer, 0, 0, 0);
    ck_assert_uint_eq(owner_end(&peer, 0), 0);
}
END_TEST

START_TEST(test_hugetlb_blocks) {
    sea_block *block = NULL, *copy = NULL, *imported = NULL;
    int fd = -1;
    if (!machine_add_hugetlb(1))
        test_skip("no 2 MiB pages for the pool: vm.nr_hugepages");
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 5, SEA_BLOCK_HUGETLB), 0);
    ctx_assert_budget(2 * MIB, 1, 1); /* the memory in use */
    ck_assert(block_is_hugetlb(block));
    ck_assert_int_eq(sea_block_pages(block), SEA_PAGES_HUGETLB);
    ck_assert_int_eq(sea_block_fill(block, 0, "large", 5), 0);
    ck_assert_int_eq(sea_block_seal(block), 0);
    assert_text(block, "large");
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_HUGE_BLOCKS], 1);

    ck_assert_int_eq(sealed_block_copy(&copy, NULL, block), 0); /* for peers that do not accept these pages */
    ck_assert(!block_is_hugetlb(copy));
    assert_text(copy, "large");
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    ck_assert_int_eq(sea_block_import(&imported, ctx, fd, 2 * MIB), 0); /* the caller asked for it */
    ck_assert(block_is_hugetlb(imported));
    ck_assert_uint_eq(sea_block_size(imported), 2 * MIB);
    ck_assert_mem_eq(sea_block_view(imported), "large", 5);
    sea_block_unref(imported);
    sea_block_unref(copy);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_the_hugetlb_pool_is_too_small) {
    const sea_ctx_options options = {.budget_bytes = UINT64_MAX};
    sea_block *block = (sea_block *) &ctx;
    ctx_anew(&options);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, (size_t) 1 << 45, SEA_BLOCK_HUGETLB), -ENOMEM);
    ck_assert_ptr_eq(block, &ctx);
    ck_assert_str_eq(ctx_refusal().limit, "hugetlb pool");
    ctx_assert_budget(0, 0, 0);
}
END_TEST

/* --- every failure --- */

/* Uses every function of a block. Returns the first error. */
static int live(void) {
    sea_block *block = NULL, *imported = NULL, *copy = NULL;
    int fd = -1;
    int r = sea_block_new_sealed(&block, ctx, 2 * MIB + 1, 0);
    if (r == 0)
        r = sea_block_fill(block, 100, "hundred", 7);
    if (r == 0 && !sea_block_data(block))
        r = -ENOMEM;
    if (r == 0)
        r = sea_block_shrink(block, 2 * MIB);
    if (r == 0)
        r = sea_block_seal(block);
    if (r == 0 && !sea_block_view(block))
        r = -ENOMEM;
    if (r == 0)
        r = sea_block_export(block, &fd);
    if (r == 0)
        r = sea_block_import(&imported, ctx, fd_steal(&fd), 2 * MIB);
    if (r == 0)
        r = sealed_block_copy(&copy, NULL, imported);
    const char *view = r == 0 ? sea_block_view(copy) : NULL;
    if (r == 0 && !view)
        r = -ENOMEM;
    if (r == 0 && memcmp(view + 100, "hundred", 7) != 0)
        r = -EILSEQ;
    sea_block_unref(copy);
    sea_block_unref(imported);
    sea_block_unref(block);
    return r;
}

/* Each system call of live() fails once: the result is an error or success, and nothing is left. */
START_TEST(test_every_call_may_fail) {
    enum inject_kind kind = (enum inject_kind) _i;
    fail_call(kind, 0, 0, 0);
    ck_assert_int_eq(live(), 0);
    int calls = fail_calls(kind);
    for (int n = 1; n <= calls; n++) {
        fail_call(kind, n, 1, kind == INJECT_ALLOC || kind == INJECT_MMAP ? ENOMEM : EMFILE);
        int r = live();
        ck_assert_msg(r <= 0 && r != -EILSEQ, "%s, call %d: %d", inject_name(kind), n, r);
        fail_off();
        ctx_assert_empty();
    }
}
END_TEST

/* A block that was made ahead is charged once, and is found where the budget has no room for another one. */
START_TEST(test_a_block_that_was_made_ahead) {
    const size_t size = 100000;
    struct stat ahead, taken;
    for (int i = 0; i < 1000 && !stock_is_wanted(&ctx->stock); i++)
        sea_block_unref(new_sealed(size));
    stock_make(&ctx->stock);
    ck_assert_int_eq(fstat(ctx->stock.ready.fd, &ahead), 0);
    uint64_t left = _i ? ctx->budget.limit[QUOTA_BYTES] - size : 0;
    ck_assert_int_eq(quota_charge(&ctx->budget, left, 0, 0, &ctx->refusals), 0);
    sea_block *block = new_sealed(size);
    ck_assert_int_eq(fstat(block->sealed.fd, &taken), 0);
    ck_assert_uint_eq(taken.st_ino, ahead.st_ino);
    quota_return(&ctx->budget, left, 0, 0);
    ctx_assert_budget(size, 1, 1);
    ck_assert_uint_eq(ctx->budget.peak[QUOTA_BYTES], size + left);
    ck_assert_uint_eq(ctx->budget.peak[QUOTA_BLOCKS], 1);
    sea_block_unref(block);
}
END_TEST

/* No memory for the block itself: what was made ahead goes. */
START_TEST(test_a_block_that_was_made_ahead_for_nothing) {
    sea_block *block = NULL;
    for (int i = 0; i < 1000 && !stock_is_wanted(&ctx->stock); i++)
        sea_block_unref(new_sealed(4096));
    stock_make(&ctx->stock);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_BYTES), 4096);
    fail_always(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(sea_block_new_sealed(&block, ctx, 4096, 0), -ENOMEM);
    fail_off();
    ctx_assert_budget(0, 0, 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("block");
    suite_fixture(s, before, after);
    suite_add_loop(s, test_new_blocks, 0, 2 * SIZES);
    suite_add(s, test_blocks_hold_their_context);
    suite_add(s, test_nothing_to_drop);
    suite_add(s, test_unknown_flags);
    suite_add(s, test_base_pages_on_request);
    suite_add(s, test_prefault_on_request);
    suite_add_loop(s, test_the_budget, 0, 3);
    suite_add(s, test_a_machine_that_refuses);
    suite_add_loop(s, test_sealing, 0, 2);
    suite_add_loop(s, test_an_empty_block_can_be_sealed, 0, 2);
    suite_add(s, test_sealing_while_another_mapping_writes);
    suite_add_loop(s, test_fill_stays_inside, 0, 2);
    suite_add_loop(s, test_fill_is_counted, 0, 2);
    suite_add_loop(s, test_fill_from_files, 0, 2);
    suite_add_loop(s, test_shrinking_gives_back, 0, 2);
    suite_add(s, test_a_shrink_that_fails);
    suite_add(s, test_a_block_that_cannot_be_mapped);
    suite_add_loop(s, test_threads_share_a_sealed_block, 0, 2);
    suite_add_loop(s, test_a_block_goes_from_thread_to_thread, 0, 2);
    suite_add(s, test_export);
    suite_add(s, test_an_exports_offset_is_its_own);
    suite_add(s, test_an_export_without_proc);
    suite_add(s, test_an_export_that_its_maker_forbids);
    suite_add(s, test_an_export_of_another_users_block);
    suite_add(s, test_an_export_under_a_lease);
    suite_add(s, test_blocks_that_cannot_be_exported);
    suite_add_loop(s, test_import, 0, SIZES);
    suite_add(s, test_descriptors_that_cannot_be_imported);
    suite_add(s, test_missing_seals_are_named);
    suite_add(s, test_an_import_is_close_on_exec);
    suite_add(s, test_an_import_over_the_budget);
    suite_add(s, test_no_memory_for_an_import);
    suite_add(s, test_large_inline_payloads_are_admitted);
    suite_add(s, test_a_received_inline_payload);
    suite_add(s, test_a_received_sealed_payload);
    suite_add(s, test_payloads_that_are_not_taken);
    suite_add_loop(s, test_a_machine_that_cannot_take, 0, 6);
    suite_add_loop(s, test_a_forwarded_block, 0, 2);
    suite_add_loop(s, test_forwarded_and_one_of_them_ends, 0, 2);
    suite_add_loop(s, test_sent_back_to_where_it_came_from, 0, 2);
    suite_add(s, test_a_received_block_is_exported);
    suite_add_loop(s, test_a_copy_in_sealed_memory, 0, 2);
    suite_add_loop(s, test_a_copy_that_fails, 0, 4);
    suite_add(s, test_resident_memory);
    suite_add(s, test_received_pages_are_charged);
    suite_add(s, test_huge_pages_are_counted);
    suite_add(s, test_the_budget_follows_the_kernels_count);
    suite_add(s, test_padded_blocks_are_charged_in_full);
    suite_add(s, test_padded_blocks_are_exported);
    suite_add(s, test_blocks_without_padding);
    suite_add(s, test_a_received_padded_payload);
    suite_add(s, test_hugetlb_blocks);
    suite_add(s, test_the_hugetlb_pool_is_too_small);
    suite_add_loop(s, test_every_call_may_fail, 0, INJECT_KINDS);
    suite_add_loop(s, test_a_block_that_was_made_ahead, 0, 2);
    suite_add(s, test_a_block_that_was_made_ahead_for_nothing);
    return suite_run(s);
}
