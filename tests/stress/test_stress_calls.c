/* SPDX-License-Identifier: MIT */
/*
 * Many messages between two processes through the public interface: calls and one-way messages of all sizes and
 * classes, in any mixture, in batches, with each way of waiting and with small and large rings. No message is lost,
 * doubled, damaged or out of order, and afterwards no side holds any resource.
 *
 * SEALANE_STRESS_CALLS: number of messages in each run, instead of 100 000 (fewer under tools that slow everything
 * down).
 */
#include <errno.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/figures.h"
#include "support/random.h"
#include "support/raw.h"
#include "support/scale.h"
#include "support/suite.h"
#include "wire/line.h"

#define PATIENCE_MS 60000

enum { ECHO = 1, TAKE = 2, COUNT = 3, QUIT = 4 };

static uint64_t messages_wanted(void) {
    const char *text = getenv("SEALANE_STRESS_CALLS");
    uint64_t wanted = text ? strtoull(text, NULL, 10) : scaled(100000);
    return wanted > 0 ? wanted : 1;
}

/* Fills in the bytes of message `number`: the number, and bytes that follow from it. */
static void payload_fill(uint64_t number, uint8_t *bytes, size_t size) {
    memcpy(bytes, &number, sizeof number);
    for (size_t i = sizeof number; i < size; i++)
        bytes[i] = (uint8_t) (number * 31 + i);
}

static bool is_payload(uint64_t number, const uint8_t *bytes, size_t size) {
    uint64_t found = 0;
    if (size < sizeof number)
        return false;
    memcpy(&found, bytes, sizeof found);
    for (size_t i = sizeof number; i < size; i += 1 + size / 64)
        if (bytes[i] != (uint8_t) (number * 31 + i))
            return false;
    return found == number && bytes[size - 1] == (size > 8 ? (uint8_t) (number * 31 + size - 1) : bytes[7]);
}

/* Mostly one line; many of several lines, up to the largest small message; some pooled; a few large. */
static size_t payload_size(uint64_t *state) {
    uint32_t chance = random_below(state, 1000);
    if (chance < 600)
        return 8 + random_below(state, LINE_FIRST_BYTES - 7);
    if (chance < 930)
        return 8 + random_below(state, LINE_SMALL_BYTES - 7);
    if (chance < 994)
        return 8 + random_below(state, 6000);
    return chance < 999 ? 2000 + random_below(state, 60000) : 70000 + random_below(state, 100000);
}

/* --- the server, in a process of its own --- */

static struct {
    sea_server *server;
    uint64_t taken;
    uint64_t wrong; /* the first message that was not the next one, or not complete; 0: none */
} here;

static void on_echo(sea_msg *msg, void *user) {
    (void) user;
    sea_block *block = sea_msg_block(msg);
    sea_reply(msg, block ? sea_block_ref(block) : NULL);
}

static void on_take(sea_msg *msg, void *user) {
    (void) user;
    here.taken++;
    if (!here.wrong && !is_payload(here.taken, sea_msg_data(msg), sea_msg_size(msg)))
        here.wrong = here.taken;
    sea_msg_release(msg);
}

static void on_count(sea_msg *msg, void *user) {
    (void) user;
    const uint64_t words[2] = {here.taken, here.wrong};
    sea_reply_bytes(msg, words, sizeof words);
}

static void on_quit(sea_msg *msg, void *user) {
    (void) user;
    sea_msg_release(msg);
    sea_server_stop(here.server);
}

static const sea_method methods[] = {{.number = ECHO, .name = "echo", .handler = on_echo},
                                     {.number = TAKE, .name = "take", .handler = on_take},
                                     {.number = COUNT, .name = "count", .handler = on_count},
                                     {.number = QUIT, .name = "quit", .handler = on_quit}};

static sea_options options_of(int waiting, uint32_t ring_size) {
    return (sea_options){SEA_METHODS(methods), .waiting = waiting, .ring_size = ring_size};
}

static struct {
    char address[80];
    int waiting;
    uint32_t ring_size;
} scene;

static int run_server(int line, void *arg) {
    sea_ctx *ctx = NULL;
    sea_options options = options_of(scene.waiting, scene.ring_size);
    (void) arg;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_server_new(&here.server, ctx, scene.address, &options), 0);
    line_tell(line, 1);
    ck_assert_int_eq(sea_server_run(here.server), 0);
    here.server = sea_server_free(here.server);
    struct figures figures;
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BLOCKS] + figures.of[SEA_FIGURE_LEASED_BLOCKS] +
                          figures.of[SEA_FIGURE_IMPORTED_BLOCKS] + figures.of[SEA_FIGURE_FAULTS],
                      0);
    sea_ctx_unref(ctx);
    return 0;
}

/* --- the client --- */

