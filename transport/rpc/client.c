/* SPDX-License-Identifier: MIT */
/*
 * The public face of a connection: connecting, calling, waiting. See <sealane/conn.h>.
 *
 * What waits does it here: it polls the one socket, and gives the connection its turns. A connection that a loop
 * drives, or that is in a turn already, cannot wait for itself: -EDEADLK.
 */
#include "rpc/conn.h"

#include "lane/address.h"
#include "lane/socket_error.h"
#include "registry/block.h"
#include "rpc/msg.h"
#include "rpc/small.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/shared_word.h"
#include "sys/socket.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* A full backlog tells nobody when it has room. */
static const uint64_t CONNECT_RETRY_NS = 1000 * 1000;

/* Memory is made, in base pages, some 10 ms for 16 MiB (memory/reserve.c). */
static const uint64_t GROWTH_BYTES_PER_NS = 2;

static const sea_options NO_OPTIONS;

static int socket_open(const char *address, int *ret_fd, bool *ret_inherited, const char **ret_why) {
    struct address where;
    int r = address_parse(address, false, &where, ret_why);
    if (r < 0)
        return r;
    *ret_inherited = where.fd >= 0;
    if (where.fd >= 0) {
        *ret_why = "the inherited descriptor is not a connected AF_UNIX SOCK_SEQPACKET socket";
        r = socket_adopt(where.fd, false);
        *ret_fd = r == 0 ? where.fd : -1;
        return r;
    }
    *ret_why = "it cannot be connected to";
    return socket_connect(where.name, ret_fd);
}

/* There is nothing to try again with: the socket is closed. */
static int explain_inherited(sea_ctx *ctx, int r) {
    sea_refusal last;
    if (r != -EAGAIN)
        return r;
    refusal_read(&ctx->refusals, &last);
    return refusal_explain(&ctx->refusals, -ENOBUFS, last.limit, last.advice);
}

int conn_connect(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *options) {
    const char *why = "";
    int fd = -1;
    bool is_inherited = false;
    if (!options)
        options = &NO_OPTIONS;
    int r = negotiation_check_options(options, &why);
    if (r < 0)
        return refusal_explain(&ctx->refusals, r, address, why);
    r = socket_open(address, &fd, &is_inherited, &why);
    if (r < 0) {
        char text[SOCKET_ERROR_TEXT_SIZE];
        socket_error_describe_connect(address, r, why, text);
        return refusal_explain(&ctx->refusals, failure_error(r), address, text);
    }
    r = conn_new(ret_conn, ctx, fd, false, options, NULL);
    if (is_inherited)
        return explain_inherited(ctx, r);
    if (r == 0)
        lane_hurry_orphan(&(*ret_conn)->lane);
    return r;
}

