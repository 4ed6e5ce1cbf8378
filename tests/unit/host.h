/* SPDX-License-Identifier: MIT */
/*
 * A server with the test's own methods, on a thread of its own (support/service.h has fixed methods). Handlers and
 * callbacks run on that thread; the fields that the test reads meanwhile are atomic.
 *
 * Fill in `ctx_options` and `options`, then call host_start(). host_stop() expects that everything was given back.
 */
#ifndef TESTS_UNIT_HOST_H
#define TESTS_UNIT_HOST_H

#include <pthread.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <time.h>

#include "support/figures.h"
#include "support/raw.h"
#include "support/suite.h"
#include "sys/inject.h"

/* A failure for the calling thread alone, unlike the failures of unit/fail.h: the next call of that kind fails. */
static _Thread_local enum inject_kind fail_here_kind = INJECT_KINDS;
static _Thread_local int fail_here_error;

static inline int fail_here_hook(enum inject_kind kind) {
    if (kind != fail_here_kind)
        return 0;
    fail_here_kind = INJECT_KINDS;
    return fail_here_error;
}

static inline void fail_here(enum inject_kind kind, int error) {
    fail_here_kind = kind;
    fail_here_error = error;
    inject_set_hook(fail_here_hook);
}

struct host {
    sea_ctx_options ctx_options;
    sea_options options;
    char address[160]; /* "": an address that no other server uses */

    sea_ctx *ctx;
    sea_server *server;
    pthread_t thread;
    int result;                 /* result of sea_server_run() */
    void (*at_end)(void *user); /* runs on the server's thread when the server has stopped; NULL: nothing runs */
};

static inline void *host_run(void *arg) {
    struct host *host = arg;
    host->result = sea_server_run(host->server);
    if (host->at_end)
        host->at_end(host->options.user);
    return NULL;
}

/* Makes the server without a thread; the test drives it. */
static inline void host_open(struct host *host) {
    if (!host->address[0])
        snprintf(host->address, sizeof host->address, "unix:%s", raw_name());
    if (!host->options.handshake_ms)
        host->options.handshake_ms = 60000; /* a busy machine must not end a handshake */
    ck_assert_int_eq(sea_ctx_new(&host->ctx, &host->ctx_options), 0);
    int r = sea_server_new(&host->server, host->ctx, host->address, &host->options);
    sea_refusal refusal;
    sea_ctx_refusal(host->ctx, &refusal, sizeof(refusal));
    ck_assert_msg(r == 0, "the server did not start (%d): %s", r, refusal.advice);
}

static inline void host_start(struct host *host) {
    host_open(host);
    ck_assert_int_eq(pthread_create(&host->thread, NULL, host_run, host), 0);
}

static inline struct figures host_figures(const struct host *host) {
    struct figures figures;
    sea_ctx_figures(host->ctx, figures.of, SEA_FIGURES);
    /* cppcheck-suppress uninitvar ; sea_ctx_figures() has written each figure */
    return figures;
}

static inline void host_close(struct host *host) {
    sea_server_free(host->server);
    struct figures f = host_figures(host);
    ck_assert_uint_eq(f.of[SEA_FIGURE_CONNECTIONS], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_OUTGOING_CALLS] + f.of[SEA_FIGURE_INCOMING_CALLS], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_LEASED_BLOCKS] + f.of[SEA_FIGURE_LEASED_BYTES], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_IMPORTED_BLOCKS] + f.of[SEA_FIGURE_IMPORTED_BYTES], 0);
    ck_assert_uint_eq(f.of[SEA_FIGURE_BLOCKS] + f.of[SEA_FIGURE_BYTES], 0);
    sea_ctx_unref(host->ctx);
}

static inline void host_stop(struct host *host) {
    sea_server_stop(host->server);
    ck_assert_int_eq(pthread_join(host->thread, NULL), 0);
    ck_assert_int_eq(host->result, 0);
    host_close(host);
}

static inline void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Waits until `condition` holds, for events that another thread or the kernel produces in its own time. */
#define wait_until(condition)                                                               \
    do {                                                                                    \
        for (int waited_ = 0; !(condition); waited_++) {                                    \
            ck_assert_msg(waited_ < test_timeout_ms(10000), "not in time: %s", #condition); \
            nap();                                                                          \
        }                                                                                   \
    } while (0)

#endif