static void echo(sea_conn *conn, uint64_t number, uint8_t *bytes, size_t size) {
    sea_msg *reply = NULL;
    payload_fill(number, bytes, size);
    int r = sea_call_bytes(conn, ECHO, bytes, size, -1, &reply);
    ck_assert_msg(r == 0, "call %llu: %d (%s)", (unsigned long long) number, r, sea_conn_text(conn));
    if (sea_msg_size(reply) != size || !is_payload(number, sea_msg_data(reply), size))
        ck_abort_msg("call %llu of %zu bytes: another answer", (unsigned long long) number, size);
    sea_msg_release(reply);
}

static void tell(sea_conn *conn, uint64_t number, uint8_t *bytes, size_t size) {
    payload_fill(number, bytes, size);
    int r = sea_send_bytes(conn, TAKE, bytes, size, -1);
    ck_assert_msg(r == 0, "message %llu: %d (%s)", (unsigned long long) number, r, sea_conn_text(conn));
}

struct flock_of_calls {
    unsigned pending;
    int worst;
};

static void on_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    struct flock_of_calls *calls = user;
    (void) conn;
    calls->pending--;
    calls->worst = status < calls->worst ? status : calls->worst;
    sea_msg_release(reply);
}

/* Starts many calls, and waits for the last one only. */
static void echo_many(sea_conn *conn, unsigned count) {
    struct flock_of_calls calls = {0};
    sea_batch_begin(conn);
    for (unsigned i = 0; i < count; i++) {
        int r = sea_call_start(conn, ECHO, NULL, -1, on_done, &calls, NULL);
        ck_assert_msg(r == 0 || r == -EAGAIN, "%d", r);
        calls.pending += r == 0;
    }
    sea_batch_end(conn);
    while (calls.pending > 0)
        ck_assert_int_ge(sea_conn_wait(conn, -1), 0);
    ck_assert_int_eq(calls.worst, 0);
}

static void check_count(sea_conn *conn, uint64_t sent) {
    sea_msg *reply = NULL;
    uint64_t words[2];
    ck_assert_int_eq(sea_call_bytes(conn, COUNT, NULL, 0, -1, &reply), 0);
    ck_assert_uint_eq(sea_msg_size(reply), sizeof words);
    memcpy(words, sea_msg_data(reply), sizeof words);
    ck_assert_msg(words[1] == 0, "one-way message %llu was not the next, or not whole", (unsigned long long) words[1]);
    ck_assert_uint_eq(words[0], sent);
    sea_msg_release(reply);
}

/* Returns the number of one-way messages. */
static uint64_t mix(sea_conn *conn, uint64_t messages, uint64_t state) {
    static uint8_t bytes[200000];
    uint64_t sent = 0;
    for (uint64_t i = 0; i < messages;) {
        uint32_t chance = random_below(&state, 20);
        if (chance == 0) {
            echo_many(conn, random_below(&state, 300));
            i++;
        } else if (chance < 10) {
            echo(conn, i++, bytes, payload_size(&state));
        } else {
            bool is_batch = random_below(&state, 2);
            if (is_batch)
                sea_batch_begin(conn);
            for (uint32_t n = random_below(&state, 64); n > 0; n--, i++)
                tell(conn, ++sent, bytes, payload_size(&state));
            if (is_batch)
                sea_batch_end(conn);
        }
        if (chance == 19)
            check_count(conn, sent);
    }
    return sent;
}

static const struct {
    int waiting;
    uint32_t ring_size;
} runs[] = {{SEA_WAIT_ADAPTIVE, 0}, {SEA_WAIT_SLEEP, 4096}, {SEA_WAIT_SPIN, 65536}, {SEA_WAIT_ADAPTIVE, 4096}};

START_TEST(test_many_messages) {
    struct child child;
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    uint64_t word;
    snprintf(scene.address, sizeof scene.address, "unix:%s", raw_name());
    scene.waiting = runs[_i].waiting;
    scene.ring_size = runs[_i].ring_size;
    child_start(&child, run_server, NULL);
    ck_assert(line_hear(child.line, PATIENCE_MS, &word));
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    sea_options options = {.waiting = runs[_i].waiting, .ring_size = runs[_i].ring_size};
    ck_assert_int_eq(sea_connect(&conn, ctx, scene.address, &options), 0);
    uint64_t sent = mix(conn, messages_wanted(), 12345 + (uint64_t) _i);
    check_count(conn, sent);
    ck_assert_int_eq(sea_send_bytes(conn, QUIT, NULL, 0, -1), 0);
    ck_assert_int_eq(child_end(&child, PATIENCE_MS), 0);
    sea_conn_free(conn);
    struct figures figures;
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_BLOCKS] + figures.of[SEA_FIGURE_LEASED_BLOCKS] +
                          figures.of[SEA_FIGURE_IMPORTED_BLOCKS] + figures.of[SEA_FIGURE_FAULTS],
                      0);
    sea_ctx_unref(ctx);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("stress_calls");
    suite_guard(s, 900 + (int) (messages_wanted() / 20000));
    suite_add_loop(s, test_many_messages, 0, (int) (sizeof runs / sizeof *runs));
    return suite_run(s);
}
