/* SPDX-License-Identifier: MIT */
/*
 * Time, and waiting for it or for descriptors.
 *
 * A deadline is an instant of CLOCK_MONOTONIC, so that an interrupted wait goes on to its original end, and so that two
 * processes mean one instant. Waits end early only at an event (wait_set_poll(): at a signal too); they end late by
 * less than a millisecond, and by the delay of the scheduler.
 */
#include "sys/wait.h"

#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/inject.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u

/* Events fetched in one go; the kernel keeps the others for the next poll, in turn. */
#define EVENTS_MAX 64

static_assert((int) EPOLLIN == POLLIN && (int) EPOLLOUT == POLLOUT && (int) EPOLLHUP == POLLHUP &&
                  (int) EPOLLERR == POLLERR,
              "epoll and poll number their events alike");

uint64_t wait_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * NS_PER_S + (uint64_t) now.tv_nsec;
}

uint64_t wait_now_coarse(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t) now.tv_sec * NS_PER_S + (uint64_t) now.tv_nsec;
}

uint64_t wait_deadline(int timeout_ms) {
    if (timeout_ms < 0)
        return WAIT_FOREVER;
    return wait_now() + (uint64_t) timeout_ms * NS_PER_MS;
}

static uint64_t left_ns(uint64_t deadline) {
    uint64_t now = wait_now();
    return deadline > now ? deadline - now : 0;
}

int wait_left_ms(uint64_t deadline) {
    if (deadline == WAIT_FOREVER)
        return -1;
    uint64_t ns = left_ns(deadline);
    uint64_t ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (int) ms;
}

unsigned wait_cpus_shared(int pid) {
    cpu_set_t ours, theirs, both;
    if (pid <= 0 || INJECT(SCHED_GET, sched_getaffinity(0, sizeof ours, &ours)) < 0 ||
        INJECT(SCHED_GET, sched_getaffinity(pid, sizeof theirs, &theirs)) < 0)
        return UINT_MAX;
    CPU_OR(&both, &ours, &theirs);
    return (unsigned) CPU_COUNT(&both);
}

bool wait_is_realtime(void) {
    int policy = INJECT(SCHED_GET, sched_getscheduler(0));
    if (policy < 0)
        return false;
    policy &= ~SCHED_RESET_ON_FORK;
    return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

/* poll() rounds to milliseconds, and is for sandboxes that know no ppoll(). */
static int poll_once(struct pollfd *items, nfds_t count, uint64_t deadline) {
    uint64_t ns = left_ns(deadline);
    struct timespec left = {.tv_sec = (time_t) (ns / NS_PER_S), .tv_nsec = (long) (ns % NS_PER_S)};
    int r = INJECT(POLL, ppoll(items, count, deadline == WAIT_FOREVER ? NULL : &left, NULL));
    return r < 0 && failure_is_forbidden(-errno) ? INJECT(POLL, poll(items, count, wait_left_ms(deadline))) : r;
}

int wait_all(int fd, short events, int other, int wake_fd, uint64_t deadline) {
    struct pollfd items[] = {
        {.fd = fd, .events = events}, {.fd = other, .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
    const nfds_t count = wake_fd >= 0 ? 3 : other >= 0 ? 2 : fd >= 0 ? 1 : 0; /* negative ones are passed over */
    int r;
    do {
        r = poll_once(items, count, deadline);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return failure_of(INJECT_POLL, errno);
    if (r > 0 && ((items[0].revents | items[1].revents) & POLLNVAL) != 0)
        return -EBADF;
    if (r == 0)
        return 0;
    return items[0].revents | (items[1].revents ? WAIT_OTHER : 0) | (items[2].revents ? WAIT_BELL : 0);
}

int wait_fd_or_bell(int fd, short events, int wake_fd, uint64_t deadline) {
    int r = wait_all(fd, events, -1, wake_fd, deadline);
    return r < 0 ? r : r & ~WAIT_BELL;
}

int wait_fd(int fd, short events, uint64_t deadline) {
    return wait_all(fd, events, -1, -1, deadline);
}

int wait_set_new(int *ret_fd) {
    int fd = INJECT(EPOLL_CREATE, epoll_create1(EPOLL_CLOEXEC));
    if (fd < 0)
        return failure_of(INJECT_EPOLL_CREATE, errno);
    *ret_fd = fd;
    return 0;
}

static int set_control(int set, int operation, int fd, short events, void *data) {
    struct epoll_event event = {.events = (uint32_t) (events & (POLLIN | POLLOUT)), .data.ptr = data};
    if (INJECT(EPOLL_CTL, epoll_ctl(set, operation, fd, &event)) < 0)
        return failure_of(INJECT_EPOLL_CTL, errno);
    return 0;
}

int wait_set_add(int set, int fd, short events, void *data) {
    return set_control(set, EPOLL_CTL_ADD, fd, events, data);
}

int wait_set_change(int set, int fd, short events, void *data) {
    return set_control(set, EPOLL_CTL_MOD, fd, events, data);
}

void wait_set_remove(int set, int fd) {
    struct epoll_event ignored = {0}; /* kernels before 2.6.9 wanted one; valgrind still looks at it */
    epoll_ctl(set, EPOLL_CTL_DEL, fd, &ignored);
}

int wait_set_poll(int set, struct wait_event *ret_events, int max, uint64_t deadline) {
    struct epoll_event events[EVENTS_MAX];
    if (max > EVENTS_MAX)
        max = EVENTS_MAX;
    int count = INJECT(EPOLL_WAIT, epoll_wait(set, events, max, wait_left_ms(deadline)));
    if (count < 0)
        return errno == EINTR ? 0 : failure_of(INJECT_EPOLL_WAIT, errno);
    for (int i = 0; i < count; i++)
        ret_events[i] = (struct wait_event){.data = events[i].data.ptr, .revents = (short) events[i].events};
    return count;
}

int wait_bell_new(int *ret_fd) {
    int fd = INJECT(EVENTFD, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd < 0)
        return failure_of(INJECT_EVENTFD, errno);
    *ret_fd = fd;
    return 0;
}

void wait_bell_ring(int fd) {
    int saved = errno; /* may be a signal handler's */
    ssize_t r = write(fd, &(uint64_t){1}, sizeof(uint64_t));
    (void) r; /* EAGAIN: rung 2^64 times and not heard yet */
    errno = saved;
}

void wait_bell_clear(int fd) {
    uint64_t count;
    ssize_t r = read(fd, &count, sizeof count);
    (void) r; /* EAGAIN: not rung */
}
