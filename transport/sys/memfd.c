/* SPDX-License-Identifier: MIT */
/*
 * Anonymous memory files and their seals.
 *
 * Facts relied on (tests/contract/): F_GET_SEALS never blocks, and only memfds can carry SHRINK and GROW and SEAL
 * together (test_receive.c); fallocate() reserves real pages (test_limits.c); F_SEAL_WRITE is refused while something
 * can write (test_seal.c); a file that gets the size that it has loses the pages behind its end (test_folios.c).
 */
#include "sys/memfd.h"

#include "sys/failure.h"
#include "sys/file.h"
#include "sys/heap.h"
#include "sys/inject.h"
#include "sys/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif

#define HUGETLBFS_KIND 0x958458f6u
#define TMPFS_KIND 0x01021994u

#define SEALS_OF_SHAPE (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS_NEEDED (SEALS_OF_SHAPE | F_SEAL_WRITE)

/* fallocate() undoes its whole range when a signal comes. 16 MiB take some milliseconds; for processes with more
 * frequent signals, from a profiler for example, the steps get smaller. */
#define RESERVE_STEP ((size_t) 16 << 20)
#define RESERVE_STEP_MIN ((size_t) 256 << 10)

/* Did this kernel refuse MFD_NOEXEC_SEAL? Only a memory of that: any order of loads and stores will do. */
static atomic_bool is_noexec_unknown;

#define HUGE_DIR "/sys/kernel/mm/transparent_hugepage/"

/* The choice stands in brackets: "always within_size [advise] never". */
static bool read_choice(const char *path, char *buf, size_t size) {
    char text[128];
    if (file_read_text(path, text, sizeof text) < 0)
        return false;
    char *begin = strchr(text, '[');
    char *end = begin != NULL ? strchr(begin, ']') : NULL;
    if (end == NULL)
        return false;
    *end = '\0';
    return (size_t) snprintf(buf, size, "%s", begin + 1) < size;
}

enum memfd_huge_policy memfd_huge_policy(void) {
    char choice[16], own[16];
    if (!read_choice(HUGE_DIR "shmem_enabled", choice, sizeof choice))
        return MEMFD_HUGE_NEVER;
    /* Since 6.11 each size has a choice of its own, but for these two, which overrule it. */
    if (strcmp(choice, "deny") != 0 && strcmp(choice, "force") != 0 &&
        read_choice(HUGE_DIR "hugepages-2048kB/shmem_enabled", own, sizeof own) && strcmp(own, "inherit") != 0)
        memcpy(choice, own, sizeof choice);

    if (strcmp(choice, "advise") == 0)
        return MEMFD_HUGE_ADVISE;
    if (strcmp(choice, "always") == 0 || strcmp(choice, "within_size") == 0 || strcmp(choice, "force") == 0)
        return MEMFD_HUGE_ALWAYS;
    return MEMFD_HUGE_NEVER;
}

/* Those that are larger than a base page everywhere, and smaller than a huge one. */
static const unsigned FOLIOS_KIB[] = {16, 32, 64, 128, 256, 512, 1024};

static bool is_granted(const char *choice, const char *inherited) {
    if (strcmp(choice, "inherit") == 0)
        choice = inherited;
    return strcmp(choice, "always") == 0 || strcmp(choice, "within_size") == 0 || strcmp(choice, "advise") == 0;
}

size_t memfd_folio_size(void) {
    char path[96], inherited[16], own[16];
    if (!read_choice(HUGE_DIR "shmem_enabled", inherited, sizeof inherited) || strcmp(inherited, "deny") == 0)
        return 0;
    for (size_t i = 0; i < sizeof FOLIOS_KIB / sizeof *FOLIOS_KIB; i++) {
        snprintf(path, sizeof path, HUGE_DIR "hugepages-%ukB/shmem_enabled", FOLIOS_KIB[i]);
        if (read_choice(path, own, sizeof own) && is_granted(own, inherited))
            return (size_t) FOLIOS_KIB[i] << 10;
    }
    return 0;
}

static int create(unsigned flags) {
    flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (!atomic_load_explicit(&is_noexec_unknown, memory_order_relaxed)) {
        int fd = INJECT(MEMFD_CREATE, memfd_create("sealane", flags | MFD_NOEXEC_SEAL));
        if (fd >= 0 || errno != EINVAL)
            return fd;
    }
    int fd = INJECT(MEMFD_CREATE, memfd_create("sealane", flags));
    if (fd >= 0)
        atomic_store_explicit(&is_noexec_unknown, true, memory_order_relaxed);
    return fd;
}

