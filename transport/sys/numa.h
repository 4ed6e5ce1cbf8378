/* SPDX-License-Identifier: MIT */
/*
 * On which node of the machine memory is to lie.
 *
 * Owns: nothing. Touches: reads a file of /sys; sets the policy of the caller's mapping, and by it of its memfd.
 * Threads: any.
 */
#ifndef SYS_NUMA_H
#define SYS_NUMA_H

#include <stddef.h>
#include <stdint.h>

#define NUMA_DIR "/sys/devices/system/node"

/* A bit for each of the first 64 nodes that have memory; node 0 where `dir`, NUMA_DIR, tells of none. Asked anew each
 * time. */
uint64_t numa_nodes(const char *dir);

/*
 * Pages that are still to come into this shared mapping, and into its memfd, are taken from these nodes (a bit each, at
 * least one), and from others only when these are full: nothing fails, nor is anybody killed, for want of memory on a
 * node. -ENODEV: one of them does not exist, or has no memory · -EACCES: the system does not let us choose.
 */
int numa_prefer(void *data, size_t size, uint64_t nodes);

#endif
