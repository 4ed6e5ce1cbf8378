/* SPDX-License-Identifier: MIT */
/*
 * Sealane, through its public interface alone.
 *
 *     auto      the best way for the size, as the library says it (bench/auto.h): plain bytes where it would copy a
 *               block anyway, otherwise a block, whose class it chooses
 *     bytes     plain bytes, for any size
 *     block     a block, for any size
 *     stable    a server that only takes payloads that no process can change any more
 *     copy      a server that takes only copies
 *     snapshot  a server that takes all, and copies each payload into private memory before it reads it
 *     sealed    sealed blocks in base pages
 *     huge      sealed blocks in transparent 2 MiB pages, where the system grants them
 *     hugetlb   sealed blocks in pages of the hugetlb pool
 */
#include "auto.h"
#include "work.h"

#include <errno.h>
#include <poll.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METHOD = 1, BATCH = 32, COPY_MAX = 131072, NEVER = -1 };

static const char *const VARIANTS[] = {"auto",     "bytes",  "block", "stable",  "copy",
                                       "snapshot", "sealed", "huge",  "hugetlb", NULL};

static bool is(const struct cell *cell, const char *variant) {
    return strcmp(cell->variant, variant) == 0;
}

static int waiting(const struct cell *cell) {
    return cell->mode == WORK_SPIN ? SEA_WAIT_SPIN : cell->mode == WORK_SLEEP ? SEA_WAIT_SLEEP : SEA_WAIT_ADAPTIVE;
}

static void address_of(const struct cell *cell, char *ret_address, size_t size) {
    snprintf(ret_address, size, "unix:%s/socket", cell->dir);
}

/* Prints the library's explanation as well. */
static int explain(sea_ctx *ctx, int r) {
    sea_refusal refusal = {0};
    if (r < 0 && ctx)
        sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    if (r < 0 && refusal.error)
        fprintf(stderr, "bench: sealane: %s: %llu needed, %llu there; %s\n", refusal.limit,
                (unsigned long long) refusal.needed, (unsigned long long) refusal.available, refusal.advice);
    return r;
}

/* --- the server --- */

static char *private; /* for snapshots; NULL: payloads are read in place */

static void handle(sea_msg *msg, void *user) {
    struct cell *cell = user;
    char reply[256];
    const void *data = sea_msg_data(msg);
    cell_read(cell, private ? memcpy(private, data, cell->size) : data, sea_msg_size(msg));
    if (!sea_msg_is_call(msg)) {
        sea_msg_release(msg);
        cell_arrived(cell);
        return;
    }
    cell_write(cell, reply, cell->reply);
    sea_reply_bytes(msg, reply, cell->reply);
}

static uint32_t accepted(const struct cell *cell) {
    return is(cell, "stable") ? SEA_STABLE_ONLY : is(cell, "copy") ? SEA_INLINE : SEA_ANY_CLASS;
}

static int serve(struct cell *cell) {
    const sea_method methods[] = {{.number = METHOD, .name = "work", .handler = handle}};
    const sea_options options = {SEA_METHODS(methods),
                                 .user = cell,
                                 .accept = accepted(cell),
                                 .inline_max = is(cell, "copy") ? COPY_MAX : 0,
                                 .accept_hugetlb = is(cell, "hugetlb"),
                                 .waiting = waiting(cell)};
    char address[128];
    sea_server *server = NULL;
    sea_ctx *ctx = NULL;
    address_of(cell, address, sizeof(address));
    private = is(cell, "snapshot") ? malloc(cell->size) : NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0 && (r = sea_server_new(&server, ctx, address, &options)) == 0) {
        cell_ready(cell);
        r = sea_server_run(server);
    }
    return explain(ctx, r);
}

/* --- the client --- */

struct client {
    struct cell *cell;
    sea_ctx *ctx;
    sea_conn *conn;
    char *private;      /* memory for plain bytes */
    bool sends_bytes;   /* otherwise blocks */
    unsigned until_ask; /* "auto": payloads until the library is asked again for the better way */
    bool sealed;        /* the program chooses the blocks' class */
    unsigned flags;     /* flags for these blocks, SEA_BLOCK_... */
};

/* Asks the library which way is better, if it is time. */
static void client_choose(struct client *client) {
    if (client->until_ask == 0 || --client->until_ask > 0)
        return;
    client->sends_bytes = auto_sends_bytes(client->conn, client->cell->size);
    client->until_ask = AUTO_ASKS_EACH;
}

