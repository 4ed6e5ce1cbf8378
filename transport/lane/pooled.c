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

sea_block *lane_take_pooled(struct lane *lane, const struct pooled_frame *frame) {
    sea_block *block = has_release_room(lane) ? views_take(&lane->remote->views, frame->handle, frame->size) : NULL;
    if (!block)
        return NULL;
    lane_pass(lane, 1);
    tally_count(&lane->tally, received_pooled, 1);
    tally_count(&lane->tally, received_bytes, frame->size);
    return block;
}
