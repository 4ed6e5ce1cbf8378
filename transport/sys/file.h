/* SPDX-License-Identifier: MIT */
/*
 * Bytes from descriptors into memfds, without user memory in between where the kernel can do that; and small files as
 * text.
 */
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Moves up to `size` bytes from `fd` (at `offset`, or at its own position when -1) to [at, at + size) of `memfd`
 * inside the kernel: copy_file_range, sendfile for what has pages, splice for pipes. Returns the count, smaller than
 * `size` only at the end of the input or when something was moved before an error; -EOPNOTSUPP when the kernel can
 * move nothing from this kind of file (a terminal, say; a hugetlb target): then read it.
 */
int64_t file_move(int memfd, uint64_t at, int fd, int64_t offset, size_t size);

/* Reads up to `size` bytes into `data`; the count is short only at the end, or when something came before an error. */
int64_t file_read(int fd, int64_t offset, void *data, size_t size);

/* Writes all of it at `at`. */
int file_write(int fd, uint64_t at, const void *data, size_t size);

/*
 * Reads a small file of the kernel's (under /proc or /sys) as text: at most size - 1 bytes, terminated. 0, or a
 * negative errno value.
 */
int file_read_text(const char *path, char *ret_text, size_t size);

/* The same of dir/name. -ENAMETOOLONG. */
int file_read_text_in(const char *dir, const char *name, char *ret_text, size_t size);

/*
 * The same of a small file that our process is to obey: a regular one, which belongs to us or to root, to which nobody
 * else may write, all of whose text fits. On failure *ret_why is a static text. Errors: -ENOENT, ... (opening it) ·
 * -EINVAL (not a regular file, or no text) · -EACCES (others may write to it) · -EFBIG.
 */
int file_read_own(const char *path, char *ret_text, size_t size, const char **ret_why);

#endif
