/* SPDX-License-Identifier: MIT */
/*
 * Reservation. See reserve.h.
 *
 * Where the kernel refuses with an error, the library explains the error afterwards: descriptors, mappings, locked
 * memory, nodes. Where it would kill or raise a signal, the library asks before: memory (memory/admission.h), and the
 * size of files (sys/memfd.c).
 *
 * Facts relied on (tests/contract/): fallocate() reserves real pages (test_limits.c), and so does MADV_POPULATE_WRITE
 * (test_map.c).
 */
#include "memory/reserve.h"

#include "sys/disposal.h"
#include "sys/failure.h"
#include "sys/limits.h"
#include "sys/map.h"
#include "sys/numa.h"
#include <errno.h>
#include <sealane/ctx.h>
#include <stdio.h>

/* In base pages some 10 ms, a hundred times the cost of reading the limits. */
static const size_t STEP = (size_t) 16 << 20;

static int reserve_plain(int fd, char *data, size_t from, size_t size) {
    (void) data;
    return memfd_reserve(fd, from, size);
}

/* Touches the pages through the mapping, the only way to get huge pages; it needs Linux 5.14. */
static int reserve_touched(int fd, char *data, size_t from, size_t size) {
    int r = map_populate(data + from, size);
    if (r == -EOPNOTSUPP)
        return memfd_reserve(fd, from, size);
    if (r == 0)
        memfd_cut_excess(fd);
    return r;
}

/* For base pages. Filling and then mapping them takes three quarters of the time of touching them. */
static int reserve_filled(int fd, char *data, size_t from, size_t size) {
    int r = memfd_reserve_filled(fd, from, size);
    if (failure_is_forbidden(r))
        return reserve_touched(fd, data, from, size);
    if (r == 0)
        r = map_populate_filled(data + from, size);
    return r == -EOPNOTSUPP ? 0 : r;
}

typedef int reserve_part(int fd, char *data, size_t from, size_t size);

static int reserve_steps(reserve_part *part, int fd, char *data, size_t size, uint64_t *promised,
                         struct admission *admission) {
    for (size_t done = 0, step; done < size; done += step) {
        step = size - done < STEP ? size - done : STEP;
        int r = done > 0 ? admission_again(admission, *promised) : 0;
        if (r == 0)
            r = part(fd, data, done, step);
        if (r == -ENOMEM && disposal_await_room()) /* for example hugetlb pages, which admission does not read */
            r = part(fd, data, done, step);
        if (r < 0)
            return r;
        admission_made(admission, step);
        *promised -= step;
    }
    return 0;
}

/* Asks for `cost` bytes, makes `size` of them, and ends the promise of the rest. */
static int reserve(reserve_part *part, int fd, char *data, size_t size, uint64_t cost, struct admission *admission) {
    int r = admission_admit(admission, cost);
    if (r < 0)
        return r;
    r = reserve_steps(part, fd, data, size, &cost, admission);
    admission_made(admission, cost);
    return r;
}

int reserve_file(int fd, size_t size, struct admission *admission) {
    return reserve(reserve_plain, fd, NULL, size, size, admission);
}

int reserve_apply_requests(void *data, size_t size, const struct admission *admission) {
    static const struct admission_wishes nothing;
    const struct admission_wishes *wishes = admission ? &admission->wishes : &nothing;
    int r = wishes->nodes ? numa_prefer(data, size, wishes->nodes) : 0;
    return r == 0 && (wishes->flags & SEA_MEMORY_LOCK) ? map_lock(data, size) : r;
}

static uint64_t whole_huge_pages(uint64_t size) {
    return (size + MEMFD_HUGE_SIZE - 1) / MEMFD_HUGE_SIZE * MEMFD_HUGE_SIZE;
}

int reserve_mapped(int fd, void *data, size_t size, bool huge, struct admission *admission) {
    uint64_t cost = huge && size >= MEMFD_HUGE_SIZE ? whole_huge_pages(size) : size;
    return reserve(huge ? reserve_touched : reserve_filled, fd, data, size, cost, admission);
}

