/* SPDX-License-Identifier: MIT */
/*
 * The cost of a block: loaned, its first and last byte written, given back. Beside it the cost of malloc() and free(),
 * of the library that is loaded for them (LD_PRELOAD).
 *
 *     one      the next is loaned when the last was given back
 *     window   64 are out; the oldest goes back before the next is loaned
 *
 * Steady state: the memory that a size needs was made before the measurement. Times are medians of short slices, so
 * that neither interrupted slices nor the first ones count.
 */
#include "clock.h"
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64, SLICES = 25, LAPS_FIRST = 4096 };

static const size_t SIZES[] = {64, 256, 1024, 4096, 16384, 65536, 262144, 1048576};

/* The source of memory: the blocks of a connection, or malloc(). */
struct loaner {
    void *(*loan)(sea_conn *conn, size_t size, void **ret_data); /* NULL: none */
    void (*give_back)(void *loan);
    sea_conn *conn;
};

static void *block_loan(sea_conn *conn, size_t size, void **ret_data) {
    sea_block *block = NULL;
    if (sea_block_new(&block, conn, size) < 0)
        return NULL;
    *ret_data = sea_block_data(block);
    return block;
}

static void block_give_back(void *loan) {
    sea_block_unref(loan);
}

static void *memory_loan(sea_conn *conn, size_t size, void **ret_data) {
    (void) conn;
    return *ret_data = malloc(size);
}

/* Also keeps the compiler from removing the loan. */
static inline void touch(void *data, size_t size) {
    volatile char *bytes = data;
    bytes[0] = 1;
    bytes[size - 1] = 1;
}

/* Inlined for each pattern and loaner, so that both are called directly. */
static inline __attribute__((always_inline)) bool laps(const struct loaner *loaner, void *out[], int window,
                                                       size_t size, int count) {
    for (int i = 0; i < count; i++) {
        void *data, **place = &out[i % window];
        loaner->give_back(*place);
        *place = loaner->loan(loaner->conn, size, &data);
        if (!*place)
            return false;
        touch(data, size);
    }
    return true;
}

static bool run_laps(const struct loaner *loaner, void *out[], int window, size_t size, int count) {
    static const struct loaner MEMORY = {memory_loan, free, NULL};
    const struct loaner blocks = {block_loan, block_give_back, loaner->conn};
    if (loaner->conn)
        return window == 1 ? laps(&blocks, out, 1, size, count) : laps(&blocks, out, WINDOW, size, count);
    return window == 1 ? laps(&MEMORY, out, 1, size, count) : laps(&MEMORY, out, WINDOW, size, count);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static int measure(const struct loaner *loaner, int window, size_t size, double seconds, double *ret_ns) {
    void *out[WINDOW] = {NULL};
    double slices[SLICES], slice_ns = seconds * 1e9 / SLICES;
    int count = LAPS_FIRST;
    bool is_good = run_laps(loaner, out, window, size, count);
    for (int i = 0; is_good && i < SLICES; i++) {
        uint64_t began = clock_ticks();
        is_good = run_laps(loaner, out, window, size, count);
        slices[i] = clock_ns(clock_ticks() - began) / count;
        count = (int) (slice_ns / slices[i]) / WINDOW * WINDOW + WINDOW;
    }
    for (int i = 0; i < window; i++)
        loaner->conn ? block_give_back(out[i]) : free(out[i]);
    if (!is_good)
        return -ENOMEM;
    qsort(slices, SLICES, sizeof(slices[0]), compare);
    *ret_ns = slices[SLICES / 2];
    return 0;
}

static int measure_all(const struct order *order, sea_conn *conn) {
    const struct loaner loaner = {.conn = conn};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        for (int window = 1; r == 0 && window <= WINDOW; window += WINDOW - 1) {
            double ns = 0;
            r = measure(&loaner, window, SIZES[i], order->seconds, &ns);
            if (r == 0)
                printf("{\"case\":\"speed\",\"system\":\"%s\",\"pattern\":\"%s\",\"size\":%zu,\"ns\":%.2f}\n",
                       order->system, window == 1 ? "one" : "window", SIZES[i], ns);
        }
    return r;
}

int memory_speed(const struct order *order) {
    struct service service = {.pid = -1};
    sea_conn *conn = NULL;
    sea_ctx *ctx = NULL;
    if (strcmp(order->system, "sealane") != 0)
        return measure_all(order, NULL);
    int r = service_start(&service, "speed", NULL);
    if (r == 0)
        r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_connect(&conn, ctx, service.address, NULL);
    if (r == 0)
        r = measure_all(order, conn);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    service_end(&service);
    return r;
}
