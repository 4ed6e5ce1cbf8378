/* SPDX-License-Identifier: MIT */
/*
 * The cost of many idle connections, and their effect on an active client.
 *
 *     scale [--count N] [--rounds N] [--seconds S]
 *
 * Processes: servers, which hold the N idle connections; clients, which have opened them; an active client; and a quiet
 * server, which has only the active client's connections. One server holds as many connections as it has descriptors
 * for, two for each; another server holds the rest.
 *
 * Lines of JSON: the distribution of the connections; memory by kind before the first connection, with all, and after
 * the last one has ended; the rate of connecting; and the time of a call beside the idle connections and at the quiet
 * server, by turns, in many rounds.
 *
 * Each process has opened, used and ended one connection before the start is measured, so that memory that a process
 * makes once does not count. Shared pages count in proportion to the processes that map them (Pss_Shmem), so their sum
 * is the total.
 */
#include "clock.h"
#include "crew.h"
#include "histogram.h"
#include "resident.h"

#include <errno.h>
#include <getopt.h>
#include <sealane/sealane.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 1, ACTIVE = 8, CLIENTS = 4, SERVERS_MAX = 64, SIZE = 64, PATIENCE_MS = 10000, MISUSED = 2 };

/* Descriptors of a process that do not belong to connections. */
static const unsigned DESCRIPTORS_SPARE = 64;

/* Work in the background has ended this long after the last connection came or went. */
static const long SETTLED_MS = 1500;

struct order {
    unsigned count, rounds;
    double seconds; /* of a half round */
};

/* A process that runs commands. */
struct helper {
    pid_t pid;
    int fd; /* carries commands, one byte each, and results */
    char address[64];
};

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* --- the servers --- */

static void on_echo(sea_msg *msg, void *user) {
    (void) user;
    sea_reply_bytes(msg, sea_msg_data(msg), sea_msg_size(msg));
}

static int serve(const char *address, int ready, unsigned count) {
    static const sea_method methods[] = {{.number = ECHO, .name = "echo", .handler = on_echo}};
    const sea_options options = {SEA_METHODS(methods), .waiting = SEA_WAIT_SLEEP,
                                 .connections_max = count + DESCRIPTORS_SPARE,
                                 .connections_per_process = count + DESCRIPTORS_SPARE};
    sea_server *server = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_server_new(&server, ctx, address, &options);
    if (write(ready, &r, sizeof(r)) != sizeof(r) || r < 0)
        return r;
    return sea_server_run(server);
}

/* --- the clients --- */

struct client {
    sea_ctx *ctx;
    sea_conn **conns;
    unsigned count;
};

static int connect_one(struct client *client, const char *address, unsigned i) {
    static const sea_options options = {.waiting = SEA_WAIT_SLEEP};
    return sea_connect(&client->conns[i], client->ctx, address, &options);
}

static int call(sea_conn *conn) {
    char bytes[SIZE] = {0};
    sea_msg *reply = NULL;
    int r = sea_call_bytes(conn, ECHO, bytes, sizeof(bytes), PATIENCE_MS, &reply);
    sea_msg_release(reply);
    return r;
}

static void close_all(struct client *client) {
    for (unsigned i = 0; i < client->count; i++)
        client->conns[i] = sea_conn_free(client->conns[i]);
}

static int warm_up(struct client *client, const char *address) {
    int r = connect_one(client, address, 0);
    if (r == 0)
        r = call(client->conns[0]);
    client->conns[0] = sea_conn_free(client->conns[0]);
    return r;
}

static int client_new(struct client *client, unsigned count) {
    *client = (struct client){.count = count, .conns = calloc(count + 1, sizeof(sea_conn *))};
    return client->conns ? sea_ctx_new(&client->ctx, NULL) : -ENOMEM;
}

/* The client's part of the idle connections: from number `first` on, at the servers of `order`. */
struct part {
    const struct helper *servers;
    unsigned first, count, per_server;
};

static int connect_part(struct client *client, const struct part *part) {
    int r = 0;
    for (unsigned i = 0; r == 0 && i < part->count; i++)
        r = connect_one(client, part->servers[(part->first + i) / part->per_server].address, i);
    return r;
}

static int be_client(const struct part *part, int fd) {
    struct client client;
    char told;
    int r = client_new(&client, part->count);
    if (r == 0)
        r = warm_up(&client, part->servers[part->first / part->per_server].address);
    while (write(fd, &r, sizeof(r)) == sizeof(r) && read(fd, &told, 1) == 1) {
        if (told == 'c')
            r = connect_part(&client, part);
        else
            close_all(&client);
    }
    return r;
}

/* --- the active client --- */

