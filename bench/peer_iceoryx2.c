/* SPDX-License-Identifier: MIT */
/*
 * iceoryx2, its C interface: request and response for round trips, publish and subscribe for the one-way case. Payloads
 * are written into loaned memory and read in place. There is no daemon.
 *
 * In the spinning mode both sides receive without waiting. In the sleeping mode a side that finds nothing waits for an
 * event, and who sends notifies it: after each request and reply, and once for each batch of one-way messages.
 *
 * A service goes away when both sides have left in order: therefore the server handles SIGTERM.
 */
#include "work.h"

#include <errno.h>
#include <iox2/iceoryx2.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUEUE_MAX = 256, QUEUE_BYTES = 4 << 20, BATCH = 32, NAME_ROOM = 64, LOOK_NS = 100 * 1000 * 1000 };

/* Prints what failed, and returns a negative errno value. */
static int explain(const char *what, int error) {
    if (error != IOX2_OK)
        fprintf(stderr, "bench: iceoryx2: %s: error %d\n", what, error);
    return error == IOX2_OK ? 0 : -EIO;
}

/* --- both sides --- */

struct side {
    struct cell *cell;
    iox2_node_h node;
    iox2_port_factory_request_response_h calls;
    iox2_port_factory_pub_sub_h messages;
    iox2_port_factory_event_h events[2]; /* sleeping mode: of requests, of replies */
    iox2_listener_h listener;
    iox2_notifier_h notifier;
};

/* Messages in flight in the one-way case. */
static size_t queue_length(const struct cell *cell) {
    size_t length = QUEUE_BYTES / cell->size;
    return length < 2 ? 2 : length > QUEUE_MAX ? QUEUE_MAX : length;
}

/* Makes a builder for a service of this cell: its name has the number of the parent of all processes of the cell. */
static int service_builder(const struct side *side, const char *what, iox2_service_builder_h *ret_builder) {
    char name[NAME_ROOM];
    iox2_service_name_h service_name = NULL;
    int length = snprintf(name, sizeof(name), "sealane-bench-%d/%s", (int) getppid(), what);
    int error = iox2_service_name_new(NULL, name, (size_t) length, &service_name);
    if (error != IOX2_OK)
        return explain("name", error);
    *ret_builder = iox2_node_service_builder(&side->node, NULL, iox2_cast_service_name_ptr(service_name));
    iox2_service_name_drop(service_name);
    return 0;
}

static int join(struct side *side, struct cell *cell) {
    *side = (struct side){.cell = cell};
    iox2_set_log_level(iox2_log_level_e_ERROR);
    return explain("node",
                   iox2_node_builder_create(iox2_node_builder_new(NULL), NULL, iox2_service_type_e_IPC, &side->node));
}

static int open_calls(struct side *side) {
    static const char request[] = "request", response[] = "response";
    iox2_service_builder_h any;
    int r = service_builder(side, "calls", &any);
    if (r < 0)
        return r;
    iox2_service_builder_request_response_h builder = iox2_service_builder_request_response(any);
    int error = iox2_service_builder_request_response_set_request_payload_type_details(
        &builder, iox2_type_variant_e_FIXED_SIZE, request, strlen(request), side->cell->size, alignof(uint64_t));
    if (error == IOX2_OK)
        error = iox2_service_builder_request_response_set_response_payload_type_details(
            &builder, iox2_type_variant_e_FIXED_SIZE, response, strlen(response), side->cell->reply, alignof(uint64_t));
    if (error == IOX2_OK)
        error = iox2_service_builder_request_response_open_or_create(builder, NULL, &side->calls);
    return explain("service of calls", error);
}

static int open_messages(struct side *side) {
    static const char message[] = "message";
    iox2_service_builder_h any;
    int r = service_builder(side, "messages", &any);
    if (r < 0)
        return r;
    iox2_service_builder_pub_sub_h builder = iox2_service_builder_pub_sub(any);
    int error = iox2_service_builder_pub_sub_set_payload_type_details(
        &builder, iox2_type_variant_e_FIXED_SIZE, message, strlen(message), side->cell->size, alignof(uint64_t));
    /* A publisher whose subscriber is behind waits, as it does by default, and overwrites nothing. */
    iox2_service_builder_pub_sub_set_enable_safe_overflow(&builder, false);
    iox2_service_builder_pub_sub_set_subscriber_max_buffer_size(&builder, queue_length(side->cell));
    if (error == IOX2_OK)
        error = iox2_service_builder_pub_sub_open_or_create(builder, NULL, &side->messages);
    return explain("service of messages", error);
}

static int open_event(struct side *side, int which) {
    static const char *const names[] = {"requests", "replies"};
    iox2_service_builder_h any;
    int r = service_builder(side, names[which], &any);
    if (r < 0)
        return r;
    return explain("event", iox2_service_builder_event_open_or_create(iox2_service_builder_event(any), NULL,
                                                                      &side->events[which]));
}