static int block_new(const struct client *client, sea_block **ret_block) {
    size_t size = client->cell->size;
    if (!client->sealed)
        return sea_block_new(ret_block, client->conn, size);
    int r = sea_block_new_sealed(ret_block, client->ctx, size, client->flags);
    return r == -ENOMEM && client->flags == SEA_BLOCK_HUGETLB ? -EOPNOTSUPP : r;
}

/* Makes a block with the next payload. */
static int block_written(const struct client *client, sea_block **ret_block) {
    int r = block_new(client, ret_block);
    if (r == 0) {
        void *data = sea_block_data(*ret_block);
        if (!data)
            return -ENOMEM;
        cell_write(client->cell, data, client->cell->size);
    }
    return r;
}

static int call(struct client *client) {
    struct cell *cell = client->cell;
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    int r;
    client_choose(client);
    if (client->sends_bytes) {
        cell_write(cell, client->private, cell->size);
        r = sea_call_bytes(client->conn, METHOD, client->private, cell->size, NEVER, &reply);
    } else {
        r = block_written(client, &block);
        if (r == 0)
            r = sea_call(client->conn, METHOD, block, NEVER, &reply);
    }
    if (r == 0)
        cell_read(cell, sea_msg_data(reply), sea_msg_size(reply));
    sea_msg_release(reply);
    return r;
}

static int tell(struct client *client) {
    sea_block *block = NULL;
    client_choose(client);
    if (client->sends_bytes) {
        cell_write(client->cell, client->private, client->cell->size);
        return sea_send_bytes(client->conn, METHOD, client->private, client->cell->size, NEVER);
    }
    int r = block_written(client, &block);
    return r < 0 ? r : sea_send(client->conn, METHOD, block, NEVER);
}

static int call_all(struct client *client) {
    int r = 0;
    while (r == 0 && cell_next(client->cell))
        r = call(client);
    if (r == 0 && client->cell->kind == WORK_IDLE)
        r = sea_conn_wait(client->conn, NEVER);
    return r;
}

/* Sends in batches: a sleeping server is woken once for each batch. */
static int tell_all(struct client *client) {
    bool more = true;
    int r = 0;
    while (r == 0 && more) {
        sea_batch_begin(client->conn);
        for (int i = 0; r == 0 && i < BATCH && (more = cell_next(client->cell)); i++)
            r = tell(client);
        sea_batch_end(client->conn);
    }
    while (r >= 0 && client->cell->clients == 1 && !cell_all_arrived(client->cell))
        r = sea_conn_wait(client->conn, 1);
    return r < 0 ? r : 0;
}

/* Notes the class and the pages that the block got, for the report. */
static void note_block(const struct client *client) {
    static const char *const PAGES[] = {"", ", 4 KiB pages", ", 2 MiB pages (THP)", ", 2 MiB pages (hugetlb)"};
    sea_block *block = NULL;
    char note[48] = "bytes";
    if (!client->sends_bytes && block_written(client, &block) == 0)
        snprintf(note, sizeof(note), "%s%s", sea_class_name(sea_block_class(block)), PAGES[sea_block_pages(block)]);
    sea_block_unref(block);
    cell_note(client->cell, note);
}

/* Sets the client up for the variant. */
static void client_init(struct client *client, struct cell *cell) {
    *client = (struct client){.cell = cell};
    client->sends_bytes = is(cell, "bytes");
    client->until_ask = is(cell, "auto");
    client->private = malloc(cell->size);
    client->sealed = is(cell, "sealed") || is(cell, "huge") || is(cell, "hugetlb");
    client->flags = is(cell, "sealed") ? SEA_BLOCK_NO_HUGE : is(cell, "hugetlb") ? SEA_BLOCK_HUGETLB : 0;
}

static int measure(struct cell *cell) {
    const sea_options options = {.waiting = waiting(cell)};
    struct client client;
    char address[128];
    client_init(&client, cell);
    address_of(cell, address, sizeof(address));
    int r = sea_ctx_new(&client.ctx, NULL);
    if (r == 0)
        r = sea_connect(&client.conn, client.ctx, address, &options);
    if (r == 0) {
        client_choose(&client);
        note_block(&client);
        r = cell->kind == WORK_ONEWAY ? tell_all(&client) : call_all(&client);
    }
    explain(client.ctx, r);
    sea_conn_free(client.conn);
    sea_ctx_unref(client.ctx);
    free(client.private);
    return r;
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "sealane",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                           .modes = WORK_ANY,
                                           .variants = VARIANTS,
                                           .fan_in = true,
                                           .serve = serve,
                                           .measure = measure};
    return work_main(argc, argv, &adapter, 1);
}
