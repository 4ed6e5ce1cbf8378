/* SPDX-License-Identifier: MIT */
/*
 * rpc/small: small messages, which go the short way in the usual case, and every case in which they must go the long
 * way. The caller's results and the figures are equal on both ways.
 */
#include "support/suite.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "rpc/conn.h"
#include "unit/host.h"
#include "wire/line.h"

enum method {
    MIRROR = 1, /* answers with the bytes in reverse order */
    REFUSE = 2, /* answers -EDOM with a text */
    KEEP = 3,   /* answers when the next KEEP comes */
    COUNT = 4,  /* one-way: consecutive numbers */
    LEAVE = 5,  /* the server closes this connection */
    TWICE = 6,  /* sends a one-way COUNT back, and then the answer */
    ASK = 7,    /* one-way: the server calls PART */
    PART = 8,   /* of a client: answers, and frees or closes the connection */
    FEW = 9,    /* as MIRROR, of at most 8 bytes */
    ABSENT = 99
};

enum { SIZES = LINE_SMALL_BYTES + 20, INLINE_MOST = 1024, RING = 1024 * LINE_SIZE };

static struct host host;
static sea_ctx *ctx;
static sea_conn *conn;
static sea_msg *kept;            /* belongs to the server's thread */
static _Atomic uint32_t counted; /* COUNTs that arrived in order at the server */
static uint32_t counted_here;    /* and at the client */

/* The answer comes as the call did, in bytes or in a block. */
static void mirror_in_block(sea_msg *msg) {
    const char *bytes = sea_msg_data(msg);
    size_t size = sea_msg_size(msg);
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, sea_msg_conn(msg), size), 0);
    char *data = sea_block_data(block);
    for (size_t i = 0; i < size; i++)
        data[i] = bytes[size - 1 - i];
    ck_assert_int_eq(sea_reply(msg, block), 0);
}

static void on_mirror(sea_msg *msg, void *user) {
    char mirrored[SIZES];
    const char *bytes = sea_msg_data(msg);
    size_t size = sea_msg_size(msg);
    (void) user;
    if (sea_msg_class(msg) == SEA_POOLED || size > sizeof mirrored) {
        mirror_in_block(msg);
        return;
    }
    for (size_t i = 0; i < size; i++)
        mirrored[i] = bytes[size - 1 - i];
    sea_reply_bytes(msg, mirrored, size);
}

static void on_refuse(sea_msg *msg, void *user) {
    (void) user;
    sea_reply_error(msg, -EDOM, "out of the domain");
}

static void on_keep(sea_msg *msg, void *user) {
    (void) user;
    sea_msg *before = kept;
    kept = msg;
    if (before)
        sea_reply_bytes(before, "late", 4);
}

static void drop_kept(void *user) {
    (void) user;
    kept = sea_msg_release(kept);
}

static void on_count(sea_msg *msg, void *user) {
    uint32_t number = 0;
    (void) user;
    memcpy(&number, sea_msg_data(msg), sizeof number);
    if (number == atomic_load(&counted))
        atomic_fetch_add(&counted, 1);
    sea_msg_release(msg);
}

static void on_count_here(sea_msg *msg, void *user) {
    (void) user;
    counted_here++;
    sea_msg_release(msg);
}

static void on_leave(sea_msg *msg, void *user) {
    (void) user;
    sea_conn_close(sea_msg_conn(msg));
    sea_msg_release(msg);
}

static void on_twice(sea_msg *msg, void *user) {
    (void) user;
    sea_send_bytes(sea_msg_conn(msg), COUNT, "x", 1, 0);
    sea_reply_bytes(msg, "y", 1);
}

static void ignore_end(sea_conn *of, int status, sea_msg *reply, void *user) {
    (void) of, (void) status, (void) user;
    sea_msg_release(reply);
}

static void on_ask(sea_msg *msg, void *user) {
    (void) user;
    for (int i = 0; i < 2; i++)
        sea_call_start_bytes(sea_msg_conn(msg), PART, NULL, 0, -1, ignore_end, NULL, NULL);
    sea_msg_release(msg);
}

