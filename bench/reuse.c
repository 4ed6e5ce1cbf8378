/* SPDX-License-Identifier: MIT */
/*
 * Which free block should be handed out: the one that came back last, or one that has rested?
 *
 * Two processes, each on a CPU of its own, spinning, one payload at a time through memory that both mapped before. One
 * process writes a payload in full and the other reads it in full; with "both", a payload of equal size comes back in
 * this way. The writer uses 1, 2, ... 64 buffers by turns. `reuse 0 1 20` measures on CPUs 0 and 1 for 20 seconds, over
 * and over, because the host moves the CPUs; each line is one moment:
 *
 *     floor 131 ns  both     1 MiB    139.2 us   1.00 0.61 ...
 *
 * the round trip of one cache line just before and after, which shows the distance of the cores; the time of a round
 * trip with one buffer; and for each number of buffers the ratio to that time. The end is a table of the medians of
 * these ratios, for near cores (floor under 300 ns) and for far ones.
 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define MIB ((size_t) 1 << 20)

static const size_t sizes[] = {4096, 16384,   32768,   65536,   131072,   262144,  524288,
                               MIB,  2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB};
static const size_t counts[] = {1, 2, 3, 4, 6, 8, 12, 16, 32, 64};

/* 64 buffers of 32 MiB, for each direction, would be 4 GiB: large ones take turns in fewer. */
static const size_t AREA_SIZE = 256 * MIB;
static const double SLICE_US = 5000, FAR_NS = 300;

enum { SAMPLES_MAX = 4096, GROUPS_MAX = 1024 };

/* Two lines, each written by one side. */
struct line {
    _Alignas(64) _Atomic uint64_t turn;
    size_t size; /* 0: no payload; from client to server, as the fields below */
    size_t buffer;
    bool is_both;
    long preemptions; /* of the server; in the reply to a request of size 0 */
};

static struct line *request, *reply;
static char *areas[2]; /* written by the client, and by the server */
static uint64_t sum;   /* so that the reading has an effect */

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static void *map_shared(size_t size) {
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (data == MAP_FAILED) {
        perror("reuse: mmap");
        exit(1);
    }
    return data;
}

static void pin(const char *cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t) atoi(cpu), &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        perror("reuse: sched_setaffinity");
}

static void wait_for(_Atomic uint64_t *turn, uint64_t value) {
    while (atomic_load_explicit(turn, memory_order_acquire) != value) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
}

/* Writes as fast as a core can: slower code would hide the cost of the memory. */
static void write_in_full(char *area, size_t size, size_t buffer, uint64_t value) {
    char *data = area + buffer * size;
    memset(data, (int) (value & 0x7f), size);
    __asm__ volatile("" : : "r"(data) : "memory");
}

typedef uint64_t vector __attribute__((vector_size(16)));

static void read_in_full(const char *area, size_t size, size_t buffer) {
    const vector *data = (const vector *) (const void *) (area + buffer * size), *end = data + size / sizeof(*data);
    vector sums[4] = {{0}};
    for (; data < end; data += 4) {
        sums[0] += data[0];
        sums[1] += data[1];
        sums[2] += data[2];
        sums[3] += data[3];
    }
    sums[0] += sums[1] + sums[2] + sums[3];
    sum += sums[0][0] + sums[0][1];
}

/* Returns how often this process had to wait for its CPU. */
static long preemptions(void) {
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nivcsw;
}

static void serve(void) {
    for (uint64_t turn = 1;; turn++) {
        wait_for(&request->turn, turn);
        read_in_full(areas[0], request->size, request->buffer);
        if (request->is_both)
            write_in_full(areas[1], request->size, request->buffer, turn);
        if (request->size == 0 && request->is_both)
            reply->preemptions = preemptions();
        atomic_store_explicit(&reply->turn, turn, memory_order_release);
    }
}

static double round_trip(size_t size, size_t buffer, bool is_both) {
    static uint64_t turn;
    double begin = now_us();
    turn++;
    write_in_full(areas[0], size, buffer, turn);
    request->size = size;
    request->buffer = buffer;
    request->is_both = is_both;
    atomic_store_explicit(&request->turn, turn, memory_order_release);
    wait_for(&reply->turn, turn);
    if (is_both)
        read_in_full(areas[1], size, buffer);
    return now_us() - begin;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof(*values), compare);
    return count > 0 ? values[count / 2] : 0;
}

