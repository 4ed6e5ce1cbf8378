/* SPDX-License-Identifier: MIT */
/*
 * Moving bytes from descriptors into memfds.
 *
 * All descriptors are borrowed. `memfd` is our own, not sealed yet, and has no other user meanwhile: sendfile() needs
 * its file position. `fd` is the application's, of unknown type: the application accepts the time that reading it
 * takes. Nothing here maps or allocates.
 *
 * Facts relied on (tests/contract/test_seal.c): sendfile() and splice() write into memfds; copy_file_range() does so
 * only within one file system, and returns 0 where the other calls would read something.
 */
#include "sys/file.h"

#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/idmap.h"
#include "sys/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* A way of moving bytes inside the kernel: as file_move(), but one system call, with -1 and errno. */
typedef ssize_t file_mover(int memfd, uint64_t at, int fd, int64_t offset, size_t size);

static ssize_t move_by_copy(int memfd, uint64_t at, int fd, int64_t offset, size_t size) {
    off_t from = (off_t) offset, to = (off_t) at;
    return INJECT(COPY_FILE_RANGE, copy_file_range(fd, offset < 0 ? NULL : &from, memfd, &to, size, 0));
}

static ssize_t move_by_sendfile(int memfd, uint64_t at, int fd, int64_t offset, size_t size) {
    off_t from = (off_t) offset;
    if (lseek(memfd, (off_t) at, SEEK_SET) < 0)
        return -1;
    return INJECT(SENDFILE, sendfile(memfd, fd, offset < 0 ? NULL : &from, size));
}

static ssize_t move_by_splice(int memfd, uint64_t at, int fd, int64_t offset, size_t size) {
    off_t from = (off_t) offset, to = (off_t) at;
    return INJECT(SPLICE, splice(fd, offset < 0 ? NULL : &from, memfd, &to, size, SPLICE_F_MOVE));
}

static file_mover *const movers[] = {move_by_copy, move_by_sendfile, move_by_splice};
#define MOVERS (sizeof movers / sizeof *movers)

/* Does this error mean "not with these two files", or "not in this sandbox", so that another way may do? */
static bool is_unsupported(int error) {
    return error == EINVAL || error == EXDEV || error == EOPNOTSUPP || failure_is_forbidden(-error);
}

/* copy_file_range() has answers of its own for files that others can read: directories of rules differ by kernel. */
static bool is_copy_refusal(int error) {
    return is_unsupported(error) || error == EBADF || error == EISDIR || error == ETXTBSY;
}

int64_t file_move(int memfd, uint64_t at, int fd, int64_t offset, size_t size) {
    size_t moved = 0, way = 0;
    int error = 0, refused = 0;
    while (moved < size) {
        int64_t from = offset < 0 ? -1 : offset + (int64_t) moved;
        ssize_t n = movers[way](memfd, at + moved, fd, from, size - moved);
        if (n > 0) {
            moved += (size_t) n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        error = n < 0 ? errno : 0;
        if (way > 0 && (error == EPERM || error == EACCES))
            refused = error;
        /* copy_file_range() takes files without a size, as in /proc, for empty: its 0 is no proof of the end. */
        bool is_other_way = way == 0 ? error == 0 || is_copy_refusal(error) : moved == 0 && is_unsupported(error);
        if (!is_other_way || way + 1 == MOVERS)
            break;
        way++;
    }
    if (moved > 0 || error == 0)
        return (int64_t) moved;
    return !is_unsupported(error) ? -error : refused ? -refused : -EOPNOTSUPP;
}

int64_t file_read(int fd, int64_t offset, void *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        char *to = (char *) data + done;
        ssize_t n = offset < 0 ? INJECT(PREAD, read(fd, to, size - done))
                               : INJECT(PREAD, pread(fd, to, size - done, (off_t) offset + (off_t) done));
        if (n == 0)
            break;
        if (n > 0)
            done += (size_t) n;
        else if (errno != EINTR)
            return done > 0 ? (int64_t) done : -errno;
    }
    return (int64_t) done;
}

int file_write(int fd, uint64_t at, const void *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = INJECT(PWRITE, pwrite(fd, (const char *) data + done, size - done, (off_t) (at + done)));
        if (n == 0)
            return -EIO;
        if (n > 0)
            done += (size_t) n;
        else if (errno != EINTR)
            return failure_of(INJECT_PWRITE, errno);
    }
    return 0;
}

int file_read_text(const char *path, char *ret_text, size_t size) {
    CLEANUP_FD int fd = INJECT(OPEN, open(path, O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return -errno;
    int64_t length = file_read(fd, -1, ret_text, size - 1);
    if (length < 0)
        return (int) length;
    ret_text[length] = '\0';
    return 0;
}

int file_read_text_in(const char *dir, const char *name, char *ret_text, size_t size) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n >= 0 && (size_t) n < sizeof path ? file_read_text(path, ret_text, size) : -ENAMETOOLONG;
}

/* 0, or why this file is not to be obeyed. */
static int check_own(int fd, const char **ret_why) {
    struct stat status;
    if (INJECT(FSTAT, fstat(fd, &status)) < 0)
        return *ret_why = "cannot be looked at", -errno;
    if (!S_ISREG(status.st_mode))
        return *ret_why = "not a regular file", -EINVAL;
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return *ret_why = "belongs to somebody else", -EACCES;
    if (!idmap_names_user(status.st_uid))
        return *ret_why = "belongs to a user whom our user namespace may not map", -EACCES;
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return *ret_why = "others may write to it (chmod go-w)", -EACCES;
    return 0;
}

int file_read_own(const char *path, char *ret_text, size_t size, const char **ret_why) {
    /* O_NONBLOCK: a fifo must not keep us. */
    CLEANUP_FD int fd = INJECT(OPEN, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    *ret_why = "cannot be opened";
    if (fd < 0)
        return -errno;
    int r = check_own(fd, ret_why);
    if (r < 0)
        return r;
    int64_t length = file_read(fd, -1, ret_text, size);
    if (length < 0)
        return *ret_why = "cannot be read", (int) length;
    if ((size_t) length == size)
        return *ret_why = "too large", -EFBIG;
    ret_text[length] = '\0';
    if (strlen(ret_text) != (size_t) length)
        return *ret_why = "not a text: it has a NUL", -EINVAL;
    return 0;
}
