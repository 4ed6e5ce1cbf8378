/* SPDX-License-Identifier: MIT */
/*
 * The newest refusal, in full: the limit, the amount that was needed, the amount that was available, and advice. A
 * context has one log. Other logs hold refusals back while a thread may still find another way: only the ones that it
 * passes on count as refusals.
 *
 * Owns: copies of the texts, and the counts of refusals. Touches: `recent`, which the context owns. It prints nothing.
 * Threads: any, under the log's lock; a log that holds back belongs to one thread (refusal_pass() reads it unlocked).
 */
#ifndef MEMORY_REFUSAL_H
#define MEMORY_REFUSAL_H

#include <pthread.h>
#include <sealane/ctx.h>
#include <stdatomic.h>

/* The owner of the limit that a refusal names. The order is the one of the figures: SEA_FIGURE_BUDGET_REFUSALS and so
 * on. doc/memory.md has the limits of each. */
enum refusal_cause {
    CAUSE_BUDGET,
    CAUSE_POOL,
    CAUSE_PEER_QUOTA,
    CAUSE_FAIR_SHARE,
    CAUSE_USER_QUOTA,
    CAUSE_PEER,
    CAUSE_CGROUP,
    CAUSE_MACHINE,
    CAUSE_PROCESS,
    CAUSE_OTHER,
    CAUSES
};

/*
 * The newest explanations of a context, of each thread its own: sea_explain() looks here for the text of an error. An
 * empty one says that the error came without a text, so that an older text does not pass for its own.
 */
enum { REFUSALS_RECENT = 8 };
struct refusal_recent {
    struct {
        sea_refusal refusal;
        pthread_t thread;
        uint64_t stamp; /* 0: none was kept here yet */
        bool is_empty;
    } at[REFUSALS_RECENT];
};

struct refusal_log {
    pthread_mutex_t lock;
    sea_refusal newest;            /* under lock */
    struct refusal_recent *recent; /* borrowed, under lock; NULL: a log that only holds back */
    _Atomic uint64_t stamp;        /* counts explanations, the ones that connections keep, too */
    _Atomic uint64_t count;        /* refusals by a limit; written under lock */
    uint64_t by[CAUSES];           /* under lock; their sum is `count` */
};

void refusal_init(struct refusal_log *log);
void refusal_deinit(struct refusal_log *log);

/* Notes a refusal by a limit and returns `error`. The texts are copied, and cut to what fits. */
int refusal_note(struct refusal_log *log, int error, const char *limit, uint64_t needed, uint64_t available,
                 const char *advice);

/* Notes the newest refusal of `held`, which was held back while there was another way, in `log`. Returns its error. */
int refusal_pass(const struct refusal_log *held, struct refusal_log *log);

/* Notes the reason for waiting, of an operation that will be tried again. Like refusal_note(), but it counts no refusal
 * and formats nothing: some callers try often. */
int refusal_keep(struct refusal_log *log, int error, const char *limit, uint64_t needed, uint64_t available,
                 const char *advice);

/* Notes why an operation failed without a limit: `what` failed, `why` says how and gives advice. Not counted. Returns
 * `error`. */
int refusal_explain(struct refusal_log *log, int error, const char *what, const char *why);

/* Like refusal_explain(), for a failure (sys/failure.h): the name of its call follows `why`. Returns the negative errno
 * value. */
int refusal_explain_failure(struct refusal_log *log, int r, const char *what, const char *why);

/* The stamp of the newest explanation. A function takes it at its beginning, and knows by it at its end whether an
 * error was explained meanwhile. */
static inline uint64_t refusal_mark(const struct refusal_log *log) {
    return atomic_load_explicit(&log->stamp, memory_order_relaxed);
}

/* A stamp for an explanation that is kept elsewhere. */
static inline uint64_t refusal_stamp(struct refusal_log *log) {
    return atomic_fetch_add_explicit(&log->stamp, 1, memory_order_relaxed) + 1;
}

/* The newest explanation that this thread has for `error`, or an empty one. Returns its stamp; 0: there is none. */
uint64_t refusal_find(struct refusal_log *log, int error, sea_refusal *ret_refusal, bool *ret_is_empty);

/* The end of a function that began at `mark`: an error without an explanation gets an empty one. Returns `error`, which
 * may also be 0 or a count. */
int refusal_end(struct refusal_log *log, uint64_t mark, int error);

void refusal_read(struct refusal_log *log, sea_refusal *ret_refusal);

/* Returns the number of refusals, and writes the number for each cause: CAUSES numbers. */
uint64_t refusal_read_counts(struct refusal_log *log, uint64_t *ret_by);

#endif
