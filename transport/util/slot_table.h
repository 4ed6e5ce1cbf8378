/* SPDX-License-Identifier: MIT */
/*
 * A table of slots with generations, so that {slot, generation} never names a later user of the slot.
 *
 * The slots lie in one array, which grows, so that lists link slots by number. A slot's number is its index + 1; 0 is
 * no slot. Each slot begins with a struct slot_head. Free slots are linked by `next`, the last one that became free
 * first.
 *
 *     0 < number <= capacity
 *     the generation of a slot grows whenever the slot becomes free
 *
 * `size` is the size of a slot in bytes. It is a constant of the user's, so that the compiler can work with it: each
 * function here is inline.
 *
 * Owns: nothing; the user allocates and frees the array, so that this file needs no heap, and knows which slots are in
 * use. Touches: the heads of slots. Threads: the caller's lock, or one thread.
 */
#ifndef UTIL_SLOT_TABLE_H
#define UTIL_SLOT_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* The first member of each slot. */
struct slot_head {
    uint32_t generation;
    uint32_t next, previous; /* slot numbers: the user's, or (next) on the list of free slots */
};

/* Zeroed: an empty table. The user may set `generation` first. */
struct slot_table {
    void *slots;         /* allocated by the user */
    uint32_t capacity;   /* slots */
    uint32_t free_first; /* slot number; 0: none is free */
    uint32_t generation; /* of slots that are added */
};

#define SLOT_AT(table, size, number) ((struct slot_head *) (void *) ((char *) (table)->slots + (size) * ((number) -1)))

static inline struct slot_head *slot_table_at(const struct slot_table *table, size_t size, uint32_t number) {
    return SLOT_AT(table, size, number);
}

/* Takes `slots`, the array resized to `capacity` slots, and adds the new ones, which are free; the lowest goes first.
 * Only their heads are written. */
static inline void slot_table_add(struct slot_table *table, size_t size, void *slots, uint32_t capacity) {
    table->slots = slots;
    for (uint32_t number = capacity; number > table->capacity; number--) {
        *SLOT_AT(table, size, number) = (struct slot_head){table->generation, table->free_first, 0};
        table->free_first = number;
    }
    table->capacity = capacity;
}

/* Takes a free slot and returns its number. There is one. */
static inline uint32_t slot_table_take(struct slot_table *table, size_t size) {
    uint32_t number = table->free_first;
    table->free_first = SLOT_AT(table, size, number)->next;
    return number;
}

/* Frees a slot. Its next user has it with this generation. */
static inline void slot_table_give(struct slot_table *table, size_t size, uint32_t number, uint32_t generation) {
    *SLOT_AT(table, size, number) = (struct slot_head){generation, table->free_first, 0};
    table->free_first = number;
}

/* Returns the slot, or NULL if there is none with that number and that generation. The slot may be free. */
static inline struct slot_head *slot_table_find(const struct slot_table *table, size_t size, uint32_t number,
                                                uint32_t generation) {
    if (number == 0 || number > table->capacity)
        return NULL;
    struct slot_head *slot = SLOT_AT(table, size, number);
    return slot->generation == generation ? slot : NULL;
}

/* Empties a table whose slots are all free, and returns the array, which the user frees. Slots that are added later
 * begin with the highest generation that a slot had. */
static inline void *slot_table_clear(struct slot_table *table, size_t size) {
    void *slots = table->slots;
    uint32_t generation = table->generation;
    for (uint32_t number = 1; number <= table->capacity; number++)
        if (SLOT_AT(table, size, number)->generation > generation)
            generation = SLOT_AT(table, size, number)->generation;
    *table = (struct slot_table){.generation = generation};
    return slots;
}

/* A list of slots in use, linked both ways by number. Zeroed: an empty list. */
struct slot_list {
    uint32_t first, last; /* slot numbers; 0: none */
};

/* Puts a slot behind the slot `before`; 0: before all. */
static inline void slot_list_insert(struct slot_list *list, const struct slot_table *table, size_t size,
                                    uint32_t before, uint32_t number) {
    const struct slot_table slots = *table; /* stores into slots do not change it */
    struct slot_head *slot = SLOT_AT(&slots, size, number);
    uint32_t *next = before ? &SLOT_AT(&slots, size, before)->next : &list->first;
    uint32_t after = *next;
    *next = number;
    *(after ? &SLOT_AT(&slots, size, after)->previous : &list->last) = number;
    slot->next = after;
    slot->previous = before;
}

static inline void slot_list_remove(struct slot_list *list, const struct slot_table *table, size_t size,
                                    uint32_t number) {
    const struct slot_table slots = *table;
    const struct slot_head *slot = SLOT_AT(&slots, size, number);
    uint32_t before = slot->previous, after = slot->next;
    *(before ? &SLOT_AT(&slots, size, before)->next : &list->first) = after;
    *(after ? &SLOT_AT(&slots, size, after)->previous : &list->last) = before;
}

#undef SLOT_AT

#endif
