/* SPDX-License-Identifier: MIT */
/*
 * A server: accepts, owns its connections, and forgets those that have ended. See <sealane/server.h> and server.h.
 *
 * It never looks at a connection that is idle: the poller calls those that are not.
 */
#include "rpc/server.h"

#include "lane/listener.h"
#include "lane/policy.h"
#include "lane/socket_error.h"
#include "memory/reserve.h"
#include "rpc/conn_loop.h"
#include "sys/failure.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/limits.h"
#include "sys/map.h"
#include "sys/misuse.h"
#include "sys/reaper.h"
#include "sys/socket.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

static const uint32_t CONNECTIONS_DEFAULT = 16384;

/* New connections in one turn, so that those which are there have theirs. */
static const int ACCEPTS_PER_TURN = 16;

/* Without a free descriptor accepting fails until one is closed. The kernel sends no event for that, so that the server
 * tries again after this time. */
static const uint64_t ACCEPT_RETRY_NS = 100 * 1000 * 1000;

/* While hostile descriptors wait to be closed, this many clients are told to come later. The socket of a refused client
 * with unread data joins the waiting descriptors. The other clients stay in the backlog, where they cost nothing. */
static const uint32_t TURNED_AWAY_MAX = 64;

static const char IS_BUSY[] = "too many hostile descriptors wait to be closed: try again later";

struct sea_server {
    sea_ctx *ctx; /* owned reference */
    sea_options options;
    struct listener listener;
    struct watch accepting;
    struct poller *poller; /* owned */
    bool is_set;           /* the poller is our own set */
    struct mailbox *box;   /* owned reference; of sea_server_post() */
    _Atomic bool is_stopping;
    bool is_ending;  /* posts are told -ECANCELED */
    sea_conn *conns; /* the server holds a reference of each */
    struct conn_slots slots;
    uint32_t turned_away; /* since the reaper was calm */
    uint64_t maps_most;   /* mappings of the library, from which on no connection is let in */
    uint8_t *scratch;     /* owned; all connections receive into it, one at a time */
    char address[ADDRESS_NAME_SIZE + 8];
};

static void conn_ended(sea_conn *conn) {
    sea_server *server = conn->server;
    LIST_REMOVE(conn, link);
    conn_slots_return(&server->slots, &conn->slot);
    conn_unref(conn);
}

/*
 * Each connection has a socket and a pidfd. A quarter of the descriptors is left for blocks. At least the descriptors
 * of two datagrams are left, but no more than half of all: descriptors that find no place in our table would be closed
 * by the kernel in our thread.
 */
static uint64_t connections_that_fit(uint64_t fds) {
    uint64_t left = fds / 4 > 2 * FDPASS_MAX ? fds / 4 : 2 * FDPASS_MAX;
    return (fds - (left < fds / 2 ? left : fds / 2)) / 2;
}

/*
 * The outboxes of an idle connection are two mappings, of a busy one each with its two larger rings. The kernel refuses
 * more than vm.max_map_count to a process, of all kinds: then the application's malloc() fails too. Of those that the
 * application did not have when the server began, a quarter is left for that, for blocks, and for connections that
 * become busy. To count them costs milliseconds: once.
 */
enum { MAPS_IDLE = 2, MAPS_BUSY = 6 };

static uint64_t maps_most(void) {
    uint64_t most = limits_maps(), left = limits_maps_left();
    uint64_t room = left < most ? left + map_count() : most;
    return room - room / 4;
}

static bool has_maps(const sea_server *server) {
    return map_count() + MAPS_BUSY <= server->maps_most;
}

static int server_explain_maps(const sea_server *server) {
    uint64_t count = map_count();
    return refusal_note(&server->ctx->refusals, -ENOMEM, "vm.max_map_count", MAPS_BUSY,
                        count < server->maps_most ? server->maps_most - count : 0,
                        "a quarter is left for other uses: raise the sysctl and start the server anew, or let in fewer "
                        "connections (connections_max)");
}

