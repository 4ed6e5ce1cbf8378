/* SPDX-License-Identifier: MIT */
/* registry/peer and registry/account: the blocks that a peer holds of ours, the blocks that we hold of it, and its
 * limits. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "unit/room_peer.h"

static struct owner one;

static void before(void) {
    ctx_before();
    owner_init(&one, 1000);
}

static void after(void) {
    fail_off();
    if (one.peer)
        ck_assert_uint_eq(owner_end(&one, 0), 0);
    ctx_after();
}

static void anew(const sea_ctx_options *options) {
    one.peer = peer_free(one.peer);
    ctx_anew(options);
    owner_init(&one, 1000);
}

static void add(struct import *import, uint64_t handle, uint64_t size) {
    ck_assert_int_eq(imports_add(one.peer->account, import, handle, size, false), 0);
    ck_assert_ptr_eq(import->account, one.peer->account);
    ck_assert_uint_eq(import->handle, handle);
}

static void assert_imported(uint64_t blocks, uint64_t bytes) {
    ck_assert_uint_eq(one.peer->account->imported_blocks, blocks);
    ck_assert_uint_eq(one.peer->account->imported_bytes, bytes);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BLOCKS], blocks);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BYTES], bytes);
    owner_assert_charged(&one, bytes, blocks, blocks);
}

/* --- the account --- */

START_TEST(test_a_new_account) {
    ck_assert_ptr_eq(one.peer->account->ctx, ctx);
    ck_assert_uint_eq(ctx->refs, 2);
    ck_assert_ptr_eq(one.peer->account->user, ctx->users);
    ck_assert_uint_eq(ctx->users->name, 1000);
    ck_assert_ptr_eq(one.peer->account->quota.parent, &ctx->users->quota);
    ck_assert_str_eq(one.peer->account->quota.name, "peer quota");
    ck_assert_uint_eq(one.peer->account->quota.limit[QUOTA_BYTES], ctx->peer_limits.bytes);
    ck_assert_uint_eq(one.peer->account->quota.limit[QUOTA_BLOCKS], ctx->peer_limits.blocks);
    ck_assert_uint_eq(one.peer->account->quota.limit[QUOTA_FDS], ctx->peer_limits.fds);
    ck_assert(!imports_have(one.peer->account, 0));
    ck_assert(!imports_have(one.peer->account, 1));
    owner_assert_leased(&one, 0, 0);
    assert_imported(0, 0);
}
END_TEST

START_TEST(test_connections_of_one_user_share_its_account) {
    struct owner again, somebody;
    owner_init(&again, 1000);
    owner_init(&somebody, 1001);
    ck_assert_ptr_eq(again.peer->account->user, one.peer->account->user);
    ck_assert_ptr_ne(somebody.peer->account->user, one.peer->account->user);
    ck_assert_uint_eq(owner_end(&one, 0), 0);
    ck_assert_uint_eq(again.peer->account->user->name, 1000);
    ck_assert_uint_eq(owner_end(&somebody, 0), 0);
    ck_assert_uint_eq(owner_end(&again, 0), 0);
}
END_TEST

START_TEST(test_nobody) {
    ck_assert_ptr_null(peer_free(NULL));
}
END_TEST

START_TEST(test_no_memory_for_an_account) {
    fail_call(INJECT_ALLOC, 1 + _i, 1, ENOMEM); /* the peer, its account, its user */
    ck_assert_ptr_null(peer_new(ctx, 1001, owner_on_release, &one));
    ck_assert_int_eq(fail_calls(INJECT_ALLOC), 1 + _i);
    ck_assert_uint_eq(ctx->refs, 2);
}
END_TEST

/* --- credit: the blocks that we may lend to the peer --- */

