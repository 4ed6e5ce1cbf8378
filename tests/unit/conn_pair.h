/* SPDX-License-Identifier: MIT */
/*
 * Two connections over a socketpair, driven by hand on the test's thread as a foreign loop drives them: for the unit
 * tests of transport/rpc. An end records its callbacks and serves three methods.
 *
 * Fill in `ctx_options` and `options`, then call ends_init(). An end owns the messages that it has kept until
 * end_drop().
 */
#ifndef TESTS_UNIT_CONN_PAIR_H
#define TESTS_UNIT_CONN_PAIR_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc/conn_loop.h"
#include "rpc/conn_turn.h"
#include "rpc/connect.h"
#include "rpc/msg.h"
#include "support/figures.h"
#include "support/suite.h"
#include "sys/wait.h"

#define END_MAX 512

enum end_method {
    END_ECHO = 1, /* answers with the block that came as the payload */
    END_KEEP = 2, /* keeps the message unanswered */
    END_HOOK = 3, /* calls end->hook; without a hook releases the message */
    END_SINK = 4  /* counts the message and compares its number */
};

/* The result of a call. */
struct outcome {
    int status;
    sea_msg *reply; /* owned */
    unsigned tag;   /* identifies the call */
};

/* The user pointer of a call. */
struct tagged {
    struct end *end;
    unsigned tag;
};

struct end {
    sea_ctx_options ctx_options;
    sea_options options;
    void (*hook)(struct end *end, sea_msg *msg);
    void (*at_open)(struct end *end);
    void (*at_close)(struct end *end);
    void (*at_room)(struct end *end);
    void (*at_done)(struct end *end, const struct outcome *outcome);

    sea_ctx *ctx;
    sea_conn *conn; /* owned; a hook that frees it leaves NULL */
    unsigned opened, closed, rooms;
    sea_close_event event; /* its text lies in event_text */
    char event_text[256];
    sea_msg *kept[END_MAX];
    unsigned kept_count;
    struct tagged tags[END_MAX];
    struct outcome outcomes[END_MAX]; /* in the order in which the calls ended */
    unsigned outcomes_count;
    bool is_starting; /* sea_call_start() is running */
    uint32_t sunk;
};

static inline void end_on_echo(sea_msg *msg, void *user) {
    sea_block *block = sea_msg_block(msg);
    (void) user;
    sea_reply(msg, block ? sea_block_ref(block) : NULL);
}

static inline void end_on_keep(sea_msg *msg, void *user) {
    struct end *end = user;
    ck_assert_uint_lt(end->kept_count, END_MAX);
    end->kept[end->kept_count++] = msg;
}

static inline void end_on_hook(sea_msg *msg, void *user) {
    struct end *end = user;
    if (end->hook)
        end->hook(end, msg);
    else
        sea_msg_release(msg);
}

static inline void end_on_sink(sea_msg *msg, void *user) {
    struct end *end = user;
    uint32_t number;
    ck_assert_uint_eq(sea_msg_size(msg), sizeof number);
    memcpy(&number, sea_msg_data(msg), sizeof number);
    ck_assert_uint_eq(number, end->sunk++);
    sea_msg_release(msg);
}

static const sea_method end_methods[] = {
    {.number = END_ECHO, .name = "echo", .handler = end_on_echo},
    {.number = END_KEEP, .name = "keep", .handler = end_on_keep},
    {.number = END_HOOK, .name = "hook", .handler = end_on_hook},
    {.number = END_SINK, .name = "sink", .handler = end_on_sink},
};

static inline void end_on_open(sea_conn *conn, void *user) {
    struct end *end = user;
    ck_assert_ptr_eq(conn, end->conn);
    ck_assert(sea_conn_is_open(conn));
    end->opened++;
    if (end->at_open)
        end->at_open(end);
}

static inline void end_on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct end *end = user;
    ck_assert_ptr_eq(conn, end->conn);
    ck_assert(!sea_conn_is_open(conn));
    end->closed++;
    end->event = *event;
    snprintf(end->event_text, sizeof end->event_text, "%s", event->text);
    end->event.text = end->event_text;
    if (end->at_close)
        end->at_close(end);
}

static inline void end_on_room(sea_conn *conn, void *user) {
    struct end *end = user;
    ck_assert_ptr_eq(conn, end->conn);
    end->rooms++;
    if (end->at_room)
        end->at_room(end);
}

static inline void end_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    const struct tagged *tagged = user;
    struct end *end = tagged->end;
    ck_assert_ptr_eq(conn, end->conn);
    ck_assert(!end->is_starting);
    ck_assert_uint_lt(end->outcomes_count, END_MAX);
    struct outcome *outcome = &end->outcomes[end->outcomes_count++];
    *outcome = (struct outcome){.status = status, .reply = reply, .tag = tagged->tag};
    if (end->at_done)
        end->at_done(end, outcome);
}

/* Starts a call with sea_call_start(); takes the block. The outcome carries `tag`, below END_MAX. */
static inline int end_call(struct end *end, uint32_t method, sea_block *block, int ms, unsigned tag, uint64_t *ret_id) {
    end->tags[tag] = (struct tagged){end, tag};
    end->is_starting = true;
    int r = sea_call_start(end->conn, method, block, ms, end_done, &end->tags[tag], ret_id);
    end->is_starting = false;
    return r;
}

