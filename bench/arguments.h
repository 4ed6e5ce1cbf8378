/* SPDX-License-Identifier: MIT */
/* The command line of a cell, equal for every program. */
#ifndef BENCH_ARGUMENTS_H
#define BENCH_ARGUMENTS_H

#include "work.h"

/* Fills in the cell. Returns 0; 77 with a message when no adapter can run the cell; 2 with a message when the
 * command line is wrong. */
int arguments_parse(struct cell *cell, int argc, char **argv, const struct adapter *adapters, size_t count);

#endif
