/* SPDX-License-Identifier: MIT */
/*
 * The progress line; see progress.h. It is erased with the terminal's own "erase to the end of the line", so this room
 * needs no widths.
 */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "program.h"

#define INTERVAL 0.1 /* seconds; people cannot read faster updates */

static struct {
    bool is_on, is_shown;
    uint64_t total;
    double start, newest;
} line;

void progress_begin(uint64_t total_bytes) {
    line.is_on = isatty(STDERR_FILENO);
    line.total = total_bytes;
    line.start = program_now();
}

bool progress_is_on(void) {
    return line.is_on;
}

void progress_show(uint64_t files, uint64_t bytes) {
    if (!line.is_on)
        return;
    double now = program_now();
    if (now - line.newest < INTERVAL)
        return;
    line.newest = now;
    double rate = now > line.start ? (double) bytes / (now - line.start) : 0;
    fprintf(stderr, "\r\033[K%llu files, %.1f MiB, %.0f MB/s", (unsigned long long) files, (double) bytes / 1048576,
            rate / 1e6);
    if (line.total > bytes && rate > 0)
        fprintf(stderr, ", %.0f s left", (double) (line.total - bytes) / rate);
    line.is_shown = true;
}

void progress_hide(void) {
    if (line.is_shown)
        fputs("\r\033[K", stderr);
    line.is_shown = false;
}
