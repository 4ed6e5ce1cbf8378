/* SPDX-License-Identifier: MIT */
/*
 * rpc/conn: two connections that call each other, each driven by poll() and sea_conn_dispatch(). The tests cover calls
 * and their ends, limits, deadlines, and the functions that callbacks may use. The tests wait only for deadlines that
 * the library named.
 */
#include "support/suite.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/speaker.h"
#include "unit/conn_pair.h"
#include "unit/fail.h"

static struct draft draft;

/* Makes a connection with a speaker as its peer, past the handshake. */
static struct speaker *end_face_speaker(struct end *end, bool is_server) {
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    end_init(end, fds[0], is_server);
    struct speaker *speaker = speaker_new(fds[1]);
    struct wire_hello hello = hello_sound();
    draft_hello(&draft, &hello);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    end_settle(end);
    ck_assert(sea_conn_is_open(end->conn));
    speaker_expect(speaker, WIRE_HELLO);
    return speaker;
}

static void assert_explained(const struct end *end, int error, const char *limit, uint64_t needed, uint64_t available) {
    sea_refusal refusal;
    sea_ctx_refusal(end->ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, error);
    ck_assert_str_eq(refusal.limit, limit);
    ck_assert_uint_eq(refusal.needed, needed);
    ck_assert_uint_eq(refusal.available, available);
    ck_assert_str_ne(refusal.advice, "");
}

/* the connection itself */

START_TEST(test_properties_of_an_open_connection) {
    struct ends ends = {.b.options = {.service = "harbour",
                                      .inline_max = 1000,
                                      .accept = SEA_STABLE_ONLY,
                                      .block_max = 5000,
                                      .bytes_max = 70000,
                                      .blocks_max = 6,
                                      .calls_max = 7}};
    ends_open(&ends);
    ck_assert_uint_eq(ends.a.opened, 1);
    ck_assert_uint_eq(ends.b.opened, 1);
    ck_assert_str_eq(sea_conn_service(ends.a.conn), "harbour");
    ck_assert_str_eq(sea_conn_service(ends.b.conn), "");
    ck_assert_str_eq(sea_conn_text(ends.a.conn), "");
    ck_assert_ptr_eq(sea_conn_ctx(ends.a.conn), ends.a.ctx);
    ck_assert_int_eq(sea_conn_peer(ends.a.conn)->pid, getpid());
    ck_assert_uint_eq(sea_conn_peer(ends.a.conn)->uid, geteuid());
    ck_assert_ptr_null(sea_conn_data(ends.a.conn));
    sea_conn_set_data(ends.a.conn, &ends);
    ck_assert_ptr_eq(sea_conn_data(ends.a.conn), &ends);
    struct conn_figures figures;
    sea_conn_figures(ends.a.conn, figures.of, SEA_CONN_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_INLINE_MAX_BYTES], 1000);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_ACCEPTS_INLINE], 1);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_ACCEPTS_POOLED], 0);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_ACCEPTS_SEALED], 1);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_BLOCK_MAX_BYTES], 5000);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_LEASED_MAX_BYTES], 70000);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_LEASED_MAX_BLOCKS], 6);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_OUTGOING_MAX_CALLS], 7);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_OUTGOING_CALLS] + figures.of[SEA_CONN_FIGURE_INCOMING_CALLS], 0);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_before_the_handshake_there_is_no_room) {
    struct ends ends = {0};
    sea_block *block = NULL;
    ends_init(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), -EAGAIN);
    assert_explained(&ends.a, -EAGAIN, "handshake", 0, 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, NULL, 0), -EAGAIN);
    refusal_explain(&ends.a.ctx->refusals, -EAGAIN, "something", "an old text");
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, 1), -EAGAIN);
    assert_explained(&ends.a, -EAGAIN, "handshake", 0, 0);
    refusal_explain(&ends.a.ctx->refusals, -EAGAIN, "something", "an old text");
    ck_assert_int_eq(sea_pool_reserve(sea_conn_pool(ends.a.conn), 100000, 1), -EAGAIN);
    assert_explained(&ends.a, -EAGAIN, "handshake", 0, 0);
    ck_assert(!sea_conn_is_open(ends.a.conn));
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.opened, 1);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ends_deinit(&ends);
}
END_TEST

/*
 * The class in which a block for a peer is made, and the class in which it arrives; they differ when the peer accepts
 * stable payloads only, and copies pooled ones.
 */
static const struct {
    uint32_t accept;                      /* classes that the receiver accepts */
    bool sender_socket_only, socket_only; /* the sender, and the receiver, have no outbox */
    uint32_t inline_max;                  /* the receiver's limit, as the next field */
    uint64_t block_max;
    size_t size;
    int made;    /* SEA_..., or a negative errno value */
    int arrives; /* the class; it decides whether the payload is stable */
} routes[] = {
    /* all classes: inline only while copying through the ring is cheaper */
    {0, false, false, 0, 0, 0, SEA_INLINE, SEA_INLINE},
    {0, false, false, 0, 0, 1, SEA_INLINE, SEA_INLINE},
    {0, false, false, 0, 0, 1024, SEA_INLINE, SEA_INLINE},
    {0, false, false, 0, 0, 1025, SEA_POOLED, SEA_POOLED},
    {0, false, false, 0, 0, 65537, SEA_POOLED, SEA_POOLED},
    {0, false, false, 0, 0, 3000000, SEA_POOLED, SEA_POOLED},
    {0, false, false, 100, 0, 100, SEA_INLINE, SEA_INLINE},
    {0, false, false, 100, 0, 101, SEA_POOLED, SEA_POOLED},
    {0, false, false, 1000, 5000, 5000, SEA_POOLED, SEA_POOLED},
    {0, false, false, 1000, 5000, 5001, -EMSGSIZE, 0},
    {0, false, false, 5000, 1000, 1001, SEA_INLINE, SEA_INLINE}, /* too large for a pooled block */
    {0, false, false, 5000, 1000, 5001, -EMSGSIZE, 0},
    /* stable ones only: the receiver's own library copies */
    {SEA_STABLE_ONLY, false, false, 0, 0, 1024, SEA_INLINE, SEA_INLINE},
    {SEA_STABLE_ONLY, false, false, 0, 0, 1025, SEA_POOLED, SEA_INLINE},
    {SEA_STABLE_ONLY, false, false, 0, 0, 3000000, SEA_POOLED, SEA_INLINE},
    {SEA_STABLE_ONLY, false, false, 0, 5000, 65537, -EMSGSIZE, 0},
    /* without outboxes on either side: inline up to the limit, then sealed */
    {0, true, false, 0, 0, 65536, SEA_INLINE, SEA_INLINE},
    {0, true, false, 0, 0, 65537, SEA_SEALED, SEA_SEALED},
    {0, false, true, 0, 0, 65536, SEA_INLINE, SEA_INLINE},
    {0, false, true, 0, 0, 65537, SEA_SEALED, SEA_SEALED},
    {SEA_ANY_CLASS, true, true, 1000, 5000, 1001, SEA_SEALED, SEA_SEALED},
    {SEA_STABLE_ONLY, true, false, 0, 0, 65537, SEA_SEALED, SEA_SEALED},
    {SEA_STABLE_ONLY, false, true, 0, 0, 65536, SEA_INLINE, SEA_INLINE},
    {SEA_STABLE_ONLY, false, true, 0, 0, 65537, SEA_SEALED, SEA_SEALED},
    {0, true, false, 1000, 5000, 5001, -EMSGSIZE, 0},
    /* one class, or two */
    {SEA_INLINE, false, false, 1000, 0, 1000, SEA_INLINE, SEA_INLINE},
    {SEA_INLINE, false, false, 1000, 0, 1001, -EMSGSIZE, 0},
    {SEA_INLINE, false, false, 0, 0, 65536, SEA_INLINE, SEA_INLINE},
    {SEA_INLINE, false, false, 0, 0, 65537, -EMSGSIZE, 0},
    {SEA_INLINE, true, false, 0, 0, 65536, SEA_INLINE, SEA_INLINE},
    {SEA_SEALED, false, false, 0, 0, 1, SEA_SEALED, SEA_SEALED},
    {SEA_SEALED, false, false, 0, 0, 100000, SEA_SEALED, SEA_SEALED},
    {SEA_SEALED, false, true, 0, 0, 1, SEA_SEALED, SEA_SEALED},
    {SEA_SEALED, false, false, 0, 5000, 5001, -EMSGSIZE, 0},
    {SEA_POOLED, false, false, 0, 0, 1, SEA_POOLED, SEA_POOLED},
    {SEA_POOLED, false, false, 0, 0, 100000, SEA_POOLED, SEA_POOLED},
    {SEA_POOLED, false, true, 0, 0, 1, -EMSGSIZE, 0},
    {SEA_INLINE | SEA_POOLED, false, false, 0, 0, 100000, SEA_POOLED, SEA_POOLED},
    {SEA_INLINE | SEA_POOLED, false, true, 0, 0, 65537, -EMSGSIZE, 0},
    {SEA_SEALED | SEA_POOLED, false, false, 0, 0, 1, SEA_POOLED, SEA_POOLED},
    {SEA_SEALED | SEA_POOLED, true, false, 0, 0, 1, SEA_SEALED, SEA_SEALED},
};
#define ROUTES ((int) (sizeof routes / sizeof *routes))

