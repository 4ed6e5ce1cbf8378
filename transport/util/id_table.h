/* SPDX-License-Identifier: MIT */
/*
 * A table of items by their ids.
 *
 *     entries[id & (capacity - 1)] = the item with that id;   capacity is 0, or a power of two
 *
 * Two ids with equal low bits do not fit into one table: the user makes the table larger, or chooses another id.
 *
 * Owns: nothing; the user allocates and frees the entries, so that this file needs no heap, and the items are borrowed.
 * Threads: the caller's lock, or one thread.
 */
#ifndef UTIL_ID_TABLE_H
#define UTIL_ID_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_entry {
    void *item; /* borrowed; NULL: the place is free */
    uint32_t id;
};

/* Zeroed: an empty table without capacity. */
struct id_table {
    struct id_entry *entries; /* allocated by the user */
    uint32_t capacity;
};

/* Is the place of `id` free? A table without capacity has no free place. */
static inline bool id_table_is_free(const struct id_table *table, uint32_t id) {
    return table->capacity > 0 && !table->entries[id & (table->capacity - 1)].item;
}

/* Puts an item, which is not NULL, into the free place of its id. */
static inline void id_table_put(struct id_table *table, uint32_t id, void *item) {
    table->entries[id & (table->capacity - 1)] = (struct id_entry){item, id};
}

/* Returns the item with this id, or NULL. */
static inline void *id_table_find(const struct id_table *table, uint32_t id) {
    const struct id_entry *entry = table->capacity > 0 ? &table->entries[id & (table->capacity - 1)] : NULL;
    return entry && entry->id == id ? entry->item : NULL;
}

/* Removes the item with this id and returns it, or returns NULL if there is none. */
void *id_table_remove(struct id_table *table, uint32_t id);

/*
 * Returns the next item from `*place` on, and moves `*place` behind it; NULL: no more. `*place` is 0 at first. The
 * item that was returned may be removed meanwhile.
 */
void *id_table_next(const struct id_table *table, uint32_t *place);

/* Removes the item that id_table_next() returned last, and returns it. `place` is id_table_next()'s. */
void *id_table_take(struct id_table *table, uint32_t place);

/*
 * Moves all items into `entries`: zeroed, `capacity` of them, which is a larger power of two. Ids with places of their
 * own still have them then. Returns the entries from before, which the user frees.
 */
struct id_entry *id_table_widen(struct id_table *table, struct id_entry *entries, uint32_t capacity);

#endif
