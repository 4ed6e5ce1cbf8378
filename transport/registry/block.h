/* SPDX-License-Identifier: MIT */
/*
 * Blocks, as the layers above see them: one payload's memory, its class, its references, and what was charged for it.
 *
 * States:  LOANED  --sea_block_seal()-->  SEALED  --last reference-->  gone.
 * References are held by the application, by messages, by queued frames, and one by each lease.
 *
 * Charges. A block of ours is charged to the context's budget, from block_new_...() to its end. A peer's block is
 * charged to the peer, from block_receive_sealed() to its end, and its end gives the lease back.
 */
#ifndef REGISTRY_BLOCK_H
#define REGISTRY_BLOCK_H

#include "memory/sealed.h"
#include "registry/peer.h"
#include "registry/pool_budget.h"
#include <sealane/block.h>
#include <stdatomic.h>
#include <stdbool.h>

struct sea_block {
    _Atomic uint32_t refs;
    bool is_sealed;    /* nobody may write any more */
    int payload_class; /* SEA_... */
    size_t size;
    size_t charged_bytes; /* to the budget */
    uint32_t
        charged_blocks; /* likewise: none for an inline payload that arrived, which by the peer's choice may be small */
    sea_ctx *ctx;       /* owned reference */
    struct sealed sealed;       /* SEA_SEALED */
    struct import import;       /* a peer's block: whose */
    void *data;                 /* SEA_POOLED: borrowed, in our arena or in the view */
    struct pool_slot *slot;     /* of a pool of ours: the block lies in it. It borrows its context then */
    struct pool_budget *budget; /* and this, of that pool. Without a slot: of whose share it takes; owned, or NULL */
    struct arena_view *view;    /* SEA_POOLED, a peer's: owned reference */
    /* Of a block in somebody else's memory, charged to nobody: instead of freeing it. NULL: none. */
    void (*end)(sea_block *block);
    char bytes[]; /* SEA_INLINE. Of a SEA_SEALED one: its entry in the census */
};

/* As sea_block_new_sealed(), for a connection: of its share of the budget, and what its pools keep makes room. */
int block_new_sealed_for(sea_block **ret_block, struct peer *peer, size_t size);

/* An inline block of ours: private memory, sent as a copy. Here and below, `peer` is whom the block is made for, and of
 * whose share of the budget it takes (-EDQUOT; -EPIPE: its connection has ended); NULL: nobody. Admitted from 16 KiB
 * on. -ENOMEM. */
int block_new_inline(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, size_t size);

/* A sealed inline block in the caller's memory, behind which its `size` bytes lie. `end` is called when the last
 * reference is gone. */
void block_init_inline(sea_block *block, sea_ctx *ctx, size_t size, void (*end)(sea_block *block));

/* A private copy of `size` bytes, sealed. Charged to the budget, and admitted likewise. */
int block_receive_inline(sea_block **ret_block, sea_ctx *ctx, struct peer *peer, const void *data, size_t size);

/* Room for an inline payload that arrives, which the caller fills and seals: charged to the peer too. -EDQUOT, -ENOMEM.
 */
int block_new_arrived(sea_block **ret_block, struct peer *peer, size_t size);

/*
 * A peer's sealed block. Takes `fd`. First charged to the peer, then verified, then mapped. On -EBADF, -EMSGSIZE and
 * -ENODATA the peer has lied, as *ret_why says; other errors are refusals, and noted. The caller has checked
 * imports_have() and account_is_over_limit(). After a failure no lease is given back here.
 */
int block_receive_sealed(sea_block **ret_block, struct peer *peer, uint64_t handle, int fd,
                         const struct sealed_claim *claim, const char **ret_why);

/* For pooled.c. The first drops a reference on the thread of the connection to which the block's slot belongs; the
 * second makes a block of a peer's, and takes a reference of `view` when the caller adds one: on success. -EDQUOT,
 * -ENOMEM. */
void block_unref_own(sea_block *block);
int block_receive_pooled(sea_block **ret_block, struct peer *peer, uint64_t handle, struct arena_view *view,
                         const void *data, size_t size);

/* As block_new_sealed_for(), with the same bytes, in base pages or THP, frozen. The caller owns it. */
int block_copy_sealed(sea_block **ret_block, struct peer *peer, sea_block *from);

/* For pooled.c, and for the steady state. */
static inline sea_block *slot_block(struct pool_slot *slot) {
    return (sea_block *) (void *) slot->extra;
}

/* The block of a slot that was taken, writable. */
static inline sea_block *block_lend(sea_block *block, int payload_class, size_t size) {
    atomic_store_explicit(&block->refs, 1, memory_order_relaxed);
    block->is_sealed = false;
    block->payload_class = payload_class;
    block->size = size;
    tally_count(&block->budget->tally, blocks, 1);
    tally_count(&block->budget->tally, bytes, size);
    return block;
}

/* On the thread of the slot's connection, or of the whole process. Is it still to be put? */
static inline bool pooled_return_hot(sea_block *block) {
    struct pool_budget *budget = block->budget;
    if (budget->pool) {
        tally_uncount(&budget->tally, blocks, 1);
        tally_uncount(&budget->tally, bytes, block->size);
    } else {
        ctx_uncount(block->ctx, blocks, 1);
        ctx_uncount(block->ctx, bytes, block->size);
    }
    return !pool_put_hot(block->slot);
}

/* As pooled_return(), on the thread of the slot's connection. */
static inline void pooled_return_own(sea_block *block) {
    if (pooled_return_hot(block))
        pool_put_own(block->slot);
}

/* As pooled_ready(), of the memory that came back last. NULL: there is none. */
static inline sea_block *block_lend_hot(const struct peer *peer, int payload_class, size_t size) {
    struct pool *pool = (payload_class == SEA_INLINE ? &peer->pooled.pools.private : &peer->pooled.pools.own)->pool;
    struct pool_slot *slot = pool ? pool_take_hot(pool, size) : NULL;
    return slot ? block_lend(slot_block(slot), payload_class, size) : NULL;
}

bool block_is_hugetlb(const sea_block *block);
enum sealed_layout block_layout(const sea_block *block);

/* What the payload takes up, and is charged with: its size, or its memfd's where that is rounded up. */
uint64_t block_footprint(const sea_block *block);

/* Of a sealed block of SEA_SEALED: the descriptor to send, borrowed. */
int block_fd(const sea_block *block);

#endif
