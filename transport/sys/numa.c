/* SPDX-License-Identifier: MIT */
/*
 * NUMA nodes: which there are, from /sys, and mbind(), which glibc leaves to a library that we do without.
 */
#include "sys/numa.h"

#include "sys/file.h"
#include "sys/inject.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <linux/mempolicy.h> */
#define PREFERRED 1
#define PREFERRED_MANY 5 /* Linux 5.15; before, only the first of the nodes is preferred */

static uint64_t bits_from_to(unsigned long first, unsigned long last) {
    uint64_t bits = 0;
    for (unsigned long i = first; i <= last && i < 64; i++)
        bits |= UINT64_C(1) << i;
    return bits;
}

/* "0-1,4" */
static uint64_t parse_list(const char *text) {
    uint64_t bits = 0;
    while (*text >= '0' && *text <= '9') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        bits |= bits_from_to(first, last);
        text = *end == ',' ? end + 1 : end;
    }
    return bits;
}

uint64_t numa_nodes(const char *dir) {
    char text[512];
    uint64_t nodes = 0;
    if (file_read_text_in(dir, "has_memory", text, sizeof text) == 0)
        nodes = parse_list(text);
    return nodes != 0 ? nodes : 1;
}

static long bind_to(void *data, size_t size, int policy, const uint64_t *nodes) {
    /* The kernel uses one bit less than the number that it gets. */
    return INJECT(MBIND, syscall(SYS_mbind, data, size, policy, nodes, 65ul, 0u));
}

int numa_prefer(void *data, size_t size, uint64_t nodes) {
    uint64_t existing = numa_nodes(NUMA_DIR);
    if ((nodes & ~existing) != 0)
        return -ENODEV;
    if (bind_to(data, size, PREFERRED_MANY, &nodes) == 0)
        return 0;
    if (errno == EINVAL && bind_to(data, size, PREFERRED, &nodes) == 0)
        return 0;
    return nodes == existing ? 0 : -EACCES; /* all there are: then it does not matter */
}
