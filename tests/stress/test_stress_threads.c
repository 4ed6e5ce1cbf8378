/* SPDX-License-Identifier: MIT */
/*
 * Eight threads answer, release, post and cancel on 32 connections, which two other threads drive: one the server, one
 * the clients. Connections end and begin anew meanwhile. Every call ends once, every post is run once, and nothing
 * leaks.
 *
 * SEALANE_STRESS_THREADS: how long, in seconds, instead of 2.
 */
#include <errno.h>
#include <pthread.h>
#include <sealane/sealane.h>
#include <sealane/server.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/random.h"
#include "support/suite.h"

enum { CONNECTIONS = 32, WORKERS = 8, CALLS_MAX = 8, QUEUE = 4096, WORK = 1, BLOCK = 100000 };

/* Messages that wait for a worker: calls at the server, and replies at the clients. */
static struct {
    pthread_mutex_t lock;
    sea_msg *messages[QUEUE];
    unsigned count;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool queue_push(sea_msg *msg) {
    pthread_mutex_lock(&queue.lock);
    bool has_room = queue.count < QUEUE;
    if (has_room)
        queue.messages[queue.count++] = msg;
    pthread_mutex_unlock(&queue.lock);
    return has_room;
}

static sea_msg *queue_take(uint64_t *state) {
    pthread_mutex_lock(&queue.lock);
    sea_msg *msg = NULL;
    if (queue.count > 0) {
        unsigned at = random_below(state, queue.count);
        msg = queue.messages[at];
        queue.messages[at] = queue.messages[--queue.count];
    }
    pthread_mutex_unlock(&queue.lock);
    return msg;
}

/* The lock keeps workers from a connection that is being freed, as a program has to. */
static struct client {
    pthread_mutex_t lock;
    sea_conn *conn;
    unsigned in_flight;
    uint64_t last_id;
} clients[CONNECTIONS];

static atomic_uint_fast64_t started, ended, posted, posts_run, gave_up, server_posts, server_posts_run;
static atomic_bool is_over, is_drained;
static sea_server *server;
static sea_ctx *ctx;

static void hand_over(sea_msg *msg) {
    if (msg && !queue_push(msg))
        sea_msg_release(msg);
}

static void on_work(sea_msg *msg, void *user) {
    (void) user;
    hand_over(msg);
}

static void on_cancel(sea_msg *call, void *user) {
    (void) user;
    (void) call;
    atomic_fetch_add(&gave_up, 1);
}

static void on_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    struct client *client = user;
    (void) conn;
    (void) status;
    client->in_flight--;
    atomic_fetch_add(&ended, 1);
    hand_over(reply);
}

static void on_posted(sea_conn *conn, int status, void *user) {
    (void) conn;
    (void) user;
    (void) status;
    atomic_fetch_add(&posts_run, 1);
}

static void on_server_posted(sea_server *on, int status, void *user) {
    (void) user;
    (void) status;
    ck_assert_ptr_eq(on, server);
    atomic_fetch_add(&server_posts_run, 1);
}

static char bytes[BLOCK];

/* A call is answered in one of five ways; what is no call is released. */
static void finish(sea_msg *msg, uint64_t *state) {
    sea_block *block = sea_msg_block(msg), *kept = random_below(state, 4) == 0 ? sea_block_ref(block) : NULL;
    switch (sea_msg_is_call(msg) ? random_below(state, 6) : 5) {
    case 0:
        sea_reply(msg, sea_block_ref(block));
        break;
    case 1:
        sea_reply_bytes(msg, bytes, random_below(state, 80));
        break;
    case 2:
        sea_reply_bytes(msg, bytes, random_below(state, BLOCK));
        break;
    case 3:
        sea_reply_error(msg, -EXDEV, "a worker's answer");
        break;
    case 4:
        sea_reply(msg, NULL);
        break;
    default:
        sea_msg_release(msg);
    }
    sea_block_unref(kept);
}

/* Posts to, or cancels a call of, one of the clients. */
static void meddle(uint64_t *state) {
    struct client *client = &clients[random_below(state, CONNECTIONS)];
    pthread_mutex_lock(&client->lock);
    if (client->conn && random_below(state, 2))
        sea_call_cancel(client->conn, client->last_id);
    else if (client->conn && sea_conn_post(client->conn, on_posted, NULL) == 0)
        atomic_fetch_add(&posted, 1);
    pthread_mutex_unlock(&client->lock);
    if (random_below(state, 8) == 0 && sea_server_post(server, on_server_posted, NULL) == 0)
        atomic_fetch_add(&server_posts, 1);
}

