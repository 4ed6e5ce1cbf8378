/* SPDX-License-Identifier: MIT */
/*
 * A view: a peer's arena as we see it, read-only. Its owner may go on writing what it has not lent, and, if it lies,
 * also what it has; it cannot make the memory go away.
 *
 *     block i = data[i * stride, (i + 1) * stride),    count * stride <= size
 *
 * Nothing is charged here: whoever opens one has charged the peer with `size` first.
 * References: one by whoever opened it, one for each block that the application holds, so that what it holds stays
 * readable after the peer is gone. Threads: any may read, hold and drop them, the rest is immutable; but
 * whoever drops what a view is part of belongs to one (pooled_drop_view()).
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
    uint32_t excess; /* bytes of pages behind its end, as the kernel said when it was opened */
    _Atomic uint32_t refs;
};

/*
 * Verifies the descriptor of an arena, in the order that cannot block, maps it, and closes it; the caller has the one
 * reference. Takes `fd`: a rejected one goes to the reaper. On failure *ret_why is a static text that names what is
 * wrong. The peer lied: -EBADF (no memory that only its owner can write), -EMSGSIZE (the numbers, or the size, are not
 * what was declared), -ENODATA (holes). It did not: -ENOMEM (cannot be mapped).
 */
int view_open(struct view *ret, int fd, uint64_t size, uint64_t stride, uint32_t count, const char **ret_why);

void view_ref(struct view *view);

/* True: it was the last, the memory is unmapped, and what the view is part of may be freed. */
bool view_unref(struct view *view);

/* The first `size` bytes of a block; NULL when they do not lie in one. */
static inline const void *view_at(const struct view *view, uint32_t index, uint64_t size) {
    return index < view->count && size <= view->stride ? view->data + view->stride * index : NULL;
}

#endif
