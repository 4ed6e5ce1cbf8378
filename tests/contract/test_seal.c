/* SPDX-License-Identifier: MIT */
/* The kernel's contract on seals, and on moving bytes into memfds: facts that sys/memfd, sys/file and memory/sealed
 * rely on. */
#include "contract/kernel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static int reopen_for_reading(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void check_cannot_seal(int fd) {
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    ck_assert_int_eq(errno, EBUSY);
}

/* With all four seals a file never changes again: not by us, not by any other descriptor of the file. */
START_TEST(test_sealed_is_frozen) {
    int fd = kernel_memfd(2 * PAGE);
    ck_assert_int_eq(pwrite(fd, "frozen", 6, 0), 6);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_int_eq(SEALS_OF(fd), ALL_SEALS);

    ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, PAGE), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, 3 * PAGE), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_ptr_eq(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
    ck_assert_int_eq(errno, EPERM);

    char *copy = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), text[7] = "";
    ck_assert_ptr_ne(copy, MAP_FAILED);
    copy[0] = 'x'; /* a private copy of the page */
    ck_assert_int_eq(pread(fd, text, 6, 0), 6);
    ck_assert_str_eq(text, "frozen");
    munmap(copy, PAGE);
    close(fd);
}
END_TEST

START_TEST(test_sealing_needs_a_writing_descriptor) {
    int fd = kernel_memfd(PAGE), reading = reopen_for_reading(fd);
    if (reading < 0) {
        close(fd);
        test_skip("no /proc here");
    }
    ck_assert_int_eq(fcntl(reading, F_ADD_SEALS, F_SEAL_WRITE), -1);
    ck_assert_int_eq(errno, EPERM);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_int_eq(SEALS_OF(reading), ALL_SEALS);
    close(fd);
    close(reading);
}
END_TEST

START_TEST(test_a_writable_mapping_forbids_sealing) {
    int fd = kernel_memfd(PAGE);
    void *data = kernel_map(fd, PAGE, PROT_READ | PROT_WRITE);
    check_cannot_seal(fd);
    ck_assert_int_eq(mprotect(data, PAGE, PROT_READ), 0);
    check_cannot_seal(fd); /* the mapping could be made writable again */
    munmap(data, PAGE);
    data = kernel_map(fd, PAGE, PROT_READ);
    check_cannot_seal(fd); /* it still could: its descriptor was open for writing */
    munmap(data, PAGE);
    kernel_seal(fd, ALL_SEALS);
    close(fd);
}
END_TEST

START_TEST(test_a_reading_descriptors_mapping_does_not) {
    int fd = kernel_memfd(PAGE), reading = reopen_for_reading(fd);
    if (reading < 0) {
        close(fd);
        test_skip("no /proc here");
    }
    void *data = kernel_map(reading, PAGE, PROT_READ);
    kernel_seal(fd, ALL_SEALS);
    munmap(data, PAGE);
    close(fd);
    close(reading);
}
END_TEST

/* A child has our mappings, except those with MADV_DONTFORK. */
START_TEST(test_a_childs_mapping_forbids_sealing) {
    int pair[2], fd = kernel_memfd(PAGE);
    char byte;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    void *data = kernel_map(fd, PAGE, PROT_READ | PROT_WRITE);
    if (_i == 1)
        ck_assert_int_eq(madvise(data, PAGE, MADV_DONTFORK), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        _exit(read(pair[1], &byte, 1) == 0 ? 0 : 1);
    }
    munmap(data, PAGE);
    int r = fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), error = errno;
    kernel_close_all(pair, 2);
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    if (_i == 1) {
        ck_assert_int_eq(r, 0);
    } else {
        ck_assert_int_eq(r, -1);
        ck_assert_int_eq(error, EBUSY);
        kernel_seal(fd, ALL_SEALS); /* the child's mapping is gone */
    }
    close(fd);
}
END_TEST

