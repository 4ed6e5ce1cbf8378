/* SPDX-License-Identifier: MIT */
/*
 * memory/work, in a connection: the work that one turn of a connection may do, for any messages of its peer. Two
 * connections, of which one is driven turn by turn. The tests count bytes, leases and messages, not time.
 */
#include "support/suite.h"

#include "memory/work.h"
#include "support/speaker.h"
#include "unit/conn_pair.h"
#include "unit/disposal_jam.h"
#include "unit/fail.h"

static struct ends ends;

static void before(void) {
    fail_off();
    memset(&ends, 0, sizeof ends);
}

#define NO_METHOD 99

/* --- copies for a side that takes stable payloads only --- */

START_TEST(test_no_copy_for_a_method_that_is_not_there) {
    ends.b.options.accept = SEA_STABLE_ONLY;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, NO_METHOD, end_block(&ends.a, 3000000, 5), -1, 0, NULL), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, NO_METHOD, end_block(&ends.a, 3000000, 5), 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, -ENOSYS);
    struct figures figures = end_figures(&ends.b);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 2);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SNAPSHOTS] + figures.of[SEA_FIGURE_COPIED_BYTES], 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

/* Its caller gave up before it arrived. */
START_TEST(test_no_copy_of_a_reply_that_comes_late) {
    uint64_t id;
    ends.a.options.accept = SEA_STABLE_ONLY;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 0, &id), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 1);
    ck_assert_int_eq(sea_reply(ends.b.kept[--ends.b.kept_count], end_block(&ends.b, 3000000, 5)), 0);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_RECEIVED_POOLED_MESSAGES], 1);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_SNAPSHOTS], 0);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_LEASED_BLOCKS], 0);
    ends_deinit(&ends);
}
END_TEST

/* The deadline of a blocking call passes while its peer makes us copy: the call ends before the copy is complete. */
START_TEST(test_a_blocking_call_keeps_its_deadline) {
    enum { MANY = 30, SIZE = 4 << 20 }; /* with the announcements, no more frames than a turn handles */
    sea_msg *reply = NULL;
    ends.a.options.accept = SEA_STABLE_ONLY;
    ends_open(&ends);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(sea_send(ends.b.conn, END_KEEP, end_block(&ends.b, SIZE, i), 0), 0);
    ck_assert_int_eq(sea_call_bytes(ends.a.conn, END_ECHO, "x", 1, 1, &reply), -ETIMEDOUT);
    ck_assert_uint_lt(ends.a.kept_count, MANY);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.kept_count, MANY);
    ck_assert(msg_is_filled(ends.a.kept[MANY - 1], SIZE, MANY - 1));
    ends_deinit(&ends);
}
END_TEST

/* However large the peer's ring is, in which a reply could lie: a late call waits for as many turns of copying as
 * with a small ring. */
START_TEST(test_a_late_call_waits_for_little_work) {
    enum { SIZE = 4 << 20, MANY = 30, FRAMES = 20000, TURNS_MOST = 20 };
    ends.a.options.accept = SEA_STABLE_ONLY;
    ends.b.options.ring_size = 1 << 20;
    ends_open(&ends);
    uint32_t number = 0;
    for (int i = 0; i < FRAMES; i++) { /* so that the ring grows */
        while (sea_send_bytes(ends.b.conn, END_SINK, &number, sizeof number, 0) == -EAGAIN)
            ends_settle(&ends);
        number++;
    }
    ends_settle(&ends);
    ck_assert_uint_ge(ends.a.conn->lane.theirs.lines, 1024);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(sea_send(ends.b.conn, END_KEEP, end_block(&ends.b, SIZE, i), 0), 0);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, 1, 0, NULL), 0);
    wait_fd(-1, 0, wait_deadline(2));
    int turns = 0;
    for (; ends.a.outcomes_count == 0; turns++)
        conn_turn(ends.a.conn, POLLIN);
    ck_assert_int_eq(ends.a.outcomes[0].status, -ETIMEDOUT);
    ck_assert_int_le(turns, TURNS_MOST);
    ck_assert_uint_lt(ends.a.kept_count, MANY);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.kept_count, MANY);
    ends_deinit(&ends);
}
END_TEST

/* A reply that arrived in time counts as in time, however many turns its copy takes. Another late call does not wait
 * for it. */
