/* SPDX-License-Identifier: MIT */
/*
 * rpc/msg: the properties of a message, the answer to a call, and the parts of a message that stay beyond its end, its
 * connection's and its sender's.
 */
#include "support/suite.h"

#include <unistd.h>

#include <sys/stat.h>

#include "support/child.h"
#include "sys/heap.h"
#include "unit/conn_pair.h"
#include "unit/fail.h"
#include "unit/host.h"

/* Returns the inode number of the block's memfd. */
static ino_t inode_of(sea_block *block) {
    struct stat status;
    CLEANUP_FD int fd = -1;
    ck_assert_int_eq(sea_block_export(block, &fd), 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    return status.st_ino;
}

/* The three ways in which a payload travels, and its properties after each. */
static const struct {
    size_t size;
    bool is_made_sealed; /* the test makes the block sealed; otherwise the connection chooses */
    int class;
} kinds[] = {{100, false, SEA_INLINE}, {100000, false, SEA_POOLED}, {100000, true, SEA_SEALED}};
#define KINDS 3
#define SEALED_KIND 2

/* Makes a block of that kind, with all bytes 4. */
static sea_block *end_block_of_kind(struct end *end, int kind) {
    sea_block *block = NULL;
    if (!kinds[kind].is_made_sealed)
        return end_block(end, kinds[kind].size, 4);
    ck_assert_int_eq(sea_block_new_sealed(&block, end->ctx, kinds[kind].size, 0), 0);
    memset(sea_block_data(block), 4, kinds[kind].size);
    return block;
}

/* Sends a call of END_KEEP with `block` from a; b keeps it. */
static sea_msg *kept_call(struct ends *ends, sea_block *block) {
    ck_assert_int_eq(end_call(&ends->a, END_KEEP, block, -1, 1, NULL), 0);
    ends_settle(ends);
    ck_assert_uint_gt(ends->b.kept_count, 0);
    return ends->b.kept[--ends->b.kept_count];
}

/* properties of messages */

START_TEST(test_properties_of_a_call) {
    struct ends ends = {0};
    ends_open(&ends);
    uint64_t before = wait_now();
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, end_block(&ends.a, 100, 4), 60000, 1, NULL), 0);
    ends_settle(&ends);
    const sea_msg *msg = ends.b.kept[0];
    ck_assert(sea_msg_is_call(msg));
    ck_assert_uint_eq(sea_msg_method(msg), END_KEEP);
    ck_assert_ptr_eq(sea_msg_conn(msg), ends.b.conn);
    ck_assert_int_eq(sea_msg_status(msg), 0);
    ck_assert_str_eq(sea_msg_text(msg), "");
    ck_assert_uint_gt(sea_msg_deadline(msg), before);
    ck_assert_uint_le(sea_msg_deadline(msg), wait_now() + UINT64_C(60000) * 1000000);
    ck_assert(!sea_msg_is_cancelled(msg));
    ck_assert(sea_msg_is_stable(msg));
    ck_assert_int_eq(sea_msg_class(msg), SEA_INLINE);
    ck_assert(msg_is_filled(msg, 100, 4));
    ends_deinit(&ends);
}
END_TEST

/* A pooled payload is not stable, and the message says so. */
START_TEST(test_properties_of_a_one_way_message) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block_of_kind(&ends.a, _i), 0), 0);
    ends_settle(&ends);
    const sea_msg *msg = ends.b.kept[0];
    ck_assert(!sea_msg_is_call(msg));
    ck_assert_uint_eq(sea_msg_method(msg), END_KEEP);
    ck_assert_uint_eq(sea_msg_deadline(msg), 0);
    ck_assert_int_eq(sea_msg_class(msg), kinds[_i].class);
    ck_assert(sea_msg_is_stable(msg) == (kinds[_i].class != SEA_POOLED));
    ck_assert(msg_is_filled(msg, kinds[_i].size, 4));
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_INCOMING_CALLS], 0);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_properties_of_a_reply) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, 10, 4), 60000, 1, NULL), 0);
    ends_settle(&ends);
    const sea_msg *msg = ends.a.outcomes[0].reply;
    ck_assert(!sea_msg_is_call(msg));
    ck_assert_int_eq(sea_msg_status(msg), 0);
    ck_assert_str_eq(sea_msg_text(msg), "");
    ck_assert_uint_eq(sea_msg_deadline(msg), 0);
    ck_assert_ptr_eq(sea_msg_conn(msg), ends.a.conn);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_an_empty_payload) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, NULL, 0), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, 0, 0), 0), 0);
    ends_settle(&ends);
    for (int i = 0; i < 2; i++) {
        const sea_msg *msg = ends.b.kept[i];
        ck_assert_uint_eq(sea_msg_size(msg), 0);
        ck_assert_ptr_nonnull(sea_msg_data(msg));
        ck_assert_ptr_null(sea_msg_block(msg));
        ck_assert_int_eq(sea_msg_class(msg), SEA_INLINE);
        ck_assert(sea_msg_is_stable(msg));
    }
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_the_payload_is_a_block) {
    struct ends ends = {0};
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, end_block_of_kind(&ends.a, _i));
    sea_block *block = sea_msg_block(msg);
    ck_assert_uint_eq(sea_block_size(block), kinds[_i].size);
    ck_assert_int_eq(sea_block_class(block), sea_msg_class(msg));
    ck_assert_ptr_eq(sea_block_view(block), sea_msg_data(msg));
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    ck_assert_int_eq(sea_block_fill(block, 0, "x", 1), -EPERM);
    sea_msg_release(msg);
    ends_deinit(&ends);
}
END_TEST

