/* SPDX-License-Identifier: MIT */
/*
 * Private memory, with fault injection, and cleanup attributes for locals.
 *
 * Owns: the numbers of the herd, for the process; memory is the caller's. It charges nothing. Threads: any.
 */
#ifndef SYS_HEAP_H
#define SYS_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* For slow paths: kept out of the hot path, so that this needs few registers. */
#define RARE __attribute__((noinline))
/* A function with several callers on the short way, each of which has it inside. */
#define ALWAYS __attribute__((always_inline))

/* Zeroed memory for `count` items of `size` bytes, or NULL (also when the product overflows). */
void *heap_new(size_t count, size_t size);

/* Like realloc() on an array; new items are NOT zeroed. NULL leaves `old` as it was. */
void *heap_resize(void *old, size_t count, size_t size);

/* Accepts NULL; returns NULL. */
void *heap_free(void *p);

/* A copy of a string, or NULL. */
char *heap_strdup(const char *s);

/*
 * A herd: objects that may come in thousands, like connections. Memory above them in the C library's heap keeps its
 * pages when they have gone. So when half of the largest number of objects have gone, and at least HEAP_HERD_LEAST, the
 * C library is told to give back all whole free pages (malloc_trim(3)). Herds that come and go at one size never cause
 * that. Any thread.
 */
#define HEAP_HERD_LEAST 128
void heap_herd_joins(void);
bool heap_herd_leaves(void); /* after its memory was freed. Returns whether pages were given back */

void heap_freep(void *pp);
/* For a variable that may have no other use. */
#define CLEANUP(function) __attribute__((cleanup(function), unused))
#define CLEANUP_FREE CLEANUP(heap_freep)

/* Closes unless negative; returns -1. For descriptors that we made or verified: hostile ones go to the reaper. Keeps
 * errno. */
int fd_close(int fd);

/* Returns *fd and leaves -1. */
int fd_steal(int *fd);

void fd_closep(int *fd);
#define CLEANUP_FD __attribute__((cleanup(fd_closep)))

#endif
