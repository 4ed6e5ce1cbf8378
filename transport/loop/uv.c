/* SPDX-License-Identifier: MIT */
/*
 * The poller on libuv: each watch has a uv_poll_t for its socket and a uv_timer_t for its deadline. See <sealane/uv.h>.
 *
 * libuv closes a handle some time after uv_close(). So both handles of a watch are in memory of their own, a struct
 * uv_watch, which is freed when libuv has closed the second handle. A uv_pipe_t would not do: it knows no
 * SOCK_SEQPACKET, and would read our descriptors.
 *
 * Owns: the poller and each uv_watch own themselves until libuv has closed their handles. The watch itself is borrowed;
 * its owner removes it. Touches: the application's uv_loop_t; fields of struct poller and struct watch (rpc/poller.h).
 *
 * Threads: the loop's, but for uv_ring(), which any thread may call until uv_free().
 */
#include "loop/library.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sealane/uv.h>
#include <uv.h>

struct uv_watch;

struct uv_poller {
    struct poller poller;
    const struct loop_interface *library; /* borrowed, static */
    uv_loop_t *loop;                      /* borrowed */
    struct uv_watch *due; /* borrowed; the watches that the next turn of the loop calls before it waits */
    uv_prepare_t prepare; /* calls the due watches and looks at the hot watches, before the loop waits */
    uv_check_t check;     /* the loop has waited */
    uv_async_t async;     /* wakes the loop from other threads */
    uv_idle_t idle;       /* runs while a watch is hot: it keeps the loop from waiting */
    bool was_called;      /* a watch was called in this turn of the loop, before its poll */
    int open_handles;
};

struct uv_watch {
    uv_poll_t poll;
    uv_timer_t timer;
    const struct loop_interface *library; /* borrowed, static */
    struct watch *watch;                  /* borrowed; NULL once removed */
    int open_handles;
    short armed;                    /* the events that libuv polls for now */
    uint64_t deadline;              /* of the timer; WAIT_FOREVER: the timer is stopped */
    LIST_LINK(struct uv_watch) due; /* in the poller's list */
};

/* The work of one turn of the loop is bounded, so that other handles have their turns: it ends after this many looks at
 * the hot watches, or this many frames. A look that finds nothing takes some microseconds. */
enum { LOOKS_PER_TURN = 16, FRAMES_PER_TURN = 64 };

static void on_idle(uv_idle_t *idle) {
    (void) idle;
}

static void due_remove(struct uv_watch *w) {
    if (LIST_HAS(w, due))
        LIST_REMOVE(w, due);
}

static void due_call(struct uv_watch *w) {
    due_remove(w);
    uv_timer_stop(&w->timer);
    w->deadline = WAIT_FOREVER;
    w->library->watch_call(w->watch, 0);
}

/* Calls each due watch once. A watch that becomes due meanwhile waits for the next turn of the loop. Returns whether a
 * watch was due. */
static bool due_call_all(struct uv_poller *poller) {
    struct uv_watch *due = NULL;
    LIST_MOVE(&due, &poller->due, due);
    bool was_due = due != NULL;
    while (due)
        due_call(due);
    return was_due;
}

/*
 * Runs before the loop waits: calls the due watches, and looks at the hot watches.
 *
 * The loop does not wait while a watch is hot, nor in a turn in which a watch was called before the poll. A callback
 * may have brought the event that the application runs the loop for (uv_run() with UV_RUN_ONCE), or work for the
 * application's uv_check_t, which runs after the poll.
 */
