/* SPDX-License-Identifier: MIT */
/*
 * Sealed memory. See sealed.h for the states.
 *
 * Pages are reserved before the block is handed out, so that writing to it cannot raise SIGBUS. Where the
 * system grants transparent huge pages only to those who ask (shmem_enabled=advise), fallocate() would take small ones,
 * since it knows no mapping that asked: there the pages are touched through one that did.
 *
 * A block that is filled by sealed_fill() or sealed_fill_file() alone is never mapped by its maker: write() into fresh
 * pages costs one copy, a mapping costs a fault for each page on top.
 */
#include "memory/sealed.h"

#include "memory/reserve.h"
#include "sys/failure.h"
#include "sys/file.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "sys/reaper.h"
#include "sys/wait.h"
#include "util/arith.h"
#include <errno.h>
#include <sealane/block.h>
#include <sealane/ctx.h>
#include <string.h>

/*
 * From this much of a huge page on it is padded. The kernel clears all of one, 2 MiB, where base pages of the payload
 * alone would do.
 */
#define SEALED_PADDED_MIN ((uint64_t) 256 << 10)

/* The bytes of an empty payload; they are neither read nor written. */
static char sealed_nothing[1];

uint64_t sealed_file_size(uint64_t size, enum sealed_layout layout) {
    return layout == SEALED_EXACT ? size : round_up_u64(size, MEMFD_HUGE_SIZE);
}

enum memfd_huge_policy sealed_huge_policy(void) {
    /* The time of the answer and, in the last two bits, the answer: one word, so that relaxed loads and stores are
     * enough. */
    static _Atomic uint64_t remembered;
    uint64_t now = wait_now(), last = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (last && now - (last >> 2) < SEALED_POLICY_AGE)
        return (enum memfd_huge_policy)(last & 3);
    enum memfd_huge_policy policy = memfd_huge_policy();
    atomic_store_explicit(&remembered, now << 2 | (uint64_t) policy, memory_order_relaxed);
    return policy;
}

/* Is the last part worth a huge page of its own? One that is full of nothing but payload needs no padding. */
static bool is_worth_padding(uint64_t size) {
    return size % MEMFD_HUGE_SIZE >= SEALED_PADDED_MIN;
}

enum sealed_layout sealed_choose_layout(uint64_t size) {
    return is_worth_padding(size) && sealed_huge_policy() != MEMFD_HUGE_NEVER ? SEALED_PADDED : SEALED_EXACT;
}

static size_t sealed_map_size(const struct sealed *sealed) {
    return (size_t) sealed_file_size(sealed->size, sealed->layout);
}

/* For the one user of the memory. */
static void sealed_unmap(struct sealed *sealed) {
    map_free(atomic_load_explicit(&sealed->data, memory_order_relaxed), sealed_map_size(sealed));
    atomic_store_explicit(&sealed->data, NULL, memory_order_relaxed);
}

void sealed_deinit(struct sealed *sealed) {
    void *data = atomic_load_explicit(&sealed->data, memory_order_relaxed);
    map_dispose(data, sealed_map_size(sealed), sealed->fd);
    *sealed = SEALED_EMPTY;
}

/* By touching through a mapping: one that asks for huge pages, is locked, prefers a node, or is wanted anyway? */
static bool is_touched(const struct sealed *sealed, const struct admission_wishes *wishes) {
    if (sealed->layout == SEALED_HUGETLB)
        return false;
    if (wishes->nodes || (wishes->flags & (SEA_MEMORY_LOCK | SEA_MEMORY_PREFAULT)) || sealed->layout == SEALED_PADDED)
        return true; /* of padded ones sealed_choose_layout() has asked already */
    return sealed->wants_huge && sealed_huge_policy() == MEMFD_HUGE_ADVISE;
}

static int sealed_map_as_requested(struct sealed *sealed, const struct admission *admission) {
    void *data = NULL;
    int r = sealed_map_to(sealed, &data);
    return r == 0 ? reserve_apply_requests(data, sealed_map_size(sealed), admission) : r;
}

/*
 * Where memory is fragmented the kernel gives base pages instead of a huge one. Nothing but a huge page that the
 * payload begins can have brought memory behind the payload: so the count of the pages tells what came, and a memfd
 * that lacks any is cut.
 */
static int sealed_cut_padding(struct sealed *sealed, const struct admission *admission) {
    uint64_t allocated = 0;
    if (memfd_allocated(sealed->fd, &allocated) == 0 && allocated >= sealed_map_size(sealed))
        return 0; /* whole huge pages: there is nothing behind the end */
    sealed_unmap(sealed);
    sealed->layout = SEALED_EXACT;
    sealed->wants_huge = sealed->size >= MEMFD_HUGE_SIZE;
    int r = memfd_resize(sealed->fd, sealed->size);
    return r == 0 && (admission->wishes.flags & SEA_MEMORY_LOCK) ? sealed_map_as_requested(sealed, admission) : r;
}

