/* SPDX-License-Identifier: MIT */
/*
 * An account: what one peer holds of ours, what we hold of the peer's, and what each may.
 *
 * One for each connection. Imports (registry/imports.h) keep the account alive beyond the end of the connection: their
 * memory is charged until the application lets go of it.
 *
 * Invariants: leased_blocks == leases of sealed blocks + leases of pooled blocks; imported_blocks == imports of leases
 * while the connection lives; quota.used[QUOTA_BLOCKS] == leased_blocks + imports not yet released + copies of the
 * peer's payloads (import.is_copy) + arenas of the peer that we map. The bytes include these arenas, large tables of
 * their leases, inline payloads beyond ACCOUNT_INLINE_FREE, replies that are queued, and messages that are kept.
 *
 * Owns: the charges and credits of one peer; references of context, user and mailbox; the spares of views. Itself by
 * reference: the peer's, and one by each import. Touches: the quota of the user, and the context's counters and
 * members.
 *
 * Threads: the connection's; after the connection's end the thread that has entered the mailbox (registry/mailbox.h).
 * `member` says which of its fields any thread reads.
 */
#ifndef REGISTRY_ACCOUNT_H
#define REGISTRY_ACCOUNT_H

#include "memory/work.h"
#include "registry/ctx.h"
#include "registry/mailbox.h"
#include "sys/single_thread.h"
#include <sealane/base.h>
#include <stdbool.h>

struct import;
struct sea_block;

/* What one side lets the other make it hold. */
struct credit {
    uint64_t bytes;
    uint32_t blocks;
};

/* Which of our payloads the peer takes. */
struct grant {
    uint32_t accept;     /* payload classes that the peer takes and that we can send */
    uint32_t inline_max; /* bytes of an inline payload */
    uint64_t block_max;  /* bytes of a sealed or pooled payload */
    uint64_t bytes_max;  /* of our blocks, that the peer holds at a time */
    bool takes_hugetlb;  /* the peer maps blocks in hugetlb pages */
};

/* Does the peer take a payload of this size in that class? */
static inline bool grant_takes(const struct grant *grant, int payload_class, uint64_t size) {
    if (!(grant->accept & (uint32_t) payload_class))
        return false;
    return payload_class == SEA_INLINE ? size <= grant->inline_max
                                       : size <= grant->block_max && size <= grant->bytes_max;
}

/* Called when a block that came from this peer has lost its last reference: the lease goes back. */
typedef void account_on_release(void *owner, uint64_t handle);

/* Bytes of inline payloads that a connection has free, like its buffers: small messages that come and go cost nothing,
 * and a peer that uses all that it was granted is still heard. */
#define ACCOUNT_INLINE_FREE (UINT64_C(64) << 10)

/* Imports by their handles; see registry/imports.h. Zeroed: empty. */
struct import_chains {
    struct import **heads; /* owned; made with the first import */
    uint32_t count;        /* imports */
    uint32_t capacity;     /* of `heads`: 0, or a power of two */
    uint64_t key;          /* of the hash, odd; the peer does not know it */
};

struct account {
    uint32_t refs;
    sea_ctx *ctx;                      /* owned reference */
    struct user *user;                 /* owned reference */
    struct tally *tally;               /* of the connection, borrowed: its figures; NULL: they are the context's */
    struct ctx_member member;          /* until account_end() */
    struct quota quota;                /* leases and imports together; its parent is the user's */
    struct grant grant;                /* of the peer; once, when the connection opens */
    struct credit out_limit, in_limit; /* as the peer granted us, as we granted the peer */
    _Atomic uint64_t leased_blocks, leased_bytes; /* of sealed and of pooled blocks */
    uint64_t imported_blocks, imported_bytes;
    uint64_t mapped_bytes; /* of the peer's arenas that we map, retired ones too */
    uint64_t messages;     /* of its connection, that there are */
    uint64_t inline_free;  /* bytes of inline payloads that the peer is not charged with */
    struct work work;      /* that the connection may still do for the peer in this turn */
    struct import_chains imports;
    struct sea_block *view_spares; /* owned: objects of blocks in the peer's arenas, for the next ones (views.h) */
    uint32_t view_spares_room;     /* how many more may be kept */
    struct mailbox *mailbox;       /* owned reference; other threads leave there what has to be done to this account */
    account_on_release *on_release;
    void *owner; /* of on_release, borrowed; NULL once the connection has ended */
};

