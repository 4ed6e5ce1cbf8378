/* SPDX-License-Identifier: MIT */
/*
 * Reservation. See reserve.h.
 *
 * Descriptors and mappings are borrowed, and nothing is kept. No budget is charged here.
 *
 * Facts relied on (tests/contract/): fallocate() reserves real pages (test_limits.c), as MADV_POPULATE_WRITE does
 * (test_map.c).
 *
 * Threads: any.
 */
#include "memory/reserve.h"

#include "sys/limits.h"
#include "sys/map.h"
#include <errno.h>

/* Reading /proc/meminfo takes some 10 us, which counts where it cannot be avoided: worth it from here on. Smaller blocks are
 * held by the budget. */
static const uint64_t LOOK_BEFORE_SIZE = 1u << 20;

int reserve_look(uint64_t size) {
    if (size < LOOK_BEFORE_SIZE || limits_memory_is_plenty(size))
        return 0;
    return size > limits_memory_available() ? -ENOMEM : 0;
}

int reserve_mapped(int fd, void *data, size_t size) {
    int r = map_populate(data, size);
    return r == -EOPNOTSUPP ? memfd_reserve(fd, size) : r;
}

bool reserve_is_whole(const struct memfd_info *info) {
    uint64_t tail = (MEMFD_HUGE_SIZE - info->size % MEMFD_HUGE_SIZE) % MEMFD_HUGE_SIZE; /* of its last huge page */
    return info->allocated >= info->size && info->allocated - info->size <= tail;
}

int reserve_explain(int error, uint64_t size, bool hugetlb, struct refusal_log *log) {
    switch (error) {
    case -EFBIG:
        return refusal_note(log, -ENOMEM, "RLIMIT_FSIZE", size, limits_fsize(), "raise the limit (ulimit -f)");
    case -EMFILE:
        return refusal_note(log, error, "RLIMIT_NOFILE", 1, 0, "close descriptors, or raise the limit (ulimit -n)");
    case -ENFILE:
        return refusal_note(log, error, "fs.file-max", 1, 0, "raise the sysctl");
    default:
        return refusal_note(log, -ENOMEM, hugetlb ? "hugetlb pool" : "memory", size,
                            hugetlb ? 0 : limits_memory_available(),
                            hugetlb ? "raise vm.nr_hugepages" : "use smaller blocks, or release some");
    }
}
