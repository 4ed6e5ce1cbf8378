/* SPDX-License-Identifier: MIT */
/*
 * digestd: hashes sealed blocks with SHA-256, in place. It is a libuv server; digest is its client, and
 * common/digest_wire.h describes their protocol.
 *
 * Threads: the loop's thread does everything but hashing, and it also hashes small amounts, which are not worth a
 * hand-over. A worker reads the bytes of the chunks that it was given, and updates the hash states of their files; both
 * belong to the worker until it is done. A worker calls no function of Sealane.
 *
 * A file belongs to its client. Its states are
 *     idle    no chunk of it waits
 *     ready   in the server's queue: a chunk waits for a worker
 *     busy    a worker has it; on its return it becomes idle or ready again, or is freed
 * When its client goes while the file is busy, the file becomes an orphan: its client is NULL, and the worker's return
 * frees it.
 *
 * Bounds: a client has at most DIGEST_FILES_MAX files; the library limits the calls, blocks and bytes of a client; work
 * in progress is one batch for each worker. The server does not trust a client's bytes: it copies the header once, and
 * checks the copy before it uses it.
 */
#include <errno.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <sealane/uv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/digest_wire.h"
#include "common/program.h"

static const char help[] =
    "usage: digestd [OPTION]...\n"
    "\n"
    "Computes SHA-256 digests for digest, until SIGINT or SIGTERM.\n"
    "\n"
    "  -a, --address=ADDRESS      where to listen (default: digest); fd:3 for an inherited\n"
    "                             socket, as systemd passes one\n"
    "  -j, --jobs=N               threads that hash, 1 to 128 (default: one for each processor)\n"
    "      --max-block=SIZE       largest block that a client may send\n"
    "      --max-bytes=SIZE       limit of the bytes that one client's blocks take\n"
    "      --max-connections=N    limit of the clients at a time\n"
    "  -v, --verbose              report each client that connects or leaves, and\n"
    "                             print totals at the end\n"
    "  -h, --help                 print this text\n"
    "  -V, --version              print the version\n"
    "\n"
    "SIZE may end in k, M, G or T.\n";

#define BATCH_ITEMS 64         /* small files handed to a worker at once: a hand-over costs more than hashing them */
#define BATCH_BYTES (1u << 20) /* a batch with this many bytes takes no further files */
/* the loop's thread hashes less than this altogether itself: ten microseconds, and no hand-over */
#define SPOT_BYTES (16u << 10)
#define JOBS_MAX 128

enum { OPTION_MAX_BLOCK = 256, OPTION_MAX_BYTES, OPTION_MAX_CONNECTIONS };

/* A call that waits to be hashed. */
struct chunk {
    sea_msg *call;       /* owned */
    const uint8_t *data; /* borrowed from the call */
    size_t size;
    bool is_last;
    struct chunk *next;
};

struct file {
    struct client *client; /* NULL: an orphan */
    struct file *next;     /* next file of this client */
    struct file *next_ready;
    uint64_t id, next_chunk;
    EVP_MD_CTX *hash;           /* owned; the worker's while the file is busy */
    struct chunk *first, *last; /* owned */
    bool is_ready, is_busy;
    bool is_complete; /* its last chunk has arrived */
};

struct client {
    struct server *server;
    struct file *files; /* owned */
    size_t files_count;
};

struct item {
    struct file *file;
    struct chunk *chunk; /* owned */
    bool is_good;
    uint8_t digest[DIGEST_SIZE];
};

struct batch {
    uv_work_t work;
    struct server *server;
    struct item items[BATCH_ITEMS];
    size_t count;
    struct batch *next_free;
};

struct server {
    uv_loop_t *loop;
    uv_check_t check;
    uv_signal_t signals[2];
    sea_ctx *ctx;
    sea_server *sea;
    EVP_MD *sha256;
    struct file *first_ready, *last_ready;
    struct batch *batches, *free_batches; /* as many as there are jobs */
    unsigned jobs;
    bool is_verbose;
    uint64_t clients, files_done, bytes_done;
};

