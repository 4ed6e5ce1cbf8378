/* SPDX-License-Identifier: MIT */
/*
 * Programs that misuse the library: with SEALANE_CHECK=1 each ends in a text on standard error and SIGABRT; without it
 * the misuse is refused, and the connection goes on. And a handler that longjmp() leaves.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sealane/server.h>

#include "conn_pair.h"
#include "host.h"
#include "valgrind.h"

static struct ends ends;

static sea_msg *kept_call(void) {
    ck_assert_int_eq(end_call(&ends.a, END_KEEP, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
    return ends.b.kept[--ends.b.kept_count];
}

static void release_twice(void) {
    sea_msg *call = kept_call();
    sea_msg_release(call);
    sea_msg_release(call);
}

static void answer_twice(void) {
    sea_msg *call = kept_call();
    sea_reply(call, NULL);
    sea_reply(call, NULL);
}

static void *release_one(void *msg) {
    return sea_msg_release(msg);
}

static void release_twice_elsewhere(void) {
    pthread_t thread;
    sea_msg *call = kept_call();
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, NULL, release_one, call);
        pthread_join(thread, NULL);
    }
}

static void *answer_one(void *msg) {
    ck_assert_int_eq(sea_reply(msg, NULL), 0);
    return NULL;
}

/* The answer of the other thread is still on its way. `act`: 0 releases, 1 answers, 2 answers with bytes,
 * 3 with an error. */
static void answer_elsewhere_and(int act) {
    pthread_t thread;
    sea_msg *call = kept_call();
    pthread_create(&thread, NULL, answer_one, call);
    pthread_join(thread, NULL);
    if (act == 0)
        sea_msg_release(call);
    else if (act == 1)
        ck_assert_int_eq(sea_reply(call, NULL), -EINVAL);
    else if (act == 3)
        ck_assert_int_eq(sea_reply_error(call, -EIO, "twice"), -EINVAL);
    else
        ck_assert_int_eq(sea_reply_bytes(call, "x", 1), -EINVAL);
}

static void answer_elsewhere_and_release(void) {
    answer_elsewhere_and(0);
}

static void answer_elsewhere_and_answer(void) {
    answer_elsewhere_and(1);
}

static void answer_elsewhere_and_answer_with_bytes(void) {
    answer_elsewhere_and(2);
}

static void answer_elsewhere_and_answer_with_an_error(void) {
    answer_elsewhere_and(3);
}

static void *send_elsewhere(void *conn) {
    ck_assert_int_eq(sea_send(conn, END_SINK, NULL, 0), -EDEADLK);
    return NULL;
}

static void hook_to_other_thread(struct end *end, sea_msg *msg) {
    pthread_t thread;
    pthread_create(&thread, NULL, send_elsewhere, end->conn);
    pthread_join(thread, NULL);
    sea_msg_release(msg);
}

static void drive_from_two_threads(void) {
    ends.b.hook = hook_to_other_thread;
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
}

static void *use_pools_elsewhere(void *conn) {
    sea_pool *own = sea_conn_pool(conn), *other = NULL;
    sea_block *block = NULL;
    uint64_t value = 7;
    ck_assert_int_eq(sea_pool_new(&other, conn, NULL), -EDEADLK);
    ck_assert_int_eq(sea_pool_block(&block, own, 100000), -EDEADLK);
    ck_assert_int_eq(sea_pool_reserve(own, 100000, 1), -EDEADLK);
    ck_assert_int_eq(sea_pool_generation_figures(own, 1, &value, 1), -EDEADLK);
    sea_pool_rotate(own);
    sea_conn_figures(conn, &value, 1);
    ck_assert_uint_eq(value, 0);
    return NULL;
}

static void free_the_pool_of_a_connection(void) {
    sea_block *block = NULL;
    ck_assert_ptr_null(sea_pool_free(sea_conn_pool(ends.a.conn)));
    ck_assert_int_eq(sea_block_new(&block, ends.a.conn, 100000), 0);
    sea_block_unref(block);
}

static void *batch_elsewhere(void *conn) {
    sea_batch_begin(conn);
    sea_batch_end(conn);
    return NULL;
}

static void *(*act_elsewhere)(void *conn);

static void hook_to_act_elsewhere(struct end *end, sea_msg *msg) {
    pthread_t thread;
    pthread_create(&thread, NULL, act_elsewhere, end->conn);
    pthread_join(thread, NULL);
    sea_msg_release(msg);
}

