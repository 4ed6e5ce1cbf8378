/* SPDX-License-Identifier: MIT */
/*
 * The maps of our user namespace. See idmap.h.
 *
 * Nothing is kept between two questions: a process may enter another namespace, and an administrator may choose another
 * overflow id.
 *
 * Facts relied on (tests/contract/test_send.c): SO_PEERCRED shows an id that the reader's namespace does not map as the
 * overflow id; the map of a namespace is the full identity only if the map of its parent is.
 */
#include "sys/idmap.h"

#include "sys/heap.h"
#include "sys/inject.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* The kernel takes no larger number for its overflow ids. */
#define OVERFLOW_MOST 65535
#define OVERFLOW_DEFAULT 65534

/* One line of three numbers, each ten places wide; more lines are no identity. */
#define MAP_SIZE 64

/* How many ids there are: (uint32_t) -1 is none. */
#define IDS_COUNT UINT32_MAX

/* The kernel returns the whole of this file in one read. */
static bool read_text(const char *path, char text[MAP_SIZE]) {
    CLEANUP_FD int fd = INJECT(OPEN, open(path, O_RDONLY | O_CLOEXEC));
    ssize_t length = fd < 0 ? -1 : INJECT(PREAD, read(fd, text, MAP_SIZE - 1));
    if (length >= 0)
        text[length] = '\0';
    return length >= 0;
}

static bool is_identity(const char *path) {
    char text[MAP_SIZE];
    uint32_t inside, outside, count;
    int end = 0;
    if (!read_text(path, text))
        return false;
    int fields = sscanf(text, "%" SCNu32 " %" SCNu32 " %" SCNu32 " %n", &inside, &outside, &count, &end);
    return fields == 3 && inside == 0 && outside == 0 && count == IDS_COUNT && text[end] == '\0';
}

static uint32_t read_overflow(const char *path) {
    char text[MAP_SIZE];
    uint32_t id;
    return read_text(path, text) && sscanf(text, "%" SCNu32, &id) == 1 ? id : OVERFLOW_DEFAULT;
}

static bool names_somebody(uint32_t id, const char *map, const char *overflow) {
    if (id > OVERFLOW_MOST)
        return id != UINT32_MAX;
    return is_identity(map) || id != read_overflow(overflow);
}

bool idmap_names_user(uint32_t uid) {
    return names_somebody(uid, "/proc/self/uid_map", "/proc/sys/kernel/overflowuid");
}

bool idmap_names_group(uint32_t gid) {
    return names_somebody(gid, "/proc/self/gid_map", "/proc/sys/kernel/overflowgid");
}
