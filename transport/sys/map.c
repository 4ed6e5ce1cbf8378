/* SPDX-License-Identifier: MIT */
/*
 * Mappings of memfds: writable ones for their makers, read-only ones for all others.
 *
 * The descriptor is borrowed and not needed afterwards; the caller owns the mapping and ends it with map_free() and the
 * size of the mapping. The layers above decide the sizes: nothing here trusts or checks a peer.
 *
 * A mapping of 2 MiB or more begins at a multiple of 2 MiB: only then can a huge page be mapped whole. A smaller one
 * that asks for large pages begins at a multiple of the largest power of two that it holds: the kernel grants none
 * across this multiple. A hugetlb mapping always ends at the end of its last page, with any length that was asked for:
 * the area reserved for it is a multiple of 2 MiB too. The kernel is asked for the place of the last large mapping that
 * ended: where it is still free, one call makes an aligned mapping. Without such a place it takes four calls, and six
 * where the place is taken.
 *
 * Facts relied on (tests/contract/): a forked child's mapping forbids sealing (test_seal.c); kernels before 6.7 refuse
 * MAP_SHARED of a write-sealed memfd (test_map.c); MADV_POPULATE_WRITE (test_map.c). And mincore() reports pages of the
 * file, not of the mapping, once they were touched (tests/unit/test_map.c); behind the end of the file too, through a
 * second mapping (test_folios.c).
 */
#include "sys/map.h"

#include "sys/disposal.h"
#include "sys/failure.h"
#include "sys/inject.h"
#include "sys/memfd.h"
#include "util/arith.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* Contexts that want shared memory in core dumps. */
static _Atomic uint32_t dumpers;

/* Mappings that were made here and are not ended. */
static _Atomic uint64_t mappings;

/* The address of a large mapping that ended, for the next one; 0: none. Only a hint: any order will do. */
static _Atomic uintptr_t free_place;

static void note_ended(const void *data, size_t size) {
    if (!data)
        return;
    atomic_fetch_sub_explicit(&mappings, 1, memory_order_relaxed);
    if (size >= MEMFD_HUGE_SIZE && size < DISPOSAL_LEAST) /* a larger one may end later */
        atomic_store_explicit(&free_place, (uintptr_t) data, memory_order_relaxed);
}

static size_t page_size(void) {
    return (size_t) sysconf(_SC_PAGESIZE);
}

/* Returns the parts of an area around a mapping of `size` at `data` to the kernel. */
static void trim_area(char *area, size_t area_size, char *data, size_t size) {
    if (data > area)
        munmap(area, (size_t) (data - area));
    char *end = area + area_size, *tail = data + round_up(size, page_size());
    /* EINVAL: inside a hugetlb page, which cannot be cut. Then the mapping ends where that page does. */
    if (tail < end && munmap(tail, (size_t) (end - tail)) < 0) {
        tail = data + round_up(size, MEMFD_HUGE_SIZE);
        if (tail < end)
            munmap(tail, (size_t) (end - tail));
    }
}

void map_dump_begin(void) {
    atomic_fetch_add_explicit(&dumpers, 1, memory_order_relaxed);
}

void map_dump_end(void) {
    atomic_fetch_sub_explicit(&dumpers, 1, memory_order_relaxed);
}

/* A core dump would hold blocks that a peer lent us, and blocks that we lend to others. A refusal by the system has no
 * remedy. */
static void keep_from_dumps(void *data, size_t size) {
    if (atomic_load_explicit(&dumpers, memory_order_relaxed) == 0)
        (void) INJECT(DONTDUMP, madvise(data, size, MADV_DONTDUMP));
}

