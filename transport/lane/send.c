/* SPDX-License-Identifier: MIT */
/*
 * What goes out of a lane: messages, releases, RETIREs and arenas, the handshake and the farewell. Not here: messages
 * on the short way (small.h), doorbells (rings.c), and RING with its mark (ring_growth.c). Also here: pooled blocks are
 * made (lane_block_new()), and a lack of room or a size that the peer does not take is explained.
 *
 * Each message's payload gets its class here: the one it was made in, if its block can go so (peer_class_for()), else
 * another one, mostly as a copy, and that is counted. A lease is granted right before the frame or datagram that names
 * it, and taken back if that was not sent. Order: handles that are given back first, for the peer may be waiting for
 * them, then RETIREs of arenas, then messages that wait. Between sides with rings a handle has the release ring, and is
 * a datagram only if that ring is full and cannot grow.
 *
 * Owns: the queue, and the handles in `releases` (fields of struct lane; lane.c and rings.c free the array). Touches:
 * the peer's account (charges, leases, work), its pools and their list of retired arenas, our rings and the doorbell's
 * `due`, the socket, what the lane notes of a failed send (lane_note_sent()), the refusals and figures;
 * lane_block_new() first takes the releases that came in. Threads: the connection's. After its end nothing goes out:
 * lane_send() returns -EPIPE, lane_release() does nothing.
 */
#include "lane/lane.h"

#include "sys/failure.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/socket.h"
#include "sys/wait.h"
#include "wire/handle.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Too many descriptors in flight, or no kernel memory: both end without any event. Look again after so long. */
static const uint64_t RETRY_NS = 5 * 1000 * 1000;

static const uint32_t RELEASES_FIRST = 16;

/* There is no credit for a lease now, or older messages wait for credit. peer_lend() returns this value, which no
 * system call here returns. */
enum { NO_CREDIT = -ENOSR };

static const struct lane_shortage SHORT_OF_SOCKET = {
    .limit = "socket", .advice = "the peer is behind with reading it: wait for on_room, or give a longer time-out"};

static const struct lane_shortage SHORT_OF_FLIGHT = {
    .limit = "descriptors in flight",
    .advice = "they count against RLIMIT_NOFILE until the peer has received them: try again, or raise it (ulimit -n)"};

static const struct lane_shortage SHORT_OF_KERNEL = {.limit = "kernel memory",
                                                     .advice = "the socket got none for a message: try again"};

/*
 * The result of a datagram that was not sent: -EAGAIN, try again when the socket, or the clock, says so · -EPIPE, the
 * peer is gone, but its earlier frames are still read · any other error is the end.
 */
int lane_note_sent(struct lane *lane, int r) {
    if (r == 0)
        return 0;
    if (r == -EAGAIN) {
        lane->is_socket_full = true;
        lane->shortage = SHORT_OF_SOCKET;
    } else if (r == -ETOOMANYREFS || r == -ENOMEM) {
        lane->retry_at = wait_now() + RETRY_NS;
        lane->shortage = r == -ENOMEM ? SHORT_OF_KERNEL : SHORT_OF_FLIGHT;
    } else if (r == -EPIPE) {
        lane->is_broken = lane->is_readable = true;
        lane_part(lane);
        socket_shutdown(lane->fd); /* what waits in it is still received; nothing is added */
    } else {
        r = lane_fail_socket(lane, r);
    }
    lane->ops->changed(lane->owner);
    return r == -ETOOMANYREFS || r == -ENOMEM ? -EAGAIN : r;
}

int lane_write(struct lane *lane, const void *data, size_t size) {
    struct iovec iov = {.iov_base = (void *) (uintptr_t) data, .iov_len = size};
    return lane_note_sent(lane, fdpass_send(lane->fd, &iov, 1, NULL, 0));
}

static int hello_send(const struct lane *lane) {
    uint8_t buf[WIRE_HELLO_MOST];
    struct iovec iov = {.iov_base = buf, .iov_len = wire_encode_hello(buf, &lane->hello)};
    return fdpass_send(lane->fd, &iov, 1, &lane->own.fd, lane->own.fd >= 0 ? 1 : 0);
}

