/* SPDX-License-Identifier: MIT */
/* What the machine has left, and what we have of it, as /proc tells it. */
#ifndef SYS_MEMINFO_H
#define SYS_MEMINFO_H

#include <stdint.h>

/* Bytes. What cannot be read, or does not apply, is UINT64_MAX. */
struct meminfo {
    uint64_t total;
    uint64_t available; /* without swapping, as the kernel estimates */
    /* What may still be promised: of machines that never promise too much (vm.overcommit_memory is 2) alone. */
    uint64_t promised;
};

/* Asked anew each time. `proc` is "/proc". */
void meminfo_read(const char *proc, struct meminfo *ret_info);

/* Bytes of shared memory that are mapped by this process and in memory. UINT64_MAX: it cannot be read. */
uint64_t meminfo_read_shared(const char *proc);

#endif
