/* SPDX-License-Identifier: MIT */
/*
 * A view: a peer's arena as we see it, read-only. The arena's owner may write blocks that it has not lent, and, if it
 * lies, also blocks that it has lent. It cannot make the memory go away.
 *
 *     block i = data[i * stride, (i + 1) * stride),    count * stride <= size
 *
 * A view charges nothing: the caller of view_open() has charged the peer with `size` before. It stays readable after
 * the peer is gone, until view_close(): registry/views.h counts who still needs it.
 *
 * Owns: the mapping, which goes to the disposal if it is large. Threads: view_open() and view_close() belong to the
 * thread of the object that contains the view (registry/views.h). In between any thread may read a view, which is
 * immutable; all of them have ended that when the view is closed.
 */
#ifndef MEMORY_VIEW_H
#define MEMORY_VIEW_H

#include <stddef.h>
#include <stdint.h>

struct view {
    const char *data; /* owned mapping */
    size_t size, stride;
    uint32_t count;
    uint32_t excess; /* bytes of pages behind the end, as the kernel reported them when the view was opened */
};

/*
 * Verifies the descriptor of an arena, in the order that cannot block, maps it, and closes it. Takes `fd`: a rejected
 * one goes to the reaper. On failure *ret_why is a static text that names the reason. Errors of a peer that lied:
 * -EBADF (no memory that only its owner can write), -EMSGSIZE (the numbers are impossible, or the size differs from the
 * declared one), -ENODATA (holes). Another error: -ENOMEM (the memory cannot be mapped).
 */
int view_open(struct view *ret, int fd, uint64_t size, uint64_t stride, uint32_t count, const char **ret_why);

/* Unmaps the memory. */
void view_close(struct view *view);

/* Returns the first `size` bytes of a block; NULL: no block contains them. */
static inline const void *view_at(const struct view *view, uint32_t index, uint64_t size) {
    return index < view->count && size <= view->stride ? view->data + view->stride * index : NULL;
}

#endif
