/* SPDX-License-Identifier: MIT */
/*
 * Pooled payloads between two lanes (lane/send, lane/receive, registry/pooled_block). An arena is announced once,
 * before the frames that name it; all messages stay in order; a payload that cannot go in place goes as a copy, and is
 * counted; leases come back through the release ring; a side that wants stable payloads gets them.
 *
 * The steps of both sides are taken one by one, on one thread.
 */
#include "support/suite.h"

#include <errno.h>
#include <unistd.h>

#include <sys/resource.h>

#include "lane/pooled.h"
#include "support/random.h"
#include "support/ring_speaker.h"
#include "unit/fail.h"
#include "unit/lane_pair.h"
#include "unit/valgrind.h"
#include "wire/handle.h"

#define LARGE ((size_t) 5000) /* more than one frame of a ring holds */

static struct pair pair;

static void open_pair(void) {
    pair_open_in(&pair, 1);
}

/* The fixture resets the settings of the last test. */
static void before(void) {
    fail_off();
    memset(&pair, 0, sizeof pair);
}

static sea_block *new_pooled(struct side *side, size_t size, int fill) {
    sea_block *block = NULL;
    ck_assert_int_eq(pools_new_block(&block, &side->lane.remote->pools, size), 0);
    return filled(block, fill);
}

static int send_numbered(struct side *side, uint32_t number, sea_block *block) {
    const struct lane_message message = {.type = WIRE_ONEWAY, .method = number, .block = block};
    int r = lane_send(&side->lane, &message, false);
    sea_block_unref(block);
    return r;
}

static bool has_bytes(const void *data, size_t size, int fill) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != fill)
            return false;
    return true;
}

static int class_of(const struct lane_message *in) {
    return in->block ? sea_block_class(in->block) : SEA_INLINE;
}

static const void *payload_of(const struct lane_message *in) {
    return in->block ? sea_block_view(in->block) : in->bytes;
}

/* Returns the block of the only message that has arrived there; NULL: it came as bytes. */
static sea_block *arrived(const struct side *side, int class, size_t size, int fill) {
    ck_assert_uint_eq(side->arrived_count, 1);
    const struct lane_message *in = &side->arrived[0];
    ck_assert_int_eq(class_of(in), class);
    ck_assert_uint_eq(in->payload_size, size);
    ck_assert(has_bytes(payload_of(in), size, fill));
    return in->block;
}

static void assert_leased(struct side *side, uint64_t blocks, uint64_t bytes) {
    lane_dispatch(&side->lane, 0); /* a sleeping side is not woken for the release of a pooled block */
    ck_assert_uint_eq(side->lane.remote->account->leased_blocks, blocks);
    ck_assert_uint_eq(side->lane.remote->account->leased_bytes, bytes);
}

/* --- in place --- */

START_TEST(test_a_payload_in_place) {
    open_pair();
    sea_block *block = new_pooled(&pair.client, LARGE, 5);
    ck_assert_int_eq(send_numbered(&pair.client, 1, sea_block_ref(block)), 0);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    pair_settle(&pair);
    sea_block *view = arrived(&pair.server, SEA_POOLED, LARGE, 5);
    memset(block->data, 6, LARGE); /* the sender lies */
    ck_assert(has_bytes(sea_block_view(view), LARGE, 6));
    struct figures sent = side_figures(&pair.client), received = side_figures(&pair.server);
    ck_assert_uint_eq(sent.of[SEA_FIGURE_SENT_POOLED_MESSAGES], 1);
    ck_assert_uint_eq(received.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 1);
    ck_assert_uint_eq(sent.of[SEA_FIGURE_SENT_BYTES], LARGE);
    ck_assert_uint_eq(received.of[SEA_FIGURE_RECEIVED_BYTES], LARGE);
    ck_assert_uint_eq(
        sent.of[SEA_FIGURE_COPIED_BYTES] + received.of[SEA_FIGURE_COPIED_BYTES] + sent.of[SEA_FIGURE_FALLBACKS], 0);
    assert_leased(&pair.client, 1, LARGE);
    side_drop(&pair.server);
    assert_leased(&pair.client, 0, 0);
    ck_assert_uint_eq(block->refs, 1);
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* A turn that handles frames does not maintain the pools only because they want it, or a busy connection would begin
 * the watch in each turn. A turn without frames does, and so does any turn after a while. */
START_TEST(test_a_busy_turn_maintains_no_pools) {
    open_pair();
    struct pools *pools = &pair.client.lane.remote->pools;
    sea_block *block = new_pooled(&pair.client, 1024, 5);
    lane_dispatch(&pair.client.lane, 0);
    ck_assert(pools->is_waiting);
    for (int i = 0; i < 2; i++) {
        bool is_overdue = i == 1;
        pools->needs_maintenance = true;
        pools->maintained_at = is_overdue ? 0 : wait_now() + UINT64_C(1000000000000);
        ck_assert_int_eq(send_numbered(&pair.server, 1, NULL), 0);
        lane_dispatch(&pair.client.lane, 0);
        ck_assert_uint_eq(pair.client.arrived_count, (unsigned) i + 1);
        ck_assert_int_eq(pools->needs_maintenance, !is_overdue);
        lane_dispatch(&pair.client.lane, 0);
        ck_assert(!pools->needs_maintenance);
    }
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* --- the short way --- */

/* Sends a block the short way, which is open to it. Returns the handle. */
static uint64_t send_short(struct side *side, sea_block *block) {
    struct lane *lane = &side->lane;
    size_t size = block->size;
    ck_assert(lane_takes_pooled(lane, block));
    uint64_t handle = lane_lend_pooled(lane, block);
    ck_assert_uint_ne(handle, 0);
    lane_write_pooled(lane, WIRE_ONEWAY, 0, 0, 7, handle, size);
    lane_sent_pooled(lane, size);
    return handle;
}

/* Two blocks of an arena that the other side knows. */
static void open_with_blocks(sea_block *ret_blocks[2]) {
    open_pair();
    ck_assert_int_eq(send_numbered(&pair.client, 1, new_pooled(&pair.client, 1024, 1)), 0);
    pair_settle(&pair);
    side_drop(&pair.server);
    pair_settle(&pair);
    for (int i = 0; i < 2; i++)
        ret_blocks[i] = new_pooled(&pair.client, 1024, 3 + i);
}

START_TEST(test_the_short_way) {
    sea_block *blocks[2];
    struct pooled_frame frame;
    open_with_blocks(blocks);
    struct lane *lane = &pair.server.lane;
    const struct account *account = lane->remote->account;
    uint64_t handle = send_short(&pair.client, blocks[0]);
    ck_assert_uint_eq(pair.client.lane.remote->account->leased_blocks, 1);
    ck_assert_uint_eq(pair.client.lane.remote->account->leased_bytes, 1024);
    ck_assert(ring_has_frame(&lane->in));
    ck_assert(lane_peek_pooled(lane, &frame));
    ck_assert_uint_eq(frame.handle, handle);
    ck_assert_uint_eq(frame.head.method, 7);
    sea_block *view = lane_take_pooled(lane, &frame);
    ck_assert_ptr_nonnull(view);
    ck_assert(!ring_has_frame(&lane->in));
    ck_assert(has_bytes(sea_block_view(view), 1024, 3));
    ck_assert(sea_block_is_sealed(view));
    ck_assert_uint_eq(account->imported_blocks, 1);
    ck_assert_uint_eq(account->imported_bytes, 1024);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_IMPORTED_BLOCKS], 1);
    ck_assert(!lane_take_release(&pair.client.lane));
    sea_block_unref(view);
    ck_assert_uint_eq(account->imported_blocks + account->imported_bytes, 0);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert(lane_take_release(&pair.client.lane));
    ck_assert(!lane_take_release(&pair.client.lane));
    struct figures sent = side_figures(&pair.client), received = side_figures(&pair.server);
    ck_assert_uint_eq(sent.of[SEA_FIGURE_SENT_POOLED_MESSAGES], 2);
    ck_assert_uint_eq(received.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 2);
    ck_assert_uint_eq(received.of[SEA_FIGURE_RECEIVED_BYTES], 2048);
    assert_leased(&pair.client, 0, 0);
    sea_block_unref(blocks[1]);
    pair_deinit(&pair);
}
END_TEST

