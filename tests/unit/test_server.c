/* SPDX-License-Identifier: MIT */
/*
 * rpc/server: listening and taking over, the peers that are let in, running and stopping, and the functions that
 * callbacks may use. Mostly driven on the test's thread, as a foreign loop does; on a thread of its own where the tests
 * are about waiting.
 */
#include "support/suite.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"
#include "support/speaker.h"
#include "sys/limits.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "sys/socket.h" /* NOLINT(readability-duplicate-include): this header is ours */
#include "unit/conn_pair.h"
#include "unit/fail.h"
#include "unit/host.h"
#include "unit/reaper_jam.h"

#define NOBODY 4002
#define CLIENTS_MAX 20

enum server_method {
    ECHO = END_ECHO,
    KEEP = END_KEEP,
    CLOSE_OTHERS = 10, /* calls sea_conn_close() for every connection except the caller's */
    CLOSE_ALL = 11,    /* closes the caller's, too, after the answer */
    STOP = 12,         /* sea_server_stop() */
    PROBE = 13,        /* calls the server's functions of a turn, from a handler */
    STOP_AND_RUN = 14
};

static struct host host;
static struct end clients[CLIENTS_MAX];
static sea_msg *kept[CLIENTS_MAX];
static int kept_count;
static unsigned opened, closed;
static sea_close_event endings[CLIENTS_MAX]; /* their texts are not kept */

static void on_keep(sea_msg *msg, void *user) {
    (void) user;
    kept[kept_count++] = msg;
}

static void drop_kept(void) {
    while (kept_count > 0)
        sea_msg_release(kept[--kept_count]);
}

static void close_unless(sea_conn *conn, void *user) {
    if (conn != user)
        sea_conn_close(conn);
}

static void on_close_others(sea_msg *msg, void *user) {
    (void) user;
    sea_server_each(host.server, close_unless, sea_msg_conn(msg));
    sea_reply(msg, NULL);
}

static void on_close_all(sea_msg *msg, void *user) {
    (void) user;
    sea_reply(msg, NULL);
    sea_server_each(host.server, close_unless, NULL);
}

static void on_stop(sea_msg *msg, void *user) {
    (void) user;
    sea_server_stop(host.server);
    sea_reply(msg, NULL);
}

static int depth, depth_most, probes, timeout_inside, dispatch_inside;

static void on_probe(sea_msg *msg, void *user) {
    (void) user;
    probes++;
    depth_most = ++depth > depth_most ? depth : depth_most;
    timeout_inside = sea_server_prepare(host.server);
    dispatch_inside = sea_server_dispatch(host.server);
    depth--;
    sea_msg_release(msg);
}

static int run_inside;

static void on_stop_and_run(sea_msg *msg, void *user) {
    (void) user;
    sea_server_stop(host.server);
    run_inside = sea_server_run(host.server);
    sea_msg_release(msg);
}

static void on_open(sea_conn *conn, void *user) {
    (void) user;
    ck_assert(sea_conn_is_open(conn));
    opened++;
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) user;
    ck_assert(!sea_conn_is_open(conn));
    ck_assert_ptr_nonnull(event->text);
    ck_assert_uint_lt(closed, CLIENTS_MAX);
    endings[closed++] = *event;
}

static const sea_method methods[] = {
    {.number = ECHO, .name = "echo", .handler = end_on_echo},
    {.number = KEEP, .name = "keep", .handler = on_keep},
    {.number = CLOSE_OTHERS, .name = "close others", .handler = on_close_others},
    {.number = CLOSE_ALL, .name = "close all", .handler = on_close_all},
    {.number = STOP, .name = "stop", .handler = on_stop},
    {.number = PROBE, .name = "probe", .handler = on_probe},
    {.number = STOP_AND_RUN, .name = "stop and run", .handler = on_stop_and_run},
};

static void scene_set(void) {
    fail_off();
    memset(clients, 0, sizeof clients);
    opened = closed = 0;
    kept_count = 0;
    host = (struct host){.options = {SEA_METHODS(methods), .on_open = on_open, .on_close = on_close}};
}

/* Gives the server one turn, if it asks for one. */
static bool host_turn(void) {
    struct pollfd item = {.fd = sea_server_fd(host.server), .events = POLLIN};
    ck_assert_int_ge(poll(&item, 1, 0), 0);
    if (!item.revents && sea_server_prepare(host.server) != 0)
        return false;
    ck_assert_int_eq(sea_server_dispatch(host.server), 0);
    return true;
}

static void settle(void) {
    bool is_busy = true;
    for (int turns = 0; is_busy; turns++) {
        ck_assert_int_lt(turns, 100000);
        is_busy = host_turn();
        for (int i = 0; i < CLIENTS_MAX; i++)
            is_busy |= clients[i].ctx && end_turn(&clients[i]);
    }
}

static void clients_connect(int count) {
    for (int i = 0; i < count; i++)
        end_connect(&clients[i], host.address);
    settle();
}

static void scene_end(void) {
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (clients[i].ctx)
            end_deinit(&clients[i]);
    drop_kept();
    host_close(&host);
}

/* Makes a call of one client that must be answered with `status`. */
static void check_call(struct end *client, uint32_t method, int status) {
    ck_assert_int_eq(end_call(client, method, NULL, -1, 0, NULL), 0);
    settle();
    ck_assert_uint_eq(client->outcomes_count, 1);
    ck_assert_int_eq(client->outcomes[0].status, status);
    end_drop(client);
}

/* connections */

