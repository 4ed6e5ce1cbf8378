/* SPDX-License-Identifier: MIT */
/*
 * Mappings of memfds. Lengths are rounded up to the page by the kernel; `size` 0 is -EINVAL.
 *
 * Owns: two numbers of the process: of mappings, and of contexts that want them in core dumps. Mappings are the
 * caller's, descriptors are borrowed. It charges nothing. Threads: any; the caller ends a mapping when no thread uses
 * it.
 */
#ifndef SYS_MAP_H
#define SYS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Between these calls, which may nest, new mappings are in core dumps (core(5)). By default they are not. */
void map_dump_begin(void);
void map_dump_end(void);

/* Shared, writable, not inherited by fork (a child's copy would forbid sealing); aligned for 2 MiB pages from that
 * size on. With `huge`, asks for large ones, and is aligned for those that fit (MADV_HUGEPAGE; a refusal of that is no
 * error). EINVAL in a failure: a part of a hugetlb page. */
int map_new_writable(int fd, size_t size, bool huge, void **ret_data);

/* Read-only. Kernels before 6.7 refuse a shared one of a write-sealed memfd: then a private one, which shares
 * the pages all the same. */
int map_new_readable(int fd, size_t size, const void **ret_data);

/* `size` as it was mapped. Accepts NULL. Returns NULL. */
void *map_free(const void *data, size_t size);

/* Like map_free(), with the descriptor of its memfd (-1: none). Large memory is freed by the disposal's threads
 * (sys/disposal.h). */
void map_dispose(const void *data, size_t size, int fd);

/* The number of mappings of this process that were made here, and have not ended. */
uint64_t map_count(void);

/* Touches every page for writing, as large as the pages come, before a caller needs them. -ENOMEM: the machine has none
 * left. -EOPNOTSUPP before Linux 5.14 (MADV_POPULATE_WRITE). */
int map_populate(void *data, size_t size);

/* Maps the existing pages, many at a fault; makes none if all exist. -ENOMEM, -EOPNOTSUPP: like map_populate(). */
int map_populate_filled(void *data, size_t size);

/* Locks its pages as they come, until it is unmapped. -ENOLCK: RLIMIT_MEMLOCK forbids that. */
int map_lock(void *data, size_t size);

/* The bytes of a mapping that are huge pages mapped whole, from /proc/self/smaps. 0 if it cannot be read. */
size_t map_count_huge(const void *data, size_t size);

/* The bytes of a mapping of an own memfd that are in memory, touched by any process. Reserved pages count from the
 * first touch on; pages of unknown state do not count. */
size_t map_count_resident(const void *data, size_t size);

/*
 * For a shared mapping of a whole own memfd: the bytes of the memfd that are in memory, counted like
 * map_count_resident(), and the bytes behind its end in a huge page that it begins. False: the kernel does not report
 * them, because our user neither owns the memfd nor may write it.
 */
bool map_count_whole(const void *data, size_t size, uint64_t *ret_bytes);

/* Gives the whole pages inside back: they read as zero, and cost nothing until they are touched. */
void map_discard(void *data, size_t size);

#endif
