/* SPDX-License-Identifier: MIT */
/*
 * The application's acts, one at a time: in its handlers, and between turns. See host.h.
 *
 * The application uses the library exactly as its headers allow: it ends every message once, drops every reference
 * once, and uses no object after its end. Any function may return an error.
 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cabinet.h"
#include "clock.h"

static const uint32_t SIZES[] = {0, 8, 32, 33, 88, 89, 200, 256, 257, 1000, 4096, 9000, 65536, 65537, 200000, 300000};
static const uint8_t BYTES[300000];

enum { HANDLERS_DEEP = 4 };

static void demand(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", host.scene->name, what);
    abort();
}

/* --- objects at hand; NULL: there is none --- */

static sea_conn *conn_draw(void) {
    uint8_t at = draw(host.in);
    for (unsigned i = 0; i < HOST_CONNS; i++)
        if (host.conns[(at + i) % HOST_CONNS])
            return host.conns[(at + i) % HOST_CONNS];
    return NULL;
}

static sea_block **block_draw(void) {
    return &host.blocks[draw_below(host.in, HOST_KEPT)];
}

static sea_pool **pool_draw(void) {
    return &host.pools[draw_below(host.in, HOST_POOLS)];
}

/* Takes the reference; releases the block that was there before. */
static void keep_block(sea_block *block) {
    sea_block **place = block_draw();
    sea_block_unref(*place);
    *place = block;
}

static uint64_t sum_of(const sea_msg *msg) {
    const uint8_t *data = sea_msg_data(msg);
    size_t size = sea_msg_size(msg);
    uint64_t sum = size;
    for (size_t i = 0; data && i < size; i += i < 128 ? 1 : 509)
        sum = sum * 31 + data[i];
    return data ? sum : 0;
}

static void keep_msg(sea_msg *msg) {
    unsigned place = draw_below(host.in, HOST_KEPT);
    sea_msg *before = host.msgs[place];
    host.msgs[place] = msg;
    host.sums[place] = sea_msg_is_stable(msg) ? sum_of(msg) : 0;
    sea_msg_release(before);
}

/* Checks a promise of the library: a stable message stays unchanged. */
static sea_msg *msg_take(void) {
    unsigned place = draw_below(host.in, HOST_KEPT);
    sea_msg *msg = host.msgs[place];
    host.msgs[place] = NULL;
    if (msg && sea_msg_is_stable(msg))
        demand(host.sums[place] == sum_of(msg), "a stable payload has changed");
    return msg;
}

/* --- calls --- */

static void on_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) conn;
    (void) user;
    stopwatch_pause();
    host.ended++;
    demand(status <= 0 && (!reply || sea_msg_status(reply) <= 0), "a status that is no error");
    if (reply && draw(host.in) % 4u == 0)
        keep_msg(reply);
    else
        sea_msg_release(reply);
    stopwatch_resume();
}

/* Draws a connection's next payload: a kept block, a new one, or none. The caller has the reference. */
static sea_block *payload_draw(sea_conn *conn) {
    uint8_t kind = draw(host.in);
    sea_block *block = NULL;
    if (kind % 4u == 1)
        return sea_block_ref(*block_draw());
    if (kind % 4u == 2)
        sea_block_new_sealed(&block, host.ctx, draw_of(host.in, SIZES), kind >> 5);
    if (kind % 4u == 0)
        sea_block_new(&block, conn, draw_of(host.in, SIZES));
    if (block && kind & 4)
        sea_block_fill(block, 0, BYTES, sea_block_size(block));
    return block;
}

static void start_call(sea_conn *conn) {
    uint64_t id;
    sea_block *block = payload_draw(conn);
    int timeout_ms = draw(host.in) - 1;
    if (sea_call_start(conn, draw(host.in), block, timeout_ms, on_done, NULL, &id) < 0)
        return;
    host.begun++;
    host.calls[host.calls_count++ % HOST_KEPT] = id;
}

static void act_start_call(sea_conn *conn) {
    for (unsigned n = 1 + draw_below(host.in, 4); n > 0; n--)
        start_call(conn);
}

static void act_call(sea_conn *conn) {
    sea_msg *reply = NULL;
    sea_block *block = payload_draw(conn);
    int timeout_ms = draw(host.in) - 1;
    bool was_waiting = host.is_waiting;
    host.is_waiting = true;
    int r = sea_call(conn, draw(host.in), block, timeout_ms, draw(host.in) & 1 ? NULL : &reply);
    host.is_waiting = was_waiting;
    demand(r <= 0 && (r == 0 || !reply), "a reply of a call that failed");
    if (reply)
        keep_msg(reply);
}