/* ---- files ---- */

static void chunk_release(struct chunk *chunk) {
    sea_msg_release(chunk->call);
    free(chunk);
}

static void file_free(struct file *file) {
    for (struct chunk *next, *chunk = file->first; chunk != NULL; chunk = next) {
        next = chunk->next;
        chunk_release(chunk);
    }
    EVP_MD_CTX_free(file->hash);
    free(file);
}

static struct file *file_find(struct client *client, uint64_t id) {
    struct file *file = client->files;
    while (file != NULL && file->id != id)
        file = file->next;
    return file;
}

static int file_new(struct file **ret_file, struct client *client, uint64_t id) {
    if (client->files_count >= DIGEST_FILES_MAX)
        return -EDQUOT;
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    file->hash = EVP_MD_CTX_new();
    if (file->hash == NULL || EVP_DigestInit_ex(file->hash, client->server->sha256, NULL) != 1) {
        file_free(file);
        return -ENOMEM;
    }
    file->client = client;
    file->id = id;
    file->next = client->files;
    client->files = file;
    client->files_count++;
    *ret_file = file;
    return 0;
}

/* Removes the file from its client; the caller frees it. */
static void file_detach(struct client *client, struct file *file) {
    struct file **link = &client->files;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    client->files_count--;
    file->client = NULL;
}

/* ---- the queue of ready files ---- */

static void ready_push(struct server *server, struct file *file) {
    if (file->is_ready || file->is_busy || file->first == NULL)
        return;
    file->is_ready = true;
    file->next_ready = NULL;
    if (server->first_ready == NULL)
        server->first_ready = file;
    else
        server->last_ready->next_ready = file;
    server->last_ready = file;
}

static struct file *ready_pop(struct server *server) {
    struct file *file = server->first_ready;
    server->first_ready = file->next_ready;
    file->is_ready = false;
    return file;
}

static void ready_remove(struct server *server, struct file *file) {
    struct file *before = NULL;
    if (!file->is_ready)
        return;
    for (struct file *f = server->first_ready; f != file; f = f->next_ready)
        before = f;
    if (before == NULL)
        server->first_ready = file->next_ready;
    else
        before->next_ready = file->next_ready;
    if (server->last_ready == file)
        server->last_ready = before;
    file->is_ready = false;
}

/* Forgets a file. If a worker has it, the worker's return frees it. */
static void file_drop(struct client *client, struct file *file) {
    ready_remove(client->server, file);
    file_detach(client, file);
    if (!file->is_busy)
        file_free(file);
}

/* ---- hashing ---- */

/* Runs on a worker's thread, or on the loop's thread for small amounts. */
static void batch_work(uv_work_t *work) {
    struct batch *batch = work->data;
    for (size_t i = 0; i < batch->count; i++) {
        struct item *item = &batch->items[i];
        EVP_MD_CTX *hash = item->file->hash;
        item->is_good = EVP_DigestUpdate(hash, item->chunk->data, item->chunk->size) == 1;
        if (item->is_good && item->chunk->is_last)
            item->is_good = EVP_DigestFinal_ex(hash, item->digest, NULL) == 1;
    }
}

static void answer_digest(sea_msg *call, const uint8_t digest[DIGEST_SIZE]) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, sea_msg_conn(call), DIGEST_SIZE);
    void *data = r == 0 ? sea_block_data(block) : NULL;
    if (data == NULL) {
        sea_block_unref(block);
        sea_reply_error(call, r < 0 ? r : -ENOMEM, "no room for the answer");
        return;
    }
    memcpy(data, digest, DIGEST_SIZE);
    sea_reply(call, block);
}

