/* SPDX-License-Identifier: MIT */
/*
 * The short way of pooled messages: a call, a one-way message or a good reply whose payload is a block of the
 * connection's own pool, in an arena that the peer knows, while nothing waits before it. The frame is one line. As in
 * lane/small.h there is no heap and no lock, and whatever is unusual goes the long way (send.c, receive.c) before
 * anything was done. A side that takes stable payloads only copies the payload, up to 64 KiB, into a free block of its
 * pool; the copy has the charges and the work of one that snapshot.c makes, and the lease goes back at once.
 *
 * Owns: nothing. The lease that lane_lend_pooled() grants has the reference of the block that its caller had; the block
 * that lane_take_pooled() returns is its caller's. Touches: the lane's rings, its tally and the doorbell's `due`; the
 * peer's account, leases, views and pools; lane_sent_pooled() and a release may ring. rpc/ decides when. Threads: the
 * connection's, before its end.
 */
#ifndef LANE_POOLED_H
#define LANE_POOLED_H

#include "lane/small.h"
#include "wire/handle.h"

/* Can the block (or NULL) go the short way now? Looks for room as the long way does, where none is known. */
static inline bool lane_takes_pooled(struct lane *lane, const sea_block *block) {
    const struct pool_slot *slot = block ? block->slot : NULL;
    if (!slot || !lane->small_end || lane->is_ring_full)
        return false;
    const struct account *account = lane->remote->account;
    bool is_own = block->budget == lane->remote->pools.own.budget && block->payload_class == SEA_POOLED;
    return is_own && slot->arena->is_announced && pooled_block_is_free(block) && block->size > 0 &&
           atomic_load_explicit(&block->refs, memory_order_relaxed) > 0 &&
           grant_takes(&account->grant, SEA_POOLED, block->size) && account_has_credit(account, block->size) &&
           (ring_knows_room(&lane->out, 1) || lane_ring_room(lane, 1) == 0);
}

/* Grants the lease; lane_takes_pooled() was true. Takes the caller's reference of the block. Returns the handle; 0: a
 * quota has too little left, and nothing has changed. */
static inline uint64_t lane_lend_pooled(const struct lane *lane, sea_block *block) {
    return pooled_block_take_lease(lane->remote->account, block);
}

/* Publishes it. */
static inline void lane_write_pooled(struct lane *lane, enum wire_type type, uint64_t id, uint64_t deadline,
                                     uint32_t method, uint64_t handle, uint64_t size) {
    struct ring_out *out = &lane->out;
    struct line *line = out->next;
    shared64_store(&line->words[1], id);
    shared64_store(&line->words[2], deadline);
    shared64_store(&line->words[3], method);
    shared64_store(&line->words[4], handle);
    shared64_store(&line->words[5], size);
    shared64_store(&line->words[6], 0);
    shared64_store(&line->words[7], 0);
    ring_publish(out, (uint64_t) type << 32 | (uint64_t) WIRE_CLASS_POOLED << 40, 1);
    ring_out_ask(out, 1);
}

/* What there is to do after that. */
static inline void lane_sent_pooled(struct lane *lane, uint64_t size) {
    tally_count(&lane->tally, sent_pooled, 1);
    tally_count(&lane->tally, sent_bytes, size);
    distance_hasten(&lane->distance, size >> 10);
    lane->doorbell.due |= DOORBELL_FRAMES;
    if (!lane->corks)
        lane_ring_bell_if_heard(lane);
}

/* What the line of a pooled message says. `head.size` is 0: no bytes follow. */
struct pooled_frame {
    struct small_frame head;
    uint64_t handle, size;
};

/* Copies what the frame that is there says of itself. Can it be received the short way, as far as the frame alone says?
 * Then line_decode() would accept it, and so would the checks of the long way. */
static inline bool lane_peek_pooled(const struct lane *lane, struct pooled_frame *ret) {
    uint64_t words[LINE_WORDS];
    ring_peek(&lane->in, words);
    if (!line_is_pooled(words) || !handle_generation(words[4]) || words[5] > lane->hello.block_max ||
        !(lane->hello.accept & SEA_POOLED))
        return false;
    *ret = (struct pooled_frame){
        .head = {words[1], words[2], line_type(words), (uint32_t) words[3], 0}, .handle = words[4], .size = words[5]};
    return true;
}

/* Takes the payload of the frame that is there, in place or as a copy, and passes over the frame. NULL: nothing has
 * happened, and it is for the long way. */
sea_block *lane_take_pooled(struct lane *lane, const struct pooled_frame *frame);

/* Gives a lease back; there is room. */
static inline void lane_write_release(struct lane *lane, uint64_t handle) {
    release_write(&lane->releases_out, handle);
    lane->doorbell.due |= DOORBELL_RELEASES; /* as release_into_ring() */
    if (!lane->corks)
        lane_ring_bell_if_heard(lane);
}

/* Ends the block of a message that has come, and gives its lease back. false: nothing has happened, and it is for
 * sea_block_unref(). */
static inline bool lane_return_pooled(struct lane *lane, sea_block *block) {
    uint64_t handle;
    if (!lane->small_end || !release_knows_room(&lane->releases_out) ||
        !views_return(&lane->remote->views, block, &handle))
        return false;
    lane_write_release(lane, handle);
    return true;
}

/* Ends the copy that came with a message. false: nothing has happened, and it is for sea_block_unref(). */
bool lane_return_copy(const struct lane *lane, sea_block *block);

#endif