START_TEST(test_credit) {
    one.peer->account->out_limit = (struct credit){.bytes = 100, .blocks = 2};
    ck_assert(account_has_credit(one.peer->account, 0));
    ck_assert(account_has_credit(one.peer->account, 100));
    ck_assert(!account_has_credit(one.peer->account, 101));
    ck_assert(!account_has_credit(one.peer->account, UINT64_MAX));
    ck_assert_int_eq(account_charge_lease(one.peer->account, 60), 0);
    ck_assert(account_has_credit(one.peer->account, 40));
    ck_assert(!account_has_credit(one.peer->account, 41));
    ck_assert_int_eq(account_charge_lease(one.peer->account, 40), 0);
    ck_assert(!account_has_credit(one.peer->account, 0)); /* two blocks are out */
    account_return_lease(one.peer->account, 60);
    ck_assert(account_has_credit(one.peer->account, 60));
    ck_assert(!account_has_credit(one.peer->account, 61));
    account_return_lease(one.peer->account, 40);
    one.peer->account->out_limit = (struct credit){.bytes = 0, .blocks = 0};
    ck_assert(!account_has_credit(one.peer->account, 0));
}
END_TEST

/* The peer's announced limit may have been larger before. */
START_TEST(test_credit_that_shrank) {
    ck_assert_int_eq(account_charge_lease(one.peer->account, 100), 0);
    one.peer->account->out_limit.bytes = 50;
    ck_assert(!account_has_credit(one.peer->account, 0));
    ck_assert(!account_has_credit(one.peer->account, UINT64_MAX - 60));
    account_return_lease(one.peer->account, 100);
}
END_TEST

START_TEST(test_leases_are_charged) {
    ck_assert_int_eq(account_charge_lease(one.peer->account, 60), 0);
    ck_assert_int_eq(account_charge_lease(one.peer->account, 0), 0);
    owner_assert_leased(&one, 2, 60);
    owner_assert_charged(&one, 60, 2, 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BLOCKS], 2);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BYTES], 60);
    account_return_lease(one.peer->account, 60);
    account_return_lease(one.peer->account, 0);
    owner_assert_leased(&one, 0, 0);
    owner_assert_charged(&one, 0, 0, 0);
}
END_TEST

/* --- imports --- */

START_TEST(test_an_import) {
    struct import import;
    add(&import, 7, 100);
    ck_assert(imports_have(one.peer->account, 7));
    ck_assert(!imports_have(one.peer->account, 8));
    assert_imported(1, 100);
    ck_assert_uint_eq(one.peer->account->refs, 2);
    imports_end(&import, 100, 0);
    ck_assert(!imports_have(one.peer->account, 7));
    ck_assert_ptr_null(import.account);
    assert_imported(0, 0);
    ck_assert_uint_eq(one.peer->account->refs, 1);
    ck_assert_uint_eq(one.released_count, 1); /* the lease went back */
    ck_assert_uint_eq(one.released[0], 7);
}
END_TEST

/* An import that could not be completed gives no handle back: the function that refused it does. */
START_TEST(test_an_import_that_is_taken_back) {
    struct import import;
    add(&import, 7, 100);
    imports_cancel(&import, 100);
    ck_assert(!imports_have(one.peer->account, 7));
    ck_assert_ptr_null(import.account);
    assert_imported(0, 0);
    ck_assert_uint_eq(one.released_count, 0);
}
END_TEST

START_TEST(test_a_handle_may_come_again) {
    struct import import;
    for (unsigned i = 1; i <= 3; i++) {
        add(&import, UINT64_MAX, 10);
        imports_end(&import, 10, 0);
        ck_assert_uint_eq(one.released_count, i);
    }
}
END_TEST

/* Finds handles that share a chain with `handle`, by the key that no peer knows. The table exists already. */
static size_t collide(uint64_t handle, uint64_t *ret_handles, size_t count) {
    size_t found = 0;
    uint64_t key = one.peer->account->imports.key, hash = (handle * key) >> 56;
    ck_assert_uint_eq(one.peer->account->imports.capacity, 1 << 8);
    for (uint64_t i = 1; found < count; i++)
        if ((i * key) >> 56 == hash && i != handle)
            ret_handles[found++] = i;
    return found;
}

/* All handles are in one chain, and are removed from its beginning, its end and its middle: each is found as long as
 * it is there. */
