/* SPDX-License-Identifier: MIT */
/* The fuzzed side: its life, its turns, and the check for leaks. See host.h; host_acts.c has the application's acts. */
#include "host.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "registry/ctx.h"
#include "support/holdings.h"
#include "sys/disposal.h"
#include "sys/reaper.h"

struct host host;

/* Limits: descriptors with the reaper, inputs in a row without a check, and checks without the full inventory. */
enum { PENDING_MOST = 256, PASSED_MOST = 64, LOOKS_PER_INVENTORY = 256 };

/* A lap of a ring may name 64 payloads of up to 64 MiB, which are copied a MiB for each turn. */
enum { TURNS_TO_END = 2 * 64 * 64, TURNS_AT_ONCE = 40 };

/* A server that could not accept a connection tries again after this time; connections in its backlog must come to
 * their end, too. */
static const uint64_t ACCEPT_RETRY_NS = 200 * 1000 * 1000;

/* With SEALANE_FUZZ_TALK in the environment the program prints why connections end: for writing an input by hand. */
static bool talks;

/* With SEALANE_FUZZ_STRICT the program checks for leaks after each input: slower, but then the failing input is the
 * guilty one. */
static bool is_strict;

/* State that lasts from input to input. */
static struct {
    sea_ctx *ctx;
    sea_server *server;
} stages[32];

static void demand(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", host.scene ? host.scene->name : "", what);
    abort();
}

/* --- connections --- */

static void on_open(sea_conn *conn, void *user) {
    (void) user;
    host.opened++;
    for (int i = 0; i < HOST_CONNS; i++)
        if (!host.conns[i]) {
            host.conns[i] = conn;
            return;
        }
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) user;
    demand(event->text && strlen(event->text) < 256, "on_close without a text");
    demand(!sea_conn_is_open(conn), "on_close of an open connection");
    host.closed++;
    if (talks)
        fprintf(stderr, "%s: closed, %d: %s\n", host.scene->name, event->reason, event->text);
    for (int i = 0; i < HOST_CONNS && !host.scene->is_client; i++)
        if (host.conns[i] == conn)
            host.conns[i] = NULL;
}

static void on_room(sea_conn *conn, void *user) {
    (void) user;
    stopwatch_pause();
    sea_send_bytes(conn, 1, "room", 4, 0);
    stopwatch_resume();
}

static sea_options options_of(const struct scene *scene) {
    sea_options options = scene->options;
    options.on_open = scene->is_client ? NULL : on_open;
    options.on_close = on_close;
    options.on_room = on_room;
    return options;
}

static struct sockaddr_un address_of(size_t scene, socklen_t *ret_size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size =
        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "sealane-fuzz-%d-%zu", (int) getpid(), scene);
    *ret_size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) size);
    return address;
}

static void stage_make(size_t number) {
    const struct scene *scene = &scenes[number];
    sea_options options = options_of(scene);
    socklen_t size;
    struct sockaddr_un where = address_of(number, &size);
    char address[120];
    snprintf(address, sizeof(address), "unix:@%s", where.sun_path + 1);
    demand(sea_ctx_new(&stages[number].ctx, &scene->ctx_options) == 0, "sea_ctx_new");
    if (!scene->is_client)
        demand(sea_server_new(&stages[number].server, stages[number].ctx, address, &options) == 0, "sea_server_new");
}

void host_make(void) {
    talks = getenv("SEALANE_FUZZ_TALK") != NULL;
    is_strict = getenv("SEALANE_FUZZ_STRICT") != NULL;
    for (size_t i = 0; i < scenes_count; i++)
        stage_make(i);
}

void host_begin(const struct scene *scene, struct input *in) {
    size_t number = (size_t) (scene - scenes);
    host = (struct host){.scene = scene, .in = in};
    host.ctx = stages[number].ctx;
    host.server = stages[number].server;
}

static int meet_server(void) {
    socklen_t size;
    struct sockaddr_un address = address_of((size_t) (host.scene - scenes), &size);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    demand(fd >= 0, "socket");
    if (connect(fd, (struct sockaddr *) &address, size) == 0)
        return fd;
    close(fd);
    return -1;
}

