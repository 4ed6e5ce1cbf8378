/* SPDX-License-Identifier: MIT */
/*
 * What a lane does with its outboxes: opening them, room, releases, sleep and wake-up.
 *
 * Nothing here waits. The driver of the lane looks for work (lane_has_work()), and announces its sleep before it waits
 * for the socket (lane_prepare_sleep()).
 *
 * Owns: both outboxes (fields of struct lane) with their charge and census entry. Touches: the doorbell; `has_more`;
 * the context's budget, admission and census; leases, which incoming releases end; the pools, which are maintained from
 * here. It calls the owner by `changed` and `trim`, and an admission callback. Threads: the connection's.
 */
#include "lane/lane.h"

#include "lane/ring_growth.h"
#include "memory/reserve.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/wait.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>

static int charge_outbox(sea_ctx *ctx, size_t size) {
    admission_watch(&ctx->admission, size, 0, 0);
    admission_tell(&ctx->admission); /* the application's callback may free the missing memory */
    int r = quota_charge(&ctx->budget, size, 0, 0, &ctx->refusals);
    if (r == 0)
        ctx_count(ctx, outbox_bytes, size);
    return r;
}

void lane_uncharge_outbox(struct lane *lane, size_t size) {
    quota_return(&lane->ctx->budget, size, 0, 0);
    ctx_uncount(lane->ctx, outbox_bytes, size);
}

static uint32_t first_lines(const struct lane *lane) {
    return growth_first_lines(negotiation_ring_lines(lane->options));
}

static int admit_outbox(struct lane *lane, size_t size) {
    int r = admission_admit_and_tell(&lane->ctx->admission, size);
    if (r < 0)
        return r;
    r = outbox_new(&lane->own, first_lines(lane), OUTBOX_RELEASES_LEAST);
    admission_made(&lane->ctx->admission, size);
    return r;
}

/* Charges for pages that the kernel added, and has the outbox counted. Without room for them it goes again. */
static int enter_outbox(struct lane *lane) {
    struct outbox *own = &lane->own;
    int r = own->excess > 0 ? charge_outbox(lane->ctx, own->excess) : 0;
    if (r < 0) {
        lane_uncharge_outbox(lane, own->size);
        outbox_deinit(own);
        return r;
    }
    census_enter_mapped(&lane->ctx->census, &lane->own_counted, own->page, own->size, own->excess);
    return 0;
}

/* Charged for as long as there is one: many connections are much memory. Its descriptor is not, which goes out at once.
 */
int lane_make_outbox(struct lane *lane) {
    size_t size = outbox_bytes(first_lines(lane), OUTBOX_RELEASES_LEAST);
    int r = charge_outbox(lane->ctx, size);
    if (r == 0 && (r = admit_outbox(lane, size)) < 0) {
        lane_uncharge_outbox(lane, size);
        r = reserve_explain(r, size, false, &lane->ctx->admission);
    } else if (r == 0) {
        r = enter_outbox(lane);
    }
    if (r < 0)
        ctx_ask_others(lane->ctx, NULL); /* for the next connection */
    return r;
}

static void rings_init(struct lane *lane) {
    ring_out_init(&lane->out, outbox_frames(&lane->own), lane->own.lines, outbox_consumed(&lane->theirs));
    ring_in_init(&lane->in, outbox_frames(&lane->theirs), lane->theirs.lines, outbox_consumed(&lane->own));
    release_out_init(&lane->releases_out, outbox_releases(&lane->own), lane->own.releases, outbox_taken(&lane->theirs));
    release_in_init(&lane->releases_in, outbox_releases(&lane->theirs), lane->theirs.releases,
                    outbox_taken(&lane->own));
    doorbell_init(&lane->doorbell, outbox_asleep(&lane->own), outbox_asleep(&lane->theirs));
    spin_policy_init(&lane->spin, lane->options->waiting, lane->peer.pid);
    lane->naps = naps_begin(!spin_policy_may_spin(&lane->spin));
    lane_choose_footprint(lane);
    lane_begin_growth(lane, negotiation_ring_lines(lane->options), outbox_releases_for(lane->hello.blocks_max));
    lane->has_rings = true;
    lane_set_small(lane);
}

