/* SPDX-License-Identifier: MIT */
/*
 * The reaper: closes descriptors that a peer chose, on threads that may take any time.
 *
 * The reaper owns the descriptors that it takes. They wait in a bounded queue; up to THREADS_MAX detached threads close
 * them one by one, outside the lock. A thread is started when a descriptor comes in and there are fewer threads than
 * descriptors, and ends when it finds the queue empty: rejected descriptors are rare (each costs its sender the
 * connection), so nothing of the reaper stays behind between them, and there is no idle state to get wrong. A thread
 * that hangs in close() is one less for the others; when all hang, the queue fills, reaper_has_room() turns false, and
 * the receivers stop. A descriptor for which the queue has no room stays open: its number is lost, but no thread hangs.
 *
 * When no thread can be made and none runs, descriptors are closed in place: that may block, but loses nothing.
 *
 * fork: the child has copies of the waiting descriptors, but no threads. It forgets them: they stay open until it ends
 * or calls exec. To close them later would be worse: by then the child may have closed them itself, and have other
 * files at their numbers.
 *
 * Invariants, under the lock: waiting <= QUEUE_SIZE; threads <= THREADS_MAX; closing <= threads; waiting > 0 implies
 * threads > 0.
 */
#include "sys/reaper.h"

#include "sys/heap.h"
#include "sys/limits.h"
#include "sys/worker.h"
#include "util/fifo.h"

#include <pthread.h>
#include <stdint.h>

#define QUEUE_SIZE 18432

/* For descriptors that peers sent. The rest is for our own sockets to peers: their connections may still end, with
 * unread datagrams, while nothing is received. */
#define ROOM 14336
#define THREADS_MAX 4

/* So many threads may ask for room at the same time, and then all receive. */
#define RECEIVERS_AT_ONCE 4

/* The descriptors that four peers can leave behind, or an eighth of our table of descriptors: beyond it the server
 * takes no new connections. */
#define CALM_MAX 1024

static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    int queue[QUEUE_SIZE]; /* owned; a ring */
    struct fifo waiting;   /* the places of the descriptors in the queue */
    size_t threads, closing;
} reaper = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static int pop(void) {
    return reaper.queue[fifo_pop(&reaper.waiting, QUEUE_SIZE)];
}

static void before_fork(void) {
    pthread_mutex_lock(&reaper.lock);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&reaper.lock);
}

static void after_fork_in_child(void) {
    reaper.waiting.count = 0;
    reaper.threads = 0;
    reaper.closing = 0;
    pthread_mutex_unlock(&reaper.lock);
}

static void prepare_for_fork(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The first lock() makes fork() wait for the lock from then on: otherwise a child would find it held by a thread that
 * does not exist there. */
static void lock(void) {
    pthread_once(&reaper.once, prepare_for_fork);
    pthread_mutex_lock(&reaper.lock);
}

static void *close_waiting(void *unused) {
    (void) unused;
    pthread_mutex_lock(&reaper.lock);
    while (reaper.waiting.count > 0) {
        int fd = pop();
        reaper.closing++;
        pthread_mutex_unlock(&reaper.lock);
        fd_close(fd);
        pthread_mutex_lock(&reaper.lock);
        reaper.closing--;
    }
    reaper.threads--;
    pthread_mutex_unlock(&reaper.lock);
    return NULL;
}

/* Under the lock. */
static void start_threads(void) {
    while (reaper.threads < THREADS_MAX && reaper.threads < reaper.waiting.count + reaper.closing &&
           worker_start(close_waiting) == 0)
        reaper.threads++;
}

/* The last resort. Takes and gives back the lock around each. */
static void close_in_place(void) {
    while (reaper.waiting.count > 0) {
        int fd = pop();
        pthread_mutex_unlock(&reaper.lock);
        fd_close(fd);
        pthread_mutex_lock(&reaper.lock);
    }
}

void reaper_take(const int *fds, size_t count) {
    if (count == 0)
        return;

    size_t queued = 0;
    lock();
    for (; queued < count && reaper.waiting.count < QUEUE_SIZE; queued++)
        reaper.queue[fifo_push(&reaper.waiting, QUEUE_SIZE)] = fds[queued];
    start_threads();
    if (reaper.threads == 0)
        close_in_place();
    pthread_mutex_unlock(&reaper.lock);
}

bool reaper_has_room(void) {
    lock();
    bool has_room = reaper.waiting.count + RECEIVERS_AT_ONCE * REAPER_BATCH_MAX <= ROOM;
    pthread_mutex_unlock(&reaper.lock);
    return has_room;
}

size_t reaper_pending(void) {
    lock();
    size_t pending = reaper.waiting.count + reaper.closing;
    pthread_mutex_unlock(&reaper.lock);
    return pending;
}

bool reaper_is_calm(void) {
    uint64_t share = limits_nofile() / 8;
    return reaper_pending() < (share < CALM_MAX ? share : CALM_MAX);
}
