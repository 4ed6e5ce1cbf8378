/* SPDX-License-Identifier: MIT */
/*
 * A soak: clients call a server with payloads of all sizes, keep some replies for a while, rotate pools on both sides,
 * and connect anew; four times a second one of them is killed and another one begins. The program watches the memory of
 * the server, and of one client that is never killed: neither may grow.
 */
#include "memory.h"

#include "crew.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 1, TELL = 2, ROTATE = 3 };
enum { CLIENTS = 8, KEPT = 16, PATIENCE_MS = 60000, BURST = 10, SAMPLES = 480 };

static const size_t LEAST = 16, MOST = (size_t) 512 << 10;
static const double KILL_EVERY = 0.25, SAMPLE_LEAST = 0.1;

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* --- the server --- */

static void on_echo(sea_msg *msg, void *user) {
    sea_block *block = NULL;
    (void) user;
    int r = sea_block_new(&block, sea_msg_conn(msg), sea_msg_size(msg));
    if (r == 0)
        r = sea_block_fill(block, 0, sea_msg_data(msg), sea_msg_size(msg));
    if (r == 0) {
        sea_reply(msg, block);
        return;
    }
    sea_block_unref(block);
    sea_reply_error(msg, r, NULL);
}

static void on_tell(sea_msg *msg, void *user) {
    (void) user;
    sea_msg_release(msg);
}

static void on_rotate(sea_msg *msg, void *user) {
    (void) user;
    sea_pool_rotate(sea_conn_pool(sea_msg_conn(msg)));
    sea_reply_bytes(msg, NULL, 0);
}

static const sea_method METHODS[] = {{.number = ECHO, .name = "echo", .handler = on_echo},
                                     {.number = TELL, .name = "tell", .handler = on_tell},
                                     {.number = ROTATE, .name = "rotate", .handler = on_rotate}};
static const sea_options SERVER = {SEA_METHODS(METHODS)};

/* --- a client --- */

struct sailor {
    sea_ctx *ctx;
    sea_conn *conn;
    sea_msg *kept[KEPT];
    uint64_t seed;
};

static int make_block(struct sailor *sailor, sea_block **ret_block) {
    size_t size = random_size(&sailor->seed, LEAST, MOST);
    bool is_sealed = random_share(&sailor->seed) < 0.05;
    int r = is_sealed ? sea_block_new_sealed(ret_block, sailor->ctx, size, 0)
                      : sea_block_new(ret_block, sailor->conn, size);
    if (r == 0)
        memset(sea_block_data(*ret_block), 'x', size);
    return r;
}

/* The reply replaces an older one. */
static int echo(struct sailor *sailor) {
    sea_msg **place = &sailor->kept[(int) (random_share(&sailor->seed) * KEPT)];
    sea_block *block = NULL;
    *place = sea_msg_release(*place);
    int r = make_block(sailor, &block);
    return r == 0 ? sea_call(sailor->conn, ECHO, block, PATIENCE_MS, place) : r;
}

static int tell(struct sailor *sailor) {
    sea_block *block = NULL;
    int r = make_block(sailor, &block);
    return r == 0 ? sea_send(sailor->conn, TELL, block, PATIENCE_MS) : r;
}

static int rotate(struct sailor *sailor) {
    sea_msg *reply = NULL;
    sea_pool_rotate(sea_conn_pool(sailor->conn));
    int r = sea_call(sailor->conn, ROTATE, NULL, PATIENCE_MS, &reply);
    sea_msg_release(reply);
    return r;
}

static int one_of_many(struct sailor *sailor) {
    double share = random_share(&sailor->seed);
    return share < 0.01 ? rotate(sailor) : share < 0.4 ? tell(sailor) : echo(sailor);
}

