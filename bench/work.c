/* SPDX-License-Identifier: MIT */
/*
 * One cell: the laps of a client, and the order of the whole. The parent measures the floor, forks a server and its
 * clients, waits for the clients, ends the server, and measures the floor again.
 */
#include "work.h"

#include "arguments.h"
#include "crew.h"
#include "line.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SKIPPED = 77,      /* an exit status: the system cannot do this */
    LEAST_LAPS = 5,    /* in the steady time, for any duration */
    WARM_LAPS = 3,     /* before it */
    STRIDE = 64,       /* small one-way messages between two readings of the clock */
    STRIDE_MAX = 4096, /* the largest size to which STRIDE applies */
    IDLE_LAPS = 100    /* before a pair becomes idle */
};

static const double WINDOW = 0.001;    /* minimum of seconds in which one-way messages are counted */
static const double WARM_SHARE = 0.15; /* share of the time for the first laps, which do not count */
static const double PATIENCE = 20;     /* seconds until a server must be ready, and beyond a cell's own time */

/* --- the laps of a client --- */

static uint64_t ticks_of(double seconds) {
    return (uint64_t) (seconds * 1e9 / bench_clock.tick_ns);
}

static uint64_t arrived(const struct cell *cell) {
    return atomic_load_explicit(&cell->served->arrived, memory_order_acquire);
}

/* Returns the number of steady laps so far; in the one-way case, of the messages counted since. */
static uint64_t steady_laps(const struct cell *cell) {
    return cell->kind == WORK_ONEWAY ? cell->counted - cell->before : cell->laps - 1 - cell->before;
}

static void begin_steady(struct cell *cell, uint64_t now) {
    cell->tally->began = cell->window = now;
    cell->before = cell->kind == WORK_ONEWAY ? arrived(cell) : cell->laps - 1;
    cell->counted = cell->before;
    atomic_store_explicit(&cell->tally->steady, 1, memory_order_release);
}

/* Undoes the lap that cell_next() has just begun. One-way messages are counted where they arrive, all clients
 * together: the first client stands for all. */
static bool end_laps(struct cell *cell, uint64_t now) {
    cell->laps--;
    cell->tally->end = now;
    if (cell->kind == WORK_ONEWAY)
        cell->tally->laps = cell->client == 0 ? arrived(cell) - cell->before : 0;
    else
        cell->tally->laps = cell->laps - cell->before;
    atomic_store_explicit(&cell->tally->steady, cell->kind == WORK_IDLE, memory_order_release);
    return false;
}

/* One-way: takes the mean time of a message in each window, so that a disturbed window does not affect the median. */
static void count_window(struct cell *cell, uint64_t now) {
    uint64_t count = arrived(cell), messages = count - cell->counted;
    if (messages == 0 || now - cell->window < ticks_of(WINDOW))
        return;
    if (cell->client == 0)
        histogram_add(&cell->tally->histogram, clock_steps(now - cell->window) * WORK_FINER / messages);
    cell->window = now;
    cell->counted = count;
}

bool cell_lap(struct cell *cell, uint64_t now) {
    struct tally *tally = cell->tally;
    uint64_t lasted = now - cell->last;
    cell->last = now;
    if (cell->kind == WORK_ONEWAY && cell->size <= STRIDE_MAX)
        cell->until = cell->laps + STRIDE;
    if (cell->laps == 1)
        cell->warm = now + ticks_of(cell->seconds * WARM_SHARE);
    if (cell->kind == WORK_IDLE)
        return cell->laps <= IDLE_LAPS || end_laps(cell, now);
    if (tally->began == 0) {
        if (cell->laps > WARM_LAPS && now >= cell->warm)
            begin_steady(cell, now);
        return true;
    }
    if (cell->kind == WORK_ROUNDTRIP)
        histogram_add(&tally->histogram, clock_steps(lasted));
    else
        count_window(cell, now);
    return now - tally->began < ticks_of(cell->seconds) || steady_laps(cell) < LEAST_LAPS || end_laps(cell, now);
}

bool cell_all_arrived(const struct cell *cell) {
    return arrived(cell) >= cell->laps;
}

void cell_note(struct cell *cell, const char *note) {
    snprintf(cell->tally->note, sizeof(cell->tally->note), "%s", note);
}

void cell_wrong(struct cell *cell) {
    if (cell->tally)
        cell->tally->wrong++;
    else
        atomic_fetch_add(&cell->served->wrong, 1);
}

void cell_ready(struct cell *cell) {
    atomic_store(&cell->served->ready, 1);
}

/* --- the processes --- */

static const struct timespec MOMENT = {.tv_nsec = 100000};