/* kept messages */

START_TEST(test_a_released_message_gives_the_lease_back) {
    struct ends ends = {0};
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, end_block(&ends.a, 100000, 4));
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 1);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_BYTES], 100000);
    sea_msg_release(msg);
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS] + end_figures(&ends.a).of[SEA_FIGURE_BLOCKS],
                      0);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_kept_block_outlives_its_message) {
    struct ends ends = {0};
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, end_block_of_kind(&ends.a, _i));
    sea_block *block = sea_block_ref(sea_msg_block(msg));
    ck_assert_int_eq(sea_reply(msg, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS],
                      kinds[_i].class != SEA_INLINE); /* that payload is a copy */
    ck_assert_int_eq(((const char *) sea_block_view(block))[kinds[_i].size - 1], 4);
    sea_block_unref(block);
    ends_settle(&ends);
    sea_conn_dispatch(ends.a.conn, 0); /* a sleeping side is not woken for the release of a pooled block */
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

/* The block outlives the connection, its peer, and the process that made it. */
START_TEST(test_a_kept_block_outlives_its_connection) {
    struct ends ends = {0};
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, end_block_of_kind(&ends.a, _i));
    sea_block *block = sea_block_ref(sea_msg_block(msg));
    sea_msg_release(msg);
    end_deinit(&ends.a);
    ends.a.conn = NULL;
    end_settle(&ends.b);
    ck_assert_uint_eq(ends.b.closed, 1);
    end_free_conn(&ends.b);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_BLOCKS],
                      kinds[_i].class != SEA_INLINE); /* still charged to the peer */
    const char *bytes = sea_block_view(block);
    for (size_t i = 0; i < kinds[_i].size; i++)
        ck_assert_int_eq(bytes[i], 4);
    sea_block_unref(block);
    end_deinit(&ends.b);
}
END_TEST

START_TEST(test_a_kept_message_outlives_its_connection) {
    struct ends ends = {0};
    int kind = _i / 2;
    bool is_by_owner = _i % 2;
    ends_open(&ends);
    sea_msg *first = kept_call(&ends, end_block_of_kind(&ends.a, kind));
    sea_msg *second = kept_call(&ends, NULL);
    end_free_conn(is_by_owner ? &ends.b : &ends.a);
    ends_settle(&ends);
    ck_assert(sea_msg_is_cancelled(first));
    ck_assert(!sea_conn_is_open(sea_msg_conn(first)));
    ck_assert(msg_is_filled(first, kinds[kind].size, 4));
    ck_assert_int_eq(sea_reply(first, sea_block_ref(sea_msg_block(first))), -EPIPE);
    if (!is_by_owner)
        end_free_conn(&ends.b);
    sea_msg_release(second); /* the connection ends with its last message */
    ends_deinit(&ends);
}
END_TEST

/* A third process gets the memory that the first one wrote. */

enum third_method { THIRD_INODE = 1 };

static void on_inode(sea_msg *msg, void *user) {
    sea_block *answer = NULL;
    (void) user;
    uint64_t inode = msg_is_filled(msg, 100000, 4) ? inode_of(sea_msg_block(msg)) : 0;
    if (sea_block_new(&answer, sea_msg_conn(msg), sizeof inode) == 0)
        sea_block_fill(answer, 0, &inode, sizeof inode);
    sea_reply(msg, answer);
}

static int third_process(int line, void *arg) {
    const sea_method methods[] = {{.number = THIRD_INODE, .name = "inode", .handler = on_inode}};
    struct host own = {.options = {SEA_METHODS(methods)}};
    snprintf(own.address, sizeof own.address, "%s", (const char *) arg);
    host_open(&own);
    line_tell(line, 1);
    return -sea_server_run(own.server);
}

enum { FREE_MESSAGES = 4 + 5 }; /* calls in flight, and spares */

/* Small messages that a handler keeps, or their bytes, are charged to the sender; a free number of messages comes
 * and goes without charge. */
