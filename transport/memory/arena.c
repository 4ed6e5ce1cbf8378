/* SPDX-License-Identifier: MIT */
/*
 * Arenas. See arena.h for the invariants.
 *
 * This room makes the memory only. The pool knows the users of the blocks, the registry charges the memory, and the
 * lane announces it to the peer.
 *
 * Facts relied on (tests/contract/): a mapping from before F_SEAL_FUTURE_WRITE stays writable, and no other way to
 * write is left (test_seal.c); pages of sizes between the base page and 2 MiB come by faults alone (test_folios.c).
 */
#include "memory/arena.h"

#include "memory/reserve.h"
#include "memory/sealed.h"
#include "sys/disposal.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "sys/wait.h"
#include "util/arith.h"
#include "wire/handle.h"
#include <errno.h>
#include <sealane/ctx.h>
#include <stdatomic.h>
#include <unistd.h>

size_t arena_size(size_t stride, uint32_t count) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE), size;
    if (count == 0 || count > HANDLE_INDEX_MAX + 1 || stride == 0 || stride % ARENA_STRIDE_UNIT != 0 ||
        __builtin_mul_overflow(stride, count, &size) || size > SIZE_MAX / 2)
        return 0;
    return round_up(size, page);
}

/* Seals the memfd: only our mapping can write it, and its size is fixed. */
static int arena_close_to_others(struct arena *arena) {
    int fd = -1, r = memfd_seal_others(arena->fd);
    if (r < 0)
        return r;
    r = memfd_reopen(arena->fd, &fd);
    if (r < 0)
        return r;
    fd_close(arena->fd);
    arena->fd = fd;
    return 0;
}

static bool is_huge_wanted(const struct arena *arena, const struct admission *admission) {
    return arena->size >= MEMFD_HUGE_SIZE && !(admission && (admission->wishes.flags & SEA_MEMORY_NO_HUGE)) &&
           sealed_huge_policy() != MEMFD_HUGE_NEVER;
}

/* Like memfd_folio_size(), but the answer may be SEALED_POLICY_AGE old. It is a multiple of 4096, so that time and
 * answer fit into one word. */
static size_t folio_size(void) {
    static _Atomic uint64_t remembered;
    uint64_t now = wait_now() >> 10, last = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (last && now - (last >> 10) < SEALED_POLICY_AGE >> 10)
        return (size_t) (last & 1023) << 12;
    size_t size = memfd_folio_size();
    atomic_store_explicit(&remembered, now << 10 | (uint64_t) size >> 12, memory_order_relaxed);
    return size;
}

/* Touched in order to get larger pages than base ones: a third of the time where there are some
 * (doc/measurements.md). */
static bool is_folio_wanted(const struct arena *arena, const struct admission *admission) {
    if (admission && (admission->wishes.flags & SEA_MEMORY_NO_HUGE))
        return false;
    size_t least = folio_size();
    return least > 0 && arena->size >= least;
}

static int arena_make(struct arena *arena, struct admission *admission) {
    bool huge = is_huge_wanted(arena, admission) || is_folio_wanted(arena, admission);
    void *data = NULL;
    int r = memfd_new(arena->size, false, &arena->fd);
    if (r < 0)
        return r;
    r = map_new_writable(arena->fd, arena->size, huge, &data);
    if (r < 0)
        return r;
    arena->data = data;
    r = reserve_apply_requests(data, arena->size, admission);
    if (r == 0)
        r = reserve_mapped(arena->fd, data, arena->size, huge, admission);
    uint64_t allocated = 0;
    if (r == 0 && memfd_allocated(arena->fd, &allocated) == 0)
        arena->excess = (uint32_t) memfd_excess(arena->size, allocated); /* a part of one huge page */
    return r < 0 ? r : arena_close_to_others(arena);
}

int arena_init(struct arena *ret, size_t stride, uint32_t count, struct admission *admission) {
    struct arena arena = ARENA_EMPTY;
    arena.size = arena_size(stride, count);
    arena.stride = stride;
    arena.count = count;
    int r = arena.size > 0 ? arena_make(&arena, admission) : -ENOMEM;
    if (r < 0) {
        arena_deinit(&arena);
        return r;
    }
    *ret = arena;
    return 0;
}

static int arena_make_private(struct arena *arena, struct admission *admission) {
    int r = admission_admit(admission, arena->size);
    if (r < 0)
        return r;
    arena->data = heap_new(1, arena->size);
    admission_made(admission, arena->size);
    return arena->data ? 0 : -ENOMEM;
}

int arena_init_private(struct arena *ret, size_t stride, uint32_t count, struct admission *admission) {
    struct arena arena = ARENA_EMPTY;
    arena.size = arena_size(stride, count);
    arena.stride = stride;
    arena.count = count;
    arena.is_private = true;
    int r = arena.size > 0 ? arena_make_private(&arena, admission) : -ENOMEM;
    if (r == 0)
        *ret = arena;
    return r;
}

void arena_note_announced(struct arena *arena) {
    arena->is_announced = true;
    fd_close(fd_steal(&arena->fd));
}

void arena_deinit(struct arena *arena) {
    if (arena->is_private)
        disposal_take_heap(arena->data, arena->size);
    else
        map_dispose(arena->data, arena->size, arena->fd);
    *arena = ARENA_EMPTY;
}
