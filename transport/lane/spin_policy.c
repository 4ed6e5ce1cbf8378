/* SPDX-License-Identifier: MIT */
/*
 * Patience. See spin_policy.h.
 *
 * A wake-up costs some 30 to 70 us here, between CPUs. Looking for as long as that before sleeping costs at most twice
 * the best choice in hindsight. Whether it is worth it is learnt: a frame within two of these spans would have been
 * found (or was), a later one would not.
 */
#include "lane/spin_policy.h"

#include "sys/wait.h"

static const uint64_t LONGEST_NS = 50 * 1000;
static const uint64_t SPIN_NS = 1000 * 1000; /* between looks at the socket */
static const uint64_t BREATH_NS =
    100 * 1000; /* of each SPIN_NS: more than the twentieth that the kernel keeps from real-time threads */
static const uint32_t SPINS_PER_CLOCK = 2; /* each of many spins, as lane_spin_for_frame() does */
static const uint32_t WAITS_PER_CLOCK = 256;
/* CPUs and priorities can change. To ask for them takes three system calls, where a spinner has one in a millisecond.
 */
static const uint64_t COUNT_NS = 100 * 1000 * 1000;

enum { SCORE_MOST = 8 };

static void count_cpus(struct spin_policy *spin, uint64_t now) {
    bool spins = spin->waiting == SEA_WAIT_SPIN;
    spin->counted_at = now;
    spin->has_one_cpu = wait_cpus_shared(spin->peer_pid) < 2;
    spin->is_realtime = spins && !spin->has_one_cpu && wait_is_realtime();
    spin->learns = spin->waiting == SEA_WAIT_ADAPTIVE || (spins && spin->has_one_cpu);
}

static void count_cpus_again(struct spin_policy *spin, uint64_t now) {
    if (now - spin->counted_at >= COUNT_NS)
        count_cpus(spin, now);
}

void spin_policy_init(struct spin_policy *spin, int waiting, int32_t peer_pid) {
    *spin = (struct spin_policy){.waiting = waiting, .score = SCORE_MOST / 2, .peer_pid = peer_pid};
    if (waiting != SEA_WAIT_SLEEP)
        count_cpus(spin, wait_now());
}

bool spin_policy_never_sleeps(const struct spin_policy *spin) {
    return spin->waiting == SEA_WAIT_SPIN && !spin->has_one_cpu;
}

static uint64_t longest(const struct spin_policy *spin) {
    return spin->waiting == SEA_WAIT_SPIN ? SPIN_NS : LONGEST_NS * spin->score / SCORE_MOST;
}

/*
 * A millisecond of spinning found nothing. The peer may have been moved to our CPU, where a real-time thread that looks
 * keeps it from running at all; and a real-time thread that never sleeps is stopped by the kernel (sched_rt_runtime_us)
 * or killed (RLIMIT_RTTIME).
 */
static void breathe(struct spin_policy *spin, uint64_t now) {
    spin->since = 0;
    count_cpus_again(spin, now);
    if (spin->is_realtime)
        wait_fd(-1, 0, now + BREATH_NS);
}

bool spin_policy_continue(struct spin_policy *spin) {
    if (!spin_policy_may_spin(spin))
        return false;
    if (++spin->spins < SPINS_PER_CLOCK)
        return true;
    uint64_t now = wait_now();
    spin->spins = 0;
    if (!spin->since)
        spin->since = now;
    if (now - spin->since < longest(spin))
        return true;
    if (spin->waiting == SEA_WAIT_SPIN)
        breathe(spin, now);
    return false;
}

void spin_policy_learn(struct spin_policy *spin) {
    bool was_soon = !spin->since || wait_now() - spin->since < 2 * LONGEST_NS;
    if (was_soon && spin->score < SCORE_MOST)
        spin->score++;
    else if (!was_soon)
        spin->score /= 2;
    spin->since = 0;
    if (++spin->waits < WAITS_PER_CLOCK)
        return;
    spin->waits = 0;
    count_cpus_again(spin, wait_now());
}
