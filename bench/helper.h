/* SPDX-License-Identifier: MIT */
/*
 * A process that helps a program of the benchmark: it says when it is ready, runs commands of one letter, and answers
 * each with a result. It ends with its parent, or when helper_end() kills it.
 */
#ifndef BENCH_HELPER_H
#define BENCH_HELPER_H

#include <stdbool.h>
#include <sys/types.h>

struct helper {
    pid_t pid;
    int fd; /* owned: the parent's end of the pair */
};

/* Forks. Returns 0 in the child, which has its own end of the pair in helper->fd; negative on failure. */
pid_t helper_fork(struct helper *helper, int cpu);

/* The child's side: sends a result (0, or a negative errno value). helper_next() waits for a letter; 0: no more. */
bool helper_answer(const struct helper *helper, int r);
char helper_next(const struct helper *helper);

/* The parent's side. helper_await() returns the child's next result; -ECHILD: the child is gone. */
int helper_await(const struct helper *helper);
int helper_ask(const struct helper *helper, char letter);
void helper_end(struct helper *helper);

#endif
