/* SPDX-License-Identifier: MIT */
/*
 * Refusals: kept, never printed. The log holds copies, so that no text has to outlive the call that noted it.
 */
#include "memory/refusal.h"

#include "sys/failure.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How the names of limits begin. */
static const struct {
    const char *prefix;
    enum refusal_cause cause;
} PREFIXES[] = {
    {"budget ", CAUSE_BUDGET},           {"pool's ", CAUSE_POOL},           {"peer quota ", CAUSE_PEER_QUOTA},
    {"fair share ", CAUSE_FAIR_SHARE},   {"user quota ", CAUSE_USER_QUOTA}, {"peer's ", CAUSE_PEER},
    {"cgroup ", CAUSE_CGROUP},           {"MemAvailable", CAUSE_MACHINE},   {"free memory ", CAUSE_MACHINE},
    {"CommitLimit ", CAUSE_MACHINE},     {"NUMA node ", CAUSE_MACHINE},     {"hugetlb pool", CAUSE_MACHINE},
    {"fs.file-max", CAUSE_MACHINE},      {"kernel memory", CAUSE_MACHINE},  {"RLIMIT_", CAUSE_PROCESS},
    {"vm.max_map_count", CAUSE_PROCESS}, {"address space", CAUSE_PROCESS},
};

static enum refusal_cause cause_of(const char *limit) {
    for (size_t i = 0; i < sizeof(PREFIXES) / sizeof(PREFIXES[0]); i++)
        if (strncmp(limit, PREFIXES[i].prefix, strlen(PREFIXES[i].prefix)) == 0)
            return PREFIXES[i].cause;
    return CAUSE_OTHER;
}

void refusal_init(struct refusal_log *log) {
    *log = (struct refusal_log){.newest = {.error = 0}};
    pthread_mutex_init(&log->lock, NULL);
}

void refusal_deinit(struct refusal_log *log) {
    pthread_mutex_destroy(&log->lock);
}

/* Cuts `from` to what fits. `to` is zero. */
static void text_keep(char *to, size_t size, const char *from) {
    memcpy(to, from, strnlen(from, size - 1));
}

/* Under the lock. In the place of the oldest one. */
static void recent_keep(struct refusal_log *log, const sea_refusal *refusal, bool is_empty) {
    uint64_t stamp = refusal_stamp(log);
    size_t oldest = 0;
    if (!log->recent)
        return;
    for (size_t i = 1; i < REFUSALS_RECENT; i++)
        if (log->recent->at[i].stamp < log->recent->at[oldest].stamp)
            oldest = i;
    log->recent->at[oldest].refusal = *refusal;
    log->recent->at[oldest].thread = pthread_self();
    log->recent->at[oldest].stamp = stamp;
    log->recent->at[oldest].is_empty = is_empty;
}

uint64_t refusal_find(struct refusal_log *log, int error, sea_refusal *ret_refusal, bool *ret_is_empty) {
    uint64_t found = 0;
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; log->recent && i < REFUSALS_RECENT; i++)
        if (log->recent->at[i].stamp > found && log->recent->at[i].refusal.error == error &&
            pthread_equal(log->recent->at[i].thread, pthread_self())) {
            found = log->recent->at[i].stamp;
            *ret_refusal = log->recent->at[i].refusal;
            *ret_is_empty = log->recent->at[i].is_empty;
        }
    pthread_mutex_unlock(&log->lock);
    return found;
}

int refusal_end(struct refusal_log *log, uint64_t mark, int error) {
    sea_refusal refusal = {.error = error};
    bool is_empty;
    if (error >= 0 || refusal_find(log, error, &refusal, &is_empty) > mark)
        return error;
    pthread_mutex_lock(&log->lock);
    recent_keep(log, &(sea_refusal){.error = error}, true);
    pthread_mutex_unlock(&log->lock);
    return error;
}

