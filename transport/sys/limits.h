/* SPDX-License-Identifier: MIT */
/* What the machine and our user allow. */
#ifndef SYS_LIMITS_H
#define SYS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

uint64_t limits_nofile(void);           /* soft RLIMIT_NOFILE */
uint64_t limits_fsize(void);            /* soft RLIMIT_FSIZE; UINT64_MAX: none */
uint64_t limits_memory_available(void); /* MemAvailable of /proc/meminfo, bytes; UINT64_MAX if it cannot be read */

/* Is so much of it free that `size` bytes are there without doubt? Far cheaper than the answer in bytes. */
bool limits_memory_is_plenty(uint64_t size);

#endif