START_TEST(test_a_large_reply_in_time_is_in_time) {
    enum { SIZE = 24 << 20 };
    ends.a.options.accept = SEA_STABLE_ONLY;
    ends_open(&ends);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, 20, 0, NULL), 0);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, 20, 1, NULL), 0);
    end_settle(&ends.b);
    ck_assert_uint_eq(ends.b.kept_count, 2);
    ck_assert_int_eq(sea_reply(ends.b.kept[0], end_block(&ends.b, SIZE, 5)), 0);
    wait_fd(-1, 0, wait_deadline(21));
    for (int turns = 0; ends.a.outcomes_count < 2; turns++) {
        ck_assert_int_lt(turns, 100);
        conn_turn(ends.a.conn, POLLIN);
    }
    ck_assert_uint_eq(ends.a.outcomes[0].tag, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, -ETIMEDOUT); /* no reply came */
    ck_assert_int_eq(ends.a.outcomes[1].status, 0);
    ck_assert(msg_is_filled(ends.a.outcomes[1].reply, SIZE, 5));
    ends.b.kept[0] = ends.b.kept[--ends.b.kept_count];
    ends_settle(&ends);
    ends_deinit(&ends);
}
END_TEST

/* --- batches --- */

/* During a batch no turn comes, and none is needed: blocks that come back are used again, even after copies in the
 * batch before. */
START_TEST(test_a_long_batch_reads_releases) {
    enum { MANY = 10, SIZE = 100000 };
    ends_open(&ends);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, SIZE, i), 0), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], MANY);
    sea_batch_begin(ends.a.conn);
    work_take(&ends.a.conn->lane.remote->account->work, WORK_PER_TURN);
    while (ends.b.kept_count > 0)
        sea_msg_release(ends.b.kept[--ends.b.kept_count]);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, SIZE, i), 0), 0);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS], MANY);
    sea_batch_end(ends.a.conn);
    ends_deinit(&ends);
}
END_TEST

/* --- replies that are never read --- */

enum { CALLS = 8, CALLS_PAST_ALL_ROOM = 4000 };

static void answer(struct end *end, sea_msg *msg) {
    (void) end;
    sea_reply_bytes(msg, "answer", 6);
}

static void refuse(struct end *end, sea_msg *msg) {
    (void) end;
    sea_reply_error(msg, -EIO, "refused");
}

static const struct {
    uint32_t method;
    void (*hook)(struct end *end, sea_msg *msg);
} answers[] = {{NO_METHOD, NULL}, {END_HOOK, answer}, {END_HOOK, refuse}, {END_HOOK, NULL}};
enum { ANSWERS = sizeof answers / sizeof *answers };

/* A call counts against calls_max until its reply is written. A peer that goes on calling and never reads breaks the
 * protocol, for any kind of answers; it can never make more of them wait. */
START_TEST(test_replies_that_are_never_read) {
    static struct draft draft;
    int fds[2], sent = 0;
    uint32_t most = 0;
    struct end *server = &ends.b;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    server->options.calls_max = CALLS;
    server->hook = answers[_i].hook;
    end_init(server, fds[1], true);
    struct speaker *caller = speaker_new(fds[0]);
    const struct wire_hello hello = hello_sound();
    draft_hello(&draft, &hello);
    ck_assert_int_eq(speaker_send(caller, &draft), 0);
    end_settle(server);
    for (; server->closed == 0 && sent < CALLS_PAST_ALL_ROOM; sent++) {
        draft_inline(&draft, (uint64_t) sent + 1, answers[_i].method, 1);
        ck_assert_int_eq(speaker_send(caller, &draft), 0);
        end_settle(server);
        const struct lane *lane = &server->conn->lane;
        most = lane->replies_queued > most ? lane->replies_queued : most;
    }
    ck_assert_int_eq(server->event.reason, -EPROTO);
    ck_assert_str_eq(server->event_text, "more calls were in flight than negotiated");
    ck_assert_int_gt(sent, CALLS); /* a reply that is written counts no more */
    ck_assert_uint_eq(most, CALLS);
    ck_assert_uint_eq(server->conn->lane.replies_queued, 0);
    speaker_free(caller);
    end_deinit(server);
}
END_TEST

/* A peer that reads them late has its full number of calls again. */
START_TEST(test_replies_that_are_read_late) {
    enum { ROUNDS = 500 };
    ends.b.options.calls_max = CALLS;
    ends_open(&ends);
    for (int i = 0; i < ROUNDS; i++) {
        while (end_call(&ends.a, END_ECHO, NULL, -1, 0, NULL) == 0)
            ;
        ck_assert_uint_eq(ends.a.conn->calls.in_flight, CALLS);
        end_settle(&ends.b);
        ck_assert_uint_eq(ends.b.closed, 0);
        ends_settle(&ends);
        ck_assert_uint_eq(ends.a.outcomes_count, CALLS);
        end_drop(&ends.a);
    }
    ends_deinit(&ends);
}
END_TEST