/* Returns p50 of calls on each connection in turn, in nanoseconds; negative: errno. */
static double time_calls(const struct client *client, double seconds, struct histogram *histogram) {
    uint64_t end = clock_now_ns() + (uint64_t) (seconds * 1e9);
    memset(histogram, 0, sizeof(*histogram));
    while (clock_now_ns() < end)
        for (unsigned i = 0; i < ACTIVE; i++) {
            uint64_t began = clock_ticks();
            int r = call(client->conns[i]);
            if (r < 0)
                return r;
            histogram_add(histogram, clock_steps(clock_ticks() - began));
        }
    return clock_steps_ns(histogram_percentile(histogram, 0.5));
}

static int time_round(const struct client clients[2], unsigned round, double seconds) {
    static struct histogram histogram;
    double p50[2];
    for (unsigned i = 0; i < 2; i++) {
        unsigned which = (i + round) % 2; /* each kind begins equally often */
        p50[which] = time_calls(&clients[which], seconds, &histogram);
        if (p50[which] < 0)
            return (int) p50[which];
    }
    printf("{\"case\":\"scale\",\"round\":%u,\"alone_ns\":%.1f,\"beside_ns\":%.1f}\n", round, p50[0], p50[1]);
    fflush(stdout);
    return 0;
}

static int be_active(const struct helper *quiet, const struct helper *busy, const struct order *order, int fd) {
    const char *addresses[] = {quiet->address, busy->address};
    struct client clients[2];
    char told;
    int r = 0;
    for (unsigned which = 0; r == 0 && which < 2; which++) {
        r = client_new(&clients[which], ACTIVE);
        for (unsigned i = 0; r == 0 && i < ACTIVE; i++)
            r = connect_one(&clients[which], addresses[which], i);
        if (r == 0 && time_calls(&clients[which], order->seconds, &(struct histogram){0}) < 0)
            r = -EIO;
    }
    while (write(fd, &r, sizeof(r)) == sizeof(r) && read(fd, &told, 1) == 1)
        for (unsigned round = 0; r == 0 && round < order->rounds; round++)
            r = time_round(clients, round, order->seconds);
    return r;
}

/* --- memory, as the kernel counts it --- */

struct memory {
    struct resident resident;
    uint64_t slab; /* KiB */
};

static void print_memory(const char *moment, const char *who, const struct memory *memory) {
    printf("{\"case\":\"scale\",\"moment\":\"%s\",\"who\":\"%s\",\"anon\":%llu,\"shmem\":%llu,\"tables\":%llu,\"slab\":"
           "%llu}\n",
           moment, who, (unsigned long long) memory->resident.anon * 1024,
           (unsigned long long) memory->resident.shmem * 1024, (unsigned long long) memory->resident.tables * 1024,
           (unsigned long long) memory->slab * 1024);
}

/* Prints a line for each process. */
static void show_memory(const char *moment, const char *who, const struct helper *helpers, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        const struct memory memory = {.resident = resident_of(helpers[i].pid)};
        print_memory(moment, who, &memory);
    }
}

static void show_machine(const char *moment) {
    static const char path[] = "/proc/meminfo";
    const struct memory memory = {.resident = {.anon = resident_line(path, "AnonPages"),
                                               .shmem = resident_line(path, "Shmem"),
                                               .tables = resident_line(path, "PageTables")},
                                  .slab = resident_line(path, "Slab")};
    print_memory(moment, "machine", &memory);
    fflush(stdout);
}

/* --- the conductor --- */

struct stage {
    const struct order *order;
    unsigned servers_count, per_server;
    struct helper servers[SERVERS_MAX], quiet, clients[CLIENTS], active;
};

static int helper_answer(const struct helper *helper) {
    int r = -ECHILD;
    return read(helper->fd, &r, sizeof(r)) == sizeof(r) ? r : -ECHILD;
}

static bool helper_tell(const struct helper *helper, char what) {
    return write(helper->fd, &what, 1) == 1;
}

/* Returns true in the parent; the child has its end of the pair in *ret_fd. */
static bool helper_fork(struct helper *helper, int *ret_fd) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return true;
    fflush(stdout);
    helper->pid = crew_fork(-1);
    helper->fd = fds[0];
    *ret_fd = fds[1];
    bool is_parent = helper->pid != 0;
    close(fds[is_parent ? 1 : 0]);
    return is_parent;
}

static void start_server(const struct stage *stage, struct helper *server, unsigned number) {
    int fd = -1;
    snprintf(server->address, sizeof(server->address), "unix:@sealane-scale-%d-%u", (int) getpid(), number);
    if (!helper_fork(server, &fd))
        _exit(serve(server->address, fd, stage->per_server + ACTIVE) < 0);
}

static void start_client(struct stage *stage, unsigned i) {
    unsigned first = i * stage->order->count / CLIENTS, next = (i + 1) * stage->order->count / CLIENTS;
    const struct part part = {
        .servers = stage->servers, .first = first, .count = next - first, .per_server = stage->per_server};
    int fd = -1;
    if (!helper_fork(&stage->clients[i], &fd))
        _exit(be_client(&part, fd) < 0);
}