/* Updates the file's state before the answer, because answering may end the connection. */
static void item_done(struct server *server, struct item *item) {
    struct file *file = item->file;
    sea_msg *call = item->chunk->call;
    bool is_last = item->chunk->is_last;
    server->bytes_done += item->chunk->size;
    free(item->chunk);
    file->is_busy = false;
    if (file->client == NULL) {
        file_free(file);
        sea_msg_release(call);
    } else if (!item->is_good) {
        file_drop(file->client, file);
        sea_reply_error(call, -EIO, "the hash function failed");
    } else if (is_last) {
        server->files_done++;
        file_drop(file->client, file);
        answer_digest(call, item->digest);
    } else {
        ready_push(server, file);
        sea_reply(call, NULL);
    }
}

static void batch_done(uv_work_t *work, int status) {
    struct batch *batch = work->data;
    struct server *server = batch->server;
    (void) status; /* no work is ever cancelled */
    for (size_t i = 0; i < batch->count; i++)
        item_done(server, &batch->items[i]);
    batch->next_free = server->free_batches;
    server->free_batches = batch;
}

/* Takes the first chunk of each ready file: one chunk for each file, because a file's chunks have an order. */
static void batch_start(struct server *server) {
    struct batch *batch = server->free_batches;
    size_t bytes = 0;
    server->free_batches = batch->next_free;
    for (batch->count = 0; batch->count < BATCH_ITEMS && bytes < BATCH_BYTES && server->first_ready != NULL;) {
        struct item *item = &batch->items[batch->count++];
        item->file = ready_pop(server);
        item->file->is_busy = true;
        item->chunk = item->file->first;
        item->file->first = item->chunk->next;
        bytes += item->chunk->size;
    }
    if (bytes < SPOT_BYTES) {
        batch_work(&batch->work);
        batch_done(&batch->work, 0);
    } else {
        uv_queue_work(server->loop, &batch->work, batch_work, batch_done);
    }
}

/* Runs at the end of each turn of the loop, so that chunks that arrived together go into one batch. */
static void on_check(uv_check_t *check) {
    struct server *server = check->data;
    while (server->free_batches != NULL && server->first_ready != NULL)
        batch_start(server);
}

/* ---- calls ---- */

/* Returns NULL, or a text that says why the message is malformed. */
static const char *header_read(const sea_msg *call, struct digest_header *ret_header) {
    static const uint64_t zeros[4];
    if (!sea_msg_is_stable(call) || sea_msg_size(call) < sizeof *ret_header)
        return "not a chunk of a file";
    memcpy(ret_header, sea_msg_data(call), sizeof *ret_header);
    if (ret_header->magic != DIGEST_MAGIC || (ret_header->flags & ~(uint32_t) DIGEST_FLAGS) != 0 ||
        memcmp(ret_header->reserved, zeros, sizeof zeros) != 0)
        return "a header of another kind";
    if (ret_header->bytes != sea_msg_size(call) - sizeof *ret_header)
        return "the header tells another size than the message has";
    return NULL;
}

/* Finds the file of a chunk; a chunk 0 begins a file. */
static int file_for_chunk(struct client *client, const struct digest_header *header, struct file **ret_file) {
    if (client == NULL)
        return -ENOMEM; /* the connection is closed with this error */
    struct file *file = file_find(client, header->file);
    if (file == NULL && header->chunk == 0)
        return file_new(ret_file, client, header->file);
    if (file == NULL)
        return -ENOENT;
    if (file->is_complete || file->next_chunk != header->chunk) {
        file_drop(client, file);
        return -EBADMSG;
    }
    *ret_file = file;
    return 0;
}

static int chunk_queue(struct file *file, sea_msg *call, bool is_last) {
    struct chunk *chunk = calloc(1, sizeof *chunk);
    if (chunk == NULL)
        return -ENOMEM;
    chunk->call = call;
    chunk->data = (const uint8_t *) sea_msg_data(call) + sizeof(struct digest_header);
    chunk->size = sea_msg_size(call) - sizeof(struct digest_header);
    chunk->is_last = is_last;
    if (file->first == NULL)
        file->first = chunk;
    else
        file->last->next = chunk;
    file->last = chunk;
    file->next_chunk++;
    file->is_complete = is_last;
    return 0;
}

