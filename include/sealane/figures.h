/* SPDX-License-Identifier: MIT */
/*
 * Figures: the numbers that tell how a context, a connection or a pool is doing.
 *
 * Each object has one enumeration of figures. A function copies the values of all figures at once into an array of the
 * caller; a value's index is the figure's constant. Each figure has a static description with its name, unit, kind and
 * meaning, so that a program can print all figures without naming a single one:
 *
 *     uint64_t values[SEA_FIGURES];
 *     sea_ctx_figures(ctx, values, SEA_FIGURES);
 *     for (unsigned i = 0; i < SEA_FIGURES && sea_ctx_figure(i); i++)
 *         printf("%s %llu\n", sea_ctx_figure(i)->name, (unsigned long long) values[i]);
 *
 * The enumerations grow at their ends only. A library that is older than the program's headers fills the values that it
 * knows and sets the rest to 0; its descriptions end earlier (NULL). A library that is newer fills no more than `count`
 * values.
 *
 * A program that prints figures of a newer library, too, asks the descriptions until one is NULL, and passes that
 * number as `count`.
 */
#ifndef SEALANE_FIGURES_H
#define SEALANE_FIGURES_H

#include <sealane/base.h>

SEA_BEGIN

enum {
    SEA_GAUGE = 1,  /* an amount of this moment: it rises and falls */
    SEA_COUNTER = 2 /* counts since its object was made: it only rises */
};

/*
 * The description of a figure. Static: it is never freed. The struct may grow at its end; programs do not copy it.
 * Names and units follow OpenMetrics: a name is in snake_case and ends with its unit. To the name of a counter a
 * printer of OpenMetrics appends "_total".
 */
typedef struct sea_figure {
    const char *name; /* "sent_bytes" */
    const char *unit; /* "bytes"; "" for a figure without a unit */
    const char *help; /* one sentence */
    int kind;         /* SEA_GAUGE or SEA_COUNTER */
} sea_figure;

/* The figures of a context: sums over all its connections and pools. Bytes are bytes of payloads unless a description
 * says something else. */
