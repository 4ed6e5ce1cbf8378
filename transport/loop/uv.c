/* SPDX-License-Identifier: MIT */
/*
 * The poller on libuv: a uv_poll_t on each socket and a uv_timer_t for its deadline. See <sealane/uv.h>.
 *
 * libuv closes handles later than we let go of them, so each watch has a piece of memory of its own with both handles,
 * which frees itself when the second one is closed. Never uv_pipe_t: it knows no SOCK_SEQPACKET and would read our
 * descriptors.
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
    struct uv_watch *due; /* borrowed; those that are called in the next turn of the loop, before it waits */
    uv_prepare_t prepare; /* calls those, and asks the hot watches, before the loop waits */
    uv_async_t async;     /* wakes the loop from other threads */
    uv_idle_t idle;       /* runs while one is hot: then the loop does not wait */
    bool was_called;      /* something was, in this turn of the loop and before its poll */
    int open_handles;
};

struct uv_watch {
    uv_poll_t poll;
    uv_timer_t timer;
    const struct loop_interface *library; /* borrowed, static */
    struct watch *watch;                  /* borrowed; NULL once removed */
    int open_handles;
    short armed;       /* what uv_poll_start() was last told */
    uint64_t deadline; /* what uv_timer_start() was; WAIT_FOREVER: the timer is stopped */
    LIST_LINK(struct uv_watch) due; /* of the poller's list */
};

/* In one turn of the loop, so that others have their turns: looks, which take some microseconds where nothing is there,
 * until so many frames were handled. */
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

/* Each once: what becomes due meanwhile waits for the next turn of the loop. */
static bool due_call_all(struct uv_poller *poller) {
    struct uv_watch *due = NULL;
    LIST_MOVE(&due, &poller->due, due);
    bool was_due = due != NULL;
    while (due)
        due_call(due);
    return was_due;
}

/*
 * After something was called before the poll, here or by a timer, the loop does not wait either: whoever runs it turn
 * by turn waits for just that, and a uv_check_t of the application's, which runs after the poll, may have something to
 * do now.
 */
static void on_prepare(uv_prepare_t *prepare) {
    struct uv_poller *poller = prepare->data;
    enum watch_state state = WATCH_HOT;
    bool was_ready = due_call_all(poller) || poller->was_called;
    poller->was_called = false;
    uv_handle_t *idle = (uv_handle_t *) &poller->idle; /* closing: what was called has ended the connection */
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
    w->library->watch_call(w->watch, 0);
}

static short poll_events(int status, int events) {
    if (status < 0) /* libuv's word for POLLERR; it has stopped the handle */
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
    else /* never 0: libuv calls those that such a timer starts, on and on, before anybody else has a turn */
        uv_timer_start(&w->timer, on_timer, left > 0 ? (uint64_t) left : 1, 0);
}

/* A watch that waits for no event, and whose deadline is at once, does not wait for the timer's millisecond: so a
 * connection that ends takes a step in each turn of the loop. The timer keeps the loop alive meanwhile. Other watches
 * have their descriptors, or are hot. */
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
    uv_close((uv_handle_t *) &own->idle, on_poller_closed);
}

static const struct poller_ops UV_OPS = {
    .add = uv_add, .update = uv_update, .remove = uv_remove, .ring = uv_ring, .free = uv_free};

static struct poller *uv_poller_new(const struct loop_interface *library, uv_loop_t *loop) {
    struct uv_poller *poller = library->heap_new(1, sizeof(*poller));
    if (!poller)
        return NULL;
    *poller = (struct uv_poller){.poller = {.ops = &UV_OPS}, .library = library, .loop = loop, .open_handles = 3};
    if (uv_async_init(loop, &poller->async, on_async) < 0)
        return library->heap_free(poller);
    uv_prepare_init(loop, &poller->prepare);
    uv_idle_init(loop, &poller->idle);
    poller->prepare.data = poller->idle.data = poller->async.data = poller;
    uv_unref((uv_handle_t *) &poller->async);
    uv_unref((uv_handle_t *) &poller->prepare);
    uv_unref((uv_handle_t *) &poller->idle);
    uv_prepare_start(&poller->prepare, on_prepare);
    return &poller->poller;
}

int sea_uv_server_new(sea_server **ret_server, sea_ctx *ctx, struct uv_loop_s *loop, const char *address,
                      const sea_options *options) {
    const struct loop_interface *library = library_interface();
    if (!library)
        return -ELIBBAD;
    struct poller *poller = uv_poller_new(library, loop);
    return poller ? library->server_new(ret_server, ctx, address, options, poller) : -ENOMEM;
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
        return r;
    }
    *ret_conn = conn;
    return 0;
}