static int set_size(int fd, size_t size) {
    int r;
    do {
        r = INJECT(FTRUNCATE, ftruncate(fd, (off_t) size));
    } while (r < 0 && errno == EINTR);
    return r < 0 ? failure_of(INJECT_FTRUNCATE, errno) : 0;
}

static bool is_size_allowed(size_t size) {
    return size <= INT64_MAX && size <= limits_fsize();
}

int memfd_new(size_t size, bool hugetlb, int *ret_fd) {
    if (!is_size_allowed(size))
        return -EFBIG;
    CLEANUP_FD int fd = create(hugetlb ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
    if (fd < 0)
        return failure_of(INJECT_MEMFD_CREATE, errno);
    int r = set_size(fd, size);
    if (r < 0)
        return r;
    *ret_fd = fd_steal(&fd);
    return 0;
}

uint64_t memfd_excess(uint64_t size, uint64_t allocated) {
    uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;
    return allocated > whole ? allocated - whole : 0;
}

/*
 * With shmem_enabled=always a file of one byte gets 2 MiB. When the size is set the kernel splits that page, and frees
 * the part behind the end. It cannot do so while the page has another user: then the part stays, and the caller's
 * account must include it.
 */
void memfd_cut_excess(int fd) {
    struct stat status;
    if (INJECT(FSTAT, fstat(fd, &status)) == 0 &&
        memfd_excess((uint64_t) status.st_size, (uint64_t) status.st_blocks * 512) > 0)
        (void) set_size(fd, (size_t) status.st_size);
}

/* Writes zeros where a sandbox forbids reserving, or this file system cannot do it. */
static int reserve_otherwise(int fd, size_t from, size_t size, int error) {
    if (!failure_is_forbidden(-error) && error != EOPNOTSUPP)
        return error == ENOSPC ? -ENOMEM : failure_of(INJECT_FALLOCATE, error);
    int r = memfd_reserve_filled(fd, from, size);
    return r < 0 && r != -ENOMEM ? failure_of(INJECT_FALLOCATE, error) : r;
}

int memfd_reserve(int fd, size_t from, size_t size) {
    size_t step = RESERVE_STEP;
    for (size_t done = 0; done < size;) {
        size_t part = size - done < step ? size - done : step;
        if (INJECT(FALLOCATE, fallocate(fd, 0, (off_t) (from + done), (off_t) part)) == 0)
            done += part;
        else if (errno == EINTR)
            step = step / 2 > RESERVE_STEP_MIN ? step / 2 : RESERVE_STEP_MIN;
        else
            return reserve_otherwise(fd, from + done, size - done, errno);
    }
    memfd_cut_excess(fd);
    return 0;
}

int memfd_reserve_filled(int fd, size_t from, size_t size) {
    static char zeros[(size_t) 64 << 10]; /* never written: one page of the kernel's, sixteen times */
    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof zeros ? size - done : sizeof zeros;
        int r = file_write(fd, from + done, zeros, part);
        if (r < 0)
            return r == -ENOSPC ? -ENOMEM : r;
        done += part;
    }
    memfd_cut_excess(fd);
    return 0;
}

int memfd_resize(int fd, size_t size) {
    if (!is_size_allowed(size)) {
        struct stat status;
        if (INJECT(FSTAT, fstat(fd, &status)) < 0)
            return failure_of(INJECT_FSTAT, errno);
        if (size > (uint64_t) status.st_size) /* shrinking is never forbidden */
            return -EFBIG;
    }
    return set_size(fd, size);
}

int memfd_allocated(int fd, uint64_t *ret_bytes) {
    struct stat status;
    if (INJECT(FSTAT, fstat(fd, &status)) < 0)
        return failure_of(INJECT_FSTAT, errno);
    *ret_bytes = (uint64_t) status.st_blocks * 512;
    return 0;
}

int memfd_seal(int fd) {
    if (INJECT(ADD_SEALS, fcntl(fd, F_ADD_SEALS, SEALS_NEEDED)) < 0)
        return failure_of(INJECT_ADD_SEALS, errno);
    return 0;
}

int memfd_seal_others(int fd) {
    if (INJECT(ADD_SEALS, fcntl(fd, F_ADD_SEALS, SEALS_OF_SHAPE | F_SEAL_FUTURE_WRITE)) < 0)
        return failure_of(INJECT_ADD_SEALS, errno);
    return 0;
}

