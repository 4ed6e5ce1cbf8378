/* SPDX-License-Identifier: MIT */
/* Pooled blocks. See pooled.h. The connection's thread calls all of it, but for the end of a block. */
#include "registry/pooled.h"

#include "memory/reserve.h"
#include "registry/block.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "wire/handle.h"
#include <errno.h>
#include <string.h>

struct arena_view {
    struct view view;
    struct account *account; /* owned reference; charged with view.size, view.excess, and a block */
    int error;               /* of those that are refused: what their blocks are refused with */
    const char *why;         /* likewise, static */
};

/* In the place of an arena that a limit of ours refused: they cost us nothing. */
static struct arena_view
    over_quota = {.error = -EDQUOT,
                  .why = "refused by a limit of the receiver: its quota for this peer had no room for the arena"},
    without_fd = {
        .error = -EMFILE,
        .why = "refused by a limit of the receiver: its process had no descriptor left for the arena (RLIMIT_NOFILE)"};

/* In the place of one that could not be verified or mapped, for each cause. */
static struct arena_view unmapped[RESERVE_UNMAPPED] = {
    [RESERVE_FORBIDDEN] = {.error = -EPERM},    [RESERVE_FAILED] = {.error = -EIO},
    [RESERVE_OUT_OF_MAPS] = {.error = -ENOMEM}, [RESERVE_OUT_OF_ADDRESSES] = {.error = -ENOMEM},
    [RESERVE_NO_ROOM] = {.error = -ENOMEM},
};

const sea_block *pooled_block(const struct pool_slot *slot) {
    return (const sea_block *) (const void *) slot->extra;
}

struct lease_report pooled_lease_of(const struct pool_slot *slot) {
    if (!slot)
        return (struct lease_report){.handle = 0};
    return (struct lease_report){
        .handle = handle_make(slot->arena->id, slot->index, slot->generation),
        .size = pooled_block(slot)->size,
        .age = ctx_age(slot->leased_at),
    };
}

/* What stays as it is for as long as there is the slot. */
static void slot_make_block(struct pool_slot *slot, const sea_pool *pool) {
    *slot_block(slot) = (sea_block){.ctx = pool->peer->account->ctx,
                                    .sealed = SEALED_EMPTY,
                                    .data = slot->data,
                                    .slot = slot,
                                    .budget = pool->budget};
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
    int r = pooled_take(ret_block, &peer->pooled.pools.own, size);
    return r < 0 ? pools_explain(peer, r, size) : 0;
}

int pooled_new_inline(sea_block **ret_block, struct peer *peer, size_t size) {
    return pooled_take(ret_block, &peer->pooled.pools.private, size);
}

/* An arena is made in one go, within some 3 ms for so many bytes. The pages of a larger copy come while it is filled:
 * it has none before, unless the pool has a block of that size. */
static const size_t COPY_ARENA_MAX = (size_t) 4 << 20;

static int copy_take(sea_block **ret_block, struct peer *peer, size_t size) {
    if (size <= COPY_ARENA_MAX)
        return pooled_take(ret_block, &peer->pooled.pools.own, size);
    *ret_block = pooled_ready(peer, SEA_POOLED, size);
    return *ret_block ? 0 : -EDQUOT;
}

/* The peer's pool may be full, of what it let us lend; the machine need not be: then it is made in the heap. */
static int copy_make(sea_block **ret_block, struct peer *peer, size_t size) {
    int r = copy_take(ret_block, peer, size);
    if (r == -EDQUOT)
        return block_new_inline(ret_block, peer->account->ctx, peer, size);
    if (r < 0)
        return pools_explain(peer, r, size);
    (*ret_block)->payload_class = SEA_INLINE;
    return 0;
}

/* Charged first: of what is over the quota nothing is made. */
int pooled_new_copy(sea_block **ret_block, struct peer *peer, size_t size) {
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
    return !block->slot->is_leased && !block->slot->is_queued;
}