/* What is unusual stays for the long way, and so do blocks that it has to refuse. */
START_TEST(test_no_short_way) {
    sea_block *blocks[2];
    open_with_blocks(blocks);
    struct lane *lane = &pair.client.lane;
    struct account *account = lane->remote->account;
    ck_assert(!lane_takes_pooled(lane, NULL));
    sea_block *unannounced = new_pooled(&pair.client, LARGE, 1), *sealed = NULL;
    ck_assert(!lane_takes_pooled(lane, unannounced));
    ck_assert_int_eq(peer_new_sealed(&sealed, lane->remote, 1024), 0);
    ck_assert(!lane_takes_pooled(lane, sealed));
    struct credit limit = account->out_limit;
    account->out_limit.blocks = 0;
    ck_assert(!lane_takes_pooled(lane, blocks[0]));
    account->out_limit = limit;
    account->out_limit.bytes = 1023;
    ck_assert(!lane_takes_pooled(lane, blocks[0]));
    account->out_limit = limit;
    account->grant.block_max = 1023;
    ck_assert(!lane_takes_pooled(lane, blocks[0]));
    account->grant.block_max = 1024;
    blocks[0]->slot->is_queued = true;
    ck_assert(!lane_takes_pooled(lane, blocks[0]));
    blocks[0]->slot->is_queued = false;
    uint64_t left = account->quota.limit[QUOTA_BYTES];
    account->quota.limit[QUOTA_BYTES] = quota_used(&account->quota, QUOTA_BYTES) + 1023;
    uint64_t refusals = side_figures(&pair.client).of[SEA_FIGURE_REFUSALS];
    ck_assert_uint_eq(lane_lend_pooled(lane, blocks[0]), 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_REFUSALS], refusals);
    ck_assert_uint_eq(account->leased_blocks, 0);
    account->quota.limit[QUOTA_BYTES] = left;
    send_short(&pair.client, sea_block_ref(blocks[0]));
    ck_assert(!lane_takes_pooled(lane, blocks[0])); /* it is lent */
    lane->has_failed = true;
    lane_set_small(lane);
    ck_assert(!lane_takes_pooled(lane, blocks[1]));
    lane->has_failed = false;
    lane_set_small(lane);
    for (int i = 0; i < 2; i++)
        sea_block_unref(blocks[i]);
    sea_block_unref(unannounced);
    sea_block_unref(sealed);
    pair_deinit(&pair);
}
END_TEST

/* The names that a liar may give to a payload: another arena, beyond its end, too large a payload, a block that is on
 * lease, no generation. The short way leaves each to the long way, and nothing has happened. */
START_TEST(test_the_short_way_takes_no_lies) {
    sea_block *blocks[2];
    struct pooled_frame frame;
    open_with_blocks(blocks);
    struct lane *lane = &pair.server.lane;
    uint64_t handle = send_short(&pair.client, blocks[0]);
    ck_assert(lane_peek_pooled(lane, &frame));
    struct handle_parts parts = handle_split(handle);
    const struct pooled_frame lies[] = {
        {frame.head, handle_make(parts.arena + 1, parts.index, parts.generation), 1024},
        {frame.head, handle_make(parts.arena, HANDLE_INDEX_MAX, parts.generation), 1024},
        {frame.head, handle, 1025},
        {frame.head, handle, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
        ck_assert_ptr_null(lane_take_pooled(lane, &lies[i]));
    lane->remote->account->in_limit.blocks = 0;
    ck_assert_ptr_null(lane_take_pooled(lane, &frame));
    lane->remote->account->in_limit.blocks = 10;
    ck_assert(ring_has_frame(&lane->in));
    ck_assert_uint_eq(lane->remote->account->imported_blocks, 0);
    sea_block *view = lane_take_pooled(lane, &frame);
    ck_assert_ptr_nonnull(view);
    ck_assert_ptr_null(lane_take_pooled(lane, &frame)); /* the same handle twice */
    frame.handle = handle_make(parts.arena, parts.index, parts.generation + 1);
    ck_assert_ptr_null(lane_take_pooled(lane, &frame)); /* the block under a second name */
    ck_assert_uint_eq(lane->remote->account->imported_blocks, 1);
    lane_write_pooled(&pair.client.lane, WIRE_ONEWAY, 0, 0, 7, handle_make(parts.arena, 1, 0), 1);
    ck_assert(ring_has_frame(&lane->in));
    ck_assert(!lane_peek_pooled(lane, &frame));
    sea_block_unref(view);
    lane_release(lane, handle); /* again */
    ck_assert(lane_take_release(&pair.client.lane));
    ck_assert(!lane_take_release(&pair.client.lane));
    ck_assert(pair.client.lane.has_failed);
    sea_block_unref(blocks[1]);
    pair_deinit(&pair);
}
END_TEST

/* --- copies on arrival --- */

/* As open_with_blocks(), and the server's pool has a free block for a copy. */
static void open_for_copies(sea_block *ret_blocks[2]) {
    pair.server.options.accept = SEA_STABLE_ONLY;
    open_with_blocks(ret_blocks);
}

static void assert_no_copy(const struct pooled_frame *frame) {
    struct lane *lane = &pair.server.lane;
    struct figures before = side_figures(&pair.server);
    ck_assert_ptr_null(lane_take_pooled(lane, frame));
    struct figures after = side_figures(&pair.server);
    ck_assert(ring_has_frame(&lane->in));
    for (int i = 0; i < SEA_FIGURES; i++)
        ck_assert_uint_eq(after.of[i], before.of[i]);
}

/* A copy takes the short way: the lease is back before anybody reads, and the peer is charged until the copy ends. Its
 * memory is the next copy's. */
START_TEST(test_a_short_copy) {
    sea_block *blocks[2], *last = NULL;
    struct pooled_frame frame;
    open_for_copies(blocks);
    struct lane *lane = &pair.server.lane;
    struct account *account = lane->remote->account;
    uint64_t bytes = quota_used(&account->quota, QUOTA_BYTES), count = quota_used(&account->quota, QUOTA_BLOCKS);
    uint32_t refs = account->refs;
    struct figures before = side_figures(&pair.server);
    for (int i = 0; i < 2; i++) {
        sea_block *sent = sea_block_ref(blocks[i]);
        lane->remote->account->work.left = WORK_PER_TURN;
        send_short(&pair.client, blocks[i]);
        ck_assert(lane_peek_pooled(lane, &frame));
        sea_block *copy = lane_take_pooled(lane, &frame);
        ck_assert_ptr_nonnull(copy);
        ck_assert(!ring_has_frame(&lane->in));
        ck_assert(lane_take_release(&pair.client.lane));
        ck_assert(!lane_take_release(&pair.client.lane));
        memset(sent->data, 9, 1024);
        ck_assert(has_bytes(sea_block_view(copy), 1024, 3 + i));
        ck_assert(sea_block_is_sealed(copy));
        ck_assert_int_eq(sea_block_class(copy), SEA_INLINE);
        ck_assert_uint_eq(sea_block_size(copy), 1024);
        ck_assert_uint_eq(quota_used(&account->quota, QUOTA_BYTES), bytes + 1024);
        ck_assert_uint_eq(quota_used(&account->quota, QUOTA_BLOCKS), count + 1);
        ck_assert_uint_eq(account->imported_blocks, 0);
        ck_assert_uint_eq(lane->remote->account->work.left, WORK_PER_TURN - 1024);
        ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_BYTES], before.of[SEA_FIGURE_BYTES] + 1024);
        sea_block_ref(copy);
        ck_assert(!lane_return_copy(lane, copy)); /* another has it too */
        sea_block_unref(copy);
        ck_assert(lane_return_copy(lane, copy));
        ck_assert(!last || last == copy);
        last = copy;
        ck_assert_uint_eq(quota_used(&account->quota, QUOTA_BYTES), bytes);
        ck_assert_uint_eq(quota_used(&account->quota, QUOTA_BLOCKS), count);
        ck_assert_uint_eq(account->refs, refs);
        sea_block_unref(sent);
    }
    struct figures figures = side_figures(&pair.server);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BYTES], before.of[SEA_FIGURE_BYTES]);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BLOCKS], before.of[SEA_FIGURE_BLOCKS]);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SNAPSHOTS], before.of[SEA_FIGURE_SNAPSHOTS] + 2);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_COPIED_BYTES], before.of[SEA_FIGURE_COPIED_BYTES] + 2048);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 3);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_BYTES], 3072);
    assert_leased(&pair.client, 0, 0);
    pair_deinit(&pair);
}
END_TEST

