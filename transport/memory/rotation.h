/* SPDX-License-Identifier: MIT */
/*
 * Rotation: when a pool begins a new generation, and when it gives back what is free, of itself. It decides; the pool
 * does it.
 *
 * A generation is too old `age` after its first arena was made, full when blocks of `bytes` have been taken from it,
 * and idle when none was taken for `idle`. One from which none was ever taken, which is there because it was reserved,
 * is neither old nor idle. What is free is not kept for longer than `keep` after a block was last taken.
 *
 * Pure, but for the clock in rotation_note_arena(). Threads: the pool's owner's.
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
    uint64_t seen, taken_at; /* `allocated` at the newest look, and since when it has been that */
};

enum rotation_wish { ROTATION_NOTHING, ROTATION_TRIM, ROTATION_ROTATE };

void rotation_init(struct rotation *rotation, const struct pool_policy *policy);

/* A new generation. `allocated` here and below: bytes of all blocks ever taken from the pool. */
void rotation_begin(struct rotation *rotation, uint64_t allocated);

/* An arena was made. */
void rotation_note_arena(struct rotation *rotation);

bool rotation_is_full(const struct rotation *rotation, uint64_t allocated);

/* What is due, of a generation that has arenas. `now`: CLOCK_MONOTONIC, nanoseconds. */
enum rotation_wish rotation_check(struct rotation *rotation, uint64_t allocated, uint64_t now);

/* When to look again, if nothing happens before; WAIT_FOREVER: no need to. */
uint64_t rotation_deadline(const struct rotation *rotation, bool has_arenas, bool has_free_ones);

#endif