void pooled_note_queued(const sea_block *block, bool is_queued) {
    block->slot->is_queued = is_queued;
}

int pooled_lease(struct peer *peer, sea_block *block, uint64_t *ret_handle) {
    int r = block->slot->arena->is_announced ? 0 : pools_reserve_retired(&peer->pooled.pools);
    if (r == 0)
        r = account_charge_lease(peer->account, block->size);
    if (r < 0)
        return r;
    *ret_handle = slot_lease(block->slot);
    sea_block_ref(block);
    return 0;
}

uint64_t pooled_end_lease(struct peer *peer, struct pool_slot *slot) {
    sea_block *block = slot_block(slot);
    const struct pool_budget *budget = block->budget; /* of a pool that lives */
    uint64_t size = block->size, used = pool_budget_used(budget);
    slot_release(slot);
    account_return_lease(peer->account, size);
    block_unref_own(block);
    uint64_t left = pool_budget_used(budget); /* with the last block that drains an arena goes */
    work_take(&peer->account->work, WORK_PER_ENTRY + (left < used ? WORK_PER_MEMFD + used - left : 0));
    return size;
}

int pooled_release(struct peer *peer, uint64_t handle) {
    struct pool_slot *slot = pool_find_lease(&peer->pooled.pools.audience, handle);
    if (!slot)
        return -ESTALE;
    pooled_end_lease(peer, slot);
    return 0;
}

/* There is none. */
static void drop_views_table(struct peer *peer) {
    views_deinit(&peer->pooled.views);
    account_return(peer->account, peer->pooled.views_charged);
    peer->pooled.views_charged = 0;
}

void pooled_trim(struct peer *peer) {
    uint32_t place = 0;
    pools_trim(&peer->pooled.pools);
    if (!views_next(&peer->pooled.views, &place))
        drop_views_table(peer);
}

/* How much of a view was looked at is not known: as if it were all. */
static bool drop_some_views(struct peer *peer) {
    struct arena_view *view;
    uint32_t place = 0;
    while (!work_is_over(&peer->account->work) && (view = views_next(&peer->pooled.views, &place))) {
        work_take(&peer->account->work, WORK_PER_MEMFD + view->view.size);
        pooled_drop_view(views_take(&peer->pooled.views, place - 1));
    }
    return !work_is_over(&peer->account->work);
}

bool pooled_end_some(struct peer *peer, uint64_t *count, uint64_t *bytes) {
    return pools_end_some(peer, count, bytes) && drop_some_views(peer);
}

uint64_t pooled_end(struct peer *peer, uint64_t *ret_bytes) {
    struct pooled *pooled = &peer->pooled;
    uint64_t count = pools_end(peer, ret_bytes);
    struct arena_view *view;
    uint32_t place = 0;
    while ((view = views_next(&pooled->views, &place)))
        pooled_drop_view(view);
    drop_views_table(peer);
    return count;
}

/* --- the peer's --- */

void pooled_drop_view(struct arena_view *view) {
    if (!view || view->error || !view_unref(&view->view))
        return;
    struct account *account = view->account;
    account->mapped_bytes -= view->view.size;
    ctx_uncount(account->ctx, imported_arena_bytes, view->view.size);
    quota_return(&account->quota, view->view.size + view->view.excess, 1, 0);
    heap_free(view);
    account_unref(account);
}

static void view_count(struct peer *peer, uint64_t size) {
    uint64_t before = ctx_count(peer->account->ctx, imported_arena_bytes, size);
    peak_note(&peer->account->ctx->imported_arena_peak, before + size);
    peer->account->mapped_bytes += size;
}

