/* SPDX-License-Identifier: MIT */
/*
 * A poller: all that a server and its connections need from an event loop. There are two: the set below, on epoll, and
 * the poller on libuv (loop/uv.c).
 *
 * A watch is a descriptor, the events to wait for, and a deadline; its owner embeds it. The poller calls `ready` with
 * the events that came, or with 0 when the deadline passed. A watch that also has work which its
 * descriptor does not report has `check`: after each `ready` the watch is hot, which means that the poller calls
 * `check` again and again, until that returns WATCH_RESTS. Inside `ready` and `check` everything may be changed, and
 * every watch may be removed.
 *
 * One thread runs a poller at a time, and owns what hangs on it. It may be another one than before, and between two
 * turns another thread may have taken a part of that: a poller finds both out at the begin of its turn, before it
 * waits, and tells its mover.
 *
 * Owns: a set owns its epoll descriptor, its bell and the heap of deadlines; watches are borrowed, and their owners
 * take them off before they end. Touches: fields of watches; runs the mails of `box`. Threads: the one that runs it;
 * any thread may call watch_wake(), poller_set_ring() and poller_is_run_elsewhere(), and those that adopt a connection
 * poller_note_taken().
 */
#ifndef RPC_POLLER_H
#define RPC_POLLER_H

#include "registry/mailbox.h"
#include "sys/wait.h"
#include "util/list.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct watch;
struct poller;

struct poller_ops {
    int (*add)(struct poller *poller, struct watch *watch);
    void (*update)(struct poller *poller, struct watch *watch); /* events or deadline have changed */
    void (*remove)(struct poller *poller, struct watch *watch); /* before the descriptor is closed */
    void (*ring)(struct poller *poller); /* from any thread: the poller's is to call poller_call_woken() */
    void (*free)(struct poller *poller); /* no watch is left */
};

struct poller {
    const struct poller_ops *ops;
    struct watch *hot;             /* borrowed; those that are asked */
    struct watch *hot_cursor;      /* the next one that is */
    _Atomic(struct watch *) woken; /* borrowed; pushed by the threads that wake them, and taken whole */
    struct watch *waking;          /* borrowed; those that were taken */
    struct mailbox *box;           /* borrowed; NULL: none. Its mails are run by poller_call_woken() */
    /* thread_id() of the thread that ran it last; 0: none has yet, or what hangs on it is another thread's since. */
    _Atomic uintptr_t thread;
    _Atomic bool is_running;    /* that thread is in a turn, or waits in one. Other threads read both to find misuse */
    void (*moved)(void *mover); /* NULL: none. The calling thread runs the poller, and `thread` was another number */
    void *mover;                /* borrowed */
    uint32_t work;              /* frames that were handled by looking, and turns, since the clock was last asked */
};

/* How often the only hot watch is looked at in one go: so tightly that what comes is seen at once. */
enum { POLLER_LOOKS = 32 };

enum watch_state {
    WATCH_READY, /* there was something, and it is done */
    WATCH_HOT,   /* nothing yet: ask again */
    WATCH_POLL,  /* nothing yet: poll the descriptors, without waiting, and ask again */
    WATCH_RESTS  /* the descriptor will tell */
};

struct watch {
    int fd;            /* borrowed */
    short events;      /* POLLIN, POLLOUT */
    uint64_t deadline; /* CLOCK_MONOTONIC; WAIT_FOREVER */
    void (*ready)(struct watch *watch, short revents);
    /* NULL: it always rests. Looks so many times, does what there is to do, and adds it to the poller's work; 0: once,
     * and then rests if it can */
    enum watch_state (*check)(struct watch *watch, unsigned tries);
    bool is_single; /* `ready` looks at both, descriptor and deadline, whichever it is called for: a set calls it for
                       one of them in a turn */
    struct poller *poller;       /* NULL: not watched */
    void *impl;                  /* the poller's */
    LIST_LINK(struct watch) hot; /* on the poller's list while hot */
    struct watch *woken_next;    /* on either list of those woken */
    _Atomic bool is_woken;
    uint32_t alarm;              /* the set's: 1 + its place among those with a deadline; 0: it has none */
    uint32_t turn;               /* the set's: the last one in which its descriptor called it */
    LIST_LINK(struct watch) due; /* the set's: on the list of watches that it calls next */
};

int watch_add(struct watch *watch, struct poller *poller);

/* Sets both and tells the poller if something is new. Of a watch without a poller: just sets them. */
void watch_update(struct watch *watch, short events, uint64_t deadline);

/* Accepts watches without a poller. */
void watch_remove(struct watch *watch);

/* From any thread, while the watch is added and is not being removed: its `ready` is called with 0, soon and at least
 * once. */
void watch_wake(struct watch *watch);

/* For pollers. Calls those that were woken. */
void poller_call_woken(struct poller *poller);

/* For pollers, before a turn: the calling thread runs it. */
void poller_enter(struct poller *poller);

/* The calling thread has taken something that hangs on it. Its own thread takes that back before its next turn. */
void poller_note_taken(struct poller *poller);

/* For pollers: begin and end of what other threads must not use connections in. */
static inline void poller_note_running(struct poller *poller, bool is_running) {
    atomic_store_explicit(&poller->is_running, is_running, memory_order_relaxed);
}

/* From any thread: does another thread run it at this moment? */
static inline bool poller_is_run_elsewhere(const struct poller *poller) {
    return atomic_load_explicit(&poller->is_running, memory_order_relaxed) &&
           atomic_load_explicit(&poller->thread, memory_order_relaxed) != thread_id_known();
}

/* For pollers. Calls `ready`, after which the watch is hot. */
void watch_call(struct watch *watch, short revents);

/* For pollers. Asks every hot watch once. Returns WATCH_READY when one was, WATCH_RESTS when none is
 * hot any more, else WATCH_HOT or WATCH_POLL. */
enum watch_state poller_check_hot(struct poller *poller, bool is_patient);

/*
 * A set of watches on epoll. Deadlines are in a heap: those that are far away, as of pools that keep something, cost
 * nothing in a turn.
 */
int poller_set_new(struct poller **ret_poller); /* -ENOMEM, -EMFILE, -ENFILE, -ENOSPC */
int poller_set_fd(const struct poller *poller);
bool poller_set_is_in_turn(const struct poller *poller);
uint64_t poller_set_deadline(const struct poller *poller);

/* From any thread, and from signal handlers: its turn ends. */
void poller_set_ring(struct poller *poller);

/* Before somebody else polls the descriptor: 0: there is something to do at once, or this is inside a turn; else the
 * nearest deadline. */
uint64_t poller_set_prepare_sleep(struct poller *poller);

/* One turn: waits until `deadline` (0: not at all), then calls every `ready`. 0 or a negative errno value. May return
 * early. */
int poller_set_turn(struct poller *poller, uint64_t deadline);

#endif
