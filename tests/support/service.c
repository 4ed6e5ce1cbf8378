/* SPDX-License-Identifier: MIT */
/*
 * A real server on a thread. Handlers and callbacks run on that thread; a lock protects the fields that the test reads.
 * Either the end of the thread or service_stop() frees the server, never both.
 */
#include "support/service.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "support/suite.h"

#if WITH_UV
#include <sealane/uv.h>
#include <uv.h>
#endif

#define ENDINGS_MAX 256
#define KEPT_MAX 4096
#define SUBSCRIBERS_MAX 16

const char service_name[] = "harbour";
static bool use_uv;

void service_use_uv(bool uses) {
#if !WITH_UV
    if (uses)
        test_skip("this build has no libuv");
#endif
    use_uv = uses;
}

struct service {
    sea_ctx *ctx;
    sea_server *server; /* under lock while the thread runs; NULL once its loop has failed */
    bool is_uv;
#if WITH_UV
    uv_loop_t loop; /* of the thread, as `server` is while the loop runs */
    uv_async_t stop;
#endif
    pthread_t thread;
    int result; /* result of sea_server_run(), once the thread has ended */
    _Atomic bool has_failed, must_drop;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* ends that the test has not asked for yet, in order; under lock, as the next three */
    struct ending endings[ENDINGS_MAX];
    unsigned endings_count, endings_asked;
    unsigned openings, openings_ended, events_out_of_order, honest_failures;

    /* belongs to the server's thread */
    sea_msg *kept[KEPT_MAX];
    size_t kept_count;
    sea_conn *subscribers[SUBSCRIBERS_MAX];
    size_t subscribers_count;
};

static void drop_kept(struct service *service) {
    while (service->kept_count > 0)
        sea_msg_release(service->kept[--service->kept_count]);
}

static void begin(struct service *service) {
    if (atomic_exchange(&service->must_drop, false))
        drop_kept(service);
}

/* Gets the payload, with one reference. Returns true with NULL if there is no payload. A small payload becomes a
 * block only here, which may fail. */
static bool payload_of(const sea_msg *msg, sea_block **ret_block) {
    sea_block *block = sea_msg_block(msg);
    *ret_block = block ? sea_block_ref(block) : NULL;
    return block || sea_msg_size(msg) == 0;
}

static void on_echo(sea_msg *msg, void *user) {
    sea_block *block;
    begin(user);
    if (payload_of(msg, &block))
        sea_reply(msg, block);
    else
        sea_reply_error(msg, -ENOMEM, "no block for the echo");
}

static void on_keep(sea_msg *msg, void *user) {
    struct service *service = user;
    begin(service);
    if (service->kept_count < KEPT_MAX)
        service->kept[service->kept_count++] = msg;
    else
        sea_msg_release(msg);
}

static void on_sink(sea_msg *msg, void *user) {
    begin(user);
    sea_msg_release(msg);
}

static void on_nap(sea_msg *msg, void *user) {
    begin(user);
    nanosleep(&(struct timespec){.tv_nsec = SERVICE_NAP_MS * 1000000L}, NULL);
    sea_reply(msg, NULL);
}

static void on_subscribe(sea_msg *msg, void *user) {
    struct service *service = user;
    begin(service);
    if (service->subscribers_count == SUBSCRIBERS_MAX) {
        sea_reply_error(msg, -EUSERS, "too many subscribers");
        return;
    }
    service->subscribers[service->subscribers_count++] = sea_msg_conn(msg);
    sea_reply(msg, NULL);
}

static void on_publish(sea_msg *msg, void *user) {
    struct service *service = user;
    begin(service);
    sea_block *block;
    bool has_payload = payload_of(msg, &block);
    for (size_t i = 0; i < service->subscribers_count; i++) {
        sea_conn *conn = service->subscribers[i];
        if (!has_payload || sea_send(conn, SERVICE_ITEM, block ? sea_block_ref(block) : NULL, 0) < 0)
            sea_conn_close(conn); /* a subscriber that misses an item is disconnected */
    }
    sea_block_unref(block);
    sea_msg_release(msg);
}

static int answer_new(sea_msg *msg, sea_block **ret_block) {
    sea_block *block = NULL;
    const unsigned char *in = sea_msg_data(msg);
    size_t size = sea_msg_size(msg);
    int r = sea_block_new_sealed(&block, sea_conn_ctx(sea_msg_conn(msg)), size, 0);
    unsigned char *out = r == 0 ? sea_block_data(block) : NULL;
    if (!out) {
        sea_block_unref(block);
        return r < 0 ? r : -ENOMEM;
    }
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char) (in[i] + 1);
    *ret_block = block;
    return 0;
}

static void on_answer(sea_msg *msg, void *user) {
    begin(user);
    sea_block *block = NULL;
    int r = answer_new(msg, &block);
    if (r < 0)
        sea_reply_error(msg, r, "no block for the answer");
    else
        sea_reply(msg, block);
}