START_TEST(test_connections_come_and_go) {
    host_open(&host);
    ck_assert_str_eq(sea_server_address(host.server), host.address);
    clients_connect(10);
    ck_assert_uint_eq(sea_server_connections(host.server), 10);
    ck_assert_uint_eq(opened, 10);
    for (int i = 0; i < 10; i++)
        check_call(&clients[i], ECHO, 0);
    for (int i = 0; i < 5; i++)
        end_free_conn(&clients[i]);
    settle();
    ck_assert_uint_eq(sea_server_connections(host.server), 5);
    ck_assert_uint_eq(closed, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(endings[i].reason, 0);
    check_call(&clients[7], ECHO, 0);
    scene_end();
    ck_assert_uint_eq(opened, 10);
    ck_assert_uint_eq(closed, 10);
}
END_TEST

/* A client that has not greeted is no connection yet: its end runs on_close, without on_open. */
START_TEST(test_a_client_that_does_not_greet) {
    host.options.handshake_ms = 20;
    host_open(&host);
    struct speaker *speaker = speaker_new(raw_connect(host.address + strlen("unix:")));
    settle();
    ck_assert_uint_eq(sea_server_connections(host.server), 0);
    while (closed == 0) {
        int ms = sea_server_prepare(host.server);
        ck_assert_int_ge(ms, 0);
        wait_fd(-1, 0, wait_deadline(ms));
        settle();
    }
    ck_assert_uint_eq(opened, 0);
    ck_assert_int_eq(endings[0].reason, -ETIMEDOUT);
    ck_assert_int_eq(speaker_farewell(speaker).reason, -ETIMEDOUT);
    ck_assert_int_eq(sea_server_prepare(host.server), -1);
    speaker_free(speaker);
    scene_end();
    ck_assert_uint_eq(closed, 1);
}
END_TEST

START_TEST(test_a_client_that_breaks_the_protocol) {
    static struct draft draft;
    host_open(&host);
    clients_connect(1);
    struct speaker *speaker = speaker_new(raw_connect(host.address + strlen("unix:")));
    draft_inline(&draft, 1, ECHO, 10);
    speaker_send(speaker, &draft);
    settle();
    ck_assert_int_eq(speaker_farewell(speaker).reason, -EPROTO);
    ck_assert_uint_eq(opened, 1);
    ck_assert_uint_eq(closed, 1);
    ck_assert_int_eq(endings[0].reason, -EPROTO);
    check_call(&clients[0], ECHO, 0);
    speaker_free(speaker);
    scene_end();
}
END_TEST

START_TEST(test_as_many_as_it_takes) {
    host.options.connections_max = 3;
    host.options.connections_per_process = 3;
    host_open(&host);
    clients_connect(5);
    ck_assert_uint_eq(sea_server_connections(host.server), 3);
    unsigned refused = 0;
    for (int i = 0; i < 5; i++)
        if (clients[i].closed) {
            refused++;
            ck_assert_int_eq(clients[i].event.reason, -EUSERS);
            ck_assert_uint_eq(clients[i].opened, 0);
        }
    ck_assert_uint_eq(refused, 2);
    ck_assert_uint_eq(closed, 2);
    ck_assert_int_eq(endings[0].reason, -EUSERS);
    sea_server_each(host.server, close_unless, NULL);
    settle();
    ck_assert_uint_eq(sea_server_connections(host.server), 0);
    end_connect(&clients[5], host.address);
    settle();
    ck_assert_uint_eq(clients[5].opened, 1);
    scene_end();
}
END_TEST

static int connect_once(int line, void *address) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    uint64_t word;
    ck_assert(line_hear(line, 10000, &word));
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    int r = sea_connect(&conn, ctx, address, &(sea_options){.handshake_ms = test_timeout_ms(10000)});
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return -r;
}

/* A process that opens as many connections as it can, and sleeps, keeps no other process out. */
START_TEST(test_one_process_does_not_take_all) {
    enum { MOST = 8, SHARE = 6, COME = 12 };
    int fds[COME];
    struct child child;
    snprintf(host.address, sizeof host.address, "unix:%s", raw_name());
    host.options.connections_max = MOST;
    child_start(&child, connect_once, host.address);
    host_open(&host);
    for (int i = 0; i < COME; i++)
        fds[i] = raw_connect(host.address + strlen("unix:"));
    settle();
    ck_assert_uint_eq(closed, COME - SHARE);
    struct speaker *refused = speaker_new(fds[COME - 1]);
    struct farewell farewell = speaker_farewell(refused);
    ck_assert_int_eq(farewell.reason, -EUSERS);
    ck_assert_msg(strstr(farewell.text, "this process has 6 of the server's 8") != NULL, "it says: %s", farewell.text);
    speaker_free(refused);
    ck_assert(line_tell(child.line, 0));
    struct pollfd items[] = {{.fd = sea_server_fd(host.server), .events = POLLIN},
                             {.fd = child.line, .events = POLLIN}};
    while (!items[1].revents) {
        settle();
        ck_assert_int_ge(poll(items, 2, sea_server_prepare(host.server)), 0);
    }
    ck_assert_int_eq(child_end(&child, 10000), 0);
    for (int i = 0; i < COME - 1; i++) {
        close(fds[i]);
        settle();
        closed = 0;
    }
    scene_end();
}
END_TEST

/* Gives turns until `count` connections have ended. */
static void settle_until_closed(unsigned count) {
    while (closed < count) {
        int ms = sea_server_prepare(host.server);
        ck_assert_int_ge(ms, 0);
        struct pollfd item = {.fd = sea_server_fd(host.server), .events = POLLIN};
        ck_assert_int_ge(poll(&item, 1, ms), 0);
        settle();
    }
}

/* A connection without activity loses its slot; a connection that waits for an answer keeps it. The limit is long
 * enough for this thread to connect all clients, and to call, on a busy machine. */
START_TEST(test_idle_connections_end) {
    int idle_ms = test_short_timeout_ms(100);
    host.options.idle_ms = idle_ms;
    host_open(&host);
    clients_connect(3);
    check_call(&clients[0], ECHO, 0);
    ck_assert_int_eq(end_call(&clients[1], KEEP, NULL, -1, 0, NULL), 0);
    settle();
    ck_assert_int_eq(kept_count, 1);
    settle_until_closed(2);
    ck_assert_int_eq(endings[0].reason, -ETIMEDOUT);
    ck_assert_int_eq(endings[1].reason, -ETIMEDOUT);
    ck_assert_uint_eq(clients[0].closed + clients[2].closed, 2);
    ck_assert_ptr_nonnull(strstr(sea_conn_text(clients[0].conn), "idle"));
    ck_assert_uint_eq(clients[1].closed, 0);
    wait_fd(-1, 0, wait_deadline(3 * idle_ms));
    settle();
    ck_assert_uint_eq(clients[1].closed, 0); /* although it lasted longer than twice the limit */
    drop_kept();
    settle();
    end_drop(&clients[1]);
    settle_until_closed(3);
    ck_assert_uint_eq(clients[1].closed, 1);
    scene_end();
}
END_TEST

START_TEST(test_without_an_idle_limit_none_ends) {
    host_open(&host);
    clients_connect(1);
    ck_assert_int_eq(sea_server_prepare(host.server), -1);
    ck_assert_uint_eq(closed, 0);
    scene_end();
}
END_TEST

/* By default the number of connections leaves room for the descriptors that a peer may send: half of a small table. */
START_TEST(test_as_many_as_leave_room) {
    enum { TABLE = 256, FIT = TABLE / 4, COME = FIT + 2 };
    struct rlimit before, small;
    int fds[COME];
    getrlimit(RLIMIT_NOFILE, &before);
    small = (struct rlimit){.rlim_cur = TABLE, .rlim_max = before.rlim_max};
    host.options.connections_per_process = COME;
    host_open(&host);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    for (int i = 0; i < COME; i++)
        fds[i] = raw_connect(host.address + strlen("unix:"));
    settle();
    ck_assert_uint_eq(closed, COME - FIT);
    ck_assert_int_eq(endings[0].reason, -EUSERS);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < COME; i++) { /* a few at a time, because each end is recorded */
        close(fds[i]);
        settle();
        closed = 0;
    }
    scene_end();
}
END_TEST

