/* SPDX-License-Identifier: MIT */
/*
 * Servers and connections on a libuv loop. Everything of <sealane/conn.h> and <sealane/server.h> works on
 * them from the loop's thread, but for what waits. They hold the loop alive until freed, and their handles are closed
 * by the loop after that: let it run (uv_run()) before uv_loop_close(). Begin calls in on_open; sea_conn_free() may be called in on_close.
 * In callbacks of libuv itself (a timer's, a signal's) both sea_server_free() and sea_conn_free() may be called; the first in all but
 * handlers and callbacks of that server.
 * Link with `pkg-config --cflags --libs sealane libuv`.
 */
#ifndef SEALANE_UV_H
#define SEALANE_UV_H

#include <sealane/base.h>
#include <sealane/conn.h>

struct uv_loop_s; /* uv_loop_t */

SEA_BEGIN

/* As sea_server_new(), serving whenever `loop` (borrowed until freed) runs. */
SEA_API int sea_uv_server_new(sea_server **ret_server, sea_ctx *ctx, struct uv_loop_s *loop, const char *address,
                              const sea_options *options);

/*
 * As sea_connect(), but returns before the handshake: on_open follows, or on_close with the reason. In
 * between, calls return -EAGAIN. The caller owns the connection, also after on_close, and ends it with
 * sea_conn_free(). -EAGAIN: the server's backlog is full.
 */
SEA_API int sea_uv_connect(sea_conn **ret_conn, sea_ctx *ctx, struct uv_loop_s *loop, const char *address,
                           const sea_options *options);

SEA_END

#endif
