/* SPDX-License-Identifier: MIT */
/*
 * nng: request and reply, and push and pull, over ipc://. Payloads are written into its messages, which it sends
 * without a copy of its own; a reply is written into the request's message. In the spinning mode the program receives
 * with NNG_FLAG_NONBLOCK; the library's own threads sleep nevertheless, and share our CPU.
 */
#include "peer.h"
#include "work.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <unistd.h>

static int on_error(int error) {
    fprintf(stderr, "bench: nng: %s\n", nng_strerror(error));
    return -EIO;
}

/* Consumes the message; its body must have that size. */
static int send_one(struct cell *cell, nng_socket socket, nng_msg *msg, size_t size) {
    cell_write(cell, nng_msg_body(msg), size);
    int error = nng_sendmsg(socket, msg, 0);
    return error ? on_error(error) : 0;
}

static int receive_one(struct cell *cell, nng_socket socket, size_t size, nng_msg **ret_msg) {
    nng_msg *msg;
    int error, flags = cell->mode == WORK_SPIN ? NNG_FLAG_NONBLOCK : 0;
    while ((error = nng_recvmsg(socket, &msg, flags)) != 0)
        if (error != NNG_EAGAIN)
            return on_error(error);
    if (nng_msg_len(msg) != size) {
        nng_msg_free(msg);
        return -EBADMSG;
    }
    cell_read(cell, nng_msg_body(msg), size);
    *ret_msg = msg;
    return 0;
}

static int reply(struct cell *cell, nng_socket socket, nng_msg *request) {
    int error = nng_msg_realloc(request, cell->reply);
    return error ? on_error(error) : send_one(cell, socket, request, cell->reply);
}

static int serve(struct cell *cell) {
    char url[PEER_URL_MAX];
    nng_socket socket;
    nng_msg *msg;
    int r, error = cell->kind == WORK_ONEWAY ? nng_pull0_open(&socket) : nng_rep0_open(&socket);
    if (!error)
        error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 0);
    if (!error)
        error = nng_listen(socket, peer_url(cell, url), NULL, 0);
    if (error)
        return on_error(error);
    cell_ready(cell);
    while ((r = receive_one(cell, socket, cell->size, &msg)) == 0) {
        if (cell->kind == WORK_ONEWAY) {
            nng_msg_free(msg);
            cell_arrived(cell);
        } else if ((r = reply(cell, socket, msg)) < 0) {
            break;
        }
    }
    return r;
}

static int one_lap(struct cell *cell, nng_socket socket) {
    nng_msg *msg;
    int error = nng_msg_alloc(&msg, cell->size);
    if (error)
        return on_error(error);
    int r = send_one(cell, socket, msg, cell->size);
    if (r == 0 && cell->kind != WORK_ONEWAY && (r = receive_one(cell, socket, cell->reply, &msg)) == 0)
        nng_msg_free(msg);
    return r;
}

static int measure(struct cell *cell) {
    char url[PEER_URL_MAX];
    nng_socket socket;
    int r = 0, error = cell->kind == WORK_ONEWAY ? nng_push0_open(&socket) : nng_req0_open(&socket);
    if (!error)
        error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 0);
    if (!error)
        error = nng_dial(socket, peer_url(cell, url), NULL, 0);
    if (error)
        return on_error(error);
    while (r == 0 && cell_next(cell))
        r = one_lap(cell, socket);
    if (r == 0 && cell->kind == WORK_IDLE)
        pause();
    return r;
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "nng",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .prepare = peer_keep_memory,
                                           .serve = serve,
                                           .measure = measure};
    return work_main(argc, argv, &adapter, 1);
}
