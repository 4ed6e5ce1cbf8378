/* SPDX-License-Identifier: MIT */
/*
 * Disposal: frees large mappings, memfds and heap memory on threads that no caller waits for. See disposal.h.
 *
 * The disposal owns the items that it takes. They wait in a bounded queue. Up to THREADS_MAX detached threads take
 * items out, oldest first, and free them outside the lock. A thread is started when an item comes in and there are
 * fewer threads than items; it ends when it finds the queue empty. No peer can stop these threads: a memfd's last
 * reference runs no code of a file system that a peer wrote. So they are separate from the reaper's threads.
 *
 * The owner returns the memory's charge when it hands the memory over. So the mapped memory exceeds the charged memory
 * by the items in the queue and the items under way: THREADS_MAX of the threads, and one for each caller that frees its
 * item itself, for want of a thread or of room in the queue. While the queue has WAITING_MAX bytes,
 * connections receive nothing (disposal_has_room()). The application and connections that end may still add items. A
 * peer that maps and ends in a loop fills its memory more slowly than a thread frees it. A caller that finds no memory
 * while the disposal has some waits (disposal_await_room()) and tries again.
 *
 * A large mapping ends in steps, from its end: munmap() holds the lock that mmap() and page faults of all other threads
 * need.
 *
 * When no thread can be made and none runs, or the queue is full, memory is freed in place: that takes its time, but
 * loses nothing.
 *
 * fork: the child forgets the queue, like the reaper's. Read-only views stay mapped there until it ends or calls exec.
 *
 * Invariants, under the lock: waiting <= QUEUE_SIZE; threads <= THREADS_MAX; waiting > 0 implies that a thread frees
 * items: one of ours, or the caller that found none. Numbers rise along the queue, and items that are freed now have
 * lower ones.
 */
#include "sys/disposal.h"

#include "sys/heap.h"
#include "sys/wait.h"
#include "sys/worker.h"
#include "util/arith.h"
#include "util/fifo.h"
#include "util/list.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#define QUEUE_SIZE 4096
#define THREADS_MAX 2

/* Some 0.1 s for two threads. */
#define WAITING_MAX (UINT64_C(1) << 30)

/* Bytes of a mapping that are unmapped at once, which takes some 1 ms: a multiple of every page size that a mapping
 * here may have. A mapping of more than STEPS_MAX steps is larger than memory; it has larger steps, so that it ends. */
#define STEP ((size_t) 16 << 20)
#define STEPS_MAX 4096

#define HUGE_PAGE ((size_t) 2 << 20)

/* disposal_room_ms() allows DISPOSAL_AWAIT_MS for each part of this many bytes, and for at most AWAIT_PARTS_MAX parts,
 * which are more memory than there is. */
#define AWAIT_PART (UINT64_C(256) << 20)
#define AWAIT_PARTS_MAX 4096

struct item {
    void *data;  /* owned; NULL: none */
    size_t size; /* bytes */
    int fd;      /* owned; -1: none */
    bool is_heap;
    uint64_t number; /* of all that were queued: the first is 1 */
};

/* An item that a thread frees now, on that thread's stack. */
struct freeing {
    uint64_t number;
    size_t size; /* bytes */
    LIST_LINK(struct freeing) link;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* an item has ended, by CLOCK_MONOTONIC */
    pthread_once_t once;
    struct item queue[QUEUE_SIZE]; /* a ring */
    struct fifo waiting;           /* the places of the items in the queue */
    size_t threads;
    struct freeing *freeing; /* the items that threads free now; borrowed from these threads */
    uint64_t waiting_bytes;
    uint64_t queued; /* items since the process began */
} disposal = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

void disposal_unmap(const void *data, size_t size) {
    void *begin = (void *) (uintptr_t) data;
    if (!data || size == 0)
        return;
    /* EINVAL: the end lies inside a hugetlb page. */
    if (munmap(begin, size) < 0 && errno == EINVAL)
        munmap(begin, round_up(size, HUGE_PAGE));
}

static void unmap_in_steps(char *data, size_t size) {
    size_t step = (size / STEPS_MAX / STEP + 1) * STEP;
    while (size > step) {
        size_t left = (size - 1) / step * step;
        disposal_unmap(data + left, size - left);
        size = left;
    }
    disposal_unmap(data, size);
}

static void item_end(const struct item *item) {
    if (item->is_heap)
        heap_free(item->data);
    else if (item->data)
        unmap_in_steps(item->data, item->size);
    fd_close(item->fd);
}

static struct item pop(void) {
    struct item item = disposal.queue[fifo_pop(&disposal.waiting, QUEUE_SIZE)];
    disposal.waiting_bytes -= item.size;
    return item;
}

static void init_moved(void) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&disposal.moved, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void before_fork(void) {
    pthread_mutex_lock(&disposal.lock);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&disposal.lock);
}

