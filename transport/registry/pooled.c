/* SPDX-License-Identifier: MIT */
/* Pooled blocks. See pooled.h. The connection's thread calls all of it, but for the end of a block. */
#include "registry/pooled.h"

#include "memory/reserve.h"
#include "registry/block.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "wire/handle.h"
#include <errno.h>
#include <string.h>

/* Free memory that a connection keeps for its next blocks: what eight rotating blocks of 4 MiB need. */
static const uint64_t RETAINED_MAX = UINT64_C(32) << 20;

/* Whom the pool's arenas are charged to. It outlives the connection as long as the application holds blocks. */
struct pool_budget {
    _Atomic uint32_t refs;
    _Atomic uint64_t used;
    uint64_t most;     /* bytes that the peer takes */
    sea_ctx *ctx;      /* owned reference */
    struct peer *peer; /* borrowed; NULL once the connection has ended */
};

struct arena_view {
    struct view view;
    struct peer *peer; /* owned reference; charged with view.size and a descriptor */
};

/* In the place of an arena that a limit of ours refused: it costs us nothing. */
static struct arena_view refused;

static void budget_unref(struct pool_budget *budget) {
    /* Release [BUD1] pairs with the acquire half of the same operation by whoever drops the last reference. Weaker: a use after free. */
    if (atomic_fetch_sub_explicit(&budget->refs, 1, memory_order_acq_rel) != 1)
        return;
    sea_ctx_unref(budget->ctx);
    heap_free(budget);
}

static int budget_charge(void *owner, uint64_t bytes, uint32_t fds) {
    struct pool_budget *budget = owner;
    uint64_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    if (used > budget->most || bytes > budget->most - used)
        return refusal_note(&budget->ctx->refusals, -EDQUOT, "peer's bytes_max", bytes,
                            used > budget->most ? 0 : budget->most - used,
                            "release blocks, or raise the peer's bytes_max in sea_options");
    admission_watch(&budget->ctx->admission, bytes);
    int r = quota_charge(&budget->ctx->budget, bytes, 0, fds, &budget->ctx->refusals);
    if (r < 0)
        return r;
    atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
    return 0;
}

static void budget_uncharge(void *owner, uint64_t bytes, uint32_t fds) {
    struct pool_budget *budget = owner;
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    quota_return(&budget->ctx->budget, bytes, 0, fds);
    budget_unref(budget);
}

/* Room for the id was made when the arena was leased from first. */
static void budget_retired(void *owner, uint32_t arena_id) {
    struct pool_budget *budget = owner;
    struct pooled *pooled = &budget->peer->pooled;
    pooled->retired[pooled->retired_count++] = arena_id;
}

static void budget_stirred(void *owner) {
    (void) owner;
}

static void budget_hold(void *owner) {
    struct pool_budget *budget = owner;
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
}

static void budget_tell(void *owner) {
    budget_unref(owner);
}

static const struct pool_ops POOL_OPS = {
    .charge = budget_charge,
    .uncharge = budget_uncharge,
    .retired = budget_retired,
    .stirred = budget_stirred,
    .hold = budget_hold,
    .tell = budget_tell,
};

static int pooled_begin(struct peer *peer) {
    struct pooled *pooled = &peer->pooled;
    struct pool_budget *budget = heap_new(1, sizeof(*budget));
    if (!budget)
        return -ENOMEM;
    *budget =
        (struct pool_budget){.refs = 1, .most = peer->out_limit.bytes, .ctx = sea_ctx_ref(peer->ctx), .peer = peer};
    const struct pool_options options = {.ops = &POOL_OPS,
                                         .owner = budget,
                                         .admission = &peer->ctx->admission,
                                         .audience = &pooled->audience,
                                         .extra = sizeof(sea_block),
                                         .retained_max = RETAINED_MAX,
                                         .reuse_footprint = peer->ctx->calibration.reuse_footprint,
                                         .reuse_least = peer->ctx->calibration.reuse_least};
    int r = pool_new(&pooled->pool, &options);
    if (r < 0) {
        budget_unref(budget);
        return r;
    }
    pooled->budget = budget;
    return 0;
}

