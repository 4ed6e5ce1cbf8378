/* SPDX-License-Identifier: MIT */
/*
 * A server: a listening socket and its connections, with one set of options. It is driven by
 * sea_server_run(), by libuv (sea_uv_server_new()), or by another loop through sea_server_fd() and its neighbours.
 *
 * The socket file of a server that was killed is taken over; the file of a live server gives -EADDRINUSE. A lock
 * file beside it ("<path>.lock", held with flock) tells which it is. Where a cleaner has removed that file, or a child
 * that a killed server had forked holds it, the socket is asked: if the process that listened there has ended, and
 * no server answers within half a second, the path is taken over. Both files have the sticky bit, which asks cleaners
 * of runtime directories to leave them alone. A server removes only files that are still its own.
 *
 * A process may bind first and become a daemon then, as long as no connection is open: the child serves.
 */
#ifndef SEALANE_SERVER_H
#define SEALANE_SERVER_H

#include <sealane/base.h>
#include <sealane/conn.h>

SEA_BEGIN

/*
 * Listens at `address`. `options` may be NULL but then nothing is served. The caller owns the server.
 * Errors: -EADDRINUSE (a live server has it), -EACCES, -ENOENT and -ENOTDIR (there is no directory; the runtime
 * directory is made), -ENAMETOOLONG (a socket path holds 107 bytes), -EINVAL (address, options,
 * method numbers given twice or reserved; an inherited socket that does not listen), -EBADF, -ENOTSOCK and
 * -EPROTOTYPE (an inherited descriptor of another kind, or none), -EMFILE, -ENOMEM, -EPERM and -ENOSYS (a call
 * that a server needs is forbidden: doc/sandbox.md). -E2BIG (options that this library does not know). sea_explain()
 * says more.
 */
SEA_API int sea_server_new(sea_server **ret_server, sea_ctx *ctx, const char *address, const sea_options *options);

/* Closes every connection (on_close is called for each), removes the socket file, frees. Not from inside a handler, a
 * callback or a posted function of this server: these call sea_server_stop(), and the program frees the server when
 * sea_server_run() has returned. While another thread runs the server, it does nothing. Returns NULL. */
SEA_API sea_server *sea_server_free(sea_server *server);

/* Serves until sea_server_stop(). Returns 0 then, or a negative errno value when polling failed; -EDEADLK: inside a
 * handler, on libuv, or while another thread runs it. */
SEA_API int sea_server_run(sea_server *server);

/* A function that runs on the thread of a server. `status`: 0; -ECANCELED: sea_server_free() was called first, which
 * calls it. */
typedef void sea_server_posted(sea_server *server, int status, void *user);

/*
 * Has `function` called on the thread that drives the server, in its next turn, and wakes that thread. From any thread,
 * but not from signal handlers, until sea_server_free() is called. Each post for which this returns 0 is run exactly
 * once. Posts of one thread run in their order. Never waits. Errors, after which `function` is not called: -ENOMEM,
 * -EINVAL (no function).
 */
SEA_API int sea_server_post(sea_server *server, sea_server_posted *function, void *user);

/* Makes sea_server_run() return. From any thread, and from signal handlers. */
SEA_API void sea_server_stop(sea_server *server);

/*
 * Another loop drives a server by three steps, in this order: prepare, poll, dispatch.
 *
 *     for (int r = 0; r >= 0;) {
 *         int timeout_ms = sea_server_prepare(server);
 *         struct pollfd item = {.fd = sea_server_fd(server), .events = POLLIN};
 *         poll(&item, 1, timeout_ms);
 *         r = sea_server_dispatch(server);
 *     }
 *
 * sea_server_prepare() acts: it tells the peers that this side is about to sleep, and first serves the messages that
 * came meanwhile, so that handlers may run inside it. A loop that polls without it is not woken for messages. It
 * returns how many milliseconds poll() may wait: -1 without end, 0 inside a handler.
 * sea_server_fd() returns the descriptor to poll (borrowed). sea_server_dispatch() serves and never blocks (-EDEADLK:
 * inside a handler).
 */
SEA_API int sea_server_prepare(sea_server *server);
SEA_API int sea_server_fd(sea_server *server);
SEA_API int sea_server_dispatch(sea_server *server);

/* Calls `each` for every open connection. `each` may close the one it is given. */
SEA_API void sea_server_each(sea_server *server, void (*each)(sea_conn *conn, void *user), void *user);

SEA_API size_t sea_server_connections(const sea_server *server); /* open ones */

/*
 * Is the server's socket file still there and its own, and the lock file beside it? 0 (also of a server that has no
 * files); or -ESTALE: one of them was removed, or another file has its name. sea_explain() says which. Without
 * its socket file no new client comes to this server; those that are connected are served on. Where only
 * the lock file is gone the server keeps its path as long as it lives. Never blocks; costs two system calls: for a look
 * now and then. From the thread that drives the server.
 */
SEA_API int sea_server_check(sea_server *server);

/* Where it listens, in a form that sea_connect() takes; of an inherited socket "fd:N". Borrowed. */
SEA_API const char *sea_server_address(const sea_server *server);

SEA_END

#endif
