/* SPDX-License-Identifier: MIT */
/*
 * Admission. See admission.h for how long a reading of the limits is good.
 *
 * Admission lowers the chance of a kill and cannot exclude it: other processes may take the memory that was left.
 *
 * Facts relied on (tests/contract/test_limits.c): the kernel reports the memory that is left; only strict overcommit
 * refuses a request.
 */
#include "memory/admission.h"

#include "sys/disposal.h"
#include "sys/wait.h"
#include "util/arith.h"
#include <errno.h>
#include <stdio.h>

#define MIB (UINT64_C(1) << 20)

#define RESERVE_OF_MACHINE_MAX (256 * MIB)

static uint64_t reserve_of_machine(uint64_t total) {
    return min_u64(total / 64, RESERVE_OF_MACHINE_MAX);
}

/* Notes a limit. Returns whether it is the tightest so far; then the caller writes its texts. */
static bool verdict_take(struct admission_verdict *verdict, uint64_t left, uint64_t reserve) {
    if (left == UINT64_MAX)
        return false;
    if (reserve > 0)
        verdict->reserve = min_u64(verdict->reserve, reserve);
    if (subtract_to_zero(left, reserve) >= verdict->tightest.available)
        return false;
    verdict->tightest.available = subtract_to_zero(left, reserve);
    return true;
}

#define WORDS(refusal, name, ...)                                        \
    (snprintf((refusal)->limit, sizeof((refusal)->limit), "%s", (name)), \
     snprintf((refusal)->advice, sizeof((refusal)->advice), __VA_ARGS__))

static void word_machine(sea_refusal *tightest, const struct meminfo *memory, uint64_t kept) {
    if (memory->is_rough)
        WORDS(tightest, "free memory (sysinfo)",
              "make /proc/meminfo readable, which counts file pages too, or release blocks; %llu bytes are kept free",
              (unsigned long long) kept);
    else
        WORDS(tightest, "MemAvailable", "release blocks, or end other programs; %llu bytes are kept free",
              (unsigned long long) kept);
}

void admission_judge(const struct admission_numbers *numbers, uint64_t size, struct admission_verdict *ret_verdict) {
    bool is_blind = numbers->memory.available == UINT64_MAX || numbers->cgroup.is_unseen;
    struct admission_verdict verdict = {{.needed = size, .available = UINT64_MAX}, UINT64_MAX, is_blind};
    const struct cgroup_room *group = &numbers->cgroup;
    sea_refusal *tightest = &verdict.tightest;
    uint64_t kept = reserve_of_machine(numbers->memory.total);
    if (verdict_take(&verdict, numbers->memory.available, kept))
        word_machine(tightest, &numbers->memory, kept);
    if (verdict_take(&verdict, numbers->memory.promised, 0))
        WORDS(tightest, "CommitLimit (vm.overcommit_memory is 2)",
              "raise vm.overcommit_ratio or vm.overcommit_kbytes, add swap, or end other programs");
    kept = group->kept;
    if (verdict_take(&verdict, group->left, kept)) {
        WORDS(tightest, "", "raise it in %s, or release memory there; %llu bytes are kept free", group->group,
              (unsigned long long) kept);
        snprintf(tightest->limit, sizeof(tightest->limit), "cgroup %s", group->knob);
    }
    if (tightest->available < UINT64_MAX)
        tightest->available = subtract_to_zero(tightest->available, numbers->promised);
    tightest->error = size > tightest->available ? -ENOMEM : 0;
    *ret_verdict = verdict;
}

void admission_init(struct admission *ret, struct refusal_log *log, const struct quota *budget) {
    *ret = (struct admission){.proc = "/proc", .mount = "/sys/fs/cgroup", .log = log, .budget = budget};
    pthread_mutex_init(&ret->lock, NULL);
}

void admission_deinit(struct admission *admission) {
    pthread_mutex_destroy(&admission->lock);
}

/* --- the low-water mark --- */

/* Rounded up: of one or two units in all, the last one is reported. */
static uint64_t low_mark(const struct admission *admission, int which) {
    if (which == ADMISSION_MACHINE || which == ADMISSION_BUDGET + QUOTA_BYTES)
        return admission->low_mark;
    return (admission->budget->limit[which - ADMISSION_BUDGET] + 15) / 16;
}

static bool is_low(const struct admission *admission, int which) {
    return atomic_load_explicit(&admission->is_low[which], memory_order_relaxed);
}

/* Does a rest of `left` change the state of a limit? The rest gets below the mark, or, below it before, reaches the
 * mark and a quarter more. */
static bool low_changes(const struct admission *admission, int which, uint64_t left) {
    uint64_t mark = low_mark(admission, which);
    return is_low(admission, which) ? left >= mark + mark / 4 : left < mark;
}

/* Under the lock. */
static bool low_begins(struct admission *admission, int which, uint64_t left) {
    if (!low_changes(admission, which, left))
        return false;
    bool begins = !is_low(admission, which);
    atomic_store_explicit(&admission->is_low[which], begins, memory_order_relaxed);
    return begins;
}

/* Under the lock. */
static void low_note(struct admission *admission, const sea_refusal *nearly) {
    admission->nearly = *nearly;
    admission->nearly.error = 0;
    atomic_store_explicit(&admission->is_untold, true, memory_order_relaxed);
}

