/* SPDX-License-Identifier: MIT */
/* Quotas: three counters with limits, in a chain. See quota.h. */
#include "memory/quota.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

static const char *const UNIT_NAMES[QUOTA_UNITS] = {"bytes", "blocks", "descriptors"};

void quota_init(struct quota *quota, const char *name, struct quota *parent, const struct limits *limits) {
    *quota = (struct quota){.name = name, .parent = parent, .limit = {limits->bytes, limits->blocks, limits->fds}};
}

void peak_note(_Atomic uint64_t *peak, uint64_t now) {
    uint64_t most = atomic_load_explicit(peak, memory_order_relaxed);
    while (now > most &&
           !atomic_compare_exchange_weak_explicit(peak, &most, now, memory_order_relaxed, memory_order_relaxed))
        ;
}

static bool unit_charge(struct quota *quota, enum quota_unit unit, uint64_t amount) {
    uint64_t used = atomic_load_explicit(&quota->used[unit], memory_order_relaxed);
    do {
        if (amount > quota->limit[unit] - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&quota->used[unit], &used, used + amount, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void unit_return(struct quota *quota, enum quota_unit unit, uint64_t amount) {
    if (amount == 0)
        return;
    uint64_t before = atomic_fetch_sub_explicit(&quota->used[unit], amount, memory_order_relaxed);
    assert(before >= amount);
    (void) before;
}

static int quota_refuse(const struct quota *quota, enum quota_unit unit, uint64_t amount, struct refusal_log *log) {
    char limit[sizeof(((sea_refusal *) NULL)->limit)];
    char advice[sizeof(((sea_refusal *) NULL)->advice)];
    snprintf(limit, sizeof(limit), "%s (%s)", quota->name, UNIT_NAMES[unit]);
    snprintf(advice, sizeof(advice), "release blocks, or raise the %s of %s in sea_ctx_options beyond %llu",
             quota->name, UNIT_NAMES[unit], (unsigned long long) quota->limit[unit]);
    return refusal_note(log, -EDQUOT, limit, amount, quota->limit[unit] - quota_used(quota, unit), advice);
}

/* Notes the amounts that are in use, now that all quotas have granted the charge. */
static void quota_note_peaks(struct quota *quota) {
    for (; quota; quota = quota->parent)
        for (int u = 0; u < QUOTA_UNITS; u++) {
            uint64_t used = atomic_load_explicit(&quota->used[u], memory_order_relaxed);
            if (used > atomic_load_explicit(&quota->peak[u], memory_order_relaxed))
                peak_note(&quota->peak[u], used);
        }
}

/* Returns the charge of the quotas before `end`, and of its units below `units`. */
static void quota_undo(struct quota *quota, const struct quota *end, int units, const uint64_t amounts[QUOTA_UNITS]) {
    for (; quota != end; quota = quota->parent)
        for (int u = 0; u < QUOTA_UNITS; u++)
            unit_return(quota, (enum quota_unit) u, amounts[u]);
    for (int u = 0; u < units; u++)
        unit_return(quota, (enum quota_unit) u, amounts[u]);
}

int quota_charge(struct quota *quota, uint64_t bytes, uint32_t blocks, uint32_t fds, struct refusal_log *log) {
    const uint64_t amounts[QUOTA_UNITS] = {bytes, blocks, fds};
    for (struct quota *at = quota; at; at = at->parent)
        for (int u = 0; u < QUOTA_UNITS; u++)
            if (amounts[u] && !unit_charge(at, (enum quota_unit) u, amounts[u])) {
                int r = quota_refuse(at, (enum quota_unit) u, amounts[u], log);
                quota_undo(quota, at, u, amounts);
                return r;
            }
    quota_note_peaks(quota);
    return 0;
}

void quota_return(struct quota *quota, uint64_t bytes, uint32_t blocks, uint32_t fds) {
    const uint64_t amounts[QUOTA_UNITS] = {bytes, blocks, fds};
    for (; quota; quota = quota->parent)
        for (int u = 0; u < QUOTA_UNITS; u++)
            unit_return(quota, (enum quota_unit) u, amounts[u]);
}

bool quota_try_block_shared(struct quota *quota, uint64_t bytes) {
    if (!unit_charge(quota, QUOTA_BLOCKS, 1))
        return false;
    if (bytes && !unit_charge(quota, QUOTA_BYTES, bytes)) {
        unit_return(quota, QUOTA_BLOCKS, 1);
        return false;
    }
    quota_note_peaks(quota);
    return true;
}

/* A charge of this instant may not have raised the peak yet. */
void quota_read(const struct quota *quota, struct quota_amounts *ret_amounts) {
    for (int u = 0; u < QUOTA_UNITS; u++) {
        uint64_t used = quota_used(quota, (enum quota_unit) u);
        uint64_t peak = atomic_load_explicit(&quota->peak[u], memory_order_relaxed);
        ret_amounts->used[u] = used;
        ret_amounts->peak[u] = peak < used ? used : peak;
        ret_amounts->limit[u] = quota->limit[u];
    }
}
