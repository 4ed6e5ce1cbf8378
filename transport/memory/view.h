/* SPDX-License-Identifier: MIT */
/*
 * A view: a peer's arena as we see it, read-only. The arena's owner may write blocks that it has not lent, and, if it
 * lies, also blocks that it has lent. It cannot make the memory go away.
 *
 *     block i = data[i * stride, (i + 1) * stride),    count * stride <= size
 *
 * A view charges nothing: the caller of view_open() has charged the peer with `size` before. References: the caller of
 * view_open() has one, and each block that the application holds has one, so that blocks stay readable after the peer
 * is gone.
 *
 * Owns: the mapping, which goes to the disposal if it is large. Threads: any thread may read a view and take or drop
 * references, since the rest is immutable. The object that contains a view, and its charge, belong to one thread
 * (registry/views.h).
 */
#ifndef MEMORY_VIEW_H
#define MEMORY_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view {
    const char *data; /* owned mapping */
    size_t size, stride;
    uint32_t count;
    uint32_t excess; /* bytes of pages behind the end, as the kernel reported them when the view was opened */
    _Atomic uint32_t refs;
};

/*
 * Verifies the descriptor of an arena, in the order that cannot block, maps it, and closes it. The caller gets the one
 * reference. Takes `fd`: a rejected one goes to the reaper. On failure *ret_why is a static text that names the reason.
 * Errors of a peer that lied: -EBADF (no memory that only its owner can write), -EMSGSIZE (the numbers are impossible,
 * or the size differs from the declared one), -ENODATA (holes). Another error: -ENOMEM (the memory cannot be mapped).
 */
int view_open(struct view *ret, int fd, uint64_t size, uint64_t stride, uint32_t count, const char **ret_why);

void view_ref(struct view *view);

/* Drops a reference. True: it was the last one, the memory is unmapped, and the object that contains the view may be
 * freed. */
bool view_unref(struct view *view);

/* Returns the first `size` bytes of a block; NULL: no block contains them. */
static inline const void *view_at(const struct view *view, uint32_t index, uint64_t size) {
    return index < view->count && size <= view->stride ? view->data + view->stride * index : NULL;
}

#endif