/* A server that lets no descriptor through to it (SO_PASSRIGHTS) is talked to through the socket, and so is each where
 * sending one is forbidden. */
int lane_send_hello(struct lane *lane) {
    int r = hello_send(lane);
    if (failure_error(r) == -EPERM && lane->own.fd >= 0 && !lane->is_server) {
        lane_do_without_outboxes(lane);
        r = hello_send(lane);
    }
    r = lane_note_sent(lane, r);
    lane->own.fd = fd_close(lane->own.fd);
    return r;
}

void lane_send_goodbye(struct lane *lane, int reason, const char *text) {
    uint8_t buf[WIRE_GOODBYE_SIZE + WIRE_TEXT_MAX];
    (void) lane_write(lane, buf, wire_encode_goodbye(buf, reason, text)); /* a courtesy */
}

/* Blocks that are back already are taken first, before the pool grows; for a peer that is gone it does not grow. */
int lane_block_new(struct lane *lane, sea_pool *pool, size_t size, sea_block **ret_block) {
    if (lane->is_broken)
        return -EPIPE;
    if (lane->has_rings && release_is_there(&lane->releases_in))
        lane_take_releases(lane);
    int r = pools_take_block(ret_block, pool, size);
    lane_request_maintenance(lane);
    bool has_another_way = r == -EDQUOT && negotiation_take(&lane->negotiated, SEA_SEALED, size);
    return r == 0 || has_another_way ? r : pools_explain(&lane->remote->pools, r, size);
}

/* As lane_ring_room(), for a message. */
static int message_ring_room(struct lane *lane, uint64_t lines) {
    if (ring_knows_room(&lane->out, lines) && !lane->is_ring_full)
        return 0;
    int r = lane_ring_room(lane, lines);
    if (r == -EAGAIN)
        lane->shortage = (struct lane_shortage){
            .limit = "frame ring (bytes)",
            .needed = lines * LINE_SIZE,
            .available = (lane->out.room - ((uint32_t) lane->out.tail - lane->out.known)) * (uint64_t) LINE_SIZE,
            .advice = growth_is_done(&lane->growth, &lane->own)
                          ? "the peer is behind with reading it: wait for on_room, give a longer time-out, or raise "
                            "`ring_size` in sea_options"
                          : "the peer is behind with reading it, and a larger ring could not be had: wait for on_room, "
                            "or give a longer time-out"};
    return r;
}

/* No release will ever make room for a block larger than the whole quota. */
static int credit_refuse(struct lane *lane, uint64_t size) {
    return refusal_note(&lane->ctx->refusals, -EDQUOT, "peer quota (bytes)", size,
                        lane->remote->account->out_limit.bytes,
                        "send smaller blocks, or raise `peer_bytes` in sea_ctx_options");
}

/* The peer holds as many blocks, or bytes, as it takes, or as our own quota lets it. */
static int credit_wait(struct lane *lane, uint64_t size) {
    const struct account *account = lane->remote->account;
    const struct credit *most = &account->out_limit;
    uint64_t bytes = atomic_load_explicit(&account->leased_bytes, memory_order_relaxed);
    bool is_blocks = atomic_load_explicit(&account->leased_blocks, memory_order_relaxed) >= most->blocks;
    if (is_blocks)
        lane->shortage = (struct lane_shortage){
            .limit = most->blocks < lane->negotiated.blocks_max ? "peer quota (blocks)" : "peer's blocks_max",
            .needed = 1,
            .credit = size,
            .advice =
                "it has to release blocks of ours: wait for on_room, give a longer time-out, or raise that limit"};
    else
        lane->shortage = (struct lane_shortage){
            .limit = most->bytes < lane->negotiated.bytes_max ? "peer quota (bytes)" : "peer's bytes_max",
            .needed = size,
            .available = bytes < most->bytes ? most->bytes - bytes : 0,
            .credit = size,
            .advice =
                "it has to release blocks of ours: wait for on_room, give a longer time-out, or raise that limit"};
    return NO_CREDIT;
}

