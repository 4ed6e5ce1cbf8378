/* SPDX-License-Identifier: MIT */
/*
 * Copies of pooled payloads, for a side that takes stable payloads only: made before anybody looks at them.
 *
 *     snapshot_begin()  --  snapshot_go_on(), once a turn or more often  -->  whole: the message is handed over
 *                                      '-- snapshot_drop(): the connection ends
 *
 * A copy takes as much work as its turn has left; nothing else of the connection is received before the copy is whole,
 * so the order stays. The peer's lease goes back then. No copy is made without a reader: not of a message without a
 * method, nor of a reply to a caller that has given up, also between two steps.
 *
 * Owns: the copy, and a reference of the view that it is made from (`snapshot` of the lane). Touches: is_copying; the
 * peer's account (the copy is charged to it, and is its work); the release of the lease; asks the owner by `coming`.
 * Threads: the connection's; at the end lane_close() drops it.
 */
#include "lane/lane.h"

#include <errno.h>
#include <string.h>

/* The room for a copy, charged to the peer. */
static int copy_new(struct lane *lane, struct snapshot *snapshot) {
    int r = peer_new_copy(&snapshot->in.block, lane->remote, (size_t) snapshot->size);
    if (r == 0)
        snapshot->view = views_hold(&lane->remote->views, snapshot->handle);
    return r;
}

int snapshot_begin(struct lane *lane, const struct wire_message *message, const struct lane_message *in,
                   const char **ret_why) {
    struct snapshot *snapshot = &lane->snapshot;
    const void *data = NULL;
    bool is_wanted = false;
    int r = views_find(&lane->remote->views, message->handle, message->payload_size, &data);
    if (r < 0)
        return r;
    *ret_why = lane->ops->coming(lane->owner, in, &is_wanted);
    if (*ret_why)
        return -EPROTO;
    *snapshot = (struct snapshot){.in = *in, .handle = message->handle, .size = message->payload_size, .data = data};
    r = is_wanted ? copy_new(lane, snapshot) : 0;
    lane->is_copying = r == 0;
    lane_set_small(lane);
    return r;
}

/* The caller may have given up since the last step. (A reply that was in flight then still is: no fault.) */
static void forget_unwanted(struct lane *lane, struct snapshot *snapshot) {
    bool is_wanted = true;
    (void) lane->ops->coming(lane->owner, &snapshot->in, &is_wanted);
    if (!is_wanted)
        snapshot_drop(lane);
}

static void copy_bytes(struct lane *lane, struct snapshot *snapshot) {
    struct work *work = &lane->remote->account->work;
    uint64_t rest = snapshot->size - snapshot->done, step = rest < work->left ? rest : work->left;
    char *to = (char *) (uintptr_t) sea_block_view(snapshot->in.block);
    memcpy(to + snapshot->done, snapshot->data + snapshot->done, (size_t) step);
    snapshot->done += step;
    work_take(work, step);
}

static void copy_end(struct lane *lane, struct snapshot *snapshot) {
    snapshot->in.block->is_readonly = true;
    views_drop(snapshot->view);
    snapshot->view = NULL;
    tally_count(&lane->tally, snapshots, 1);
    tally_count(&lane->tally, copied_bytes, snapshot->size);
}

bool snapshot_go_on(struct lane *lane) {
    struct snapshot *snapshot = &lane->snapshot;
    if (snapshot->done > 0)
        forget_unwanted(lane, snapshot);
    if (snapshot->in.block)
        copy_bytes(lane, snapshot);
    if (snapshot->in.block && snapshot->done < snapshot->size)
        return false;
    if (snapshot->in.block)
        copy_end(lane, snapshot);
    lane->is_copying = false;
    lane_set_small(lane);
    lane_release(lane, snapshot->handle);
    return true;
}

void snapshot_drop(struct lane *lane) {
    struct snapshot *snapshot = &lane->snapshot;
    if (!lane->is_copying)
        return;
    lane->is_copying = false;
    lane_set_small(lane);
    snapshot->in.block = sea_block_unref(snapshot->in.block);
    views_drop(snapshot->view);
    snapshot->view = NULL;
}