static const sea_method methods[] = {{.number = MIRROR, .name = "mirror", .handler = on_mirror},
                                     {.number = REFUSE, .name = "refuse", .handler = on_refuse},
                                     {.number = KEEP, .name = "keep", .handler = on_keep},
                                     {.number = COUNT, .name = "count", .handler = on_count},
                                     {.number = LEAVE, .name = "leave", .handler = on_leave},
                                     {.number = TWICE, .name = "twice", .handler = on_twice},
                                     {.number = ASK, .name = "ask", .handler = on_ask},
                                     {.number = FEW, .name = "few", .handler = on_mirror, .payload_max = 8}};
static const sea_method methods_here[] = {{.number = COUNT, .name = "count", .handler = on_count_here}};

static void before(void) {
    sea_options options = {SEA_METHODS(methods_here), .ring_size = RING, .handshake_ms = 60000};
    atomic_store(&counted, 0);
    counted_here = 0;
    host = (struct host){.options = {SEA_METHODS(methods), .ring_size = RING}, .at_end = drop_kept};
    host_start(&host);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, &options), 0);
}

static struct figures figures(void) {
    struct figures f;
    sea_ctx_figures(ctx, f.of, SEA_FIGURES);
    return f;
}

static void after(void) {
    sea_conn_free(conn);
    struct figures f = figures();
    ck_assert_uint_eq(f.of[SEA_FIGURE_CONNECTIONS] + f.of[SEA_FIGURE_OUTGOING_CALLS] + f.of[SEA_FIGURE_INCOMING_CALLS] +
                          f.of[SEA_FIGURE_BLOCKS] + f.of[SEA_FIGURE_BYTES],
                      0);
    sea_ctx_unref(ctx);
    host_stop(&host);
}

/* Makes one call of MIRROR; `seed` chooses its bytes. */
static sea_msg *mirror(size_t size, unsigned seed) {
    char sent[SIZES];
    sea_msg *reply = NULL;
    for (size_t i = 0; i < size; i++)
        sent[i] = (char) (seed + i * 7);
    ck_assert_int_eq(sea_call_bytes(conn, MIRROR, sent, size, -1, &reply), 0);
    ck_assert_uint_eq(sea_msg_size(reply), size);
    ck_assert_int_eq(sea_msg_status(reply), 0);
    ck_assert_str_eq(sea_msg_text(reply), "");
    ck_assert_int_eq(sea_msg_class(reply), size <= INLINE_MOST ? SEA_INLINE : SEA_POOLED);
    ck_assert(sea_msg_conn(reply) == conn && !sea_msg_is_call(reply));
    const char *got = sea_msg_data(reply);
    for (size_t i = 0; i < size; i++)
        if (got[i] != sent[size - 1 - i])
            ck_abort_msg("byte %zu of %zu is wrong", i, size);
    return reply;
}

/* More laps than the ring has lines, for sizes around the bound and beyond. */
START_TEST(test_every_size) {
    uint64_t bytes = 0;
    for (unsigned seed = 0; seed < 3; seed++)
        for (size_t size = 0; size <= INLINE_MOST; size++) {
            sea_msg_release(mirror(size, seed));
            bytes += size;
        }
    struct figures f = figures();
    ck_assert_uint_eq(f.of[SEA_FIGURE_SENT_INLINE_MESSAGES], 3 * (INLINE_MOST + 1));
    ck_assert_uint_eq(f.of[SEA_FIGURE_RECEIVED_INLINE_MESSAGES], 3 * (INLINE_MOST + 1));
    ck_assert_uint_eq(f.of[SEA_FIGURE_SENT_BYTES], bytes);
    ck_assert_uint_eq(f.of[SEA_FIGURE_RECEIVED_BYTES], bytes);
    ck_assert_uint_eq(f.of[SEA_FIGURE_COPIED_BYTES], 2 * bytes);
    ck_assert_uint_eq(f.of[SEA_FIGURE_OUTGOING_CALLS], 0);
}
END_TEST