START_TEST(test_kept_messages_are_charged) {
    struct ends ends = {0};
    sea_block *bytes = NULL;
    ends.b.options.calls_max = 4;
    ends_open(&ends);
    const struct quota *quota = &ends.b.conn->lane.remote->account->quota;
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(sea_send_bytes(ends.a.conn, END_HOOK, "small", 6, 0), 0);
        ends_settle(&ends);
    }
    ck_assert_uint_eq(quota_used(quota, QUOTA_BYTES), 0);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(sea_send_bytes(ends.a.conn, END_KEEP, "small", 6, 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 100);
    uint64_t one = quota_used(quota, QUOTA_BYTES) / (100 - FREE_MESSAGES);
    ck_assert_uint_gt(one, 0);
    ck_assert_uint_eq(quota_used(quota, QUOTA_BYTES), (100 - FREE_MESSAGES) * one);
    bytes = sea_block_ref(sea_msg_block(ends.b.kept[99]));
    end_drop(&ends.b);
    ck_assert_uint_le(quota_used(quota, QUOTA_BYTES), 17 * one); /* the kept bytes, and some spare messages */
    struct account *payer = ends.b.conn->lane.remote->account;
    payer->refs++;
    end_free_conn(&ends.b);
    ck_assert_uint_eq(quota_used(quota, QUOTA_BYTES), one);
    ck_assert_int_eq(memcmp(sea_block_view(bytes), "small", 6), 0);
    sea_block_unref(bytes);
    ck_assert_uint_eq(quota_used(quota, QUOTA_BYTES), 0);
    account_unref(payer);
    ends_deinit(&ends);
}
END_TEST

/* At the quota a call gets this error, and a one-way message, which must not be lost in silence, ends the
 * connection. */
START_TEST(test_kept_messages_have_a_limit) {
    struct ends ends = {0};
    ends.b.ctx_options.peer_bytes = 20000;
    ends.b.options.calls_max = 4;
    ends_open(&ends);
    /* there is no room for the message that one more call needs */
    for (unsigned i = 0; ends.a.outcomes_count == i; i++) {
        ck_assert_int_eq(sea_send_bytes(ends.a.conn, END_KEEP, "small", 6, 0), 0);
        ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), 0);
        ends_settle(&ends);
        if (ends.a.outcomes[i].status < 0)
            break;
        ck_assert_uint_lt(i, 20000 / 100 + FREE_MESSAGES);
    }
    ck_assert_int_eq(ends.a.outcomes[ends.a.outcomes_count - 1].status, -EDQUOT);
    ck_assert_uint_gt(ends.b.kept_count, FREE_MESSAGES);
    ck_assert_int_eq(sea_send_bytes(ends.a.conn, END_KEEP, "small", 6, 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.closed, 1);
    ck_assert_int_eq(ends.b.event.reason, -EDQUOT);
    ends_deinit(&ends);
}
END_TEST

/* Inline payloads: through the ring, and through the socket. */
static const size_t inline_sizes[] = {10000, 60000};
enum { INLINE_FREE = ACCOUNT_INLINE_FREE, COST = 256 /* for each, beside its bytes */ };

static uint64_t charged_to_peer(const struct ends *ends) {
    return quota_used(&ends->b.conn->lane.remote->account->quota, QUOTA_BYTES);
}

/* Makes a call that b keeps. Returns the status of its outcome, if there is one already; otherwise 0. */
static int keep_inline(struct ends *ends, size_t size) {
    unsigned before = ends->a.outcomes_count;
    ck_assert_int_eq(end_call(&ends->a, END_KEEP, end_block(&ends->a, size, 4), -1, 1, NULL), 0);
    ends_settle(ends);
    return ends->a.outcomes_count > before ? ends->a.outcomes[before].status : 0;
}

