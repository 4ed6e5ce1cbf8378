/* SPDX-License-Identifier: MIT */
/*
 * Limits of the machine and of our process.
 *
 * Owns: nothing, and keeps nothing. Touches: reads limits of the process, and files of /proc. Threads: any.
 */
#ifndef SYS_LIMITS_H
#define SYS_LIMITS_H

#include <stdint.h>

uint64_t limits_nofile(void); /* soft RLIMIT_NOFILE */
uint64_t limits_fsize(void);  /* soft RLIMIT_FSIZE; UINT64_MAX: none */
uint64_t limits_maps(void);   /* vm.max_map_count; the kernel's default, where it cannot be read */

/* The rest of three limits at which the kernel gives equal error codes; UINT64_MAX: there is no limit, or it cannot be
 * read. Reading them costs up to milliseconds: for explanations. */
uint64_t limits_locked_left(void);  /* RLIMIT_MEMLOCK, bytes */
uint64_t limits_address_left(void); /* RLIMIT_AS, bytes */
uint64_t limits_maps_left(void);    /* vm.max_map_count, mappings */

#endif
