/* SPDX-License-Identifier: MIT */
/*
 * The handle registry: the owner's private table of the sealed blocks that one peer holds.
 *
 * A handle (wire/handle.h) names one lease: the peer's hold on one block. Its `index` is the slot in this table, its
 * `generation` grows whenever the slot is freed, and its `arena` is 0, because sealed blocks lie in no arena. Handles
 * are unique for one peer: each peer has a table of its own.
 *
 * States of a slot, and the only functions that move between them:
 *
 *     FREE  --lease_grant()-->  LEASED  --lease_release() | lease_drop_one()-->  FREE, generation + 1
 *
 * A LEASED slot owns one reference of its block. So a block is reclaimed when its last lease and its owner's last
 * reference are gone, in whichever order, and all that a peer held goes in one call when the peer dies.
 *
 * Nothing of this is in shared memory.
 *
 * Owns: the slots, and a reference of each block on lease. Touches: the account: its charges and counts, its work when
 * a lease ends, and `oldest_sealed` of its member, which any thread reads.
 *
 * Threads: the connection's. The connection's end drops all leases and frees the table; afterwards it stays empty.
 */
#ifndef REGISTRY_LEASE_H
#define REGISTRY_LEASE_H

#include "registry/account.h"
#include "util/slot_table.h"
#include <sealane/ctx.h>
#include <stdbool.h>
#include <stdint.h>

struct lease_table {
    struct account *account; /* borrowed: of the peer that holds the leases */
    struct slot_table slots; /* owned. No generation is 0, so that no handle is */
    struct slot_list leases; /* the LEASED slots, the newest first */
};

void lease_table_init(struct lease_table *table, struct account *account);
void lease_table_deinit(struct lease_table *table);

/* Gives the slots back, if none is LEASED. Handles that were granted still name no later lease. Costs a look at each
 * slot. */
void lease_table_trim(struct lease_table *table);

/* Grants a lease on `block`, with a reference of its own, and charges the account with the block's footprint. -EDQUOT,
 * -ENOMEM. */
int lease_grant(struct lease_table *table, sea_block *block, uint64_t *ret_handle);

/* The peer gives `handle` back, or it was never sent. -ESTALE: the peer has no such lease. */
int lease_release(struct lease_table *table, uint64_t handle);

/* The peer is gone: drops one of the leases that it held, and says of how many bytes. false: it held none. */
bool lease_drop_one(struct lease_table *table, uint64_t *ret_bytes);

/* The peer is gone: drops all that it held. Returns how many leases, and their bytes. */
uint64_t lease_drop_all(struct lease_table *table, uint64_t *ret_bytes);

/* A lease, for the figures. */
struct lease_report {
    uint64_t handle; /* 0: there is none */
    uint64_t size;   /* of the payload, bytes */
    uint64_t age;    /* nanoseconds, at least 1 */
};

/* The lease that the peer has held for longest, but for its age. Returns when it was granted, wait_now_coarse(). 0:
 * there is none. */
uint64_t lease_oldest(const struct lease_table *table, struct lease_report *ret_lease);

#endif
