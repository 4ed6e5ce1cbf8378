/* SPDX-License-Identifier: MIT */
/*
 * Rotation decides when a pool begins a new generation by itself, and when it gives free memory back. The pool carries
 * the decisions out.
 *
 * A generation is too old when `age` has passed since its first arena was made. It is full when blocks of `bytes` in
 * all have been taken from it. It is idle when no block was taken for `idle`. A generation from which no block was ever
 * taken exists because it was reserved: it is neither old nor idle. Free memory is not kept for longer than `keep`
 * after a block was last taken.
 *
 * Owns: its own times and counts, a part of struct pool_arenas. Touches: the clock, in rotation_note_arena(); no arena.
 * Threads: the pool's owner's.
 */
#ifndef MEMORY_ROTATION_H
#define MEMORY_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

/* 0 in any field: never. */
struct pool_policy {
    uint64_t bytes;
    uint64_t age, idle, keep; /* nanoseconds */
};

struct rotation {
    struct pool_policy policy;
    uint64_t generation;     /* its number, from 1 */
    uint64_t first_byte;     /* `allocated` when it began */
    uint64_t began_at;       /* when its first arena was made; 0: not yet */
    uint64_t seen, taken_at; /* `allocated` at the newest check, and the time since when it has had this value */
};

enum rotation_wish { ROTATION_NOTHING, ROTATION_TRIM, ROTATION_ROTATE };

void rotation_init(struct rotation *rotation, const struct pool_policy *policy);

/* Begins a generation. `allocated`, here and below: bytes of all blocks ever taken from the pool. */
void rotation_begin(struct rotation *rotation, uint64_t allocated);

/* Notes that an arena was made. */
void rotation_note_arena(struct rotation *rotation);

bool rotation_is_full(const struct rotation *rotation, uint64_t allocated);

/* Returns the step that is due, for a generation that has arenas. `now`: CLOCK_MONOTONIC, nanoseconds. */
enum rotation_wish rotation_check(struct rotation *rotation, uint64_t allocated, uint64_t now);

/* Returns the time for the next check, if no block is taken or put before; WAIT_FOREVER: none is needed. */
uint64_t rotation_deadline(const struct rotation *rotation, bool has_arenas, bool has_free_ones);

#endif
