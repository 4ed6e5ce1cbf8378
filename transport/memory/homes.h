/* SPDX-License-Identifier: MIT */
/*
 * Homes: a pool's arenas, each with its slots, of all generations: they are made, reserved, drain and go, and what they hold is counted.
 *
 *     home.out = slots of it that are not FREE, those on their way back included
 *     a home is of the newest generation  <=>  it has a class; else it drains, and out > 0
 *     a home is on the idle list  <=>  it has a class, out = 0, and it is not reserved
 *     bytes_out = sum of out * stride, over all; draining: over those that drain
 *
 * Life:  homes_make()  -->  idle  <-->  out > 0  --homes_begin_generation()-->  drains  -->  gone with the last that comes back; what is
 * idle goes by homes_retire_idle(), homes_begin_generation() and homes_end(). What is out at homes_end() is home_free()'s, by the pool.
 *
 * They choose no block and no size: memory/size_class.h and memory/pool.c do. Part of struct pool, and its alone: what pool.h says of
 * arenas, charges and threads holds here.
 *
 * Threads: the pool's owner's; but `left`, and home_free(), whoever's puts the last block of a pool that has ended.
 */
#ifndef MEMORY_HOMES_H
#define MEMORY_HOMES_H

#include "memory/census.h"
#include "memory/pool.h"
#include <assert.h>
#include <stdatomic.h>

/* An arena with its slots, in one piece. */
struct home {
    struct arena arena;       /* first: slot->arena leads here */
    struct homes *homes;      /* borrowed */
    struct size_class *class; /* borrowed; NULL: of an older generation; it drains */
    uint64_t generation;
    uint64_t allocated;           /* by its generation, once that is over */
    struct home *next, *previous; /* on the idle list */
    uint32_t out;
    bool is_reserved;
    _Atomic uint32_t left; /* slots that are out, of a pool that has ended */
    struct census_entry counted;
    _Alignas(max_align_t) char slots[];
};

struct homes {
    struct pool_front front;     /* first, as the pool's own */
    const struct pool_ops *ops;  /* borrowed */
    void *owner;                 /* borrowed */
    struct admission *admission; /* borrowed, or NULL */
    struct census *census;       /* likewise */
    struct arenas *audience;     /* borrowed until pool_end() */
    size_t slot_size;
    struct home *idle_head, *idle_tail; /* the longest idle first */
    uint64_t mapped, arenas, bytes_out, mapped_peak, out_peak, reserved;
    struct {
        uint64_t arenas, mapped, bytes_out;
    } draining; /* of those above */
    struct rotation rotation;
    bool is_private;
};

/* Of zeroed ones: none yet. */
void homes_init(struct homes *homes, const struct pool_options *options);

/* Makes one of `count` blocks, all FREE, in the class. As pool_take(). */
int homes_make(struct homes *homes, struct size_class *class, size_t stride, uint32_t count);

/* Retires idle ones, the longest idle first, until at most `keep` bytes are retained. */
void homes_retire_idle(struct homes *homes, uint64_t keep);

/* Retires the one that is idle longest. Returns its bytes; 0: none is idle. */
uint64_t homes_retire_one(struct homes *homes);

/* Reserves some, until they have `count` free blocks of at least `size` bytes. Returns how many are missing. */
uint32_t homes_reserve(struct homes *homes, const struct size_class *class, size_t size, uint32_t count);
void homes_unreserve(struct homes *homes);

/* Those that are there hand out no more blocks: each goes when none of its own is out. */
void homes_begin_generation(struct homes *homes);

/* Frees what is idle, and has each other one count what is `left`. Returns how many these are: home_free() is for each still to come. */
uint32_t homes_end(struct homes *homes);

/* The memory, and at the very last the charge. The pool may be gone by then. */
void home_free(struct home *home, const struct pool_ops *ops, void *owner);

/* One of the slots of one that drains came back. */
void home_drain(struct home *home, struct pool_slot *slot);

/* As pool.h says of its own, without leases, and without what is still on its way back. Each looks at all. */
void homes_gauges(const struct homes *homes, struct pool_gauges *ret_gauges);
void homes_generation(const struct homes *homes, uint64_t number, struct pool_gauges *ret_gauges);
uint64_t homes_oldest_generation(const struct homes *homes);
uint64_t homes_resident(const struct homes *homes, uint64_t generation);

/* Free, and kept for the next. */
static inline uint64_t homes_retained(const struct homes *homes) {
    return homes->mapped - homes->draining.mapped - (homes->bytes_out - homes->draining.bytes_out);
}

static inline struct home *home_of(const struct pool_slot *slot) {
    return (struct home *) slot->arena;
}

static inline struct pool_slot *home_slot(const struct home *home, uint32_t index) {
    return (struct pool_slot *) (uintptr_t) (home->slots + home->homes->slot_size * index);
}

/* --- out and back --- */

static inline void homes_add_idle(struct homes *homes, struct home *home) {
    if (home->is_reserved)
        return;
    home->next = NULL;
    home->previous = homes->idle_tail;
    *(homes->idle_tail ? &homes->idle_tail->next : &homes->idle_head) = home;
    homes->idle_tail = home;
}

static inline void homes_remove_idle(struct homes *homes, struct home *home) {
    if (home->is_reserved)
        return;
    *(home->previous ? &home->previous->next : &homes->idle_head) = home->next;
    *(home->next ? &home->next->previous : &homes->idle_tail) = home->previous;
}

/* The slot has been taken from its class. */
static inline void slot_go_out(struct homes *homes, const struct pool_slot *slot) {
    struct home *home = home_of(slot);
    if (home->out++ == 0)
        homes_remove_idle(homes, home);
    homes->front.allocated += home->arena.stride;
    homes->bytes_out += home->arena.stride;
    if (homes->bytes_out > homes->out_peak)
        homes->out_peak = homes->bytes_out;
}

/* It is FREE again, in its class if its home still has one. */
static inline void slot_come_back(struct homes *homes, struct pool_slot *slot) {
    struct home *home = home_of(slot);
    assert(!slot->is_free && !slot->is_leased);
    homes->bytes_out -= home->arena.stride;
    if (!home->class) {
        home_drain(home, slot);
        return;
    }
    size_class_put(home->class, slot);
    if (--home->out == 0)
        homes_add_idle(homes, home);
}

#endif
