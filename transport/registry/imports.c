/* SPDX-License-Identifier: MIT */
/* Imports. See imports.h. */
#include "registry/imports.h"

#include "sys/heap.h"
#include "sys/wait.h"
#include <errno.h>

/* Bytes that a block in the heap takes beside its payload, about. */
static const uint64_t INLINE_COST = 256;

/* Multiplied by an odd number that the peer does not know, two handles of its choice share a chain about as often as
 * random ones. */
static struct import **chain_of(const struct import_chains *chains, uint64_t handle) {
    return &chains->heads[handle * chains->key >> (64 - __builtin_ctz(chains->capacity))];
}

/* Our addresses and the clock are mixed: any bit of these changes about half the bits of the key (the finalizer of
 * splitmix64). */
static uint64_t key_new(const struct account *account) {
    uint64_t key = wait_now() ^ (uint64_t) (uintptr_t) account << 16;
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return (key ^ key >> 31) | 1;
}

static void chains_move(const struct import_chains *from, const struct import_chains *to) {
    for (uint32_t i = 0; i < from->capacity; i++)
        for (struct import *import = from->heads[i], *next; import; import = next) {
            struct import **chain = chain_of(to, import->handle);
            next = import->next;
            import->next = *chain;
            *chain = import;
        }
}

/* A table that cannot grow goes on as it is. */
static int imports_grow(struct account *account) {
    struct import_chains *chains = &account->imports;
    struct import_chains more = {.capacity = chains->capacity ? chains->capacity * 2 : IMPORTS_FIRST};
    more.heads = heap_new(more.capacity, sizeof(struct import *));
    if (!more.heads)
        return chains->capacity ? 0 : -ENOMEM;
    more.count = chains->count;
    more.key = key_new(account);
    chains_move(chains, &more);
    heap_free(chains->heads);
    *chains = more;
    return 0;
}

/* A chain has one import on average, up to the largest table. */
static bool is_crowded(const struct account *account) {
    const struct import_chains *chains = &account->imports;
    return chains->count >= chains->capacity && chains->capacity < IMPORTS_MAX;
}

void imports_trim(struct account *account) {
    if (account->imports.count > 0)
        return;
    heap_free(account->imports.heads);
    account->imports = (struct import_chains){.heads = NULL};
}

bool imports_have(const struct account *account, uint64_t handle) {
    if (account->imports.count == 0)
        return false;
    for (const struct import *i = *chain_of(&account->imports, handle); i; i = i->next)
        if (i->handle == handle)
            return true;
    return false;
}

static inline void import_count(struct account *account, uint64_t size) {
    account->imported_blocks++;
    account->imported_bytes += size;
    account_count(account, imported_blocks, imported_bytes, size);
}

static inline void import_uncount(struct account *account, uint64_t size) {
    account->imported_blocks--;
    account->imported_bytes -= size;
    account_uncount(account, imported_blocks, imported_bytes, size);
}

int imports_add(struct account *account, struct import *import, uint64_t handle, uint64_t size, bool is_pooled) {
    int r = is_crowded(account) ? imports_grow(account) : 0;
    if (r == 0) /* a pooled import's arena is charged already, and has no descriptor */
        r = quota_charge(&account->quota, is_pooled ? 0 : size, 1, is_pooled ? 0 : 1, &account->ctx->refusals);
    if (r < 0)
        return r;
    struct import **chain = chain_of(&account->imports, handle);
    *import = (struct import){
        .account = account, .handle = handle, .next = *chain, .is_pooled = is_pooled, .is_chained = true};
    *chain = import;
    account->imports.count++;
    account->refs++;
    import_count(account, size);
    return 0;
}

static inline void pooled_begin(struct account *account, struct import *import, uint64_t handle, uint64_t size) {
    import->account = account;
    import->handle = handle;
    import->is_pooled = true;
    import->is_chained = false;
    import_count(account, size);
}

int imports_add_pooled(struct account *account, struct import *import, uint64_t handle, uint64_t size) {
    int r = account_charge_block(account, 0);
    if (r == 0)
        pooled_begin(account, import, handle, size);
    return r;
}

bool imports_try_pooled(struct account *account, struct import *import, uint64_t handle, uint64_t size) {
    if (!account_try_block(account, 0))
        return false;
    pooled_begin(account, import, handle, size);
    return true;
}

uint64_t imports_return_pooled(struct import *import, uint64_t size) {
    struct account *account = import->account;
    import->account = NULL;
    account_return_block(account, 0);
    import_uncount(account, size);
    return import->handle;
}

static void import_unchain(const struct import *import) {
    struct import **link = chain_of(&import->account->imports, import->handle);
    while (*link != import)
        link = &(*link)->next;
    *link = import->next;
    import->account->imports.count--;
}

/* Undoes imports_add(), but for the reference of the account, which this function hands over. */
static struct account *import_forget(struct import *import, uint64_t size, uint64_t excess) {
    struct account *account = import->account;
    if (import->is_chained)
        import_unchain(import);
    if (import->is_pooled)
        account_return_block(account, 0);
    else
        quota_return(&account->quota, size + excess, 1, 1);
    import->account = NULL;
    import_uncount(account, size);
    return account;
}

void imports_cancel(struct import *import, uint64_t size) {
    account_unref(import_forget(import, size, 0));
}

int imports_add_copy(struct account *account, struct import *import, uint64_t size) {
    int r = quota_charge(&account->quota, size, 1, 0, &account->ctx->refusals);
    if (r < 0)
        return r;
    *import = (struct import){.account = account, .is_copy = true};
    account->refs++;
    return 0;
}

bool imports_try_copy(struct account *account, struct import *import, uint64_t size) {
    if (!account_try_block(account, size))
        return false;
    import->account = account;
    import->is_copy = true;
    account->refs++;
    return true;
}

/* The account's owner has another reference of it. */
void imports_return_copy(struct import *import, uint64_t size) {
    struct account *account = import->account;
    import->account = NULL;
    import->is_copy = false;
    account_return_block(account, size);
    account->refs--;
}

int imports_add_inline(struct account *account, struct import *import, uint64_t size) {
    bool is_free = size <= ACCOUNT_INLINE_FREE - account->inline_free;
    int r = is_free ? 0 : account_charge(account, size + INLINE_COST);
    if (r < 0)
        return r;
    *import = (struct import){.account = account, .is_copy = true, .is_inline = true, .is_free = is_free};
    account->inline_free += is_free ? size : 0;
    account->refs++;
    return 0;
}

static struct account *copy_forget(struct import *import, uint64_t size) {
    struct account *account = import->account;
    if (import->is_free)
        account->inline_free -= size;
    else if (import->is_inline)
        account_return(account, size + INLINE_COST);
    else
        quota_return(&account->quota, size, 1, 0);
    *import = (struct import){.account = NULL};
    return account;
}

void imports_end(struct import *import, uint64_t size, uint64_t excess) {
    bool is_lease = !import->is_copy, is_viewed = is_lease && import->is_pooled && !import->is_chained;
    uint64_t handle = import->handle;
    struct account *account = is_lease ? import_forget(import, size, excess) : copy_forget(import, size);
    if (is_lease && account->owner)
        account->on_release(account->owner, handle);
    if (!is_viewed)
        account_unref(account);
}
