/* SPDX-License-Identifier: MIT */
/*
 * A quota: how much of three things one holder may have at a time. The process's budget, a user's share and a peer's
 * share are quotas. A charge is made in full or not at all. The function that made a charge also returns it.
 *
 * Invariant, for each of the three: 0 <= used <= limit. The peak is noted once a charge is granted.
 *
 * Owns: the counters. Touches: its parents' counters, since each charge is made to them too; when it refuses, the log.
 * Threads: any, without locks (but for the log's): each amount is one atomic counter. Relaxed order is enough, since no
 * other memory is published through the counters. A quota outlives its charges.
 */
#ifndef MEMORY_QUOTA_H
#define MEMORY_QUOTA_H

#include "memory/refusal.h"
#include <stdatomic.h>

enum quota_unit { QUOTA_BYTES, QUOTA_BLOCKS, QUOTA_FDS, QUOTA_UNITS };

/* Limits in all three units. */
struct limits {
    uint64_t bytes;
    uint32_t blocks, fds;
};

struct quota {
    const char *name;     /* static: "budget", "user quota", "peer quota" */
    struct quota *parent; /* borrowed; charged as well. NULL: none */
    uint64_t limit[QUOTA_UNITS];
    _Atomic uint64_t used[QUOTA_UNITS];
    _Atomic uint64_t peak[QUOTA_UNITS];
};

void quota_init(struct quota *quota, const char *name, struct quota *parent, const struct limits *limits);

/* Charges this quota and its parents. -EDQUOT: one of them has less left; the refusal is noted in `log`, and no quota
 * is charged. */
int quota_charge(struct quota *quota, uint64_t bytes, uint32_t blocks, uint32_t fds, struct refusal_log *log);

/* Returns a charge. */
void quota_return(struct quota *quota, uint64_t bytes, uint32_t blocks, uint32_t fds);

uint64_t quota_used(const struct quota *quota, enum quota_unit unit);

/* All amounts of a quota at one instant; used <= peak. */
struct quota_amounts {
    uint64_t used[QUOTA_UNITS], peak[QUOTA_UNITS], limit[QUOTA_UNITS];
};
void quota_read(const struct quota *quota, struct quota_amounts *ret_amounts);

/* Raises the peak to `now` if it is lower. */
void peak_note(_Atomic uint64_t *peak, uint64_t now);

#endif