/* Sleeping mode: the server listens for requests and notifies of replies, the client does the opposite. */
static int open_events(struct side *side, bool is_server) {
    if (side->cell->mode != WORK_SLEEP)
        return 0;
    int r = open_event(side, 0);
    if (r == 0)
        r = open_event(side, 1);
    if (r < 0)
        return r;
    int error = iox2_port_factory_listener_builder_create(
        iox2_port_factory_event_listener_builder(&side->events[is_server ? 0 : 1], NULL), NULL, &side->listener);
    if (error == IOX2_OK)
        error = iox2_port_factory_notifier_builder_create(
            iox2_port_factory_event_notifier_builder(&side->events[is_server ? 1 : 0], NULL), NULL, &side->notifier);
    return explain("event's port", error);
}

#if !IOX2_HAS_WAIT_ONE

static void on_event(const iox2_event_id_t *event, uint64_t count, iox2_callback_context user) {
    (void) event, (void) count, (void) user;
}

#endif

/* After a look that found nothing. A signal ends the wait, too, or the time: the caller looks again in any case. */
static void await_event(const struct side *side) {
    if (side->cell->mode != WORK_SLEEP)
        return;
#if IOX2_HAS_WAIT_ONE
    iox2_event_id_t event;
    bool has_one;
    iox2_listener_timed_wait_one(&side->listener, &event, &has_one, 0, LOOK_NS);
#else
    uint64_t count;
    iox2_listener_timed_wait_all(&side->listener, &count, on_event, NULL, 0, LOOK_NS);
#endif
}

/* An event that is pending already takes no other one: that is no error. */
static void notify(const struct side *side) {
    if (side->cell->mode == WORK_SLEEP)
        iox2_notifier_notify(&side->notifier, NULL);
}

static void leave(struct side *side) {
    if (side->notifier)
        iox2_notifier_drop(side->notifier);
    if (side->listener)
        iox2_listener_drop(side->listener);
    for (int i = 0; i < 2; i++)
        if (side->events[i])
            iox2_port_factory_event_drop(side->events[i]);
    if (side->messages)
        iox2_port_factory_pub_sub_drop(side->messages);
    if (side->calls)
        iox2_port_factory_request_response_drop(side->calls);
    if (side->node)
        iox2_node_drop(side->node);
}

/* --- the server --- */

static volatile sig_atomic_t is_stopping;

static void stop(int signal) {
    (void) signal;
    is_stopping = 1;
}

static int answer(const struct side *side, iox2_active_request_h request) {
    iox2_response_mut_t storage;
    iox2_response_mut_h response = NULL;
    const void *data = NULL;
    void *reply = NULL;
    iox2_active_request_payload(&request, &data, NULL);
    cell_read(side->cell, data, side->cell->size);
    int error = iox2_active_request_loan_slice_uninit(&request, &storage, &response, 1);
    if (error != IOX2_OK)
        return explain("loan of a response", error);
    iox2_response_mut_payload_mut(&response, &reply, NULL);
    cell_write(side->cell, reply, side->cell->reply);
    error = iox2_response_mut_send(response);
    notify(side);
    return explain("response", error);
}

/* Returns 1 for a request that was answered, 0 for none. */
static int serve_one(const struct side *side, const iox2_server_h *server) {
    iox2_active_request_t storage;
    iox2_active_request_h request = NULL;
    int error = iox2_server_receive(server, &storage, &request);
    if (error != IOX2_OK)
        return explain("request", error);
    if (!request)
        return 0;
    int r = answer(side, request);
    iox2_active_request_drop(request);
    return r < 0 ? r : 1;
}

static int serve_calls(struct side *side) {
    iox2_server_h server = NULL;
    int r = open_calls(side);
    if (r == 0)
        r = explain("server",
                    iox2_port_factory_server_builder_create(
                        iox2_port_factory_request_response_server_builder(&side->calls, NULL), NULL, &server));
    if (r < 0)
        return r;
    cell_ready(side->cell);
    while (r >= 0 && !is_stopping) {
        r = serve_one(side, &server);
        if (r == 0)
            await_event(side);
    }
    iox2_server_drop(server);
    return r;
}

/* Returns 1 for a message that was read, 0 for none. */
static int read_one(const struct side *side, const iox2_subscriber_h *subscriber) {
    iox2_sample_t storage;
    iox2_sample_h sample = NULL;
    const void *data = NULL;
    int error = iox2_subscriber_receive(subscriber, &storage, &sample);
    if (error != IOX2_OK)
        return explain("message", error);
    if (!sample)
        return 0;
    iox2_sample_payload(&sample, &data, NULL);
    cell_read(side->cell, data, side->cell->size);
    iox2_sample_drop(sample);
    cell_arrived(side->cell);
    return 1;
}