/* The peer's outbox is not charged to what its blocks may take: it has no holes, is small, and there is one. */
int lane_open_outboxes(struct lane *lane, int fd, const char **ret_why) {
    int r = outbox_open(&lane->theirs, fd, ret_why);
    if (failure_call(r) || r == -ENOMEM)
        return reserve_explain_map(r, outbox_bytes(OUTBOX_LINES_MOST, OUTBOX_RELEASES_MOST), &lane->ctx->refusals);
    if (r < 0)
        return -EPROTO;
    r = lane->is_server ? lane_make_outbox(lane) : 0;
    if (r == 0)
        rings_init(lane);
    else
        *ret_why = "the server has no room for an outbox";
    return r;
}

void lane_close_outboxes(struct lane *lane) {
    lane->has_rings = lane->is_ring_full = false;
    lane_set_small(lane);
    lane_end_growth(lane);
    outbox_deinit(&lane->theirs);
    census_leave(&lane->own_counted);
    if (lane->own.page)
        lane_uncharge_outbox(lane, lane->own.size + lane->own.excess);
    outbox_deinit(&lane->own);
}

void lane_choose_footprint(struct lane *lane) {
    uint64_t footprint = distance_footprint(&lane->distance, &lane->ctx->calibration);
    pools_set_footprint(&lane->remote->pools, lane->naps.are_usual ? 0 : footprint);
}

/* A sample of the distance, nanoseconds. */
static void note_distance(struct lane *lane, uint64_t ns) {
    if (distance_note(&lane->distance, ns))
        lane_choose_footprint(lane);
}

/* So many looks have to find nothing before one that finds a frame: then it is the one that fetches the line, and what
 * a look at a line that is there takes is known. */
enum { IDLE_LOOKS = 2 };

bool lane_spin_timed(struct lane *lane, unsigned tries) {
    uint64_t idle = UINT64_MAX, took = 0;
    unsigned looks = 0;
    bool is_there;
    for (;;) {
        uint64_t before = wait_now();
        is_there = ring_has_frame(&lane->in);
        took = wait_now() - before;
        if (is_there || ++looks >= tries)
            break;
        idle = took < idle ? took : idle;
        shared_pause();
    }
    if (is_there && looks >= IDLE_LOOKS)
        note_distance(lane, took > idle ? took - idle : 0);
    else
        distance_miss(&lane->distance, !is_there && tries > IDLE_LOOKS);
    return is_there;
}

/* A look at an entry that takes no longer than this finds its line here already, or near. */
static const uint64_t HERE_NS = 15;

/* Release entries of a line: the look at one of them brings all that are there. */
enum { RELEASES_OF_A_LINE = LINE_SIZE / sizeof(struct release_entry) };

/* release_is_there(), which gives a sample if it is: a side samples nothing else that sends blocks without answers. */
static bool look_for_release(struct lane *lane) {
    if (lane->distance.until || lane->releases_in.head % RELEASES_OF_A_LINE)
        return release_is_there(&lane->releases_in);
    uint64_t first = wait_now(), before = wait_now();
    bool is_there = release_is_there(&lane->releases_in);
    uint64_t took = wait_now() - before, idle = before - first;
    if (is_there && took > idle + HERE_NS)
        note_distance(lane, took - idle);
    else if (is_there)
        distance_miss(&lane->distance, false);
    return is_there;
}

/* ring_has_room() with a look at the peer's cursor, which gives a sample if it has moved. */
static int ring_has_room_timed(struct lane *lane, uint64_t lines) {
    uint32_t known = lane->out.known;
    uint64_t first = wait_now(), before = wait_now();
    int r = ring_has_room(&lane->out, lines);
    uint64_t took = wait_now() - before, idle = before - first;
    if (lane->out.known != known)
        note_distance(lane, took > idle ? took - idle : 0);
    else
        distance_miss(&lane->distance, true);
    return r;
}

static int look_for_room(struct lane *lane, uint64_t lines) {
    if (ring_knows_room(&lane->out, lines))
        return 1;
    lane_consider_growth(lane);
    distance_hasten(&lane->distance, lane->own.lines / 4);
    return lane->distance.until ? ring_has_room(&lane->out, lines) : ring_has_room_timed(lane, lines);
}

