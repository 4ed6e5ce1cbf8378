/* SPDX-License-Identifier: MIT */
/*
 * Worker threads: detached threads of the library, which end system calls that take long where the application does not
 * wait for them.
 *
 * Owns: nothing; a thread ends by itself. Touches: the caller's signal mask, which is restored. Threads: any.
 */
#ifndef SYS_WORKER_H
#define SYS_WORKER_H

/*
 * Starts a detached thread that calls run(NULL). All signals are blocked from the thread's birth: they are the
 * application's. The thread runs under SCHED_OTHER if its maker runs under a real-time policy: otherwise other threads
 * of that priority would get no CPU while it works. 0, or a negative errno value.
 */
int worker_start(void *(*run)(void *) );

#endif