static int serve_messages(struct side *side) {
    iox2_subscriber_h subscriber = NULL;
    int r = open_messages(side);
    if (r == 0)
        r = explain("subscriber",
                    iox2_port_factory_subscriber_builder_create(
                        iox2_port_factory_pub_sub_subscriber_builder(&side->messages, NULL), NULL, &subscriber));
    if (r < 0)
        return r;
    cell_ready(side->cell);
    while (r >= 0 && !is_stopping) {
        r = read_one(side, &subscriber);
        if (r == 0)
            await_event(side);
    }
    iox2_subscriber_drop(subscriber);
    return r;
}

static int serve(struct cell *cell) {
    struct side side;
    int r = join(&side, cell);
    signal(SIGTERM, stop); /* after the node, which has a handler of its own */
    if (r == 0)
        r = open_events(&side, true);
    if (r == 0)
        r = cell->kind == WORK_ONEWAY ? serve_messages(&side) : serve_calls(&side);
    leave(&side);
    if (r >= 0)
        exit(0);
    return r;
}

/* --- the client --- */

static int await_response(const struct side *side, const iox2_pending_response_h *pending) {
    iox2_response_t storage;
    iox2_response_h response = NULL;
    const void *data = NULL;
    for (;;) {
        int error = iox2_pending_response_receive(pending, &storage, &response);
        if (error != IOX2_OK)
            return explain("response", error);
        if (response)
            break;
        await_event(side);
    }
    iox2_response_payload(&response, &data, NULL);
    cell_read(side->cell, data, side->cell->reply);
    iox2_response_drop(response);
    return 0;
}

static int one_call(const struct side *side, const iox2_client_h *client) {
    iox2_request_mut_t storage;
    iox2_pending_response_t pending_storage;
    iox2_request_mut_h request = NULL;
    iox2_pending_response_h pending = NULL;
    void *data = NULL;
    int error = iox2_client_loan_slice_uninit(client, &storage, &request, 1);
    if (error != IOX2_OK)
        return explain("loan of a request", error);
    iox2_request_mut_payload_mut(&request, &data, NULL);
    cell_write(side->cell, data, side->cell->size);
    error = iox2_request_mut_send(request, &pending_storage, &pending);
    if (error != IOX2_OK)
        return explain("request", error);
    notify(side);
    int r = await_response(side, &pending);
    iox2_pending_response_drop(pending);
    return r;
}

static int measure_calls(struct side *side) {
    iox2_client_h client = NULL;
    int r = open_calls(side);
    if (r == 0)
        r = explain("client",
                    iox2_port_factory_client_builder_create(
                        iox2_port_factory_request_response_client_builder(&side->calls, NULL), NULL, &client));
    if (r < 0)
        return r;
    while (r == 0 && cell_next(side->cell))
        r = one_call(side, &client);
    iox2_client_drop(client);
    return r;
}

static int one_message(const struct side *side, const iox2_publisher_h *publisher) {
    iox2_sample_mut_t storage;
    iox2_sample_mut_h sample = NULL;
    void *data = NULL;
    int error = iox2_publisher_loan_slice_uninit(publisher, &storage, &sample, 1);
    if (error != IOX2_OK)
        return explain("loan of a message", error);
    iox2_sample_mut_payload_mut(&sample, &data, NULL);
    cell_write(side->cell, data, side->cell->size);
    return explain("message", iox2_sample_mut_send(sample, NULL));
}

/* The subscriber is told before the publisher could have to wait for it. Samples die with their publisher, so it stays
 * until all have arrived. */
static int measure_messages(struct side *side) {
    iox2_publisher_h publisher = NULL;
    size_t batch = queue_length(side->cell) / 2 < BATCH ? queue_length(side->cell) / 2 : BATCH, sent = 0;
    int r = open_messages(side);
    if (r == 0)
        r = explain("publisher",
                    iox2_port_factory_publisher_builder_create(
                        iox2_port_factory_pub_sub_publisher_builder(&side->messages, NULL), NULL, &publisher));
    if (r < 0)
        return r;
    while (r == 0 && cell_next(side->cell)) {
        r = one_message(side, &publisher);
        if (++sent % batch == 0)
            notify(side);
    }
    while (r == 0 && !cell_all_arrived(side->cell)) {
        notify(side);
        usleep(100);
    }
    iox2_publisher_drop(publisher);
    return r;
}

static int measure(struct cell *cell) {
    struct side side;
    int r = join(&side, cell);
    if (r == 0)
        r = open_events(&side, false);
    if (r == 0)
        r = cell->kind == WORK_ONEWAY ? measure_messages(&side) : measure_calls(&side);
    leave(&side);
    return r;
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "iceoryx2",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .serve = serve,
                                           .measure = measure};
    return work_main(argc, argv, &adapter, 1);
}
