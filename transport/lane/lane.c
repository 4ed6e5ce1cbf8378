/* SPDX-License-Identifier: MIT */
/* A lane's life and its turns: begin, handshake of a client, dispatch, end. See lane.h. Also calls the policy, and
 * keeps the socket and the pidfd in the list of what a forked child must not have (sys/fork_guard.h). */
#include "lane/lane.h"

#include "lane/policy.h"
#include "sys/clock.h"
#include "sys/cred.h"
#include "sys/failure.h"
#include "sys/fdpass.h"
#include "sys/fork_guard.h"
#include "sys/heap.h"
#include "sys/idmap.h"
#include "sys/socket.h"
#include "sys/wait.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>

static const int HANDSHAKE_MS_DEFAULT = 2000, ORPHAN_MS = 800;

int lane_handshake_ms(const sea_options *options) {
    return options->handshake_ms ? options->handshake_ms : HANDSHAKE_MS_DEFAULT;
}

void lane_hurry_orphan(struct lane *lane) {
    uint64_t soon = wait_deadline(ORPHAN_MS);
    lane->is_orphan = cred_has_ended(lane->peer.pidfd);
    if (lane->is_orphan && soon < lane->greeting_deadline)
        lane->greeting_deadline = soon;
}

static int lane_identify(struct lane *lane) {
    struct cred cred = {.pidfd = -1};
    int r = cred_read(lane->fd, &cred);
    if (r < 0)
        return refusal_explain_failure(&lane->ctx->refusals, r, "connection", "the kernel does not say who is there");
    fork_guard_add(lane->fd);
    fork_guard_add(cred.pidfd);
    cred_ask(lane->fd, true);
    lane->peer = (sea_peer){.pid = cred.pid,
                            .uid = cred.uid,
                            .gid = cred.gid,
                            .pidfd = cred.pidfd,
                            .is_uid_ambiguous = !idmap_names_user(cred.uid),
                            .is_gid_ambiguous = !idmap_names_group(cred.gid)};
    lane->remote = peer_new(lane->ctx, user_name(lane->ctx, &lane->peer), lane_release, lane);
    return lane->remote ? 0 : refusal_explain(&lane->ctx->refusals, -ENOMEM, "connection", "out of memory");
}

/* The peer has to know which clock our deadlines are of. */
static void lane_name_clock(struct lane *lane) {
    struct clock_name clock = clock_name_own();
    lane->hello.features |= WIRE_FEATURE_CLOCK;
    lane->hello.clock_epoch = clock.epoch;
    lane->hello.clock_space = clock.space;
}

static void lane_set_offer(struct lane *lane, const sea_options *options) {
    lane->hello = negotiation_offer(lane->ctx, options);
    lane_name_clock(lane);
    lane->remote->account->in_limit = (struct credit){lane->hello.bytes_max, lane->hello.blocks_max};
}

/* As if the options said socket_only: a call that outboxes need is forbidden here. */
void lane_do_without_outboxes(struct lane *lane) {
    sea_options options = *lane->options;
    options.socket_only = true;
    lane_close_outboxes(lane);
    lane_set_offer(lane, &options);
    tally_count(&lane->tally, fallbacks, 1);
}

/* The groups are the callback's, for as long as it is asked. */
static int lane_judge(const struct lane *lane) {
    CLEANUP_FREE uint32_t *groups = NULL;
    sea_peer peer = lane->peer;
    if (policy_asks_groups(lane->options) && cred_read_groups(lane->fd, &groups, &peer.groups_count) == 0)
        peer.groups = groups;
    return policy_check(lane->options, &peer);
}

static const char FULL_SOCKET[] =
    "the inherited socket has no room for a greeting: its peer has not read what was sent "
    "there before; use a new socket";

/* Of a greeting that found no room. A new socket has some: then it is the kernel that is short of something, for a
 * while. */
