/* SPDX-License-Identifier: MIT */
/*
 * Sealed blocks: each in a memfd of its own, which is frozen for good before it is sent.
 *
 * A block of ours is charged to the budget, made and reserved (memory/sealed.h), written, and frozen by
 * sea_block_seal(). A block of a peer is charged to the peer's account, verified, and mapped.
 *
 * Owns: the memfd, its mapping and its charge; the sea_block has them. Touches: the budget and counters of the context,
 * the share, the account of a peer's block, the census, the refusals; rejected descriptors go to the reaper. Where
 * memory is short it calls the application (admission_tell()), trims the pools of the share's connection, and asks
 * others.
 *
 * Threads: as <sealane/block.h> says; with a share, and in sealed_block_receive(), the connection's. The end of a
 * peer's block: registry/block.h.
 */
#ifndef REGISTRY_SEALED_BLOCK_H
#define REGISTRY_SEALED_BLOCK_H

#include "registry/block.h"

/* A block for the connection of `share` (borrowed), which takes of that share of the budget. Free memory of the
 * connection's pools makes room for it. -EDQUOT, -ENOMEM, and errors of the kernel: noted. */
int sealed_block_new(sea_block **ret_block, sea_ctx *ctx, struct pool_budget *share, size_t size);

/* A block with the bytes of `from`, in base pages or THP, frozen. Errors: as sealed_block_new(). */
int sealed_block_copy(sea_block **ret_block, struct pool_budget *share, sea_block *from);

/*
 * A peer's sealed block. Takes `fd`. First charged to the peer, then verified, then mapped. On -EBADF, -EMSGSIZE and
 * -ENODATA the peer has lied, as *ret_why says; other errors are refusals, and noted. The caller has checked
 * imports_have() and account_is_over_limit(). After a failure no lease is given back here.
 */
int sealed_block_receive(sea_block **ret_block, struct account *account, uint64_t handle, int fd,
                         const struct sealed_claim *claim, const char **ret_why);

/* Of a frozen block: the descriptor to send, borrowed. */
static inline int sealed_block_fd(const sea_block *block) {
    return block->sealed.fd;
}

#endif
