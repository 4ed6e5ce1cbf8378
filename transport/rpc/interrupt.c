/* SPDX-License-Identifier: MIT */
/*
 * Interrupts. See interrupt.h.
 *
 * No order between the flag and the bell is relied on but that of one thread. The raiser sets the flag first and then
 * rings; the waiter clears the flag first and then the wake_fd. An interrupt that is raised between those two steps
 * leaves its flag, which the next wait looks at before it waits; a raiser that rings after both leaves its wake_fd,
 * which interrupt_clear() clears. Without that the bell would end every later wait at once, and each call would spin
 * until its reply came.
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

void interrupt_clear(const struct interrupt *interrupt) {
    if (!interrupt_is_raised(interrupt))
        interrupt_silence(interrupt);
}
