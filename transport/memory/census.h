/* SPDX-License-Identifier: MIT */
/*
 * The census: the shared memory that a context has made, so that the kernel can be asked for the present size of each
 * memfd.
 *
 *     reserved   bytes of a memfd when it was made: its size, in whole pages, and the excess behind its end
 *     resident   bytes of it that exist now
 *     added      bytes of `resident` above `reserved`, memfd by memfd
 *
 * A reader can have the kernel turn the last pages of any memfd into one of 2 MiB, seals or not
 * (tests/contract/test_folios.c). No account shows these bytes.
 *
 * An entry is a member of the object that has the memory. It names the memory by a mapping, or by a descriptor. The
 * census borrows the mapping or the descriptor until census_leave(), which waits while the entry is being read. An
 * arena's descriptor is closed once the peer has it: the pages behind the end of its memfd are counted through a second
 * mapping (sys/map).
 *
 * Owns: the lists and their locks; entries are members of their owners. Touches: asks the kernel about the memory, and
 * changes none; charges nothing.
 *
 * Threads: any. Entries are spread over several locks. A thread that makes memory holds a lock for some 0.1 us; a
 * thread that counts holds it for some 50 us for each entry without a descriptor.
 */
#ifndef MEMORY_CENSUS_H
#define MEMORY_CENSUS_H

#include "util/list.h"
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { CENSUS_PARTS = 16 };

struct census_entry {
    const void *data; /* borrowed mapping of the whole memfd, shared; NULL: `fd` names the memory */
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
    uint64_t untold; /* bytes of `reserved` whose present size the kernel does not report; `resident` includes them */
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
