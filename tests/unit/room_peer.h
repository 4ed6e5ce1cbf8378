/* SPDX-License-Identifier: MIT */
/* Peers without a connection, for the unit tests of the registry: accounts with an owner that records the handles
 * that go back. */
#ifndef TESTS_UNIT_ROOM_PEER_H
#define TESTS_UNIT_ROOM_PEER_H

#include "registry/block.h"
#include "registry/peer.h"
#include "support/trap.h"
#include "sys/map.h"
#include "unit/room_ctx.h"

#include <fcntl.h>

struct owner {
    struct peer *peer;
    uint64_t released[64]; /* the handles that were released, in order */
    unsigned released_count;
    uint64_t mappings; /* map_count() at the last release */
};

static inline void owner_on_release(void *owner, uint64_t handle) {
    struct owner *self = owner;
    ck_assert_uint_lt(self->released_count, 64);
    self->released[self->released_count++] = handle;
    self->mappings = map_count();
}

static inline void owner_init(struct owner *ret, uint32_t uid) {
    *ret = (struct owner){.peer = NULL};
    ret->peer = peer_new(ctx, uid, owner_on_release, ret);
    ck_assert_ptr_nonnull(ret->peer);
    ret->peer->account->in_limit = ret->peer->account->out_limit =
        (struct credit){.bytes = UINT64_MAX, .blocks = UINT32_MAX};
}

/* Ends the connection. Returns how many of our blocks the peer held, after comparing their bytes. */
static inline uint64_t owner_end(struct owner *owner, uint64_t expected_bytes) {
    uint64_t bytes = 77, count = peer_end(owner->peer, &bytes);
    ck_assert_uint_eq(bytes, expected_bytes);
    owner->peer = peer_free(owner->peer);
    return count;
}

/* Checks the charge of the peer, and of its user if the user has no other peer. */
static inline void owner_assert_charged(const struct owner *owner, uint64_t bytes, uint64_t blocks, uint64_t fds) {
    const struct quota *quotas[] = {&owner->peer->account->quota, &owner->peer->account->user->quota};
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(quota_used(quotas[i], QUOTA_BYTES), bytes);
        ck_assert_uint_eq(quota_used(quotas[i], QUOTA_BLOCKS), blocks);
        ck_assert_uint_eq(quota_used(quotas[i], QUOTA_FDS), fds);
    }
}

static inline void owner_assert_leased(const struct owner *owner, uint64_t blocks, uint64_t bytes) {
    ck_assert_uint_eq(owner->peer->account->leased_blocks, blocks);
    ck_assert_uint_eq(owner->peer->account->leased_bytes, bytes);
}

/* Imports a sealed block as if the peer had sent one. */
static inline int owner_send(struct owner *owner, uint64_t handle, size_t size, sea_block **ret_block) {
    const struct sealed_claim claim = {.size = size, .size_max = size};
    const char *why = NULL;
    return sealed_block_receive(ret_block, owner->peer->account, handle, trap_memfd(size, TRAP_ALL_SEALS), &claim,
                                &why);
}

#endif
