/* SPDX-License-Identifier: MIT */
/*
 * An outbox: the memory of a connection that one side writes and the other may only read.
 *
 *     offset 0     line 0   magic, frame lines, release entries: as they were when it was handed out
 *            64    line 1   `asleep` (lane/doorbell.h)
 *            128   line 2   `consumed` (lane/ring.h)
 *            192   line 3   `taken` (lane/ring.h)
 *            1024           the frame ring, a line of 64 bytes each
 *            then           the release ring, 16 bytes an entry; in all a multiple of 4096 bytes
 *
 * The smallest one is a page: many connections are idle. Its rings may be followed by larger ones in memory of their
 * own (lane/ring_growth.h); its first lines are used for as long as the connection lives.
 *
 * Words of different purpose lie in different lines: a line that one side writes often is not read by the other for
 * something else.
 *
 * Ours is mapped writable before it is sealed with F_SEAL_FUTURE_WRITE, so no other process can ever write to it. The
 * peer's is mapped read-only, after it was found to be sealed so.
 *
 * Owns: the mapping and, until it is handed out, the descriptor. Touches: the head of our outbox as it is made; nothing
 * is charged here, nor entered in the census: rings.c and ring_growth.c do so. Threads: the connection's.
 */
#ifndef LANE_OUTBOX_H
#define LANE_OUTBOX_H

#include "lane/ring.h"
#include <stddef.h>

#define OUTBOX_LINES_LEAST 32
#define OUTBOX_LINES_MOST WIRE_RING_LINES_MAX
#define OUTBOX_RELEASES_LEAST 64
#define OUTBOX_RELEASES_MOST WIRE_RING_RELEASES_MAX

struct outbox_page; /* the first 1024 bytes */

struct outbox {
    struct outbox_page *page; /* owned mapping; NULL: none. The peer's is read-only */
    size_t size;              /* of the mapping, bytes */
    uint32_t excess;          /* of ours, bytes of pages behind its end, as the kernel said when it was made */
    uint32_t lines, releases; /* of the rings in use, here or where they have grown to: a power of two each */
    int fd;                   /* owned, until it is handed out; -1 */
};

#define OUTBOX_EMPTY ((struct outbox){.fd = -1})

/* A ring that follows one of an outbox's. */
struct outbox_ring {
    void *at;        /* owned mapping; NULL: none. The peer's is read-only */
    size_t size;     /* of it, bytes */
    uint32_t excess; /* of ours, as of an outbox */
    int fd;          /* owned, until it is handed out; -1 */
};

#define OUTBOX_RING_NONE ((struct outbox_ring){.fd = -1})

/* The entries of a release ring that has room for so many. */
uint32_t outbox_releases_for(uint32_t leases);

/* The size of one of ours. */
size_t outbox_bytes(uint32_t lines, uint32_t releases);

/* Makes ours, with room for `releases` releases at least. Errors: -ENOMEM, -EMFILE, -ENFILE, -EFBIG (RLIMIT_FSIZE), or
 * a failure (sys/failure.h). */
int outbox_new(struct outbox *ret, uint32_t lines, uint32_t releases);

/*
 * Verifies the peer's, in the order that cannot block, and maps it. Takes `fd`: a rejected one goes to the reaper. On
 * failure *ret_why is a static text. Errors: -EBADF, -EMSGSIZE, -ENODATA (the peer lies), -ENOMEM, or a failure.
 */
int outbox_open(struct outbox *ret, int fd, const char **ret_why);

/* Unmaps and closes. Accepts OUTBOX_EMPTY. */
void outbox_deinit(struct outbox *outbox);

/* The memory of a further ring of ours: its size in bytes for so many lines (WIRE_RING_FRAMES) or entries; made as
 * outbox_new() makes one; verified and mapped as outbox_open() does the peer's, of exactly that size. */
size_t outbox_ring_bytes(uint32_t kind, uint32_t count);
int outbox_ring_new(struct outbox_ring *ret, size_t size);
int outbox_ring_open(struct outbox_ring *ret, int fd, size_t size, const char **ret_why);
void outbox_ring_deinit(struct outbox_ring *ring);

/* Its parts, as they were when it was handed out. Of the peer's, only the const ones are of use: the pages are
 * read-only. */
struct line *outbox_frames(const struct outbox *outbox);
struct release_entry *outbox_releases(const struct outbox *outbox);
shared32 *outbox_asleep(const struct outbox *outbox);
shared32 *outbox_consumed(const struct outbox *outbox);
shared32 *outbox_taken(const struct outbox *outbox);

#endif
