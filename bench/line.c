/* SPDX-License-Identifier: MIT */
/* The floor of the machine: two pinned processes that bounce a cache line. */
#include "line.h"

#include "clock.h"
#include "crew.h"
#include "histogram.h"

#include <sys/mman.h>
#include <unistd.h>

enum { WARM_LAPS = 2000, TIMED_LAPS = 20000 };

struct floor_run {
    struct line there, back; /* written by the client, and by the server */
    double result_ns;
    struct histogram histogram;
};

static const double LONGEST_NS = 20e6;

static _Noreturn void answer(struct floor_run *run) {
    for (uint32_t lap = 1;; lap++) {
        line_await(&run->there, lap, false);
        line_tell(&run->back, lap, false);
    }
}

static void ask(struct floor_run *run) {
    uint64_t began = 0, last = 0;
    for (uint32_t lap = 1; lap <= WARM_LAPS + TIMED_LAPS && clock_ns(last - began) < LONGEST_NS; lap++) {
        line_tell(&run->there, lap, false);
        line_await(&run->back, lap, false);
        uint64_t now = clock_ticks();
        if (lap > WARM_LAPS)
            histogram_add(&run->histogram, clock_steps(now - last));
        else
            began = now;
        last = now;
    }
    run->result_ns = clock_steps_ns(histogram_percentile(&run->histogram, 0.5));
}

double line_floor_ns(int here, int there) {
    double result = 0;
    if (here == there)
        return 0;
    struct floor_run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED)
        return 0;
    pid_t server = crew_fork(there);
    if (server == 0)
        answer(run);
    pid_t client = server > 0 ? crew_fork(here) : -1;
    if (client == 0) {
        ask(run);
        _exit(0);
    }
    if (client > 0 && crew_wait(client) == 0)
        result = run->result_ns;
    crew_kill(server);
    munmap(run, sizeof(*run));
    return result;
}
