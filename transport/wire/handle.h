/* SPDX-License-Identifier: MIT */
/*
 * Handles: the 64 bits that name one lease across the ring, {arena, index, generation}.
 *
 *     handle = arena << 48 | index << 24 | generation
 *
 * `arena` is 0 for sealed blocks, which are in no arena, and 1..65535 for pooled ones; `index` is a slot in the owner's
 * table, or a block in its arena; `generation` is never 0, so that no handle is, and grows with each lease of its slot,
 * so that a handle that was used up does not name its successor. (After 2^24 - 1 leases of one slot it does again. A
 * peer that kept one that long, and sends it, gives back a lease of its own.)
 *
 * Owns: nothing. registry/lease.h and memory/pool.h grant and end leases; here are only their names. Pure functions.
 * Threads: any.
 */
#ifndef WIRE_HANDLE_H
#define WIRE_HANDLE_H

#include <stdint.h>

#define HANDLE_ARENA_MAX ((1u << 16) - 1)
#define HANDLE_INDEX_BITS 24
#define HANDLE_GENERATION_BITS 24
#define HANDLE_INDEX_MAX ((1u << HANDLE_INDEX_BITS) - 1)
#define HANDLE_GENERATION_MASK ((1u << HANDLE_GENERATION_BITS) - 1)

static inline uint64_t handle_make(uint32_t arena, uint32_t index, uint32_t generation) {
    return ((uint64_t) arena << HANDLE_INDEX_BITS | index) << HANDLE_GENERATION_BITS | generation;
}

static inline uint32_t handle_arena(uint64_t handle) {
    return (uint32_t) (handle >> (HANDLE_INDEX_BITS + HANDLE_GENERATION_BITS));
}

static inline uint32_t handle_index(uint64_t handle) {
    return (uint32_t) (handle >> HANDLE_GENERATION_BITS) & HANDLE_INDEX_MAX;
}

static inline uint32_t handle_generation(uint64_t handle) {
    return (uint32_t) handle & HANDLE_GENERATION_MASK;
}

/* The parts of a handle. */
struct handle_parts {
    uint32_t arena, index, generation;
};

static inline struct handle_parts handle_split(uint64_t handle) {
    return (struct handle_parts){(uint32_t) (handle >> (HANDLE_INDEX_BITS + HANDLE_GENERATION_BITS)),
                                 (uint32_t) (handle >> HANDLE_GENERATION_BITS) & HANDLE_INDEX_MAX,
                                 (uint32_t) handle & HANDLE_GENERATION_MASK};
}

static inline uint32_t handle_next_generation(uint32_t generation) {
    uint32_t next = (generation + 1) & HANDLE_GENERATION_MASK;
    return next ? next : 1;
}

#endif
