/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ: request and reply, and push and pull, over ipc://. Payloads are written into messages that ZeroMQ allocates
 * (zmq_msg_init_size), which it sends without a copy of its own. In the spinning mode the program receives with
 * ZMQ_DONTWAIT; the library's I/O thread sleeps nevertheless, and shares our CPU.
 */
#include "peer.h"
#include "work.h"

#include <errno.h>
#include <unistd.h>
#include <zmq.h>

enum { WAITING_MESSAGES = 1000 /* ZeroMQ's default */, WAITING_BYTES = 64 << 20 };

static int on_error(void) {
    return -zmq_errno();
}

static int send_one(struct cell *cell, void *socket, size_t size) {
    zmq_msg_t msg;
    if (zmq_msg_init_size(&msg, size) < 0)
        return on_error();
    cell_write(cell, zmq_msg_data(&msg), size);
    return zmq_msg_send(&msg, socket, 0) < 0 ? on_error() : 0;
}

static int receive_one(struct cell *cell, void *socket, size_t size) {
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    while (zmq_msg_recv(&msg, socket, cell->mode == WORK_SPIN ? ZMQ_DONTWAIT : 0) < 0)
        if (zmq_errno() != EAGAIN)
            return on_error();
    int r = zmq_msg_size(&msg) == size ? 0 : -EBADMSG;
    if (r == 0)
        cell_read(cell, zmq_msg_data(&msg), size);
    zmq_msg_close(&msg);
    return r;
}

/* Limits the number of waiting messages: the default number, but no gigabytes. */
static int high_water(const struct cell *cell) {
    size_t messages = WAITING_BYTES / cell->size;
    return messages < 2 ? 2 : messages > WAITING_MESSAGES ? WAITING_MESSAGES : (int) messages;
}

static void *new_socket(const struct cell *cell, int type) {
    void *context = zmq_ctx_new(), *socket = context ? zmq_socket(context, type) : NULL;
    const int messages = high_water(cell);
    if (socket) {
        zmq_setsockopt(socket, ZMQ_SNDHWM, &messages, sizeof(messages));
        zmq_setsockopt(socket, ZMQ_RCVHWM, &messages, sizeof(messages));
    }
    return socket;
}

static int serve(struct cell *cell) {
    char url[PEER_URL_MAX];
    void *socket = new_socket(cell, cell->kind == WORK_ONEWAY ? ZMQ_PULL : ZMQ_REP);
    if (!socket || zmq_bind(socket, peer_url(cell, url)) < 0)
        return on_error();
    cell_ready(cell);
    int r;
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
    int r = 0;
    void *socket = new_socket(cell, cell->kind == WORK_ONEWAY ? ZMQ_PUSH : ZMQ_REQ);
    if (!socket || zmq_connect(socket, peer_url(cell, url)) < 0)
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
    static const struct adapter adapter = {.system = "zeromq",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .prepare = peer_keep_memory,
                                           .serve = serve,
                                           .measure = measure};
    return work_main(argc, argv, &adapter, 1);
}
