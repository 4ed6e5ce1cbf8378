/* SPDX-License-Identifier: MIT */
/*
 * Sealed memory: one memfd, written in place, then frozen by the kernel; or a peer's frozen memfd, verified.
 *
 * States:  LOANED  --sealed_freeze()-->  FROZEN.  sealed_import() begins at FROZEN. LOANED: `fd` and the mapping
 * `data`, if there is one, are writable. FROZEN: both are read-only, and the bytes are final.
 *
 * Owns: its descriptor and its mapping. Touches: the promises of admission; rejected descriptors go to the reaper,
 * large memory goes to the disposal. The registry charges the budget, not this module. Threads: one at a time for
 * LOANED memory; all may map and read FROZEN memory; the thread that ends the memory is the last one to use it.
 */
#ifndef MEMORY_SEALED_H
#define MEMORY_SEALED_H

#include "memory/admission.h"
#include "sys/memfd.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The layout of a payload in its memfd, with the values of WIRE_PAGES_EXACT and its neighbours. */
enum sealed_layout {
    SEALED_EXACT = 0,   /* the memfd is as large as the payload */
    SEALED_HUGETLB = 1, /* in hugetlb pages: rounded up to 2 MiB */
    SEALED_PADDED = 2   /* rounded up to 2 MiB, so that the payload's last part lies in a transparent huge page */
};

struct sealed {
    int fd;               /* owned */
    uint32_t excess;      /* bytes of pages behind the end, as reported when it was made, imported or cut */
    size_t size;          /* of the payload, bytes */
    _Atomic(void *) data; /* owned mapping of the whole memfd, or NULL */
    bool is_frozen;
    bool wants_huge;           /* ask for transparent huge pages when mapping it */
    enum sealed_layout layout; /* the memfd's size is sealed_file_size() */
};

#define SEALED_EMPTY ((struct sealed){.fd = -1})

/* The size of a memfd for `size` bytes of payload. The payload is charged with it. */
uint64_t sealed_file_size(uint64_t size, enum sealed_layout layout);

/* Like memfd_huge_policy(), but the answer may be SEALED_POLICY_AGE old. */
enum memfd_huge_policy sealed_huge_policy(void);

/*
 * Nanoseconds. Reading the policy takes 15 us, a tenth of the time for a padded block of 1 MiB. An old answer costs no
 * more than padding that is cut again, or base pages.
 */
#define SEALED_POLICY_AGE ((uint64_t) 20 * 1000 * 1000)

/* SEALED_PADDED where padding pays and the system grants transparent huge pages, else SEALED_EXACT. */
enum sealed_layout sealed_choose_layout(uint64_t size);

/*
 * Makes and reserves memory after admission, by the wishes of the context (hugetlb pages are neither locked nor moved).
 * Padded memory whose last part gets no huge page becomes exact: see ret->layout. `allow_huge`: transparent huge pages
 * in exact memory. Errors: -EFBIG (RLIMIT_FSIZE), -ENOLCK, -ENOMEM, -EMFILE, -ENFILE, -ENODEV, -EACCES;
 * reserve_explain() explains them.
 */
int sealed_new(struct sealed *ret, size_t size, enum sealed_layout layout, bool allow_huge,
               struct admission *admission);

/* The properties of a descriptor, as its sender or the caller declares them. */
struct sealed_claim {
    uint64_t size_max;         /* the largest accepted size, bytes; the caller checks it where `size` is a claim */
    uint64_t size;             /* of the payload, as declared; UINT64_MAX: the size of the file */
    enum sealed_layout layout; /* as declared */
    bool any_pages;            /* hugetlb pages are accepted although not declared (local imports) */
};

/*
 * Verifies a descriptor of unknown origin, in the order that cannot block, and maps it. Takes `fd`: a rejected one goes
 * to the reaper. On failure *ret_why is a static text that names the reason. Errors: -EBADF (not a fully sealed memfd),
 * -EMSGSIZE (not the declared size, or too large), -ENODATA (holes), -ENOMEM or a failure (it cannot be examined or
 * mapped, through no fault of the sender).
 */
int sealed_import(struct sealed *ret, int fd, const struct sealed_claim *claim, const char **ret_why);

/* Returns the mapping, and makes it if there is none. FROZEN memory is mapped once, also when several threads ask.
 * NULL: it cannot be mapped. For an empty payload: a pointer without bytes. */
void *sealed_map(struct sealed *sealed);

/* Like sealed_map(), with an error: 0, -ENOMEM or a failure. */
int sealed_map_to(struct sealed *sealed, void **ret_data);

/* LOANED only: maps the memory with all its pages, unless it is mapped already. -ENOMEM. */
int sealed_prefault(struct sealed *sealed);

/* LOANED only. */
int sealed_fill(struct sealed *sealed, size_t offset, const void *data, size_t size);
int64_t sealed_fill_file(struct sealed *sealed, size_t offset, int fd, int64_t file_offset, size_t size);

/* LOANED only: cuts the payload. Padded memory stays padded while that pays, else it becomes exact. */
int sealed_shrink(struct sealed *sealed, size_t size);

/* LOANED -> FROZEN. On an error the memory is still LOANED, but its mapping has ended. */
int sealed_freeze(struct sealed *sealed);

/* SEA_PAGES_...: the kind of pages that the memory has. */
int sealed_pages(struct sealed *sealed);

/* Ends the memory, in any state; accepts SEALED_EMPTY. */
void sealed_deinit(struct sealed *sealed);

#endif
