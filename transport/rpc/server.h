/* SPDX-License-Identifier: MIT */
/* Between the server and the loops that drive it. */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include "rpc/conn.h"
#include <sealane/server.h>

/* As sea_server_new(), driven by `poller`, which it takes (NULL: by a set of its own). */
int server_new(sea_server **ret_server, sea_ctx *ctx, const char *address, const sea_options *options,
               struct poller *poller);

#endif