static void on_prepare(uv_prepare_t *prepare) {
    struct uv_poller *poller = prepare->data;
    poller->library->poller_enter(&poller->poller);
    poller_note_running(&poller->poller, true);
    enum watch_state state = WATCH_HOT;
    bool was_ready = due_call_all(poller) || poller->was_called;
    poller->was_called = false;
    uv_handle_t *idle = (uv_handle_t *) &poller->idle; /* it is closing if a callback has freed the poller's owner */
    poller->poller.work = 0;
    for (int i = 0; !uv_is_closing(idle) && i < LOOKS_PER_TURN && poller->poller.hot &&
                    poller->poller.work < FRAMES_PER_TURN && (state == WATCH_HOT || state == WATCH_READY);
         i++) {
        state = poller->library->poller_check_hot(&poller->poller, true);
        was_ready |= state == WATCH_READY;
    }
    if (uv_is_closing(idle))
        return;
    if (poller->poller.hot || was_ready)
        uv_idle_start(&poller->idle, on_idle);
    else
        uv_idle_stop(&poller->idle);
}

/* Between two waits no loop says whether it still runs. */
static void on_check(uv_check_t *check) {
    struct uv_poller *poller = check->data;
    poller_note_running(&poller->poller, false);
}

static void on_poller_closed(uv_handle_t *handle) {
    struct uv_poller *poller = handle->data;
    if (--poller->open_handles == 0)
        poller->library->heap_free(poller);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct uv_watch *w = handle->data;
    if (--w->open_handles == 0)
        w->library->heap_free(w);
}

static void on_timer(uv_timer_t *timer) {
    struct uv_watch *w = timer->data;
    if (!w->watch)
        return;
    w->deadline = WAIT_FOREVER;
    due_remove(w);
    ((struct uv_poller *) (void *) w->watch->poller)->was_called = true;
    w->library->poller_enter(w->watch->poller);
    w->library->watch_call(w->watch, 0);
}

static short poll_events(int status, int events) {
    if (status < 0) /* POLLERR: libuv reports it as an error, and has stopped the handle */
        return POLLIN | POLLERR;
    return (short) ((events & UV_READABLE ? POLLIN : 0) | (events & UV_WRITABLE ? POLLOUT : 0) |
                    (events & UV_DISCONNECT ? POLLIN | POLLHUP : 0));
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct uv_watch *w = poll->data;
    if (status < 0)
        w->armed = 0;
    if (w->watch)
        w->library->watch_call(w->watch, poll_events(status, events));
}

static void arm_events(struct uv_watch *w) {
    short events = w->watch->events;
    if (events == w->armed)
        return;
    int wanted = (events & POLLIN ? UV_READABLE | UV_DISCONNECT : 0) | (events & POLLOUT ? UV_WRITABLE : 0);
    int r = wanted ? uv_poll_start(&w->poll, wanted, on_poll) : uv_poll_stop(&w->poll);
    w->armed = r == 0 ? events : 0;
}

static void arm_timer(struct uv_watch *w) {
    if (w->watch->deadline == w->deadline)
        return;
    w->deadline = w->watch->deadline;
    int left = w->library->wait_left_ms(w->deadline);
    if (left < 0)
        uv_timer_stop(&w->timer);
    else /* never 0: libuv runs a timer of 0 ms in the same turn, and again and again if its callback restarts it */
        uv_timer_start(&w->timer, on_timer, left > 0 ? (uint64_t) left : 1, 0);
}

/* A watch without events and with the deadline 0 is due: the next turn of the loop calls it, without the millisecond
 * that a timer takes at least. So a connection that ends takes a step in each turn. Its timer is started all the same,
 * because a loop without active handles would end. */
static void uv_watch_arm(struct uv_watch *w) {
    arm_events(w);
    arm_timer(w);
    due_remove(w);
    if (w->watch->deadline == 0 && !w->watch->events)
        LIST_PUSH(&((struct uv_poller *) (void *) w->watch->poller)->due, w, due);
}