static const char OUT_OF_MAPS[] =
    "the server's process has so many mappings that it takes no more connections (vm.max_map_count there)";

static uint32_t connections_max(const sea_server *server) {
    uint64_t fit = connections_that_fit(limits_nofile()), maps = server->maps_most / MAPS_IDLE;
    fit = maps < fit ? maps : fit;
    uint32_t most = fit < CONNECTIONS_DEFAULT ? (uint32_t) fit : CONNECTIONS_DEFAULT;
    return server->options.connections_max ? server->options.connections_max : most;
}

static bool server_is_run_elsewhere(const sea_server *server) {
    return server->poller && poller_is_run_elsewhere(server->poller);
}

static int server_explain_deadlock(sea_server *server) {
    if (server_is_run_elsewhere(server))
        return refusal_explain(&server->ctx->refusals, -EDEADLK, server->address,
                               "another thread runs the server: leave the work to that thread with sea_server_post()");
    return refusal_explain(&server->ctx->refusals, -EDEADLK, server->address,
                           server->is_set ? "the server is in a turn already: it cannot run inside a handler"
                                          : "a loop drives the server: it runs when that does");
}

/* What the loop of a server needs could not be had. */
static int server_explain(sea_server *server, int r) {
    if (r == -EDEADLK)
        return server_explain_deadlock(server);
    if (r == -EMFILE || r == -ENFILE)
        return reserve_explain(r, 1, false, &server->ctx->admission);
    if (r == -ENOSPC)
        return refusal_explain(&server->ctx->refusals, r, "fs.epoll.max_user_watches",
                               "our user polls as many descriptors as it may: raise the sysctl");
    return r < 0 ? refusal_explain_failure(&server->ctx->refusals, r, "the server's loop",
                                           r == -ENOMEM ? "out of memory" : "it cannot wait")
                 : r;
}

/* All processes of one user that our pid namespace does not show count as one process. Users' names are far below these
 * bits. */
static const uint64_t NAME_OF_PROCESS = UINT64_C(1) << 62, NAME_OF_HIDDEN = UINT64_C(1) << 61,
                      NAME_OF_UNMAPPED = UINT64_C(1) << 60;

static int server_take_slot(sea_server *server, sea_conn *conn, char why[CONN_SLOTS_WHY_SIZE]) {
    const sea_peer *peer = &conn->lane.peer;
    const sea_options *options = &server->options;
    uint64_t user = peer->is_uid_ambiguous ? NAME_OF_UNMAPPED : peer->uid;
    const struct conn_slots_request claim = {
        .most = connections_max(server),
        .per_user = policy_is_own(peer) ? CONN_SLOTS_ANY : options->connections_per_user,
        .per_process = options->connections_per_process,
        .user = user,
        .process = peer->pid > 0 ? NAME_OF_PROCESS + (uint32_t) peer->pid : NAME_OF_HIDDEN + user,
        .is_user_unknown = peer->is_uid_ambiguous,
    };
    return conn_slots_take(&server->slots, &claim, &conn->slot, why);
}

static void server_add(sea_server *server, sea_conn *conn) {
    char why[CONN_SLOTS_WHY_SIZE];
    conn->server = server;
    conn->ended = conn_ended;
    LIST_PUSH(&server->conns, conn, link);
    int r = conn->lane.has_failed ? 0 : server_take_slot(server, conn, why);
    if (r < 0)
        lane_fail(&conn->lane, r, why);
    else if (!conn->lane.has_failed && !has_maps(server))
        lane_fail(&conn->lane, server_explain_maps(server), OUT_OF_MAPS);
    if (!reaper_is_calm()) {
        server->turned_away++;
        lane_fail(&conn->lane, -EBUSY, IS_BUSY);
    }
    r = conn_watch(conn, server->poller);
    if (r < 0)
        conn_end(conn, server_explain(server, r), "the server cannot poll one more connection");
}

