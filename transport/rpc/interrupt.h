/* SPDX-License-Identifier: MIT */
/*
 * An interrupt: a wish that a blocking wait ends. It may be raised at any time, by any thread and by signal handlers,
 * also before the wait begins: a wait that a mere signal ends has an instant in which the signal is lost.
 *
 * Raised, it stays so until a wait has told its caller. Its descriptor, the bell, also wakes the wait for what other
 * threads have left in the mailbox of the connection: the waker in connect.c rings it and raises nothing.
 *
 * Owns: the bell. Touches: nothing else. Threads: interrupt_raise() any, and signal handlers, until the memory of the
 * connection goes; the other functions belong to the thread that waits.
 */
#ifndef RPC_INTERRUPT_H
#define RPC_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>

struct interrupt {
    int wake_fd; /* owned; -1: none, and the wait looks now and then whether it is raised */
    atomic_bool is_raised;
};

/* Without a descriptor. */
#define INTERRUPT_NONE ((struct interrupt){.wake_fd = -1})

/* Makes the descriptor. 0, or -EMFILE, -ENFILE, -ENOMEM, or a call that is forbidden: then there is none. */
int interrupt_init(struct interrupt *interrupt);
void interrupt_deinit(struct interrupt *interrupt);

/* Async-signal-safe. */
void interrupt_raise(struct interrupt *interrupt);

static inline bool interrupt_is_raised(const struct interrupt *interrupt) {
    return atomic_load_explicit(&interrupt->is_raised, memory_order_relaxed);
}

/* Its caller is told `result`: -EINTR ends the interrupt. Returns `result`. */
int interrupt_tell(struct interrupt *interrupt, int result);

/* Clears the descriptor, which a poll has found readable; the interrupt stays raised for the next wait. */
void interrupt_silence(const struct interrupt *interrupt);

#endif