static int uv_add(struct poller *poller, struct watch *watch) {
    const struct uv_poller *own = (const struct uv_poller *) (void *) poller;
    struct uv_watch *w = own->library->heap_new(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    int r = uv_poll_init(own->loop, &w->poll, watch->fd);
    if (r < 0) {
        return own->library->heap_free(w), r;
    }
    uv_timer_init(own->loop, &w->timer);
    w->library = own->library;
    w->poll.data = w->timer.data = w;
    w->open_handles = 2;
    w->watch = watch;
    w->deadline = WAIT_FOREVER;
    watch->impl = w;
    uv_watch_arm(w);
    return 0;
}

static void uv_update(struct poller *poller, struct watch *watch) {
    (void) poller;
    uv_watch_arm(watch->impl);
}

static void uv_remove(struct poller *poller, struct watch *watch) {
    struct uv_watch *w = watch->impl;
    (void) poller;
    w->watch = NULL;
    due_remove(w);
    uv_close((uv_handle_t *) &w->poll, on_handle_closed);
    uv_close((uv_handle_t *) &w->timer, on_handle_closed);
}

static void on_async(uv_async_t *async) {
    struct uv_poller *poller = async->data;
    poller->was_called = true;
    poller->library->poller_call_woken(&poller->poller);
}

static void uv_ring(struct poller *poller) {
    uv_async_send(&((struct uv_poller *) (void *) poller)->async);
}

static void uv_free(struct poller *poller) {
    struct uv_poller *own = (struct uv_poller *) (void *) poller;
    uv_close((uv_handle_t *) &own->async, on_poller_closed);
    uv_close((uv_handle_t *) &own->prepare, on_poller_closed);
    uv_close((uv_handle_t *) &own->check, on_poller_closed);
    uv_close((uv_handle_t *) &own->idle, on_poller_closed);
}

static const struct poller_ops UV_OPS = {
    .add = uv_add, .update = uv_update, .remove = uv_remove, .ring = uv_ring, .free = uv_free};

static struct poller *uv_poller_new(const struct loop_interface *library, uv_loop_t *loop) {
    struct uv_poller *poller = library->heap_new(1, sizeof(*poller));
    if (!poller)
        return NULL;
    *poller = (struct uv_poller){.poller = {.ops = &UV_OPS}, .library = library, .loop = loop, .open_handles = 4};
    if (uv_async_init(loop, &poller->async, on_async) < 0)
        return library->heap_free(poller);
    uv_prepare_init(loop, &poller->prepare);
    uv_check_init(loop, &poller->check);
    uv_idle_init(loop, &poller->idle);
    poller->check.data = poller->prepare.data = poller->idle.data = poller->async.data = poller;
    uv_unref((uv_handle_t *) &poller->async);
    uv_unref((uv_handle_t *) &poller->prepare);
    uv_unref((uv_handle_t *) &poller->check);
    uv_unref((uv_handle_t *) &poller->idle);
    uv_prepare_start(&poller->prepare, on_prepare);
    uv_check_start(&poller->check, on_check);
    return &poller->poller;
}

int sea_uv_server_new(sea_server **ret_server, sea_ctx *ctx, struct uv_loop_s *loop, const char *address,
                      const sea_options *options) {
    const struct loop_interface *library = library_interface();
    if (!library)
        return -ELIBBAD;
    struct poller *poller = uv_poller_new(library, loop);
    return poller ? library->server_new(ret_server, ctx, address, options, poller)
                  : library_explain(library, ctx, -ENOMEM, address, "out of memory");
}

int sea_uv_connect(sea_conn **ret_conn, sea_ctx *ctx, struct uv_loop_s *loop, const char *address,
                   const sea_options *options) {
    const struct loop_interface *library = library_interface();
    sea_conn *conn = NULL;
    if (!library)
        return -ELIBBAD;
    int r = library->conn_connect(&conn, ctx, address, options);
    if (r < 0)
        return r;
    struct poller *poller = uv_poller_new(library, loop);
    r = poller ? library->conn_drive(conn, poller) : -ENOMEM;
    if (r < 0) {
        sea_conn_free(conn);
        return library_explain(library, ctx, r, address, r == -ENOMEM ? "out of memory" : "the loop cannot poll it");
    }
    *ret_conn = conn;
    return 0;
}
