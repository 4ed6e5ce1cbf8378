/* SPDX-License-Identifier: MIT */
/*
 * Interrupts. See interrupt.h.
 *
 * No order between the flag and the bell is relied on but that of one thread. The raiser sets the flag first and then rings; the waiter
 * clears the flag first and then the bell. An interrupt that is raised between those two steps leaves its flag, which the next wait looks
 * at before it waits; a raiser that rings after both leaves its bell, which interrupt_settle() clears. Without that the bell would end
 * every later wait at once, and each call would spin until its reply came.
 */
#include "rpc/interrupt.h"

#include "sys/heap.h"
#include "sys/wait.h"
#include <errno.h>

int interrupt_init(struct interrupt *interrupt, bool is_wanted) {
    interrupt->bell = -1;
    atomic_init(&interrupt->is_raised, false);
    return is_wanted ? wait_bell_new(&interrupt->bell) : 0;
}

void interrupt_deinit(struct interrupt *interrupt) {
    interrupt->bell = fd_close(interrupt->bell);
}

int interrupt_raise(struct interrupt *interrupt) {
    if (interrupt->bell < 0)
        return -EINVAL;
    atomic_store(&interrupt->is_raised, true);
    wait_bell_ring(interrupt->bell);
    return 0;
}

int interrupt_tell(struct interrupt *interrupt, int result) {
    if (result == -EINTR && interrupt->bell >= 0) {
        atomic_store(&interrupt->is_raised, false);
        wait_bell_clear(interrupt->bell);
    }
    return result;
}

void interrupt_settle(const struct interrupt *interrupt) {
    if (interrupt->bell >= 0 && !interrupt_is_raised(interrupt))
        wait_bell_clear(interrupt->bell);
}