/* --- leases --- */

enum { LEASES = 100, LEASE_SIZE = 70000 };

/* The number of sealed blocks of that size that one turn may free. */
#define LEASES_PER_TURN (WORK_PER_TURN / (WORK_PER_MEMFD + LEASE_SIZE) + 1)

static uint64_t leased(const struct end *end) {
    struct conn_figures figures;
    sea_conn_figures(end->conn, figures.of, SEA_CONN_FIGURES);
    return figures.of[SEA_CONN_FIGURE_LEASED_BLOCKS];
}

/* Lends from `a` to `b`, which keeps the messages. */
static void lend(bool is_sealed) {
    for (int i = 0; i < LEASES; i++) {
        sea_block *block = NULL;
        int r = is_sealed ? sea_block_new_sealed(&block, ends.a.ctx, LEASE_SIZE, 0)
                          : sea_block_new(&block, ends.a.conn, LEASE_SIZE);
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, block, -1), 0);
        ends_settle(&ends);
    }
    ck_assert_uint_eq(ends.b.kept_count, LEASES);
    ck_assert_uint_eq(leased(&ends.a), LEASES);
}

/* All leases come back at once. */
START_TEST(test_releases_take_turns) {
    ends_open(&ends);
    lend(true);
    end_drop(&ends.b);
    uint64_t before = LEASES;
    for (int turns = 0; before > 0; turns++) {
        ck_assert_int_lt(turns, LEASES);
        sea_conn_dispatch(ends.a.conn, 0);
        uint64_t now = leased(&ends.a);
        ck_assert_uint_lt(now, before);
        ck_assert_uint_le(before - now, LEASES_PER_TURN);
        ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_BLOCKS], now); /* the figures match the blocks */
        if (now > 0)
            /* the connection must not sleep yet; sea_conn_prepare() handles some releases, too */
            ck_assert_int_eq(sea_conn_prepare(ends.a.conn), 0);
        before = leased(&ends.a);
    }
    ends_deinit(&ends);
}
END_TEST

/* The peer is gone: leases of both kinds, and views of its arenas. One report covers all of them. */
START_TEST(test_the_end_takes_turns) {
    bool is_sealed = _i == 0;
    ends_open(&ends);
    lend(is_sealed);
    ck_assert_int_eq(sea_send(ends.b.conn, END_SINK, end_number(&ends.b, 0), 0), 0);
    ends_settle(&ends);
    end_free_conn(&ends.b);
    uint64_t before = LEASES, turns = 0;
    for (; ends.a.closed == 0; turns++) {
        ck_assert_uint_lt(turns, 2 * LEASES);
        sea_conn_dispatch(ends.a.conn, POLLIN | POLLHUP);
        uint64_t now = leased(&ends.a);
        ck_assert_uint_le(before - now, is_sealed ? LEASES_PER_TURN : LEASES);
        before = now;
    }
    ck_assert_uint_ge(turns, is_sealed ? LEASES / LEASES_PER_TURN : 1);
    ck_assert_uint_eq(ends.a.closed, 1);
    ck_assert_int_eq(ends.a.event.reason, 0); /* a GOODBYE */
    ck_assert_uint_eq(ends.a.event.reclaimed_blocks, LEASES);
    ck_assert_uint_eq(ends.a.event.reclaimed_bytes, LEASES * LEASE_SIZE);
    struct figures figures = end_figures(&ends.a);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_LEASED_BLOCKS] + figures.of[SEA_FIGURE_LEASED_BYTES] +
                          figures.of[SEA_FIGURE_BLOCKS] + figures.of[SEA_FIGURE_ARENA_BYTES],
                      0);
    ends_deinit(&ends);
}
END_TEST

static uint64_t arenas_of(const struct end *end) {
    return end->conn->lane.remote->pools.audience.count;
}

/* A loop gives a connection that ends one turn for each dispatch, though its descriptor, its deadline and its
 * process all ask for one: each turn frees one large arena. */