/* Looks at the peer's memory for as long as that pays. true: there is something. */
static bool conn_watch_rings(struct lane *lane) {
    while (!lane_has_work(lane)) {
        if (!spin_policy_continue(&lane->spin))
            return false;
        if (lane_spin_for_frame(lane, POLLER_LOOKS))
            return true;
    }
    return true;
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Waits once, at most until `deadline`, and gives the connection its turn. -EINTR: the interrupt is raised; whoever
 * returns that tells it. */
static int conn_wait_turn(sea_conn *conn, uint64_t deadline) {
    struct lane *lane = &conn->lane;
    uint64_t own = conn_deadline_of_calls(conn);
    int revents = 0;
    if (interrupt_is_raised(&conn->interrupt)) {
        snprintf(conn->text, sizeof(conn->text), "interrupted: sea_conn_interrupt() was called");
        return -EINTR;
    }
    if (own < deadline)
        deadline = own;
    if (lane->corks)
        lane_ring_bell(lane);
    if (own == WAIT_FOREVER && spin_policy_may_spin(&lane->spin) && lane_spin_for_frame(lane, POLLER_LOOKS))
        return small_turn(conn);
    if (deadline == 0 || !conn_watch_rings(lane)) {
        if (spin_policy_never_sleeps(&lane->spin))
            deadline = 0;
        if (deadline == 0 || lane_prepare_sleep(lane))
            revents = conn_poll(conn, conn->interrupt.wake_fd, sooner(deadline, conn_deadline(conn)));
        if (revents == 0)
            interrupt_clear(&conn->interrupt);
    }
    spin_policy_reward(&lane->spin);
    if (revents < 0)
        return refusal_explain_failure(&conn->ctx->refusals, revents, "connection", "it cannot be waited for");
    return conn_turn(conn, (short) revents);
}

int conn_explain_deadlock(const sea_conn *conn) {
    return refusal_explain(&conn->ctx->refusals, -EDEADLK, "connection",
                           conn->is_looped
                               ? "a loop drives it, so nothing else can wait for it: use sea_call_start(), or callbacks"
                               : "it is in a turn already: in a handler or callback nothing can wait for it");
}

/* How functions that need an open connection say that it is not. */
static int conn_end_reason(const sea_conn *conn) {
    return conn->reason == -EPROTO ? -EPROTO : -EPIPE;
}

struct opening {
    sea_conn *conn; /* owned reference */
    bool is_done;
};

/* An exception that left a callback leaves no connection. */
static void opening_end(const struct opening *opening) {
    if (!opening->is_done && !opening->conn->is_freed)
        sea_conn_free(opening->conn);
    conn_unref(opening->conn);
}

/* Drives it through its handshake. Takes it when that fails; a callback may have freed it before. */
static int conn_wait_open(sea_conn *conn, const char *address) {
    int r = 0;
    CLEANUP(opening_end) struct opening opening = {.conn = conn_ref(conn)};
    while (!conn->is_open && !conn->is_ended && r >= 0)
        r = conn_wait_turn(conn, WAIT_FOREVER);
    if (conn->is_open)
        r = 0;
    else if (conn->is_freed)
        r = -ECANCELED;
    else if (conn->is_ended)
        r = conn->reason ? conn->reason : -EPIPE;
    if (r < 0 && conn->text[0])
        refusal_explain(&conn->ctx->refusals, r, address, conn->text);
    opening.is_done = r == 0;
    return r;
}

int sea_connect(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *options) {
    sea_conn *conn = NULL;
    uint64_t deadline = wait_deadline(lane_handshake_ms(options ? options : &NO_OPTIONS));
    int r = conn_connect(&conn, ctx, address, options);
    while (r == -EAGAIN && wait_now() < deadline) {
        wait_fd(-1, 0, wait_now() + CONNECT_RETRY_NS);
        r = conn_connect(&conn, ctx, address, options);
    }
    if (r == -EAGAIN) {
        sea_refusal last;
        refusal_read(&ctx->refusals, &last);
        return refusal_explain(&ctx->refusals, -ETIMEDOUT, address,
                               last.error == r ? last.advice : "no connection in time");
    }
    if (!conn)
        return r;
    conn->lane.greeting_deadline = sooner(conn->lane.greeting_deadline, deadline);
    r = conn_wait_open(conn, address);
    if (r == 0)
        *ret_conn = conn;
    return r;
}

sea_conn *sea_conn_free(sea_conn *conn) {
    if (!conn)
        return NULL;
    CLEANUP_CONN sea_conn *freed = conn;
    freed->is_freed = true;
    conn_end(conn, 0, "");
    return NULL;
}

void sea_conn_close(sea_conn *conn) {
    bool is_broken = conn->lane.is_broken; /* it has ended already, and not by this */
    lane_fail(&conn->lane, is_broken ? -EPIPE : 0, is_broken ? "the peer is gone" : "");
}

/* Notes that sending said -EPIPE, before the turn that ends the connection: what was sent here until then is still to
 * come. */
static void conn_note_gone(sea_conn *conn) {
    const struct lane *lane = &conn->lane;
    if (!conn->is_ended)
        snprintf(conn->text, sizeof(conn->text), "%s", lane->has_failed ? lane->text : "the peer is gone");
}

/* The peer takes no more calls for now; or none at all. */
static int call_wait(sea_conn *conn) {
    if (conn->lane.negotiated.calls_max == 0)
        return refusal_keep(&conn->ctx->refusals, -EDQUOT, "peer's calls_max", 1, 0,
                            "it takes no calls at all: send one-way messages, or raise that limit");
    conn->lane.shortage =
        (struct lane_shortage){.limit = "peer's calls_max",
                               .needed = 1,
                               .advice = "calls of ours have to end: wait for on_room, or longer, or raise that limit"};
    conn->wants_call = true;
    return -EAGAIN;
}

/* `call` brings method and payload. */
static int call_start(sea_conn *conn, struct lane_message *call, uint64_t deadline, struct call_waiter waiter) {
    int r = conn->is_ended ? conn_end_reason(conn) : conn->is_open ? 0 : -EAGAIN;
    if (r < 0)
        return r;
    r = calls_begin(&conn->calls, conn->lane.negotiated.calls_max, deadline, waiter, &call->id);
    if (r == -EAGAIN)
        r = call_wait(conn);
    if (r < 0)
        return r;
    call->type = WIRE_CALL;
    call->deadline = deadline == WAIT_FOREVER ? 0 : deadline;
    r = lane_send(&conn->lane, call, false);
    if (r < 0) {
        calls_undo(&conn->calls, call->id);
        if (r == -EPIPE)
            conn_note_gone(conn);
        return r;
    }
    tally_count(&conn->lane.tally, calls_out, 1);
    if (conn->watch.poller && !conn->turns)
        watch_update(&conn->watch, lane_events(&conn->lane), conn_deadline(conn));
    return 0;
}

int sea_call_start(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_done *done, void *user,
                   uint64_t *ret_id) {
    struct lane_message call = {.method = method, .block = block};
    bool is_first = !conn->lane.wants_room && !conn->wants_call;
    struct call_waiter waiter = {done, user, method, timeout_ms};
    int r = done ? call_start(conn, &call, wait_deadline(timeout_ms), waiter) : -EINVAL;
    sea_block_unref(block);
    if (r == -EAGAIN && is_first)
        lane_explain(&conn->lane, r);
    if (r == 0 && ret_id)
        *ret_id = call.id;
    return r;
}

struct blocking_call {
    bool is_done;
    int status;
    sea_msg *reply;
};

static void blocking_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    struct blocking_call *call = user;
    (void) conn;
    *call = (struct blocking_call){.is_done = true, .status = status, .reply = reply};
}

