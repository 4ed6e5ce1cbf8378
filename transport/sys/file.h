/* SPDX-License-Identifier: MIT */
/*
 * Moves bytes from descriptors into memfds, without user memory in between where the kernel can do that; and reads
 * small files as text.
 *
 * Owns: nothing; all descriptors are borrowed. Touches: the memfd, its position, and the position of `fd` where
 * `offset` is -1. Threads: any; one at a time for a memfd.
 */
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Moves up to `size` bytes from `fd` (at `offset`, or at its own position when -1) to [at, at + size) of `memfd` inside
 * the kernel: by copy_file_range, by sendfile for files with pages, by splice for pipes. Returns the count, which is
 * smaller than `size` only at the end of the input or after an error behind some bytes. -EOPNOTSUPP: the kernel can
 * move nothing from this type of file (a terminal, for example; a hugetlb target); the caller reads it instead.
 */
int64_t file_move(int memfd, uint64_t at, int fd, int64_t offset, size_t size);

/* Reads up to `size` bytes into `data`. The count is short only at the end, or after an error behind some bytes. */
int64_t file_read(int fd, int64_t offset, void *data, size_t size);

/* Writes all of it at `at`. */
int file_write(int fd, uint64_t at, const void *data, size_t size);

/*
 * Reads a small file of the kernel's (under /proc or /sys) as text: at most size - 1 bytes, terminated. 0, or a
 * negative errno value.
 */
int file_read_text(const char *path, char *ret_text, size_t size);

/* Like file_read_text(), for dir/name. -ENAMETOOLONG. */
int file_read_text_in(const char *dir, const char *name, char *ret_text, size_t size);

/*
 * Like file_read_text(), for a small file that our process obeys: it must be regular, belong to us or to root, be
 * writable by no other user, and fit as a whole. On failure *ret_why is a static text. Errors: -ENOENT, ... (opening
 * it) · -EINVAL (not a regular file, or no text) · -EACCES (others may write to it) · -EFBIG.
 */
int file_read_own(const char *path, char *ret_text, size_t size, const char **ret_why);

#endif