/* Beyond the amount that each connection has without charge. */
START_TEST(test_inline_payloads_are_charged) {
    struct ends ends = {0};
    size_t size = inline_sizes[_i];
    ends.b.options.accept = SEA_INLINE;
    ends_open(&ends);
    ck_assert_int_eq(keep_inline(&ends, size), 0);
    ck_assert_uint_eq(charged_to_peer(&ends), 0);
    for (int i = 1; i < 20; i++)
        ck_assert_int_eq(keep_inline(&ends, size), 0);
    ck_assert_uint_eq(charged_to_peer(&ends), (20 - INLINE_FREE / size) * (size + COST));
    ck_assert_uint_eq(quota_used(&ends.b.conn->lane.remote->account->quota, QUOTA_BLOCKS), 0);
    sea_block *last = sea_block_ref(sea_msg_block(ends.b.kept[19]));
    end_drop(&ends.b);
    ck_assert_uint_eq(charged_to_peer(&ends), size + COST);
    struct account *payer = ends.b.conn->lane.remote->account;
    payer->refs++;
    end_free_conn(&ends.b);
    ck_assert_uint_eq(quota_used(&payer->quota, QUOTA_BYTES), size + COST);
    sea_block_unref(last);
    ck_assert_uint_eq(quota_used(&payer->quota, QUOTA_BYTES) + quota_used(&payer->quota, QUOTA_BLOCKS), 0);
    account_unref(payer);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_inline_payloads_have_a_limit) {
    struct ends ends = {0};
    size_t size = inline_sizes[_i], most = (1000000 / (size + COST)) + (INLINE_FREE / size);
    sea_refusal refusal;
    ends.b.ctx_options.peer_bytes = 1000000;
    ends.b.options.accept = SEA_INLINE;
    ends_open(&ends);
    for (size_t i = 0; i < most; i++)
        ck_assert_int_eq(keep_inline(&ends, size), 0);
    ck_assert_int_eq(keep_inline(&ends, size), -EDQUOT);
    sea_ctx_refusal(ends.b.ctx, &refusal, sizeof(refusal));
    ck_assert_str_eq(refusal.limit, "peer quota (bytes)");
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 2, NULL), 0); /* the connection still works */
    sea_msg_release(ends.b.kept[--ends.b.kept_count]);
    ends_settle(&ends);
    ck_assert_int_eq(keep_inline(&ends, size), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, size, 4), 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.closed, 1);
    ck_assert_int_eq(ends.b.event.reason, -EDQUOT);
    ends_deinit(&ends);
}
END_TEST

/* The largest number of calls that a peer may have in flight, of the largest size, with the defaults. */
START_TEST(test_inline_payloads_of_all_calls) {
    struct ends ends = {0};
    ends.b.options.accept = SEA_INLINE;
    ends_open(&ends);
    for (int i = 0; i < 256; i++)
        ck_assert_int_eq(keep_inline(&ends, 65536), 0);
    ck_assert_uint_eq(ends.b.kept_count, 256);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_REFUSALS], 0);
    ends_deinit(&ends);
}
END_TEST

/* hoarders */

enum { MUCH = 200000 }; /* too large to be inline */

static void answer_much(struct end *end, sea_msg *msg) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, end->conn, MUCH);
    if (r < 0)
        sea_reply_error(msg, r, NULL);
    else
        sea_reply(msg, block);
}

/* Makes one more connection of the server `ctx`; NULL: the first. */
static void ends_open_to(struct ends *ends, sea_ctx *ctx) {
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    end_init(&ends->a, fds[0], false);
    end_prepare(&ends->b);
    if (ctx) {
        sea_ctx_unref(ends->b.ctx);
        ends->b.ctx = sea_ctx_ref(ctx);
    }
    ends->b.hook = answer_much;
    ck_assert_int_eq(conn_new(&ends->b.conn, ends->b.ctx, fds[1], true, &ends->b.options, NULL), 0);
    ends_settle(ends);
    ck_assert_uint_eq(ends->a.opened, 1);
}

/* Hoarders keep their replies, pooled or sealed, or make b keep their payloads. */
static const struct {
    uint32_t method;
    size_t size;
    bool socket_only;
    uint32_t accept; /* classes that b accepts */
} hoarders[] = {{END_HOOK, 1, false, 0}, {END_HOOK, 1, true, 0}, {END_KEEP, 60000, false, SEA_INLINE}};
#define HOARDERS ((int) (sizeof hoarders / sizeof *hoarders))

/* Hoards until a request is refused. */
static void hoard(struct ends *ends, int kind) {
    for (unsigned i = 0; i < 400; i++) {
        sea_block *block = end_block(&ends->a, hoarders[kind].size, 4);
        ck_assert_int_eq(end_call(&ends->a, hoarders[kind].method, block, -1, 1, NULL), 0);
        ends_settle(ends);
        unsigned count = ends->a.outcomes_count;
        if (count > 0 && ends->a.outcomes[count - 1].status < 0) {
            ck_assert_int_eq(ends->a.outcomes[count - 1].status, -EDQUOT);
            return;
        }
    }
    ck_abort_msg("it was never refused");
}

/* Three connections of one user take everything that they get, and give nothing back: the fourth still gets its call
 * answered, with the defaults. */