static int copy_pooled(struct lane *lane, sea_block *from, sea_block **ret_block) {
    sea_block *block = NULL;
    const void *bytes = sea_block_view(from);
    int r = bytes ? lane_block_new(lane, &lane->remote->pools.own, from->size, &block) : -ENOMEM;
    if (r < 0)
        return r;
    memcpy(sea_block_data(block), bytes, from->size);
    block->is_readonly = true;
    tally_count(&lane->tally, copied_bytes, from->size);
    *ret_block = block;
    return 0;
}

static int payload_as_inline(sea_block *block, int *ret_class, sea_block **ret_block) {
    if (!sea_block_view(block))
        return -ENOMEM;
    *ret_class = SEA_INLINE;
    *ret_block = block;
    return 0;
}

/* A pooled copy; or a sealed one, where `class` says so, or where the pool may not grow (-EDQUOT). A sealed copy can
 * wait for credit, and helps while the pools have all that the peer takes. A fair share, a quota or a budget that is
 * used up, perhaps by blocks that our application still has, counts for it as well. */
static int payload_copy(struct lane *lane, sea_block *block, int class, int *ret_class, sea_block **ret_block) {
    *ret_class = SEA_POOLED;
    int r = class == SEA_POOLED ? copy_pooled(lane, block, ret_block) : -EDQUOT;
    if (r != -EDQUOT || !negotiation_take(&lane->negotiated, SEA_SEALED, block->size))
        return r;
    *ret_class = SEA_SEALED;
    return peer_copy_sealed(ret_block, lane->remote, block);
}

/*
 * Chooses the class for a block that cannot go as it is: the cheapest one that the peer takes. A pooled or sealed class
 * takes a copy; where a call that memory for the copy needs is forbidden, a frame carries the bytes if the peer takes
 * them inline. The copy is made inside the call that sends, and is work of this turn: a handler may answer with the
 * payload that came.
 */
static int payload_convert(struct lane *lane, sea_block *block, int *ret_class, sea_block **ret_block) {
    int class = class_choice_for(&lane->choice, &lane->negotiated, block->size);
    work_take(&lane->remote->account->work, block->size);
    if (class == 0)
        return lane_explain_size(lane, block->size);
    if (class == SEA_INLINE)
        return payload_as_inline(block, ret_class, ret_block);
    int r = payload_copy(lane, block, class, ret_class, ret_block);
    bool goes_inline = failure_is_forbidden(r) && negotiation_take(&lane->negotiated, SEA_INLINE, block->size);
    return goes_inline ? payload_as_inline(block, ret_class, ret_block) : r;
}

/* Would there be room for a copy of so many bytes? Asked before it is made, for a message that may not be queued.
 * Errors: -EAGAIN, NO_CREDIT, -EPIPE. */
static int copy_room(struct lane *lane, uint64_t size) {
    int class = class_choice_for(&lane->choice, &lane->negotiated, size);
    if (class != SEA_POOLED && class != SEA_SEALED)
        return 0;
    int r = lane->queue_head ? NO_CREDIT : lane->has_rings ? message_ring_room(lane, 1) : 0;
    if (r == 0 && size <= lane->remote->account->out_limit.bytes && !account_has_credit(lane->remote->account, size))
        r = credit_wait(lane, size);
    return r;
}

/* The class in which `block` goes to this peer, and the block to send: `block`, borrowed, or a copy, which the caller
 * owns. */
static int payload_choose(struct lane *lane, sea_block *block, bool may_queue, int *ret_class, sea_block **ret_block) {
    int class = peer_class_for(lane->remote, block);
    if (class < 0)
        return class;
    if (class == 0) {
        int r = may_queue ? 0 : copy_room(lane, block->size);
        return r < 0 ? r : payload_convert(lane, block, ret_class, ret_block);
    }
    *ret_class = class;
    *ret_block = block;
    return 0;
}

