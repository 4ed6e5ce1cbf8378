/* SPDX-License-Identifier: MIT */
/* The short way of pooled messages, as they arrive. See pooled.h. */
#include "lane/pooled.h"

/* May one more lease be taken? Its handle has room on its way back, without a look at the heap. */
static bool has_release_room(const struct lane *lane) {
    const struct account *account = lane->remote->account;
    return account->imported_blocks + lane->releases_count < account->in_limit.blocks &&
           (lane->own.releases >= lane->growth.entries ||
            lane->releases_count + account->imported_blocks < lane->releases_capacity);
}

/* Some 10 us. A larger payload is copied in steps (snapshot.c). */
static const uint64_t SHORT_COPY_MOST = UINT64_C(64) << 10;

/* The block may be the first one that comes from the pools, or goes there, since they were tended. */
static void ask_for_maintenance(const struct lane *lane, bool was_asked) {
    if (!was_asked)
        lane_request_maintenance(lane);
}

static inline void pass_pooled(struct lane *lane, const struct pooled_frame *frame) {
    lane_pass(lane, 1);
    tally_count(&lane->tally, received_pooled, 1);
    tally_count(&lane->tally, received_bytes, frame->size);
}

/* For a side that takes stable payloads only. */
static sea_block *take_copy(struct lane *lane, const struct pooled_frame *frame) {
    struct peer *remote = lane->remote;
    struct work *work = &remote->account->work;
    bool was_asked = remote->pools.needs_maintenance;
    if (frame->size > SHORT_COPY_MOST || frame->size > work->left || !has_release_room(lane) ||
        !release_knows_room(&lane->releases_out))
        return NULL;
    sea_block *block = peer_take_copy(remote, frame->handle, frame->size);
    ask_for_maintenance(lane, was_asked);
    if (!block)
        return NULL;
    work_take(work, frame->size);
    pass_pooled(lane, frame);
    tally_count(&lane->tally, snapshots, 1);
    tally_count(&lane->tally, copied_bytes, frame->size);
    lane_write_release(lane, frame->handle);
    return block;
}

static sea_block *take_in_place(struct lane *lane, const struct pooled_frame *frame) {
    sea_block *block = has_release_room(lane) ? views_take(&lane->remote->views, frame->handle, frame->size) : NULL;
    if (block)
        pass_pooled(lane, frame);
    return block;
}

sea_block *lane_take_pooled(struct lane *lane, const struct pooled_frame *frame) {
    return lane->hello.features & WIRE_FEATURE_SNAPSHOT ? take_copy(lane, frame) : take_in_place(lane, frame);
}

bool lane_return_copy(const struct lane *lane, sea_block *block) {
    bool was_asked = lane->remote->pools.needs_maintenance;
    if (!peer_return_copy(lane->remote, block))
        return false;
    ask_for_maintenance(lane, was_asked);
    return true;
}