/*
 * Stops accepting for a while, because the error would only repeat at once. A listener that another process has shut
 * down (-EINVAL) stays shut down, and epoll would report that without end, for any set of events. A libuv loop does not
 * report it; there the timer goes on, because a server keeps its loop alive.
 */
static void server_pause_accepting(sea_server *server, int error) {
    if (error == -EMFILE || error == -ENFILE)
        reserve_explain(error, 1, false, &server->ctx->admission);
    else if (error == -ENOMEM || error == -ENOBUFS)
        refusal_note(&server->ctx->refusals, error, "kernel memory", 1, 0,
                     "the server cannot accept: it tries again ten times a second; end other programs");
    else if (error == -EBUSY)
        refusal_explain(&server->ctx->refusals, error, server->address, IS_BUSY);
    else
        refusal_explain_failure(&server->ctx->refusals, error, server->address,
                                error == -EINVAL ? "the listening socket was shut down: no client can connect any more"
                                                 : "the server cannot accept, and tries again ten times a second");
    if (error == -EINVAL && server->is_set)
        watch_remove(&server->accepting);
    else
        watch_update(&server->accepting, 0, wait_now() + ACCEPT_RETRY_NS);
}

/* May one more come, if only to be told that none is let in? */
static bool server_hears(sea_server *server) {
    if (reaper_is_calm())
        server->turned_away = 0;
    return server->turned_away < TURNED_AWAY_MAX;
}

/* 1: a client was accepted; 0: no client waits, or there is no room for one. */
static int server_accept(sea_server *server, short revents) {
    int fd = -1;
    sea_conn *conn = NULL;
    int r = server_hears(server) ? socket_accept(server->listener.fd, &fd) : -EBUSY;
    if (r == -EAGAIN && (revents & POLLHUP)) /* all that a listener which does not wait says when it was shut down */
        r = -EINVAL;
    if (r < 0 && r != -EAGAIN)
        server_pause_accepting(server, r);
    if (r < 0)
        return 0;
    if (conn_new(&conn, server->ctx, fd, true, &server->options, server->scratch) == 0)
        server_add(server, conn);
    return 1;
}

static void on_accepting(struct watch *watch, short revents) {
    sea_server *server = (sea_server *) (void *) ((char *) watch - offsetof(sea_server, accepting));
    listener_renew(&server->listener);
    if (!revents)
        watch_update(watch, POLLIN, WAIT_FOREVER);
    for (int i = 0; i < ACCEPTS_PER_TURN && server_accept(server, revents); i++)
        ;
}

static int server_watch(sea_server *server) {
    server->accepting =
        (struct watch){.fd = server->listener.fd, .events = POLLIN, .deadline = WAIT_FOREVER, .ready = on_accepting};
    return watch_add(&server->accepting, server->poller);
}

/* A connection has what its listener had when the client connected, so that none can come before it is accepted. An
 * inherited listener is others' too. */
static void server_refuse_fds(const sea_server *server) {
    struct wire_hello offer = negotiation_offer(server->ctx, &server->options);
    if (!negotiation_take_fds(&offer))
        socket_refuse_fds(server->listener.fd);
}

/* Only fchownat() of the socket file fails so. */
static int server_explain_group(sea_server *server, int r, const char *address, uint32_t group) {
    char text[sizeof(((sea_refusal *) NULL)->advice)];
    snprintf(text, sizeof(text), "the socket file cannot be given to group %" PRIu32 ": %s", group,
             failure_is_forbidden(r)
                 ? "only root or a member may do so, and some sandboxes forbid fchownat; change socket_group or groups"
                 : "fchownat failed; change socket_group or groups");
    return refusal_explain(&server->ctx->refusals, failure_error(r), address, text);
}