static int voyage(struct sailor *sailor, const char *address) {
    int r = sea_connect(&sailor->conn, sailor->ctx, address, NULL);
    while (r == 0 && random_share(&sailor->seed) > 0.01) {
        for (int i = 0; r == 0 && i < BURST; i++)
            r = one_of_many(sailor);
        pause_ms(1);
    }
    for (int i = 0; i < KEPT; i++)
        sailor->kept[i] = sea_msg_release(sailor->kept[i]);
    sailor->conn = sea_conn_free(sailor->conn);
    return r;
}

static _Noreturn void be_sailor(const char *address, uint64_t seed) {
    struct sailor sailor = {.seed = seed};
    int r = sea_ctx_new(&sailor.ctx, NULL);
    while (r == 0)
        r = voyage(&sailor, address);
    fprintf(stderr, "bench: soak: a client: %s\n", strerror(-r));
    _exit(1);
}

/* --- observing the processes --- */

static int entries(pid_t pid, const char *what) {
    char path[40];
    int count = 0;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, what);
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static int lines(pid_t pid, const char *what) {
    char path[40];
    int count = 0, c;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, what);
    FILE *file = fopen(path, "re");
    while (file && (c = getc(file)) != EOF)
        count += c == '\n';
    if (file)
        fclose(file);
    return count;
}

/* Returns the memory of memfds, in kB. */
static unsigned long shared_kb(pid_t pid) {
    char path[40], line[128];
    unsigned long kb = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        sscanf(line, "RssShmem: %lu", &kb);
    if (file)
        fclose(file);
    return kb;
}

static void look(const char *who, pid_t pid, double t) {
    printf(
        "{\"case\":\"soak\",\"who\":\"%s\",\"t\":%.2f,\"fds\":%d,\"mappings\":%d,\"resident\":%llu,\"shmem\":%llu}\n",
        who, t, entries(pid, "fd"), lines(pid, "maps"), (unsigned long long) resident_of(pid),
        (unsigned long long) shared_kb(pid) * 1024);
}

struct fleet {
    struct service service;
    pid_t sailors[CLIENTS]; /* the first client is never killed */
    uint64_t seed;
};

static void launch(struct fleet *fleet, int i) {
    uint64_t seed = ++fleet->seed * 1000003;
    if ((fleet->sailors[i] = crew_fork(-1)) == 0)
        be_sailor(fleet->service.address, seed);
}

static void sink(struct fleet *fleet, int i) {
    kill(fleet->sailors[i], SIGKILL);
    waitpid(fleet->sailors[i], NULL, 0);
}

/* Returns whether a process has ended that must not end. */
static bool is_lost(const struct fleet *fleet) {
    siginfo_t info = {.si_pid = 0};
    (void) fleet;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

static int sail(struct fleet *fleet, double seconds) {
    double began = seconds_now(), now = 0, kill_at = KILL_EVERY, look_at = 0;
    double step = seconds / SAMPLES > SAMPLE_LEAST ? seconds / SAMPLES : SAMPLE_LEAST;
    while (now < seconds) {
        if (is_lost(fleet))
            return -ECHILD;
        if (now >= kill_at) {
            int i = 1 + (int) (random_share(&fleet->seed) * (CLIENTS - 1));
            sink(fleet, i);
            launch(fleet, i);
            kill_at += KILL_EVERY;
        }
        if (now >= look_at) {
            look("server", fleet->service.pid, now);
            look("client", fleet->sailors[0], now);
            look_at += step;
        }
        pause_ms(10);
        now = seconds_now() - began;
    }
    return 0;
}

int memory_soak(const struct order *order) {
    static struct fleet fleet = {.service = {.pid = -1}, .seed = 1};
    int r = service_start(&fleet.service, "soak", &SERVER);
    for (int i = 0; r == 0 && i < CLIENTS; i++)
        launch(&fleet, i);
    if (r == 0)
        r = sail(&fleet, order->seconds);
    for (int i = 0; i < CLIENTS; i++)
        if (fleet.sailors[i] > 0)
            sink(&fleet, i);
    service_end(&fleet.service);
    return r;
}
