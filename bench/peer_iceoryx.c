/* SPDX-License-Identifier: MIT */
/*
 * iceoryx 2: request and response for round trips, publish and subscribe for the one-way case. Payloads are written
 * into loaned chunks and read in place. In the sleeping mode both sides wait in a wait set; in the spinning mode they
 * take without waiting.
 *
 * It needs its daemon, RouDi, with suitable pools of chunks: the program starts and ends it. RouDi cleans up only if
 * all its users have left in order, which the library does in exit(): therefore the server handles SIGTERM.
 */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <iceoryx_binding_c/client.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/server.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/wait_set.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK_HEADERS = 256 /* more than the headers take */, ALIGNMENT = 64, QUEUE_MAX = 256, QUEUE_BYTES = 4 << 20 };

static const char SERVICE[] = "sealane", INSTANCE[] = "bench", EVENT[] = "cell";

/* --- the daemon --- */

/* Messages in flight in the one-way case. */
static uint64_t queue_length(const struct cell *cell) {
    uint64_t length = QUEUE_BYTES / cell->size;
    return length < 2 ? 2 : length > QUEUE_MAX ? QUEUE_MAX : length;
}

static int write_pools(const struct cell *cell, const char *path) {
    FILE *file = fopen(path, "we");
    if (!file)
        return -errno;
    fprintf(file, "[general]\nversion = 1\n[[segment]]\n");
    if (cell->kind == WORK_ROUNDTRIP && cell->reply < cell->size)
        fprintf(file, "[[segment.mempool]]\nsize = %zu\ncount = 16\n", cell->reply + CHUNK_HEADERS);
    fprintf(file, "[[segment.mempool]]\nsize = %zu\ncount = %llu\n", cell->size + CHUNK_HEADERS,
            (unsigned long long) (cell->kind == WORK_ONEWAY ? queue_length(cell) + 8 : 8));
    return fclose(file) == 0 ? 0 : -EIO;
}

static pid_t roudi;

/* A machine has room for one RouDi. */
static bool is_another_running(void) {
    int fd = open("/tmp/iox-unique-roudi.lock", O_RDWR | O_CLOEXEC);
    bool is_locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
    if (fd >= 0)
        close(fd);
    return is_locked;
}

static _Noreturn void become_roudi(const char *config, pid_t parent) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (null < 0 || getppid() != parent)
        _exit(1);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execlp("iox-roudi", "iox-roudi", "-c", config, "-m", "off", "-l", "off", NULL);
    _exit(1);
}

static int start_roudi(struct cell *cell) {
    char path[128];
    snprintf(path, sizeof(path), "%s/roudi.toml", cell->dir);
    int r = is_another_running() ? -EBUSY : write_pools(cell, path);
    pid_t parent = getpid();
    if (r < 0)
        return r;
    roudi = fork();
    if (roudi == 0)
        become_roudi(path, parent);
    return roudi < 0 ? -errno : 0;
}

static void end_roudi(void) {
    if (roudi > 0 && kill(roudi, SIGTERM) == 0)
        waitpid(roudi, NULL, 0);
}

enum { NAME_ROOM = 64 };

/* The name is unique, because it has the number of the parent of all processes of the cell. */
static const char *name_of(bool is_server, pid_t parent, char name[static NAME_ROOM]) {
    snprintf(name, NAME_ROOM, "sealane-bench-%s-%d", is_server ? "server" : "client", (int) parent);
    return name;
}

static void join(const struct cell *cell) {
    char name[NAME_ROOM];
    iox_set_loglevel(Iceoryx_LogLevel_Off);
    iox_runtime_init(name_of(cell->client < 0, getppid(), name));
}

/* Removes the socket and the lock that a killed process leaves. */
static void sweep(bool is_server) {
    char name[NAME_ROOM], path[NAME_ROOM + 16];
    name_of(is_server, getpid(), name);
    snprintf(path, sizeof(path), "/tmp/%s", name);
    unlink(path);
    snprintf(path, sizeof(path), "/tmp/%s.lock", name);
    unlink(path);
}

/* --- both sides --- */

static void await_event(const struct cell *cell, iox_ws_t set) {
    iox_notification_info_t info;
    uint64_t missed;
    if (cell->mode == WORK_SLEEP)
        iox_ws_wait(set, &info, 1, &missed);
}

/* --- the server --- */

static iox_ws_t server_set;
static volatile sig_atomic_t is_stopping;

/* Stops as the examples of iceoryx do. */
static void stop(int signal) {
    (void) signal;
    is_stopping = 1;
    iox_ws_mark_for_destruction(server_set);
}

