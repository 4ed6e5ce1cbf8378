/* SPDX-License-Identifier: MIT */
/*
 * /proc/meminfo and /proc/self/status. Nothing is decided here, and a number that cannot be read is no limit: the
 * reservation itself finds the limit.
 *
 * Processes without /proc, and processes from which systemd's ProcSubset=pid hides /proc/meminfo, ask sysinfo(2). Its
 * answer has no file pages.
 */
#include "sys/meminfo.h"

#include "sys/file.h"
#include "sys/inject.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

/* Some 1500 bytes; the fields that we read are in the first 1000. */
#define MEMINFO_SIZE 2048

/* Some 1500 bytes, and the list of our groups before the fields that we read. */
#define STATUS_SIZE 8192

/* "\nMemAvailable:   123 kB" */
static uint64_t field_of(const char *text, const char *field) {
    const char *found = strstr(text, field);
    if (found == NULL)
        return UINT64_MAX;
    char *end;
    unsigned long long kilobytes = strtoull(found + strlen(field), &end, 10);
    return *end == ' ' && kilobytes <= UINT64_MAX / 1024 ? kilobytes * 1024 : UINT64_MAX;
}

/* Every page of a memfd counts as promised. */
static uint64_t promised_left(const char *proc, const char *text) {
    char mode[8];
    if (file_read_text_in(proc, "sys/vm/overcommit_memory", mode, sizeof mode) < 0 || mode[0] != '2')
        return UINT64_MAX;
    uint64_t limit = field_of(text, "\nCommitLimit:"), promised = field_of(text, "\nCommitted_AS:");
    if (limit == UINT64_MAX || promised == UINT64_MAX)
        return UINT64_MAX;
    return promised < limit ? limit - promised : 0;
}

static uint64_t bytes_of(uint64_t units, uint64_t unit) {
    uint64_t bytes;
    return __builtin_mul_overflow(units, unit, &bytes) ? UINT64_MAX : bytes;
}

static void ask_kernel(struct meminfo *info) {
    struct sysinfo system;
    if (INJECT(SYSINFO, sysinfo(&system)) < 0)
        return;
    info->total = bytes_of(system.totalram, system.mem_unit);
    info->available = bytes_of((uint64_t) system.freeram + system.bufferram, system.mem_unit);
    info->is_rough = true;
}

void meminfo_read(const char *proc, struct meminfo *ret_info) {
    char text[MEMINFO_SIZE] = "\n"; /* so that the first line begins like the others */
    *ret_info = (struct meminfo){UINT64_MAX, UINT64_MAX, UINT64_MAX, false};
    if (file_read_text_in(proc, "meminfo", text + 1, sizeof text - 1) == 0) {
        ret_info->total = field_of(text, "\nMemTotal:");
        ret_info->available = field_of(text, "\nMemAvailable:");
        ret_info->promised = promised_left(proc, text);
    }
    if (ret_info->total == UINT64_MAX || ret_info->available == UINT64_MAX)
        ask_kernel(ret_info);
}

uint64_t meminfo_read_shared(const char *proc) {
    char text[STATUS_SIZE];
    return file_read_text_in(proc, "self/status", text, sizeof text) < 0 ? UINT64_MAX : field_of(text, "\nRssShmem:");
}
