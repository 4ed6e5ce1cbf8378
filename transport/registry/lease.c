/* SPDX-License-Identifier: MIT */
/* The table of leases. See lease.h. A LEASED slot moves when the table grows, so lists link slots by number (util/slot_table.h). */
#include "registry/lease.h"

#include "registry/block.h"
#include "registry/ctx.h"
#include "registry/peer.h"
#include "sys/heap.h"
#include "sys/wait.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint32_t CAPACITY_FIRST = 64;

struct lease_slot {
    struct slot_head head; /* on the peer's list while LEASED */
    struct peer *peer;     /* borrowed; NULL: the slot is FREE */
    sea_block *block;      /* owned reference while LEASED */
    uint64_t leased_at;    /* wait_now_coarse() */
};

enum { SLOT_SIZE = sizeof(struct lease_slot) };

void lease_table_init(struct lease_table *table) {
    *table = (struct lease_table){.slots = {.generation = 1}};
    pthread_mutex_init(&table->lock, NULL);
}

void lease_table_deinit(struct lease_table *table) {
    heap_free(table->slots.slots);
    pthread_mutex_destroy(&table->lock);
}

static struct lease_slot *slot_at(const struct slot_table *slots, uint32_t number) {
    return (struct lease_slot *) slot_table_at(slots, SLOT_SIZE, number);
}

/* Doubles the table. */
static int table_grow(struct slot_table *table) {
    uint32_t before = table->capacity, capacity = before ? before * 2 : CAPACITY_FIRST;
    if (capacity > HANDLE_INDEX_MAX)
        return -ENOMEM;
    struct lease_slot *slots = heap_resize(table->slots, capacity, SLOT_SIZE);
    if (!slots)
        return -ENOMEM;
    memset(&slots[before], 0, SLOT_SIZE * (capacity - before));
    slot_table_add(table, SLOT_SIZE, slots, capacity);
    return 0;
}

static int slot_occupy(struct slot_table *slots, struct peer *peer, sea_block *block, uint64_t *ret_handle) {
    if (!slots->free_first && table_grow(slots) < 0)
        return -ENOMEM;
    uint32_t number = slot_table_take(slots, SLOT_SIZE);
    struct lease_slot *slot = slot_at(slots, number);
    slot->peer = peer;
    slot->block = block;
    slot->leased_at = wait_now_coarse();
    slot_list_insert(&peer->leases, slots, SLOT_SIZE, 0, number);
    *ret_handle = handle_make(0, number - 1, slot->head.generation);
    return 0;
}

/* Frees a LEASED slot and hands its reference of the block over. */
static sea_block *slot_free(struct slot_table *slots, uint32_t number) {
    struct lease_slot *slot = slot_at(slots, number);
    sea_block *block = slot->block;
    slot_list_remove(&slot->peer->leases, slots, SLOT_SIZE, number);
    slot->peer = NULL;
    slot->block = NULL;
    slot_table_give(slots, SLOT_SIZE, number, handle_next_generation(slot->head.generation));
    return block;
}

static bool has_leased(const struct slot_table *slots) {
    for (uint32_t number = 1; number <= slots->capacity; number++)
        if (slot_at(slots, number)->peer)
            return true;
    return false;
}

void lease_table_trim(struct lease_table *table) {
    pthread_mutex_lock(&table->lock);
    if (!has_leased(&table->slots))
        heap_free(slot_table_clear(&table->slots, SLOT_SIZE));
    pthread_mutex_unlock(&table->lock);
}

/* A reference of the block that is not the last one costs little to drop. Another thread may drop its own meanwhile:
 * that is no harm. */
static uint64_t drop_work(const sea_block *block) {
    bool is_last = atomic_load_explicit(&block->refs, memory_order_relaxed) == 1;
    return is_last ? WORK_PER_MEMFD + block_footprint(block) : WORK_PER_ENTRY;
}

static void lease_uncharge(struct peer *peer, sea_block *block) {
    work_take(&peer->work, drop_work(block));
    peer_return_lease(peer, block_footprint(block));
    sea_block_unref(block);
}

int lease_grant(struct lease_table *table, struct peer *peer, sea_block *block, uint64_t *ret_handle) {
    int r = peer_charge_lease(peer, block_footprint(block));
    if (r < 0)
        return r;
    pthread_mutex_lock(&table->lock);
    r = slot_occupy(&table->slots, peer, block, ret_handle);
    pthread_mutex_unlock(&table->lock);
    if (r < 0) {
        peer_return_lease(peer, block_footprint(block));
        return refusal_note(&peer->ctx->refusals, r, "memory", sizeof(struct lease_slot), 0,
                            "the table of leases cannot grow: release blocks");
    }
    sea_block_ref(block);
    return 0;
}

int lease_release(struct lease_table *table, struct peer *peer, uint64_t handle) {
    uint32_t number = handle_index(handle) + 1;
    sea_block *block = NULL;
    pthread_mutex_lock(&table->lock);
    if (handle_arena(handle) == 0 && slot_table_find(&table->slots, SLOT_SIZE, number, handle_generation(handle)) &&
        slot_at(&table->slots, number)->peer == peer)
        block = slot_free(&table->slots, number);
    pthread_mutex_unlock(&table->lock);
    if (!block)
        return -ESTALE;
    lease_uncharge(peer, block);
    return 0;
}

bool lease_drop_one(struct lease_table *table, struct peer *peer, uint64_t *ret_bytes) {
    sea_block *block = NULL;
    pthread_mutex_lock(&table->lock);
    if (peer->leases.first)
        block = slot_free(&table->slots, peer->leases.first);
    pthread_mutex_unlock(&table->lock);
    if (!block)
        return false;
    *ret_bytes = block_footprint(block);
    lease_uncharge(peer, block);
    return true;
}

uint64_t lease_drop_all(struct lease_table *table, struct peer *peer, uint64_t *ret_bytes) {
    uint64_t count = 0, bytes = 0;
    *ret_bytes = 0;
    for (; lease_drop_one(table, peer, &bytes); count++)
        *ret_bytes += bytes;
    return count;
}

uint64_t lease_oldest(struct lease_table *table, const struct peer *peer, struct lease_report *ret_lease) {
    uint64_t leased_at = 0;
    pthread_mutex_lock(&table->lock);
    if (peer->leases.last) {
        const struct lease_slot *slot = slot_at(&table->slots, peer->leases.last);
        leased_at = slot->leased_at;
        ret_lease->handle = handle_make(0, peer->leases.last - 1, slot->head.generation);
        ret_lease->size = slot->block->size;
    }
    pthread_mutex_unlock(&table->lock);
    return leased_at;
}

uint64_t lease_age(uint64_t leased_at) {
    uint64_t now = wait_now_coarse();
    if (!leased_at)
        return 0;
    return now > leased_at ? now - leased_at : 1;
}
