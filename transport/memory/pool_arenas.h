/* SPDX-License-Identifier: MIT */
/*
 * The arenas of a pool, of all generations, each with its slots: making, reserving, draining and freeing them, and
 * counting their contents.
 *
 *     arena.out = slots of the arena that are not FREE, including slots on their way back
 *     an arena is of the newest generation  <=>  it has a class; else it drains, and out > 0
 *     an arena is on the idle list  <=>  it has a class, out = 0, and it is not reserved
 *     bytes_out = sum of out * stride, over all arenas; draining: over the arenas that drain
 *
 * Life:  pool_arenas_make()  -->  idle  <-->  out > 0  --pool_arenas_begin_generation()-->  drains  -->  freed with its
 * last block that comes back. pool_arenas_retire_idle(), pool_arenas_begin_generation() and pool_arenas_end() free idle
 * arenas. After pool_arenas_end() the pool calls pool_arena_free() for each arena that is left.
 *
 * This room chooses no block and no size: memory/size_class.h and memory/pool.c do.
 *
 * Owns: the arenas; it is a part of struct pool. Touches: the owner's charges and its list of retired arenas
 * (pool_ops), the audience's ids, the size classes, the promises of admission, and the census.
 *
 * Threads: the pool's owner's. Exceptions are `left` and pool_arena_free(): the threads that put blocks of a pool that
 * has ended use them.
 */
#ifndef MEMORY_POOL_ARENAS_H
#define MEMORY_POOL_ARENAS_H

#include "memory/pool_front.h"
#include "memory/pool_ops.h"
#include "memory/size_class.h"
#include <assert.h>
#include <stdatomic.h>

/* An arena with its slots, in one piece. */
struct pool_arena {
    struct arena base;          /* first: slot->arena is cast */
    struct pool_arenas *arenas; /* borrowed */
    struct size_class *class;   /* borrowed; NULL: of an older generation, it drains */
    uint64_t generation;
    uint64_t allocated;                 /* bytes that its generation has taken, once that is over */
    QUEUE_LINK(struct pool_arena) link; /* on the idle list */
    uint32_t out;
    bool is_reserved;
    _Atomic uint32_t left; /* slots that are out, after the pool has ended */
    struct census_entry counted;
    _Alignas(max_align_t) char slots[];
};

struct pool_arenas {
    struct pool_front front;     /* first: it is the front of the pool */
    const struct pool_ops *ops;  /* borrowed */
    void *owner;                 /* borrowed */
    struct admission *admission; /* borrowed, or NULL */
    struct census *census;       /* borrowed, or NULL */
    struct arena_ids *audience;  /* borrowed until pool_end() */
    size_t slot_size;
    QUEUE(struct pool_arena) idle; /* the longest idle first */
    uint64_t mapped, arenas, bytes_out, mapped_peak, out_peak, reserved;
    struct {
        uint64_t arenas, mapped, bytes_out;
    } draining; /* included above */
    struct rotation rotation;
    bool is_private;
};

/* Sets the options of zeroed ones. There is no arena yet. */
void pool_arenas_init(struct pool_arenas *arenas, const struct pool_options *options);

/* Makes an arena of `count` blocks, all FREE, in the class. Errors as for pool_take(). */
int pool_arenas_make(struct pool_arenas *arenas, struct size_class *class, size_t stride, uint32_t count);

/* A class without hot blocks, which are all collected, has begun or ended its cycle: its slots may, or may no longer,
 * be hot. Costs a step for each arena, and for each slot of the class. */
void pool_arenas_note_cycle(struct pool_arenas *arenas, const struct size_class *class);

/* Frees idle arenas, the longest idle first, until at most `keep` bytes are retained. */
void pool_arenas_retire_idle(struct pool_arenas *arenas, uint64_t keep);

/* Frees the arena that is idle longest. Returns its bytes; 0: none is idle. */
uint64_t pool_arenas_retire_one(struct pool_arenas *arenas);

