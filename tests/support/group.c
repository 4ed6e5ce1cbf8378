/* SPDX-License-Identifier: MIT */
/* Real cgroups; see group.h. All functions write to files of the cgroup file system; none keeps a descriptor open. */
#include "support/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNT "/sys/fs/cgroup"

static bool put(const char *dir, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    if (!file)
        return false;
    bool is_put = fputs(text, file) >= 0;
    return fclose(file) == 0 && is_put;
}

/* Returns the number behind `field`; UINT64_MAX if there is none. */
static uint64_t get(const char *dir, const char *name, const char *field) {
    char path[512], line[128];
    uint64_t value = UINT64_MAX;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), " %" SCNu64, &value);
    if (file)
        fclose(file);
    return value;
}

/* Finds our own group of version 1, or the root of version 2 if the root hands the memory controller to its
 * children. (A group of version 2 that has members has no children with limits.) */
static bool find_home(bool is_version_1, char *home, size_t size) {
    char line[256];
    bool is_found = false;
    FILE *file = is_version_1 ? fopen("/proc/self/cgroup", "re") : NULL;
    snprintf(home, size, MOUNT);
    while (file && !is_found && fgets(line, sizeof line, file)) {
        char *group = strstr(line, ":memory:");
        line[strcspn(line, "\n")] = '\0';
        if (group)
            is_found = snprintf(home, size, MOUNT "/memory%s", group + 8) < (int) size;
    }
    if (file)
        fclose(file);
    return is_found || !is_version_1;
}

static bool make_under(struct group *group, const char *home) {
    snprintf(group->parent, sizeof group->parent, "%.200s/sealane-test-%d", home, (int) getpid());
    snprintf(group->path, sizeof group->path, "%s/member", group->parent);
    if (mkdir(group->parent, 0755) < 0)
        return false;
    if (!group->is_version_1)
        put(group->parent, "cgroup.subtree_control", "+memory");
    return mkdir(group->path, 0755) == 0 && group_limit(group, false, INT64_MAX / 4) &&
           group_limit(group, true, INT64_MAX / 4);
}

bool group_make(struct group *ret, const char **ret_why) {
    char home[200];
    ret->is_version_1 = access(MOUNT "/memory/memory.limit_in_bytes", F_OK) == 0;
    *ret_why = "the memory cgroups of this machine cannot be seen, or not changed";
    if (!find_home(ret->is_version_1, home, sizeof home))
        return false;
    if (make_under(ret, home))
        return true;
    group_remove(ret);
    return false;
}

bool group_limit(const struct group *group, bool is_parent, uint64_t bytes) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, bytes);
    return put(is_parent ? group->parent : group->path, group->is_version_1 ? "memory.limit_in_bytes" : "memory.max",
               text);
}

bool group_enter(const struct group *group) {
    return put(group->path, "cgroup.procs", "0");
}

uint64_t group_kills(const struct group *group) {
    return get(group->path, group->is_version_1 ? "memory.oom_control" : "memory.events", "oom_kill ");
}

void group_remove(const struct group *group) {
    rmdir(group->path);
    rmdir(group->parent);
}