/* The largest inline payload that the receiver accepts. */
static uint32_t inline_most(int route) {
    bool takes_inline = !routes[route].accept || routes[route].accept & SEA_INLINE;
    return !takes_inline ? 0 : routes[route].inline_max ? routes[route].inline_max : 65536;
}

START_TEST(test_a_block_is_made_as_it_will_travel) {
    struct ends ends = {.a.options.socket_only = routes[_i].sender_socket_only,
                        .b.options = {.accept = routes[_i].accept,
                                      .socket_only = routes[_i].socket_only,
                                      .inline_max = routes[_i].inline_max,
                                      .block_max = routes[_i].block_max}};
    size_t size = routes[_i].size;
    sea_block *block = NULL;
    ends_open(&ends);
    int r = sea_block_new(&block, ends.a.conn, size);
    ck_assert_int_eq(r, routes[_i].made < 0 ? routes[_i].made : 0);
    if (r == -EMSGSIZE && routes[_i].block_max > inline_most(_i))
        assert_explained(&ends.a, r, "peer's block_max", size, routes[_i].block_max);
    else if (r == -EMSGSIZE)
        assert_explained(&ends.a, r, "peer's inline_max", size, inline_most(_i));
    if (r == 0) {
        ck_assert_int_eq(sea_block_class(block), routes[_i].made);
        ck_assert_uint_eq(sea_block_size(block), size);
        memset(sea_block_data(block), 5, size);
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, block, 0), 0);
        ends_settle(&ends);
        ck_assert_uint_eq(ends.b.kept_count, 1);
        const sea_msg *msg = ends.b.kept[0];
        ck_assert_int_eq(sea_msg_class(msg), routes[_i].arrives);
        ck_assert(sea_msg_is_stable(msg) == (routes[_i].arrives != SEA_POOLED));
        ck_assert(msg_is_filled(msg, size, 5));
        ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_IMPORTED_BLOCKS],
                          size > 0 && routes[_i].arrives != SEA_INLINE);
        ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_FALLBACKS], 0);
    }
    ends_deinit(&ends);
}
END_TEST

/* The pool has no more than the peer accepts. A block that is made while the peer holds all of the pool is sealed,
 * if the peer accepts sealed blocks, and waits for credit; a block that has been given back meanwhile is available
 * at once. */
START_TEST(test_blocks_while_the_peer_holds_all) {
    bool takes_sealed = _i == 0;
    struct ends ends = {.b.options = {.bytes_max = 300000, .accept = takes_sealed ? 0 : SEA_INLINE | SEA_POOLED}};
    sea_block *block = NULL;
    ends_open(&ends);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, 120000, i), 0), 0);
    end_settle(&ends.b);
    ck_assert_uint_eq(ends.b.kept_count, 2);
    int r = sea_block_new(&block, ends.a.conn, 120000);
    ck_assert_int_eq(r, takes_sealed ? 0 : -EDQUOT);
    if (takes_sealed) {
        ck_assert_int_eq(sea_block_class(block), SEA_SEALED);
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, sea_block_ref(block), 0), -EAGAIN);
    }
    sea_block_unref(block);
    end_drop(&ends.b); /* a has had no turn since */
    block = end_block(&ends.a, 120000, 3);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, block, 0), 0);
    ends_settle(&ends);
    ck_assert_int_eq(sea_msg_class(ends.b.kept[0]), SEA_POOLED);
    ck_assert(msg_is_filled(ends.b.kept[0], 120000, 3));
    ends_deinit(&ends);
}
END_TEST

/* This also holds for a reply that has to be a copy: it is not lost. */
START_TEST(test_a_copy_while_the_peer_holds_all) {
    struct ends ends = {.a.options.bytes_max = 300000};
    ends_open(&ends);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, 120000, (int) i), -1, i, NULL), 0);
    ends_settle(&ends);
    for (unsigned i = 0; i < 3; i++) {
        ends_settle(&ends);
        ck_assert_uint_eq(ends.a.outcomes_count, i < 2 ? 2 : 1); /* a holds no more than it accepts */
        const struct outcome *outcome = &ends.a.outcomes[0];
        ck_assert_uint_eq(outcome->tag, i);
        ck_assert_int_eq(outcome->status, 0);
        ck_assert(msg_is_filled(outcome->reply, 120000, (int) i));
        sea_msg_release(outcome->reply);
        ends.a.outcomes_count--;
        memmove(&ends.a.outcomes[0], &ends.a.outcomes[1], ends.a.outcomes_count * sizeof *outcome);
    }
    ends_deinit(&ends);
}
END_TEST

/* A sealed block contains zeros before it is written. Pooled and inline blocks may contain an earlier payload for
 * that peer. */
START_TEST(test_the_first_bytes_of_a_block) {
    static const size_t sizes[] = {256, 257, 100000};
    struct ends ends = {.b.options.socket_only = _i >= 3};
    size_t size = sizes[_i % 3];
    sea_block *block = NULL;
    ends_open(&ends);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(sea_block_new(&block, ends.a.conn, size), 0);
        const unsigned char *bytes = sea_block_view(block);
        for (size_t i = 0; i < size; i++)
            ck_assert(bytes[i] == 0 || (sea_block_class(block) != SEA_SEALED && bytes[i] == 7));
        memset(sea_block_data(block), 7, size);
        sea_block_unref(block);
    }
    ends_deinit(&ends);
}
END_TEST

/* The block that was given back is the block that comes next, until the connection ends; from then on a new block is
 * an error. */
START_TEST(test_a_block_comes_again) {
    static const size_t sizes[] = {0, 1, 1024, 1025, 5000, 70000};
    struct ends ends = {0};
    sea_block *block = NULL, *again = NULL;
    ends_open(&ends);
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, sizes[_i]), 0);
    ck_assert_int_eq(sea_block_class(block), sizes[_i] <= 1024 ? SEA_INLINE : SEA_POOLED);
    ck_assert_int_eq(sea_block_seal(block), 0);
    sea_block_unref(block);
    for (int i = 0; i < 100 && again != block; i++) { /* all blocks of a rotation */
        ck_assert_int_eq(sea_block_new(&again, ends.a.conn, sizes[_i]), 0);
        ck_assert_ptr_nonnull(sea_block_data(again));
        sea_block_unref(again);
    }
    ck_assert_ptr_eq(again, block);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_BLOCKS] + end_figures(&ends.a).of[SEA_FIGURE_BYTES], 0);
    sea_conn_close(ends.a.conn);
    end_settle(&ends.a);
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, sizes[_i]), -EPIPE);
    ends_deinit(&ends);
}
END_TEST

/* A stream without a turn of its sender: blocks that its peer has given back go out again. */
START_TEST(test_a_stream_goes_round) {
    struct ends ends = {0};
    struct pool_figures figures;
    ends_open(&ends);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, end_block(&ends.a, 1 << 20, i), 0), 0);
        end_settle(&ends.b);
    }
    sea_pool_figures(sea_conn_pool(ends.a.conn), figures.of, SEA_POOL_FIGURES);
    ck_assert_uint_ge(figures.of[SEA_POOL_FIGURE_ALLOCATED_BYTES], (uint64_t) 200 << 20);
    ck_assert_uint_le(figures.of[SEA_POOL_FIGURE_MAPPED_PEAK_BYTES],
                      /* enough for a rotation, with arenas that are as large as all earlier ones */
                      (uint64_t) 40 << 20);
    ends_deinit(&ends);
}
END_TEST

/* A message that arrives while the sender waits gives the peer its turn. */
static struct end *reader;

static void let_read(struct end *end, sea_msg *msg) {
    (void) end;
    sea_msg_release(msg);
    end_settle(reader);
}

