/* SPDX-License-Identifier: MIT */
/*
 * D-Bus without a bus: two peers that speak sd-bus over a Unix socket. Payloads are arrays of bytes, written into the
 * message's own memory (sd_bus_message_append_array_space) and read where they were received. Memfds, as an array's
 * source or as a handle of their own, were slower at every size up to 16 MiB: since kdbus they are copied, or mapped
 * anew for each message. In the spinning mode the program calls sd_bus_process() without sd_bus_wait().
 */
#include "peer.h"
#include "work.h"

#include <errno.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static const char PATH[] = "/bench", INTERFACE[] = "sealane.Bench";

enum { ARRAY_MAX = 1 << 26 /* the limit of the specification */, QUEUED_MAX = 64, QUEUED_BYTES = 1 << 20 };

static int put_payload(struct cell *cell, sd_bus_message *m, size_t size) {
    void *data;
    int r = sd_bus_message_append_array_space(m, 'y', size, &data);
    if (r >= 0)
        cell_write(cell, data, size);
    return r;
}

static int take_payload(struct cell *cell, sd_bus_message *m, size_t size) {
    const void *data;
    size_t n;
    int r = sd_bus_message_read_array(m, 'y', &data, &n);
    if (r < 0 || n != size)
        return r < 0 ? r : -EBADMSG;
    cell_read(cell, data, size);
    return 0;
}

static int on_call(sd_bus_message *m, void *user, sd_bus_error *error) {
    struct cell *cell = user;
    sd_bus_message *reply = NULL;
    (void) error;
    int r = take_payload(cell, m, cell->size);
    if (r >= 0)
        r = sd_bus_message_new_method_return(m, &reply);
    if (r >= 0)
        r = put_payload(cell, reply, cell->reply);
    if (r >= 0)
        r = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    return r;
}

static int on_send(sd_bus_message *m, void *user, sd_bus_error *error) {
    struct cell *cell = user;
    (void) error;
    int r = take_payload(cell, m, cell->size);
    cell_arrived(cell);
    return r;
}

static const sd_bus_vtable METHODS[] = {
    SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Call", "ay", "ay", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Send", "ay", NULL, on_send, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_METHOD_NO_REPLY),
    SD_BUS_VTABLE_END};

static int new_bus(bool is_server, sd_bus **ret_bus) {
    sd_bus *bus;
    sd_id128_t id;
    int fd = peer_pair[is_server ? PEER_SERVER : PEER_CLIENT], r = sd_bus_new(&bus);
    if (r >= 0)
        r = sd_bus_set_fd(bus, fd, fd);
    if (r >= 0 && is_server && (r = sd_id128_randomize(&id)) >= 0)
        r = sd_bus_set_server(bus, 1, id);
    if (r >= 0)
        r = sd_bus_start(bus);
    *ret_bus = bus;
    return r;
}

static int serve(struct cell *cell) {
    sd_bus *bus;
    int r = new_bus(true, &bus);
    if (r >= 0)
        r = sd_bus_add_object_vtable(bus, NULL, PATH, INTERFACE, METHODS, cell);
    cell_ready(cell);
    while (r >= 0) {
        r = sd_bus_process(bus, NULL);
        if (r == 0 && cell->mode == WORK_SLEEP)
            r = sd_bus_wait(bus, UINT64_MAX);
    }
    return r;
}

static int on_reply(sd_bus_message *m, void *user, sd_bus_error *error) {
    (void) error;
    *(sd_bus_message **) user = sd_bus_message_ref(m);
    return 1;
}

static int call_spinning(sd_bus *bus, sd_bus_message *m, sd_bus_message **ret_reply) {
    *ret_reply = NULL;
    int r = sd_bus_call_async(bus, NULL, m, on_reply, ret_reply, UINT64_MAX);
    while (r >= 0 && !*ret_reply)
        r = sd_bus_process(bus, NULL);
    return r;
}

static int round_trip(struct cell *cell, sd_bus *bus, sd_bus_message *m) {
    sd_bus_message *reply = NULL;
    int r = cell->mode == WORK_SPIN ? call_spinning(bus, m, &reply) : sd_bus_call(bus, m, UINT64_MAX, NULL, &reply);
    if (r >= 0)
        r = take_payload(cell, reply, cell->reply);
    sd_bus_message_unref(reply);
    return r;
}

/* The library's queue is an array that is moved for each outgoing message: it must stay short. */
static int one_way(const struct cell *cell, sd_bus *bus, sd_bus_message *m) {
    uint64_t queued = 0;
    int r = sd_bus_message_set_expect_reply(m, 0);
    if (r >= 0)
        r = sd_bus_send(bus, m, NULL);
    if (r >= 0)
        r = sd_bus_get_n_queued_write(bus, &queued);
    bool is_long = queued > QUEUED_MAX || queued * cell->size > QUEUED_BYTES;
    return r >= 0 && is_long ? sd_bus_flush(bus) : r;
}

static int one_lap(struct cell *cell, sd_bus *bus) {
    bool is_oneway = cell->kind == WORK_ONEWAY;
    sd_bus_message *m = NULL;
    int r = sd_bus_message_new_method_call(bus, &m, NULL, PATH, INTERFACE, is_oneway ? "Send" : "Call");
    if (r >= 0)
        r = put_payload(cell, m, cell->size);
    if (r >= 0)
        r = is_oneway ? one_way(cell, bus, m) : round_trip(cell, bus, m);
    sd_bus_message_unref(m);
    return r;
}

static int measure(struct cell *cell) {
    sd_bus *bus;
    int r = cell->size > ARRAY_MAX ? -EMSGSIZE : new_bus(false, &bus);
    while (r >= 0 && cell_next(cell))
        r = one_lap(cell, bus);
    if (r >= 0 && cell->kind == WORK_IDLE)
        pause();
    if (r >= 0)
        r = sd_bus_flush(bus);
    return r < 0 ? r : 0;
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "sd-bus",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .prepare = peer_make_pair,
                                           .serve = serve,
                                           .measure = measure};
    return work_main(argc, argv, &adapter, 1);
}
