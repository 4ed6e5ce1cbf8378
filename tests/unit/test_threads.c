/* SPDX-License-Identifier: MIT */
/*
 * What threads do with a connection that another thread drives: releases, answers, and the connection's end before or
 * after them. The test's thread drives both ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "conn_pair.h"
#include "host.h"
#include <sealane/server.h>

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

static void act_take_block(struct deed *deed) {
    deed->block = sea_block_ref(sea_msg_block(deed->msg));
    deed->result = memcmp(sea_block_view(deed->block), pattern, sea_msg_size(deed->msg));
}

/* --- two threads answer one call --- */

struct rival {
    atomic_uint *ready; /* each thread looks until both are there: a barrier wakes one after the other */
    sea_msg *call;
    unsigned char name;
    int result;
};

static void *rival_answers(void *arg) {
    struct rival *rival = arg;
    atomic_fetch_add(rival->ready, 1);
    for (unsigned looks = 1; atomic_load(rival->ready) < 2; looks++)
        if (looks % 65536 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
    rival->result = sea_reply_bytes(rival->call, &rival->name, 1);
    return NULL;
}

/* Exactly one answer goes out, the one of the thread that was told so. */
START_TEST(test_two_threads_answer_one_call) {
    enum { ROUNDS = 300 };
    for (int round = 0; round < ROUNDS; round++) {
        atomic_uint ready = 0;
        pthread_t threads[2];
        struct rival rivals[2];
        sea_msg *call = kept_call(10);
        for (unsigned char i = 0; i < 2; i++) {
            rivals[i] = (struct rival){.ready = &ready, .call = call, .name = i};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, rival_answers, &rivals[i]), 0);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        unsigned char winner = rivals[0].result != 0;
        ck_assert_int_eq(rivals[winner].result, 0);
        ck_assert_int_eq(rivals[!winner].result, -EINVAL);
        ends_settle(&ends);
        ck_assert_uint_eq(ends.a.outcomes_count, 1);
        ck_assert_int_eq(ends.a.outcomes[0].status, 0);
        ck_assert_uint_eq(*(const unsigned char *) sea_msg_data(ends.a.outcomes[0].reply), winner);
        end_drop(&ends.a);
    }
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_INCOMING_CALLS], 0);
}
END_TEST

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

/* A thread that has a call reads it as a block, while the caller gives up. */
START_TEST(test_a_cancel_beside_a_block_of_the_call) {
    uint64_t id;
    sea_block *sent = NULL;
    pthread_t thread;
    ck_assert_int_eq(sea_block_new(&sent, ends.a.conn, 10), 0);
    ck_assert_int_eq(sea_block_fill(sent, 0, pattern, 10), 0);
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, sent, -1, 0, &id), 0);
    ends_settle(&ends);
    struct deed deed = {act_take_block, .msg = ends.b.kept[--ends.b.kept_count]};
    ck_assert_int_eq(pthread_create(&thread, NULL, deed_run, &deed), 0);
    ck_assert_int_eq(sea_call_cancel(ends.a.conn, id), 0);
    ends_settle(&ends);
    pthread_join(thread, NULL);
    ck_assert_int_eq(deed.result, 0);
    ck_assert(sea_msg_is_cancelled(deed.msg));
    sea_msg_release(deed.msg);
    ck_assert_int_eq(memcmp(sea_block_view(deed.block), pattern, 10), 0);
    sea_block_unref(deed.block);
    end_drop(&ends.a);
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
    ck_assert_int_eq(elsewhere((struct deed){act_reply_error, .msg = call, .data = "no thumbnail"}), 0);
    ends_settle(&ends);
    ck_assert_str_eq(sea_msg_text(ends.a.outcomes[0].reply), "no thumbnail");
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

/* The connection ends between the answer and its turn; then the mail is dropped, and nothing leaks. */
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

struct visitor {
    struct mailbox *box;
    atomic_bool has_entered, has_left;
};