/* A copy also ends where its last reference goes elsewhere, and after the connection. */
START_TEST(test_the_end_of_a_short_copy) {
    sea_block *blocks[2];
    struct pooled_frame frame;
    open_for_copies(blocks);
    struct lane *lane = &pair.server.lane;
    uint64_t bytes = quota_used(&lane->remote->account->quota, QUOTA_BYTES);
    send_short(&pair.client, blocks[0]);
    ck_assert(lane_peek_pooled(lane, &frame));
    sea_block *copy = lane_take_pooled(lane, &frame);
    ck_assert_ptr_nonnull(copy);
    sea_block *own = new_pooled(&pair.server, 1024, 1);
    ck_assert(!lane_return_copy(lane, own)); /* no copy */
    sea_block_unref(own);
    if (_i)
        lane_close(lane, 0, "");
    ck_assert(has_bytes(sea_block_view(copy), 1024, 3));
    sea_block_unref(copy);
    if (!_i)
        ck_assert_uint_eq(quota_used(&lane->remote->account->quota, QUOTA_BYTES), bytes);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_BLOCKS], 0);
    sea_block_unref(blocks[1]);
    pair_deinit(&pair);
}
END_TEST

/* What is unusual, what a limit refuses, and what is a lie, is for the long way, and nothing has happened. */
START_TEST(test_no_short_copy) {
    sea_block *blocks[2];
    struct pooled_frame frame;
    open_for_copies(blocks);
    struct lane *lane = &pair.server.lane;
    struct account *account = lane->remote->account;
    uint64_t handle = send_short(&pair.client, blocks[0]);
    ck_assert(lane_peek_pooled(lane, &frame));
    struct handle_parts parts = handle_split(handle);
    const struct pooled_frame lies[] = {
        {frame.head, handle_make(parts.arena + 1, parts.index, parts.generation), 1024},
        {frame.head, handle_make(parts.arena, HANDLE_INDEX_MAX, parts.generation), 1024},
        {frame.head, handle, 1025},
        {frame.head, handle, (64 << 10) + 1},
        {frame.head, handle, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
        assert_no_copy(&lies[i]);
    struct credit credit = account->in_limit;
    account->in_limit.blocks = 0;
    assert_no_copy(&frame);
    account->in_limit = credit;
    account->in_limit.bytes = 1023;
    assert_no_copy(&frame);
    account->in_limit = credit;
    uint64_t limit = account->quota.limit[QUOTA_BYTES];
    account->quota.limit[QUOTA_BYTES] = quota_used(&account->quota, QUOTA_BYTES) + 1023;
    assert_no_copy(&frame);
    account->quota.limit[QUOTA_BYTES] = limit;
    account->work.left = 1023; /* enough for this turn */
    assert_no_copy(&frame);
    account->work.left = WORK_PER_TURN;
    uint32_t known = lane->releases_out.known;
    lane->releases_out.known =
        (uint32_t) (lane->releases_out.tail - lane->releases_out.mask - 1); /* no room is known */
    assert_no_copy(&frame);
    lane->releases_out.known = known;
    sea_block *all[128] = {pools_hot_block(&lane->remote->pools, SEA_POOLED, 1024)}; /* the quota let it go */
    int count = 1;
    ck_assert_ptr_nonnull(all[0]);
    while (count < 128 && (all[count] = pools_ready_block(&lane->remote->pools, SEA_POOLED, 1024)))
        count++;
    ck_assert_int_lt(count, 128);
    assert_no_copy(&frame); /* no block is free */
    while (count > 0)
        sea_block_unref(all[--count]);
    sea_block *copy = lane_take_pooled(lane, &frame);
    ck_assert_ptr_nonnull(copy);
    ck_assert(lane_return_copy(lane, copy));
    sea_block_unref(blocks[1]);
    pair_deinit(&pair);
}
END_TEST

/* A side that takes stable payloads only gets a copy that no sender reaches, and the lease goes back at once. */
enum { RELEASE_LIES = 7 };

/* The handle of a release that is a lie, while `lent` is out and `other` is not. */
static uint64_t release_lie(int number, const struct pool_slot *lent, const struct pool_slot *other) {
    uint32_t arena = lent->arena->id, generation = lent->generation;
    const uint64_t lies[RELEASE_LIES - 1] = {
        0,
        handle_make(0, lent->index, generation),
        handle_make(arena + 1, lent->index, generation),
        handle_make(arena, HANDLE_INDEX_MAX, generation),
        handle_make(arena, lent->index, generation + 1),
        handle_make(arena, other->index, other->generation),
    };
    return number < RELEASE_LIES - 1 ? lies[number] : handle_make(arena, lent->index, generation); /* again */
}

/* The releases that a sender takes by itself, when it looks for a block. */
START_TEST(test_a_release_that_is_a_lie) {
    sea_block *blocks[2];
    open_with_blocks(blocks);
    struct lane *lane = &pair.client.lane;
    struct account *account = lane->remote->account;
    const struct pool_slot *lent = blocks[0]->slot;
    uint64_t handle = send_short(&pair.client, blocks[0]), lie = release_lie(_i, lent, blocks[1]->slot);
    uint64_t before = quota_used(&account->quota, QUOTA_BLOCKS);
    if (lie == handle) {
        release_write(&pair.server.lane.releases_out, handle);
        ck_assert(lane_take_release(lane));
        before--;
    }
    release_write(&pair.server.lane.releases_out, lie);
    ck_assert(!lane_take_release(lane));
    ck_assert(lane->has_failed && lane->reason == -EPROTO);
    ck_assert_uint_eq(lane->small_end, 0);
    ck_assert_uint_eq(account->leased_blocks, lie == handle ? 0 : 1);
    ck_assert_uint_eq(account->leased_bytes, lie == handle ? 0 : 1024);
    ck_assert_uint_eq(quota_used(&account->quota, QUOTA_BLOCKS), before);
    sea_block_unref(blocks[1]);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_snapshot_is_stable) {
    pair.server.options.accept = SEA_STABLE_ONLY;
    open_pair();
    ck_assert(pair.client.lane.negotiated.peer_snapshots);
    size_t size = _i ? LARGE : 1;
    sea_block *block = new_pooled(&pair.client, size, 5);
    ck_assert_int_eq(send_numbered(&pair.client, 1, sea_block_ref(block)), 0);
    pair_settle(&pair);
    sea_block *copy = arrived(&pair.server, SEA_INLINE, size, 5);
    memset(block->data, 6, size);
    ck_assert(has_bytes(sea_block_view(copy), size, 5));
    ck_assert(sea_block_is_sealed(copy));
    assert_leased(&pair.client, 0, 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_SENT_POOLED_MESSAGES], 1);
    struct figures figures = side_figures(&pair.server);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 1);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SNAPSHOTS], 1);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_COPIED_BYTES], size);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BYTES], size); /* the payload is in our memory */
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* The caller gets an error, and nothing else is lost. */
START_TEST(test_no_memory_for_a_snapshot) {
    pair.server.options.accept = SEA_STABLE_ONLY;
    open_pair();
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_pooled(&pair.client, LARGE, 5), false), 0);
    fail_call(INJECT_ALLOC, 3, _i == 0 ? FAIL_ALWAYS : 1, ENOMEM); /* the view and its table entry exist already */
    pair_settle(&pair);
    ck_assert_int_ge(fail_calls(INJECT_ALLOC), 3);
    fail_off();
    ck_assert_uint_eq(pair.server.arrived_count, 0);
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_int_eq(pair.client.arrived[0].status, -ENOMEM);
    assert_leased(&pair.client, 0, 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_pooled(&pair.client, LARGE, 5), false), 0);
    pair_settle(&pair);
    arrived(&pair.server, SEA_INLINE, LARGE, 5);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_SNAPSHOTS], 1);
    assert_leased(&pair.client, 0, 0);
    pair_deinit(&pair);
}
END_TEST

