/* SPDX-License-Identifier: MIT */
/*
 * nanomsg: request and reply, and push and pull, over ipc://. Payloads are written into memory of nn_allocmsg(), which
 * the library sends and receives without a copy (NN_MSG). In the spinning mode the program receives with NN_DONTWAIT;
 * the library's own thread sleeps nevertheless, and shares our CPU.
 */
#include "peer.h"
#include "work.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <unistd.h>

static int on_error(void) {
    return -nn_errno();
}

static int send_one(struct cell *cell, int socket, size_t size) {
    void *msg = nn_allocmsg(size, 0);
    if (!msg)
        return -ENOMEM;
    cell_write(cell, msg, size);
    return nn_send(socket, &msg, NN_MSG, 0) < 0 ? on_error() : 0;
}

static int receive_one(struct cell *cell, int socket, size_t size) {
    void *msg;
    int n;
    while ((n = nn_recv(socket, &msg, NN_MSG, cell->mode == WORK_SPIN ? NN_DONTWAIT : 0)) < 0)
        if (nn_errno() != EAGAIN)
            return on_error();
    if ((size_t) n == size)
        cell_read(cell, msg, size);
    nn_freemsg(msg);
    return (size_t) n == size ? 0 : -EBADMSG;
}

static int new_socket(int protocol) {
    int unlimited = -1, socket = nn_socket(AF_SP, protocol);
    if (socket >= 0)
        nn_setsockopt(socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, &unlimited, sizeof(unlimited));
    return socket;
}

static int serve(struct cell *cell) {
    char url[PEER_URL_MAX];
    int r, socket = new_socket(cell->kind == WORK_ONEWAY ? NN_PULL : NN_REP);
    if (socket < 0 || nn_bind(socket, peer_url(cell, url)) < 0)
        return on_error();
    cell_ready(cell);
    while ((r = receive_one(cell, socket, cell->size)) == 0) {
        if (cell->kind == WORK_ONEWAY)
            cell_arrived(cell);
        else if ((r = send_one(cell, socket, cell->reply)) < 0)
            break;
    }
    return r;
}

static int measure(struct cell *cell) {
    char url[PEER_URL_MAX];
    int r = 0, socket = new_socket(cell->kind == WORK_ONEWAY ? NN_PUSH : NN_REQ);
    if (socket < 0 || nn_connect(socket, peer_url(cell, url)) < 0)
        return on_error();
    while (r == 0 && cell_next(cell)) {
        r = send_one(cell, socket, cell->size);
        if (r == 0 && cell->kind != WORK_ONEWAY)
            r = receive_one(cell, socket, cell->reply);
    }
    if (r == 0 && cell->kind == WORK_IDLE)
        pause();
    return r;
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "nanomsg",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .prepare = peer_keep_memory,
                                           .serve = serve,
                                           .measure = measure};
    return work_main(argc, argv, &adapter, 1);
}
