/* SPDX-License-Identifier: MIT */
/* rpc/explain: each error has its own text, and no error gets the text of an earlier one. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "unit/conn_pair.h"
#include <sealane/server.h>

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
    ck_assert(says(-EINVAL, "`done` is NULL"));
}
END_TEST

/* Says something about `error`, here and of the connection, which the next function must not pass off as its own. */
static void say_before(int error) {
    refusal_explain(&ends.a.ctx->refusals, error, "something", "an old text");
    conn_say(ends.a.conn, error, "an old text");
}

#define must_fail_anew(error, call)                             \
    do {                                                        \
        say_before(error);                                      \
        ck_assert_int_eq(call, error);                          \
        ck_assert_msg(!says(error, "an old text"), "%s", text); \
    } while (0)

static void on_nothing_posted(sea_conn *conn, int status, void *user) {
    (void) conn;
    (void) status;
    (void) user;
}

static void on_nothing_posted_to_server(sea_server *server, int status, void *user) {
    (void) server;
    (void) status;
    (void) user;
}

START_TEST(test_blocks_have_their_own_texts) {
    sea_block *sealed = NULL, *pooled = end_block(&ends.a, 100000, 1), *blocks[2];
    char bytes[8] = "";
    int fd;
    ck_assert_int_eq(sea_block_new_sealed(&sealed, ends.a.ctx, 4096, 0), 0);
    blocks[0] = sealed;
    blocks[1] = pooled;
    for (int i = 0; i < 2; i++) {
        must_fail_anew(-EINVAL, sea_block_fill(blocks[i], 100000, bytes, 8));
        ck_assert(says(-EINVAL, "beyond its end"));
        must_fail_anew(-EINVAL, (int) sea_block_fill_file(blocks[i], 100000, 0, -1, 8));
        must_fail_anew(-EBADF, (int) sea_block_fill_file(blocks[i], 0, -1, -1, 8));
        must_fail_anew(-EINVAL, sea_block_shrink(blocks[i], 200000));
        ck_assert(says(-EINVAL, "the new size is larger"));
        must_fail_anew(-EPERM, (sea_block_seal(blocks[i]), sea_block_fill(blocks[i], 0, bytes, 8)));
        ck_assert(says(-EPERM, "it is sealed"));
        must_fail_anew(-EPERM, (int) sea_block_fill_file(blocks[i], 0, 0, -1, 8));
        must_fail_anew(-EPERM, sea_block_shrink(blocks[i], 1));
    }
    must_fail_anew(-EOPNOTSUPP, sea_block_export(pooled, &fd));
    ck_assert(says(-EOPNOTSUPP, "class SEA_SEALED"));
    must_fail_anew(-EINVAL, sea_block_new_sealed(&sealed, ends.a.ctx, 1, 1U << 31));
    must_fail_anew(-EINVAL, sea_block_import(&sealed, ends.a.ctx, -1, 100));
    sea_block_unref(sealed);
    sea_block_unref(pooled);
}
END_TEST

START_TEST(test_pools_have_their_own_texts) {
    const sea_pool_options bad = {.size = 1};
    sea_pool *pool = NULL, *own = sea_conn_pool(ends.a.conn);
    uint64_t value;
    must_fail_anew(-EINVAL, sea_pool_new(&pool, ends.a.conn, &bad));
    must_fail_anew(-EOPNOTSUPP, sea_pool_reserve(own, 10, 1));
    ck_assert(says(-EOPNOTSUPP, "do not travel pooled"));
    must_fail_anew(-EDQUOT, sea_pool_reserve(own, 100000, 100000));
    must_fail_anew(-ENOENT, sea_pool_generation_figures(own, 77, &value, 1));
    sea_conn_close(ends.b.conn);
    ends_settle(&ends);
    refusal_explain(&ends.a.ctx->refusals, -EPIPE, "something", "an old text");
    ck_assert_int_eq(sea_pool_new(&pool, ends.a.conn, NULL), -EPIPE);
    ck_assert(!says(-EPIPE, "an old text")); /* but the reason of the end */
}
END_TEST

