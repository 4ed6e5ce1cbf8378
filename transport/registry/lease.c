/* SPDX-License-Identifier: MIT */
/* The table of leases. See lease.h. Slots never move while leased but by index, so lists link indices + 1. */
#include "registry/lease.h"

#include "registry/block.h"
#include "registry/ctx.h"
#include "registry/peer.h"
#include "sys/heap.h"
#include "sys/wait.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>

static const uint32_t CAPACITY_FIRST = 64;

struct lease_slot {
    struct peer *peer; /* borrowed; NULL: the slot is FREE */
    sea_block *block;  /* owned reference while LEASED */
    uint32_t generation;
    uint32_t next, previous; /* index + 1 on the peer's list, the newest first, or (next) on the free list; 0: none */
    uint64_t leased_at;      /* wait_now_coarse() */
};

void lease_table_init(struct lease_table *table) {
    *table = (struct lease_table){.generation = 1};
    pthread_mutex_init(&table->lock, NULL);
}

void lease_table_deinit(struct lease_table *table) {
    heap_free(table->slots);
    pthread_mutex_destroy(&table->lock);
}

/* Doubles the table. */
static int table_grow(struct lease_table *table) {
    uint32_t capacity = table->capacity ? table->capacity * 2 : CAPACITY_FIRST;
    if (capacity > HANDLE_INDEX_MAX)
        return -ENOMEM;
    struct lease_slot *slots = heap_resize(table->slots, capacity, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = capacity; i-- > table->capacity;) {
        slots[i] = (struct lease_slot){.generation = table->generation, .next = table->free_head};
        table->free_head = i + 1;
    }
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

static int slot_occupy(struct lease_table *table, struct peer *peer, sea_block *block, uint64_t *ret_handle) {
    if (!table->free_head && table_grow(table) < 0)
        return -ENOMEM;
    uint32_t index = table->free_head - 1;
    struct lease_slot *slot = &table->slots[index];
    table->free_head = slot->next;
    slot->peer = peer;
    slot->block = block;
    slot->previous = 0;
    slot->next = peer->lease_head;
    slot->leased_at = wait_now_coarse();
    *(slot->next ? &table->slots[slot->next - 1].previous : &peer->lease_tail) = index + 1;
    peer->lease_head = index + 1;
    *ret_handle = handle_make(0, index, slot->generation);
    return 0;
}

/* Frees a LEASED slot and hands its reference of the block over. */
static sea_block *slot_free(struct lease_table *table, uint32_t index) {
    struct lease_slot *slot = &table->slots[index];
    sea_block *block = slot->block;
    *(slot->next ? &table->slots[slot->next - 1].previous : &slot->peer->lease_tail) = slot->previous;
    *(slot->previous ? &table->slots[slot->previous - 1].next : &slot->peer->lease_head) = slot->next;
    slot->peer = NULL;
    slot->block = NULL;
    slot->generation = handle_next_generation(slot->generation);
    slot->next = table->free_head;
    table->free_head = index + 1;
    return block;
}

/* The highest generation of any slot, or what new ones begin with; 0: one is LEASED. */
static uint32_t table_generation(const struct lease_table *table) {
    uint32_t generation = table->generation;
    for (uint32_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].peer)
            return 0;
        if (table->slots[i].generation > generation)
            generation = table->slots[i].generation;
    }
    return generation;
}

void lease_table_trim(struct lease_table *table) {
    pthread_mutex_lock(&table->lock);
    uint32_t generation = table_generation(table);
    if (generation) {
        table->slots = heap_free(table->slots);
        table->capacity = table->free_head = 0;
        table->generation = generation;
    }
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
    r = slot_occupy(table, peer, block, ret_handle);
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
    uint32_t index = handle_index(handle);
    sea_block *block = NULL;
    pthread_mutex_lock(&table->lock);
    if (handle_arena(handle) == 0 && index < table->capacity) {
        const struct lease_slot *slot = &table->slots[index];
        if (slot->peer == peer && slot->generation == handle_generation(handle))
            block = slot_free(table, index);
    }
    pthread_mutex_unlock(&table->lock);
    if (!block)
        return -ESTALE;
    lease_uncharge(peer, block);
    return 0;
}

bool lease_drop_one(struct lease_table *table, struct peer *peer, uint64_t *ret_bytes) {
    sea_block *block = NULL;
    pthread_mutex_lock(&table->lock);
    if (peer->lease_head)
        block = slot_free(table, peer->lease_head - 1);
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
    if (peer->lease_tail) {
        const struct lease_slot *slot = &table->slots[peer->lease_tail - 1];
        leased_at = slot->leased_at;
        ret_lease->handle = handle_make(0, peer->lease_tail - 1, slot->generation);
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
