/* SPDX-License-Identifier: MIT */
/* The census. See census.h for what its numbers mean. */
#include "memory/census.h"

#include "sys/map.h"
#include "sys/memfd.h"
#include "util/arith.h"
#include <stdbool.h>
#include <unistd.h>

void census_init(struct census *census) {
    for (int i = 0; i < CENSUS_PARTS; i++) {
        census->parts[i].first = NULL;
        pthread_mutex_init(&census->parts[i].lock, NULL);
    }
}

void census_deinit(struct census *census) {
    for (int i = 0; i < CENSUS_PARTS; i++)
        pthread_mutex_destroy(&census->parts[i].lock);
}

/* Objects of one kind lie at multiples of some power of two: a product spreads these. */
static struct census_part *part_for(struct census *census, const struct census_entry *entry) {
    uint64_t spread = (uint64_t) (uintptr_t) entry * UINT64_C(0x9e3779b97f4a7c15);
    return &census->parts[spread >> 60];
}

static void enter(struct census *census, struct census_entry *entry) {
    struct census_part *part = part_for(census, entry);
    pthread_mutex_lock(&part->lock);
    entry->part = part;
    LIST_PUSH(&part->first, entry, link);
    pthread_mutex_unlock(&part->lock);
}

static uint64_t whole_pages(uint64_t size) {
    return round_up_u64(size, (uint64_t) sysconf(_SC_PAGESIZE));
}

void census_enter_mapped(struct census *census, struct census_entry *entry, const void *data, size_t size,
                         uint64_t excess) {
    *entry = (struct census_entry){.data = data, .size = size, .fd = -1, .reserved = whole_pages(size) + excess};
    if (census)
        enter(census, entry);
}

void census_enter_fd(struct census *census, struct census_entry *entry, int fd, uint64_t size, uint64_t excess) {
    *entry = (struct census_entry){.fd = fd, .reserved = whole_pages(size) + excess};
    if (census)
        enter(census, entry);
}

void census_leave(struct census_entry *entry) {
    struct census_part *part = entry->part;
    if (!part)
        return;
    pthread_mutex_lock(&part->lock);
    LIST_REMOVE(entry, link);
    pthread_mutex_unlock(&part->lock);
    entry->part = NULL;
}

static bool entry_count(const struct census_entry *entry, uint64_t *ret_bytes) {
    return entry->data ? map_count_whole(entry->data, entry->size, ret_bytes)
                       : memfd_allocated(entry->fd, ret_bytes) == 0;
}

static void add(struct census_sums *sums, const struct census_entry *entry) {
    uint64_t bytes = entry->reserved;
    bool is_told = entry_count(entry, &bytes);
    sums->files++;
    sums->reserved += entry->reserved;
    sums->resident += is_told ? bytes : entry->reserved;
    sums->added += is_told && bytes > entry->reserved ? bytes - entry->reserved : 0;
    sums->untold += is_told ? 0 : entry->reserved;
}

void census_count(struct census *census, struct census_sums *ret_sums) {
    *ret_sums = (struct census_sums){.files = 0};
    for (int i = 0; i < CENSUS_PARTS; i++) {
        struct census_part *part = &census->parts[i];
        pthread_mutex_lock(&part->lock);
        for (const struct census_entry *entry = part->first; entry; entry = entry->link.next)
            add(ret_sums, entry);
        pthread_mutex_unlock(&part->lock);
    }
}
