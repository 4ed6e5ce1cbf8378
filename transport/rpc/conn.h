/* SPDX-License-Identifier: MIT */
/*
 * A connection, as the application sees it: a lane, our calls, the peer's calls, and the driver of its turns.
 *
 * References: one by its owner (the application or a server), one by each message that came from it, one by each turn.
 * The lane is closed when the owner lets go; the memory goes with the last reference.
 *
 * Owns: the lane, the calls, the spare messages, the interrupt, pair_fd and own_poller; messages on its lists are the
 * application's.
 *
 * Threads: the thread that drives it owns it, with all that is its account's (registry/mailbox.h). Each function that
 * drives it adopts it by conn_adopt(), once: the functions below it rely on that. Functions for any thread leave a
 * mail. The last turn of a connection that has ended disowns it: from then on the lock of the mailbox guards `refs`,
 * and what messages and blocks still change (incoming lists, account, tally). `turns` and `is_waiting` are read by any
 * thread.
 *
 * Files: conn.c memory, end, getters · conn_loop.c beginning, and the poller · conn_turn.c turns, sea_conn_free(), and
 * the lane's callbacks · conn_wait.c blocking waits · conn_fd.c other loops · connect.c · call.c and call_end.c our
 * calls · send.c one-way messages · block.c · msg.c and msg_memory.c messages. Each uses only files that stand further
 * down this list: connect, call, send, conn_wait, conn_fd, conn_loop, small, conn_turn, msg, call_end, payload, block,
 * conn, msg_memory.
 */
#ifndef RPC_CONN_H
#define RPC_CONN_H

#include "lane/lane.h"
#include "registry/mailbox.h"
#include "registry/options.h"
#include "rpc/calls.h"
#include "rpc/conn_slots.h"
#include "rpc/interrupt.h"
#include "rpc/msg_memory.h"
#include "rpc/poller.h"
#include "sys/heap.h"
#include "util/list.h"
#include <sealane/msg.h>

struct sea_conn {
    uint32_t refs;
    struct mailbox *box; /* borrowed from the account */
    sea_ctx *ctx;        /* owned reference */
    sea_options options;
    struct lane lane;
    struct calls calls;
    const sea_method *newest_method; /* borrowed; of the newest small request, if it named a method by its own number */
    sea_msg *incoming;               /* calls of the peer that are not answered yet; borrowed */
    sea_msg *cancelled;              /* calls of the peer that are cancelled, after on_cancel; borrowed */
    uint32_t incoming_count;         /* of both lists */
    uint64_t cancel_at; /* with on_cancel: no deadline on the list of incoming calls is earlier; WAIT_FOREVER: none */
    struct msg_spares spares;
    struct watch watch;
    struct watch speaker;          /* of the peer's process, once it has greeted; with `watch.poller` */
    int pair_fd;                   /* owned; -1: not made yet. For other loops: the socket and the peer's process */
    short pair_events;             /* what of the socket it waits for */
    bool is_unwoken;               /* mails do not make the polled descriptor readable */
    struct poller *own_poller;     /* owned; of a connection that a loop drives by itself */
    void (*ended)(sea_conn *conn); /* a server's: it drops its reference. After on_close */
    sea_server *server;            /* borrowed, for `ended` */
    LIST_LINK(sea_conn) link;      /* on the server's list */
    struct conn_slot slot;         /* of the server's; empty: it was refused one */
    uint64_t idle_at,
        idle_seen; /* when to look whether it is idle (WAIT_FOREVER: never); conn_activity() at the last look */
    bool is_open, is_ended, is_freed, is_looped;
    bool wants_call; /* a call found the peer's calls_max in flight: there is room once one was answered */
    /* sea_block_new() of fewer bytes takes what is free in our pools; 0: the limits of the peer decide. */
    uint64_t ready_below;
    uint32_t told;              /* callbacks of ended calls and of room so far: what sea_conn_wait() returns for */
    _Atomic uint32_t turns;     /* how many are on the stack; other threads read it to find misuse */
    _Atomic bool is_waiting;    /* its thread waits for it; other threads read this, too */
    uint32_t late_turns;        /* since a call of ours became late: what lies there is still being read */
    uint64_t polled_at;         /* by conn_poll(), on the coarse clock */
    bool is_patient;            /* socket_be_patient(), for CONN_LOOK_NS */
    int reason;                 /* of the end */
    struct interrupt interrupt; /* of waits for it */
    void *data;
    char text[WIRE_TEXT_MAX + 1];
    int text_error;      /* the error that `text` explains */
    uint64_t text_stamp; /* of the context's refusal log, when it was written */
};

void conn_destroy(sea_conn *conn); /* the last reference is gone */
/* The rest of conn_unref(): the last reference is gone, or the connection has ended, and any thread may hold one. */
void conn_drop(sea_conn *conn);
void conn_ref_ended(sea_conn *conn);

static inline bool conn_is_mine(const sea_conn *conn) {
    return mailbox_is_mine(conn->box);
}

/* The calling thread owns the connection, or the connection has ended. */
static inline sea_conn *conn_ref(sea_conn *conn) {
    if (conn->is_ended)
        conn_ref_ended(conn);
    else
        conn->refs++;
    return conn;
}