START_TEST(test_others_are_closed_from_inside_a_handler) {
    host_open(&host);
    clients_connect(10);
    for (int i = 0; i < 10; i++) /* so that all of them come in one turn */
        ck_assert_int_eq(end_call(&clients[i], i == 4 ? CLOSE_OTHERS : ECHO, NULL, -1, 0, NULL), 0);
    settle();
    ck_assert_uint_eq(sea_server_connections(host.server), 1);
    ck_assert_uint_eq(closed, 9);
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_eq(clients[i].outcomes_count, 1);
        ck_assert_uint_eq(clients[i].closed, i != 4);
    }
    ck_assert_int_eq(clients[4].outcomes[0].status, 0);
    end_drop(&clients[4]);
    check_call(&clients[4], CLOSE_ALL, 0);
    ck_assert_uint_eq(sea_server_connections(host.server), 0);
    ck_assert_uint_eq(closed, 10);
    scene_end();
    ck_assert_uint_eq(closed, 10);
}
END_TEST

static int each_count;

static void count_each(sea_conn *conn, void *user) {
    ck_assert_ptr_eq(user, &each_count);
    ck_assert(sea_conn_is_open(conn));
    each_count++;
}

START_TEST(test_each_is_shown_once) {
    host_open(&host);
    clients_connect(7);
    int silent = raw_connect(host.address + strlen("unix:"));
    settle();
    each_count = 0;
    sea_server_each(host.server, count_each, &each_count);
    ck_assert_int_eq(each_count, 7);
    close(silent);
    scene_end();
}
END_TEST

START_TEST(test_freed_with_calls_in_flight) {
    host_open(&host);
    clients_connect(3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(end_call(&clients[i], KEEP, end_block(&clients[i], 100000, i), -1, 0, NULL), 0);
    settle();
    ck_assert_int_eq(kept_count, 3);
    sea_server_free(host.server);
    host.server = NULL;
    ck_assert_uint_eq(closed, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(endings[i].reason, 0);
        ck_assert(sea_msg_is_cancelled(kept[i]));
        ck_assert(msg_is_filled(kept[i], 100000, i));
    }
    ck_assert_int_eq(sea_reply(kept[--kept_count], NULL), -EPIPE);
    for (int i = 0; i < 3; i++) {
        end_settle(&clients[i]);
        ck_assert_int_eq(clients[i].outcomes[0].status, -EPIPE);
        ck_assert_int_eq(clients[i].event.reason, 0);
        ck_assert_uint_eq(clients[i].event.ended_calls, 1);
    }
    scene_end();
}
END_TEST

START_TEST(test_free_of_nothing) {
    ck_assert_ptr_null(sea_server_free(NULL));
}
END_TEST

/* classes that the server accepts */

/* The class of a block that the client makes for such a server, and the class that the server's handler sees. The
 * offer does not show that the server accepts pooled payloads in order to copy them. */
START_TEST(test_stable_classes_only) {
    static const struct {
        uint32_t accept;
        bool socket_only;
        int made;
    } servers[] = {{SEA_STABLE_ONLY, false, SEA_POOLED},
                   {SEA_STABLE_ONLY, true, SEA_SEALED},
                   {SEA_SEALED, false, SEA_SEALED},
                   {SEA_INLINE, false, -EMSGSIZE}};
    host.options.accept = servers[_i].accept;
    host.options.socket_only = servers[_i].socket_only;
    host_open(&host);
    clients_connect(1);
    struct conn_figures figures;
    sea_conn_figures(clients[0].conn, figures.of, SEA_CONN_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_ACCEPTS_INLINE], (host.options.accept & SEA_INLINE) != 0);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_ACCEPTS_POOLED], (host.options.accept & SEA_POOLED) != 0);
    ck_assert_uint_eq(figures.of[SEA_CONN_FIGURE_ACCEPTS_SEALED], (host.options.accept & SEA_SEALED) != 0);
    sea_block *block = NULL;
    int r = sea_block_new(&block, clients[0].conn, 100000);
    ck_assert_int_eq(r, servers[_i].made < 0 ? servers[_i].made : 0);
    if (r == 0) {
        ck_assert_int_eq(sea_block_class(block), servers[_i].made);
        memset(sea_block_data(block), 8, 100000);
        ck_assert_int_eq(end_call(&clients[0], KEEP, block, -1, 0, NULL), 0);
        settle();
        ck_assert(sea_msg_is_stable(kept[0]));
        ck_assert_int_eq(sea_msg_class(kept[0]), servers[_i].made == SEA_POOLED ? SEA_INLINE : SEA_SEALED);
        ck_assert(msg_is_filled(kept[0], 100000, 8));
    }
    scene_end();
}
END_TEST

/* descriptors run out */

/* No client is lost: a client that waits in the backlog is served once there is a descriptor again, or the other
 * missing resource. */
START_TEST(test_no_descriptor_for_an_accept) {
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM, EIO};
    static const char *const limits[] = {"RLIMIT_NOFILE", "fs.file-max", "kernel memory", "kernel memory", NULL, NULL};
    host_open(&host);
    end_connect(&clients[0], host.address);
    fail_once(INJECT_ACCEPT, errors[_i]);
    settle();
    ck_assert_uint_eq(clients[0].opened, 0);
    /* no event will come: the server tries again at its deadline */
    ck_assert_int_gt(sea_server_prepare(host.server), 0);
    sea_refusal refusal;
    sea_ctx_refusal(host.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -errors[_i]);
    ck_assert_str_eq(refusal.limit, limits[_i] ? limits[_i] : host.address);
    while (!clients[0].opened) {
        wait_fd(-1, 0, wait_deadline(sea_server_prepare(host.server)));
        settle();
    }
    check_call(&clients[0], ECHO, 0);
    ck_assert_int_eq(sea_server_prepare(host.server), -1);
    end_connect(&clients[1], host.address); /* and the next client at once */
    settle();
    ck_assert_uint_eq(clients[1].opened, 1);
    scene_end();
}
END_TEST

START_TEST(test_a_connection_that_cannot_be_polled) {
    host_open(&host);
    end_connect(&clients[0], host.address);
    fail_once(INJECT_EPOLL_CTL, ENOSPC);
    settle();
    ck_assert_uint_eq(closed, 1);
    ck_assert_int_eq(endings[0].reason, -ENOSPC);
    ck_assert_int_eq(clients[0].event.reason, -ENOSPC);
    ck_assert_uint_eq(sea_server_connections(host.server), 0);
    scene_end();
}
END_TEST

/* No client is let in while so few mappings are left; existing connections go on. */
START_TEST(test_no_strangers_while_mappings_are_short) {
    enum { PAGE = 4096, MAPS_MOST = 200000 };
    uint64_t most = limits_maps(), count = 0;
    const void **pages = calloc(MAPS_MOST, sizeof *pages);
    int fd = -1;
    if (most > MAPS_MOST || is_under_valgrind()) {
        free(pages);
        test_skip("so many mappings cannot be made here");
    }
    host_open(&host);
    clients_connect(1);
    ck_assert_int_eq(memfd_new(PAGE, false, &fd), 0);
    while (map_count() < most / 4 * 3)
        ck_assert_int_eq(map_new_readable(fd, PAGE, &pages[count++]), 0);
    end_connect(&clients[1], host.address);
    settle();
    ck_assert_uint_eq(clients[1].opened, 0);
    ck_assert_int_eq(clients[1].event.reason, -ENOMEM);
    ck_assert_ptr_nonnull(strstr(clients[1].event_text, "vm.max_map_count"));
    sea_refusal refusal;
    sea_ctx_refusal(host.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -ENOMEM);
    ck_assert_str_eq(refusal.limit, "vm.max_map_count");
    ck_assert_uint_eq(refusal.needed, 6);
    check_call(&clients[0], ECHO, 0);
    while (count > 0)
        map_free(pages[--count], PAGE);
    close(fd);
    free(pages);
    end_connect(&clients[2], host.address);
    settle();
    ck_assert_uint_eq(clients[2].opened, 1);
    scene_end();
}
END_TEST

