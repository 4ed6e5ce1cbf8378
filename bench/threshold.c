/* SPDX-License-Identifier: MIT */
/*
 * The size from which a sealed memfd is cheaper than a copy through the socket.
 *
 * Two processes, one call at a time; one writes each payload in full and the other reads it in full. Both classes take
 * turns call by call, so that the machine's state affects both equally. Prints the medians' ratio for each size: above
 * 1, sealed is cheaper. `threshold 0 1` pins client and server to these CPUs, `threshold 0 0` to one.
 */
#include <errno.h>
#include <sched.h>
#include <sealane/sealane.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 300, LARGEST = 1 << 17 };

static const char ADDRESS[] = "unix:@sealane-bench-threshold";

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static void pin(const char *cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t) atoi(cpu), &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        perror("threshold: sched_setaffinity");
}

static void read_in_full(sea_msg *call, void *user) {
    (void) user;
    if (memchr(sea_msg_data(call), 0, sea_msg_size(call)))
        sea_reply_error(call, -EIO, "the payload is not there");
    else
        sea_reply(call, NULL);
}

static int serve(const char *cpu) {
    const sea_method methods[] = {{.number = 1, .name = "read", .handler = read_in_full}};
    const sea_options options = {SEA_METHODS(methods), .inline_max = LARGEST};
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    pin(cpu);
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0 && (r = sea_server_new(&server, ctx, ADDRESS, &options)) == 0)
        r = sea_server_run(server);
    fprintf(stderr, "threshold: server: %s\n", strerror(-r));
    return 1;
}

static double one_call(sea_conn *conn, int payload_class, size_t size) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    double begin = now_us();
    int r = payload_class == SEA_INLINE ? sea_block_new(&block, conn, size)
                                        : sea_block_new_sealed(&block, sea_conn_ctx(conn), size, 0);
    if (r == 0) {
        memset(sea_block_data(block), 1, size);
        r = sea_call(conn, 1, block, 5000, &reply);
    }
    if (r < 0) {
        fprintf(stderr, "threshold: %s\n", strerror(-r));
        exit(1);
    }
    sea_msg_release(reply);
    return now_us() - begin;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static void measure(sea_conn *conn, size_t size) {
    static double copied[ROUNDS], sealed[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        copied[i] = one_call(conn, SEA_INLINE, size);
        sealed[i] = one_call(conn, SEA_SEALED, size);
    }
    qsort(copied, ROUNDS, sizeof(*copied), compare);
    qsort(sealed, ROUNDS, sizeof(*sealed), compare);
    printf("%8zu  inline %8.1f us  sealed %8.1f us  inline/sealed %.2f\n", size, copied[ROUNDS / 2], sealed[ROUNDS / 2],
           copied[ROUNDS / 2] / sealed[ROUNDS / 2]);
}

int main(int argc, char **argv) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    pid_t server = fork();
    if (server == 0)
        _exit(serve(argc > 2 ? argv[2] : "1"));
    pin(argc > 1 ? argv[1] : "0");
    int r = sea_ctx_new(&ctx, NULL);
    for (int tries = 0; r == 0 && tries < 100; tries++) {
        r = sea_connect(&conn, ctx, ADDRESS, NULL);
        if (r != -ECONNREFUSED)
            break;
        usleep(20000);
        r = 0;
    }
    if (!conn)
        fprintf(stderr, "threshold: cannot connect: %s\n", strerror(-r));
    for (size_t size = 1024; conn && size <= LARGEST; size *= 2)
        measure(conn, size);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return conn == NULL;
}