/* A pipe could change pages that it refers to behind the seal. */
START_TEST(test_pages_in_a_pipe_forbid_sealing) {
    int fd = kernel_memfd(PAGE), ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    char *data = kernel_map(fd, PAGE, PROT_READ | PROT_WRITE);
    data[0] = 'x';
    struct iovec piece = {.iov_base = data, .iov_len = PAGE};
    ck_assert_int_eq(vmsplice(ends[1], &piece, 1, 0), PAGE);
    munmap(data, PAGE);
    check_cannot_seal(fd);
    kernel_close_all(ends, 2);
    kernel_seal(fd, ALL_SEALS);
    close(fd);
}
END_TEST

/* F_SEAL_FUTURE_WRITE: earlier mappings still write; no other way of writing is left. */
START_TEST(test_future_writes_can_be_sealed) {
    int fd = kernel_memfd(2 * PAGE);
    char *data = kernel_map(fd, 2 * PAGE, PROT_READ | PROT_WRITE), text[4] = "";
    kernel_seal(fd, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    memcpy(data, "new", 3);
    ck_assert_int_eq(pread(fd, text, 3, 0), 3);
    ck_assert_str_eq(text, "new");
    ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_ptr_eq(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(madvise(data, PAGE, MADV_REMOVE), -1);
    ck_assert_int_eq(errno, EPERM);
    void *view = kernel_map(fd, PAGE, PROT_READ);
    ck_assert_mem_eq(view, "new", 3);
    munmap(view, PAGE);
    munmap(data, 2 * PAGE);
    close(fd);
}
END_TEST

/* The mode may be changed, even of a sealed memfd. */
START_TEST(test_a_sealed_memfds_mode_can_be_changed) {
    int fd = kernel_memfd(PAGE);
    kernel_seal(fd, ALL_SEALS);
    ck_assert_int_eq(fchmod(fd, 0400), 0);
    ck_assert_int_eq(kernel_stat(fd).st_mode & 0777, 0400);
    close(fd);
}
END_TEST

#define BYTES 100000

/* Returns a regular file of BYTES bytes, on the file system of /tmp. */
static int new_file(void) {
    char path[] = "/tmp/sealane-contract-XXXXXX", bytes[1000];
    int fd = mkostemp(path, O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    for (int i = 0; i < BYTES / (int) sizeof bytes; i++) {
        memset(bytes, 'a' + i % 26, sizeof bytes);
        ck_assert_int_eq(write(fd, bytes, sizeof bytes), sizeof bytes);
    }
    return fd;
}

static void check_same(int fd, int file) {
    char *one = malloc(BYTES), *other = malloc(BYTES);
    ck_assert_int_eq(pread(fd, one, BYTES, 0), BYTES);
    ck_assert_int_eq(pread(file, other, BYTES, 0), BYTES);
    int difference = memcmp(one, other, BYTES);
    free(one);
    free(other);
    ck_assert_int_eq(difference, 0);
}

/* sendfile() moves bytes from a given position to the memfd's position. Afterwards no other reference holds the
 * pages. */
START_TEST(test_sendfile_fills_a_memfd) {
    int fd = kernel_memfd(BYTES), file = new_file();
    off_t offset = 0;
    size_t done = 0;
    while (done < BYTES) {
        ssize_t n = sendfile(fd, file, &offset, BYTES - done);
        ck_assert_int_gt(n, 0);
        done += (size_t) n;
    }
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), BYTES);
    ck_assert_int_eq(offset, BYTES);
    ck_assert_int_eq(sendfile(fd, file, &offset, 1), 0);
    check_same(fd, file);
    kernel_seal(fd, ALL_SEALS);
    offset = 0;
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(sendfile(fd, file, &offset, 1), -1);
    ck_assert_int_eq(errno, EPERM);
    close(fd);
    close(file);
}
END_TEST

/* The attempt takes no bytes out of them. */
START_TEST(test_sendfile_refuses_what_cannot_seek) {
    int fd = kernel_memfd(PAGE), ends[2], pair[2];
    char text[2] = "";
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    kernel_pair(SOCK_STREAM, pair);
    ck_assert_int_eq(write(ends[1], "p", 1), 1);
    ck_assert_int_eq(write(pair[1], "s", 1), 1);
    ck_assert_int_eq(sendfile(fd, ends[0], NULL, 1), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(sendfile(fd, pair[0], NULL, 1), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(read(ends[0], text, 1), 1);
    ck_assert_int_eq(text[0], 'p');
    ck_assert_int_eq(read(pair[0], text, 1), 1);
    ck_assert_int_eq(text[0], 's');
    kernel_close_all(ends, 2);
    kernel_close_all(pair, 2);
    close(fd);
}
END_TEST

/* copy_file_range() works within one file system. Across file systems it works, or fails with one of these errors;
 * it never reports bytes that it did not copy. */
START_TEST(test_copy_file_range) {
    int source = kernel_memfd(0), fd = kernel_memfd(BYTES), file = new_file();
    off_t from = 0, to = 0;
    ck_assert_int_eq(sendfile(source, file, &(off_t){0}, BYTES), BYTES);
    ssize_t n = copy_file_range(source, &from, fd, &to, BYTES, 0);
    if (n != BYTES) { /* Linux 5.3 to 5.18 may refuse here, too */
        ck_assert_int_eq(n, -1);
        ck_assert(errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP);
    } else {
        check_same(fd, file);
        ck_assert_int_eq(from, BYTES);
        ck_assert_int_eq(to, BYTES);
        ck_assert_int_eq(copy_file_range(source, &from, fd, &to, 1, 0), 0);
    }

    int across = kernel_memfd(BYTES);
    from = to = 0;
    n = copy_file_range(file, &from, across, &to, BYTES, 0);
    if (n < 0)
        ck_assert(errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP);
    else if (n == BYTES)
        check_same(across, file);
    close(source);
    close(fd);
    close(file);
    close(across);
}
END_TEST

/* splice() moves bytes from a pipe to a position in the memfd; the file owns the pages, and the pipe holds none. */
START_TEST(test_splice_fills_a_memfd_from_a_pipe) {
    int fd = kernel_memfd(PAGE), ends[2];
    char text[6] = "";
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    off_t at = 100;
    ck_assert_int_eq(splice(ends[0], NULL, fd, &at, 10, SPLICE_F_MOVE), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(write(ends[1], "hello", 5), 5);
    ck_assert_int_eq(splice(ends[0], NULL, fd, &at, 10, SPLICE_F_MOVE), 5);
    ck_assert_int_eq(at, 105);
    close(ends[1]);
    ck_assert_int_eq(splice(ends[0], NULL, fd, &at, 10, SPLICE_F_MOVE), 0);
    ck_assert_int_eq(pread(fd, text, 5, 100), 5);
    ck_assert_str_eq(text, "hello");
    kernel_seal(fd, ALL_SEALS);
    close(ends[0]);
    close(fd);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_seal");
    suite_add(s, test_sealed_is_frozen);
    suite_add(s, test_sealing_needs_a_writing_descriptor);
    suite_add(s, test_a_writable_mapping_forbids_sealing);
    suite_add(s, test_a_reading_descriptors_mapping_does_not);
    suite_add_loop(s, test_a_childs_mapping_forbids_sealing, 0, 2);
    suite_add(s, test_pages_in_a_pipe_forbid_sealing);
    suite_add(s, test_future_writes_can_be_sealed);
    suite_add(s, test_a_sealed_memfds_mode_can_be_changed);
    suite_add(s, test_sendfile_fills_a_memfd);
    suite_add(s, test_sendfile_refuses_what_cannot_seek);
    suite_add(s, test_copy_file_range);
    suite_add(s, test_splice_fills_a_memfd_from_a_pipe);
    return suite_run(s);
}