/* Each new client could leave more hostile descriptors: while many wait to be closed, none is let in. */
START_TEST(test_no_strangers_while_the_reaper_is_busy) {
    struct jam jam;
    host_open(&host);
    clients_connect(1);
    if (!jam_begin(&jam, reaper_is_calm)) {
        scene_end();
        test_skip("valgrind, or RLIMIT_NOFILE is too low to fill the reaper");
    }
    end_connect(&clients[1], host.address);
    settle();
    ck_assert_int_eq(clients[1].event.reason, -EBUSY);
    ck_assert_uint_eq(clients[1].opened, 0);
    check_call(&clients[0], ECHO, 0);
    jam_end(&jam);
    end_connect(&clients[2], host.address);
    settle();
    ck_assert_uint_eq(clients[2].opened, 1);
    scene_end();
}
END_TEST

/* A client that is turned away before its greeting leaves a socket that has to wait for the reaper, too. Before
 * these sockets fill our table, further clients stay in the backlog. */
START_TEST(test_strangers_wait_while_the_reaper_is_stuck) {
    enum { STRANGERS_AT_THE_DOOR = 300 };
    struct jam jam;
    host.options.on_close = NULL;
    host_open(&host);
    clients_connect(1);
    if (!jam_begin(&jam, reaper_is_calm)) {
        scene_end();
        test_skip("valgrind, or RLIMIT_NOFILE is too low to fill the reaper");
    }
    size_t before = reaper_pending();
    for (int i = 0; i < STRANGERS_AT_THE_DOOR; i++) {
        int fd = raw_connect(host.address + strlen("unix:"));
        ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), 1);
        close(fd);
        settle();
    }
    ck_assert_uint_le(reaper_pending(), before + STRANGERS_AT_THE_DOOR / 3);
    check_call(&clients[0], ECHO, 0);
    sea_refusal refusal;
    sea_ctx_refusal(host.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -EBUSY);
    jam_end(&jam);
    end_connect(&clients[1], host.address);
    while (!clients[1].opened) {
        wait_fd(-1, 0, wait_deadline(sea_server_prepare(host.server)));
        settle();
    }
    scene_end();
}
END_TEST

START_TEST(test_no_memory_for_a_connection) {
    host_open(&host);
    end_connect(&clients[0], host.address);
    fail_once(INJECT_ALLOC, ENOMEM);
    settle();
    ck_assert_uint_eq(clients[0].closed, 1);
    ck_assert_uint_eq(opened + closed, 0);
    clients_connect(0);
    end_connect(&clients[1], host.address);
    settle();
    ck_assert_uint_eq(clients[1].opened, 1);
    scene_end();
}
END_TEST

/* running and stopping */

START_TEST(test_a_stop_before_the_run) {
    host_open(&host);
    sea_server_stop(host.server);
    ck_assert_int_eq(sea_server_run(host.server), 0);
    sea_server_stop(host.server);
    sea_server_stop(host.server);
    ck_assert_int_eq(sea_server_run(host.server), 0);
    scene_end();
}
END_TEST

static void *call_until_stopped(void *arg) {
    struct sea_ctx *ctx = arg;
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, NULL), 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(sea_call(conn, ECHO, NULL, -1, &reply), 0);
        reply = sea_msg_release(reply);
    }
    ck_assert_int_eq(sea_call(conn, STOP, NULL, -1, &reply), 0);
    sea_msg_release(reply);
    sea_conn_free(conn);
    return NULL;
}

START_TEST(test_a_stop_from_a_handler) {
    pthread_t thread;
    sea_ctx *ctx = NULL;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    host_open(&host);
    for (int i = 0; i < 2; i++) { /* a server can run again */
        ck_assert_int_eq(pthread_create(&thread, NULL, call_until_stopped, ctx), 0);
        ck_assert_int_eq(sea_server_run(host.server), 0);
        pthread_join(thread, NULL);
    }
    sea_ctx_unref(ctx);
    scene_end();
}
END_TEST

/* A nested run is an error, and does not take the stop that is meant for the outer run. */
START_TEST(test_a_run_inside_a_handler) {
    host_open(&host);
    clients_connect(1);
    ck_assert_int_eq(sea_send(clients[0].conn, STOP_AND_RUN, NULL, 0), 0);
    run_inside = 0;
    ck_assert_int_eq(sea_server_dispatch(host.server), 0);
    ck_assert_int_eq(run_inside, -EDEADLK);
    sea_refusal refusal;
    sea_ctx_refusal(host.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -EDEADLK);
    ck_assert_ptr_nonnull(strstr(refusal.advice, "inside a handler"));
    ck_assert_int_eq(sea_server_run(host.server), 0);
    scene_end();
}
END_TEST

START_TEST(test_a_stop_from_another_thread) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    host_start(&host);
    ck_assert_int_eq(sea_connect(&conn, ctx, host.address, NULL), 0);
    host_stop(&host); /* this asserts the end of the run */
    while (sea_conn_is_open(conn))
        ck_assert_int_ne(sea_conn_wait(conn, test_timeout_ms(10000)), 0);
    ck_assert_int_eq(sea_conn_wait(conn, -1), -EPIPE);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
}
END_TEST

static void stop_on_signal(int signal) {
    (void) signal;
    sea_server_stop(host.server);
}

static int signal_parent(int line, void *arg) {
    uint64_t word;
    (void) arg;
    while (line_hear(line, 10000, &word)) {
        usleep((useconds_t) word * 500); /* the signal may meet the parent before its poll(), or in it */
        kill(getppid(), SIGUSR1);
    }
    return 0;
}

START_TEST(test_a_stop_from_a_signal_handler) {
    struct child child;
    const struct sigaction action = {.sa_handler = stop_on_signal};
    struct sigaction before;
    host_open(&host);
    sigaction(SIGUSR1, &action, &before);
    child_start(&child, signal_parent, NULL);
    for (uint64_t i = 0; i < 10; i++) {
        line_tell(child.line, i % 3);
        ck_assert_int_eq(sea_server_run(host.server), 0);
    }
    ck_assert_int_eq(child_end(&child, 10000), 0);
    sigaction(SIGUSR1, &before, NULL);
    scene_end();
}
END_TEST

/* Handlers run in the last look before poll(), too. */
START_TEST(test_no_turn_inside_a_handler) {
    host_open(&host);
    clients_connect(1);
    for (int i = 0; i < 2; i++) {
        probes = depth_most = 0;
        for (int sent = 0; sent < 3; sent++)
            ck_assert_int_eq(sea_send(clients[0].conn, PROBE, NULL, 0), 0);
        ck_assert_int_eq(i == 0 ? sea_server_dispatch(host.server) : sea_server_prepare(host.server), 0);
        ck_assert_int_eq(probes, 3);
        ck_assert_int_eq(depth_most, 1);
        ck_assert_int_eq(timeout_inside, 0);
        ck_assert_int_eq(dispatch_inside, -EDEADLK);
    }
    settle();
    scene_end();
}
END_TEST

