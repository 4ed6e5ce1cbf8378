/* SPDX-License-Identifier: MIT */
/* registry/lease: handles that name one lease of one peer, once. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

#include "sys/wait.h"
#include "unit/room_peer.h"
#include "wire/handle.h"

#define GENERATIONS (1u << HANDLE_GENERATION_BITS)

static struct owner one, other;

static void before(void) {
    ctx_before();
    owner_init(&one, 1000);
    owner_init(&other, 1001);
}

static void after(void) {
    fail_off();
    ck_assert_uint_eq(owner_end(&one, 0), 0); /* each test has released its leases */
    ck_assert_uint_eq(owner_end(&other, 0), 0);
    ctx_after();
}

/* Makes a block; its content does not matter. */
static sea_block *new_block(size_t size) {
    sea_block *block = NULL;
    ck_assert_int_eq(block_new_inline(&block, ctx, NULL, size, 1), 0);
    return block;
}

static uint64_t grant(struct owner *owner, sea_block *block) {
    uint64_t handle = 0;
    ck_assert_int_eq(lease_grant(&owner->peer->leases, block, &handle), 0);
    ck_assert_uint_ne(handle, 0);
    return handle;
}

static int release(struct owner *owner, uint64_t handle) {
    return lease_release(&owner->peer->leases, handle);
}

static uint64_t drop_all(struct owner *owner, uint64_t expected_bytes) {
    uint64_t bytes = 77, count = lease_drop_all(&owner->peer->leases, &bytes);
    ck_assert_uint_eq(bytes, expected_bytes);
    return count;
}

START_TEST(test_a_lease_holds_the_block) {
    sea_block *block = new_block(100);
    uint64_t handle = grant(&one, block);
    ck_assert_uint_eq(block->refs, 2);
    owner_assert_leased(&one, 1, 100);
    owner_assert_charged(&one, 100, 1, 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BLOCKS], 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BYTES], 100);

    sea_block_unref(block); /* drops our own reference */
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_int_eq(release(&one, handle), 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 0);
    owner_assert_leased(&one, 0, 0);
    owner_assert_charged(&one, 0, 0, 0);
    ck_assert_uint_eq(one.released_count, 0); /* released_count counts leases that the peer granted */
}
END_TEST

START_TEST(test_our_reference_may_be_the_last) {
    sea_block *block = new_block(100);
    ck_assert_int_eq(release(&one, grant(&one, block)), 0);
    ck_assert_uint_eq(block->refs, 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_an_empty_table) {
    ck_assert_int_eq(release(&one, 0), -ESTALE);
    ck_assert_int_eq(release(&one, 1), -ESTALE);
    ck_assert_int_eq(release(&one, UINT64_MAX), -ESTALE);
    ck_assert_uint_eq(drop_all(&one, 0), 0);
}
END_TEST

START_TEST(test_a_lease_is_given_back_once) {
    sea_block *block = new_block(1);
    uint64_t handle = grant(&one, block);
    ck_assert_int_eq(release(&one, handle), 0);
    ck_assert_int_eq(release(&one, handle), -ESTALE);
    owner_assert_leased(&one, 0, 0);
    ck_assert_uint_eq(block->refs, 1);
    sea_block_unref(block);
}
END_TEST

/* The slot is used again; its handle is not. */
START_TEST(test_a_slot_again_is_another_handle) {
    sea_block *block = new_block(1);
    uint64_t used = grant(&one, block);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(release(&one, used), 0);
        uint64_t handle = grant(&one, block);
        ck_assert_uint_ne(handle, used);
        ck_assert_uint_eq(handle >> HANDLE_GENERATION_BITS, used >> HANDLE_GENERATION_BITS);
        ck_assert_int_eq(release(&one, used), -ESTALE);
        owner_assert_leased(&one, 1, 1);
        used = handle;
    }
    ck_assert_int_eq(release(&one, used), 0);
    ck_assert_uint_eq(one.peer->leases.slots.capacity, 16);
    sea_block_unref(block);
}
END_TEST