/* Frees the longest idle arena of a class whose surplus has as many blocks. Returns its bytes; 0: there is none. Costs
 * a step for each idle arena. */
uint64_t pool_arenas_retire_surplus(struct pool_arenas *arenas);

/* Reserves arenas until the reserved ones have `count` free blocks of at least `size` bytes. Returns how many blocks
 * are missing. */
uint32_t pool_arenas_reserve(struct pool_arenas *arenas, const struct size_class *class, size_t size, uint32_t count);
void pool_arenas_unreserve(struct pool_arenas *arenas);

/* Starts a generation: the arenas that exist hand out no more blocks, and each is freed when none of its blocks is
 * out. */
void pool_arenas_begin_generation(struct pool_arenas *arenas);

/* Frees idle arenas, and sets `left` of each other one. Returns how many others there are: each needs pool_arena_free()
 * later. */
uint32_t pool_arenas_end(struct pool_arenas *arenas);

/* Frees the memory and then returns its charge, as the last step. The pool may be gone by then. */
void pool_arena_free(struct pool_arena *arena, const struct pool_ops *ops, void *owner);

/* A slot of a draining arena came back. */
void pool_arena_drain(struct pool_arena *arena, struct pool_slot *slot);

/* The gauges as pool.h has them, without leases, and without blocks on their way back. Each function costs a step for
 * each arena. */
void pool_arenas_gauges(const struct pool_arenas *arenas, struct pool_gauges *ret_gauges);
void pool_arenas_generation(const struct pool_arenas *arenas, uint64_t number, struct pool_gauges *ret_gauges);
uint64_t pool_arenas_oldest_generation(const struct pool_arenas *arenas);
uint64_t pool_arenas_resident(const struct pool_arenas *arenas, uint64_t generation);

/* Free bytes that are kept for later blocks. */
static inline uint64_t pool_arenas_retained(const struct pool_arenas *arenas) {
    return arenas->mapped - arenas->draining.mapped - (arenas->bytes_out - arenas->draining.bytes_out);
}

static inline struct pool_arena *pool_arena_of(const struct pool_slot *slot) {
    return (struct pool_arena *) slot->arena;
}

static inline struct pool_slot *pool_arena_slot(const struct pool_arena *arena, uint32_t index) {
    return (struct pool_slot *) (uintptr_t) (arena->slots + arena->arenas->slot_size * index);
}

/* --- out and back --- */

static inline void pool_arenas_add_idle(struct pool_arenas *arenas, struct pool_arena *arena) {
    if (!arena->is_reserved)
        QUEUE_APPEND(&arenas->idle, arena, link);
}

static inline void pool_arenas_remove_idle(struct pool_arenas *arenas, struct pool_arena *arena) {
    if (!arena->is_reserved)
        QUEUE_REMOVE(&arenas->idle, arena, link);
}

/* Counts a slot that was taken from its class. */
static inline void slot_go_out(struct pool_arenas *arenas, const struct pool_slot *slot) {
    struct pool_arena *arena = (struct pool_arena *) slot->arena;
    if (arena->out++ == 0)
        pool_arenas_remove_idle(arenas, arena);
    arenas->front.allocated += arena->base.stride;
    arenas->bytes_out += arena->base.stride;
    if (arenas->bytes_out > arenas->out_peak)
        arenas->out_peak = arenas->bytes_out;
}

/* Makes a slot FREE again, in its class if its arena still has one. */
static inline void slot_come_back(struct pool_arenas *arenas, struct pool_slot *slot) {
    struct pool_arena *arena = (struct pool_arena *) slot->arena;
    assert(!slot->is_free && !slot->is_leased);
    arenas->bytes_out -= arena->base.stride;
    if (!arena->class) {
        pool_arena_drain(arena, slot);
        return;
    }
    size_class_put(arena->class, slot);
    if (--arena->out == 0)
        pool_arenas_add_idle(arenas, arena);
}

#endif