static bool has_waited(void) {
    struct ends ends = {.a.hook = let_read};
    struct pool_figures before, after;
    ends_open(&ends);
    reader = &ends.b;
    for (int i = 0; i < 4; i++) {
        if (i == 3)
            ck_assert_int_eq(sea_send(ends.b.conn, END_HOOK, NULL, 0), 0);
        ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, end_block(&ends.a, 1 << 20, i), 60000), 0);
    }
    sea_pool_figures(sea_conn_pool(ends.a.conn), before.of, SEA_POOL_FIGURES);
    sea_block *next = end_block(&ends.a, 1 << 20, 4);
    sea_pool_figures(sea_conn_pool(ends.a.conn), after.of, SEA_POOL_FIGURES);
    sea_block_unref(next);
    ends_deinit(&ends);
    return before.of[SEA_POOL_FIGURE_LEASED_BLOCKS] == 0 &&
           after.of[SEA_POOL_FIGURE_MAPPED_BYTES] == before.of[SEA_POOL_FIGURE_MAPPED_BYTES];
}

/* A sender that may wait lets its peer give back the blocks that fill the caches before its pool grows. It waits
 * some milliseconds, in which a busy machine may run no thread of the peer. */
START_TEST(test_a_stream_waits_for_its_blocks) {
    int tries = 0;
    while (tries < 50 && !has_waited())
        tries++;
    ck_assert_int_lt(tries, 50);
}
END_TEST

/* The wait is in vain if the peer keeps the blocks. */
START_TEST(test_a_stream_to_a_hoarder_goes_on) {
    struct ends ends = {0};
    ends_open(&ends);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, 1 << 20, i), 60000), 0);
    end_settle(&ends.b);
    ck_assert_uint_eq(ends.b.kept_count, 12);
    end_drop(&ends.b);
    ends_settle(&ends);
    ends_deinit(&ends);
}
END_TEST

static unsigned came_meanwhile;

static void note_that_came(struct end *end, sea_msg *msg) {
    (void) end;
    came_meanwhile++;
    sea_msg_release(msg);
}

/* A block of another connection's pool, which has no free block left, goes as a copy: that pool may belong to another
 * thread, and no turn of this connection brings blocks back there. */
START_TEST(test_a_stream_waits_for_no_blocks_of_others) {
    struct ends ends = {.a.hook = note_that_came}, others = {0};
    sea_block *blocks[2];
    ends_open(&ends);
    ends_open(&others);
    others.a.ctx->calibration.reuse_footprint = 0; /* two blocks fill it */
    for (int i = 0; i < 2; i++)
        blocks[i] = end_block(&others.a, 1 << 20, i);
    ck_assert_int_eq(sea_send(others.a.conn, END_KEEP, blocks[0], 0), 0);
    ck_assert_uint_gt(pooled_block_growth(blocks[1]), 0);
    came_meanwhile = 0;
    ck_assert_int_eq(sea_send(ends.b.conn, END_HOOK, NULL, 0), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, blocks[1], 60000), 0);
    ck_assert_uint_eq(came_meanwhile, 0);
    ends_settle(&ends);
    ck_assert_uint_eq(came_meanwhile, 1);
    ends_deinit(&ends);
    ends_settle(&others);
    ends_deinit(&others);
}
END_TEST

/* The peer keeps refusing an arena that it has refused: a block for which it has room later lies in another arena. */
START_TEST(test_a_refusal_passes) {
    struct ends ends = {0};
    ends.b.ctx_options.peer_bytes = 8 << 20;
    ends.b.options.bytes_max = 64 << 20; /* more than the budget has */
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, 5 << 20, 1), 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 1);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, 4 << 20, 2), -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_int_eq(ends.a.outcomes[0].status, -EDQUOT);
    end_drop(&ends.b);
    ends_settle(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, end_block(&ends.a, 4 << 20, 3), -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 2);
    ck_assert_int_ne(ends.a.outcomes[1].status, -EDQUOT);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 2);
    ends_deinit(&ends);
}
END_TEST

static void answer_much(struct end *end, sea_msg *msg) {
    sea_reply(msg, end_block(end, 10 << 20, 1));
}

/* A refusal of our own says nothing about the peer's limit. */
START_TEST(test_a_refusal_of_our_own_renews_nothing) {
    struct ends ends = {.b.hook = answer_much};
    ends.a.ctx_options.peer_bytes = 8 << 20;
    ends.a.options.bytes_max = 64 << 20; /* more than the budget has */
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, -EDQUOT);
    ck_assert_uint_eq(ends.a.conn->lane.remote->pools.renewed_at, 0);
    ends_deinit(&ends);
}
END_TEST

/* Small blocks, which are sent as copies, lie in memory that the peer never maps: they use nothing of the peer's
 * credit. */
START_TEST(test_small_blocks_take_nothing_of_the_peers) {
    enum { MANY = 4096 };
    static sea_block *small[MANY];
    struct ends ends = {0};
    ends.b.options.bytes_max = 2 << 20;
    ends_open(&ends);
    for (int i = 0; i < MANY; i++)
        small[i] = end_block(&ends.a, 200, i);
    sea_block *block = end_block(&ends.a, 1 << 20, 1);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    sea_block_unref(block);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(sea_block_class(small[i]), SEA_INLINE);
        sea_block_unref(small[i]);
    }
    ends_deinit(&ends);
}
END_TEST

static void settle_polled(struct poller *poller) {
    do
        ck_assert_int_ge(poller_set_turn(poller, 0), 0);
    while (poller->hot || poller_set_deadline(poller) == 0);
}

static struct poller *poller_new(void) {
    struct poller *poller = NULL;
    ck_assert_int_eq(poller_set_new(&poller), 0);
    return poller;
}

/* A block is made, or goes out again, between two turns: the connection must ask for a turn, or free memory would
 * stay until the peer sends a frame. */
START_TEST(test_a_block_from_outside_asks_for_a_turn) {
    static const size_t sizes[] = {1, 5000};
    struct ends ends = {0};
    struct poller *poller = poller_new();
    sea_block *block = NULL, *other = NULL, *again = NULL;
    ends_open(&ends);
    ck_assert_int_eq(conn_watch(ends.a.conn, poller), 0);
    settle_polled(poller);
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER);
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, sizes[_i]), 0);
    ck_assert_uint_eq(poller_set_deadline(poller), 0);
    ck_assert_int_eq(sea_block_new(&other, ends.a.conn, sizes[_i]), 0);
    sea_block_unref(other);
    settle_polled(poller);
    ck_assert_uint_eq(poller_set_deadline(poller), WAIT_FOREVER); /* the return of `block` will wake the connection */
    ck_assert_int_eq(sea_block_new(&again, ends.a.conn, sizes[_i]), 0);
    ck_assert_uint_eq(poller_set_deadline(poller), 0);
    sea_block_unref(again);
    sea_block_unref(block);
    settle_polled(poller);
    ck_assert_uint_ne(poller_set_deadline(poller), WAIT_FOREVER); /* the time at which it goes */
    ends_deinit(&ends);
    poller->ops->free(poller);
}
END_TEST

/* A connection that prepares to sleep changes the state that its last turn left: it is woken when that work is due. */
START_TEST(test_a_sleeper_is_woken_for_its_pools) {
    struct ends ends = {0};
    struct poller *poller = poller_new();
    ends_open(&ends);
    ck_assert_int_eq(conn_watch(ends.a.conn, poller), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, end_block(&ends.a, 1 << 20, 1), 0), 0);
    ck_assert_int_ge(poller_set_turn(poller, 0), 0);
    end_settle(&ends.b);
    settle_polled(poller);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_ne(poller_set_deadline(poller), WAIT_FOREVER); /* the time at which the arena goes */
    ck_assert_uint_eq(poller_set_deadline(poller), conn_deadline(ends.a.conn));
    ends_deinit(&ends);
    poller->ops->free(poller);
}
END_TEST

/* Releases come without a frame. */
START_TEST(test_a_spinner_takes_releases) {
    struct ends ends = {.a.options.waiting = SEA_WAIT_SPIN};
    struct poller *poller = poller_new();
    ends_open(&ends);
    ck_assert_int_eq(conn_watch(ends.a.conn, poller), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, end_block(&ends.a, 1 << 20, 1), 0), 0);
    for (int turns = 0; turns < 5; turns++)
        ck_assert_int_ge(poller_set_turn(poller, wait_deadline(1)), 0);
    end_settle(&ends.b);
    for (int turns = 0; end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS] > 0; turns++) {
        ck_assert_int_lt(turns, 10000);
        ck_assert_int_ge(poller_set_turn(poller, wait_deadline(1)), 0);
    }
    ends_deinit(&ends);
    poller->ops->free(poller);
}
END_TEST