/* The table's memory is given back while no block is leased, and old handles still name no later lease. */
START_TEST(test_trimmed) {
    sea_block *block = new_block(1);
    uint64_t handles[100];
    lease_table_trim(&one.peer->leases);
    for (int i = 0; i < 100; i++)
        handles[i] = grant(&one, block);
    for (int i = 1; i < 100; i++)
        ck_assert_int_eq(release(&one, handles[i]), 0);
    lease_table_trim(&one.peer->leases);
    ck_assert_uint_eq(one.peer->leases.slots.capacity, 128);
    ck_assert_int_eq(release(&one, handles[0]), 0);
    lease_table_trim(&one.peer->leases);
    ck_assert_uint_eq(one.peer->leases.slots.capacity, 0);
    ck_assert_ptr_null(one.peer->leases.slots.slots);
    ck_assert_int_eq(release(&one, handles[0]), -ESTALE);
    for (int i = 0; i < 100; i++) {
        uint64_t handle = grant(&one, block);
        for (int k = 0; k < 100; k++)
            ck_assert_uint_ne(handles[k], handle);
        ck_assert_int_eq(release(&one, handles[i]), -ESTALE);
    }
    ck_assert_uint_eq(drop_all(&one, 100), 100);
    sea_block_unref(block);
}
END_TEST

/* Handles near the true handle, and far from it. */
START_TEST(test_handles_that_were_never_given) {
    sea_block *block = new_block(1);
    uint64_t handle = grant(&one, block);
    for (int bit = 0; bit < 64; bit++)
        ck_assert_int_eq(release(&one, handle ^ UINT64_C(1) << bit), -ESTALE);
    for (uint64_t index = 0; index < 1000; index++) {
        ck_assert_int_eq(release(&one, index << HANDLE_GENERATION_BITS),
                         -ESTALE); /* free slots have a generation, too */
        ck_assert_int_eq(release(&one, (index + 1) << HANDLE_GENERATION_BITS | 1), -ESTALE);
        ck_assert_int_eq(release(&one, index << (HANDLE_GENERATION_BITS + HANDLE_INDEX_BITS) | handle),
                         index == 0 ? 0 : -ESTALE);
        if (index == 0)
            handle = grant(&one, block);
    }
    owner_assert_leased(&one, 1, 1);
    ck_assert_int_eq(release(&one, handle), 0);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_another_peers_handle_is_not_ours) {
    sea_block *block = new_block(10);
    uint64_t mine = grant(&one, block), theirs = grant(&other, block);
    ck_assert_uint_eq(mine, theirs); /* a handle is unique for one peer */
    ck_assert_int_eq(release(&one, mine), 0);
    mine = grant(&one, block);
    ck_assert_int_eq(release(&other, mine), -ESTALE);
    ck_assert_int_eq(release(&one, theirs), -ESTALE);
    owner_assert_leased(&one, 1, 10);
    owner_assert_leased(&other, 1, 10);
    ck_assert_int_eq(release(&one, mine), 0);
    ck_assert_int_eq(release(&other, mine), -ESTALE);
    ck_assert_uint_eq(block->refs, 2);
    ck_assert_int_eq(release(&other, theirs), 0);
    sea_block_unref(block);
}
END_TEST