static int explain_unsent(const struct lane *lane) {
    char text[sizeof(((sea_refusal *) NULL)->advice)];
    if (lane->is_socket_full)
        return refusal_explain(&lane->ctx->refusals, -ENOBUFS, "handshake", FULL_SOCKET);
    snprintf(text, sizeof(text), "%s: %s", lane->shortage.limit, lane->shortage.advice);
    return refusal_explain(&lane->ctx->refusals, -EAGAIN, "handshake", text);
}

/* A client speaks first, but only to a server that it trusts; a server tells a client at once that it will not be
 * served. */
static int lane_greet(struct lane *lane) {
    int r = lane_judge(lane);
    if (r < 0) {
        char why[POLICY_TEXT_SIZE];
        policy_refusal(lane->options, &lane->peer, lane->is_server, why);
        lane_fail(lane, r, why);
        return 0;
    }
    if (lane->is_server)
        return 0;
    r = lane->hello.features & WIRE_FEATURE_OUTBOX ? lane_make_outbox(lane) : 0;
    if (failure_is_forbidden(r))
        lane_do_without_outboxes(lane), r = 0;
    if (r == 0)
        r = lane_send_hello(lane);
    if (r < 0 && lane->has_failed)
        return refusal_explain(&lane->ctx->refusals, r, "handshake", lane->text);
    if (r == -EAGAIN)
        return explain_unsent(lane);
    return r == -EPIPE ? 0 : r; /* it has refused us already: its reason waits in the socket */
}

int lane_init(struct lane *lane, sea_ctx *ctx, int fd, bool is_server, const sea_options *options, uint8_t *scratch,
              const struct lane_ops *ops, void *owner) {
    *lane = (struct lane){
        .fd = fd,
        .generation = fork_guard_generation(),
        .is_server = is_server,
        .ctx = sea_ctx_ref(ctx),
        .options = options,
        .ops = ops,
        .owner = owner,
        .scratch = scratch,
        .peer = {.pidfd = -1},
        .own = OUTBOX_EMPTY,
        .theirs = OUTBOX_EMPTY,
        .growth = {.frames = OUTBOX_RING_NONE,
                   .releases = OUTBOX_RING_NONE,
                   .their_frames = OUTBOX_RING_NONE,
                   .their_releases = OUTBOX_RING_NONE},
        .hello = negotiation_offer(ctx, options),
        .retry_at = WAIT_FOREVER,
        .spin = {.waiting = SEA_WAIT_SLEEP},
        .greeting_deadline = wait_deadline(lane_handshake_ms(options)),
    };
    lane->queue_tail = &lane->queue_head;
    tally_begin(&lane->tally, ctx);
    if (!negotiation_take_fds(&lane->hello))
        socket_refuse_fds(fd);
    int r = lane_identify(lane);
    if (r == 0) {
        lane->remote->account->tally = &lane->tally;
        pools_set_options(&lane->remote->pools.own, options->pool);
        lane_set_offer(lane, options);
        r = lane_greet(lane);
    }
    if (r < 0)
        lane_deinit(lane);
    return r;
}

void lane_deinit(struct lane *lane) {
    uint64_t bytes;
    if (lane->has_held)
        sea_block_unref(lane->held.block);
    lane->has_held = false;
    snapshot_drop(lane);
    if (lane->remote) {
        peer_end(lane->remote, &bytes);
        lane_tell_pools(lane);
        lane->remote->account->tally = NULL; /* which imports may keep for longer */
    }
    if (lane->state == LANE_OPEN)
        tally_uncount(&lane->tally, connections, 1);
    lane_clear_queue(lane);
    lane_close_outboxes(lane);
    lane->remote = peer_free(lane->remote);
    lane->releases = heap_free(lane->releases);
    fork_guard_remove(lane->fd);
    lane->fd = fdpass_close(lane->fd);
    fork_guard_remove(lane->peer.pidfd);
    lane->peer.pidfd = fd_close(lane->peer.pidfd);
    tally_end(&lane->tally, lane->ctx);
    lane->ctx = sea_ctx_unref(lane->ctx);
    lane->state = LANE_CLOSED;
    lane_set_small(lane);
}