START_TEST(test_handles_that_collide) {
    enum { N = 11 };
    uint64_t handles[N];
    struct import imports[N];
    add(&imports[0], 1, 1);
    imports_cancel(&imports[0], 1);
    ck_assert_uint_eq(collide(12345, handles, N), N);
    for (int i = 0; i < N; i++)
        add(&imports[i], handles[i], (uint64_t) i);
    ck_assert(!imports_have(one.peer->account, 12345));
    assert_imported(N, N * (N - 1) / 2);
    bool is_gone[N] = {false};
    for (int i = 0; i < N; i++) {
        int at = i * (_i + 1) % N; /* N is a prime: each index comes once */
        for (int k = 0; k < N; k++)
            ck_assert_int_eq(imports_have(one.peer->account, handles[k]), !is_gone[k]);
        imports_end(&imports[at], (uint64_t) at, 0);
        is_gone[at] = true;
        ck_assert_uint_eq(one.released[i], handles[at]);
    }
    assert_imported(0, 0);
}
END_TEST

static uint32_t longest_chain(const struct peer *peer) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < peer->account->imports.capacity; i++) {
        uint32_t length = 0;
        for (const struct import *import = peer->account->imports.heads[i]; import; import = import->next)
            length++;
        most = length > most ? length : most;
    }
    return most;
}

/* The handles of a hostile peer: arbitrary, consecutive, or chosen so that any hash without a secret puts all of
 * them into one chain. */
START_TEST(test_no_chain_is_long) {
    enum { MANY = 10000, LONG = 64 };
    static struct import imports[MANY];
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    const sea_ctx_options options = {.budget_blocks = MANY,
                                     .budget_fds = MANY,
                                     .peer_blocks = MANY,
                                     .peer_fds = MANY,
                                     .user_blocks = MANY,
                                     .user_fds = MANY};
    anew(&options);
    uint64_t inverse = golden; /* Newton's method: right in 3 bits, then in 6, 12, 24, 48 and 96 */
    for (int i = 0; i < 5; i++)
        inverse *= 2 - golden * inverse;
    ck_assert_uint_eq(golden * inverse, 1);
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t handle = _i == 0 ? i + 1 : _i == 1 ? (i + 1) << 48 | (i + 1) : (i + 1) * inverse;
        ck_assert(!imports_have(one.peer->account, handle));
        add(&imports[i], handle, 1);
        ck_assert(imports_have(one.peer->account, handle));
    }
    ck_assert_uint_lt(longest_chain(one.peer), LONG);
    for (uint64_t i = 0; i < MANY; i++)
        imports_cancel(&imports[i], 1);
    assert_imported(0, 0);
    peer_trim(one.peer);
    ck_assert_ptr_null(one.peer->account->imports.heads);
}
END_TEST

/* A table that cannot grow stays in use. */
START_TEST(test_no_memory_for_a_larger_table) {
    enum { MANY = IMPORTS_FIRST + 1 };
    static struct import imports[MANY];
    for (uint64_t i = 0; i < MANY - 1; i++)
        add(&imports[i], i + 1, 1);
    fail_once(INJECT_ALLOC, ENOMEM);
    add(&imports[MANY - 1], MANY, 1);
    fail_off();
    ck_assert_uint_eq(one.peer->account->imports.capacity, IMPORTS_FIRST);
    for (uint64_t i = 0; i < MANY; i++) {
        ck_assert(imports_have(one.peer->account, i + 1));
        imports_cancel(&imports[i], 1);
    }
    assert_imported(0, 0);
}
END_TEST

START_TEST(test_many_imports) {
    enum { MANY = 3000 };
    const sea_ctx_options options = {.budget_fds = MANY, .peer_fds = MANY};
    anew(&options);
    struct import *imports = calloc(MANY, sizeof *imports);
    ck_assert_ptr_nonnull(imports);
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t handle = i << (i % 40) | i; /* arbitrary handles */
        ck_assert_int_eq(imports_add(one.peer->account, &imports[i], handle, 1, false), 0);
    }
    assert_imported(MANY, MANY);
    for (uint64_t i = 0; i < MANY; i++)
        ck_assert(imports_have(one.peer->account, i << (i % 40) | i));
    for (size_t i = 0; i < MANY; i++)
        imports_cancel(&imports[i * 7 % MANY], 1);
    assert_imported(0, 0);
    free(imports);
}
END_TEST

