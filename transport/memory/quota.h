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

static inline uint64_t quota_used(const struct quota *quota, enum quota_unit unit) {
    return atomic_load_explicit(&quota->used[unit], memory_order_relaxed);
}

/* While no other thread can charge the quota or its parents: quota_charge() of one block, and quota_return(), without
 * locked instructions. false: a quota has too little left, and nothing is charged or noted. */
static inline bool quota_charge_block_alone(struct quota *quota, uint64_t bytes) {
    for (const struct quota *at = quota; at; at = at->parent)
        if (bytes > at->limit[QUOTA_BYTES] - quota_used(at, QUOTA_BYTES) ||
            quota_used(at, QUOTA_BLOCKS) >= at->limit[QUOTA_BLOCKS])
            return false;
    for (; quota; quota = quota->parent) {
        const uint64_t used[] = {quota_used(quota, QUOTA_BYTES) + bytes, quota_used(quota, QUOTA_BLOCKS) + 1};
        for (int u = QUOTA_BYTES; u <= QUOTA_BLOCKS; u++) {
            atomic_store_explicit(&quota->used[u], used[u], memory_order_relaxed);
            if (used[u] > atomic_load_explicit(&quota->peak[u], memory_order_relaxed))
                atomic_store_explicit(&quota->peak[u], used[u], memory_order_relaxed);
        }
    }
    return true;
}

static inline void quota_return_block_alone(struct quota *quota, uint64_t bytes) {
    for (; quota; quota = quota->parent) {
        atomic_store_explicit(&quota->used[QUOTA_BYTES], quota_used(quota, QUOTA_BYTES) - bytes, memory_order_relaxed);
        atomic_store_explicit(&quota->used[QUOTA_BLOCKS], quota_used(quota, QUOTA_BLOCKS) - 1, memory_order_relaxed);
    }
}

/* All amounts of a quota at one instant; used <= peak. */
struct quota_amounts {
    uint64_t used[QUOTA_UNITS], peak[QUOTA_UNITS], limit[QUOTA_UNITS];
};
void quota_read(const struct quota *quota, struct quota_amounts *ret_amounts);

/* Raises the peak to `now` if it is lower. */
void peak_note(_Atomic uint64_t *peak, uint64_t now);

#endif
