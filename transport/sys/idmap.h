/* SPDX-License-Identifier: MIT */
/*
 * Which user and group ids identify one user or one group: a user namespace that does not map an id shows the overflow
 * id in its place.
 *
 * Two users that a namespace does not map look alike, and one of them may look like ourselves. So the overflow id
 * (65534, or the number in /proc/sys/kernel/overflowuid) identifies no user, unless the namespace maps every id to
 * itself.
 *
 * Owns: nothing, and keeps nothing. Touches: reads files of /proc. Threads: any.
 */
#ifndef SYS_IDMAP_H
#define SYS_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Does this id, as the kernel showed it to us, name one user, or one group? Reads up to two small files below /proc for
 * ids up to 65535; where they cannot be read, 65534 names none. (uint32_t) -1 never does.
 */
bool idmap_names_user(uint32_t uid);
bool idmap_names_group(uint32_t gid);

#endif