static void act_call_bytes(sea_conn *conn) {
    sea_msg *reply = NULL;
    bool was_waiting = host.is_waiting;
    uint32_t size = draw_of(host.in, SIZES);
    int timeout_ms = draw(host.in) - 1;
    host.is_waiting = true;
    sea_call_bytes(conn, draw(host.in), BYTES, size, timeout_ms, &reply);
    host.is_waiting = was_waiting;
    if (reply)
        keep_msg(reply);
}

static void act_send(sea_conn *conn) {
    int timeout_ms = draw_below(host.in, 8) == 7 ? 5 : 0;
    bool was_waiting = host.is_waiting;
    host.is_waiting = host.is_waiting || timeout_ms;
    if (draw(host.in) & 1)
        sea_send_bytes(conn, draw(host.in), BYTES, draw_of(host.in, SIZES), timeout_ms);
    else
        sea_send(conn, draw(host.in), payload_draw(conn), timeout_ms);
    host.is_waiting = was_waiting;
}

static void act_wait(sea_conn *conn) {
    bool was_waiting = host.is_waiting;
    host.is_waiting = true;
    sea_conn_wait(conn, draw(host.in) - 1);
    host.is_waiting = was_waiting;
}

static void act_cancel(sea_conn *conn) {
    sea_call_cancel(conn, host.calls[draw_below(host.in, HOST_KEPT)]);
}

static void act_batch(sea_conn *conn) {
    sea_batch_begin(conn);
    start_call(conn);
    sea_send_bytes(conn, 2, BYTES, draw_of(host.in, SIZES), 0);
    sea_batch_end(conn);
}

/* --- blocks --- */

static void act_new_block(sea_conn *conn) {
    sea_block *block = NULL;
    sea_block_new(&block, conn, draw_of(host.in, SIZES));
    keep_block(block);
}

static void act_new_sealed(sea_conn *conn) {
    sea_block *block = NULL;
    (void) conn;
    sea_block_new_sealed(&block, host.ctx, draw_of(host.in, SIZES), draw_below(host.in, 8));
    keep_block(block);
}

static void act_fill(sea_conn *conn) {
    sea_block *block = *block_draw();
    (void) conn;
    if (!block)
        return;
    size_t size = sea_block_size(block);
    sea_block_fill(block, draw(host.in), BYTES, size < sizeof(BYTES) ? size : sizeof(BYTES));
    uint8_t *data = sea_block_data(block);
    if (data && size)
        data[draw_u16(host.in) % size] = 1;
}

/* Fills from a file, from a pipe, and from a descriptor that cannot be read. */
static void act_fill_file(sea_conn *conn) {
    sea_block *block = *block_draw();
    (void) conn;
    if (!block)
        return;
    const struct item *item = draw(host.in) & 1
                                  ? &cabinet.sealed.items[draw_below(host.in, (uint32_t) cabinet.sealed.count)]
                                  : &cabinet.others.items[9];
    sea_block_fill_file(block, 0, item->fd, item->size == 4096 ? -1 : draw(host.in), sea_block_size(block));
}

static void act_shrink(sea_conn *conn) {
    sea_block *block = *block_draw();
    (void) conn;
    if (block)
        sea_block_shrink(block, draw_of(host.in, SIZES));
}

static void act_seal(sea_conn *conn) {
    sea_block *block = *block_draw();
    int fd = -1;
    (void) conn;
    if (!block)
        return;
    int r = sea_block_seal(block);
    demand(r < 0 || sea_block_is_sealed(block), "a block that was sealed is not");
    sea_block_view(block);
    if (draw(host.in) & 1)
        sea_block_pages(block);
    if (sea_block_export(block, &fd) == 0)
        close(fd);
}

static void act_import(sea_conn *conn) {
    uint8_t which = draw(host.in);
    const struct shelf *shelf = which & 0x80 ? &cabinet.spoiled : which & 0x40 ? &cabinet.others : &cabinet.sealed;
    sea_block *block = NULL;
    (void) conn;
    int fd = fcntl(shelf->items[which % 32u % shelf->count].fd, F_DUPFD_CLOEXEC, 0);
    if (sea_block_import(&block, host.ctx, fd, draw(host.in) & 1 ? 1000 : 1 << 22) == 0)
        keep_block(block);
}

static void act_drop(sea_conn *conn) {
    (void) conn;
    keep_block(NULL);
}

/* --- pools --- */

static void act_pool_new(sea_conn *conn) {
    static const sea_pool_options options[] = {
        {.name = "plain"},
        {.name = "short", .retained_ms = 10, .rotate_age_ms = 20, .rotate_idle_ms = 10},
        {.bytes_max = 300000, .retained_max = 1},
        {.rotate_bytes = 100000}};
    sea_pool **pool = pool_draw();
    if (!*pool)
        sea_pool_new(pool, conn, &draw_of(host.in, options));
}

