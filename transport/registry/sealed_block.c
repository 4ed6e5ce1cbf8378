/* SPDX-License-Identifier: MIT */
/* Sealed blocks. See sealed_block.h. */
#include "registry/sealed_block.h"

#include "memory/reserve.h"
#include "sys/failure.h"
#include "sys/memfd.h"
#include "sys/reaper.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>

static_assert(sizeof(sea_block) % _Alignof(struct census_entry) == 0, "the entry lies behind the block");

enum { EXTRA = sizeof(struct census_entry) };

static struct census_entry *block_entry(sea_block *block) {
    return (struct census_entry *) (void *) block->bytes;
}

/* From now on others may have it. Hugetlb pages are not what a reader can change. */
static void block_enter_census(sea_block *block) {
    if (block->sealed.layout != SEALED_HUGETLB)
        census_enter_fd(&block->ctx->census, block_entry(block), block->sealed.fd, block_footprint(block),
                        block->sealed.excess);
}

/* A second call does nothing. */
static void own_close(sea_block *block) {
    census_leave(block_entry(block));
    sealed_deinit(&block->sealed);
}

static void own_end(sea_block *block) {
    block_uncharge(block);
    own_close(block);
    block_free(block, EXTRA);
}

static void *own_map(sea_block *block) {
    void *data = NULL;
    int r = sealed_map_to(&block->sealed, &data);
    if (r < 0)
        reserve_explain_map(r, block->size, &block->ctx->refusals);
    return data;
}

static uint64_t own_footprint(const sea_block *block) {
    return sealed_file_size(block->size, block->sealed.layout);
}

/* Says why a call on the memory of a block failed. Returns the error to tell. */
static int block_explain(const sea_block *block, int r) {
    return r == -ENOMEM || failure_call(r) ? reserve_explain(r, block->size, false, &block->ctx->admission) : r;
}

static int fill(sea_block *block, size_t offset, const void *data, size_t size) {
    return block_explain(block, sealed_fill(&block->sealed, offset, data, size));
}

static int64_t fill_file(sea_block *block, size_t offset, int fd, int64_t file_offset, size_t size) {
    int64_t n = sealed_fill_file(&block->sealed, offset, fd, file_offset, size);
    return n < 0 ? block_explain(block, (int) n) : n;
}

static int shrink(sea_block *block, size_t size) {
    return block_explain(block, sealed_shrink(&block->sealed, size));
}

/* Asked before the mapping ends, and only where it is not known and huge pages are granted at all: it costs a read of
 * smaps. */
static bool is_block_huge(sea_block *block) {
    if (block->sealed.layout != SEALED_EXACT)
        return block->size > 0;
    return block->sealed.wants_huge && sealed_huge_policy() != MEMFD_HUGE_NEVER &&
           sealed_pages(&block->sealed) == SEA_PAGES_THP;
}

static int freeze(sea_block *block) {
    bool is_huge = is_block_huge(block);
    int r = sealed_freeze(&block->sealed);
    if (r == -EBUSY)
        return refusal_explain(&block->ctx->refusals, r, "F_SEAL_WRITE",
                               "something can still write to the block: a forked child's mapping, or pages in a pipe "
                               "or in io_uring");
    if (r < 0)
        return block_explain(block, r);
    ctx_count(block->ctx, huge_blocks, is_huge);
    block_enter_census(block);
    return 0;
}

static int pages(sea_block *block) {
    return sealed_pages(&block->sealed);
}

