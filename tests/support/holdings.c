/* SPDX-License-Identifier: MIT */
/*
 * The inventory of a process, as two lists of lines in order of appearance. A descriptor is identified by its number
 * and the target of its link in /proc/self/fd, a mapping by its line in /proc/self/maps. A memfd's name may hold any
 * bytes; they are made printable as they are read.
 *
 * The lists own all their lines. One thread at a time.
 */
#include "support/holdings.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#define LINE_MAX_BYTES 512

struct lines {
    char **items;
    size_t count;
};

struct holdings {
    struct lines fds, mappings;
    bool has_children;
};

static void *must(void *p) {
    if (!p) {
        fputs("test harness: out of memory\n", stderr);
        abort();
    }
    return p;
}

static void lines_add(struct lines *lines, const char *text) {
    if ((lines->count & (lines->count - 1)) == 0)
        lines->items = must(realloc(lines->items, sizeof *lines->items * (lines->count ? 2 * lines->count : 1)));
    char *line = must(strdup(text));
    for (char *c = line; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    lines->items[lines->count++] = line;
}

static void lines_deinit(struct lines *lines) {
    for (size_t i = 0; i < lines->count; i++)
        free(lines->items[i]);
    free(lines->items);
}

static bool lines_have(const struct lines *lines, const char *line) {
    for (size_t i = 0; i < lines->count; i++)
        if (!strcmp(lines->items[i], line))
            return true;
    return false;
}

static void fds_take(struct lines *fds) {
    DIR *dir = must(opendir("/proc/self/fd"));
    for (struct dirent *entry; (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        char target[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 32];
        if (entry->d_name[0] == '.' || fd == dirfd(dir))
            continue;
        ssize_t size = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        if (size < 0)
            continue; /* another thread has closed it meanwhile */
        target[size] = 0;
        snprintf(line, sizeof line, "fd %d (%s)", fd, target);
        lines_add(fds, line);
    }
    closedir(dir);
}

static void mappings_take(struct lines *mappings) {
    FILE *file = must(fopen("/proc/self/maps", "re"));
    char line[LINE_MAX_BYTES], text[LINE_MAX_BYTES + 32];
    while (fgets(line, sizeof line, file)) {
        if (!strstr(line, "memfd:"))
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(text, sizeof text, "mapping %s", line);
        lines_add(mappings, text);
    }
    fclose(file);
}

struct holdings *holdings_new(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        close(pair[0]);
        close(pair[1]);
    }
    struct holdings *holdings = must(calloc(1, sizeof *holdings));
    fds_take(&holdings->fds);
    mappings_take(&holdings->mappings);
    siginfo_t info;
    holdings->has_children = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    return holdings;
}

struct holdings *holdings_free(struct holdings *holdings) {
    if (!holdings)
        return NULL;
    lines_deinit(&holdings->fds);
    lines_deinit(&holdings->mappings);
    free(holdings);
    return NULL;
}

static void append(char *text, size_t size, const char *what, const char *line) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s%s", used ? "; " : "", what, line);
}

/* Appends the name of each line of `here` that `there` lacks. */
static void append_missing(const struct lines *here, const struct lines *there, const char *what, char *text,
                           size_t size) {
    for (size_t i = 0; i < here->count; i++)
        if (!lines_have(there, here->items[i]))
            append(text, size, what, here->items[i]);
}

bool holdings_differ(const struct holdings *before, const struct holdings *after, char *text, size_t size) {
    text[0] = 0;
    append_missing(&after->fds, &before->fds, "left over: ", text, size);
    append_missing(&before->fds, &after->fds, "lost: ", text, size);
    append_missing(&after->mappings, &before->mappings, "left over: ", text, size);
    append_missing(&before->mappings, &after->mappings, "lost: ", text, size);
    if (after->has_children && !before->has_children)
        append(text, size, "left over: ", "a child process that nobody waited for");
    return text[0] != 0;
}

size_t holdings_fds(const struct holdings *holdings) {
    return holdings->fds.count;
}

size_t holdings_mappings(const struct holdings *holdings) {
    return holdings->mappings.count;
}