/* The server gives its connections their turns, and decides when they sleep: the functions for a foreign loop
 * refuse. */
START_TEST(test_only_the_server_drives_its_connections) {
    host_open(&host);
    clients_connect(1);
    ck_assert_int_eq(sea_send(clients[0].conn, KEEP, NULL, 0), 0);
    ck_assert_int_eq(sea_server_dispatch(host.server), 0);
    ck_assert_int_eq(kept_count, 1);
    sea_conn *conn = sea_msg_conn(kept[0]);
    ck_assert_int_eq(sea_conn_prepare(conn), -1);
    ck_assert(!conn->lane.doorbell.is_armed);
    ck_assert_int_eq(sea_conn_dispatch(conn, POLLIN), -EDEADLK);
    scene_end();
}
END_TEST

START_TEST(test_polling_fails) {
    host_open(&host);
    fail_once(INJECT_EPOLL_WAIT, EBADF);
    ck_assert_int_eq(sea_server_run(host.server), -EBADF);
    fail_once(INJECT_EPOLL_WAIT, EBADF);
    ck_assert_int_eq(sea_server_dispatch(host.server), -EBADF);
    clients_connect(1);
    check_call(&clients[0], ECHO, 0);
    scene_end();
}
END_TEST

/* names and files */

static char dir[64];

