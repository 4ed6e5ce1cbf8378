/* SPDX-License-Identifier: MIT */
/* lane/outbox: no other process can write our outbox, and a descriptor that a peer hands out as its outbox is
 * refused unless it is one. */
#include "lane/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/document.h"
#include "support/machine.h"
#include "support/suite.h"
#include "support/trap.h"
#include "sys/failure.h"
#include "sys/memfd.h"
#include "unit/fail.h"
#include "unit/settle.h"

#define OWN_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)
#define LEAST ((size_t) 4096)

#define MAGIC 0x424c4553

/* --- our outbox --- */

static const struct {
    uint32_t lines, wanted, releases;
    size_t size;
} shapes[] = {
    {32, 0, 64, 4096},
    {32, 64, 64, 4096},
    {32, 65, 128, 8192},
    {64, 64, 64, 8192},
    {64, 257, 512, 4096 + 4096 + 8192},
    {256, 1024, 1024, 4096 + 16384 + 16384},
    {16384, 65536, 65536, 4096 + (1 << 20) + (1 << 20)},
    {16384, 32769, 65536, 4096 + (1 << 20) + (1 << 20)},
};
#define SHAPES ((int) (sizeof shapes / sizeof *shapes))

/* For machines that give huge pages to all memfds. */
START_TEST(test_no_page_is_added) {
    struct outbox own = OUTBOX_EMPTY;
    uint64_t allocated = 0;
    if (!machine_choose_huge("always"))
        test_skip("shmem_enabled cannot be set here");
    ck_assert_int_eq(outbox_new(&own, shapes[_i].lines, shapes[_i].wanted), 0);
    ck_assert_int_eq(memfd_allocated(own.fd, &allocated), 0);
    ck_assert_uint_eq(allocated, own.size);
    outbox_deinit(&own);
}
END_TEST

START_TEST(test_shapes) {
    struct outbox own = OUTBOX_EMPTY;
    struct stat stat;
    ck_assert_int_eq(outbox_new(&own, shapes[_i].lines, shapes[_i].wanted), 0);
    ck_assert_uint_eq(own.lines, shapes[_i].lines);
    ck_assert_uint_eq(own.releases, shapes[_i].releases);
    ck_assert_uint_eq(own.size, shapes[_i].size);
    ck_assert_int_eq(fstat(own.fd, &stat), 0);
    ck_assert_int_eq(stat.st_size, (off_t) shapes[_i].size);
    ck_assert_int_ge(stat.st_blocks * 512, (off_t) shapes[_i].size); /* reserved: no access can raise SIGBUS later */
    const char *base = (const char *) own.page;
    ck_assert_ptr_eq(outbox_asleep(&own), base + 64);
    ck_assert_ptr_eq(outbox_consumed(&own), base + 128);
    ck_assert_ptr_eq(outbox_frames(&own), base + 1024);
    ck_assert_ptr_eq(outbox_releases(&own), base + 1024 + (size_t) own.lines * 64);
    outbox_deinit(&own);
    ck_assert_ptr_null(own.page);
    ck_assert_int_eq(own.fd, -1);
    outbox_deinit(&own); /* a second call is harmless */
}
END_TEST

/* The first words, as doc/PROTOCOL.md has them; every other byte is 0. */
START_TEST(test_the_first_words_of_a_new_outbox) {
    struct outbox own = OUTBOX_EMPTY;
    ck_assert_int_eq(outbox_new(&own, 64, 256), 0);
    const uint32_t *words = (const uint32_t *) (const void *) own.page;
    ck_assert_uint_eq(words[0], MAGIC);
    ck_assert_uint_eq(words[1], 64);
    ck_assert_uint_eq(words[2], 256);
    for (size_t i = 3; i < own.size / 4; i++)
        if (words[i] != 0)
            ck_abort_msg("word %zu is %#x", i, words[i]);
    outbox_deinit(&own);
}
END_TEST