START_TEST(test_limits_on_imports) {
    struct import imports[2];
    one.peer->account->in_limit = (struct credit){.bytes = 100, .blocks = 2};
    ck_assert(!account_is_over_limit(one.peer->account, 0));
    ck_assert(!account_is_over_limit(one.peer->account, 100));
    ck_assert(account_is_over_limit(one.peer->account, 101));
    ck_assert(account_is_over_limit(one.peer->account, UINT64_MAX));
    add(&imports[0], 1, 60);
    ck_assert(!account_is_over_limit(one.peer->account, 40));
    ck_assert(account_is_over_limit(one.peer->account, 41));
    add(&imports[1], 2, 40);
    ck_assert(account_is_over_limit(one.peer->account, 0));
    imports_end(&imports[0], 60, 0);
    ck_assert(!account_is_over_limit(one.peer->account, 60));
    ck_assert(account_is_over_limit(one.peer->account, 61));
    imports_end(&imports[1], 40, 0);
}
END_TEST

START_TEST(test_quotas_on_imports) {
    static const struct {
        struct limits peer, user;
        const char *limit;
    } cases[] = {
        {{.bytes = 150}, {0}, "peer quota (bytes)"},   {{.blocks = 1}, {0}, "peer quota (blocks)"},
        {{.fds = 1}, {0}, "peer quota (descriptors)"}, {{0}, {.bytes = 150}, "user quota (bytes)"},
        {{0}, {.blocks = 1}, "user quota (blocks)"},   {{0}, {.fds = 1}, "user quota (descriptors)"},
    };
    const sea_ctx_options options = {.peer_bytes = cases[_i].peer.bytes,
                                     .peer_blocks = cases[_i].peer.blocks,
                                     .peer_fds = cases[_i].peer.fds,
                                     .user_bytes = cases[_i].user.bytes,
                                     .user_blocks = cases[_i].user.blocks,
                                     .user_fds = cases[_i].user.fds};
    struct import first, second = {.handle = 99};
    anew(&options);
    add(&first, 1, 100);
    ck_assert_int_eq(imports_add(one.peer->account, &second, 2, 100, false), -EDQUOT);
    ck_assert_str_eq(ctx_refusal().limit, cases[_i].limit);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 1);
    ck_assert_uint_eq(second.handle, 99);
    ck_assert(!imports_have(one.peer->account, 2));
    assert_imported(1, 100);
    imports_end(&first, 100, 0);
    add(&second, 2, 100);
    imports_end(&second, 100, 0);
}
END_TEST

/* Leases and imports are charged to one account. */
START_TEST(test_leases_and_imports_share_the_quota) {
    const sea_ctx_options options = {.peer_bytes = 100, .peer_blocks = 2};
    struct import import;
    anew(&options);
    ck_assert_int_eq(account_charge_lease(one.peer->account, 60), 0);
    ck_assert_int_eq(imports_add(one.peer->account, &import, 1, 41, false), -EDQUOT);
    add(&import, 1, 40);
    ck_assert_int_eq(account_charge_lease(one.peer->account, 0), -EDQUOT);
    owner_assert_leased(&one, 1, 60);
    owner_assert_charged(&one, 100, 2, 1);
    account_return_lease(one.peer->account, 60);
    imports_end(&import, 40, 0);
}
END_TEST

START_TEST(test_no_memory_for_imports) {
    struct import import;
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(imports_add(one.peer->account, &import, 1, 10, false), -ENOMEM);
    assert_imported(0, 0);
    ck_assert_uint_eq(one.peer->account->refs, 1);
    add(&import, 1, 10); /* the second try finds memory */
    imports_end(&import, 10, 0);
}
END_TEST

/* --- the end --- */

/* The memory is held, and charged, until the application releases it; the peer is not told any more. */
START_TEST(test_imports_outlive_the_connection) {
    struct import imports[2];
    struct account *account = one.peer->account;
    add(&imports[0], 1, 60);
    add(&imports[1], 2, 40);
    ck_assert_uint_eq(owner_end(&one, 0), 0);
    ck_assert_ptr_null(account->owner);
    ck_assert_uint_eq(quota_used(&account->quota, QUOTA_BYTES), 100);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BYTES], 100);
    ck_assert_ptr_eq(ctx->users, account->user);
    imports_end(&imports[0], 60, 0);
    ck_assert_uint_eq(quota_used(&account->quota, QUOTA_BYTES), 40);
    imports_end(&imports[1], 40, 0); /* the account ends with it */
    ck_assert_uint_eq(one.released_count, 0);
    ck_assert_ptr_null(ctx->users);
}
END_TEST