static int call_begin_waiting(sea_conn *conn, struct lane_message *message, int timeout_ms,
                              struct blocking_call *call) {
    struct call_waiter waiter = {blocking_done, call, message->method, timeout_ms};
    uint64_t deadline = wait_deadline(timeout_ms);
    for (;;) {
        int r = call_start(conn, message, deadline, waiter);
        if (r != -EAGAIN)
            return r;
        if (deadline != WAIT_FOREVER && wait_now() >= deadline)
            return lane_explain(&conn->lane, -ETIMEDOUT);
        r = conn_wait_turn(conn, deadline);
        if (r < 0)
            return interrupt_tell(&conn->interrupt, r);
    }
}

struct waiting {
    sea_conn *conn; /* owned reference: handlers that run meanwhile may free it */
    struct blocking_call *call;
    uint64_t id;
    bool is_done;
};

/* Polling failed, or an exception left a handler: nothing may be told to this frame of the stack later. */
static void waiting_end(struct waiting *waiting) {
    if (!waiting->is_done && !waiting->call->is_done)
        sea_call_cancel(waiting->conn, waiting->id);
    if (!waiting->is_done)
        sea_msg_release(waiting->call->reply);
    conn_unref(waiting->conn);
}

/* Waits for the end of a call that was begun. */
static int call_await(sea_conn *conn, struct blocking_call *call, uint64_t id, sea_msg **ret_reply) {
    int r = 0;
    CLEANUP(waiting_end) struct waiting waiting = {.conn = conn_ref(conn), .call = call, .id = id};
    while (r >= 0 && !call->is_done)
        r = conn_wait_turn(conn, WAIT_FOREVER); /* the call's own deadline ends it */
    interrupt_tell(&conn->interrupt, r);
    if (r >= 0)
        r = call->status;
    if (r >= 0 && ret_reply) {
        *ret_reply = call->reply;
        waiting.is_done = true;
    }
    return r < 0 ? r : 0;
}

/* Calls and waits. `message` brings method and payload, which is borrowed. */
static int call_blocking(sea_conn *conn, struct lane_message *message, int timeout_ms, sea_msg **ret_reply) {
    struct blocking_call call = {.is_done = false};
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    int r = conn_can_wait(held) ? call_begin_waiting(conn, message, timeout_ms, &call) : conn_explain_deadlock(conn);
    return r == 0 ? call_await(conn, &call, message->id, ret_reply) : r;
}