/* A connection that sends without end, and never waits, maintains its pools, too. */
START_TEST(test_a_sender_tends_its_pools) {
    static const sea_pool_options aging = {.rotate_age_ms = 1};
    struct ends ends = {.a.options.pool = &aging};
    struct pool_figures figures;
    ends_open(&ends);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, end_block(&ends.a, 1 << 20, i), -1), 0);
        end_settle(&ends.b);
        wait_fd(-1, 0, wait_deadline(3));
    }
    sea_pool_figures(sea_conn_pool(ends.a.conn), figures.of, SEA_POOL_FIGURES);
    ck_assert_uint_ge(figures.of[SEA_POOL_FIGURE_GENERATION], 2);
    ends_deinit(&ends);
}
END_TEST

/* calls */

START_TEST(test_a_call_and_its_reply) {
    const size_t sizes[] = {0, 1, 1000, 65536, 65537, 3000000};
    struct ends ends = {0};
    ends_open(&ends);
    size_t size = sizes[_i];
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, size, 7), -1, 1, NULL), 0);
    ck_assert_uint_eq(ends.a.outcomes_count, 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_OUTGOING_CALLS], 1);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, 0);
    ck_assert(msg_is_filled(ends.a.outcomes[0].reply, size, 7));
    ck_assert_uint_eq(
        end_figures(&ends.a).of[SEA_FIGURE_OUTGOING_CALLS] + end_figures(&ends.b).of[SEA_FIGURE_INCOMING_CALLS], 0);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_replies_in_any_order) {
    static const unsigned order[] = {3, 1, 4, 0, 2};
    struct ends ends = {0};
    ends_open(&ends);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, end_block(&ends.a, 10, (int) i), -1, i, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 5);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_INCOMING_CALLS], 5);
    for (int i = 0; i < 5; i++) {
        sea_msg *call = ends.b.kept[order[i]];
        ck_assert_int_eq(sea_reply(call, sea_block_ref(sea_msg_block(call))), 0);
    }
    ends.b.kept_count = 0;
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 5);
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_eq(ends.a.outcomes[i].tag, order[i]);
        ck_assert(msg_is_filled(ends.a.outcomes[i].reply, 10, (int) order[i]));
    }
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_both_sides_call_at_once) {
    struct ends ends = {0};
    ends_open(&ends);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, 100000, 1), -1, i, NULL), 0);
        ck_assert_int_eq(end_call(&ends.b, END_ECHO, end_block(&ends.b, 100, 2), -1, i, NULL), 0);
    }
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 100);
    ck_assert_uint_eq(ends.b.outcomes_count, 100);
    for (int i = 0; i < 100; i++) {
        ck_assert(msg_is_filled(ends.a.outcomes[i].reply, 100000, 1));
        ck_assert(msg_is_filled(ends.b.outcomes[i].reply, 100, 2));
    }
    ends_deinit(&ends);
}
END_TEST

static sea_msg *outer_call;

static void answer_outer(struct end *end, const struct outcome *inner) {
    (void) end;
    ck_assert_int_eq(inner->status, 0);
    ck_assert_int_eq(sea_reply(outer_call, sea_block_ref(sea_msg_block(inner->reply))), 0);
}

static void call_back(struct end *end, sea_msg *msg) {
    outer_call = msg;
    end->at_done = answer_outer;
    ck_assert_int_eq(end_call(end, END_ECHO, sea_block_ref(sea_msg_block(msg)), -1, 9, NULL), 0);
}

/* The handler calls the caller before it answers: neither side blocks, so there is no deadlock. */
START_TEST(test_a_call_from_inside_a_handler) {
    struct ends ends = {.b.hook = call_back};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, end_block(&ends.a, 200000, 3), -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.outcomes_count, 1);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, 0);
    ck_assert(msg_is_filled(ends.a.outcomes[0].reply, 200000, 3));
    ends_deinit(&ends);
}
END_TEST

static void call_once_more(struct end *end, const struct outcome *outcome) {
    if (outcome->tag < 5)
        ck_assert_int_eq(end_call(end, END_ECHO, NULL, -1, outcome->tag + 1, NULL), 0);
}

START_TEST(test_the_next_call_from_inside_done) {
    struct ends ends = {.a.at_done = call_once_more};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 6);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_no_such_method) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, 99, end_block(&ends.a, 100000, 1), 0), 0);
    ck_assert_int_eq(end_call(&ends.a, 99, end_block(&ends.a, 100000, 1), -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, -ENOSYS);
    ck_assert_str_eq(sea_conn_text(ends.a.conn), "no such method: 99");
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

static void refuse(struct end *end, sea_msg *msg) {
    (void) end;
    ck_assert_int_eq(sea_reply_error(msg, -EDOM, "out of the domain"), 0);
}

START_TEST(test_a_status_and_its_text) {
    struct ends ends = {.b.hook = refuse};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_int_eq(ends.a.outcomes[0].status, -EDOM);
    ck_assert_str_eq(sea_conn_text(ends.a.conn), "out of the domain");
    sea_msg *reply = ends.a.outcomes[0].reply;
    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(sea_msg_status(reply), -EDOM);
    ck_assert_str_eq(sea_msg_text(reply), "out of the domain");
    ck_assert_uint_eq(sea_msg_size(reply), 0);
    ends_deinit(&ends);
}
END_TEST

/* limits */

START_TEST(test_calls_beyond_the_peers_limit) {
    struct ends ends = {.b.options.calls_max = 2};
    ends_open(&ends);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, i, NULL), 0);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, end_block(&ends.a, 10, 1), -1, 2, NULL), -EAGAIN);
    assert_explained(&ends.a, -EAGAIN, "peer's calls_max", 1, 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.rooms, 0);
    ck_assert_int_eq(sea_reply(ends.b.kept[--ends.b.kept_count], NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.rooms, 1);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 2, NULL), 0);
    /* the other direction has a limit of its own */
    ck_assert_int_eq(end_call(&ends.b, END_ECHO, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.outcomes_count, 1);
    ck_assert_uint_eq(ends.b.kept_count, 2);
    ends_deinit(&ends);
}
END_TEST

/* Room for a call means that an answer has come, not any frame. */
START_TEST(test_room_for_a_call_is_an_answer) {
    struct ends ends = {.b.options.calls_max = 2};
    ends_open(&ends);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, i, NULL), i < 2 ? 0 : -EAGAIN);
    ends_settle(&ends);
    ck_assert_int_eq(sea_send(ends.b.conn, END_SINK, end_number(&ends.b, 0), 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.sunk, 1);
    ck_assert_uint_eq(ends.a.rooms, 0);
    ck_assert_int_eq(sea_reply(ends.b.kept[--ends.b.kept_count], NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.rooms, 1);
    ends_deinit(&ends);
}
END_TEST

/* The limit that the error text of the last one-way message names, for messages of a number and size. */
static const struct {
    sea_options sender, receiver;
    unsigned count;
    size_t size;
    const char *limit;
    uint64_t needed, available;
} shortages[] = {
    {{0}, {.blocks_max = 2}, 3, 1000, "peer's blocks_max", 1, 0},
    {{0}, {.bytes_max = 300000}, 3, 120000, "peer's bytes_max", 120000, 60000},
    /* one line carries the mark, behind which the larger ring follows */
    {{0}, {0}, 1024, 0, "frame ring (bytes)", 64, 0},
    {{0}, {.accept = SEA_INLINE}, 342, 100, "frame ring (bytes)", 192, 128},
    {{.socket_only = true}, {0}, 1000, 0, "socket", 0, 0},
};
#define SHORTAGES ((int) (sizeof shortages / sizeof *shortages))

/* One text for several tries in a row. Nothing was refused for good, so no refusal is counted. */
START_TEST(test_no_room_is_explained) {
    struct ends ends = {.a.options = shortages[_i].sender, .b.options = shortages[_i].receiver};
    int r = 0;
    ends_open(&ends);
    sea_block *block = NULL;
    for (unsigned i = 0; i < shortages[_i].count && r == 0; i++) {
        ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, shortages[_i].size, SEA_BLOCK_NO_HUGE), 0);
        r = sea_send(ends.a.conn, END_KEEP, block, 0);
    }
    ck_assert_int_eq(r, -EAGAIN);
    assert_explained(&ends.a, -EAGAIN, shortages[_i].limit, shortages[_i].needed, shortages[_i].available);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_REFUSALS], 0);
    refusal_explain(&ends.a.ctx->refusals, -EDOM, "another", "another");
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, shortages[_i].size, SEA_BLOCK_NO_HUGE), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, block, 0), -EAGAIN);
    assert_explained(&ends.a, -EDOM, "another", 0, 0);
    ends_deinit(&ends);
}
END_TEST

