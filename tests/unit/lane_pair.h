/* SPDX-License-Identifier: MIT */
/*
 * Lanes driven by hand, for the unit tests of transport/lane: a lane over a socketpair against another lane, or against
 * a speaker (support/speaker.h), all on the test's thread. A side is a lane with an owner that records its callbacks.
 *
 * Fill in `ctx_options` and `options`, then call side_init(). A side owns the messages that arrived until side_drop().
 */
#ifndef TESTS_UNIT_LANE_PAIR_H
#define TESTS_UNIT_LANE_PAIR_H

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lane/lane.h"
#include "support/figures.h"
#include "support/speaker.h"
#include "support/suite.h"
#include "sys/heap.h"
#include "sys/wait.h"

#define SIDE_MAX 2048 /* number of messages; a ring holds 1024, a socket some 280 */
/* Of small payloads of these messages. A pair lies on the stack, and valgrind takes 2 MB there for another stack. */
#define SIDE_BYTES (64 << 10)

struct side {
    sea_ctx_options ctx_options;
    sea_options options;
    bool has_outbox;                       /* offers an outbox: the opposite of options.socket_only */
    const char *verdict;                   /* result of the `arrived` callback */
    void (*on_arrived)(struct side *side); /* runs after the message was recorded; NULL: nothing runs */
    void (*on_room)(struct side *side);    /* runs when there is room again; NULL: nothing runs */

    struct lane lane;
    sea_ctx *ctx;
    uint8_t *scratch;
    bool is_deaf; /* the owner reads no payloads */
    unsigned opened, asked, rooms, trims, closed;
    short told_events;                     /* lane_events() at the last call of `changed` */
    struct lane_message arrived[SIDE_MAX]; /* their texts and bytes are in the next two fields */
    char texts[SIDE_MAX][WIRE_TEXT_MAX + 1], bytes[SIDE_BYTES];
    size_t bytes_used;
    unsigned arrived_count;
    uint64_t cancelled[SIDE_MAX];
    unsigned cancelled_count;
    uint32_t cancel_looks; /* result of the `cancelled` callback */
    sea_close_event end;   /* its text lies in `end_text` */
    char end_text[WIRE_TEXT_MAX + 1];
};

/* The gate of the short way is as the lane's state says, whatever has happened. */
static inline void side_check_small(const struct side *side) {
    struct lane lane = side->lane;
    lane_set_small(&lane);
    ck_assert_uint_eq(side->lane.small_end, lane.small_end);
    ck_assert_uint_eq(side->lane.small_in_most, lane.small_in_most);
}

static inline void side_opened(void *owner) {
    ((struct side *) owner)->opened++;
}

static inline const char *side_coming(void *owner, const struct lane_message *message, bool *ret_is_wanted) {
    struct side *side = owner;
    (void) message;
    side->asked++;
    *ret_is_wanted = !side->is_deaf;
    return NULL;
}

static inline const char *side_arrived(void *owner, const struct lane_message *message) {
    struct side *side = owner;
    ck_assert_uint_lt(side->arrived_count, SIDE_MAX);
    struct lane_message *kept = &side->arrived[side->arrived_count];
    *kept = *message;
    kept->text = side->texts[side->arrived_count];
    snprintf(side->texts[side->arrived_count], sizeof side->texts[0], "%s", message->text);
    if (side->arrived_count == 0)
        side->bytes_used = 0;
    ck_assert_uint_le(message->bytes_size, SIDE_BYTES - side->bytes_used);
    if (message->bytes_size)
        kept->bytes = memcpy(side->bytes + side->bytes_used, message->bytes, message->bytes_size);
    side->bytes_used += message->bytes_size;
    side->arrived_count++;
    if (side->on_arrived)
        side->on_arrived(side);
    return side->verdict;
}

static inline uint32_t side_cancelled(void *owner, uint64_t id) {
    struct side *side = owner;
    ck_assert_uint_lt(side->cancelled_count, SIDE_MAX);
    side->cancelled[side->cancelled_count++] = id;
    return side->cancel_looks;
}