static void block_unrefp(sea_block **block) {
    sea_block_unref(*block);
}

static void message_end(const struct lane_message *message) {
    sea_block_unref(message->block);
}

int sea_call(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_msg **ret_reply) {
    CLEANUP(block_unrefp) sea_block *taken = block;
    struct lane_message call = {.method = method, .block = taken};
    return call_blocking(conn, &call, timeout_ms, ret_reply);
}

int conn_block_of(sea_conn *conn, const void *data, size_t size, sea_block **ret_block) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, conn, size);
    if (r == 0)
        r = sea_block_fill(block, 0, data, size);
    if (r < 0)
        sea_block_unref(block);
    else
        *ret_block = block;
    return r;
}

/* Bytes that do not go into a frame as they are become a block. */
static int message_of_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size,
                            struct lane_message *ret_message) {
    *ret_message = (struct lane_message){.method = method, .bytes = data, .bytes_size = size};
    if (size == 0 || lane_takes_bytes(&conn->lane, size))
        return 0;
    ret_message->bytes_size = 0;
    return conn_block_of(conn, data, size, &ret_message->block);
}

int client_await_small(sea_conn *conn, uint32_t method, int timeout_ms, uint64_t deadline, sea_msg **ret_reply) {
    struct blocking_call call = {.is_done = false};
    struct call_waiter waiter = {blocking_done, &call, method, timeout_ms};
    uint64_t id;
    calls_begin(&conn->calls, UINT32_MAX, deadline, waiter, &id); /* a slot is free */
    tally_count(&conn->lane.tally, calls_out, 1);
    return call_await(conn, &call, id, ret_reply);
}

int client_call_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms,
                      sea_msg **ret_reply) {
    CLEANUP(message_end) struct lane_message call = {.block = NULL};
    int r = message_of_bytes(conn, method, data, size, &call);
    return r == 0 ? call_blocking(conn, &call, timeout_ms, ret_reply) : r;
}

void sea_batch_begin(sea_conn *conn) {
    conn->lane.batches++;
    lane_cork(&conn->lane);
}

void sea_batch_end(sea_conn *conn) {
    conn->lane.batches--;
    lane_uncork(&conn->lane);
}

static void stop_wanting(struct lane **lane) {
    (*lane)->wants_blocks = false;
}

/*
 * A stream that goes round in few blocks stays in the caches, and takes no memory. So before the pool has to grow for
 * the next block, one that comes back is waited for, for as long as growing would take: that costs at most twice the
 * best choice.
 */
static void await_block(sea_conn *conn, const sea_block *sent, uint64_t deadline) {
    struct lane *lane = &conn->lane;
    uint64_t growth = sent ? pooled_growth(sent) : 0;
    if (!growth)
        return;
    deadline = sooner(deadline, wait_now() + growth / GROWTH_BYTES_PER_NS);
    CLEANUP(stop_wanting) struct lane *wanting = lane;
    wanting->wants_blocks = true;
    while (!conn->is_ended && pooled_growth(sent) && wait_now() < deadline && conn_wait_turn(conn, deadline) >= 0)
        ;
}

/* `out` brings method and payload, which is borrowed. */
static int send_waiting(sea_conn *conn, struct lane_message *out, int timeout_ms) {
    uint64_t deadline = wait_deadline(timeout_ms);
    int r = timeout_ms && !conn_can_wait(conn) ? conn_explain_deadlock(conn) : 0;
    bool is_first = timeout_ms || !conn->lane.wants_room;
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    out->type = WIRE_ONEWAY;
    while (r >= 0) {
        r = conn->is_ended ? conn_end_reason(held) : lane_send(&conn->lane, out, false);
        if (r != -EAGAIN || timeout_ms == 0 || wait_now() >= deadline)
            break;
        r = conn_wait_turn(conn, deadline);
    }
    if (r == 0 && timeout_ms) {
        await_block(conn, out->block, deadline);
        lane_maintain_pools_when_due(&conn->lane);
    }
    if (r == -EAGAIN && is_first)
        lane_explain(&conn->lane, r);
    if (r == -EPIPE)
        conn_note_gone(conn);
    interrupt_tell(&conn->interrupt, r);
    return r;
}

int sea_send(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms) {
    CLEANUP(block_unrefp) sea_block *taken = block;
    struct lane_message out = {.method = method, .block = taken};
    return send_waiting(conn, &out, timeout_ms);
}