int refusal_keep(struct refusal_log *log, int error, const char *limit, uint64_t needed, uint64_t available,
                 const char *advice) {
    pthread_mutex_lock(&log->lock);
    log->newest = (sea_refusal){.error = error, .needed = needed, .available = available};
    text_keep(log->newest.limit, sizeof(log->newest.limit), limit);
    text_keep(log->newest.advice, sizeof(log->newest.advice), advice);
    recent_keep(log, &log->newest, false);
    pthread_mutex_unlock(&log->lock);
    return error;
}

int refusal_note(struct refusal_log *log, int error, const char *limit, uint64_t needed, uint64_t available,
                 const char *advice) {
    refusal_keep(log, error, limit, needed, available, advice);
    pthread_mutex_lock(&log->lock);
    log->by[cause_of(limit)]++;
    atomic_fetch_add_explicit(&log->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&log->lock);
    return error;
}

int refusal_pass(const struct refusal_log *held, struct refusal_log *log) {
    const sea_refusal *why = &held->newest;
    return refusal_note(log, why->error, why->limit, why->needed, why->available, why->advice);
}

/* Of a long path the end tells more than the beginning. */
int refusal_explain(struct refusal_log *log, int error, const char *what, const char *why) {
    char name[sizeof(log->newest.limit)];
    size_t length = strlen(what);
    bool fits = length < sizeof(name);
    snprintf(name, sizeof(name), "%s%s", fits ? "" : "...", fits ? what : what + length - (sizeof(name) - 4));
    return refusal_keep(log, error, name, 0, 0, why);
}

int refusal_explain_failure(struct refusal_log *log, int r, const char *what, const char *why) {
    char text[sizeof(log->newest.advice)];
    const char *call = failure_call(r);
    if (!call)
        return refusal_explain(log, r, what, why);
    snprintf(text, sizeof(text), "%s: %s%s", why, call,
             failure_is_forbidden(r) ? " is forbidden, by a seccomp filter or a security module" : " failed");
    return refusal_explain(log, failure_error(r), what, text);
}

void refusal_read(struct refusal_log *log, sea_refusal *ret_refusal) {
    pthread_mutex_lock(&log->lock);
    *ret_refusal = log->newest;
    pthread_mutex_unlock(&log->lock);
}

uint64_t refusal_read_counts(struct refusal_log *log, uint64_t *ret_by) {
    pthread_mutex_lock(&log->lock);
    memcpy(ret_by, log->by, sizeof(log->by));
    uint64_t count = atomic_load_explicit(&log->count, memory_order_relaxed);
    pthread_mutex_unlock(&log->lock);
    return count;
}

int sea_refusal_format(const sea_refusal *refusal, char *buf, size_t size) {
    int length, saved = errno;
    bool has_advice = refusal->advice[0] != '\0';
    errno = -refusal->error; /* for %m, which is strerror() without its static buffer */
    if (refusal->error == 0 && refusal->needed == 0)
        length = snprintf(buf, size, "nothing was refused");
    else if (refusal->error == 0) /* what on_low_water is told */
        length = snprintf(buf, size, "Running low (%s: needed %llu, available %llu%s%s)", refusal->limit,
                          (unsigned long long) refusal->needed, (unsigned long long) refusal->available,
                          has_advice ? "; " : "", refusal->advice);
    else if (refusal->needed == 0 && refusal->available == 0) /* nothing that has an amount */
        length = snprintf(buf, size, "%m (%s%s%s)", refusal->limit, has_advice ? ": " : "", refusal->advice);
    else
        length = snprintf(buf, size, "%m (%s: needed %llu, available %llu%s%s)", refusal->limit,
                          (unsigned long long) refusal->needed, (unsigned long long) refusal->available,
                          has_advice ? "; " : "", refusal->advice);
    errno = saved;
    for (char *p = buf; size > 0 && *p != '\0'; p++)
        if ((unsigned char) *p < 0x20 || *p == 0x7f)
            *p = '?';
    return length;
}