/* Charged, as a block too (many small arenas would use up our mappings), then verified, then mapped. Takes `fd`. */
static int view_make(struct peer *peer, const struct wire_arena *arena, int fd, struct arena_view **ret_view,
                     const char **ret_why) {
    if (fd < 0) {
        reserve_explain(-EMFILE, arena->size, false, &peer->account->ctx->admission);
        *ret_view = &without_fd;
        return 0;
    }
    struct arena_view *view = heap_new(1, sizeof(*view));
    if (!view) {
        reaper_take(&fd, 1);
        return -ENOMEM;
    }
    if (quota_charge(&peer->account->quota, arena->size, 1, 0, &peer->account->ctx->refusals) < 0) {
        reaper_take(&fd, 1);
        heap_free(view);
        *ret_view = &over_quota;
        return 0;
    }
    int r = view_open(&view->view, fd, arena->size, arena->stride, arena->count, ret_why);
    if (r < 0) {
        quota_return(&peer->account->quota, arena->size, 1, 0);
        heap_free(view);
        if (r != -ENOMEM && !failure_call(r))
            return -EPROTO;
        reserve_explain_map(r, arena->size, &peer->account->ctx->refusals);
        *ret_view = &unmapped[reserve_unmapped(r, arena->size)];
        return 0;
    }
    if (account_charge(peer->account, view->view.excess) < 0) {
        quota_return(&peer->account->quota, arena->size, 1, 0);
        view_unref(&view->view);
        heap_free(view);
        *ret_view = &over_quota;
        return 0;
    }
    view->account = peer->account;
    peer->account->refs++;
    view_count(peer, arena->size);
    *ret_view = view;
    return 0;
}

/* So many entries are a connection's own, like its buffers; what is more, the peer's numbers make it. */
enum { VIEWS_FREE = 1024 };

static uint64_t views_charge(const struct views *views) {
    uint32_t capacity = views->table.capacity;
    return capacity > VIEWS_FREE ? capacity * sizeof(struct id_entry) : 0;
}

static int charge_views(struct peer *peer) {
    uint64_t charge = views_charge(&peer->pooled.views), more = charge - peer->pooled.views_charged;
    int r = more > 0 ? account_charge(peer->account, more) : 0;
    if (r == 0)
        peer->pooled.views_charged = charge;
    return r;
}

/* One that was refused has a place in the table too, which is as large as the numbers want: 1 MiB at most, charged or
 * not. */
int pooled_open(struct peer *peer, const struct wire_arena *arena, int fd, const char **ret_why) {
    struct arena_view *view = &over_quota;
    int r = views_find(&peer->pooled.views, arena->id) ? -EPROTO : views_reserve(&peer->pooled.views, arena->id);
    *ret_why = r == -EPROTO ? "an arena was announced twice" : "out of memory for an arena";
    if (r == 0 && charge_views(peer) == 0)
        r = view_make(peer, arena, fd, &view, ret_why);
    else if (fd >= 0)
        reaper_take(&fd, 1);
    if (r == 0)
        views_add(&peer->pooled.views, arena->id, view);
    return r;
}

int pooled_retire(struct peer *peer, uint32_t id) {
    struct arena_view *view = views_remove(&peer->pooled.views, id);
    pooled_drop_view(view);
    return view ? 0 : -EPROTO;
}

const char *pooled_why(const struct peer *peer, uint64_t handle) {
    const struct arena_view *view = views_find(&peer->pooled.views, handle_arena(handle));
    bool is_unmapped = view >= unmapped && view < unmapped + RESERVE_UNMAPPED;
    return is_unmapped ? reserve_why_unmapped((enum reserve_unmapped)(view - unmapped)) : view ? view->why : NULL;
}

static int find_payload(const struct peer *peer, uint64_t handle, uint64_t size, struct arena_view **ret_view,
                        const void **ret_data) {
    struct arena_view *view = views_find(&peer->pooled.views, handle_arena(handle));
    if (view && view->error)
        return view->error;
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

struct arena_view *pooled_hold_view(const struct peer *peer, uint64_t handle) {
    struct arena_view *view = views_find(&peer->pooled.views, handle_arena(handle));
    view_ref(&view->view);
    return view;
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