/* The socket accepts no descriptor: the text has the kernel's error, and only the clock says when to try again. */
START_TEST(test_no_room_for_a_descriptor_is_explained) {
    struct ends ends = {0};
    sea_block *block = NULL;
    ends_open(&ends);
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, 10, 0), 0);
    fail_once(INJECT_SENDMSG, _i ? ENOMEM : ETOOMANYREFS);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, block, 0), -EAGAIN);
    fail_off();
    assert_explained(&ends.a, -EAGAIN, _i ? "kernel memory" : "descriptors in flight", 0, 0);
    ends_deinit(&ends);
}
END_TEST

/* There is no room to wait for. */
START_TEST(test_a_peer_that_takes_no_calls) {
    struct end end = {0};
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    end_init(&end, fds[0], true);
    struct speaker *speaker = speaker_new(fds[1]);
    struct wire_hello hello = hello_sound();
    hello.calls_max = 0;
    draft_hello(&draft, &hello);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    end_settle(&end);
    ck_assert(sea_conn_is_open(end.conn));
    ck_assert_int_eq(end_call(&end, END_ECHO, NULL, -1, 0, NULL), -EDQUOT);
    assert_explained(&end, -EDQUOT, "peer's calls_max", 1, 0);
    ck_assert_int_eq(sea_call(end.conn, END_ECHO, NULL, 1, NULL), -EDQUOT);
    ck_assert_int_eq(sea_call_bytes(end.conn, END_ECHO, "x", 1, 1, NULL), -EDQUOT);
    ck_assert_int_eq(sea_send(end.conn, END_ECHO, NULL, 0), 0);
    end_deinit(&end);
    speaker_free(speaker);
}
END_TEST

/* An abandoned call counts until the peer has answered it. */
START_TEST(test_an_abandoned_call_counts) {
    struct ends ends = {.b.options.calls_max = 1};
    uint64_t id;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 0, &id), 0);
    ends_settle(&ends);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), -EAGAIN);
    struct conn_figures figures;
    sea_conn_figures(ends.a.conn, figures.of, SEA_CONN_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_OUTGOING_CALLS], 1);
    end_drop(&ends.b);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.rooms, 1);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 2);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_peer_over_its_limit_of_calls) {
    struct end end = {.options.calls_max = 2};
    struct speaker *speaker = end_face_speaker(&end, true);
    for (uint64_t id = 1; id <= 3; id++) {
        draft_inline(&draft, id, END_KEEP, 10);
        ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    }
    end_settle(&end);
    ck_assert_uint_eq(end.kept_count, 2);
    ck_assert_int_eq(end.event.reason, -EPROTO);
    ck_assert_str_eq(end.event_text, "more calls were in flight than negotiated");
    end_deinit(&end);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_reply_to_nothing) {
    struct end end = {0};
    struct speaker *speaker = end_face_speaker(&end, false);
    ck_assert_int_eq(end_call(&end, 7, NULL, -1, 1, NULL), 0);
    uint64_t id = speaker_expect(speaker, WIRE_CALL)->head.id;
    draft_inline(&draft, id + 1, 0, 10);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    end_settle(&end);
    ck_assert_int_eq(end.event.reason, -EPROTO);
    ck_assert_str_eq(end.event_text, "a reply came to no call of ours");
    ck_assert_uint_eq(end.event.ended_calls, 1);
    ck_assert_uint_eq(end.outcomes_count, 1);
    ck_assert_int_eq(end.outcomes[0].status, -EPROTO);
    ck_assert_int_eq(sea_send(end.conn, 7, NULL, 0), -EPROTO);
    end_deinit(&end);
    speaker_free(speaker);
}
END_TEST

START_TEST(test_a_second_reply_is_a_reply_to_nothing) {
    struct end end = {0};
    struct speaker *speaker = end_face_speaker(&end, false);
    ck_assert_int_eq(end_call(&end, 7, NULL, -1, 1, NULL), 0);
    draft_inline(&draft, speaker_expect(speaker, WIRE_CALL)->head.id, 0, 10);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    end_settle(&end);
    ck_assert_uint_eq(end.outcomes_count, 1);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    end_settle(&end);
    ck_assert_uint_eq(end.outcomes_count, 1);
    ck_assert_int_eq(end.event.reason, -EPROTO);
    end_deinit(&end);
    speaker_free(speaker);
}
END_TEST

/* deadlines and cancels */

static void reply_5000(struct end *end, sea_msg *msg) {
    ck_assert_int_eq(sea_reply(msg, end_block(end, 5000, 1)), 0);
}

/* The error of a caller that keeps all blocks that it may says that this is not the other side's fault. */
START_TEST(test_a_deadline_while_all_is_kept) {
    struct ends ends = {.a.options.blocks_max = 1, .b.hook = reply_5000};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, 20000, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_ptr_nonnull(ends.a.outcomes[0].reply);
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, 20, 2, NULL), 0);
    ends_settle(&ends);
    while (ends.a.outcomes_count == 1)
        end_turn_at_deadline(&ends.a);
    ck_assert_int_eq(ends.a.outcomes[1].status, -ETIMEDOUT);
    ck_assert_ptr_nonnull(strstr(sea_conn_text(ends.a.conn), "1 of 1 blocks and 5000 of "));
    ends_deinit(&ends);
}
END_TEST

/* A middle tier passes the deadline of a call on to the call that it makes for it. */
START_TEST(test_a_deadline_is_passed_on) {
    static struct tagged tag;
    struct ends ends = {0};
    ends_open(&ends);
    uint64_t deadline = wait_now() + UINT64_C(3600000000000);
    tag = (struct tagged){&ends.a, 1};
    ck_assert_int_eq(sea_call_start_until(ends.a.conn, END_KEEP, NULL, deadline, end_done, &tag, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(sea_msg_deadline(ends.b.kept[0]), deadline);
    ck_assert_int_eq(sea_call_start_until(ends.a.conn, END_KEEP, NULL, 1, end_done, &tag, NULL), -ETIMEDOUT);
    ck_assert_int_eq(sea_call_start_until(ends.a.conn, END_KEEP, NULL, 0, end_done, &tag, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 2);
    ck_assert_uint_eq(sea_msg_deadline(ends.b.kept[1]), 0);
    ends_deinit(&ends);
}
END_TEST

/* Small calls: in a frame, and in a block. */
START_TEST(test_calls_of_bytes_begin) {
    static const size_t sizes[] = {0, 1, 50, 3000, 200000};
    static struct tagged tag;
    struct ends ends = {0};
    char *bytes = malloc(200000);
    memset(bytes, 7, 200000);
    ends_open(&ends);
    tag = (struct tagged){&ends.a, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ck_assert_int_eq(sea_call_start_bytes(ends.a.conn, END_ECHO, bytes, sizes[i], -1, end_done, &tag, NULL), 0);
        ends_settle(&ends);
        ck_assert_uint_eq(ends.a.outcomes_count, 1);
        ck_assert_int_eq(ends.a.outcomes[0].status, 0);
        ck_assert(msg_is_filled(ends.a.outcomes[0].reply, sizes[i], 7));
        end_drop(&ends.a);
    }
    ck_assert_int_eq(sea_call_start_bytes(ends.a.conn, END_ECHO, bytes, 9, 0, end_done, &tag, NULL), -ETIMEDOUT);
    ck_assert_int_eq(sea_call_start_bytes(ends.a.conn, END_ECHO, bytes, 9, -1, NULL, NULL, NULL), -EINVAL);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 0);
    free(bytes);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_deadline_ends_the_call_on_both_sides) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, 20, 1, NULL), 0);
    ck_assert_int_le(sea_conn_prepare(ends.a.conn), 20);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 1);
    ck_assert_uint_gt(sea_msg_deadline(ends.b.kept[0]), 0);
    while (ends.a.outcomes_count == 0)
        end_turn_at_deadline(&ends.a);
    ck_assert_int_eq(ends.a.outcomes[0].status, -ETIMEDOUT);
    ck_assert_ptr_null(ends.a.outcomes[0].reply);
    char text[64];
    snprintf(text, sizeof text, "no reply of method %d within its 20 ms", END_KEEP);
    ck_assert_str_eq(sea_conn_text(ends.a.conn), text);
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), -1);
    ck_assert_uint_ge(wait_now(), sea_msg_deadline(ends.b.kept[0]));
    ends_settle(&ends);
    ck_assert(sea_msg_is_cancelled(ends.b.kept[0]));
    ck_assert_int_eq(sea_reply(ends.b.kept[--ends.b.kept_count], NULL), -ECANCELED);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert(sea_conn_is_open(ends.a.conn));
    ends_deinit(&ends);
}
END_TEST