int lane_ring_room(struct lane *lane, uint64_t lines) {
    int r = look_for_room(lane, lines);
    if (r == 0 && lane_grow_frames(lane) == 0)
        r = ring_has_room(&lane->out, lines);
    if (r < 0) {
        lane_fail(lane, -EPROTO, "the cursor of the frame ring makes no sense");
        return -EPIPE;
    }
    /* What waits may be larger than this: only room for the largest frame says that it need not. */
    lane->is_ring_full = r == 0 || (lane->is_ring_full && lines < lane->own.lines / 4);
    return r == 0 ? -EAGAIN : 0;
}

/* Does something wait for the peer's releases, or for room? */
static bool is_waiting_for_room(const struct lane *lane) {
    return lane->queue_head || lane->wants_room || lane->wants_blocks || lane->is_ring_full;
}

int lane_take_releases(struct lane *lane) {
    struct work *work = &lane->remote->account->work;
    uint64_t handle;
    int r = 0, before = lane->handled;
    if (lane->corks == lane->batches) /* in no turn: a batch may be as long as the application likes */
        work->left = WORK_PER_TURN;
    if (lane->has_rings && !is_waiting_for_room(lane)) /* else lane_has_work() has looked */
        look_for_release(lane);
    while (r == 0 && work->left && lane->has_rings && release_read(&lane->releases_in, &handle)) {
        if (lane->growth.their_entries)
            lane_follow_releases(lane);
        lane->handled++;
        r = peer_release(lane->remote, handle);
        if (r < 0)
            lane_fail(lane, -EPROTO, "a handle was released that is not on lease to this peer");
    }
    bool has_more = !work->left && lane->has_rings && release_is_there(&lane->releases_in);
    if (!has_more && (lane->handled == before || !is_waiting_for_room(lane)))
        return r;
    lane->has_more = true; /* releases make room: messages that wait for room have their turn */
    lane->ops->changed(lane->owner);
    return r;
}

bool lane_take_release(struct lane *lane) {
    uint64_t handle;
    if (!lane->has_rings || lane->growth.their_entries || is_waiting_for_room(lane) || !look_for_release(lane) ||
        !release_read(&lane->releases_in, &handle))
        return false;
    if (handle_arena(handle) ? pooled_block_take_back(lane->remote->account, &lane->remote->pools.audience, handle)
                             : peer_release(lane->remote, handle) == 0)
        return true;
    lane_fail(lane, -EPROTO, "a handle was released that is not on lease to this peer");
    return false;
}

bool lane_has_work(struct lane *lane) {
    if (!lane->has_rings || lane->is_choked || lane->has_failed)
        return false;
    if (ring_has_frame(&lane->in) || lane->has_held || lane->is_copying || lane->is_leaving)
        return true;
    return is_waiting_for_room(lane) &&
           (look_for_release(lane) || (lane->is_ring_full && ring_has_room(&lane->out, lane->own.lines / 4) != 0));
}

static uint32_t lane_wants(const struct lane *lane) {
    if (is_waiting_for_room(lane))
        return DOORBELL_ROOM | DOORBELL_RELEASES;
    return lane->remote->pools.is_waiting ? DOORBELL_RELEASES : 0;
}

/* Gives back memory that is kept for later; tables only while they are empty. */
static void lane_trim(struct lane *lane) {
    if (lane->scratch)
        map_discard(lane->scratch, LANE_SCRATCH_SIZE);
    ctx_drop_scratch(lane->ctx);
    if (lane->releases_count == 0 && lane->remote->account->imported_blocks == 0) {
        lane->releases = heap_free(lane->releases);
        lane->releases_capacity = 0;
    }
    peer_trim(lane->remote);
    lane->ops->trim(lane->owner);
}

void lane_tell_pools(struct lane *lane) {
    const struct pools *pools = &lane->remote->pools;
    tally_set(&lane->tally, active_bytes, pools->active);
    tally_set(&lane->tally, retained_bytes, pools->retained);
}