static int map_aligned(int fd, size_t size, size_t unit, int prot, int flags, void **ret_data) {
    if (size > SIZE_MAX - 2 * MEMFD_HUGE_SIZE)
        return -ENOMEM;
    size_t area_size = round_up(size, unit) + unit;
    char *area = INJECT_OR(MMAP, MAP_FAILED,
                           mmap(NULL, area_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (area == MAP_FAILED)
        return -errno;

    char *data = area + (-(uintptr_t) area & (unit - 1));
    if (INJECT_OR(MMAP, MAP_FAILED, mmap(data, size, prot, flags | MAP_FIXED, fd, 0)) == MAP_FAILED) {
        int error = errno;
        munmap(area, area_size);
        return -error;
    }
    trim_area(area, area_size, data, size);
    *ret_data = data;
    return 0;
}

/* Maps at a place of which only the addresses of one mapping are known to be free, or were. *ret_data is NULL where
 * there is no such place. */
static int map_at_free_place(int fd, size_t size, int prot, int flags, void **ret_data) {
    void *place = (void *) atomic_exchange_explicit(&free_place, 0, memory_order_relaxed);
    *ret_data = NULL;
    if (!place)
        return 0;
    void *data = INJECT_OR(MMAP, MAP_FAILED, mmap(place, size, prot, flags, fd, 0));
    if (data == MAP_FAILED)
        return -errno;
    if ((uintptr_t) data % MEMFD_HUGE_SIZE == 0)
        *ret_data = data;
    else
        disposal_unmap(data, size);
    return 0;
}

static int map_large(int fd, size_t size, int prot, int flags, void **ret_data) {
    void *data = NULL;
    int r = map_at_free_place(fd, size, prot, flags, &data);
    if (r == 0 && !data)
        r = map_aligned(fd, size, MEMFD_HUGE_SIZE, prot, flags, &data);
    if (r == 0)
        *ret_data = data;
    return r;
}

/* The mapping begins at a multiple of this; a page: at any page. */
static size_t alignment_of(size_t size, bool huge) {
    size_t unit = page_size();
    while ((huge || size >= MEMFD_HUGE_SIZE) && unit < MEMFD_HUGE_SIZE && unit * 2 <= size)
        unit *= 2;
    return unit;
}

static int map_try(int fd, size_t size, bool huge, int prot, int flags, void **ret_data) {
    if (size == 0)
        return -EINVAL;
    size_t unit = alignment_of(size, huge);
    if (unit == MEMFD_HUGE_SIZE)
        return map_large(fd, size, prot, flags, ret_data);
    if (unit > page_size())
        return map_aligned(fd, size, unit, prot, flags, ret_data);
    void *data = INJECT_OR(MMAP, MAP_FAILED, mmap(NULL, size, prot, flags, fd, 0));
    if (data == MAP_FAILED)
        return -errno;
    *ret_data = data;
    return 0;
}

/* Addresses, or mappings, may be missing that are about to come back. */
static int map_new(int fd, size_t size, bool huge, int prot, int flags, void **ret_data) {
    int r = map_try(fd, size, huge, prot, flags, ret_data);
    if (r == -ENOMEM && disposal_await_room())
        r = map_try(fd, size, huge, prot, flags, ret_data);
    if (r == 0)
        atomic_fetch_add_explicit(&mappings, 1, memory_order_relaxed);
    return r;
}

int map_new_writable(int fd, size_t size, bool huge, void **ret_data) {
    void *data = NULL;
    int r = map_new(fd, size, huge, PROT_READ | PROT_WRITE, MAP_SHARED, &data);
    if (r < 0)
        return failure_of(INJECT_MMAP, -r);
    /* Where a sandbox forbids this call a forked child has the mapping too, which does less harm than having no
     * mapping. */
    if (INJECT(MADVISE, madvise(data, size, MADV_DONTFORK)) < 0 && !failure_is_forbidden(-errno)) {
        r = errno == ENOMEM ? -ENOMEM : failure_name(INJECT_MADVISE, errno);
        map_free(data, size);
        return r;
    }
    if (huge)
        (void) INJECT(MADVISE, madvise(data, size, MADV_HUGEPAGE));
    keep_from_dumps(data, size);
    *ret_data = data;
    return 0;
}

int map_new_readable(int fd, size_t size, const void **ret_data) {
    void *data = NULL;
    int r = map_new(fd, size, false, PROT_READ, MAP_SHARED, &data);
    if (r == -EPERM)
        r = map_new(fd, size, false, PROT_READ, MAP_PRIVATE, &data);
    if (r < 0)
        return failure_of(INJECT_MMAP, -r);
    keep_from_dumps(data, size);
    *ret_data = data;
    return 0;
}

void *map_free(const void *data, size_t size) {
    disposal_unmap(data, size);
    note_ended(data, size);
    return NULL;
}

void map_dispose(const void *data, size_t size, int fd) {
    disposal_take_mapping(data, size, fd);
    note_ended(data, size);
}

uint64_t map_count(void) {
    return atomic_load_explicit(&mappings, memory_order_relaxed);
}

void map_discard(void *data, size_t size) {
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t) data + page - 1) / page * page, end = ((uintptr_t) data + size) / page * page;
    if (first < end)
        (void) INJECT(MADVISE, madvise((void *) first, end - first, MADV_DONTNEED));
}

static int populate(void *data, size_t size, int how) {
    int r;
    do {
        r = INJECT(MADVISE, madvise(data, size, how));
    } while (r < 0 && errno == EINTR);
    if (r == 0)
        return 0;
    switch (errno) {
    case EFAULT: /* a touch would have raised SIGBUS */
    case ENOMEM:
        return -ENOMEM;
    case EINVAL:
    case EPERM: /* of a sandbox, which need not know this advice */
    case EACCES:
    case ENOSYS:
        return -EOPNOTSUPP;
    default:
        return failure_of(INJECT_MADVISE, errno);
    }
}

