/* SPDX-License-Identifier: MIT */
/*
 * Input that comes from files, pipes and terminals: how much can be read now, and several files as if they were one.
 * This room reads nothing; sea_block_fill_file() does the reading.
 */
#ifndef COMMON_INPUT_H
#define COMMON_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for files and block devices: reading them never waits for another process. */
bool input_is_file(int fd);

/*
 * Returns how many bytes one read of `fd` gives at once, after poll() reported `fd`; at least 1 (at the end of the
 * input, a read of 1 byte returns 0). sea_block_fill_file() waits for its input as read() does, so a program that has
 * other work asks the library for no more than this amount. The function sets nothing on the descriptor, because other
 * processes may share it.
 */
size_t input_ready(int fd);

/* Several files, read one after the other, `repeat` times (0: without end, unless a whole round brings no byte). */
struct input {
    char **names; /* borrowed, ends with NULL */
    size_t next;  /* index into `names` */
    uint64_t repeat, rounds;
    int fd;               /* owned unless it is standard input; -1: none is open */
    uint64_t bytes;       /* counted by the caller that reads */
    uint64_t round_began; /* value of `bytes` when this round began */
    bool is_ended;
    bool has_failed; /* some file could not be opened */
};

void input_init(struct input *input, char **names, uint64_t repeat);
void input_deinit(struct input *input);

/* Returns the open file's descriptor, borrowed, and opens the next file if none is open. Reports each file that
 * cannot be opened and passes over it. Returns -1 when no file is left. */
int input_fd(struct input *input);

const char *input_name(const struct input *input); /* name of the open file */

/* Closes the open file, which has been read to its end; the next input_fd() opens the next one. */
void input_next(struct input *input);

#endif
