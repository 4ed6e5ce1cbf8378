/* SPDX-License-Identifier: MIT */
/*
 * A client of digestd that lies, through the library's public interface: it keeps the protocol of the connection, but
 * not the protocol between digest and digestd. Each lie has the answer that it must get. Usage: lying_digest ADDRESS.
 * test_digest_trouble.sh runs it. Exit status 0: all answers were right.
 */
#include <errno.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../examples/common/digest_wire.h"

#define TIMEOUT_MS 20000

static sea_ctx *ctx;
static sea_conn *conn;
static int failed;

static void expect(const char *what, int expected, int actual) {
    if (expected == actual)
        return;
    fprintf(stderr, "%s: %s instead of %s\n", what, strerror(-actual), strerror(-expected));
    failed = 1;
}

/* Makes a block with the first `size` bytes of the header, and zeros behind it if the block is larger. */
static sea_block *block_of(const struct digest_header *header, size_t size, bool is_inline) {
    sea_block *block;
    int r = is_inline ? sea_block_new(&block, conn, size) : sea_block_new_sealed(&block, ctx, size, 0);
    if (r < 0) {
        fprintf(stderr, "no block: %s\n", strerror(-r));
        exit(2);
    }
    if (size > 0)
        memcpy(sea_block_data(block), header, size < sizeof *header ? size : sizeof *header);
    return block;
}

static struct digest_header header_of(uint64_t file, uint64_t chunk, uint32_t flags, uint64_t bytes) {
    return (struct digest_header){DIGEST_MAGIC, flags, file, chunk, bytes, {0}};
}

static int ask(const struct digest_header *header, size_t size) {
    sea_msg *reply = NULL;
    int r = sea_call(conn, DIGEST_CHUNK, block_of(header, size, false), TIMEOUT_MS, &reply);
    sea_msg_release(reply);
    return r;
}

/* Makes an honest chunk of `bytes` zeros. */
static int chunk(uint64_t file, uint64_t number, uint32_t flags, size_t bytes) {
    struct digest_header header = header_of(file, number, flags, bytes);
    return ask(&header, sizeof header + bytes);
}

static void try_headers(void) {
    struct digest_header good = header_of(1, 0, DIGEST_LAST, 10), bad;
    size_t size = sizeof good + 10;
    expect("nothing", -EBADMSG, ask(&good, 0));
    expect("half a header", -EBADMSG, ask(&good, sizeof good - 1));
    bad = good, bad.magic++;
    expect("another magic", -EBADMSG, ask(&bad, size));
    bad = good, bad.flags |= 4;
    expect("an unknown flag", -EBADMSG, ask(&bad, size));
    bad = good, bad.reserved[3] = 1;
    expect("a reserved field", -EBADMSG, ask(&bad, size));
    bad = good, bad.bytes++;
    expect("fewer bytes than told", -EBADMSG, ask(&bad, size));
    bad = good, bad.bytes--;
    expect("more bytes than told", -EBADMSG, ask(&bad, size));
    bad = good, bad.bytes = UINT64_MAX - 53;
    expect("a size that overflows", -EBADMSG, ask(&bad, size));
    expect("the truth", 0, ask(&good, size));
}

static void try_order(void) {
    expect("the middle of nothing", -ENOENT, chunk(2, 1, 0, 5));
    expect("a first chunk", 0, chunk(2, 0, 0, 5));
    expect("a gap", -EBADMSG, chunk(2, 2, 0, 5));
    expect("after a gap the file is forgotten", -ENOENT, chunk(2, 1, 0, 5));
    expect("the first chunk", 0, chunk(2, 0, 0, 5));
    expect("the first chunk again", -EBADMSG, chunk(2, 0, 0, 5));
    expect("abandoning at once", 0, chunk(2, 0, DIGEST_ABANDON, 0));
    expect("begin", 0, chunk(2, 0, 0, 100000));
    expect("abandon", 0, chunk(2, 1, DIGEST_ABANDON, 0));
    expect("after that", -ENOENT, chunk(2, 2, DIGEST_LAST, 0));
    expect("an id that is free again", 0, chunk(2, 0, DIGEST_LAST, 0));
}

