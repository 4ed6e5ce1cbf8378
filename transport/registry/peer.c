/* SPDX-License-Identifier: MIT */
/* Peers. See peer.h. */
#include "registry/peer.h"

#include "sys/heap.h"

struct peer *peer_new(sea_ctx *ctx, uint64_t user, account_on_release *on_release, void *owner) {
    struct peer *peer = heap_new(1, sizeof(*peer));
    struct account *account = peer ? account_new(ctx, user, on_release, owner) : NULL;
    if (!account)
        return heap_free(peer);
    peer->account = account;
    lease_table_init(&peer->leases, account);
    pools_init(peer);
    return peer;
}

struct peer *peer_free(struct peer *peer) {
    if (!peer)
        return NULL;
    lease_table_deinit(&peer->leases);
    refusal_deinit(&peer->pooled.pools.refused);
    account_unref(peer->account);
    return heap_free(peer);
}

static bool drop_some_sealed(struct peer *peer) {
    const struct work *work = &peer->account->work;
    uint64_t bytes;
    while (!work_is_over(work) && lease_drop_one(&peer->leases, &bytes)) {
        peer->dropped_blocks++;
        peer->dropped_bytes += bytes;
    }
    return !work_is_over(work);
}

bool peer_end_some(struct peer *peer) {
    return drop_some_sealed(peer) && pooled_end_some(peer, &peer->dropped_blocks, &peer->dropped_bytes);
}

uint64_t peer_end(struct peer *peer, uint64_t *ret_bytes) {
    uint64_t pooled_bytes;
    account_end(peer->account);
    uint64_t count = pooled_end(peer, &pooled_bytes);
    count += lease_drop_all(&peer->leases, ret_bytes);
    lease_table_deinit(&peer->leases);
    *ret_bytes += pooled_bytes + peer->dropped_bytes;
    return count + peer->dropped_blocks;
}

struct lease_report peer_oldest_lease(const struct peer *peer) {
    struct lease_report sealed = {.handle = 0};
    uint64_t leased_at = lease_oldest(&peer->leases, &sealed);
    const struct pool_slot *pooled = pools_oldest_lease(&peer->pooled.pools);
    sealed.age = ctx_age(leased_at);
    return pooled && (!leased_at || pooled->leased_at < leased_at) ? pooled_lease_of(pooled) : sealed;
}

void peer_trim(struct peer *peer) {
    imports_trim(peer->account);
    lease_table_trim(&peer->leases);
    pooled_trim(peer);
}