static inline sea_conn *conn_unref(sea_conn *conn) {
    if (conn && (conn->is_ended || --conn->refs == 0))
        conn_drop(conn);
    return NULL;
}

/* A reference that is dropped at the end of its scope, also when an exception leaves a handler below. */
static inline void conn_unrefp(sea_conn **conn) {
    if (*conn && ((*conn)->is_ended || --(*conn)->refs == 0))
        conn_drop(*conn);
}
#define CLEANUP_CONN CLEANUP(conn_unrefp)

/* Waits for the socket, for the end of the peer's process, and for the bell of the interrupt: `wake_fd`, or -1 for
 * none. A bell that rings is cleared, or the next poll would return at once. Nothing is lost: the next turn looks into
 * the mailbox, and the next wait at the flag of the interrupt. Returns what poll() says of the socket, or a negative
 * errno value. */
int conn_poll(sea_conn *conn, int wake_fd, uint64_t deadline);

/* The calling thread drives the connection from now on. -EDEADLK, noted: another thread is driving it at this moment.
 * Nothing happens to a connection that has been disowned. */
int conn_change_thread(sea_conn *conn);
static inline int conn_adopt(sea_conn *conn) {
    return mailbox_is_mine(conn->box) ? 0 : conn_change_thread(conn);
}

static inline uint32_t conn_turns(const sea_conn *conn) {
    return atomic_load_explicit(&conn->turns, memory_order_relaxed);
}

/* Ends the last turn of a connection that has ended: it needs no place to receive into and no poller, and belongs to no
 * thread any more. */
void conn_disown(sea_conn *conn);

/* The begin and the end of a turn. */
static inline void conn_begin_turn(sea_conn *conn) {
    uint32_t turns = atomic_load_explicit(&conn->turns, memory_order_relaxed) + 1;
    atomic_store_explicit(&conn->turns, turns, memory_order_relaxed);
}
static inline void conn_end_turn(sea_conn *conn) {
    uint32_t left = atomic_load_explicit(&conn->turns, memory_order_relaxed) - 1;
    atomic_store_explicit(&conn->turns, left, memory_order_relaxed);
    if (left == 0 && conn->is_ended)
        conn_disown(conn);
}

/* Asks for one more turn, soon. */
void conn_turn_again(sea_conn *conn);

/* Ends it now, inside a turn of its own. */
void conn_end(sea_conn *conn, int reason, const char *text);

/* The method that serves this number: its own, or the one for any number. NULL: no method does. */
static inline const sea_method *conn_method(const sea_conn *conn, uint32_t number) {
    const sea_method *any = NULL;
    for (size_t i = 0; i < conn->options.methods_count; i++) {
        const sea_method *method = method_at(&conn->options, i);
        if (method->number == SEA_METHOD_ANY)
            any = method;
        else if (method->number == number)
            return method;
    }
    return number < SEA_METHOD_RESERVED ? any : NULL;
}

static inline bool method_takes(const sea_method *method, uint64_t size) {
    return !method->payload_max || size <= method->payload_max;
}

/* Runs the handler, which takes `msg`. */
static inline void method_handle(const sea_method *method, const sea_conn *conn, sea_msg *msg) {
    method->handler(msg, method->user ? method->user : conn->options.user);
}

/* May its user wait for it, or drive it: does no loop drive it, and is it in no turn? */
static inline bool conn_can_wait(const sea_conn *conn) {
    return !conn->is_looped && atomic_load_explicit(&conn->turns, memory_order_relaxed) == 0;
}

/* Notes why not. Returns -EDEADLK. */
int conn_explain_deadlock(const sea_conn *conn);

/* Keeps the text of `error`, which a function of the connection is about to return. Returns `error`. */
int conn_say(sea_conn *conn, int error, const char *text);

/* The end of a public function that took refusal_mark() at its beginning. Returns `r`. */
int conn_explain_end(sea_conn *conn, uint64_t mark, int r);

/* The nearest instant at which conn_turn() must be called. */
uint64_t conn_deadline(const sea_conn *conn);

/* As conn_deadline(), without the deadline of its pools, which a busy thread need not meet. */
uint64_t conn_deadline_of_calls(const sea_conn *conn);

/* The error of a function that needs an open connection, once it has ended. */
int conn_end_reason(const sea_conn *conn);

/* Notes that sending failed with -EPIPE. The turn that ends the connection comes later, after the messages that the
 * peer had sent. */
void conn_note_gone(sea_conn *conn);

/* Tells its poller, if it has one, about new events and a new deadline. */
void conn_rearm(void *owner);

/* The end of a turn, for CLEANUP(); the caller still holds a reference. Also of a turn that an exception unwinds: the
 * exception has left a handler, to which the message belongs. */
void turn_end(sea_conn **turn);

/* How often a wait looks for the work of other threads where they have no descriptor to wake it: a sandbox may forbid
 * the descriptor, and in another loop it may be outside of the polled set. */
#define CONN_LOOK_NS (UINT64_C(10) * 1000 * 1000)

static inline uint64_t deadline_sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

#endif
