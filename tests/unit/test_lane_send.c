/* SPDX-License-Identifier: MIT */
/*
 * lane/send: messages that go out: their classes, and the lack of room: in the peer's credit, in the socket, or for
 * descriptors in flight.
 */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "support/machine.h"
#include "support/trap.h"
#include "sys/memfd.h"
#include "unit/fail.h"
#include "unit/lane_pair.h"

static struct draft draft;

static bool is_filled(sea_block *block, size_t size, int fill) {
    const unsigned char *bytes = sea_block_view(block);
    if (sea_block_size(block) != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != fill)
            return false;
    return true;
}

/* Compares the payload of a message, wherever it lies. */
static bool is_payload(const struct lane_message *message, size_t size, int fill) {
    const unsigned char *bytes = message->bytes;
    if (message->block)
        return is_filled(message->block, size, fill);
    for (size_t i = 0; i < message->bytes_size; i++)
        if (bytes[i] != fill)
            return false;
    return message->bytes_size == size;
}

/* messages */

START_TEST(test_every_field_arrives) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    sea_block *block = new_inline(&pair.client, LANE_BYTES_MAX + 1, 5);
    const struct lane_message sent[] = {
        {.type = WIRE_CALL, .id = 0, .method = 0, .deadline = 12345, .block = block},
        {.type = WIRE_CALL, .id = UINT64_MAX, .method = UINT32_MAX},
        {.type = WIRE_ONEWAY, .method = 9},
        {.type = WIRE_REPLY, .id = 77, .block = block},
        {.type = WIRE_REPLY, .id = 78, .status = -4095, .text = "not m\xc3\xb6glich"},
    };
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(lane_send(&pair.client.lane, &sent[i], false), 0);
    sea_block_unref(block);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 5);
    for (int i = 0; i < 5; i++) {
        const struct lane_message *in = &pair.server.arrived[i];
        ck_assert_int_eq(in->type, sent[i].type);
        ck_assert_uint_eq(in->id, sent[i].id);
        ck_assert_uint_eq(in->method, sent[i].method);
        ck_assert_uint_eq(in->deadline, sent[i].deadline);
        ck_assert_int_eq(in->status, sent[i].status);
        ck_assert_str_eq(in->text, sent[i].text ? sent[i].text : "");
        ck_assert(!in->block == !sent[i].block);
        ck_assert(!in->block || is_filled(in->block, LANE_BYTES_MAX + 1, 5));
    }
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_an_empty_payload_is_none) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_inline(&pair.client, 0, 0), false), 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 0, 0), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    ck_assert_ptr_null(pair.server.arrived[0].block);
    ck_assert_ptr_null(pair.server.arrived[1].block);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_SENT_INLINE_MESSAGES], 2);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_a_cancel_arrives) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    ck_assert_int_eq(lane_send_cancel(&pair.server.lane, 99), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.cancelled_count, 1);
    ck_assert_uint_eq(pair.client.cancelled[0], 99);
    pair_deinit(&pair);
}
END_TEST

/* One block is sent several times: each message is a lease of its own on one memory. */
START_TEST(test_a_block_may_be_sent_again) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    sea_block *block = new_sealed(&pair.client, 70000, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, sea_block_ref(block), false), 0);
    ck_assert(sea_block_is_sealed(block));
    sea_block_unref(block);
    pair_settle(&pair);
    struct figures figures = side_figures(&pair.client);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BLOCKS], 1);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BLOCKS], 3);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BYTES], 210000);
    for (int i = 0; i < 3; i++)
        ck_assert(is_filled(pair.server.arrived[i].block, 70000, 3));
    side_drop(&pair.server);
    pair_settle(&pair);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_BLOCKS], 0);
    pair_deinit(&pair);
}
END_TEST

/* classes */

enum { MADE_INLINE = SEA_INLINE, MADE_SEALED = SEA_SEALED };

/* The class in which a block of `size` bytes, made as `made`, goes to a peer that takes `accept`, 1000 bytes inline
 * and 5000 sealed. */
