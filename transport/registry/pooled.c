/* SPDX-License-Identifier: MIT */
/* Pooled blocks. See pooled.h. The connection's thread calls all of it, but for the end of a block. */
#include "registry/pooled.h"

#include "registry/block.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "wire/handle.h"
#include <errno.h>
#include <string.h>

struct arena_view {
    struct view view;
    struct peer *peer; /* owned reference; charged with view.size and a descriptor */
};

/* In the place of an arena that a limit of ours refused: it costs us nothing. */
static struct arena_view refused;

const sea_block *pooled_block(const struct pool_slot *slot) {
    return (const sea_block *) (const void *) slot->extra;
}

/* What stays as it is for as long as there is the slot. */
static void slot_make_block(struct pool_slot *slot, const sea_pool *pool) {
    *slot_block(slot) = (sea_block){
        .ctx = pool->peer->ctx, .sealed = SEALED_EMPTY, .data = slot->data, .slot = slot, .budget = pool->budget};
}

static sea_block *slot_lend(struct pool_slot *slot, const sea_pool *pool, size_t size) {
    if (!slot_block(slot)->slot)
        slot_make_block(slot, pool);
    return block_lend(slot_block(slot), pool->is_private ? SEA_INLINE : SEA_POOLED, size);
}

void pooled_return(sea_block *block) {
    ctx_uncount(block->ctx, blocks, 1);
    ctx_uncount(block->ctx, bytes, block->size);
    pool_put(block->slot);
}

static const sea_pool *pool_of_class(const struct peer *peer, int payload_class) {
    return payload_class == SEA_INLINE ? &peer->pooled.pools.private : &peer->pooled.pools.own;
}

sea_block *pooled_ready(const struct peer *peer, int payload_class, size_t size) {
    const sea_pool *pool = pool_of_class(peer, payload_class);
    struct pool_slot *slot = pool->pool ? pool_take_ready(pool->pool, size) : NULL;
    return slot ? slot_lend(slot, pool, size) : NULL;
}

int pooled_take(sea_block **ret_block, sea_pool *pool, size_t size) {
    struct pool_slot *slot = NULL;
    int r = pools_take(pool, size, &slot);
    if (r == 0)
        *ret_block = slot_lend(slot, pool, size);
    return r;
}

int pooled_new(sea_block **ret_block, struct peer *peer, size_t size) {
    return pooled_take(ret_block, &peer->pooled.pools.own, size);
}

int pooled_new_inline(sea_block **ret_block, struct peer *peer, size_t size) {
    return pooled_take(ret_block, &peer->pooled.pools.private, size);
}

int pooled_copy(sea_block **ret_block, struct peer *peer, const void *data, size_t size) {
    sea_block *block = NULL;
    int r = pooled_new(&block, peer, size);
    if (r == 0 && block)
        memcpy(block->data, data, size);
    else
        r = block_receive_inline(&block, peer->ctx, data, size);
    if (r < 0)
        return r;
    block->payload_class = SEA_INLINE;
    block->is_sealed = true;
    r = peer_add_copy(peer, &block->import, size);
    if (r < 0)
        sea_block_unref(block);
    else
        *ret_block = block;
    return r;
}

bool pooled_is_for(const struct peer *peer, const sea_block *block) {
    return block->slot && pools_have(&peer->pooled.pools, block->slot);
}

struct arena *pooled_arena(const sea_block *block) {
    return block->slot->arena;
}

uint64_t pooled_growth(const sea_block *block) {
    return block->slot ? pool_growth(block->slot) : 0;
}

bool pooled_is_free(const sea_block *block) {
    return !block->slot->is_leased;
}

int pooled_lease(struct peer *peer, sea_block *block, uint64_t *ret_handle) {
    int r = block->slot->arena->is_announced ? 0 : pools_reserve_retired(&peer->pooled.pools);
    if (r == 0)
        r = peer_charge_lease(peer, block->size);
    if (r < 0)
        return r;
    *ret_handle = slot_lease(block->slot);
    sea_block_ref(block);
    return 0;
}

uint64_t pooled_end_lease(struct peer *peer, struct pool_slot *slot) {
    sea_block *block = slot_block(slot);
    uint64_t size = block->size;
    slot_release(slot);
    peer_return_lease(peer, size);
    block_unref_own(block);
    return size;
}

int pooled_release(struct peer *peer, uint64_t handle) {
    struct pool_slot *slot = pool_find_lease(&peer->pooled.pools.audience, handle);
    if (!slot)
        return -ESTALE;
    pooled_end_lease(peer, slot);
    return 0;
}

