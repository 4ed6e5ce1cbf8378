/* SPDX-License-Identifier: MIT */
/* Outboxes: their memory. See outbox.h. What is written there is the business of the rings and of the bell. */
#include "lane/outbox.h"

#include "memory/reserve.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/memfd.h"
#include "sys/reaper.h"
#include <assert.h>
#include <errno.h>

static const uint32_t OUTBOX_MAGIC = 0x424c4553; /* "SELB" */

#define PAGE 4096

struct outbox_page {
    shared32 magic, lines, releases;
    uint32_t reserved0[13];
    shared32 asleep;
    uint32_t reserved1[15];
    shared32 consumed;
    uint32_t reserved2[15];
    uint8_t reserved3[PAGE - 192];
};

static_assert(sizeof(struct outbox_page) == PAGE, "the frame ring begins at 4096");
static_assert(offsetof(struct outbox_page, asleep) == 64 && offsetof(struct outbox_page, consumed) == 128,
              "a line for each");

static size_t outbox_size(uint32_t lines, uint32_t releases) {
    size_t size = PAGE + (size_t) lines * LINE_SIZE + (size_t) releases * sizeof(struct release_entry);
    return (size + PAGE - 1) & ~(size_t) (PAGE - 1);
}

static uint32_t power_at_least(uint32_t n) {
    uint32_t power = OUTBOX_RELEASES_LEAST;
    while (power < n && power < OUTBOX_RELEASES_MOST)
        power *= 2;
    return power;
}

static bool is_power_within(uint32_t n, uint32_t least, uint32_t most) {
    return n >= least && n <= most && (n & (n - 1)) == 0;
}

/* Reserved before it is mapped, so that no write to it raises SIGBUS. */
static int outbox_make(struct outbox *outbox) {
    int fd = -1;
    void *data = NULL;
    struct memfd_info info;
    int r = memfd_new(outbox->size, false, &outbox->fd);
    if (r == 0)
        r = memfd_reserve(outbox->fd, 0, outbox->size);
    if (r == 0)
        r = map_new_writable(outbox->fd, outbox->size, false, &data);
    outbox->page = data;
    if (r == 0)
        r = memfd_seal_others(outbox->fd);
    if (r == 0)
        r = memfd_inspect(outbox->fd, &info); /* where that is forbidden the peer's could not be verified */
    if (r == 0)
        r = memfd_reopen(outbox->fd, &fd);
    if (r < 0)
        return r;
    fd_close(outbox->fd);
    outbox->fd = fd;
    return 0;
}

size_t outbox_bytes(uint32_t lines, uint32_t releases) {
    return outbox_size(lines, power_at_least(releases));
}

int outbox_new(struct outbox *ret, uint32_t lines, uint32_t releases) {
    assert(is_power_within(lines, OUTBOX_LINES_LEAST, OUTBOX_LINES_MOST) && releases <= OUTBOX_RELEASES_MOST);
    struct outbox outbox = {.fd = -1, .lines = lines, .releases = power_at_least(releases)};
    outbox.size = outbox_size(outbox.lines, outbox.releases);
    int r = outbox_make(&outbox);
    if (r < 0) {
        outbox_deinit(&outbox);
        return r;
    }
    shared32_store(&outbox.page->magic, OUTBOX_MAGIC);
    shared32_store(&outbox.page->lines, outbox.lines);
    shared32_store(&outbox.page->releases, outbox.releases);
    *ret = outbox;
    return 0;
}

static int outbox_verify(int fd, struct memfd_info *ret_info, const char **ret_why) {
    int r = memfd_inspect(fd, ret_info);
    if (r == -EBADF || r == -EINVAL)
        return *ret_why = "the outbox is not a memfd", -EBADF;
    if (r < 0)
        return *ret_why = memfd_inspect_why(r), r;
    if (!memfd_seals_hold_others(ret_info->seals))
        return *ret_why = "the outbox lacks some of F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE",
               -EBADF;
    if (ret_info->is_hugetlb)
        return *ret_why = "the outbox is of hugetlb pages", -EBADF;
    if (ret_info->size < outbox_size(OUTBOX_LINES_LEAST, OUTBOX_RELEASES_LEAST) ||
        ret_info->size > outbox_size(OUTBOX_LINES_MOST, OUTBOX_RELEASES_MOST))
        return *ret_why = "the outbox has a size out of range", -EMSGSIZE;
    if (!reserve_is_whole(ret_info))
        return *ret_why = "the outbox has holes", -ENODATA;
    return 0;
}

/* The peer can change these words after we have read them: they are read once. */
static int outbox_read_shape(struct outbox *outbox, uint32_t releases_least, const char **ret_why) {
    if (shared32_load(&outbox->page->magic) != OUTBOX_MAGIC)
        return *ret_why = "the outbox lacks its magic", -EBADF;
    outbox->lines = shared32_load(&outbox->page->lines);
    outbox->releases = shared32_load(&outbox->page->releases);
    if (!is_power_within(outbox->lines, OUTBOX_LINES_LEAST, OUTBOX_LINES_MOST) ||
        !is_power_within(outbox->releases, OUTBOX_RELEASES_LEAST, OUTBOX_RELEASES_MOST))
        return *ret_why = "the outbox has rings of a size out of range", -EBADF;
    if (outbox->releases < releases_least)
        return *ret_why = "the outbox has a release ring for fewer blocks than its side takes", -EBADF;
    if (outbox_size(outbox->lines, outbox->releases) != outbox->size)
        return *ret_why = "the outbox is not as large as its rings", -EMSGSIZE;
    return 0;
}

int outbox_open(struct outbox *ret, int fd, uint32_t releases_least, const char **ret_why) {
    struct memfd_info info = {0};
    const void *data = NULL;
    int r = outbox_verify(fd, &info, ret_why);
    if (r < 0) {
        reaper_take(&fd, 1);
        return r;
    }
    r = map_new_readable(fd, (size_t) info.size, &data);
    fd_close(fd);
    if (r < 0)
        return *ret_why = reserve_why_unmapped(reserve_unmapped(r, info.size)), r;
    struct outbox outbox = {.page = (struct outbox_page *) (uintptr_t) data, .size = (size_t) info.size, .fd = -1};
    r = outbox_read_shape(&outbox, releases_least, ret_why);
    if (r < 0) {
        outbox_deinit(&outbox);
        return r;
    }
    *ret = outbox;
    return 0;
}

void outbox_deinit(struct outbox *outbox) {
    map_free(outbox->page, outbox->size);
    fd_close(outbox->fd);
    *outbox = OUTBOX_EMPTY;
}

struct line *outbox_frames(const struct outbox *outbox) {
    return (struct line *) (void *) ((char *) outbox->page + PAGE);
}

struct release_entry *outbox_releases(const struct outbox *outbox) {
    return (struct release_entry *) (void *) ((char *) outbox->page + PAGE + (size_t) outbox->lines * LINE_SIZE);
}

shared32 *outbox_asleep(const struct outbox *outbox) {
    return &outbox->page->asleep;
}

shared32 *outbox_consumed(const struct outbox *outbox) {
    return &outbox->page->consumed;
}