static bool has_retired(const struct lane *lane) {
    return lane->remote && lane->remote->pools.retired_count;
}

bool lane_wants_socket(const struct lane *lane) {
    return lane->queue_head || lane->releases_count || lane->wants_room || lane->doorbell.due || has_retired(lane);
}

/* One that ends asks for its turns by its deadline alone: the descriptor, which tells of the hang-up again and again,
 * would bring more. */
short lane_events(const struct lane *lane) {
    if (lane->is_ending)
        return 0;
    short in = lane->is_choked ? 0 : POLLIN;
    return (short) (in | (lane->is_socket_full && lane_wants_socket(lane) ? POLLOUT : 0));
}

uint64_t lane_deadline(const struct lane *lane) {
    bool is_greeting = lane->state == LANE_GREETING && !lane->is_choked; /* else `retry_at` comes first */
    uint64_t deadline = is_greeting ? lane->greeting_deadline : WAIT_FOREVER;
    if (lane->state == LANE_CLOSED)
        return WAIT_FOREVER;
    if (lane->has_failed || (lane->is_broken && !lane->is_choked) || lane->has_more)
        return 0;
    return lane->retry_at < deadline ? lane->retry_at : deadline;
}

uint64_t lane_pools_deadline(const struct lane *lane) {
    const struct pools *pools = &lane->remote->pools;
    if (lane->state != LANE_OPEN)
        return WAIT_FOREVER;
    uint64_t stock = stock_deadline(&lane->ctx->stock);
    return pools->needs_maintenance ? 0 : stock < pools->deadline ? stock : pools->deadline;
}

void lane_fail(struct lane *lane, int reason, const char *text) {
    if (lane->has_failed || lane->state == LANE_CLOSED)
        return;
    lane->has_failed = true;
    lane_set_small(lane);
    lane->reason = failure_error(reason); /* which goes over the wire */
    if (text != lane->text)               /* lane_leave() left it there */
        snprintf(lane->text, sizeof(lane->text), "%s", text);
    lane->ops->changed(lane->owner);
}

int lane_fail_socket(struct lane *lane, int r) {
    char text[sizeof(lane->text)];
    const char *call = failure_call(r);
    snprintf(text, sizeof(text), "%s %s", call ? call : "the socket",
             failure_is_forbidden(r) ? "is forbidden, by a seccomp filter or a security module" : "failed");
    lane_fail(lane, failure_error(r), text);
    return refusal_explain(&lane->ctx->refusals, failure_error(r), "connection", text);
}

void lane_want_room(struct lane *lane, uint64_t credit) {
    if (!lane->wants_room || credit < lane->room_credit)
        lane->room_credit = credit;
    lane->wants_room = true;
    lane_rearm(lane);
    lane->ops->changed(lane->owner);
}

/* Each release that the peer may write ends a lease, and no lease is granted any more. In a forked child they are left
 * to its parent: it has not inherited our outbox, which tells the peer how much was read. */
static void lane_take_all_releases(struct lane *lane) {
    int r = lane->generation == fork_guard_generation() ? 0 : -ECHILD;
    while (r == 0 && lane->has_rings && release_is_there(&lane->releases_in)) {
        lane->remote->account->work.left = WORK_PER_TURN;
        r = lane_take_releases(lane);
    }
}

/* Closes what a lane in CLOSED still has, also when an exception leaves the owner's callback. */
static void lane_shut(struct lane **lane) {
    lane_close_outboxes(*lane);
    fork_guard_remove((*lane)->fd);
    (*lane)->fd = fdpass_close((*lane)->fd);
}