/* A reply that came earlier in the turn counts as in time. */
START_TEST(test_a_reply_and_the_deadline_in_one_turn) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, 1, 1, NULL), 0);
    end_settle(&ends.b);
    wait_fd(-1, 0, wait_deadline(2));
    end_turn(&ends.a);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, 0);
    ends_deinit(&ends);
}
END_TEST

static uint32_t sent_before;

/* Sends as many messages as go out at once, less those that a hook still has to send. */
static void send_numbers(struct end *end, uint32_t most) {
    for (uint32_t i = 0; i < most; i++) {
        if (sea_send(end->conn, END_SINK, end_number(end, sent_before), 0) < 0)
            return;
        sent_before++;
    }
}

static void send_much_and_reply(struct end *end, sea_msg *msg) {
    send_numbers(end, 150);
    ck_assert_uint_eq(sent_before, 150);
    ck_assert_int_eq(sea_reply(msg, NULL), 0);
}

/* It does not matter that the turn is for the deadline, which says nothing of the socket, and that more messages
 * have arrived than one turn takes. */
START_TEST(test_a_reply_that_is_there_is_in_time) {
    struct ends ends = {.a.options.socket_only = _i & 1, .b.options.socket_only = _i & 1};
    sent_before = 0;
    ends.b.hook = _i & 2 ? send_much_and_reply : NULL;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, _i & 2 ? END_HOOK : END_ECHO, NULL, 1, 1, NULL), 0);
    end_settle(&ends.b);
    wait_fd(-1, 0, wait_deadline(2));
    for (int turns = 0; ends.a.outcomes_count == 0; turns++) {
        ck_assert_int_lt(turns, 10);
        sea_conn_dispatch(ends.a.conn, 0);
    }
    ck_assert_int_eq(ends.a.outcomes[0].status, 0);
    ends_deinit(&ends);
}
END_TEST

/* A peer that sends without end does not keep a call from its deadline. */
START_TEST(test_a_flood_does_not_stop_the_clock) {
    struct ends ends = {.a.options.socket_only = _i, .b.options.socket_only = _i};
    sent_before = 0;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, 1, 1, NULL), 0);
    end_settle(&ends.b);
    wait_fd(-1, 0, wait_deadline(2));
    for (int turns = 0; ends.a.outcomes_count == 0; turns++) {
        ck_assert_int_lt(turns, 100);
        send_numbers(&ends.b, 100);
        sea_conn_dispatch(ends.a.conn, 0);
        sea_conn_dispatch(ends.b.conn, POLLOUT);
    }
    ck_assert_int_eq(ends.a.outcomes[0].status, -ETIMEDOUT);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_deadlines_expire_in_their_order) {
    static const int timeouts[] = {9, 3, 60000, 6, 1, -1};
    struct ends ends = {0};
    ends_open(&ends);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, timeouts[i], i, NULL), 0);
    end_settle(&ends.b);
    while (ends.a.outcomes_count < 4)
        end_turn_at_deadline(&ends.a);
    for (int i = 0; i < 4; i++) {
        unsigned tag = ends.a.outcomes[i].tag, before = ends.a.outcomes[i ? i - 1 : 0].tag;
        ck_assert(tag != 2 && tag != 5);
        ck_assert_uint_ge(sea_msg_deadline(ends.b.kept[tag]), sea_msg_deadline(ends.b.kept[before]));
    }
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_OUTGOING_CALLS], 2);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_a_cancelled_call) {
    struct ends ends = {0};
    uint64_t id, answered;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 1, &id), 0);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 2, &answered), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, answered), -ENOENT);
    ck_assert(!sea_msg_is_cancelled(ends.b.kept[0]));
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ck_assert_uint_eq(ends.a.outcomes_count, 2);
    ck_assert_uint_eq(ends.a.outcomes[1].tag, 1);
    ck_assert_int_eq(ends.a.outcomes[1].status, -ECANCELED);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), -ENOENT);
    ends_settle(&ends);
    ck_assert(sea_msg_is_cancelled(ends.b.kept[0]));
    end_drop(&ends.b);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 2);
    ends_deinit(&ends);
}
END_TEST

/* The reply was on its way when the call was abandoned: it goes to no caller, and its lease goes back. */
START_TEST(test_a_reply_to_an_abandoned_call) {
    struct ends ends = {0};
    uint64_t id;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, 100000, 1), -1, 1, &id), 0);
    end_settle(&ends.b);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_LEASED_BLOCKS], 1);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    struct conn_figures figures;
    sea_conn_figures(ends.a.conn, figures.of, SEA_CONN_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_OUTGOING_CALLS], 0);
    ends_deinit(&ends);
}
END_TEST

static uint64_t to_cancel;

static void cancel_other(struct end *end, const struct outcome *outcome) {
    if (outcome->tag == 1)
        ck_assert_int_eq(sea_call_cancel(end->conn, to_cancel), 0);
}

START_TEST(test_a_cancel_from_inside_done) {
    struct ends ends = {.a.at_done = cancel_other};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 2, &to_cancel), 0);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 2);
    ck_assert_int_eq(ends.a.outcomes[1].status, -ECANCELED);
    ends_deinit(&ends);
}
END_TEST

/* the end */

/* Every call of ours ends once; then the end is reported once. */
START_TEST(test_the_peers_end_ends_every_call) {
    struct ends ends = {0};
    uint64_t id;
    ends_open(&ends);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, end_block(&ends.a, 70000, 1), i % 2 ? -1 : 60000, i, &id), 0);
    ends_settle(&ends);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0); /* the call has ended, but it is not answered */
    ck_assert_uint_eq(ends.b.kept_count, 100);
    sea_conn_close(ends.b.conn);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 100);
    uint8_t seen[100] = {0};
    for (int i = 0; i < 100; i++) {
        seen[ends.a.outcomes[i].tag]++;
        ck_assert_int_eq(ends.a.outcomes[i].status, ends.a.outcomes[i].tag == 99 ? -ECANCELED : -EPIPE);
    }
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(seen[i], 1);
    ck_assert_uint_eq(ends.a.closed, 1);
    ck_assert_int_eq(ends.a.event.reason, 0);
    ck_assert_uint_eq(ends.a.event.ended_calls, 100);
    ck_assert_uint_eq(ends.a.event.reclaimed_blocks, 100);
    ck_assert_uint_eq(ends.a.event.reclaimed_bytes, 7000000);
    for (int i = 0; i < 100; i++)
        ck_assert(sea_msg_is_cancelled(ends.b.kept[i]));
    ck_assert_int_eq(sea_reply(ends.b.kept[--ends.b.kept_count], NULL), -EPIPE);
    ends_deinit(&ends);
}
END_TEST

/* Until a turn notices the end, the messages that the peer sent can still be read. */
START_TEST(test_a_peer_that_is_gone) {
    struct ends ends = {.a.options.socket_only = _i};
    ends_open(&ends);
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, 10, 0), 0);
    end_free_conn(&ends.b);
    ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, sea_block_ref(block), 0), -EPIPE);
    ck_assert(sea_conn_is_open(ends.a.conn));
    ck_assert_str_eq(sea_conn_text(ends.a.conn), "the peer is gone");
    ck_assert_int_eq(end_call(&ends.a, END_SINK, block, -1, 0, NULL), -EPIPE);
    ends_settle(&ends);
    ck_assert_int_eq(ends.a.closed, 1);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_after_the_end) {
    struct ends ends = {0};
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    ends_open(&ends);
    end_free_conn(&ends.b);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.closed, 1);
    sea_conn *conn = ends.a.conn;
    ck_assert(!sea_conn_is_open(conn));
    ck_assert_int_eq(sea_conn_fd(conn), -1);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), -EPIPE);
    ck_assert_int_eq(sea_call(conn, END_ECHO, NULL, -1, &reply), -EPIPE);
    ck_assert_int_eq(sea_send(conn, END_ECHO, NULL, -1), -EPIPE);
    ck_assert_int_eq(sea_conn_wait(conn, -1), -EPIPE);
    ck_assert_int_eq(sea_conn_dispatch(conn, POLLIN), -EPIPE);
    ck_assert_int_eq(sea_block_new(&block, conn, 1), -EPIPE);
    ck_assert_int_eq(sea_call_cancel(conn, 1), -ENOENT);
    sea_conn_close(conn);
    ck_assert_uint_eq(ends.a.closed, 1);
    ck_assert_uint_eq(ends.a.outcomes_count, 0);
    ends_deinit(&ends);
}
END_TEST