static void *visit_for_a_while(void *arg) {
    struct visitor *visitor = arg;
    struct mailbox_visit visit = mailbox_enter(visitor->box);
    atomic_store(&visitor->has_entered, true);
    for (int i = 0; i < 20; i++)
        nap();
    atomic_store(&visitor->has_left, true);
    mailbox_leave(&visit);
    return NULL;
}

/* After the end of the connection another thread releases what came from it: the figures wait for it. */
START_TEST(test_figures_after_the_end) {
    struct visitor visitor = {.box = ends.b.conn->box};
    uint64_t value;
    pthread_t thread;
    sea_conn_close(ends.a.conn);
    ends_settle(&ends);
    ck_assert(mailbox_is_closed(visitor.box));
    ck_assert_int_eq(pthread_create(&thread, NULL, visit_for_a_while, &visitor), 0);
    wait_until(atomic_load(&visitor.has_entered));
    sea_conn_figures(ends.b.conn, &value, 1);
    ck_assert(atomic_load(&visitor.has_left));
    pthread_join(thread, NULL);
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

static int posted_status[3];
static unsigned posted_count;

static void on_posted(sea_conn *conn, int status, void *user) {
    ck_assert_ptr_eq(user, &posted_count);
    ck_assert_ptr_nonnull(conn);
    posted_status[posted_count++] = status;
}

static void act_post(struct deed *deed) {
    deed->result = sea_conn_post(deed->conn, on_posted, &posted_count);
}

START_TEST(test_a_function_is_posted) {
    posted_count = 0;
    ck_assert_int_eq(elsewhere((struct deed){act_post, .conn = ends.b.conn}), 0);
    ck_assert_int_eq(sea_conn_post(ends.b.conn, on_posted, &posted_count), 0);
    ck_assert_uint_eq(posted_count, 0);
    ends_settle(&ends);
    ck_assert_uint_eq(posted_count, 2);
    ck_assert_int_eq(posted_status[0], 0);
    ck_assert_int_eq(posted_status[1], 0);
    ck_assert_int_eq(sea_conn_post(ends.b.conn, NULL, NULL), -EINVAL);
}
END_TEST

/* _i: which side ends the connection. */
START_TEST(test_a_post_is_told_of_the_end) {
    posted_count = 0;
    ck_assert_int_eq(elsewhere((struct deed){act_post, .conn = ends.b.conn}), 0);
    if (_i) {
        end_free_conn(&ends.b);
        ck_assert_int_eq(posted_status[0], -ECANCELED);
    } else {
        end_free_conn(&ends.a);
        ends_settle(&ends);
        ck_assert_int_eq(elsewhere((struct deed){act_post, .conn = ends.b.conn}), -EPIPE);
    }
    ck_assert_uint_eq(posted_count, 1);
}
END_TEST

static void on_posted_free(sea_conn *conn, int status, void *user) {
    (void) user;
    ck_assert_ptr_eq(conn, ends.b.conn);
    posted_status[posted_count++] = status;
    end_free_conn(&ends.b);
}

static void hook_that_posts(struct end *end, sea_msg *msg) {
    ck_assert_int_eq(sea_conn_post(end->conn, on_posted_free, NULL), 0);
    sea_msg_release(msg);
}

/* The peer's farewell comes in the turn of the post: the function runs while the mailbox is being closed. */
START_TEST(test_a_post_frees_the_connection_at_its_end) {
    posted_count = 0;
    ends.b.hook = hook_that_posts;
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, -1, 0, NULL), 0);
    end_free_conn(&ends.a);
    end_settle(&ends.b);
    ck_assert_uint_eq(posted_count, 1);
    ck_assert_int_eq(posted_status[0], -EPIPE);
}
END_TEST

/* Some run before the peer's farewell is read, more until the mailbox is closed, and the others after that: all in
 * their order. */
enum { POSTS_PAST_THE_END = 3000, POSTS_AFTER_THE_CLOSE = 1000 };

static unsigned posted_number, told_of_the_end, ran_closed;