/* Two leases of one block to one peer. */
START_TEST(test_two_leases_on_one_block) {
    sea_block *block = new_block(10);
    uint64_t first = grant(&one, block), second = grant(&one, block);
    ck_assert_uint_ne(first, second);
    owner_assert_leased(&one, 2, 20);
    owner_assert_charged(&one, 20, 2, 0);
    sea_block_unref(block);
    ck_assert_int_eq(release(&one, first), 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_int_eq(release(&one, second), 0);
}
END_TEST

/* --- the end of a peer --- */

static uint64_t oldest(const struct owner *owner, uint64_t *ret_handle) {
    struct lease_report lease = {.handle = 0};
    uint64_t leased_at = lease_oldest(&owner->peer->leases, &lease);
    ck_assert_uint_le(leased_at, wait_now_coarse());
    ck_assert_int_eq(leased_at != 0, lease.handle != 0);
    *ret_handle = lease.handle;
    return lease.size;
}

START_TEST(test_the_oldest_lease) {
    uint64_t handle, handles[4];
    sea_block *blocks[] = {new_block(10), new_block(20), new_block(30), new_block(40)};
    ck_assert_uint_eq(oldest(&one, &handle), 0);
    for (int i = 0; i < 3; i++)
        handles[i] = grant(&one, blocks[i]);
    uint64_t others = grant(&other, blocks[3]);
    ck_assert_uint_eq(oldest(&one, &handle), 10);
    ck_assert_uint_eq(handle, handles[0]);
    ck_assert_int_eq(release(&one, handles[1]), 0); /* from the middle */
    ck_assert_uint_eq(oldest(&one, &handle), 10);
    ck_assert_int_eq(release(&one, handles[0]), 0); /* from the end */
    ck_assert_uint_eq(oldest(&one, &handle), 30);
    handles[3] = grant(&one, blocks[3]);
    ck_assert_uint_eq(oldest(&one, &handle), 30);
    ck_assert_int_eq(release(&one, handles[3]), 0); /* from the beginning */
    ck_assert_uint_eq(oldest(&one, &handle), 30);
    ck_assert_int_eq(release(&one, handles[2]), 0);
    ck_assert_uint_eq(oldest(&one, &handle), 0);
    ck_assert_uint_eq(oldest(&other, &handle), 40);
    ck_assert_uint_eq(handle, others);
    ck_assert_int_eq(release(&other, others), 0);
    for (int i = 0; i < 4; i++)
        sea_block_unref(blocks[i]);
}
END_TEST

/* The oldest lease of all peers; its age grows with the clock. */
START_TEST(test_the_process_has_an_oldest_lease) {
    sea_block *block = new_block(10);
    uint64_t first = grant(&one, block), began = wait_now_coarse();
    while (wait_now_coarse() == began)
        sched_yield();
    uint64_t second = grant(&other, block), between = wait_now_coarse();
    ck_assert_uint_gt(ctx_figures().of[SEA_FIGURE_OLDEST_LEASE_NANOSECONDS], 0);
    ck_assert_uint_gt(peer_oldest_lease(one.peer).age, 0);
    ck_assert_int_eq(release(&one, first), 0);
    ck_assert_uint_le(ctx_figures().of[SEA_FIGURE_OLDEST_LEASE_NANOSECONDS], wait_now_coarse() - between + 1);
    ck_assert_uint_eq(peer_oldest_lease(one.peer).handle, 0);
    ck_assert_uint_eq(peer_oldest_lease(other.peer).handle, second);
    ck_assert_int_eq(release(&other, second), 0);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_OLDEST_LEASE_NANOSECONDS], 0);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_all_of_a_peers_leases_go_at_once) {
    sea_block *shared = new_block(1000);
    uint64_t kept = grant(&other, shared), handles[10], bytes = 0;
    for (size_t i = 0; i < 10; i++) {
        sea_block *block = new_block(i);
        handles[i] = grant(&one, i % 2 ? block : shared);
        bytes += i % 2 ? i : 1000;
        sea_block_unref(block);
    }
    sea_block_unref(shared);
    owner_assert_leased(&one, 10, bytes);
    ck_assert_uint_eq(drop_all(&one, bytes), 10);
    owner_assert_leased(&one, 0, 0);
    owner_assert_charged(&one, 0, 0, 0);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(release(&one, handles[i]), -ESTALE);
    ck_assert_uint_eq(drop_all(&one, 0), 0);

    owner_assert_leased(&other, 1, 1000); /* the other peer's leases are untouched */
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_int_eq(release(&other, kept), 0);
}
END_TEST

/* Leases are released from the middle and the ends of a peer's list, in any order; the end drops the rest. */
START_TEST(test_released_in_any_order) {
    enum { N = 7 };
    sea_block *block = new_block(1);
    for (int kept = 0; kept <= N; kept++) {
        uint64_t handles[N];
        for (int i = 0; i < N; i++)
            handles[i] = grant(i % 3 ? &one : &other, block);
        for (int i = kept; i < N; i++) {
            int at = i * (_i + 1) % N; /* N is a prime: each index comes once */
            ck_assert_int_eq(release(at % 3 ? &one : &other, handles[at]), 0);
        }
        owner_assert_leased(&one, one.peer->account->leased_bytes, one.peer->account->leased_bytes);
        ck_assert_uint_eq(one.peer->account->leased_blocks + other.peer->account->leased_blocks, (uint64_t) kept);
        uint64_t of_one = one.peer->account->leased_blocks, of_other = other.peer->account->leased_blocks;
        ck_assert_uint_eq(drop_all(&one, of_one), of_one);
        ck_assert_uint_eq(drop_all(&other, of_other), of_other);
    }
    ck_assert_uint_eq(block->refs, 1);
    sea_block_unref(block);
}
END_TEST

