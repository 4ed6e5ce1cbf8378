/* SPDX-License-Identifier: MIT */
/*
 * A connection's memory, its end, and its texts; which thread drives it; what it polls for. See conn.h.
 *
 * Touches: the mailbox, which changes its owner here, and is closed here (conn_disown()); the poller of the connection.
 * Threads: the connection's, but for conn_ref_ended() and conn_drop(): after the end any thread, which takes the lock
 * of the mailbox there, frees the connection with the last reference.
 */
#include "rpc/conn.h"

#include "sys/heap.h"
#include "sys/misuse.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>

void conn_ref_ended(sea_conn *conn) {
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(conn->box);
    conn->refs++;
}

void conn_drop(sea_conn *conn) {
    if (!conn->is_ended) {
        conn_destroy(conn);
        return;
    }
    CLEANUP_VISIT struct mailbox_visit visit = mailbox_enter(conn->box);
    if (--conn->refs == 0)
        conn_destroy(conn);
}

static int conn_explain_thread(const sea_conn *conn) {
    misuse_tell("a thread uses a connection that another thread is driving: leave the work to that thread with "
                "sea_conn_post()");
    return refusal_explain(&conn->ctx->refusals, -EDEADLK, "connection",
                           "another thread is driving it: leave the work to that thread with sea_conn_post()");
}

/* A thread that waits for a connection, or runs its loop, drives it also while nothing comes. */
static bool conn_is_driven_elsewhere(const sea_conn *conn) {
    const struct poller *poller = conn->watch.poller;
    return conn_turns(conn) || atomic_load_explicit(&conn->is_waiting, memory_order_relaxed) ||
           (poller && poller_is_run_elsewhere(poller));
}

int conn_change_thread(sea_conn *conn) {
    if (mailbox_is_closed(conn->box))
        return 0;
    if (conn_is_driven_elsewhere(conn))
        return conn_explain_thread(conn);
    mailbox_adopt(conn->box);
    if (conn->watch.poller)
        poller_note_taken(conn->watch.poller);
    return 0;
}

static void conn_free_poller(sea_conn *conn) {
    if (conn->own_poller)
        conn->own_poller->ops->free(conn->own_poller);
    conn->own_poller = NULL;
}

void conn_disown(sea_conn *conn) {
    conn->lane.scratch = NULL;
    conn_free_poller(conn);
    mailbox_close(conn->box);
}

void conn_destroy(sea_conn *conn) {
    lane_deinit(&conn->lane);
    calls_deinit(&conn->calls);
    msg_spares_drop(&conn->spares);
    interrupt_deinit(&conn->interrupt);
    conn_free_poller(conn); /* it was never driven */
    stock_drop(&conn->ctx->stock);
    sea_ctx_unref(conn->ctx);
    heap_free(conn);
    heap_herd_leaves();
}

void conn_rearm(void *owner) {
    sea_conn *conn = owner;
    if (conn->watch.poller && !conn->is_ended)
        watch_update(&conn->watch, lane_events(&conn->lane), conn_deadline(conn));
}

uint64_t conn_deadline_of_calls(const sea_conn *conn) {
    uint64_t id, first = WAIT_FOREVER, lane = lane_deadline(&conn->lane);
    if (conn->calls.in_flight)
        calls_first(&conn->calls, &id, &first);
    return first < lane ? first : lane;
}

uint64_t conn_deadline(const sea_conn *conn) {
    uint64_t calls = conn_deadline_of_calls(conn), pools = lane_pools_deadline(&conn->lane);
    uint64_t first = calls < pools ? calls : pools;
    if (conn->cancel_at < first)
        first = conn->cancel_at;
    return conn->idle_at < first ? conn->idle_at : first;
}

void conn_turn_again(sea_conn *conn) {
    conn->lane.has_more = true;
    conn_rearm(conn);
}

void turn_end(sea_conn **turn) {
    conn_end_turn(*turn);
    conn_rearm(*turn);
}

int conn_poll(sea_conn *conn, int wake_fd, uint64_t deadline) {
    struct lane *lane = &conn->lane;
    int revents = wait_all(lane->fd, lane_events(lane), lane_speaker(lane), wake_fd, deadline);
    conn->polled_at = wait_now_coarse();
    if (revents > 0 && revents & WAIT_BELL) {
        interrupt_silence(&conn->interrupt);
        revents &= ~WAIT_BELL;
    }
    if (revents < 0 || !(revents & WAIT_OTHER))
        return revents;
    lane_part_with_speaker(lane);
    return POLLIN | POLLHUP;
}

void conn_end(sea_conn *conn, int reason, const char *text) {
    if (conn_adopt(conn) < 0 || mailbox_is_closed(conn->box))
        return;
    CLEANUP_CONN sea_conn *held = conn_ref(conn);
    CLEANUP(turn_end) sea_conn *turn = held;
    conn_begin_turn(turn);
    lane_close(&conn->lane, reason, text);
}

int conn_explain_deadlock(const sea_conn *conn) {
    return refusal_explain(&conn->ctx->refusals, -EDEADLK, "connection",
                           conn->is_looped
                               ? "a loop drives it, so nothing else can wait for it: use sea_call_start(), or callbacks"
                               : "it is in a turn already: in a handler or callback nothing can wait for it");
}

/* The error that functions return which need an open connection. */
int conn_end_reason(const sea_conn *conn) {
    return conn->reason == -EPROTO ? -EPROTO : -EPIPE;
}

/* Sending has returned -EPIPE. The connection ends only in its next turn, since messages that the peer sent before are
 * still to come; its text is set now. */
void conn_note_gone(sea_conn *conn) {
    const struct lane *lane = &conn->lane;
    if (!conn->is_ended)
        conn_say(conn, -EPIPE, lane->has_failed ? lane->text : "the peer is gone");
}

int conn_say(sea_conn *conn, int error, const char *text) {
    if (text != conn->text)
        snprintf(conn->text, sizeof(conn->text), "%s", text);
    conn->text_error = error;
    conn->text_stamp = refusal_stamp(&conn->ctx->refusals);
    return error;
}

/* The text of an end stays for every function that the end makes fail. So does the text of a lack of room, which is
 * kept once until there is room again. */
int conn_explain_end(sea_conn *conn, uint64_t mark, int r) {
    if (r >= 0 || r == -EAGAIN)
        return r;
    if (r == conn->text_error && (conn->text_stamp > mark || conn->is_ended)) {
        conn->text_stamp = refusal_stamp(&conn->ctx->refusals);
        return r;
    }
    return refusal_end(&conn->ctx->refusals, mark, r);
}

void sea_conn_close(sea_conn *conn) {
    if (conn_adopt(conn) < 0 || conn->is_ended)
        return;
    bool is_broken = conn->lane.is_broken; /* it has ended already, and not by this */
    lane_fail(&conn->lane, is_broken ? -EPIPE : 0, is_broken ? "the peer is gone" : "");
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
