/* SPDX-License-Identifier: MIT */
/*
 * What the machine and our user allow: asked anew each time, because all of it changes while we run.
 *
 * Nothing is decided here. What cannot be read counts as unlimited: the reservation itself is what says no.
 *
 * Threads: any.
 */
#include "sys/limits.h"

#include "sys/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

/* MemAvailable is the third line of /proc/meminfo, and has been since it exists (3.14). */
#define MEMINFO_PREFIX_SIZE 512

static uint64_t soft_limit(int r, const struct rlimit *limit) {
    return r < 0 || limit->rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t) limit->rlim_cur;
}

uint64_t limits_nofile(void) {
    struct rlimit limit;
    return soft_limit(getrlimit(RLIMIT_NOFILE, &limit), &limit);
}

uint64_t limits_fsize(void) {
    struct rlimit limit;
    return soft_limit(getrlimit(RLIMIT_FSIZE, &limit), &limit);
}

uint64_t limits_memory_available(void) {
    static const char field[] = "\nMemAvailable:";
    char text[MEMINFO_PREFIX_SIZE];
    if (file_read_text("/proc/meminfo", text, sizeof text) < 0)
        return UINT64_MAX;

    const char *found = strstr(text, field);
    if (found == NULL)
        return UINT64_MAX;
    char *end;
    unsigned long long kilobytes = strtoull(found + sizeof field - 1, &end, 10);
    if (*end != ' ' || kilobytes > UINT64_MAX / 1024)
        return UINT64_MAX;
    return kilobytes * 1024;
}

/* What is free includes what the kernel keeps for itself, some hundredths of all: of an eighth of all a quarter is beyond doubt. */
bool limits_memory_is_plenty(uint64_t size) {
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return false;
    uint64_t unit = info.mem_unit;
    return info.freeram >= info.totalram / 8 && size <= info.freeram * unit / 4;
}