static const struct {
    int made;
    size_t size;
    uint32_t accept;
    int travels; /* the class on the wire, or the error */
    unsigned fallbacks;
} routes[] = {
    {MADE_INLINE, 1000, SEA_STABLE_ONLY, SEA_INLINE, 0}, {MADE_INLINE, 1001, SEA_STABLE_ONLY, SEA_SEALED, 1},
    {MADE_INLINE, 5001, SEA_STABLE_ONLY, -EMSGSIZE, 0},  {MADE_INLINE, 1, SEA_SEALED, SEA_SEALED, 1},
    {MADE_INLINE, 1001, SEA_INLINE, -EMSGSIZE, 0},       {MADE_SEALED, 1, SEA_STABLE_ONLY, SEA_SEALED, 0},
    {MADE_SEALED, 5000, SEA_STABLE_ONLY, SEA_SEALED, 0}, {MADE_SEALED, 5001, SEA_STABLE_ONLY, -EMSGSIZE, 0},
    {MADE_SEALED, 1000, SEA_INLINE, SEA_INLINE, 1},      {MADE_SEALED, 1001, SEA_INLINE, -EMSGSIZE, 0},
};
#define ROUTES ((int) (sizeof routes / sizeof *routes))

/* Between sides with outboxes a copy goes to the pool, and a side that takes stable payloads only copies it once
 * more. */
static int travels_as(int route, int mode) {
    bool is_copied = routes[route].made == SEA_INLINE && routes[route].travels == SEA_SEALED;
    return mode == 1 && is_copied && routes[route].accept & SEA_INLINE ? SEA_POOLED : routes[route].travels;
}

START_TEST(test_the_class_follows_the_peers_offer) {
    int route = _i / PAIR_MODES, mode = _i % PAIR_MODES, travels = travels_as(route, mode);
    struct pair pair = {.server.options = {.inline_max = 1000, .block_max = 5000, .accept = routes[route].accept}};
    pair_open_in(&pair, mode);
    size_t size = routes[route].size;
    sea_block *block =
        routes[route].made == SEA_INLINE ? new_inline(&pair.client, size, 9) : new_sealed(&pair.client, size, 9);
    int r = side_send(&pair.client, WIRE_CALL, 1, block, false);
    pair_settle(&pair);
    ck_assert_int_eq(r, travels < 0 ? travels : 0);
    ck_assert_uint_eq(pair.server.arrived_count, r == 0);
    if (r == 0) {
        const struct lane_message *in = &pair.server.arrived[0];
        ck_assert(is_payload(in, size, 9));
        ck_assert(!in->block || sea_block_class(in->block) == (travels == SEA_POOLED ? SEA_INLINE : travels));
        ck_assert(in->block || travels == SEA_INLINE);
    }
    struct figures figures = side_figures(&pair.client);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_FALLBACKS], routes[route].fallbacks);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_INLINE_MESSAGES], travels == SEA_INLINE);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_POOLED_MESSAGES], travels == SEA_POOLED);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_SEALED_MESSAGES], travels == SEA_SEALED);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_BYTES], r == 0 ? size : 0);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_no_class_means_empty_payloads) {
    struct pair pair = {.server.options.accept = SEA_POOLED};
    pair_open(&pair);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_inline(&pair.client, 1, 1), false), -EMSGSIZE);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, NULL, false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    pair_deinit(&pair);
}
END_TEST

/* Returns a block in hugetlb pages, and enlarges their pool until the test ends. Returns NULL if that is impossible
 * here. */
static sea_block *new_hugetlb(struct side *side, size_t size, int fill) {
    sea_block *block = NULL;
    if (!machine_add_hugetlb((long) ((size + MEMFD_HUGE_SIZE - 1) / MEMFD_HUGE_SIZE)) ||
        sea_block_new_sealed(&block, side->ctx, size, SEA_BLOCK_HUGETLB) < 0)
        return NULL;
    return filled(block, fill);
}

START_TEST(test_hugetlb_pages_go_to_peers_that_accept_them) {
    bool takes = _i / PAIR_MODES == 0;
    struct pair pair = {.server.options.accept_hugetlb = takes};
    pair_open_in(&pair, _i % PAIR_MODES);
    ck_assert_int_eq(pair.client.lane.negotiated.peer_hugetlb, takes);
    ck_assert(!pair.server.lane.negotiated.peer_hugetlb);
    sea_block *block = new_hugetlb(&pair.client, MEMFD_HUGE_SIZE, 8);
    if (block) {
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, block, false), 0);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 1);
        sea_block *in = pair.server.arrived[0].block;
        ck_assert_int_eq(sea_block_class(in), takes || _i % PAIR_MODES == 0 ? SEA_SEALED : SEA_POOLED);
        ck_assert_int_eq(sea_block_pages(in) == SEA_PAGES_HUGETLB, takes);
        ck_assert(is_filled(in, MEMFD_HUGE_SIZE, 8));
        ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_FALLBACKS], !takes);
    }
    pair_deinit(&pair);
    if (!block)
        test_skip("no page of 2 MiB is to be had");
}
END_TEST