/* --- order --- */

/* Returns a block of a random class and size; NULL: there is no room for one. */
static sea_block *any_block(struct side *side, uint64_t *random, int fill) {
    static const size_t sizes[] = {1, 24, 80, 200, 3000, 5000, 20000, 70000, 300000};
    size_t size = sizes[random_below(random, 9)];
    switch (random_below(random, 4)) {
    case 0:
        return NULL;
    case 1:
        return new_inline(side, size > 65536 ? 65536 : size, fill);
    case 2:
        return new_sealed(side, size, fill);
    default:
        return new_pooled(side, size, fill);
    }
}

static uint32_t expected;

static void check_next(struct side *side) {
    const struct lane_message *message = &side->arrived[side->arrived_count - 1];
    ck_assert_uint_eq(message->method, expected);
    if (message->block)
        ck_assert(has_bytes(sea_block_view(message->block), message->block->size, (int) (expected & 0xff)));
    else
        ck_assert(has_bytes(message->bytes, message->bytes_size, (int) (expected & 0xff)));
    expected++;
    if (expected % 7 == 0)
        side_drop(side); /* the side holds some of the blocks for a while */
}

/* Messages go through the ring, through the socket, in arenas that are new, known, or gone: in any class, all stay
 * in order. */
START_TEST(test_all_classes_stay_in_order) {
    enum { MANY = 400 };
    uint64_t random = (uint64_t) _i + 1;
    sea_block *waiting = NULL;
    pair.server.on_arrived = check_next;
    pair.server.options.bytes_max = 2000000; /* so that arenas come and go */
    pair.server.options.accept = _i % 3 == 2 ? SEA_STABLE_ONLY : 0;
    pair.client.options.ring_size = pair.server.options.ring_size = _i % 2 ? 4096 : 0;
    expected = 0;
    open_pair();
    for (uint32_t i = 0; i < MANY;) {
        if (!waiting)
            waiting = any_block(&pair.client, &random, (int) (i & 0xff));
        int r = send_numbered(&pair.client, i, waiting ? sea_block_ref(waiting) : NULL);
        ck_assert_msg(r == 0 || r == -EAGAIN, "%d", r);
        if (r == 0) {
            i++;
            waiting = sea_block_unref(waiting);
        }
        if (r == -EAGAIN || random_below(&random, 5) == 0)
            pair_settle(&pair);
        if (r == -EAGAIN)
            side_drop(&pair.server); /* otherwise it was the credit */
    }
    pair_settle(&pair);
    ck_assert_uint_eq(expected, MANY);
    side_drop(&pair.server);
    pair_settle(&pair);
    assert_leased(&pair.client, 0, 0);
    ck_assert_int_eq(pair.client.lane.state, LANE_OPEN);
    pair_deinit(&pair);
}
END_TEST

/* --- frames on the wire --- */

/* Makes a client lane, with a hand-made server with an outbox at the other end. */
static struct ring_speaker *face_speaker(struct side *client, uint64_t bytes_max) {
    int fds[2];
    struct wire_hello hello = hello_sound();
    static struct draft draft;
    lane_socketpair(fds);
    client->has_outbox = true;
    side_init(client, fds[0], false);
    struct ring_speaker *server = ring_speaker_new(fds[1], 256, 1024);
    ring_speaker_open(server);
    hello.features = WIRE_FEATURE_OUTBOX;
    hello.accept = SEA_ANY_CLASS;
    hello.bytes_max = hello.block_max = bytes_max;
    draft_hello(&draft, &hello);
    draft_add_fd(&draft, server->own.fd);
    ck_assert_int_eq(speaker_send(server->speaker, &draft), 0);
    side_settle(client);
    ck_assert(client->lane.has_rings);
    return server;
}

/* Returns the ring's next frame, which must be there. */
static struct wire_frame next_frame(struct ring_speaker *server) {
    uint64_t words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t size;
    ck_assert(ring_has_frame(&server->in));
    ring_peek(&server->in, words);
    ck_assert_ptr_null(line_decode(words, &frame, &size));
    ring_advance(&server->in, line_count(size));
    return frame;
}

static const struct wire_frame *next_datagram(struct ring_speaker *server, enum wire_type type) {
    return speaker_expect(server->speaker, type);
}

static void expect_mark(struct ring_speaker *server, uint64_t number) {
    struct wire_frame mark = next_frame(server);
    ck_assert_uint_eq(mark.head.type, WIRE_MARK);
    ck_assert_uint_eq(mark.head.id, number);
}

/* An ARENA and its mark come once, before the first frame that names a block of the arena; a RETIRE comes before the
 * next ARENA. */
START_TEST(test_frames_on_the_wire) {
    struct side client = {0};
    struct ring_speaker *server = face_speaker(&client, 200000);
    struct view view;
    const char *why = NULL;
    ck_assert_int_eq(send_numbered(&client, 1, new_pooled(&client, 100000, 5)), 0);
    const struct wire_arena arena = next_datagram(server, WIRE_ARENA)->arena;
    server->speaker->in.fds_count = 0; /* taken */
    ck_assert_int_eq(view_open(&view, server->speaker->in.fds[0], arena.size, arena.stride, arena.count, &why), 0);
    expect_mark(server, 1);
    struct wire_frame first = next_frame(server);
    ck_assert_uint_eq(first.head.type, WIRE_ONEWAY);
    ck_assert_uint_eq(first.message.payload_class, WIRE_CLASS_POOLED);
    ck_assert_uint_eq(first.message.payload_size, 100000);
    ck_assert_uint_eq(handle_arena(first.message.handle), arena.id);
    const void *bytes = view_at(&view, handle_index(first.message.handle), 100000);
    ck_assert_ptr_nonnull(bytes);
    ck_assert(has_bytes(bytes, 100000, 5));
    ck_assert(!ring_has_frame(&server->in));
    release_write(&server->releases_out, first.message.handle);
    assert_leased(&client, 0, 0);

    ck_assert_int_eq(send_numbered(&client, 2, new_pooled(&client, 100000, 6)),
                     0); /* no datagram: the arena is known */
    struct wire_frame second = next_frame(server);
    ck_assert_uint_eq(second.message.handle >> 24, first.message.handle >> 24);
    ck_assert_uint_ne(second.message.handle, first.message.handle);
    ck_assert(has_bytes(bytes, 100000, 6));
    release_write(&server->releases_out, second.message.handle);
    assert_leased(&client, 0, 0);

    /* too much beside the first arena */
    ck_assert_int_eq(send_numbered(&client, 3, new_pooled(&client, 150000, 7)), 0);
    ck_assert_uint_eq(next_datagram(server, WIRE_RETIRE)->retire.id, arena.id);
    ck_assert_uint_ne(next_datagram(server, WIRE_ARENA)->arena.id, arena.id);
    expect_mark(server, 2);
    expect_mark(server, 3);
    ck_assert_uint_eq(next_frame(server).message.payload_size, 150000);
    ck_assert(!ring_has_frame(&server->in));
    view_close(&view);
    side_deinit(&client);
    ring_speaker_free(server);
}
END_TEST

