/* SPDX-License-Identifier: MIT */
/*
 * Each limit is made small in turn. The figures show: which requests are refused, the explanation of the refusal,
 * whether small calls are served meanwhile, and whether everything is as fast as before once the limit is lifted.
 *
 * Each limit has a child of its own, which holds blocks until a request is refused. Both sides share one CPU, where a
 * round trip varies least over time. Limits that would affect the whole machine (MemAvailable, overcommit) are left to
 * tests/memory/test_refusals.c, which gives the library files that stand for the kernel's.
 */
#include "crew.h"
#include "memory.h"
#include "support/group.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ECHO = 1, KEEP = 2, DROP = 3 };
enum {
    HELD_MAX = 4096,
    PATIENCE_MS = 60000,
    SLICES = 8,
    MIB = 1 << 20,
    SMALL = 64 << 10,
    LARGE = 6 << 20,
    ROOM = 64 << 20
};
enum { FAILED = 1, UNTRIED = 77, NOBODY = 65534 };

/* --- the server --- */

static sea_msg *kept[HELD_MAX];
static int kept_count;

static void on_echo(sea_msg *msg, void *user) {
    sea_block *block = NULL;
    (void) user;
    int r = sea_block_new(&block, sea_msg_conn(msg), sea_msg_size(msg));
    if (r == 0)
        sea_reply(msg, block);
    else
        sea_reply_error(msg, r, NULL);
}

static void on_keep(sea_msg *msg, void *user) {
    (void) user;
    if (kept_count < HELD_MAX)
        kept[kept_count++] = msg;
    else
        sea_msg_release(msg);
}

static void on_drop(sea_msg *msg, void *user) {
    (void) user;
    while (kept_count > 0)
        sea_msg_release(kept[--kept_count]);
    sea_reply_bytes(msg, NULL, 0);
}

static const sea_method METHODS[] = {{.number = ECHO, .name = "echo", .handler = on_echo},
                                     {.number = KEEP, .name = "keep", .handler = on_keep},
                                     {.number = DROP, .name = "drop", .handler = on_drop}};
static const sea_options SERVER = {SEA_METHODS(METHODS), .waiting = SEA_WAIT_SLEEP};

/* --- a client --- */

/* One limit, tried with blocks of one class. */
struct trial {
    const struct strait *strait;
    const char *address;
    bool is_sealed;
    struct group group;
    sea_ctx *ctx;
    sea_conn *conn;
    sea_block *held[HELD_MAX];
    int held_count;
    struct rlimit lifted;
    char *pieces; /* mappings of one page each */
    void *last;   /* and one more */
};

struct strait {
    const char *limit; /* the name in refusals; where there are several, their first letters */
    sea_ctx_options options;
    bool (*tighten)(struct trial *trial); /* false: impossible here. NULL: the options are small enough */
    void (*lift)(struct trial *trial);
    bool is_sent, is_group;
};

static int make(struct trial *trial, sea_block **ret_block) {
    sea_block *block = NULL;
    int r = trial->is_sealed ? sea_block_new_sealed(&block, trial->ctx, LARGE, 0)
                             : sea_block_new(&block, trial->conn, LARGE);
    if (r == 0 && !sea_block_data(block)) {
        sea_block_unref(block);
        return -ENOMEM;
    }
    if (r == 0)
        *ret_block = block;
    return r;
}

/* Makes blocks until one is refused. Returns 0 if none was. */
static int take_all(struct trial *trial) {
    for (int i = 0; i < HELD_MAX; i++) {
        sea_block *block = NULL;
        int r = make(trial, &block);
        if (r == 0 && trial->strait->is_sent)
            r = sea_send(trial->conn, KEEP, block, PATIENCE_MS);
        else if (r == 0)
            trial->held[trial->held_count++] = block;
        if (r < 0)
            return r;
    }
    return 0;
}

static void drop_all(struct trial *trial) {
    while (trial->held_count > 0)
        sea_block_unref(trial->held[--trial->held_count]);
    sea_call(trial->conn, DROP, NULL, PATIENCE_MS, NULL);
}

static bool is_served(struct trial *trial) {
    return sea_call_bytes(trial->conn, ECHO, "hello", 5, PATIENCE_MS, NULL) == 0;
}

static int echo(struct trial *trial) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, trial->conn, SMALL);
    if (r < 0)
        return r;
    memset(sea_block_data(block), 1, SMALL);
    return sea_call(trial->conn, ECHO, block, PATIENCE_MS, NULL);
}

