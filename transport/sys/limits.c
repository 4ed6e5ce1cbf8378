/* SPDX-License-Identifier: MIT */
/*
 * Limits of the machine and of our process: read anew each time, because all of them change while we run.
 *
 * Nothing is decided here. A limit that cannot be read counts as none, except the number of mappings, which every
 * kernel limits: the reservation itself finds the limit.
 */
#include "sys/limits.h"

#include "sys/file.h"
#include "sys/heap.h"
#include "sys/inject.h"
#include "util/arith.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The kernel's, unless an administrator chose another. */
#define MAPS_DEFAULT 65530

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

/* The number behind `field` of a file; UINT64_MAX: there is none. */
static uint64_t read_number(const char *path, const char *field) {
    char text[4096], *end;
    if (file_read_text(path, text, sizeof text) < 0)
        return UINT64_MAX;
    const char *found = strstr(text, field);
    if (found == NULL)
        return UINT64_MAX;
    unsigned long long value = strtoull(found + strlen(field), &end, 10);
    return end == found + strlen(field) ? UINT64_MAX : value;
}

uint64_t limits_maps(void) {
    uint64_t most = read_number("/proc/sys/vm/max_map_count", "");
    return most != UINT64_MAX ? most : MAPS_DEFAULT;
}

uint64_t limits_locked_left(void) {
    struct rlimit limit;
    uint64_t most = soft_limit(getrlimit(RLIMIT_MEMLOCK, &limit), &limit);
    uint64_t kilobytes = most != UINT64_MAX ? read_number("/proc/self/status", "\nVmLck:") : UINT64_MAX;
    return kilobytes != UINT64_MAX ? subtract_to_zero(most, kilobytes * 1024) : UINT64_MAX;
}

uint64_t limits_address_left(void) {
    struct rlimit limit;
    uint64_t most = soft_limit(getrlimit(RLIMIT_AS, &limit), &limit);
    uint64_t pages = most != UINT64_MAX ? read_number("/proc/self/statm", "") : UINT64_MAX;
    return pages != UINT64_MAX ? subtract_to_zero(most, pages * (uint64_t) sysconf(_SC_PAGESIZE)) : UINT64_MAX;
}

/* A line each. */
static uint64_t count_maps(void) {
    char text[4096];
    uint64_t count = 0;
    CLEANUP_FD int fd = INJECT(OPEN, open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
    int64_t n = fd < 0 ? -1 : file_read(fd, -1, text, sizeof text);
    for (; n > 0; n = file_read(fd, -1, text, sizeof text))
        for (int64_t i = 0; i < n; i++)
            count += text[i] == '\n';
    return n < 0 ? UINT64_MAX : count;
}

uint64_t limits_maps_left(void) {
    uint64_t most = limits_maps(), count = count_maps();
    return count != UINT64_MAX ? subtract_to_zero(most, count) : UINT64_MAX;
}