static void on_posted_number(sea_conn *conn, int status, void *user) {
    ck_assert_uint_eq((uintptr_t) user, posted_number++);
    ck_assert_int_eq(status, told_of_the_end ? -EPIPE : status);
    told_of_the_end += status == -EPIPE;
    ran_closed += mailbox_is_closed(conn->box);
}

START_TEST(test_many_posts_are_told_of_the_end) {
    posted_number = told_of_the_end = ran_closed = 0;
    end_free_conn(&ends.a);
    for (uintptr_t i = 0; i < POSTS_PAST_THE_END; i++)
        ck_assert_int_eq(sea_conn_post(ends.b.conn, on_posted_number, (void *) i), 0);
    sea_conn_dispatch(ends.b.conn, POLLIN | POLLHUP);
    ck_assert_uint_eq(posted_number, POSTS_PAST_THE_END);
    ck_assert_uint_gt(told_of_the_end, ran_closed);
    ck_assert_uint_gt(ran_closed, POSTS_AFTER_THE_CLOSE);
    ck_assert_uint_eq(ends.b.closed, 1);
}
END_TEST

static void on_posted_again(sea_conn *conn, int status, void *user) {
    unsigned *runs = user;
    (*runs)++;
    if (sea_conn_post(conn, on_posted_again, runs) < 0)
        ck_assert_int_eq(status, -EPIPE);
}

/* A function that posts itself does not keep an ended connection. */
START_TEST(test_a_post_that_posts_itself_ends) {
    unsigned runs = 0;
    end_free_conn(&ends.a);
    ck_assert_int_eq(sea_conn_post(ends.b.conn, on_posted_again, &runs), 0);
    for (int turns = 0; ends.b.closed == 0; turns++) {
        ck_assert_int_lt(turns, 100);
        sea_conn_dispatch(ends.b.conn, POLLIN | POLLHUP);
    }
    ck_assert_uint_gt(runs, 1);
    ck_assert_int_eq(sea_conn_post(ends.b.conn, on_posted, &posted_count), -EPIPE);
}
END_TEST

static void close_that_posts(struct end *end) {
    ck_assert_int_eq(sea_conn_post(end->conn, on_posted, &posted_count), 0);
    ck_assert_uint_eq(posted_count, 0);
}

/* on_close may post. _i: which side ends the connection; without on_close of one that is freed, nothing is posted. */
START_TEST(test_on_close_posts) {
    posted_count = 0;
    ends.b.at_close = close_that_posts;
    if (_i)
        sea_conn_close(ends.b.conn);
    else
        end_free_conn(&ends.a);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.b.closed, 1);
    ck_assert_uint_eq(posted_count, 1);
    ck_assert_int_eq(posted_status[0], -EPIPE);
}
END_TEST

/* Threads post until they are told of the end. */
enum { POSTERS = 3, POSTS_MOST = 20000 };

static struct poster {
    unsigned accepted, ran;
    _Atomic bool has_begun;
} posters[POSTERS];

struct numbered_post {
    struct poster *poster;
    unsigned number;
};
static struct numbered_post numbered[POSTERS][POSTS_MOST];

static void on_numbered(sea_conn *conn, int status, void *user) {
    const struct numbered_post *post = user;
    ck_assert(status == 0 || status == -EPIPE);
    ck_assert_ptr_eq(conn, ends.b.conn);
    ck_assert_uint_eq(post->number, post->poster->ran++);
}

static void *post_until_the_end(void *arg) {
    struct poster *poster = arg;
    struct numbered_post *posts = numbered[poster - posters];
    int r = 0;
    for (unsigned i = 0; i < POSTS_MOST && r == 0; i++) {
        posts[i] = (struct numbered_post){poster, i};
        r = sea_conn_post(ends.b.conn, on_numbered, &posts[i]);
        poster->accepted += r == 0;
        atomic_store(&poster->has_begun, true);
    }
    ck_assert(r == 0 || r == -EPIPE);
    return NULL;
}

