/* SPDX-License-Identifier: MIT */
/* Blocks. See <sealane/block.h> for what users are promised, and block.h for the states and the charges. */
#include "registry/block.h"

#include "memory/reserve.h"
#include "sys/disposal.h"
#include "sys/file.h"
#include "sys/heap.h"
#include "sys/misuse.h"
#include "sys/single_thread.h"
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Smaller inline blocks are what the reserve is for, as all else that comes from malloc(): they cross the ring without
 * a system call, and are not to wait for one. */
static const size_t ADMITTED_LEAST = (size_t) 16 << 10;

sea_block *block_alloc(sea_ctx *ctx, const struct block_ops *ops, int payload_class, size_t size, size_t extra) {
    sea_block *block = heap_new(1, sizeof(*block) + extra);
    if (!block)
        return NULL;
    atomic_store_explicit(&block->refs, 1, memory_order_relaxed);
    block->ops = ops;
    block->payload_class = payload_class;
    block->size = size;
    block->ctx = sea_ctx_ref(ctx);
    block->sealed = SEALED_EMPTY;
    return block;
}

void block_free(sea_block *block, size_t extra) {
    sea_ctx *ctx = block->ctx; /* its end waits for all memory that the disposal has taken */
    pool_budget_unref(block->budget);
    disposal_take_heap(block, sizeof(*block) + extra);
    sea_ctx_unref(ctx);
}

static void note_charge(sea_block *block, uint64_t bytes, uint32_t blocks, uint32_t fds) {
    block->is_charged = true;
    block->charged_bytes = bytes;
    block->charged_blocks = blocks;
    block->charged_fds = fds;
    ctx_count(block->ctx, blocks, 1);
    ctx_count(block->ctx, bytes, bytes);
}

int block_charge(sea_block *block, struct pool_budget *share, uint64_t bytes, uint32_t blocks, uint32_t fds,
                 struct refusal_log *log) {
    admission_watch(&block->ctx->admission, bytes, blocks, fds);
    admission_tell(&block->ctx->admission); /* the application's callback may free the missing memory */
    int r = share ? pool_budget_add(share, bytes, log) : 0;
    if (r < 0)
        return r;
    r = quota_charge(&block->ctx->budget, bytes, blocks, fds, log);
    if (r < 0) {
        if (share)
            pool_budget_return(share, bytes);
        return r;
    }
    block->budget = share ? pool_budget_ref(share) : NULL;
    note_charge(block, bytes, blocks, fds);
    return 0;
}

void block_take_charge(sea_block *block, uint64_t bytes, uint32_t blocks, uint32_t fds) {
    admission_watch(&block->ctx->admission, 0, 0, 0);
    admission_tell(&block->ctx->admission);
    note_charge(block, bytes, blocks, fds);
}

int block_charge_excess(sea_block *block, uint64_t bytes, struct refusal_log *log) {
    int r = bytes > 0 ? quota_charge(&block->ctx->budget, bytes, 0, 0, log) : 0;
    if (r == 0 && block->budget && (r = pool_budget_add(block->budget, bytes, log)) < 0)
        quota_return(&block->ctx->budget, bytes, 0, 0);
    if (r < 0)
        return r;
    block->charged_bytes += bytes;
    ctx_count(block->ctx, bytes, bytes);
    return 0;
}

void block_charge_less(sea_block *block, uint64_t bytes) {
    quota_return(&block->ctx->budget, block->charged_bytes - bytes, 0, 0);
    if (block->budget)
        pool_budget_return(block->budget, block->charged_bytes - bytes);
    ctx_uncount(block->ctx, bytes, block->charged_bytes - bytes);
    block->charged_bytes = bytes;
}

void block_uncharge(sea_block *block) {
    if (!block->is_charged)
        return;
    block_charge_less(block, 0);
    quota_return(&block->ctx->budget, 0, block->charged_blocks, block->charged_fds);
    ctx_uncount(block->ctx, blocks, 1);
    block->is_charged = false;
}

int block_refuse(sea_ctx *ctx, size_t size) {
    refusal_note(&ctx->refusals, -ENOMEM, "memory", size, 0, "release blocks");
    return -ENOMEM;
}

/* --- private memory in the heap --- */

static void inline_end(sea_block *block) {
    block_uncharge(block);
    block_free(block, block->size);
}

static const struct block_ops INLINE_OPS = {.end = inline_end};

