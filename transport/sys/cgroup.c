/* SPDX-License-Identifier: MIT */
/*
 * Memory cgroups. At their limits the kernel refuses nothing: it kills, or stalls for seconds (memory.high). So the
 * library reads the limits itself.
 *
 * /proc/self/cgroup names our group as its namespace sees it. Directories of that path may be missing, for example in a
 * container that shows its own group as the root. Then this file reads the directories that exist, up to the mount
 * itself; the rest cannot be seen.
 *
 * Without /proc it reads the mount itself: in a container this is our own group. Where the mount is the root of the
 * whole hierarchy, our group may be any group below it, and its limits stay unknown.
 *
 * Nothing is decided here, and a number that cannot be read is no limit.
 */
#include "sys/cgroup.h"

#include "sys/file.h"
#include "util/arith.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line for each hierarchy of version 1, a dozen of them; each with a path. */
#define SELF_SIZE 8192
/* memory.stat, as far as the lists of file pages. */
#define STAT_SIZE 4096

/* A step of reservation, and the kernel's own pages for it, must not use up the reserve. */
#define KEPT_MIN ((uint64_t) 2 << 20)

struct cgroup_version {
    const char *limits[2], *usage; /* files */
    const char *inactive, *active; /* fields of memory.stat: file pages, of the group and all below it */
};

static const struct cgroup_version version_1 = {
    {"memory.limit_in_bytes"}, "memory.usage_in_bytes", "\ntotal_inactive_file ", "\ntotal_active_file "};
static const struct cgroup_version version_2 = {
    {"memory.max", "memory.high"}, "memory.current", "\ninactive_file ", "\nactive_file "};

/* A directory of the hierarchy: path[0, mount_length) is the mount, the rest the group. */
struct cgroup_dir {
    const struct cgroup_version *version;
    size_t mount_length;
    char path[PATH_MAX];
};

/* "max", and in version 1 a number that no machine reaches: no limit. */
static uint64_t read_amount(const struct cgroup_dir *dir, const char *file) {
    char text[32], *end;
    if (file_read_text_in(dir->path, file, text, sizeof text) < 0)
        return UINT64_MAX;
    unsigned long long value = strtoull(text, &end, 10);
    return end == text || value > INT64_MAX / 2 ? UINT64_MAX : value;
}

static uint64_t field_of(const char *text, const char *field) {
    const char *found = strstr(text, field);
    return found != NULL ? strtoull(found + strlen(field), NULL, 10) : 0;
}

/* The kernel can drop a part of the active file pages, as many as it finds time for: half of them count. */
static uint64_t read_droppable(const struct cgroup_dir *dir) {
    char text[STAT_SIZE];
    if (file_read_text_in(dir->path, "memory.stat", text, sizeof text) < 0)
        return 0;
    return field_of(text, dir->version->inactive) + field_of(text, dir->version->active) / 2;
}

static uint64_t dir_left(const struct cgroup_dir *dir, uint64_t limit, uint64_t enough) {
    uint64_t used = read_amount(dir, dir->version->usage);
    if (used == UINT64_MAX)
        return UINT64_MAX;
    if (used < limit && limit - used >= enough)
        return limit - used;
    uint64_t droppable = read_droppable(dir);
    used -= droppable < used ? droppable : used;
    return used < limit ? limit - used : 0;
}

static void name_group(const struct cgroup_dir *dir, char *ret_name, size_t size) {
    const char *group = dir->path + dir->mount_length;
    size_t length = strlen(group);
    if (length < size)
        snprintf(ret_name, size, "%s", length > 0 ? group : "/");
    else
        snprintf(ret_name, size, "...%s", group + length - (size - 4));
}

static uint64_t kept_of(uint64_t limit) {
    uint64_t share = min_u64(limit / 32, CGROUP_KEPT_MAX);
    return share > KEPT_MIN ? share : KEPT_MIN;
}

/* The reserve does not count as left. If both groups have equally much beyond it, the group with less left is
 * tighter. */
static bool is_tighter(uint64_t left, uint64_t kept, const struct cgroup_room *than) {
    uint64_t a = subtract_to_zero(left, kept), b = subtract_to_zero(than->left, than->kept);
    return a < b || (a == b && left < than->left);
}