/* Around the largest size of the short way, in a ring that also has other frames. */
START_TEST(test_sizes_beyond_the_short_way) {
    for (size_t size = INLINE_MOST - 20; size < SIZES; size++)
        sea_msg_release(mirror(size, 1));
    struct figures f = figures();
    ck_assert_uint_eq(f.of[SEA_FIGURE_SENT_INLINE_MESSAGES], 21);
    ck_assert_uint_eq(f.of[SEA_FIGURE_SENT_POOLED_MESSAGES], SIZES - 1 - INLINE_MOST);
}
END_TEST

/* Replies that the caller keeps do not share memory with later replies, and outlive the connection. */
START_TEST(test_replies_that_are_kept) {
    sea_msg *replies[40];
    for (unsigned i = 0; i < 40; i++)
        replies[i] = mirror(i * 2, i);
    sea_block *block = sea_block_ref(sea_msg_block(replies[3]));
    for (unsigned i = 0; i < 40; i++) {
        const char *got = sea_msg_data(replies[i]);
        for (size_t at = 0; at < i * 2; at++)
            ck_assert_int_eq(got[at], (char) (i + (i * 2 - 1 - at) * 7));
        sea_msg_release(replies[i]);
    }
    conn = sea_conn_free(conn);
    ck_assert_uint_eq(sea_block_size(block), 6);
    ck_assert_int_eq(((const char *) sea_block_view(block))[5], 3);
    sea_block_unref(block);
}
END_TEST

static void counting(int number_of, int most_waiting) {
    uint8_t bytes[LINE_SMALL_BYTES] = {0};
    for (uint32_t i = 0; i < (uint32_t) number_of; i++) {
        memcpy(bytes, &i, sizeof i);
        if (i % 32 == 0)
            sea_batch_begin(conn);
        ck_assert_int_eq(sea_send_bytes(conn, COUNT, bytes, 4 + i % (sizeof bytes - 3), most_waiting), 0);
        if (i % 32 == 31)
            sea_batch_end(conn);
    }
    sea_msg_release(mirror(1, 0)); /* all earlier messages have arrived */
    ck_assert_uint_eq(atomic_load(&counted), (unsigned) number_of);
}

START_TEST(test_one_way_messages_keep_their_order) {
    counting(3200, -1);
}
END_TEST

START_TEST(test_an_answer_that_is_an_error) {
    sea_msg *reply = NULL;
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(sea_call_bytes(conn, REFUSE, "x", 1, -1, &reply), -EDOM);
        ck_assert_str_eq(sea_conn_text(conn), "out of the domain");
        sea_msg_release(mirror(5, 1));
    }
    ck_assert_int_eq(sea_call_bytes(conn, ABSENT, "x", 1, -1, &reply), -ENOSYS);
    ck_assert_ptr_null(reply);
}
END_TEST

/* The first call is answered after its time: its answer goes to no call, and the next call gets its own. */
START_TEST(test_an_answer_after_its_time) {
    sea_msg *reply = NULL;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(sea_call_bytes(conn, KEEP, "x", 1, 1, &reply), -ETIMEDOUT);
        ck_assert_ptr_nonnull(strstr(sea_conn_text(conn), " within its 1 ms"));
        sea_msg_release(mirror(9, 2));
    }
    ck_assert_ptr_null(reply);
}
END_TEST

static void note_status(sea_conn *of, int status, sea_msg *reply, void *user) {
    (void) of;
    *(int *) user = status == 0 && memcmp(sea_msg_data(reply), "late", 4) == 0;
    sea_msg_release(reply);
}

/* While a call waits, the answer of an older call comes first, and a message of the server. */
START_TEST(test_others_come_before_the_answer) {
    int is_late = 0;
    uint64_t id;
    ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, note_status, &is_late, &id), 0);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call_bytes(conn, KEEP, NULL, 0, 50, &reply), -ETIMEDOUT);
    ck_assert_int_eq(is_late, 1);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(sea_call_bytes(conn, TWICE, NULL, 0, -1, &reply), 0);
        ck_assert_int_eq(*(const char *) sea_msg_data(reply), 'y');
        sea_msg_release(reply);
        ck_assert_uint_eq(counted_here, i + 1);
    }
}
END_TEST