/* A payload of one and a half pages in two pages: the file's size is rounded, the reader's is not. */
START_TEST(test_a_part_of_a_hugetlb_page) {
    struct pair pair = {.server.options.accept_hugetlb = true};
    pair_open_in(&pair, _i);
    sea_block *block = new_hugetlb(&pair.client, MEMFD_HUGE_SIZE + MEMFD_HUGE_SIZE / 2, 6);
    if (block) {
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, block, false), 0);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 1);
        ck_assert(is_filled(pair.server.arrived[0].block, MEMFD_HUGE_SIZE + MEMFD_HUGE_SIZE / 2, 6));
    }
    pair_deinit(&pair);
    if (!block)
        test_skip("no two pages of 2 MiB are to be had");
}
END_TEST

/* Returns a padded block of 1 MiB, or NULL if that is impossible here. */
static sea_block *new_padded(struct side *side, int fill) {
    sea_block *block = NULL;
    if (memfd_huge_policy() == MEMFD_HUGE_NEVER && !machine_grant_huge())
        return NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, side->ctx, MEMFD_HUGE_SIZE / 2, 0), 0);
    return block->sealed.layout == SEALED_PADDED ? filled(block, fill) : sea_block_unref(block);
}

START_TEST(test_padding_counts_on_both_sides) {
    struct pair pair = {.server.options.bytes_max = 2 * MEMFD_HUGE_SIZE - 1};
    pair_open_in(&pair, _i);
    sea_block *block = new_padded(&pair.client, 5), *next = block ? new_padded(&pair.client, 6) : NULL;
    if (next) {
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, sea_block_ref(block), false), 0);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 1);
        ck_assert(is_filled(pair.server.arrived[0].block, MEMFD_HUGE_SIZE / 2, 5));
        ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BYTES], MEMFD_HUGE_SIZE);
        ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_IMPORTED_BYTES], MEMFD_HUGE_SIZE);
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 2, sea_block_ref(next), false), -EAGAIN);
        side_drop(&pair.server);
        pair_settle(&pair);
        ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BYTES], 0);
    }
    sea_block_unref(block);
    sea_block_unref(next);
    pair_deinit(&pair);
    if (!next)
        test_skip("no two pages of 2 MiB are to be had");
}
END_TEST

/* The payload goes without its padding, as a copy. */
START_TEST(test_padding_that_the_peer_has_no_room_for) {
    struct pair pair = {.server.options.bytes_max = MEMFD_HUGE_SIZE - 1};
    pair_open_in(&pair, _i);
    sea_block *block = new_padded(&pair.client, 4);
    if (block) {
        ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, block, false), 0);
        pair_settle(&pair);
        ck_assert_uint_eq(pair.server.arrived_count, 1);
        ck_assert(is_filled(pair.server.arrived[0].block, MEMFD_HUGE_SIZE / 2, 4));
        ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_FALLBACKS], 1);
    }
    pair_deinit(&pair);
    if (!block)
        test_skip("no page of 2 MiB is to be had");
}
END_TEST

/* credit */

START_TEST(test_credit_in_blocks) {
    struct pair pair = {.server.options.blocks_max = 2};
    pair_open_in(&pair, _i);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), -EAGAIN);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_inline(&pair.client, 10, 1), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 0);
    side_drop(&pair.server);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 1);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 1); /* reported once for each refusal */
    ck_assert_int_eq(pair.client.lane.state, LANE_OPEN);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_credit_in_bytes) {
    struct pair pair = {.server.options.bytes_max = 1000};
    pair_open_in(&pair, _i);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 600, 1), false), 0);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 401, 1), false), -EAGAIN);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 400, 1), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    ck_assert_int_eq(pair.server.lane.state, LANE_OPEN);
    pair_deinit(&pair);
}
END_TEST

