/* SPDX-License-Identifier: MIT */
/*
 * Included in front of every file of the library that bench/instructions counts: the pause of a waiting loop becomes
 * another single instruction, a trap, at which that program hands over to the other side. Everything else is compiled
 * as in any build.
 */
#ifndef BENCH_LOCKSTEP_PAUSE_H
#define BENCH_LOCKSTEP_PAUSE_H

/* The memory is clobbered as by the builtin function. */
#define __builtin_ia32_pause() __asm__ volatile("int3" ::: "memory")

#endif
