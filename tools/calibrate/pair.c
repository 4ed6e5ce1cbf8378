/* SPDX-License-Identifier: MIT */
/* The client and the server of one measurement. See pair.h. Static data belongs to one of the two processes. */
#include "calibrate/pair.h"

#include "calibrate/table.h"
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <sealane/sealane.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Slices are short: where other processes use the CPUs, both of ours must have theirs during a whole slice. */
static const double SLICE_US = 700, MOMENT_US = 15000, WARM_UP_US = 5000, NEAR = 1.25;
enum { SLICES = 3, SAMPLES_MOST = 4096 };

/* A lap over all blocks that any table lets cycle. */
static const size_t LAP_BYTES = (size_t) 32 << 20;
enum { LAP_BLOCKS = 72 };

enum { METHOD_READ = 1, METHOD_BOTH = 2, NO_DEADLINE = -1, PLAIN_MAX = 1 << 16 };

_Noreturn static void give_up(const char *what, sea_ctx *ctx, int error) {
    sea_refusal refusal = {0};
    if (ctx)
        sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    fprintf(stderr, "sealane-calibrate: %s: %s%s%s\n", what, strerror(-error), refusal.error ? ": " : "",
            refusal.advice);
    _exit(1);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

/* Makes SIGALRM end this process at the deadline; 0: never. */
static void end_at(double deadline_us) {
    double left = deadline_us - now_us();
    long us = deadline_us == 0 ? 0 : left < 1 ? 1 : (long) left;
    struct itimerval timer = {.it_value = {.tv_sec = us / 1000000, .tv_usec = us % 1000000}};
    signal(SIGALRM, SIG_DFL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static bool was_ended(int status) {
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
}

static void settle_down(int cpu, pid_t parent, double deadline_us) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t) cpu, &set);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    end_at(deadline_us);
    if (getppid() != parent)
        _exit(1);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        give_up("sched_setaffinity", NULL, -errno);
}

/* Makes new contexts read this table. The table needs no name in a file system. */
static void order_table(const struct calibration *table) {
    char path[64];
    int fd = memfd_create("calibration", MFD_CLOEXEC);
    FILE *file = fd >= 0 && fchmod(fd, 0600) == 0 ? fdopen(fd, "w") : NULL;
    if (!file)
        give_up("memfd_create", NULL, -errno);
    table_write_version(file);
    for (size_t i = 0; i < CALIBRATION_KEYS; i++)
        table_write_key(file, &calibration_keys[i], table_value(table, &calibration_keys[i]));
    fflush(file); /* open as long as the process lives */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    setenv("SEALANE_CALIBRATION", path, 1);
}

static sea_ctx *ctx_of(const struct way *way) {
    sea_ctx *ctx = NULL;
    sea_refusal refusal;
    order_table(&way->table);
    int r = sea_ctx_new(&ctx, NULL);
    if (r < 0)
        give_up("a context", NULL, r);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    if (refusal.error)
        give_up("the table of a measurement", ctx, refusal.error);
    return ctx;
}

static int waiting(const int cpus[PAIR_CPUS]) {
    return cpus[PAIR_CLIENT] == cpus[PAIR_SERVER] ? SEA_WAIT_ADAPTIVE : SEA_WAIT_SPIN;
}

/* --- payloads --- */

/* Plain bytes have any alignment. */
typedef uint64_t vector __attribute__((vector_size(16), aligned(1), may_alias));
static volatile uint64_t sum; /* so that the reading has an effect */

/* Reads as fast as a core can: slower code would hide the cost of the memory. */
static void read_in_full(const void *data, size_t size) {
    const vector *at = data, *end = at + size / sizeof(*at);
    vector sums[2] = {{0}};
    for (; end - at >= 2; at += 2) {
        sums[0] += at[0];
        sums[1] += at[1];
    }
    sums[0] += sums[1];
    sum += sums[0][0] + sums[0][1];
}

static int block_written(sea_block **ret_block, sea_conn *conn, size_t size) {
    static unsigned char value;
    int r = sea_block_new(ret_block, conn, size);
    void *data = r == 0 ? sea_block_data(*ret_block) : NULL;
    if (r == 0 && !data)
        sea_block_unref(*ret_block);
    if (data)
        memset(data, ++value, size);
    return r == 0 && !data ? -ENOMEM : r;
}

/* --- the server --- */

static void on_read(sea_msg *call, void *user) {
    (void) user;
    read_in_full(sea_msg_data(call), sea_msg_size(call));
    sea_reply(call, NULL);
}

static void on_both(sea_msg *call, void *user) {
    sea_block *block = NULL;
    (void) user;
    read_in_full(sea_msg_data(call), sea_msg_size(call));
    int r = block_written(&block, sea_msg_conn(call), sea_msg_size(call));
    if (r < 0)
        sea_reply_error(call, r, "no block for the reply");
    else
        sea_reply(call, block);
}

_Noreturn static void serve(const struct way *way, const char *address, int how, int ready) {
    const sea_method methods[] = {{.number = METHOD_READ, .name = "read", .handler = on_read},
                                  {.number = METHOD_BOTH, .name = "both", .handler = on_both}};
    const sea_options options = {SEA_METHODS(methods), .accept = way->accept, .inline_max = 131072, .waiting = how};
    sea_server *server = NULL;
    sea_ctx *ctx = ctx_of(way);
    int r = sea_server_new(&server, ctx, address, &options);
    end_at(0); /* the parent ends this process; otherwise the client would see it go, and report an error */
    if (r == 0 && write(ready, "", 1) == 1)
        r = sea_server_run(server);
    give_up("the server", ctx, r);
}