static int make_inline(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size, uint32_t blocks) {
    sea_block *block = block_alloc(ctx, &INLINE_OPS, SEA_INLINE, size, size);
    if (!block)
        return block_refuse(ctx, size);
    int r = block_charge(block, share, size, blocks, 0, &ctx->refusals);
    if (r < 0) {
        block_free(block, size);
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

int block_new_inline(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size, uint32_t blocks) {
    int r = admit_inline(ctx, size);
    if (r == 0) {
        r = make_inline(ret_block, ctx, share, size, blocks);
        note_inline_made(ctx, size);
    }
    if (r < 0)
        pool_budget_make_room(ctx, share); /* for the next one */
    return r;
}

int block_copy_inline(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, const void *data, size_t size) {
    sea_block *block = NULL;
    int r = block_new_inline(&block, ctx, share, size, 1);
    if (r != 0)
        return r;
    memcpy(block->bytes, data, size);
    block->is_readonly = true;
    *ret_block = block;
    return 0;
}

void block_init_inline(sea_block *block, sea_ctx *ctx, size_t size, const struct block_ops *ops) {
    *block = (sea_block){.refs = 1,
                         .is_readonly = true,
                         .payload_class = SEA_INLINE,
                         .ops = ops,
                         .size = size,
                         .ctx = ctx,
                         .sealed = SEALED_EMPTY};
}

/* --- references --- */

/*
 * The memory of a block in a slot stays after its last reference, and so does what a later use of the dead block finds
 * there: no references, until the slot is lent again. It is read-only meanwhile, so that only the ways of a block that
 * does not change have to look. Of other blocks nothing is left to look at.
 */

int block_tell_dead(const sea_block *block) {
    return refusal_explain(&block->ctx->refusals, misuse_tell("a block is used whose last reference is gone"), "block",
                           "its last reference is gone");
}

static RARE void block_stay_dead(sea_block *block) {
    atomic_store_explicit(&block->refs, 0, memory_order_relaxed);
    block_tell_dead(block);
}

sea_block *sea_block_ref(sea_block *block) {
    if (block && atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed) == 0)
        block_stay_dead(block);
    return block;
}

/* Was it the last reference? The holder of the only reference need not take it away with a locked instruction: no other
 * thread can add one. */
static bool block_drop(sea_block *block) {
    /* Release [BLK1] by each holder pairs with the acquire by the last one: all uses of the bytes happened before they
     * are unmapped. Weaker: another thread's late read of a page that is gone. */
    uint32_t refs = atomic_load_explicit(&block->refs, memory_order_acquire);
    if (refs > 1)
        refs = atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel);
    if (refs > 1)
        return false;
    if (refs == 0) {
        block_stay_dead(block);
        return false;
    }
    block->is_readonly = true;
    atomic_store_explicit(&block->refs, 0, memory_order_relaxed);
    return true;
}

/*
 * The memory goes before the peer hears of it: then the peer's reference of a memfd is the last one, and the pages go
 * to the free pages of the CPU that makes the next block.
 */
static void import_end(sea_block *block) {
    uint64_t footprint = block_footprint(block), excess = block->sealed.excess;
    if (block->ops->close)
        block->ops->close(block);
    imports_end(&block->import, footprint, excess);
}

/* On the thread that owns the account, of an import. */
static void block_end_here(sea_block *block) {
    if (block->import.account)
        import_end(block);
    block->ops->end(block);
}

static void block_end_by_mail(struct mail *mail) {
    sea_block *block = (sea_block *) (void *) ((char *) mail - offsetof(sea_block, import.mail));
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(block->import.account->mailbox);
    block_end_here(block);
}

static RARE void block_end(sea_block *block) {
    const struct account *account = block->import.account;
    if (!account || mailbox_is_mine(account->mailbox)) {
        block_end_here(block);
        return;
    }
    block->import.mail.run = block_end_by_mail;
    mailbox_deliver(account->mailbox, &block->import.mail);
}

sea_block *sea_block_unref(sea_block *block) {
    if (!block || !block_drop(block))
        return NULL;
    if (!block->slot || block->import.account || !is_single_threaded())
        block_end(block);
    else if (block_return_hot(block))
        pool_put(block->slot);
    return NULL;
}

void block_unref_own(sea_block *block) {
    if (!block_drop(block))
        return;
    if (block->import.account)
        block_end(block);
    else if (block_return_hot(block))
        pool_put_own(block->slot);
}

