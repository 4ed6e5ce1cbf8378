/* SPDX-License-Identifier: MIT */
/* Outboxes: their memory. See outbox.h. The rings and the doorbell write their contents. */
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
#define HEAD 1024

struct outbox_page {
    shared32 magic, lines, releases;
    uint32_t reserved0[13];
    shared32 asleep;
    uint32_t reserved1[15];
    shared32 consumed;
    uint32_t reserved2[15];
    shared32 taken;
    uint8_t reserved3[HEAD - 196];
};

static_assert(sizeof(struct outbox_page) == HEAD, "the frame ring begins at 1024");
static_assert(offsetof(struct outbox_page, asleep) == 64 && offsetof(struct outbox_page, consumed) == 128 &&
                  offsetof(struct outbox_page, taken) == 192,
              "a line for each");

static size_t whole_pages(size_t size) {
    return (size + PAGE - 1) & ~(size_t) (PAGE - 1);
}

static size_t outbox_size(uint32_t lines, uint32_t releases) {
    return whole_pages(HEAD + (size_t) lines * LINE_SIZE + (size_t) releases * sizeof(struct release_entry));
}

size_t outbox_ring_bytes(uint32_t kind, uint32_t count) {
    return whole_pages(count * (kind == WIRE_RING_FRAMES ? (size_t) LINE_SIZE : sizeof(struct release_entry)));
}

uint32_t outbox_releases_for(uint32_t leases) {
    uint32_t power = OUTBOX_RELEASES_LEAST;
    while (power < leases && power < OUTBOX_RELEASES_MOST)
        power *= 2;
    return power;
}

static bool is_power_within(uint32_t n, uint32_t least, uint32_t most) {
    return n >= least && n <= most && (n & (n - 1)) == 0;
}

/* Reserved before it is mapped, so that no write to it raises SIGBUS. */
static int ring_make(struct outbox_ring *ring) {
    int fd = -1;
    struct memfd_info info = {0};
    int r = memfd_new(ring->size, false, &ring->fd);
    if (r == 0)
        r = memfd_reserve(ring->fd, 0, ring->size);
    if (r == 0)
        r = map_new_writable(ring->fd, ring->size, false, &ring->at);
    if (r == 0)
        r = memfd_seal_others(ring->fd);
    if (r == 0)
        r = memfd_inspect(ring->fd, &info); /* where that is forbidden the peer's could not be verified */
    if (r == 0)
        r = memfd_reopen(ring->fd, &fd);
    if (r < 0)
        return r;
    ring->excess = (uint32_t) memfd_excess(ring->size, info.allocated); /* a part of one huge page */
    fd_close(ring->fd);
    ring->fd = fd;
    return 0;
}

int outbox_ring_new(struct outbox_ring *ret, size_t size) {
    struct outbox_ring ring = {.size = size, .fd = -1};
    int r = ring_make(&ring);
    if (r < 0)
        outbox_ring_deinit(&ring);
    else
        *ret = ring;
    return r;
}

void outbox_ring_deinit(struct outbox_ring *ring) {
    map_free(ring->at, ring->size);
    fd_close(ring->fd);
    *ring = OUTBOX_RING_NONE;
}

size_t outbox_bytes(uint32_t lines, uint32_t releases) {
    return outbox_size(lines, outbox_releases_for(releases));
}

int outbox_new(struct outbox *ret, uint32_t lines, uint32_t releases) {
    assert(is_power_within(lines, OUTBOX_LINES_LEAST, OUTBOX_LINES_MOST) && releases <= OUTBOX_RELEASES_MOST);
    struct outbox_ring memory = OUTBOX_RING_NONE;
    int r = outbox_ring_new(&memory, outbox_bytes(lines, releases));
    if (r < 0)
        return r;
    struct outbox outbox = {
        .page = memory.at, .size = memory.size, .fd = memory.fd, .lines = lines, .excess = memory.excess};
    outbox.releases = outbox_releases_for(releases);
    shared32_store(&outbox.page->magic, OUTBOX_MAGIC);
    shared32_store(&outbox.page->lines, outbox.lines);
    shared32_store(&outbox.page->releases, outbox.releases);
    *ret = outbox;
    return 0;
}

/* What may be wrong with a descriptor, of an outbox and of a ring. */
struct faults {
    const char *not_memfd, *seals, *hugetlb, *size, *holes;
};

#define FAULTS(what)                                                                                             \
    {                                                                                                            \
        "the " what " is not a memfd",                                                                           \
            "the " what " lacks some of F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE",           \
            "the " what " is of hugetlb pages", "the " what " has a size out of range", "the " what " has holes" \
    }

