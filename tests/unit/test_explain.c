/* SPDX-License-Identifier: MIT */
/* rpc/explain: each error has its own text, and no error gets the text of an earlier one. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "unit/conn_pair.h"

static struct ends ends;
static char text[400];

static const char *explained(int error) {
    int length = sea_explain(NULL, ends.a.conn, error, text, sizeof text);
    ck_assert_int_eq(length, (int) strlen(text));
    return text;
}

static bool says(int error, const char *words) {
    return strstr(explained(error), words) != NULL;
}

static void refuse(struct end *end, sea_msg *msg) {
    (void) end;
    sea_reply_error(msg, -EDQUOT, "the\nshelf is full");
}

static void refuse_mutely(struct end *end, sea_msg *msg) {
    (void) end;
    sea_reply_error(msg, -EDQUOT, NULL);
}

static int answer_of(void (*hook)(struct end *end, sea_msg *msg)) {
    ends.b.hook = hook;
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    int status = ends.a.outcomes[0].status;
    end_drop(&ends.a);
    return status;
}

/* Over its budget, which is -EDQUOT, too. */
static void run_out(void) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, ends.a.ctx, 1 << 30, 0), -EDQUOT);
}

START_TEST(test_the_newest_text_of_an_error) {
    run_out();
    ck_assert(says(-EDQUOT, "Disk quota exceeded (budget (bytes): needed"));
    ck_assert_int_eq(answer_of(refuse), -EDQUOT);
    ck_assert_str_eq(explained(-EDQUOT), "Disk quota exceeded (the?shelf is full)");
    run_out();
    ck_assert(says(-EDQUOT, "budget (bytes)"));
    ck_assert_str_eq(explained(-ENOMEM), "Cannot allocate memory"); /* another error has none of these texts */
    ck_assert_str_eq(explained(0), "no error");
    ck_assert_str_eq(explained(7), "no error");
}
END_TEST

/* An error without a text has none, whatever was said about its number before. */
START_TEST(test_no_text_of_an_earlier_call) {
    run_out();
    ck_assert_int_eq(answer_of(refuse_mutely), -EDQUOT);
    ck_assert_str_eq(explained(-EDQUOT), "Disk quota exceeded");
    refusal_explain(&ends.a.ctx->refusals, -EINVAL, "something", "an old text");
    ck_assert(says(-EINVAL, "an old text"));
    ck_assert_int_eq(sea_call_start(ends.a.conn, END_ECHO, NULL, -1, NULL, NULL, NULL), -EINVAL); /* no `done` */
    ck_assert_str_eq(explained(-EINVAL), "Invalid argument");
}
END_TEST

static void *run_out_elsewhere(void *arg) {
    (void) arg;
    run_out();
    return NULL;
}

START_TEST(test_no_text_of_another_thread) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_out_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_str_eq(explained(-EDQUOT), "Disk quota exceeded");
    run_out();
    for (int i = 0; i < 20; i++) /* others say much else meanwhile */
        refusal_explain(&ends.b.ctx->refusals, -EDQUOT, "another context", "");
    ck_assert(says(-EDQUOT, "budget (bytes)"));
}
END_TEST

static void call_inside(struct end *end, sea_msg *msg) {
    sea_msg *reply = NULL;
    char why[200];
    ck_assert_int_eq(sea_call(end->conn, END_ECHO, NULL, -1, &reply), -EDEADLK);
    sea_explain(NULL, end->conn, -EDEADLK, why, sizeof why);
    ck_assert_ptr_nonnull(strstr(why, "it is in a turn already"));
    ck_assert_int_eq(sea_send(end->conn, END_SINK, NULL, 10), -EDEADLK);
    ck_assert_int_eq(sea_conn_wait(end->conn, 10), -EDEADLK);
    ck_assert_int_eq(sea_conn_dispatch(end->conn, 0), -EDEADLK);
    sea_explain(end->ctx, NULL, -EDEADLK, why, sizeof why);
    ck_assert_ptr_nonnull(strstr(why, "it is in a turn already"));
    sea_reply(msg, NULL);
}

START_TEST(test_a_deadlock_has_a_text) {
    ck_assert_int_eq(answer_of(call_inside), 0);
}
END_TEST

/* What ended the connection explains each failure from then on. */
START_TEST(test_the_end_explains_all_that_follows) {
    sea_msg *reply = NULL;
    sea_block *block = NULL;
    sea_conn_close(ends.b.conn);
    ends_settle(&ends);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(sea_call(ends.a.conn, END_ECHO, NULL, -1, &reply), -EPIPE);
        ck_assert(says(-EPIPE, "Broken pipe"));
        ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, NULL, 0), -EPIPE);
        ck_assert_int_eq(sea_block_new(&block, ends.a.conn, 100), -EPIPE);
    }
}
END_TEST

START_TEST(test_without_a_connection) {
    sea_conn *conn = NULL;
    char why[200];
    int r = sea_connect(&conn, ends.a.ctx, "unix:/nowhere/at/all", NULL);
    ck_assert_int_eq(r, -ENOENT);
    sea_explain(ends.a.ctx, NULL, r, why, sizeof why);
    ck_assert_ptr_nonnull(strstr(why, "No such file or directory (unix:/nowhere/at/all"));
    sea_explain(NULL, NULL, r, why, sizeof why);
    ck_assert_str_eq(why, "No such file or directory");
    char small[8];
    ck_assert_int_eq(sea_explain(NULL, NULL, r, small, sizeof small), (int) strlen("No such file or directory"));
    ck_assert_str_eq(small, "No such");
    ck_assert_int_gt(sea_explain(NULL, NULL, r, NULL, 0), 0);
}
END_TEST

static void before(void) {
    memset(&ends, 0, sizeof ends);
    ends.a.ctx_options.budget_bytes = 16 << 20;
    ends_open(&ends);
}

static void after(void) {
    ends_deinit(&ends);
}

int main(void) {
    struct suite *s = suite_new("explain");
    suite_fixture(s, before, after);
    suite_add(s, test_the_newest_text_of_an_error);
    suite_add(s, test_no_text_of_an_earlier_call);
    suite_add(s, test_no_text_of_another_thread);
    suite_add(s, test_a_deadlock_has_a_text);
    suite_add(s, test_the_end_explains_all_that_follows);
    suite_add(s, test_without_a_connection);
    return suite_run(s);
}