/* --- copies --- */

static const struct {
    size_t size;
    int class;
} copies[] = {{1024, SEA_INLINE}, {1025, SEA_POOLED}, {LARGE, SEA_POOLED}, {1000000, SEA_POOLED}};

/* A block has one lease at a time: sending it again meanwhile sends a copy. */
START_TEST(test_a_block_sent_twice) {
    size_t size = copies[_i].size;
    open_pair();
    sea_block *block = new_pooled(&pair.client, size, 5);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(send_numbered(&pair.client, i, sea_block_ref(block)), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    ck_assert_int_eq(class_of(&pair.server.arrived[0]), SEA_POOLED);
    ck_assert_int_eq(class_of(&pair.server.arrived[1]), copies[_i].class);
    memset(block->data, 6, size);
    ck_assert(has_bytes(payload_of(&pair.server.arrived[1]), size, 5));
    struct figures figures = side_figures(&pair.client);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_FALLBACKS], 1);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_COPIED_BYTES], size);
    side_drop(&pair.server);
    assert_leased(&pair.client, 0, 0);
    /* the lease is back: the block goes in place */
    ck_assert_int_eq(send_numbered(&pair.client, 3, sea_block_ref(block)), 0);
    pair_settle(&pair);
    arrived(&pair.server, SEA_POOLED, size, 6);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_FALLBACKS], 1);
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* Two replies with one block waited for the ring: neither the second reply nor the replies behind it wait for the
 * release of the first. */
START_TEST(test_a_block_queued_twice) {
    pair.server.options.ring_size = 4096;
    open_pair();
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, id, NULL, false), 0);
    pair_settle(&pair);
    unsigned before = side_fill_socket(&pair.server); /* fills the ring */
    sea_block *block = new_pooled(&pair.server, LARGE, 5);
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, id, id < 3 ? sea_block_ref(block) : NULL, true), 0);
    ck_assert_ptr_nonnull(pair.server.lane.queue_head);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_COPIED_BYTES],
                      LARGE); /* copied by the call that sent it, not in a turn of the library's */
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, before + 3);
    for (unsigned i = 0; i < 2; i++) {
        const struct lane_message *reply = &pair.client.arrived[before + i];
        ck_assert_uint_eq(reply->id, i + 1);
        ck_assert_int_eq(reply->status, 0);
        ck_assert_uint_eq(sea_block_size(reply->block), LARGE);
        memset(block->data, 6, LARGE);
        ck_assert(has_bytes(sea_block_view(reply->block), LARGE, i == 0 ? 6 : 5));
    }
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_FALLBACKS], 1);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_COPIED_BYTES], LARGE);
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* There is no memory for the copy: the sender gets the error, and replies that wait already are sent. */
START_TEST(test_no_copy_of_a_queued_block) {
    pair.client.options.accept = SEA_POOLED | SEA_INLINE;
    pair.server.options.ring_size = 4096;
    open_pair();
    for (uint64_t id = 1; id <= 2; id++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, id, NULL, false), 0);
    pair_settle(&pair);
    unsigned before = side_fill_socket(&pair.server);
    sea_block *block = new_pooled(&pair.server, 1 << 20, 5);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, sea_block_ref(block), true), 0);
    fail_always(INJECT_MEMFD_CREATE, EMFILE);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 2, sea_block_ref(block), true), -EMFILE);
    fail_off();
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, before + 1);
    ck_assert_int_eq(pair.client.arrived[before].status, 0);
    /* leased already, so this is a copy */
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 2, sea_block_ref(block), true), 0);
    side_drop(&pair.client);
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_LEASED_BLOCKS], 1);
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* The route of a block that lies in another connection's arena, and its class there. */
static const struct {
    uint32_t accept; /* classes that the receiver takes */
    bool socket_only;
    size_t size;
    int result, class;
} forwards[] = {
    {0, false, 1024, 0, SEA_INLINE},
    {0, false, 1025, 0, SEA_POOLED},
    {0, false, LARGE, 0, SEA_POOLED},
    {SEA_STABLE_ONLY, false, LARGE, 0, SEA_INLINE}, /* pooled, and the receiver makes a snapshot of it */
    {0, true, LARGE, 0, SEA_INLINE},
    {0, true, 70000, 0, SEA_SEALED},
    {SEA_SEALED, false, 1000, 0, SEA_SEALED},
    {SEA_INLINE, false, LARGE, 0, SEA_INLINE},
    {SEA_INLINE, false, 70000, -EMSGSIZE, 0},
    {SEA_POOLED, false, 1000, 0, SEA_POOLED},
};
#define FORWARDS ((int) (sizeof forwards / sizeof *forwards))

START_TEST(test_a_received_block_is_forwarded) {
    static struct pair next;
    size_t size = forwards[_i].size;
    memset(&next, 0, sizeof next);
    next.server.options.accept = forwards[_i].accept;
    next.client.has_outbox = true;
    next.server.has_outbox = !forwards[_i].socket_only;
    open_pair();
    pair_open(&next);
    ck_assert_int_eq(send_numbered(&pair.client, 1, new_pooled(&pair.client, size, 5)), 0);
    pair_settle(&pair);
    sea_block *received = sea_block_ref(arrived(&pair.server, SEA_POOLED, size, 5));
    side_drop(&pair.server);
    ck_assert_int_eq(send_numbered(&next.client, 2, received), forwards[_i].result);
    assert_leased(&pair.client, 0, 0); /* the copy does not need the block any more */
    pair_settle(&next);
    if (forwards[_i].result == 0) {
        arrived(&next.server, forwards[_i].class, size, 5);
        ck_assert_uint_eq(side_figures(&next.client).of[SEA_FIGURE_FALLBACKS], 1);
    } else {
        ck_assert_uint_eq(next.server.arrived_count, 0);
        ck_assert_uint_eq(side_figures(&next.client).of[SEA_FIGURE_FALLBACKS], 0);
    }
    /* deinitialised first, because a sealed copy is charged to the connection that the block came from */
    pair_deinit(&next);
    pair_deinit(&pair);
}
END_TEST

/* The route of a block of ours that was made for another peer. */
START_TEST(test_a_block_made_for_another_peer) {
    static struct pair next;
    memset(&next, 0, sizeof next);
    open_pair();
    pair_open_in(&next, 1);
    ck_assert_int_eq(send_numbered(&next.client, 1, new_pooled(&pair.client, LARGE, 5)), 0);
    pair_settle(&next);
    arrived(&next.server, SEA_POOLED, LARGE, 5);
    ck_assert_uint_eq(side_figures(&next.client).of[SEA_FIGURE_FALLBACKS], 1);
    assert_leased(&pair.client, 0, 0);
    assert_leased(&next.client, 1, LARGE);
    pair_deinit(&pair);
    pair_deinit(&next);
}
END_TEST

