/* SPDX-License-Identifier: MIT */
/*
 * What threads do with a connection that another thread drives: releases, answers, and the connection's end before or
 * after them. The test's thread drives both ends.
 */
#include <pthread.h>

#include "conn_pair.h"

/* One thing that another thread does, to its end. */
struct deed {
    void (*act)(struct deed *deed);
    sea_msg *msg;
    sea_block *block;
    sea_conn *conn;
    const void *data;
    size_t size;
    int result;
};

static void *deed_run(void *arg) {
    struct deed *deed = arg;
    deed->act(deed);
    return NULL;
}

static int elsewhere(struct deed deed) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, deed_run, &deed), 0);
    pthread_join(thread, NULL);
    return deed.result;
}

static void act_release(struct deed *deed) {
    sea_msg_release(deed->msg);
}

static void act_unref(struct deed *deed) {
    sea_block_unref(deed->block);
}

static void act_reply(struct deed *deed) {
    deed->result = sea_reply(deed->msg, deed->block);
}

static void act_reply_bytes(struct deed *deed) {
    deed->result = sea_reply_bytes(deed->msg, deed->data, deed->size);
}

static void act_reply_error(struct deed *deed) {
    deed->result = sea_reply_error(deed->msg, -EXDEV, deed->data);
}

static char pattern[200000];

static struct ends ends;

/* A call from a to b, which keeps it. */
static sea_msg *kept_call(size_t size) {
    sea_block *block = NULL;
    if (size > 0)
        ck_assert_int_eq(sea_block_new(&block, ends.a.conn, size), 0);
    if (size > 0)
        ck_assert_int_eq(sea_block_fill(block, 0, pattern, size), 0);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, block, -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.kept_count, 1);
    return ends.b.kept[--ends.b.kept_count];
}

static void setup(void) {
    memset(&ends, 0, sizeof ends);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char) (i * 7 + i / 251);
    ends_open(&ends);
}

static void teardown(void) {
    end_deinit(&ends.a);
    end_deinit(&ends.b);
}

static void expect_outcome(int status, size_t size) {
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    const struct outcome *outcome = &ends.a.outcomes[0];
    ck_assert_int_eq(outcome->status, status);
    if (status == 0) {
        ck_assert_uint_eq(sea_msg_size(outcome->reply), size);
        ck_assert_int_eq(memcmp(sea_msg_data(outcome->reply), pattern, size), 0);
    }
    end_drop(&ends.a);
}

static const size_t sizes[] = {0, 10, 250, 5000, 200000};
enum { SIZES = sizeof sizes / sizeof *sizes };

START_TEST(test_bytes_are_answered_elsewhere) {
    sea_msg *call = kept_call(10);
    ck_assert_int_eq(elsewhere((struct deed){act_reply_bytes, .msg = call, .data = pattern, .size = sizes[_i]}), 0);
    ck_assert_uint_eq(ends.a.outcomes_count, 0);
    expect_outcome(0, sizes[_i]);
}
END_TEST

/* A block of the call's bytes is still read while other bytes answer it. */
START_TEST(test_bytes_beside_a_block_of_the_call) {
    sea_msg *call = kept_call(10);
    sea_block *block = sea_block_ref(sea_msg_block(call));
    ck_assert_int_eq(elsewhere((struct deed){act_reply_bytes, .msg = call, .data = pattern + 0, .size = 20}), 0);
    expect_outcome(0, 20);
    ck_assert_int_eq(memcmp(sea_block_view(block), pattern, 10), 0);
    elsewhere((struct deed){act_unref, .block = block});
}
END_TEST

START_TEST(test_a_block_is_answered_elsewhere) {
    sea_block *block = NULL;
    sea_msg *call = kept_call(sizes[_i]);
    ck_assert_int_eq(sea_block_new(&block, ends.b.conn, 100000), 0);
    ck_assert_int_eq(sea_block_fill(block, 0, pattern, 100000), 0);
    ck_assert_int_eq(elsewhere((struct deed){act_reply, .msg = call, .block = block}), 0);
    expect_outcome(0, 100000);
}
END_TEST

START_TEST(test_the_calls_own_block_answers_it_elsewhere) {
    sea_msg *call = kept_call(sizes[_i]);
    sea_block *block = sea_block_ref(sea_msg_block(call));
    ck_assert_int_eq(elsewhere((struct deed){act_reply, .msg = call, .block = block}), 0);
    expect_outcome(0, sizes[_i]);
}
END_TEST

