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
#include <stdbool.h>

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

/* All amounts of a quota at one instant; used <= peak. */
struct quota_amounts {
    uint64_t used[QUOTA_UNITS], peak[QUOTA_UNITS], limit[QUOTA_UNITS];
};
void quota_read(const struct quota *quota, struct quota_amounts *ret_amounts);

/* Raises the peak to `now` if it is lower. */
void peak_note(_Atomic uint64_t *peak, uint64_t now);

/* --- one block, in few instructions --- */

/* Of two quotas: `own`, which no other thread changes meanwhile, and its parent, which has none itself. With `is_alone`
 * no other thread changes the parent either. Then no locked instruction is needed. */

static inline bool quota_fits_block(const struct quota *quota, uint64_t bytes) {
    return (bytes == 0 || bytes <= quota->limit[QUOTA_BYTES] - quota_used(quota, QUOTA_BYTES)) &&
           quota_used(quota, QUOTA_BLOCKS) < quota->limit[QUOTA_BLOCKS];
}

static inline void quota_add_alone(struct quota *quota, enum quota_unit unit, uint64_t amount) {
    uint64_t used = quota_used(quota, unit) + amount;
    atomic_store_explicit(&quota->used[unit], used, memory_order_relaxed);
    if (used > atomic_load_explicit(&quota->peak[unit], memory_order_relaxed))
        atomic_store_explicit(&quota->peak[unit], used, memory_order_relaxed);
}

static inline void quota_take_alone(struct quota *quota, enum quota_unit unit, uint64_t amount) {
    atomic_store_explicit(&quota->used[unit], quota_used(quota, unit) - amount, memory_order_relaxed);
}

/* Charges a quota without parent that other threads charge too. false: as quota_try_block(). */
bool quota_try_block_shared(struct quota *quota, uint64_t bytes);

static inline void quota_add_block_alone(struct quota *quota, uint64_t bytes) {
    if (bytes)
        quota_add_alone(quota, QUOTA_BYTES, bytes);
    quota_add_alone(quota, QUOTA_BLOCKS, 1);
}

static inline void quota_take_block_alone(struct quota *quota, uint64_t bytes) {
    if (bytes)
        quota_take_alone(quota, QUOTA_BYTES, bytes);
    quota_take_alone(quota, QUOTA_BLOCKS, 1);
}

/* quota_charge() of one block. false: one of them has less left, no quota is charged, and nothing is noted. */
static inline bool quota_try_block(struct quota *own, uint64_t bytes, bool is_alone) {
    struct quota *parent = own->parent;
    if (!quota_fits_block(own, bytes) || !quota_fits_block(parent, bytes))
        return false;
    if (is_alone)
        quota_add_block_alone(parent, bytes);
    else if (!quota_try_block_shared(parent, bytes))
        return false;
    quota_add_block_alone(own, bytes);
    return true;
}

static inline void quota_return_block(struct quota *own, uint64_t bytes, bool is_alone) {
    struct quota *parent = own->parent;
    quota_take_block_alone(own, bytes);
    if (is_alone)
        quota_take_block_alone(parent, bytes);
    else
        quota_return(parent, bytes, 1, 0);
}

#endif