START_TEST(test_a_received_block_goes_back) {
    open_pair();
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_pooled(&pair.client, LARGE, 5), false), 0);
    pair_settle(&pair);
    sea_block *received = sea_block_ref(arrived(&pair.server, SEA_POOLED, LARGE, 5));
    side_drop(&pair.server);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, received, true), 0);
    pair_settle(&pair);
    arrived(&pair.client, SEA_POOLED, LARGE, 5);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_FALLBACKS], 1);
    assert_leased(&pair.client, 0, 0);
    assert_leased(&pair.server, 1, LARGE);
    pair_deinit(&pair);
}
END_TEST

/* --- no room --- */

static void assert_nothing_went(const sea_block *block) {
    ck_assert(pooled_block_is_free(block));
    ck_assert_uint_eq(pair.client.lane.remote->account->leased_blocks, 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_SENT_POOLED_MESSAGES], 0);
}

/* Checks whether the block's arena still has its descriptor: until it is announced, and no longer. */
static void assert_has_descriptor(const sea_block *block, bool has) {
    ck_assert_int_eq(pooled_block_arena(block)->fd >= 0, has);
    ck_assert_uint_eq(quota_used(&pair.client.ctx->budget, QUOTA_FDS), has);
}

static void assert_goes_now(sea_block *block) {
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 1);
    side_drop(&pair.server);
    ck_assert_int_eq(send_numbered(&pair.client, 9, block), 0);
    pair_settle(&pair);
    arrived(&pair.server, SEA_POOLED, LARGE, 5);
    ck_assert_int_eq(pair.client.lane.state, LANE_OPEN);
}

/* The announcement finds no room: the send changes nothing, and a later room event comes. */
START_TEST(test_no_room_for_an_announcement) {
    static const int errors[] = {EAGAIN, ETOOMANYREFS, ENOMEM};
    open_pair();
    sea_block *block = new_pooled(&pair.client, LARGE, 5);
    fail_once(INJECT_SENDMSG, errors[_i]);
    ck_assert_int_eq(send_numbered(&pair.client, 1, sea_block_ref(block)), -EAGAIN);
    fail_off();
    assert_nothing_went(block);
    ck_assert(!pooled_block_arena(block)->is_announced);
    assert_has_descriptor(block, true);
    if (_i > 0)
        side_turn_at_deadline(&pair.client); /* no event reports these */
    else
        lane_dispatch(&pair.client.lane, POLLOUT);
    sea_block_ref(block);
    assert_goes_now(block);
    assert_has_descriptor(block, false);
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_an_announcement_that_fails_for_good) {
    open_pair();
    sea_block *block = new_pooled(&pair.client, LARGE, 5);
    fail_once(INJECT_SENDMSG, _i ? EIO : EPIPE);
    int r = send_numbered(&pair.client, 1, sea_block_ref(block));
    ck_assert_int_eq(r, _i ? -EIO : -EPIPE);
    fail_off();
    assert_nothing_went(block);
    sea_block *none = NULL;
    uint64_t arenas = side_figures(&pair.client).of[SEA_FIGURE_ARENA_BYTES];
    if (_i == 0) /* the connection is gone, so no block is made for it any more */
        ck_assert_int_eq(lane_block_new(&pair.client.lane, &pair.client.lane.remote->pools.own, LARGE, &none), -EPIPE);
    ck_assert_ptr_null(none);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_ARENA_BYTES], arenas);
    lane_dispatch(&pair.client.lane, 0);
    ck_assert_uint_eq(pair.client.closed, 1);
    ck_assert_uint_eq(pair.client.end.reclaimed_blocks, 0);
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* The ring has this number of free lines: none; one, enough for the mark but not for the frame; two. */
START_TEST(test_a_ring_that_is_almost_full) {
    pair.client.options.ring_size = 4096;
    open_pair();
    sea_block *block = new_pooled(&pair.client, LARGE, 5);
    for (int i = 0; i < 63 - _i; i++)
        ck_assert_int_eq(send_numbered(&pair.client, 0, NULL), 0);
    int r = send_numbered(&pair.client, 1, sea_block_ref(block));
    ck_assert_int_eq(r, _i < 2 ? -EAGAIN : 0);
    ck_assert(pooled_block_arena(block)->is_announced == (_i > 0));
    assert_has_descriptor(block, _i == 0);
    if (r == 0) {
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 62);
        ck_assert_int_eq(sea_block_class(pair.server.arrived[61].block), SEA_POOLED);
        sea_block_unref(block);
    } else {
        assert_nothing_went(block);
        assert_goes_now(block);
        ck_assert_uint_eq(pair.client.lane.datagrams_out, 1); /* announced once */
    }
    pair_deinit(&pair);
}
END_TEST

/* Retirements go before the next announcement, or as soon as there is room. */
START_TEST(test_no_room_for_a_retirement) {
    pair.server.options.bytes_max = 200000;
    open_pair();
    ck_assert_int_eq(send_numbered(&pair.client, 1, new_pooled(&pair.client, 100000, 5)), 0);
    pair_settle(&pair);
    uint64_t held = quota_used(&pair.server.lane.remote->account->quota, QUOTA_BYTES);
    ck_assert_uint_ge(held, 100000);
    side_drop(&pair.server);
    assert_leased(&pair.client, 0, 0);
    sea_block *block = new_pooled(&pair.client, 150000, 5);
    for (int n = 1; n <= 2; n++) {
        fail_once(INJECT_SENDMSG, EAGAIN); /* for the RETIRE, which the turn below sends; then the ARENA behind it */
        ck_assert_int_eq(send_numbered(&pair.client, 2, sea_block_ref(block)), -EAGAIN);
        fail_off();
        lane_dispatch(&pair.client.lane, POLLOUT);
    }
    ck_assert_int_eq(send_numbered(&pair.client, 2, block), 0);
    ck_assert_uint_eq(pair.client.lane.datagrams_out, 3);
    pair_settle(&pair);
    arrived(&pair.server, SEA_POOLED, 150000, 5);
    held = quota_used(&pair.server.lane.remote->account->quota, QUOTA_BYTES);
    ck_assert_uint_ge(held, 150000);
    ck_assert_uint_le(held, 200000); /* the first arena is gone */
    pair_deinit(&pair);
}
END_TEST

/* A reply does not get lost: it waits for the socket as any other message does. */
START_TEST(test_a_reply_waits_for_its_announcement) {
    open_pair();
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, NULL, false), 0);
    pair_settle(&pair);
    fail_once(INJECT_SENDMSG, EAGAIN);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_pooled(&pair.server, LARGE, 5), true), 0);
    fail_off();
    ck_assert_ptr_nonnull(pair.server.lane.queue_head);
    ck_assert_uint_eq(pair.server.lane.remote->account->leased_blocks, 0);
    pair_settle(&pair);
    arrived(&pair.client, SEA_POOLED, LARGE, 5);
    assert_leased(&pair.server, 1, LARGE);
    pair_deinit(&pair);
}
END_TEST

/* --- credit --- */

/* A side that waits for a block to come back is woken for its release. */
START_TEST(test_credit_in_blocks) {
    pair.server.options.blocks_max = 2;
    open_pair();
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(send_numbered(&pair.client, i, new_pooled(&pair.client, LARGE, 5)), 0);
    sea_block *block = new_pooled(&pair.client, LARGE, 5);
    ck_assert_int_eq(send_numbered(&pair.client, 2, sea_block_ref(block)), -EAGAIN);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    ck_assert_int_eq(send_numbered(&pair.client, 2, sea_block_ref(block)), -EAGAIN);
    unsigned rooms = pair.client.rooms;
    side_drop(&pair.server);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, rooms + 1);
    ck_assert_int_eq(send_numbered(&pair.client, 2, block), 0);
    pair_settle(&pair);
    arrived(&pair.server, SEA_POOLED, LARGE, 5);
    pair_deinit(&pair);
}
END_TEST