/* The block is taken even when the message was not sent: the figures in end_deinit() show it. */
START_TEST(test_a_close_from_this_side) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 1, NULL), 0);
    sea_block *block = end_block(&ends.a, 100000, 1);
    sea_conn_close(ends.a.conn);
    sea_conn_close(ends.a.conn);
    ck_assert_uint_eq(ends.a.closed, 0); /* it comes in the next turn */
    ck_assert_int_eq(sea_conn_prepare(ends.a.conn), 0);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, block, -1, 2, NULL), -EPIPE);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.closed, 1);
    ck_assert_int_eq(ends.a.event.reason, 0);
    ck_assert_uint_eq(ends.b.closed, 1);
    ck_assert_int_eq(ends.b.event.reason, 0);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, -EPIPE);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_free_ends_pending_calls_and_nothing_else) {
    struct ends ends = {0};
    ends_open(&ends);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, end_block(&ends.a, 100000, 1), -1, i, NULL), 0);
    ends_settle(&ends);
    sea_conn *conn = ends.a.conn;
    ck_assert_ptr_null(sea_conn_free(conn));
    ck_assert_uint_eq(ends.a.outcomes_count, 10);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(ends.a.outcomes[i].status, -ECANCELED);
    ck_assert_uint_eq(ends.a.closed, 0);
    ends.a.conn = NULL;
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.closed, 1);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_free_of_nothing) {
    ck_assert_ptr_null(sea_conn_free(NULL));
    ck_assert_ptr_null(sea_msg_release(NULL));
}
END_TEST

/* sea_conn_free() from inside each callback, with more messages to handle */

static void free_at_hook(struct end *end, sea_msg *msg) {
    end_free_conn(end);
    sea_msg_release(msg);
}

static void free_at_done(struct end *end, const struct outcome *outcome) {
    (void) outcome;
    if (end->outcomes_count == 1) {
        sea_conn *conn = end->conn;
        sea_conn_free(conn); /* this ends the other calls; their callbacks compare end->conn */
        end->conn = NULL;
    }
}

enum place { IN_HOOK, IN_DONE, IN_OPEN, IN_CLOSE, IN_ROOM, IN_EXPIRY, IN_CANCEL, IN_END, PLACES };

static void place_set(struct end *end, int place) {
    end->hook = place == IN_HOOK ? free_at_hook : NULL;
    bool is_at_done = place == IN_DONE || place == IN_EXPIRY || place == IN_CANCEL || place == IN_END;
    end->at_done = is_at_done ? free_at_done : NULL;
    end->at_open = place == IN_OPEN ? end_free_conn : NULL;
    end->at_close = place == IN_CLOSE ? end_free_conn : NULL;
    end->at_room = place == IN_ROOM ? end_free_conn : NULL;
}

START_TEST(test_free_from_inside) {
    struct ends ends = {.b.options.calls_max = 3};
    uint64_t id = 0;
    place_set(&ends.a, _i);
    ends_init(&ends);
    ends_settle(&ends);
    if (_i != IN_OPEN) {
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(end_call(&ends.a, _i == IN_DONE || _i == IN_ROOM ? END_ECHO : END_KEEP, NULL,
                                      _i == IN_EXPIRY ? 1 : -1, i, &id),
                             0);
        ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 4, NULL), -EAGAIN);
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(sea_send(ends.b.conn, END_HOOK, end_block(&ends.b, 100000, 1), 0), 0);
        if (_i == IN_CLOSE)
            sea_conn_close(ends.b.conn);
        if (_i == IN_CANCEL)
            sea_call_cancel(ends.a.conn, id);
        if (_i == IN_END)
            end_free_conn(&ends.b);
        ends_settle(&ends);
        while (_i == IN_EXPIRY && ends.a.conn)
            end_turn_at_deadline(&ends.a);
    }
    ck_assert_ptr_null(ends.a.conn);
    ck_assert_uint_eq(ends.a.outcomes_count, _i == IN_OPEN ? 0 : 3);
    ck_assert_uint_eq(ends.a.closed, _i == IN_CLOSE);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.closed, _i != IN_END);
    ends_deinit(&ends);
}
END_TEST

static unsigned told_count;

static void free_when_told(sea_msg *call, void *user) {
    (void) call;
    told_count++;
    end_free_conn(user);
}

/* Neither from inside sea_conn_free() nor afterwards. */
START_TEST(test_free_tells_of_no_callers_end) {
    struct ends ends = {.b.options.on_cancel = free_when_told};
    int timeout_ms = test_short_timeout_ms(100); /* the calls arrive in time */
    told_count = 0;
    ends_open(&ends);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, _i ? timeout_ms : -1, i, NULL), 0);
    ends_settle(&ends);
    if (_i)
        wait_fd(-1, 0, wait_deadline(timeout_ms + 1));
    if (_i)
        sea_conn_dispatch(ends.b.conn, 0);
    else
        end_free_conn(&ends.b);
    ck_assert_ptr_null(ends.b.conn);
    ck_assert_int_eq((int) told_count, _i);
    ck_assert_uint_eq(ends.b.kept_count, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(sea_msg_is_cancelled(ends.b.kept[i]));
    ends_deinit(&ends);
}
END_TEST

static int seen_inside[4];

static void wait_inside(struct end *end, sea_msg *msg) {
    sea_msg *reply = NULL;
    seen_inside[0] = sea_call(end->conn, END_ECHO, end_block(end, 100, 1), 1000, &reply);
    seen_inside[1] = sea_conn_wait(end->conn, 1000);
    seen_inside[2] = sea_send(end->conn, END_ECHO, end_block(end, 100, 1), 1000);
    seen_inside[3] = sea_conn_dispatch(end->conn, POLLIN);
    ck_assert_ptr_null(reply);
    ck_assert_int_eq(sea_send(end->conn, END_SINK, end_number(end, 0), 0), 0);
    sea_msg_release(msg);
}

START_TEST(test_nothing_waits_inside_a_handler) {
    struct ends ends = {.b.hook = wait_inside};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, NULL, 0), 0);
    ends_settle(&ends);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(seen_inside[i], -EDEADLK);
    sea_refusal refusal;
    sea_ctx_refusal(sea_conn_ctx(ends.b.conn), &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -EDEADLK);
    ck_assert_ptr_nonnull(strstr(refusal.advice, "in a handler"));
    ck_assert_uint_eq(ends.a.sunk, 1);
    ends_deinit(&ends);
}
END_TEST

static struct ends *both;

static void rest_inside(struct end *end, sea_msg *msg) {
    seen_inside[0] = sea_conn_prepare(end->conn);
    ck_assert_int_eq(sea_send(both->a.conn, END_SINK, end_number(&both->a, 0), 0), 0);
    sea_msg_release(msg);
}

/* Asking for the time-out inside a handler does not prepare the connection for sleep: the next frame still wakes it. */
START_TEST(test_no_rest_inside_a_handler) {
    struct ends ends = {.b.hook = rest_inside};
    both = &ends;
    ends_open(&ends);
    struct pollfd item = {.fd = sea_conn_fd(ends.b.conn), .events = POLLIN};
    ck_assert_int_eq(sea_conn_dispatch(ends.b.conn, 0), 0); /* awake */
    ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, NULL, 0), 0);
    ck_assert_int_eq(sea_conn_dispatch(ends.b.conn, POLLIN), 0);
    ck_assert_int_eq(seen_inside[0], 0);
    ck_assert_uint_eq(ends.b.sunk, 1);
    end_settle(&ends.b);
    ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, end_number(&ends.a, 1), 0), 0);
    ck_assert_int_eq(poll(&item, 1, 0), 1);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.sunk, 2);
    ends_deinit(&ends);
}
END_TEST

