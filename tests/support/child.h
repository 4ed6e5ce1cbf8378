/* SPDX-License-Identifier: MIT */
/*
 * Child processes of tests: forked, running one function, on a line of words with their parent.
 *
 * The child keeps of its parent's descriptors only 0 to 2, files (Check's), and its end of the line: a connection
 * that a parent has open is really ended when the parent closes it. It dies with its parent. Failed ck_assert()s in it
 * reach Check once child_end() finds its status.
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

/* What runs in the child: its result is the exit status. */
typedef int child_run(int line, void *arg);

void child_start(struct child *ret, child_run *run, void *arg);

/* In a child that was forked otherwise: closes all that the above closes. */
void child_close_others(int line);

/* One word over the line. False: the other end is gone. */
bool line_tell(int line, uint64_t word);

/* The next word, within `ms` (times CK_TIMEOUT_MULTIPLIER). False: none, or the other end is gone. */
bool line_hear(int line, int ms, uint64_t *ret_word);

/* A text instead of a word, cut to what one datagram carries here (1023 bytes). */
bool line_tell_text(int line, const char *text);
bool line_hear_text(int line, int ms, char *ret_text, size_t size);

/* Descriptors may travel too; both are borrowed, the received one is owned by the caller. */
bool line_tell_fd(int line, int fd);
bool line_hear_fd(int line, int ms, int *ret_fd);

/* Closes the line and waits for the end, at most `ms`, then kills. Returns the exit status, or the negative
 * signal number; asserts that it was not we who had to kill it. */
int child_end(struct child *child, int ms);

/* Like it, but leaves the line open, for what is still to be heard. */
int child_wait(struct child *child, int ms);

/* SIGKILL, now, and waits. */
void child_kill(struct child *child);

#endif
