/* SPDX-License-Identifier: MIT */
/*
 * The consumers of a producer, and the blocks that each is sent; see producer_audience.h.
 *
 * A consumer is in the list from on_open to the first sweep after on_close. on_close only marks it (conn is NULL),
 * because a loop may be walking through the list. While a block is being given, a consumer is due until it was sent the
 * block. The audience tries a due consumer whenever it may have room: once at the start, and after each on_room.
 */
#include "producer_audience.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/program.h"
#include "common/stop.h"
#include "common/stream_wire.h"

struct consumer {
    struct consumer *next;
    sea_conn *conn; /* borrowed from the server; NULL: closed */
    struct stream_end totals;
    bool is_due;   /* it has not been sent the current block yet */
    bool has_room; /* sending to it may succeed */
};

/* ---- consumers come and go ---- */

static void on_open(sea_conn *conn, void *user) {
    struct audience *a = user;
    struct consumer *c = calloc(1, sizeof *c);
    if (c == NULL) {
        sea_conn_close(conn);
        return;
    }
    c->conn = conn;
    c->totals.magic = STREAM_MAGIC;
    c->totals.before = a->blocks;
    c->is_due = c->has_room = a->is_finishing;
    c->next = a->consumers;
    a->consumers = c;
    a->here++;
    a->served++;
    sea_conn_set_data(conn, c);
    if (a->is_verbose)
        program_say("process %d of user %u connected", (int) sea_conn_peer(conn)->pid, sea_conn_peer(conn)->uid);
}

/* Leaves the list unchanged, because a loop may be walking through it. */
static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct audience *a = user;
    struct consumer *c = sea_conn_data(conn);
    if (event->reason < 0 && c != NULL)
        a->died++;
    a->reclaimed_blocks += event->reclaimed_blocks;
    a->reclaimed_bytes += event->reclaimed_bytes;
    if (a->is_verbose || event->reason < 0)
        program_say("process %d left: %s%s%s; reclaimed %llu blocks, %llu bytes", (int) sea_conn_peer(conn)->pid,
                    event->reason == 0 ? "done" : strerror(-event->reason), *event->text != '\0' ? ": " : "",
                    event->text, (unsigned long long) event->reclaimed_blocks,
                    (unsigned long long) event->reclaimed_bytes);
    if (c == NULL)
        return;
    c->conn = NULL;
    a->here--;
}

static void on_room(sea_conn *conn, void *user) {
    struct consumer *c = sea_conn_data(conn);
    (void) user;
    if (c != NULL)
        c->has_room = true;
}

static void sweep(struct audience *a) {
    for (struct consumer **link = &a->consumers; *link != NULL;) {
        struct consumer *c = *link;
        if (c->conn != NULL) {
            link = &c->next;
            continue;
        }
        *link = c->next;
        free(c);
    }
}

/* ---- waiting ---- */

static int sooner(int x, int y) {
    return x < 0 ? y : y < 0 || x < y ? x : y;
}

int audience_attend(struct audience *a, int input, int timeout_ms) {
    struct pollfd fds[] = {{.fd = sea_server_fd(a->server), .events = POLLIN},
                           {.fd = a->stop_fd, .events = POLLIN},
                           {.fd = input, .events = POLLIN}};
    if (poll(fds, 3, sooner(timeout_ms, sea_server_prepare(a->server))) < 0 && errno != EINTR)
        return -errno;
    int r = sea_server_dispatch(a->server);
    sweep(a);
    return r < 0 ? r : fds[2].revents != 0;
}

