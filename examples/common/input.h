/* SPDX-License-Identifier: MIT */
/*
 * Input that comes from files, pipes, terminals: what can be read now, and several files as if they were one.
 * Nothing is read here: that is sea_block_fill_file()'s part.
 */
#ifndef COMMON_INPUT_H
#define COMMON_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Files and block devices never keep us waiting for another process. */
bool input_is_file(int fd);

/*
 * After poll() reported `fd`: how much a read gives at once, at least 1 (at the end, a read of 1 gives 0).
 * sea_block_fill_file() waits for its input as a read() would; a program that has other things to look after asks
 * the library for no more than this. Nothing is set on the descriptor: it may be shared with other processes.
 */
size_t input_ready(int fd);

/* Several files, one after the other, and that `repeat` times (0: without end, unless a round brings nothing). */
struct input {
    char **names; /* borrowed, NULL at the end */
    size_t next;  /* in names */
    uint64_t repeat, rounds;
    int fd;               /* owned unless it is standard input; -1: none is open */
    uint64_t bytes;       /* counted by whoever reads */
    uint64_t round_began; /* at so many of them */
    bool is_ended;
    bool has_failed; /* some file could not be opened */
};

void input_init(struct input *input, char **names, uint64_t repeat);
void input_deinit(struct input *input);

/* The open file's descriptor, borrowed; opens the next one if none is. Files that cannot be opened are reported and
 * passed over. -1: there are no more. */
int input_fd(struct input *input);

const char *input_name(const struct input *input); /* of the open file */

/* This one is read; go on with the next. */
void input_next(struct input *input);

#endif
