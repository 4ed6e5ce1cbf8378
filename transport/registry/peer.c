/* SPDX-License-Identifier: MIT */
/* Peers. See peer.h. */
#include "registry/peer.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <errno.h>
#include <string.h>

struct peer *peer_new(sea_ctx *ctx, uint64_t user, account_on_release *on_release, void *owner) {
    struct peer *peer = heap_new(1, sizeof(*peer));
    struct account *account = peer ? account_new(ctx, user, on_release, owner) : NULL;
    if (!account)
        return heap_free(peer);
    peer->account = account;
    lease_table_init(&peer->leases, account);
    pools_init(&peer->pools, account);
    peer->views.account = account;
    return peer;
}

struct peer *peer_free(struct peer *peer) {
    if (!peer)
        return NULL;
    lease_table_deinit(&peer->leases);
    pools_deinit(&peer->pools);
    account_unref(peer->account);
    return heap_free(peer);
}

/* The share of the connection is the budget of its own pool. */
static int share_of(struct peer *peer, struct pool_budget **ret_share) {
    return pools_share(&peer->pools, ret_share);
}

static int new_inline(sea_block **ret_block, struct peer *peer, size_t size, uint32_t blocks) {
    struct pool_budget *share = NULL;
    int r = share_of(peer, &share);
    return r < 0 ? r : block_new_inline(ret_block, peer->account->ctx, share, size, blocks);
}

int peer_new_inline(sea_block **ret_block, struct peer *peer, size_t size) {
    return new_inline(ret_block, peer, size, 1);
}

int peer_copy_inline(sea_block **ret_block, struct peer *peer, const void *data, size_t size) {
    struct pool_budget *share = NULL;
    int r = share_of(peer, &share);
    return r < 0 ? r : block_copy_inline(ret_block, peer->account->ctx, share, data, size);
}

int peer_new_sealed(sea_block **ret_block, struct peer *peer, size_t size) {
    struct pool_budget *share = NULL;
    int r = share_of(peer, &share);
    return r < 0 ? r : sealed_block_new(ret_block, peer->account->ctx, share, size);
}

int peer_copy_sealed(sea_block **ret_block, struct peer *peer, sea_block *from) {
    struct pool_budget *share = NULL;
    int r = share_of(peer, &share);
    return r < 0 ? r : sealed_block_copy(ret_block, share, from);
}

const char *peer_check(const struct peer *peer, const struct wire_message *message, uint32_t releases) {
    const struct account *account = peer->account;
    bool is_sealed = message->payload_class == WIRE_CLASS_SEALED;
    if (is_sealed ? imports_have(account, message->handle) : views_have(&peer->views, message->handle))
        return "a handle was announced that is already on lease";
    uint64_t size = is_sealed ? sealed_file_size(message->payload_size, (enum sealed_layout) message->pages)
                              : message->payload_size;
    if (account_is_over_limit(account, size) || releases >= account->in_limit.blocks - account->imported_blocks)
        return "more blocks or bytes were sent than the negotiated credit";
    return NULL;
}

int peer_take(sea_block **ret_block, struct peer *peer, const struct wire_message *message, int fd, uint64_t size_max,
              const char **ret_why) {
    if (message->payload_class == WIRE_CLASS_SEALED) {
        const struct sealed_claim claim = {
            .size = message->payload_size, .size_max = size_max, .layout = (enum sealed_layout) message->pages};
        return sealed_block_receive(ret_block, peer->account, message->handle, fd, &claim, ret_why);
    }
    int r = views_receive(ret_block, &peer->views, message->handle, message->payload_size);
    if (r < 0)
        *ret_why = peer_why(peer, message->handle, r);
    return r;
}

const char *peer_why(const struct peer *peer, uint64_t handle, int error) {
    return error == -EPROTO ? "a pooled payload lies in no announced arena" : views_why(&peer->views, handle);
}

int peer_take_arena(struct peer *peer, const struct wire_arena *arena, int fd, const char **ret_why) {
    return views_open(&peer->views, arena, fd, ret_why);
}

int peer_retire_arena(struct peer *peer, uint32_t id) {
    return views_retire(&peer->views, id);
}

int peer_new_arrived(sea_block **ret_block, struct peer *peer, size_t size) {
    struct import import;
    int r = imports_add_inline(peer->account, &import, size);
    if (r < 0)
        return r;
    r = import.is_free ? block_new_inline(ret_block, peer->account->ctx, NULL, size, 0)
                       : new_inline(ret_block, peer, size, 0);
    if (r < 0)
        imports_end(&import, size, 0);
    else
        (*ret_block)->import = import; /* of no chain */
    return r;
}

/* An arena is made in one go, within some 3 ms for so many bytes. The pages of a larger copy come while it is filled:
 * it has none before, unless the pool has a block of that size. */
static const size_t COPY_ARENA_MAX = (size_t) 4 << 20;

/* -EDQUOT also says: not from the pool, but from the heap. */
static int copy_take(sea_block **ret_block, struct peer *peer, size_t size) {
    if (size <= COPY_ARENA_MAX)
        return pools_take_block(ret_block, &peer->pools.own, size);
    *ret_block = pools_ready_block(&peer->pools, SEA_POOLED, size);
    return *ret_block ? 0 : -EDQUOT;
}