static uint64_t payloads_sent(const struct lane *lane) {
    return atomic_load_explicit(&lane->tally.counters.sent_pooled, memory_order_relaxed);
}

void lane_maintain_pools(struct lane *lane) {
    stock_expire(&lane->ctx->stock);
    lane_take_releases(lane);
    if (naps_note_awake(&lane->naps, payloads_sent(lane)))
        lane_choose_footprint(lane);
    bool has_to_trim_all = pools_maintain(&lane->remote->pools);
    lane_tell_pools(lane);
    if (lane->state == LANE_OPEN && !lane->has_failed && !lane->is_broken)
        lane_write_retired(lane);
    if (has_to_trim_all)
        lane_trim(lane);
}

/* The clock is read only if something will be due, and the coarse one is enough: a connection that is about to sleep
 * maintains its pools in any case. Pools that want maintenance do not get it in each turn: it begins the watch, and
 * closes the front (memory/pool.h), which the next block would open again. */
bool lane_pools_are_due(const struct lane *lane) {
    const struct pools *pools = &lane->remote->pools;
    uint64_t stock = stock_deadline(&lane->ctx->stock);
    bool has_clock = pools->needs_maintenance || pools->deadline != WAIT_FOREVER || stock != WAIT_FOREVER;
    uint64_t now = has_clock ? wait_now_coarse() : 0;
    return now >= stock || lane_pools_are_due_at(lane, now);
}

void lane_maintain_pools_when_due(struct lane *lane) {
    if (lane->state == LANE_OPEN && lane_pools_are_due(lane))
        lane_maintain_pools_now(lane);
}

void lane_rearm(struct lane *lane) {
    if (!lane->doorbell.is_armed)
        return;
    doorbell_arm(&lane->doorbell, lane_wants(lane));
    if (lane_has_work(lane) || release_is_there(&lane->releases_in))
        lane->has_more = true;
}

void lane_maintain_pools_now(struct lane *lane) {
    if (lane->state != LANE_OPEN)
        return;
    lane_maintain_pools(lane);
    if (!lane->corks)
        lane_ring_bell(lane);
    lane_rearm(lane);
    lane->ops->changed(lane->owner);
}

/* The rings are there. */
static bool prepare_sleep(struct lane *lane) {
    if (lane->has_failed)
        return false;
    if (ring_publish_consumed(&lane->in))
        lane->doorbell.due |= DOORBELL_ROOM;
    bool had_more = lane->has_more;
    lane_maintain_pools(lane);
    lane_ring_bell(lane);
    if (lane->has_failed || lane->is_broken ||
        lane->has_more != had_more) /* the releases, or the frames that were written, have shown it */
        return false;
    if (lane->doorbell.is_armed && lane->doorbell.wants == lane_wants(lane))
        return !lane_has_work(lane);
    doorbell_arm(&lane->doorbell, lane_wants(lane));
    if (!lane_has_work(lane) && !release_is_there(&lane->releases_in))
        return true;
    doorbell_disarm(&lane->doorbell);
    return false;
}

bool lane_prepare_sleep(struct lane *lane) {
    if (!lane->has_rings)
        return true;
    if (!prepare_sleep(lane))
        return false;
    if (naps_note_sleep(&lane->naps, payloads_sent(lane)))
        lane_choose_footprint(lane);
    return true;
}

void lane_cork(struct lane *lane) {
    lane->corks++;
}

void lane_uncork(struct lane *lane) {
    assert(lane->corks > 0);
    if (--lane->corks == 0)
        lane_ring_bell(lane);
}

/* What keeps the doorbell from being sent is tried again: when the socket has room, or after a while. */
void lane_ring_bell(struct lane *lane) {
    uint8_t buf[WIRE_DOORBELL_SIZE];
    if (!lane->has_rings)
        return;
    if (lane->doorbell.due && doorbell_is_wanted(&lane->doorbell)) {
        if (lane_write(lane, buf, wire_encode_doorbell(buf)) < 0)
            return;
        doorbell_note_rung(&lane->doorbell);
        tally_count(&lane->tally, doorbells, 1);
    }
    if (lane->is_socket_full && !lane_wants_socket(lane)) /* no driver polls for its room any more */
        lane->is_socket_full = false;
}
