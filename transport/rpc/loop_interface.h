/* SPDX-License-Identifier: MIT */
/*
 * What libsealane-uv uses of libsealane beside the public interface.
 *
 * libsealane-uv drives servers and connections through the library's own pollers (rpc/poller.h): the public functions
 * for other loops would put a second epoll set between libuv and the sockets, and sea_uv_connect() begins before the
 * handshake. So the two libraries share structures. One function, in the symbol node SEALANE_PRIVATE, hands out a table
 * of functions: the shared library exports no further internal name, which a program could define too. The table,
 * struct poller and struct watch may change with each version; a libsealane-uv of another version gets no table, and
 * its functions return -ELIBBAD.
 *
 * Owns: the table, which is constant. Touches: conn_drive() gives a connection its poller; all else is what the modules
 * of the functions touch. Threads: any for the table; of each function those that its own module allows.
 */
#ifndef RPC_LOOP_INTERFACE_H
#define RPC_LOOP_INTERFACE_H

#include "rpc/poller.h"
#include <sealane/base.h>
#include <sealane/conn.h>
#include <stddef.h>

struct loop_interface {
    size_t size, poller_size,
        watch_size; /* of this struct, struct poller and struct watch: both libraries must agree */

    /* sea_server_new(), driven by `poller`, which the function takes. */
    int (*server_new)(sea_server **ret_server, sea_ctx *ctx, const char *address, const sea_options *options,
                      struct poller *poller);
    /* sea_connect(), up to the handshake; conn_drive() comes next. */
    int (*conn_connect)(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *options);
    /* Lets `poller`, which the connection takes, drive it. After an error the caller frees the connection. */
    int (*conn_drive)(sea_conn *conn, struct poller *poller);

    /* Of rpc/poller.h, for the poller of a loop. */
    void (*poller_enter)(struct poller *poller);
    void (*poller_call_woken)(struct poller *poller);
    enum watch_state (*poller_check_hot)(struct poller *poller, bool is_patient);
    void (*watch_call)(struct watch *watch, short revents);

    /* The text that sea_explain() has for an error on the calling thread; false: none. And a text for an error that the
     * calling thread is about to return; returns the error. */
    bool (*explanation_find)(sea_ctx *ctx, int error, sea_refusal *ret_why);
    int (*explanation_keep)(sea_ctx *ctx, const sea_refusal *why);

    /* Of sys/wait.h and sys/heap.h. */
    int (*wait_left_ms)(uint64_t deadline);
    void *(*heap_new)(size_t count, size_t size);
    void *(*heap_free)(void *p);
};

/* The table (static) of this library, or NULL if its SEA_VERSION_NUMBER is not `version`. Any thread. */
SEA_API const struct loop_interface *sea_private_loop_interface(unsigned version);

#endif
