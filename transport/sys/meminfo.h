/* SPDX-License-Identifier: MIT */
/*
 * What the machine has left, and what we have of it: as /proc tells it, or sysinfo(2) where there is no /proc.
 *
 * Owns: nothing, and keeps nothing. Touches: reads files of /proc. Threads: any.
 */
#ifndef SYS_MEMINFO_H
#define SYS_MEMINFO_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes. A number that cannot be read, or does not apply, is UINT64_MAX. */
struct meminfo {
    uint64_t total;
    uint64_t available; /* without swapping, as the kernel estimates */
    /* What may still be promised: of machines that never promise too much (vm.overcommit_memory is 2) alone. */
    uint64_t promised;
    /* sysinfo(2) was asked: `available` is free memory alone, without the file pages that the kernel would drop. */
    bool is_rough;
};

/* Asked anew each time. `proc` is "/proc". */
void meminfo_read(const char *proc, struct meminfo *ret_info);

/* Bytes of shared memory that are mapped by this process and in memory. UINT64_MAX: it cannot be read. */
uint64_t meminfo_read_shared(const char *proc);

#endif