/* --- growth --- */

START_TEST(test_the_table_grows_and_keeps) {
    enum { MANY = 5000 };
    uint64_t *handles = calloc(MANY, sizeof *handles);
    ck_assert_ptr_nonnull(handles);
    sea_block *block = new_block(3);
    for (int i = 0; i < MANY; i++)
        handles[i] = grant(i % 2 ? &one : &other, block);
    ck_assert_uint_eq(one.peer->leases.slots.capacity, 4096); /* eight doublings */
    ck_assert_uint_eq(block->refs, MANY + 1);
    for (int i = 0; i < MANY; i += 3)
        ck_assert_int_eq(release(i % 2 ? &one : &other, handles[i]), 0);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(release(i % 2 ? &one : &other, handles[i]), i % 3 ? 0 : -ESTALE);
    for (int i = 0; i < MANY; i++) { /* every slot is used a second time, with a new handle */
        uint64_t handle = grant(i % 2 ? &one : &other, block);
        for (int k = i % 97; k < MANY; k += 97)
            ck_assert_uint_ne(handle, handles[k]);
    }
    ck_assert_uint_eq(one.peer->leases.slots.capacity, 4096);
    ck_assert_uint_eq(drop_all(&one, 3 * MANY / 2), MANY / 2);
    ck_assert_uint_eq(drop_all(&other, 3 * MANY / 2), MANY / 2);
    free(handles);
    sea_block_unref(block);
}
END_TEST

START_TEST(test_no_memory_to_grow) {
    sea_block *block = new_block(3);
    uint64_t handle = 77, first = 0;
    for (int i = 0; i < 64; i++) {
        handle = grant(&one, block);
        first = i == 0 ? handle : first;
    }
    fail_always(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(lease_grant(&one.peer->leases, block, &handle), -ENOMEM);
    ck_assert_int_eq(ctx_refusal().error, -ENOMEM);
    ck_assert_str_eq(ctx_refusal().limit, "memory");
    owner_assert_leased(&one, 64, 192); /* as before the failed call */
    owner_assert_charged(&one, 192, 64, 0);
    ck_assert_uint_eq(block->refs, 65);
    ck_assert_int_eq(release(&one, first), 0);
    grant(&one, block); /* a slot is free again, so no memory is needed */
    fail_off();
    grant(&one, block);
    ck_assert_uint_eq(drop_all(&one, 195), 65);
    sea_block_unref(block);
}
END_TEST

/* After all generations a slot begins anew, and passes over 0: no handle is 0. */
START_TEST(test_generations_wrap) {
    if (test_is_slow_build())
        test_skip("sixteen million leases take too long under this tool");
    sea_block *block = new_block(1);
    uint64_t first = grant(&one, block), handle = first;
    for (uint32_t i = 0; i < GENERATIONS - 1; i++) {
        if (release(&one, handle) < 0 || lease_grant(&one.peer->leases, block, &handle) < 0)
            ck_abort_msg("after %u", i);
        if ((handle & (GENERATIONS - 1)) == 0)
            ck_abort_msg("generation 0 after %u", i);
    }
    ck_assert_uint_eq(handle, first);
    ck_assert_int_eq(release(&one, handle), 0);
    sea_block_unref(block);
}
END_TEST

/* --- quotas --- */

START_TEST(test_a_peers_quota) {
    static const char *const limits[] = {"peer quota (bytes)", "peer quota (blocks)", "user quota (bytes)",
                                         "user quota (blocks)"};
    sea_ctx_options options = {.budget_fds = 10};
    if (_i % 2)
        *(_i < 2 ? &options.peer_blocks : &options.user_blocks) = 2;
    else
        *(_i < 2 ? &options.peer_bytes : &options.user_bytes) = 20;
    peer_free(one.peer);
    peer_free(other.peer);
    ctx_anew(&options);
    owner_init(&one, 1000);
    owner_init(&other, 1000); /* two connections of one user */

    sea_block *block = new_block(10);
    uint64_t handle = 77, first = grant(&one, block), second = grant(_i < 2 ? &one : &other, block);
    ck_assert_int_eq(lease_grant(&one.peer->leases, block, &handle), -EDQUOT);
    ck_assert_uint_eq(handle, 77);
    ck_assert_str_eq(ctx_refusal().limit, limits[_i]);
    ck_assert_uint_eq(ctx_refusal().available, 0);
    ck_assert_uint_eq(block->refs, 3);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_LEASED_BLOCKS], 2);
    ck_assert_int_eq(release(&one, first), 0);
    ck_assert_int_eq(lease_grant(&one.peer->leases, block, &handle), 0);
    ck_assert_int_eq(release(&one, handle), 0);
    ck_assert_int_eq(release(_i < 2 ? &one : &other, second), 0);
    sea_block_unref(block);
}
END_TEST