/* --- what any block can do --- */

size_t sea_block_size(const sea_block *block) {
    return block->size;
}

int sea_block_class(const sea_block *block) {
    return block->payload_class;
}

bool sea_block_is_sealed(const sea_block *block) {
    return block->is_readonly;
}

static void *block_map(sea_block *block) {
    return block->data ? block->data : block->ops->map ? block->ops->map(block) : block->bytes;
}

/* A pooled block is mapped. */
void *sea_block_data(sea_block *block) {
    if (!block->is_readonly)
        return block->data ? block->data : block_map(block);
    block_check_alive(block);
    return NULL;
}

const void *sea_block_view(sea_block *block) {
    return block_map(block);
}

/* `why` says what is wrong with a range that is not inside the block. */
static int block_check_range(const sea_block *block, size_t offset, size_t size, const char *why) {
    struct refusal_log *log = &block->ctx->refusals;
    int r = block->is_readonly ? block_check_alive(block) : 0;
    if (r < 0)
        return r;
    if (block->is_readonly)
        return refusal_explain(log, -EPERM, "block", "it is sealed, and does not change any more");
    if (offset > block->size || size > block->size - offset)
        return refusal_explain(log, -EINVAL, "block", why);
    return 0;
}

static const char BEYOND_ITS_END[] = "the offset and the size reach beyond its end";

int sea_block_fill(sea_block *block, size_t offset, const void *data, size_t size) {
    int r = block_check_range(block, offset, size, BEYOND_ITS_END);
    if (r < 0 || size == 0)
        return r;
    uint64_t mark = refusal_mark(&block->ctx->refusals);
    if (block->ops->fill)
        r = refusal_end(&block->ctx->refusals, mark, block->ops->fill(block, offset, data, size));
    else
        memcpy((char *) block_map(block) + offset, data, size);
    if (r == 0)
        ctx_count(block->ctx, copied_bytes, size);
    return r;
}

int64_t sea_block_fill_file(sea_block *block, size_t offset, int fd, int64_t file_offset, size_t size) {
    int r = block_check_range(block, offset, size, BEYOND_ITS_END);
    if (r < 0 || size == 0)
        return r;
    uint64_t mark = refusal_mark(&block->ctx->refusals);
    int64_t n = block->ops->fill_file ? block->ops->fill_file(block, offset, fd, file_offset, size)
                                      : file_read(fd, file_offset, (char *) block_map(block) + offset, size);
    return n < 0 ? refusal_end(&block->ctx->refusals, mark, (int) n) : n;
}

int sea_block_shrink(sea_block *block, size_t size) {
    int r = block_check_range(block, size, 0, "the new size is larger than the block");
    uint64_t mark = refusal_mark(&block->ctx->refusals);
    if (r == 0 && block->ops->shrink)
        r = refusal_end(&block->ctx->refusals, mark, block->ops->shrink(block, size));
    if (r < 0)
        return r;
    block->size = size;
    if (block->is_charged)
        block_charge_less(block, block_footprint(block) + block->sealed.excess);
    return 0;
}

int sea_block_seal(sea_block *block) {
    if (block->is_readonly) /* others may have it, in other threads: it is not written to */
        return 0;
    uint64_t mark = refusal_mark(&block->ctx->refusals);
    int r = block->ops->freeze ? block->ops->freeze(block) : 0;
    if (r == 0)
        block->is_readonly = true;
    return refusal_end(&block->ctx->refusals, mark, r);
}

int sea_block_pages(sea_block *block) {
    return block->ops->pages ? block->ops->pages(block) : SEA_PAGES_NONE;
}

uint64_t sea_block_resident(sea_block *block) {
    return block->ops->resident ? block->ops->resident(block) : 0;
}

/* A duplicate would have its offset in common with the sender and with all other receivers. */
int sea_block_export(sea_block *block, int *ret_fd) {
    struct refusal_log *log = &block->ctx->refusals;
    if (!block->ops->export)
        return refusal_explain(log, -EOPNOTSUPP, "block",
                               "only blocks of the class SEA_SEALED have a memfd of their own");
    if (!block->is_readonly)
        return refusal_explain(log, -EPERM, "block", "it is not sealed yet: sea_block_seal() first");
    return block->ops->export(block, ret_fd);
}