/* Each function that was taken runs once, in the order of its thread. */
START_TEST(test_posts_race_with_the_end) {
    pthread_t threads[POSTERS];
    memset(posters, 0, sizeof posters);
    for (int i = 0; i < POSTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_until_the_end, &posters[i]), 0);
    for (int i = 0; i < POSTERS; i++)
        while (!atomic_load(&posters[i].has_begun))
            sea_conn_dispatch(ends.b.conn, 0);
    end_free_conn(&ends.a);
    while (ends.b.closed == 0)
        sea_conn_dispatch(ends.b.conn, POLLIN | POLLHUP);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < POSTERS; i++)
        ck_assert_uint_eq(posters[i].ran, posters[i].accepted);
}
END_TEST

/* --- two connections that have ended --- */

struct holder {
    struct mailbox *held, *other;
    atomic_bool holds;
    bool was_other_free;
};

static bool is_free(struct mailbox *box) {
    bool is_locked = pthread_mutex_trylock(&box->lock) == 0;
    if (is_locked)
        pthread_mutex_unlock(&box->lock);
    return is_locked;
}

/* Reads how far the other thread is: it sleeps when it waits for the lock. */
static char state_of_main_thread(void) {
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int) getpid());
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    if (file)
        fclose(file);
    return state;
}

/* With the owner's rights of one connection: waits until the main thread waits for them, and sees whether that thread
 * holds those of the other connection meanwhile. */
static void *hold_one(void *arg) {
    struct holder *holder = arg;
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(holder->held);
    atomic_store(&holder->holds, true);
    while (!mailbox_is_closed(holder->other) || state_of_main_thread() != 'S')
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int waited = 0; !holder->was_other_free && waited < test_timeout_ms(5000); waited++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        holder->was_other_free = state_of_main_thread() == 'S' && is_free(holder->other);
    }
    return NULL;
}

static void on_posted_nothing(sea_conn *conn, int status, void *user) {
    (void) conn, (void) status, (void) user;
}

/* The answer waits in a mailbox until that is closed, behind more mails than run before. Its block belongs to a
 * connection that has ended, too, and its end needs the owner's rights there. Two threads that did so in opposite
 * directions would wait for each other, if the rights of both were taken at a time. */
START_TEST(test_an_answer_is_dropped_without_its_connections_lock) {
    static struct ends others;
    memset(&others, 0, sizeof others);
    ends_open(&others);
    ck_assert_int_eq(end_call(&others.a, END_KEEP, end_block(&others.a, 100000, 1), -1, 0, NULL), 0);
    ends_settle(&others);
    sea_block *block = sea_block_ref(sea_msg_block(others.b.kept[0]));
    struct holder holder = {.held = others.b.conn->box, .other = ends.b.conn->box};
    end_drop(&others.b);
    end_free_conn(&others.b);
    sea_msg *call = kept_call(10);
    for (int i = 0; i < POSTS_PAST_THE_END; i++)
        ck_assert_int_eq(sea_conn_post(ends.b.conn, on_posted_nothing, NULL), 0);
    ck_assert_int_eq(elsewhere((struct deed){act_reply, .msg = call, .block = block}), 0);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, hold_one, &holder), 0);
    while (!atomic_load(&holder.holds))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    end_free_conn(&ends.b);
    pthread_join(thread, NULL);
    ck_assert(holder.was_other_free);
    ends_deinit(&others);
}
END_TEST

/* --- a thread that is cancelled while it waits --- */

static void *wait_without_end(void *conn) {
    sea_conn_wait(conn, -1);
    return NULL;
}

/* Another thread can drive the connection afterwards. */
START_TEST(test_a_cancelled_wait_leaves_the_connection) {
    pthread_t thread;
    void *result = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_without_end, ends.b.conn), 0);
    while (!atomic_load(&ends.b.conn->is_waiting))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    ck_assert_int_eq(sea_conn_dispatch(ends.b.conn, 0), 0);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 0, NULL), 0);
    expect_outcome(0, 0);
}
END_TEST