START_TEST(test_calls_have_their_own_texts) {
    sea_msg *reply = NULL;
    must_fail_anew(-ENOENT, sea_call_cancel(ends.a.conn, 12345));
    must_fail_anew(-EINVAL, sea_conn_post(ends.a.conn, NULL, NULL));
    must_fail_anew(-EINVAL, sea_call_start(ends.a.conn, END_ECHO, NULL, -1, NULL, NULL, NULL));
    must_fail_anew(-ETIMEDOUT, sea_call(ends.a.conn, END_ECHO, NULL, 0, &reply));
    end_free_conn(&ends.b);
    ends_settle(&ends);
    must_fail_anew(-EPIPE, sea_conn_post(ends.a.conn, on_nothing_posted, NULL));
}
END_TEST

static sea_msg *kept_by_a(void) {
    ck_assert_int_eq(end_call(&ends.b, END_KEEP, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
    return ends.a.kept[--ends.a.kept_count];
}

static int answer(sea_msg *call, int how) {
    return how == 0 ? sea_reply(call, NULL) : how == 1 ? sea_reply_bytes(call, "x", 1) : sea_reply_error(call, -1, "");
}

struct late_answer {
    sea_msg *call;
    int how, error;
};

static void *answer_late(void *arg) {
    const struct late_answer *late = arg;
    must_fail_anew(late->error, answer(late->call, late->how));
    return NULL;
}

static void answer_on(bool is_elsewhere, struct late_answer late) {
    pthread_t thread;
    if (is_elsewhere) {
        ck_assert_int_eq(pthread_create(&thread, NULL, answer_late, &late), 0);
        pthread_join(thread, NULL);
    } else {
        answer_late(&late);
    }
}

/* _i: with which function, and from which thread. */
START_TEST(test_answers_have_their_own_texts) {
    int how = _i % 3;
    ck_assert_int_eq(sea_send(ends.b.conn, END_KEEP, NULL, 0), 0);
    ends_settle(&ends);
    answer_on(_i >= 3, (struct late_answer){ends.a.kept[--ends.a.kept_count], how, -EINVAL});
    if (how == 2)
        must_fail_anew(-EINVAL, sea_reply_error(kept_by_a(), 7, ""));
    ends_settle(&ends);
    end_drop(&ends.b);
    sea_msg *call = kept_by_a(), *other = kept_by_a();
    end_free_conn(&ends.b);
    ends_settle(&ends);
    if (how != 2 || _i >= 3)
        answer_on(_i >= 3, (struct late_answer){call, how, -EPIPE});
    else
        sea_msg_release(call);
    sea_msg_release(other);
}
END_TEST

START_TEST(test_servers_have_their_own_texts) {
    sea_server *server = NULL;
    sea_conn *conn = NULL;
    must_fail_anew(-EINVAL, sea_server_new(&server, ends.a.ctx, "", NULL));
    must_fail_anew(-EINVAL, sea_server_new(&server, ends.a.ctx, NULL, NULL));
    ck_assert(says(-EINVAL, "address: it is NULL"));
    must_fail_anew(-EINVAL, sea_server_new(&server, ends.a.ctx, "", NULL));
    ck_assert(says(-EINVAL, "address: it is empty"));
    must_fail_anew(-EINVAL, sea_connect(&conn, ends.a.ctx, NULL, NULL));
    ck_assert(says(-EINVAL, "address: it is NULL"));
    must_fail_anew(-EINVAL, sea_connect(&conn, ends.a.ctx, "", NULL));
    ck_assert(says(-EINVAL, "address: it is empty"));
    ck_assert_int_eq(sea_server_new(&server, ends.a.ctx, "unix:@sealane-test-explain", NULL), 0);
    must_fail_anew(-EINVAL, sea_server_post(server, NULL, NULL));
    ck_assert_int_eq(sea_server_post(server, on_nothing_posted_to_server, NULL), 0);
    sea_server_free(server);
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
    suite_add(s, test_blocks_have_their_own_texts);
    suite_add(s, test_pools_have_their_own_texts);
    suite_add(s, test_calls_have_their_own_texts);
    suite_add_loop(s, test_answers_have_their_own_texts, 0, 6);
    suite_add(s, test_servers_have_their_own_texts);
    return suite_run(s);
}
