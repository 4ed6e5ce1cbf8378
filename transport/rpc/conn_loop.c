/* SPDX-License-Identifier: MIT */
/* A connection's beginning, and how a poller drives it. See conn_loop.h. */
#include "rpc/conn_loop.h"

#include "rpc/conn_turn.h"
#include "rpc/small.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include <errno.h>
#include <poll.h>

static sea_conn *conn_of(struct watch *watch) {
    return (sea_conn *) (void *) ((char *) watch - offsetof(sea_conn, watch));
}

/* Mostly the doorbell has woken us for one small request. */
static int turn_for(sea_conn *conn, short revents) {
    if (revents != POLLIN || conn_adopt(conn) < 0)
        return conn_turn(conn, revents);
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    return conn_hear_bell(held, false) ? small_turn(held, 0) : conn_run_turn(held, revents);
}

static void on_ready(struct watch *watch, short revents) {
    struct poller *poller = watch->poller;
    spin_policy_reward(&conn_of(watch)->lane.spin);
    poller->work += (uint32_t) turn_for(conn_of(watch), revents);
}

static enum watch_state on_check(struct watch *watch, unsigned tries) {
    sea_conn *conn = conn_of(watch);
    struct poller *poller = watch->poller;
    struct lane *lane = &conn->lane;
    if (lane->is_ending) /* nothing comes any more; its deadline brings its turns */
        return WATCH_RESTS;
    if (tries && spin_policy_may_spin(&lane->spin) && lane_spin_for_frame(lane, tries)) {
        spin_policy_reward(&lane->spin);
        poller->work += (uint32_t) small_turn(conn, tries);
        return WATCH_READY;
    }
    if (lane_has_work(lane) || mailbox_has_mail(conn->box)) {
        on_ready(watch, 0);
        return WATCH_READY;
    }
    bool is_patient = tries > 0;
    if (is_patient && spin_policy_continue(&lane->spin))
        return WATCH_HOT;
    if (is_patient && spin_policy_never_sleeps(&lane->spin)) {
        on_ready(watch, 0); /* once a millisecond: no frame tells of releases and of pools */
        return WATCH_POLL;
    }
    if (lane_prepare_sleep(lane)) {
        conn_rearm(conn); /* that has tended the pools: their deadline is another one now */
        return WATCH_RESTS;
    }
    on_ready(watch, 0);
    return WATCH_READY;
}

int conn_new(sea_conn **ret_conn, sea_ctx *ctx, int fd, bool is_server, const sea_options *options, uint8_t *scratch) {
    sea_conn *conn = heap_new(1, sizeof(*conn));
    if (!conn) {
        fdpass_close(fd);
        return refusal_explain(&ctx->refusals, -ENOMEM, "connection", "out of memory");
    }
    conn->interrupt = INTERRUPT_NONE;
    conn->refs = 1;
    conn->pair_fd = -1;
    msg_spares_init(&conn->spares);
    conn->options = *options;
    conn->idle_at = conn->cancel_at = WAIT_FOREVER;
    conn->watch = (struct watch){
        .fd = fd, .events = POLLIN, .deadline = WAIT_FOREVER, .ready = on_ready, .check = on_check, .is_single = true};
    int r = lane_init(&conn->lane, ctx, fd, is_server, &conn->options, scratch, &CONN_LANE_OPS, conn);
    if (r < 0) {
        heap_free(conn);
        return r;
    }
    conn->ctx = sea_ctx_ref(ctx);
    conn->box = conn->lane.remote->account->mailbox;
    heap_herd_joins();
    conn->lane.remote->pools.own.conn = conn;
    *ret_conn = conn;
    return 0;
}

static void conn_wake(void *waker) {
    sea_conn *conn = waker;
    watch_wake(&conn->watch);
}

int conn_watch(sea_conn *conn, struct poller *poller) {
    conn->is_looped = true;
    conn->watch.events = lane_events(&conn->lane);
    conn->watch.deadline = conn_deadline(conn);
    int r = watch_add(&conn->watch, poller);
    if (r == 0)
        ctx_set_wake(conn->ctx, &conn->lane.remote->account->member, conn_wake, conn);
    if (r == 0)
        mailbox_set_wake(conn->box, conn_wake, conn);
    return r;
}