enum {
    /* Blocks of our own that are allocated and not reclaimed. Private copies of the peers' payloads count, too: inline
     * payloads of more than 1056 bytes, and snapshots. */
    SEA_FIGURE_BLOCKS,
    SEA_FIGURE_BYTES,
    SEA_FIGURE_LEASED_BLOCKS, /* blocks of our own, and forwarded ones, that peers hold */
    SEA_FIGURE_LEASED_BYTES,
    SEA_FIGURE_IMPORTED_BLOCKS, /* peers' blocks that we map */
    SEA_FIGURE_IMPORTED_BYTES,
    SEA_FIGURE_ARENA_BYTES, /* memory in our arenas, for pooled blocks and small private ones */
    /* Of arena_bytes: memory in blocks that are out. Each connection reports it when it goes to sleep. */
    SEA_FIGURE_ACTIVE_BYTES,
    /* Of arena_bytes: free memory for the next blocks, reported at the same moments. The rest of arena_bytes drains, or
     * belongs to connections that have ended. */
    SEA_FIGURE_RETAINED_BYTES,
    SEA_FIGURE_IMPORTED_ARENA_BYTES, /* peers' arenas that we map; imported pooled blocks lie there */
    SEA_FIGURE_IMPORTED_ARENA_PEAK_BYTES,
    SEA_FIGURE_OUTBOX_BYTES,             /* memory of our connections' outboxes */
    SEA_FIGURE_OLDEST_LEASE_NANOSECONDS, /* age of the oldest lease, to some milliseconds; 0: there is no lease */
    SEA_FIGURE_CONNECTIONS,              /* past the handshake */
    SEA_FIGURE_OUTGOING_CALLS,           /* our calls that have begun and not ended */
    SEA_FIGURE_INCOMING_CALLS,           /* peers' calls that have begun and not ended */
    /* Charges to the budget: arenas, sealed blocks, copies and outboxes. The peaks are each by itself. */
    SEA_FIGURE_BUDGET_USED_BYTES,
    SEA_FIGURE_BUDGET_USED_BLOCKS,
    SEA_FIGURE_BUDGET_USED_DESCRIPTORS,
    SEA_FIGURE_BUDGET_PEAK_BYTES,
    SEA_FIGURE_BUDGET_PEAK_BLOCKS,
    SEA_FIGURE_BUDGET_PEAK_DESCRIPTORS,
    SEA_FIGURE_BUDGET_LIMIT_BYTES,
    SEA_FIGURE_BUDGET_LIMIT_BLOCKS,
    SEA_FIGURE_BUDGET_LIMIT_DESCRIPTORS,
    SEA_FIGURE_SENT_INLINE_MESSAGES,
    SEA_FIGURE_SENT_POOLED_MESSAGES,
    SEA_FIGURE_SENT_SEALED_MESSAGES,
    SEA_FIGURE_RECEIVED_INLINE_MESSAGES,
    SEA_FIGURE_RECEIVED_POOLED_MESSAGES,
    SEA_FIGURE_RECEIVED_SEALED_MESSAGES,
    SEA_FIGURE_SENT_BYTES,
    SEA_FIGURE_RECEIVED_BYTES,
    /* Payload bytes that passed through user memory on their way: inline sends and receipts, and sea_block_fill(). */
    SEA_FIGURE_COPIED_BYTES,
    /* Payloads that travelled in another class than the one they were made in, and blocks that were made sealed because
     * their pool was full. */
    SEA_FIGURE_FALLBACKS,
    SEA_FIGURE_SNAPSHOTS,       /* copies of pooled payloads, made on receipt where only stable payloads are accepted */
    SEA_FIGURE_DOORBELLS,       /* datagrams that woke a sleeping peer */
    SEA_FIGURE_HUGE_BLOCKS,     /* blocks of our own that were granted 2 MiB pages */
    SEA_FIGURE_REFUSALS,        /* allocations and imports that a limit forbade: the sum of the next ten figures */
    SEA_FIGURE_BUDGET_REFUSALS, /* by this context's budget */
    SEA_FIGURE_POOL_REFUSALS,   /* by a pool's bytes_max */
    SEA_FIGURE_PEER_QUOTA_REFUSALS, /* by the quota of a connection */
    SEA_FIGURE_FAIR_SHARE_REFUSALS, /* by a connection's part of the budget, where it has no quota */
    SEA_FIGURE_USER_QUOTA_REFUSALS, /* by the quota of all connections of one user id */
    SEA_FIGURE_PEER_REFUSALS,       /* by what the peer takes */
    SEA_FIGURE_CGROUP_REFUSALS,     /* by memory that our cgroups have left */
    SEA_FIGURE_MACHINE_REFUSALS,    /* by the machine's memory, hugetlb pages, NUMA nodes or descriptors */
    SEA_FIGURE_PROCESS_REFUSALS,    /* by RLIMIT_..., or by mappings */
    SEA_FIGURE_OTHER_REFUSALS,      /* the kernel refused, or private memory is short, for none of these reasons */
    SEA_FIGURE_FAULTS,              /* connections that ended because the peer broke the protocol */
    SEA_FIGURE_RECLAIMED_BLOCKS,    /* leases that were dropped because their peer died or lied */
    SEA_FIGURE_RECLAIMED_BYTES,
    SEA_FIGURES /* the number of figures that this header knows */
};

