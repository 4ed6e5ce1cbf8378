/* SPDX-License-Identifier: MIT */
/* Memory of a process: lines of its files in /proc. */
#include "resident.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t resident_line(const char *path, const char *name) {
    char line[256];
    size_t length = strlen(name);
    uint64_t kib = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            kib = strtoull(line + length + 1, NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

struct resident resident_of(pid_t pid) {
    char status[64], rollup[64];
    snprintf(status, sizeof(status), "/proc/%d/status", (int) pid);
    snprintf(rollup, sizeof(rollup), "/proc/%d/smaps_rollup", (int) pid);
    return (struct resident){.anon = resident_line(status, "RssAnon"),
                             .shmem = resident_line(rollup, "Pss_Shmem"),
                             .tables = resident_line(status, "VmPTE")};
}