static bool is_shortage(int error) {
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* O_NONBLOCK: a process that has the memfd may hold a lease on it (F_SETLEASE), for which open() would wait. */
static int reopen(int fd, int *ret_fd) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reopened;
    do {
        reopened = INJECT(OPEN, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    } while (reopened < 0 && errno == EINTR);
    if (reopened < 0)
        return -errno;
    /* O_NONBLOCK has no effect on a file in memory, but other software may read the flag. */
    (void) INJECT(SET_FLAGS, fcntl(reopened, F_SETFL, 0));
    *ret_fd = reopened;
    return 0;
}

int memfd_reopen(int fd, int *ret_fd) {
    /* Keeps other users from reopening it for writing, which the seals make futile anyway; so it may fail. */
    (void) INJECT(FCHMOD, fchmod(fd, 0444));
    int r = reopen(fd, ret_fd);
    return r == 0 || is_shortage(-r) ? r : memfd_dup(fd, ret_fd);
}

int memfd_export(int fd, int *ret_fd) {
    return reopen(fd, ret_fd);
}

int memfd_dup(int fd, int *ret_fd) {
    int copy = INJECT(DUP, fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (copy < 0)
        return failure_of(INJECT_DUP, errno);
    *ret_fd = copy;
    return 0;
}

void memfd_close_on_exec(int fd) {
    /* It fails only for a number without a descriptor, which memfd_inspect() will report. */
    (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool memfd_seals_hold(int seals) {
    return (seals & SEALS_NEEDED) == SEALS_NEEDED;
}

bool memfd_seals_hold_others(int seals) {
    return (seals & SEALS_OF_SHAPE) == SEALS_OF_SHAPE && (seals & (F_SEAL_FUTURE_WRITE | F_SEAL_WRITE)) != 0;
}

const char *memfd_seals_missing(int seals, char *buf, size_t size) {
    static const struct {
        int seal;
        const char *name;
    } needed[] = {
        {F_SEAL_SHRINK, "F_SEAL_SHRINK"},
        {F_SEAL_GROW, "F_SEAL_GROW"},
        {F_SEAL_WRITE, "F_SEAL_WRITE"},
        {F_SEAL_SEAL, "F_SEAL_SEAL"},
    };
    size_t used = 0;
    if (size > 0)
        buf[0] = '\0';
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if ((seals & needed[i].seal) == 0 && used < size)
            used += (size_t) snprintf(buf + used, size - used, "%s%s", used ? ", " : "", needed[i].name);
    return buf;
}

/* Only for memfds with memfd_seals_hold_others(): other files may block. */
static int inspect_sealed(int fd, struct memfd_info *info) {
    struct stat status;
    struct statfs system;
    int r;
    if (INJECT(FSTAT, fstat(fd, &status)) < 0)
        return failure_name(INJECT_FSTAT, errno);
    do {
        r = INJECT(FSTATFS, fstatfs(fd, &system));
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return failure_name(INJECT_FSTATFS, errno);

    uint32_t kind = (uint32_t) system.f_type;
    if (kind != TMPFS_KIND && kind != HUGETLBFS_KIND)
        return -EINVAL;
    info->is_hugetlb = kind == HUGETLBFS_KIND;
    info->size = (uint64_t) status.st_size;
    info->allocated = (uint64_t) status.st_blocks * 512;
    return 0;
}

int memfd_inspect(int fd, struct memfd_info *ret_info) {
    struct memfd_info info = {.seals = INJECT(GET_SEALS, fcntl(fd, F_GET_SEALS))};
    if (info.seals < 0)
        return errno == EBADF || errno == EINVAL ? -errno : failure_name(INJECT_GET_SEALS, errno);
    if (memfd_seals_hold_others(info.seals)) {
        int r = inspect_sealed(fd, &info);
        if (r < 0)
            return r;
    }
    *ret_info = info;
    return 0;
}

#define COULD_NOT_SAY "the kernel could not say what the descriptor is: "
#define SANDBOX " is forbidden there, by a seccomp filter or a security module"

const char *memfd_inspect_why(int r) {
    static const struct {
        enum inject_kind kind;
        const char *forbidden, *failed;
    } texts[] = {
        {INJECT_GET_SEALS, COULD_NOT_SAY "fcntl(F_GET_SEALS)" SANDBOX, COULD_NOT_SAY "fcntl(F_GET_SEALS) failed"},
        {INJECT_FSTAT, COULD_NOT_SAY "fstat" SANDBOX, COULD_NOT_SAY "fstat failed"},
        {INJECT_FSTATFS, COULD_NOT_SAY "fstatfs" SANDBOX, COULD_NOT_SAY "fstatfs failed"},
    };
    const char *call = failure_call(r);
    for (size_t i = 0; call && i < sizeof texts / sizeof *texts; i++)
        if (call == failure_call_name(texts[i].kind))
            return failure_is_forbidden(r) ? texts[i].forbidden : texts[i].failed;
    return COULD_NOT_SAY "a call failed";
}