static void count_sent(struct lane *lane, int payload_class, uint64_t size) {
    if (payload_class == SEA_POOLED) {
        tally_count(&lane->tally, sent_pooled, 1);
    } else if (payload_class == SEA_SEALED) {
        tally_count(&lane->tally, sent_sealed, 1);
    } else {
        tally_count(&lane->tally, sent_inline, 1);
        tally_count(&lane->tally, sent_inline_bytes, size);
        return;
    }
    tally_count(&lane->tally, sent_bytes, size);
}

static struct wire_message message_fields(const struct lane_message *message, int payload_class, uint64_t handle) {
    sea_block *block = message->block;
    return (struct wire_message){
        .method = message->method,
        .status = message->status,
        .deadline = message->deadline,
        .handle = handle,
        .payload_size = block ? block->size : message->bytes_size,
        .payload_class = (uint8_t) payload_class,
        .pages = block && payload_class == SEA_SEALED ? (uint8_t) block->sealed.layout : 0,
        .text_size = message->text ? (uint16_t) strlen(message->text) : 0,
    };
}

/* Publishes a frame; `bytes` is its payload or text. */
static int frame_write(struct lane *lane, const uint64_t words[LINE_WORDS], const void *bytes, uint32_t size) {
    int r = message_ring_room(lane, size ? line_count(size) : 1);
    if (r < 0)
        return r;
    if (size)
        ring_write(&lane->out, words, bytes, size);
    else
        ring_write_line(&lane->out, words);
    lane->doorbell.due |= DOORBELL_FRAMES;
    return 0;
}

/* Does it fit into one frame of the ring, which grows for it? What brings a descriptor does not. */
static bool message_fits_ring(struct lane *lane, const struct wire_message *fields) {
    uint64_t bytes = fields->text_size + (fields->payload_class == SEA_INLINE ? fields->payload_size : 0);
    if (!lane->has_rings || fields->payload_class == SEA_SEALED)
        return false;
    if (bytes <= lane->out.bytes_max)
        return true;
    return bytes <= ring_bytes_max(lane->growth.lines) && lane_grow_frames(lane) == 0;
}

static int message_write_ring(struct lane *lane, const struct lane_message *message,
                              const struct wire_message *fields) {
    uint64_t words[LINE_WORDS];
    bool is_inline = fields->payload_class == SEA_INLINE;
    line_encode(words, message->type, message->id, fields);
    if (!is_inline)
        return frame_write(lane, words, message->text, fields->text_size);
    const void *inlined = message->block ? sea_block_view(message->block) : message->bytes;
    return frame_write(lane, words, inlined, (uint32_t) fields->payload_size);
}

/* A datagram, which between sides with rings has a mark. There is room for that before the datagram is sent. */
static int datagram_write(struct lane *lane, struct iovec *iov, size_t iov_count, const int *fd) {
    uint64_t words[LINE_WORDS];
    int r = lane->has_rings ? message_ring_room(lane, 1) : 0;
    if (r == 0)
        r = lane_note_sent(lane, fdpass_send(lane->fd, iov, iov_count, fd, *fd >= 0 ? 1 : 0));
    if (r < 0 || !lane->has_rings)
        return r;
    line_encode(words, WIRE_MARK, ++lane->datagrams_out, NULL);
    return frame_write(lane, words, NULL, 0);
}

/* `handle` names the lease of a sealed or pooled payload; 0: the payload is inline. */
static int message_write(struct lane *lane, const struct lane_message *message, int payload_class, uint64_t handle) {
    uint8_t head[WIRE_MESSAGE_SIZE];
    sea_block *block = message->block;
    bool is_inline = payload_class == SEA_INLINE;
    const struct wire_message fields = message_fields(message, payload_class, handle);
    if (message_fits_ring(lane, &fields))
        return message_write_ring(lane, message, &fields);
    struct iovec iov[3] = {
        {.iov_base = head, .iov_len = wire_encode_message(head, message->type, message->id, &fields)},
        {.iov_base = is_inline ? (void *) (uintptr_t) (block ? sea_block_view(block) : message->bytes) : NULL,
         .iov_len = is_inline ? (size_t) fields.payload_size : 0},
        {.iov_base = (void *) (uintptr_t) message->text, .iov_len = fields.text_size},
    };
    int fd = payload_class == SEA_SEALED && block ? sealed_block_fd(block) : -1;
    return datagram_write(lane, iov, 3, &fd);
}

