/* SPDX-License-Identifier: MIT */
/*
 * Sealed memory: one memfd, written in place, then frozen by the kernel; or a peer's, verified.
 *
 * States:  LOANED  --sealed_freeze()-->  FROZEN,   and sealed_import() begins at FROZEN.
 * LOANED: `fd` is writable, `data` (if mapped) too. FROZEN: `fd` is read-only, `data` (if mapped) too, and the bytes
 * are final. Owns its descriptor and its mapping. One thread at a time while LOANED; FROZEN ones may be read by all. No
 * budget is charged here: that is the registry's.
 */
#ifndef MEMORY_SEALED_H
#define MEMORY_SEALED_H

#include "memory/admission.h"
#include "sys/memfd.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a payload lies in its memfd; the same values as WIRE_PAGES_EXACT and its neighbours. */
enum sealed_layout {
    SEALED_EXACT = 0,   /* the memfd is as large as the payload */
    SEALED_HUGETLB = 1, /* in hugetlb pages: rounded up to 2 MiB */
    SEALED_PADDED = 2   /* rounded up likewise, so that the payload's last part lies in a transparent huge page */
};

struct sealed {
    int fd;               /* owned */
    uint32_t excess;      /* bytes of pages behind its end, as the kernel said when it was made, imported or cut */
    size_t size;          /* of the payload, bytes */
    _Atomic(void *) data; /* owned mapping of the whole memfd, or NULL */
    bool is_frozen;
    bool wants_huge;           /* ask for transparent huge pages when mapping it */
    enum sealed_layout layout; /* the memfd's size is sealed_file_size() */
};

#define SEALED_EMPTY ((struct sealed){.fd = -1})

/* The size of a memfd that holds `size` bytes of payload: what the payload takes up, and is charged with. */
uint64_t sealed_file_size(uint64_t size, enum sealed_layout layout);

/* As memfd_huge_policy(), but the answer may be SEALED_POLICY_AGE old. */
enum memfd_huge_policy sealed_huge_policy(void);

/*
 * Asking the system takes 15 us, a tenth of what a padded block of 1 MiB takes. An old answer costs no more than a
 * padding that is cut again, or base pages. Nanoseconds.
 */
#define SEALED_POLICY_AGE ((uint64_t) 20 * 1000 * 1000)

/* SEALED_PADDED where that pays and transparent huge pages are granted here, else SEALED_EXACT. */
enum sealed_layout sealed_choose_layout(uint64_t size);

/*
 * Makes and reserves memory, once it is admitted, in the way that the context wants (hugetlb pages are neither locked
 * nor moved). Padded memory that the system gives no huge page for its last part becomes exact: see ret->layout.
 * `allow_huge`: transparent huge pages in exact memory. Errors: -EFBIG (RLIMIT_FSIZE), -ENOLCK, -ENOMEM, -EMFILE,
 * -ENFILE, -ENODEV, -EACCES, for which reserve_explain() has words.
 */
int sealed_new(struct sealed *ret, size_t size, enum sealed_layout layout, bool allow_huge,
               struct admission *admission);

/* What the sender, or the caller, says about a descriptor. */
struct sealed_claim {
    uint64_t size_max;         /* largest size that we take, bytes; checked by the caller where `size` is a claim */
    uint64_t size;             /* of the payload, as declared; UINT64_MAX: whatever the file's is */
    enum sealed_layout layout; /* as declared */
    bool any_pages;            /* hugetlb is taken although not declared (local imports) */
};

/*
 * Verifies a descriptor of unknown origin, in the order that cannot block, and maps it. Takes `fd`: a rejected one goes
 * to the reaper. On failure *ret_why is a static text that names what is wrong. Errors: -EBADF (not a fully sealed
 * memfd), -EMSGSIZE (not the declared size, or too large), -ENODATA (holes), -ENOMEM or a failure (cannot be examined
 * or mapped; no fault of the sender's).
 */
int sealed_import(struct sealed *ret, int fd, const struct sealed_claim *claim, const char **ret_why);

/* Maps if need be; FROZEN memory is mapped once, whichever threads ask. NULL: it cannot be mapped. Of an empty one: a
 * pointer not to be used. */
void *sealed_map(struct sealed *sealed);

/* The same with the reason: 0, -ENOMEM or a failure. */
int sealed_map_to(struct sealed *sealed, void **ret_data);

/* LOANED only: maps it with all its pages, unless it is mapped already. -ENOMEM. */
int sealed_prefault(struct sealed *sealed);

/* LOANED only. */
int sealed_fill(struct sealed *sealed, size_t offset, const void *data, size_t size);
int64_t sealed_fill_file(struct sealed *sealed, size_t offset, int fd, int64_t file_offset, size_t size);

/* LOANED only. What is padded stays so while that pays, and becomes exact then. */
int sealed_shrink(struct sealed *sealed, size_t size);

/* LOANED -> FROZEN, or an error and still LOANED (its pointers have ended all the same). */
int sealed_freeze(struct sealed *sealed);

/* SEA_PAGES_...: what it really got. */
int sealed_pages(struct sealed *sealed);

/* Any state, SEALED_EMPTY too. */
void sealed_deinit(struct sealed *sealed);

#endif