static void on_posted_exit(sea_conn *conn, int status, void *user) {
    (void) conn, (void) status, (void) user;
    pthread_exit(NULL); /* unwinds the stack, as an exception does */
}

/* Each call finds its answer at once, until one call has a turn in full behind it. */
static void *call_until_a_post(void *arg) {
    sea_conn *conn = arg;
    ck_assert_int_eq(conn_adopt(conn), 0);
    conn->lane.spin.has_one_cpu = false;
    for (;;) {
        sea_msg *reply = NULL;
        uint64_t id = calls_next_id(&conn->calls, UINT32_MAX);
        lane_write_small(&ends.b.conn->lane, WIRE_REPLY, id, 0, 0, "yes", 3);
        ck_assert_int_eq(sea_call_bytes(conn, END_KEEP, "no", 2, -1, &reply), 0);
        ck_assert_uint_eq(conn->calls.in_flight, 0);
        sea_msg_release(reply);
    }
}

/* The reply that a call has got already goes with it. */
START_TEST(test_an_unwound_call_has_no_reply) {
    pthread_t thread;
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 0, NULL), 0);
    expect_outcome(0, 0);
    ck_assert_int_eq(sea_conn_post(ends.a.conn, on_posted_exit, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, call_until_a_post, ends.a.conn), 0);
    pthread_join(thread, NULL);
    end_free_conn(&ends.a);
    ck_assert_uint_eq(ends.a.ctx->refs, 1);
}
END_TEST

static void act_adopt(struct deed *deed) {
    mailbox_adopt(deed->conn->box);
}

/* As a thread does that breaks the rules between two turns, where no flag says that this thread waits. */
static void lose_the_connection(struct end *end, sea_msg *msg) {
    sea_msg_release(msg);
    elsewhere((struct deed){act_adopt, .conn = end->conn});
    ck_assert_int_eq(sea_conn_interrupt(end->conn), 0);
}

/* Whatever the other thread does, nothing is told to the stack of a call that has returned. */
START_TEST(test_a_call_that_lost_its_connection_ends) {
    uint64_t id, deadline;
    sea_msg *reply = NULL;
    ends.a.hook = lose_the_connection;
    ck_assert_int_eq(sea_send(ends.b.conn, END_HOOK, NULL, 0), 0);
    ck_assert_int_eq(sea_call(ends.a.conn, END_KEEP, NULL, -1, &reply), -EINTR);
    ck_assert(!calls_first(&ends.a.conn->calls, &id, &deadline));
}
END_TEST

static uint64_t cancel_id;

static void act_cancel(struct deed *deed) {
    deed->result = sea_call_cancel(deed->conn, cancel_id);
}

static sea_msg *gave_up[3];
static unsigned gave_up_count;

static void on_gave_up(sea_msg *call, void *user) {
    ck_assert_ptr_eq(user, &ends.b);
    ck_assert(sea_msg_is_cancelled(call));
    gave_up[gave_up_count++] = call;
}

static sea_msg *told_call(int ms) {
    gave_up_count = 0;
    ends.b.conn->options.on_cancel = on_gave_up;
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, ms, 0, &cancel_id), 0);
    ends_settle(&ends);
    return ends.b.kept[0];
}

START_TEST(test_a_call_is_cancelled_elsewhere) {
    const sea_msg *call = told_call(-1);
    ck_assert_int_eq(elsewhere((struct deed){act_cancel, .conn = ends.a.conn}), 0);
    expect_outcome(-ECANCELED, 0);
    ck_assert_uint_eq(gave_up_count, 1);
    ck_assert_ptr_eq(gave_up[0], call);
    end_drop(&ends.b);
    end_free_conn(&ends.a);
    ends_settle(&ends);
    ck_assert_uint_eq(gave_up_count, 1);
}
END_TEST

START_TEST(test_a_handler_is_told_of_its_callers_end) {
    const sea_msg *call = told_call(-1);
    end_free_conn(&ends.a);
    ends_settle(&ends);
    ck_assert_uint_eq(gave_up_count, 1);
    ck_assert_ptr_eq(gave_up[0], call);
}
END_TEST

