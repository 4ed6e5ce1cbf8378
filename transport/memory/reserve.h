/* SPDX-License-Identifier: MIT */
/*
 * Reservation: memory that was granted is really there.
 */
#ifndef MEMORY_RESERVE_H
#define MEMORY_RESERVE_H

#include "memory/refusal.h"
#include "sys/memfd.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is it worth trying? -ENOMEM: the machine says that it has not so much. Of small sizes nothing is asked. */
int reserve_look(uint64_t size);

/*
 * Reserves pages for all of an own memfd of `size` bytes, which is mapped writable at `data`: the pages are mapped as
 * well, as large as the mapping asked for. -ENOMEM.
 */
int reserve_mapped(int fd, void *data, size_t size);

/*
 * Is every page of a peer's memfd there? Plain holes are told. As many pages behind the end disguise them (fallocate() before
 * sealing): what bounds the cost of reading those is the peer's quota, which was charged with the full size.
 */
bool reserve_is_whole(const struct memfd_info *info);

/* Notes why memory could not be made, `error` being what said so. Returns the error to tell. */
int reserve_explain(int error, uint64_t size, bool hugetlb, struct refusal_log *log);

#endif
