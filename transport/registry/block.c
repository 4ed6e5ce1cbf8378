/* SPDX-License-Identifier: MIT */
/* Blocks. See <sealane/block.h> for what users are promised, and block.h for the states and the charges. */
#include "registry/block.h"

#include "memory/reserve.h"
#include "sys/disposal.h"
#include "sys/failure.h"
#include "sys/file.h"
#include "sys/heap.h"
#include "sys/memfd.h"
#include "sys/reaper.h"
#include "sys/single_thread.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Smaller inline blocks are what the reserve is for, as all else that comes from malloc(): they cross the ring without
 * a system call, and are not to wait for one. */
static const size_t ADMITTED_LEAST = (size_t) 16 << 10;

static size_t block_alloc_size(int payload_class, size_t size) {
    size_t extra = payload_class == SEA_INLINE ? size : payload_class == SEA_SEALED ? sizeof(struct census_entry) : 0;
    return sizeof(sea_block) + extra;
}

static sea_block *block_alloc(sea_ctx *ctx, int payload_class, size_t size) {
    sea_block *block = heap_new(1, block_alloc_size(payload_class, size));
    if (!block)
        return NULL;
    atomic_store_explicit(&block->refs, 1, memory_order_relaxed);
    block->payload_class = payload_class;
    block->size = size;
    block->ctx = sea_ctx_ref(ctx);
    block->sealed = SEALED_EMPTY;
    return block;
}

static_assert(sizeof(sea_block) % _Alignof(struct census_entry) == 0, "the entry lies behind the block");

static struct census_entry *block_entry(sea_block *block) {
    return (struct census_entry *) (void *) block->bytes;
}

/* From now on others may have it. Hugetlb pages are not what a reader can change. */
static void block_enter_census(sea_block *block) {
    if (block->sealed.layout != SEALED_HUGETLB)
        census_enter_fd(&block->ctx->census, block_entry(block), block->sealed.fd, block_footprint(block),
                        block->sealed.excess);
}

static uint32_t block_fds(const sea_block *block) {
    return block->payload_class == SEA_SEALED ? 1 : 0;
}

/* Of the peer's share. */
static int block_share(sea_block *block, struct peer *peer, uint64_t bytes, struct refusal_log *log) {
    int r = pools_ref_budget(&peer->pooled.pools.own, &block->budget);
    if (r == 0)
        r = pool_budget_add(block->budget, bytes, log);
    if (r < 0)
        block->budget = pool_budget_unref(block->budget);
    return r;
}

/* Charges the budget and enters the figures; undone by block_uncharge(). `peer` is whom the block is made for; NULL:
 * nobody. -EDQUOT: noted in `log`. */
static int block_charge(sea_block *block, struct peer *peer, uint64_t bytes, uint32_t blocks, struct refusal_log *log) {
    admission_watch(&block->ctx->admission, bytes, blocks, block_fds(block));
    admission_tell(&block->ctx->admission); /* what it lets go of may be what is missing */
    int r = peer ? block_share(block, peer, bytes, log) : 0;
    if (r < 0)
        return r;
    r = quota_charge(&block->ctx->budget, bytes, blocks, block_fds(block), log);
    if (r < 0 && block->budget)
        pool_budget_return(block->budget, bytes);
    if (r < 0)
        return r;
    block->charged_bytes = bytes;
    block->charged_blocks = blocks;
    ctx_count(block->ctx, blocks, 1);
    ctx_count(block->ctx, bytes, bytes);
    return 0;
}

/* Of pages that the kernel added. -EDQUOT: noted in `log`. */
static int block_charge_excess(sea_block *block, uint64_t bytes, struct refusal_log *log) {
    int r = bytes > 0 ? quota_charge(&block->ctx->budget, bytes, 0, 0, log) : 0;
    if (r == 0 && block->budget && (r = pool_budget_add(block->budget, bytes, log)) < 0)
        quota_return(&block->ctx->budget, bytes, 0, 0);
    if (r < 0)
        return r;
    block->charged_bytes += bytes;
    ctx_count(block->ctx, bytes, bytes);
    return 0;
}

/* Of what a block needs no more. */
static void block_charge_less(sea_block *block, uint64_t bytes) {
    quota_return(&block->ctx->budget, block->charged_bytes - bytes, 0, 0);
    if (block->budget)
        pool_budget_return(block->budget, block->charged_bytes - bytes);
    ctx_uncount(block->ctx, bytes, block->charged_bytes - bytes);
    block->charged_bytes = bytes;
}

static void block_uncharge(sea_block *block) {
    block_charge_less(block, 0);
    quota_return(&block->ctx->budget, 0, block->charged_blocks, block_fds(block));
    ctx_uncount(block->ctx, blocks, 1);
}

