/* SPDX-License-Identifier: MIT */
/* Peers' accounts. See peer.h. */
#include "registry/peer.h"

#include "sys/heap.h"
#include "sys/wait.h"
#include <errno.h>

/* What connections keep saves them time: one that stays at a limit costs them that no more often. */
static const uint64_t TRIM_NS = UINT64_C(1000) * 1000 * 1000;

static void peer_enlist(struct peer *peer) {
    sea_ctx *ctx = peer->ctx;
    pthread_mutex_lock(&ctx->lock);
    peer->next = ctx->peers;
    peer->link = &ctx->peers;
    if (peer->next)
        peer->next->link = &peer->next;
    ctx->peers = peer;
    pthread_mutex_unlock(&ctx->lock);
}

/* From here on nobody wakes it. */
static void peer_delist(struct peer *peer) {
    pthread_mutex_lock(&peer->ctx->lock);
    if (peer->link) {
        *peer->link = peer->next;
        if (peer->next)
            peer->next->link = peer->link;
    }
    peer->link = NULL;
    peer->wake = NULL;
    pthread_mutex_unlock(&peer->ctx->lock);
}

void peer_set_wake(struct peer *peer, void (*wake)(void *waker), void *waker) {
    pthread_mutex_lock(&peer->ctx->lock);
    peer->wake = wake;
    peer->waker = waker;
    pthread_mutex_unlock(&peer->ctx->lock);
}

/* Is there any? */
static bool tell_to_trim(sea_ctx *ctx, const struct peer *but, enum trim trim) {
    bool is_told = false;
    pthread_mutex_lock(&ctx->lock);
    for (struct peer *peer = ctx->peers; peer; peer = peer->next) {
        bool has_memory = atomic_load_explicit(&peer->pooled.pools.has_memory, memory_order_relaxed);
        if (peer == but || (trim == TRIM_FREE && !has_memory))
            continue;
        if (atomic_load_explicit(&peer->trim, memory_order_relaxed) < (int) trim)
            atomic_store_explicit(&peer->trim, (int) trim, memory_order_relaxed);
        pools_wake(peer);
        is_told = true;
    }
    pthread_mutex_unlock(&ctx->lock);
    return is_told;
}

void sea_ctx_trim(sea_ctx *ctx) {
    tell_to_trim(ctx, NULL, TRIM_ALL);
    lease_table_trim(&ctx->leases);
}

void peers_give_back(sea_ctx *ctx, const struct peer *but) {
    uint64_t now = wait_now();
    if (now < atomic_load_explicit(&ctx->next_trim, memory_order_relaxed))
        return;
    if (tell_to_trim(ctx, but, TRIM_FREE))
        atomic_store_explicit(&ctx->next_trim, now + TRIM_NS, memory_order_relaxed);
}

struct peer *peer_new(sea_ctx *ctx, uint64_t user, peer_on_release *on_release, void *owner) {
    struct peer *peer = heap_new(1, sizeof(*peer));
    struct user *account = peer ? user_get(ctx, user) : NULL;
    if (!account)
        return heap_free(peer);
    peer->refs = 1;
    peer->ctx = sea_ctx_ref(ctx);
    peer->user = account;
    peer->on_release = on_release;
    peer->owner = owner;
    quota_init(&peer->quota, "peer quota", &account->quota, &ctx->peer_limits);
    pools_init(peer);
    peer_enlist(peer);
    return peer;
}

struct peer *peer_unref(struct peer *peer) {
    if (!peer || --peer->refs > 0)
        return NULL;
    peer_delist(peer);
    user_put(peer->ctx, peer->user);
    sea_ctx_unref(peer->ctx);
    refusal_deinit(&peer->pooled.pools.refused);
    heap_free(peer->imports);
    return heap_free(peer);
}

static bool drop_some_sealed(struct peer *peer) {
    uint64_t bytes;
    while (!work_is_over(&peer->work) && lease_drop_one(&peer->ctx->leases, peer, &bytes)) {
        peer->dropped_blocks++;
        peer->dropped_bytes += bytes;
    }
    return !work_is_over(&peer->work);
}

bool peer_end_some(struct peer *peer) {
    return drop_some_sealed(peer) && pooled_end_some(peer, &peer->dropped_blocks, &peer->dropped_bytes);
}

uint64_t peer_end(struct peer *peer, uint64_t *ret_bytes) {
    uint64_t pooled_bytes;
    peer_delist(peer);
    peer->owner = NULL;
    uint64_t count = pooled_end(peer, &pooled_bytes);
    count += lease_drop_all(&peer->ctx->leases, peer, ret_bytes);
    *ret_bytes += pooled_bytes + peer->dropped_bytes;
    return count + peer->dropped_blocks;
}