START_TEST(test_hoarders_and_a_good_one) {
    static struct ends all[4];
    for (int i = 0; i < 4; i++) {
        all[i].b.ctx_options.budget_bytes = UINT64_C(16) << 20;
        all[i].a.options.socket_only = i < 3 && hoarders[_i].socket_only;
        all[i].b.options.accept = i < 3 ? hoarders[_i].accept : 0;
        ends_open_to(&all[i], i == 0 ? NULL : all[0].b.ctx);
        if (i < 3)
            hoard(&all[i], _i);
    }
    ck_assert_int_eq(end_call(&all[3].a, END_HOOK, end_block(&all[3].a, 1000, 4), -1, 1, NULL), 0);
    ends_settle(&all[3]);
    ck_assert_uint_eq(all[3].a.outcomes_count, 1);
    ck_assert_int_eq(all[3].a.outcomes[0].status, 0);
    for (int i = 0; i < 4; i++) {
        end_drop(&all[i].b);
        end_free_conn(&all[i].b);
    }
    for (int i = 0; i < 4; i++)
        ends_deinit(&all[i]);
}
END_TEST

START_TEST(test_a_received_block_is_forwarded) {
    struct ends ends = {0};
    struct child third;
    uint64_t word, inode;
    char address[160];
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    snprintf(address, sizeof address, "unix:%s", raw_name());
    child_start(&third, third_process, address);
    ck_assert(line_hear(third.line, 10000, &word));
    ends_open(&ends);
    ck_assert_int_eq(sea_connect(&conn, ends.b.ctx, address, NULL), 0);

    sea_block *original = end_block_of_kind(&ends.a, SEALED_KIND);
    ck_assert_int_eq(sea_block_seal(original), 0);
    sea_msg *msg = kept_call(&ends, sea_block_ref(original));
    ck_assert_int_eq(sea_call(conn, THIRD_INODE, sea_block_ref(sea_msg_block(msg)), -1, &reply), 0);
    memcpy(&inode, sea_msg_data(reply), sizeof inode);
    ck_assert_uint_eq(inode, inode_of(original));
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_BLOCKS],
                      0); /* no byte was copied, and a reply of this size needs no block */
    sea_msg_release(reply);
    sea_msg_release(msg);
    sea_conn_free(conn);
    sea_block_unref(original);
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
    child_kill(&third);
}
END_TEST

START_TEST(test_a_received_block_is_the_reply) {
    struct ends ends = {0};
    ends_open(&ends);
    sea_block *original = end_block_of_kind(&ends.a, SEALED_KIND);
    ck_assert_int_eq(sea_block_seal(original), 0);
    ino_t inode = inode_of(original);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, original, -1, 1, NULL), 0);
    ends_settle(&ends);
    sea_msg *reply = ends.a.outcomes[0].reply;
    ck_assert_uint_eq(inode_of(sea_msg_block(reply)), inode);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_BLOCKS], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS],
                      1); /* b holds it as long as a holds b's lease */
    end_drop(&ends.a);
    ends_settle(&ends);
    ck_assert_uint_eq(
        end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS] + end_figures(&ends.b).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

/* The block lies in an arena that only b and a have: the payload that goes back, or on to another peer, is a copy. */
START_TEST(test_a_pooled_block_as_the_reply_is_copied) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, 100000, 4), -1, 1, NULL), 0);
    ends_settle(&ends);
    const sea_msg *reply = ends.a.outcomes[0].reply;
    ck_assert_int_eq(sea_msg_class(reply), SEA_POOLED);
    ck_assert(msg_is_filled(reply, 100000, 4));
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_FALLBACKS], 1);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_COPIED_BYTES], 100000);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_BLOCKS], 0); /* the import of the call */
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_LEASED_BLOCKS], 1);
    end_drop(&ends.a);
    sea_conn_dispatch(ends.b.conn, 0);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

static size_t large_size(const sea_ctx *ctx) {
    return ctx->calibration.reuse_footprint + 1;
}

/* The last bytes of the payload. */
static void answer_from_payload(sea_msg *msg, void *user) {
    (void) user;
    const char *end = (const char *) sea_msg_data(msg) + sea_msg_size(msg);
    ck_assert_int_eq(sea_reply_bytes(msg, end - 4, 4), 0);
}

static void answer_from_elsewhere(sea_msg *msg, void *user) {
    (void) user;
    ck_assert_int_eq(sea_reply_bytes(msg, "done", 4), 0);
}

static const sea_method large_methods[] = {{.number = 1, .name = "from payload", .handler = answer_from_payload},
                                           {.number = 2, .name = "from elsewhere", .handler = answer_from_elsewhere}};

static sea_msg *large_call(sea_conn *conn, uint32_t method, bool is_sealed) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    size_t size = large_size(conn->ctx);
    int r = is_sealed ? sea_block_new_sealed(&block, conn->ctx, size, 0) : sea_block_new(&block, conn, size);
    ck_assert_int_eq(r, 0);
    memcpy((char *) sea_block_data(block) + size - 4, "last", 4);
    ck_assert_int_eq(sea_call(conn, method, block, -1, &reply), 0);
    return reply;
}

static uint64_t leased(const sea_conn *conn) {
    struct figures figures;
    sea_ctx_figures(conn->ctx, figures.of, SEA_FIGURES);
    return figures.of[SEA_FIGURE_LEASED_BLOCKS];
}