/* Of a block that was never charged, or is not any more. */
static void block_discard(sea_block *block) {
    pooled_drop_view(block->view);
    pool_budget_unref(block->budget);
    if (block->payload_class == SEA_SEALED)
        census_leave(block_entry(block));
    sealed_deinit(&block->sealed);
    sea_ctx *ctx = block->ctx; /* whose end waits for what was taken before */
    disposal_take_heap(block, block_alloc_size(block->payload_class, block->size));
    sea_ctx_unref(ctx);
}

static int block_refuse(sea_ctx *ctx, size_t size) {
    refusal_note(&ctx->refusals, -ENOMEM, "memory", size, 0, "release blocks");
    return -ENOMEM;
}

static int make_inline(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, size_t size, uint32_t blocks) {
    sea_block *block = block_alloc(ctx, SEA_INLINE, size);
    if (!block)
        return block_refuse(ctx, size);
    int r = block_charge(block, peer, size, blocks, &ctx->refusals);
    if (r < 0) {
        block_discard(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

static int admit_inline(sea_ctx *ctx, size_t size) {
    int r = size < ADMITTED_LEAST ? 0 : admission_admit_and_tell(&ctx->admission, size);
    int told = r < 0 ? reserve_explain(r, size, false, &ctx->admission) : 0;
    return told < 0 ? told : r;
}

static void note_inline_made(sea_ctx *ctx, size_t size) {
    if (size >= ADMITTED_LEAST)
        admission_made(&ctx->admission, size);
}

static int new_inline(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, size_t size, uint32_t blocks) {
    int r = admit_inline(ctx, size);
    if (r == 0) {
        r = make_inline(ret_block, ctx, peer, size, blocks);
        note_inline_made(ctx, size);
    }
    if (r < 0)
        pools_give_back(ctx, peer); /* for the next one */
    return r;
}

int block_new_inline(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, size_t size) {
    return new_inline(ret_block, ctx, peer, size, 1);
}

/* Is there no room in the budget for the padding? Then the block goes without. */
static bool is_budget_short(const sea_ctx *ctx, uint64_t bytes) {
    return bytes > ctx->budget.limit[QUOTA_BYTES] - quota_used(&ctx->budget, QUOTA_BYTES);
}

static int make_sealed(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, size_t size, enum sealed_layout layout,
                       bool allow_huge, struct refusal_log *log) {
    if (layout == SEALED_PADDED && is_budget_short(ctx, sealed_file_size(size, layout)))
        layout = SEALED_EXACT;
    sea_block *block = block_alloc(ctx, SEA_SEALED, size);
    if (!block)
        return -ENOMEM;
    int r = block_charge(block, peer, sealed_file_size(size, layout), 1, log);
    if (r < 0) {
        block_discard(block);
        return r;
    }
    r = sealed_new(&block->sealed, size, layout, allow_huge, &ctx->admission);
    if (r == 0) {
        block_charge_less(block, block_footprint(block));
        r = block_charge_excess(block, block->sealed.excess, log);
    }
    if (r < 0) {
        sea_block_unref(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

/* Noted is what is final. `peer` NULL: for nobody in particular. */
static int block_new_sealed(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, size_t size,
                            enum sealed_layout layout, bool allow_huge) {
    struct refusal_log log;
    refusal_init(&log);
    int r = make_sealed(ret_block, ctx, peer, size, layout, allow_huge, &log);
    bool has_more = admission_tell(&ctx->admission);
    if (r == -EDQUOT || r == -ENOMEM)
        has_more |= pools_give_back(ctx, peer);
    if (r < 0 && has_more)
        r = make_sealed(ret_block, ctx, peer, size, layout, allow_huge, &log);
    int told = r == -EDQUOT ? refusal_pass(&log, &ctx->refusals)
               : r < 0      ? reserve_explain(r, size, layout == SEALED_HUGETLB, &ctx->admission)
                            : 0;
    refusal_deinit(&log);
    return told < 0 ? told : r;
}

static bool may_be_huge(const sea_ctx *ctx) {
    return !(ctx->admission.wishes.flags & SEA_MEMORY_NO_HUGE);
}

static int block_prefault(sea_block *block) {
    int r = sealed_prefault(&block->sealed);
    return r < 0 ? reserve_explain(r, block->size, false, &block->ctx->admission) : 0;
}

static int block_new_flagged(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, size_t size, unsigned flags) {
    bool allow_huge = !(flags & SEA_BLOCK_NO_HUGE) && may_be_huge(ctx);
    enum sealed_layout layout = flags & SEA_BLOCK_HUGETLB ? SEALED_HUGETLB
                                : allow_huge              ? sealed_choose_layout(size)
                                                          : SEALED_EXACT;
    sea_block *block = NULL;
    int r = block_new_sealed(&block, ctx, peer, size, layout, allow_huge);
    if (r == 0 && flags & SEA_BLOCK_PREFAULT)
        r = block_prefault(block);
    if (r < 0)
        sea_block_unref(block);
    else
        *ret_block = block;
    return r;
}

int sea_block_new_sealed(sea_block **ret_block, sea_ctx *ctx, size_t size, unsigned flags) {
    if (flags & ~(unsigned) (SEA_BLOCK_HUGETLB | SEA_BLOCK_NO_HUGE | SEA_BLOCK_PREFAULT))
        return -EINVAL;
    return block_new_flagged(ret_block, ctx, NULL, size, flags);
}

int block_new_sealed_for(sea_block **ret_block, struct peer *peer, size_t size) {
    return block_new_flagged(ret_block, peer->account->ctx, peer, size, 0);
}

int block_receive_inline(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, const void *data, size_t size) {
    sea_block *block = NULL;
    int r = new_inline(&block, ctx, peer, size, 1);
    if (r != 0)
        return r;
    memcpy(block->bytes, data, size);
    block->is_sealed = true;
    *ret_block = block;
    return 0;
}

int block_new_arrived(sea_block **ret_block, struct peer *peer, size_t size) {
    struct import import;
    int r = imports_add_inline(peer->account, &import, size);
    if (r < 0)
        return r;
    r = new_inline(ret_block, peer->account->ctx, import.is_free ? NULL : peer, size, 0);
    if (r < 0)
        imports_end(&import, size, 0);
    else
        (*ret_block)->import = import; /* of no chain */
    return r;
}

void block_init_inline(sea_block *block, sea_ctx *ctx, size_t size, void (*end)(sea_block *block)) {
    *block = (sea_block){.refs = 1,
                         .is_sealed = true,
                         .payload_class = SEA_INLINE,
                         .size = size,
                         .ctx = ctx,
                         .sealed = SEALED_EMPTY,
                         .end = end};
}

int block_receive_pooled(sea_block **ret_block, struct peer *peer, uint64_t handle, struct arena_view *view,
                         const void *data, size_t size) {
    sea_block *block = block_alloc(peer->account->ctx, SEA_POOLED, size);
    if (!block)
        return block_refuse(peer->account->ctx, sizeof(*block));
    int r = imports_add(peer->account, &block->import, handle, size, true);
    if (r < 0) {
        block_discard(block);
        return r;
    }
    block->data = (void *) (uintptr_t) data;
    block->view = view;
    block->is_sealed = true;
    *ret_block = block;
    return 0;
}

int block_receive_sealed(sea_block **ret_block, struct peer *peer, uint64_t handle, int fd,
                         const struct sealed_claim *claim, const char **ret_why) {
    sea_block *block = block_alloc(peer->account->ctx, SEA_SEALED, (size_t) claim->size);
    uint64_t footprint = sealed_file_size(claim->size, claim->layout);
    int r = block ? imports_add(peer->account, &block->import, handle, footprint, false) : -ENOMEM;
    if (r < 0) {
        reaper_take(&fd, 1);
        if (block)
            block_discard(block);
        return r == -ENOMEM ? block_refuse(peer->account->ctx, (size_t) claim->size) : r;
    }
    block->is_sealed = true;
    r = sealed_import(&block->sealed, fd, claim, ret_why);
    if (r == -ENOMEM || failure_call(r))
        r = reserve_explain_map(r, claim->size, &peer->account->ctx->refusals);
    if (r == 0)
        r = account_charge(peer->account, block->sealed.excess);
    if (r < 0) {
        imports_cancel(&block->import, footprint);
        block_discard(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

static int import_refuse(sea_ctx *ctx, int error, const char *why) {
    int told = error == -EBADF || error == -ENODATA ? -EINVAL : failure_error(error);
    return refusal_explain(&ctx->refusals, told, "sea_block_import", why);
}

/* sealed_import() would say that some seal is missing; whoever made the memfd wants to know which. */
static int import_check_seals(sea_ctx *ctx, int fd) {
    struct memfd_info info;
    char missing[64], why[96];
    if (memfd_inspect(fd, &info) < 0 || memfd_seals_hold(info.seals))
        return 0;
    snprintf(why, sizeof(why), "the memfd lacks %s", memfd_seals_missing(info.seals, missing, sizeof(missing)));
    return import_refuse(ctx, -EBADF, why);
}

/* Takes `fd`. */
static int import_memory(struct sealed *ret, sea_ctx *ctx, int fd, size_t max_size) {
    const struct sealed_claim claim = {.size = UINT64_MAX, .size_max = max_size, .any_pages = true};
    const char *why = NULL;
    memfd_close_on_exec(fd);
    int r = import_check_seals(ctx, fd);
    if (r < 0) {
        reaper_take(&fd, 1);
        return r;
    }
    r = sealed_import(ret, fd, &claim, &why);
    return r < 0 ? import_refuse(ctx, r, why) : 0;
}

int sea_block_import(sea_block **ret_block, sea_ctx *ctx, int fd, size_t max_size) {
    struct sealed sealed = SEALED_EMPTY;
    int r = import_memory(&sealed, ctx, fd, max_size);
    if (r < 0)
        return r;
    sea_block *block = block_alloc(ctx, SEA_SEALED, sealed.size);
    r = block ? block_charge(block, NULL, sealed.size + sealed.excess, 1, &ctx->refusals) : -ENOMEM;
    if (r < 0) {
        sealed_deinit(&sealed);
        if (block)
            block_discard(block);
        return r;
    }
    block->sealed = sealed;
    block->is_sealed = true;
    block_enter_census(block);
    *ret_block = block;
    return 0;
}

sea_block *sea_block_ref(sea_block *block) {
    if (block)
        atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

/* Was it the last reference? Who has the only one need not write that it goes: nobody is there to add one. */
static bool block_drop(sea_block *block) {
    /* Release [BLK1] by each holder pairs with the acquire by the last one: all uses of the bytes happened before they
     * are unmapped. Weaker: another thread's late read of a page that is gone. */
    return atomic_load_explicit(&block->refs, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) == 1;
}

static void block_end_alone(sea_block *block, bool is_ours) {
    if (block->end) {
        block->end(block);
        return;
    }
    if (is_ours)
        block_uncharge(block);
    block_discard(block);
}

static RARE void block_end(sea_block *block) {
    bool is_ours = !block->import.account || block->import.is_copy;
    if (block->import.account)
        imports_end(&block->import, block_footprint(block), block->sealed.excess);
    if (block->slot)
        pooled_return(block);
    else
        block_end_alone(block, is_ours);
}

sea_block *sea_block_unref(sea_block *block) {
    if (!block || !block_drop(block))
        return NULL;
    if (!block->slot || block->import.account || !is_single_threaded())
        block_end(block);
    else if (pooled_return_hot(block))
        pool_put(block->slot);
    return NULL;
}

void block_unref_own(sea_block *block) {
    if (!block_drop(block))
        return;
    if (block->import.account)
        block_end(block);
    else
        pooled_return_own(block);
}

size_t sea_block_size(const sea_block *block) {
    return block->size;
}

int sea_block_class(const sea_block *block) {
    return block->payload_class;
}

bool sea_block_is_sealed(const sea_block *block) {
    return block->is_sealed;
}

bool block_is_hugetlb(const sea_block *block) {
    return block->sealed.layout == SEALED_HUGETLB;
}

enum sealed_layout block_layout(const sea_block *block) {
    return block->sealed.layout;
}

uint64_t block_footprint(const sea_block *block) {
    return sealed_file_size(block->size, block->sealed.layout);
}

int block_fd(const sea_block *block) {
    return block->sealed.fd;
}

static RARE void *block_map_other(sea_block *block) {
    if (block->payload_class != SEA_SEALED)
        return block->bytes;
    void *data = NULL;
    int r = sealed_map_to(&block->sealed, &data);
    if (r < 0)
        reserve_explain_map(r, block->size, &block->ctx->refusals);
    return data;
}

static inline void *block_map(sea_block *block) {
    return block->data ? block->data : block_map_other(block);
}

void *sea_block_data(sea_block *block) {
    return block->is_sealed ? NULL : block_map(block);
}

const void *sea_block_view(sea_block *block) {
    return block_map(block);
}

/* Says why a call on the memory of a block of the class sealed failed. Returns the error to tell. */
static int block_explain(const sea_block *block, int r) {
    return r == -ENOMEM || failure_call(r) ? reserve_explain(r, block->size, false, &block->ctx->admission) : r;
}

static int block_check_range(const sea_block *block, size_t offset, size_t size) {
    if (block->is_sealed)
        return -EPERM;
    return offset <= block->size && size <= block->size - offset ? 0 : -EINVAL;
}

int sea_block_fill(sea_block *block, size_t offset, const void *data, size_t size) {
    int r = block_check_range(block, offset, size);
    if (r < 0 || size == 0)
        return r;
    if (block->payload_class != SEA_SEALED)
        memcpy((char *) block_map(block) + offset, data, size);
    else
        r = block_explain(block, sealed_fill(&block->sealed, offset, data, size));
    if (r == 0)
        ctx_count(block->ctx, copied_bytes, size);
    return r;
}

int64_t sea_block_fill_file(sea_block *block, size_t offset, int fd, int64_t file_offset, size_t size) {
    int r = block_check_range(block, offset, size);
    if (r < 0 || size == 0)
        return r;
    if (block->payload_class != SEA_SEALED)
        return file_read(fd, file_offset, (char *) block_map(block) + offset, size);
    int64_t n = sealed_fill_file(&block->sealed, offset, fd, file_offset, size);
    return n < 0 ? block_explain(block, (int) n) : n;
}

int sea_block_shrink(sea_block *block, size_t size) {
    int r = block_check_range(block, size, 0);
    if (r < 0)
        return r;
    if (block->payload_class == SEA_SEALED)
        r = block_explain(block, sealed_shrink(&block->sealed, size));
    if (r < 0)
        return r;
    if (block->slot) { /* what is cut off could still be read by the peer */
        memset((char *) block->data + size, 0, block->size - size);
        ctx_uncount(block->ctx, bytes, block->size - size);
    }
    block->size = size;
    if (!block->slot)
        block_charge_less(block, block_footprint(block) + block->sealed.excess);
    return 0;
}

/* Asked before the mapping ends, and only where it is not known and huge pages are granted at all: it costs a read of
 * smaps. */
static bool is_block_huge(sea_block *block) {
    if (block_layout(block) != SEALED_EXACT)
        return block->size > 0;
    return block->sealed.wants_huge && sealed_huge_policy() != MEMFD_HUGE_NEVER &&
           sealed_pages(&block->sealed) == SEA_PAGES_THP;
}

int sea_block_seal(sea_block *block) {
    if (block->is_sealed)
        return 0;
    if (block->payload_class == SEA_SEALED) {
        bool is_huge = is_block_huge(block);
        int r = sealed_freeze(&block->sealed);
        if (r == -EBUSY)
            return refusal_explain(
                &block->ctx->refusals, r, "F_SEAL_WRITE",
                "something can still write to the block: a forked child's mapping, or pages in a pipe "
                "or in io_uring");
        if (r < 0)
            return block_explain(block, r);
        ctx_count(block->ctx, huge_blocks, is_huge);
        block_enter_census(block);
    }
    block->is_sealed = true;
    return 0;
}

int sea_block_pages(sea_block *block) {
    return block->payload_class == SEA_SEALED ? sealed_pages(&block->sealed) : SEA_PAGES_NONE;
}

static const char *export_advice(int error) {
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
        return "it has to be opened anew through /proc/self/fd, which is not there: mount /proc";
    case -EACCES:
        return "opening it anew was refused: its maker made it unreadable for this user, or a security module forbids "
               "it";
    case -EAGAIN:
        return "a process that has the memfd holds a lease on it (fcntl F_SETLEASE): try again later, or copy the "
               "payload";
    case -EMFILE:
        return "this process has no descriptor left: close some, or raise RLIMIT_NOFILE";
    default:
        return "it could not be opened anew through /proc/self/fd";
    }
}

uint64_t sea_block_resident(sea_block *block) {
    uint64_t bytes = 0;
    if (block->payload_class != SEA_SEALED)
        return 0;
    return memfd_allocated(block->sealed.fd, &bytes) == 0 ? bytes : UINT64_MAX;
}

/* A duplicate would have its offset in common with the sender and with all other receivers. */
int sea_block_export(sea_block *block, int *ret_fd) {
    if (block->payload_class != SEA_SEALED)
        return -EOPNOTSUPP;
    if (!block->is_sealed)
        return -EPERM;
    int r = memfd_export(block->sealed.fd, ret_fd);
    return r < 0 ? refusal_explain(&block->ctx->refusals, r, "a block's memfd", export_advice(r)) : 0;
}

int block_copy_sealed(sea_block **ret_block, struct peer *peer, sea_block *from) {
    sea_block *block = NULL;
    const void *bytes = sea_block_view(from);
    int r = bytes ? block_new_sealed(&block, from->ctx, peer, from->size, SEALED_EXACT, true) : -ENOMEM;
    if (r < 0)
        return r;
    r = sea_block_fill(block, 0, bytes, from->size);
    if (r == 0)
        r = sea_block_seal(block);
    if (r < 0) {
        sea_block_unref(block);
        return r;
    }
    *ret_block = block;
    return 0;
}
