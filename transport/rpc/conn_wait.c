/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a connection on its user's thread. See conn_wait.h.
 *
 * A connection that a loop drives, or that is in a turn already, cannot wait for itself. The callers of
 * conn_wait_turn(), here sea_conn_wait(), ask conn_can_wait() for that, and return -EDEADLK.
 */
#include "rpc/conn_wait.h"

#include "rpc/conn_turn.h"
#include "rpc/small.h"
#include "sys/single_thread.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>

/* Looks at the peer's memory, and into the mailbox, for as long as that pays. true: there is something. */
static bool conn_watch_rings(struct lane *lane, const struct mailbox *box) {
    while (!lane_has_work(lane) && !mailbox_has_mail(box)) {
        if (!spin_policy_continue(&lane->spin))
            return false;
        if (lane_spin_for_frame(lane, POLLER_LOOKS))
            return true;
    }
    return true;
}

/*
 * May this thread receive the doorbell without polling for it? Only the socket and signals wake it there. The bell of
 * the interrupt is for other threads, and there is none; a signal may come too early to interrupt the call. So both the
 * bell and the peer's process are polled for each 10 ms, and the call ends by itself then, too. A deadline is later.
 * Who waits for no answer may wait for long, and is not to wake up for that.
 */
static bool may_wait_in_receive(const sea_conn *conn, uint64_t deadline) {
    const struct lane *lane = &conn->lane;
    if (!conn->is_patient || !conn->calls.in_flight || !is_single_threaded() || !lane->doorbell.is_armed ||
        !lane->small_end || lane_events(lane) != POLLIN)
        return false;
    uint64_t now = wait_now_coarse();
    return now - conn->polled_at < CONN_LOOK_NS && deadline > now + 2 * CONN_LOOK_NS;
}

/* Returns what poll() says of the socket. *ret_is_rung: the doorbell came, and was received. */
static int conn_sleep(sea_conn *conn, uint64_t deadline, bool *ret_is_rung) {
    if (may_wait_in_receive(conn, deadline)) {
        *ret_is_rung = conn_hear_bell(conn, true);
        return POLLIN;
    }
    if (conn->interrupt.wake_fd < 0)
        deadline = deadline_sooner(deadline, wait_now() + CONN_LOOK_NS);
    int revents = conn_poll(conn, conn->interrupt.wake_fd, deadline);
    *ret_is_rung = revents == POLLIN && conn_hear_bell(conn, false);
    return revents;
}

/* Is the deadline of the wait so far that memory can be made meanwhile? */
static bool has_time(uint64_t deadline) {
    const uint64_t needed = 20 * 1000 * 1000;
    return deadline == WAIT_FOREVER || deadline > wait_now() + needed;
}

/* Also if an exception leaves a handler, and if the thread is cancelled: poll() is a cancellation point. */
static void wait_end(sea_conn **conn) {
    atomic_store_explicit(&(*conn)->is_waiting, false, memory_order_relaxed);
}

int conn_wait_turn(sea_conn *conn, uint64_t deadline) {
    bool is_rung;
    int r = conn_wait_bell(conn, deadline, &is_rung);
    return is_rung ? conn_run_turn(conn, 0) : r;
}

int conn_wait_bell(sea_conn *conn, uint64_t deadline, bool *ret_is_rung) {
    struct lane *lane = &conn->lane;
    *ret_is_rung = false;
    int revents = 0;
    CLEANUP(wait_end) sea_conn *waiter = conn;
    atomic_store_explicit(&waiter->is_waiting, true, memory_order_relaxed);
    if (interrupt_is_raised(&conn->interrupt))
        return conn_say(conn, -EINTR, "interrupted: sea_conn_interrupt() was called");
    if (lane->corks)
        lane_ring_bell(lane);
    if (!lane->has_more && spin_policy_may_spin(&lane->spin) && lane_spin_for_frame(lane, POLLER_LOOKS)) {
        spin_policy_reward(&lane->spin);
        /* The short way takes requests alone. While calls of ours are in flight the frame is likely an answer. */
        return conn->calls.in_flight ? conn_run_turn(conn, 0) : small_turn(conn, 0);
    }
    /* 0: the lane has work now (lane_deadline()): the socket is polled without waiting, and the rings are read by the
     * turn. */
    deadline = deadline_sooner(deadline, conn_deadline_of_calls(conn));
    if (stock_is_wanted(&conn->ctx->stock) && has_time(deadline))
        stock_make(&conn->ctx->stock);
    if (deadline == 0 || !conn_watch_rings(lane, conn->box)) {
        if (spin_policy_never_sleeps(&lane->spin))
            deadline = 0;
        if (deadline == 0 || lane_prepare_sleep(lane))
            revents = conn_sleep(conn, deadline_sooner(deadline, conn_deadline(conn)), ret_is_rung);
    }
    spin_policy_reward(&lane->spin);
    if (revents < 0)
        return refusal_explain_failure(&conn->ctx->refusals, revents, "connection", "it cannot be waited for");
    return *ret_is_rung ? 0 : conn_run_turn(conn, (short) revents);
}

int sea_conn_wait(sea_conn *conn, int timeout_ms) {
    uint64_t deadline = wait_deadline(timeout_ms), mark = refusal_mark(&conn->ctx->refusals);
    int r = conn_adopt(conn);
    if (r == 0 && !conn_can_wait(conn))
        r = conn_explain_deadlock(conn);
    if (r < 0)
        return r;
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
    return conn_explain_end(held, mark, r > 0 ? 1 : r);
}

int sea_conn_interrupt(sea_conn *conn) {
    if (conn->is_looped)
        return -EINVAL;
    interrupt_raise(&conn->interrupt);
    return 0;
}
