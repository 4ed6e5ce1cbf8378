/* SPDX-License-Identifier: MIT */
/* Larger rings: ours are made and announced, the peer's are followed. See ring_growth.h. */
#include "lane/ring_growth.h"

#include "lane/lane.h"
#include "sys/failure.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/reaper.h"
#include "sys/wait.h"
#include <errno.h>

/* A ring of 64 lines is a page more: that is not worth a second memfd, so a ring that may not be larger begins with
 * that. */
enum { LINES_FIRST = OUTBOX_LINES_LEAST, LINES_NOT_WORTH_IT = 64 };

/* A small ring that goes round in less time is a busy connection's. Some 1,500 small calls a second; an
 * application with fewer calls waits for other things than the ring. */
static const uint64_t BUSY_LAP_NS = UINT64_C(10) * 1000 * 1000;

uint32_t growth_first_lines(uint32_t lines) {
    return lines <= LINES_NOT_WORTH_IT ? lines : LINES_FIRST;
}

void lane_begin_growth(struct lane *lane, uint32_t lines, uint32_t entries) {
    lane->growth = (struct growth){.frames = OUTBOX_RING_NONE,
                                   .releases = OUTBOX_RING_NONE,
                                   .their_frames = OUTBOX_RING_NONE,
                                   .their_releases = OUTBOX_RING_NONE,
                                   .lines = lines,
                                   .entries = entries};
    if (!growth_is_done(&lane->growth, &lane->own))
        lane->out.room--; /* for the mark that ends it */
}

static void drop_own(struct lane *lane, struct outbox_ring *ring) {
    if (ring->at)
        lane_uncharge_outbox(lane, ring->size + ring->excess);
    outbox_ring_deinit(ring);
}

void lane_end_growth(struct lane *lane) {
    struct growth *growth = &lane->growth;
    census_leave(&lane->frames_counted);
    census_leave(&lane->releases_counted);
    drop_own(lane, &growth->frames);
    drop_own(lane, &growth->releases);
    outbox_ring_deinit(&growth->their_frames);
    outbox_ring_deinit(&growth->their_releases);
    growth->their_mark = growth->their_entries = 0;
}

/* --- ours --- */

static bool may_try(struct growth *growth) {
    if (growth->retry_at && wait_now() >= growth->retry_at)
        growth->retry_at = 0;
    return growth->retry_at == 0;
}

/* Nothing is noted as refused: the sender does not fail for it. */
static int charge_quietly(sea_ctx *ctx, size_t size) {
    struct refusal_log unheard;
    refusal_init(&unheard);
    admission_watch(&ctx->admission, size, 0, 0);
    int r = quota_charge(&ctx->budget, size, 0, 0, &unheard);
    refusal_deinit(&unheard);
    if (r == 0)
        ctx_count(ctx, outbox_bytes, size);
    return r;
}

/* Of pages that the kernel added. Without room for them the ring goes again. */
static int charge_excess(struct lane *lane, struct outbox_ring *ring) {
    int r = ring->excess > 0 ? charge_quietly(lane->ctx, ring->excess) : 0;
    if (r < 0) {
        ring->excess = 0;
        drop_own(lane, ring);
    }
    return r;
}

static int ring_memory_new(struct lane *lane, size_t size, struct outbox_ring *ret_memory) {
    int r = charge_quietly(lane->ctx, size);
    if (r < 0)
        return r;
    r = admission_admit(&lane->ctx->admission, size);
    if (r == 0) {
        r = outbox_ring_new(ret_memory, size);
        admission_made(&lane->ctx->admission, size);
    }
    if (r < 0)
        lane_uncharge_outbox(lane, size);
    return r < 0 ? r : charge_excess(lane, ret_memory);
}

/* Makes the memory, unless it was made before, and has the peer get its descriptor. If the descriptor cannot be sent
 * now, above all for want of room in the socket, the memory stays in `memory` for the next attempt. */
static int ring_announce(struct lane *lane, const struct wire_ring *ring, struct outbox_ring *memory) {
    uint8_t buf[WIRE_RING_SIZE];
    struct iovec iov = {.iov_base = buf, .iov_len = wire_encode_ring(buf, ring)};
    int r = memory->at ? 0 : ring_memory_new(lane, outbox_ring_bytes(ring->kind, ring->count), memory);
    if (r == 0) {
        r = fdpass_send(lane->fd, &iov, 1, &memory->fd, 1);
        if (r == -EPIPE)
            lane_note_sent(lane, r);
    }
    if (r == 0)
        memory->fd = fd_close(memory->fd);
    lane->growth.retry_at = r < 0 ? wait_now() + GROWTH_RETRY_NS : 0;
    return r;
}

/* There is always room for it: of the frame ring's own growth in the line that was kept. */
static void ring_mark(struct lane *lane) {
    uint64_t words[LINE_WORDS];
    line_encode(words, WIRE_MARK, ++lane->datagrams_out, NULL);
    ring_write_line(&lane->out, words);
    lane->doorbell.due |= DOORBELL_FRAMES;
}

