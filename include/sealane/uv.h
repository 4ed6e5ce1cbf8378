/* SPDX-License-Identifier: MIT */
/*
 * Servers and connections on a libuv loop. Everything of <sealane/conn.h> and <sealane/server.h> works on
 * them from the loop's thread, but for what waits. They hold the loop alive until freed, and their handles are closed
 * by the loop after that: let it run (uv_run()) before uv_loop_close(). Begin calls in on_open; sea_conn_free() may be
 * called in on_close.
 * In callbacks of libuv itself (a timer's, a signal's) both sea_server_free() and sea_conn_free() may be called; the
 * first in all but handlers and callbacks of that server.
 *
 * These functions are in a library of their own, libsealane-uv: link with `pkg-config --cflags --libs sealane-uv`,
 * which names libsealane and libuv too. <sealane/sealane.h> does not include this header. libsealane-uv uses internals
 * of libsealane and works with a libsealane of exactly its own version: otherwise each function returns -ELIBBAD.
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
 * sea_conn_free(). -EAGAIN: the server's backlog is full, or the kernel is short of what a greeting needs
 * (sea_ctx_refusal()): try again.
 */
SEA_API int sea_uv_connect(sea_conn **ret_conn, sea_ctx *ctx, struct uv_loop_s *loop, const char *address,
                           const sea_options *options);

/*
 * What became of memory that was asked for. `status`: 0 or a negative errno value, of which sea_explain() has the text
 * here. `block`: taken by the
 * callee; NULL on failure. Called exactly once for each request that returned 0, on the loop's thread, from the loop,
 * never from inside the request.
 */
typedef void sea_uv_made(int status, sea_block *block, void *user);

/*
 * As sea_block_new_sealed() with SEA_BLOCK_PREFAULT, but returns at once: one of libuv's threads asks for admission,
 * reserves the memory and maps it (in base pages some 0.5 ms for each MiB, which the loop's thread would otherwise
 * spend), then `made` gets the block, writable. Of the budget it is charged there, not at the request.
 *
 * Lifetimes. The request holds a reference of `ctx`, and holds the loop (borrowed) alive: uv_run() does not end by
 * itself, and uv_loop_close() returns UV_EBUSY, until `made` was called. It cannot be called off: a program that no
 * longer wants the block drops it in `made`.
 * Threads: on the loop's alone. on_low_water of the context is then called on libuv's threads too.
 * Bounded by the caller: each request is some hundred bytes, and occupies one of libuv's threads (UV_THREADPOOL_SIZE)
 * when its turn comes, which look-ups of names and files wait for as well.
 * Errors (then `made` is not called): -EINVAL (no `made`), -ENOMEM. Through `made`: as sea_block_new_sealed().
 */
SEA_API int sea_uv_block_new_sealed(sea_ctx *ctx, struct uv_loop_s *loop, size_t size, unsigned flags,
                                    sea_uv_made *made, void *user);

SEA_END

#endif
