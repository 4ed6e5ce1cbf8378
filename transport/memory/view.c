/* SPDX-License-Identifier: MIT */
/* Views of peers' arenas. See view.h. */
#include "memory/view.h"

#include "memory/arena.h"
#include "memory/reserve.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "sys/reaper.h"
#include "wire/handle.h"
#include <errno.h>

/* Is this a valid division of an arena into blocks? */
static bool is_shape_valid(uint64_t size, uint64_t stride, uint32_t count) {
    return count > 0 && count <= HANDLE_INDEX_MAX + 1 && stride > 0 && stride % ARENA_STRIDE_UNIT == 0 &&
           size <= SIZE_MAX / 2 && stride <= size / count;
}

static int view_verify(int fd, uint64_t size, uint64_t stride, uint32_t count, uint32_t *ret_excess,
                       const char **ret_why) {
    struct memfd_info info = {0};
    int r = memfd_inspect(fd, &info);
    if (r == -EBADF || r == -EINVAL)
        return *ret_why = "the descriptor is not a memfd", -EBADF;
    if (r < 0)
        return *ret_why = memfd_inspect_why(r), r;
    if (!memfd_seals_hold_others(info.seals))
        return *ret_why = "the memfd lacks some of F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE",
               -EBADF;
    if (info.is_hugetlb)
        return *ret_why = "the memfd is of hugetlb pages, which was not declared", -EBADF;
    if (info.size != size)
        return *ret_why = "the memfd is not of the declared size", -EMSGSIZE;
    if (!is_shape_valid(size, stride, count))
        return *ret_why = "the declared blocks do not fit in the arena", -EMSGSIZE;
    if (!reserve_is_whole(&info))
        return *ret_why = "the memfd has holes, or pages behind its end", -ENODATA;
    *ret_excess = (uint32_t) memfd_excess(info.size, info.allocated); /* a part of one huge page */
    return 0;
}

int view_open(struct view *ret, int fd, uint64_t size, uint64_t stride, uint32_t count, const char **ret_why) {
    const void *data = NULL;
    uint32_t excess = 0;
    int r = view_verify(fd, size, stride, count, &excess, ret_why);
    if (r < 0) {
        reaper_take(&fd, 1);
        return r;
    }
    r = map_new_readable(fd, (size_t) size, &data);
    fd_close(fd);
    if (r < 0)
        return *ret_why = reserve_why_unmapped(reserve_unmapped(r, size)), r;
    *ret =
        (struct view){.data = data, .size = (size_t) size, .stride = (size_t) stride, .count = count, .excess = excess};
    return 0;
}

void view_close(struct view *view) {
    map_dispose(view->data, view->size, -1);
    view->data = NULL;
}
