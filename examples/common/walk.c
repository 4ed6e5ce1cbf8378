/* SPDX-License-Identifier: MIT */
/* Directory trees in a fixed order; see walk.h. One scandir() for each directory; stat() only where scandir() does
 * not report types. */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int is_not_dots(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Finds the type of an entry for which readdir() returned none. */
static int type_of(const char *path, const struct dirent *entry) {
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (lstat(path, &st) < 0)
        return DT_REG; /* the error appears when the visitor opens it */
    return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_LNK;
}

static bool walk_directory(const char *path, walk_visit *visit, void *user);

static bool walk_entry(const char *directory, const struct dirent *entry, walk_visit *visit, void *user) {
    char *path;
    bool goes_on = true;
    size_t size = strlen(directory);
    const char *slash = size > 0 && directory[size - 1] == '/' ? "" : "/";
    if (asprintf(&path, "%s%s%s", directory, slash, entry->d_name) < 0)
        return visit(directory, -ENOMEM, user);
    int type = type_of(path, entry);
    if (type == DT_DIR)
        goes_on = walk_directory(path, visit, user);
    else if (type == DT_REG)
        goes_on = visit(path, 0, user);
    free(path);
    return goes_on;
}

static bool walk_directory(const char *path, walk_visit *visit, void *user) {
    struct dirent **entries;
    bool goes_on = true;
    int count = scandir(path, &entries, is_not_dots, by_name);
    if (count < 0)
        return visit(path, -errno, user);
    for (int i = 0; i < count; i++) {
        if (goes_on)
            goes_on = walk_entry(path, entries[i], visit, user);
        free(entries[i]);
    }
    free(entries);
    return goes_on;
}

bool walk(const char *path, walk_visit *visit, void *user) {
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return walk_directory(path, visit, user);
    return visit(path, 0, user);
}