/* What ends now, and is not the last word of the peer, is told to the peer, if it still listens. */
void lane_close(struct lane *lane, int reason, const char *text) {
    if (lane->state == LANE_CLOSED)
        return;
    bool was_open = lane->state == LANE_OPEN;
    char copy[sizeof(lane->text)];
    snprintf(copy, sizeof(copy), "%s", text);
    sea_close_event event = {.reason = reason, .text = copy};
    if (reason != -EPIPE && !lane->is_ending)
        lane_send_goodbye(lane, reason, copy);
    lane->state = LANE_CLOSED;
    lane_set_small(lane);
    lane_clear_queue(lane);
    if (lane->has_held)
        sea_block_unref(lane->held.block);
    lane->has_held = false;
    snapshot_drop(lane);
    lane->releases_count = 0;
    lane_take_all_releases(lane); /* leases that the peer gave back before its end are not reclaimed */
    event.reclaimed_blocks = peer_end(lane->remote, &event.reclaimed_bytes);
    lane_tell_pools(lane);
    if (was_open)
        tally_uncount(&lane->tally, connections, 1);
    if (reason != 0) {
        tally_count(&lane->tally, reclaimed_blocks, event.reclaimed_blocks);
        tally_count(&lane->tally, reclaimed_bytes, event.reclaimed_bytes);
    }
    if (reason == -EPROTO)
        tally_count(&lane->tally, faults, 1);
    CLEANUP(lane_shut) struct lane *closed = lane;
    lane->ops->closed(closed->owner, &event);
}

/* Is the time of the handshake over? It has failed only if the peer's HELLO does not lie in the socket either. */
static bool lane_check_clock(struct lane *lane) {
    uint64_t now = wait_now();
    if (now >= lane->retry_at) {
        lane->retry_at = WAIT_FOREVER;
        lane->is_choked = false;
        lane_set_small(lane);
    }
    return lane->state == LANE_GREETING && now >= lane->greeting_deadline;
}

static bool lane_has_room(const struct lane *lane) {
    return !lane->queue_head && !lane->is_socket_full && !lane->is_ring_full && lane->retry_at == WAIT_FOREVER &&
           (!lane->room_credit || account_has_credit(lane->remote->account, lane->room_credit));
}

static void lane_offer_room(struct lane *lane) {
    if (lane->state != LANE_OPEN || !lane_has_room(lane))
        return;
    lane->wants_room = false;
    lane->ops->room(lane->owner);
}

/* What the poller and the peer's words say about the state of things. Returns whether the handshake is late. */
static bool lane_begin_turn(struct lane *lane, short revents) {
    lane->handled = lane->taken;
    lane->has_more = false;
    if (!lane->taken) /* else frames of this turn have come the short way, and may have been copied */
        lane->remote->account->work.left = WORK_PER_TURN;
    if (lane->has_rings && lane->doorbell.is_armed)
        doorbell_disarm(&lane->doorbell);
    bool has_clock = lane->state == LANE_GREETING || lane->retry_at != WAIT_FOREVER;
    bool is_late = has_clock && lane_check_clock(lane);
    if (revents & (POLLOUT | POLLERR | POLLHUP))
        lane->is_socket_full = false;
    lane->is_hung_up = revents & (POLLERR | POLLHUP) || lane->is_broken;
    lane->is_readable = revents & POLLIN || lane->is_hung_up || is_late;
    if (lane->is_hung_up)
        lane_part(lane);
    return is_late;
}

/* What goes out at the end of a turn, now that the peer's frames may have made room. */
static void lane_end_turn(struct lane *lane) {
    struct work *work = &lane->remote->account->work;
    bool has_more = lane->has_more;
    work->left = WORK_PER_TURN;
    lane_take_releases(lane);
    lane->has_more = has_more || !work->left; /* room is looked for below */
    if (lane->state == LANE_OPEN && (lane->handled == 0 || lane_pools_are_due(lane)))
        lane_maintain_pools(lane);
    if (lane->is_ring_full && !lane->has_failed)
        lane_ring_room(lane, lane->own.lines / 4);
    work->left = WORK_PER_TURN;
    if (lane->state == LANE_OPEN && (lane->queue_head || lane->releases_count || lane->remote->pools.retired_count))
        lane_flush(lane);
    if (lane->wants_room)
        lane_offer_room(lane);
}