bool reserve_is_whole(const struct memfd_info *info) {
    uint64_t tail =
        (MEMFD_HUGE_SIZE - info->size % MEMFD_HUGE_SIZE) % MEMFD_HUGE_SIZE; /* the rest of its last huge page */
    return info->allocated >= info->size && info->allocated - info->size <= tail;
}

static int explain_file_size(uint64_t size, struct refusal_log *log) {
    uint64_t most = limits_fsize();
    if (most != UINT64_MAX)
        return refusal_note(log, -ENOMEM, "RLIMIT_FSIZE", size, most, "raise the limit (ulimit -f)");
    return refusal_note(log, -ENOMEM, "size of a file", size, 0,
                        "the kernel makes no file that large: use smaller blocks");
}

static int explain_node(const struct admission *admission) {
    char limit[sizeof(((sea_refusal *) NULL)->limit)];
    uint64_t missing = admission->wishes.nodes & ~numa_nodes(NUMA_DIR);
    snprintf(limit, sizeof(limit), "NUMA node %d", missing ? __builtin_ctzll(missing) : 0);
    return refusal_note(admission->log, -ENODEV, limit, 1, 0,
                        "this machine has no such node with memory: change numa_nodes in sea_ctx_options");
}

/* An aligned mapping reserves addresses on both sides. */
static uint64_t address_needed(uint64_t size) {
    return size < UINT64_MAX / 2 ? (size / MEMFD_HUGE_SIZE + 2) * MEMFD_HUGE_SIZE : size;
}

/* Which limit forbids mappings: the one of their count (a line of the list may be a mapping of the kernel's), or the
 * one of their bytes? */
static bool is_out_of_maps(void) {
    return limits_maps_left() <= 1;
}

static bool is_out_of_address_space(uint64_t size) {
    return limits_address_left() < address_needed(size);
}

/* Explains a call that failed without a limit as its cause. */
static int explain_call(int r, struct refusal_log *log) {
    char advice[sizeof(((sea_refusal *) NULL)->advice)];
    int error = failure_error(r);
    if (failure_is_forbidden(r))
        snprintf(advice, sizeof(advice),
                 "forbidden, by a seccomp filter or a security module: allow it, or do with socket_only "
                 "and inline payloads");
    else
        snprintf(advice, sizeof(advice), "the call failed, and no limit that is known here explains it");
    return refusal_note(log, error, failure_call(r), 0, 0, advice);
}

/* Explains a call on new memory with an errno value that is no shortage and has no clear meaning, for example EBUSY of
 * seals. */
static int explain_oddity(int error, struct refusal_log *log) {
    char advice[sizeof(((sea_refusal *) NULL)->advice)];
    int saved = errno;
    errno = -error; /* for %m */
    snprintf(advice, sizeof(advice), "a call that makes it failed (%m), and no limit that is known here explains it");
    errno = saved;
    return refusal_note(log, -EIO, "new memfd", 0, 0, advice);
}

static bool is_shortage(int error) {
    return error == -ENOMEM || error == -ENOSPC || error == -EAGAIN;
}

/* Notes an error without a visible cause: all limits that can be read leave room. */
static int explain_unknown(const char *limit, uint64_t size, uint64_t available, struct refusal_log *log) {
    if (available == UINT64_MAX || available < size)
        return refusal_note(log, -ENOMEM, limit, 0, 0, "the kernel refused it: use smaller blocks, or release some");
    return refusal_note(log, -ENOMEM, limit, size, available,
                        "the kernel refused it although that seems to be free: use smaller blocks, or release some");
}

int reserve_explain_map(int r, uint64_t size, struct refusal_log *log) {
    uint64_t address = limits_address_left();
    if (failure_call(r))
        return explain_call(r, log);
    if (is_out_of_maps())
        return refusal_note(log, -ENOMEM, "vm.max_map_count", 1, 0, "release blocks, or raise the sysctl");
    if (is_out_of_address_space(size))
        return refusal_note(log, -ENOMEM, "RLIMIT_AS", address_needed(size), address,
                            "release blocks, or raise the limit (ulimit -v)");
    return explain_unknown("address space", size, address, log);
}