START_TEST(test_an_error_is_answered_elsewhere) {
    sea_msg *call = kept_call(10);
    ck_assert_int_eq(elsewhere((struct deed){act_reply_error, .msg = call, .data = "no such thing"}), 0);
    ends_settle(&ends);
    ck_assert_str_eq(sea_msg_text(ends.a.outcomes[0].reply), "no such thing");
    expect_outcome(-EXDEV, 0);
}
END_TEST

START_TEST(test_a_dropped_call_is_answered_elsewhere) {
    elsewhere((struct deed){act_release, .msg = kept_call(10)});
    expect_outcome(-ECANCELED, 0);
}
END_TEST

/* A lease goes back though a thread released its message that may not touch the connection. */
START_TEST(test_a_reply_is_released_elsewhere) {
    ck_assert_int_eq(sea_reply(kept_call(100000), NULL), 0);
    expect_outcome(0, 0);
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, 100000), 0);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, block, -1, 0, NULL), 0);
    ends_settle(&ends);
    sea_msg *reply = ends.a.outcomes[0].reply;
    sea_block *kept = sea_block_ref(sea_msg_block(reply));
    ends.a.outcomes_count = 0;
    ck_assert_uint_gt(end_figures(&ends.a).of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    elsewhere((struct deed){act_release, .msg = reply});
    elsewhere((struct deed){act_unref, .block = kept});
    ends_settle(&ends);
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_LEASED_BLOCKS], 0);
}
END_TEST

/* What is known when the answer is left: nothing was asked, or the caller has gone. */
START_TEST(test_errors_that_are_known_elsewhere) {
    uint64_t id;
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, NULL, 0), 0);
    ends_settle(&ends);
    ck_assert_int_eq(elsewhere((struct deed){act_reply, .msg = ends.b.kept[--ends.b.kept_count]}), -EINVAL);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 0, &id), 0);
    ends_settle(&ends);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ends_settle(&ends);
    ck_assert_int_eq(elsewhere((struct deed){act_reply, .msg = ends.b.kept[--ends.b.kept_count]}), -ECANCELED);
    end_drop(&ends.a);
    sea_msg *call = kept_call(10);
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, ends.b.conn, 100000), 0);
    end_free_conn(&ends.b);
    ck_assert_int_eq(elsewhere((struct deed){act_reply, .msg = call, .block = block}), -EPIPE);
    expect_outcome(-EPIPE, 0);
}
END_TEST

/* The connection ends between the answer and its turn; then what was left is dropped, and nothing leaks. */
START_TEST(test_the_end_comes_before_the_turn) {
    sea_block *block = NULL;
    sea_msg *call = kept_call(100000);
    ck_assert_int_eq(sea_block_new(&block, ends.b.conn, 100000), 0);
    ck_assert_int_eq(elsewhere((struct deed){act_reply, .msg = call, .block = block}), 0);
    end_free_conn(_i ? &ends.b : &ends.a);
    ends_settle(&ends);
}
END_TEST

/* A message and a block outlive the connection, and end on another thread: with them its memory. */
START_TEST(test_the_end_comes_before_the_release) {
    sea_msg *call = kept_call(sizes[_i]);
    sea_block *block = sea_block_ref(sea_msg_block(call));
    end_free_conn(&ends.b);
    elsewhere((struct deed){act_release, .msg = call});
    if (block)
        ck_assert_int_eq(memcmp(sea_block_view(block), pattern, sizes[_i]), 0);
    elsewhere((struct deed){act_unref, .block = block});
}
END_TEST

static void act_free(struct deed *deed) {
    sea_conn_free(deed->conn);
}

/* A connection that no thread drives at the moment may move. */
START_TEST(test_a_connection_moves) {
    sea_msg *call = kept_call(100000);
    sea_conn *conn = ends.b.conn;
    ends.b.conn = NULL;
    elsewhere((struct deed){act_free, .conn = conn});
    sea_msg_release(call);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("threads");
    suite_fixture(s, setup, teardown);
    suite_add_loop(s, test_bytes_are_answered_elsewhere, 0, SIZES);
    suite_add(s, test_bytes_beside_a_block_of_the_call);
    suite_add_loop(s, test_a_block_is_answered_elsewhere, 0, SIZES);
    suite_add_loop(s, test_the_calls_own_block_answers_it_elsewhere, 1, SIZES);
    suite_add(s, test_an_error_is_answered_elsewhere);
    suite_add(s, test_a_dropped_call_is_answered_elsewhere);
    suite_add(s, test_a_reply_is_released_elsewhere);
    suite_add(s, test_errors_that_are_known_elsewhere);
    suite_add_loop(s, test_the_end_comes_before_the_turn, 0, 2);
    suite_add_loop(s, test_the_end_comes_before_the_release, 0, SIZES);
    suite_add(s, test_a_connection_moves);
    return suite_run(s);
}