/* The memory has come back before the caller can make the next block. */
START_TEST(test_a_large_payload_goes_back_before_the_answer) {
    struct host host = {.options = {SEA_METHODS(large_methods), .waiting = SEA_WAIT_SPIN}};
    const sea_options options = {.waiting = SEA_WAIT_SPIN};
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    host_start(&host);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, &options), 0);
    for (int i = 0; i < 20; i++) {
        sea_msg_release(large_call(conn, 2, _i));
        ck_assert_int_ge(sea_conn_wait(conn, 0), 0); /* a turn, which takes what has come back already */
        ck_assert_uint_eq(leased(conn), 0);
    }
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    host_stop(&host);
}
END_TEST

START_TEST(test_an_answer_from_a_large_payload) {
    struct host host = {.options = {SEA_METHODS(large_methods)}};
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    host_start(&host);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, NULL), 0);
    for (int i = 0; i < 20; i++) {
        sea_msg *reply = large_call(conn, 1, _i);
        ck_assert_uint_eq(sea_msg_size(reply), 4);
        ck_assert_mem_eq(sea_msg_data(reply), "last", 4);
        sea_msg_release(reply);
    }
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    host_stop(&host);
}
END_TEST

enum { RELEASES_FIRST = OUTBOX_RELEASES_LEAST };

/* b has a call with a large payload, and its release ring is full. */
static sea_msg *call_behind_full_releases(struct ends *ends) {
    sea_msg *call = kept_call(ends, end_block(&ends->a, large_size(ends->a.ctx), 4));
    for (int i = 0; i < RELEASES_FIRST; i++) {
        ck_assert_int_eq(sea_send(ends->a.conn, END_KEEP, end_block(&ends->a, 4096, 4), 0), 0);
        if (i % 32 == 31)
            ends_settle(ends);
    }
    ends_settle(ends);
    ck_assert_uint_eq(ends->b.kept_count, RELEASES_FIRST);
    end_drop(&ends->b);
    ck_assert(!release_knows_room(&ends->b.conn->lane.releases_out));
    return call;
}

/* The payload's release makes the ring of releases grow, and its mark takes the last free line: the answer looks for
 * room anew. */
START_TEST(test_a_large_payload_takes_the_last_line) {
    struct ends ends = {.b.options = {.blocks_max = 1000, .ring_size = 4096}};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.b.conn, END_KEEP, end_block(&ends.b, 4096, 1), 0), 0);
    ends_settle(&ends);
    end_drop(&ends.a);
    sea_msg *call = call_behind_full_releases(&ends);
    sea_block *answer = end_block(&ends.b, 4096, 5);
    ck_assert(answer->slot->arena->is_announced);
    const struct ring_out *out = &ends.b.conn->lane.out;
    uint32_t sent = 0;
    for (; ring_knows_room(out, 2); sent++)
        ck_assert_int_eq(sea_send_bytes(ends.b.conn, END_SINK, &sent, sizeof sent, 0), 0);
    ck_assert(ring_knows_room(out, 1));
    ck_assert_int_eq(sea_reply(call, answer), 0);
    ck_assert_uint_le((uint32_t) out->tail - out->known, out->room);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.sunk, sent);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert(msg_is_filled(ends.a.outcomes[0].reply, 4096, 5));
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_large_block_as_the_reply_stays) {
    struct ends ends = {0};
    ends_open(&ends);
    size_t size = large_size(ends.a.ctx);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, size, 4), -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert(msg_is_filled(ends.a.outcomes[0].reply, size, 4));
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

/* answers */

/* Checks the outcome of a's only call so far. */
static void expect_outcome(struct ends *ends, int status, const char *text) {
    ends_settle(ends);
    ck_assert_uint_eq(ends->a.outcomes_count, 1);
    ck_assert_int_eq(ends->a.outcomes[0].status, status);
    if (text)
        ck_assert_str_eq(sea_conn_text(ends->a.conn), text);
    ck_assert(sea_conn_is_open(ends->a.conn));
    end_drop(&ends->a);
}

START_TEST(test_a_released_call_is_answered) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_ptr_null(sea_msg_release(kept_call(&ends, end_block(&ends.a, 100000, 4))));
    expect_outcome(&ends, -ECANCELED, "the call was dropped without an answer");
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_only_calls_are_answered) {
    struct ends ends = {0};
    ends_open(&ends);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, NULL, 0), 0);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_int_eq(sea_reply(ends.b.kept[0], end_block(&ends.b, 100000, 1)), -EINVAL);
    ck_assert_int_eq(sea_reply_error(ends.b.kept[1], -EDOM, NULL), -EINVAL);
    ends.b.kept_count = 0;
    ck_assert_int_eq(sea_reply(ends.a.outcomes[0].reply, NULL), -EINVAL);
    ends.a.outcomes_count = 0;
    ends_settle(&ends);
    ck_assert(sea_conn_is_open(ends.a.conn));
    ends_deinit(&ends);
}
END_TEST