/* --- the client --- */

struct client {
    sea_ctx *ctx;
    sea_conn *conn;
    int payload_class;
};

static void call_block(const struct client *client, const struct work *work) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    int r = block_written(&block, client->conn, work->size);
    if (r < 0)
        give_up("a block", client->ctx, r);
    if (sea_block_class(block) != client->payload_class)
        give_up("a block is not of the class that is measured", NULL, -EBADE);
    r = sea_call(client->conn, work->pattern == PATTERN_BOTH ? METHOD_BOTH : METHOD_READ, block, NO_DEADLINE, &reply);
    if (r < 0)
        give_up("a call", client->ctx, r);
    if (work->pattern == PATTERN_BOTH)
        read_in_full(sea_msg_data(reply), sea_msg_size(reply));
    sea_msg_release(reply);
}

static void call_plain(const struct client *client, const struct work *work) {
    static _Alignas(64) unsigned char bytes[PLAIN_MAX];
    sea_msg *reply = NULL;
    memset(bytes, bytes[0] + 1, work->size);
    int r = sea_call_bytes(client->conn, METHOD_READ, bytes, work->size, NO_DEADLINE, &reply);
    if (r < 0)
        give_up("a call", client->ctx, r);
    sea_msg_release(reply);
}

static double one_sample(const struct client *client, const struct work *work) {
    double begin = now_us();
    call_block(client, work);
    if (work->pattern == PATTERN_PLAIN)
        call_plain(client, work);
    return now_us() - begin;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static double one_slice(const struct client *client, const struct work *work) {
    static double samples[SAMPLES_MOST];
    size_t taken = 0;
    double begin = now_us();
    do
        samples[taken++] = one_sample(client, work);
    while (taken < SAMPLES_MOST && now_us() - begin < SLICE_US);
    qsort(samples, taken, sizeof(*samples), compare);
    return samples[taken / 2];
}

static void warm_up(const struct client *client, const struct work *work) {
    size_t lap = LAP_BYTES / work->size < LAP_BLOCKS ? LAP_BYTES / work->size : LAP_BLOCKS;
    double begin = now_us();
    for (size_t i = 0; i < lap && now_us() - begin < WARM_UP_US; i++)
        one_sample(client, work);
}

/*
 * Returns the least of several slices, once another slice came near it: then neither was disturbed by another process,
 * the kernel or the host. Returns 0 if no two slices were near.
 */
static double measure(const struct client *client, const struct work *work) {
    double least = INFINITY, second = INFINITY;
    warm_up(client, work);
    double begin = now_us();
    for (int n = 0; n < SLICES || (second > NEAR * least && now_us() - begin < MOMENT_US); n++) {
        double time = one_slice(client, work);
        second = fmin(second, fmax(least, time));
        least = fmin(least, time);
    }
    return second > NEAR * least ? 0 : least;
}

_Noreturn static void call_all(const struct way *way, const char *address, int how, const struct work *works,
                               size_t count, double *ret_times) {
    const sea_options options = {.socket_only = way->socket_only, .waiting = how};
    struct client client = {.ctx = ctx_of(way), .payload_class = way->payload_class};
    int r = sea_connect(&client.conn, client.ctx, address, &options);
    if (r < 0)
        give_up("connecting", client.ctx, r);
    for (size_t i = 0; i < count; i++)
        ret_times[i] = measure(&client, &works[i]);
    _exit(0);
}

/* --- both --- */

/* Returns 0 if its time was over before it was ready. */
static pid_t start_server(const struct way *way, const int cpus[PAIR_CPUS], const char *address, double deadline_us) {
    int ready[2], status = 0;
    char byte;
    pid_t parent = getpid(), server;
    if (pipe(ready) < 0 || (server = fork()) < 0) {
        perror("sealane-calibrate: fork");
        return -1;
    }
    if (server == 0) {
        close(ready[0]);
        settle_down(cpus[PAIR_SERVER], parent, deadline_us);
        serve(way, address, waiting(cpus), ready[1]);
    }
    close(ready[1]);
    bool is_ready = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!is_ready)
        waitpid(server, &status, 0);
    return is_ready ? server : was_ended(status) ? 0 : -1;
}

bool pair_measure(const struct way *way, const int cpus[PAIR_CPUS], const struct work *works, size_t count,
                  double deadline_us, double *ret_times) {
    char address[64];
    int status = -1;
    pid_t parent = getpid();
    snprintf(address, sizeof(address), "unix:@sealane-calibrate-%d", (int) parent);
    pid_t server = now_us() < deadline_us ? start_server(way, cpus, address, deadline_us) : 0;
    if (server <= 0)
        return server == 0;
    pid_t client = fork();
    if (client < 0)
        perror("sealane-calibrate: fork");
    if (client == 0) {
        settle_down(cpus[PAIR_CLIENT], parent, deadline_us);
        call_all(way, address, waiting(cpus), works, count, ret_times);
    }
    if (client > 0)
        waitpid(client, &status, 0);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return status == 0 || was_ended(status);
}
