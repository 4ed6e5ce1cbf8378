/* SPDX-License-Identifier: MIT */
/*
 * Time for a fuzz target: the library's clock, which the target can move on, and the stopwatch for the CPU time of one
 * turn.
 *
 * The program is linked with --wrap for clock_gettime(), poll(), ppoll() and epoll_wait(). No call really waits: a wait
 * without an event lets the world act (clock_on_wait), looks again, and after some rounds moves the clock to its end.
 * One thread.
 */
#ifndef FUZZ_CLOCK_H
#define FUZZ_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Moves the library's clock on by `ns` at once. */
void clock_pass(uint64_t ns);

/* Runs in each round of a wait without an event; `rounds` counts from 0. After WAIT_ROUNDS it must cause an event
 * when the wait is without end. */
enum { WAIT_ROUNDS = 8 };
extern void (*clock_on_wait)(unsigned rounds, bool is_endless);

/* Returns the CPU time of this thread, in nanoseconds. */
uint64_t clock_cpu(void);

/*
 * The stopwatch counts the thread's CPU time between stopwatch_begin() and stopwatch_end(), except where it is paused:
 * in the handlers of the application, and while the library waits. Pauses nest. It costs more than many a turn, so it
 * runs only on request.
 */
void stopwatch_use(bool is_wanted); /* also resets the stopwatch */
void stopwatch_begin(void);
void stopwatch_end(void);
void stopwatch_pause(void);
void stopwatch_resume(void);
uint64_t stopwatch_longest(void); /* longest turn since stopwatch_use(), nanoseconds */

#endif
