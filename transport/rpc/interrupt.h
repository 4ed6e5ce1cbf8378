/* SPDX-License-Identifier: MIT */
/*
 * An interrupt: a wish that a blocking wait ends. It may be raised at any time, by any thread and by signal handlers,
 * also before the wait begins: a wait that a mere signal ends has an instant in which the signal is lost.
 *
 * Raised, it stays so until a wait has told its caller. The bell has a descriptor, so that only those have one who
 * asked for it.
 */
#ifndef RPC_INTERRUPT_H
#define RPC_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>

struct interrupt {
    int wake_fd; /* owned; -1: it cannot be raised */
    atomic_bool is_raised;
};

/* 0, or -EMFILE, -ENFILE, -ENOMEM. Unless `is_wanted` it has no wake_fd. */
int interrupt_init(struct interrupt *interrupt, bool is_wanted);
void interrupt_deinit(struct interrupt *interrupt);

/* -EINVAL: it has no wake_fd. Async-signal-safe. */
int interrupt_raise(struct interrupt *interrupt);

static inline bool interrupt_is_raised(const struct interrupt *interrupt) {
    return atomic_load_explicit(&interrupt->is_raised, memory_order_relaxed);
}

/* Its caller is told `result`: -EINTR ends the interrupt. Returns `result`. */
int interrupt_tell(struct interrupt *interrupt, int result);

/* A wait has ended with nothing from the socket: perhaps by the bell of an interrupt that was told already. That bell
 * is cleared. */
void interrupt_clear(const struct interrupt *interrupt);

#endif
