/* SPDX-License-Identifier: MIT */
/*
 * Child processes of tests. A child is forked, runs one function, and exchanges words with its parent over a line.
 *
 * Of its parent's descriptors the child keeps only 0 to 2, files (Check's), and its end of the line: a connection that
 * the parent has open really ends when the parent closes it. The child dies with its parent. A ck_assert() that fails
 * in the child reaches Check when child_end() finds its status.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int line; /* owned: a SOCK_SEQPACKET socket to the child's */
};

/* The function that runs in the child; its result is the exit status. */
typedef int child_run(int line, void *arg);

void child_start(struct child *ret, child_run *run, void *arg);

/* For a child that another function forked: closes the descriptors that a child must not keep, as above. */
void child_close_others(int line);

/* Sends one word over the line. Returns false if the other end is gone. */
bool line_tell(int line, uint64_t word);

/* Receives the next word, within `ms` (times CK_TIMEOUT_MULTIPLIER). Returns false if none came, or if the other end
 * is gone. */
bool line_hear(int line, int ms, uint64_t *ret_word);

/* Sends a text instead of a word, cut to the size of one datagram here (1023 bytes). */
bool line_tell_text(int line, const char *text);
bool line_hear_text(int line, int ms, char *ret_text, size_t size);

/* Sends and receives a descriptor. The sent one is borrowed; the caller owns the received one. */
bool line_tell_fd(int line, int fd);
bool line_hear_fd(int line, int ms, int *ret_fd);

/* Closes the line and waits for the child's end, at most `ms`, then kills it. Returns the exit status, or the
 * negative signal number; asserts that the child ended without being killed by this function. */
int child_end(struct child *child, int ms);

/* Waits for the child's end as child_end() does, but leaves the line open, so that the caller can still receive. */
int child_wait(struct child *child, int ms);

/* Kills the child with SIGKILL at once, and waits for its end. */
void child_kill(struct child *child);

#endif
