/* SPDX-License-Identifier: MIT */
/*
 * Homes: a pool's arenas, each with its slots, of all generations: they are made, reserved, drain and go, and what they
 * hold is counted.
 *
 *     home.out = slots of it that are not FREE, those on their way back included
 *     a home is of the newest generation  <=>  it has a class; else it drains, and out > 0
 *     a home is on the idle list  <=>  it has a class, out = 0, and it is not reserved
 *     bytes_out = sum of out * stride, over all; draining: over those that drain
 *
 * Life:  pool_arenas_make()  -->  idle  <-->  out > 0  --pool_arenas_begin_generation()-->  drains  -->  gone with the
 * last that comes back; what is idle goes by pool_arenas_retire_idle(), pool_arenas_begin_generation() and
 * pool_arenas_end(). What is out at pool_arenas_end() is pool_arena_free()'s, by the pool.
 *
 * They choose no block and no size: memory/size_class.h and memory/pool.c do. Part of struct pool, and its alone: what
 * pool.h says of arenas, charges and threads holds here.
 *
 * Threads: the pool's owner's; but `left`, and pool_arena_free(), whoever's puts the last block of a pool that has
 * ended.
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
    struct arena arena;         /* first: slot->arena leads here */
    struct pool_arenas *arenas; /* borrowed */
    struct size_class *class;   /* borrowed; NULL: of an older generation; it drains */
    uint64_t generation;
    uint64_t allocated;                 /* by its generation, once that is over */
    QUEUE_LINK(struct pool_arena) link; /* on the idle list */
    uint32_t out;
    bool is_reserved;
    _Atomic uint32_t left; /* slots that are out, of a pool that has ended */
    struct census_entry counted;
    _Alignas(max_align_t) char slots[];
};

struct pool_arenas {
    struct pool_front front;     /* first, as the pool's own */
    const struct pool_ops *ops;  /* borrowed */
    void *owner;                 /* borrowed */
    struct admission *admission; /* borrowed, or NULL */
    struct census *census;       /* likewise */
    struct arena_ids *audience;  /* borrowed until pool_end() */
    size_t slot_size;
    QUEUE(struct pool_arena) idle; /* the longest idle first */
    uint64_t mapped, arenas, bytes_out, mapped_peak, out_peak, reserved;
    struct {
        uint64_t arenas, mapped, bytes_out;
    } draining; /* of those above */
    struct rotation rotation;
    bool is_private;
};

/* Of zeroed ones: none yet. */
void pool_arenas_init(struct pool_arenas *arenas, const struct pool_options *options);

/* Makes one of `count` blocks, all FREE, in the class. As pool_take(). */
int pool_arenas_make(struct pool_arenas *arenas, struct size_class *class, size_t stride, uint32_t count);

/* Retires idle ones, the longest idle first, until at most `keep` bytes are retained. */
void pool_arenas_retire_idle(struct pool_arenas *arenas, uint64_t keep);

/* Retires the one that is idle longest. Returns its bytes; 0: none is idle. */
uint64_t pool_arenas_retire_one(struct pool_arenas *arenas);

/* Reserves some, until they have `count` free blocks of at least `size` bytes. Returns how many are missing. */
uint32_t pool_arenas_reserve(struct pool_arenas *arenas, const struct size_class *class, size_t size, uint32_t count);
void pool_arenas_unreserve(struct pool_arenas *arenas);

/* Those that are there hand out no more blocks: each goes when none of its own is out. */
void pool_arenas_begin_generation(struct pool_arenas *arenas);

/* Frees what is idle, and has each other one count what is `left`. Returns how many these are: pool_arena_free() is for
 * each still to come. */
uint32_t pool_arenas_end(struct pool_arenas *arenas);

/* The memory, and at the very last the charge. The pool may be gone by then. */
void pool_arena_free(struct pool_arena *home, const struct pool_ops *ops, void *owner);

/* One of the slots of one that drains came back. */
void pool_arena_drain(struct pool_arena *home, struct pool_slot *slot);

/* As pool.h says of its own, without leases, and without what is still on its way back. Each looks at all. */
void pool_arenas_gauges(const struct pool_arenas *arenas, struct pool_gauges *ret_gauges);
void pool_arenas_generation(const struct pool_arenas *arenas, uint64_t number, struct pool_gauges *ret_gauges);
uint64_t pool_arenas_oldest_generation(const struct pool_arenas *arenas);
uint64_t pool_arenas_resident(const struct pool_arenas *arenas, uint64_t generation);

/* Free, and kept for the next. */
static inline uint64_t pool_arenas_retained(const struct pool_arenas *arenas) {
    return arenas->mapped - arenas->draining.mapped - (arenas->bytes_out - arenas->draining.bytes_out);
}

static inline struct pool_arena *pool_arena_of(const struct pool_slot *slot) {
    return (struct pool_arena *) slot->arena;
}

static inline struct pool_slot *pool_arena_slot(const struct pool_arena *home, uint32_t index) {
    return (struct pool_slot *) (uintptr_t) (home->slots + home->arenas->slot_size * index);
}

/* --- out and back --- */

static inline void pool_arenas_add_idle(struct pool_arenas *arenas, struct pool_arena *home) {
    if (!home->is_reserved)
        QUEUE_APPEND(&arenas->idle, home, link);
}

static inline void pool_arenas_remove_idle(struct pool_arenas *arenas, struct pool_arena *home) {
    if (!home->is_reserved)
        QUEUE_REMOVE(&arenas->idle, home, link);
}

/* The slot has been taken from its class. */
static inline void slot_go_out(struct pool_arenas *arenas, const struct pool_slot *slot) {
    struct pool_arena *home = pool_arena_of(slot);
    if (home->out++ == 0)
        pool_arenas_remove_idle(arenas, home);
    arenas->front.allocated += home->arena.stride;
    arenas->bytes_out += home->arena.stride;
    if (arenas->bytes_out > arenas->out_peak)
        arenas->out_peak = arenas->bytes_out;
}

/* It is FREE again, in its class if its home still has one. */
static inline void slot_come_back(struct pool_arenas *arenas, struct pool_slot *slot) {
    struct pool_arena *home = pool_arena_of(slot);
    assert(!slot->is_free && !slot->is_leased);
    arenas->bytes_out -= home->arena.stride;
    if (!home->class) {
        pool_arena_drain(home, slot);
        return;
    }
    size_class_put(home->class, slot);
    if (--home->out == 0)
        pool_arenas_add_idle(arenas, home);
}

#endif