/* Returns calls a second, in the least disturbed of several slices; negative: an error. */
static double rate_of(struct trial *trial, double seconds) {
    double best = 0;
    for (int i = 0; i < SLICES; i++) {
        double began = seconds_now(), now = began;
        int calls = 0;
        while (now - began < seconds) {
            int r = echo(trial);
            if (r < 0)
                return r;
            calls++;
            now = seconds_now();
        }
        best = calls / (now - began) > best ? calls / (now - began) : best;
    }
    return best;
}

/* --- the limits --- */

/* Sanitizers have mappings of their own, and shadow memory for each page. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
static const bool IS_SANITIZED = true;
#else
static const bool IS_SANITIZED = false;
#endif

static bool limit_to(struct trial *trial, int resource, rlim_t value) {
    if (getrlimit((__rlimit_resource_t) resource, &trial->lifted) < 0)
        return false;
    struct rlimit limit = {value, trial->lifted.rlim_max};
    return setrlimit((__rlimit_resource_t) resource, &limit) == 0;
}

static bool limit_files(struct trial *trial) {
    return limit_to(trial, RLIMIT_FSIZE, LARGE - 1);
}

static void lift_files(struct trial *trial) {
    setrlimit(RLIMIT_FSIZE, &trial->lifted);
}

static bool limit_descriptors(struct trial *trial) {
    return limit_to(trial, RLIMIT_NOFILE, 3);
}

static void lift_descriptors(struct trial *trial) {
    setrlimit(RLIMIT_NOFILE, &trial->lifted);
}

static bool limit_addresses(struct trial *trial) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool is_read = file && fscanf(file, "%lu", &pages) == 1;
    if (file)
        fclose(file);
    return is_read && !IS_SANITIZED && limit_to(trial, RLIMIT_AS, pages * (rlim_t) sysconf(_SC_PAGESIZE));
}

static void lift_addresses(struct trial *trial) {
    setrlimit(RLIMIT_AS, &trial->lifted);
}

/* Root may lock any amount of memory. */
static bool limit_locked(struct trial *trial) {
    return limit_to(trial, RLIMIT_MEMLOCK, LARGE) && (geteuid() != 0 || seteuid(NOBODY) == 0);
}

static void lift_locked(struct trial *trial) {
    setrlimit(RLIMIT_MEMLOCK, &trial->lifted);
    if (getuid() == 0 && seteuid(0) < 0)
        _exit(UNTRIED);
}

/* Gives every second page other rights than its neighbours, until the limit is reached. */
enum { PIECES = 200000 };

static bool limit_mappings(struct trial *trial) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE), i = 0;
    if (IS_SANITIZED)
        return false;
    void *area = mmap(NULL, PIECES * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    trial->pieces = area == MAP_FAILED ? NULL : area;
    while (trial->pieces && i < PIECES && mprotect(trial->pieces + i * page, page, PROT_READ) == 0)
        i += 2;
    if (i < PIECES)
        /* mprotect() may need two mappings */
        trial->last = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return trial->pieces && i < PIECES;
}

static void lift_mappings(struct trial *trial) {
    if (trial->last != MAP_FAILED)
        munmap(trial->last, (size_t) sysconf(_SC_PAGESIZE));
    munmap(trial->pieces, PIECES * (size_t) sysconf(_SC_PAGESIZE));
}

static bool limit_group(struct trial *trial) {
    return group_limit(&trial->group, false, ROOM);
}

static void lift_group(struct trial *trial) {
    group_limit(&trial->group, false, INT64_MAX / 4);
}

#define LIMITS(who, bytes, blocks, fds) .who##_bytes = (bytes), .who##_blocks = (blocks), .who##_fds = (fds)
#define AMPLE(who) LIMITS(who, UINT32_MAX, HELD_MAX, HELD_MAX)

static const struct strait STRAITS[] = {
    {.limit = "budget (bytes)", .options = {LIMITS(budget, ROOM, HELD_MAX, HELD_MAX), AMPLE(peer), AMPLE(user)}},
    {.limit = "budget (descriptors)", .options = {LIMITS(budget, UINT32_MAX, HELD_MAX, 16), AMPLE(peer), AMPLE(user)}},
    {.limit = "user quota (bytes)", .options = {LIMITS(user, ROOM, HELD_MAX, HELD_MAX)}, .is_sent = true},
    {.limit = "RLIMIT_FSIZE", .tighten = limit_files, .lift = lift_files},
    {.limit = "RLIMIT_NOFILE", .tighten = limit_descriptors, .lift = lift_descriptors},
    {.limit = "RLIMIT_AS", .tighten = limit_addresses, .lift = lift_addresses},
    {.limit = "RLIMIT_MEMLOCK",
     .options = {.memory_flags = SEA_MEMORY_LOCK},
     .tighten = limit_locked,
     .lift = lift_locked},
    {.limit = "vm.max_map_count", .tighten = limit_mappings, .lift = lift_mappings},
    {.limit = "cgroup memory.", .tighten = limit_group, .lift = lift_group, .is_group = true},
};
enum { COUNT = sizeof(STRAITS) / sizeof(STRAITS[0]) };