/* 0, but where the kernel gives huge pages to all and could not cut the last one. */
static void sealed_note_excess(struct sealed *sealed) {
    uint64_t allocated = 0;
    if (memfd_allocated(sealed->fd, &allocated) == 0)
        sealed->excess = (uint32_t) memfd_excess(sealed_map_size(sealed), allocated); /* a part of one huge page */
}

static int sealed_reserve(struct sealed *sealed, struct admission *admission) {
    bool is_padded = sealed->layout == SEALED_PADDED, is_hugetlb = sealed->layout == SEALED_HUGETLB;
    size_t size = is_padded ? sealed->size : sealed_map_size(sealed);
    int r;
    if (is_touched(sealed, &admission->wishes)) {
        r = sealed_map_as_requested(sealed, admission);
        if (r == 0)
            r = reserve_mapped(sealed->fd, sealed_map(sealed), size, sealed->wants_huge, admission);
    } else
        r = reserve_file(sealed->fd, size, is_hugetlb ? NULL : admission);
    if (r == 0 && is_padded)
        r = sealed_cut_padding(sealed, admission);
    if (r == 0 && sealed->layout != SEALED_PADDED)
        sealed_note_excess(sealed);
    return r;
}

int sealed_new(struct sealed *ret, size_t size, enum sealed_layout layout, bool allow_huge,
               struct admission *admission) {
    struct sealed sealed = SEALED_EMPTY;
    bool hugetlb = layout == SEALED_HUGETLB;
    if (sealed_file_size(size, layout) > SIZE_MAX / 2)
        return -ENOMEM;
    int r = memfd_new((size_t) sealed_file_size(size, layout), hugetlb, &sealed.fd);
    if (r == -EFBIG && layout == SEALED_PADDED)
        return sealed_new(ret, size, SEALED_EXACT, allow_huge, admission);
    if (r < 0)
        return r;
    sealed.size = size;
    sealed.layout = layout;
    allow_huge = allow_huge && !(admission->wishes.flags & SEA_MEMORY_NO_HUGE);
    sealed.wants_huge = layout == SEALED_PADDED || (allow_huge && !hugetlb && size >= MEMFD_HUGE_SIZE);
    r = size ? sealed_reserve(&sealed, admission) : 0;
    if (r < 0) {
        sealed_deinit(&sealed);
        if (r == -ENOLCK && layout == SEALED_PADDED) /* the padding is locked too */
            return sealed_new(ret, size, SEALED_EXACT, allow_huge, admission);
        return r;
    }
    *ret = sealed;
    return 0;
}

static int sealed_verify(int fd, const struct sealed_claim *claim, struct memfd_info *ret_info, const char **ret_why) {
    int r = memfd_inspect(fd, ret_info);
    bool is_hugetlb = claim->layout == SEALED_HUGETLB || (claim->any_pages && ret_info->is_hugetlb);
    if (r == -EBADF || r == -EINVAL)
        return *ret_why = "the descriptor is not a memfd", -EBADF;
    if (r < 0)
        return *ret_why = memfd_inspect_why(r), r;
    if (!memfd_seals_hold(ret_info->seals))
        return *ret_why = "the memfd lacks some of F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE", -EBADF;
    if (ret_info->is_hugetlb != is_hugetlb)
        return *ret_why = ret_info->is_hugetlb ? "the memfd is of hugetlb pages, which was not declared"
                                               : "the memfd was declared to be of hugetlb pages, but is not",
               -EBADF;
    if (claim->size != UINT64_MAX && ret_info->size != sealed_file_size(claim->size, claim->layout))
        return *ret_why = "the memfd is not of the declared size", -EMSGSIZE;
    if (ret_info->size > claim->size_max && (claim->size == UINT64_MAX || claim->size > claim->size_max))
        return *ret_why = "the memfd is larger than the limit", -EMSGSIZE;
    if (!reserve_is_whole(ret_info))
        return *ret_why = "the memfd has holes, or pages behind its end", -ENODATA;
    return 0;
}

int sealed_import(struct sealed *ret, int fd, const struct sealed_claim *claim, const char **ret_why) {
    struct memfd_info info = {0};
    int r = sealed_verify(fd, claim, &info, ret_why);
    if (r < 0) {
        reaper_take(&fd, 1);
        return r;
    }
    struct sealed sealed = {
        .fd = fd,
        .size = (size_t) (claim->size == UINT64_MAX ? info.size : claim->size),
        .is_frozen = true,
        .layout = info.is_hugetlb ? SEALED_HUGETLB : claim->layout,
        .wants_huge = info.size >= MEMFD_HUGE_SIZE,
        .excess = (uint32_t) memfd_excess(info.size, info.allocated), /* reserve_is_whole() bounds it */
    };
    void *data = NULL;
    r = sealed_map_to(&sealed, &data);
    if (r < 0) {
        *ret_why = reserve_why_unmapped(reserve_unmapped(r, sealed.size));
        sealed_deinit(&sealed);
        return r;
    }
    *ret = sealed;
    return 0;
}

void *sealed_map(struct sealed *sealed) {
    void *data = NULL;
    return sealed_map_to(sealed, &data) == 0 ? data : NULL;
}