/* Its caller does not run any more, and says nothing. */
START_TEST(test_a_handler_is_told_of_a_deadline) {
    const sea_msg *call = told_call(test_short_timeout_ms(30));
    ck_assert_uint_eq(gave_up_count, 0);
    while (gave_up_count == 0) {
        end_turn_at_deadline(&ends.b);
        end_settle(&ends.b);
    }
    ck_assert_ptr_eq(gave_up[0], call);
    expect_outcome(-ETIMEDOUT, 0);
    ck_assert_uint_eq(gave_up_count, 1);
}
END_TEST

struct posted_server {
    sea_server *server;
    int status;
    bool is_done;
};

static void on_server_posted(sea_server *server, int status, void *user) {
    struct posted_server *posted = user;
    ck_assert_ptr_eq(server, posted->server);
    posted->status = status;
    posted->is_done = true;
    if (status == 0)
        sea_server_stop(server);
}

static void *post_to_server(void *arg) {
    struct posted_server *posted = arg;
    ck_assert_int_eq(sea_server_post(posted->server, on_server_posted, posted), 0);
    return NULL;
}

START_TEST(test_a_function_is_posted_to_a_server) {
    struct posted_server posted = {.server = NULL};
    pthread_t thread;
    ck_assert_int_eq(sea_server_new(&posted.server, ends.a.ctx, "unix:@sealane-test-threads", NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, post_to_server, &posted), 0);
    ck_assert_int_eq(sea_server_run(posted.server), 0);
    pthread_join(thread, NULL);
    ck_assert(posted.is_done);
    ck_assert_int_eq(posted.status, 0);
    posted.is_done = false;
    post_to_server(&posted);
    sea_server_free(posted.server);
    ck_assert(posted.is_done);
    ck_assert_int_eq(posted.status, -ECANCELED);
}
END_TEST

static sea_msg *hosted_msg;

static void on_hosted(sea_msg *msg, void *user) {
    (void) user;
    hosted_msg = msg;
}

static void note_posted(sea_server *server, int status, void *user) {
    (void) server;
    (void) status;
    atomic_store((atomic_bool *) user, true);
}

/* The thread that ran a loop hands it over, and becomes one of those that release. No connection has had a turn in the
 * new thread. */
START_TEST(test_a_servers_loop_moves) {
    static const sea_method methods[] = {{.number = END_KEEP, .handler = on_hosted}};
    struct host host = {.options = {SEA_METHODS(methods)}};
    struct end client = {.conn = NULL};
    atomic_bool has_begun = false;
    hosted_msg = NULL;
    host_open(&host);
    end_connect(&client, host.address);
    for (bool is_called = false; !hosted_msg; end_turn(&client)) {
        if (!is_called && sea_conn_is_open(client.conn))
            is_called = end_call(&client, END_KEEP, NULL, -1, 0, NULL) == 0;
        sea_server_prepare(host.server);
        ck_assert_int_eq(sea_server_dispatch(host.server), 0);
    }
    sea_conn *conn = sea_msg_conn(hosted_msg);
    ck_assert(conn_is_mine(conn));
    ck_assert_int_eq(pthread_create(&host.thread, NULL, host_run, &host), 0);
    ck_assert_int_eq(sea_server_post(host.server, note_posted, &has_begun), 0);
    wait_until(atomic_load(&has_begun));
    ck_assert(!conn_is_mine(conn));
    sea_msg_release(hosted_msg);
    wait_until(end_turn(&client) || client.outcomes_count);
    while (!client.outcomes_count)
        end_turn(&client);
    ck_assert_int_eq(client.outcomes[0].status, -ECANCELED);
    end_drop(&client);
    end_deinit(&client);
    host_stop(&host);
}
END_TEST

static sea_conn *hosted_conn;

static void on_hosted_open(sea_conn *conn, void *user) {
    (void) user;
    hosted_conn = conn;
}