uint64_t pooled_end(struct peer *peer, uint64_t *ret_bytes) {
    struct pooled *pooled = &peer->pooled;
    uint64_t count = pools_end(peer, ret_bytes);
    for (uint32_t i = 0; i < pooled->views_capacity; i++)
        pooled_drop_view(pooled->views[i]);
    pooled->views = heap_free(pooled->views);
    pooled->views_capacity = 0;
    return count;
}

/* --- the peer's --- */

static int reserve_views(struct pooled *pooled, uint32_t id) {
    uint32_t capacity = pooled->views_capacity;
    while (capacity <= id)
        capacity = capacity ? capacity * 2 : 16;
    if (capacity == pooled->views_capacity)
        return 0;
    struct arena_view **views = heap_resize(pooled->views, capacity, sizeof(*views));
    if (!views)
        return -ENOMEM;
    memset(views + pooled->views_capacity, 0, (capacity - pooled->views_capacity) * sizeof(*views));
    pooled->views = views;
    pooled->views_capacity = capacity;
    return 0;
}

static struct arena_view *view_of(const struct pooled *pooled, uint32_t id) {
    return id < pooled->views_capacity ? pooled->views[id] : NULL;
}

void pooled_drop_view(struct arena_view *view) {
    if (!view || view == &refused || !view_unref(&view->view))
        return;
    struct peer *peer = view->peer;
    quota_return(&peer->quota, view->view.size, 0, 1);
    heap_free(view);
    peer_unref(peer);
}

/* Charged, as a descriptor too (many small arenas would use up our mappings), then verified, then mapped. Takes `fd`. */
static int view_make(struct peer *peer, const struct wire_arena *arena, int fd, struct arena_view **ret_view,
                     const char **ret_why) {
    struct arena_view *view = heap_new(1, sizeof(*view));
    if (!view) {
        if (fd >= 0)
            reaper_take(&fd, 1);
        return -ENOMEM;
    }
    if (fd < 0 || quota_charge(&peer->quota, arena->size, 0, 1, &peer->ctx->refusals) < 0) {
        if (fd >= 0)
            reaper_take(&fd, 1);
        heap_free(view);
        *ret_view = &refused;
        return 0;
    }
    int r = view_open(&view->view, fd, arena->size, arena->stride, arena->count, ret_why);
    if (r < 0) {
        quota_return(&peer->quota, arena->size, 0, 1);
        heap_free(view);
        *ret_view = &refused;
        return r == -ENOMEM ? 0 : -EPROTO;
    }
    view->peer = peer;
    peer->refs++;
    *ret_view = view;
    return 0;
}

int pooled_open(struct peer *peer, const struct wire_arena *arena, int fd, const char **ret_why) {
    struct arena_view *view = NULL;
    int r = view_of(&peer->pooled, arena->id) ? -EPROTO : reserve_views(&peer->pooled, arena->id);
    *ret_why = r == -EPROTO ? "an arena was announced twice" : "out of memory for an arena";
    if (r < 0) {
        if (fd >= 0)
            reaper_take(&fd, 1);
        return r;
    }
    r = view_make(peer, arena, fd, &view, ret_why);
    if (r == 0)
        peer->pooled.views[arena->id] = view;
    return r;
}

int pooled_retire(struct peer *peer, uint32_t id) {
    struct arena_view *view = view_of(&peer->pooled, id);
    if (!view)
        return -EPROTO;
    peer->pooled.views[id] = NULL;
    pooled_drop_view(view);
    return 0;
}

static int find_payload(const struct peer *peer, uint64_t handle, uint64_t size, struct arena_view **ret_view,
                        const void **ret_data) {
    struct arena_view *view = view_of(&peer->pooled, handle_arena(handle));
    if (view == &refused)
        return -EDQUOT;
    const void *data = view ? view_at(&view->view, handle_index(handle), size) : NULL;
    if (!data)
        return -EPROTO;
    *ret_view = view;
    *ret_data = data;
    return 0;
}

int pooled_find(const struct peer *peer, uint64_t handle, uint64_t size, const void **ret_data) {
    struct arena_view *view = NULL;
    return find_payload(peer, handle, size, &view, ret_data);
}

int pooled_receive(sea_block **ret_block, struct peer *peer, uint64_t handle, uint64_t size) {
    struct arena_view *view = NULL;
    const void *data = NULL;
    int r = find_payload(peer, handle, size, &view, &data);
    if (r == 0)
        r = block_receive_pooled(ret_block, peer, handle, view, data, (size_t) size);
    if (r == 0)
        view_ref(&view->view);
    return r;
}