struct lease_report peer_oldest_lease(const struct peer *peer) {
    struct lease_report sealed = {.handle = 0};
    uint64_t leased_at = lease_oldest(&peer->ctx->leases, peer, &sealed);
    const struct pool_slot *pooled = pools_oldest_lease(&peer->pooled.pools);
    sealed.age = lease_age(leased_at);
    return pooled && (!leased_at || pooled->leased_at < leased_at) ? pooled_lease_of(pooled) : sealed;
}

uint64_t peers_oldest_age(sea_ctx *ctx) {
    uint64_t oldest = 0;
    struct lease_report unused;
    pthread_mutex_lock(&ctx->lock);
    for (const struct peer *peer = ctx->peers; peer; peer = peer->next) {
        const uint64_t times[] = {lease_oldest(&ctx->leases, peer, &unused),
                                  atomic_load_explicit(&peer->pooled.pools.leased_at, memory_order_relaxed)};
        for (int i = 0; i < 2; i++)
            if (times[i] && (!oldest || times[i] < oldest))
                oldest = times[i];
    }
    pthread_mutex_unlock(&ctx->lock);
    return lease_age(oldest);
}

static uint64_t peer_leased(const _Atomic uint64_t *amount) {
    return atomic_load_explicit(amount, memory_order_relaxed);
}

bool peer_has_credit(const struct peer *peer, uint64_t size) {
    uint64_t bytes = peer_leased(&peer->leased_bytes);
    return peer_leased(&peer->leased_blocks) < peer->out_limit.blocks && bytes <= peer->out_limit.bytes &&
           size <= peer->out_limit.bytes - bytes;
}

int peer_charge_lease(struct peer *peer, uint64_t size) {
    int r = quota_charge(&peer->quota, size, 1, 0, &peer->ctx->refusals);
    if (r < 0)
        return r;
    atomic_fetch_add_explicit(&peer->leased_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&peer->leased_bytes, size, memory_order_relaxed);
    ctx_count(peer->ctx, leased_blocks, 1);
    ctx_count(peer->ctx, leased_bytes, size);
    return 0;
}

void peer_return_lease(struct peer *peer, uint64_t size) {
    atomic_fetch_sub_explicit(&peer->leased_blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&peer->leased_bytes, size, memory_order_relaxed);
    ctx_uncount(peer->ctx, leased_blocks, 1);
    ctx_uncount(peer->ctx, leased_bytes, size);
    quota_return(&peer->quota, size, 1, 0);
}

/* Multiplied by an odd number that the peer does not know, two handles of its choice share a chain about as often as
 * random ones. */
static struct import **chain_in(struct import **chains, uint32_t capacity, uint64_t key, uint64_t handle) {
    return &chains[handle * key >> (64 - __builtin_ctz(capacity))];
}

static struct import **import_chain(const struct peer *peer, uint64_t handle) {
    return chain_in(peer->imports, peer->imports_capacity, peer->imports_key, handle);
}

/* Our addresses and the clock are mixed: any bit of these changes about half the bits of the key (the finalizer of
 * splitmix64). */
static uint64_t key_new(const struct peer *peer) {
    uint64_t key = wait_now() ^ (uint64_t) (uintptr_t) peer << 16;
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return (key ^ key >> 31) | 1;
}

static void imports_move(const struct peer *peer, struct import **to, uint32_t capacity, uint64_t key) {
    for (uint32_t i = 0; i < peer->imports_capacity; i++)
        for (struct import *import = peer->imports[i], *next; import; import = next) {
            struct import **chain = chain_in(to, capacity, key, import->handle);
            next = import->next;
            import->next = *chain;
            *chain = import;
        }
}

/* A chain has one import on average, up to the largest table. One that cannot grow goes on as it is. */
static int imports_reserve(struct peer *peer) {
    uint32_t capacity = peer->imports_capacity ? peer->imports_capacity * 2 : PEER_CHAINS_FIRST;
    if (peer->imports_capacity && (peer->imported_blocks < peer->imports_capacity || capacity > PEER_CHAINS_MAX))
        return 0;
    struct import **chains = heap_new(capacity, sizeof(*chains));
    if (!chains)
        return peer->imports_capacity ? 0 : -ENOMEM;
    uint64_t key = key_new(peer);
    imports_move(peer, chains, capacity, key);
    heap_free(peer->imports);
    peer->imports = chains;
    peer->imports_capacity = capacity;
    peer->imports_key = key;
    return 0;
}

static void imports_trim(struct peer *peer) {
    if (peer->imported_blocks > 0)
        return;
    peer->imports = heap_free(peer->imports);
    peer->imports_capacity = 0;
}

