/* SPDX-License-Identifier: MIT */
/*
 * The server that tests/protocol/client.py calls: the service "echo", at the address that is its argument, until
 * SIGTERM.
 *
 *     1 echo    answers with the block that came
 *     2 sum     answers with the sum of its bytes, 8 bytes, little-endian
 *     3 refuse  answers with -EACCES and a text that would upset a terminal
 *     4 note    keeps the first byte; for one-way messages
 *     5 noted   answers with the kept byte, of any connection, and forgets it
 *     6 hold    does not answer
 *     7 let go  ends the call that is on hold, and answers
 *     8 make    answers with a block of its own, of as many bytes as the payload says (4 bytes, little-endian): 0, 1,
 *               ... 250, 0, ...
 *
 * Prints "ready" on its standard output when clients can connect.
 */
#include <errno.h>
#include <sealane/sealane.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { NOTES_MOST = 1 << 20, PRIME = 251 };

static sea_server *the_server; /* for the signal handler */
static char notes[NOTES_MOST];
static size_t notes_count;
static sea_msg *on_hold; /* owned */

static void stop(int signal_number) {
    (void) signal_number;
    sea_server_stop(the_server); // NOLINT(bugprone-signal-handler,cert-sig30-c): made for signal handlers, see server.h
}

static void echo(sea_msg *call, void *user) {
    (void) user;
    sea_block *block = sea_msg_block(call);
    sea_reply(call, block ? sea_block_ref(block) : NULL);
}

static void sum(sea_msg *call, void *user) {
    const uint8_t *data = sea_msg_data(call);
    uint64_t total = 0;
    uint8_t bytes[8];
    sea_block *block = NULL;
    (void) user;

    for (size_t i = 0; i < sea_msg_size(call); i++)
        total += data[i];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t) (total >> 8 * i & 0xff);
    int r = sea_block_new(&block, sea_msg_conn(call), sizeof(bytes));
    if (r == 0)
        r = sea_block_fill(block, 0, bytes, sizeof(bytes));
    if (r == 0) {
        sea_reply(call, block);
    } else {
        sea_block_unref(block);
        sea_reply_error(call, r, "no block for the sum");
    }
}

static void refuse(sea_msg *call, void *user) {
    (void) user;
    sea_reply_error(call, -EACCES, "\x1b[31mnot you\n");
}

static void note(sea_msg *msg, void *user) {
    (void) user;
    if (notes_count < NOTES_MOST && sea_msg_size(msg) > 0)
        notes[notes_count++] = *(const char *) sea_msg_data(msg);
    sea_msg_release(msg);
}

static void noted(sea_msg *call, void *user) {
    (void) user;
    sea_reply_bytes(call, notes, notes_count);
    notes_count = 0;
}

static void hold(sea_msg *call, void *user) {
    (void) user;
    on_hold = call;
}

/* When the server releases a cancelled call, the library answers it with -ECANCELED. */
static void let_go(sea_msg *call, void *user) {
    (void) user;
    if (on_hold && sea_msg_is_cancelled(on_hold))
        sea_msg_release(on_hold);
    else if (on_hold)
        sea_reply(on_hold, NULL);
    on_hold = NULL;
    sea_reply(call, NULL);
}

static void make(sea_msg *call, void *user) {
    const uint8_t *wanted = sea_msg_data(call);
    size_t size = sea_msg_size(call) == 4 ? wanted[0] | (size_t) wanted[1] << 8 | (size_t) wanted[2] << 16 : 0;
    sea_block *block = NULL;
    (void) user;
    int r = sea_block_new(&block, sea_msg_conn(call), size);
    uint8_t *data = r == 0 ? sea_block_data(block) : NULL;
    if (!data) {
        sea_block_unref(block);
        sea_reply_error(call, r < 0 ? r : -ENOMEM, "no block");
        return;
    }
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t) (i % PRIME);
    sea_reply(call, block);
}

int main(int argc, char **argv) {
    static const sea_method methods[] = {
        {.number = 1, .name = "echo", .handler = echo},     {.number = 2, .name = "sum", .handler = sum},
        {.number = 3, .name = "refuse", .handler = refuse}, {.number = 4, .name = "note", .handler = note},
        {.number = 5, .name = "noted", .handler = noted},   {.number = 6, .name = "hold", .handler = hold},
        {.number = 7, .name = "let go", .handler = let_go}, {.number = 8, .name = "make", .handler = make}};
    /* The client wants replies of a quarter of the ring: four fill it. */
    const sea_options options = {SEA_METHODS(methods), .service = "echo", .ring_size = 1 << 14};
    sea_ctx *ctx = NULL;

    if (argc != 2) {
        fprintf(stderr, "usage: %s ADDRESS\n", argv[0]);
        return 2;
    }
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_server_new(&the_server, ctx, argv[1], &options);
    if (r == 0) {
        signal(SIGTERM, stop);
        puts("ready");
        fflush(stdout);
        r = sea_server_run(the_server);
    }
    if (r < 0)
        fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
    if (on_hold)
        sea_msg_release(on_hold);
    sea_server_free(the_server);
    sea_ctx_unref(ctx);
    return r < 0;
}
