/* SPDX-License-Identifier: MIT */
/*
 * The stock: one writable sealed memory that is made ahead, while a thread waits for an answer anyway.
 *
 * Making sealed memory is mostly the kernel's clearing of fresh pages, which cannot be saved: a frozen memfd is not
 * used again. A program that sends one sealed block after another waits for each answer, and makes the next block
 * then. The stock moves the clearing into the wait. It learns from the blocks that are asked for: after `needed` equal
 * ones in a row, each soon after the one before, it wants the next one of that form. Each wrong guess doubles `needed`:
 * ready memory that expires, or goes because another form is asked for. So does a failure to make it, but not
 * stock_drop(): what others need, or do, was no wrong guess.
 *
 *     has = made_at != 0;    has implies that `charged` bytes, one block and one descriptor are charged to the budget
 *
 * Owns: the memory that is ready, and its charge. Touches: the budget, the promises of admission. Threads: any. No lock
 * is held while memory is made; `is_making` keeps a second thread from making memory meanwhile.
 */
#ifndef MEMORY_STOCK_H
#define MEMORY_STOCK_H

#include "memory/quota.h"
#include "memory/sealed.h"
#include "sys/wait.h"
#include <pthread.h>

/* The form of a block: the arguments of sealed_new(). */
struct stock_form {
    size_t size;
    enum sealed_layout layout;
    bool allow_huge;
};

struct stock {
    pthread_mutex_t lock;        /* of all below; the atomics are read without it */
    struct quota *budget;        /* borrowed */
    struct admission *admission; /* borrowed */
    struct stock_form last;      /* asked for last, at `last_at` */
    uint64_t last_at;
    uint32_t streak, needed;
    bool is_making;
    struct sealed ready;
    struct stock_form form; /* of `ready` */
    uint64_t charged;
    _Atomic uint64_t made_at; /* CLOCK_MONOTONIC; 0: nothing is ready */
    _Atomic bool is_wanted;
};

/* So long after the block before a block counts as its successor, and so long is ready memory kept; nanoseconds. */
#define STOCK_INTERVAL ((uint64_t) 100 * 1000 * 1000)
#define STOCK_KEEP ((uint64_t) 10 * 1000 * 1000 * 1000)
/* The equal blocks in a row after which one is made ahead. */
#define STOCK_NEEDED 3
/* The largest memory that is made ahead, bytes; and in base pages, which take longer. Each takes about a millisecond.
 * 16 MiB take ten times as long where the kernel has no free huge pages and gives base pages instead. And the part of
 * the budget that it may take. */
#define STOCK_HUGE_MAX ((uint64_t) 16 << 20)
#define STOCK_BASE_MAX ((uint64_t) 1 << 20)
#define STOCK_SHARE 64

void stock_init(struct stock *ret, struct quota *budget, struct admission *admission);
void stock_deinit(struct stock *stock);

/* A block of that form is needed. true: it was ready, and the caller owns it and its charge to the budget:
 * sealed_file_size() bytes of its layout, one block and one descriptor. */
bool stock_take(struct stock *stock, const struct stock_form *form, struct sealed *ret);

/* Should stock_make() be called while there is nothing else to do? */
static inline bool stock_is_wanted(const struct stock *stock) {
    return atomic_load_explicit(&stock->is_wanted, memory_order_relaxed);
}

/* Makes memory ahead, if it is still wanted, there is none, and no other thread makes it. A failure only means that
 * there is none. */
void stock_make(struct stock *stock);

/* When stock_expire() should be called, CLOCK_MONOTONIC; WAIT_FOREVER: nothing is ready. */
static inline uint64_t stock_deadline(const struct stock *stock) {
    uint64_t made_at = atomic_load_explicit(&stock->made_at, memory_order_relaxed);
    return made_at ? made_at + STOCK_KEEP : WAIT_FOREVER;
}

/* Frees ready memory that is past its deadline. */
void stock_expire(struct stock *stock);

/* Frees what is ready, for others. Returns whether there was anything. */
bool stock_drop(struct stock *stock);

#endif