int audience_attend_until(struct audience *a, double when) {
    for (double now; (now = program_now()) < when && !stop_is_asked();) {
        double left = (when - now) * 1000 + 1;
        int r = audience_attend(a, -1, left < 60000 ? (int) left : 60000);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- sending ---- */

static void consumer_slow(struct audience *a, struct consumer *c) {
    c->has_room = false;
    if (a->slow == AUDIENCE_WAIT)
        return;
    c->is_due = false;
    if (a->slow == AUDIENCE_DROP) {
        c->totals.missed++;
        return;
    }
    a->too_slow++;
    sea_conn_close(c->conn);
}

/* Fails a consumer that cannot be served any more; on_close follows. A dead consumer is not closed here, because
 * on_close must report its death. */
static void consumer_fail(struct audience *a, struct consumer *c, int error) {
    char reason[512];
    c->is_due = false;
    if (c->conn == NULL || error == -EPIPE || error == -EPROTO)
        return;
    program_say("process %d cannot be served: %s", (int) sea_conn_peer(c->conn)->pid,
                program_reason(a->ctx, error, reason, sizeof reason));
    sea_conn_close(c->conn);
}

static void consumer_give_block(struct audience *a, struct consumer *c, sea_block *block, uint64_t sum) {
    int r = sea_send(c->conn, STREAM_BLOCK, sea_block_ref(block), 0);
    if (r == -EAGAIN) {
        consumer_slow(a, c);
    } else if (r < 0) {
        consumer_fail(a, c, r);
    } else {
        c->is_due = false;
        c->totals.blocks++;
        c->totals.bytes += sea_block_size(block);
        c->totals.sum = stream_sum_add(c->totals.sum, sum);
    }
}

/* Sends the end message as a sealed block although it is small: then "bytes copied" counts the payload and nothing
 * else. */
static void consumer_give_end(struct audience *a, struct consumer *c) {
    sea_block *block = NULL;
    int r = sea_block_new_sealed(&block, a->ctx, sizeof c->totals, 0);
    void *totals = r == 0 ? sea_block_data(block) : NULL;
    if (totals == NULL) {
        sea_block_unref(block);
        consumer_fail(a, c, r < 0 ? r : -ENOMEM);
        return;
    }
    memcpy(totals, &c->totals, sizeof c->totals);
    r = sea_send(c->conn, STREAM_END, block, 0);
    if (r == -EAGAIN)
        c->has_room = false; /* every consumer gets the end message, under any policy */
    else if (r < 0)
        consumer_fail(a, c, r);
    else
        c->is_due = false;
}

/* Tries the consumers that are due; returns how many are still due. */
static size_t give_round(struct audience *a, sea_block *block, uint64_t sum) {
    size_t due = 0;
    for (struct consumer *c = a->consumers; c != NULL; c = c->next) {
        if (c->conn == NULL || !c->is_due)
            continue;
        if (c->has_room && block != NULL)
            consumer_give_block(a, c, block, sum);
        else if (c->has_room)
            consumer_give_end(a, c);
        due += c->is_due;
    }
    return due;
}

int audience_give(struct audience *a, sea_block *block, uint64_t sum) {
    size_t due;
    int r;
    a->blocks++;
    for (struct consumer *c = a->consumers; c != NULL; c = c->next)
        c->is_due = c->has_room = true;
    do {
        due = give_round(a, block, sum);
        r = audience_attend(a, -1, due > 0 ? -1 : 0);
    } while (r >= 0 && due > 0 && !stop_is_asked());
    return r < 0 ? r : 0;
}

uint64_t audience_leases(const struct audience *a) {
    uint64_t figures[SEA_FIGURES];
    sea_ctx_figures(a->ctx, figures, SEA_FIGURES);
    return figures[SEA_FIGURE_LEASED_BLOCKS];
}

/* Closes each consumer that has the end message and has given every block back. */
static void dismiss(struct audience *a) {
    for (struct consumer *c = a->consumers; c != NULL; c = c->next) {
        uint64_t figures[SEA_CONN_FIGURES];
        if (c->conn == NULL || c->is_due)
            continue;
        sea_conn_figures(c->conn, figures, SEA_CONN_FIGURES);
        if (figures[SEA_CONN_FIGURE_LEASED_BLOCKS] == 0)
            sea_conn_close(c->conn);
    }
}

int64_t audience_finish(struct audience *a, double linger) {
    uint64_t newest = UINT64_MAX;
    double deadline = 0;
    a->is_finishing = true;
    for (struct consumer *c = a->consumers; c != NULL; c = c->next) {
        c->totals.flags = a->has_sum ? STREAM_HAS_SUM : 0;
        c->is_due = c->has_room = true;
    }
    while (a->here > 0 && !stop_is_asked()) {
        uint64_t left = give_round(a, NULL, 0) + audience_leases(a);
        dismiss(a);
        if (left != newest)
            deadline = program_now() + linger;
        newest = left;
        double wait = deadline - program_now();
        if (wait <= 0)
            break;
        int r = audience_attend(a, -1, wait < 60 ? (int) (wait * 1000) + 1 : 60000);
        if (r < 0)
            return r;
    }
    return (int64_t) audience_leases(a);
}

int audience_init(struct audience *a, sea_ctx *ctx, const char *address) {
    const sea_options options = {.user = a, .on_open = on_open, .on_close = on_close, .on_room = on_room};
    int r = sea_server_new(&a->server, ctx, address, &options);
    if (r < 0)
        return r;
    a->ctx = sea_ctx_ref(ctx);
    return 0;
}

void audience_deinit(struct audience *a) {
    a->server = sea_server_free(a->server);
    sweep(a);
    a->ctx = sea_ctx_unref(a->ctx);
}