static const int no_statuses[] = {0, 1, -4096, INT32_MIN};

START_TEST(test_a_status_that_is_none) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_reply_error(kept_call(&ends, NULL), no_statuses[_i], "text"), -EINVAL);
    expect_outcome(&ends, -ECANCELED, NULL);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_the_least_status) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_reply_error(kept_call(&ends, NULL), -4095, NULL), 0);
    expect_outcome(&ends, -4095, "");
    ends_deinit(&ends);
}
END_TEST

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X250 X50 X50 X50 X50 X50

static const struct {
    const char *given, *arrives;
} texts[] = {
    {NULL, ""},
    {"", ""},
    {"m\xc3\xb6glich \xe2\x82\xac \xf0\x9f\x90\xa6", "m\xc3\xb6glich \xe2\x82\xac \xf0\x9f\x90\xa6"},
    {"two\nlines\t\x1b[31m\x7f", "two?lines??[31m?"},
    {"a C1 \xc2\x9b control", "a C1 \xc2? control"},
    {"broken \xff\xc3", "broken \xff\xc3"},
    {X250 "12345", X250 "12345"},
    {X250 "123456", X250 "12345"},
    {X250 "1234\xc3\xb6", X250 "1234"},
    {X250 "123\xf0\x9f\x90\xa6", X250 "123"},
};
#define TEXTS ((int) (sizeof texts / sizeof *texts))

/* For any text of the application the connection goes on. */
START_TEST(test_texts) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_reply_error(kept_call(&ends, NULL), -EDOM, texts[_i].given), 0);
    expect_outcome(&ends, -EDOM, texts[_i].arrives);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_writable_block_is_sealed_by_the_reply) {
    struct ends ends = {0};
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, NULL);
    sea_block *block = end_block(&ends.b, 100000, 4);
    ck_assert_int_eq(sea_reply(msg, sea_block_ref(block)), 0);
    ck_assert(sea_block_is_sealed(block));
    ck_assert_ptr_null(sea_block_data(block));
    sea_block_unref(block);
    ends_settle(&ends);
    ck_assert(msg_is_filled(ends.a.outcomes[0].reply, 100000, 4));
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_reply_that_the_caller_cannot_take) {
    struct ends ends = {.a.options = {.inline_max = 100, .accept = SEA_INLINE}};
    sea_block *block = NULL;
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, NULL);
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.b.ctx, 101, 0), 0);
    ck_assert_int_eq(sea_reply(msg, block), -EMSGSIZE);
    expect_outcome(&ends, -EMSGSIZE, "the reply could not be sent");
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_reply_over_our_quota_for_the_caller) {
    struct ends ends = {.b.ctx_options.peer_bytes = 99999};
    sea_block *block = NULL;
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, NULL);
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.b.ctx, 100000, 0), 0);
    ck_assert_int_eq(sea_reply(msg, block), -EDQUOT);
    expect_outcome(&ends, -EDQUOT, "the reply could not be sent");
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_reply_that_cannot_be_sealed) {
    struct ends ends = {0};
    ends_open(&ends);
    sea_msg *msg = kept_call(&ends, NULL);
    sea_block *block = end_block_of_kind(&ends.b, SEALED_KIND);
    fail_once(INJECT_ADD_SEALS, EBUSY);
    ck_assert_int_eq(sea_reply(msg, block), -EBUSY);
    expect_outcome(&ends, -EBUSY, "the reply could not be sent");
    ends_deinit(&ends);
}
END_TEST

/* abandoned calls */

/* A call that the callee has kept until its deadline. */
static sea_msg *late_call(struct ends *ends) {
    ends_open(ends);
    ck_assert_int_eq(end_call(&ends->a, END_KEEP, NULL, 1, 1, NULL), 0);
    end_settle(&ends->b);
    sea_msg *msg = ends->b.kept[--ends->b.kept_count];
    while (wait_now() < sea_msg_deadline(msg))
        nap();
    return msg;
}

START_TEST(test_a_deadline_that_passed) {
    struct ends ends = {0};
    sea_msg *msg = late_call(&ends);
    ck_assert(sea_msg_is_cancelled(msg)); /* without a message from the caller */
    ck_assert_int_eq(sea_reply(msg, NULL), 0);
    end_turn(&ends.a);
    expect_outcome(&ends, 0, NULL); /* the answer came before the caller read its clock */
    ends_deinit(&ends);
}
END_TEST

static void ignore_cancel(sea_msg *call, void *user) {
    (void) call, (void) user;
}