static void act_pool_block(sea_conn *conn) {
    sea_block *block = NULL, *from = *block_draw();
    sea_pool *pool = *pool_draw();
    pool = pool ? pool : sea_conn_pool(conn);
    uint8_t how = draw(host.in);
    if (how % 4u == 1)
        sea_pool_reserve(pool, draw_of(host.in, SIZES), how >> 5);
    else if (how % 4u == 2 && from)
        sea_pool_copy(&block, pool, from);
    else
        sea_pool_block(&block, pool, draw_of(host.in, SIZES));
    keep_block(block);
}

static void act_pool_rotate(sea_conn *conn) {
    sea_pool *pool = *pool_draw();
    sea_pool_rotate(pool ? pool : sea_conn_pool(conn));
}

static void act_pool_figures(sea_conn *conn) {
    uint64_t figures[SEA_POOL_FIGURES], generation[SEA_POOL_FIGURES];
    sea_pool *pool = *pool_draw();
    pool = pool ? pool : sea_conn_pool(conn);
    sea_pool_figures(pool, figures, SEA_POOL_FIGURES);
    sea_pool_generation_figures(pool, figures[SEA_POOL_FIGURE_OLDEST_GENERATION], generation, SEA_POOL_FIGURES);
    demand(figures[SEA_POOL_FIGURE_ACTIVE_BYTES] <= figures[SEA_POOL_FIGURE_MAPPED_BYTES] &&
               figures[SEA_POOL_FIGURE_LEASED_BYTES] <= figures[SEA_POOL_FIGURE_ACTIVE_BYTES],
           "a pool's figures");
    if (draw(host.in) & 1)
        sea_pool_resident(pool);
    if (draw(host.in) & 1)
        sea_pool_generation_resident(pool, figures[SEA_POOL_FIGURE_GENERATION]);
}

static void act_pool_free(sea_conn *conn) {
    sea_pool **pool = pool_draw();
    (void) conn;
    *pool = sea_pool_free(*pool);
}

static void act_trim(sea_conn *conn) {
    (void) conn;
    sea_ctx_trim(host.ctx);
}

/* --- messages that were kept --- */

static void finish(sea_msg *msg);

static void act_finish(sea_conn *conn) {
    sea_msg *msg = msg_take();
    (void) conn;
    if (msg)
        finish(msg);
}

/* --- the connection itself --- */

static void act_close(sea_conn *conn) {
    sea_conn_close(conn);
}

static void act_free(sea_conn *conn) {
    if (!host.scene->is_client)
        return;
    for (int i = 0; i < HOST_CONNS; i++)
        if (host.conns[i] == conn)
            host.conns[i] = NULL;
    sea_conn_free(conn);
}

static void act_look(sea_conn *conn) {
    uint64_t figures[SEA_CONN_FIGURES], all[SEA_FIGURES];
    sea_refusal refusal;
    char text[300];
    sea_conn_figures(conn, figures, SEA_CONN_FIGURES);
    sea_ctx_figures(host.ctx, all, SEA_FIGURES);
    sea_ctx_refusal(host.ctx, &refusal, sizeof(refusal));
    sea_refusal_format(&refusal, text, sizeof(text));
    sea_conn_set_data(conn, &host);
    demand(sea_conn_data(conn) == &host && sea_conn_ctx(conn) == host.ctx, "a connection's data");
    demand(strlen(sea_conn_text(conn)) < 256 && strlen(sea_conn_service(conn)) < 64, "a connection's texts");
    demand(sea_conn_peer(conn)->uid == geteuid(), "a connection's peer");
    demand(sea_conn_dispatch(conn, 0) <= 0, "a turn in a turn");
    sea_shared shared;
    sea_ctx_shared(host.ctx, &shared, sizeof(shared));
    demand(shared.untold <= shared.reserved, "what the kernel does not tell about was reserved");
    demand(sea_ctx_resident(host.ctx) > 0 && sea_version() && sea_class_name(draw(host.in)), "what there always is");
}

static void count_conn(sea_conn *conn, void *user) {
    if (draw(host.in) == 255)
        sea_conn_close(conn);
    ++*(unsigned *) user;
}

/* Also runs a loop inside the loop, and a run that is stopped at once. */
static void act_server(sea_conn *conn) {
    unsigned count = 0;
    (void) conn;
    if (!host.server)
        return;
    size_t open = sea_server_connections(host.server);
    sea_server_each(host.server, count_conn, &count);
    demand(count == open, "the number of open connections");
    if (draw(host.in) & 1)
        sea_server_stop(host.server);
    bool was_waiting = host.is_waiting;
    host.is_waiting = true;
    sea_server_run(host.server);
    host.is_waiting = was_waiting;
    demand(sea_server_fd(host.server) >= 0 && *sea_server_address(host.server), "a server's address");
}

