/* SPDX-License-Identifier: MIT */
/*
 * libqb: its shared-memory rings, a server on its main loop, and a client that calls and waits. The library copies
 * payloads into and out of the rings. Its main loop notifies the server of messages, so it has no spinning mode. Its
 * files in /dev/shm go only when the server destroys its service: therefore the server handles SIGTERM.
 */
#include "peer.h"
#include "work.h"

#include <errno.h>
#include <qb/qbipcc.h>
#include <qb/qbipcs.h>
#include <qb/qbloop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEADERS = 4096 /* more than any header, in whole pages */, RING_MESSAGES = 4, NAME_ROOM = 64 };

static qb_loop_t *loop;
static char *reply_payload;

/* The name is unique, because it has the number of the parent of all processes of the cell. */
static const char *service_name(char name[static NAME_ROOM]) {
    snprintf(name, NAME_ROOM, "sealane-bench-%d", (int) getppid());
    return name;
}

static size_t ring_size(const struct cell *cell) {
    return (cell->kind == WORK_ONEWAY ? RING_MESSAGES : 1) * (cell->size + HEADERS);
}

/* --- the server --- */

static int32_t on_message(qb_ipcs_connection_t *client, void *data, size_t size) {
    struct cell *cell = qb_ipcs_connection_service_context_get(client);
    struct qb_ipc_response_header header = {.size = (int32_t) (sizeof(header) + cell->reply)};
    struct iovec parts[] = {{&header, sizeof(header)}, {reply_payload, cell->reply}};
    if (size < sizeof(struct qb_ipc_request_header) + cell->size)
        return -EBADMSG;
    cell_read(cell, (char *) data + sizeof(struct qb_ipc_request_header), cell->size);
    if (cell->kind == WORK_ONEWAY) {
        cell_arrived(cell);
        return 0;
    }
    cell_write(cell, reply_payload, cell->reply);
    ssize_t n = qb_ipcs_response_sendv(client, parts, 2);
    return n < 0 ? (int32_t) n : 0;
}

static int32_t accept_all(qb_ipcs_connection_t *client, uid_t uid, gid_t gid) {
    (void) client, (void) uid, (void) gid;
    return 0;
}

static int32_t stop(int32_t signal, void *user) {
    (void) signal, (void) user;
    qb_loop_stop(loop);
    return 0;
}

static int32_t add_fd(enum qb_loop_priority p, int32_t fd, int32_t events, void *data, qb_ipcs_dispatch_fn_t fn) {
    return qb_loop_poll_add(loop, p, fd, events, data, fn);
}

static int32_t change_fd(enum qb_loop_priority p, int32_t fd, int32_t events, void *data, qb_ipcs_dispatch_fn_t fn) {
    return qb_loop_poll_mod(loop, p, fd, events, data, fn);
}

static int32_t remove_fd(int32_t fd) {
    return qb_loop_poll_del(loop, fd);
}

static int32_t add_job(enum qb_loop_priority p, void *data, qb_loop_job_dispatch_fn fn) {
    return qb_loop_job_add(loop, p, data, fn);
}

static int serve(struct cell *cell) {
    struct qb_ipcs_service_handlers handlers = {.connection_accept = accept_all, .msg_process = on_message};
    struct qb_ipcs_poll_handlers poll_handlers = {add_job, add_fd, change_fd, remove_fd};
    char name[NAME_ROOM];
    loop = qb_loop_create();
    reply_payload = malloc(cell->reply);
    qb_ipcs_service_t *service = qb_ipcs_create(service_name(name), 0, QB_IPC_SHM, &handlers);
    if (!loop || !reply_payload || !service)
        return -ENOMEM;
    qb_loop_signal_add(loop, QB_LOOP_HIGH, SIGTERM, NULL, stop, NULL);
    qb_ipcs_service_context_set(service, cell);
    qb_ipcs_poll_handlers_set(service, &poll_handlers);
    qb_ipcs_request_rate_limit(service, QB_IPCS_RATE_FAST);
    int r = qb_ipcs_run(service);
    if (r < 0)
        return r;
    cell_ready(cell);
    qb_loop_run(loop);
    qb_ipcs_destroy(service);
    exit(0);
}

/* --- the client --- */

static int send_one(qb_ipcc_connection_t *server, const struct iovec parts[2]) {
    ssize_t n;
    while ((n = qb_ipcc_sendv(server, parts, 2)) == -EAGAIN)
        usleep(1);
    return n < 0 ? (int) n : 0;
}

static int receive_one(qb_ipcc_connection_t *server, char *answer, size_t size) {
    ssize_t n;
    while ((n = qb_ipcc_recv(server, answer, size, -1)) == -EAGAIN)
        ;
    return n < 0 ? (int) n : n == (ssize_t) size ? 0 : -EBADMSG;
}

static int one_lap(struct cell *cell, qb_ipcc_connection_t *server, char *payload, char *answer) {
    struct qb_ipc_request_header header = {.size = (int32_t) (sizeof(header) + cell->size)};
    struct iovec parts[] = {{&header, sizeof(header)}, {payload, cell->size}};
    cell_write(cell, payload, cell->size);
    int r = send_one(server, parts);
    if (r < 0 || cell->kind == WORK_ONEWAY)
        return r;
    r = receive_one(server, answer, sizeof(struct qb_ipc_response_header) + cell->reply);
    if (r == 0)
        cell_read(cell, answer + sizeof(struct qb_ipc_response_header), cell->reply);
    return r;
}

/* Messages that wait in the ring when the client disconnects would be lost. */
static void await_arrivals(const struct cell *cell) {
    while (!cell_all_arrived(cell))
        usleep(10);
}

static int measure(struct cell *cell) {
    char name[NAME_ROOM];
    int r = 0;
    if (ring_size(cell) > INT32_MAX)
        return -EMSGSIZE;
    qb_ipcc_connection_t *server = qb_ipcc_connect(service_name(name), ring_size(cell));
    char *payload = malloc(cell->size), *answer = malloc(sizeof(struct qb_ipc_response_header) + cell->reply);
    if (!server)
        r = -errno;
    while (r == 0 && cell_next(cell))
        r = one_lap(cell, server, payload, answer);
    if (r == 0 && cell->kind == WORK_ONEWAY)
        await_arrivals(cell);
    if (r == 0 && cell->kind == WORK_IDLE)
        pause();
    qb_ipcc_disconnect(server);
    free(payload);
    free(answer);
    return r;
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "libqb",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                           .modes = WORK_SLEEP,
                                           .prepare = peer_keep_memory,
                                           .serve = serve,
                                           .measure = measure};
    return work_main(argc, argv, &adapter, 1);
}