int lane_grow_frames(struct lane *lane) {
    struct growth *growth = &lane->growth;
    const struct wire_ring ring = {.kind = WIRE_RING_FRAMES, .count = growth->lines};
    if (growth_is_done(growth, &lane->own))
        return -EALREADY;
    if (lane->is_broken || lane->has_failed || !may_try(growth))
        return -EAGAIN;
    int r = ring_announce(lane, &ring, &growth->frames);
    if (r < 0)
        return r;
    census_enter_mapped(&lane->ctx->census, &lane->frames_counted, growth->frames.at, growth->frames.size,
                        growth->frames.excess);
    ring_mark(lane);
    ring_out_move(&lane->out, growth->frames.at, growth->lines);
    lane_set_small(lane);
    lane->own.lines = growth->lines;
    return 0;
}

void lane_consider_growth(struct lane *lane) {
    struct growth *growth = &lane->growth;
    if (growth_is_done(growth, &lane->own) || lane->out.tail - growth->lap_tail < lane->own.lines)
        return;
    uint64_t now = wait_now();
    bool is_busy = growth->lap_at && now - growth->lap_at < BUSY_LAP_NS;
    growth->lap_at = now;
    growth->lap_tail = lane->out.tail;
    if (is_busy)
        lane_grow_frames(lane);
}

/* Its mark needs a line as any datagram's does. */
static int grow_releases(struct lane *lane) {
    struct growth *growth = &lane->growth;
    const struct wire_ring ring = {
        .kind = WIRE_RING_RELEASES, .count = growth->entries, .from = (uint32_t) lane->releases_out.tail};
    if (lane->own.releases >= growth->entries || lane->is_broken || lane->has_failed || !may_try(growth))
        return -EAGAIN;
    int r = lane_ring_room(lane, 1);
    if (r == 0)
        r = ring_announce(lane, &ring, &growth->releases);
    if (r < 0)
        return r;
    census_enter_mapped(&lane->ctx->census, &lane->releases_counted, growth->releases.at, growth->releases.size,
                        growth->releases.excess);
    ring_mark(lane);
    release_out_move(&lane->releases_out, growth->releases.at, growth->entries);
    lane->own.releases = growth->entries;
    return 0;
}

int lane_release_room(struct lane *lane) {
    int r = release_has_room(&lane->releases_out);
    return r == 0 && grow_releases(lane) == 0 ? 1 : r;
}

/* --- theirs --- */

static const char *ring_check(const struct lane *lane, const struct wire_ring *ring) {
    const struct growth *growth = &lane->growth;
    bool is_frames = ring->kind == WIRE_RING_FRAMES;
    if (is_frames ? growth->their_frames.at : growth->their_releases.at)
        return "a ring was announced that has grown already";
    if (ring->count <= (is_frames ? lane->theirs.lines : lane->theirs.releases))
        return "a ring was announced that is not larger than the one before it";
    if (!is_frames && ring->from - (uint32_t) lane->releases_in.head > lane->theirs.releases)
        return "a release ring was announced that begins at no release of the one before it";
    return NULL;
}

static void accept_releases(struct lane *lane, const struct wire_ring *ring) {
    struct growth *growth = &lane->growth;
    growth->their_entries = ring->count;
    growth->their_from = ring->from;
    lane->theirs.releases = ring->count;
    lane_follow_releases(lane);
}

int lane_accept_ring(struct lane *lane, const struct wire_ring *ring, int fd, const char **ret_why) {
    struct growth *growth = &lane->growth;
    bool is_frames = ring->kind == WIRE_RING_FRAMES;
    struct outbox_ring *memory = is_frames ? &growth->their_frames : &growth->their_releases;
    *ret_why = ring_check(lane, ring);
    if (*ret_why) {
        if (fd >= 0)
            reaper_take(&fd, 1);
        return -EPROTO;
    }
    if (fd < 0)
        return *ret_why = lane->is_server
                              ? "the server's process has no descriptor left for a larger ring (its RLIMIT_NOFILE)"
                              : "the client's process has no descriptor left for a larger ring (its RLIMIT_NOFILE)",
               -EMFILE;
    int r = outbox_ring_open(memory, fd, outbox_ring_bytes(ring->kind, ring->count), ret_why);
    if (r == -ENOMEM || failure_call(r))
        return failure_error(r);
    if (r < 0)
        return -EPROTO;
    if (is_frames) {
        growth->their_mark = lane->datagrams_in;
        growth->their_lines = ring->count;
    } else {
        accept_releases(lane, ring);
    }
    return 0;
}

void lane_follow_frames(struct lane *lane, uint64_t number) {
    struct growth *growth = &lane->growth;
    if (growth->their_mark == 0 || growth->their_mark != number)
        return;
    growth->their_mark = 0;
    lane->theirs.lines = growth->their_lines;
    ring_in_move(&lane->in, growth->their_frames.at, growth->their_lines);
    lane_set_small(lane);
}

void lane_follow_releases(struct lane *lane) {
    struct growth *growth = &lane->growth;
    if ((uint32_t) lane->releases_in.head != growth->their_from)
        return;
    release_in_move(&lane->releases_in, growth->their_releases.at, growth->their_entries);
    growth->their_entries = 0;
}
