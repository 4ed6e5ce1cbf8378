/* SPDX-License-Identifier: MIT */
/*
 * A real memory cgroup, for one child process: of version 1 or 2, whichever limits memory on this machine. It has a
 * parent of its own, so that the limit can be set on either.
 *
 * group_remove() belongs behind child_end(), and before what asserts. What a test leaves that was killed has
 * "sealane-test" in its name.
 */
#ifndef TESTS_SUPPORT_GROUP_H
#define TESTS_SUPPORT_GROUP_H

#include <stdbool.h>
#include <stdint.h>

struct group {
    char parent[256], path[280]; /* directories */
    bool is_version_1;
};

/* False, and *ret_why: it cannot be made here. */
bool group_make(struct group *ret, const char **ret_why);

/* Bytes. Of the group or of its parent. */
bool group_limit(const struct group *group, bool is_parent, uint64_t bytes);

/* The calling process becomes a member. */
bool group_enter(const struct group *group);

/* How often somebody was killed for the limit's sake; UINT64_MAX: that cannot be read. */
uint64_t group_kills(const struct group *group);

void group_remove(const struct group *group);

#endif
