/* SPDX-License-Identifier: MIT */
/*
 * The regular files below a path: depth first, sorted by name (bytes) within each directory, so that equal trees give
 * equal orders everywhere. The walk does not follow the symbolic links that it meets, and passes over entries that are
 * neither file nor directory. While it visits, it holds the names of the directories above, and no descriptors.
 */
#ifndef COMMON_WALK_H
#define COMMON_WALK_H

#include <stdbool.h>

/* `path` is borrowed for the call. `error`: 0, or the negative errno value of a directory that cannot be read.
 * Returning false ends the walk. */
typedef bool walk_visit(const char *path, int error, void *user);

/* Returns false if a visit ended the walk. A `path` that is no directory is visited itself. */
bool walk(const char *path, walk_visit *visit, void *user);

#endif
