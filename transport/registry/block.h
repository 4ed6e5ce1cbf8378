/* SPDX-License-Identifier: MIT */
/*
 * Blocks, as the layers above see them: one payload's memory, its class, its references and its charge.
 *
 * States:  LOANED  --sea_block_seal()-->  READ-ONLY  --last reference-->  gone.
 * References are held by the application, by messages, by queued frames, and one by each lease.
 *
 * Each kind of memory is a module of its own, which a block reaches through block_ops: private memory in the heap
 * (here), a memfd of its own (registry/sealed_block.h), a slot of a pool of ours (registry/pooled_block.h), and a
 * peer's arena (registry/views.h).
 *
 * Charges. A block of ours is charged to the context's budget from its beginning to its end, and to the share of the
 * connection that it was made for, if there is one. A peer's block is charged to the peer's account while it lives, and
 * its end gives the lease back (registry/imports.h).
 *
 * Owns: the memory, by block_ops, and references of context and share; a block in a slot borrows both. Touches: quotas
 * and counters of the context; a charge may call the application (admission_tell()), and a refusal trims the pools of
 * the connection.
 *
 * Threads: any may take and drop references, and read a READ-ONLY block; a LOANED one has one thread at a time. Blocks
 * are made for a `share` on the connection's thread. An import ends with the rights of its account's owner: another
 * thread leaves it a mail, or, after the connection's end, enters the mailbox.
 */
#ifndef REGISTRY_BLOCK_H
#define REGISTRY_BLOCK_H

#include "memory/sealed.h"
#include "registry/imports.h"
#include "registry/pool_budget.h"
#include <sealane/block.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What a kind of memory does. NULL: as for private memory in the heap. */
struct block_ops {
    /* The last reference is gone, and the block is no import any more: gives its memory back. */
    void (*end)(sea_block *block);
    /* Comes before that, while the block is still an import: gives back the memory that the peer made. NULL: `end` does
     * all. */
    void (*close)(sea_block *block);
    /* The block's bytes, mapped on demand. NULL: noted as a refusal. */
    void *(*map)(sea_block *block);
    /* What the payload takes up, and is charged with. */
    uint64_t (*footprint)(const sea_block *block);
    /* Makes the block read-only; it is not yet. */
    int (*freeze)(sea_block *block);
    /* Of a block that is writable, and a range that lies in it. `fill` copies, `shrink` sets no size. */
    int (*fill)(sea_block *block, size_t offset, const void *data, size_t size);
    int64_t (*fill_file)(sea_block *block, size_t offset, int fd, int64_t file_offset, size_t size);
    int (*shrink)(sea_block *block, size_t size);
    /* NULL: SEA_PAGES_NONE; 0 bytes; -EOPNOTSUPP. The block is read-only when it is exported. */
    int (*pages)(sea_block *block);
    uint64_t (*resident)(sea_block *block);
    int (*export)(sea_block *block, int *ret_fd);
};

struct sea_block {
    _Atomic uint32_t refs;
    bool is_readonly;  /* no process writes any more, or may, of a pooled one: its owner does not */
    bool is_charged;   /* to the budget: block_charge() */
    int payload_class; /* SEA_... */
    const struct block_ops *ops;
    size_t size;
    size_t charged_bytes; /* to the budget */
    /* To the budget too: no block for an inline payload that arrived, which by the peer's choice may be small. */
    uint32_t charged_blocks, charged_fds;
    sea_ctx *ctx;               /* owned reference; borrowed by a block with a slot */
    struct sealed sealed;       /* of a sealed block */
    struct import import;       /* a peer's block, or a copy of a peer's payload: the account */
    void *data;                 /* of a pooled block: borrowed, in our arena or in the view. NULL: `ops->map` knows */
    struct pool_slot *slot;     /* of a pool of ours: the block lies in it */
    struct pool_budget *budget; /* with a slot: borrowed, the pool's. Without: the share; owned reference, or NULL */
    struct arena_view *view;    /* of a block in a peer's arena: owned reference */
    char bytes[];               /* of a block in the heap: the payload; of a sealed one: its entry in the census */
};

/*
 * An inline block of ours: private memory, sent as a copy. Here and below, `share` is the budget of the connection that
 * the block is made for, and the block takes of its share; borrowed; NULL: the block is made for no connection.
 * Admitted from 16 KiB on. `blocks` are charged besides the bytes. -EDQUOT, -ENOMEM.
 */