START_TEST(test_the_server_leaves) {
    sea_msg *reply = NULL;
    sea_msg_release(mirror(3, 3));
    int r = sea_call_bytes(conn, LEAVE, "x", 1, -1, &reply);
    ck_assert(r == -EPIPE || r == -ECANCELED);
    wait_until(sea_conn_wait(conn, 0) == -EPIPE);
    ck_assert_int_eq(sea_call_bytes(conn, MIRROR, "x", 1, -1, &reply), -EPIPE);
    ck_assert_int_eq(sea_send_bytes(conn, COUNT, "x", 1, 0), -EPIPE);
}
END_TEST

/* There are more unanswered calls than spare messages. */
START_TEST(test_many_calls_at_once) {
    int is_late[30] = {0};
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, note_status, &is_late[i], NULL), 0);
    sea_msg_release(mirror(32, 4));
    for (int i = 0; i < 29; i++)
        ck_assert_int_eq(is_late[i], 1);
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_call_bytes(conn, KEEP, NULL, 0, 20, &reply), -ETIMEDOUT);
    ck_assert_int_eq(is_late[29], 1);
}
END_TEST

/* The work of a full turn is done also while there are only small messages. */
START_TEST(test_blocks_come_back_meanwhile) {
    struct pool_figures f;
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, conn, 100000), 0);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    memset(sea_block_data(block), 0, 100000);
    ck_assert_int_eq(sea_send(conn, COUNT, block, -1), 0);
    for (unsigned i = 0; i < 200; i++)
        sea_msg_release(mirror(8, i));
    sea_pool_figures(sea_conn_pool(conn), f.of, SEA_POOL_FIGURES);
    ck_assert_uint_eq(f.of[SEA_POOL_FIGURE_LEASED_BLOCKS] + f.of[SEA_POOL_FIGURE_ACTIVE_BLOCKS], 0);
    ck_assert_uint_eq(atomic_load(&counted), 1);
}
END_TEST

/* Makes one call of MIRROR with a block of the connection's pool, and gets a block back, in this class. */
static sea_msg *mirror_block_as(int payload_class, size_t size, unsigned seed) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_block_new(&block, conn, size), 0);
    ck_assert_int_eq(sea_block_class(block), SEA_POOLED);
    char *data = sea_block_data(block);
    for (size_t i = 0; i < size; i++)
        data[i] = (char) (seed + i * 7);
    ck_assert_int_eq(sea_call(conn, MIRROR, block, -1, &reply), 0);
    ck_assert_uint_eq(sea_msg_size(reply), size);
    ck_assert_int_eq(sea_msg_class(reply), payload_class);
    const char *got = sea_msg_data(reply);
    for (size_t i = 0; i < size; i++)
        if (got[i] != (char) (seed + (size - 1 - i) * 7))
            ck_abort_msg("byte %zu of %zu is wrong", i, size);
    return reply;
}

static sea_msg *mirror_block(size_t size, unsigned seed) {
    return mirror_block_as(SEA_POOLED, size, seed);
}

/* A handler gets no payload that is larger than its method takes, inline or pooled. */
START_TEST(test_a_method_that_takes_few_bytes) {
    for (int i = 0; i < 50; i++) {
        sea_msg *reply = NULL;
        sea_block *block = NULL;
        ck_assert_int_eq(sea_call_bytes(conn, FEW, "12345678", 8, -1, &reply), 0);
        ck_assert_mem_eq(sea_msg_data(reply), "87654321", 8);
        sea_msg_release(reply);
        ck_assert_int_eq(sea_call_bytes(conn, FEW, "123456789", 9, -1, &reply), -EMSGSIZE);
        ck_assert_int_eq(sea_block_new(&block, conn, 4000), 0);
        ck_assert_int_eq(sea_call(conn, FEW, block, -1, &reply), -EMSGSIZE);
        sea_msg_release(mirror_block(4000, 1));
    }
}
END_TEST

