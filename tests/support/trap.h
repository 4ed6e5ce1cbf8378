/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that a hostile peer would send. Each maker returns one that the caller owns.
 *
 * A trap is one that needs something beside it to be dangerous: the other end of a TCP connection that does
 * not read, a FUSE daemon that hangs. trap_disarm() takes the danger away, trap_free() everything.
 */
#ifndef TESTS_SUPPORT_TRAP_H
#define TESTS_SUPPORT_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/child.h"

#define TRAP_ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* A memfd of `size` bytes, all written, with these seals. */
int trap_memfd(size_t size, int seals);

/* Fully sealed, without a page of its own, whatever its size. */
int trap_sparse(uint64_t size);

/* A whole one, sealed, that has `more` bytes of pages behind its end, as where the kernel gave a huge page. */
int trap_excess(size_t size, size_t more, int seals);

/* Fully sealed, with pages but for one in the middle; `size` is at least three pages. */
int trap_holes(size_t size);

/* The same, and as many blocks as its size wants: the missing one lies behind the end. */
int trap_disguised_hole(size_t size);

int trap_dev_zero(void);
int trap_pipe(void);   /* the end to read from; nobody writes */
int trap_socket(void); /* one of a pair */
int trap_directory(void);
int trap_path_only(void); /* O_PATH on a file */
int trap_eventfd(void);
int trap_epoll(void);
int trap_shm_file(size_t size); /* on /dev/shm, unlinked. -1: there is no tmpfs there */

/* A fully sealed memfd of 2 MiB pages, `size` bytes rounded up to them; their pool is made larger meanwhile.
 * -1: impossible. */
int trap_hugetlb(size_t size);
void trap_hugetlb_done(void);

struct trap {
    int fd;    /* to be sent; owned */
    int other; /* owned; -1 */
    struct child daemon;
};

/* Its close() takes two seconds, once it is the last. */
void trap_lingering(struct trap *ret);

/* A FUSE file: everything but F_GET_SEALS hangs, close() too, until it is disarmed. Without a mount point:
 * the file system is mounted in no name space. False with the reason: it cannot be had here. */
bool trap_hung(struct trap *ret, char *ret_why, size_t size);

void trap_disarm(struct trap *trap);
void trap_free(struct trap *trap);

#endif
