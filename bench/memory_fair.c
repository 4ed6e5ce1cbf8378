/* SPDX-License-Identifier: MIT */
/*
 * Nine good clients call one server. By turns they are alone with it, or beside three bad ones:
 *
 *     slow       asks for large replies, and does not read them
 *     hoarder    reads them, and gives none back
 *     crashing   connects, sends calls that are not answered in time, and is killed; again and again
 *
 * The figure is the work that a good client gets done. Each round with the bad clients lies between two rounds without,
 * and is compared with these alone, because the load of the machine changes within seconds. The bad clients act slowly,
 * so that the CPU is not the measured resource; and all clients sleep while they wait, because with ten spinning
 * clients on two CPUs the scheduler would decide the result.
 */
#include "memory.h"

#include "crew.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 1, MORE = 2 };
enum { GOOD = 9, ROUNDS = 6, SIZE = 4096, LARGE = 1 << 20, PATIENCE_MS = 5000, BUSY = 64 };

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* --- the server --- */

static void on_call(sea_msg *msg, void *user) {
    sea_block *block = NULL;
    size_t size = sea_msg_method(msg) == ECHO ? sea_msg_size(msg) : LARGE;
    (void) user;
    int r = sea_block_new(&block, sea_msg_conn(msg), size);
    if (r < 0) {
        sea_reply_error(msg, r, NULL);
        return;
    }
    memcpy(sea_block_data(block), sea_msg_data(msg), sea_msg_size(msg) < size ? sea_msg_size(msg) : size);
    sea_reply(msg, block);
}

static const sea_method METHODS[] = {{.number = ECHO, .name = "echo", .handler = on_call},
                                     {.number = MORE, .name = "more", .handler = on_call}};
static const sea_options SERVER = {SEA_METHODS(METHODS), .waiting = SEA_WAIT_SLEEP};

/* --- clients --- */

static int open_client(const char *address, sea_ctx **ret_ctx, sea_conn **ret_conn) {
    static const sea_options options = {.waiting = SEA_WAIT_SLEEP};
    int r = sea_ctx_new(ret_ctx, NULL);
    return r == 0 ? sea_connect(ret_conn, *ret_ctx, address, &options) : r;
}

static int call(sea_conn *conn, uint32_t method, sea_msg **ret_reply) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, conn, SIZE);
    if (r < 0)
        return r;
    memset(sea_block_data(block), 1, SIZE);
    return sea_call(conn, method, block, PATIENCE_MS, ret_reply);
}

static _Noreturn void be_good(const char *address, _Atomic uint64_t *calls) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    int r = open_client(address, &ctx, &conn);
    while (r == 0) {
        sea_msg *reply = NULL;
        r = call(conn, ECHO, &reply);
        sea_msg_release(reply);
        atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
    }
    fprintf(stderr, "bench: a good client: %s\n", strerror(-r));
    _exit(1);
}

static void ignore(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) conn, (void) status, (void) user;
    sea_msg_release(reply);
}

static void ask_much(sea_conn *conn) {
    for (int i = 0; i < BUSY; i++) {
        sea_block *block = NULL;
        if (sea_block_new(&block, conn, SIZE) == 0)
            sea_call_start(conn, MORE, block, -1, ignore, NULL, NULL);
    }
}

static _Noreturn void be_slow(const char *address) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    if (open_client(address, &ctx, &conn) == 0)
        ask_much(conn);
    for (;;)
        pause();
}

static _Noreturn void be_hoarder(const char *address) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    sea_msg *reply;
    bool is_open = open_client(address, &ctx, &conn) == 0;
    for (;;) {
        if (is_open)
            (void) call(conn, MORE, &reply); /* the reply is not given back, whether or not it is a refusal */
        pause_ms(20);
    }
}

static _Noreturn void be_crashing(const char *address) {
    for (;;) {
        pid_t pid = crew_fork(-1);
        sea_ctx *ctx = NULL;
        sea_conn *conn = NULL;
        if (pid == 0 && open_client(address, &ctx, &conn) == 0)
            ask_much(conn);
        if (pid == 0)
            raise(SIGKILL);
        waitpid(pid, NULL, 0);
        pause_ms(100);
    }
}

static void (*const BAD[])(const char *address) = {be_slow, be_hoarder, be_crashing};
enum { BAD_COUNT = sizeof(BAD) / sizeof(BAD[0]) };

/* --- both kinds of clients --- */

struct crowd {
    struct service service;
    pid_t good[GOOD], bad[BAD_COUNT];
    _Atomic uint64_t *calls; /* for each good client */
};

static void end_all(pid_t *pids, int count) {
    for (int i = 0; i < count; i++)
        if (pids[i] > 0) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
            pids[i] = 0;
        }
}

static uint64_t calls_of(const struct crowd *crowd) {
    uint64_t sum = 0;
    for (int i = 0; i < GOOD; i++)
        sum += atomic_load_explicit(&crowd->calls[i], memory_order_relaxed);
    return sum;
}

static void round_of(struct crowd *crowd, int number, bool has_bad, double seconds) {
    for (int i = 0; has_bad && i < BAD_COUNT; i++)
        if ((crowd->bad[i] = crew_fork(-1)) == 0)
            BAD[i](crowd->service.address);
    pause_ms(200);
    uint64_t before = calls_of(crowd);
    double began = seconds_now();
    pause_ms((long) (seconds * 1000));
    printf("{\"case\":\"fair\",\"round\":%d,\"bad\":%d,\"rate\":%.1f}\n", number, has_bad ? BAD_COUNT : 0,
           (double) (calls_of(crowd) - before) / (seconds_now() - began));
    end_all(crowd->bad, BAD_COUNT);
}

int memory_fair(const struct order *order) {
    struct crowd crowd = {.service = {.pid = -1}};
    crowd.calls = mmap(NULL, GOOD * sizeof(*crowd.calls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crowd.calls == MAP_FAILED)
        return -errno;
    int r = service_start(&crowd.service, "fair", &SERVER);
    for (int i = 0; r == 0 && i < GOOD; i++)
        if ((crowd.good[i] = crew_fork(-1)) == 0)
            be_good(crowd.service.address, &crowd.calls[i]);
    for (int i = 0; r == 0 && i <= 2 * (order->count ? order->count : ROUNDS); i++)
        round_of(&crowd, i / 2, i % 2 == 1, order->seconds);
    for (int i = 0; r == 0 && i < GOOD; i++) /* all were served to the end */
        r = atomic_load_explicit(&crowd.calls[i], memory_order_relaxed) > 0 ? 0 : -ETIMEDOUT;
    end_all(crowd.good, GOOD);
    service_end(&crowd.service);
    return r;
}