static void sleep_for(double seconds) {
    struct timespec t = {.tv_sec = (time_t) seconds};
    t.tv_nsec = (long) ((seconds - (double) t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

static bool await_server(const struct cell *cell) {
    for (int i = 0; i < (int) (PATIENCE * 10000); i++) {
        if (atomic_load(&cell->served->ready))
            return true;
        nanosleep(&MOMENT, NULL);
    }
    return false;
}

/* Waits until all messages have arrived. */
static void await_arrivals(const struct cell *cell) {
    while (!cell_all_arrived(cell))
        nanosleep(&MOMENT, NULL);
}

/* Returns the exit status for `r`, and prints `r` if it is an error. */
static int status_of(const struct cell *cell, const char *who, int r) {
    if (r >= 0)
        return 0;
    fprintf(stderr, "bench: %s %s: %s\n", cell->adapter->system, who, strerror(-r));
    return r == -EMSGSIZE || r == -EOPNOTSUPP ? SKIPPED : 1;
}

static _Noreturn void leave(const struct cell *cell, const char *who, int r) {
    /* exit() lets the systems leave in order: iceoryx counts the processes that have left */
    exit(status_of(cell, who, r));
}

static bool all_measured(const struct cell *cell) {
    for (int i = 0; i < cell->clients; i++)
        if (cell->tallies[i].end == 0)
            return false;
    return true;
}

/* Touches every page, so that no lap pays for the first access to one. */
static void populate(const struct cell *cell) {
    if (cell->shared)
        madvise(cell->shared, cell->shared_size, MADV_POPULATE_WRITE);
}

/* When all clients are done, the server sees them leave, and may end; when a client fails, the server leaves the
 * report to that client. */
static _Noreturn void be_server(struct cell *cell) {
    cell->client = -1;
    populate(cell);
    int r = cell->adapter->serve(cell);
    if (all_measured(cell))
        pause();
    if (r == -EPIPE || r == -ECONNRESET)
        sleep_for(0.2);
    leave(cell, "server", r < 0 ? r : -EPIPE);
}

static _Noreturn void be_client(struct cell *cell, int number) {
    cell->client = number;
    populate(cell);
    cell->seed = (uint64_t) number << 32;
    cell->tally = &cell->tallies[number];
    alarm((unsigned) (cell->seconds * 4 + 2 * PATIENCE));
    int r = cell->adapter->serve && !await_server(cell) ? -ETIMEDOUT : cell->adapter->measure(cell);
    if (r == 0 && cell->kind == WORK_ONEWAY && cell->clients == 1)
        await_arrivals(cell);
    leave(cell, "client", r);
}

struct crew {
    pid_t server;
    pid_t *clients;
};

/* Forks the processes of the cell; returns false on failure. */
static bool crew_assemble(struct crew *crew, struct cell *cell) {
    crew->server = cell->adapter->serve ? crew_fork(cell->cpus[1]) : 0;
    if (crew->server == 0 && cell->adapter->serve) {
        if (cell->count_syscalls)
            crew_be_traced();
        be_server(cell);
    }
    for (int i = 0; crew->server >= 0 && i < cell->clients; i++) {
        crew->clients[i] = crew_fork(cell->cpus[0]);
        if (crew->clients[i] == 0) {
            if (cell->count_syscalls)
                crew_be_traced();
            be_client(cell, i);
        }
        if (crew->clients[i] < 0)
            return false;
    }
    return crew->server >= 0;
}

static void crew_dismiss(struct crew *crew, const struct cell *cell) {
    for (int i = 0; i < cell->clients; i++)
        crew_kill(crew->clients[i]);
    crew_end(crew->server);
}

static bool is_steady(void *user) {
    const struct cell *cell = user;
    return atomic_load_explicit(&cell->tallies[0].steady, memory_order_acquire);
}

/* Waits until every client has done its work. Returns the first bad exit status, or 0. */
static int crew_work(struct crew *crew, struct cell *cell, uint64_t *ret_syscalls) {
    int left = cell->clients, status = 0;
    while (left > 0 && status == 0) {
        pid_t pid = crew_wait_any(cell->count_syscalls, is_steady, cell, ret_syscalls, &status);
        if (pid < 0)
            return 1;
        for (int i = 0; i < cell->clients; i++)
            if (crew->clients[i] == pid)
                crew->clients[i] = -1, left--;
        if (crew->server == pid) {
            crew->server = -1;
            status = status ? status : 1;
        }
    }
    return status;
}

/* Leaves an idle pair alone, and counts how often the two processes wake up. */
static int crew_idle(const struct crew *crew, struct cell *cell, double *ret_wakeups) {
    for (int i = 0; !is_steady(cell); i++) {
        if (i >= (int) (PATIENCE * 10000))
            return 1;
        nanosleep(&MOMENT, NULL);
    }
    sleep_for(0.3);
    uint64_t before = crew_sleeps(crew->server) + crew_sleeps(crew->clients[0]);
    sleep_for(cell->seconds);
    uint64_t after = crew_sleeps(crew->server) + crew_sleeps(crew->clients[0]);
    *ret_wakeups = (double) (after - before) / cell->seconds;
    return before > 0 ? 0 : 1;
}

/* --- the cell --- */

static void *shared_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int cell_prepare(struct cell *cell) {
    size_t shared = cell->adapter->shared ? cell->adapter->shared(cell) : 0;
    cell->served = shared_memory(sizeof(*cell->served));
    cell->tallies = shared_memory((size_t) cell->clients * sizeof(*cell->tallies));
    if (shared > 0)
        cell->shared = shared_memory(shared);
    cell->shared_size = shared;
    const char *temporary = getenv("TMPDIR");
    snprintf(cell->dir, sizeof(cell->dir), "%s/sealane-bench-XXXXXX", temporary ? temporary : "/tmp");
    if (!cell->served || !cell->tallies || (shared > 0 && !cell->shared) || !mkdtemp(cell->dir)) {
        perror("bench");
        return 1;
    }
    madvise(cell->shared, shared, MADV_HUGEPAGE);
    return cell->adapter->prepare ? status_of(cell, "preparation", cell->adapter->prepare(cell)) : 0;
}

static void remove_directory(const char *path) {
    char name[512];
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        unlink(name);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* Adds up the clients' results. Their steady times overlap except for moments. */
static int cell_sum_up(const struct cell *cell, struct measurement *m) {
    struct tally *first = &cell->tallies[0];
    uint64_t wrong = atomic_load(&cell->served->wrong);
    double seconds = 0;
    for (int i = 0; i < cell->clients; i++) {
        struct tally *tally = &cell->tallies[i];
        wrong += tally->wrong;
        m->laps += tally->laps;
        seconds += clock_ns(tally->end - tally->began) / 1e9;
        if (i > 0)
            histogram_merge(&first->histogram, &tally->histogram);
    }
    m->seconds = seconds / cell->clients;
    m->note = first->note;
    m->finer = cell->kind == WORK_ONEWAY ? WORK_FINER : 1;
    if (first->histogram.count > 0 && !cell->count_syscalls)
        m->latency = &first->histogram;
    if (wrong > 0)
        fprintf(stderr, "bench: %s: %llu payloads were not what was written\n", cell->adapter->system,
                (unsigned long long) wrong);
    return wrong > 0;
}

/* Only a cell that spins has CPUs that do not idle of their own accord. */
static bool is_kept_awake(const struct cell *cell) {
    bool spins = cell->mode == WORK_SPIN && cell->kind != WORK_IDLE && !cell->count_syscalls;
    return spins && cell->cpus[0] != cell->cpus[1];
}

static int cell_measure(struct cell *cell, struct measurement *m) {
    pid_t clients[WORK_CLIENTS], awake[2] = {-1, -1};
    struct crew crew = {.server = -1, .clients = clients};
    uint64_t syscalls = 0;
    memset(clients, 0xff, sizeof(clients));
    for (int i = 0; i < 2 && is_kept_awake(cell); i++)
        awake[i] = crew_keep_awake(cell->cpus[i]);
    m->floors[0] = line_floor_ns(cell->cpus[0], cell->cpus[1]);
    int status = crew_assemble(&crew, cell) ? 0 : 1;
    if (status == 0 && cell->kind == WORK_IDLE)
        status = crew_idle(&crew, cell, &m->wakeups);
    else if (status == 0)
        status = crew_work(&crew, cell, &syscalls);
    crew_dismiss(&crew, cell);
    m->floors[1] = line_floor_ns(cell->cpus[0], cell->cpus[1]);
    for (int i = 0; i < 2; i++)
        crew_kill(awake[i]);
    if (status == 0)
        status = cell_sum_up(cell, m);
    if (cell->count_syscalls && m->laps > 0)
        m->syscalls = (double) syscalls / (double) m->laps;
    return status;
}

int work_main(int argc, char **argv, const struct adapter *adapters, size_t count) {
    struct measurement m = {.syscalls = -1, .wakeups = -1};
    struct cell cell = {0};
    int status = arguments_parse(&cell, argc, argv, adapters, count);
    if (status != 0)
        return status;
    clock_calibrate();
    status = cell_prepare(&cell);
    if (status == 0)
        status = cell_measure(&cell, &m);
    remove_directory(cell.dir);
    if (status == 0)
        (cell.json ? report_json : report_text)(stdout, &cell, &m);
    return status;
}
