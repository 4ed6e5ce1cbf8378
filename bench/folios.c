/* SPDX-License-Identifier: MIT */
/*
 * The cost of arenas with the pages that the machine gives now. bench/run/folios.py changes the page settings, and runs
 * this program for each by turns.
 *
 * For each size, in a pool of its own each time, so that an arena is made: the time to get a block, then to write all
 * of it, to read all of it, and to give it and its arena back. Prints the medians in microseconds: "65536 26.1 3.0 2.2
 * 9.0". One process serves, and gets no message. Blocks of other classes than pooled are an error.
 */
#include <errno.h>
#include <sealane/sealane.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 41, PARTS = 4 };

static const size_t sizes[] = {(size_t) 64 << 10, (size_t) 128 << 10, (size_t) 512 << 10, (size_t) 1 << 20};

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int fail(const char *what, int error) {
    fprintf(stderr, "folios: %s: %s\n", what, strerror(-error));
    return 1;
}

static int serve(const char *address, int ready) {
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_server_new(&server, ctx, address, NULL);
    if (r == 0 && write(ready, "", 1) == 1)
        r = sea_server_run(server);
    return fail("server", r);
}

/* Reads one word of each cache line. */
static uint64_t read_all(const unsigned char *data, size_t size) {
    uint64_t sum = 0;
    for (size_t at = 0; at < size; at += 64)
        sum += data[at];
    return sum;
}

static int one_arena(sea_conn *conn, size_t size, double *ret_parts) {
    sea_pool *pool = NULL;
    sea_block *block = NULL;
    int r = sea_pool_new(&pool, conn, NULL);
    double began = now_us();
    if (r == 0)
        r = sea_pool_block(&block, pool, size);
    double made = now_us();
    if (r == 0 && sea_block_class(block) != SEA_POOLED)
        r = -EOPNOTSUPP;
    if (r < 0)
        return fail("an arena", r);
    memset(sea_block_data(block), 1, size);
    double written = now_us();
    uint64_t sum = read_all(sea_block_data(block), size);
    __asm__ volatile("" : : "r"(sum)); /* otherwise the compiler removes the reading */
    double was_read = now_us();
    sea_block_unref(block);
    sea_pool_free(pool);
    ret_parts[0] = made - began;
    ret_parts[1] = written - made;
    ret_parts[2] = was_read - written;
    ret_parts[3] = now_us() - was_read;
    return 0;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static int measure(sea_conn *conn, size_t size) {
    double times[PARTS][ROUNDS], parts[PARTS];
    for (int i = 0; i < ROUNDS; i++) {
        if (one_arena(conn, size, parts))
            return 1;
        for (int part = 0; part < PARTS; part++)
            times[part][i] = parts[part];
    }
    printf("%zu", size);
    for (int part = 0; part < PARTS; part++) {
        qsort(times[part], ROUNDS, sizeof(*times[part]), compare);
        printf(" %.1f", times[part][ROUNDS / 2]);
    }
    printf("\n");
    return 0;
}

static int ask(const char *address) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_connect(&conn, ctx, address, NULL);
    int failed = r < 0 ? fail("cannot connect", r) : 0;
    for (size_t i = 0; !failed && i < sizeof sizes / sizeof *sizes; i++)
        failed = measure(conn, sizes[i]);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return failed;
}

int main(void) {
    char address[64], byte;
    int ends[2];
    if (pipe(ends) < 0)
        return fail("pipe", -errno);
    snprintf(address, sizeof address, "unix:@sealane-bench-folios-%d", (int) getpid());
    pid_t server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        _exit(serve(address, ends[1]));
    }
    close(ends[1]);
    int failed = read(ends[0], &byte, 1) == 1 ? ask(address) : 1;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return failed;
}