/* Makes servers and clients at addresses of all kinds. */
static void act_address(sea_conn *conn) {
    static const char *const addresses[] = {"",
                                            "fuzz/fuzz",
                                            "unix:",
                                            "unix:@",
                                            "unix:@sealane-fuzz-other",
                                            "fd:-1",
                                            "fd:99999",
                                            "fd:0",
                                            "fd:1x",
                                            "systemd",
                                            "systemd:no",
                                            ".hidden",
                                            "unix:/nonexistent/socket",
                                            "a:b",
                                            "unix:/proc/x",
                                            "unix:/tmp/sealane-fuzz-socket"};
    const char *address = draw_of(host.in, addresses);
    sea_options options = {.handshake_ms = 1, .waiting = SEA_WAIT_SLEEP};
    sea_server *server = NULL;
    sea_conn *client = NULL;
    (void) conn;
    bool was_waiting = host.is_waiting;
    host.is_waiting = true;
    if (draw(host.in) & 1)
        options.ring_size = draw_u32(host.in);
    bool is_there = sea_server_new(&server, host.ctx, address, &options) == 0;
    if (!is_there || draw(host.in) & 1)
        sea_connect(&client, host.ctx, address, &options);
    sea_conn_free(client);
    sea_server_free(server);
    host.is_waiting = was_waiting;
}

static void (*const ACTS[])(sea_conn *conn) = {
    act_start_call, act_send,        act_call_bytes,   act_call,      act_finish, act_new_block, act_new_sealed,
    act_fill,       act_fill_file,   act_shrink,       act_seal,      act_import, act_drop,      act_pool_new,
    act_pool_block, act_pool_rotate, act_pool_figures, act_pool_free, act_trim,   act_cancel,    act_batch,
    act_wait,       act_close,       act_free,         act_look,      act_server, act_address,
};

void host_act(void) {
    uint8_t which = draw_below(host.in, sizeof(ACTS) / sizeof(*ACTS));
    sea_conn *conn = conn_draw();
    if (conn)
        ACTS[which](conn);
}

/* --- handlers --- */

static void forward(sea_msg *msg) {
    sea_conn *conn = conn_draw();
    if (conn)
        sea_send(conn, 3, sea_block_ref(sea_msg_block(msg)), 0);
    sea_msg_release(msg);
}

static void keep_its_block(sea_msg *msg) {
    keep_block(sea_block_ref(sea_msg_block(msg)));
    sea_reply_bytes(msg, BYTES, draw_of(host.in, SIZES));
}

static void answer_with_new(sea_msg *msg) {
    sea_block *block = NULL;
    sea_conn *conn = sea_msg_conn(msg);
    if (sea_conn_is_open(conn))
        block = payload_draw(conn);
    sea_reply(msg, block);
}

static void look_at(sea_msg *msg) {
    demand(sea_msg_data(msg) || sea_msg_size(msg), "an empty payload has an address");
    demand(!sea_msg_is_call(msg) || sea_msg_method(msg) < 6, "a method that is not served");
    demand(sea_msg_status(msg) <= 0 && strlen(sea_msg_text(msg)) < 256, "a message's status");
    if (sea_msg_deadline(msg) && sea_msg_is_cancelled(msg))
        sum_of(msg);
    sea_msg_release(msg);
}

/* Ends the message in one of the possible ways. */
static void finish(sea_msg *msg) {
    switch (draw_below(host.in, 12)) {
    case 0:
        sea_reply(msg, sea_block_ref(sea_msg_block(msg)));
        break;
    case 1:
        sea_reply_bytes(msg, BYTES, draw_of(host.in, SIZES));
        break;
    case 2:
        sea_reply_error(msg, -(int) draw_u16(host.in), draw(host.in) & 1 ? NULL : "no\nway");
        break;
    case 3:
    case 4:
        keep_msg(msg);
        break;
    case 5:
        keep_its_block(msg);
        break;
    case 6:
        forward(msg);
        break;
    case 7:
        answer_with_new(msg);
        break;
    case 8:
        sea_reply(msg, sea_block_ref(*block_draw()));
        break;
    case 9:
        look_at(msg);
        break;
    default:
        host_act();
        sea_msg_release(msg);
    }
}

void host_handle(sea_msg *msg, void *user) {
    (void) user;
    stopwatch_pause();
    if (++host.depth > HANDLERS_DEEP)
        sea_msg_release(msg);
    else
        finish(msg);
    host.depth--;
    stopwatch_resume();
}
