/* SPDX-License-Identifier: MIT */
/* The command line of a cell, which is the same for every program. */
#ifndef BENCH_ARGUMENTS_H
#define BENCH_ARGUMENTS_H

#include "work.h"

/* Fills in the cell. Returns 0; 77 and says why when no adapter can do what is asked; 2 and says how when it makes no
 * sense. */
int arguments_parse(struct cell *cell, int argc, char **argv, const struct adapter *adapters, size_t count);

#endif