static void on_chunk(sea_msg *call, void *user) {
    struct server *server = user;
    struct client *client = sea_conn_data(sea_msg_conn(call));
    struct digest_header header;
    struct file *file = NULL;
    const char *wrong = header_read(call, &header);
    int r = wrong != NULL ? -EBADMSG : file_for_chunk(client, &header, &file);
    if (r == 0 && (header.flags & DIGEST_ABANDON) != 0) {
        file_drop(client, file);
        sea_reply(call, NULL);
        return;
    }
    if (r == 0) {
        r = chunk_queue(file, call, (header.flags & DIGEST_LAST) != 0);
        if (r < 0)
            file_drop(client, file);
    }
    if (r < 0)
        sea_reply_error(call, r, wrong);
    else
        ready_push(server, file);
}

/* ---- clients ---- */

static void on_open(sea_conn *conn, void *user) {
    struct server *server = user;
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        sea_conn_close(conn);
        return;
    }
    client->server = server;
    server->clients++;
    sea_conn_set_data(conn, client);
    if (server->is_verbose)
        program_say("process %d of user %u connected", (int) sea_conn_peer(conn)->pid, sea_conn_peer(conn)->uid);
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct server *server = user;
    struct client *client = sea_conn_data(conn);
    if (server->is_verbose)
        program_say("process %d left: %s%s%s", (int) sea_conn_peer(conn)->pid,
                    event->reason == 0 ? "done" : strerror(-event->reason), *event->text != '\0' ? ": " : "",
                    event->text);
    while (client != NULL && client->files != NULL)
        file_drop(client, client->files);
    free(client);
}

/* ---- the program ---- */

static void sum_up(const struct server *server) {
    uint64_t figures[SEA_FIGURES];
    sea_ctx_figures(server->ctx, figures, SEA_FIGURES);
    program_sum_up("clients", "%llu", (unsigned long long) server->clients);
    program_sum_up("files", "%llu", (unsigned long long) server->files_done);
    program_sum_up("bytes", "%llu", (unsigned long long) server->bytes_done);
    program_sum_up("bytes copied", "%llu", (unsigned long long) figures[SEA_FIGURE_COPIED_BYTES]);
    program_sum_up("refused", "%llu blocks", (unsigned long long) figures[SEA_FIGURE_REFUSALS]);
    for (unsigned i = SEA_FIGURE_REFUSALS + 1; i < SEA_FIGURES; i++)
        if (figures[i] > 0 && strcmp(sea_ctx_figure(i)->unit, "refusals") == 0)
            program_sum_up("", "%llu %s", (unsigned long long) figures[i], sea_ctx_figure(i)->name);
    program_sum_up("faults", "%llu", (unsigned long long) figures[SEA_FIGURE_FAULTS]);
}

/* Ends the clients and all handles. The loop ends when the workers have finished. */
static void on_signal(uv_signal_t *handle, int number) {
    struct server *server = handle->data;
    (void) number;
    server->sea = sea_server_free(server->sea);
    uv_close((uv_handle_t *) &server->check, NULL);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *) &server->signals[i], NULL);
}

/* On a new loop these calls fail only for want of memory or descriptors, and then the first one reports the error. */
static int handles_start(struct server *server) {
    static const int numbers[] = {SIGINT, SIGTERM};
    int r = uv_check_init(server->loop, &server->check);
    server->check.data = server;
    if (r == 0)
        r = uv_check_start(&server->check, on_check);
    for (int i = 0; i < 2 && r == 0; i++) {
        r = uv_signal_init(server->loop, &server->signals[i]);
        server->signals[i].data = server;
        if (r == 0)
            r = uv_signal_start(&server->signals[i], on_signal, numbers[i]);
    }
    return r;
}

