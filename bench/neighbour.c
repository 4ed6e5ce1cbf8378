/* SPDX-License-Identifier: MIT */
/*
 * A quiet client, alone with its server and beside a busy client of the same server.
 *
 *     neighbour [--rounds N] [--seconds S] [--cpus CLIENTS,SERVER]
 *
 * The quiet client makes a small call, sleeps for a moment, and makes the next one. The busy client keeps several calls
 * of 16 KiB under way. Both sleep while they wait, and share a CPU; the server has the other CPU for itself: so the
 * figure is the time that the server takes from the quiet client for the busy one. Each round prints a line of JSON:
 * 99 % of the quiet client's calls, alone and beside.
 */
#include "clock.h"
#include "helper.h"
#include "histogram.h"

#include <errno.h>
#include <getopt.h>
#include <sealane/sealane.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { METHOD = 1, SIZE = 64, LARGE = 16384, UNDER_WAY = 16, REPLY = 32, PATIENCE_MS = 10000, MISUSED = 2 };

static const struct timespec MOMENT = {.tv_nsec = 20000}; /* between two calls of the quiet client */

/* --- the server --- */

static void handle(sea_msg *msg, void *user) {
    static const char reply[REPLY];
    (void) user;
    sea_reply_bytes(msg, reply, sizeof(reply));
}

static int serve(const struct helper *helper, const char *address) {
    static const sea_method methods[] = {{.number = METHOD, .name = "work", .handler = handle}};
    const sea_options options = {SEA_METHODS(methods), .waiting = SEA_WAIT_SLEEP};
    sea_server *server = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_server_new(&server, ctx, address, &options);
    helper_answer(helper, r);
    return r < 0 ? r : sea_server_run(server);
}

/* --- the clients --- */

static int open_client(const char *address, sea_ctx **ret_ctx, sea_conn **ret_conn) {
    static const sea_options options = {.waiting = SEA_WAIT_SLEEP};
    int r = sea_ctx_new(ret_ctx, NULL);
    return r == 0 ? sea_connect(ret_conn, *ret_ctx, address, &options) : r;
}

struct busy {
    unsigned under_way;
    int error; /* the first one */
};

static void on_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    struct busy *busy = user;
    (void) conn;
    busy->under_way--;
    if (status < 0 && busy->error == 0)
        busy->error = status;
    sea_msg_release(reply);
}

static int begin_call(sea_conn *conn, struct busy *busy) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, conn, LARGE);
    if (r < 0)
        return r;
    void *data = sea_block_data(block);
    if (!data)
        return -ENOMEM;
    memset(data, 1, LARGE);
    r = sea_call_start(conn, METHOD, block, PATIENCE_MS, on_done, busy, NULL);
    busy->under_way += r == 0;
    return r;
}

/* Works while `is_on` says so, and otherwise sleeps. */
static int be_busy(const struct helper *helper, const char *address, _Atomic(bool) *is_on) {
    struct busy busy = {0};
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    int r = open_client(address, &ctx, &conn);
    helper_answer(helper, r);
    while (r >= 0 && busy.error == 0) {
        while (r >= 0 && atomic_load(is_on) && busy.under_way < UNDER_WAY)
            r = begin_call(conn, &busy);
        if (r >= 0 && busy.under_way > 0)
            r = sea_conn_wait(conn, PATIENCE_MS);
        else if (r >= 0)
            nanosleep(&MOMENT, NULL);
    }
    return r < 0 ? r : busy.error;
}

/* Returns 99 % of the calls' times, in nanoseconds; negative: errno. */
static double time_calls(sea_conn *conn, double seconds) {
    static struct histogram histogram;
    const char bytes[SIZE] = {0};
    uint64_t end = clock_now_ns() + (uint64_t) (seconds * 1e9);
    memset(&histogram, 0, sizeof(histogram));
    while (clock_now_ns() < end) {
        sea_msg *reply = NULL;
        uint64_t began = clock_ticks();
        int r = sea_call_bytes(conn, METHOD, bytes, sizeof(bytes), PATIENCE_MS, &reply);
        histogram_add(&histogram, clock_steps(clock_ticks() - began));
        sea_msg_release(reply);
        if (r < 0)
            return r;
        nanosleep(&MOMENT, NULL);
    }
    return clock_steps_ns(histogram_percentile(&histogram, 0.99));
}

