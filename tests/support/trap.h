/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that a hostile peer would send. Each maker returns a descriptor that the caller owns.
 *
 * A trap is a descriptor that is dangerous only together with another object: the other end of a TCP connection that
 * does not read, or a FUSE daemon that hangs. trap_disarm() ends the danger, trap_free() frees everything.
 */
#ifndef TESTS_SUPPORT_TRAP_H
#define TESTS_SUPPORT_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/child.h"

#define TRAP_ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Returns a memfd of `size` bytes, all written, with these seals. */
int trap_memfd(size_t size, int seals);

/* Returns a fully sealed memfd without any page, of any size. */
int trap_sparse(uint64_t size);

/* Returns a sealed memfd with all its pages, and `more` bytes of pages behind its end, as after the grant of a huge
 * page. */
int trap_excess(size_t size, size_t more, int seals);

/* Returns a fully sealed memfd that lacks one page in the middle; `size` is at least three pages. */
int trap_holes(size_t size);

/* Returns a memfd as trap_holes() does, with as many blocks as its size needs: a page behind the end makes up for
 * the missing one. */
int trap_disguised_hole(size_t size);

int trap_dev_zero(void);
int trap_pipe(void);   /* the end to read from; the other end never writes */
int trap_socket(void); /* one socket of a pair */
int trap_directory(void);
int trap_path_only(void); /* O_PATH on a file */
int trap_eventfd(void);
int trap_epoll(void);
int trap_shm_file(size_t size); /* on /dev/shm, unlinked. -1: /dev/shm is no tmpfs */

/* Returns a fully sealed memfd of 2 MiB pages, `size` bytes rounded up to them, and enlarges the pool of these pages
 * meanwhile. Returns -1 if that is impossible. */
int trap_hugetlb(size_t size);
void trap_hugetlb_done(void);

struct trap {
    int fd;    /* the descriptor to send; owned */
    int other; /* owned; -1 */
    struct child daemon;
};

/* Makes a connection whose last close() takes two seconds. */
void trap_lingering(struct trap *ret);

/* Makes a FUSE file on which every call but F_GET_SEALS hangs, also close(), until trap_disarm(). There is no mount
 * point: the file system is mounted in no name space. Returns false with the reason if this machine does not allow
 * it. */
bool trap_hung(struct trap *ret, char *ret_why, size_t size);

void trap_disarm(struct trap *trap);
void trap_free(struct trap *trap);

#endif
