/* SPDX-License-Identifier: MIT */
/*
 * The sizes of the caches, from /sys.
 *
 * Not from sysconf(_SC_LEVEL3_CACHE_SIZE): inside a virtual machine glibc 2.36 computed 320 MiB from the CPU's answer
 * where the kernel, and the host, knew of 32. It is asked only for the second level, where /sys is missing.
 *
 * A machine with cores that differ is judged by its first. They are hints for speed: nothing may depend on them.
 */
#include "sys/caches.h"

#include "sys/file.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHES_DIR "/sys/devices/system/cpu/cpu0/cache"
/* The first level has two, for data and instructions; four levels are rare. */
#define INDEX_MAX 8

#define L2_GUESS ((size_t) 1 << 20)
#define L3_GUESS ((size_t) 8 << 20)

static bool read_field(const char *dir, int index, const char *field, char *ret_text, size_t size) {
    char path[256];
    int n = snprintf(path, sizeof path, "%s/index%d/%s", dir, index, field);
    return n > 0 && (size_t) n < sizeof path && file_read_text(path, ret_text, size) == 0;
}

/* "32768K" */
static size_t parse_size(const char *text) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    return value <= SIZE_MAX >> shift ? (size_t) value << shift : 0;
}

struct caches caches_read(const char *dir) {
    struct caches caches = {0};
    char level[16], type[32], size[32];
    for (int i = 0; i < INDEX_MAX; i++) {
        if (!read_field(dir, i, "level", level, sizeof level) || !read_field(dir, i, "type", type, sizeof type) ||
            !read_field(dir, i, "size", size, sizeof size))
            break;
        if (strncmp(type, "Instruction", 11) == 0)
            continue;
        if (level[0] == '2')
            caches.l2 = parse_size(size);
        else if (level[0] == '3')
            caches.l3 = parse_size(size);
    }
    return caches;
}

static struct caches caches_find(void) {
    struct caches caches = caches_read(CACHES_DIR);
    if (caches.l2 > 0)
        return caches;
    long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return (struct caches){.l2 = l2 > 0 ? (size_t) l2 : L2_GUESS, .l3 = L3_GUESS};
}

struct caches caches_here(void) {
    /* Threads that ask at the same time all get equal answers; l2 of 0 is "not yet". */
    static _Atomic size_t known_l2, known_l3;
    /* Acquire [CCH1] pairs with the release below: with l2 comes its l3. Weaker: an l3 of 0 for a moment. */
    struct caches caches = {.l2 = atomic_load_explicit(&known_l2, memory_order_acquire)};
    if (caches.l2 > 0) {
        caches.l3 = atomic_load_explicit(&known_l3, memory_order_relaxed);
        return caches;
    }
    caches = caches_find();
    atomic_store_explicit(&known_l3, caches.l3, memory_order_relaxed);
    atomic_store_explicit(&known_l2, caches.l2, memory_order_release); /* [CCH1], partner above */
    return caches;
}
