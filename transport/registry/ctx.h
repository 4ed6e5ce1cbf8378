/* SPDX-License-Identifier: MIT */
/*
 * The context: budget, users' quotas, the table of leases, the refusal log and the counters of one
 * process. Thread-safe; alive until the last reference goes.
 */
#ifndef REGISTRY_CTX_H
#define REGISTRY_CTX_H

#include "memory/admission.h"
#include "memory/calibration.h"
#include "memory/census.h"
#include "memory/quota.h"
#include "memory/refusal.h"
#include "registry/lease.h"
#include <pthread.h>
#include <sealane/conn.h>
#include <stdatomic.h>

/* One for each figure of a context that is a plain counter or gauge. */
struct ctx_counters {
    _Atomic uint64_t blocks, bytes, leased_blocks, leased_bytes, imported_blocks, imported_bytes;
    _Atomic uint64_t arena_bytes, active_bytes, retained_bytes, imported_arena_bytes, outbox_bytes;
    _Atomic uint64_t connections, calls_out, calls_in;
    _Atomic uint64_t sent_inline, sent_pooled, sent_sealed, received_inline, received_pooled, received_sealed;
    _Atomic uint64_t sent_bytes, received_bytes, copied_bytes, fallbacks, snapshots, doorbells, huge_blocks, faults;
    _Atomic uint64_t reclaimed_blocks, reclaimed_bytes;
};

/* All connections of one user. Lives as long as one of them, or a block that came through one. */
struct user {
    struct user *next; /* under the context's lock */
    uint64_t name;     /* as user_name() says */
    uint32_t refs;     /* under the context's lock */
    struct quota quota;
    _Atomic uint64_t made; /* bytes of the budget that were made for its connections */
};

/* Counters that only one thread at a time writes, so that counting costs no locked instruction. They are read by others
 * at any time. */
struct tally {
    struct ctx_counters counters;
    struct tally *next, **link; /* under the context's lock */
    bool is_listed;             /* its thread's */
};

struct sea_ctx {
    _Atomic uint32_t refs;
    struct quota budget;
    struct calibration calibration; /* never changed */
    sea_limits peer_limits, user_limits;
    bool has_fair_shares; /* the application gave no quota of bytes, neither for peers nor for users */
    struct refusal_log refusals;
    struct admission admission;
    struct ctx_counters counters;
    _Atomic uint64_t imported_arena_peak;
    struct lease_table leases;
    struct census census; /* of arenas, outboxes and rings, and of sealed blocks */
    pthread_mutex_t lock; /* of users, tallies, peers */
    struct user *users;
    struct peer *peers;
    struct tally *tallies;
    _Atomic uint64_t next_trim; /* CLOCK_MONOTONIC; by peers_give_back() */
    void *_Atomic scratch;      /* owned; see ctx_lend_scratch(). NULL: none is kept */
    _Atomic uint32_t strangers; /* names given so far to those that have neither a user id nor a process id */
};

/* Relaxed: a counter publishes nothing but itself. */
#define ctx_count(ctx, counter, n) atomic_fetch_add_explicit(&(ctx)->counters.counter, (n), memory_order_relaxed)
/* Release [FIG1], partner in ctx.c. */
#define ctx_uncount(ctx, counter, n) atomic_fetch_sub_explicit(&(ctx)->counters.counter, (n), memory_order_release)

/* The same, by whose tally it is. */
#define tally_count(tally, counter, n)                                                                             \
    atomic_store_explicit(&(tally)->counters.counter,                                                              \
                          atomic_load_explicit(&(tally)->counters.counter, memory_order_relaxed) + (uint64_t) (n), \
                          memory_order_relaxed)
#define tally_set(tally, counter, n) atomic_store_explicit(&(tally)->counters.counter, (n), memory_order_relaxed)
#define tally_uncount(tally, counter, n) tally_count(tally, counter, -(uint64_t) (n))

/* From here on the context's figures include it (zeroed, borrowed); then its counts are moved to the context. Ending it
 * twice does nothing. */
void tally_begin(struct tally *tally, sea_ctx *ctx);
void tally_end(struct tally *tally, sea_ctx *ctx);

/*
 * A place of `size` bytes, always the same size, for something that is over before the calling function returns: one is
 * kept for all. Not zeroed. NULL: out of memory. Any thread; a second one at the same time gets one of its own.
 */
void *ctx_lend_scratch(sea_ctx *ctx, size_t size);
void ctx_return_scratch(sea_ctx *ctx, void *scratch);
void ctx_drop_scratch(sea_ctx *ctx); /* the one that is kept */

/*
 * Whose account it is: of one user id. Users that our user namespace does not map all have the same one; each of their
 * processes has an account of its own, and each connection of a process that our pid namespace does not show.
 */
uint64_t user_name(sea_ctx *ctx, const sea_peer *peer);

/* The account of that name; the caller owns one reference. NULL: out of memory. */
struct user *user_get(sea_ctx *ctx, uint64_t name);
struct user *user_ref(sea_ctx *ctx, struct user *user);
void user_put(sea_ctx *ctx, struct user *user);

#endif