int block_new_inline(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size, uint32_t blocks);

/* A read-only private copy of `size` bytes. Errors: as block_new_inline(). */
int block_copy_inline(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, const void *data, size_t size);

/* A read-only inline block in the caller's memory, behind which its `size` bytes lie. `ops` end it. */
void block_init_inline(sea_block *block, sea_ctx *ctx, size_t size, const struct block_ops *ops);

/* What the payload takes up, and is charged with: its size, or its memfd's where that is rounded up. */
static inline uint64_t block_footprint(const sea_block *block) {
    return block->ops->footprint ? block->ops->footprint(block) : block->size;
}

static inline bool block_is_hugetlb(const sea_block *block) {
    return block->sealed.layout == SEALED_HUGETLB;
}

/* Tells of a misuse, and says why the block is refused. Returns -EINVAL. */
int block_tell_dead(const sea_block *block);

/* Of a block that is read-only: 0, or -EINVAL: its last reference is gone, and it lies in a slot that is not lent again
 * yet. */
static inline int block_check_alive(const sea_block *block) {
    return atomic_load_explicit(&block->refs, memory_order_relaxed) == 0 ? block_tell_dead(block) : 0;
}

/* Of a block that is read-only: has the caller its only reference? Then all uses by other holders have happened. */
static inline bool block_is_unshared(const sea_block *block) {
    /* Acquire [BLK1], as in registry/block.c. */
    return atomic_load_explicit(&block->refs, memory_order_acquire) == 1;
}

/* --- for the kinds of blocks --- */

/* A block with `extra` bytes behind it, and a reference of the context. NULL: out of memory. */
sea_block *block_alloc(sea_ctx *ctx, const struct block_ops *ops, int payload_class, size_t size, size_t extra);

/* Frees a block that is not charged, or not any more, with its reference of the share. `extra` as in block_alloc(). */
void block_free(sea_block *block, size_t extra);

/* Charges the budget and the share, and enters the figures. -EDQUOT, noted in `log`. */
int block_charge(sea_block *block, struct pool_budget *share, uint64_t bytes, uint32_t blocks, uint32_t fds,
                 struct refusal_log *log);

/* Takes over a charge to the budget that was made for the block before, and enters the figures. */
void block_take_charge(sea_block *block, uint64_t bytes, uint32_t blocks, uint32_t fds);

/* Charges for pages that the kernel added. -EDQUOT, noted in `log`. */
int block_charge_excess(sea_block *block, uint64_t bytes, struct refusal_log *log);

/* The block is charged with `bytes` from now on, which are no more than before. */
void block_charge_less(sea_block *block, uint64_t bytes);

/* Undoes block_charge() or block_take_charge(), if there was one. */
void block_uncharge(sea_block *block);

/* Notes that there is no memory for `size` bytes. Returns -ENOMEM. */
int block_refuse(sea_ctx *ctx, size_t size);

/* --- blocks in slots, for the steady state --- */

static inline sea_block *slot_block(struct pool_slot *slot) {
    return (sea_block *) (void *) slot->extra;
}

/* The block of a slot that was taken, writable. */
static inline sea_block *block_lend(sea_block *block, int payload_class, size_t size) {
    atomic_store_explicit(&block->refs, 1, memory_order_relaxed);
    block->is_readonly = false;
    block->payload_class = payload_class;
    block->size = size;
    tally_count(&block->budget->tally, blocks, 1);
    tally_count(&block->budget->tally, bytes, size);
    return block;
}

/* On the thread of the slot's connection, or of the whole process. Is the slot still to be put? */
static inline bool block_return_hot(sea_block *block) {
    struct pool_budget *budget = block->budget;
    if (budget->group) {
        tally_uncount(&budget->tally, blocks, 1);
        tally_uncount(&budget->tally, bytes, block->size);
    } else {
        ctx_uncount(block->ctx, blocks, 1);
        ctx_uncount(block->ctx, bytes, block->size);
    }
    return !pool_put_hot(block->slot);
}

/* Drops a reference on the thread of the connection to which the block's slot belongs. */
void block_unref_own(sea_block *block);

#endif