enum reserve_unmapped reserve_unmapped(int r, uint64_t size) {
    if (failure_call(r))
        return failure_is_forbidden(r) ? RESERVE_FORBIDDEN : RESERVE_FAILED;
    return is_out_of_maps()                ? RESERVE_OUT_OF_MAPS
           : is_out_of_address_space(size) ? RESERVE_OUT_OF_ADDRESSES
                                           : RESERVE_NO_ROOM;
}

const char *reserve_why_unmapped(enum reserve_unmapped cause) {
    static const char *const texts[RESERVE_UNMAPPED] = {
        [RESERVE_FORBIDDEN] = "the memory cannot be mapped there: a seccomp filter or a security module forbids a call",
        [RESERVE_FAILED] = "the memory cannot be mapped there: a call failed, and no limit is known that explains it",
        [RESERVE_OUT_OF_MAPS] =
            "the memory cannot be mapped there: the process has as many mappings as vm.max_map_count allows",
        [RESERVE_OUT_OF_ADDRESSES] =
            "the memory cannot be mapped there: the process has no address space left for it (RLIMIT_AS)",
        [RESERVE_NO_ROOM] = "the memory cannot be mapped there: the kernel found no room for it",
    };
    return texts[cause];
}

static int explain_memory(uint64_t size, struct admission *admission) {
    struct admission_verdict verdict;
    const sea_refusal *tightest = &verdict.tightest;
    if (admission_check(admission, size, &verdict) < 0)
        return refusal_note(admission->log, -ENOMEM, tightest->limit, size, tightest->available, tightest->advice);
    if (is_out_of_maps() || is_out_of_address_space(size))
        return reserve_explain_map(-ENOMEM, size, admission->log);
    return explain_unknown("memory", size, tightest->available, admission->log);
}

/* mlock2() fails with EPERM both at the limit and where it is forbidden. */
static int explain_lock(uint64_t size, struct admission *admission) {
    uint64_t left = limits_locked_left();
    if (left < size)
        return refusal_note(admission->log, -ENOMEM, "RLIMIT_MEMLOCK", size, left,
                            "raise the limit (ulimit -l), or do without SEA_MEMORY_LOCK");
    return refusal_note(admission->log, -ENOMEM, "mlock2", 0, 0,
                        "it fails although RLIMIT_MEMLOCK leaves room (a seccomp filter?): do without SEA_MEMORY_LOCK");
}

int reserve_explain(int error, uint64_t size, bool hugetlb, struct admission *admission) {
    struct refusal_log *log = admission->log;
    switch (error) {
    case -EFBIG:
        return explain_file_size(size, log);
    case -EOVERFLOW:
        return refusal_note(log, -ENOMEM, "arenas of a connection", 1, 0,
                            "release blocks, or use larger blocks or more connections");
    case -EMFILE:
        return refusal_note(
            log, error, "RLIMIT_NOFILE", 1, 0,
            "this process has as many descriptors as it may: close some, or raise the limit (ulimit -n)");
    case -ENFILE:
        return refusal_note(log, error, "fs.file-max", 1, 0,
                            "the machine has as many open files as it may: end programs, or raise the sysctl");
    case -ENOLCK:
        return explain_lock(size, admission);
    case -ENODEV:
        return explain_node(admission);
    case -EACCES:
        return refusal_explain(log, error, "NUMA nodes", "the system does not allow mbind(): do without numa_nodes");
    default:
        if (hugetlb && !failure_call(error))
            return refusal_note(log, -ENOMEM, "hugetlb pool", size, 0,
                                is_shortage(error) ? "raise vm.nr_hugepages" : "this kernel has no such pages");
        if (failure_call(error))
            return explain_call(error, log);
        if (!is_shortage(error))
            return explain_oddity(error, log);
        return explain_memory(size, admission);
    }
}