int client_send_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms) {
    CLEANUP(message_end) struct lane_message out = {.block = NULL};
    int r = message_of_bytes(conn, method, data, size, &out);
    return r == 0 ? send_waiting(conn, &out, timeout_ms) : r;
}

int sea_conn_wait(sea_conn *conn, int timeout_ms) {
    uint64_t deadline = wait_deadline(timeout_ms);
    int r = conn_can_wait(conn) ? 0 : conn_explain_deadlock(conn);
    uint32_t told = conn->told;
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    while (r == 0) {
        r = conn->is_ended ? conn_end_reason(held) : conn_wait_turn(conn, deadline);
        if (r == 0 && conn->told != told && !conn->is_ended)
            r = 1;
        if (r == 0 && !conn->is_ended && wait_now() >= deadline)
            break;
    }
    interrupt_tell(&conn->interrupt, r);
    return r;
}

int sea_conn_interrupt(sea_conn *conn) {
    return interrupt_raise(&conn->interrupt);
}

/* The socket and the peer's process, in a set that is readable when either has something. */
static int pair_new(const sea_conn *conn, int *ret_fd) {
    CLEANUP_FD int fd = -1;
    int r = wait_set_new(&fd);
    if (r == 0)
        r = wait_set_add(fd, lane_speaker(&conn->lane), POLLIN, NULL);
    if (r == 0)
        r = wait_set_add(fd, conn->lane.fd, conn->pair_events, NULL);
    if (r == 0)
        *ret_fd = fd_steal(&fd);
    return r;
}

/* Where none can be made, it is the socket alone: most deaths end that. */
int sea_conn_fd(sea_conn *conn) {
    if (conn->pair_fd >= 0)
        return conn->pair_fd;
    conn->pair_events = POLLIN;
    if (conn->is_looped || conn->is_ended || lane_speaker(&conn->lane) < 0 || pair_new(conn, &conn->pair_fd) < 0)
        return conn->lane.fd;
    return conn->pair_fd;
}

/* Who waits for nothing is taken out of the set: it would tell of a hang-up all the same. */
static void pair_update(sea_conn *conn, short events) {
    int fd = conn->lane.fd;
    if (events == conn->pair_events)
        return;
    if (!events)
        wait_set_remove(conn->pair_fd, fd);
    else if (conn->pair_events)
        wait_set_change(conn->pair_fd, fd, events, NULL);
    else
        wait_set_add(conn->pair_fd, fd, events, NULL);
    conn->pair_events = events;
}

short sea_conn_events(sea_conn *conn) {
    short events = lane_events(&conn->lane);
    if (conn->pair_fd < 0)
        return events;
    pair_update(conn, events);
    return POLLIN;
}

int sea_conn_timeout(sea_conn *conn) {
    if (conn->is_looped)
        return -1;
    if (conn->turns) /* who is awake does not say that it sleeps */
        return 0;
    return lane_prepare_sleep(&conn->lane) ? wait_left_ms(conn_deadline(conn)) : 0;
}

int sea_conn_dispatch(sea_conn *conn, short revents) {
    if (!conn_can_wait(conn))
        return conn_explain_deadlock(conn);
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    int found = revents && conn->pair_fd >= 0 ? conn_poll(conn, -1, 0) : revents;
    if (!held->is_ended)
        conn_turn(conn, (short) (found < 0 ? 0 : found));
    return conn->is_ended ? conn_end_reason(conn) : 0;
}

bool sea_conn_is_open(const sea_conn *conn) {
    return conn->is_open;
}

sea_ctx *sea_conn_ctx(const sea_conn *conn) {
    return conn->ctx;
}

const sea_peer *sea_conn_peer(const sea_conn *conn) {
    return &conn->lane.peer;
}

const char *sea_conn_service(const sea_conn *conn) {
    return conn->lane.negotiated.service;
}

const char *sea_conn_text(const sea_conn *conn) {
    return conn->text;
}

void sea_conn_set_data(sea_conn *conn, void *data) {
    conn->data = data;
}

void *sea_conn_data(const sea_conn *conn) {
    return conn->data;
}

