/* SPDX-License-Identifier: MIT */
/* Which two CPUs to measure between. */
#ifndef CALIBRATE_CPUS_H
#define CALIBRATE_CPUS_H

#include <stdbool.h>

/* The first that this process may use, and the first of another core; where there is none, of the same core, or the
 * same. */
void cpus_choose(int ret_cpus[2]);

/* "A,B" */
bool cpus_parse(const char *text, int ret_cpus[2]);

#endif
