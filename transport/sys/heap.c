/* SPDX-License-Identifier: MIT */
/*
 * Private memory, and the small destructors that cleanup attributes name.
 *
 * A request for nothing gives a pointer that can be freed all the same, so NULL always means that there was no
 * memory. Charging is not done here: these are the library's own tables, not payloads.
 */
#include "sys/heap.h"

#include "sys/inject.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Decided here and not by calloc(): sanitizers take an overflow there for a mistake of the caller. */
static bool total_of(size_t count, size_t size, size_t *ret_total) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return false;
    *ret_total = total > 0 ? total : 1;
    return true;
}

void *heap_new(size_t count, size_t size) {
    size_t total;
    return total_of(count, size, &total) ? INJECT_OR(ALLOC, NULL, calloc(1, total)) : NULL;
}

void *heap_resize(void *old, size_t count, size_t size) {
    size_t total;
    return total_of(count, size, &total) ? INJECT_OR(ALLOC, NULL, realloc(old, total)) : NULL;
}

void *heap_free(void *p) {
    free(p);
    return NULL;
}

char *heap_strdup(const char *s) {
    return INJECT_OR(ALLOC, NULL, strdup(s));
}

/* Relaxed: the numbers order nothing; two threads that both find the herd small trim twice. */
static atomic_uint herd, herd_most;

void heap_herd_joins(void) {
    unsigned count = atomic_fetch_add_explicit(&herd, 1, memory_order_relaxed) + 1;
    unsigned most = atomic_load_explicit(&herd_most, memory_order_relaxed);
    while (count > most &&
           !atomic_compare_exchange_weak_explicit(&herd_most, &most, count, memory_order_relaxed, memory_order_relaxed))
        ;
}

bool heap_herd_leaves(void) {
    unsigned count = atomic_fetch_sub_explicit(&herd, 1, memory_order_relaxed) - 1;
    unsigned most = atomic_load_explicit(&herd_most, memory_order_relaxed);
    if (count > most / 2 || most - count < HEAP_HERD_LEAST)
        return false;
    atomic_store_explicit(&herd_most, count, memory_order_relaxed);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    return true;
}

void heap_freep(void *pp) {
    void *p;
    /* The object is a pointer of whatever type: copied, because reading a `char *` as a `void *` is not allowed. */
    memcpy(&p, pp, sizeof p);
    free(p);
}

int fd_close(int fd) {
    if (fd >= 0) {
        int saved = errno;
        close(fd); /* closed also when it says EINTR */
        errno = saved;
    }
    return -1;
}

int fd_steal(int *fd) {
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

void fd_closep(int *fd) {
    fd_close(*fd);
}