static int batches_new(struct server *server) {
    char threads[16];
    server->batches = calloc(server->jobs, sizeof *server->batches);
    if (server->batches == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < server->jobs; i++) {
        struct batch *batch = &server->batches[i];
        batch->server = server;
        batch->work.data = batch;
        batch->next_free = server->free_batches;
        server->free_batches = batch;
    }
    snprintf(threads, sizeof threads, "%u", server->jobs);
    return uv_os_setenv("UV_THREADPOOL_SIZE", threads); /* libuv reads it at the first use of the pool */
}

static int serve(struct server *server, const char *address, sea_options *options) {
    static const sea_method methods[] = {{.number = DIGEST_CHUNK, .name = "chunk", .handler = on_chunk}};
    char reason[512];
    options->methods = methods;
    options->methods_count = 1;
    options->method_size = sizeof(sea_method);
    options->user = server;
    options->on_open = on_open;
    options->on_close = on_close;
    options->accept = SEA_STABLE_ONLY;
    int r = sea_uv_server_new(&server->sea, server->ctx, server->loop, address, options);
    if (r == -EADDRINUSE)
        program_say("there is a server at '%s' already", address);
    else if (r < 0)
        program_say("cannot listen at '%s': %s", address, program_reason(server->ctx, r, reason, sizeof reason));
    if (r < 0)
        return PROGRAM_TROUBLE;
    r = handles_start(server);
    if (r < 0) {
        program_say("cannot prepare the event loop: %s", uv_strerror(r));
        return PROGRAM_TROUBLE;
    }
    if (server->is_verbose)
        program_say("listening at %s", sea_server_address(server->sea));
    uv_run(server->loop, UV_RUN_DEFAULT);
    uv_loop_close(server->loop);
    if (server->is_verbose)
        sum_up(server);
    return PROGRAM_OK;
}

static int run(struct server *server, const char *address, uint64_t peer_bytes, sea_options *options) {
    sea_ctx_options ctx_options = {.peer_bytes = peer_bytes};
    int r = sea_ctx_new(&server->ctx, &ctx_options);
    int status = PROGRAM_TROUBLE;
    server->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (r == 0)
        r = batches_new(server);
    if (r < 0)
        program_say("cannot start: %s", strerror(-r));
    else if (server->sha256 == NULL)
        program_say("libcrypto has no SHA-256");
    else
        status = serve(server, address, options);
    free(server->batches);
    EVP_MD_free(server->sha256);
    sea_ctx_unref(server->ctx);
    return status;
}

int main(int argc, char **argv) {
    static const struct option long_options[] = {
        {"address", required_argument, NULL, 'a'},
        {"jobs", required_argument, NULL, 'j'},
        {"max-block", required_argument, NULL, OPTION_MAX_BLOCK},
        {"max-bytes", required_argument, NULL, OPTION_MAX_BYTES},
        {"max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    const char *address = DIGEST_ADDRESS;
    struct server server = {.loop = uv_default_loop(), .jobs = uv_available_parallelism()};
    sea_options options = {0};
    uint64_t peer_bytes = 0;
    program_start("digestd");
    for (int option; (option = getopt_long(argc, argv, "a:j:vhV", long_options, NULL)) != -1;) {
        switch (option) {
        case 'a':
            address = optarg;
            break;
        case 'j':
            server.jobs = (unsigned) program_number("--jobs", optarg, 1, JOBS_MAX);
            break;
        case OPTION_MAX_BLOCK:
            options.block_max = program_size("--max-block", optarg, 1, INT64_MAX);
            break;
        case OPTION_MAX_BYTES:
            peer_bytes = options.bytes_max = program_size("--max-bytes", optarg, 1, INT64_MAX);
            break;
        case OPTION_MAX_CONNECTIONS:
            options.connections_max = (uint32_t) program_number("--max-connections", optarg, 1, UINT32_MAX);
            break;
        case 'v':
            server.is_verbose = true;
            break;
        default:
            program_other_option(option, help);
        }
    }
    if (optind < argc)
        program_bad_usage("the program takes no arguments, but got '%s'", argv[optind]);
    return run(&server, address, peer_bytes, &options);
}
