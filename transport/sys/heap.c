/* SPDX-License-Identifier: MIT */
/*
 * Private memory, and the small destructors that cleanup attributes name.
 *
 * A request for nothing gives a pointer that can be freed all the same, so NULL always means that there was no
 * memory. Charging is not done here: these are the library's own tables, not payloads.
 *
 * Threads: any.
 */
#include "sys/heap.h"

#include "sys/seam.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *heap_new(size_t count, size_t size) {
    return SEAM_OR(ALLOC, NULL, calloc(count ? count : 1, size ? size : 1));
}

void *heap_resize(void *old, size_t count, size_t size) {
    return SEAM_OR(ALLOC, NULL, reallocarray(old, count ? count : 1, size ? size : 1));
}

void *heap_free(void *p) {
    free(p);
    return NULL;
}

char *heap_strdup(const char *s) {
    return SEAM_OR(ALLOC, NULL, strdup(s));
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
