/* SPDX-License-Identifier: MIT */
/*
 * Admission decides whether memory may be made. The library asks it before making memory, because the kernel answers a
 * request for too much memory with a kill.
 *
 * Reading the limits of the machine and the cgroups from their files takes some 100 us. So one reading serves for more
 * than the request that needed it:
 *
 *     available = left - reserve, of the tightest limit
 *     allowance <= available / 8, for ADMISSION_AGE after the reading
 *     stale     <= reserve / 4, until the next reading, at any later time
 *
 * Memory that was granted and is not made yet is *promised*. Readings do not show it, so it is subtracted from each;
 * only a caller that asks again while it makes memory sees its own promise as available.
 *
 * Requests within these amounts are granted at once. The reserve covers memory that other processes take meanwhile, and
 * grants that come too late for the allowance. Admission charges no budget and no quota (memory/quota.h); it only
 * watches the budget for the low-water mark.
 *
 * Owns: the promises, the age of the reading, and the state of the low-water marks of one context. Touches: reads files
 * of /proc and of the cgroups, and the budget; before it refuses it waits for the disposal; admission_tell() and
 * admission_admit_and_tell() call the application. Threads: any. The lock is not held while files are read, while a
 * thread waits, or while the application is called.
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

/* Nanoseconds. A reading in each 20 ms costs half a hundredth of a CPU. */
#define ADMISSION_AGE ((uint64_t) 20 * 1000 * 1000)

struct admission_numbers {
    struct meminfo memory;
    struct cgroup_room cgroup;
    uint64_t promised; /* bytes promised to other requests */
};

struct admission_verdict {
    sea_refusal tightest; /* the tightest limit; error: 0, or -ENOMEM when `needed` is more than `available` */
    uint64_t reserve;     /* the smallest reserve of all limits; UINT64_MAX: no limit has one */
    bool is_blind;        /* the limits of the machine, or of our cgroup, cannot be read at all */
};

/* Decides by the numbers. Pure. */
void admission_judge(const struct admission_numbers *numbers, uint64_t size, struct admission_verdict *ret_verdict);

/* How memory is made in this context: the choices in sea_ctx_options. */
struct admission_wishes {
    unsigned flags; /* SEA_MEMORY_... */
    uint64_t nodes; /* a bit for each NUMA node; 0: any */
};

/* The watched limits: the machine, and each unit of the budget. */
enum { ADMISSION_MACHINE, ADMISSION_BUDGET, ADMISSION_WATCHED = ADMISSION_BUDGET + QUOTA_UNITS };

/* One for a context. */
struct admission {
    const char *proc, *mount;   /* borrowed: "/proc", "/sys/fs/cgroup"; tests use others */
    struct refusal_log *log;    /* borrowed; for functions that explain an error. Admission notes nothing in it */
    const struct quota *budget; /* borrowed */
    struct admission_wishes wishes;
    uint64_t low_mark; /* bytes; 0: no low-water mark. The mark of the budget's other units is a sixteenth of them */
    void (*on_low)(const sea_refusal *nearly, void *user);
    void *user;
    atomic_bool is_untold;                 /* written under lock; relaxed: it only saves taking the lock */
    atomic_bool is_low[ADMISSION_WATCHED]; /* written under lock; relaxed: it only saves taking the lock */
    pthread_mutex_t lock;                  /* protects the members below */
    uint64_t looked_at, allowance, stale;
    uint64_t promised;  /* bytes */
    sea_refusal nearly; /* the text of the next low-water report */
};

/* Members that are not named here are zero: no wishes, no mark. */
void admission_init(struct admission *ret, struct refusal_log *log, const struct quota *budget);
void admission_deinit(struct admission *admission);

/* May `size` bytes be made? 0: yes, and they are promised. -ENOMEM: no, and nothing is noted. `admission` NULL: always
 * 0. */
int admission_admit(struct admission *admission, uint64_t size);

/* Like admission_admit(), for callers without a lock: reports low water to the application, and then asks once more
 * after a refusal. */
int admission_admit_and_tell(struct admission *admission, uint64_t size);

/* Ends the promise of `size` bytes: they are made, or will not be made. Each byte once. */
void admission_made(struct admission *admission, uint64_t size);

/* Of promised memory, `rest` bytes are still to be made: may they be made now? Always reads the limits. */
int admission_again(struct admission *admission, uint64_t rest);

/* Returns the answer to a request for `size` bytes more, and the reason. Promises nothing. */
int admission_check(struct admission *admission, uint64_t size, struct admission_verdict *ret_verdict);

/* Watches a charge to the budget that is about to be made. Takes no lock unless a mark is passed. */
void admission_watch(struct admission *admission, uint64_t bytes, uint32_t blocks, uint32_t fds);

/*
 * Reports to the application that a low-water mark was passed. The caller holds no lock, and can try its request again.
 * True: the application was told, and may have released memory.
 */
bool admission_tell(struct admission *admission);

#endif
