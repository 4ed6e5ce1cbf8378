/* SPDX-License-Identifier: MIT */
/*
 * Reservation: memory that was granted is really there.
 */
#ifndef MEMORY_RESERVE_H
#define MEMORY_RESERVE_H

#include "memory/admission.h"
#include "sys/memfd.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Asks admission, and reserves pages for the first `size` bytes of an own memfd: in steps, before each of which but the
 * first the machine is looked at again, so that whoever refuses later does so after one step at most. What was taken
 * goes with the memfd. `admission` NULL: nobody is asked. -ENOMEM.
 */
int reserve_file(int fd, size_t size, struct admission *admission);

/*
 * The pages of a whole mapping, of a part it would be cut in two, are locked and on the nodes that the context wants.
 * Before there are any: then a refusal costs nothing. -ENOLCK (RLIMIT_MEMLOCK) · -ENODEV, -EACCES (NUMA nodes).
 */
int reserve_apply_requests(void *data, size_t size, const struct admission *admission);

/* As reserve_file(), of a new memfd that is mapped writable at `data`: the pages are mapped as well, with `huge` as
 * large as the mapping asked for. -ENOMEM. */
int reserve_mapped(int fd, void *data, size_t size, bool huge, struct admission *admission);

/*
 * Is every page of a peer's memfd there? Plain holes are told. As many pages behind the end disguise them (fallocate()
 * before sealing): what bounds the cost of reading those is the peer's quota, which was charged with the full size.
 */
bool reserve_is_whole(const struct memfd_info *info);

/* Notes why memory could not be made, `error` being what said so, a failure (sys/failure.h) too: what was tight then is
 * looked up now. Returns the error to tell, a negative errno value. */
int reserve_explain(int error, uint64_t size, bool hugetlb, struct admission *admission);

/* The same of a mapping that could not be made. */
int reserve_explain_map(int error, uint64_t size, struct refusal_log *log);

/* What keeps a peer's memory out that could not be verified or mapped, and a static text for the peer. */
enum reserve_unmapped {
    RESERVE_FORBIDDEN,
    RESERVE_FAILED,
    RESERVE_OUT_OF_MAPS,
    RESERVE_OUT_OF_ADDRESSES,
    RESERVE_NO_ROOM,
    RESERVE_UNMAPPED /* how many there are */
};
enum reserve_unmapped reserve_unmapped(int error, uint64_t size);
const char *reserve_why_unmapped(enum reserve_unmapped cause);

#endif
