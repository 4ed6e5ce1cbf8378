/* SPDX-License-Identifier: MIT */
/* Memory of a process, as the kernel counts it. */
#ifndef BENCH_RESIDENT_H
#define BENCH_RESIDENT_H

#include <stdint.h>
#include <sys/types.h>

/* KiB. Shared pages count in proportion to the processes that map them: the sum of all processes is the total. */
struct resident {
    uint64_t anon, shmem, tables;
};

struct resident resident_of(pid_t pid);

/* Returns the number in the line "NAME: N kB" of a file; 0: there is no such line. */
uint64_t resident_line(const char *path, const char *name);

#endif