/* A reply waits for credit, and later replies wait behind it; the release of the caller's lease lets them go. */
START_TEST(test_replies_wait_for_credit) {
    struct pair pair = {.client.options.blocks_max = 1};
    pair_open_in(&pair, _i);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, i, new_sealed(&pair.server, 5000, (int) i), true), 0);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 3, NULL, true), 0);
    ck_assert_int_eq(side_send(&pair.server, WIRE_ONEWAY, 0, NULL, false), -EAGAIN);
    for (unsigned i = 0; i < 3; i++) {
        pair_settle(&pair);
        ck_assert_uint_eq(pair.client.arrived_count, i < 2 ? 1 : 2);
        ck_assert_uint_eq(pair.client.arrived[0].id, i);
        ck_assert(is_filled(pair.client.arrived[0].block, 5000, (int) i));
        side_drop(&pair.client);
    }
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.rooms, 1);
    pair_deinit(&pair);
}
END_TEST

/* Our own quota for a peer bounds the blocks that it may hold, even if it accepts more. */
START_TEST(test_a_block_over_our_quota_for_the_peer) {
    struct pair pair = {.client.ctx_options.peer_bytes = 1000};
    pair_open_in(&pair, _i);
    sea_refusal refusal;
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 1001, 1), false), -EDQUOT);
    sea_ctx_refusal(pair.client.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -EDQUOT);
    ck_assert_uint_eq(refusal.needed, 1001);
    ck_assert_uint_eq(refusal.available, 1000);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 1000, 1), false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    pair_deinit(&pair);
}
END_TEST

/* The connections of one user share a quota: this connection cannot use the part that the others took meanwhile. */
START_TEST(test_a_queued_reply_that_gets_no_lease_is_an_error) {
    struct pair pair = {.server.ctx_options = {.peer_bytes = 100000, .user_bytes = 100000},
                        .client.options.blocks_max = 1};
    pair_open_in(&pair, _i);
    uint32_t uid = geteuid();
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_sealed(&pair.server, 1000, 1), true), 0);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 2, new_sealed(&pair.server, 40000, 2), true), 0);
    struct user *other = user_get(pair.server.ctx, uid);
    pair_settle(&pair);
    other->quota.limit[QUOTA_BLOCKS] = 0;
    side_drop(&pair.client);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_uint_eq(pair.client.arrived[0].id, 2);
    ck_assert_int_eq(pair.client.arrived[0].status, -EDQUOT);
    ck_assert_ptr_nonnull(strstr(pair.client.arrived[0].text, "limit"));
    user_put(pair.server.ctx, other);
    pair_deinit(&pair);
}
END_TEST

/* Sending the block's descriptor is forbidden, which ends the connection: the caller learns why before that. */
START_TEST(test_a_queued_reply_whose_descriptor_may_not_be_sent) {
    struct pair pair = {.client.options.blocks_max = 1};
    pair_open_in(&pair, _i);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_sealed(&pair.server, 1000, 1), true), 0);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 2, new_sealed(&pair.server, 40000, 2), true), 0);
    pair_settle(&pair);
    side_drop(&pair.client);
    fail_once(INJECT_SENDMSG, EPERM);
    pair_settle(&pair);
    fail_off();
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_uint_eq(pair.client.arrived[0].id, 2);
    ck_assert_int_eq(pair.client.arrived[0].status, -EPERM);
    ck_assert_ptr_nonnull(strstr(pair.client.arrived[0].text, "forbidden"));
    ck_assert_int_eq(pair.server.end.reason, -EPERM);
    ck_assert_ptr_nonnull(strstr(pair.client.end.text, "sendmsg is forbidden"));
    pair_deinit(&pair);
}
END_TEST

/* A reply is charged as a queued one while it waits, and then as a leased one, but never as both. */
START_TEST(test_a_queued_reply_is_charged_once) {
    struct pair pair = {.server.ctx_options.peer_bytes = 100000, .client.options.blocks_max = 1};
    pair_open_in(&pair, _i);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_sealed(&pair.server, 1000, 1), true), 0);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 2, new_sealed(&pair.server, 90000, 2), true), 0);
    pair_settle(&pair);
    side_drop(&pair.client);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, 1);
    ck_assert_uint_eq(pair.client.arrived[0].id, 2);
    ck_assert_int_eq(pair.client.arrived[0].status, 0);
    pair_deinit(&pair);
}
END_TEST

