/* SPDX-License-Identifier: MIT */
/*
 * The table of functions for libsealane-uv. Other modules have the functions; only conn_drive(), which gives a
 * connection its poller, is here. See loop_interface.h.
 */
#include "rpc/loop_interface.h"

#include "rpc/conn_loop.h"
#include "rpc/connect.h"
#include "rpc/server.h"
#include "sys/heap.h"
#include "sys/wait.h"

static void conn_moved(void *mover) {
    const sea_conn *conn = mover;
    mailbox_adopt(conn->box);
}

static int conn_drive(sea_conn *conn, struct poller *poller) {
    conn->own_poller = poller;
    poller->moved = conn_moved;
    poller->mover = conn;
    return conn_watch(conn, poller);
}

static bool explanation_find(sea_ctx *ctx, int error, sea_refusal *ret_why) {
    bool is_empty = true;
    return refusal_find(&ctx->refusals, error, ret_why, &is_empty) > 0 && !is_empty;
}

static int explanation_keep(sea_ctx *ctx, const sea_refusal *why) {
    return refusal_keep(&ctx->refusals, why->error, why->limit, why->needed, why->available, why->advice);
}

const struct loop_interface *sea_private_loop_interface(unsigned version) {
    static const struct loop_interface table = {
        .size = sizeof(table),
        .poller_size = sizeof(struct poller),
        .watch_size = sizeof(struct watch),
        .server_new = server_new,
        .conn_connect = conn_connect,
        .conn_drive = conn_drive,
        .poller_enter = poller_enter,
        .poller_call_woken = poller_call_woken,
        .poller_check_hot = poller_check_hot,
        .watch_call = watch_call,
        .explanation_find = explanation_find,
        .explanation_keep = explanation_keep,
        .wait_left_ms = wait_left_ms,
        .heap_new = heap_new,
        .heap_free = heap_free,
    };
    return version == SEA_VERSION_NUMBER ? &table : NULL;
}