int lane_write_retired(struct lane *lane) {
    struct pools *pools = &lane->remote->pools;
    uint8_t buf[WIRE_RETIRE_SIZE];
    int r = 0;
    while (r == 0 && pools->retired_count) {
        uint32_t id = pools->retired[pools->retired_count - 1];
        struct iovec iov = {.iov_base = buf, .iov_len = wire_encode_retire(buf, id)};
        r = datagram_write(lane, &iov, 1, &(int){-1});
        pools->retired_count -= r == 0;
    }
    return r;
}

/* The peer gets the arena's descriptor before the first frame that names it. */
static int announce(struct lane *lane, struct arena *arena) {
    uint8_t buf[WIRE_ARENA_SIZE];
    const struct wire_arena fields = {
        .id = arena->id, .count = arena->count, .stride = arena->stride, .size = arena->size};
    struct iovec iov = {.iov_base = buf, .iov_len = wire_encode_arena(buf, &fields)};
    int r = lane_write_retired(lane);
    if (r == 0)
        r = datagram_write(lane, &iov, 1, &arena->fd);
    if (r == 0)
        pool_note_announced(arena);
    return r;
}

/* A lease on the message's block, right before the frame that names it. As message_transmit(). */
static int lease_payload(struct lane *lane, sea_block *block, int payload_class, uint64_t *ret_handle) {
    struct arena *unannounced = NULL;
    int r = peer_lend(lane->remote, block, payload_class, ret_handle, &unannounced);
    if (r == NO_CREDIT) {
        uint64_t charge = block_footprint(block);
        bool is_hopeless = charge > lane->remote->account->out_limit.bytes;
        return is_hopeless ? credit_refuse(lane, charge) : credit_wait(lane, charge);
    }
    if (unannounced && (r = announce(lane, unannounced)) < 0)
        peer_release(lane->remote, *ret_handle);
    return r;
}

/* Errors: -EAGAIN · NO_CREDIT · -EDQUOT, -ENOMEM (no lease) · -EPIPE · any other is of sendmsg(), and has failed the
 * lane. */
static int message_transmit(struct lane *lane, const struct lane_message *message, int payload_class) {
    uint64_t handle = 0, size = message->block ? message->block->size : message->bytes_size;
    bool is_lent = message->block && (payload_class == SEA_SEALED || payload_class == SEA_POOLED);
    int r = is_lent ? lease_payload(lane, message->block, payload_class, &handle) : 0;
    if (r < 0)
        return r;
    r = message_write(lane, message, payload_class, handle);
    if (r == 0)
        count_sent(lane, payload_class, size);
    else if (handle)
        peer_release(lane->remote, handle);
    return r;
}

/* A pooled block waits in one message at most: another message with it gets a copy. */
static void queued_note_block(const struct lane_queued *queued, bool is_queued) {
    if (queued->payload_class == SEA_POOLED && queued->message.block)
        pooled_block_note_queued(queued->message.block, is_queued);
}

static void queued_free(struct lane *lane, struct lane_queued *queued) {
    account_return(lane->remote->account, queued->charged);
    queued_note_block(queued, false);
    sea_block_unref(queued->message.block);
    lane->replies_queued -= queued->message.type == WIRE_REPLY;
    heap_free(queued);
}

/* The first message in the queue was sent, or is forgotten. */
static void queue_pop(struct lane *lane) {
    struct lane_queued *queued = lane->queue_head;
    lane->queue_head = queued->next;
    if (!lane->queue_head) {
        lane->queue_tail = &lane->queue_head;
        lane_set_small(lane);
    }
    queued_free(lane, queued);
}

