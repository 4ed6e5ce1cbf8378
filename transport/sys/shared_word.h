/* SPDX-License-Identifier: MIT */
/*
 * Words in memory that two processes share. One of them writes, the other may only read, and neither trusts the other.
 *
 * The types hide their value, so that a shared word can be read only through these helpers: once, into a local. A
 * second reading is a second call, and visible in review. A value that was read is a number that a stranger chose: it
 * is validated before it is used.
 *
 * Orders are in the names. Every _acquire and _release is called with its label, which names the pair in
 * doc/memory-model.md.
 *
 * Owns: nothing; the words lie in memory of the caller's. Threads: one of the processes writes a word, by one thread at
 * a time; any thread may read it.
 */
#ifndef SYS_SHARED_WORD_H
#define SYS_SHARED_WORD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

typedef struct {
    _Atomic uint32_t hidden;
} shared32;

typedef struct {
    _Atomic uint64_t hidden;
} shared64;

static_assert(sizeof(shared32) == 4 && sizeof(shared64) == 8, "as large as what they hold: layouts count on it");
static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2, "a lock would lie in one process only");

static inline uint32_t shared32_load(const shared32 *word) {
    return atomic_load_explicit(&((shared32 *) (uintptr_t) word)->hidden, memory_order_relaxed);
}

static inline uint64_t shared64_load(const shared64 *word) {
    return atomic_load_explicit(&((shared64 *) (uintptr_t) word)->hidden, memory_order_relaxed);
}

static inline uint32_t shared32_load_acquire(const shared32 *word) {
    return atomic_load_explicit(&((shared32 *) (uintptr_t) word)->hidden, memory_order_acquire);
}

static inline uint64_t shared64_load_acquire(const shared64 *word) {
    return atomic_load_explicit(&((shared64 *) (uintptr_t) word)->hidden, memory_order_acquire);
}

static inline void shared32_store(shared32 *word, uint32_t value) {
    atomic_store_explicit(&word->hidden, value, memory_order_relaxed);
}

static inline void shared64_store(shared64 *word, uint64_t value) {
    atomic_store_explicit(&word->hidden, value, memory_order_relaxed);
}

static inline void shared32_store_release(shared32 *word, uint32_t value) {
    atomic_store_explicit(&word->hidden, value, memory_order_release);
}

static inline void shared64_store_release(shared64 *word, uint64_t value) {
    atomic_store_explicit(&word->hidden, value, memory_order_release);
}

/* Orders a store of ours before a load of the peer's word (a store, then a load: x86 reorders these too). */
static inline void shared_fence(void) {
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
    /* The sanitizer does not model fences, and warns of them; no plain memory depends on this one. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    atomic_thread_fence(memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

/* A hint: the line of `word` will be written, or read, soon. */
static inline void shared_ask_to_write(const void *word) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *) word)); /* of the compiler's own: only with -mprfchw */
#else
    __builtin_prefetch(word, 1);
#endif
}

static inline void shared_ask_to_read(const void *word) {
    __builtin_prefetch(word, 0);
}

/* In a loop that waits for another CPU. */
static inline void shared_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