static int start_all(struct stage *stage) {
    int fd = -1, r = 0;
    for (unsigned i = 0; i < stage->servers_count; i++)
        start_server(stage, &stage->servers[i], i);
    start_server(stage, &stage->quiet, SERVERS_MAX);
    for (unsigned i = 0; r == 0 && i < stage->servers_count; i++)
        r = helper_answer(&stage->servers[i]);
    if (r == 0)
        r = helper_answer(&stage->quiet);
    if (r == 0 && !helper_fork(&stage->active, &fd))
        _exit(be_active(&stage->quiet, &stage->servers[0], stage->order, fd) < 0);
    for (unsigned i = 0; r == 0 && i < CLIENTS; i++)
        start_client(stage, i);
    for (unsigned i = 0; r == 0 && i < CLIENTS; i++)
        r = helper_answer(&stage->clients[i]);
    return r == 0 ? helper_answer(&stage->active) : r;
}

static void end_all(const struct stage *stage) {
    crew_kill(stage->active.pid);
    for (unsigned i = 0; i < CLIENTS; i++)
        crew_kill(stage->clients[i].pid);
    for (unsigned i = 0; i < stage->servers_count; i++)
        crew_kill(stage->servers[i].pid);
    crew_kill(stage->quiet.pid);
}

static int tell_clients(const struct stage *stage, char what) {
    int r = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (!helper_tell(&stage->clients[i], what))
            return -ECHILD;
    for (unsigned i = 0; i < CLIENTS; i++) {
        int one = helper_answer(&stage->clients[i]);
        r = r < 0 ? r : one;
    }
    return r;
}

static void show(const struct stage *stage, const char *moment) {
    pause_ms(SETTLED_MS);
    show_memory(moment, "servers", stage->servers, stage->servers_count);
    show_memory(moment, "clients", stage->clients, CLIENTS);
    show_machine(moment);
}

static int conduct(struct stage *stage) {
    int r = start_all(stage);
    if (r < 0)
        return r;
    show(stage, "start");
    double began = (double) clock_now_ns() / 1e9;
    r = tell_clients(stage, 'c');
    double seconds = (double) clock_now_ns() / 1e9 - began;
    if (r < 0)
        return r;
    printf("{\"case\":\"scale\",\"count\":%u,\"servers\":%u,\"per_server\":%u,\"clients\":%d,\"rate\":%.1f}\n",
           stage->order->count, stage->servers_count, stage->per_server, CLIENTS, stage->order->count / seconds);
    show(stage, "idle");
    r = helper_tell(&stage->active, 'm') ? helper_answer(&stage->active) : -ECHILD;
    if (r == 0)
        r = tell_clients(stage, 'x');
    if (r == 0)
        show(stage, "closed");
    return r;
}

/* Raises the limit of descriptors as far as possible; returns the number of connections that one server has
 * descriptors for. */
static unsigned descriptors_raise(unsigned count) {
    struct rlimit limit;
    rlim_t wanted = 2 * (rlim_t) (count + ACTIVE) + DESCRIPTORS_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_max < wanted) /* root may raise it, where it has all capabilities */
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){wanted, wanted});
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max >= wanted ? count : (unsigned) (limit.rlim_max - DESCRIPTORS_SPARE) / 2 - ACTIVE;
}

static bool parse(int argc, char **argv, struct order *order) {
    static const struct option OPTIONS[] = {{"count", required_argument, NULL, 'n'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 'n')
            order->count = (unsigned) strtoul(optarg, NULL, 10);
        else if (option == 'r')
            order->rounds = (unsigned) strtoul(optarg, NULL, 10);
        else if (option == 't')
            order->seconds = strtod(optarg, NULL);
        else
            return false;
    }
    return optind == argc && order->count >= CLIENTS && order->seconds > 0;
}

int main(int argc, char **argv) {
    static struct stage stage;
    struct order order = {.count = 10000, .rounds = 40, .seconds = 0.1};
    if (!parse(argc, argv, &order)) {
        fprintf(stderr, "usage: scale [--count N] [--rounds N] [--seconds S]\n");
        return MISUSED;
    }
    stage.order = &order;
    stage.per_server = descriptors_raise(order.count);
    stage.servers_count = stage.per_server ? (order.count + stage.per_server - 1) / stage.per_server : SERVERS_MAX + 1;
    stage.quiet.pid = stage.active.pid = -1;
    for (unsigned i = 0; i < CLIENTS; i++)
        stage.clients[i].pid = -1;
    if (stage.servers_count > SERVERS_MAX) {
        fprintf(stderr, "bench: scale: RLIMIT_NOFILE is too small for %u connections\n", order.count);
        return 1;
    }
    clock_calibrate();
    int r = conduct(&stage);
    end_all(&stage);
    if (r < 0)
        fprintf(stderr, "bench: scale: %s\n", strerror(-r));
    return r < 0;
}