/* Returns the median of a slice; the first lap only moves the buffers' lines to their places. */
static double measure_once(size_t size, size_t count, bool is_both) {
    static double samples[SAMPLES_MAX];
    size_t taken = 0, buffer = 0;
    for (size_t i = 0; i < count; i++)
        round_trip(size, i, is_both);
    double begin = now_us();
    while (taken < SAMPLES_MAX && (taken < count + 4 || now_us() - begin < SLICE_US)) {
        samples[taken++] = round_trip(size, buffer, is_both);
        buffer = buffer + 1 < count ? buffer + 1 : 0;
    }
    return median(samples, taken);
}

static long all_preemptions(void) {
    round_trip(0, 0, true);
    return preemptions() + reply->preemptions;
}

/* Other processes use the machine, too: a slice that shared its CPUs is measured again, and given up if that
 * repeats. Returns 0 if it was given up. */
static double measure(size_t size, size_t count, bool is_both) {
    for (int tries = 0; tries < 4; tries++) {
        long before = all_preemptions();
        double time = measure_once(size, count, is_both);
        if (all_preemptions() == before)
            return time;
    }
    return 0;
}

/* Measures a thousand round trips together, because a reading of the clock takes longer than one. */
static double floor_ns(void) {
    double samples[5];
    for (size_t i = 0; i < COUNT(samples); i++) {
        double begin = now_us();
        for (int n = 0; n < 1000; n++)
            round_trip(0, 0, false);
        samples[i] = now_us() - begin;
    }
    return median(samples, COUNT(samples));
}

/* The results for the table: ratios by distance of the cores, direction, size and count. */
static struct group {
    double ratios[GROUPS_MAX];
    size_t count;
} groups[2][2][COUNT(sizes)][COUNT(counts)];

static void keep(struct group *group, double ratio) {
    if (group->count < GROUPS_MAX)
        group->ratios[group->count++] = ratio;
}

static const char *size_name(size_t size) {
    static char name[32];
    snprintf(name, sizeof(name), size < MIB ? "%4zu KiB" : "%4zu MiB", size < MIB ? size / 1024 : size / MIB);
    return name;
}

static void measure_size(size_t which, bool is_both) {
    size_t size = sizes[which];
    double times[COUNT(counts)] = {0}, before = floor_ns();
    for (size_t i = 0; i < COUNT(counts); i++)
        if (size * counts[i] <= AREA_SIZE)
            times[i] = measure(size, counts[i], is_both);
    double after = floor_ns();
    bool is_far = after >= FAR_NS;
    if ((before >= FAR_NS) != is_far)
        return; /* the host has moved the cores meanwhile */
    if (times[0] <= 0)
        return;
    printf("floor %3.0f ns  %-4s %s %9.1f us  ", after, is_both ? "both" : "one", size_name(size), times[0]);
    for (size_t i = 0; i < COUNT(counts); i++) {
        printf(times[i] > 0 ? " %4.2f" : "    -", times[i] / times[0]);
        if (times[i] > 0)
            keep(&groups[is_far][is_both][which][i], times[i] / times[0]);
    }
    printf("\n");
}

static void print_table(bool is_far, bool is_both) {
    printf("\n%s cores, payloads in %s\nsize      moments", is_far ? "far" : "near",
           is_both ? "both directions" : "one direction");
    for (size_t i = 0; i < COUNT(counts); i++)
        printf(" %4zu", counts[i]);
    for (size_t s = 0; s < COUNT(sizes); s++) {
        struct group *row = groups[is_far][is_both][s];
        printf("\n%s   %4zu  ", size_name(sizes[s]), row->count);
        for (size_t i = 0; i < COUNT(counts); i++)
            printf(row[i].count > 0 ? " %4.2f" : "    -", median(row[i].ratios, row[i].count));
    }
    printf("\n");
}

int main(int argc, char **argv) {
    double seconds = argc > 3 ? atof(argv[3]) : 20, end = now_us() + seconds * 1e6;
    request = map_shared(4096);
    reply = map_shared(4096);
    for (int i = 0; i < 2; i++)
        areas[i] = map_shared(AREA_SIZE);
    pid_t server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(argc > 2 ? argv[2] : "1");
        serve();
    }
    pin(argc > 1 ? argv[1] : "0");
    /* Begins at a different size for each run, and goes in steps that visit all sizes: so that many short runs
     * measure all sizes equally often. */
    for (size_t i = (size_t) server % COUNT(sizes); now_us() < end; i = (i + 5) % COUNT(sizes))
        for (int both = 0; both < 2; both++)
            measure_size(i, both);
    for (int is_far = 0; is_far < 2; is_far++)
        for (int both = 0; both < 2; both++)
            print_table(is_far, both);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