/* The figures of a connection. */
enum {
    SEA_CONN_FIGURE_LEASED_BLOCKS, /* blocks of ours that the peer holds */
    SEA_CONN_FIGURE_LEASED_BYTES,
    SEA_CONN_FIGURE_IMPORTED_BLOCKS, /* the peer's blocks that we hold */
    SEA_CONN_FIGURE_IMPORTED_BYTES,
    /* Our calls that have begun and not ended. Calls that were cancelled count until the peer has answered them. */
    SEA_CONN_FIGURE_OUTGOING_CALLS,
    SEA_CONN_FIGURE_INCOMING_CALLS,
    /* The limits that the peer announced, 0 before the handshake. Our own quota for the peer may be less. */
    SEA_CONN_FIGURE_INLINE_MAX_BYTES, /* sea_block_new() makes all payloads beyond 1 KiB pooled where it can */
    SEA_CONN_FIGURE_BLOCK_MAX_BYTES,
    SEA_CONN_FIGURE_LEASED_MAX_BYTES,   /* its bytes_max */
    SEA_CONN_FIGURE_LEASED_MAX_BLOCKS,  /* its blocks_max */
    SEA_CONN_FIGURE_OUTGOING_MAX_CALLS, /* its calls_max */
    SEA_CONN_FIGURE_ACCEPTS_INLINE,     /* 1: the peer takes payloads of this class; else 0 */
    SEA_CONN_FIGURE_ACCEPTS_POOLED,
    SEA_CONN_FIGURE_ACCEPTS_SEALED,
    /* Our arenas for the peer, in bytes of memory: the arenas of all its pools, and private memory for copies. */
    SEA_CONN_FIGURE_ALLOCATED_BYTES,
    SEA_CONN_FIGURE_ACTIVE_BYTES,
    SEA_CONN_FIGURE_MAPPED_BYTES,
    SEA_CONN_FIGURE_MAPPED_PEAK_BYTES, /* the most that was charged for them at a time */
    SEA_CONN_FIGURE_RETAINED_BYTES,
    SEA_CONN_FIGURE_IMPORTED_ARENA_BYTES, /* the peer's arenas that we map */
    /* What the peer may make us hold. */
    SEA_CONN_FIGURE_QUOTA_USED_BYTES,
    SEA_CONN_FIGURE_QUOTA_USED_BLOCKS,
    SEA_CONN_FIGURE_QUOTA_USED_DESCRIPTORS,
    SEA_CONN_FIGURE_QUOTA_PEAK_BYTES,
    SEA_CONN_FIGURE_QUOTA_PEAK_BLOCKS,
    SEA_CONN_FIGURE_QUOTA_PEAK_DESCRIPTORS,
    SEA_CONN_FIGURE_QUOTA_LIMIT_BYTES,
    SEA_CONN_FIGURE_QUOTA_LIMIT_BLOCKS,
    SEA_CONN_FIGURE_QUOTA_LIMIT_DESCRIPTORS,
    /* What all connections of the peer's user id together may make us hold. */
    SEA_CONN_FIGURE_USER_QUOTA_USED_BYTES,
    SEA_CONN_FIGURE_USER_QUOTA_USED_BLOCKS,
    SEA_CONN_FIGURE_USER_QUOTA_USED_DESCRIPTORS,
    SEA_CONN_FIGURE_USER_QUOTA_PEAK_BYTES,
    SEA_CONN_FIGURE_USER_QUOTA_PEAK_BLOCKS,
    SEA_CONN_FIGURE_USER_QUOTA_PEAK_DESCRIPTORS,
    SEA_CONN_FIGURE_USER_QUOTA_LIMIT_BYTES,
    SEA_CONN_FIGURE_USER_QUOTA_LIMIT_BLOCKS,
    SEA_CONN_FIGURE_USER_QUOTA_LIMIT_DESCRIPTORS,
    SEA_CONN_FIGURE_OLDEST_LEASE_BYTES, /* the payload of ours that the peer has held for longest */
    SEA_CONN_FIGURE_OLDEST_LEASE_NANOSECONDS,
    /* How far the peer's CPU is, measured again and again: 0 not known, 1 near, 2 middle, 3 far. And the time of a line
     * of memory from there, at the newest samples; 0: not known. */
    SEA_CONN_FIGURE_DISTANCE,
    SEA_CONN_FIGURE_LINE_NANOSECONDS,
    SEA_CONN_FIGURES /* the number of figures that this header knows */
};

/* The figures of a pool, and of one generation of a pool. Bytes are bytes of memory, not of payloads: a block takes up
 * to a quarter more than its payload. */
