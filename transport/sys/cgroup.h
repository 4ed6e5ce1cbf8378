/* SPDX-License-Identifier: MIT */
/* What the memory cgroups that we are in have left: version 2 and version 1, every ancestor. */
#ifndef SYS_CGROUP_H
#define SYS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/* The most that is kept free of any group, bytes. */
#define CGROUP_KEPT_MAX ((uint64_t) 64 << 20)

/* Of the group with the least left beyond what is to be kept free of it. Bytes. */
struct cgroup_room {
    uint64_t limit, left; /* UINT64_MAX: no group has a limit, or none can be seen */
    uint64_t kept;        /* of what is left */
    const char *knob;     /* static: the file that holds the limit, "memory.max"; "": no limit */
    char group[80];       /* the group as its hierarchy names it; the end of it, where that is long */
    bool is_unseen;       /* without /proc nothing tells which group is ours: it may have a limit */
};

/*
 * Asked anew each time. Of a group that has less than `enough` left, the file pages that the kernel would drop for us
 * count as left too; to ask for them costs more. `proc` is "/proc", `mount` "/sys/fs/cgroup".
 */
void cgroup_read(const char *proc, const char *mount, uint64_t enough, struct cgroup_room *ret_room);

#endif