/* More laps than the ring has lines; small calls between them. */
START_TEST(test_pooled_calls) {
    enum { CALLS = 300 };
    uint64_t bytes = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        size_t size = 4000 + i * 11;
        sea_msg_release(mirror_block(size, i));
        sea_msg_release(mirror(8, i));
        bytes += size + 8;
    }
    struct figures f = figures();
    ck_assert_uint_eq(f.of[SEA_FIGURE_SENT_POOLED_MESSAGES], CALLS);
    ck_assert_uint_eq(f.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], CALLS);
    ck_assert_uint_eq(f.of[SEA_FIGURE_SENT_INLINE_MESSAGES], CALLS);
    ck_assert_uint_eq(f.of[SEA_FIGURE_SENT_BYTES], bytes);
    ck_assert_uint_eq(f.of[SEA_FIGURE_RECEIVED_BYTES], bytes);
    ck_assert_uint_eq(f.of[SEA_FIGURE_IMPORTED_BLOCKS] + f.of[SEA_FIGURE_IMPORTED_BYTES], 0);
    ck_assert_uint_le(f.of[SEA_FIGURE_LEASED_BLOCKS], 2); /* releases are read when a block is wanted */
}
END_TEST

/* Each reply that is kept stays as it is, however many calls follow, also beyond the end of the connection. */
START_TEST(test_pooled_replies_that_are_kept) {
    sea_msg *replies[20];
    for (unsigned i = 0; i < 20; i++)
        replies[i] = mirror_block(5000, i);
    sea_block *block = sea_block_ref(sea_msg_block(replies[3]));
    ck_assert_uint_eq(figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 20);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(*(const char *) sea_msg_data(replies[i]), (char) (i + 4999 * 7));
        sea_msg_release(replies[i]);
    }
    conn = sea_conn_free(conn);
    ck_assert_int_eq(*(const char *) sea_block_view(block), (char) (3 + 4999 * 7));
    sea_block_unref(block);
    ck_assert_uint_eq(figures().of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
}
END_TEST

START_TEST(test_pooled_one_way_messages_keep_their_order) {
    for (uint32_t i = 0; i < 3200; i++) {
        sea_block *block = NULL;
        ck_assert_int_eq(sea_block_new(&block, conn, 4000), 0);
        memset(sea_block_data(block), 0, 4000);
        memcpy(sea_block_data(block), &i, sizeof i);
        ck_assert_int_eq(sea_send(conn, COUNT, block, -1), 0);
    }
    sea_msg_release(mirror(1, 0)); /* all earlier messages have arrived */
    ck_assert_uint_eq(atomic_load(&counted), 3200);
}
END_TEST

/* Both sides take stable payloads only: calls and replies are copied, and those that are kept stay as they are, also
 * beyond the end of the connection. Larger payloads, and those that find no free block, go the long way meanwhile. */
START_TEST(test_pooled_calls_that_are_copied) {
    enum { CALLS = 300, KEPT = 20 };
    static const size_t sizes[] = {4000, 65536, 4001, 9000, 65537, 100000};
    struct host stable = {.options = {SEA_METHODS(methods), .ring_size = RING, .accept = SEA_STABLE_ONLY}};
    const sea_options options = {SEA_METHODS(methods_here), .ring_size = RING, .handshake_ms = 60000,
                                 .accept = SEA_STABLE_ONLY};
    sea_msg *replies[KEPT] = {NULL};
    sea_conn *other = conn;
    uint64_t bytes = 0;
    host_start(&stable);
    ck_assert_int_eq(sea_connect(&conn, ctx, stable.address, &options), 0);
    for (unsigned i = 0; i < CALLS; i++) {
        size_t size = sizes[i % 6];
        sea_msg_release(replies[i % KEPT]);
        replies[i % KEPT] = mirror_block_as(SEA_INLINE, size, i);
        ck_assert(sea_msg_is_stable(replies[i % KEPT]));
        sea_msg_release(mirror(8, i));
        bytes += size + 8 + 8;
    }
    struct figures f = figures();
    ck_assert_uint_eq(f.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], CALLS);
    ck_assert_uint_eq(f.of[SEA_FIGURE_SNAPSHOTS], CALLS);
    ck_assert_uint_eq(f.of[SEA_FIGURE_COPIED_BYTES], bytes);
    ck_assert_uint_eq(f.of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    conn = sea_conn_free(conn);
    for (unsigned i = CALLS - KEPT; i < CALLS; i++) {
        const char *got = sea_msg_data(replies[i % KEPT]);
        ck_assert_int_eq(*got, (char) (i + (sizes[i % 6] - 1) * 7));
        sea_msg_release(replies[i % KEPT]);
    }
    ck_assert_uint_eq(figures().of[SEA_FIGURE_BYTES], 0);
    conn = other;
    host_stop(&stable);
}
END_TEST