void lane_clear_queue(struct lane *lane) {
    while (lane->queue_head)
        queue_pop(lane);
}

/* A block that waited is freed with it. */
bool lane_clear_some(struct lane *lane) {
    struct work *work = &lane->remote->account->work;
    while (lane->queue_head && work->left) {
        work_take(work, WORK_PER_ENTRY + lane->queue_head->charged);
        queue_pop(lane);
    }
    return !lane->queue_head;
}

/* Takes a reference of the block. The message is charged to the peer's quota: a peer without room there does not read
 * its replies, and its connection ends, unless only its releases are slow. */
static int lane_queue(struct lane *lane, const struct lane_message *message, int payload_class) {
    size_t text_size = message->text ? strnlen(message->text, WIRE_TEXT_MAX) : 0;
    size_t size = sizeof(struct lane_queued) + text_size + 1;
    struct lane_queued *queued = heap_new(1, size);
    uint64_t charged = size + (message->block ? message->block->size : 0);
    int r = queued ? account_charge(lane->remote->account, charged) : -ENOMEM;
    if (r < 0) {
        heap_free(queued);
        if (r == -EDQUOT && message->block && !lane->is_socket_full && !lane->is_ring_full)
            return r; /* it reads, and is slow to release: the caller answers without the block */
        lane_fail(lane, r, r == -EDQUOT ? "the peer does not read its replies" : "out of memory for a reply");
        return r;
    }
    queued->message = *message;
    queued->payload_class = payload_class;
    queued->message.text = queued->text;
    if (text_size)
        memcpy(queued->text, message->text, text_size);
    lane->replies_queued += message->type == WIRE_REPLY;
    queued->charged = charged;
    if (message->block)
        sea_block_ref(message->block);
    queued_note_block(queued, true);
    *lane->queue_tail = queued;
    lane->queue_tail = &queued->next;
    lane_set_small(lane);
    lane_rearm(lane);
    lane->ops->changed(lane->owner);
    return 0;
}

/* The caller's bytes do not wait: a copy does. */
static int lane_queue_bytes(struct lane *lane, const struct lane_message *message) {
    struct lane_message copied = *message;
    copied.bytes_size = 0;
    int r = peer_copy_inline(&copied.block, lane->remote, message->bytes, message->bytes_size);
    if (r == 0)
        r = lane_queue(lane, &copied, SEA_INLINE);
    sea_block_unref(copied.block);
    return r;
}

/* Queues a message that found no room. The sender of a message that may not wait is told when to try again. */
static int lane_put_off(struct lane *lane, const struct lane_message *message, int payload_class, bool may_queue,
                        int r) {
    if (r != -EAGAIN && r != NO_CREDIT)
        return r;
    if (may_queue)
        return message->bytes_size ? lane_queue_bytes(lane, message) : lane_queue(lane, message, payload_class);
    lane_want_room(lane, lane->queue_head ? 0 : lane->shortage.credit);
    return -EAGAIN;
}

int lane_send(struct lane *lane, const struct lane_message *message, bool may_queue) {
    struct lane_message out = *message;
    int payload_class = 0;
    if (lane->state != LANE_OPEN || lane->has_failed)
        return lane->state == LANE_GREETING && !lane->has_failed ? -EAGAIN : -EPIPE;
    if (message->block && message->block->size > 0) {
        int r = payload_choose(lane, message->block, may_queue, &payload_class, &out.block);
        if (r < 0)
            return lane_put_off(lane, message, payload_class, false, r);
    } else {
        out.block = NULL;
        payload_class = out.bytes_size ? SEA_INLINE : 0;
    }
    int r = lane->queue_head ? NO_CREDIT : message_transmit(lane, &out, payload_class);
    if (r < 0)
        r = lane_put_off(lane, &out, payload_class, may_queue, r);
    /* Counted only now: what found no room is tried again. */
    if (r == 0 && out.block && (out.block != message->block || payload_class != message->block->payload_class))
        tally_count(&lane->tally, fallbacks, 1);
    if (out.block != message->block)
        sea_block_unref(out.block);
    if (!lane->corks)
        lane_ring_bell(lane);
    return r;
}