static int server_open(sea_server *server, const char *address) {
    const char *why = "";
    struct policy_file file = policy_file(&server->options);
    char text[SOCKET_ERROR_TEXT_SIZE];
    int r = negotiation_check_options(&server->options, &why);
    if (r < 0)
        return refusal_explain(&server->ctx->refusals, r, address, why);
    r = listener_open_for(&server->listener, address, file.mode, file.group, &why);
    bool is_group_refused = failure_call(r) == failure_call_name(INJECT_FCHOWN);
    if (is_group_refused && file.other_mode)
        r = listener_open(&server->listener, address, file.other_mode, &why);
    else if (is_group_refused)
        return server_explain_group(server, r, address, file.group);
    if (r < 0) {
        socket_error_describe_listen(address, r, why, text);
        return refusal_explain(&server->ctx->refusals, failure_error(r), address, text);
    }
    if (server->listener.address.fd < 0)
        server_refuse_fds(server);
    if (server->listener.address.fd >= 0)
        snprintf(server->address, sizeof(server->address), "fd:%d", server->listener.address.fd);
    else
        snprintf(server->address, sizeof(server->address), "unix:%s", server->listener.address.name);
    server->maps_most = maps_most();
    return server_explain(server, server_watch(server));
}

/* Another thread runs the server from now on: idle connections are its own, too, before anything comes. */
static void server_moved(void *mover) {
    const sea_server *server = mover;
    for (sea_conn *conn = server->conns; conn; conn = conn->link.next)
        mailbox_adopt(conn->box);
}

static void server_wake(void *user) {
    sea_server *server = user;
    server->poller->ops->ring(server->poller);
}

static void server_listen_to_posts(sea_server *server) {
    server->poller->box = server->box;
    server->poller->moved = server_moved;
    server->poller->mover = server;
    mailbox_set_wake(server->box, server_wake, server);
}