/* The pool for the peer may be full while the machine is not: then the copy lies in the heap. */
static int copy_make(sea_block **ret_block, struct peer *peer, size_t size) {
    int r = copy_take(ret_block, peer, size);
    if (r == -EDQUOT)
        return peer_new_inline(ret_block, peer, size);
    if (r < 0)
        return pools_explain(&peer->pools, r, size);
    (*ret_block)->payload_class = SEA_INLINE;
    return 0;
}

/* Charged first: over its quota the peer makes us allocate nothing. */
int peer_new_copy(sea_block **ret_block, struct peer *peer, size_t size) {
    struct import import;
    int r = imports_add_copy(peer->account, &import, size);
    if (r < 0)
        return r;
    r = copy_make(ret_block, peer, size);
    if (r < 0)
        imports_end(&import, size, 0);
    else
        (*ret_block)->import = import; /* of no chain */
    return r;
}

sea_block *peer_take_copy(struct peer *peer, uint64_t handle, uint64_t size) {
    const void *data = views_look(&peer->views, handle, size);
    sea_block *block = data ? pools_hot_block(&peer->pools, SEA_POOLED, (size_t) size) : NULL;
    if (data && !block)
        block = pools_ready_block(&peer->pools, SEA_POOLED, (size_t) size);
    if (!block)
        return NULL;
    if (!imports_try_copy(peer->account, &block->import, size)) {
        block_unref_own(block);
        return NULL;
    }
    memcpy(block->data, data, (size_t) size);
    block->payload_class = SEA_INLINE;
    block->is_readonly = true;
    return block;
}

bool peer_return_copy(const struct peer *peer, sea_block *block) {
    const struct import *import = &block->import;
    if (!block->slot || import->account != peer->account || import->is_inline || !block_is_unshared(block))
        return false;
    imports_return_copy(&block->import, block->size);
    block_unref_own(block);
    return true;
}

int peer_class_for(const struct peer *peer, sea_block *block) {
    const struct grant *grant = &peer->account->grant;
    int r = block->is_readonly ? block_check_alive(block) : block->ops->freeze ? sea_block_seal(block) : 0;
    if (r < 0)
        return r;
    if (!block->is_readonly) /* others may send and read one that is, in other threads */
        block->is_readonly = true;
    bool is_ours = pools_have(&peer->pools, block);
    int class = is_ours && grant_takes(grant, SEA_POOLED, block->size) ? SEA_POOLED : block->payload_class;
    if (!grant_takes(grant, class, block->size))
        return 0;
    if (class == SEA_POOLED)
        return is_ours && pooled_block_is_free(block) ? class : 0;
    bool is_too_large = class == SEA_SEALED && block_footprint(block) > grant->bytes_max;
    return is_too_large || (block_is_hugetlb(block) && !grant->takes_hugetlb) ? 0 : class;
}

int peer_lend(struct peer *peer, sea_block *block, int payload_class, uint64_t *ret_handle,
              struct arena **ret_unannounced) {
    bool is_pooled = payload_class == SEA_POOLED;
    if (!account_has_credit(peer->account, is_pooled ? block->size : block_footprint(block)))
        return -ENOSR;
    if (!is_pooled)
        return lease_grant(&peer->leases, block, ret_handle);
    int r = pools_lease(&peer->pools, block, ret_handle);
    if (r == 0 && !block->slot->arena->is_announced)
        *ret_unannounced = block->slot->arena;
    return r;
}

int peer_release(struct peer *peer, uint64_t handle) {
    return handle_arena(handle) ? pools_release(&peer->pools, handle) : lease_release(&peer->leases, handle);
}

/* lease_drop_one() takes from the work. */
static bool drop_some_sealed(struct peer *peer) {
    const struct work *work = &peer->account->work;
    uint64_t bytes;
    while (work->left && lease_drop_one(&peer->leases, &bytes)) {
        peer->dropped_blocks++;
        peer->dropped_bytes += bytes;
    }
    return work->left > 0;
}

bool peer_end_some(struct peer *peer) {
    return drop_some_sealed(peer) && pools_end_some(&peer->pools, &peer->dropped_blocks, &peer->dropped_bytes) &&
           views_end_some(&peer->views);
}

uint64_t peer_end(struct peer *peer, uint64_t *ret_bytes) {
    uint64_t pooled_bytes;
    account_end(peer->account);
    uint64_t count = pools_end(&peer->pools, &pooled_bytes);
    views_end(&peer->views);
    count += lease_drop_all(&peer->leases, ret_bytes);
    lease_table_deinit(&peer->leases);
    *ret_bytes += pooled_bytes + peer->dropped_bytes;
    return count + peer->dropped_blocks;
}

struct lease_report peer_oldest_lease(const struct peer *peer) {
    struct lease_report sealed = {.handle = 0};
    uint64_t leased_at = lease_oldest(&peer->leases, &sealed);
    const struct pool_slot *pooled = pools_oldest_lease(&peer->pools);
    sealed.age = ctx_age(leased_at);
    return pooled && (!leased_at || pooled->leased_at < leased_at) ? pooled_block_lease_of(pooled) : sealed;
}

void peer_trim(struct peer *peer) {
    imports_trim(peer->account);
    lease_table_trim(&peer->leases);
    pools_trim(&peer->pools);
    views_trim(&peer->views);
}