/* The peer reads, but does not release: it gets answers without blocks, and keeps its connection. */
START_TEST(test_a_peer_that_is_slow_to_release) {
    struct pair pair = {.server.ctx_options.peer_bytes = 100000, .client.options.blocks_max = 1};
    pair_open_in(&pair, _i);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 1, new_sealed(&pair.server, 1000, 1), true), 0);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 2, new_sealed(&pair.server, 60000, 2), true), 0);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 3, new_sealed(&pair.server, 60000, 3), true), -EDQUOT);
    ck_assert_int_eq(side_send(&pair.server, WIRE_REPLY, 3, NULL, true), 0);
    pair_settle(&pair);
    ck_assert_int_eq(pair.server.lane.state, LANE_OPEN);
    side_drop(&pair.client);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.arrived_count, 2);
    pair_deinit(&pair);
}
END_TEST

/* the full socket, or ring */

START_TEST(test_a_full_socket) {
    struct pair pair = {0};
    pair_open(&pair);
    unsigned sent = side_fill_socket(&pair.client);
    ck_assert_uint_gt(sent, 0);
    ck_assert_int_eq(lane_events(&pair.client.lane), POLLIN | POLLOUT);
    ck_assert_int_eq(pair.client.told_events, POLLIN | POLLOUT);
    ck_assert(!side_turn(&pair.client));
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, sent);
    ck_assert_uint_eq(pair.client.rooms, 1);
    ck_assert_int_eq(lane_events(&pair.client.lane), POLLIN);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, NULL, false), 0);
    pair_deinit(&pair);
}
END_TEST

/* A reply is queued outside a turn: the loop must be told to poll for room, because no turn would come. */
START_TEST(test_a_queued_reply_asks_for_the_poll) {
    struct pair pair = {0};
    pair_open(&pair);
    unsigned sent = side_fill_socket(&pair.client);
    pair.client.told_events = 0;
    ck_assert_int_eq(side_send(&pair.client, WIRE_REPLY, 5, NULL, true), 0);
    ck_assert_int_eq(pair.client.told_events, POLLIN | POLLOUT);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, sent + 1);
    ck_assert_uint_eq(pair.server.arrived[sent].id, 5);
    pair_deinit(&pair);
}
END_TEST

/* The first frame finds the socket full, and no frame waits before it: the loop does not poll for room yet. */
START_TEST(test_the_first_queued_frame_asks_for_the_poll) {
    struct pair pair = {0};
    pair_open(&pair);
    fail_once(INJECT_SENDMSG, EAGAIN);
    int r = _i == 0 ? side_send(&pair.client, WIRE_REPLY, 5, NULL, true) : lane_send_cancel(&pair.client.lane, 5);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(pair.client.told_events, POLLIN | POLLOUT);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count + pair.server.cancelled_count, 1);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_queued_messages_keep_their_order) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    unsigned sent = side_fill_socket(&pair.client);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(side_send(&pair.client, WIRE_REPLY, i, new_inline(&pair.client, i, (int) i), true), 0);
        ck_assert_int_eq(lane_send_cancel(&pair.client.lane, i), 0);
    }
    lane_dispatch(&pair.server.lane, POLLIN); /* there is room now, but other messages wait for it */
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, NULL, false), -EAGAIN);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, sent + 100);
    for (unsigned i = 0; i < 100; i++) {
        const struct lane_message *in = &pair.server.arrived[sent + i];
        ck_assert_uint_eq(in->id, i);
        ck_assert(is_payload(in, i, (int) i));
        ck_assert_uint_eq(pair.server.cancelled[i], i);
    }
    ck_assert_uint_eq(pair.client.rooms, 1);
    pair_deinit(&pair);
}
END_TEST

/* A peer that calls and does not read the answers is disconnected. */
START_TEST(test_a_peer_that_does_not_read) {
    struct pair pair = {.server.ctx_options.peer_bytes = 100000};
    pair_open_in(&pair, _i);
    int r = 0;
    for (unsigned i = 0; r == 0; i++) {
        r = side_send(&pair.server, WIRE_REPLY, i, new_inline(&pair.server, 1000, 1), true);
        ck_assert_uint_lt(i, 10000);
    }
    ck_assert_int_eq(r, -EDQUOT);
    ck_assert_uint_eq(pair.server.closed, 0);
    side_turn(&pair.server);
    ck_assert_int_eq(pair.server.end.reason, -EDQUOT);
    ck_assert_str_eq(pair.server.end_text, "the peer does not read its replies");
    ck_assert_uint_eq(side_figures(&pair.server).of[SEA_FIGURE_BLOCKS], 0);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_no_memory_for_a_queued_reply) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    side_fill_socket(&pair.client);
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(side_send(&pair.client, WIRE_REPLY, 5, NULL, true), -ENOMEM);
    side_turn(&pair.client);
    ck_assert_int_eq(pair.client.end.reason, -ENOMEM);
    pair_deinit(&pair);
}
END_TEST