int sealed_map_to(struct sealed *sealed, void **ret_data) {
    if (sealed->size == 0)
        return *ret_data = sealed_nothing, 0;
    /* Acquire [SLD1] pairs with the release below: the mapping was made before it is used. */
    void *mapped = atomic_load_explicit(&sealed->data, memory_order_acquire);
    if (mapped)
        return *ret_data = mapped, 0;
    size_t size = sealed_map_size(sealed);
    const void *view = NULL;
    void *data = NULL;
    int r = sealed->is_frozen ? map_new_readable(sealed->fd, size, &view)
                              : map_new_writable(sealed->fd, size, sealed->wants_huge, &data);
    if (r < 0)
        return r;
    data = sealed->is_frozen ? (void *) (uintptr_t) view : data;
    /* Release [SLD1], partner above. When several threads map at the same time one wins; the others take its
     * mapping. */
    if (atomic_compare_exchange_strong_explicit(&sealed->data, &mapped, data, memory_order_acq_rel,
                                                memory_order_acquire))
        return *ret_data = data, 0;
    map_free(data, size);
    return *ret_data = mapped, 0;
}

int sealed_prefault(struct sealed *sealed) {
    if (sealed->size == 0 || atomic_load_explicit(&sealed->data, memory_order_relaxed))
        return 0;
    void *data = NULL;
    int r = sealed_map_to(sealed, &data);
    if (r == 0)
        r = map_populate(data, sealed_map_size(sealed));
    return r == -EOPNOTSUPP ? 0 : r;
}

int sealed_fill(struct sealed *sealed, size_t offset, const void *data, size_t size) {
    bool is_mapped = atomic_load_explicit(&sealed->data, memory_order_relaxed);
    int r = is_mapped || sealed->layout == SEALED_HUGETLB ? -ENOSYS : file_write(sealed->fd, offset, data, size);
    if (!failure_is_forbidden(r))
        return r;
    void *to = NULL;
    r = sealed_map_to(sealed, &to);
    if (r == 0)
        memcpy((char *) to + offset, data, size);
    return r;
}

int64_t sealed_fill_file(struct sealed *sealed, size_t offset, int fd, int64_t file_offset, size_t size) {
    int64_t n = sealed->layout == SEALED_HUGETLB ? -EOPNOTSUPP : file_move(sealed->fd, offset, fd, file_offset, size);
    if (n >= 0 || (n != -EOPNOTSUPP && !failure_is_forbidden((int) n)))
        return n;
    void *to = NULL;
    int r = sealed_map_to(sealed, &to);
    return r < 0 ? r : file_read(fd, file_offset, (char *) to + offset, size);
}

/* The kernel clears the rest of the last page when the memfd is cut. The last page of a memfd that is rounded up stays
 * whole, and is sent whole. */
static int sealed_clear_behind(struct sealed *sealed, size_t size, size_t file_size) {
    void *data = NULL;
    int r = sealed_map_to(sealed, &data);
    if (r == 0)
        memset((char *) data + size, 0, file_size - size);
    return r;
}

int sealed_shrink(struct sealed *sealed, size_t size) {
    bool stays = sealed->layout != SEALED_PADDED || is_worth_padding(size);
    enum sealed_layout layout = stays ? sealed->layout : SEALED_EXACT;
    size_t file_size = (size_t) sealed_file_size(size, layout);
    int r = layout == SEALED_EXACT ? 0 : sealed_clear_behind(sealed, size, file_size);
    if (r < 0)
        return r;
    sealed_unmap(sealed);
    r = memfd_resize(sealed->fd, file_size);
    if (r < 0)
        return r;
    sealed->size = size;
    sealed->layout = layout;
    sealed_note_excess(sealed);
    return 0;
}

int sealed_freeze(struct sealed *sealed) {
    int fd = -1;
    sealed_unmap(sealed);
    int r = memfd_seal(sealed->fd);
    if (r < 0)
        return r;
    sealed->is_frozen = true;
    if (memfd_reopen(sealed->fd, &fd) == 0) { /* an addition: the seals protect the memory */
        fd_close(sealed->fd);
        sealed->fd = fd;
    }
    return 0;
}

/* The kernel shows a huge page only where this mapping has touched it. */
static void data_touch(const char *data, size_t size) {
    for (size_t at = 0; at < size; at += MEMFD_HUGE_SIZE)
        (void) atomic_load_explicit((const _Atomic char *) data + at, memory_order_relaxed);
}

int sealed_pages(struct sealed *sealed) {
    if (sealed->size == 0)
        return SEA_PAGES_NONE;
    if (sealed->layout == SEALED_HUGETLB)
        return SEA_PAGES_HUGETLB;
    const char *data = sealed->wants_huge ? sealed_map(sealed) : NULL;
    if (!data)
        return SEA_PAGES_SMALL;
    data_touch(data, sealed->size);
    return map_count_huge(data, sealed_map_size(sealed)) ? SEA_PAGES_THP : SEA_PAGES_SMALL;
}
