/* SPDX-License-Identifier: MIT */
/* The movable clock, simulated waits, and the stopwatch. See clock.h. */
#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#define NS_PER_S 1000000000u
#define NS_PER_MS 1000000u

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __real_ppoll(struct pollfd *items, nfds_t count, const struct timespec *timeout, const sigset_t *signals);
int __wrap_ppoll(struct pollfd *items, nfds_t count, const struct timespec *timeout, const sigset_t *signals);
int __real_poll(struct pollfd *items, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *items, nfds_t count, int timeout_ms);
int __real_epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms);

int __real_close(int fd);
int __wrap_close(int fd);

/* Finds double closes: the number of a closed descriptor may belong to another file by then. */
int __wrap_close(int fd) {
    int r = __real_close(fd);
    if (r < 0 && errno == EBADF) {
        fprintf(stderr, "descriptor %d was closed twice\n", fd);
        abort();
    }
    return r;
}

void (*clock_on_wait)(unsigned rounds, bool is_endless);

static uint64_t ahead; /* of the real clock, ns */

static struct {
    bool is_wanted, is_running;
    unsigned pauses;
    uint64_t since, sum, longest;
} stopwatch;

void clock_pass(uint64_t ns) {
    ahead += ns;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time) {
    int r = __real_clock_gettime(clock, ret_time);
    if (r != 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE))
        return r;
    uint64_t ns = (uint64_t) ret_time->tv_nsec + ahead % NS_PER_S;
    ret_time->tv_sec += (time_t) (ahead / NS_PER_S + ns / NS_PER_S);
    ret_time->tv_nsec = (long) (ns % NS_PER_S);
    return 0;
}

/* Lets the world act. Returns false when the wait is over. */
static bool wait_round(unsigned rounds, bool is_endless, uint64_t ns) {
    if (!is_endless && (ns == 0 || rounds >= WAIT_ROUNDS)) {
        clock_pass(ns);
        return false;
    }
    clock_on_wait(rounds, is_endless);
    return true;
}

int __wrap_ppoll(struct pollfd *items, nfds_t count, const struct timespec *timeout, const sigset_t *signals) {
    static const struct timespec none;
    uint64_t ns = timeout ? (uint64_t) timeout->tv_sec * NS_PER_S + (uint64_t) timeout->tv_nsec : 0;
    int r;
    stopwatch_pause();
    for (unsigned rounds = 0;; rounds++) {
        r = __real_ppoll(items, count, &none, signals);
        if (r != 0 || !wait_round(rounds, !timeout, ns))
            break;
    }
    stopwatch_resume();
    return r;
}

/* The library calls poll() where ppoll() is forbidden, and to look without waiting. */
int __wrap_poll(struct pollfd *items, nfds_t count, int timeout_ms) {
    if (timeout_ms == 0)
        return __real_poll(items, count, 0);
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long) (timeout_ms % 1000) * NS_PER_MS};
    return __wrap_ppoll(items, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}

int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms) {
    int r;
    if (timeout_ms == 0)
        return __real_epoll_wait(set, events, most, 0);
    stopwatch_pause();
    for (unsigned rounds = 0;; rounds++) {
        r = __real_epoll_wait(set, events, most, 0);
        if (r != 0 || !wait_round(rounds, timeout_ms < 0, (uint64_t) timeout_ms * NS_PER_MS))
            break;
    }
    stopwatch_resume();
    return r;
}

uint64_t clock_cpu(void) {
    struct timespec now;
    __real_clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t) now.tv_sec * NS_PER_S + (uint64_t) now.tv_nsec;
}

void stopwatch_use(bool is_wanted) {
    stopwatch.is_wanted = is_wanted;
    stopwatch.is_running = false;
    stopwatch.longest = 0;
}

void stopwatch_begin(void) {
    if (!stopwatch.is_wanted)
        return;
    stopwatch.is_running = true;
    stopwatch.pauses = 0;
    stopwatch.sum = 0;
    stopwatch.since = clock_cpu();
}

void stopwatch_end(void) {
    if (!stopwatch.is_running)
        return;
    stopwatch.sum += clock_cpu() - stopwatch.since;
    stopwatch.is_running = false;
    if (stopwatch.sum > stopwatch.longest)
        stopwatch.longest = stopwatch.sum;
}

void stopwatch_pause(void) {
    if (stopwatch.is_running && stopwatch.pauses++ == 0)
        stopwatch.sum += clock_cpu() - stopwatch.since;
}

void stopwatch_resume(void) {
    if (stopwatch.is_running && --stopwatch.pauses == 0)
        stopwatch.since = clock_cpu();
}

uint64_t stopwatch_longest(void) {
    return stopwatch.longest;
}