/* Is little left to drop? Of each kind as much as a turn may: releases, what waits, leases and views. */
static bool lane_end_some(struct lane *lane) {
    struct work *work = &lane->remote->account->work;
    bool has_releases = lane_take_releases(lane) == 0 && !work->left;
    lane->handled++;
    return !has_releases && lane_clear_some(lane) && peer_end_some(lane->remote);
}

/* Ends a lane that has failed. The peer is told at once; the leases and views that take time to drop go step by step.
 */
static void lane_end(struct lane *lane) {
    lane->remote->account->work.left = WORK_PER_TURN;
    if (!lane->is_ending && lane->reason != -EPIPE)
        lane_send_goodbye(lane, lane->reason, lane->text);
    lane->is_ending = true;
    snapshot_drop(lane);
    lane->corks++;
    bool is_last = lane_end_some(lane);
    lane->corks--;
    if (is_last)
        lane_close(lane, lane->reason, lane->text);
}

struct dispatch {
    struct lane *lane;
    bool is_done;
};

/* What an exception kept from being done is done in the next turn. */
static void dispatch_end(const struct dispatch *dispatch) {
    struct lane *lane = dispatch->lane;
    if (!dispatch->is_done)
        lane->has_more = true;
    if (--lane->corks == 0)
        lane_ring_bell(lane);
}

static void lane_fail_expired(struct lane *lane) {
    char text[sizeof(lane->text)];
    if (lane->is_orphan)
        snprintf(text, sizeof(text),
                 "the process that listened there has ended, and whoever holds its socket does not answer: start the "
                 "server anew");
    else
        snprintf(text, sizeof(text), "the handshake was not finished in time, within the %s's %d ms (handshake_ms)",
                 lane->is_server ? "server" : "client", lane_handshake_ms(lane->options));
    lane_fail(lane, -ETIMEDOUT, text);
}

static void lane_turn(struct lane *lane, short revents) {
    CLEANUP(dispatch_end) struct dispatch dispatch = {.lane = lane};
    int most = lane->state == LANE_GREETING
                   ? 1
                   : LANE_FRAMES_PER_TURN; /* a caller that waits for the handshake returns right after it */
    int done = lane->taken;
    struct work *work = &lane->remote->account->work;
    lane->corks++;
    bool is_late = lane_begin_turn(lane, revents);
    lane->taken = 0;
    while (done < most && work->left && !lane->has_failed && lane->state != LANE_CLOSED && lane_receive(lane))
        done++;
    lane->has_worked_enough = !work->left;
    lane->has_more = done >= LANE_FRAMES_PER_TURN || lane->has_worked_enough;
    if (lane->is_broken && done < most && work->left && !lane->is_choked) /* all that the peer had sent is read */
        lane_fail(lane, -EPIPE, "the peer is gone");
    if (is_late && lane->state == LANE_GREETING && !lane->is_choked)
        lane_fail_expired(lane);
    lane_end_turn(lane);
    dispatch.is_done = true;
}

bool lane_hear_bell(struct lane *lane, bool waits) {
    CLEANUP(dispatch_end) struct dispatch dispatch = {.lane = lane};
    lane->corks++;
    lane->remote->account->work.left = WORK_PER_TURN;
    bool is_bell = lane_receive_bell(lane, waits);
    dispatch.is_done = true;
    return is_bell;
}

int lane_dispatch(struct lane *lane, short revents) {
    if (lane->is_ending && lane->state != LANE_CLOSED) {
        lane->handled = 0;
        lane_end(lane);
        return lane->handled;
    }
    lane_turn(lane, revents);
    lane->remote->account->work.left = WORK_PER_TURN;
    if (lane->has_failed && lane->state != LANE_CLOSED)
        lane_end(lane);
    return lane->handled;
}