static void send_again(struct side *side) {
    if (side->rooms < 3)
        side_fill_socket(side);
}

/* The room callback sends until the socket is full again. */
START_TEST(test_room_is_used_at_once) {
    struct pair pair = {.client.on_room = send_again};
    pair_open_in(&pair, _i);
    side_fill_socket(&pair.client);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.client.rooms, 3);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_SENT_INLINE_MESSAGES], pair.server.arrived_count);
    pair_deinit(&pair);
}
END_TEST

/* descriptors in flight */

/* No event reports that the shortage is over: a timer makes the lane try again. */
START_TEST(test_too_many_descriptors_in_flight) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    fail_once(INJECT_SENDMSG, ETOOMANYREFS);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), -EAGAIN);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_int_eq(lane_events(&pair.client.lane), POLLIN);
    ck_assert_uint_eq(pair.client.rooms, 0);
    side_turn_at_deadline(&pair.client);
    ck_assert_uint_eq(pair.client.rooms, 1);
    ck_assert_uint_eq(lane_deadline(&pair.client.lane), WAIT_FOREVER);
    ck_assert_int_eq(side_send(&pair.client, WIRE_ONEWAY, 0, new_sealed(&pair.client, 10, 1), false), 0);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_queued_replies_are_tried_again) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    fail_call(INJECT_SENDMSG, 1, 3, ETOOMANYREFS);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(side_send(&pair.client, WIRE_REPLY, i, new_sealed(&pair.client, 10, 1), true), 0);
    for (int turns = 0; pair.client.lane.queue_head; turns++) {
        ck_assert_int_lt(turns, 10);
        side_turn_at_deadline(&pair.client);
    }
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 2);
    ck_assert_uint_eq(pair.server.arrived[1].id, 1);
    ck_assert_uint_eq(lane_deadline(&pair.client.lane), WAIT_FOREVER);
    pair_deinit(&pair);
}
END_TEST

/* other failures */

/* The error of sendmsg(), the result of lane_send(), and the reason for the connection's end; 1: it does not end. */
static const int failures[][3] = {{ENOMEM, -EAGAIN, 1},
                                  {ENOBUFS, -EAGAIN, 1},
                                  {EMSGSIZE, -EMSGSIZE, -EMSGSIZE},
                                  {EIO, -EIO, -EIO},
                                  {ECONNRESET, -EPIPE, -EPIPE}};
#define FAILURES ((int) (sizeof failures / sizeof *failures))

START_TEST(test_a_lease_is_taken_back_when_nothing_was_sent) {
    const int *failure = failures[_i / PAIR_MODES];
    struct pair pair = {0};
    pair_open_in(&pair, _i % PAIR_MODES);
    fail_once(INJECT_SENDMSG, failure[0]);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, new_sealed(&pair.client, 10, 1), false), failure[1]);
    ck_assert_uint_eq(
        side_figures(&pair.client).of[SEA_FIGURE_LEASED_BLOCKS] + side_figures(&pair.client).of[SEA_FIGURE_BLOCKS], 0);
    fail_off();
    side_turn_at_deadline(&pair.client);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 0);
    ck_assert_uint_eq(pair.client.rooms, failure[2] == 1);
    ck_assert_uint_eq(pair.client.closed, failure[2] != 1);
    ck_assert_int_eq(pair.client.closed ? pair.client.end.reason : 1, failure[2]);
    pair_deinit(&pair);
}
END_TEST

/* Sending fails, but the peer had sent more messages before its end. */
START_TEST(test_a_broken_socket_is_read_to_its_end) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    draft_inline(&draft, 0, 7, 1);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    speaker_free(speaker);
    ck_assert_int_eq(side_send(&server, WIRE_REPLY, 1, NULL, true), -EPIPE);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 100);
    ck_assert_int_eq(server.end.reason, -EPIPE);
    side_deinit(&server);
}
END_TEST

