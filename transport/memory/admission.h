/* SPDX-License-Identifier: MIT */
/*
 * Admission: may so much memory be made? Asked before it is, because the kernel's answer to too much is a kill.
 *
 * What the machine and the cgroups have left is looked up in files, which takes some 100 us. So one look serves for
 * more than the request that needed it:
 *
 *     available = left - reserve, of the tightest limit
 *     allowance <= available / 8, for ADMISSION_AGE after the look
 *     stale     <= reserve / 4, until the next look, however late that is
 *
 * What was granted and is not made yet is *promised*: no look shows it, so it is taken off what each finds, but for
 * whoever asks again on the way.
 *
 * Requests within these are granted at once. What others take meanwhile, and what is granted too late for the
 * allowance, is what the reserve is for. Budgets and quotas are not charged here (memory/quota.h); the budget is only
 * watched for the low-water mark.
 */
#ifndef MEMORY_ADMISSION_H
#define MEMORY_ADMISSION_H

#include "memory/quota.h"
#include "memory/refusal.h"
#include "sys/cgroup.h"
#include "sys/meminfo.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds. A look in each 20 ms costs half a hundredth of a CPU. */
#define ADMISSION_AGE ((uint64_t) 20 * 1000 * 1000)

struct admission_numbers {
    struct meminfo memory;
    struct cgroup_room cgroup;
    uint64_t promised; /* bytes, to others */
};

struct admission_verdict {
    sea_refusal tightest; /* of the limits; error: 0, or -ENOMEM where `needed` is more than is `available` */
    uint64_t reserve;     /* the smallest that is kept of any; UINT64_MAX: none is */
    bool is_blind;        /* the machine, or our cgroup, cannot be seen at all */
};

/* The decision, pure. */
void admission_judge(const struct admission_numbers *numbers, uint64_t size, struct admission_verdict *ret_verdict);

/* How memory is to be made in this context: what sea_ctx_options asks for. */
struct admission_wishes {
    unsigned flags; /* SEA_MEMORY_... */
    uint64_t nodes; /* a bit for each NUMA node; 0: any */
};

/* What is watched: the machine, and each unit of the budget. */
enum { ADMISSION_MACHINE, ADMISSION_BUDGET, ADMISSION_WATCHED = ADMISSION_BUDGET + QUOTA_UNITS };

/* One for a context. Thread-safe. */
struct admission {
    const char *proc, *mount;   /* borrowed: "/proc", "/sys/fs/cgroup"; tests have others */
    struct refusal_log *log;    /* borrowed; of whoever explains, nothing is noted here */
    const struct quota *budget; /* borrowed */
    struct admission_wishes wishes;
    uint64_t low_mark; /* bytes; 0: nobody wants to know. Of the budget's other units it is a sixteenth */
    void (*on_low)(const sea_refusal *nearly, void *user);
    void *user;
    atomic_bool is_untold;                 /* written under lock; relaxed: it only saves taking the lock */
    atomic_bool is_low[ADMISSION_WATCHED]; /* likewise */
    pthread_mutex_t lock;                  /* of what follows */
    uint64_t looked_at, allowance, stale;
    uint64_t promised;  /* bytes */
    sea_refusal nearly; /* what is to be told */
};

/* All that is not named here is zero: no wishes, no mark. */
void admission_init(struct admission *ret, struct refusal_log *log, const struct quota *budget);
void admission_deinit(struct admission *admission);

/* May `size` bytes be made? 0, and then they are promised; or -ENOMEM, and nothing is noted. `admission` NULL: always.
 */
int admission_admit(struct admission *admission, uint64_t size);

/* The same, with no lock held: the application is told of low water, and of a refusal asked once more. */
int admission_admit_and_tell(struct admission *admission, uint64_t size);

/* So much of what was promised is there, or will not be made. Each byte once. */
void admission_made(struct admission *admission, uint64_t size);

/* Of what was promised `rest` bytes are still to be made: may they be, now? With a look in any case. */
int admission_again(struct admission *admission, uint64_t rest);

/* What would be said to `size` bytes more, and why. Nothing is promised. */
int admission_check(struct admission *admission, uint64_t size, struct admission_verdict *ret_verdict);

/* So much is about to be charged to the budget. No lock is taken while nothing changes. */
void admission_watch(struct admission *admission, uint64_t bytes, uint32_t blocks, uint32_t fds);

/*
 * Tells the application if the low-water mark was passed since: with no lock held, by whoever could try again. True: it
 * was told, and may have made room.
 */
bool admission_tell(struct admission *admission);

#endif