static int answer(struct cell *cell, iox_server_t server, const void *request) {
    void *reply;
    cell_read(cell, request, cell->size);
    if (iox_server_loan_aligned_response(server, request, &reply, (uint32_t) cell->reply, ALIGNMENT) !=
        AllocationResult_SUCCESS)
        return -ENOBUFS;
    cell_write(cell, reply, cell->reply);
    iox_server_release_request(server, request);
    return iox_server_send(server, reply) == ServerSendResult_SUCCESS ? 0 : -EPIPE;
}

static int serve_calls(struct cell *cell) {
    iox_server_storage_t storage;
    iox_server_t server = iox_server_init(&storage, SERVICE, INSTANCE, EVENT, NULL);
    const void *request;
    int r = 0;
    iox_ws_attach_server_event(server_set, server, ServerEvent_REQUEST_RECEIVED, 0, NULL);
    cell_ready(cell);
    while (r == 0 && !is_stopping) {
        await_event(cell, server_set);
        while (r == 0 && iox_server_take_request(server, &request) == ServerRequestResult_SUCCESS)
            r = answer(cell, server, request);
    }
    return r;
}

static int serve_messages(struct cell *cell) {
    iox_sub_storage_t storage;
    iox_sub_options_t options;
    const void *payload;
    iox_sub_options_init(&options);
    options.queueCapacity = queue_length(cell);
    options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
    iox_sub_t subscriber = iox_sub_init(&storage, SERVICE, INSTANCE, EVENT, &options);
    iox_ws_attach_subscriber_event(server_set, subscriber, SubscriberEvent_DATA_RECEIVED, 0, NULL);
    cell_ready(cell);
    while (!is_stopping) {
        await_event(cell, server_set);
        while (iox_sub_take_chunk(subscriber, &payload) == ChunkReceiveResult_SUCCESS) {
            cell_read(cell, payload, cell->size);
            iox_sub_release_chunk(subscriber, payload);
            cell_arrived(cell);
        }
    }
    return 0;
}

static int serve(struct cell *cell) {
    iox_ws_storage_t storage;
    join(cell);
    server_set = iox_ws_init(&storage);
    signal(SIGTERM, stop);
    int r = cell->kind == WORK_ONEWAY ? serve_messages(cell) : serve_calls(cell);
    if (r == 0)
        exit(0);
    return r;
}

/* --- the client --- */

static int one_call(struct cell *cell, iox_client_t client, iox_ws_t set) {
    void *request;
    const void *reply;
    if (iox_client_loan_aligned_request(client, &request, (uint32_t) cell->size, ALIGNMENT) != AllocationResult_SUCCESS)
        return -ENOBUFS;
    cell_write(cell, request, cell->size);
    if (iox_client_send(client, request) != ClientSendResult_SUCCESS)
        return -EPIPE;
    do
        await_event(cell, set);
    while (iox_client_take_response(client, &reply) != ChunkReceiveResult_SUCCESS);
    cell_read(cell, reply, cell->reply);
    iox_client_release_response(client, reply);
    return 0;
}

static int measure_calls(struct cell *cell) {
    iox_client_storage_t storage;
    iox_ws_storage_t set_storage;
    iox_client_t client = iox_client_init(&storage, SERVICE, INSTANCE, EVENT, NULL);
    iox_ws_t set = iox_ws_init(&set_storage);
    int r = 0;
    iox_ws_attach_client_event(set, client, ClientEvent_RESPONSE_RECEIVED, 0, NULL);
    while (iox_client_get_connection_state(client) != ConnectionState_CONNECTED)
        usleep(1000);
    while (r == 0 && cell_next(cell))
        r = one_call(cell, client, set);
    return r;
}

static int measure_messages(struct cell *cell) {
    iox_pub_storage_t storage;
    iox_pub_options_t options;
    void *payload;
    iox_pub_options_init(&options);
    options.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
    iox_pub_t publisher = iox_pub_init(&storage, SERVICE, INSTANCE, EVENT, &options);
    while (!iox_pub_has_subscribers(publisher))
        usleep(1000);
    while (cell_next(cell)) {
        if (iox_pub_loan_aligned_chunk(publisher, &payload, (uint32_t) cell->size, ALIGNMENT) !=
            AllocationResult_SUCCESS)
            return -ENOBUFS;
        cell_write(cell, payload, cell->size);
        iox_pub_publish_chunk(publisher, payload);
    }
    return 0;
}

static int measure(struct cell *cell) {
    if (cell->size > UINT32_MAX - CHUNK_HEADERS)
        return -EMSGSIZE;
    join(cell);
    return cell->kind == WORK_ONEWAY ? measure_messages(cell) : measure_calls(cell);
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "iceoryx",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .prepare = start_roudi,
                                           .serve = serve,
                                           .measure = measure};
    int status = work_main(argc, argv, &adapter, 1);
    end_roudi();
    sweep(false);
    sweep(true);
    return status;
}
