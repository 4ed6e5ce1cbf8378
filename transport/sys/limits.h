/* SPDX-License-Identifier: MIT */
/* What the machine and our user allow. */
#ifndef SYS_LIMITS_H
#define SYS_LIMITS_H

#include <stdint.h>

uint64_t limits_nofile(void);           /* soft RLIMIT_NOFILE */
uint64_t limits_fsize(void);            /* soft RLIMIT_FSIZE; UINT64_MAX: none */
uint64_t limits_memory_available(void); /* MemAvailable of /proc/meminfo, bytes; UINT64_MAX if it cannot be read */

#endif
