/* SPDX-License-Identifier: MIT */
/*
 * The context: one process's budget, quotas, registry and figures. Everything else belongs to one.
 * Thread-safe. A process normally has one.
 */
#ifndef SEALANE_CTX_H
#define SEALANE_CTX_H

#include <sealane/base.h>

SEA_BEGIN

/* Zero in any field means its default. */
typedef struct sea_limits {
    uint64_t bytes;  /* payload memory */
    uint32_t blocks; /* blocks held */
    uint32_t fds;    /* descriptors held for them */
} sea_limits;

typedef struct sea_ctx_options {
    /* What this process may hold in blocks of its own. Default: three quarters of the memory that is
     * available when the context is made; 65 536 blocks; half of RLIMIT_NOFILE. */
    sea_limits budget;
    /* What one connection may make us hold, both ways together: blocks of ours that it has on lease,
     * blocks of its own that we import, and replies that it does not read. Default: the half of the
     * budget's bytes; 4096 blocks; a quarter of RLIMIT_NOFILE. */
    sea_limits peer;
    /* The same for all connections of one user id together. Default: the budget. */
    sea_limits user;
    uint64_t reserved[8];
} sea_ctx_options;

/*
 * Makes a context. `options` is borrowed for the call and may be NULL. The caller owns one reference.
 * Does not block, but for reading one small file if there is one: the sizes that sealane-calibrate(1) measured, by which it is chosen how
 * payloads travel. A file that cannot be used is no error: the values that are built in hold, and sea_ctx_refusal() says why.
 * Errors: -EINVAL (reserved fields not zero), -ENOMEM.
 */
SEA_API int sea_ctx_new(sea_ctx **ret_ctx, const sea_ctx_options *options);

/*
 * Drops a reference. Blocks, connections and servers hold references of their own, so the order of
 * the destructors does not matter. Returns NULL.
 */
SEA_API sea_ctx *sea_ctx_ref(sea_ctx *ctx);
SEA_API sea_ctx *sea_ctx_unref(sea_ctx *ctx);

/* A refusal in full. All texts are NUL-terminated. */
typedef struct sea_refusal {
    int error;          /* negative errno; 0: nothing was refused yet */
    char limit[48];     /* which limit, as its owner knows it: "peer quota (bytes)", "RLIMIT_FSIZE" */
    uint64_t needed;    /* in the limit's unit */
    uint64_t available; /* likewise */
    char advice[160];   /* what to change, or what is wrong */
} sea_refusal;

/* Copies the newest refusal of this context. */
SEA_API void sea_ctx_refusal(sea_ctx *ctx, sea_refusal *ret_refusal);

/*
 * Writes a refusal as one line without its newline, as snprintf() does: at most `size` bytes with the NUL; returns the length that
 * all of it has. "Disk quota exceeded (budget (bytes): needed 4096, available 0; release blocks, or ...)". Control
 * characters, which names and peers' texts may hold, become '?'. Any thread; nothing is charged.
 */
SEA_API int sea_refusal_format(const sea_refusal *refusal, char *buf, size_t size);

/* Current amounts first, then counters that only grow. Bytes are payload bytes unless said. */
typedef struct sea_figures {
    /* now */
    uint64_t blocks, bytes;                   /* of our own, allocated and not reclaimed */
    uint64_t leased_blocks, leased_bytes;     /* of those and of forwarded ones, held by peers */
    uint64_t imported_blocks, imported_bytes; /* peers' blocks that we map */
    uint64_t connections;                     /* past the handshake */
    uint64_t calls_out, calls_in;             /* begun and not ended; ours, and peers' */
    /* since the context was made */
    uint64_t sent_inline, sent_pooled, sent_sealed;             /* messages by class */
    uint64_t received_inline, received_pooled, received_sealed; /* likewise */
    uint64_t sent_bytes, received_bytes;
    uint64_t copied_bytes;     /* payload bytes that passed through user memory on their way: inline
                                 * sends and receipts, and sea_block_fill() */
    uint64_t fallbacks;        /* payloads that travelled in another class than the one they were made in */
    uint64_t snapshots;        /* of pooled payloads: copies made on receipt, for who takes only stable ones */
    uint64_t doorbells;        /* datagrams that woke a sleeping peer */
    uint64_t huge_blocks;      /* blocks of our own that were granted 2 MiB pages */
    uint64_t refusals;         /* allocations and imports that a limit forbade */
    uint64_t faults;           /* connections ended because the peer broke the protocol */
    uint64_t reclaimed_blocks; /* leases dropped because their peer died or lied */
    uint64_t reclaimed_bytes;
} sea_figures;

SEA_API void sea_ctx_figures(sea_ctx *ctx, sea_figures *ret_figures);

SEA_END

#endif
