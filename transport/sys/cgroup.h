/* SPDX-License-Identifier: MIT */
/*
 * The memory that our memory cgroups have left: version 2 and version 1, every ancestor.
 *
 * Owns: nothing, and keeps nothing. Touches: reads files of /proc and of the cgroups. Threads: any.
 */
#ifndef SYS_CGROUP_H
#define SYS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/* The largest reserve that is kept free in a group, bytes. */
#define CGROUP_KEPT_MAX ((uint64_t) 64 << 20)

/* The group with the least memory left beyond its reserve. Bytes. */
struct cgroup_room {
    uint64_t limit, left; /* UINT64_MAX: no group has a limit, or none can be seen */
    uint64_t kept;        /* the reserve: the part of `left` that is kept free */
    const char *knob;     /* static: the file that holds the limit, "memory.max"; "": no limit */
    char group[80];       /* the name of the group in its hierarchy; the end of it, if it is long */
    bool is_unseen;       /* without /proc our group is unknown: it may have a limit */
};

/*
 * Reads the groups anew each time. For a group with less than `enough` left, the file pages that the kernel would drop
 * for us count as left too; reading their number costs more. `proc` is "/proc", `mount` "/sys/fs/cgroup".
 */
void cgroup_read(const char *proc, const char *mount, uint64_t enough, struct cgroup_room *ret_room);

#endif