static void act_in_a_turn(void *(*act)(void *conn)) {
    act_elsewhere = act;
    ends.b.hook = hook_to_act_elsewhere;
    ck_assert_int_eq(end_call(&ends.a, END_HOOK, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
}

static void use_pools_of_a_turn(void) {
    act_in_a_turn(use_pools_elsewhere);
}

static void batch_in_a_turn(void) {
    act_in_a_turn(batch_elsewhere);
}

/* It would hold back doorbells for ever. */
static void end_a_batch_that_has_not_begun(void) {
    sea_batch_end(ends.a.conn);
}

/* A pooled block, and a small one. */
static const size_t block_sizes[] = {100000, 10};

static void use_dead_blocks(void (*use)(sea_block *dead)) {
    for (int i = 0; i < 2; i++) {
        sea_block *blocks[2], *dead = end_block(&ends.a, block_sizes[i], 1);
        sea_block_unref(dead);
        use(dead);
        for (int k = 0; k < 2; k++)
            blocks[k] = end_block(&ends.a, block_sizes[i], k);
        ck_assert_ptr_ne(blocks[0], blocks[1]);
        ck_assert_int_eq(*(const char *) sea_block_view(blocks[0]), 0);
        for (int k = 0; k < 2; k++)
            sea_block_unref(blocks[k]);
    }
    ck_assert_uint_eq(end_figures(&ends.a).of[SEA_FIGURE_BLOCKS], 0);
}

static void unref_dead(sea_block *dead) {
    sea_block_unref(dead);
}

static void ref_dead(sea_block *dead) {
    sea_block_ref(dead);
    sea_block_unref(dead);
}

static void write_dead(sea_block *dead) {
    ck_assert_ptr_null(sea_block_data(dead));
    ck_assert_int_eq(sea_block_fill(dead, 0, "x", 1), -EINVAL);
    ck_assert_int_eq(sea_block_shrink(dead, 1), -EINVAL);
}

static void send_dead(sea_block *dead) {
    ck_assert_int_eq(sea_send(ends.a.conn, END_KEEP, dead, 0), -EINVAL);
}

static void unref_dead_blocks(void) {
    use_dead_blocks(unref_dead);
}

static void ref_dead_blocks(void) {
    use_dead_blocks(ref_dead);
}

static void write_dead_blocks(void) {
    use_dead_blocks(write_dead);
}

static void send_dead_blocks(void) {
    use_dead_blocks(send_dead);
}

static sea_conn *hosted;

static void on_hosted_open(sea_conn *conn, void *user) {
    (void) user;
    hosted = conn;
}

static void note_posted(sea_server *server, int status, void *user) {
    (void) server;
    (void) status;
    atomic_store((atomic_bool *) user, true);
}

/* The server's thread sleeps, and drives the connection all the same. */
static void use_a_connection_of_a_loop(void) {
    struct host host = {.options = {.on_open = on_hosted_open}};
    struct end client = {.conn = NULL};
    atomic_bool has_begun = false;
    host_start(&host);
    end_connect(&client, host.address);
    while (!sea_conn_is_open(client.conn))
        end_turn(&client);
    ck_assert_int_eq(sea_server_post(host.server, note_posted, &has_begun), 0);
    wait_until(atomic_load(&has_begun) && poller_is_run_elsewhere(hosted->watch.poller));
    ck_assert_int_eq(sea_send(hosted, END_SINK, NULL, 0), -EDEADLK);
    char why[200];
    sea_explain(NULL, hosted, -EDEADLK, why, sizeof why);
    ck_assert_ptr_nonnull(strstr(why, "sea_conn_post()"));
    end_deinit(&client);
    host_stop(&host);
}

static void *wait_for_a_connection(void *has_begun) {
    atomic_store((atomic_bool *) has_begun, true);
    ck_assert_int_eq(sea_conn_wait(ends.a.conn, -1), -EINTR);
    return NULL;
}

/* A thread that waits looks at the ring nearly all the time: it is asked again and again, and it never sleeps. */
static void use_a_connection_that_is_waited_for(void) {
    pthread_t thread;
    atomic_bool has_begun = false;
    ends.a.conn->lane.spin.waiting = SEA_WAIT_SPIN;
    pthread_create(&thread, NULL, wait_for_a_connection, &has_begun);
    wait_until(atomic_load(&has_begun) && !conn_is_mine(ends.a.conn));
    for (int i = 0; i < 20; i++) {
        nap();
        ck_assert_int_eq(sea_send(ends.a.conn, END_SINK, NULL, 0), -EDEADLK);
    }
    ck_assert_int_eq(sea_conn_interrupt(ends.a.conn), 0);
    pthread_join(thread, NULL);
}

static void ignore(sea_conn *conn, void *user) {
    (void) conn;
    (void) user;
    ck_abort();
}

/* act: 0 frees the server, 1 lists its connections, 2 runs it. */
static void use_a_server_that_runs(int act) {
    struct host host = {.options = {.on_open = on_hosted_open}};
    atomic_bool has_begun = false;
    char why[300];
    host_start(&host);
    ck_assert_int_eq(sea_server_post(host.server, note_posted, &has_begun), 0);
    wait_until(atomic_load(&has_begun));
    nap(); /* the thread begins the next turn */
    if (act == 0)
        ck_assert_ptr_null(sea_server_free(host.server));
    else if (act == 1)
        sea_server_each(host.server, ignore, NULL);
    else
        ck_assert_int_eq(sea_server_run(host.server), -EDEADLK);
    sea_explain(host.ctx, NULL, -EDEADLK, why, sizeof why);
    ck_assert(act < 2 || strstr(why, "another thread runs the server"));
    host_stop(&host);
}

static void free_a_server_that_runs(void) {
    use_a_server_that_runs(0);
}

static void list_a_server_that_runs(void) {
    use_a_server_that_runs(1);
}

static void free_again(struct end *end, const struct outcome *outcome) {
    ck_assert_int_eq(outcome->status, -ECANCELED);
    ck_assert_ptr_null(sea_conn_free(end->conn));
}

/* The callback frees the connection after any error, and so is called from inside sea_conn_free(). */
static void free_a_connection_twice(void) {
    struct ends others = {.a.at_done = free_again};
    ends_open(&others);
    ck_assert_int_eq(end_call(&others.a, END_KEEP, NULL, -1, 0, NULL), 0);
    ends_settle(&others);
    end_free_conn(&others.a);
    ck_assert_uint_eq(others.a.outcomes_count, 1);
    ends_settle(&others);
    ends_deinit(&others);
}

static void free_the_opened(sea_conn *conn, void *user) {
    (void) user;
    ck_assert_ptr_null(sea_conn_free(conn));
    ck_assert(sea_conn_is_open(conn));
}

static void free_a_connection_of_a_server(void) {
    struct host host = {.options = {.on_open = free_the_opened}};
    sea_conn *conn = NULL;
    host_start(&host);
    ck_assert_int_eq(sea_connect(&conn, ends.a.ctx, host.address, NULL), 0);
    ck_assert_int_eq(sea_call_bytes(conn, 0, "x", 1, test_timeout_ms(10000), NULL), -ENOSYS);
    sea_conn_free(conn);
    host_stop(&host);
}

static const struct {
    void (*misuse)(void);
    const char *text;
} cases[] = {
    {release_twice, "released or answered already"},
    {answer_twice, "released or answered already"},
    {release_twice_elsewhere, "released or answered twice"},
    {answer_elsewhere_and_release, "released or answered twice"},
    {answer_elsewhere_and_answer, "released or answered twice"},
    {answer_elsewhere_and_answer_with_bytes, "released or answered twice"},
    {answer_elsewhere_and_answer_with_an_error, "released or answered twice"},
    {drive_from_two_threads, "another thread is driving"},
    {use_pools_of_a_turn, "another thread is driving"},
    {batch_in_a_turn, "sea_conn_post()"},
    {free_the_pool_of_a_connection, "frees the pool of a connection"},
    {end_a_batch_that_has_not_begun, "a batch ends that has not begun"},
    {unref_dead_blocks, "a block is used whose last reference is gone"},
    {ref_dead_blocks, "a block is used whose last reference is gone"},
    {write_dead_blocks, "a block is used whose last reference is gone"},
    {send_dead_blocks, "a block is used whose last reference is gone"},
    {use_a_connection_of_a_loop, "another thread is driving"},
    {use_a_connection_that_is_waited_for, "another thread is driving"},
    {free_a_server_that_runs, "frees a server that another thread runs"},
    {free_a_connection_twice, "a connection is freed twice"},
    {free_a_connection_of_a_server, "frees a connection of a server"},
    {list_a_server_that_runs, "lists the connections of a server that another thread runs"},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(test_misuse_ends_in_a_text) {
    int pipe_fds[2], status;
    char text[512] = "";
    ck_assert_int_eq(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        setenv("SEALANE_CHECK", "1", 1);
        dup2(pipe_fds[1], 2);
        ends_open(&ends);
        cases[_i].misuse();
        _exit(0);
    }
    close(pipe_fds[1]);
    for (size_t got = 0; got < sizeof text - 1;) {
        ssize_t n = read(pipe_fds[0], text + got, sizeof text - 1 - got);
        if (n <= 0)
            break;
        got += (size_t) n;
    }
    close(pipe_fds[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_ptr_nonnull(strstr(text, cases[_i].text));
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
}
END_TEST

/* Calls go on after it. */
START_TEST(test_misuse_is_refused) {
    ends_open(&ends);
    cases[_i].misuse();
    ends_settle(&ends);
    end_drop(&ends.a);
    ck_assert_int_eq(end_call(&ends.a, END_ECHO, NULL, -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    ck_assert_int_eq(ends.a.outcomes[0].status, 0);
    end_deinit(&ends.a);
    end_deinit(&ends.b);
}
END_TEST

START_TEST(test_the_pool_of_an_ended_connection_is_its_own) {
    ends_open(&ends);
    sea_conn_close(ends.b.conn);
    ends_settle(&ends);
    ck_assert(!sea_conn_is_open(ends.a.conn));
    ck_assert_ptr_null(sea_pool_free(sea_conn_pool(ends.a.conn)));
    ck_assert_str_eq(sea_pool_name(sea_conn_pool(ends.a.conn)), "");
    end_deinit(&ends.a);
    end_deinit(&ends.b);
}
END_TEST

START_TEST(test_a_server_runs_in_one_thread) {
    use_a_server_that_runs(2);
}
END_TEST

/* --- longjmp() out of a handler --- */

enum { LEAVE = 1, CPU_SECONDS = 60 };

static jmp_buf before_the_run;

static void on_leave(sea_msg *msg, void *user) {
    (void) msg, (void) user;
    longjmp(before_the_run, 1);
}

static void *run_until_it_is_left(void *server) {
    if (setjmp(before_the_run) == 0)
        sea_server_run(server);
    return sea_server_free(server);
}

/* In a process of its own: its memory does not all come back. A sea_server_free() that goes on for ever is stopped by
 * the limit of CPU time. */
static void leave_and_free(void) {
    static const sea_method methods[] = {{.number = LEAVE, .name = "leave", .handler = on_leave}};
    const sea_options options = {.methods = methods, .methods_count = 1, .handshake_ms = 60000};
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    sea_conn *conn = NULL;
    pthread_t thread;
    char address[64];
    snprintf(address, sizeof address, "unix:@sealane-test-misuse-%d", (int) getpid());
    setrlimit(RLIMIT_CPU, &(struct rlimit){CPU_SECONDS, CPU_SECONDS});
    if (sea_ctx_new(&ctx, NULL) < 0 || sea_server_new(&server, ctx, address, &options) < 0)
        _exit(1);
    pthread_create(&thread, NULL, run_until_it_is_left, server);
    if (sea_connect(&conn, ctx, address, NULL) < 0 || sea_send_bytes(conn, LEAVE, "x", 1, -1) < 0)
        _exit(2);
    pthread_join(thread, NULL);
    int r = 1;
    while (r > 0)
        r = sea_conn_wait(conn, test_timeout_ms(10000));
    _exit(r == -EPIPE ? 0 : 3);
}

/* The server takes itself for being inside the handler for ever. Its thread can free it, which ends its
 * connections. */
START_TEST(test_a_server_that_longjmp_has_left_is_freed) {
    int status;
    if (is_under_valgrind())
        test_skip("memory that does not come back is an error for the memory checker");
    pid_t child = fork();
    if (child == 0)
        leave_and_free();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "it ended with %#x", (unsigned) status);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("misuse");
    suite_add_loop(s, test_misuse_ends_in_a_text, 0, CASES);
    suite_add_loop(s, test_misuse_is_refused, 0, CASES);
    suite_add(s, test_the_pool_of_an_ended_connection_is_its_own);
    suite_add(s, test_a_server_runs_in_one_thread);
    suite_add(s, test_a_server_that_longjmp_has_left_is_freed);
    return suite_run(s);
}