/* --- one after the other --- */

struct answer {
    sea_refusal refusal;
    bool is_named, is_served;
    double before, after; /* calls a second */
};

static void say(const struct trial *trial, const struct answer *answer) {
    char line[256];
    sea_refusal_format(&answer->refusal, line, sizeof(line));
    for (char *c = line; *c; c++)
        *c = *c == '"' || *c == '\\' ? '\'' : *c;
    printf("{\"case\":\"refusals\",\"limit\":\"%s\",\"class\":\"%s\",\"named\":%s,\"served\":%s,\"before\":%.1f,"
           "\"after\":%.1f,\"refusal\":\"%s\"}\n",
           trial->strait->limit, trial->is_sealed ? "sealed" : "pooled", answer->is_named ? "true" : "false",
           answer->is_served ? "true" : "false", answer->before, answer->after, line);
}

static void say_untried(const struct trial *trial, const char *why) {
    printf("{\"case\":\"refusals\",\"limit\":\"%s\",\"why\":\"%s\"}\n", trial->strait->limit, why);
}

static int meet(struct trial *trial, double seconds) {
    static const sea_options options = {.waiting = SEA_WAIT_SLEEP};
    const struct strait *strait = trial->strait;
    struct answer answer;
    if (strait->is_group && (IS_SANITIZED || !group_enter(&trial->group)))
        return UNTRIED;
    if (sea_ctx_new(&trial->ctx, &strait->options) < 0 ||
        sea_connect(&trial->conn, trial->ctx, trial->address, &options) < 0)
        return FAILED;
    answer.before = rate_of(trial, seconds);
    if (strait->tighten && !strait->tighten(trial))
        return UNTRIED;
    int error = take_all(trial);
    sea_ctx_refusal(trial->ctx, &answer.refusal, sizeof(answer.refusal));
    answer.is_named = error < 0 && error == answer.refusal.error &&
                      strncmp(answer.refusal.limit, strait->limit, strlen(strait->limit)) == 0;
    answer.is_served = is_served(trial);
    if (strait->lift)
        strait->lift(trial);
    drop_all(trial);
    answer.after = rate_of(trial, seconds);
    say(trial, &answer);
    sea_conn_free(trial->conn);
    sea_ctx_unref(trial->ctx);
    return 0;
}

/* A child that failed, or was killed, prints a line, too. */
static void try_one(struct trial *trial, double seconds) {
    const char *why = "needs rights, or more of the machine, than there are";
    if (trial->strait->is_group && !group_make(&trial->group, &why)) {
        say_untried(trial, why);
        return;
    }
    pid_t pid = crew_fork(-1);
    if (pid == 0) {
        int status = meet(trial, seconds);
        fflush(NULL);
        _exit(status);
    }
    int status = crew_wait(pid);
    uint64_t kills = trial->strait->is_group ? group_kills(&trial->group) : 0;
    if (trial->strait->is_group)
        group_remove(&trial->group);
    if (status == UNTRIED)
        say_untried(trial, why);
    else if (status != 0 || (kills > 0 && kills != UINT64_MAX))
        printf("{\"case\":\"refusals\",\"limit\":\"%s\",\"ended\":%d}\n", trial->strait->limit, status);
}

static void share_one_cpu(void) {
    cpu_set_t all, one;
    int cpu = 0;
    if (sched_getaffinity(0, sizeof(all), &all) < 0)
        return;
    while (cpu < CPU_SETSIZE && !CPU_ISSET((size_t) cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET((size_t) cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
}

int memory_refusals(const struct order *order) {
    struct service service = {.pid = -1};
    share_one_cpu();
    int r = service_start(&service, "refusals", &SERVER);
    for (int i = 0; r == 0 && i < 2 * COUNT * (order->count ? order->count : 1); i++) {
        static struct trial trial;
        trial = (struct trial){.strait = &STRAITS[i / 2 % COUNT], .address = service.address, .is_sealed = i % 2};
        try_one(&trial, order->seconds);
    }
    service_end(&service);
    return r;
}