int host_meet(int *ret_other) {
    int ends[2];
    *ret_other = -1;
    if (!host.scene->is_client)
        return meet_server();
    demand(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "socketpair");
    *ret_other = ends[1];
    return ends[0];
}

static int *slot_for_client(void) {
    static int slot;
    for (slot = 0; slot < HOST_CONNS; slot++)
        if (!host.conns[slot])
            return &slot;
    return NULL;
}

static void await_reaper(void) {
    static const struct timespec moment = {.tv_nsec = 50000};
    while (reaper_pending() + disposal_pending() > 0)
        nanosleep(&moment, NULL);
}

/* A socket belongs to the library once the library has seen that it is one: a call that failed before that leaves it
 * open. */
static void close_if_left(int fd, const struct stat *before) {
    struct stat now;
    await_reaper();
    if (fstat(fd, &now) == 0 && now.st_ino == before->st_ino && now.st_dev == before->st_dev)
        close(fd);
}

void host_join(int other) {
    struct stat socket_id;
    sea_options options = options_of(host.scene);
    char address[24];
    int *slot = slot_for_client();
    if (other < 0)
        return;
    if (!slot) {
        close(other);
        return;
    }
    int number = *slot;
    snprintf(address, sizeof(address), "fd:%d", other);
    demand(fstat(other, &socket_id) == 0, "fstat");
    host.is_waiting = true;
    if (sea_connect(&host.conns[number], host.ctx, address, &options) == 0)
        host.opened++;
    else
        close_if_left(other, &socket_id);
    host.is_waiting = false;
}

/* --- turns --- */

static void turn_client(sea_conn *conn, bool is_resting) {
    struct pollfd item = {.fd = sea_conn_fd(conn)};
    if (is_resting)
        sea_conn_prepare(conn);
    item.events = sea_conn_events(conn);
    int ready = item.fd < 0 ? 0 : poll(&item, 1, 0);
    stopwatch_begin();
    sea_conn_dispatch(conn, ready > 0 ? item.revents : 0);
    stopwatch_end();
}

/* As a program that waits, which finds what lies in the ring already, and takes the short way. */
static void wait_client(sea_conn *conn) {
    host.is_waiting = true;
    stopwatch_begin();
    sea_conn_wait(conn, 0);
    stopwatch_end();
    host.is_waiting = false;
}

void host_turn(bool is_resting) {
    if (host.is_waiting || host.depth)
        return;
    for (int i = 0; i < HOST_CONNS && host.scene->is_client; i++)
        if (host.conns[i] && host.scene->waits)
            wait_client(host.conns[i]);
        else if (host.conns[i])
            turn_client(host.conns[i], is_resting);
    if (!host.server)
        return;
    stopwatch_begin();
    if (is_resting)
        sea_server_prepare(host.server);
    sea_server_dispatch(host.server);
    stopwatch_end();
}

void host_run(void) {
    if (host.is_waiting || host.depth || !host.server)
        return;
    host.is_waiting = true;
    sea_server_run(host.server);
    host.is_waiting = false;
}

bool host_give_up(void) {
    if (host.server)
        sea_server_stop(host.server);
    return host.server;
}

/* --- the end --- */

/* Gives turns until all connections are gone, or `most` turns were given. Kept messages keep their connections. */
static const unsigned MUST_END_AT_0[] = {
    SEA_FIGURE_BLOCKS,
    SEA_FIGURE_BYTES,
    SEA_FIGURE_LEASED_BLOCKS,
    SEA_FIGURE_LEASED_BYTES,
    SEA_FIGURE_IMPORTED_BLOCKS,
    SEA_FIGURE_IMPORTED_BYTES,
    SEA_FIGURE_ARENA_BYTES,
    SEA_FIGURE_ACTIVE_BYTES,
    SEA_FIGURE_RETAINED_BYTES,
    SEA_FIGURE_IMPORTED_ARENA_BYTES,
    SEA_FIGURE_OUTBOX_BYTES,
    SEA_FIGURE_OLDEST_LEASE_NANOSECONDS,
    SEA_FIGURE_CONNECTIONS,
    SEA_FIGURE_OUTGOING_CALLS,
    SEA_FIGURE_INCOMING_CALLS,
    SEA_FIGURE_BUDGET_USED_BYTES,
    SEA_FIGURE_BUDGET_USED_BLOCKS,
    SEA_FIGURE_BUDGET_USED_DESCRIPTORS,
};