struct runner {
    struct host *host;
    pthread_barrier_t barrier;
};

static void *run_twice(void *arg) {
    struct runner *runner = arg;
    host_run(runner->host);
    pthread_barrier_wait(&runner->barrier); /* the other thread uses a connection between these two */
    pthread_barrier_wait(&runner->barrier);
    return host_run(runner->host);
}

/* A thread goes on to run its loop after another thread, which has not run it, has used a connection. */
START_TEST(test_a_servers_loop_goes_on) {
    struct host host = {.options = {.on_open = on_hosted_open}};
    struct runner runner = {.host = &host};
    struct end client = {.conn = NULL};
    atomic_bool has_begun = false;
    host_open(&host);
    pthread_barrier_init(&runner.barrier, NULL, 2);
    ck_assert_int_eq(pthread_create(&host.thread, NULL, run_twice, &runner), 0);
    end_connect(&client, host.address);
    while (!sea_conn_is_open(client.conn))
        end_turn(&client);
    sea_server_stop(host.server);
    pthread_barrier_wait(&runner.barrier);
    ck_assert(!conn_is_mine(hosted_conn));
    ck_assert_int_eq(sea_send(hosted_conn, END_HOOK, NULL, 0), 0);
    ck_assert(conn_is_mine(hosted_conn));
    end_settle(&client);
    pthread_barrier_wait(&runner.barrier);
    ck_assert_int_eq(sea_server_post(host.server, note_posted, &has_begun), 0);
    wait_until(atomic_load(&has_begun));
    ck_assert(!conn_is_mine(hosted_conn));
    end_deinit(&client);
    host_stop(&host);
    pthread_barrier_destroy(&runner.barrier);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("threads");
    suite_fixture(s, setup, teardown);
    suite_add(s, test_two_threads_answer_one_call);
    suite_add_loop(s, test_bytes_are_answered_elsewhere, 0, SIZES);
    suite_add(s, test_bytes_beside_a_block_of_the_call);
    suite_add(s, test_a_cancel_beside_a_block_of_the_call);
    suite_add_loop(s, test_a_block_is_answered_elsewhere, 0, SIZES);
    suite_add_loop(s, test_the_calls_own_block_answers_it_elsewhere, 1, SIZES);
    suite_add(s, test_an_error_is_answered_elsewhere);
    suite_add(s, test_a_dropped_call_is_answered_elsewhere);
    suite_add(s, test_a_reply_is_released_elsewhere);
    suite_add(s, test_errors_that_are_known_elsewhere);
    suite_add_loop(s, test_the_end_comes_before_the_turn, 0, 2);
    suite_add_loop(s, test_the_end_comes_before_the_release, 0, SIZES);
    suite_add(s, test_figures_after_the_end);
    suite_add(s, test_a_connection_moves);
    suite_add(s, test_a_function_is_posted);
    suite_add_loop(s, test_a_post_is_told_of_the_end, 0, 2);
    suite_add(s, test_a_post_frees_the_connection_at_its_end);
    suite_add(s, test_many_posts_are_told_of_the_end);
    suite_add(s, test_a_post_that_posts_itself_ends);
    suite_add_loop(s, test_on_close_posts, 0, 2);
    suite_add(s, test_posts_race_with_the_end);
    suite_add(s, test_an_answer_is_dropped_without_its_connections_lock);
    suite_add(s, test_a_cancelled_wait_leaves_the_connection);
    suite_add(s, test_an_unwound_call_has_no_reply);
    suite_add(s, test_a_call_that_lost_its_connection_ends);
    suite_add(s, test_a_call_is_cancelled_elsewhere);
    suite_add(s, test_a_handler_is_told_of_its_callers_end);
    suite_add(s, test_a_handler_is_told_of_a_deadline);
    suite_add(s, test_a_function_is_posted_to_a_server);
    suite_add(s, test_a_servers_loop_moves);
    suite_add(s, test_a_servers_loop_goes_on);
    return suite_run(s);
}
