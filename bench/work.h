/* SPDX-License-Identifier: MIT */
/*
 * The part that every program of the benchmark shares: it runs one *cell*, a single measurement of one system, and
 * prints one line of JSON about it. bench/run runs many cells.
 *
 * A program tells how its system serves and how it measures, and work_main() does the rest: the command line, the floor
 * of the machine before and after, a server and its clients as processes of their own, each pinned to its CPU, the
 * handshake between them, the histogram, the end.
 *
 *     static int serve(struct cell *cell) {            until it is killed
 *         listen at cell->dir; cell_ready(cell);
 *         for (;;) { receive; cell_read(cell, data, size); reply with cell->reply bytes that cell_write() wrote; }
 *     }
 *     static int measure(struct cell *cell) {
 *         connect;
 *         while (cell_next(cell)) { cell_write(cell, data, cell->size); send; receive; cell_read(cell, reply, ...); }
 *     }
 *     int main(int argc, char **argv) {
 *         static const struct adapter adapter = {.system = "zeromq", .modes = WORK_SLEEP, ...};
 *         return work_main(argc, argv, &adapter, 1);
 *     }
 *
 * Cases
 *     roundtrip   a request of cell->size bytes, written by the client and read by the server; a reply of cell->reply
 *                 bytes, written by the server and read by the client; then the next. One lap is all of that.
 *     oneway      the client writes and sends as fast as it can, the server reads and calls cell_arrived() for each.
 *                 measure() flushes the messages that it holds back, and returns; or drives its system until
 *                 cell_all_arrived(). Times are the mean time of a message, in each window of a millisecond or more.
 *     idle        connected, some round trips done, and no further work: when cell_next() ends, measure() blocks as a
 *                 program that waits would. How often does either process wake up?
 *
 * A payload is written and read in full, or with --touch ends its first and last word only: cell_write() and
 * cell_read() decide. Processes wait as cell->mode says: by spinning on both sides, adaptively, or asleep at once. A
 * system declares its modes in `modes`; for a size that it cannot carry, serve() or measure() returns -EMSGSIZE: exit
 * status 77.
 *
 * serve() and measure() run in processes of their own, with one thread for themselves; the resources that they leave
 * end with the process, and files belong into cell->dir. A negative errno value from either fails the cell.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "clock.h"
#include "histogram.h"
#include "payload.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORK_SPIN = 1, WORK_ADAPTIVE = 2, WORK_SLEEP = 4, WORK_ANY = 7 }; /* modes, also bits of a set */

enum { WORK_ROUNDTRIP = 1, WORK_ONEWAY = 2, WORK_IDLE = 4 }; /* cases, also bits of a set */

enum { WORK_CLIENTS = 64 }; /* maximum number of clients */

enum { WORK_FINER = 64 };

enum { WORK_REPLY = 32 }; /* bytes of a reply; a reply is never larger than its request */

struct adapter;

/* One client's results, which only this client writes; in memory that it shares with the parent. */
struct tally {
    uint64_t laps;       /* steady ones */
    uint64_t began, end; /* ticks of the steady time */
    uint64_t wrong;      /* payloads that differed from the written ones */
    _Atomic(uint32_t) steady;
    char note[48];              /* a remark of the adapter for the report */
    struct histogram histogram; /* in steps of the clock; one-way: in WORK_FINER parts of them */
};

/* Written by the server, read by the clients and the parent; the counter has a cache line for itself. */
struct served {
    _Atomic(uint32_t) ready;
    _Atomic(uint64_t) wrong;
    alignas(64) _Atomic(uint64_t) arrived;
};

struct cell {
    /* the request */
    const struct adapter *adapter;
    int kind;            /* WORK_ROUNDTRIP, ... */
    int mode;            /* WORK_SPIN, ... */
    size_t size, reply;  /* bytes */
    bool ends;           /* touch only the ends of payloads */
    double seconds;      /* of the steady time */
    int cpus[2];         /* CPUs of the clients and of the server */
    int clients;         /* number of clients */
    const char *variant; /* one of the adapter's variants, "" if none was named */
    bool count_syscalls; /* count system calls instead of taking the time */
    bool json;

    /* for serve() and measure() */
    char dir[64]; /* a directory for sockets and other files; removed with its contents at the end */
    int client;   /* number of this client, from 0; -1 in the server */
    void *shared; /* adapter->shared(cell) bytes, zero at first, at one address in all processes */
    size_t shared_size;
    uint64_t seed; /* seed of the next payload that this process writes */

    /* private to work.c */
    struct tally *tallies; /* one for each client */
    struct tally *tally;   /* ours */
    struct served *served;
    uint64_t laps, until;     /* laps begun in all; the lap that reads the clock again */
    uint64_t last, warm;      /* ticks: the end of the last lap; the end of the first laps, which do not count */
    uint64_t before;          /* laps, or one-way messages that had arrived, when the steady time began */
    uint64_t window, counted; /* one-way: the beginning of the window, in ticks; messages that had arrived then */
};

struct adapter {
    const char *system;
    int cases;                         /* WORK_ROUNDTRIP | ... */
    int modes;                         /* WORK_SPIN | ... */
    const char *const *variants;       /* names, then NULL; NULL for none. The first is the default. */
    bool fan_in;                       /* its server can serve several clients */
    int (*prepare)(struct cell *cell); /* runs in the parent before it forks; NULL: nothing runs */
    int (*serve)(struct cell *cell);   /* NULL: there is no server */
    int (*measure)(struct cell *cell);
    /* size of the memory that the processes share from the start; NULL: none */
    size_t (*shared)(const struct cell *cell);
};

/* Runs one cell of one of the adapters, chosen with --system where there are several. Returns the exit status: 0; 77
 * when the system cannot run the cell; 1 when it failed; 2 for a wrong command line. */
int work_main(int argc, char **argv, const struct adapter *adapters, size_t count);

/* --- for serve() --- */

/* Tells the parent that clients can connect. */
void cell_ready(struct cell *cell);

/* One-way: counts one more message that was read. */
static inline void cell_arrived(struct cell *cell) {
    uint64_t arrived = atomic_load_explicit(&cell->served->arrived, memory_order_relaxed);
    atomic_store_explicit(&cell->served->arrived, arrived + 1, memory_order_release);
}

/* --- for measure() --- */

bool cell_lap(struct cell *cell, uint64_t now);

/* Ends a lap and begins the next: returns true until the time is over. The first laps do not count. */
static inline bool cell_next(struct cell *cell) {
    cell->laps++;
    if (cell->laps < cell->until)
        return true;
    return cell_lap(cell, clock_ticks());
}

/* One-way: returns whether the server has read all messages that cell_next() made this process send. For a single
 * client only. */
bool cell_all_arrived(const struct cell *cell);

/* Adds a remark to the report, for example the kind of pages. At most 47 bytes, no quotes. */
void cell_note(struct cell *cell, const char *note);

/* --- for both --- */

void cell_wrong(struct cell *cell);

/* Writes the next payload of this process, as the cell asks. */
static inline void cell_write(struct cell *cell, void *data, size_t size) {
    uint64_t seed = cell->seed++;
    if (cell->ends)
        payload_fill_ends(data, size, seed);
    else
        payload_fill(data, size, seed);
}

/* Reads a payload, as the cell asks; a wrong payload fails the cell in the end. */
static inline void cell_read(struct cell *cell, const void *data, size_t size) {
    if (!(cell->ends ? payload_ends_are_right(data, size) : payload_is_right(data, size)))
        cell_wrong(cell);
}

const char *work_mode_name(int mode);

#endif
