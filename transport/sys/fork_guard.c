/* SPDX-License-Identifier: MIT */
/*
 * Guarded descriptors, and the handlers of fork().
 *
 * In the child each guarded descriptor is replaced and not closed: its number stays taken, so that no file of the
 * child's own gets it. A child must not free its parent's connections (<sealane/ctx.h>); a child that does it
 * nevertheless closes dead sockets, and no file of its own. The child's handler makes system calls and nothing else:
 * another thread may have been inside the allocator when its process forked.
 *
 * A descriptor for which the table has no memory is not guarded. Children that are made in other ways (clone(),
 * vfork()) keep all descriptors: the end of a process is seen by its pidfd too.
 *
 * A plug-in with the static library may be unloaded: the C library drops the handlers of a shared object with it.
 *
 * The lock is held while the process forks, so that the child finds the table whole.
 */
#include "sys/fork_guard.h"

#include "sys/heap.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BITS 64
#define FIRST_WORDS 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t first[FIRST_WORDS];
static uint64_t *bits = first; /* a bit for each descriptor's number; owned unless it is `first` */
static size_t words = FIRST_WORDS;
static atomic_uint generation;

static void before_fork(void) {
    pthread_mutex_lock(&lock);
}

static void in_parent(void) {
    pthread_mutex_unlock(&lock);
}

static int dead_socket(void) {
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* connected to nothing */
}

/* Where the table of descriptors is full, the first one that goes makes room for the dead socket, which gets its
 * number. */
static void replace_all(void) {
    int dead = dead_socket();
    int spare = dead;
    for (size_t i = 0; i < words * BITS; i++) {
        if (!(bits[i / BITS] >> i % BITS & 1))
            continue;
        if (dead >= 0) {
            dup3(dead, (int) i, O_CLOEXEC);
        } else {
            close((int) i);
            dead = dead_socket();
        }
    }
    if (spare >= 0)
        close(spare);
    memset(bits, 0, words * sizeof *bits);
}

static void in_child(void) {
    replace_all();
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
}

static void listen_for_forks(void) {
    (void) pthread_atfork(before_fork, in_parent, in_child);
}

/* Room for that many words. false: there is no memory. */
static bool grow(size_t needed) {
    size_t count = needed * 2;
    uint64_t *more = heap_resize(bits == first ? NULL : bits, count, sizeof *more);
    if (!more)
        return false;
    if (bits == first)
        memcpy(more, first, sizeof first);
    memset(more + words, 0, (count - words) * sizeof *more);
    bits = more;
    words = count;
    return true;
}

void fork_guard_add(int fd) {
    size_t word = (size_t) fd / BITS;
    if (fd < 0)
        return;
    pthread_once(&once, listen_for_forks);
    pthread_mutex_lock(&lock);
    if (word < words || grow(word + 1))
        bits[word] |= UINT64_C(1) << fd % BITS;
    pthread_mutex_unlock(&lock);
}

void fork_guard_remove(int fd) {
    size_t word = (size_t) fd / BITS;
    if (fd < 0)
        return;
    pthread_mutex_lock(&lock);
    if (word < words)
        bits[word] &= ~(UINT64_C(1) << fd % BITS);
    pthread_mutex_unlock(&lock);
}

unsigned fork_guard_generation(void) {
    pthread_once(&once, listen_for_forks);
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
