/* SPDX-License-Identifier: MIT */
/*
 * A real memory cgroup for one child process, of version 1 or 2: the version that limits memory on this machine. The
 * group has a parent of its own, so that a test can set the limit on either.
 *
 * Call group_remove() after child_end(), and before any assertion. A group that a killed test leaves has "sealane-test"
 * in its name.
 */
#ifndef TESTS_SUPPORT_GROUP_H
#define TESTS_SUPPORT_GROUP_H

#include <stdbool.h>
#include <stdint.h>

struct group {
    char parent[256], path[280]; /* directories */
    bool is_version_1;
};

/* Returns false and sets *ret_why if this machine does not allow it. */
bool group_make(struct group *ret, const char **ret_why);

/* Sets the limit, in bytes, of the group or of its parent. */
bool group_limit(const struct group *group, bool is_parent, uint64_t bytes);

/* Makes the calling process a member. */
bool group_enter(const struct group *group);

/* Returns how often the kernel killed a process because of the limit; UINT64_MAX if the file cannot be read. */
uint64_t group_kills(const struct group *group);

void group_remove(const struct group *group);

#endif
