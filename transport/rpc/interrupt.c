/* SPDX-License-Identifier: MIT */
/*
 * Interrupts. See interrupt.h.
 *
 * The raiser sets the flag first and then makes wake_fd readable; the waiter clears the flag first and then wake_fd. An
 * interrupt between those two steps of the waiter leaves its flag set, and the next wait reads the flag before it
 * waits. A raiser that is slower than both steps leaves wake_fd readable with the flag clear; the next poll finds it
 * readable and clears it (conn_poll()). Otherwise each later wait would end at once, and each call would spin until its
 * reply came.
 */
#include "rpc/interrupt.h"

#include "sys/heap.h"
#include "sys/wait.h"
#include <errno.h>

int interrupt_init(struct interrupt *interrupt) {
    *interrupt = INTERRUPT_NONE;
    return wait_bell_new(&interrupt->wake_fd);
}

void interrupt_deinit(struct interrupt *interrupt) {
    interrupt->wake_fd = fd_close(interrupt->wake_fd);
}

void interrupt_raise(struct interrupt *interrupt) {
    atomic_store(&interrupt->is_raised, true);
    if (interrupt->wake_fd >= 0)
        wait_bell_ring(interrupt->wake_fd);
}

int interrupt_tell(struct interrupt *interrupt, int result) {
    if (result == -EINTR) {
        atomic_store(&interrupt->is_raised, false);
        interrupt_silence(interrupt);
    }
    return result;
}

void interrupt_silence(const struct interrupt *interrupt) {
    if (interrupt->wake_fd >= 0)
        wait_bell_clear(interrupt->wake_fd);
}