static inline void side_room(void *owner) {
    struct side *side = owner;
    side->rooms++;
    if (side->on_room)
        side->on_room(side);
}

static inline void side_changed(void *owner) {
    struct side *side = owner;
    side->told_events = lane_events(&side->lane);
}

static inline void side_trim(void *owner) {
    ((struct side *) owner)->trims++;
}

static inline void side_closed(void *owner, const sea_close_event *event) {
    struct side *side = owner;
    side_check_small(side);
    side->closed++;
    side->end = *event;
    snprintf(side->end_text, sizeof side->end_text, "%s", event->text);
    side->end.text = side->end_text;
}

static const struct lane_ops side_ops = {
    .opened = side_opened,
    .coming = side_coming,
    .arrived = side_arrived,
    .cancelled = side_cancelled,
    .room = side_room,
    .changed = side_changed,
    .trim = side_trim,
    .closed = side_closed,
};

/* Takes `fd`. */
static inline void side_init(struct side *side, int fd, bool is_server) {
    if (!side->options.handshake_ms)
        side->options.handshake_ms = 60000; /* a busy machine must not end a handshake */
    side->options.socket_only = !side->has_outbox;
    ck_assert_int_eq(sea_ctx_new(&side->ctx, &side->ctx_options), 0);
    side->scratch = heap_new(1, LANE_SCRATCH_SIZE);
    ck_assert_ptr_nonnull(side->scratch);
    ck_assert_int_eq(lane_init(&side->lane, side->ctx, fd, is_server, &side->options, side->scratch, &side_ops, side),
                     0);
}

/* Forgets the messages that arrived: the leases on them go back. */
static inline void side_drop(struct side *side) {
    for (unsigned i = 0; i < side->arrived_count; i++)
        sea_block_unref(side->arrived[i].block);
    side->arrived_count = 0;
}

static inline struct figures side_figures(const struct side *side) {
    struct figures figures;
    sea_ctx_figures(side->ctx, figures.of, SEA_FIGURES);
    return figures;
}

/* Ends the lane in any state, and checks that its context is left without charges and references. */
static inline void side_deinit(struct side *side) {
    lane_deinit(&side->lane);
    side_drop(side);
    struct figures f = side_figures(side);
    ck_assert_uint_eq(f.of[SEA_FIGURE_CONNECTIONS], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_LEASED_BLOCKS] + f.of[SEA_FIGURE_LEASED_BYTES], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_IMPORTED_BLOCKS] + f.of[SEA_FIGURE_IMPORTED_BYTES], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_BLOCKS] + f.of[SEA_FIGURE_BYTES] + f.of[SEA_FIGURE_OUTBOX_BYTES], 0);
    sea_ctx_unref(side->ctx);
    heap_free(side->scratch);
}

/* Gives the lane one turn if poll(), the clock or the rings ask for one; otherwise it sleeps from now on. Returns
 * whether it got a turn. */
static inline bool side_turn(struct side *side) {
    struct pollfd item = {.fd = side->lane.fd, .events = lane_events(&side->lane)};
    side_check_small(side);
    if (side->lane.state == LANE_CLOSED)
        return false;
    ck_assert_int_ge(poll(&item, 1, 0), 0);
    if (!item.revents && lane_deadline(&side->lane) > wait_now() && lane_prepare_sleep(&side->lane))
        return false;
    lane_dispatch(&side->lane, item.revents);
    side_check_small(side);
    return true;
}

static inline void side_settle(struct side *side) {
    for (int turns = 0; side_turn(side); turns++)
        ck_assert_int_lt(turns, 10000);
}

/* Waits for the lane's deadline, and gives it the turn that it asked for. */
static inline void side_turn_at_deadline(struct side *side) {
    uint64_t deadline = lane_deadline(&side->lane);
    ck_assert_uint_ne(deadline, WAIT_FOREVER);
    wait_fd(-1, 0, deadline);
    lane_dispatch(&side->lane, 0);
    side_check_small(side);
}