static void *work(void *arg) {
    uint64_t state = (uint64_t) (uintptr_t) arg * 977 + 1;
    while (!atomic_load(&is_drained)) {
        sea_msg *msg = queue_take(&state);
        if (msg)
            finish(msg, &state);
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        if (!atomic_load(&is_over) && random_below(&state, 8) == 0)
            meddle(&state);
    }
    return NULL;
}

static void *serve(void *arg) {
    ck_assert_int_eq(sea_server_run(arg), 0);
    return NULL;
}

static void client_start(struct client *client, uint64_t *state) {
    sea_block *block = NULL;
    uint64_t id = 0;
    size_t size = random_below(state, 3) ? random_below(state, 200) : random_below(state, BLOCK);
    if (client->in_flight >= CALLS_MAX || sea_block_new(&block, client->conn, size) < 0)
        return;
    sea_block_fill(block, 0, bytes, size);
    client->in_flight++;
    atomic_fetch_add(&started, 1);
    int timeout_ms = random_below(state, 16) ? -1 : (int) random_below(state, 5) + 1;
    if (sea_call_start(client->conn, WORK, block, timeout_ms, on_done, client, &id) < 0) {
        client->in_flight--;
        atomic_fetch_sub(&started, 1);
        return;
    }
    pthread_mutex_lock(&client->lock);
    client->last_id = id;
    pthread_mutex_unlock(&client->lock);
}

static void client_end(struct client *client) {
    sea_conn *conn = client->conn;
    pthread_mutex_lock(&client->lock);
    client->conn = NULL;
    pthread_mutex_unlock(&client->lock);
    sea_conn_free(conn);
}

static void client_begin(struct client *client) {
    sea_conn *conn = NULL;
    ck_assert_int_eq(sea_connect(&conn, ctx, sea_server_address(server), NULL), 0);
    pthread_mutex_lock(&client->lock);
    client->conn = conn;
    pthread_mutex_unlock(&client->lock);
}

static double seconds_wanted(void) {
    const char *text = getenv("SEALANE_STRESS_THREADS");
    return text ? atof(text) : 2;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void drive(double until) {
    uint64_t state = 42;
    while (now() < until) {
        struct client *client = &clients[random_below(&state, CONNECTIONS)];
        for (int i = 0; i < 4; i++)
            client_start(client, &state);
        sea_conn_wait(client->conn, 0);
        if (random_below(&state, 500) == 0) {
            client_end(client);
            client_begin(client);
        }
    }
}

START_TEST(test_threads_share_connections) {
    static const sea_method methods[] = {{.number = WORK, .name = "work", .handler = on_work}};
    const sea_options options = {SEA_METHODS(methods), .on_cancel = on_cancel};
    pthread_t workers[WORKERS], server_thread;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_server_new(&server, ctx, "unix:@sealane-stress-threads", &options), 0);
    ck_assert_int_eq(pthread_create(&server_thread, NULL, serve, server), 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        pthread_mutex_init(&clients[i].lock, NULL);
        client_begin(&clients[i]);
    }
    for (uintptr_t i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&workers[i], NULL, work, (void *) i), 0);
    drive(now() + seconds_wanted());
    atomic_store(&is_over, true);
    for (int i = 0; i < CONNECTIONS; i++)
        client_end(&clients[i]);
    sea_server_stop(server);
    pthread_join(server_thread, NULL);
    atomic_store(&is_drained, true);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    sea_server_free(server);
    uint64_t state = 7;
    for (sea_msg *msg; (msg = queue_take(&state));)
        sea_msg_release(msg);
    ck_assert_uint_gt(atomic_load(&started), 0);
    ck_assert_uint_eq(atomic_load(&started), atomic_load(&ended));
    ck_assert_uint_eq(atomic_load(&posted), atomic_load(&posts_run));
    ck_assert_uint_eq(atomic_load(&server_posts), atomic_load(&server_posts_run));
    uint64_t figures[SEA_FIGURES];
    sea_ctx_figures(ctx, figures, SEA_FIGURES);
    ck_assert_uint_eq(figures[SEA_FIGURE_CONNECTIONS], 0);
    ck_assert_uint_eq(figures[SEA_FIGURE_BLOCKS], 0);
    ck_assert_uint_eq(figures[SEA_FIGURE_LEASED_BLOCKS] + figures[SEA_FIGURE_IMPORTED_BLOCKS], 0);
    ck_assert_uint_eq(figures[SEA_FIGURE_OUTGOING_CALLS] + figures[SEA_FIGURE_INCOMING_CALLS], 0);
    sea_ctx_unref(ctx);
    for (int i = 0; i < CONNECTIONS; i++)
        pthread_mutex_destroy(&clients[i].lock);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("stress_threads");
    suite_guard(s, 60 + 4 * (int) seconds_wanted());
    suite_add(s, test_threads_share_connections);
    return suite_run(s);
}
