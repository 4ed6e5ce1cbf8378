/* SPDX-License-Identifier: MIT */
/*
 * The handle registry: the owner's private table of what its peers hold.
 *
 * A handle (wire/handle.h) names one lease: one peer's hold on one block. Here its `index` is the slot in this
 * table, its `generation` grows whenever the slot is freed, and its `arena` is 0: of sealed blocks, which are in none.
 *
 * States of a slot, and the only functions that move between them:
 *
 *     FREE  --lease_grant()-->  LEASED  --lease_release() | lease_drop_all()-->  FREE, generation + 1
 *
 * A LEASED slot owns one reference of its block, and is on the list of its peer. So the block is reclaimed when its
 * last lease and its owner's last reference are gone, in whichever order; and what a peer held goes in one call when it
 * dies.
 *
 * Nothing of this is in shared memory. Thread-safe: one lock; blocks are unreferenced outside it.
 */
#ifndef REGISTRY_LEASE_H
#define REGISTRY_LEASE_H

#include "util/slot_table.h"
#include <pthread.h>
#include <sealane/ctx.h>
#include <stdbool.h>
#include <stdint.h>

struct peer;

struct lease_table {
    pthread_mutex_t lock;
    struct slot_table slots; /* owned; under lock. No generation is 0, so that no handle is */
};

void lease_table_init(struct lease_table *table);
void lease_table_deinit(struct lease_table *table);

/* Gives the slots back, if none is LEASED. Handles that were granted still name no later lease. Costs a look at each
 * slot. */
void lease_table_trim(struct lease_table *table);

/*
 * Grants `peer` (borrowed for as long as the lease lives) a lease on `block`, of which it takes a reference of
 * its own, and charges the peer's quota with `block`'s footprint. -EDQUOT (the quota) · -ENOMEM.
 */
int lease_grant(struct lease_table *table, struct peer *peer, sea_block *block, uint64_t *ret_handle);

/* The peer gives `handle` back, or it was never sent. -ESTALE: this peer has no such lease. */
int lease_release(struct lease_table *table, struct peer *peer, uint64_t handle);

/* The peer is gone: drops one of the leases that it held, and says of how many bytes. false: it held none. */
bool lease_drop_one(struct lease_table *table, struct peer *peer, uint64_t *ret_bytes);

/* The peer is gone: drops all that it held. Returns how many leases, and their bytes. */
uint64_t lease_drop_all(struct lease_table *table, struct peer *peer, uint64_t *ret_bytes);

/* A lease, for the figures. */
struct lease_report {
    uint64_t handle; /* 0: there is none */
    uint64_t size;   /* of the payload, bytes */
    uint64_t age;    /* nanoseconds, at least 1 */
};

/* The lease that it has held for longest, but for its age: returns when it was granted, wait_now_coarse(). 0: it holds
 * none. */
uint64_t lease_oldest(struct lease_table *table, const struct peer *peer, struct lease_report *ret_lease);

/* Nanoseconds since then, at least 1; 0 for a `leased_at` of 0. */
uint64_t lease_age(uint64_t leased_at);

#endif
