/* SPDX-License-Identifier: MIT */
/* The choice of two CPUs to measure between. */
#ifndef CALIBRATE_CPUS_H
#define CALIBRATE_CPUS_H

#include <stdbool.h>

/* Chooses the first CPU that this process may use, and the first CPU of another core; if there is none, another CPU
 * of that core, or the first CPU again. */
void cpus_choose(int ret_cpus[2]);

/* "A,B" */
bool cpus_parse(const char *text, int ret_cpus[2]);

#endif