int map_populate(void *data, size_t size) {
    return populate(data, size, MADV_POPULATE_WRITE);
}

/* Pages of a writable mapping can then be written too. The kernel maps neighbouring pages only at a read fault. */
int map_populate_filled(void *data, size_t size) {
    return populate(data, size, MADV_POPULATE_READ);
}

int map_lock(void *data, size_t size) {
    /* ENOMEM, EPERM and EAGAIN are all that is said at the limit, and of a mapping that is there they say nothing else.
     */
    int r = INJECT(MLOCK, mlock2(data, size, MLOCK_ONFAULT));
    if (r < 0 && disposal_await_room())
        r = INJECT(MLOCK, mlock2(data, size, MLOCK_ONFAULT));
    return r < 0 ? -ENOLCK : 0;
}

/* The bytes of huge pages that a line of smaps adds; 0 for all other lines. */
static uint64_t huge_bytes_of(const char *line) {
    static const char *const fields[] = {"ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        size_t length = strlen(fields[i]);
        uint64_t kilobytes;
        if (strncmp(line, fields[i], length) == 0 && sscanf(line + length, "%" SCNu64, &kilobytes) == 1)
            return kilobytes * 1024;
    }
    return 0;
}

/*
 * Sums over the mappings that begin in [begin, end). The first line of a mapping is recognized by its form. Its name
 * comes last in it and may be long and hold any bytes but a newline, which the kernel escapes. So only text behind a
 * newline is examined.
 */
static uint64_t sum_huge(FILE *smaps, uintptr_t begin, uintptr_t end) {
    char line[128];
    bool is_line_start = true, is_inside = false;
    uint64_t sum = 0;
    while (fgets(line, sizeof line, smaps) != NULL) {
        bool is_continued = !is_line_start;
        is_line_start = strchr(line, '\n') != NULL;
        if (is_continued)
            continue;
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
            if (from >= end)
                break;
            is_inside = from >= begin;
        } else if (is_inside) {
            sum += huge_bytes_of(line);
        }
    }
    return sum;
}

size_t map_count_huge(const void *data, size_t size) {
    FILE *smaps = INJECT_OR(OPEN, NULL, fopen("/proc/self/smaps", "re"));
    if (smaps == NULL)
        return 0;
    uint64_t sum = sum_huge(smaps, (uintptr_t) data, (uintptr_t) data + size);
    fclose(smaps);
    return (size_t) sum;
}

/* EAGAIN: the kernel has no page to write down the answer. */
size_t map_count_resident(const void *data, size_t size) {
    unsigned char pages[1024];
    size_t page = page_size(), step = sizeof pages * page, count = 0;
    for (size_t at = 0; at < size; at += step) {
        size_t length = (size_t) min_u64(size - at, step);
        if (INJECT(MINCORE, mincore((char *) (uintptr_t) data + at, length, pages)) < 0)
            continue;
        for (size_t i = 0; i < round_up(length, page) / page; i++)
            count += pages[i] & 1;
    }
    return count * page;
}

/*
 * Counts the pages of the last huge page that a memfd of `size` bytes begins, through a mapping that reaches behind the
 * end. Touching these pages would raise SIGBUS; mincore() does not. The page after them never exists: a kernel that
 * reports it as there reports all pages so.
 */
static bool count_last(const void *data, size_t size, uint64_t *ret_bytes) {
    unsigned char pages[MEMFD_HUGE_SIZE / 4096 + 1];
    size_t page = page_size(), count = MEMFD_HUGE_SIZE / page, length = MEMFD_HUGE_SIZE + page;
    size_t from = (size - 1) / MEMFD_HUGE_SIZE * MEMFD_HUGE_SIZE;
    void *old = (char *) (uintptr_t) data + from;
    void *view = INJECT_OR(MMAP, MAP_FAILED, mremap(old, 0, length, MREMAP_MAYMOVE));
    if (view == MAP_FAILED)
        return false;
    int r = INJECT(MINCORE, mincore(view, length, pages));
    munmap(view, length);
    if (r < 0 || (pages[count] & 1))
        return false;
    *ret_bytes = 0;
    for (size_t i = 0; i < count; i++)
        *ret_bytes += pages[i] & 1 ? page : 0;
    return true;
}

bool map_count_whole(const void *data, size_t size, uint64_t *ret_bytes) {
    uint64_t last = 0;
    if (size == 0 || !count_last(data, size, &last))
        return false;
    *ret_bytes = map_count_resident(data, (size - 1) / MEMFD_HUGE_SIZE * MEMFD_HUGE_SIZE) + last;
    return true;
}
