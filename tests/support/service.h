/* SPDX-License-Identifier: MIT */
/*
 * A real Sealane server on a thread of its own, for tests that are its clients, honest or not.
 *
 * It serves a few methods, writes down every connection's end, and keeps messages when told to. All functions
 * may be called from the test's thread while it runs. Its connections whose client demanded the service by name
 * (service_name) are taken for honest ones: their ends are counted, not listed.
 */
#ifndef TESTS_SUPPORT_SERVICE_H
#define TESTS_SUPPORT_SERVICE_H

#include <sealane/sealane.h>
#include <stdbool.h>

enum service_method {
    SERVICE_ECHO = 1,      /* answers with the payload that came, the very block */
    SERVICE_KEEP = 2,      /* keeps calls and one-way messages, without an answer, until service_drop() */
    SERVICE_SINK = 3,      /* one-way: released at once */
    SERVICE_SUBSCRIBE = 4, /* this connection gets, as one-way ITEMs, what is published from now on */
    SERVICE_PUBLISH = 5,   /* one-way: forwarded to all subscribers */
    SERVICE_ITEM = 6,      /* to subscribers */
    SERVICE_NAP = 8, /* sleeps for SERVICE_NAP_MS in the handler, then answers: what comes meanwhile is there at once */
    SERVICE_WATCH = 9, /* looks at the payload for SERVICE_WATCH_MS, or until it has changed: answers 1 byte, whether it
                          stayed the same */
    SERVICE_ANSWER = 7 /* answers with a new sealed block of as many bytes as came, each one more than it was */
};

#define SERVICE_NAP_MS 100
#define SERVICE_WATCH_MS 200

extern const char service_name[];

/* How a connection ended. */
struct ending {
    int reason;
    char text[256];
};

struct service;

/* Whether services that are started from now on run on a libuv loop; otherwise sea_server_run(). */
void service_use_uv(bool uses);

/* To be called by main() if any does: libuv opens a pipe for good with its first loop, which is then counted
 * before the tests. */
void service_prepare_uv(void);

/* Serves at `address`. `options` (may be NULL) are the base: methods, user, on_close and service are the
 * service's own. The address must outlive it. Returns NULL, and *ret_error, when the library refuses. */
struct service *service_try_start(const char *address, const sea_ctx_options *ctx_options, const sea_options *options,
                                  int *ret_error);

/* The same, asserting success. */
struct service *service_start(const char *address, const sea_ctx_options *ctx_options, const sea_options *options);

/* Stops and frees all of it; returns what sea_server_run() returned. */
int service_stop(struct service *service);

/* sea_server_run() returned of itself, with an error; then everything but service_stop() has been done already. */
bool service_has_failed(struct service *service);

/* The next end of a connection that nobody has asked for yet, within `ms`. False: none. */
bool service_next_ending(struct service *service, int ms, struct ending *ret_ending);

/* Ends, since the start, of honest connections, that were not orderly. */
unsigned service_honest_failures(struct service *service);

/* Each connection that was opened, and is not there any more, had one on_open and one on_close; while none is there. */
bool service_events_are_single(struct service *service);

/* The server releases all that SERVICE_KEEP has kept; before the next message is handled. */
void service_drop(struct service *service);

sea_figures service_figures(struct service *service);

/* Waits until the server holds nothing for anybody: no connections but `connections`, no leases, imports, or
 * calls. False: it does. */
bool service_settles(struct service *service, uint64_t connections, int ms);

#endif