/* Returns whether the payload stays unchanged: looks at it again as an application would that has validated it. */
static bool payload_stays(const sea_msg *msg) {
    const volatile unsigned char *bytes = sea_msg_data(msg);
    size_t size = sea_msg_size(msg);
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    unsigned char first = bytes[0], last = bytes[size - 1];
    do {
        for (int i = 0; i < 1000; i++)
            if (bytes[0] != first || bytes[size - 1] != last)
                return false;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000 < SERVICE_WATCH_MS);
    return true;
}

static void on_watch(sea_msg *msg, void *user) {
    begin(user);
    const unsigned char stays = sea_msg_size(msg) > 0 && payload_stays(msg);
    sea_reply_bytes(msg, &stays, 1);
}

static const sea_method methods[] = {
    {.number = SERVICE_ECHO, .name = "echo", .handler = on_echo},
    {.number = SERVICE_KEEP, .name = "keep", .handler = on_keep},
    {.number = SERVICE_SINK, .name = "sink", .handler = on_sink},
    {.number = SERVICE_SUBSCRIBE, .name = "subscribe", .handler = on_subscribe},
    {.number = SERVICE_PUBLISH, .name = "publish", .handler = on_publish},
    {.number = SERVICE_ANSWER, .name = "answer", .handler = on_answer},
    {.number = SERVICE_NAP, .name = "nap", .handler = on_nap},
    {.number = SERVICE_WATCH, .name = "watch", .handler = on_watch},
};

/* Marks that are stored with a connection, to find callbacks that come in the wrong order or number. */
static int mark_open, mark_closed;

static void on_open(sea_conn *conn, void *user) {
    struct service *service = user;
    pthread_mutex_lock(&service->lock);
    if (sea_conn_data(conn))
        service->events_out_of_order++;
    sea_conn_set_data(conn, &mark_open);
    service->openings++;
    pthread_mutex_unlock(&service->lock);
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct service *service = user;
    for (size_t i = 0; i < service->subscribers_count; i++)
        if (service->subscribers[i] == conn)
            service->subscribers[i--] = service->subscribers[--service->subscribers_count];
    bool is_honest = !strcmp(sea_conn_service(conn), service_name);
    pthread_mutex_lock(&service->lock);
    if (sea_conn_data(conn) == &mark_closed)
        service->events_out_of_order++;
    if (sea_conn_data(conn) == &mark_open)
        service->openings_ended++;
    sea_conn_set_data(conn, &mark_closed);
    if (is_honest && event->reason != 0)
        service->honest_failures++;
    if (!is_honest && service->endings_count - service->endings_asked < ENDINGS_MAX) {
        struct ending *ending = &service->endings[service->endings_count++ % ENDINGS_MAX];
        ending->reason = event->reason;
        snprintf(ending->text, sizeof ending->text, "%s", event->text);
    }
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
}

#if WITH_UV

void service_prepare_uv(void) {
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0 || uv_loop_close(&loop) != 0)
        abort(); /* this process has no Check to report to */
}

static void on_uv_stop(uv_async_t *async) {
    struct service *service = async->data;
    drop_kept(service);
    service->server = sea_server_free(service->server);
    uv_close((uv_handle_t *) async, NULL);
}

static void *serve_uv(void *arg) {
    struct service *service = arg;
    service->result = uv_run(&service->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void service_open_loop(struct service *service) {
    ck_assert_int_eq(uv_loop_init(&service->loop), 0);
    ck_assert_int_eq(uv_async_init(&service->loop, &service->stop, on_uv_stop), 0);
    service->stop.data = service;
}

static int service_begin_on_loop(struct service *service, const char *address, const sea_options *options) {
    return sea_uv_server_new(&service->server, service->ctx, &service->loop, address, options);
}

static void service_ring_loop(struct service *service) {
    uv_async_send(&service->stop);
}

/* Also closes a loop that did not run. */
static void service_close_loop(struct service *service) {
    if (!uv_is_closing((uv_handle_t *) &service->stop))
        uv_close((uv_handle_t *) &service->stop, NULL);
    uv_run(&service->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&service->loop), 0);
}

#else /* service_use_uv() lets no service come here */

void service_prepare_uv(void) {}

static void *serve_uv(void *arg) {
    return arg;
}

static void service_open_loop(struct service *service) {
    (void) service;
}

static int service_begin_on_loop(struct service *service, const char *address, const sea_options *options) {
    (void) service;
    (void) address;
    (void) options;
    return -ENOSYS;
}

static void service_ring_loop(struct service *service) {
    (void) service;
}

static void service_close_loop(struct service *service) {
    (void) service;
}

#endif

/* A server serves no client after its loop has failed: the thread frees it at once, so that the clients learn of it. */
static void *serve(void *arg) {
    struct service *service = arg;
    service->result = sea_server_run(service->server);
    drop_kept(service);
    if (service->result < 0) {
        pthread_mutex_lock(&service->lock);
        sea_server *server = service->server;
        service->server = NULL; /* so that service_stop() does not wake a server that is gone */
        pthread_mutex_unlock(&service->lock);
        sea_server_free(server);
        atomic_store(&service->has_failed, true);
    }
    return NULL;
}

static struct service *service_new(void) {
    struct service *service = calloc(1, sizeof *service);
    ck_assert_ptr_nonnull(service);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&service->lock, NULL);
    pthread_cond_init(&service->changed, &attr);
    pthread_condattr_destroy(&attr);
    service->is_uv = use_uv;
    if (service->is_uv)
        service_open_loop(service);
    return service;
}