/* The callee's clock was read first. Nobody cancelled: the caller learns that its deadline passed.
 * _i: 0 a release · 1 a release after the turn that cancels the call · 2 a reply after that turn. */
START_TEST(test_a_late_call_without_a_reply) {
    struct ends ends = {.b.options.on_cancel = ignore_cancel};
    sea_msg *msg = late_call(&ends);
    for (; _i > 0 && !msg->is_cancelled; nap()) /* the turn reads a coarse clock */
        end_turn(&ends.b);
    if (_i == 2)
        ck_assert_int_eq(sea_reply(msg, NULL), -ECANCELED);
    else
        sea_msg_release(msg);
    end_turn(&ends.a);
    expect_outcome(&ends, -ETIMEDOUT, "the deadline had passed before the call was answered");
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_an_answer_after_a_cancel) {
    struct ends ends = {0};
    uint64_t id;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 1, &id), 0);
    ends_settle(&ends);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ends_settle(&ends);
    sea_msg *msg = ends.b.kept[--ends.b.kept_count];
    ck_assert(sea_msg_is_cancelled(msg));
    if (_i == 0)
        ck_assert_int_eq(sea_reply(msg, end_block(&ends.b, 100000, 1)), -ECANCELED);
    else if (_i == 1)
        ck_assert_int_eq(sea_reply_error(msg, -EDOM, NULL), 0);
    else
        sea_msg_release(msg);
    expect_outcome(&ends, -ECANCELED, NULL);
    struct conn_figures figures;
    sea_conn_figures(ends.a.conn, figures.of, SEA_CONN_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_OUTGOING_CALLS], 0);
    ends_deinit(&ends);
}
END_TEST

/* A cancel finds its call among many. */
START_TEST(test_one_of_many_is_cancelled) {
    struct ends ends = {0};
    uint64_t ids[100];
    ends_open(&ends);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, i, &ids[i]), 0);
    ends_settle(&ends);
    for (unsigned i = 10; i < 100; i += 30)
        ck_assert_int_eq(sea_call_cancel(ends.a.conn, ids[i]), 0);
    ends_settle(&ends);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(sea_msg_is_cancelled(ends.b.kept[i]), i % 30 == 10);
    ends_deinit(&ends);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("msg");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_properties_of_a_call);
    suite_add_loop(s, test_properties_of_a_one_way_message, 0, KINDS);
    suite_add(s, test_properties_of_a_reply);
    suite_add(s, test_an_empty_payload);
    suite_add_loop(s, test_the_payload_is_a_block, 0, KINDS);
    suite_add(s, test_a_released_message_gives_the_lease_back);
    suite_add_loop(s, test_a_kept_block_outlives_its_message, 0, KINDS);
    suite_add_loop(s, test_a_kept_block_outlives_its_connection, 0, KINDS);
    suite_add_loop(s, test_a_kept_message_outlives_its_connection, 0, 2 * KINDS);
    suite_add(s, test_kept_messages_are_charged);
    suite_add(s, test_kept_messages_have_a_limit);
    suite_add_loop(s, test_inline_payloads_are_charged, 0, 2);
    suite_add_loop(s, test_inline_payloads_have_a_limit, 0, 2);
    suite_add(s, test_inline_payloads_of_all_calls);
    suite_add_loop(s, test_hoarders_and_a_good_one, 0, HOARDERS);
    suite_add(s, test_a_received_block_is_forwarded);
    suite_add(s, test_a_received_block_is_the_reply);
    suite_add(s, test_a_pooled_block_as_the_reply_is_copied);
    suite_add_loop(s, test_a_large_payload_goes_back_before_the_answer, 0, 2);
    suite_add_loop(s, test_an_answer_from_a_large_payload, 0, 2);
    suite_add(s, test_a_large_payload_takes_the_last_line);
    suite_add(s, test_a_large_block_as_the_reply_stays);
    suite_add(s, test_a_released_call_is_answered);
    suite_add(s, test_only_calls_are_answered);
    suite_add_loop(s, test_a_status_that_is_none, 0, 4);
    suite_add(s, test_the_least_status);
    suite_add_loop(s, test_texts, 0, TEXTS);
    suite_add(s, test_a_writable_block_is_sealed_by_the_reply);
    suite_add(s, test_a_reply_that_the_caller_cannot_take);
    suite_add(s, test_a_reply_over_our_quota_for_the_caller);
    suite_add(s, test_a_reply_that_cannot_be_sealed);
    suite_add(s, test_a_deadline_that_passed);
    suite_add_loop(s, test_a_late_call_without_a_reply, 0, 3);
    suite_add_loop(s, test_an_answer_after_a_cancel, 0, 3);
    suite_add(s, test_one_of_many_is_cancelled);
    return suite_run(s);
}