int lane_explain(const struct lane *lane, int error) {
    const struct lane_shortage *lack = &lane->shortage;
    struct refusal_log *log = &lane->ctx->refusals;
    if (lane->state == LANE_GREETING)
        return refusal_explain(log, error, "handshake", "it is not finished: wait for on_open");
    return lack->limit ? refusal_keep(log, error, lack->limit, lack->needed, lack->available, lack->advice) : error;
}

int lane_explain_size(const struct lane *lane, size_t size) {
    const struct negotiated *negotiated = &lane->negotiated;
    struct refusal_log *log = &lane->ctx->refusals;
    uint64_t block_max = negotiated->block_max < negotiated->bytes_max ? negotiated->block_max : negotiated->bytes_max;
    if (negotiated->accept & (SEA_POOLED | SEA_SEALED) && block_max >= negotiated->inline_max)
        return refusal_keep(log, -EMSGSIZE, "peer's block_max", size, block_max,
                            "send smaller blocks, or raise block_max and bytes_max in the peer's sea_options");
    return refusal_keep(log, -EMSGSIZE, "peer's inline_max", size, negotiated->inline_max,
                        "send less, or let the peer take pooled or sealed blocks (`accept`), or raise its inline_max");
}

static int cancel_write(struct lane *lane, uint64_t id) {
    uint8_t buf[WIRE_CANCEL_SIZE];
    uint64_t words[LINE_WORDS];
    if (!lane->has_rings)
        return lane_write(lane, buf, wire_encode_cancel(buf, id));
    line_encode(words, WIRE_CANCEL, id, NULL);
    return frame_write(lane, words, NULL, 0);
}

int lane_send_cancel(struct lane *lane, uint64_t id) {
    const struct lane_message cancel = {.type = WIRE_CANCEL, .id = id};
    if (lane->state != LANE_OPEN || lane->has_failed)
        return -EPIPE;
    int r = lane->queue_head ? -EAGAIN : cancel_write(lane, id);
    if (!lane->corks)
        lane_ring_bell(lane);
    return r == -EAGAIN ? lane_queue(lane, &cancel, 0) : r;
}

/* A queued reply is sent as an error, without its block, if the block got no lease: the caller must not wait for ever.
 * If sendmsg() was forbidden the lane has failed, and the error tells the caller why before the connection ends. */
static void reply_convert_to_error(struct lane_message *reply, int status) {
    reply->block = sea_block_unref(reply->block);
    reply->status = status;
    reply->text = failure_is_forbidden(status) ? "a call that the reply's block needs is forbidden to its sender"
                                               : "the reply's block was refused by a limit of its sender";
}

static int queued_transmit(struct lane *lane, struct lane_queued *queued) {
    struct lane_message *message = &queued->message;
    if (message->type == WIRE_CANCEL)
        return cancel_write(lane, message->id);
    int r = message_transmit(lane, message, queued->payload_class);
    if ((r == -EDQUOT || r == -ENOMEM || failure_is_forbidden(r)) && message->block) {
        queued_note_block(queued, false);
        reply_convert_to_error(message, r);
        queued->payload_class = 0;
        r = message_transmit(lane, message, 0);
    }
    return r;
}

static int flush_releases(struct lane *lane) {
    uint8_t buf[WIRE_RELEASE_SIZE + 8 * WIRE_RELEASES_MAX];
    uint32_t sent = 0;
    int r = 0;
    while (r == 0 && sent < lane->releases_count) {
        uint32_t left = lane->releases_count - sent;
        uint32_t n = left < WIRE_RELEASES_MAX ? left : WIRE_RELEASES_MAX;
        struct iovec iov = {.iov_base = buf, .iov_len = wire_encode_release(buf, lane->releases + sent, n)};
        r = datagram_write(lane, &iov, 1, &(int){-1});
        sent += r == 0 ? n : 0;
    }
    lane->releases_count -= sent;
    memmove(lane->releases, lane->releases + sent, lane->releases_count * sizeof(*lane->releases));
    return r;
}

