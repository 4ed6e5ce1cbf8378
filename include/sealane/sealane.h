/* SPDX-License-Identifier: MIT */
/*
 * Sealane: zero-copy RPC between processes on one Linux machine.
 *
 * A payload is written once, into memory that the kernel guarantees, and read where it lies. None has a
 * name in a file system, and neither side has to trust the other.
 *
 *     sea_ctx_new(&ctx, NULL);
 *     sea_connect(&conn, ctx, "imaging", NULL);
 *     sea_block_new(&in, conn, size);                   a writable loan, its class chosen by size
 *     fill(sea_block_data(in), size);                   written where it will be read
 *     sea_call(conn, IMAGING_DECODE, in, 500, &out);    takes `in`; at most 500 ms
 *     show(sea_msg_data(out), sea_msg_size(out));       read where it was written
 *     sea_msg_release(out);                             the lease goes back
 *
 * Glossary
 *     block        one payload's memory. Its class says how it travels: inline, pooled or sealed.
 *     inline       the bytes are copied through the connection; the receiver owns a private copy.
 *     sealed       a memfd of its own, frozen by the kernel; only its descriptor travels.
 *     pooled       a recycled piece of an arena: a larger memfd that only its maker can write and only
 *                  one peer can read. Read in place, and the cheapest way for all but small payloads;
 *                  but not stable: the sender could still change it. sea_msg_is_stable() tells. A side that
 *                  accepts SEA_STABLE_ONLY gets a private copy instead.
 *     outbox       the memfd of a connection that one side writes: its frames, its releases,
 *                  its sleep flag. While both sides are busy nothing else crosses.
 *     doorbell     the datagram that wakes a side which sleeps.
 *     handle       the 64-bit name {arena, index, generation} under which a block is known to a peer.
 *     pool         the memory of pooled blocks of one lifetime. rotate: begin a new generation, so that the old one
 *                  can drain and go back to the kernel.
 *     lease        one peer's hold on one block. It ends by release, or by that peer's death.
 *     release      giving a lease back. reclaim: the owner gets the block back.
 *     message      what arrives: a call, a one-way message, or the reply to a call of ours.
 *     connection   two processes, one socket. Symmetric: both sides may call.
 *     refusal      an allocation or a peer's wish that a limit forbade, kept with its explanation.
 *
 * Options
 *   The structs sea_ctx_options, sea_options, sea_pool_options and sea_method may grow at their ends. The first three
 *   begin with their size, and method_size in sea_options is the size of a sea_method. A size of 0 stands for the first
 *   version of the struct: later fields of the program's struct are not read. A program that sets later fields writes
 *   `.size = sizeof(sea_options)`. SEA_METHODS() sets the size of a sea_method, which several methods need. A library
 *   that is newer than the program takes defaults for the fields that the program does not have. A library that is
 *   older accepts a longer struct if the fields that it does not know are zero; otherwise it refuses with -E2BIG.
 *   Structs that the library fills (sea_refusal, sea_shared) come with their size: the library writes no more, and
 *   zeroes the fields that it does not know. Structs that the library hands out (sea_peer, sea_close_event, sea_figure,
 *   the sea_refusal of on_low_water) may be longer than the program's headers say: programs do not copy them.
 *
 * Rules that hold for every function
 *   - It returns 0, a count, or a negative errno value; errno itself means nothing. Fixed meanings:
 *     -EAGAIN no room now · -EPIPE peer gone · -EPROTO peer broke the protocol · -EDQUOT a quota or the
 *     budget · -ENOMEM the machine · -EMSGSIZE over a negotiated limit · -EACCES credentials ·
 *     -ETIMEDOUT deadline · -ECANCELED cancelled · -EINVAL an argument of yours.
 *   - Outputs are named ret_.... An object that a function makes is its first parameter; every other output is among
 *     the last parameters, an array or a struct that may grow together with its size (tools/check-outputs). Functions
 *     write outputs only on success.
 *   - "takes" means that the argument is consumed, also on failure. "borrows" means that it is not.
 *   - Destructors accept NULL and return NULL.
 *   - Options are zero-initialised: zero is the default.
 *   - A context may be used by any thread. A connection belongs to one thread at a time. Any thread may read and
 *     release its messages and their blocks, answer its calls, and post functions to it.
 *   - A C++ exception may leave a handler, on_open, on_close, on_room and sea_done. It comes out of what drives the
 *     connection (sea_server_run(), a dispatch function, sea_call(), sea_conn_wait(), ...), which can be called again:
 *     server and connections go on. A message that the handler got stays the application's. sea_connect() leaves
 *     no connection then. No exception may leave an `allow` or on_low_water callback, a posted function that gets an
 *     error, or any callback on a libuv loop.
 *   - longjmp() out of any callback is forbidden: the server, or the connection, takes itself for being inside it for
 *     ever (-EDEADLK). It can only be freed then, by the same thread, which gives not all memory back.
 *   - A program may dlclose() the shared library: it stays mapped. A plug-in that links the static one is linked with
 *     -Wl,-z,nodelete (pkg-config --static says so): threads of the library may outlast the last context, while the
 *     kernel closes descriptors that a peer chose.
 *   - Misuse that the library finds is refused: a message that is released or answered twice, a pooled block that is
 *     used after its last reference and before its memory is, a batch that ends without a begin, sea_conn_free() of a
 *     server's connection, or from inside sea_conn_free(), and a connection, its pools or its server that one thread
 *     uses while another drives it (-EDEADLK). With SEALANE_CHECK=1 in the environment the program ends there, with a
 *     text on standard error and abort(). Each connection then keeps its last 200 released messages, to find misuse.
 *   - Otherwise the library never prints, exits, or installs a signal handler. No descriptor of its survives exec.
 */
#ifndef SEALANE_SEALANE_H
#define SEALANE_SEALANE_H

#include <sealane/block.h>
#include <sealane/conn.h>
#include <sealane/ctx.h>
#include <sealane/figures.h>
#include <sealane/msg.h>
#include <sealane/pool.h>
#include <sealane/server.h>

#endif