static void service_free(struct service *service) {
    sea_server_free(service->server);
    if (service->is_uv)
        service_close_loop(service);
    sea_ctx_unref(service->ctx);
    pthread_cond_destroy(&service->changed);
    pthread_mutex_destroy(&service->lock);
    free(service);
}

struct service *service_try_start(const char *address, const sea_ctx_options *ctx_options, const sea_options *options,
                                  int *ret_error) {
    struct service *service = service_new();
    sea_options own = options ? *options : (sea_options){0};
    own.methods = methods;
    own.methods_count = sizeof methods / sizeof *methods;
    own.method_size = sizeof *methods;
    own.user = service;
    own.on_open = on_open;
    own.on_close = on_close;
    own.service = service_name;
    int r = sea_ctx_new(&service->ctx, ctx_options);
    if (r == 0)
        r = service->is_uv ? service_begin_on_loop(service, address, &own)
                           : sea_server_new(&service->server, service->ctx, address, &own);
    if (r < 0) {
        service_free(service);
        *ret_error = r;
        return NULL;
    }
    ck_assert_int_eq(pthread_create(&service->thread, NULL, service->is_uv ? serve_uv : serve, service), 0);
    return service;
}

struct service *service_start(const char *address, const sea_ctx_options *ctx_options, const sea_options *options) {
    int error = 0;
    struct service *service = service_try_start(address, ctx_options, options, &error);
    ck_assert_msg(service, "the server did not start: %s", strerror(-error));
    return service;
}

int service_stop(struct service *service) {
    pthread_mutex_lock(&service->lock);
    if (service->is_uv)
        service_ring_loop(service);
    else if (service->server)
        sea_server_stop(service->server);
    pthread_mutex_unlock(&service->lock);
    pthread_join(service->thread, NULL);
    int result = service->result;
    service_free(service);
    return result;
}

bool service_has_failed(struct service *service) {
    return atomic_load(&service->has_failed);
}

static struct timespec instant_in(int ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = at.tv_nsec + (int64_t) test_timeout_ms(ms) * 1000000;
    return (struct timespec){.tv_sec = at.tv_sec + ns / 1000000000, .tv_nsec = ns % 1000000000};
}

bool service_next_ending(struct service *service, int ms, struct ending *ret_ending) {
    struct timespec until = instant_in(ms);
    int r = 0;
    pthread_mutex_lock(&service->lock);
    while (service->endings_asked == service->endings_count && r == 0)
        r = pthread_cond_timedwait(&service->changed, &service->lock, &until);
    bool has_one = service->endings_asked < service->endings_count;
    if (has_one)
        *ret_ending = service->endings[service->endings_asked++ % ENDINGS_MAX];
    pthread_mutex_unlock(&service->lock);
    return has_one;
}

unsigned service_honest_failures(struct service *service) {
    pthread_mutex_lock(&service->lock);
    unsigned count = service->honest_failures;
    pthread_mutex_unlock(&service->lock);
    return count;
}

bool service_events_are_single(struct service *service) {
    pthread_mutex_lock(&service->lock);
    bool are_single = service->events_out_of_order == 0 && service->openings == service->openings_ended;
    pthread_mutex_unlock(&service->lock);
    return are_single;
}

void service_drop(struct service *service) {
    atomic_store(&service->must_drop, true);
}

struct figures service_figures(struct service *service) {
    struct figures figures;
    sea_ctx_figures(service->ctx, figures.of, SEA_FIGURES);
    return figures;
}

bool service_settles(struct service *service, uint64_t connections, int ms) {
    int patience = test_timeout_ms(ms);
    for (int waited = 0; waited <= patience; waited++) {
        struct figures f = service_figures(service);
        if (f.of[SEA_FIGURE_CONNECTIONS] == connections && f.of[SEA_FIGURE_LEASED_BLOCKS] == 0 &&
            f.of[SEA_FIGURE_IMPORTED_BLOCKS] == 0 && f.of[SEA_FIGURE_INCOMING_CALLS] == 0 &&
            f.of[SEA_FIGURE_BLOCKS] == 0 && f.of[SEA_FIGURE_BYTES] == 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}