static uint64_t resident(sea_block *block) {
    uint64_t bytes = 0;
    return memfd_allocated(block->sealed.fd, &bytes) == 0 ? bytes : UINT64_MAX;
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

static int export(sea_block *block, int *ret_fd) {
    int r = memfd_export(block->sealed.fd, ret_fd);
    return r < 0 ? refusal_explain(&block->ctx->refusals, r, "a block's memfd", export_advice(r)) : 0;
}

static const struct block_ops SEALED_OPS = {
    .end = own_end,
    .close = own_close,
    .map = own_map,
    .footprint = own_footprint,
    .freeze = freeze,
    .fill = fill,
    .fill_file = fill_file,
    .shrink = shrink,
    .pages = pages,
    .resident = resident,
    .export = export,
};

/* --- blocks of ours --- */

/* Is there no room in the budget for the padding? Then the block goes without. */
static bool is_budget_short(const sea_ctx *ctx, uint64_t bytes) {
    return bytes > ctx->budget.limit[QUOTA_BYTES] - quota_used(&ctx->budget, QUOTA_BYTES);
}

/* Takes the block that was made ahead. false: it is another one, or there is none. */
static bool take_from_stock(sea_block **ret_block, sea_ctx *ctx, const struct stock_form *form) {
    struct sealed sealed = SEALED_EMPTY;
    if (!stock_take(&ctx->stock, form, &sealed))
        return false;
    sea_block *block = block_alloc(ctx, &SEALED_OPS, SEA_SEALED, form->size, EXTRA);
    uint64_t bytes = sealed_file_size(form->size, sealed.layout);
    if (!block) {
        quota_return(&ctx->budget, bytes, 1, 1);
        sealed_deinit(&sealed);
        return false;
    }
    block->sealed = sealed;
    block_take_charge(block, bytes, 1, 1);
    *ret_block = block;
    return true;
}

static int make_sealed(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size,
                       enum sealed_layout layout, bool allow_huge, struct refusal_log *log) {
    if (layout == SEALED_PADDED && is_budget_short(ctx, sealed_file_size(size, layout)))
        layout = SEALED_EXACT;
    sea_block *block = block_alloc(ctx, &SEALED_OPS, SEA_SEALED, size, EXTRA);
    if (!block)
        return -ENOMEM;
    int r = block_charge(block, share, sealed_file_size(size, layout), 1, 1, log);
    if (r < 0) {
        block_free(block, EXTRA);
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

/* Notes only the refusal that is final. The memory that a block with a share takes is the connection's: no other
 * connection may find it, so that none of it is made ahead. */
static int block_new_sealed(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size,
                            enum sealed_layout layout, bool allow_huge) {
    const struct stock_form form = {.size = size, .layout = layout, .allow_huge = allow_huge};
    if (!share && layout != SEALED_HUGETLB && take_from_stock(ret_block, ctx, &form))
        return 0;
    struct refusal_log log;
    refusal_init(&log);
    int r = make_sealed(ret_block, ctx, share, size, layout, allow_huge, &log);
    bool has_more = admission_tell(&ctx->admission);
    if (r == -EDQUOT || r == -ENOMEM)
        has_more |= pool_budget_make_room(ctx, share);
    if (r < 0 && has_more)
        r = make_sealed(ret_block, ctx, share, size, layout, allow_huge, &log);
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

static int block_new_flagged(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size,
                             unsigned flags) {
    bool allow_huge = !(flags & SEA_BLOCK_NO_HUGE) && may_be_huge(ctx);
    enum sealed_layout layout = flags & SEA_BLOCK_HUGETLB ? SEALED_HUGETLB
                                : allow_huge              ? sealed_choose_layout(size)
                                                          : SEALED_EXACT;
    sea_block *block = NULL;
    int r = block_new_sealed(&block, ctx, share, size, layout, allow_huge);
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
        return refusal_explain(&ctx->refusals, -EINVAL, "flags", "there is an unknown one");
    uint64_t mark = refusal_mark(&ctx->refusals);
    return refusal_end(&ctx->refusals, mark, block_new_flagged(ret_block, ctx, NULL, size, flags));
}

int sealed_block_new(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size) {
    return block_new_flagged(ret_block, ctx, share, size, 0);
}

int sealed_block_copy(sea_block **ret_block, struct pool_budget *share, sea_block *from) {
    sea_block *block = NULL;
    const void *bytes = sea_block_view(from);
    int r = bytes ? block_new_sealed(&block, from->ctx, share, from->size, SEALED_EXACT, true) : -ENOMEM;
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

/* --- blocks of others --- */

int sealed_block_receive(sea_block **ret_block, struct account *account, uint64_t handle, int fd,
                         const struct sealed_claim *claim, const char **ret_why) {
    sea_block *block = block_alloc(account->ctx, &SEALED_OPS, SEA_SEALED, (size_t) claim->size, EXTRA);
    uint64_t footprint = sealed_file_size(claim->size, claim->layout);
    int r = block ? imports_add(account, &block->import, handle, footprint, false) : -ENOMEM;
    if (r < 0) {
        reaper_take(&fd, 1);
        if (block)
            block_free(block, EXTRA);
        return r == -ENOMEM ? block_refuse(account->ctx, (size_t) claim->size) : r;
    }
    block->is_readonly = true;
    r = sealed_import(&block->sealed, fd, claim, ret_why);
    if (r == -ENOMEM || failure_call(r))
        r = reserve_explain_map(r, claim->size, &account->ctx->refusals);
    if (r == 0)
        r = account_charge(account, block->sealed.excess);
    if (r < 0) {
        imports_cancel(&block->import, footprint);
        own_end(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

static int import_refuse(sea_ctx *ctx, int error, const char *why) {
    int told = error == -EBADF || error == -ENODATA ? -EINVAL : failure_error(error);
    return refusal_explain(&ctx->refusals, told, "sea_block_import", why);
}

/* sealed_import() would say that some seal is missing; the maker of the memfd has to know which. */
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

static int import_block(sea_block **ret_block, sea_ctx *ctx, int fd, size_t max_size) {
    struct sealed sealed = SEALED_EMPTY;
    int r = import_memory(&sealed, ctx, fd, max_size);
    if (r < 0)
        return r;
    sea_block *block = block_alloc(ctx, &SEALED_OPS, SEA_SEALED, sealed.size, EXTRA);
    r = block ? block_charge(block, NULL, sealed.size + sealed.excess, 1, 1, &ctx->refusals) : -ENOMEM;
    if (r < 0) {
        sealed_deinit(&sealed);
        if (block)
            block_free(block, EXTRA);
        return r;
    }
    block->sealed = sealed;
    block->is_readonly = true;
    block_enter_census(block);
    *ret_block = block;
    return 0;
}

int sea_block_import(sea_block **ret_block, sea_ctx *ctx, int fd, size_t max_size) {
    uint64_t mark = refusal_mark(&ctx->refusals);
    return refusal_end(&ctx->refusals, mark, import_block(ret_block, ctx, fd, max_size));
}
