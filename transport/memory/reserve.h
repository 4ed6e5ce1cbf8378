/* SPDX-License-Identifier: MIT */
/*
 * Reservation: memory that was granted really exists. And the explanation, afterwards, of memory that could not be
 * made.
 *
 * Owns: nothing; descriptors and mappings are the caller's. Touches: the pages of the memory, the promises of
 * admission, and, where it explains an error, the refusal log. It may wait for the disposal, and charges nothing.
 * Threads: any; one at a time for a memfd.
 */
#ifndef MEMORY_RESERVE_H
#define MEMORY_RESERVE_H

#include "memory/admission.h"
#include "sys/memfd.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Asks admission, and reserves pages for the first `size` bytes of an own memfd. It works in steps, and reads the
 * limits of the machine again before each step but the first, so that a later refusal comes after one step at most.
 * Reserved pages go with the memfd. `admission` NULL: no admission is needed. -ENOMEM.
 */
int reserve_file(int fd, size_t size, struct admission *admission);

/*
 * Applies the context's requests to a whole mapping, before it has pages, so that a refusal costs nothing: its pages
 * are locked, and come from the requested NUMA nodes. (A request for a part would cut the mapping in two.) -ENOLCK
 * (RLIMIT_MEMLOCK) · -ENODEV, -EACCES (NUMA nodes).
 */
int reserve_apply_requests(void *data, size_t size, const struct admission *admission);

/* Like reserve_file(), for a new memfd that is mapped writable at `data`: also maps the pages. With `huge` they are as
 * large as the mapping asked for. -ENOMEM. */
int reserve_mapped(int fd, void *data, size_t size, bool huge, struct admission *admission);

/*
 * Does a peer's memfd have all its pages? This finds plain holes. As many pages behind the end disguise holes
 * (fallocate() before sealing): the peer's quota, which was charged with the full size, bounds the cost of reading
 * these.
 */
bool reserve_is_whole(const struct memfd_info *info);

/* Notes why memory could not be made, by the limits at the moment. `error` is a negative errno value or a failure
 * (sys/failure.h). Returns the negative errno value for the caller. */
int reserve_explain(int error, uint64_t size, bool hugetlb, struct admission *admission);

/* Like reserve_explain(), for a mapping that could not be made. */
int reserve_explain_map(int error, uint64_t size, struct refusal_log *log);

/* Reasons why a peer's memory could not be verified or mapped, and a static text for the peer. */
enum reserve_unmapped {
    RESERVE_FORBIDDEN,
    RESERVE_FAILED,
    RESERVE_OUT_OF_MAPS,
    RESERVE_OUT_OF_ADDRESSES,
    RESERVE_NO_ROOM,
    RESERVE_UNMAPPED /* the number of reasons */
};
enum reserve_unmapped reserve_unmapped(int error, uint64_t size);
const char *reserve_why_unmapped(enum reserve_unmapped cause);

#endif
