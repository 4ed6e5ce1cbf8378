/* SPDX-License-Identifier: MIT */
/*
 * How large the caches of this machine's CPUs are.
 *
 * Owns: the sizes, once caches_here() has read them. Touches: reads files of /sys. Threads: any.
 */
#ifndef SYS_CACHES_H
#define SYS_CACHES_H

#include <stddef.h>

struct caches {
    size_t l2; /* bytes; of one core */
    size_t l3; /* bytes; of the cores that share one; 0: there is none */
};

/* Of the first CPU, asked once in a process. What cannot be known is guessed: 1 MiB, 8 MiB. */
struct caches caches_here(void);

/* Reads them anew from `dir`, "/sys/devices/system/cpu/cpu0/cache". What cannot be read there is 0. */
struct caches caches_read(const char *dir);

#endif