static int server_make(sea_server **ret_server, sea_ctx *ctx, const char *address, const sea_options *options,
                       struct poller *poller) {
    sea_server *server = heap_new(1, sizeof(*server));
    if (!server) {
        if (poller)
            poller->ops->free(poller);
        return refusal_explain(&ctx->refusals, -ENOMEM, address, "out of memory");
    }
    server->ctx = sea_ctx_ref(ctx);
    const char *why = "";
    int taken = conn_options_take(options, &server->options, &why);
    server->listener = LISTENER_EMPTY;
    server->is_set = !poller;
    server->poller = poller;
    server->scratch = heap_new(1, LANE_SCRATCH_SIZE);
    server->box = mailbox_new();
    int r = !server->scratch || !server->box ? -ENOMEM : poller ? 0 : poller_set_new(&server->poller);
    r = server_explain(server, r);
    if (r == 0 && (!address || !*address))
        r = refusal_explain(&ctx->refusals, -EINVAL, "address", address ? "it is empty" : "it is NULL");
    if (r == 0 && taken < 0)
        r = refusal_explain(&ctx->refusals, taken, address, why);
    if (r == 0 && server->poller) /* which there is; clang-tidy cannot know that */
        server_listen_to_posts(server);
    if (r == 0)
        r = server_open(server, address);
    if (r < 0) {
        sea_server_free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

int server_new(sea_server **ret_server, sea_ctx *ctx, const char *address, const sea_options *options,
               struct poller *poller) {
    uint64_t mark = refusal_mark(&ctx->refusals);
    return refusal_end(&ctx->refusals, mark, server_make(ret_server, ctx, address, options, poller));
}

int sea_server_new(sea_server **ret_server, sea_ctx *ctx, const char *address, const sea_options *options) {
    return server_new(ret_server, ctx, address, options, NULL);
}

sea_server *sea_server_free(sea_server *server) {
    if (!server)
        return NULL;
    if (server_is_run_elsewhere(server)) {
        misuse_tell("a thread frees a server that another thread runs");
        return NULL;
    }
    watch_remove(&server->accepting);
    while (server->conns) {
        mailbox_adopt(server->conns->box); /* a connection that another thread drives would never end */
        conn_end(server->conns, 0, "the server ends");
    }
    if (server->box) {
        server->is_ending = true;
        mailbox_adopt(server->box);
        mailbox_close(server->box);
    }
    if (server->poller)
        server->poller->box = NULL;
    mailbox_unref(server->box);
    listener_close(&server->listener);
    if (server->poller)
        server->poller->ops->free(server->poller);
    heap_free(server->scratch);
    sea_ctx_unref(server->ctx);
    return heap_free(server);
}

int sea_server_run(sea_server *server) {
    int r = 0;
    if (!server->is_set || server_is_run_elsewhere(server) || poller_set_is_in_turn(server->poller))
        return server_explain_deadlock(server);
    listener_renew(&server->listener);
    while (r == 0 && !atomic_load_explicit(&server->is_stopping, memory_order_relaxed))
        r = poller_set_turn(server->poller, WAIT_FOREVER);
    atomic_store_explicit(&server->is_stopping, false, memory_order_relaxed);
    return server_explain(server, r);
}

struct server_post {
    struct mail mail;   /* the first member */
    sea_server *server; /* borrowed: it stays until its mailbox is closed */
    sea_server_posted *function;
    void *user;
};

/* The post is freed first: an exception may leave the function. */
static void server_post_run(struct mail *mail) {
    struct server_post *post = (struct server_post *) (void *) mail, own = *post;
    heap_free(post);
    own.function(own.server, own.server->is_ending ? -ECANCELED : 0, own.user);
}

int sea_server_post(sea_server *server, sea_server_posted *function, void *user) {
    struct refusal_log *log = &server->ctx->refusals;
    struct server_post *post = function ? heap_new(1, sizeof(*post)) : NULL;
    if (!post)
        return refusal_explain(log, function ? -ENOMEM : -EINVAL, "post", function ? "out of memory" : "no function");
    *post =
        (struct server_post){.mail = {.run = server_post_run}, .server = server, .function = function, .user = user};
    if (mailbox_put(server->box, &post->mail))
        return 0;
    heap_free(post);
    return refusal_explain(log, -EINVAL, "post", "the server is being freed");
}

/* The flag needs no order of its own: nothing but it is read after it, and the bell makes the turn end. */
void sea_server_stop(sea_server *server) {
    atomic_store_explicit(&server->is_stopping, true, memory_order_relaxed);
    if (server->is_set)
        poller_set_ring(server->poller);
}

int sea_server_fd(sea_server *server) {
    return server->is_set ? poller_set_fd(server->poller) : server_explain_deadlock(server);
}

int sea_server_prepare(sea_server *server) {
    return server->is_set ? wait_left_ms(poller_set_prepare_sleep(server->poller)) : -1;
}

int sea_server_dispatch(sea_server *server) {
    listener_renew(&server->listener);
    return server->is_set ? server_explain(server, poller_set_turn(server->poller, 0))
                          : server_explain_deadlock(server);
}

void sea_server_each(sea_server *server, void (*each)(sea_conn *conn, void *user), void *user) {
    if (server_is_run_elsewhere(server)) {
        misuse_tell("a thread lists the connections of a server that another thread runs");
        return;
    }
    for (sea_conn *conn = server->conns, *next; conn; conn = next) {
        next = conn->link.next;
        if (conn->is_open)
            each(conn, user);
    }
}

size_t sea_server_connections(const sea_server *server) {
    size_t count = 0;
    for (const sea_conn *conn = server->conns; conn; conn = conn->link.next)
        count += conn->is_open ? 1 : 0;
    return count;
}

int sea_server_check(sea_server *server) {
    const char *why = "";
    int r = listener_check(&server->listener, &why);
    return r < 0 ? refusal_explain(&server->ctx->refusals, r, server->address, why) : 0;
}

const char *sea_server_address(const sea_server *server) {
    return server->address;
}