static void dir_make(void) {
    snprintf(dir, sizeof dir, "/tmp/sealane-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(host.address, sizeof host.address, "unix:%s/socket", dir);
}

static const char *in_dir(const char *name) {
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Removes the directory, which must be empty. */
static void dir_remove(void) {
    ck_assert_int_eq(rmdir(dir), 0);
}

static unsigned mode_of(const char *path) {
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    return status.st_mode & 07777;
}

START_TEST(test_a_socket_file_and_its_mode) {
    dir_make();
    host.options.socket_mode = _i == 0 ? 0 : 0666;
    mode_t mask = umask(0077);
    host_open(&host);
    umask(mask);
    ck_assert_uint_eq(mode_of(in_dir("socket")), _i == 0 ? 01600 : 01666);
    ck_assert_uint_eq(mode_of(in_dir("socket.lock")), 01600);
    ck_assert_int_eq(sea_server_check(host.server), 0);
    clients_connect(1);
    check_call(&clients[0], ECHO, 0);
    scene_end();
    dir_remove();
}
END_TEST

static int server_refused(const char *address, const sea_options *options) {
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    sea_refusal refusal;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    int r = sea_server_new(&server, ctx, address, options);
    ck_assert_int_lt(r, 0);
    ck_assert_ptr_null(server);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, r);
    ck_assert_str_ne(refusal.advice, "");
    sea_ctx_unref(ctx);
    return r;
}

START_TEST(test_a_live_server_is_not_taken_over) {
    dir_make();
    host_open(&host);
    ck_assert_int_eq(server_refused(host.address, NULL), -EADDRINUSE);
    clients_connect(1);
    check_call(&clients[0], ECHO, 0);
    ck_assert_int_eq(access(in_dir("socket"), F_OK), 0);
    ck_assert_int_eq(access(in_dir("socket.lock"), F_OK), 0);
    scene_end();
    dir_remove();
}
END_TEST

static int serve_until_killed(int line, void *arg) {
    (void) arg;
    host_open(&host);
    line_tell(line, 1);
    return -sea_server_run(host.server);
}

START_TEST(test_a_dead_server_is_taken_over) {
    struct child child;
    uint64_t word;
    dir_make();
    child_start(&child, serve_until_killed, NULL);
    ck_assert(line_hear(child.line, 10000, &word));
    ck_assert_int_eq(server_refused(host.address, NULL), -EADDRINUSE);
    child_kill(&child);
    ck_assert_int_eq(access(in_dir("socket"), F_OK), 0);
    host_open(&host);
    clients_connect(1);
    check_call(&clients[0], ECHO, 0);
    scene_end();
    dir_remove();
}
END_TEST

START_TEST(test_a_file_that_is_no_socket_is_left_alone) {
    dir_make();
    int fd = open(in_dir("socket"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(server_refused(host.address, NULL), -ENOTSOCK);
    ck_assert_int_eq(unlink(in_dir("socket")), 0);
    dir_remove();
}
END_TEST

START_TEST(test_an_abstract_name_that_is_taken) {
    host_open(&host);
    ck_assert_int_eq(server_refused(host.address, NULL), -EADDRINUSE);
    scene_end();
}
END_TEST

START_TEST(test_a_name_in_the_runtime_directory) {
    char runtime[160];
    dir_make();
    setenv("XDG_RUNTIME_DIR", dir, 1);
    snprintf(host.address, sizeof host.address, "harbour");
    host_open(&host);
    snprintf(runtime, sizeof runtime, "unix:%s/sealane/harbour", dir);
    ck_assert_str_eq(sea_server_address(host.server), runtime);
    ck_assert_uint_eq(mode_of(in_dir("sealane")), 0700);
    clients_connect(1);
    end_connect(&clients[1], runtime); /* by the other form of the address, too */
    settle();
    check_call(&clients[0], ECHO, 0);
    check_call(&clients[1], ECHO, 0);
    scene_end();
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_eq(rmdir(in_dir("sealane")), 0);
    dir_remove();
}
END_TEST

static const struct {
    const char *address;
    int error;
} addresses[] = {
    {"unix:/nonexistent/dir/socket", -ENOENT},
    {"unix:/dev/null/socket", -ENOTDIR},
    {"unix:relative", -EINVAL},
    {"unix:@", -EINVAL},
    {"", -EINVAL},
    {"with/slash", -EINVAL},
    {"tcp:localhost", -EINVAL},
    {"fd:x", -EINVAL},
    {"fd:1000000", -EBADF},
    {"fd:0", -ENOTSOCK},
    {"systemd", -ENOENT},
    {"systemd:name", -ENOENT},
    {"unix:/"
     "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567",
     -ENAMETOOLONG},
};
#define ADDRESSES ((int) (sizeof addresses / sizeof *addresses))

START_TEST(test_addresses_that_cannot_be_had) {
    unsetenv("LISTEN_PID");
    ck_assert_int_eq(server_refused(addresses[_i].address, NULL), addresses[_i].error);
}
END_TEST

START_TEST(test_options_without_sense) {
    const sea_method twice[] = {{.number = 1, .name = "a", .handler = end_on_echo},
                                {.number = 1, .name = "b", .handler = end_on_echo}};
    ck_assert_int_eq(server_refused("unix:@never", &(sea_options){SEA_METHODS(twice)}), -EINVAL);
    ck_assert_int_eq(server_refused("unix:@never", &(sea_options){.service = "no/slash"}), -EINVAL);
}
END_TEST

START_TEST(test_without_options_nothing_is_served) {
    sea_ctx *ctx = NULL;
    snprintf(host.address, sizeof host.address, "unix:%s", raw_name());
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_server_new(&host.server, ctx, host.address, NULL), 0);
    host.ctx = ctx;
    clients_connect(1);
    check_call(&clients[0], ECHO, -ENOSYS);
    scene_end();
}
END_TEST

START_TEST(test_an_inherited_listening_socket) {
    const char *name = raw_name();
    snprintf(host.address, sizeof host.address, "fd:%d", raw_listen(name));
    host_open(&host);
    ck_assert_str_eq(sea_server_address(host.server), host.address);
    snprintf(host.address, sizeof host.address, "unix:%s", name);
    clients_connect(2);
    check_call(&clients[1], ECHO, 0);
    scene_end(); /* the server has closed the descriptor: the harness checks */
}
END_TEST

/* Another process that has the socket shuts it down. Existing connections are served, and the server sleeps in
 * between. */
START_TEST(test_an_inherited_socket_that_is_shut_down) {
    const char *name = raw_name();
    int fd = raw_listen(name);
    snprintf(host.address, sizeof host.address, "fd:%d", fd);
    host_open(&host);
    snprintf(host.address, sizeof host.address, "unix:%s", name);
    clients_connect(1);
    ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
    settle(); /* would not end if the server tried the listener again and again */
    check_call(&clients[0], ECHO, 0);
    ck_assert_int_eq(sea_server_prepare(host.server), -1);
    sea_refusal refusal;
    sea_ctx_refusal(host.ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, -EINVAL);
    ck_assert_ptr_nonnull(strstr(refusal.advice, "shut down"));
    scene_end();
}
END_TEST

START_TEST(test_an_inherited_socket_that_does_not_listen) {
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(host.address, sizeof host.address, "fd:%d", fds[0]);
    ck_assert_int_eq(server_refused(host.address, NULL), -EINVAL);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Serves as a process that systemd starts: the third descriptor and those after it, named in the environment. */
static int serve_activated(int line, void *arg) {
    char pid[16];
    int own_line = fcntl(line, F_DUPFD_CLOEXEC, 20), listener = raw_listen(arg);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), moved = fcntl(listener, F_DUPFD_CLOEXEC, 20);
    ck_assert_int_eq(dup2(null, 3), 3);
    ck_assert_int_eq(dup2(moved, 4), 4);
    snprintf(pid, sizeof pid, "%d", (int) getpid());
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_FDNAMES", "other:harbour", 1);
    setenv("LISTEN_PID", "1", 1);
    ck_assert_int_eq(server_refused("systemd:harbour", NULL), -ENOENT); /* named for another service */
    setenv("LISTEN_PID", pid, 1);
    ck_assert_int_eq(server_refused("systemd:airport", NULL), -ENOENT);
    ck_assert_int_eq(server_refused("systemd", NULL), -ENOTSOCK); /* the first descriptor is no socket */
    snprintf(host.address, sizeof host.address, "systemd:harbour");
    host_open(&host);
    line_tell(own_line, 1);
    return -sea_server_run(host.server);
}

START_TEST(test_a_server_that_is_started_by_its_socket) {
    struct child child;
    uint64_t word;
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    char name[64], address[80];
    snprintf(name, sizeof name, "%s", raw_name());
    snprintf(address, sizeof address, "unix:%s", name);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    child_start(&child, serve_activated, name);
    ck_assert(line_hear(child.line, 10000, &word));
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    ck_assert_int_eq(sea_call(conn, STOP, NULL, -1, &reply), 0);
    sea_msg_release(reply);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    ck_assert_int_eq(child_end(&child, 10000), 0);
}
END_TEST

/* For each failure nothing is left: no descriptor, no socket, no memory. (A lock file may stay, because a process
 * that could not lock it may not remove it. The last try removes it.) */
static const enum inject_kind steps[] = {INJECT_ALLOC,     INJECT_OPEN,    INJECT_FLOCK,  INJECT_SOCKET,
                                         INJECT_BIND,      INJECT_FCHMOD,  INJECT_LISTEN, INJECT_EPOLL_CREATE,
                                         INJECT_EPOLL_CTL, INJECT_EVENTFD, INJECT_FSTAT};
#define STEPS ((int) (sizeof steps / sizeof *steps))

START_TEST(test_a_server_that_cannot_be_made) {
    dir_make();
    ck_assert_int_eq(sea_ctx_new(&host.ctx, NULL), 0);
    int r = -1;
    for (int n = 1; r < 0; n++) {
        ck_assert_int_lt(n, 20);
        fail_call(steps[_i], n, 1, ENOMEM);
        r = sea_server_new(&host.server, host.ctx, host.address, &host.options);
        fail_off();
        if (r < 0)
            ck_assert_int_eq(access(in_dir("socket"), F_OK), -1);
        ck_assert(r == 0 || r == -ENOMEM);
        ck_assert(n > 1 || r < 0 || steps[_i] == INJECT_FCHMOD); /* there is another way */
    }
    clients_connect(1);
    check_call(&clients[0], ECHO, 0);
    scene_end();
    dir_remove();
}
END_TEST

START_TEST(test_a_server_without_descriptors) {
    ck_assert_int_eq(sea_ctx_new(&host.ctx, NULL), 0);
    fail_once(_i == 0 ? INJECT_EPOLL_CREATE : INJECT_EVENTFD, EMFILE);
    ck_assert_int_eq(sea_server_new(&host.server, host.ctx, "unix:@sealane-never", &host.options), -EMFILE);
    fail_off();
    sea_ctx_unref(host.ctx);
}
END_TEST

/* the peers that are let in */

/* Groups of the other user; more than the library reads at once. */
static gid_t supplementary[100];
static size_t supplementary_count;

static void supplementary_set(size_t count) {
    for (size_t i = 0; i < count; i++)
        supplementary[i] = 5000 + (gid_t) i;
    supplementary_count = count;
}

static int allowed_pid, allow_answer;

static int allow(const sea_peer *peer, void *user) {
    (void) user;
    ck_assert_uint_eq(peer->uid, NOBODY);
    ck_assert_uint_eq(peer->groups_count, supplementary_count);
    for (size_t i = 0; i < supplementary_count; i++)
        ck_assert_uint_eq(peer->groups[i], supplementary[i]);
    allowed_pid = peer->pid;
    return allow_answer;
}

/* Becomes another user, connects, calls, and reports the result. */
static int call_as_nobody(int line, void *arg) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    uint64_t word;
    ck_assert(line_hear(line, 10000, &word));
    ck_assert_int_eq(setgroups(supplementary_count, supplementary), 0);
    ck_assert_int_eq(setresgid(4001, 4001, 4001), 0);
    ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    int r = sea_connect(&conn, ctx, arg, NULL);
    if (r == 0) {
        r = sea_call(conn, ECHO, NULL, -1, &reply);
        sea_msg_release(reply);
    }
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return -r;
}

static const uint32_t nobody[] = {4711, NOBODY}, their_group[] = {4001}, root_group[] = {0}, a_later_group[] = {5001},
                      the_last_group[] = {4711, 5099};

static const struct {
    const char *what;
    sea_options options;
    int answer, error;
    size_t groups; /* number of supplementary groups */
} strangers[] = {
    {.what = "not by default", .error = EACCES},
    {.what = "listed by user", .options = {.users = nobody, .users_count = 2}},
    {.what = "listed by group", .options = {.groups = their_group, .groups_count = 1}},
    {.what = "another group", .options = {.groups = root_group, .groups_count = 1}, .error = EACCES},
    {.what = "a group of three", .options = {.groups = a_later_group, .groups_count = 1}, .groups = 3},
    {.what = "a group of 100", .options = {.groups = the_last_group, .groups_count = 2}, .groups = 100},
    {.what = "no group of 99", .options = {.groups = the_last_group, .groups_count = 2}, .groups = 99, .error = EACCES},
    {.what = "a group is no user",
     .options = {.users = a_later_group, .users_count = 1, .groups = root_group, .groups_count = 1},
     .groups = 3,
     .error = EACCES},
    {.what = "allowed", .options.allow = allow},
    {.what = "allowed, and of two groups", .options.allow = allow, .groups = 2},
    {.what = "not allowed", .options.allow = allow, .answer = -EPERM, .error = EPERM},
};
#define STRANGERS ((int) (sizeof strangers / sizeof *strangers))

START_TEST(test_another_user) {
    struct child child;
    if (geteuid() != 0)
        test_skip("needs root, to run a client as another user");
    host.options.users = strangers[_i].options.users;
    host.options.users_count = strangers[_i].options.users_count;
    host.options.groups = strangers[_i].options.groups;
    host.options.groups_count = strangers[_i].options.groups_count;
    host.options.allow = strangers[_i].options.allow;
    allow_answer = strangers[_i].answer;
    allowed_pid = 0;
    supplementary_set(strangers[_i].groups);
    snprintf(host.address, sizeof host.address, "unix:%s", raw_name());
    child_start(&child, call_as_nobody, host.address);
    pid_t pid = child.pid;
    host_start(&host);
    line_tell(child.line, 1);
    ck_assert_int_eq(child_end(&child, 10000), strangers[_i].error);
    host_stop(&host);
    ck_assert_int_eq(allowed_pid, host.options.allow ? pid : 0);
    ck_assert_uint_eq(opened, strangers[_i].error == 0);
    ck_assert_uint_eq(closed, 1);
    ck_assert_int_eq(endings[0].reason, -strangers[_i].error);
}
END_TEST

/* The mode of the socket file is checked before the policy. */
START_TEST(test_another_user_and_the_socket_file) {
    struct child child;
    if (geteuid() != 0)
        test_skip("needs root, to run a client as another user");
    dir_make();
    ck_assert_int_eq(chmod(dir, 0755), 0);
    host.options.users = nobody;
    host.options.users_count = 2;
    host.options.socket_mode = _i == 0 ? 0600 : 0666;
    child_start(&child, call_as_nobody, host.address);
    host_start(&host);
    line_tell(child.line, 1);
    ck_assert_int_eq(child_end(&child, 10000), _i == 0 ? EACCES : 0);
    host_stop(&host);
    ck_assert_uint_eq(opened, _i == 1);
    dir_remove();
}
END_TEST

/* An option that lets other users in opens the file for them, and no further. */
static const struct {
    sea_options options;
    size_t groups;
    unsigned mode, group;
    int error; /* of the other user */
} files[] = {
    {.mode = 0600, .error = EACCES},
    {.options = {.users = root_group, .users_count = 1}, .mode = 0600, .error = EACCES},
    {.options = {.users = nobody, .users_count = 2}, .mode = 0666},
    {.options = {.allow = allow}, .mode = 0666},
    {.options = {.groups = their_group, .groups_count = 1}, .mode = 0660, .group = 4001},
    {.options = {.groups = a_later_group, .groups_count = 1}, .groups = 2, .mode = 0660, .group = 5001},
    {.options = {.groups = a_later_group, .groups_count = 1},
     .groups = 1,
     .mode = 0660,
     .group = 5001,
     .error = EACCES},
    {.options = {.groups = the_last_group, .groups_count = 2}, .groups = 100, .mode = 0666},
    {.options = {.groups = their_group, .groups_count = 1, .users = nobody, .users_count = 2}, .mode = 0666},
    {.options = {.groups = their_group, .groups_count = 1, .socket_group = 5000},
     .groups = 1,
     .mode = 0660,
     .group = 5000},
    {.options = {.groups = their_group, .groups_count = 1, .socket_mode = 0600}, .mode = 0600, .error = EACCES},
    {.options = {.groups = a_later_group, .groups_count = 1, .socket_mode = 0660},
     .groups = 2,
     .mode = 0660,
     .group = 5001},
    {.options = {.groups = their_group, .groups_count = 1, .socket_mode = 0666}, .mode = 0666},
    {.options = {.groups = their_group, .groups_count = 1, .socket_mode = 0620, .socket_group = 4001},
     .mode = 0620,
     .group = 4001},
    /* the user may connect, and is refused */
    {.options = {.socket_group = 4001}, .mode = 0660, .group = 4001, .error = EACCES},
};
#define FILES ((int) (sizeof files / sizeof *files))

static void check_file(unsigned mode, unsigned group) {
    struct stat status;
    ck_assert_int_eq(lstat(in_dir("socket"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, mode | S_ISVTX);
    ck_assert_uint_eq(status.st_gid, group);
    ck_assert_uint_eq(status.st_uid, geteuid());
}

START_TEST(test_users_that_may_open_the_socket_file) {
    struct child child;
    if (geteuid() != 0 || getegid() != 0)
        test_skip("needs root, to run a client as another user");
    dir_make();
    ck_assert_int_eq(chmod(dir, 0755), 0);
    sea_options options = host.options;
    host.options = files[_i].options;
    host.options.methods = options.methods;
    host.options.methods_count = options.methods_count;
    host.options.method_size = options.method_size;
    host.options.user = options.user;
    supplementary_set(files[_i].groups);
    allow_answer = 0;
    child_start(&child, call_as_nobody, host.address);
    host_start(&host);
    check_file(files[_i].mode, files[_i].group);
    line_tell(child.line, 1);
    ck_assert_int_eq(child_end(&child, 10000), files[_i].error);
    host_stop(&host);
    dir_remove();
}
END_TEST

/* Without the right to change the file's group the file is opened for all users; an application that named the group
 * is told. */
START_TEST(test_a_file_that_may_not_be_given_away) {
    static const struct {
        int error;
        uint32_t group;
        const char *why;
    } cases[] = {
        {EPERM, 0, NULL},
        {EPERM, 4001, "group 4001: only root or a member may do so"},
        {EPERM, UINT32_MAX - 1, "group 4294967294: only root or a member may do so"},
        {EROFS, 4001, "group 4001: fchownat failed"},
        {ENOSYS, 0, NULL},
    };
    dir_make();
    host.options.groups = their_group;
    host.options.groups_count = 1;
    host.options.socket_group = cases[_i].group;
    fail_once(INJECT_FCHOWN, cases[_i].error);
    if (!cases[_i].why) {
        host_open(&host);
        check_file(0666, getegid());
        host_close(&host);
    } else {
        sea_refusal refusal;
        ck_assert_int_eq(sea_ctx_new(&host.ctx, NULL), 0);
        ck_assert_int_eq(sea_server_new(&host.server, host.ctx, host.address, &host.options), -cases[_i].error);
        sea_ctx_refusal(host.ctx, &refusal, sizeof(refusal));
        ck_assert_msg(strstr(refusal.advice, cases[_i].why) != NULL, "it says: %s", refusal.advice);
        const char *end = strstr(refusal.advice, "change socket_group or groups");
        ck_assert_msg(end && strlen(end) == strlen("change socket_group or groups"), "it was cut: %s", refusal.advice);
        sea_ctx_unref(host.ctx);
    }
    fail_off();
    dir_remove();
}
END_TEST

/* Becomes another user, in processes of its own; reports how many connections it gets. */
static int take_all_as_nobody(int line, void *address) {
    sea_ctx *ctx = NULL;
    uint64_t word;
    int count = 0, ended[2];
    ck_assert(line_hear(line, 10000, &word));
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setresgid(4001, 4001, 4001), 0);
    ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    ck_assert_int_eq(pipe(ended), 0);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    for (;; count++) {
        sea_conn *conn = NULL;
        char result = 1;
        pid_t pid = fork();
        if (pid == 0) { /* this process holds its connection until all have ended */
            int r = sea_connect(&conn, ctx, address, &(sea_options){.handshake_ms = test_timeout_ms(10000)});
            result = (char) (r == -EUSERS ? 2 : r < 0);
            if (write(ended[1], &result, 1) == 1)
                pause();
            _exit(0);
        }
        ck_assert_int_eq(read(ended[0], &result, 1), 1);
        if (result == 0)
            continue;
        ck_assert_int_eq(result, 2);
        break;
    }
    line_tell(line, (uint64_t) count);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(NULL) > 0)
        ;
    sea_ctx_unref(ctx);
    return 0;
}

static int take_all_in_a_group(int line, void *address) {
    setpgid(0, 0);
    return take_all_as_nobody(line, address);
}

/* Another user gets half of the slots, for any number of processes; our own user is not counted. */
START_TEST(test_one_user_does_not_take_all) {
    struct child child;
    uint64_t count = 0;
    if (geteuid() != 0)
        test_skip("needs root, to run a client as another user");
    snprintf(host.address, sizeof host.address, "unix:%s", raw_name());
    host.options.users = nobody;
    host.options.users_count = 2;
    host.options.connections_max = 8;
    host.options.connections_per_user = _i == 0 ? 0 : 3;
    host.options.on_open = NULL;
    host.options.on_close = NULL;
    child_start(&child, take_all_in_a_group, host.address);
    host_start(&host);
    ck_assert(line_tell(child.line, 0));
    ck_assert(line_hear(child.line, 20000, &count));
    ck_assert_uint_eq(count, _i == 0 ? 4 : 3);
    ck_assert_int_eq(child_end(&child, 10000), 0);
    host_stop(&host);
}
END_TEST

/* This holds from the moment at which a client connects, before accept(). */
START_TEST(test_a_server_without_use_for_descriptors_lets_none_through) {
    struct host own = {.options = {.accept = SEA_INLINE, .socket_only = true}};
    int pair[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    bool can_refuse = socket_refuse_fds(pair[0]);
    close(pair[0]);
    close(pair[1]);
    host_open(&own);
    int client = raw_connect(own.address + strlen("unix:"));
    int r = raw_try_send(client, "x", 1, &file, 1);
    close(client);
    close(file);
    host_close(&own);
    if (!can_refuse)
        test_skip("this kernel has no SO_PASSRIGHTS");
    ck_assert_int_eq(r, -EPERM);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("server");
    suite_fixture(s, scene_set, fail_off);
    suite_add(s, test_a_server_without_use_for_descriptors_lets_none_through);
    suite_add(s, test_connections_come_and_go);
    suite_add(s, test_a_client_that_does_not_greet);
    suite_add(s, test_a_client_that_breaks_the_protocol);
    suite_add(s, test_as_many_as_it_takes);
    suite_add(s, test_one_process_does_not_take_all);
    suite_add(s, test_idle_connections_end);
    suite_add(s, test_without_an_idle_limit_none_ends);
    suite_add(s, test_as_many_as_leave_room);
    suite_add(s, test_others_are_closed_from_inside_a_handler);
    suite_add(s, test_each_is_shown_once);
    suite_add(s, test_freed_with_calls_in_flight);
    suite_add(s, test_free_of_nothing);
    suite_add_loop(s, test_stable_classes_only, 0, 4);
    suite_add_loop(s, test_no_descriptor_for_an_accept, 0, 6);
    suite_add(s, test_a_connection_that_cannot_be_polled);
    suite_add(s, test_no_strangers_while_mappings_are_short);
    suite_add(s, test_no_strangers_while_the_reaper_is_busy);
    suite_add(s, test_strangers_wait_while_the_reaper_is_stuck);
    suite_add(s, test_no_memory_for_a_connection);
    suite_add(s, test_a_stop_before_the_run);
    suite_add(s, test_a_stop_from_a_handler);
    suite_add(s, test_a_run_inside_a_handler);
    suite_add(s, test_a_stop_from_another_thread);
    suite_add(s, test_a_stop_from_a_signal_handler);
    suite_add(s, test_no_turn_inside_a_handler);
    suite_add(s, test_only_the_server_drives_its_connections);
    suite_add(s, test_polling_fails);
    suite_add_loop(s, test_a_socket_file_and_its_mode, 0, 2);
    suite_add(s, test_a_live_server_is_not_taken_over);
    suite_add(s, test_a_dead_server_is_taken_over);
    suite_add(s, test_a_file_that_is_no_socket_is_left_alone);
    suite_add(s, test_an_abstract_name_that_is_taken);
    suite_add(s, test_a_name_in_the_runtime_directory);
    suite_add_loop(s, test_addresses_that_cannot_be_had, 0, ADDRESSES);
    suite_add(s, test_options_without_sense);
    suite_add(s, test_without_options_nothing_is_served);
    suite_add(s, test_an_inherited_listening_socket);
    suite_add(s, test_an_inherited_socket_that_is_shut_down);
    suite_add(s, test_an_inherited_socket_that_does_not_listen);
    suite_add(s, test_a_server_that_is_started_by_its_socket);
    suite_add_loop(s, test_a_server_that_cannot_be_made, 0, STEPS);
    suite_add_loop(s, test_a_server_without_descriptors, 0, 2);
    suite_add_loop(s, test_another_user, 0, STRANGERS);
    suite_add_loop(s, test_another_user_and_the_socket_file, 0, 2);
    suite_add_loop(s, test_users_that_may_open_the_socket_file, 0, FILES);
    suite_add_loop(s, test_a_file_that_may_not_be_given_away, 0, 5);
    suite_add_loop(s, test_one_user_does_not_take_all, 0, 2);
    return suite_run(s);
}
