/* SPDX-License-Identifier: MIT */
/*
 * An arena: one memfd, cut into `count` blocks of `stride` bytes. It has one writer, us, and one audience.
 *
 *     block i = data[i * stride, (i + 1) * stride)
 *     size    = count * stride, rounded up to the page
 *     0 < count <= 2^24,  stride a multiple of 64,  1 <= id <= 65535
 *
 * All pages of the memfd exist. It was mapped writable before F_SEAL_FUTURE_WRITE, SHRINK, GROW and SEAL were added, so
 * that this mapping, which no child inherits, is the only way to write it. Its descriptor is read-only; it is handed
 * out once, and closed then. Memory goes back to the kernel only with the whole arena.
 *
 * A private arena has an equal layout, and no audience: it is memory from the heap, for blocks that are sent as copies.
 *
 * Owns: the memory, and the descriptor until it is announced. Touches: the promises of admission, and the pages; large
 * memory goes to the disposal. It charges nothing, and knows no pool. Threads: one at a time, the pool's owner's; after
 * the pool's end the thread that frees the arena. A block's bytes belong to the block's user.
 */
#ifndef MEMORY_ARENA_H
#define MEMORY_ARENA_H

#include "memory/admission.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool_slot;

struct arena {
    char *data; /* owned mapping, writable; of a private one from the heap */
    size_t size, stride;
    struct pool_slot *spare;     /* the size class's: the arena's blocks that are spare */
    struct arena *spare_younger; /* the size class's: the next younger arena with spare blocks */
    uint64_t order;              /* the audience's: an older arena has a smaller one */
    int fd;                      /* owned, read-only; -1: private, or announced */
    uint32_t excess;             /* bytes of pages behind the end, as the kernel reported them at first */
    uint32_t count;
    uint32_t id;       /* the audience's: in the handles of its blocks */
    bool is_announced; /* the peer has, or is about to get, the descriptor */
    bool is_private;
};

#define ARENA_EMPTY ((struct arena){.fd = -1})
#define ARENA_STRIDE_UNIT ((size_t) 64)

/* The size of the memfd of an arena with so many blocks; 0: no arena has this form. */
size_t arena_size(size_t stride, uint32_t count);

/*
 * Makes the memory after admission (`admission` NULL: without). Asks for transparent huge pages from 2 MiB on, and for
 * smaller large pages where the system has them, unless the context wants none. -ENOMEM · -EFBIG (RLIMIT_FSIZE) ·
 * -EMFILE · -ENFILE · the errors of reserve_apply_requests() · -EINVAL where the kernel has no F_SEAL_FUTURE_WRITE
 * (before Linux 5.1).
 */
int arena_init(struct arena *ret, size_t stride, uint32_t count, struct admission *admission);

/* Like arena_init(), with memory from the heap: zeroed, and not reserved, since malloc() cannot reserve. -ENOMEM. */
int arena_init_private(struct arena *ret, size_t stride, uint32_t count, struct admission *admission);

/* The audience has the descriptor, or is about to get it: closes ours. */
void arena_note_announced(struct arena *arena);

/* Frees the memory; accepts ARENA_EMPTY. */
void arena_deinit(struct arena *arena);

static inline void *arena_at(const struct arena *arena, uint32_t index) {
    return arena->data + arena->stride * index;
}

#endif
