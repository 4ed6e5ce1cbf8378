/* SPDX-License-Identifier: MIT */
/* User namespaces for children of tests: a new namespace maps no user, so that all users look alike. */
#ifndef TESTS_SUPPORT_USERNS_H
#define TESTS_SUPPORT_USERNS_H

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Enters a new user namespace. Call it only in a process with one thread. Returns false if the system, or a second
 * thread (the thread sanitizer's, for example), forbids it. */
static inline bool userns_enter(void) {
    return unshare(CLONE_NEWUSER) == 0;
}

/* Writes "uid_map", "gid_map" or "setgroups" of a process. */
static inline bool userns_write(pid_t pid, const char *file, const char *text) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text);
    if (fd >= 0)
        close(fd);
    return is_written;
}

/* Returns whether our user namespace maps every id to itself. */
static inline bool userns_is_identity(void) {
    char text[64] = "";
    unsigned inside = 1, outside = 1, count = 0;
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 &&
           count == 4294967295u;
}

#endif
