/* SPDX-License-Identifier: MIT */
/*
 * The context: the budget, the quotas of users, the refusal log and the counters of one process, and the list of its
 * members.
 *
 * A member keeps memory for a connection: it is part of an account (registry/account.h). The context knows how to wake
 * the thread of a member, which memory the member is asked to give back, and how old its leases are. It knows no
 * connection.
 *
 * Owns: all of that but members and tallies, which it borrows until they leave. Touches: reads the machine's limits and
 * the calibration's file when it is made; wakes members; its end waits for all memory in the disposal.
 *
 * Threads: any. A context lives until its last reference goes. A tally and a member say which thread writes them.
 */
#ifndef REGISTRY_CTX_H
#define REGISTRY_CTX_H

#include "memory/admission.h"
#include "memory/calibration.h"
#include "memory/census.h"
#include "memory/quota.h"
#include "memory/refusal.h"
#include "memory/stock.h"
#include "util/list.h"
#include <pthread.h>
#include <sealane/conn.h>
#include <stdatomic.h>

/* One for each figure of a context that is a plain counter or gauge. */
struct ctx_counters {
    _Atomic uint64_t blocks, bytes, leased_blocks, leased_bytes, imported_blocks, imported_bytes;
    _Atomic uint64_t arena_bytes, active_bytes, retained_bytes, imported_arena_bytes, outbox_bytes;
    _Atomic uint64_t connections, calls_out, calls_in;
    _Atomic uint64_t sent_inline, sent_pooled, sent_sealed, received_inline, received_pooled, received_sealed;
    _Atomic uint64_t sent_inline_bytes, received_inline_bytes; /* copied bytes, too */
    _Atomic uint64_t sent_bytes, received_bytes, copied_bytes, fallbacks, snapshots, doorbells, huge_blocks, faults;
    _Atomic uint64_t reclaimed_blocks, reclaimed_bytes;
};

/* All connections of one user. Lives as long as one of them, or a block that came through one. */
struct user {
    LIST_LINK(struct user) link; /* under the context's lock */
    uint64_t name;               /* as user_name() says */
    uint32_t refs;               /* under the context's lock */
    struct quota quota;
    _Atomic uint64_t made; /* bytes of the budget that were made for its connections */
};

/* Counters that only one thread at a time writes, so that counting costs no locked instruction. They are read by others
 * at any time. */
struct tally {
    struct ctx_counters counters;
    LIST_LINK(struct tally) link; /* under the context's lock */
    bool is_listed;               /* its thread's */
};

/* What a member is asked to give back. TRIM_FREE: free memory, because another member found no room. TRIM_ALL: reserved
 * memory and tables too, by sea_ctx_trim() alone. */
enum trim { TRIM_NOTHING, TRIM_FREE, TRIM_ALL };

struct ctx_member {
    LIST_LINK(struct ctx_member) link; /* under the context's lock */
    /* Called on any thread, under the context's lock: gives the connection a turn. NULL: nothing does. */
    void (*wake)(void *waker);
    void *waker;             /* under the context's lock; borrowed until the member leaves */
    _Atomic int trim;        /* enum trim; raised by any thread, taken in the connection's next turn */
    _Atomic bool has_memory; /* stored by the connection's thread, read by any */
    /* When the oldest lease was granted, wait_now_coarse(); 0: there is none. Stored by the connection's thread, read
     * by any. Of pooled blocks: when the pools were last maintained. */
    _Atomic uint64_t oldest_sealed, oldest_pooled;
};

struct sea_ctx {
    _Atomic uint32_t refs;
    struct quota budget;
    struct calibration calibration; /* never changed */
    struct limits peer_limits, user_limits;
    bool has_fair_shares; /* the application gave no quota of bytes, neither for peers nor for users */
    struct refusal_log refusals;
    struct refusal_recent recent; /* of `refusals` */
    struct admission admission;
    struct stock stock;
    struct ctx_counters counters;
    _Atomic uint64_t imported_arena_peak;
    struct census census; /* of arenas, outboxes and rings, and of sealed blocks */
    pthread_mutex_t lock; /* of users, tallies, members */
    struct user *users;
    struct ctx_member *members;
    struct tally *tallies;
    _Atomic uint64_t next_trim; /* CLOCK_MONOTONIC; by ctx_ask_others() */
    void *_Atomic scratch;      /* owned; see ctx_lend_scratch(). NULL: none is kept */
    _Atomic uint32_t strangers; /* names given so far to those that have neither a user id nor a process id */
};

/* Relaxed: a counter publishes nothing but itself. */
#define ctx_count(ctx, counter, n) atomic_fetch_add_explicit(&(ctx)->counters.counter, (n), memory_order_relaxed)
/* Release [FIG1], partner in ctx.c. */
#define ctx_uncount(ctx, counter, n) atomic_fetch_sub_explicit(&(ctx)->counters.counter, (n), memory_order_release)

/* The same counts in a tally, by the one thread that writes it. */
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

/* Puts a zeroed member on the list, and takes it off: when ctx_leave() returns, no thread is inside `wake`, and none
 * calls it later. To leave twice does nothing. */
void ctx_join(sea_ctx *ctx, struct ctx_member *member);
void ctx_leave(sea_ctx *ctx, struct ctx_member *member);

/* Sets what wakes a member; `wake` NULL: nothing. */
void ctx_set_wake(sea_ctx *ctx, struct ctx_member *member, void (*wake)(void *waker), void *waker);

/* Gives the member's connection a turn soon. Under the context's lock. */
static inline void ctx_wake(const struct ctx_member *member) {
    if (member->wake)
        member->wake(member->waker);
}

/* A limit of the process or of the machine is reached: frees the stock, and asks all members `but` one (NULL: all) for
 * free memory, these at most once a second. */
void ctx_ask_others(sea_ctx *ctx, const struct ctx_member *but);

/* What the member is asked to give back since the last call. */
enum trim ctx_take_trim(struct ctx_member *member);

/* Nanoseconds since `then`, which wait_now_coarse() returned: at least 1. 0 for a `then` of 0. */
uint64_t ctx_age(uint64_t then);

/*
 * The name of the account of a peer's user: its user id. Users that our user namespace does not map all have one id:
 * each of their processes has an account of its own, and so has each connection of a process that our pid namespace
 * does not show.
 */
uint64_t user_name(sea_ctx *ctx, const sea_peer *peer);

/* The account of that name; the caller owns one reference. NULL: out of memory. */
struct user *user_get(sea_ctx *ctx, uint64_t name);
struct user *user_ref(sea_ctx *ctx, struct user *user);
void user_put(sea_ctx *ctx, struct user *user);

#endif
