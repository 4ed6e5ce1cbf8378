/* SPDX-License-Identifier: MIT */
/*
 * A connection in another loop: the descriptor to poll, the events, the time-out, and the turn. See <sealane/conn.h>.
 *
 * Owns: pair_fd of the connection, from sea_conn_fd() on; the end of the connection (conn_turn.c) closes it. Touches:
 * pair_events and is_unwoken; sea_conn_prepare() announces our sleep to the peer and maintains the pools;
 * sea_conn_dispatch() clears the bell of other threads and runs a turn. Threads: the connection's; after its end
 * nothing is polled.
 */
#include "rpc/conn_turn.h"

#include "sys/heap.h"
#include <errno.h>
#include <poll.h>

/* Makes an epoll set of the socket, the peer's process, and the descriptor by which other threads wake this one. The
 * set is readable when one of the three is. */
static int pair_new(const sea_conn *conn, int *ret_fd) {
    CLEANUP_FD int fd = -1;
    int r = wait_set_new(&fd);
    if (r == 0 && lane_speaker(&conn->lane) >= 0)
        r = wait_set_add(fd, lane_speaker(&conn->lane), POLLIN, NULL);
    if (r == 0 && conn->interrupt.wake_fd >= 0)
        r = wait_set_add(fd, conn->interrupt.wake_fd, POLLIN, NULL);
    if (r == 0)
        r = wait_set_add(fd, conn->lane.fd, conn->pair_events, NULL);
    if (r == 0)
        *ret_fd = fd_steal(&fd);
    return r;
}

/* Returns the socket itself if the kernel gives no set. Most deaths of a peer end the socket too. */
int sea_conn_fd(sea_conn *conn) {
    if (conn->pair_fd >= 0)
        return conn->pair_fd;
    conn->pair_events = POLLIN;
    /* An open connection without a speaker will not get one. */
    bool has_speaker = conn->is_open || lane_speaker(&conn->lane) >= 0;
    bool has_pair = !conn->is_looped && !conn->is_ended && has_speaker && pair_new(conn, &conn->pair_fd) == 0;
    conn->is_unwoken = conn->is_unwoken || (!has_pair && conn->interrupt.wake_fd >= 0);
    return has_pair ? conn->pair_fd : conn->lane.fd;
}

/* A socket without events is taken out of the set: epoll reports a hang-up even where no event is asked for. */
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

int sea_conn_prepare(sea_conn *conn) {
    if (conn->is_looped || conn_adopt(conn) < 0)
        return -1;
    if (conn_turns(conn)) /* inside a turn the thread is awake, and must not tell the peer that it sleeps */
        return 0;
    bool may_sleep = lane_prepare_sleep(&conn->lane) && (conn->is_ended || !mailbox_has_mail(conn->box));
    uint64_t latest = conn->is_unwoken && !conn->is_ended ? wait_now() + CONN_LOOK_NS : WAIT_FOREVER;
    return may_sleep ? wait_left_ms(deadline_sooner(conn_deadline(conn), latest)) : 0;
}

int sea_conn_dispatch(sea_conn *conn, short revents) {
    int r = conn_adopt(conn);
    if (r == 0 && !conn_can_wait(conn))
        r = conn_explain_deadlock(conn);
    if (r < 0)
        return r;
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    uint64_t mark = refusal_mark(&conn->ctx->refusals);
    int found = revents && conn->pair_fd >= 0 ? conn_poll(conn, conn->interrupt.wake_fd, 0) : revents;
    if (!held->is_ended)
        conn_run_turn(conn, (short) (found < 0 ? 0 : found));
    return conn_explain_end(held, mark, conn->is_ended ? conn_end_reason(conn) : 0);
}
