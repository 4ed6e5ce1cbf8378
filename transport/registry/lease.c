/* SPDX-License-Identifier: MIT */
/* The table of leases. See lease.h. A LEASED slot moves when the table grows, so the list links slots by number
 * (util/slot_table.h). */
#include "registry/lease.h"

#include "registry/block.h"
#include "sys/heap.h"
#include "sys/wait.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint32_t CAPACITY_FIRST = 16;

struct lease_slot {
    struct slot_head head; /* on the list of leases while LEASED */
    sea_block *block;      /* owned reference while LEASED; NULL: the slot is FREE */
    uint64_t leased_at;    /* wait_now_coarse() */
};

enum { SLOT_SIZE = sizeof(struct lease_slot) };

void lease_table_init(struct lease_table *table, struct account *account) {
    *table = (struct lease_table){.account = account, .slots = {.generation = 1}};
}

void lease_table_deinit(struct lease_table *table) {
    heap_free(table->slots.slots);
    table->slots = (struct slot_table){.generation = 1};
}

static struct lease_slot *slot_at(const struct slot_table *slots, uint32_t number) {
    return (struct lease_slot *) slot_table_at(slots, SLOT_SIZE, number);
}

/* Relaxed: the time publishes nothing but itself. */
static void tell_oldest(const struct lease_table *table) {
    uint64_t leased_at = table->leases.last ? slot_at(&table->slots, table->leases.last)->leased_at : 0;
    atomic_store_explicit(&table->account->member.oldest_sealed, leased_at, memory_order_relaxed);
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

static int slot_occupy(struct lease_table *table, sea_block *block, uint64_t *ret_handle) {
    struct slot_table *slots = &table->slots;
    if (!slots->free_first && table_grow(slots) < 0)
        return -ENOMEM;
    uint32_t number = slot_table_take(slots, SLOT_SIZE);
    struct lease_slot *slot = slot_at(slots, number);
    slot->block = block;
    slot->leased_at = wait_now_coarse();
    slot_list_insert(&table->leases, slots, SLOT_SIZE, 0, number);
    if (table->leases.last == number)
        tell_oldest(table);
    *ret_handle = handle_make(0, number - 1, slot->head.generation);
    return 0;
}

/* Frees a LEASED slot and hands its reference of the block over. */
static sea_block *slot_free(struct lease_table *table, uint32_t number) {
    struct slot_table *slots = &table->slots;
    struct lease_slot *slot = slot_at(slots, number);
    bool was_oldest = table->leases.last == number;
    sea_block *block = slot->block;
    slot_list_remove(&table->leases, slots, SLOT_SIZE, number);
    slot->block = NULL;
    slot_table_give(slots, SLOT_SIZE, number, handle_next_generation(slot->head.generation));
    if (was_oldest)
        tell_oldest(table);
    return block;
}

void lease_table_trim(struct lease_table *table) {
    if (!table->leases.first)
        heap_free(slot_table_clear(&table->slots, SLOT_SIZE));
}

/* A reference of the block that is not the last one costs little to drop. Another thread may drop its own meanwhile:
 * that is no harm. */
static uint64_t drop_work(const sea_block *block) {
    bool is_last = atomic_load_explicit(&block->refs, memory_order_relaxed) == 1;
    return is_last ? WORK_PER_MEMFD + block_footprint(block) : WORK_PER_ENTRY;
}

static void lease_uncharge(struct account *account, sea_block *block) {
    work_take(&account->work, drop_work(block));
    account_return_lease(account, block_footprint(block));
    sea_block_unref(block);
}

int lease_grant(struct lease_table *table, sea_block *block, uint64_t *ret_handle) {
    struct account *account = table->account;
    int r = account_charge_lease(account, block_footprint(block));
    if (r < 0)
        return r;
    r = slot_occupy(table, block, ret_handle);
    if (r < 0) {
        account_return_lease(account, block_footprint(block));
        return refusal_note(&account->ctx->refusals, r, "memory", sizeof(struct lease_slot), 0,
                            "the table of leases cannot grow: release blocks");
    }
    sea_block_ref(block);
    return 0;
}

int lease_release(struct lease_table *table, uint64_t handle) {
    uint32_t number = handle_index(handle) + 1;
    if (handle_arena(handle) != 0 || !slot_table_find(&table->slots, SLOT_SIZE, number, handle_generation(handle)) ||
        !slot_at(&table->slots, number)->block)
        return -ESTALE;
    lease_uncharge(table->account, slot_free(table, number));
    return 0;
}

bool lease_drop_one(struct lease_table *table, uint64_t *ret_bytes) {
    if (!table->leases.first)
        return false;
    sea_block *block = slot_free(table, table->leases.first);
    *ret_bytes = block_footprint(block);
    lease_uncharge(table->account, block);
    return true;
}

uint64_t lease_drop_all(struct lease_table *table, uint64_t *ret_bytes) {
    uint64_t count = 0, bytes = 0;
    *ret_bytes = 0;
    for (; lease_drop_one(table, &bytes); count++)
        *ret_bytes += bytes;
    return count;
}

uint64_t lease_oldest(const struct lease_table *table, struct lease_report *ret_lease) {
    uint32_t number = table->leases.last;
    if (!number)
        return 0;
    const struct lease_slot *slot = slot_at(&table->slots, number);
    ret_lease->handle = handle_make(0, number - 1, slot->head.generation);
    ret_lease->size = slot->block->size;
    return slot->leased_at;
}