/* A user that comes back is still charged for the blocks of its last connection. */
START_TEST(test_a_new_connection_does_not_clear_the_user) {
    const sea_ctx_options options = {.user_bytes = 100};
    struct import import, more;
    anew(&options);
    add(&import, 1, 70);
    ck_assert_uint_eq(owner_end(&one, 0), 0);
    owner_init(&one, 1000);
    ck_assert_int_eq(imports_add(one.peer->account, &more, 1, 40, false), -EDQUOT);
    ck_assert_str_eq(ctx_refusal().limit, "user quota (bytes)");
    imports_end(&import, 70, 0);
    ck_assert_uint_eq(one.released_count, 0); /* handle 1 of the new connection is another lease */
    ck_assert_int_eq(imports_add(one.peer->account, &more, 1, 40, false), 0);
    imports_end(&more, 40, 0);
    ck_assert_uint_eq(one.released_count, 1);
}
END_TEST

START_TEST(test_the_end_drops_the_leases) {
    sea_block *block = NULL;
    uint64_t handle;
    struct import import;
    ck_assert_int_eq(block_new_inline(&block, ctx, NULL, 50, 1), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(lease_grant(&one.peer->leases, block, &handle), 0);
    sea_block_unref(block);
    add(&import, 1, 60);
    ck_assert_uint_eq(owner_end(&one, 150), 3);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 1);
    imports_end(&import, 60, 0);
}
END_TEST

/* --- one block for several peers --- */

/* Other threads send and read it meanwhile: the library writes nothing to it but its references. */
START_TEST(test_a_sealed_block_is_not_written_to) {
    const size_t page = 4096;
    sea_block *block = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static const struct block_ops nothing;
    ck_assert_ptr_ne(block, MAP_FAILED);
    block_init_inline(block, ctx, 100, &nothing);
    one.peer->account->grant = (struct grant){.accept = SEA_ANY_CLASS, .inline_max = 1000};
    ck_assert_int_eq(mprotect(block, page, PROT_READ), 0);
    ck_assert_int_eq(peer_class_for(one.peer, block), SEA_INLINE);
    ck_assert_int_eq(sea_block_seal(block), 0);
    munmap(block, page);
}
END_TEST

/* --- replies that wait --- */

START_TEST(test_queued_bytes_are_the_peers) {
    const sea_ctx_options options = {.peer_bytes = 100};
    anew(&options);
    ck_assert_int_eq(account_charge(one.peer->account, 60), 0);
    owner_assert_charged(&one, 60, 0, 0);
    ck_assert_int_eq(account_charge(one.peer->account, 41), -EDQUOT);
    ck_assert_str_eq(ctx_refusal().limit, "peer quota (bytes)");
    ck_assert_int_eq(account_charge_lease(one.peer->account, 41), -EDQUOT);
    owner_assert_charged(&one, 60, 0, 0);
    account_return(one.peer->account, 60);
    owner_assert_charged(&one, 0, 0, 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("peer");
    suite_fixture(s, before, after);
    suite_add(s, test_a_new_account);
    suite_add(s, test_connections_of_one_user_share_its_account);
    suite_add(s, test_nobody);
    suite_add_loop(s, test_no_memory_for_an_account, 0, 3);
    suite_add(s, test_credit);
    suite_add(s, test_credit_that_shrank);
    suite_add(s, test_leases_are_charged);
    suite_add(s, test_an_import);
    suite_add(s, test_an_import_that_is_taken_back);
    suite_add(s, test_a_handle_may_come_again);
    suite_add_loop(s, test_handles_that_collide, 0, 10);
    suite_add_loop(s, test_no_chain_is_long, 0, 3);
    suite_add(s, test_no_memory_for_a_larger_table);
    suite_add(s, test_many_imports);
    suite_add(s, test_limits_on_imports);
    suite_add_loop(s, test_quotas_on_imports, 0, 6);
    suite_add(s, test_leases_and_imports_share_the_quota);
    suite_add(s, test_no_memory_for_imports);
    suite_add(s, test_imports_outlive_the_connection);
    suite_add(s, test_a_new_connection_does_not_clear_the_user);
    suite_add(s, test_the_end_drops_the_leases);
    suite_add(s, test_a_sealed_block_is_not_written_to);
    suite_add(s, test_queued_bytes_are_the_peers);
    return suite_run(s);
}