enum {
    SEA_POOL_FIGURE_ALLOCATED_BYTES, /* all blocks that were ever handed out */
    SEA_POOL_FIGURE_ACTIVE_BLOCKS,   /* out: with the application, in queues, or with the peer */
    SEA_POOL_FIGURE_ACTIVE_BYTES,
    SEA_POOL_FIGURE_ACTIVE_PEAK_BYTES, /* the most there ever was; of a generation 0 */
    SEA_POOL_FIGURE_ARENAS,
    SEA_POOL_FIGURE_MAPPED_BYTES,      /* memory of the arenas: active, retained, and free in arenas that drain */
    SEA_POOL_FIGURE_MAPPED_PEAK_BYTES, /* the most there ever was; of a generation 0 */
    SEA_POOL_FIGURE_RETAINED_BYTES,    /* free, for the next blocks; of a generation that drains 0 */
    SEA_POOL_FIGURE_RESERVED_BYTES,    /* of the mapped ones: kept by sea_pool_reserve(); of a generation 0 */
    SEA_POOL_FIGURE_LEASED_BLOCKS,     /* of the active ones: with the peer */
    SEA_POOL_FIGURE_LEASED_BYTES,
    SEA_POOL_FIGURE_GENERATION,        /* the number of the newest generation, from 1; or of this one */
    SEA_POOL_FIGURE_OLDEST_GENERATION, /* the number of the oldest generation that has arenas; or of this one */
    SEA_POOL_FIGURE_DRAINING_ARENAS,   /* arenas of all generations but the newest; of a generation 0 */
    SEA_POOL_FIGURE_DRAINING_MAPPED_BYTES,
    SEA_POOL_FIGURE_DRAINING_ACTIVE_BYTES,
    SEA_POOL_FIGURE_OLDEST_LEASE_BYTES, /* the payload that the peer has held for longest */
    SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS,
    SEA_POOL_FIGURES /* the number of figures that this header knows */
};

/* The description of figure `i` of a context, of a connection, or of a pool. NULL: the library does not know the
 * figure. Any thread. */
SEA_API const sea_figure *sea_ctx_figure(unsigned i);
SEA_API const sea_figure *sea_conn_figure(unsigned i);
SEA_API const sea_figure *sea_pool_figure(unsigned i);

/*
 * Copies the first `count` figures of the context to `ret_values`. Any thread. The function holds up no connection that
 * works, and reads some 300 bytes of each (doc/measurements.md): calling it once a second costs nothing that can be
 * measured. Connections cannot begin or end meanwhile.
 *
 * Returns true if no counter moved while the function read all of them twice: the figures are of one moment. Returns
 * false if the process is busy: each figure is a sum of values that its parts had at some instant of the call, and two
 * figures may differ by the work that was done during it. In either case no gauge is below 0; `refusals` is the sum of
 * the refusals by cause; the used budget is at most its peak and at most its limit. The function reads the budget,
 * peaks, refusals and the oldest lease right after the rest.
 */
SEA_API bool sea_ctx_figures(sea_ctx *ctx, uint64_t *ret_values, size_t count);

/* Copies the first `count` figures of the connection to `ret_values`. Reads each of our arenas for the peer: some
 * nanoseconds each. On the connection's thread: a thread that watches has the owner read them, by sea_conn_post(), or
 * reads the sums of sea_ctx_figures(). */
SEA_API void sea_conn_figures(const sea_conn *conn, uint64_t *ret_values, size_t count);

/* Copies the first `count` figures of the pool, all of one moment, to `ret_values`. Reads each lease: some nanoseconds
 * each. After the connection's end the pool has no memory: its figures are 0, its generations 1. On the connection's
 * thread. */
SEA_API void sea_pool_figures(sea_pool *pool, uint64_t *ret_values, size_t count);

/* Copies the first `count` figures of the pool's generation `number` to `ret_values`. Reads each arena and lease. On
 * the connection's thread. -ENOENT: the pool has no arena of this generation. */
SEA_API int sea_pool_generation_figures(sea_pool *pool, uint64_t number, uint64_t *ret_values, size_t count);

SEA_END

#endif