/* --- threads --- */

enum { THREADS = 4, TURNS = 3000, HELD = 50 };

static sea_block *common;

/* Each thread has a peer of its own; the threads share the block, and read the oldest lease meanwhile. */
static void *lease_and_release(void *arg) {
    struct peer *peer = arg;
    uint64_t handles[HELD] = {0}, bytes;
    for (int i = 0; i < TURNS; i++) {
        uint64_t *handle = &handles[i % HELD];
        if (*handle && lease_release(&peer->leases, *handle) < 0)
            return (void *) "a handle was lost";
        if (lease_grant(&peer->leases, common, handle) < 0)
            return (void *) "no lease";
        if (i % 100 == 0)
            lease_table_trim(&peer->leases);
        if (i % 1000 == 999) {
            if (lease_drop_all(&peer->leases, &bytes) != HELD || bytes != HELD * 7)
                return (void *) "a wrong number of leases was dropped";
            for (int k = 0; k < HELD; k++)
                handles[k] = 0;
        }
    }
    return NULL;
}

START_TEST(test_threads_share_a_block) {
    struct owner owners[THREADS];
    pthread_t threads[THREADS];
    void *complaint, *first = NULL;
    common = new_block(7);
    for (int i = 0; i < THREADS; i++) {
        owner_init(&owners[i], 2000);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, lease_and_release, owners[i].peer), 0);
    }
    for (int i = 0; i < 1000; i++)
        first =
            ctx_figures().of[SEA_FIGURE_OLDEST_LEASE_NANOSECONDS] < UINT32_MAX ? first : (void *) "no lease is so old";
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &complaint);
        first = first ? first : complaint;
    }
    ck_assert_msg(!first, "%s", (const char *) first);
    for (int i = 0; i < THREADS; i++)
        ck_assert_uint_eq(owner_end(&owners[i], 0), 0);
    ck_assert_uint_eq(common->refs, 1);
    sea_block_unref(common);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("lease");
    suite_fixture(s, before, after);
    suite_add(s, test_a_lease_holds_the_block);
    suite_add(s, test_our_reference_may_be_the_last);
    suite_add(s, test_an_empty_table);
    suite_add(s, test_a_lease_is_given_back_once);
    suite_add(s, test_a_slot_again_is_another_handle);
    suite_add(s, test_trimmed);
    suite_add(s, test_handles_that_were_never_given);
    suite_add(s, test_another_peers_handle_is_not_ours);
    suite_add(s, test_two_leases_on_one_block);
    suite_add(s, test_the_oldest_lease);
    suite_add(s, test_the_process_has_an_oldest_lease);
    suite_add(s, test_all_of_a_peers_leases_go_at_once);
    suite_add_loop(s, test_released_in_any_order, 0, 6);
    suite_add(s, test_the_table_grows_and_keeps);
    suite_add(s, test_no_memory_to_grow);
    suite_guard(s, 600);
    suite_add(s, test_generations_wrap);
    suite_guard(s, 300);
    suite_add_loop(s, test_a_peers_quota, 0, 4);
    suite_add(s, test_threads_share_a_block);
    return suite_run(s);
}