static void watch_unit(struct admission *admission, enum quota_unit unit, uint64_t needed) {
    static const char *const names[QUOTA_UNITS] = {"budget (bytes)", "budget (blocks)", "budget (descriptors)"};
    uint64_t available = admission->budget->limit[unit] - quota_used(admission->budget, unit);
    int which = ADMISSION_BUDGET + (int) unit;
    if (!low_changes(admission, which, subtract_to_zero(available, needed)))
        return;
    sea_refusal nearly = {.needed = needed, .available = available};
    WORDS(&nearly, names[unit], "release blocks, or raise the budget in sea_ctx_options");
    pthread_mutex_lock(&admission->lock);
    if (low_begins(admission, which, subtract_to_zero(available, needed)))
        low_note(admission, &nearly);
    pthread_mutex_unlock(&admission->lock);
}

void admission_watch(struct admission *admission, uint64_t bytes, uint32_t blocks, uint32_t fds) {
    const uint64_t needed[QUOTA_UNITS] = {bytes, blocks, fds};
    for (int u = 0; u < QUOTA_UNITS && admission->low_mark > 0; u++)
        watch_unit(admission, (enum quota_unit) u, needed[u]);
}

bool admission_tell(struct admission *admission) {
    if (!atomic_load_explicit(&admission->is_untold, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&admission->lock);
    bool is_mine = atomic_exchange_explicit(&admission->is_untold, false, memory_order_relaxed);
    sea_refusal nearly = admission->nearly;
    pthread_mutex_unlock(&admission->lock);
    if (is_mine)
        admission->on_low(&nearly, admission->user);
    return is_mine;
}

/* --- reading the limits --- */

/* Sets the allowance after a reading that granted `size` bytes. Under the lock. */
static void allow(struct admission *admission, const struct admission_verdict *verdict) {
    uint64_t rest = verdict->tightest.error == 0 ? verdict->tightest.available - verdict->tightest.needed : 0;
    admission->looked_at = wait_now();
    admission->allowance = rest / 8;
    if (!is_low(admission, ADMISSION_MACHINE)) /* then the mark would be passed without a reading */
        admission->allowance = min_u64(admission->allowance, subtract_to_zero(rest, admission->low_mark));
    admission->stale = min_u64(admission->allowance, verdict->reserve / 4);
}

/* Reads the files last: memory that is made meanwhile is counted twice rather than not at all. `own` bytes of the
 * promised memory are promised to this caller. */
static int read_limits(struct admission *admission, uint64_t size, uint64_t own,
                       struct admission_verdict *ret_verdict) {
    uint64_t mark = admission->low_mark, enough = size;
    if (__builtin_add_overflow(size, mark + mark / 4 + CGROUP_KEPT_MAX, &enough))
        enough = UINT64_MAX;
    struct admission_numbers numbers;
    pthread_mutex_lock(&admission->lock);
    numbers.promised = subtract_to_zero(admission->promised, own);
    pthread_mutex_unlock(&admission->lock);
    meminfo_read(admission->proc, &numbers.memory);
    cgroup_read(admission->proc, admission->mount, enough, &numbers.cgroup);
    admission_judge(&numbers, size, ret_verdict);
    pthread_mutex_lock(&admission->lock);
    if (mark > 0 && low_begins(admission, ADMISSION_MACHINE, subtract_to_zero(ret_verdict->tightest.available, size)))
        low_note(admission, &ret_verdict->tightest);
    allow(admission, ret_verdict);
    pthread_mutex_unlock(&admission->lock);
    return ret_verdict->tightest.error;
}

int admission_check(struct admission *admission, uint64_t size, struct admission_verdict *ret_verdict) {
    return read_limits(admission, size, 0, ret_verdict);
}

int admission_again(struct admission *admission, uint64_t rest) {
    struct admission_verdict verdict;
    return admission ? read_limits(admission, rest, rest, &verdict) : 0;
}

void admission_made(struct admission *admission, uint64_t size) {
    if (!admission)
        return;
    pthread_mutex_lock(&admission->lock);
    admission->promised = subtract_to_zero(admission->promised, size);
    pthread_mutex_unlock(&admission->lock);
}

/* Under the lock. */
static bool spend(struct admission *admission, uint64_t size) {
    bool is_fresh = wait_now() - admission->looked_at < ADMISSION_AGE;
    if (size > (is_fresh ? admission->allowance : admission->stale))
        return false;
    admission->allowance = subtract_to_zero(admission->allowance, size);
    admission->stale = subtract_to_zero(admission->stale, size);
    return true;
}

/* Promises the memory before the reading, so that two requests at once see each other. */
int admission_admit(struct admission *admission, uint64_t size) {
    struct admission_verdict verdict;
    if (!admission)
        return 0;
    pthread_mutex_lock(&admission->lock);
    bool is_known = spend(admission, size);
    uint64_t own = min_u64(size, UINT64_MAX - admission->promised);
    admission->promised += own;
    pthread_mutex_unlock(&admission->lock);
    int r = is_known ? 0 : read_limits(admission, size, own, &verdict);
    if (r < 0 && disposal_await_room())
        r = read_limits(admission, size, own, &verdict);
    if (r < 0)
        admission_made(admission, own);
    return r;
}

int admission_admit_and_tell(struct admission *admission, uint64_t size) {
    int r = admission_admit(admission, size);
    return admission_tell(admission) && r < 0 ? admission_admit(admission, size) : r;
}