static uint64_t sum_left(void) {
    uint64_t now[SEA_FIGURES], sum = 0;
    sea_ctx_figures(host.ctx, now, SEA_FIGURES);
    demand(now[SEA_FIGURE_BUDGET_USED_BYTES] <= now[SEA_FIGURE_BUDGET_LIMIT_BYTES], "over the budget");
    for (size_t i = 0; i < sizeof(MUST_END_AT_0) / sizeof(*MUST_END_AT_0); i++)
        sum += now[MUST_END_AT_0[i]];
    return sum;
}

static void show_left(void) {
    uint64_t now[SEA_FIGURES];
    sea_ctx_figures(host.ctx, now, SEA_FIGURES);
    for (size_t i = 0; i < sizeof(MUST_END_AT_0) / sizeof(*MUST_END_AT_0); i++)
        fprintf(stderr, " %s %llu", sea_ctx_figure(MUST_END_AT_0[i])->name, (unsigned long long) now[MUST_END_AT_0[i]]);
    fprintf(stderr, "\n");
}

static void let_go(void) {
    for (int i = 0; i < HOST_KEPT; i++) {
        sea_msg_release(host.msgs[i]);
        sea_block_unref(host.blocks[i]);
        host.msgs[i] = NULL;
        host.blocks[i] = NULL;
    }
    for (int i = 0; i < HOST_POOLS; i++)
        host.pools[i] = sea_pool_free(host.pools[i]);
}

/* before the connections end, or after */
static bool end_conns(int most) {
    for (int i = 0; i < HOST_CONNS && host.scene->is_client; i++)
        host.conns[i] = sea_conn_free(host.conns[i]);
    clock_pass(ACCEPT_RETRY_NS);
    for (int turns = 0; host.server && (turns < 2 || host.ctx->tallies) && turns < most; turns++)
        host_turn(false);
    return !host.ctx->tallies;
}

void host_end(void) {
    static const uint8_t nothing;
    bool is_early = draw(host.in) & 1; /* Handlers of the last lap keep messages, too. */
    *host.in = (struct input){&nothing, 0};
    if (is_early)
        let_go();
    /* The kernel counts them (since Linux 6.2); before, there is only the full inventory. */
    for (int turns = 0; turns < TURNS_TO_END && !end_conns(TURNS_AT_ONCE); turns += TURNS_AT_ONCE)
        let_go();
    let_go();
    demand(end_conns(TURNS_AT_ONCE), "a connection stays after its peer hung up");
    if (sum_left() != 0)
        show_left();
    demand(sum_left() == 0, "something is left");
    demand(host.begun == host.ended, "a call has not ended");
    demand(host.closed >= host.opened || host.scene->is_client, "a connection was not closed");
}

/* Another thread closes descriptors that were refused. The program waits for it only now and then, and when many
 * have gathered. */
static uint64_t fds_open(void) {
    struct stat now;
    return stat("/proc/self/fd", &now) == 0 ? (uint64_t) now.st_size : 0;
}

/* Descriptors that were refused are closed on another thread. It is waited for only now and then, and when much has
 * gathered. */
static bool is_reaped(void) {
    static unsigned passed;
    size_t pending = reaper_pending() + disposal_pending();
    if (pending && !is_strict && pending < PENDING_MOST && ++passed < PASSED_MOST)
        return false;
    passed = 0;
    await_reaper();
    return true;
}

void host_check_holdings(void) {
    static struct holdings *before;
    static char text[65536];
    static uint64_t fds_before;
    static unsigned looks;
    if (!is_reaped() || (before && ++looks % LOOKS_PER_INVENTORY && fds_open() == fds_before))
        return;
    struct holdings *now = holdings_new();
    if (!before) {
        before = now;
        fds_before = fds_open();
        return;
    }
    demand(!holdings_differ(before, now, text, sizeof(text)), text);
    holdings_free(now);
}