/* A message outlives its connection, and keeps only the memory that it needs: no receive buffer. */
START_TEST(test_memory_of_a_kept_message) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, 100, 1), 0), 0);
    ends_settle(&ends);
    const sea_conn *conn = ends.b.conn;
    ck_assert_ptr_null(conn->lane.scratch); /* the context lends one when a datagram comes */
    end_free_conn(_i == 0 ? &ends.a : &ends.b);
    end_settle(&ends.b);
    ck_assert_ptr_null(conn->lane.scratch);
    ck_assert(msg_is_filled(ends.b.kept[0], 100, 1));
    ends_deinit(&ends);
}
END_TEST

/* A datagram that cannot be received for want of memory waits in the socket. */
START_TEST(test_no_memory_to_receive_into) {
    struct ends ends = {.a.options.socket_only = true};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, end_number(&ends.a, 0), 0), 0);
    ctx_drop_scratch(ends.b.ctx);
    fail_always(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(sea_conn_dispatch(ends.b.conn, POLLIN), 0);
    fail_off();
    ck_assert_uint_eq(ends.b.sunk, 0);
    ck_assert(ends.b.conn->lane.is_choked);
    while (ends.b.sunk == 0) {
        poll(NULL, 0, 1);
        ck_assert_int_eq(sea_conn_dispatch(ends.b.conn, sea_conn_events(ends.b.conn)), 0);
    }
    ck_assert_uint_eq(ends.b.sunk, 1);
    ends_deinit(&ends);
}
END_TEST

/* one-way messages */

START_TEST(test_a_flood_arrives_whole_and_in_order) {
    struct ends ends = {0};
    ends_open(&ends);
    unsigned refused = 0;
    for (uint32_t i = 0; i < 5000;) {
        unsigned rooms = ends.a.rooms;
        int r = sea_send(ends.a.conn, END_SINK, end_number(&ends.a, i), 0);
        ck_assert(r == 0 || r == -EAGAIN);
        if (r == 0) {
            i++;
            continue;
        }
        refused++;
        ends_settle(&ends);
        ck_assert_uint_eq(ends.a.rooms, rooms + 1);
    }
    ends_settle(&ends);
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_eq(ends.b.sunk, 5000);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_arguments_that_are_too_much) {
    struct ends ends = {.b.options = {.inline_max = 1000, .accept = SEA_INLINE}};
    sea_block *block = NULL;
    ends_open(&ends);
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, 1001, 0), 0);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, sea_block_ref(block), -1, 1, NULL), -EMSGSIZE);
    ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, block, 0), -EMSGSIZE);
    assert_explained(&ends.a, -EMSGSIZE, "peer's inline_max", 1001, 1000);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_OUTGOING_CALLS], 0);
    ck_assert(sea_conn_is_open(ends.a.conn));
    ends_deinit(&ends);
}
END_TEST

/* memory */

START_TEST(test_no_memory_for_a_message) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 1, NULL), 0);
    fail_once(INJECT_ALLOC, ENOMEM);
    end_settle(&ends.b);
    ends_settle(&ends);
    ck_assert_int_eq(ends.a.outcomes[0].status, -ENOMEM);
    ck_assert_str_eq(sea_conn_text(ends.a.conn), "out of memory");

    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 2, NULL), 0);
    end_settle(&ends.b);
    fail_once(INJECT_ALLOC, ENOMEM);
    end_settle(&ends.a);
    ck_assert_uint_eq(ends.a.outcomes_count, 2);
    ck_assert_int_eq(ends.a.outcomes[1].status, -ENOMEM);
    ck_assert_ptr_null(ends.a.outcomes[1].reply);
    ends_deinit(&ends);
}
END_TEST

/* The loss of a one-way message would go unnoticed: so the connection ends. */
START_TEST(test_no_memory_for_a_one_way_message) {
    struct ends ends = {0};
    ends_open(&ends);
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, NULL, 0), 0);
    fail_once(INJECT_ALLOC, ENOMEM);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 0);
    ck_assert_int_eq(ends.b.event.reason, -ENOMEM);
    ck_assert_uint_eq(ends.a.closed, 1);
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_no_memory_for_a_connection) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    const sea_options options = {0};
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    for (int n = 1; n <= 3; n++) {
        int fds[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        fail_call(INJECT_ALLOC, n, 1, ENOMEM);
        ck_assert_int_eq(conn_new(&conn, ctx, fds[0], false, &options, NULL), -ENOMEM);
        fail_off();
        close(fds[1]);
    }
    ck_assert_ptr_null(conn);
    sea_ctx_unref(ctx);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("conn");
    suite_fixture(s, fail_off, fail_off);
    suite_add(s, test_properties_of_an_open_connection);
    suite_add(s, test_before_the_handshake_there_is_no_room);
    suite_add_loop(s, test_a_block_is_made_as_it_will_travel, 0, ROUTES);
    suite_add_loop(s, test_blocks_while_the_peer_holds_all, 0, 2);
    suite_add(s, test_a_copy_while_the_peer_holds_all);
    suite_add_loop(s, test_a_block_comes_again, 0, 6);
    suite_add(s, test_a_stream_goes_round);
    suite_add(s, test_a_refusal_passes);
    suite_add(s, test_a_refusal_of_our_own_renews_nothing);
    suite_add(s, test_a_stream_waits_for_its_blocks);
    suite_add(s, test_a_stream_to_a_hoarder_goes_on);
    suite_add(s, test_a_stream_waits_for_no_blocks_of_others);
    suite_add(s, test_small_blocks_take_nothing_of_the_peers);
    suite_add_loop(s, test_a_block_from_outside_asks_for_a_turn, 0, 2);
    suite_add(s, test_a_sleeper_is_woken_for_its_pools);
    suite_add(s, test_a_spinner_takes_releases);
    suite_add(s, test_a_sender_tends_its_pools);
    suite_add_loop(s, test_the_first_bytes_of_a_block, 0, 6);
    suite_add_loop(s, test_a_call_and_its_reply, 0, 6);
    suite_add(s, test_replies_in_any_order);
    suite_add(s, test_both_sides_call_at_once);
    suite_add(s, test_a_call_from_inside_a_handler);
    suite_add(s, test_the_next_call_from_inside_done);
    suite_add(s, test_no_such_method);
    suite_add(s, test_a_status_and_its_text);
    suite_add(s, test_calls_beyond_the_peers_limit);
    suite_add(s, test_room_for_a_call_is_an_answer);
    suite_add_loop(s, test_no_room_is_explained, 0, SHORTAGES);
    suite_add_loop(s, test_no_room_for_a_descriptor_is_explained, 0, 2);
    suite_add(s, test_a_peer_that_takes_no_calls);
    suite_add(s, test_an_abandoned_call_counts);
    suite_add(s, test_a_peer_over_its_limit_of_calls);
    suite_add(s, test_a_reply_to_nothing);
    suite_add(s, test_a_second_reply_is_a_reply_to_nothing);
    suite_add(s, test_a_deadline_while_all_is_kept);
    suite_add(s, test_a_deadline_is_passed_on);
    suite_add(s, test_calls_of_bytes_begin);
    suite_add(s, test_a_deadline_ends_the_call_on_both_sides);
    suite_add(s, test_a_reply_and_the_deadline_in_one_turn);
    suite_add_loop(s, test_a_reply_that_is_there_is_in_time, 0, 4);
    suite_add_loop(s, test_a_flood_does_not_stop_the_clock, 0, 2);
    suite_add(s, test_deadlines_expire_in_their_order);
    suite_add(s, test_a_cancelled_call);
    suite_add(s, test_a_reply_to_an_abandoned_call);
    suite_add(s, test_a_cancel_from_inside_done);
    suite_add(s, test_the_peers_end_ends_every_call);
    suite_add_loop(s, test_a_peer_that_is_gone, 0, 2);
    suite_add(s, test_after_the_end);
    suite_add(s, test_a_close_from_this_side);
    suite_add(s, test_free_ends_pending_calls_and_nothing_else);
    suite_add(s, test_free_of_nothing);
    suite_add_loop(s, test_free_from_inside, 0, PLACES);
    suite_add_loop(s, test_free_tells_of_no_callers_end, 0, 2);
    suite_add(s, test_nothing_waits_inside_a_handler);
    suite_add(s, test_no_rest_inside_a_handler);
    suite_add_loop(s, test_memory_of_a_kept_message, 0, 2);
    suite_add(s, test_no_memory_to_receive_into);
    suite_add(s, test_a_flood_arrives_whole_and_in_order);
    suite_add(s, test_arguments_that_are_too_much);
    suite_add(s, test_no_memory_for_a_message);
    suite_add(s, test_no_memory_for_a_one_way_message);
    suite_add(s, test_no_memory_for_a_connection);
    return suite_run(s);
}
