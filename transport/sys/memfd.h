/* SPDX-License-Identifier: MIT */
/*
 * Anonymous memory files and their seals.
 *
 * Owns: nothing but the knowledge of a flag that the kernel lacks; descriptors that enter are borrowed, those that
 * leave are the caller's. Touches: the memfd. memfd_inspect() and memfd_close_on_exec() are for any descriptor, all
 * others for our own and approved ones. Threads: any.
 */
#ifndef SYS_MEMFD_H
#define SYS_MEMFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Functions here return 0, a negative errno value, or a failure (sys/failure.h). */

/* A huge page of the sizes that we ask for. */
#define MEMFD_HUGE_SIZE ((size_t) 2 << 20)

/* The policy by which memfds get transparent huge pages: /sys/kernel/mm/transparent_hugepage/shmem_enabled. */
enum memfd_huge_policy {
    MEMFD_HUGE_NEVER,  /* never, deny, or no such file */
    MEMFD_HUGE_ADVISE, /* only mappings that asked with MADV_HUGEPAGE */
    MEMFD_HUGE_ALWAYS  /* always, within_size, force */
};
enum memfd_huge_policy memfd_huge_policy(void); /* read anew at each call */

/*
 * The smallest size between a page and a huge page that mappings with MADV_HUGEPAGE get: hugepages-64kB/shmem_enabled
 * and its like, since Linux 6.11. Only page faults bring such pages, never write() or fallocate(). 0: none. Read anew
 * at each call.
 */
size_t memfd_folio_size(void);

/*
 * Makes a memfd of `size` bytes (of hugetlb pages if `hugetlb`; then `size` is a multiple of MEMFD_HUGE_SIZE):
 * close-on-exec, sealable, not executable where the kernel knows that (6.3+). Nothing is reserved yet. The caller
 * owns *ret_fd. -EFBIG when RLIMIT_FSIZE forbids the size (compared first: growing past it raises SIGXFSZ).
 */
int memfd_new(size_t size, bool hugetlb, int *ret_fd);

/*
 * Reserves real pages for [from, from + size): in steps, so that a signal cannot undo all of it; EINTR is handled.
 * Pages that the kernel adds behind the end of the file are removed: they belong to a huge page that the file begins,
 * on systems where all memfds get huge pages. No data may lie there yet: where fallocate() is forbidden, zeros are
 * written instead. -ENOMEM also for the kernel's ENOSPC: the machine, not a file system, is full.
 */
int memfd_reserve(int fd, size_t from, size_t size);

/* Reserves pages by writing zeros, over any data there. map_populate_filled() maps such pages faster than reserved
 * ones. */
int memfd_reserve_filled(int fd, size_t from, size_t size);

/* The last step of both reservations, and of a reservation by touching pages: page faults also add pages behind the end
 * on some kernels (6.1). */
void memfd_cut_excess(int fd);

int memfd_resize(int fd, size_t size);

/* Bytes of real pages that an own memfd has. */
int memfd_allocated(int fd, uint64_t *ret_bytes);

/* Of `allocated` bytes of real pages, the bytes behind the last page of a memfd of `size` bytes. */
uint64_t memfd_excess(uint64_t size, uint64_t allocated);

/*
 * Adds SHRINK, GROW, WRITE and SEAL. -EBUSY while a writable mapping lives anywhere, a forked child's
 * included, or while a pipe or io_uring holds pages (the kernel blocks 0.16 s before it says so).
 */
int memfd_seal(int fd);

/*
 * Adds SHRINK, GROW, FUTURE_WRITE and SEAL: mappings that are writable now stay writable, and no other writer can be
 * added. From then on the memfd has one writer (Linux 5.1).
 */
int memfd_seal_others(int fd);

/*
 * Replaces an own sealed memfd's descriptor by a read-only one of the memfd, mode 0444, so that a receiver cannot stand
 * inside write() on it, and can open it anew for reading. Falls back to a duplicate where /proc is missing: the seals
 * protect the memory. Borrows `fd`; the caller owns *ret_fd.
 */
int memfd_reopen(int fd, int *ret_fd);

/*
 * A read-only descriptor of a sealed memfd with an offset and flags of its own: the process that sent `fd`, and other
 * receivers, may share the offset and flags of `fd`. Borrows `fd`; the caller owns *ret_fd. Does not block. Errors:
 * -ENOENT (/proc is missing), -EACCES (the owner of the memfd removed the right to read it), -EAGAIN (a process holds a
 * lease on it), -EMFILE, -ENFILE, -ENOMEM.
 */
int memfd_export(int fd, int *ret_fd);

/* A close-on-exec duplicate. The caller owns *ret_fd. */
int memfd_dup(int fd, int *ret_fd);

/* For descriptors that other software made, also of unknown type. Never blocks. */
void memfd_close_on_exec(int fd);

struct memfd_info {
    int seals; /* F_SEAL_... */
    bool is_hugetlb;
    uint64_t size;      /* bytes */
    uint64_t allocated; /* bytes of real pages, as st_blocks says */
};

/* Are these all the seals that a block needs: SEAL, SHRINK, GROW and WRITE? */
bool memfd_seals_hold(int seals);

/* Do these seals keep all but the owner from changing the memfd: SEAL, SHRINK, GROW, and FUTURE_WRITE or WRITE? */
bool memfd_seals_hold_others(int seals);

/* Writes the missing ones of the seals that a block needs, "F_SEAL_WRITE, F_SEAL_SEAL", for messages. Returns `buf`. */
const char *memfd_seals_missing(int seals, char *buf, size_t size);

/*
 * Examines a descriptor of unknown origin without a call that can block: F_GET_SEALS is the first call, and unless
 * memfd_seals_hold_others() it is the only one (all other fields are 0). -EBADF: O_PATH, or not a descriptor · -EINVAL:
 * a type of file without seals · other errors: the kernel could not answer, through no fault of the sender.
 */
int memfd_inspect(int fd, struct memfd_info *ret_info);

/* The text for another error than these two, which names the call. Static. */
const char *memfd_inspect_why(int r);

#endif