void sea_conn_figures_get(const sea_conn *conn, sea_conn_figures *ret_figures) {
    const struct peer *account = conn->lane.account;
    struct pool_gauges arenas;
    pools_gauges(&account->pooled.pools, &arenas);
    *ret_figures = (sea_conn_figures){
        .leased_blocks = atomic_load_explicit(&account->leased_blocks, memory_order_relaxed),
        .leased_bytes = atomic_load_explicit(&account->leased_bytes, memory_order_relaxed),
        .imported_blocks = account->imported_blocks,
        .imported_bytes = account->imported_bytes,
        .calls_out = conn->calls.in_flight,
        .calls_in = conn->incoming_count,
        .inline_max = conn->lane.negotiated.inline_max,
        .blocks_max = conn->lane.negotiated.blocks_max,
        .calls_max = conn->lane.negotiated.calls_max,
        .block_max = conn->lane.negotiated.block_max,
        .bytes_max = conn->lane.negotiated.bytes_max,
        .accept = conn->lane.negotiated.accept & ~(uint32_t) (conn->lane.negotiated.peer_snapshots ? SEA_POOLED : 0),
        .allocated = arenas.allocated,
        .active = arenas.bytes_out,
        .mapped = arenas.mapped,
        .retained = arenas.retained,
        .mapped_peak = account->pooled.pools.mapped_peak,
        .imported_arena_bytes = account->pooled.views_mapped,
        .oldest_lease = peer_oldest_lease(account),
    };
    quota_read(&account->quota, &ret_figures->quota);
    quota_read(&account->user->quota, &ret_figures->user_quota);
}

static int inline_new(sea_conn *conn, size_t size, sea_block **ret_block) {
    int r = size < conn->ready_below ? pooled_new_inline(ret_block, conn->lane.account, size) : -ENOMEM;
    lane_request_maintenance(&conn->lane);
    return r < 0 ? block_new_inline(ret_block, conn->ctx, conn->lane.account, size) : 0;
}

/* Here, and not with the blocks: the class follows from what the peer takes. While it holds all that the pool may have,
 * that is sealed: such a block waits for credit when it is sent. */
int conn_block_new(sea_conn *conn, sea_pool *pool, size_t size, sea_block **ret_block) {
    const struct negotiated *negotiated = &conn->lane.negotiated;
    if (!conn->is_open)
        return conn->is_ended ? -EPIPE : -EAGAIN;
    int class = class_choice_for(&conn->lane.choice, negotiated, size);
    if (class == SEA_INLINE)
        return inline_new(conn, size, ret_block);
    if (class == 0)
        return lane_explain_size(&conn->lane, size);
    int r = class == SEA_POOLED ? lane_block_new(&conn->lane, pool, size, ret_block) : -EDQUOT;
    bool is_sealed = r == -EDQUOT && negotiation_take(negotiated, SEA_SEALED, size);
    if (is_sealed)
        r = block_new_sealed_for(ret_block, conn->lane.account, size);
    bool is_inline = failure_is_forbidden(r) && negotiation_take(negotiated, SEA_INLINE, size);
    if (is_inline) /* no memfd, but a frame can carry it */
        r = inline_new(conn, size, ret_block);
    if (r == 0 && (is_inline || (is_sealed && class == SEA_POOLED)))
        tally_count(&conn->lane.tally, fallbacks, 1);
    return r;
}

static RARE int block_new(sea_block **ret_block, sea_conn *conn, size_t size, int payload_class) {
    struct peer *account = conn->lane.account;
    bool was_restless = account->pooled.pools.needs_maintenance;
    sea_block *block = size < conn->ready_below ? pooled_ready(account, payload_class, size) : NULL;
    if (!was_restless) /* else a turn was asked for when it became so */
        lane_request_maintenance(&conn->lane);
    if (!block)
        return conn_block_new(conn, &account->pooled.pools.own, size, ret_block);
    *ret_block = block;
    return 0;
}

/* The steady state: a block is free, and of a small size one has just come back. */
int sea_block_new(sea_block **ret_block, sea_conn *conn, size_t size) {
    int payload_class = size <= conn->lane.choice.inline_most ? SEA_INLINE : SEA_POOLED;
    sea_block *block = size < conn->ready_below ? block_lend_hot(conn->lane.account, payload_class, size) : NULL;
    if (!block)
        return block_new(ret_block, conn, size, payload_class);
    *ret_block = block;
    return 0;
}
