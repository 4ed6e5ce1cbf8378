/* SPDX-License-Identifier: MIT */
/*
 * Figures on their way to the application: the table of their descriptions, and the copying of values into an array
 * that may be shorter or longer than the table. The modules that know the values fill a full array each
 * (registry/ctx.c, rpc/conn_figures.c, rpc/pool_figures.c); this module knows no values.
 *
 * Owns: constant tables. Touches: reads one quota, in figures_of_quota(). Threads: any.
 */
#ifndef REGISTRY_FIGURES_H
#define REGISTRY_FIGURES_H

#include "memory/quota.h"
#include <sealane/figures.h>

/* The figures of one quota stand together: used, peak and limit, each in bytes, blocks and descriptors. */
enum { FIGURES_OF_QUOTA = 3 * QUOTA_UNITS };

/* Copies `known` values into an array of `count`: cuts what does not fit, and zeroes the rest. */
void figures_copy(const uint64_t *values, size_t known, uint64_t *ret_values, size_t count);

/* Writes the FIGURES_OF_QUOTA values of a quota. */
void figures_of_quota(const struct quota *quota, uint64_t *ret_values);

#endif
