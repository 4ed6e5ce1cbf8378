/* SPDX-License-Identifier: MIT */
/*
 * A server: it accepts clients and has a poller drive their connections. This header is for the loops.
 *
 * Owns: the poller, the listener, a reference of each connection, the slots, the scratch of all its connections, and
 * the mailbox of its posts. Touches: its connections (slots, watches, `ended`), and the mailbox of each when it is run
 * by another thread than before. Threads: the one that runs it, which is the thread of all its connections; any thread
 * may call sea_server_stop() and sea_server_post().
 */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include "rpc/conn.h"
#include <sealane/server.h>

/* As sea_server_new(), driven by `poller`, which it takes (NULL: by a set of its own). */
int server_new(sea_server **ret_server, sea_ctx *ctx, const char *address, const sea_options *options,
               struct poller *poller);

#endif
