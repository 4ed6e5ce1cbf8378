/* SPDX-License-Identifier: MIT */
/*
 * The owner of a socket's path. The lock beside the path tells; where the lock is lost or held by heirs, the server
 * that answers there is the owner.
 *
 * Owns: nothing between calls; the lock is the caller's. Touches: removes stale files at the path, and connects to a
 * server that may live there. Threads: any; claim_path() may block, as it says.
 */
#ifndef LANE_PATH_CLAIM_H
#define LANE_PATH_CLAIM_H

#include "sys/path.h"

/*
 * Claims the path for us: returns the lock beside it, in *ret_lock (owned by the caller). A socket file that no server
 * serves is removed, so that the path can be bound. On failure *ret_why is a static text. Errors: -EADDRINUSE;
 * -ENOTSOCK (something that is not a socket has that path); what making the lock gives. Blocks for at most half a
 * second, and only where the process that listened there has ended and left its descriptors to another one.
 */
int claim_path(const char *path, int *ret_lock, const char **ret_why);

/* The lock's own path: "<path>.lock". */
#define CLAIM_LOCK_SIZE 120
const char *claim_lock_path(const char *path, char buf[CLAIM_LOCK_SIZE]);

#endif