/* The number of calls of PART, and what the first one does. */
static int parted, parts_how;

static void on_part(sea_msg *msg, void *user) {
    sea_conn *of = sea_msg_conn(msg);
    (void) user;
    parted++;
    sea_reply_bytes(msg, "bye", 3);
    if (parts_how == 0)
        sea_conn_free(of);
    else
        sea_conn_close(of);
}

static const sea_method methods_of_parting[] = {{.number = PART, .name = "part", .handler = on_part}};

/* A handler ends its connection behind an answer for which the bell was not rung yet. The next request is not handled
 * any more. */
START_TEST(test_a_handler_ends_its_connection) {
    const sea_options options = {SEA_METHODS(methods_of_parting), .ring_size = RING, .handshake_ms = 60000,
                                 .waiting = SEA_WAIT_SPIN};
    sea_conn *parting = NULL;
    sea_msg *reply = NULL;
    parted = 0;
    parts_how = _i;
    ck_assert_int_eq(sea_connect(&parting, ctx, host.address, &options), 0);
    ck_assert_int_eq(sea_call_bytes(parting, MIRROR, NULL, 0, -1, &reply), 0);
    sea_msg_release(reply); /* now there is a spare message, for the short way */
    ck_assert_int_eq(sea_send_bytes(parting, ASK, NULL, 0, -1), 0);
    wait_until(ring_has_frame(&parting->lane.in)); /* so that the wait begins with it */
    int r = sea_conn_wait(parting, -1);
    ck_assert(r == 1 || r == -EPIPE); /* a message was handled; or the connection was still there and has ended */
    ck_assert_int_eq(parted, 1);
    if (parts_how == 1)
        sea_conn_free(parting);
}
END_TEST

static void send_at_end(sea_conn *of, int status, sea_msg *reply, void *user) {
    sea_block *block = NULL;
    int *results = user;
    results[0] = status;
    results[1] = sea_send_bytes(of, COUNT, "x", 1, 0);
    results[2] = sea_block_new(&block, of, 4000);
    sea_msg_release(reply);
}

/* A callback of the end finds the short way closed. */
START_TEST(test_nothing_is_sent_at_the_end) {
    int results[3] = {0};
    sea_msg_release(mirror(3, 3));
    ck_assert_int_eq(sea_call_start(conn, KEEP, NULL, -1, send_at_end, results, NULL), 0);
    conn = sea_conn_free(conn);
    ck_assert_int_eq(results[0], -ECANCELED);
    ck_assert_int_eq(results[1], -EPIPE);
    ck_assert_int_eq(results[2], -EPIPE);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("small");
    suite_fixture(s, before, after);
    suite_add(s, test_every_size);
    suite_add(s, test_sizes_beyond_the_short_way);
    suite_add(s, test_replies_that_are_kept);
    suite_add(s, test_one_way_messages_keep_their_order);
    suite_add(s, test_an_answer_that_is_an_error);
    suite_add(s, test_a_method_that_takes_few_bytes);
    suite_add(s, test_an_answer_after_its_time);
    suite_add(s, test_others_come_before_the_answer);
    suite_add(s, test_the_server_leaves);
    suite_add(s, test_many_calls_at_once);
    suite_add(s, test_blocks_come_back_meanwhile);
    suite_add(s, test_pooled_calls);
    suite_add(s, test_pooled_replies_that_are_kept);
    suite_add(s, test_pooled_one_way_messages_keep_their_order);
    suite_add(s, test_pooled_calls_that_are_copied);
    suite_add_loop(s, test_a_handler_ends_its_connection, 0, 2);
    suite_add(s, test_nothing_is_sent_at_the_end);
    return suite_run(s);
}
