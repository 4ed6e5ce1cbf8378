/* SPDX-License-Identifier: MIT */
/*
 * A temporary directory that stands for /proc, /sys/fs/cgroup and the like. Call tree_make() and tree_remove() in the
 * fixture. A directory that a failed test leaves under /tmp has "sealane-tree" in its name.
 */
#ifndef TESTS_UNIT_TREE_H
#define TESTS_UNIT_TREE_H

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree_path[64];

static inline void tree_make(void) {
    snprintf(tree_path, sizeof tree_path, "/tmp/sealane-tree-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(tree_path));
}

static inline int tree_remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void) status, (void) kind, (void) walk;
    return remove(path);
}

static inline void tree_remove(void) {
    nftw(tree_path, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file of the tree, and overwrites an existing one; makes its directories. */
static inline void tree_write(const char *name, const char *text) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", tree_path, name);
    ck_assert(n > 0 && (size_t) n < sizeof path);
    for (char *p = path + strlen(tree_path) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        mkdir(path, 0700);
    }
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

#endif
