/* SPDX-License-Identifier: MIT */
/*
 * The memory of a connection that has worked.
 *
 *     footprint [--count N]
 *
 * A client opens N connections to one server and makes calls of each size on each of them. The program prints a line
 * of JSON: the bytes by which both processes grew since the calls of a first connection, which pay for what a process
 * makes once. No time passes between the work and the look, so that memory which is kept for the next calls counts.
 */
#include "auto.h"
#include "helper.h"
#include "resident.h"

#include <errno.h>
#include <getopt.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { METHOD = 1, ROUNDS = 64, REPLY = 32, CONNECTIONS_MAX = 1024, PATIENCE_MS = 10000, MISUSED = 2, SMALL = 4096 };

static const size_t SIZES[] = {64, 256, 1024, 4096, 16384, 65536, 262144, 1048576};

/* --- the server --- */

static void handle(sea_msg *msg, void *user) {
    static const char reply[REPLY];
    (void) user;
    sea_reply_bytes(msg, reply, sizeof(reply));
}

static int serve(const struct helper *helper, const char *address) {
    static const sea_method methods[] = {{.number = METHOD, .name = "work", .handler = handle}};
    const sea_options options = {SEA_METHODS(methods), .waiting = SEA_WAIT_SLEEP,
                                 .connections_max = 2 * CONNECTIONS_MAX,
                                 .connections_per_process = 2 * CONNECTIONS_MAX};
    sea_server *server = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_server_new(&server, ctx, address, &options);
    helper_answer(helper, r);
    return r < 0 ? r : sea_server_run(server);
}

/* --- the client --- */

static int call(sea_conn *conn, size_t size) {
    static char bytes[SMALL];
    sea_msg *reply = NULL;
    sea_block *block = NULL;
    int r = size <= SMALL && auto_sends_bytes(conn, size)
                ? sea_call_bytes(conn, METHOD, bytes, size, PATIENCE_MS, &reply)
                : sea_block_new(&block, conn, size);
    if (r == 0 && block) {
        void *data = sea_block_data(block);
        if (!data)
            return -ENOMEM;
        memset(data, 1, size);
        r = sea_call(conn, METHOD, block, PATIENCE_MS, &reply);
    }
    sea_msg_release(reply);
    return r;
}

static int work(sea_conn *conn) {
    int r = 0;
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        for (int round = 0; r == 0 && round < ROUNDS; round++)
            r = call(conn, SIZES[i]);
    return r;
}

static int connect_and_work(sea_ctx *ctx, const char *address, unsigned count) {
    static const sea_options options = {.waiting = SEA_WAIT_SLEEP};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        sea_conn *conn = NULL; /* ends with the process */
        r = sea_connect(&conn, ctx, address, &options);
        if (r == 0)
            r = work(conn);
    }
    return r;
}

static int be_client(const struct helper *helper, const char *address, unsigned count) {
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = connect_and_work(ctx, address, 1);
    while (helper_answer(helper, r) && helper_next(helper))
        r = connect_and_work(ctx, address, count);
    return r;
}

/* --- the conductor --- */

static uint64_t bytes_of(const struct helper *helper) {
    struct resident resident = resident_of(helper->pid);
    return (resident.anon + resident.shmem + resident.tables) * 1024;
}

static int conduct(struct helper *server, struct helper *client, unsigned count) {
    char address[64];
    snprintf(address, sizeof(address), "unix:@sealane-footprint-%d", (int) getpid());
    pid_t pid = helper_fork(server, -1);
    if (pid == 0)
        _exit(serve(server, address) < 0);
    int r = pid < 0 ? pid : helper_await(server);
    if (r < 0)
        return r;
    pid = helper_fork(client, -1);
    if (pid == 0)
        _exit(be_client(client, address, count) < 0);
    r = pid < 0 ? pid : helper_await(client);
    if (r < 0)
        return r;
    uint64_t before[] = {bytes_of(server), bytes_of(client)};
    r = helper_ask(client, 'w');
    if (r < 0)
        return r;
    printf("{\"case\":\"footprint\",\"count\":%u,\"server\":%lld,\"client\":%lld}\n", count,
           (long long) (bytes_of(server) - before[0]), (long long) (bytes_of(client) - before[1]));
    return 0;
}

int main(int argc, char **argv) {
    static const struct option OPTIONS[] = {{"count", required_argument, NULL, 'n'}, {0}};
    struct helper server = {.pid = -1}, client = {.pid = -1};
    unsigned count = 64;
    for (int option; (option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
        count = option == 'n' ? (unsigned) strtoul(optarg, NULL, 10) : 0;
    if (optind < argc || count == 0 || count > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: footprint [--count N]\n");
        return MISUSED;
    }
    int r = conduct(&server, &client, count);
    helper_end(&client);
    helper_end(&server);
    if (r < 0)
        fprintf(stderr, "bench: footprint: %s\n", strerror(-r));
    return r < 0;
}
