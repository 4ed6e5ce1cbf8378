/* SPDX-License-Identifier: MIT */
/*
 * A real Sealane server on a thread of its own, for tests that are its clients, honest or hostile.
 *
 * It serves a few methods, records the end of every connection, and keeps messages on demand. The test's thread may
 * call all functions while the server runs. A connection whose client demanded the service by name (service_name)
 * counts as honest: its end is counted, not listed.
 */
#ifndef TESTS_SUPPORT_SERVICE_H
#define TESTS_SUPPORT_SERVICE_H

#include <sealane/sealane.h>
#include <stdbool.h>

#include "support/figures.h"

enum service_method {
    SERVICE_ECHO = 1,      /* answers with the block that came as the payload */
    SERVICE_KEEP = 2,      /* keeps calls and one-way messages unanswered until service_drop() */
    SERVICE_SINK = 3,      /* one-way: the message is released at once */
    SERVICE_SUBSCRIBE = 4, /* from now on this connection gets every published payload as a one-way ITEM */
    SERVICE_PUBLISH = 5,   /* one-way: the payload is forwarded to all subscribers */
    SERVICE_ITEM = 6,      /* to subscribers */
    /* sleeps for SERVICE_NAP_MS in the handler, then answers: messages that come meanwhile are handled together */
    SERVICE_NAP = 8,
    /* reads the payload for SERVICE_WATCH_MS, or until it changes; answers 1 byte: whether it stayed unchanged */
    SERVICE_WATCH = 9,
    /* answers with a new sealed block of the payload's size; each byte is one more than the payload's */
    SERVICE_ANSWER = 7
};

#define SERVICE_NAP_MS 100
#define SERVICE_WATCH_MS 200

extern const char service_name[];

/* The end of one connection. */
struct ending {
    int reason;
    char text[256];
};

struct service;

/* Chooses whether services that are started from now on run on a libuv loop, or by sea_server_run(). Skips the test if
 * a build without libuv is to run a libuv loop. */
void service_use_uv(bool uses);

/* main() calls this if any test uses libuv: libuv opens a pipe for good with its first loop, which then exists
 * before the tests count. */
void service_prepare_uv(void);

/* Serves at `address`. `options` (may be NULL) are the base; the service sets methods, user, on_close and service
 * itself. The address must outlive the service. Returns NULL, and *ret_error, when the library refuses. */
struct service *service_try_start(const char *address, const sea_ctx_options *ctx_options, const sea_options *options,
                                  int *ret_error);

/* Serves as service_try_start() does, and asserts success. */
struct service *service_start(const char *address, const sea_ctx_options *ctx_options, const sea_options *options);

/* Stops and frees the service; returns the result of sea_server_run(). */
int service_stop(struct service *service);

/* Returns whether sea_server_run() ended by itself with an error; then only service_stop() is left to call. */
bool service_has_failed(struct service *service);

/* Returns the next end of a connection that the test has not asked for yet, within `ms`. Returns false if there is
 * none. */
bool service_next_ending(struct service *service, int ms, struct ending *ret_ending);

/* Returns how many honest connections have ended without order since the start. */
unsigned service_honest_failures(struct service *service);

/* Returns whether each connection that was opened, and has ended, had one on_open and one on_close. Valid while no
 * connection is open. */
bool service_events_are_single(struct service *service);

/* Makes the server release every message that SERVICE_KEEP has kept, before it handles the next message. */
void service_drop(struct service *service);

struct figures service_figures(struct service *service);

/* Waits until the server has no more than `connections` connections, and no leases, imports or calls. Returns false
 * if that takes longer than `ms`. */
bool service_settles(struct service *service, uint64_t connections, int ms);

#endif
