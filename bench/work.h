/* SPDX-License-Identifier: MIT */
/*
 * What every program of the benchmark shares: it runs one *cell*, a single measurement of one system, and prints one
 * line of JSON about it. bench/run.py runs many.
 *
 * A program says how its system serves and how it measures, and work_main() does the rest: the command line, the floor
 * of the machine before and after, a server and its clients as processes of their own, each pinned to its CPU, the
 * handshake between them, the histogram, the ends.
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
 *                 measure() flushes whatever it holds back, and returns; or drives its system until cell_all_arrived().
 *                 Times are those of a message on average, in each window of a millisecond or more.
 *     idle        connected, some round trips done, and nothing to do: when cell_next() says so, measure() blocks as a
 *                 program that waits would. How often does either process wake up?
 *
 * Writing and reading is in full, or with --touch ends of the first and last word only: cell_write() and cell_read()
 * know. Waiting is what cell->mode says: by spinning on both sides, adaptively, or asleep at once; a system that cannot
 * says so in `modes`, and a size that it cannot carry is -EMSGSIZE from serve() or measure(): exit status 77.
 *
 * serve() and measure() run in processes of their own, with one thread that nobody shares; what they leave behind ends
 * with the process, and files belong into cell->dir. A negative errno value from either fails the cell.
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

enum { WORK_CLIENTS = 64 }; /* most of them */

enum { WORK_FINER = 64 };

enum { WORK_REPLY = 32 }; /* bytes of a reply, but none is larger than its request */

struct adapter;

/* One client's results, which it alone writes; in memory that it shares with the parent. */
struct tally {
    uint64_t laps;       /* steady ones */
    uint64_t began, end; /* ticks of the steady time */
    uint64_t wrong;      /* payloads that were not what was written */
    _Atomic(uint32_t) steady;
    char note[48];              /* what the adapter had to say, for the report */
    struct histogram histogram; /* in steps of the clock; one-way: in WORK_FINER parts of them */
};

/* What the server writes, and the clients and the parent read; the counter has its line for itself. */
struct served {
    _Atomic(uint32_t) ready;
    _Atomic(uint64_t) wrong;
    alignas(64) _Atomic(uint64_t) arrived;
};

struct cell {
    /* what was asked for */
    const struct adapter *adapter;
    int kind;            /* WORK_ROUNDTRIP, ... */
    int mode;            /* WORK_SPIN, ... */
    size_t size, reply;  /* bytes */
    bool ends;           /* touch only the ends */
    double seconds;      /* of the steady time */
    int cpus[2];         /* of the clients, of the server */
    int clients;         /* how many */
    const char *variant; /* one of the adapter's own, "" if none was named */
    bool count_syscalls; /* instead of taking the time */
    bool json;

    /* for serve() and measure() */
    char dir[64]; /* a directory for sockets and such; removed with what lies in it */
    int client;   /* which one we are, from 0; -1 in the server */
    void *shared; /* adapter->shared(cell) bytes, zero at first, which all processes have at the same address */
    size_t shared_size;
    uint64_t seed; /* of the next payload that this process writes */

    /* of work.c */
    struct tally *tallies; /* one for each client */
    struct tally *tally;   /* ours */
    struct served *served;
    uint64_t laps, until;     /* begun in all; the lap that looks at the clock again */
    uint64_t last, warm;      /* ticks: when the last lap ended; when the first ones, which do not count, are over */
    uint64_t before;          /* laps, or one-way messages that have arrived, when the steady time began */
    uint64_t window, counted; /* one-way: when the window began, in ticks; messages that had arrived */
};

struct adapter {
    const char *system;
    int cases;                         /* WORK_ROUNDTRIP | ... */
    int modes;                         /* WORK_SPIN | ... */
    const char *const *variants;       /* names, then NULL; NULL for none. The first is the default. */
    bool fan_in;                       /* can its server serve several clients? */
    int (*prepare)(struct cell *cell); /* in the parent, before it forks; NULL: nothing */
    int (*serve)(struct cell *cell);   /* NULL: there is no server */
    int (*measure)(struct cell *cell);
    size_t (*shared)(const struct cell *cell); /* how much memory the processes share from the start; NULL: none */
};

/* Runs one cell of one of the adapters, chosen with --system where there are several. Returns the exit status: 0; 77
 * when the system cannot do this; 1 when something failed; 2 for a wrong command line. */
int work_main(int argc, char **argv, const struct adapter *adapters, size_t count);

/* --- for serve() --- */

/* It can be connected to. */
void cell_ready(struct cell *cell);

/* One-way: one more message has been read. */
static inline void cell_arrived(struct cell *cell) {
    uint64_t arrived = atomic_load_explicit(&cell->served->arrived, memory_order_relaxed);
    atomic_store_explicit(&cell->served->arrived, arrived + 1, memory_order_release);
}

/* --- for measure() --- */

bool cell_lap(struct cell *cell, uint64_t now);

/* Ends a lap and begins the next: true until the time is over. The first laps do not count. */
static inline bool cell_next(struct cell *cell) {
    cell->laps++;
    if (cell->laps < cell->until)
        return true;
    return cell_lap(cell, clock_ticks());
}

/* One-way: has the server read all that this process was told to send by cell_next()? Of a single client. */
bool cell_all_arrived(const struct cell *cell);

/* Something that the report should say: which pages there were, say. At most 47 bytes, no quotes. */
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

/* Reads a payload, as the cell asks; one that is wrong fails the cell in the end. */
static inline void cell_read(struct cell *cell, const void *data, size_t size) {
    if (!(cell->ends ? payload_ends_are_right(data, size) : payload_is_right(data, size)))
        cell_wrong(cell);
}

const char *work_mode_name(int mode);

#endif
