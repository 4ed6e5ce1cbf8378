/* SPDX-License-Identifier: MIT */
/*
 * A day of mixed load, compressed: blocks of 300 B to 1 MiB with random lifetimes, more of them by day than by night,
 * larger ones in the evening; one block in ten lives fifty times as long, in a pool of its own. How much memory is
 * mapped beyond the requested amount?
 *
 *     waste = bytes in arenas / bytes of the payloads that are out, taken many times an hour
 *
 * The program follows the advice of doc/tuning.md: now and then it waits for messages, during which free memory goes;
 * and it compacts the long-lived blocks when they have left too many holes. The pools keep as much free memory as they
 * do by default; with --variant spare, 1 MiB each.
 */
#include "memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { HOURS = 24, TURNS = 40000, LOOKS = 10, RESTS = 40, PLACES = 65536, LONG_ONE_IN = 10, LONGER = 50 };

static const size_t LEAST = 300, MOST_BY_DAY = (size_t) 256 << 10, MOST_BY_NIGHT = (size_t) 1 << 20;
static const double COMPACT_ABOVE = 1.2; /* ratio of bytes in arenas to bytes in blocks */
static const uint64_t BYTES = UINT64_C(512) << 20, RETAINED = UINT64_C(1) << 20;

static struct {
    sea_block *block;
    bool is_long;
} places[PLACES];

struct day {
    const char *variant;
    sea_conn *conn;
    sea_pool *lasting;
    uint64_t seed, out; /* bytes that were requested */
    int count;          /* places [0, count) are in use */
};

static int take(struct day *day, size_t most) {
    sea_block *block = NULL;
    size_t size = random_size(&day->seed, LEAST, most);
    bool is_long = random_share(&day->seed) * LONG_ONE_IN < 1;
    int r = day->count == PLACES ? 0 : sea_pool_block(&block, is_long ? day->lasting : sea_conn_pool(day->conn), size);
    if (!block)
        return r;
    places[day->count].block = block;
    places[day->count++].is_long = is_long;
    day->out += size;
    return 0;
}

static void put(struct day *day) {
    int i = (int) (random_share(&day->seed) * day->count);
    if (day->count == 0 || (places[i].is_long && random_share(&day->seed) * LONGER >= 1))
        return;
    day->out -= sea_block_size(places[i].block);
    sea_block_unref(places[i].block);
    places[i] = places[--day->count];
}

static void look(const struct day *day, double hour) {
    uint64_t own[SEA_POOL_FIGURES], lasting[SEA_POOL_FIGURES];
    sea_pool_figures(sea_conn_pool(day->conn), own, SEA_POOL_FIGURES);
    sea_pool_figures(day->lasting, lasting, SEA_POOL_FIGURES);
    uint64_t mapped = own[SEA_POOL_FIGURE_MAPPED_BYTES] + lasting[SEA_POOL_FIGURE_MAPPED_BYTES];
    uint64_t arenas = own[SEA_POOL_FIGURE_ARENAS] + lasting[SEA_POOL_FIGURE_ARENAS];
    printf("{\"case\":\"waste\",\"variant\":\"%s\",\"hour\":%.2f,\"mapped\":%llu,\"asked\":%llu,\"arenas\":%llu}\n",
           day->variant, hour, (unsigned long long) mapped, (unsigned long long) day->out, (unsigned long long) arenas);
}

static int move(const struct day *day, sea_block **place) {
    sea_block *old = *place;
    int r = sea_pool_copy(place, day->lasting, old);
    if (r == 0)
        sea_block_unref(old);
    return r;
}

/* The long-lived blocks have left holes: moves all of them into a new generation. */
static int compact(const struct day *day) {
    uint64_t lasting[SEA_POOL_FIGURES];
    int r = 0;
    sea_pool_figures(day->lasting, lasting, SEA_POOL_FIGURES);
    if ((double) lasting[SEA_POOL_FIGURE_MAPPED_BYTES] <=
        COMPACT_ABOVE * (double) lasting[SEA_POOL_FIGURE_ACTIVE_BYTES])
        return 0;
    sea_pool_rotate(day->lasting);
    for (int i = 0; r == 0 && i < day->count; i++)
        if (places[i].is_long)
            r = move(day, &places[i].block);
    return r;
}

/* Waits between two messages: free memory goes meanwhile. */
static int rest(const struct day *day) {
    int r = sea_conn_wait(day->conn, 1);
    return r < 0 ? r : compact(day);
}

static int hour(struct day *day, int number, uint64_t bytes) {
    double sun = (1 - cos(2 * acos(-1) * number / HOURS)) / 2; /* 0 at midnight, 1 at noon */
    uint64_t wanted = (uint64_t) ((double) bytes * (0.4 + 0.6 * sun));
    int r = 0;
    for (int turn = 1; r == 0 && turn <= TURNS; turn++) {
        if (day->out < wanted)
            r = take(day, number < 18 ? MOST_BY_DAY : MOST_BY_NIGHT);
        else
            put(day);
        if (r == 0 && turn % (TURNS / RESTS) == 0)
            r = rest(day);
        if (turn % (TURNS / LOOKS) == 0)
            look(day, number + (double) turn / TURNS);
    }
    return r;
}

/* No block is sent, so each arena keeps its descriptor. */
static void want_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int memory_waste(const struct order *order) {
    uint64_t retained = strcmp(order->variant, "spare") == 0 ? RETAINED : 0;
    const sea_pool_options lasting = {.name = "lasting", .retained_max = retained};
    const sea_options options = {.pool = &(sea_pool_options){.retained_max = retained}};
    struct service service = {.pid = -1};
    struct day day = {.variant = order->variant, .seed = 1};
    sea_ctx *ctx = NULL;
    want_descriptors();
    int r = service_start(&service, "waste", NULL);
    if (r == 0)
        r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_connect(&day.conn, ctx, service.address, &options);
    if (r == 0)
        r = sea_pool_new(&day.lasting, day.conn, &lasting);
    for (int number = 0; r == 0 && number < HOURS * (order->count ? order->count : 1); number++)
        r = hour(&day, number % HOURS, order->bytes ? order->bytes : BYTES);
    while (day.count > 0)
        sea_block_unref(places[--day.count].block);
    sea_pool_free(day.lasting);
    sea_conn_free(day.conn);
    sea_ctx_unref(ctx);
    service_end(&service);
    return r;
}