/* A frame of the peer makes no room for credit; and no copy is made of a payload that would find no room. */
START_TEST(test_credit_is_not_any_frame) {
    pair.server.options.blocks_max = 1;
    open_pair();
    sea_block *block = new_pooled(&pair.client, 1 << 20, 5);
    ck_assert_int_eq(send_numbered(&pair.client, 0, sea_block_ref(block)), 0);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(send_numbered(&pair.client, 1, sea_block_ref(block)), -EAGAIN);
        ck_assert_int_eq(side_send(&pair.server, WIRE_ONEWAY, 0, NULL, false), 0);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.client.arrived_count, (unsigned) i + 1);
    }
    ck_assert_uint_eq(pair.client.rooms, 0);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_COPIED_BYTES], 0);
    side_drop(&pair.server);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 1);
    ck_assert_int_eq(send_numbered(&pair.client, 1, block), 0);
    pair_settle(&pair);
    arrived(&pair.server, SEA_POOLED, 1 << 20, 5);
    pair_deinit(&pair);
}
END_TEST

/* A sender that waits for a small amount of credit does not wait until there is room for a large one. */
START_TEST(test_credit_for_the_least) {
    pair.server.options.bytes_max = 300000;
    open_pair();
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(send_numbered(&pair.client, i, new_sealed(&pair.client, 140000, 5)), 0);
    ck_assert_int_eq(send_numbered(&pair.client, 2, new_sealed(&pair.client, 100000, 5)), -EAGAIN);
    ck_assert_int_eq(send_numbered(&pair.client, 2, new_sealed(&pair.client, 290000, 5)), -EAGAIN);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 0);
    pair.server.arrived[0].block = sea_block_unref(pair.server.arrived[0].block);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 1);
    ck_assert_int_eq(send_numbered(&pair.client, 2, new_sealed(&pair.client, 290000, 5)), -EAGAIN);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 1);
    side_drop(&pair.server);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 2);
    pair_deinit(&pair);
}
END_TEST

/* A full ring gets no copy either. */
START_TEST(test_no_copy_without_room_in_the_ring) {
    pair.client.options.ring_size = 4096;
    open_pair();
    sea_block *block = new_pooled(&pair.client, LARGE, 5);
    ck_assert_int_eq(send_numbered(&pair.client, 0, sea_block_ref(block)), 0);
    side_fill_socket(&pair.client);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(send_numbered(&pair.client, 1, sea_block_ref(block)), -EAGAIN);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_COPIED_BYTES], 0);
    sea_block_unref(block);
    pair_deinit(&pair);
}
END_TEST

/* The credit in bytes covers pooled and sealed blocks together. */
START_TEST(test_credit_in_bytes) {
    pair.server.options.bytes_max = 200000;
    open_pair();
    ck_assert_int_eq(send_numbered(&pair.client, 0, new_sealed(&pair.client, 150000, 5)), 0);
    sea_block *block = new_pooled(&pair.client, 60000, 5);
    ck_assert_int_eq(send_numbered(&pair.client, 1, sea_block_ref(block)), -EAGAIN);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    side_drop(&pair.server);
    pair_settle(&pair);
    ck_assert_int_eq(send_numbered(&pair.client, 1, block), 0);
    pair_settle(&pair);
    arrived(&pair.server, SEA_POOLED, 60000, 5);
    pair_deinit(&pair);
}
END_TEST

/* Replies without credit wait, also two replies with one block, and arrive in order. */
START_TEST(test_replies_wait_for_credit) {
    pair.client.options.blocks_max = 1;
    open_pair();
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, id, NULL, false), 0);
    pair_settle(&pair);
    sea_block *twice = new_pooled(&pair.server, LARGE, 6);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_pooled(&pair.server, LARGE, 5), true), 0);
    for (uint64_t id = 2; id <= 3; id++)
        ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, id, sea_block_ref(twice), true), 0);
    sea_block_unref(twice);
    for (uint64_t id = 1; id <= 3; id++) {
        pair_settle(&pair);
        arrived(&pair.client, SEA_POOLED, LARGE, id == 1 ? 5 : 6);
        ck_assert_uint_eq(pair.client.arrived[0].id, id);
        side_drop(&pair.client);
    }
    assert_leased(&pair.server, 0, 0);
    ck_assert_ptr_null(pair.server.lane.queue_head);
    pair_deinit(&pair);
}
END_TEST

/* --- payloads that the receiver refuses --- */

static void open_with_small_quota(struct side *side) {
    side->ctx_options.peer_bytes = 50000;
    /* more than the quota has: another connection may have the rest */
    side->options.bytes_max = side->options.block_max = 1 << 20;
    open_pair();
}

/* The call gets an error, the lease is back, and the connection goes on. */
START_TEST(test_an_arena_that_is_refused) {
    open_with_small_quota(&pair.server);
    for (uint64_t id = 1; id <= 2; id++) {
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, id, new_pooled(&pair.client, 100000, 5), false), 0);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 0);
        ck_assert_uint_eq(pair.client.arrived_count, 1);
        ck_assert_int_eq(pair.client.arrived[0].status, -EDQUOT);
        ck_assert_uint_eq(pair.client.arrived[0].id, id);
        side_drop(&pair.client);
        assert_leased(&pair.client, 0, 0);
    }
    ck_assert_uint_gt(side_figures(&pair.server).of[SEA_FIGURE_REFUSALS], 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 3, new_inline(&pair.client, 500, 5), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    pair_deinit(&pair);
}
END_TEST

static const char *too_many(void *owner, const struct lane_message *message, bool *ret_is_wanted) {
    struct side *side = owner;
    (void) message;
    *ret_is_wanted = true;
    return ++side->asked > 1 ? "one call too many" : NULL;
}

/* A call that a limit refuses still counts as a call: its owner is asked before the error is sent. */
START_TEST(test_refused_calls_count) {
    struct lane_ops ops = side_ops;
    ops.coming = too_many;
    open_with_small_quota(&pair.server);
    pair.server.lane.ops = &ops;
    for (uint64_t id = 1; id <= 2; id++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, id, new_pooled(&pair.client, 100000, 5), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_int_eq(pair.client.arrived[0].status, -EDQUOT);
    ck_assert_int_eq(pair.server.end.reason, -EPROTO);
    ck_assert_str_eq(pair.server.end_text, "one call too many");
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_refused_one_way_message_ends_the_connection) {
    open_with_small_quota(&pair.server);
    ck_assert_int_eq(send_numbered(&pair.client, 1, new_pooled(&pair.client, 100000, 5)), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.closed, 1);
    ck_assert_int_eq(pair.server.end.reason, -EDQUOT);
    ck_assert_uint_eq(pair.client.closed, 1);
    ck_assert_uint_eq(pair.client.end.reclaimed_blocks, 0); /* the lease was given back before the end */
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_refused_reply_is_an_answer) {
    open_with_small_quota(&pair.client);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, NULL, false), 0);
    pair_settle(&pair);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_pooled(&pair.server, 100000, 5), true), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_int_eq(pair.client.arrived[0].status, -EDQUOT);
    ck_assert_ptr_null(pair.client.arrived[0].block);
    assert_leased(&pair.server, 0, 0);
    pair_deinit(&pair);
}
END_TEST