void peer_trim(struct peer *peer) {
    imports_trim(peer);
    pooled_trim(peer);
}

bool peer_has_import(const struct peer *peer, uint64_t handle) {
    if (!peer->imports)
        return false;
    for (const struct import *i = *import_chain(peer, handle); i; i = i->next)
        if (i->handle == handle)
            return true;
    return false;
}

bool peer_is_over_limit(const struct peer *peer, uint64_t size) {
    return peer->imported_blocks >= peer->in_limit.blocks || peer->imported_bytes > peer->in_limit.bytes ||
           size > peer->in_limit.bytes - peer->imported_bytes;
}

static void import_uncharge(struct peer *peer, const struct import *import, uint64_t size) {
    quota_return(&peer->quota, import->is_pooled ? 0 : size, 1, import->is_pooled ? 0 : 1);
}

int peer_add_import(struct peer *peer, struct import *import, uint64_t handle, uint64_t size, bool is_pooled) {
    int r = imports_reserve(peer);
    if (r < 0)
        return r;
    r = quota_charge(&peer->quota, is_pooled ? 0 : size, 1, is_pooled ? 0 : 1, &peer->ctx->refusals);
    if (r < 0)
        return r;
    struct import **chain = import_chain(peer, handle);
    *import = (struct import){.peer = peer, .handle = handle, .next = *chain, .is_pooled = is_pooled};
    *chain = import;
    peer->refs++;
    peer->imported_blocks++;
    peer->imported_bytes += size;
    ctx_count(peer->ctx, imported_blocks, 1);
    ctx_count(peer->ctx, imported_bytes, size);
    return 0;
}

/* Undoes peer_add_import(), but for the reference of the account, which it hands over. */
static struct peer *import_forget(struct import *import, uint64_t size) {
    struct peer *peer = import->peer;
    struct import **link = import_chain(peer, import->handle);
    while (*link != import)
        link = &(*link)->next;
    *link = import->next;
    import_uncharge(peer, import, size);
    *import = (struct import){.peer = NULL};
    peer->imported_blocks--;
    peer->imported_bytes -= size;
    ctx_uncount(peer->ctx, imported_blocks, 1);
    ctx_uncount(peer->ctx, imported_bytes, size);
    return peer;
}

void peer_cancel_import(struct import *import, uint64_t size) {
    peer_unref(import_forget(import, size));
}

int peer_charge_pages(struct peer *peer, uint64_t bytes) {
    return bytes > 0 ? quota_charge(&peer->quota, bytes, 0, 0, &peer->ctx->refusals) : 0;
}

void peer_return_pages(struct peer *peer, uint64_t bytes) {
    quota_return(&peer->quota, bytes, 0, 0);
}

int peer_add_copy(struct peer *peer, struct import *import, uint64_t size) {
    int r = quota_charge(&peer->quota, size, 1, 0, &peer->ctx->refusals);
    if (r < 0)
        return r;
    *import = (struct import){.peer = peer, .is_copy = true};
    peer->refs++;
    return 0;
}

/* What a block takes beside its bytes, about. */
static const uint64_t INLINE_COST = 256;

int peer_add_inline(struct peer *peer, struct import *import, uint64_t size) {
    bool is_free = size <= PEER_INLINE_FREE - peer->inline_free;
    int r = is_free ? 0 : peer_charge_held(peer, size + INLINE_COST);
    if (r < 0)
        return r;
    *import = (struct import){.peer = peer, .is_copy = true, .is_inline = true, .is_free = is_free};
    peer->inline_free += is_free ? size : 0;
    peer->refs++;
    return 0;
}

static void peer_remove_copy(struct import *import, uint64_t size) {
    struct peer *peer = import->peer;
    if (import->is_free)
        peer->inline_free -= size;
    else if (import->is_inline)
        peer_return_held(peer, size + INLINE_COST);
    else
        quota_return(&peer->quota, size, 1, 0);
    *import = (struct import){.peer = NULL};
    peer_unref(peer);
}

void peer_remove_import(struct import *import, uint64_t size) {
    if (import->is_copy) {
        peer_remove_copy(import, size);
        return;
    }
    uint64_t handle = import->handle;
    struct peer *peer = import_forget(import, size);
    if (peer->owner)
        peer->on_release(peer->owner, handle);
    peer_unref(peer);
}

int peer_charge_held(struct peer *peer, uint64_t size) {
    return quota_charge(&peer->quota, size, 0, 0, &peer->ctx->refusals);
}

void peer_return_held(struct peer *peer, uint64_t size) {
    quota_return(&peer->quota, size, 0, 0);
}
