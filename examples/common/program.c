/* SPDX-License-Identifier: MIT */
/*
 * Shared behaviour of the example programs; see program.h. The program's name is the only state, set once at the start.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

static const char *program_name = "";

/* Opens each closed standard descriptor in the wrong direction, so that using it returns an error. */
static void take_standard_fds(void) {
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(PROGRAM_TROUBLE);
    }
}

void program_start(const char *name) {
    program_name = name;
    take_standard_fds();
    signal(SIGPIPE, SIG_IGN);
}

static void say(const char *head, const char *format, va_list args) {
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return;
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    progress_hide();
    fprintf(stderr, "%s%s%s\n", head, *head != '\0' ? ": " : "", text);
    free(text);
}

void program_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(program_name, format, args);
    va_end(args);
}

void program_sum_up(const char *label, const char *format, ...) {
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    progress_hide();
    fprintf(stderr, "%-16s %s\n", label, line);
}

static _Noreturn void end_after_bad_usage(void) {
    fprintf(stderr, "Try '%s --help'.\n", program_name);
    exit(PROGRAM_TROUBLE);
}

_Noreturn void program_bad_usage(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(program_name, format, args);
    va_end(args);
    end_after_bad_usage();
}

_Noreturn void program_other_option(int option, const char *help) {
    unsigned v = sea_version();
    if (option == 'h')
        fputs(help, stdout);
    else if (option == 'V')
        printf("%s (Sealane) %u.%u.%u\n", program_name, v / 10000, v / 100 % 100, v % 100);
    else
        end_after_bad_usage();
    exit(program_flush() < 0 ? PROGRAM_TROUBLE : PROGRAM_OK);
}

/* Accepts digits only: strtoull() alone would accept signs and blanks. */
static bool parse_digits(const char *text, uint64_t *ret_value, const char **ret_end) {
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    *ret_end = end;
    return errno == 0;
}

static unsigned suffix_shift(char suffix) {
    switch (suffix) {
    case 'k':
    case 'K':
        return 10;
    case 'm':
    case 'M':
        return 20;
    case 'g':
    case 'G':
        return 30;
    case 't':
    case 'T':
        return 40;
    default:
        return 0;
    }
}

uint64_t program_number(const char *option, const char *text, uint64_t min, uint64_t max) {
    uint64_t value;
    const char *end;
    if (!parse_digits(text, &value, &end) || *end != '\0')
        program_bad_usage("%s: not a number: '%s'", option, text);
    if (value < min || value > max)
        program_bad_usage("%s: %s is not from %llu to %llu", option, text, (unsigned long long) min,
                          (unsigned long long) max);
    return value;
}

uint64_t program_size(const char *option, const char *text, uint64_t min, uint64_t max) {
    uint64_t value;
    const char *end;
    if (!parse_digits(text, &value, &end))
        program_bad_usage("%s: not a size: '%s'", option, text);
    unsigned shift = suffix_shift(*end);
    if (*end != '\0' && (shift == 0 || end[1] != '\0'))
        program_bad_usage("%s: not a size: '%s' (the suffixes are k, M, G and T)", option, text);
    if (value > UINT64_MAX >> shift || value << shift < min || value << shift > max)
        program_bad_usage("%s: %s is not from %llu to %llu bytes", option, text, (unsigned long long) min,
                          (unsigned long long) max);
    return value << shift;
}

double program_decimal(const char *option, const char *text, double max) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= max))
        program_bad_usage("%s: not a number from 0 to %g: '%s'", option, max, text);
    return value;
}

int program_flush(void) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    int error = errno != 0 ? errno : EIO;
    program_say("write error: %s", strerror(error));
    return -error;
}

const char *program_reason(sea_ctx *ctx, int error, char *buf, size_t size) {
    sea_explain(ctx, NULL, error, buf, size);
    return buf;
}

double program_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}
