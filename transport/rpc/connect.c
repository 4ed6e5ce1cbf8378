/* SPDX-License-Identifier: MIT */
/*
 * Connecting: from an address to an open connection. See <sealane/conn.h>.
 *
 * conn_connect() opens the socket and makes the connection; sea_connect() also drives it through its handshake, and
 * tries again while the server's backlog is full. sea_connect() also makes the bell by which other threads wake the
 * connection, sets the waker of its mailbox, and bounds the lane's greeting_deadline.
 */
#include "rpc/connect.h"

#include "lane/address.h"
#include "lane/socket_error.h"
#include "memory/reserve.h"
#include "rpc/conn_loop.h"
#include "rpc/conn_wait.h"
#include "sys/failure.h"
#include "sys/heap.h"
#include "sys/socket.h"
#include <errno.h>
#include <stdio.h>

/* The kernel does not say when a full backlog has room again: sea_connect() tries again after this time. */
static const uint64_t CONNECT_RETRY_NS = 1000 * 1000;

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

/* An inherited socket is closed after an error, so that no second try is possible: -EAGAIN becomes -ENOBUFS. */
static int explain_inherited(sea_ctx *ctx, int r) {
    sea_refusal last;
    if (r != -EAGAIN)
        return r;
    refusal_read(&ctx->refusals, &last);
    return refusal_explain(&ctx->refusals, -ENOBUFS, last.limit, last.advice);
}

static int check_arguments(sea_ctx *ctx, const char *address, const sea_options *given, sea_options *ret_taken) {
    const char *why = "";
    if (!address || !*address)
        return refusal_explain(&ctx->refusals, -EINVAL, "address", address ? "it is empty" : "it is NULL");
    int r = conn_options_take(given, ret_taken, &why);
    return r < 0 ? refusal_explain(&ctx->refusals, r, address, why) : 0;
}

static int connect_once(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *given) {
    const char *why = "";
    int fd = -1;
    bool is_inherited = false;
    sea_options taken, *options = &taken;
    int r = check_arguments(ctx, address, given, options);
    if (r < 0)
        return r;
    r = negotiation_check_options(options, &why);
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
    if (r == 0) {
        (*ret_conn)->is_patient = socket_be_patient(fd, CONN_LOOK_NS / 1000000);
        lane_hurry_orphan(&(*ret_conn)->lane);
    }
    return r;
}

int conn_connect(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *given) {
    uint64_t mark = refusal_mark(&ctx->refusals);
    return refusal_end(&ctx->refusals, mark, connect_once(ret_conn, ctx, address, given));
}

struct opening {
    sea_conn *conn; /* owned reference */
    bool is_done;
};

/* If an exception leaves a callback, the connection is freed. */
static void opening_end(const struct opening *opening) {
    if (!opening->is_done && !opening->conn->is_freed)
        sea_conn_free(opening->conn);
    conn_unref(opening->conn);
}

/* Drives a connection through its handshake. Frees the connection on failure, unless a callback has freed it. */
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

static void conn_wake(void *user) {
    sea_conn *conn = user;
    wait_bell_ring(conn->interrupt.wake_fd);
}

static int conn_make_wakeable(sea_conn *conn) {
    sea_ctx *ctx = conn->ctx;
    int r = interrupt_init(&conn->interrupt);
    conn->is_unwoken = failure_is_forbidden(r);
    if (conn->is_unwoken)
        return 0;
    if (r == -EMFILE || r == -ENFILE)
        return reserve_explain(r, 1, false, &ctx->admission);
    if (r < 0)
        return refusal_explain_failure(&ctx->refusals, r, "connection",
                                       "other threads wake it through an eventfd, which cannot be had");
    mailbox_set_wake(conn->box, conn_wake, conn);
    return 0;
}

int sea_connect(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *options) {
    sea_conn *conn = NULL;
    sea_options taken;
    int r = check_arguments(ctx, address, options, &taken);
    if (r < 0)
        return r;
    uint64_t deadline = wait_deadline(lane_handshake_ms(&taken));
    r = conn_connect(&conn, ctx, address, options);
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
    r = conn_make_wakeable(conn);
    if (r < 0) {
        sea_conn_free(conn);
        return r;
    }
    conn->lane.greeting_deadline = deadline_sooner(conn->lane.greeting_deadline, deadline);
    uint64_t mark = refusal_mark(&ctx->refusals);
    r = conn_wait_open(conn, address);
    if (r == 0)
        *ret_conn = conn;
    return refusal_end(&ctx->refusals, mark, r);
}