static const struct faults OUTBOX_FAULTS = FAULTS("outbox"), RING_FAULTS = FAULTS("ring");

static int ring_verify(int fd, size_t least, size_t most, const struct faults *faults, struct memfd_info *ret_info,
                       const char **ret_why) {
    int r = memfd_inspect(fd, ret_info);
    if (r == -EBADF || r == -EINVAL)
        return *ret_why = faults->not_memfd, -EBADF;
    if (r < 0)
        return *ret_why = memfd_inspect_why(r), r;
    if (!memfd_seals_hold_others(ret_info->seals))
        return *ret_why = faults->seals, -EBADF;
    if (ret_info->is_hugetlb)
        return *ret_why = faults->hugetlb, -EBADF;
    if (ret_info->size < least || ret_info->size > most)
        return *ret_why = faults->size, -EMSGSIZE;
    if (!reserve_is_whole(ret_info))
        return *ret_why = faults->holes, -ENODATA;
    return 0;
}

/* Takes `fd`. */
static int ring_open(struct outbox_ring *ret, int fd, size_t least, size_t most, const struct faults *faults,
                     const char **ret_why) {
    struct memfd_info info = {0};
    const void *data = NULL;
    int r = ring_verify(fd, least, most, faults, &info, ret_why);
    if (r < 0) {
        reaper_take(&fd, 1);
        return r;
    }
    r = map_new_readable(fd, (size_t) info.size, &data);
    fd_close(fd);
    if (r < 0)
        return *ret_why = reserve_why_unmapped(reserve_unmapped(r, info.size)), r;
    *ret = (struct outbox_ring){.at = (void *) (uintptr_t) data, .size = (size_t) info.size, .fd = -1};
    return 0;
}

int outbox_ring_open(struct outbox_ring *ret, int fd, size_t size, const char **ret_why) {
    return ring_open(ret, fd, size, size, &RING_FAULTS, ret_why);
}

/* The peer can change these words after we have read them: they are read once. */
static int outbox_read_shape(struct outbox *outbox, const char **ret_why) {
    if (shared32_load(&outbox->page->magic) != OUTBOX_MAGIC)
        return *ret_why = "the outbox lacks its magic", -EBADF;
    outbox->lines = shared32_load(&outbox->page->lines);
    outbox->releases = shared32_load(&outbox->page->releases);
    if (!is_power_within(outbox->lines, OUTBOX_LINES_LEAST, OUTBOX_LINES_MOST) ||
        !is_power_within(outbox->releases, OUTBOX_RELEASES_LEAST, OUTBOX_RELEASES_MOST))
        return *ret_why = "the outbox has rings of a size out of range", -EBADF;
    if (outbox_size(outbox->lines, outbox->releases) != outbox->size)
        return *ret_why = "the outbox is not as large as its rings", -EMSGSIZE;
    return 0;
}

int outbox_open(struct outbox *ret, int fd, const char **ret_why) {
    struct outbox_ring memory = OUTBOX_RING_NONE;
    int r = ring_open(&memory, fd, outbox_size(OUTBOX_LINES_LEAST, OUTBOX_RELEASES_LEAST),
                      outbox_size(OUTBOX_LINES_MOST, OUTBOX_RELEASES_MOST), &OUTBOX_FAULTS, ret_why);
    if (r < 0)
        return r;
    struct outbox outbox = {.page = memory.at, .size = memory.size, .fd = -1};
    r = outbox_read_shape(&outbox, ret_why);
    if (r < 0)
        outbox_deinit(&outbox);
    else
        *ret = outbox;
    return r;
}

void outbox_deinit(struct outbox *outbox) {
    map_free(outbox->page, outbox->size);
    fd_close(outbox->fd);
    *outbox = OUTBOX_EMPTY;
}

struct line *outbox_frames(const struct outbox *outbox) {
    return (struct line *) (void *) ((char *) outbox->page + HEAD);
}

struct release_entry *outbox_releases(const struct outbox *outbox) {
    return (struct release_entry *) (void *) ((char *) outbox->page + HEAD + (size_t) outbox->lines * LINE_SIZE);
}

shared32 *outbox_asleep(const struct outbox *outbox) {
    return &outbox->page->asleep;
}

shared32 *outbox_consumed(const struct outbox *outbox) {
    return &outbox->page->consumed;
}

shared32 *outbox_taken(const struct outbox *outbox) {
    return &outbox->page->taken;
}