/* The ARENA's descriptor found no room in our descriptor table. */
START_TEST(test_an_arena_whose_descriptor_is_lost) {
    struct rlimit old, none;
    if (is_under_valgrind())
        test_skip("valgrind keeps a limit of its own, of which the kernel knows nothing");
    open_pair();
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_pooled(&pair.client, LARGE, 5), false), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    lane_dispatch(&pair.server.lane, POLLIN);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_int_eq(pair.client.arrived[0].status, -EMFILE);
    ck_assert_int_eq(pair.client.lane.state, LANE_OPEN);
    assert_leased(&pair.client, 0, 0);
    pair_deinit(&pair);
}
END_TEST

/* --- the end --- */

/* The blocks that the peer held come back, and are reported; a block that is still referenced remains usable. */
START_TEST(test_the_peers_death_reclaims) {
    open_pair();
    sea_block *kept = new_pooled(&pair.client, 3000, 5);
    ck_assert_int_eq(send_numbered(&pair.client, 1, sea_block_ref(kept)), 0);
    ck_assert_int_eq(send_numbered(&pair.client, 2, new_pooled(&pair.client, 100000, 5)), 0);
    ck_assert_int_eq(send_numbered(&pair.client, 3, new_sealed(&pair.client, 7000, 5)), 0);
    if (_i)
        pair_settle(&pair); /* it holds the blocks; or has never had a turn */
    side_deinit(&pair.server);
    side_settle(&pair.client);
    ck_assert_uint_eq(pair.client.closed, 1);
    ck_assert_int_eq(pair.client.end.reason, -EPIPE);
    ck_assert_uint_eq(pair.client.end.reclaimed_blocks, 3);
    ck_assert_uint_eq(pair.client.end.reclaimed_bytes, 110000);
    struct figures figures = side_figures(&pair.client);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BLOCKS] + figures.of[SEA_FIGURE_LEASED_BYTES], 0);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECLAIMED_BLOCKS], 3);
    ck_assert(has_bytes(sea_block_view(kept), 3000, 5));
    sea_block_unref(kept);
    side_deinit(&pair.client);
}
END_TEST

/* Blocks that came from a dead peer stay readable, and stay charged until they are released. */
START_TEST(test_blocks_of_the_dead) {
    open_pair();
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(send_numbered(&pair.client, i, new_pooled(&pair.client, 20000, (int) i)), 0);
    pair_settle(&pair);
    side_deinit(&pair.client);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.closed, 1);
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_IMPORTED_BLOCKS], 3);
    for (int i = 0; i < 3; i++)
        ck_assert(has_bytes(sea_block_view(pair.server.arrived[i].block), 20000, i));
    side_deinit(&pair.server);
}
END_TEST

START_TEST(test_queued_messages_at_the_end) {
    pair.client.options.blocks_max = 1;
    open_pair();
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, id, NULL, false), 0);
    pair_settle(&pair);
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, id, new_pooled(&pair.server, LARGE, 5), true), 0);
    pair_settle(&pair);
    ck_assert_ptr_nonnull(pair.server.lane.queue_head);
    side_deinit(&pair.client);
    side_settle(&pair.server);
    ck_assert_uint_eq(pair.server.end.reclaimed_blocks, 1);
    side_deinit(&pair.server); /* the turn reads that no reply waits any more */
}
END_TEST

/* --- asleep --- */

static void let_go(void) {
    side_drop(&pair.server);
}

/* When a sleeping side rotates its pool, it waits for releases. A release that came just before it announced this
 * sends no doorbell, but is found. */
START_TEST(test_a_release_before_it_is_asked_for) {
    struct lane *lane = &pair.client.lane;
    open_pair();
    ck_assert_int_eq(send_numbered(&pair.client, 1, new_pooled(&pair.client, 100000, 5)), 0);
    pair_settle(&pair);
    side_drop(&pair.server);
    ck_assert_int_eq(send_numbered(&pair.client, 2, new_pooled(&pair.client, LARGE, 6)), 0);
    pair_settle(&pair);
    ck_assert(lane->doorbell.is_armed && lane->doorbell.wants == 0);
    fail_never_but(INJECT_SENDMSG, let_go); /* blocks of the arena that is retired */
    pool_rotate(lane->remote->pools.own.pool);
    lane_maintain_pools_now(lane);
    fail_off();
    ck_assert_uint_eq(pair.server.arrived_count, 0);
    ck_assert_uint_eq(lane_deadline(lane), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_ARENA_BYTES], 0);
    pair_deinit(&pair);
}
END_TEST

/* --- distance --- */

/* Reading the first entry of a line that has come gives a sample; or none, as here, where both sides are on one CPU. */
START_TEST(test_a_release_is_timed) {
    struct side *client = &pair.client;
    struct distance *distance = &client->lane.distance;
    open_pair();
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(send_numbered(client, 1, new_pooled(client, LARGE, 3)), 0);
        pair_settle(&pair);
        bool is_first = client->lane.releases_in.head % 4 == 0;
        side_drop(&pair.server);
        distance->until = 0;
        lane_take_releases(&client->lane);
        ck_assert_uint_eq(client->lane.remote->account->leased_blocks, 0);
        ck_assert(is_first ? distance->until > 0 || distance->count > 0 : distance->until == 0);
    }
    pair_deinit(&pair);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("lane_pooled");
    suite_fixture(s, before, fail_off);
    suite_add(s, test_a_payload_in_place);
    suite_add(s, test_a_busy_turn_maintains_no_pools);
    suite_add(s, test_the_short_way);
    suite_add(s, test_no_short_way);
    suite_add(s, test_the_short_way_takes_no_lies);
    suite_add(s, test_a_short_copy);
    suite_add_loop(s, test_the_end_of_a_short_copy, 0, 2);
    suite_add(s, test_no_short_copy);
    suite_add_loop(s, test_a_release_that_is_a_lie, 0, RELEASE_LIES);
    suite_add_loop(s, test_a_snapshot_is_stable, 0, 2);
    suite_add_loop(s, test_no_memory_for_a_snapshot, 0, 2);
    suite_add_loop(s, test_all_classes_stay_in_order, 0, 12);
    suite_add(s, test_frames_on_the_wire);
    suite_add(s, test_a_block_queued_twice);
    suite_add(s, test_no_copy_of_a_queued_block);
    suite_add_loop(s, test_a_block_sent_twice, 0, 4);
    suite_add_loop(s, test_a_received_block_is_forwarded, 0, FORWARDS);
    suite_add(s, test_a_block_made_for_another_peer);
    suite_add(s, test_a_received_block_goes_back);
    suite_add_loop(s, test_no_room_for_an_announcement, 0, 3);
    suite_add_loop(s, test_an_announcement_that_fails_for_good, 0, 2);
    suite_add_loop(s, test_a_ring_that_is_almost_full, 0, 3);
    suite_add(s, test_no_room_for_a_retirement);
    suite_add(s, test_a_reply_waits_for_its_announcement);
    suite_add(s, test_credit_in_blocks);
    suite_add(s, test_credit_is_not_any_frame);
    suite_add(s, test_credit_for_the_least);
    suite_add(s, test_no_copy_without_room_in_the_ring);
    suite_add(s, test_credit_in_bytes);
    suite_add(s, test_replies_wait_for_credit);
    suite_add(s, test_an_arena_that_is_refused);
    suite_add(s, test_refused_calls_count);
    suite_add(s, test_a_refused_one_way_message_ends_the_connection);
    suite_add(s, test_a_refused_reply_is_an_answer);
    suite_add(s, test_an_arena_whose_descriptor_is_lost);
    suite_add_loop(s, test_the_peers_death_reclaims, 0, 2);
    suite_add(s, test_blocks_of_the_dead);
    suite_add(s, test_queued_messages_at_the_end);
    suite_add(s, test_a_release_before_it_is_asked_for);
    suite_add(s, test_a_release_is_timed);
    return suite_run(s);
}