static sea_block *slot_block(struct pool_slot *slot) {
    return (sea_block *) (void *) slot->extra;
}

int pooled_new(sea_block **ret_block, struct peer *peer, size_t size) {
    struct pool_slot *slot = NULL;
    int r = peer->pooled.pool ? 0 : pooled_begin(peer);
    if (r == 0)
        r = pool_take(peer->pooled.pool, size, &slot);
    if (admission_tell(&peer->ctx->admission) && r < 0 && peer->pooled.pool)
        r = pool_take(peer->pooled.pool, size, &slot);
    if (r == -EDQUOT)
        return r; /* noted where it was refused */
    if (r < 0)
        return reserve_explain(r, size, false, &peer->ctx->admission);
    block_init_pooled(slot_block(slot), peer->ctx, slot, size);
    *ret_block = slot_block(slot);
    return 0;
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

void pooled_trim(struct peer *peer) {
    if (peer->pooled.pool)
        pool_trim(peer->pooled.pool, RETAINED_MAX);
}

bool pooled_is_for(const struct peer *peer, const sea_block *block) {
    return block->slot && peer->pooled.pool && pool_has(peer->pooled.pool, block->slot);
}

struct arena *pooled_arena(const sea_block *block) {
    return block->slot->arena;
}

bool pooled_is_free(const sea_block *block) {
    return !block->slot->is_leased;
}

/* So that budget_retired() cannot fail: as many as there are arenas. */
static int reserve_retired(struct pooled *pooled) {
    uint32_t need = pooled->retired_count + pooled->audience.arenas;
    if (need < pooled->retired_capacity)
        return 0;
    uint32_t capacity = need * 2 + 8;
    uint32_t *retired = heap_resize(pooled->retired, capacity, sizeof(*retired));
    if (!retired)
        return -ENOMEM;
    pooled->retired = retired;
    pooled->retired_capacity = capacity;
    return 0;
}

int pooled_lease(struct peer *peer, sea_block *block, uint64_t *ret_handle) {
    int r = block->slot->arena->is_announced ? 0 : reserve_retired(&peer->pooled);
    if (r == 0)
        r = peer_charge_lease(peer, block->size);
    if (r < 0)
        return r;
    *ret_handle = slot_lease(block->slot);
    sea_block_ref(block);
    return 0;
}

static uint64_t lease_end(struct peer *peer, struct pool_slot *slot) {
    sea_block *block = slot_block(slot);
    uint64_t size = block->size;
    slot_release(slot);
    peer_return_lease(peer, size);
    sea_block_unref(block);
    return size;
}

int pooled_release(struct peer *peer, uint64_t handle) {
    struct pool_slot *slot = pool_find_lease(&peer->pooled.audience, handle);
    if (!slot)
        return -ESTALE;
    lease_end(peer, slot);
    return 0;
}

static void end_pool(struct peer *peer, uint64_t *count, uint64_t *bytes) {
    struct pooled *pooled = &peer->pooled;
    struct pool_slot *slot;
    while ((slot = pool_next_lease(pooled->pool, NULL))) {
        *bytes += lease_end(peer, slot);
        ++*count;
    }
    pooled->pool = pool_end(pooled->pool);
    pooled->budget->peer = NULL;
    budget_unref(pooled->budget);
    pooled->budget = NULL;
}

uint64_t pooled_end(struct peer *peer, uint64_t *ret_bytes) {
    struct pooled *pooled = &peer->pooled;
    uint64_t count = 0;
    *ret_bytes = 0;
    if (pooled->pool)
        end_pool(peer, &count, ret_bytes);
    for (uint32_t i = 0; i < pooled->views_capacity; i++)
        pooled_drop_view(pooled->views[i]);
    audience_deinit(&pooled->audience);
    pooled->views = heap_free(pooled->views);
    pooled->retired = heap_free(pooled->retired);
    *pooled = (struct pooled){.pool = NULL};
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
