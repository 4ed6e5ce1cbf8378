/* SPDX-License-Identifier: MIT */
/*
 * Patience: for how long to look at the peer's memory before sleeping. It grows while looking pays, and goes to nothing
 * when it does not: a spinner on a machine with few CPUs starves the very thread that it waits for.
 *
 * Owns: its fields, in the lane. Touches: asks the kernel which CPUs the peer and this thread may use; it looks at no
 * ring itself. Threads: the connection's.
 */
#ifndef LANE_SPIN_POLICY_H
#define LANE_SPIN_POLICY_H

#include <sealane/conn.h>

struct spin_policy {
    int waiting;    /* SEA_WAIT_... */
    uint32_t score; /* 0 to SCORE_MOST (spin_policy.c): how well it has paid lately */
    uint32_t waits; /* since the clock was asked whether to count the CPUs again */
    int32_t peer_pid;
    uint64_t counted_at; /* when the CPUs were last counted, and our scheduling policy was asked for */
    bool has_one_cpu;    /* the peer and we may only run on the same one */
    bool is_realtime;    /* this thread, where it spins */
    bool learns;         /* from each wait: SEA_WAIT_ADAPTIVE, and a spinner that has one CPU, which may change */
    uint64_t since;      /* when this wait began; 0: not waiting */
    uint32_t spins;      /* since the clock was last asked */
};

void spin_policy_init(struct spin_policy *spin, int waiting, int32_t peer_pid);

/* May this side look again and again at all? */
static inline bool spin_policy_may_spin(const struct spin_policy *spin) {
    return spin->waiting != SEA_WAIT_SLEEP && !spin->has_one_cpu;
}

/* One more look found nothing: is it worth to look again (after a shared_pause())? false: sleep now. SEA_WAIT_SPIN:
 * false once a millisecond, to look at the socket without waiting for it; a real-time thread has slept for a tenth of
 * one then. */
bool spin_policy_continue(struct spin_policy *spin);

/* A wait has ended, because something came, by looking or by waking, or because its time was over: was it short enough
 * for looking to pay? The next wait begins. */
void spin_policy_learn(struct spin_policy *spin);
/* The caller's part: every end of a wait is told, time-outs too. */
static inline void spin_policy_reward(struct spin_policy *spin) {
    spin->spins = 0;
    if (spin->learns)
        spin_policy_learn(spin);
}

/* Does this side never sleep? */
bool spin_policy_never_sleeps(const struct spin_policy *spin);

#endif
