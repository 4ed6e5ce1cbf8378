/* SPDX-License-Identifier: MIT */
/* Views of the peer's arenas. See views.h. */
#include "registry/views.h"

#include "memory/reserve.h"
#include "sys/disposal.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "wire/handle.h"
#include <errno.h>

struct arena_view {
    struct view view;
    uint32_t refs;           /* by the table, by blocks and by copies; all under the rights of the account's owner */
    struct account *account; /* owned reference; charged with view.size, view.excess, and a block */
    int error;               /* of those that are refused: what their blocks are refused with */
    const char *why;         /* of the same arenas: the reason, a static text */
    uint64_t charged;        /* for `leases`, bytes */
    uint32_t leases[];       /* for each block: the generation under which the peer has lent it to us; 0: it has not */
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

void views_drop(struct arena_view *view) {
    if (!view || view->error || --view->refs > 0)
        return;
    view_close(&view->view);
    struct account *account = view->account;
    account->mapped_bytes -= view->view.size;
    ctx_uncount(account->ctx, imported_arena_bytes, view->view.size);
    quota_return(&account->quota, view->view.size + view->view.excess + view->charged, 1, 0);
    work_take(&account->work, view->charged);
    disposal_take_heap(view, sizeof(*view) + view->charged);
    account_unref(account);
}

static void view_count(struct account *account, uint64_t size) {
    uint64_t before = ctx_count(account->ctx, imported_arena_bytes, size);
    peak_note(&account->ctx->imported_arena_peak, before + size);
    account->mapped_bytes += size;
}

/* --- blocks in views --- */

/* A block that the peer lends under two names at a time, which harms it alone, is entered for the second name. */
bool views_have(const struct views *views, uint64_t handle) {
    const struct handle_parts parts = handle_split(handle);
    const struct arena_view *view = view_table_find(&views->table, parts.arena);
    bool is_known = view && parts.index < view->view.count && view->leases[parts.index] == parts.generation;
    return is_known || imports_have(views->account, handle);
}

static inline void keep_spare(struct account *account, sea_block *block) {
    block->data = account->view_spares; /* the next spare */
    account->view_spares = block;
    account->view_spares_room--;
}

/* `block` is the first one. */
static inline void take_spare(struct account *account, sea_block *block) {
    account->view_spares = block->data;
    account->view_spares_room++;
    atomic_store_explicit(&block->refs, 1, memory_order_relaxed);
}

/* While the connection lives the object stays for the next block. After its end there is no next one, and nothing would
 * free a spare. */
static void view_block_end(sea_block *block) {
    struct account *account = block->view->account;
    bool is_spare = account->owner && account->view_spares_room > 0;
    if (!block->import.is_chained)
        block->view->leases[handle_index(block->import.handle)] = 0;
    views_drop(block->view); /* the account may go with it, but not before the connection has ended */
    if (!is_spare) {
        block_free(block, 0);
        return;
    }
    keep_spare(account, block);
}

static const struct block_ops VIEW_OPS = {.end = view_block_end};

static sea_block *view_block_alloc(struct account *account, size_t size) {
    sea_block *block = account->view_spares;
    if (!block)
        return block_alloc(account->ctx, &VIEW_OPS, SEA_POOLED, size, 0);
    take_spare(account, block);
    block->size = size;
    return block;
}

static void drop_spares(struct account *account) {
    while (account->view_spares) {
        sea_block *block = account->view_spares;
        account->view_spares = block->data;
        account->view_spares_room++;
        block_free(block, 0);
    }
}

static int view_block_new(sea_block **ret_block, struct account *account, uint64_t handle, struct arena_view *view,
                          const void *data, size_t size) {
    sea_block *block = view_block_alloc(account, size);
    if (!block)
        return block_refuse(account->ctx, sizeof(*block));
    uint32_t *lease = &view->leases[handle_index(handle)];
    int r = *lease ? imports_add(account, &block->import, handle, size, true)
                   : imports_add_pooled(account, &block->import, handle, size);
    if (r < 0) {
        block_free(block, 0);
        return r;
    }
    if (!block->import.is_chained)
        *lease = handle_generation(handle);
    block->data = (void *) (uintptr_t) data;
    block->view = view;
    view->refs++;
    block->is_readonly = true;
    *ret_block = block;
    return 0;
}

/* --- arenas --- */

/* The table of an arena with so many bytes of it is free, like a connection's buffers. For a larger one the peer
 * pays. */
enum { LEASES_FREE = 2048 };

/* Charged, as a block too (many small arenas would use up our mappings), then verified, then mapped. Takes `fd`. */
static int view_make(struct account *account, const struct wire_arena *arena, int fd, struct arena_view **ret_view,
                     const char **ret_why) {
    if (fd < 0) {
        reserve_explain(-EMFILE, arena->size, false, &account->ctx->admission);
        *ret_view = &without_fd;
        return 0;
    }
    bool is_countable = arena->count <= HANDLE_INDEX_MAX + 1; /* else view_open() refuses the arena */
    size_t leases = is_countable ? arena->count * sizeof(uint32_t) : 0;
    uint64_t charged = leases > LEASES_FREE ? leases : 0;
    if (quota_charge(&account->quota, arena->size + charged, 1, 0, &account->ctx->refusals) < 0) {
        reaper_take(&fd, 1);
        *ret_view = &over_quota;
        return 0;
    }
    struct arena_view *view = heap_new(1, sizeof(*view) + leases);
    if (!view) {
        reaper_take(&fd, 1);
        quota_return(&account->quota, arena->size + charged, 1, 0);
        return -ENOMEM;
    }
    int r = view_open(&view->view, fd, arena->size, arena->stride, arena->count, ret_why);
    if (r < 0) {
        quota_return(&account->quota, arena->size + charged, 1, 0);
        heap_free(view);
        if (r != -ENOMEM && !failure_call(r))
            return -EPROTO;
        reserve_explain_map(r, arena->size, &account->ctx->refusals);
        *ret_view = &unmapped[reserve_unmapped(r, arena->size)];
        return 0;
    }
    if (account_charge(account, view->view.excess) < 0) {
        quota_return(&account->quota, arena->size + charged, 1, 0);
        view_close(&view->view);
        heap_free(view);
        *ret_view = &over_quota;
        return 0;
    }
    view->refs = 1;
    view->charged = charged;
    view->account = account;
    account->refs++;
    view_count(account, arena->size);
    *ret_view = view;
    return 0;
}

/* Entries that a connection has free, like its buffers. The peer's numbers make a larger table, so the peer pays for
 * it. */
enum { VIEWS_FREE = 1024 };

static int charge_table(struct views *views) {
    uint32_t capacity = views->table.ids.capacity;
    uint64_t charge = capacity > VIEWS_FREE ? capacity * sizeof(struct id_entry) : 0;
    int r = account_charge(views->account, charge - views->charged);
    if (r == 0)
        views->charged = charge;
    return r;
}

/* One that was refused has a place in the table too, which is as large as the numbers want: 1 MiB at most, charged or
 * not. */
int views_open(struct views *views, const struct wire_arena *arena, int fd, const char **ret_why) {
    struct arena_view *view = &over_quota;
    int r = view_table_find(&views->table, arena->id) ? -EPROTO : view_table_reserve(&views->table, arena->id);
    *ret_why = r == -EPROTO ? "an arena was announced twice" : "out of memory for an arena";
    if (r == 0 && charge_table(views) == 0)
        r = view_make(views->account, arena, fd, &view, ret_why);
    else if (fd >= 0)
        reaper_take(&fd, 1);
    if (r == 0)
        view_table_add(&views->table, arena->id, view);
    return r;
}

int views_retire(struct views *views, uint32_t id) {
    struct arena_view *view = view_table_remove(&views->table, id);
    views_drop(view);
    return view ? 0 : -EPROTO;
}

const char *views_why(const struct views *views, uint64_t handle) {
    const struct arena_view *view = view_table_find(&views->table, handle_arena(handle));
    bool is_unmapped = view >= unmapped && view < unmapped + RESERVE_UNMAPPED;
    return is_unmapped ? reserve_why_unmapped((enum reserve_unmapped)(view - unmapped)) : view ? view->why : NULL;
}

static int find_payload(const struct views *views, uint64_t handle, uint64_t size, struct arena_view **ret_view,
                        const void **ret_data) {
    const struct handle_parts parts = handle_split(handle);
    struct arena_view *view = view_table_find(&views->table, parts.arena);
    if (view && view->error)
        return view->error;
    const void *data = view ? view_at(&view->view, parts.index, size) : NULL;
    if (!data)
        return -EPROTO;
    *ret_view = view;
    *ret_data = data;
    return 0;
}

int views_find(const struct views *views, uint64_t handle, uint64_t size, const void **ret_data) {
    struct arena_view *view = NULL;
    return find_payload(views, handle, size, &view, ret_data);
}

struct arena_view *views_hold(const struct views *views, uint64_t handle) {
    struct arena_view *view = view_table_find(&views->table, handle_arena(handle));
    view->refs++;
    return view;
}

int views_receive(sea_block **ret_block, struct views *views, uint64_t handle, uint64_t size) {
    struct arena_view *view = NULL;
    const void *data = NULL;
    int r = find_payload(views, handle, size, &view, &data);
    return r != 0 ? r : view_block_new(ret_block, views->account, handle, view, data, (size_t) size);
}

/* As find_payload(), with the checks of peer_check(). NULL: something is unusual, or wrong. */
static inline const void *look(const struct views *views, uint64_t handle, uint64_t size,
                               struct arena_view **ret_view) {
    const struct account *account = views->account;
    const struct handle_parts parts = handle_split(handle);
    struct arena_view *view = view_table_find(&views->table, parts.arena);
    /* NULL of an arena that we could not take */
    const void *data = view ? view_at(&view->view, parts.index, size) : NULL;
    *ret_view = view;
    return data && !view->leases[parts.index] && !imports_have(account, handle) && !account_is_over_limit(account, size)
               ? data
               : NULL;
}

const void *views_look(const struct views *views, uint64_t handle, uint64_t size) {
    struct arena_view *view;
    return look(views, handle, size, &view);
}

sea_block *views_take(const struct views *views, uint64_t handle, uint64_t size) {
    struct account *account = views->account;
    struct arena_view *view;
    const void *data = look(views, handle, size, &view);
    sea_block *block = account->view_spares;
    if (!data || !block || !imports_try_pooled(account, &block->import, handle, size))
        return NULL;
    take_spare(account, block);
    view->leases[handle_index(handle)] = handle_generation(handle);
    view->refs++;
    block->size = (size_t) size;
    block->data = (void *) (uintptr_t) data;
    block->view = view;
    return block;
}

/* The arena is not retired, so that the view stays. */
bool views_return(const struct views *views, sea_block *block, uint64_t *ret_handle) {
    struct account *account = views->account;
    struct arena_view *view = block->view;
    if (!view || block->import.account != account || block->import.is_chained || view->refs == 1 ||
        !account->view_spares_room || !block_is_unshared(block))
        return false;
    *ret_handle = imports_return_pooled(&block->import, block->size);
    view->leases[handle_index(*ret_handle)] = 0;
    view->refs--;
    atomic_store_explicit(&block->refs, 0, memory_order_relaxed);
    keep_spare(account, block);
    return true;
}

/* --- the end --- */

/* How many pages of a view were touched is not known: the work is counted as if all were. */
bool views_end_some(struct views *views) {
    struct work *work = &views->account->work;
    struct arena_view *view;
    uint32_t place = 0;
    while (work->left && (view = view_table_next(&views->table, &place))) {
        work_take(work, WORK_PER_MEMFD + view->view.size);
        views_drop(view_table_take(&views->table, place - 1));
    }
    return work->left > 0;
}

/* The table is empty, or all that is in it was dropped. */
static void drop_table(struct views *views) {
    view_table_deinit(&views->table);
    account_return(views->account, views->charged);
    views->charged = 0;
}

void views_end(struct views *views) {
    struct arena_view *view;
    uint32_t place = 0;
    while ((view = view_table_next(&views->table, &place)))
        views_drop(view);
    drop_table(views);
    drop_spares(views->account);
}

void views_trim(struct views *views) {
    uint32_t place = 0;
    if (!view_table_next(&views->table, &place))
        drop_table(views);
    drop_spares(views->account);
}