struct order {
    unsigned rounds;
    double seconds; /* of a half round */
    int cpus[2];    /* of the clients, and of the server */
};

static int be_quiet(const struct helper *helper, const char *address, _Atomic(bool) *is_on, const struct order *order) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    int r = open_client(address, &ctx, &conn);
    if (r == 0 && time_calls(conn, order->seconds) < 0)
        r = -EIO;
    if (!helper_answer(helper, r) || !helper_next(helper))
        return r;
    for (unsigned round = 0; r == 0 && round < order->rounds; round++) {
        double p99[2];
        for (unsigned i = 0; i < 2; i++) {
            unsigned which = (i + round) % 2; /* each kind begins equally often */
            atomic_store(is_on, which == 1);
            p99[which] = time_calls(conn, order->seconds);
        }
        r = p99[0] < 0 || p99[1] < 0 ? -EIO : 0;
        printf("{\"case\":\"neighbour\",\"round\":%u,\"alone_ns\":%.1f,\"beside_ns\":%.1f}\n", round, p99[0], p99[1]);
        fflush(stdout);
    }
    helper_answer(helper, r);
    return r;
}

/* --- the conductor --- */

enum { SERVER, BUSY, QUIET, HELPERS };

static int conduct(struct helper helpers[HELPERS], const struct order *order) {
    char address[64];
    _Atomic(bool) *is_on = mmap(NULL, sizeof(*is_on), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (is_on == MAP_FAILED)
        return -ENOMEM;
    snprintf(address, sizeof(address), "unix:@sealane-neighbour-%d", (int) getpid());
    for (int i = 0; i < HELPERS; i++) {
        pid_t pid = helper_fork(&helpers[i], order->cpus[i == SERVER]);
        if (pid == 0)
            _exit((i == SERVER ? serve(&helpers[i], address)
                   : i == BUSY ? be_busy(&helpers[i], address, is_on)
                               : be_quiet(&helpers[i], address, is_on, order)) < 0);
        int r = pid < 0 ? pid : helper_await(&helpers[i]);
        if (r < 0)
            return r;
    }
    return helper_ask(&helpers[QUIET], 'm');
}

static bool parse(int argc, char **argv, struct order *order) {
    static const struct option OPTIONS[] = {{"rounds", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"cpus", required_argument, NULL, 'c'},
                                            {0}};
    for (int option; (option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        if (option == 'r')
            order->rounds = (unsigned) strtoul(optarg, NULL, 10);
        else if (option == 't')
            order->seconds = strtod(optarg, NULL);
        else if (option != 'c' || sscanf(optarg, "%d,%d", &order->cpus[0], &order->cpus[1]) != 2)
            return false;
    }
    return optind == argc && order->rounds > 0 && order->seconds > 0;
}

int main(int argc, char **argv) {
    struct helper helpers[HELPERS] = {{.pid = -1}, {.pid = -1}, {.pid = -1}};
    struct order order = {.rounds = 6, .seconds = 0.2, .cpus = {0, 1}};
    if (!parse(argc, argv, &order)) {
        fprintf(stderr, "usage: neighbour [--rounds N] [--seconds S] [--cpus CLIENTS,SERVER]\n");
        return MISUSED;
    }
    clock_calibrate();
    int r = conduct(helpers, &order);
    for (int i = 0; i < HELPERS; i++)
        helper_end(&helpers[i]);
    if (r < 0)
        fprintf(stderr, "bench: neighbour: %s\n", strerror(-r));
    return r < 0;
}