/* Threads that wait in the parent are not here. */
static void after_fork_in_child(void) {
    disposal.waiting.count = disposal.threads = 0;
    disposal.freeing = NULL;
    disposal.waiting_bytes = 0;
    init_moved();
    pthread_mutex_unlock(&disposal.lock);
}

static void prepare(void) {
    init_moved();
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The first lock() makes fork() wait for the lock from then on: otherwise a child would find it held by a thread that
 * does not exist there. */
static void lock(void) {
    pthread_once(&disposal.once, prepare);
    pthread_mutex_lock(&disposal.lock);
}

/* Under the lock, which is given back meanwhile. */
static void end_first(void) {
    struct item item = pop();
    struct freeing freeing = {.number = item.number, .size = item.size};
    LIST_PUSH(&disposal.freeing, &freeing, link);
    pthread_mutex_unlock(&disposal.lock);
    item_end(&item);
    pthread_mutex_lock(&disposal.lock);
    LIST_REMOVE(&freeing, link);
    pthread_cond_broadcast(&disposal.moved);
}

static size_t freeing_count(void) {
    size_t count = 0;
    for (const struct freeing *item = disposal.freeing; item; item = item->link.next)
        count++;
    return count;
}

/* Is an item with this number, or a lower one, still here? */
static bool has_any_up_to(uint64_t number) {
    if (disposal.waiting.count > 0 && disposal.queue[disposal.waiting.first].number <= number)
        return true;
    for (const struct freeing *item = disposal.freeing; item; item = item->link.next)
        if (item->number <= number)
            return true;
    return false;
}

static void *end_waiting(void *unused) {
    (void) unused;
    pthread_mutex_lock(&disposal.lock);
    while (disposal.waiting.count > 0)
        end_first();
    disposal.threads--;
    pthread_mutex_unlock(&disposal.lock);
    return NULL;
}

static bool push(const struct item *item) {
    if (disposal.waiting.count == QUEUE_SIZE)
        return false;
    struct item *place = &disposal.queue[fifo_push(&disposal.waiting, QUEUE_SIZE)];
    *place = *item;
    place->number = ++disposal.queued;
    disposal.waiting_bytes += item->size;
    return true;
}

static void take(const struct item *item) {
    lock();
    bool is_queued = push(item);
    if (is_queued && disposal.threads < THREADS_MAX && disposal.threads < disposal.waiting.count + freeing_count() &&
        worker_start(end_waiting) == 0)
        disposal.threads++;
    while (disposal.threads == 0 && disposal.waiting.count > 0)
        end_first();
    pthread_mutex_unlock(&disposal.lock);
    if (!is_queued)
        item_end(item);
}

static void take_if_large(const struct item *item) {
    if (item->size >= DISPOSAL_LEAST)
        take(item);
    else
        item_end(item);
}

void disposal_take_mapping(const void *data, size_t size, int fd) {
    take_if_large(&(struct item){.data = (void *) (uintptr_t) data, .size = size, .fd = fd});
}

void disposal_take_heap(void *data, size_t size) {
    take_if_large(&(struct item){.data = data, .size = size, .fd = -1, .is_heap = true});
}

bool disposal_has_room(void) {
    lock();
    bool has_room = disposal.waiting_bytes < WAITING_MAX;
    pthread_mutex_unlock(&disposal.lock);
    return has_room;
}

size_t disposal_pending(void) {
    lock();
    size_t pending = disposal.waiting.count + freeing_count();
    pthread_mutex_unlock(&disposal.lock);
    return pending;
}

bool disposal_await(int most_ms) {
    uint64_t deadline = wait_deadline(most_ms);
    struct timespec until = {.tv_sec = (time_t) (deadline / 1000000000), .tv_nsec = (long) (deadline % 1000000000)};
    int error = 0, cancel_state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state); /* a wait that is cancelled leaves the lock taken */
    lock();
    uint64_t last = disposal.queued;
    bool was_there = has_any_up_to(last);
    while (has_any_up_to(last) && error == 0)
        error = deadline == WAIT_FOREVER ? pthread_cond_wait(&disposal.moved, &disposal.lock)
                                         : pthread_cond_timedwait(&disposal.moved, &disposal.lock, &until);
    bool is_gone = !has_any_up_to(last);
    pthread_mutex_unlock(&disposal.lock);
    pthread_setcancelstate(cancel_state, &cancel_state);
    return was_there && is_gone;
}

/* Applications may bring more than peers may. */
int disposal_room_ms(void) {
    lock();
    uint64_t bytes = disposal.waiting_bytes;
    for (const struct freeing *item = disposal.freeing; item; item = item->link.next)
        bytes += item->size;
    pthread_mutex_unlock(&disposal.lock);
    uint64_t parts = bytes / AWAIT_PART;
    return DISPOSAL_AWAIT_MS * (int) (1 + min_u64(parts, AWAIT_PARTS_MAX));
}

bool disposal_await_room(void) {
    return disposal_await(disposal_room_ms());
}