static inline void lane_socketpair(int ret_fds[2]) {
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds), 0);
}

struct pair {
    struct side client, server;
};

/* Makes both sides; neither has had a turn. */
static inline void pair_init(struct pair *pair) {
    int fds[2];
    lane_socketpair(fds);
    side_init(&pair->client, fds[0], false);
    side_init(&pair->server, fds[1], true);
}

static inline void pair_settle(struct pair *pair) {
    for (int turns = 0; side_turn(&pair->client) + side_turn(&pair->server) > 0; turns++)
        ck_assert_int_lt(turns, 10000);
}

/* Opens both sides: the handshake is done. */
static inline void pair_open(struct pair *pair) {
    pair_init(pair);
    pair_settle(pair);
    ck_assert_int_eq(pair->client.lane.state, LANE_OPEN);
    ck_assert_int_eq(pair->server.lane.state, LANE_OPEN);
}

/* For tests that must hold in both modes: through the socket alone (0), or through outboxes (1). */
#define PAIR_MODES 2

static inline void pair_open_in(struct pair *pair, int mode) {
    pair->client.has_outbox = pair->server.has_outbox = mode == 1;
    pair_open(pair);
    ck_assert_int_eq(pair->client.lane.has_rings, mode == 1);
    ck_assert_int_eq(pair->server.lane.has_rings, mode == 1);
}

static inline void pair_deinit(struct pair *pair) {
    side_deinit(&pair->client);
    side_deinit(&pair->server);
}

/* Makes a side with a speaker at the other end. */
static inline struct speaker *side_face_speaker(struct side *side, bool is_server) {
    int fds[2];
    lane_socketpair(fds);
    side_init(side, fds[0], is_server);
    return speaker_new(fds[1]);
}

/* Makes a side with a speaker, and completes the handshake. `hello` is the speaker's; NULL: a sound HELLO. */
static inline struct speaker *side_greet_speaker(struct side *side, bool is_server, const struct wire_hello *hello) {
    static struct draft draft;
    struct speaker *speaker = side_face_speaker(side, is_server);
    struct wire_hello sound = hello_sound();
    draft_hello(&draft, hello ? hello : &sound);
    ck_assert_int_eq(speaker_send(speaker, &draft), 0);
    side_settle(side);
    ck_assert_int_eq(side->lane.state, LANE_OPEN);
    speaker_expect(speaker, WIRE_HELLO);
    return speaker;
}

/* Fills a block with `fill`. */
static inline sea_block *filled(sea_block *block, int fill) {
    memset(sea_block_data(block), fill, sea_block_size(block));
    return block;
}

static inline sea_block *new_inline(struct side *side, size_t size, int fill) {
    sea_block *block = NULL;
    ck_assert_int_eq(block_new_inline(&block, side->ctx, NULL, size, 1), 0);
    return filled(block, fill);
}

static inline sea_block *new_sealed(struct side *side, size_t size, int fill) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new_sealed(&block, side->ctx, size, 0), 0);
    return filled(block, fill);
}

/* Sends a message that has only a payload, by lane_send(); takes the block. */
static inline int side_send(struct side *side, enum wire_type type, uint64_t id, sea_block *block, bool may_queue) {
    const struct lane_message message = {.type = type, .id = id, .method = type == WIRE_REPLY ? 0 : 7, .block = block};
    int r = lane_send(&side->lane, &message, may_queue);
    side_check_small(side);
    sea_block_unref(block);
    return r;
}

/* Sends until there is no room; returns the number of messages sent. */
static inline unsigned side_fill_socket(struct side *side) {
    unsigned sent = 0;
    while (side_send(side, WIRE_ONEWAY, 0, NULL, false) == 0)
        ck_assert_uint_lt(++sent, SIDE_MAX);
    return sent;
}

#endif