/* `user` is what user_name() says. The caller owns one reference. NULL: out of memory. */
struct account *account_new(sea_ctx *ctx, uint64_t user, account_on_release *on_release, void *owner);
struct account *account_unref(struct account *account);

/* The connection has ended: nothing wakes it any more, and on_release is not called. */
void account_end(struct account *account);

/* Is there room for one more lease of `size` bytes within what the peer granted? */
static inline bool account_has_credit(const struct account *account, uint64_t size) {
    uint64_t bytes = atomic_load_explicit(&account->leased_bytes, memory_order_relaxed);
    return atomic_load_explicit(&account->leased_blocks, memory_order_relaxed) < account->out_limit.blocks &&
           bytes <= account->out_limit.bytes && size <= account->out_limit.bytes - bytes;
}

/* Would one more import of `size` bytes exceed what we granted? */
static inline bool account_is_over_limit(const struct account *account, uint64_t size) {
    return account->imported_blocks >= account->in_limit.blocks || account->imported_bytes > account->in_limit.bytes ||
           size > account->in_limit.bytes - account->imported_bytes;
}

/* Counts blocks and bytes in the tally of the connection while it has one: that takes no locked instruction. */
#define account_count(account, of_blocks, of_bytes, size)      \
    do {                                                       \
        const struct account *account_of = (account);          \
        if (account_of->tally) {                               \
            tally_count(account_of->tally, of_blocks, 1);      \
            tally_count(account_of->tally, of_bytes, size);    \
        } else {                                               \
            (void) ctx_count(account_of->ctx, of_blocks, 1);   \
            (void) ctx_count(account_of->ctx, of_bytes, size); \
        }                                                      \
    } while (0)
#define account_uncount(account, of_blocks, of_bytes, size)      \
    do {                                                         \
        const struct account *account_of = (account);            \
        if (account_of->tally) {                                 \
            tally_uncount(account_of->tally, of_blocks, 1);      \
            tally_uncount(account_of->tally, of_bytes, size);    \
        } else {                                                 \
            (void) ctx_uncount(account_of->ctx, of_blocks, 1);   \
            (void) ctx_uncount(account_of->ctx, of_bytes, size); \
        }                                                        \
    } while (0)

/* Charges the peer and its user with one block of so many bytes, and returns the charge. false: there is no room, and
 * nothing is noted. No other thread charges the peer; those of other connections charge the user. */
static inline bool account_try_block(struct account *account, uint64_t bytes) {
    return quota_try_block(&account->quota, bytes, is_single_threaded());
}

/* -EDQUOT, noted. */
static inline int account_charge_block(struct account *account, uint64_t bytes) {
    bool is_charged = account_try_block(account, bytes);
    return is_charged ? 0 : quota_charge(&account->quota, bytes, 1, 0, &account->ctx->refusals);
}

static inline void account_return_block(struct account *account, uint64_t bytes) {
    quota_return_block(&account->quota, bytes, is_single_threaded());
}

/* The owner's thread alone changes these two; any thread reads them. */
static inline void account_count_lease(struct account *account, uint64_t blocks, uint64_t bytes) {
    blocks += atomic_load_explicit(&account->leased_blocks, memory_order_relaxed);
    bytes += atomic_load_explicit(&account->leased_bytes, memory_order_relaxed);
    atomic_store_explicit(&account->leased_blocks, blocks, memory_order_relaxed);
    atomic_store_explicit(&account->leased_bytes, bytes, memory_order_relaxed);
}

static inline void account_note_lease(struct account *account, uint64_t size) {
    account_count_lease(account, 1, size);
    account_count(account, leased_blocks, leased_bytes, size);
}

/* Charges the peer with a lease. Only the grantors of leases call these. -EDQUOT; false: as account_try_block(). */
static inline int account_charge_lease(struct account *account, uint64_t size) {
    int r = account_charge_block(account, size);
    if (r == 0)
        account_note_lease(account, size);
    return r;
}

static inline bool account_try_lease(struct account *account, uint64_t size) {
    if (!account_try_block(account, size))
        return false;
    account_note_lease(account, size);
    return true;
}

static inline void account_return_lease(struct account *account, uint64_t size) {
    account_count_lease(account, -(uint64_t) 1, -size);
    account_uncount(account, leased_blocks, leased_bytes, size);
    account_return_block(account, size);
}

/*
 * Charges the peer and its user with bytes that no credit counts: what waits for the peer to read it, messages that are
 * kept, and pages that the kernel added to an import. -EDQUOT.
 */
int account_charge(struct account *account, uint64_t bytes);
void account_return(struct account *account, uint64_t bytes);

#endif
