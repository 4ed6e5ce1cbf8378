/* SPDX-License-Identifier: MIT */
/*
 * Patience. See patience.h.
 *
 * A wake-up costs some 30 to 70 us here, between CPUs. Looking for as long as that before sleeping costs at most twice the best choice
 * in hindsight. Whether it is worth it is learnt: what came within two such spans would have been found (or was), what came
 * later would not.
 */
#include "lane/patience.h"

#include "sys/wait.h"

static const uint64_t LONGEST_NS = 50 * 1000;
static const uint64_t SPIN_NS = 1000 * 1000; /* between looks at the socket */
static const uint64_t BREATH_NS =
    100 * 1000; /* of each SPIN_NS: more than the twentieth that the kernel keeps from real-time threads */
static const uint32_t LOOKS_PER_CLOCK = 2; /* each of many looks, as lane_stare() does */
static const uint32_t WAITS_PER_CLOCK = 256;
/* CPUs and priorities can change. To ask for them takes three system calls, where a spinner has one in a millisecond. */
static const uint64_t COUNT_NS = 100 * 1000 * 1000;

enum { SCORE_MOST = 8 };

static void count_cpus(struct patience *patience, uint64_t now) {
    bool spins = patience->waiting == SEA_WAIT_SPIN;
    patience->counted_at = now;
    patience->has_one_cpu = wait_cpus_shared(patience->peer_pid) < 2;
    patience->is_realtime = spins && !patience->has_one_cpu && wait_is_realtime();
    patience->learns = patience->waiting == SEA_WAIT_ADAPTIVE || (spins && patience->has_one_cpu);
}

static void count_cpus_again(struct patience *patience, uint64_t now) {
    if (now - patience->counted_at >= COUNT_NS)
        count_cpus(patience, now);
}

void patience_init(struct patience *patience, int waiting, int32_t peer_pid) {
    *patience = (struct patience){.waiting = waiting, .score = SCORE_MOST / 2, .peer_pid = peer_pid};
    if (waiting != SEA_WAIT_SLEEP)
        count_cpus(patience, wait_now());
}

bool patience_spins(const struct patience *patience) {
    return patience->waiting == SEA_WAIT_SPIN && !patience->has_one_cpu;
}

static uint64_t longest(const struct patience *patience) {
    return patience->waiting == SEA_WAIT_SPIN ? SPIN_NS : LONGEST_NS * patience->score / SCORE_MOST;
}

/*
 * A millisecond of spinning found nothing. The peer may have been moved to our CPU, where a real-time thread that looks keeps it from
 * running at all; and a real-time thread that never sleeps is stopped by the kernel (sched_rt_runtime_us) or killed (RLIMIT_RTTIME).
 */
static void breathe(struct patience *patience, uint64_t now) {
    patience->since = 0;
    count_cpus_again(patience, now);
    if (patience->is_realtime)
        wait_fd(-1, 0, now + BREATH_NS);
}

bool patience_goes_on(struct patience *patience) {
    if (!patience_looks(patience))
        return false;
    if (++patience->looks < LOOKS_PER_CLOCK)
        return true;
    uint64_t now = wait_now();
    patience->looks = 0;
    if (!patience->since)
        patience->since = now;
    if (now - patience->since < longest(patience))
        return true;
    if (patience->waiting == SEA_WAIT_SPIN)
        breathe(patience, now);
    return false;
}

void patience_learn(struct patience *patience) {
    bool was_soon = !patience->since || wait_now() - patience->since < 2 * LONGEST_NS;
    if (was_soon && patience->score < SCORE_MOST)
        patience->score++;
    else if (!was_soon)
        patience->score /= 2;
    patience->since = 0;
    if (++patience->waits < WAITS_PER_CLOCK)
        return;
    patience->waits = 0;
    count_cpus_again(patience, wait_now());
}
