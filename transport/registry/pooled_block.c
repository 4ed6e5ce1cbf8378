/* SPDX-License-Identifier: MIT */
/* Pooled blocks of ours. See pooled_block.h. */
#include "registry/pooled_block.h"

#include "sys/heap.h"
#include "wire/handle.h"
#include <string.h>

static void slot_block_end(sea_block *block) {
    ctx_uncount(block->ctx, blocks, 1);
    ctx_uncount(block->ctx, bytes, block->size);
    pool_put(block->slot);
}

/* The peer could still read the bytes that are cut off. */
static int slot_block_shrink(sea_block *block, size_t size) {
    memset((char *) block->data + size, 0, block->size - size);
    ctx_uncount(block->ctx, bytes, block->size - size);
    return 0;
}

static const struct block_ops SLOT_OPS = {.end = slot_block_end, .shrink = slot_block_shrink};

/* What stays as it is for as long as there is the slot. */
static RARE void slot_make_block(struct pool_slot *slot, struct pool_budget *budget) {
    *slot_block(slot) = (sea_block){.ctx = budget->ctx,
                                    .ops = &SLOT_OPS,
                                    .sealed = SEALED_EMPTY,
                                    .data = slot->data,
                                    .slot = slot,
                                    .budget = budget};
}

sea_block *pooled_block_lend(struct pool_slot *slot, struct pool_budget *budget, size_t size) {
    sea_block *block = slot_block(slot);
    if (!block->slot)
        slot_make_block(slot, budget);
    return block_lend(block, budget->is_private ? SEA_INLINE : SEA_POOLED, size);
}

struct lease_report pooled_block_lease_of(const struct pool_slot *slot) {
    if (!slot)
        return (struct lease_report){.handle = 0};
    return (struct lease_report){
        .handle = handle_make(slot->arena->id, slot->index, slot->generation),
        .size = pooled_block_in(slot)->size,
        .age = ctx_age(slot->leased_at),
    };
}

uint64_t pooled_block_growth(const sea_block *block) {
    return block->slot ? pool_growth(block->slot) : 0;
}

void pooled_block_note_queued(const sea_block *block, bool is_queued) {
    block->slot->is_queued = is_queued;
}

int pooled_block_lease(struct account *account, sea_block *block, uint64_t *ret_handle) {
    int r = account_charge_lease(account, block->size);
    if (r < 0)
        return r;
    *ret_handle = slot_lease(block->slot);
    sea_block_ref(block);
    return 0;
}

uint64_t pooled_block_take_lease(struct account *account, sea_block *block) {
    if (!account_try_lease(account, block->size))
        return 0;
    if (!block->is_readonly) /* others may send and read one that is, in other threads */
        block->is_readonly = true;
    return slot_lease(block->slot);
}

bool pooled_block_take_back(struct account *account, const struct arena_ids *audience, uint64_t handle) {
    struct pool_slot *slot = pool_end_lease(audience, handle);
    if (!slot)
        return false;
    account_return_lease(account, slot_block(slot)->size);
    block_unref_own(slot_block(slot));
    return true;
}

uint64_t pooled_block_end_lease(struct account *account, struct pool_slot *slot) {
    sea_block *block = slot_block(slot);
    const struct pool_budget *budget = block->budget; /* of a pool that lives */
    uint64_t size = block->size, used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    slot_release(slot);
    account_return_lease(account, size);
    block_unref_own(block);
    uint64_t left = atomic_load_explicit(&budget->used, memory_order_relaxed); /* less, if a drained arena went */
    work_take(&account->work, WORK_PER_ENTRY + (left < used ? WORK_PER_MEMFD + used - left : 0));
    return size;
}
