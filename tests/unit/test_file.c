/* SPDX-License-Identifier: MIT */
/* sys/file: bytes from all kinds of descriptors into memfds, by all ways that the kernel has. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/failure.h"
#include "sys/file.h"
#include "sys/heap.h"
#include "sys/memfd.h"
#include "unit/fail.h"

#define SIZE 300000 /* more than a pipe holds, and no round number */

static unsigned char pattern(size_t i) {
    return (unsigned char) (i * 31 + i / 251);
}

static int new_memfd(size_t size) {
    int fd = -1;
    ck_assert_int_eq(memfd_new(size, false, &fd), 0);
    return fd;
}

static void fill(int fd, size_t size) {
    unsigned char *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(i);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, bytes + done, size - done);
        ck_assert_int_gt(n, 0);
        done += (size_t) n;
    }
    free(bytes);
}

/* Returns a regular file with the pattern, unlinked, positioned at its beginning. */
static int new_file(void) {
    char name[] = "/tmp/sealane-file-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    unlink(name);
    fill(fd, SIZE);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Checks that the bytes of `fd` at `at` equal the pattern at `from`. */
static void check_bytes(int fd, size_t at, size_t from, size_t size) {
    unsigned char *bytes = malloc(size);
    ck_assert_int_eq(pread(fd, bytes, size, (off_t) at), (ssize_t) size);
    size_t wrong = 0;
    for (size_t i = 0; i < size; i++)
        wrong += bytes[i] != pattern(from + i);
    free(bytes);
    ck_assert_uint_eq(wrong, 0);
}

/* Loop tests disable these ways one by one; the remaining ways must have equal results. */
static const enum inject_kind ways[] = {INJECT_COPY_FILE_RANGE, INJECT_SENDFILE, INJECT_SPLICE};

START_TEST(test_move_from_a_file) {
    CLEANUP_FD int file = new_file(), memfd = new_memfd(SIZE + 200);
    if (_i > 0)
        fail_always(INJECT_COPY_FILE_RANGE, EXDEV);
    ck_assert_int_eq(file_move(memfd, 100, file, -1, SIZE - 50), SIZE - 50);
    check_bytes(memfd, 100, 0, SIZE - 50);
    ck_assert_int_eq(lseek(file, 0, SEEK_CUR), SIZE - 50);
    ck_assert_int_eq(file_move(memfd, 0, file, -1, 1000), 50); /* the file ends here */
    check_bytes(memfd, 0, SIZE - 50, 50);
    ck_assert_int_eq(file_move(memfd, 0, file, -1, 1000), 0);
}
END_TEST

START_TEST(test_move_from_an_offset) {
    CLEANUP_FD int file = new_file(), memfd = new_memfd(SIZE);
    if (_i > 0)
        fail_always(INJECT_COPY_FILE_RANGE, EXDEV);
    ck_assert_int_eq(file_move(memfd, 5, file, 1000, 100000), 100000);
    check_bytes(memfd, 5, 1000, 100000);
    ck_assert_int_eq(lseek(file, 0, SEEK_CUR), 0);
    ck_assert_int_eq(file_move(memfd, 0, file, SIZE - 10, 100), 10);
    check_bytes(memfd, 0, SIZE - 10, 10);
    ck_assert_int_eq(file_move(memfd, 0, file, SIZE, 100), 0);
    ck_assert_int_eq(file_move(memfd, 0, file, 0, 0), 0);
}
END_TEST

START_TEST(test_move_from_a_memfd) {
    CLEANUP_FD int source = new_memfd(0), memfd = new_memfd(SIZE);
    fill(source, SIZE);
    if (_i > 0)
        fail_always(INJECT_COPY_FILE_RANGE, EOPNOTSUPP);
    ck_assert_int_eq(memfd_seal(source), 0);
    ck_assert_int_eq(file_move(memfd, 0, source, 0, SIZE), SIZE);
    check_bytes(memfd, 0, 0, SIZE);
    ck_assert_int_eq(memfd_seal(memfd), 0); /* no reference holds the memfd's pages */
}
END_TEST

/* Files in /proc have size 0, and copy_file_range() may believe that. Some of them only read() can read: then the
 * function must say so. */
START_TEST(test_move_from_proc) {
    static const char *const names[] = {"/proc/version", "/proc/self/cmdline"};
    char expected[512], moved[512];
    int file = open(names[_i / 2], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        test_skip("no %s here", names[_i / 2]);
    CLEANUP_FD int memfd = new_memfd(sizeof moved);
    ssize_t size = pread(file, expected, sizeof expected, 0);
    ck_assert_int_gt(size, 0);
    if (_i % 2 > 0)
        fail_always(INJECT_COPY_FILE_RANGE, EXDEV);
    int64_t n = file_move(memfd, 0, file, 0, sizeof moved);
    fd_close(file);
    if (n == -EOPNOTSUPP)
        return;
    ck_assert_int_eq(n, size);
    ck_assert_int_eq(pread(memfd, moved, (size_t) size, 0), size);
    ck_assert_mem_eq(moved, expected, (size_t) size);
}
END_TEST

/* The child writes more than the pipe holds, so that the move takes several turns. */
START_TEST(test_move_from_a_pipe) {
    int ends[2];
    CLEANUP_FD int memfd = new_memfd(SIZE + 100);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(ends[0]);
        fill(ends[1], SIZE);
        _exit(0);
    }
    fd_close(ends[1]);
    ck_assert_int_eq(file_move(memfd, 7, ends[0], -1, SIZE), SIZE);
    check_bytes(memfd, 7, 0, SIZE);
    ck_assert_int_eq(file_move(memfd, 0, ends[0], -1, 10), 0);
    fd_close(ends[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(memfd_seal(memfd), 0); /* the pipe holds no page of the memfd */
}
END_TEST

START_TEST(test_bytes_before_eagain_are_not_lost) {
    int ends[2];
    CLEANUP_FD int memfd = new_memfd(100);
    char byte;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(file_move(memfd, 0, ends[0], -1, 100), -EAGAIN);
    ck_assert_int_eq(file_read(ends[0], -1, &byte, 1), -EAGAIN);
    fill(ends[1], 40);
    ck_assert_int_eq(file_move(memfd, 0, ends[0], -1, 100), 40);
    check_bytes(memfd, 0, 0, 40);
    fd_close(ends[0]);
    fd_close(ends[1]);
}
END_TEST

START_TEST(test_some_must_be_read) {
    int pair[2];
    CLEANUP_FD int memfd = new_memfd(100), terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal >= 0)
        ck_assert_int_eq(file_move(memfd, 0, terminal, -1, 50), -EOPNOTSUPP);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fill(pair[1], 50);
    ck_assert_int_eq(file_move(memfd, 0, pair[0], -1, 50), -EOPNOTSUPP);
    unsigned char bytes[50];
    ck_assert_int_eq(file_read(pair[0], -1, bytes, 50), 50); /* the attempt lost no byte */
    ck_assert_int_eq(bytes[49], pattern(49));
    fd_close(pair[0]);
    fd_close(pair[1]);
}
END_TEST

START_TEST(test_without_any_way) {
    static const int errors[] = {EINVAL, EXDEV, EOPNOTSUPP, ENOSYS};
    CLEANUP_FD int file = new_file(), memfd = new_memfd(100);
    for (size_t i = 0; i < 3; i++)
        fail_always(ways[i], errors[_i]);
    ck_assert_int_eq(file_move(memfd, 0, file, 0, 100), -EOPNOTSUPP);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(fail_calls(ways[i]), 1);
}
END_TEST

START_TEST(test_interruptions_are_passed_over) {
    CLEANUP_FD int file = new_file(), memfd = new_memfd(1000);
    char bytes[10];
    for (size_t i = 0; i < 3; i++)
        fail_call(ways[i], 1, 2, EINTR);
    ck_assert_int_eq(file_move(memfd, 0, file, 0, 1000), 1000);
    check_bytes(memfd, 0, 0, 1000);
    fail_call(INJECT_PREAD, 1, 2, EINTR);
    ck_assert_int_eq(file_read(file, 0, bytes, 10), 10);
    fail_call(INJECT_PWRITE, 1, 2, EINTR);
    ck_assert_int_eq(file_write(memfd, 0, bytes, 10), 0);
}
END_TEST

START_TEST(test_bytes_before_an_error_are_reported) {
    CLEANUP_FD int file = new_file(), memfd = new_memfd(SIZE);
    char bytes[10];
    fail_always(INJECT_COPY_FILE_RANGE, EXDEV);
    fail_call(INJECT_SENDFILE, 1, 1, EIO);
    ck_assert_int_eq(file_move(memfd, 0, file, 0, 10), -EIO);
    fail_call(INJECT_SENDFILE, 2, 1, EIO);
    ck_assert_int_eq(file_move(memfd, 0, file, SIZE - 10, 100), 10); /* a second call would have returned 0 */
    fail_call(INJECT_PREAD, 2, 1, EIO);
    ck_assert_int_eq(file_read(file, SIZE - 5, bytes, 10), 5);
    fail_call(INJECT_PREAD, 1, 1, EIO);
    ck_assert_int_eq(file_read(file, 0, bytes, 10), -EIO);
}
END_TEST

START_TEST(test_wrong_descriptors) {
    CLEANUP_FD int memfd = new_memfd(100), sealed = new_memfd(100), file = new_file();
    CLEANUP_FD int for_writing = open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    CLEANUP_FD int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(memfd_seal(sealed), 0);
    ck_assert_int_eq(file_move(memfd, 0, -1, -1, 100), -EBADF);
    if (for_writing >= 0)
        ck_assert_int_eq(file_move(memfd, 0, for_writing, -1, 100), -EBADF);
    ck_assert_int_lt(file_move(memfd, 0, directory, -1, 100), 0);
    ck_assert_int_eq(file_move(sealed, 0, file, 0, 100), -EPERM);
    ck_assert_int_eq(file_write(sealed, 0, "x", 1), failure_of(INJECT_PWRITE, EPERM));
    char byte;
    ck_assert_int_eq(file_read(-1, -1, &byte, 1), -EBADF);
    ck_assert_int_eq(file_read(directory, -1, &byte, 1), -EISDIR);
}
END_TEST

/* hugetlbfs has no write(): the caller must read into a mapping. */
START_TEST(test_a_hugetlb_target) {
    int memfd = -1;
    int r = memfd_new(MEMFD_HUGE_SIZE, true, &memfd);
    if (r < 0)
        test_skip("no hugetlb memfd here: %s", strerror(-r));
    int file = new_file();
    ck_assert_int_eq(file_move(memfd, 0, file, 0, 100), -EOPNOTSUPP);
    fd_close(file);
    fd_close(memfd);
}
END_TEST

START_TEST(test_read) {
    CLEANUP_FD int file = new_file();
    unsigned char bytes[1000];
    ck_assert_int_eq(file_read(file, 500, bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(bytes[999], pattern(1499));
    ck_assert_int_eq(lseek(file, 0, SEEK_CUR), 0);
    ck_assert_int_eq(file_read(file, -1, bytes, 10), 10);
    ck_assert_int_eq(bytes[9], pattern(9));
    ck_assert_int_eq(lseek(file, 0, SEEK_CUR), 10);
    ck_assert_int_eq(file_read(file, SIZE - 3, bytes, sizeof bytes), 3);
    ck_assert_int_eq(file_read(file, SIZE, bytes, sizeof bytes), 0);
    ck_assert_int_eq(file_read(file, 0, bytes, 0), 0);
}
END_TEST

START_TEST(test_write) {
    CLEANUP_FD int memfd = new_memfd(20);
    char bytes[20];
    ck_assert_int_eq(file_write(memfd, 15, "hello", 5), 0);
    ck_assert_int_eq(file_write(memfd, 0, "", 0), 0);
    ck_assert_int_eq(pread(memfd, bytes, 20, 0), 20);
    ck_assert_mem_eq(bytes + 14, "\0hello", 6);
    fail_once(INJECT_PWRITE, ENOSPC);
    ck_assert_int_eq(file_write(memfd, 0, "x", 1), -ENOSPC);
}
END_TEST

START_TEST(test_text) {
    char name[] = "/tmp/sealane-text-XXXXXX", text[8] = "before";
    int fd = mkostemp(name, O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "0123456789", 10), 10);
    fd_close(fd);
    int r = file_read_text(name, text, sizeof text);
    unlink(name);
    ck_assert_int_eq(r, 0);
    ck_assert_str_eq(text, "0123456");

    ck_assert_int_eq(file_read_text(name, text, sizeof text), -ENOENT);
    ck_assert_str_eq(text, "0123456");
    ck_assert_int_eq(file_read_text("/dev/null", text, sizeof text), 0);
    ck_assert_str_eq(text, "");
    fail_once(INJECT_OPEN, EMFILE);
    ck_assert_int_eq(file_read_text("/dev/null", text, sizeof text), -EMFILE);
    fail_once(INJECT_PREAD, EIO);
    ck_assert_int_eq(file_read_text("/dev/null", text, sizeof text), -EIO);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("file");
    suite_fixture(s, fail_off, fail_off);
    suite_add_loop(s, test_move_from_a_file, 0, 2);
    suite_add_loop(s, test_move_from_an_offset, 0, 2);
    suite_add_loop(s, test_move_from_a_memfd, 0, 2);
    suite_add_loop(s, test_move_from_proc, 0, 4);
    suite_add(s, test_move_from_a_pipe);
    suite_add(s, test_bytes_before_eagain_are_not_lost);
    suite_add(s, test_some_must_be_read);
    suite_add_loop(s, test_without_any_way, 0, 4);
    suite_add(s, test_interruptions_are_passed_over);
    suite_add(s, test_bytes_before_an_error_are_reported);
    suite_add(s, test_wrong_descriptors);
    suite_add(s, test_a_hugetlb_target);
    suite_add(s, test_read);
    suite_add(s, test_write);
    suite_add(s, test_text);
    return suite_run(s);
}
