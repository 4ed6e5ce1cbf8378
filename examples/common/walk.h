/* SPDX-License-Identifier: MIT */
/*
 * The regular files below a path: depth first, sorted by name (bytes) within each directory, so that the same tree
 * gives the same order everywhere. Symbolic links that are met on the way are not followed, and what is neither
 * file nor directory is passed over. Holds the names of the directories on the way down, no descriptors while
 * visiting.
 */
#ifndef COMMON_WALK_H
#define COMMON_WALK_H

#include <stdbool.h>

/* `path` is borrowed for the call. `error`: 0, or the negative errno value of a directory that cannot be read.
 * False ends the walk. */
typedef bool walk_visit(const char *path, int error, void *user);

/* False if a visit ended it. A `path` that is no directory is visited as it is. */
bool walk(const char *path, walk_visit *visit, void *user);

#endif