/* As much as the peer's work allows. */
void lane_flush(struct lane *lane) {
    struct work *work = &lane->remote->account->work;
    int r = lane->releases_count ? flush_releases(lane) : 0;
    if (r == 0 && lane->remote->pools.retired_count)
        r = lane_write_retired(lane);
    while (r == 0 && lane->queue_head && work->left) {
        struct lane_queued *queued = lane->queue_head;
        uint64_t charged = queued->charged;
        work_take(work, WORK_PER_ENTRY + (queued->payload_class == SEA_INLINE ? charged : 0));
        account_return(lane->remote->account, charged); /* else a lease on its block would be charged on top */
        queued->charged = 0;
        r = queued_transmit(lane, queued);
        if (r < 0) {
            if (account_charge(lane->remote->account, charged) == 0)
                queued->charged = charged;
            break;
        }
        queue_pop(lane);
    }
    lane->has_more |= r == 0 && lane->queue_head;
}

int lane_reserve_release(struct lane *lane) {
    if (lane->has_rings && lane->own.releases >= lane->growth.entries)
        return 0; /* the ring has an entry for each */
    uint64_t need = lane->releases_count + lane->remote->account->imported_blocks + 1;
    if (need <= lane->releases_capacity)
        return 0;
    uint32_t capacity = lane->releases_capacity ? lane->releases_capacity * 2 : RELEASES_FIRST;
    uint64_t *releases = heap_resize(lane->releases, capacity, sizeof(*releases));
    if (!releases)
        return -ENOMEM;
    lane->releases = releases;
    lane->releases_capacity = capacity;
    return 0;
}

/* The small ring is full, and a larger one could not be had. */
static void release_by_datagram(struct lane *lane, uint64_t handle) {
    if (lane->releases_count >=
        lane->releases_capacity) { /* lane_reserve_release() had no memory, and the payload was refused */
        lane_fail(lane, -ENOMEM, "out of memory for a handle");
        return;
    }
    lane->releases[lane->releases_count++] = handle;
    if (!lane->corks) {
        flush_releases(lane);
        lane_ring_bell(lane);
    }
    lane->has_more |= lane->releases_count > 0;
    lane->ops->changed(lane->owner);
}

static void release_into_ring(struct lane *lane, uint64_t handle) {
    int r = lane_release_room(lane);
    if (r < 0) {
        lane_fail(lane, -EPROTO, "the cursor of the release ring makes no sense");
    } else if (r == 0 && lane->own.releases >= lane->growth.entries) {
        lane_fail(lane, -EPROTO,
                  "more leases were granted than blocks_max: each counts until the peer says that it has read the "
                  "release");
    } else if (r == 0) {
        release_by_datagram(lane, handle);
    } else {
        release_write(&lane->releases_out, handle);
        /* A sleeping owner is woken for each release of a sealed block, as for a frame: its end frees a memfd. The
         * release of a pooled block frees no memory: its owner is woken if it waits for blocks. */
        lane->doorbell.due |= handle_arena(handle) ? DOORBELL_RELEASES : DOORBELL_FRAMES;
        if (!lane->corks)
            lane_ring_bell(lane);
    }
}

void lane_release(void *owner, uint64_t handle) {
    struct lane *lane = owner;
    if (lane->state != LANE_OPEN)
        return;
    if (lane->has_rings) {
        release_into_ring(lane, handle);
        return;
    }
    lane->releases[lane->releases_count++] = handle; /* lane_reserve_release() made room before it was imported */
    if (lane->is_socket_full)
        lane->ops->changed(lane->owner);
    else if (!lane->corks)
        flush_releases(lane);
}