START_TEST(test_a_block_that_cannot_be_sealed) {
    struct pair pair = {0};
    pair_open_in(&pair, _i);
    sea_block *block = new_sealed(&pair.client, 10, 1);
    fail_always(INJECT_ADD_SEALS, EBUSY);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, sea_block_ref(block), false), -EBUSY);
    fail_off();
    ck_assert(!sea_block_is_sealed(block));
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, block, false), 0);
    pair_settle(&pair);
    ck_assert_uint_eq(pair.server.arrived_count, 1);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_no_memory_for_the_copy_of_a_fallback) {
    struct pair pair = {.server.options.inline_max = 10};
    pair_open(&pair);
    sea_block *block = new_inline(&pair.client, 11, 1);
    fail_once(INJECT_MEMFD_CREATE, EMFILE);
    ck_assert_int_eq(side_send(&pair.client, WIRE_CALL, 1, block, false), -EMFILE);
    ck_assert_uint_eq(side_figures(&pair.client).of[SEA_FIGURE_BLOCKS], 0);
    pair_deinit(&pair);
}
END_TEST

START_TEST(test_sending_to_the_dead) {
    struct side client = {0};
    speaker_free(side_greet_speaker(&client, false, NULL));
    ck_assert_int_eq(side_send(&client, WIRE_CALL, 1, new_sealed(&client, 10, 1), false), -EPIPE);
    ck_assert_int_eq(side_send(&client, WIRE_REPLY, 1, NULL, true), -EPIPE);
    ck_assert_uint_eq(client.closed, 0); /* the next turn reports the end */
    side_settle(&client);
    ck_assert_int_eq(client.end.reason, -EPIPE);
    side_deinit(&client);
}
END_TEST

/* releases */

static void send_sealed(struct speaker *speaker, uint64_t first, unsigned count) {
    for (uint64_t handle = first; handle < first + count; handle++) {
        int fd = trap_memfd(4096, TRAP_ALL_SEALS);
        draft_sealed(&draft, 0, 7, handle, 4096, fd);
        ck_assert_int_eq(speaker_send(speaker, &draft), 0);
        close(fd);
    }
}

static void drop_at_the_last(struct side *side) {
    if (side->arrived[side->arrived_count - 1].type == WIRE_CALL)
        side_drop(side);
}

/* The releases of a turn go out at its end, as many handles in a frame as fit. */
START_TEST(test_releases_of_a_turn_go_together) {
    struct side server = {.on_arrived = drop_at_the_last};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    send_sealed(speaker, 1, 50);
    side_settle(&server);
    send_sealed(speaker, 51, 50);
    side_settle(&server);
    ck_assert_uint_eq(server.arrived_count, 100);
    draft_inline(&draft, 1, 7, 0);
    speaker_send(speaker, &draft);
    side_settle(&server);
    uint8_t seen[101] = {0};
    for (unsigned i = 0, left = 100; left > 0; i++) {
        const struct wire_release *release = &speaker_expect(speaker, WIRE_RELEASE)->release;
        ck_assert_uint_eq(release->count, left > 64 ? 64 : left);
        for (uint32_t k = 0; k < release->count; k++)
            seen[release->handles[k]]++;
        left -= release->count;
    }
    for (int i = 1; i <= 100; i++)
        ck_assert_int_eq(seen[i], 1);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_release_outside_a_turn_goes_at_once) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    send_sealed(speaker, 1000, 2);
    side_settle(&server);
    for (unsigned i = 0; i < 2; i++) {
        server.arrived[i].block = sea_block_unref(server.arrived[i].block);
        const struct wire_release *release = &speaker_expect(speaker, WIRE_RELEASE)->release;
        ck_assert_uint_eq(release->count, 1);
        ck_assert_uint_eq(release->handles[0], 1000 + i);
    }
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

