/* SPDX-License-Identifier: MIT */
/* Accounts. See account.h. */
#include "registry/account.h"

#include "sys/heap.h"
#include "sys/misuse.h"

/* Objects of some 170 bytes each, which an idle connection keeps. A receiver that holds more blocks uses the heap. */
static const uint32_t VIEW_SPARES_MOST = 4;

struct account *account_new(sea_ctx *ctx, uint64_t user, account_on_release *on_release, void *owner) {
    struct account *account = heap_new(1, sizeof(*account));
    struct mailbox *mailbox = account ? mailbox_new() : NULL;
    struct user *found = mailbox ? user_get(ctx, user) : NULL;
    if (!found) {
        mailbox_unref(mailbox);
        return heap_free(account);
    }
    account->mailbox = mailbox;
    account->view_spares_room = misuse_is_checked() ? 0 : VIEW_SPARES_MOST;
    account->refs = 1;
    account->ctx = sea_ctx_ref(ctx);
    account->user = found;
    account->on_release = on_release;
    account->owner = owner;
    quota_init(&account->quota, "peer quota", &found->quota, &ctx->peer_limits);
    ctx_join(ctx, &account->member);
    return account;
}

struct account *account_unref(struct account *account) {
    if (!account || --account->refs > 0)
        return NULL;
    ctx_leave(account->ctx, &account->member);
    user_put(account->ctx, account->user);
    sea_ctx_unref(account->ctx);
    heap_free(account->imports.heads);
    mailbox_unref(account->mailbox);
    return heap_free(account);
}

void account_end(struct account *account) {
    ctx_leave(account->ctx, &account->member);
    account->owner = NULL;
}

int account_charge(struct account *account, uint64_t bytes) {
    return bytes > 0 ? quota_charge(&account->quota, bytes, 0, 0, &account->ctx->refusals) : 0;
}

void account_return(struct account *account, uint64_t bytes) {
    if (bytes > 0)
        quota_return(&account->quota, bytes, 0, 0);
}