static void try_many(void) {
    for (uint64_t i = 0; i < DIGEST_FILES_MAX; i++)
        expect("as many files as allowed", 0, chunk(1000 + i, 0, 0, 1));
    expect("one more", -EDQUOT, chunk(1, 0, 0, 1));
    expect("ending one of them", 0, chunk(1000, 1, DIGEST_LAST, 1));
    expect("then one more", 0, chunk(1, 0, 0, 1));
    /* The files stay unfinished: the server forgets them with the connection. */
}

struct pair {
    int done, status[2];
};

static void on_first(sea_conn *c, int status, sea_msg *reply, void *user) {
    struct pair *pair = user;
    (void) c;
    pair->status[0] = status;
    pair->done++;
    sea_msg_release(reply);
}

static void on_second(sea_conn *c, int status, sea_msg *reply, void *user) {
    struct pair *pair = user;
    (void) c;
    pair->status[1] = status;
    pair->done++;
    sea_msg_release(reply);
}

/* No chunk may follow the last one. If the worker still has the last chunk, the file is forgotten and its call
 * answered with -ECANCELED; otherwise the file is unknown by now. */
static void try_while_busy(uint32_t second_flags) {
    struct pair pair = {0};
    size_t bytes = 8 << 20;
    struct digest_header first = header_of(3, 0, DIGEST_LAST, bytes), second = header_of(3, 1, second_flags, 0);
    expect("sending", 0,
           sea_call_start(conn, DIGEST_CHUNK, block_of(&first, sizeof first + bytes, false), TIMEOUT_MS, on_first,
                          &pair, NULL));
    expect("sending", 0,
           sea_call_start(conn, DIGEST_CHUNK, block_of(&second, sizeof second, false), TIMEOUT_MS, on_second, &pair,
                          NULL));
    while (pair.done < 2 && sea_conn_wait(conn, TIMEOUT_MS) > 0) {
    }
    expect("both are answered", 2, pair.done);
    expect("the first of two", pair.status[1] == -ENOENT ? 0 : -ECANCELED, pair.status[0]);
    expect("the second of two", pair.status[0] == 0 ? -ENOENT : -EBADMSG, pair.status[1]);
}

static void try_classes(void) {
    static const uint8_t of_nothing[] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14};
    struct digest_header header = header_of(4, 0, DIGEST_LAST, 0);
    sea_msg *reply = NULL;
    expect("inline", 0, sea_call(conn, DIGEST_CHUNK, block_of(&header, sizeof header, true), TIMEOUT_MS, &reply));
    if (reply != NULL && (sea_msg_size(reply) != DIGEST_SIZE || memcmp(sea_msg_data(reply), of_nothing, 8) != 0))
        expect("the digest of nothing", 0, -EBADMSG);
    sea_msg_release(reply);
    reply = NULL;
    expect("no payload", -EBADMSG, sea_call(conn, DIGEST_CHUNK, NULL, TIMEOUT_MS, &reply));
    sea_msg_release(reply);
    reply = NULL;
    expect("a method that is not there", -ENOSYS, sea_call(conn, 99, NULL, TIMEOUT_MS, &reply));
    sea_msg_release(reply);
}

int main(int argc, char **argv) {
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_connect(&conn, ctx, argc > 1 ? argv[1] : DIGEST_ADDRESS, NULL);
    if (r < 0) {
        fprintf(stderr, "lying_digest: %s\n", strerror(-r));
        return 2;
    }
    try_headers();
    try_order();
    try_classes();
    try_while_busy(0);
    try_while_busy(DIGEST_ABANDON);
    try_many();
    expect("the connection", 1, sea_conn_is_open(conn));
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return failed;
}