static inline void end_prepare(struct end *end) {
    end->options.methods = end_methods;
    end->options.methods_count = sizeof end_methods / sizeof *end_methods;
    end->options.method_size = sizeof *end_methods;
    end->options.user = end;
    if (!end->options.handshake_ms)
        end->options.handshake_ms = 60000; /* a busy machine must not end a handshake */
    if (!end->options.ring_size)
        end->options.ring_size = 1 << 16; /* room for hundreds of small calls at a time */
    end->options.on_open = end_on_open;
    end->options.on_close = end_on_close;
    end->options.on_room = end_on_room;
    ck_assert_int_eq(sea_ctx_new(&end->ctx, &end->ctx_options), 0);
}

/* Takes `fd`. */
static inline void end_init(struct end *end, int fd, bool is_server) {
    end_prepare(end);
    ck_assert_int_eq(conn_new(&end->conn, end->ctx, fd, is_server, &end->options, NULL), 0);
}

/* Connects to a server that the test drives; the handshake has not happened yet. */
static inline void end_connect(struct end *end, const char *address) {
    end_prepare(end);
    ck_assert_int_eq(conn_connect(&end->conn, end->ctx, address, &end->options), 0);
}

/* Forgets the outcomes and releases the kept messages, which answers unanswered calls with an error. */
static inline void end_drop(struct end *end) {
    while (end->kept_count > 0)
        sea_msg_release(end->kept[--end->kept_count]);
    while (end->outcomes_count > 0)
        sea_msg_release(end->outcomes[--end->outcomes_count].reply);
}

static inline struct figures end_figures(const struct end *end) {
    struct figures figures;
    sea_ctx_figures(end->ctx, figures.of, SEA_FIGURES);
    /* cppcheck-suppress uninitvar ; sea_ctx_figures() has written each figure */
    return figures;
}

static inline void end_free_conn(struct end *end) {
    sea_conn *conn = end->conn;
    sea_conn_free(conn);
    end->conn = NULL;
}

/* Ends the connection in any state, and checks that its context is left without charges and references. */
static inline void end_deinit(struct end *end) {
    end_free_conn(end);
    end_drop(end);
    struct figures f = end_figures(end);
    ck_assert_uint_eq(f.of[SEA_FIGURE_CONNECTIONS], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_OUTGOING_CALLS] + f.of[SEA_FIGURE_INCOMING_CALLS], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_LEASED_BLOCKS] + f.of[SEA_FIGURE_LEASED_BYTES], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_IMPORTED_BLOCKS] + f.of[SEA_FIGURE_IMPORTED_BYTES], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_BLOCKS] + f.of[SEA_FIGURE_BYTES], 0);
    sea_ctx_unref(end->ctx);
}

/* Gives the connection one turn, as a loop with poll() does, if it has reason for one. Returns whether it had. */
static inline bool end_turn(struct end *end) {
    if (!end->conn || sea_conn_fd(end->conn) < 0)
        return false;
    struct pollfd item = {.fd = sea_conn_fd(end->conn), .events = sea_conn_events(end->conn)};
    ck_assert_int_ge(poll(&item, 1, 0), 0);
    if (!item.revents && sea_conn_prepare(end->conn) != 0)
        return false;
    sea_conn_dispatch(end->conn, item.revents);
    return true;
}

static inline void end_settle(struct end *end) {
    for (int turns = 0; end_turn(end); turns++)
        ck_assert_int_lt(turns, 100000);
}

/* Waits for the connection's deadline, and gives it the turn that it asked for. */
static inline void end_turn_at_deadline(struct end *end) {
    int ms = sea_conn_prepare(end->conn);
    ck_assert_int_ge(ms, 0);
    wait_fd(-1, 0, wait_deadline(ms));
    sea_conn_dispatch(end->conn, 0);
}

struct ends {
    struct end a, b; /* b is the server */
};

static inline void ends_init(struct ends *ends) {
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    end_init(&ends->a, fds[0], false);
    end_init(&ends->b, fds[1], true);
}

static inline void ends_settle(struct ends *ends) {
    for (int turns = 0; end_turn(&ends->a) + end_turn(&ends->b) > 0; turns++)
        ck_assert_int_lt(turns, 100000);
}

static inline void ends_open(struct ends *ends) {
    ends_init(ends);
    ends_settle(ends);
    ck_assert(sea_conn_is_open(ends->a.conn));
    ck_assert(sea_conn_is_open(ends->b.conn));
}

static inline void ends_deinit(struct ends *ends) {
    end_deinit(&ends->a);
    end_deinit(&ends->b);
}

/* Returns a block for this end's connection, with all bytes `fill`. */
static inline sea_block *end_block(struct end *end, size_t size, int fill) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, end->conn, size), 0);
    memset(sea_block_data(block), fill, size);
    return block;
}

/* Returns a block that carries a number; END_SINK compares the number. */
static inline sea_block *end_number(struct end *end, uint32_t number) {
    sea_block *block = NULL;
    ck_assert_int_eq(sea_block_new(&block, end->conn, sizeof number), 0);
    ck_assert_int_eq(sea_block_fill(block, 0, &number, sizeof number), 0);
    return block;
}

static inline bool msg_is_filled(const sea_msg *msg, size_t size, int fill) {
    const unsigned char *bytes = sea_msg_data(msg);
    if (sea_msg_size(msg) != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != fill)
            return false;
    return true;
}

#endif