START_TEST(test_the_document_shows_it) {
    struct outbox own = OUTBOX_EMPTY;
    char line[256], name[64] = "";
    FILE *file = document_open();
    ck_assert_int_eq(outbox_new(&own, 32, 64), 0);
    while (fgets(line, sizeof(line), file) && sscanf(line, "```outbox %63s", name) != 1)
        ;
    ck_assert_str_eq(name, "head");
    document_check_block(file, name, (const uint8_t *) own.page, 16);
    fclose(file);
    outbox_deinit(&own);
}
END_TEST

/* Tries the descriptor that is handed out, and a new one that was opened through it. */
START_TEST(test_only_the_owner_can_write) {
    struct outbox own = OUTBOX_EMPTY;
    char path[64];
    ck_assert_int_eq(outbox_new(&own, 64, 256), 0);
    ck_assert_int_eq(fcntl(own.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(fcntl(own.fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(own.fd, F_GET_SEALS) & OWN_SEALS, OWN_SEALS);
    snprintf(path, sizeof path, "/proc/self/fd/%d", own.fd);
    int again = open(path, O_RDWR | O_CLOEXEC);
    int fd = again < 0 ? own.fd : again; /* root may open it for writing */
    ck_assert_ptr_eq(mmap(NULL, own.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    void *map = mmap(NULL, own.size, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_lt(mprotect(map, own.size, PROT_READ | PROT_WRITE), 0);
    ck_assert_int_lt(pwrite(fd, "x", 1, 0), 0);
    ck_assert_int_lt(ftruncate(fd, 0), 0);
    ck_assert_int_lt(ftruncate(fd, 1 << 20), 0);
    ck_assert_int_lt(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
    munmap(map, own.size);
    if (again >= 0)
        close(again);
    shared32_store(outbox_asleep(&own), 9); /* the owner can write */
    outbox_deinit(&own);
}
END_TEST

/* A child that we fork has no mapping of it, so that we stay its only writer. */
static int look_for_mapping(int line, void *arg) {
    unsigned char resident;
    (void) line;
    return mincore(arg, 4096, &resident) < 0 && errno == ENOMEM ? 0 : 1;
}

START_TEST(test_a_forked_child_does_not_have_it) {
    struct outbox own = OUTBOX_EMPTY;
    struct child child;
    ck_assert_int_eq(outbox_new(&own, 64, 256), 0);
    child_start(&child, look_for_mapping, own.page);
    ck_assert_int_eq(child_end(&child, 5000), 0);
    outbox_deinit(&own);
}
END_TEST

START_TEST(test_both_see_the_same) {
    struct outbox own = OUTBOX_EMPTY, theirs = OUTBOX_EMPTY;
    const char *why = NULL;
    ck_assert_int_eq(outbox_new(&own, shapes[_i].lines, shapes[_i].wanted), 0);
    ck_assert_int_eq(outbox_open(&theirs, own.fd, &why), 0);
    own.fd = -1;
    ck_assert_uint_eq(theirs.lines, own.lines);
    ck_assert_uint_eq(theirs.releases, own.releases);
    ck_assert_uint_eq(theirs.size, own.size);
    ck_assert_int_eq(theirs.fd, -1);
    shared32_store(outbox_asleep(&own), 77);
    shared32_store(outbox_consumed(&own), 78);
    shared64_store(&outbox_frames(&own)[own.lines - 1].words[7], 79);
    shared64_store(&outbox_releases(&own)[own.releases - 1].handle, 80);
    ck_assert_uint_eq(shared32_load(outbox_asleep(&theirs)), 77);
    ck_assert_uint_eq(shared32_load(outbox_consumed(&theirs)), 78);
    ck_assert_uint_eq(shared64_load(&outbox_frames(&theirs)[own.lines - 1].words[7]), 79);
    ck_assert_uint_eq(shared64_load(&outbox_releases(&theirs)[own.releases - 1].handle), 80);
    ck_assert_int_lt(mprotect(theirs.page, theirs.size, PROT_READ | PROT_WRITE), 0);
    outbox_deinit(&theirs);
    outbox_deinit(&own);
}
END_TEST

/* --- the peer's outbox: descriptors that are none --- */

/* Returns a memfd with the first words of an outbox, and with these seals. */
static int fake_of(size_t size, uint32_t magic, uint32_t lines, uint32_t releases, int seals) {
    const uint32_t words[] = {magic, lines, releases};
    int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
    ck_assert(size == 0 || fallocate(fd, 0, 0, (off_t) size) == 0);
    ck_assert(size < sizeof words || pwrite(fd, words, sizeof words, 0) == (ssize_t) sizeof words);
    ck_assert(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static int fake(size_t size, uint32_t lines, uint32_t releases) {
    return fake_of(size, MAGIC, lines, releases, OWN_SEALS);
}

static int unsealed(void) {
    return fake_of(LEAST, MAGIC, 32, 64, 0);
}

static int writable(void) {
    return fake_of(LEAST, MAGIC, 32, 64, OWN_SEALS & ~F_SEAL_FUTURE_WRITE);
}

static int shrinkable(void) {
    return fake_of(LEAST, MAGIC, 32, 64, OWN_SEALS & ~F_SEAL_SHRINK);
}

static int growable(void) {
    return fake_of(LEAST, MAGIC, 32, 64, OWN_SEALS & ~F_SEAL_GROW);
}

static int sealable(void) {
    return fake_of(LEAST, MAGIC, 32, 64, OWN_SEALS & ~F_SEAL_SEAL);
}

static int without_magic(void) {
    return fake_of(LEAST, 0, 32, 64, OWN_SEALS);
}

static int other_magic(void) {
    return fake_of(LEAST, MAGIC ^ 0x80000000, 32, 64, OWN_SEALS);
}

static int no_lines(void) {
    return fake(LEAST, 0, 64);
}

static int few_lines(void) {
    return fake(LEAST, 16, 64);
}

static int odd_lines(void) {
    return fake(LEAST, 33, 64);
}

static int many_lines(void) {
    return fake(LEAST, 32768, 64);
}

static int all_lines(void) {
    return fake(LEAST, UINT32_MAX, 64);
}

static int half_of_all_lines(void) {
    return fake(LEAST, 0x80000000, 64);
}

static int no_releases(void) {
    return fake(LEAST, 32, 0);
}

static int few_releases(void) {
    return fake(LEAST, 32, 32);
}

static int odd_releases(void) {
    return fake(LEAST, 32, 300);
}

static int many_releases(void) {
    return fake(LEAST, 32, 131072);
}

static int wrapping_releases(void) {
    return fake(LEAST, 32, 0x80000000);
}

static int too_small(void) {
    return fake(LEAST - 4096, 32, 64);
}

static int a_byte_too_small(void) {
    return fake(LEAST - 1, 32, 64);
}

static int a_byte_too_large(void) {
    return fake(LEAST + 1, 32, 64);
}

static int a_page_too_large(void) {
    return fake(LEAST + 4096, 32, 64);
}

static int smaller_than_it_says(void) {
    return fake(LEAST, 64, 64);
}

static int empty(void) {
    return fake(0, 32, 64);
}

static int beyond_all(void) {
    return trap_sparse((uint64_t) 1 << 40);
}

static int just_beyond_all(void) {
    return fake(4096 + (2 << 20) + 4096, 16384, 65536);
}

static int sparse(void) {
    return trap_sparse(LEAST);
}

static int holes(void) {
    return trap_holes(4 * LEAST);
}

static int file_on_shm(void) {
    return trap_shm_file(LEAST);
}

#define LACKS "lacks some of F_SEAL_SEAL"
#define NOT_MEMFD "not a memfd"
#define RINGS "rings of a size out of range"
#define RANGE "a size out of range"
#define AS_LARGE "not as large as its rings"

static const struct {
    int (*make)(void);
    int error;
    const char *word;
} lies[] = {
    {unsealed, -EBADF, LACKS},
    {writable, -EBADF, LACKS},
    {shrinkable, -EBADF, LACKS},
    {growable, -EBADF, LACKS},
    {sealable, -EBADF, LACKS},
    {file_on_shm, -EBADF, LACKS},
    {without_magic, -EBADF, "magic"},
    {other_magic, -EBADF, "magic"},
    {no_lines, -EBADF, RINGS},
    {few_lines, -EBADF, RINGS},
    {odd_lines, -EBADF, RINGS},
    {many_lines, -EBADF, RINGS},
    {all_lines, -EBADF, RINGS},
    {half_of_all_lines, -EBADF, RINGS},
    {no_releases, -EBADF, RINGS},
    {few_releases, -EBADF, RINGS},
    {odd_releases, -EBADF, RINGS},
    {many_releases, -EBADF, RINGS},
    {wrapping_releases, -EBADF, RINGS},
    {too_small, -EMSGSIZE, RANGE},
    {a_byte_too_small, -EMSGSIZE, RANGE},
    {empty, -EMSGSIZE, RANGE},
    {beyond_all, -EMSGSIZE, RANGE},
    {just_beyond_all, -EMSGSIZE, RANGE},
    {a_byte_too_large, -EMSGSIZE, AS_LARGE},
    {a_page_too_large, -EMSGSIZE, AS_LARGE},
    {smaller_than_it_says, -EMSGSIZE, AS_LARGE},
    {sparse, -ENODATA, "holes"},
    {holes, -ENODATA, "holes"},
    {trap_pipe, -EBADF, NOT_MEMFD},
    {trap_socket, -EBADF, NOT_MEMFD},
    {trap_directory, -EBADF, NOT_MEMFD},
    {trap_path_only, -EBADF, NOT_MEMFD},
    {trap_eventfd, -EBADF, NOT_MEMFD},
    {trap_epoll, -EBADF, NOT_MEMFD},
    {trap_dev_zero, -EBADF, NOT_MEMFD},
};
#define LIES ((int) (sizeof lies / sizeof *lies))

/* Checks that the descriptor is refused with a text, that no output was written, and that nothing is left. */
static void refuse(int fd, int error, const char *word) {
    struct outbox theirs = OUTBOX_EMPTY;
    const char *why = NULL;
    int r = outbox_open(&theirs, fd, &why);
    ck_assert_msg(r == error && why && strstr(why, word), "%d (%s), not %d (%s)", r, why ? why : "", error, word);
    ck_assert_ptr_null(theirs.page);
    settle_threads();
}

START_TEST(test_lies_are_refused) {
    int fd = lies[_i].make();
    if (fd < 0)
        test_skip("there is no tmpfs on /dev/shm");
    refuse(fd, lies[_i].error, lies[_i].word);
}
END_TEST

/* Any size is right; only the kind of pages is wrong. */
START_TEST(test_hugetlb_is_refused) {
    int fd = trap_hugetlb(MEMFD_HUGE_SIZE);
    if (fd < 0) {
        trap_hugetlb_done();
        test_skip("no page of 2 MiB is to be had");
    }
    refuse(fd, -EBADF, "hugetlb");
    trap_hugetlb_done();
}
END_TEST

/* It is sealed against its own maker, too: it will never carry a frame, which harms only its maker. */
START_TEST(test_a_frozen_one_is_one) {
    struct outbox theirs = OUTBOX_EMPTY;
    const char *why = NULL;
    int fd = fake_of(LEAST, MAGIC, 32, 64, TRAP_ALL_SEALS);
    ck_assert_int_eq(outbox_open(&theirs, fd, &why), 0);
    ck_assert_uint_eq(theirs.lines, 32);
    outbox_deinit(&theirs);
}
END_TEST

/* Later changes by its owner have no effect here: the shape was read once. */
START_TEST(test_the_shape_is_read_once) {
    struct outbox own = OUTBOX_EMPTY, theirs = OUTBOX_EMPTY;
    const char *why = NULL;
    ck_assert_int_eq(outbox_new(&own, 64, 256), 0);
    int fd = fcntl(own.fd, F_DUPFD_CLOEXEC, 0);
    ck_assert_int_eq(outbox_open(&theirs, fd, &why), 0);
    memset(own.page, 0xff, own.size);
    ck_assert_uint_eq(theirs.lines, 64);
    ck_assert_uint_eq(theirs.releases, 256);
    ck_assert_ptr_eq(outbox_releases(&theirs), (const char *) theirs.page + 1024 + 4096);
    outbox_deinit(&theirs);
    outbox_deinit(&own);
}
END_TEST

/* --- failures --- */

static const struct {
    enum inject_kind kind;
    int error, wanted;
} failures[] = {
    {INJECT_MEMFD_CREATE, EMFILE, -EMFILE}, {INJECT_MEMFD_CREATE, ENFILE, -ENFILE},
    {INJECT_MEMFD_CREATE, ENOMEM, -ENOMEM}, {INJECT_FTRUNCATE, EFBIG, -EFBIG},
    {INJECT_FTRUNCATE, ENOMEM, -ENOMEM},    {INJECT_FALLOCATE, ENOSPC, -ENOMEM},
    {INJECT_FALLOCATE, ENOMEM, -ENOMEM},    {INJECT_MMAP, ENOMEM, -ENOMEM},
    {INJECT_ADD_SEALS, EINVAL, -EINVAL},    {INJECT_OPEN, EMFILE, -EMFILE},
    {INJECT_OPEN, ENFILE, -ENFILE},
};
#define FAILURES ((int) (sizeof failures / sizeof *failures))

START_TEST(test_none_can_be_made) {
    struct outbox own = OUTBOX_EMPTY;
    fail_always(failures[_i].kind, failures[_i].error);
    ck_assert_int_eq(outbox_new(&own, 256, 1024), failures[_i].wanted);
    ck_assert_int_gt(fail_calls(failures[_i].kind), 0);
    ck_assert_ptr_null(own.page);
    ck_assert_int_eq(own.fd, -1);
}
END_TEST

/* Each call of each kind fails in turn: nothing leaks (the harness counts), and an outbox that is made all the same
 * is complete. */
START_TEST(test_any_call_fails) {
    enum inject_kind kind = (enum inject_kind) _i;
    for (int n = 1; n <= 4; n++) {
        struct outbox own = OUTBOX_EMPTY, theirs = OUTBOX_EMPTY;
        const char *why = "";
        fail_call(kind, n, 1, ENOMEM);
        int r = outbox_new(&own, 64, 256);
        ck_assert_int_le(r, 0);
        if (r == 0) {
            int fd = own.fd;
            own.fd = -1;
            r = outbox_open(&theirs, fd, &why);
            ck_assert_msg(r == 0 || (failure_error(r) == -ENOMEM && why && *why), "%s: %d (%s)", inject_name(kind), r,
                          why);
            ck_assert_int_eq(r == 0, theirs.page != NULL);
        }
        fail_off();
        outbox_deinit(&theirs);
        outbox_deinit(&own);
        settle_threads();
    }
}
END_TEST

START_TEST(test_theirs_cannot_be_mapped) {
    fail_always(INJECT_MMAP, ENOMEM);
    refuse(fake(LEAST, 32, 64), -ENOMEM, "mapped");
}
END_TEST

static void before_each(void) {
    machine_restore();
    fail_off();
    settle_begin();
}

static void after_each(void) {
    fail_off();
    machine_restore();
}

int main(void) {
    struct suite *s = suite_new("outbox");
    suite_fixture(s, before_each, after_each);
    suite_add_loop(s, test_no_page_is_added, 0, SHAPES);
    suite_add_loop(s, test_shapes, 0, SHAPES);
    suite_add(s, test_the_first_words_of_a_new_outbox);
    suite_add(s, test_the_document_shows_it);
    suite_add(s, test_only_the_owner_can_write);
    suite_add(s, test_a_forked_child_does_not_have_it);
    suite_add_loop(s, test_both_see_the_same, 0, SHAPES);
    suite_add_loop(s, test_lies_are_refused, 0, LIES);
    suite_add(s, test_hugetlb_is_refused);
    suite_add(s, test_a_frozen_one_is_one);
    suite_add(s, test_the_shape_is_read_once);
    suite_add_loop(s, test_none_can_be_made, 0, FAILURES);
    suite_add_loop(s, test_any_call_fails, 0, INJECT_KINDS);
    suite_add(s, test_theirs_cannot_be_mapped);
    return suite_run(s);
}
