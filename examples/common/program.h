/* SPDX-License-Identifier: MIT */
/*
 * What every example program does alike: its name in messages, numbers in options, --help and --version,
 * output that is checked. Does not know Sealane but for its version and its refusals. One thread.
 */
#ifndef COMMON_PROGRAM_H
#define COMMON_PROGRAM_H

#include <sealane/sealane.h>

/* Exit statuses, as diff and grep have them. */
enum {
    PROGRAM_OK = 0,
    PROGRAM_SOME_FAILED = 1, /* something failed, the rest was done */
    PROGRAM_TROUBLE = 2,     /* it could not go on, or was called wrongly */
    PROGRAM_INTERRUPTED = 130
};

/* Call first: makes sure that descriptors 0 to 2 are taken, so that no socket can become standard output, and has
 * broken pipes reported by write() instead of a signal. `name` is borrowed for good. */
void program_start(const char *name);

/* "NAME: text" as one line on standard error. Control characters are shown as '?': file names and peers' texts are
 * no way to drive the user's terminal. */
void program_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line of a summary, "label   text", on standard error. */
void program_sum_up(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Say what is wrong with the arguments, or give what was asked for, and end the program. */
_Noreturn void program_bad_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void program_bad_option(void); /* getopt has said it already */
_Noreturn void program_help(const char *text);
_Noreturn void program_version(void);

/* The value of an option; anything that is not a number from `min` to `max` ends the program. Sizes take the
 * suffixes k, M, G, T (powers of 1024). */
uint64_t program_number(const char *option, const char *text, uint64_t min, uint64_t max);
uint64_t program_size(const char *option, const char *text, uint64_t min, uint64_t max);
double program_decimal(const char *option, const char *text, double max);

/* Writes out what stdio holds. 0, or a negative errno value that has been reported. */
int program_flush(void);

/* Why the library said no: the newest refusal in words if it belongs to `error`, else the errno text. Writes to `buf`
 * and returns it. */
const char *program_reason(sea_ctx *ctx, int error, char *buf, size_t size);

/* Seconds of CLOCK_MONOTONIC. */
double program_now(void);

#endif