START_TEST(test_the_end_takes_one_turn_a_dispatch) {
    enum { LARGE = 3 << 20, MANY = 16 };
    struct poller *set = NULL;
    ends.b.options.accept = SEA_INLINE | SEA_POOLED;
    ends_open(&ends);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, end_block(&ends.a, LARGE, i), 0), 0);
        ends_settle(&ends);
    }
    ck_assert_int_eq(poller_set_new(&set), 0);
    ck_assert_int_eq(conn_watch(ends.a.conn, set), 0);
    ck_assert_int_eq(poller_set_turn(set, 0), 0);
    uint64_t before = arenas_of(&ends.a);
    ck_assert_uint_ge(before, 4);
    end_free_conn(&ends.b);
    for (int turns = 0; ends.a.closed == 0; turns++) {
        ck_assert_int_lt(turns, 100);
        ck_assert_int_eq(poller_set_turn(set, turns % 2 ? 0 : WAIT_FOREVER), 0);
        uint64_t now = ends.a.closed ? 0 : arenas_of(&ends.a);
        ck_assert_uint_le(before - now, 1);
        before = now;
    }
    ck_assert_uint_eq(ends.a.closed, 1);
    ck_assert_uint_eq(ends.a.event.reclaimed_blocks, MANY);
    end_free_conn(&ends.a);
    set->ops->free(set);
    ends_deinit(&ends);
}
END_TEST

/* Memory that a turn of `a` frees: its arena or sealed block that was lent, its view of an arena, a sealed block
 * that arrived and is not wanted. */
static const struct {
    bool is_lent, is_sealed;
    uint32_t method;
} large[] = {{true, false, END_KEEP}, {true, true, END_KEEP}, {false, false, END_HOOK}, {false, true, NO_METHOD}};
enum { LARGES = sizeof large / sizeof *large };

/* The disposal's threads give large memory back: while they are stuck turns go on, and the memory counts as given
 * back. */
START_TEST(test_large_memory_does_not_go_in_a_turn) {
    static struct disposal_jam jam;
    struct end *lender = large[_i].is_lent ? &ends.a : &ends.b;
    ends.a.options.accept = ends.b.options.accept = SEA_INLINE | (large[_i].is_sealed ? SEA_SEALED : SEA_POOLED);
    ends.a.options.socket_only = ends.b.options.socket_only = large[_i].is_sealed;
    ends_open(&ends);
    if (!disposal_jam_begin(&jam)) {
        ends_deinit(&ends);
        test_skip("threads hang together here");
    }
    ck_assert_int_eq(sea_send(lender->conn, large[_i].method, end_block(lender, DISPOSAL_LEAST, 1), -1), 0);
    end_settle(&ends.b);
    size_t before = disposal_pending();
    end_settle(&ends.a);
    if (large[_i].method != NO_METHOD) {
        end_free_conn(&ends.b);
        before = disposal_pending();
        end_settle(&ends.a);
        ck_assert_uint_eq(ends.a.closed, 1);
    }
    ck_assert_uint_eq(disposal_pending(), before + 1);
    struct figures figures = end_figures(&ends.a);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BLOCKS] + figures.of[SEA_FIGURE_ARENA_BYTES] +
                          figures.of[SEA_FIGURE_IMPORTED_ARENA_BYTES] + figures.of[SEA_FIGURE_IMPORTED_BYTES],
                      0);
    disposal_jam_end(&jam);
    ends_deinit(&ends);
}
END_TEST

/* A caller that frees the connection halfway frees everything at once. */
START_TEST(test_freed_while_it_ends) {
    ends_open(&ends);
    lend(true);
    end_free_conn(&ends.b);
    sea_conn_dispatch(ends.a.conn, POLLIN | POLLHUP);
    sea_conn_dispatch(ends.a.conn, POLLIN | POLLHUP);
    ck_assert_uint_eq(ends.a.closed, 0);
    ck_assert_uint_gt(leased(&ends.a), 0);
    ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, NULL, 0), -EPIPE);
    end_free_conn(&ends.a);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_LEASED_BLOCKS] + end_figures(&ends.a).of[SEA_FIGURE_BLOCKS],
                      0);
    ends_deinit(&ends);
}
END_TEST

/* --- incoming messages --- */

static uint64_t left[3]; /* the work left in the turn when each message was handed over */
static unsigned left_count;

static void note_left(struct end *end, sea_msg *msg) {
    ck_assert_uint_lt(left_count, 3);
    left[left_count++] = end->conn->lane.remote->account->work.left;
    sea_msg_release(msg);
}

/* Inline by ring and by socket, a sealed memfd by socket, and a pooled block in an arena of its own, which is
 * announced. */
static const struct {
    size_t size;
    uint64_t work;
    uint32_t accept;
    bool socket_only;
} incoming[] = {
    {8000, 8000, SEA_INLINE, false},
    {8000, 8000, SEA_INLINE, true},
    {4000000, WORK_PER_MEMFD, SEA_INLINE | SEA_SEALED, true},
    {4000000, WORK_PER_MEMFD, SEA_INLINE | SEA_POOLED, false},
};