/* Releases go before messages that wait, because the peer may be waiting for the releases. */
START_TEST(test_releases_wait_for_the_socket_and_go_first) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    send_sealed(speaker, 1, 3);
    side_settle(&server);
    unsigned sent = side_fill_socket(&server);
    ck_assert_int_eq(side_send(&server, WIRE_REPLY, 5, NULL, true), 0);
    side_drop(&server);
    side_settle(&server);
    for (unsigned i = 0; i < sent; i++)
        speaker_expect(speaker, WIRE_ONEWAY);
    side_settle(&server);
    ck_assert_uint_eq(speaker_expect(speaker, WIRE_RELEASE)->release.count, 3);
    ck_assert_uint_eq(speaker_expect(speaker, WIRE_REPLY)->head.id, 5);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_the_first_release_that_waits_asks_for_the_poll) {
    struct side server = {0};
    struct speaker *speaker = side_greet_speaker(&server, true, NULL);
    send_sealed(speaker, 1, 1);
    side_settle(&server);
    fail_once(INJECT_SENDMSG, EAGAIN);
    side_drop(&server);
    ck_assert_int_eq(server.told_events, POLLIN | POLLOUT);
    side_settle(&server);
    ck_assert_uint_eq(speaker_expect(speaker, WIRE_RELEASE)->release.handles[0], 1);
    side_deinit(&server);
    speaker_free(speaker);
}
END_TEST

static void clean(void) {
    fail_off();
    machine_restore();
}

int main(void) {
    struct suite *s = suite_new("lane_send");
    suite_fixture(s, clean, clean);
    suite_add_loop(s, test_every_field_arrives, 0, PAIR_MODES);
    suite_add_loop(s, test_an_empty_payload_is_none, 0, PAIR_MODES);
    suite_add_loop(s, test_a_cancel_arrives, 0, PAIR_MODES);
    suite_add_loop(s, test_a_block_may_be_sent_again, 0, PAIR_MODES);
    suite_add_loop(s, test_the_class_follows_the_peers_offer, 0, ROUTES * PAIR_MODES);
    suite_add(s, test_no_class_means_empty_payloads);
    suite_add_loop(s, test_hugetlb_pages_go_to_peers_that_accept_them, 0, 2 * PAIR_MODES);
    suite_add_loop(s, test_a_part_of_a_hugetlb_page, 0, PAIR_MODES);
    suite_add_loop(s, test_padding_counts_on_both_sides, 0, PAIR_MODES);
    suite_add_loop(s, test_padding_that_the_peer_has_no_room_for, 0, PAIR_MODES);
    suite_add_loop(s, test_credit_in_blocks, 0, PAIR_MODES);
    suite_add_loop(s, test_credit_in_bytes, 0, PAIR_MODES);
    suite_add_loop(s, test_replies_wait_for_credit, 0, PAIR_MODES);
    suite_add_loop(s, test_a_block_over_our_quota_for_the_peer, 0, PAIR_MODES);
    suite_add_loop(s, test_a_queued_reply_that_gets_no_lease_is_an_error, 0, PAIR_MODES);
    suite_add_loop(s, test_a_queued_reply_whose_descriptor_may_not_be_sent, 0, PAIR_MODES);
    suite_add_loop(s, test_a_queued_reply_is_charged_once, 0, PAIR_MODES);
    suite_add_loop(s, test_a_peer_that_is_slow_to_release, 0, PAIR_MODES);
    suite_add(s, test_a_full_socket);
    suite_add(s, test_a_queued_reply_asks_for_the_poll);
    suite_add_loop(s, test_the_first_queued_frame_asks_for_the_poll, 0, 2);
    suite_add_loop(s, test_queued_messages_keep_their_order, 0, PAIR_MODES);
    suite_add_loop(s, test_a_peer_that_does_not_read, 0, PAIR_MODES);
    suite_add_loop(s, test_no_memory_for_a_queued_reply, 0, PAIR_MODES);
    suite_add_loop(s, test_room_is_used_at_once, 0, PAIR_MODES);
    suite_add_loop(s, test_too_many_descriptors_in_flight, 0, PAIR_MODES);
    suite_add_loop(s, test_queued_replies_are_tried_again, 0, PAIR_MODES);
    suite_add_loop(s, test_a_lease_is_taken_back_when_nothing_was_sent, 0, FAILURES * PAIR_MODES);
    suite_add(s, test_a_broken_socket_is_read_to_its_end);
    suite_add_loop(s, test_a_block_that_cannot_be_sealed, 0, PAIR_MODES);
    suite_add(s, test_no_memory_for_the_copy_of_a_fallback);
    suite_add(s, test_sending_to_the_dead);
    suite_add(s, test_releases_of_a_turn_go_together);
    suite_add(s, test_a_release_outside_a_turn_goes_at_once);
    suite_add(s, test_releases_wait_for_the_socket_and_go_first);
    suite_add(s, test_the_first_release_that_waits_asks_for_the_poll);
    return suite_run(s);
}
