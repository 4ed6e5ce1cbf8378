/* SPDX-License-Identifier: MIT */
/*
 * The census: which shared memory of its own a context has, so that the kernel can be asked what each memfd takes up
 * now.
 *
 *     reserved   bytes of a memfd that were there when it was made: its size, in whole pages, and the excess behind its
 * end resident   bytes that are there now added      what of `resident` is more than `reserved`, memfd by memfd
 *
 * A reader can have the kernel turn the last pages of any memfd into one of 2 MiB, seals or not
 * (tests/contract/test_folios.c). No account shows that.
 *
 * An entry is a part of the object that has the memory, and names the memory by a mapping, or by a descriptor where
 * there is one. The census borrows both until census_leave(), which waits while the entry is being read. An arena's
 * descriptor is closed once the peer has it; pages behind the end of such a memfd are counted through a second mapping
 * (sys/map).
 *
 * Threads: any. Entries are spread over several locks. Each lock is held for some 0.1 us by a thread that makes memory,
 * and for some 50 us for each of its entries that has no descriptor by a thread that counts.
 */
#ifndef MEMORY_CENSUS_H
#define MEMORY_CENSUS_H

#include "util/list.h"
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { CENSUS_PARTS = 16 };

struct census_entry {
    const void *data; /* borrowed mapping of the whole memfd, shared; NULL: `fd` tells */
    size_t size;      /* of the mapping, bytes */
    int fd;           /* borrowed; without a mapping */
    uint64_t reserved;
    struct census_part *part; /* NULL: the entry is in no census */
    LIST_LINK(struct census_entry) link;
};

struct census_part {
    pthread_mutex_t lock; /* of the list */
    struct census_entry *first;
};

struct census {
    struct census_part parts[CENSUS_PARTS];
};

struct census_sums {
    uint64_t files, reserved, resident, added;
    uint64_t untold; /* of `reserved`: in memfds of which the kernel did not tell; `resident` has them as reserved */
};

void census_init(struct census *census);
void census_deinit(struct census *census);

/* The entry (zeroed, and then unmoved) stands for a memfd that is mapped, or that has this descriptor. `census` NULL:
 * for none. */
void census_enter_mapped(struct census *census, struct census_entry *entry, const void *data, size_t size,
                         uint64_t excess);
void census_enter_fd(struct census *census, struct census_entry *entry, int fd, uint64_t size, uint64_t excess);

/* Before the mapping or the descriptor ends. An entry that is in no census is left alone. */
void census_leave(struct census_entry *entry);

void census_count(struct census *census, struct census_sums *ret_sums);

#endif