static void look_at(const struct cgroup_dir *dir, uint64_t enough, struct cgroup_room *room) {
    for (size_t i = 0; i < 2 && dir->version->limits[i] != NULL; i++) {
        uint64_t limit = read_amount(dir, dir->version->limits[i]);
        uint64_t left = limit != UINT64_MAX ? dir_left(dir, limit, enough) : UINT64_MAX;
        uint64_t kept = kept_of(limit);
        if (left == UINT64_MAX || !is_tighter(left, kept, room))
            continue;
        room->limit = limit;
        room->left = left;
        room->kept = kept;
        room->knob = dir->version->limits[i];
        name_group(dir, room->group, sizeof room->group);
    }
}

/* Is `word` one of the words between commas in [begin, end)? */
static bool has_word(const char *begin, const char *end, const char *word) {
    size_t length = strlen(word);
    for (const char *at = begin; at < end;) {
        const char *comma = memchr(at, ',', (size_t) (end - at));
        const char *stop = comma != NULL ? comma : end;
        if ((size_t) (stop - at) == length && memcmp(at, word, length) == 0)
            return true;
        at = stop + 1;
    }
    return false;
}

/*
 * "4:cpu,memory:/a/b" is of version 1, "0::/a/b" of version 2, which comes last. Memory is limited in one of them;
 * where version 1 has it, the other one is mounted aside, if at all, and has none. False: neither.
 */
static bool find_group(const char *self, struct cgroup_dir *dir, const char **ret_group) {
    for (const char *line = self; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL) {
        const char *words = strchr(line, ':'), *group = words != NULL ? strchr(words + 1, ':') : NULL;
        bool is_unified = strncmp(line, "0::", 3) == 0;
        if (group == NULL || (!is_unified && !has_word(words + 1, group, "memory")))
            continue;
        dir->version = is_unified ? &version_2 : &version_1;
        *ret_group = group + 1;
        return true;
    }
    return false;
}

/* Where version 1 has the mount for itself, version 2 is beside its hierarchies. */
static const char *hierarchy_of(const struct cgroup_version *version, const char *mount) {
    char text[2];
    if (version == &version_1)
        return "/memory";
    return file_read_text_in(mount, "cgroup.controllers", text, sizeof text) == 0 ? "" : "/unified";
}

/* The mount, and behind it the group's path; a group outside of our namespace ("/../x") is taken for the mount. */
static bool open_dir(struct cgroup_dir *dir, const char *mount, const char *group) {
    const char *hierarchy = hierarchy_of(dir->version, mount);
    int length = (int) strcspn(group, "\n");
    if (length == 1 || memmem(group, (size_t) length, "/..", 3) != NULL)
        length = 0;
    int n = snprintf(dir->path, sizeof dir->path, "%s%s%.*s", mount, hierarchy, length, group);
    dir->mount_length = strlen(mount) + strlen(hierarchy);
    return n > 0 && (size_t) n < sizeof dir->path;
}

static bool has_file(const char *dir, const char *name) {
    char text[2];
    return file_read_text_in(dir, name, text, sizeof text) == 0;
}

/* The root of the whole hierarchy: it has no limit in version 2; in version 1 it alone has a release agent. */
static bool is_root(const struct cgroup_dir *dir) {
    return !has_file(dir->path, dir->version->limits[0]) || has_file(dir->path, "release_agent");
}

static void cgroup_read_mount(const char *mount, uint64_t enough, struct cgroup_room *room) {
    struct cgroup_dir dir;
    dir.version = has_file(mount, "cgroup.controllers") ? &version_2 : &version_1;
    room->is_unseen = !open_dir(&dir, mount, "/") || is_root(&dir);
    if (!room->is_unseen)
        look_at(&dir, enough, room);
}

/* Is /proc there, but no file that a kernel with cgroups has? */
static bool has_no_groups(const char *proc, int error) {
    return error == -ENOENT && has_file(proc, "self/stat");
}

void cgroup_read(const char *proc, const char *mount, uint64_t enough, struct cgroup_room *ret_room) {
    struct cgroup_dir dir;
    const char *group = NULL;
    char self[SELF_SIZE];
    *ret_room = (struct cgroup_room){.limit = UINT64_MAX, .left = UINT64_MAX, .knob = ""};
    int r = file_read_text_in(proc, "self/cgroup", self, sizeof self);
    if (r < 0 && !has_no_groups(proc, r))
        cgroup_read_mount(mount, enough, ret_room);
    if (r < 0 || !find_group(self, &dir, &group) || !open_dir(&dir, mount, group))
        return;
    look_at(&dir, enough, ret_room);
    while (strlen(dir.path) > dir.mount_length) {
        *strrchr(dir.path, '/') = '\0';
        look_at(&dir, enough, ret_room);
    }
}
