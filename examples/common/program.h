/* SPDX-License-Identifier: MIT */
/*
 * Behaviour that all example programs share: the name in messages, numbers in options, --help and --version, checked
 * output. Of Sealane it uses only the version and the refusals. One thread.
 */
#ifndef COMMON_PROGRAM_H
#define COMMON_PROGRAM_H

#include <sealane/sealane.h>

/* Exit statuses, as in diff and grep. */
enum {
    PROGRAM_OK = 0,
    PROGRAM_SOME_FAILED = 1, /* something failed, the rest was done */
    PROGRAM_TROUBLE = 2,     /* the program could not go on, or was called wrongly */
    PROGRAM_INTERRUPTED = 130
};

/* Call this first. It makes sure that descriptors 0 to 2 are open, so that no socket can become standard output, and
 * it makes write() report broken pipes instead of a signal. `name` is borrowed for the life of the process. */
void program_start(const char *name);

/* Prints "NAME: text" as one line on standard error. Control characters appear as '?', because file names and peers'
 * texts must not control the user's terminal. */
void program_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints one line of a summary, "label   text", on standard error. */
void program_sum_up(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints an error about the arguments, and ends the program. */
_Noreturn void program_bad_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program for an option that it does not serve itself: 'h' prints `help`, 'V' the version. Any other option is
 * wrong, and getopt_long() has printed the error already. */
_Noreturn void program_other_option(int option, const char *help);

/* Returns the value of an option; ends the program if `text` is not a number from `min` to `max`. Sizes take the
 * suffixes k, M, G, T (powers of 1024). */
uint64_t program_number(const char *option, const char *text, uint64_t min, uint64_t max);
uint64_t program_size(const char *option, const char *text, uint64_t min, uint64_t max);
double program_decimal(const char *option, const char *text, double max);

/* Writes out the data that stdio holds. Returns 0, or a negative errno value, which the function has reported. */
int program_flush(void);

/* Explains an error of the library: the newest refusal in words if it belongs to `error`, else the errno text.
 * Writes to `buf` and returns `buf`. */
const char *program_reason(sea_ctx *ctx, int error, char *buf, size_t size);

/* Returns the seconds of CLOCK_MONOTONIC. */
double program_now(void);

#endif