/* A turn counts this amount of work for each of them. */
START_TEST(test_incoming_messages_count_as_work) {
    left_count = 0;
    ends.b.hook = note_left;
    ends.b.options.accept = incoming[_i].accept;
    ends.a.options.socket_only = ends.b.options.socket_only = incoming[_i].socket_only;
    ends_open(&ends);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(sea_send(ends.a.conn, END_HOOK, end_block(&ends.a, incoming[_i].size, i), 0), 0);
    while (left_count < 3)
        conn_turn(ends.b.conn, POLLIN);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(left[i], WORK_PER_TURN - (i + 1) * incoming[_i].work);
    ends_deinit(&ends);
}
END_TEST

/* A handler that answers with the received payload makes us copy it: one large copy is a turn's work. */
START_TEST(test_copies_to_answer_with_take_turns) {
    enum { SIZE = 4000000, MANY = 6 };
    ends.a.options.accept = ends.b.options.accept = SEA_INLINE | SEA_POOLED;
    ends_open(&ends);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, SIZE, (int) i), -1, i, NULL), 0);
    uint64_t before = 0;
    for (int turns = 0; before < MANY; turns++) {
        ck_assert_int_lt(turns, 10 * MANY);
        conn_turn(ends.b.conn, POLLIN);
        uint64_t now = end_figures(&ends.b).of[SEA_FIGURE_SENT_POOLED_MESSAGES];
        ck_assert_uint_le(now - before, 1);
        before = now;
    }
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, MANY);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert(msg_is_filled(ends.a.outcomes[i].reply, SIZE, (int) ends.a.outcomes[i].tag));
    ends_deinit(&ends);
}
END_TEST

/* --- cancels --- */

static unsigned cancelled_count;

static void count_cancelled(sea_msg *call, void *user) {
    (void) call, (void) user;
    cancelled_count++;
}

/* The cancels of the oldest calls that are one turn's work. The oldest call is the last one in the list, so a cancel
 * looks at all calls in it. A cancelled call leaves the list, so each look is one call shorter than the look before. */
static unsigned cancels_per_turn(unsigned kept) {
    struct work work;
    unsigned cancels = 0;
    for (work.left = WORK_PER_TURN; work.left; cancels++)
        work_take(&work, (kept - cancels) * WORK_PER_LOOK);
    return cancels;
}

/* Each cancel is a walk through the unanswered calls: there are so many that 64 walks are more than a turn may do.
 * The test does not count the frames of the turn: on a slow machine the turn polls the socket, and reads a doorbell,
 * too. */
START_TEST(test_cancels_take_turns) {
    enum { KEPT = END_MAX, CANCELS = 64 };
    uint64_t ids[KEPT];
    cancelled_count = 0;
    ends.b.options.calls_max = KEPT;
    ends.b.options.on_cancel = count_cancelled;
    ends_open(&ends);
    for (unsigned i = 0; i < KEPT; i++) {
        ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, i, &ids[i]), 0);
        ends_settle(&ends);
    }
    ck_assert_uint_eq(ends.b.kept_count, KEPT);
    for (unsigned i = 0; i < CANCELS; i++)
        ck_assert_int_eq(lane_send_cancel(&ends.a.conn->lane, ids[i]), 0);
    ck_assert_uint_lt(cancels_per_turn(KEPT), CANCELS);
    conn_turn(ends.b.conn, 0);
    ck_assert_uint_eq(cancelled_count, cancels_per_turn(KEPT));
    ends_settle(&ends);
    ck_assert_uint_eq(cancelled_count, CANCELS);
    ends_deinit(&ends);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("work");
    suite_fixture(s, before, fail_off);
    suite_add(s, test_no_copy_for_a_method_that_is_not_there);
    suite_add(s, test_no_copy_of_a_reply_that_comes_late);
    suite_add(s, test_a_blocking_call_keeps_its_deadline);
    suite_add(s, test_a_late_call_waits_for_little_work);
    suite_add(s, test_a_large_reply_in_time_is_in_time);
    suite_add(s, test_a_long_batch_reads_releases);
    suite_add_loop(s, test_replies_that_are_never_read, 0, ANSWERS);
    suite_add(s, test_replies_that_are_read_late);
    suite_add(s, test_releases_take_turns);
    suite_add_loop(s, test_the_end_takes_turns, 0, 2);
    suite_add(s, test_the_end_takes_one_turn_a_dispatch);
    suite_add_loop(s, test_large_memory_does_not_go_in_a_turn, 0, LARGES);
    suite_add(s, test_freed_while_it_ends);
    suite_add_loop(s, test_incoming_messages_count_as_work, 0, sizeof incoming / sizeof *incoming);
    suite_add(s, test_copies_to_answer_with_take_turns);
    suite_add(s, test_cancels_take_turns);
    return suite_run(s);
}
