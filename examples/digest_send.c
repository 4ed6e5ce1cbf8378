/* SPDX-License-Identifier: MIT */
/*
 * The pipeline of digest; see digest_send.h.
 *
 * Files stand in a ring in the order of the arguments. Indices only grow; a file is at ring[index % RING_SIZE]:
 *
 *     head <= next <= tail <= head + RING_SIZE
 *     [head, next)  opened: being read, waiting for answers, or finished behind an older one that is not
 *     [next, tail)  not opened yet
 *
 * Up to READING_MAX files are open at a time and take turns, so that the server can hash several large files in
 * parallel; the chunks of one file go out in order. A file is finished when nothing is left to read and none of its
 * calls is in flight.
 *
 * The kernel moves the bytes from file to block. This program writes only the headers, in place.
 */
#include "digest_send.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/input.h"
#include "common/progress.h"

#define RING_SIZE 1024     /* names and results held: how far small files may run ahead of a large one */
#define READING_MAX 4      /* files that are open at a time */
#define FILE_CALLS_MAX 3   /* one chunk being hashed, one waiting, one on its way */
#define CHUNKS_IN_FLIGHT 8 /* this many chunk sizes are the limit of bytes in flight, for any number of calls */
#define UNKNOWN_SIZE 65536 /* the first block for input of unknown length; each next block is four times as large */
#define TICK_MS 100        /* see needs_ticks() */
#define HEADER sizeof(struct digest_header)

struct file {
    char *name; /* owned */
    enum sender_origin origin;
    int fd;            /* owned unless it is standard input; -1 before and after reading */
    bool can_wait;     /* reading it may wait for another process */
    bool is_read;      /* all its chunks are sent */
    uint64_t id;       /* index in the ring when it was added */
    uint64_t size;     /* by the newest fstat(); 0 when the file system does not know */
    uint64_t position; /* bytes sent, or skipped already when standard input was inherited */
    uint64_t chunks;   /* sent */
    unsigned calls;    /* calls in flight */
    int error;
    char text[200];
    uint8_t digest[DIGEST_SIZE];
};

struct call {
    struct sender *sender;
    struct file *file;
    size_t bytes; /* bytes of the file in this call */
    bool is_last;
    struct call *next_free;
};

struct sender {
    struct sender_options options;
    sea_ctx *ctx;   /* one reference */
    sea_conn *conn; /* owned */
    struct file ring[RING_SIZE];
    uint64_t head, next, tail;
    struct file *reading[READING_MAX];
    size_t reading_count;
    struct call calls[SENDER_DEPTH_MAX];
    struct call *free_calls;
    unsigned calls_out;
    size_t bytes_out;       /* bytes in flight, headers included */
    sea_block *held_block;  /* refused with -EAGAIN and sent next; one reference */
    struct call *held_call; /* the call of held_block */
    int lost;               /* error that ended the connection, negative errno; 0: it is open */
    char lost_text[200];
    struct sender_figures figures;
};

/* ---- files ---- */

static void file_fail(struct file *file, int error, const char *text) {
    if (file->error != 0)
        return;
    file->error = error;
    snprintf(file->text, sizeof file->text, "%s", text);
}

/* Updates the file's size. Files without a size of their own (pipes, devices, most of /proc) get 0. */
static int file_look(struct file *file) {
    struct stat st;
    if (fstat(file->fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (file->origin == SENDER_FOUND && !S_ISREG(st.st_mode))
        return -ELOOP; /* replaced since the directory was read */
    file->can_wait = !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
    file->size = S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t) st.st_size : 0;
    return 0;
}

static bool is_stdin(const struct file *file) {
    return file->origin == SENDER_NAMED && strcmp(file->name, "-") == 0;
}

static int file_open(struct file *file) {
    if (is_stdin(file)) {
        off_t position = lseek(STDIN_FILENO, 0, SEEK_CUR);
        file->fd = STDIN_FILENO;
        file->position = position > 0 ? (uint64_t) position : 0;
    } else {
        /* A file that was found in a directory may have become a link, or a pipe that waits for its writer. */
        int flags = file->origin == SENDER_FOUND ? O_NOFOLLOW | O_NONBLOCK : 0;
        file->fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
        if (file->fd < 0)
            return -errno;
    }
    return file_look(file);
}

/* Closes the file: no further chunk of it will be sent. */
static void file_end_reading(struct sender *s, struct file *file) {
    if (file->fd > STDIN_FILENO)
        close(file->fd);
    file->fd = -1;
    file->is_read = true;
    for (size_t i = 0; i < s->reading_count; i++) {
        if (s->reading[i] == file)
            s->reading[i--] = s->reading[--s->reading_count];
    }
}

/* Chooses the size of the next chunk. For a file with a size, the rest of the file limits it; input of unknown
 * length begins with small chunks, because most of it is short. */
static size_t file_chunk_size(const struct sender *s, const struct file *file) {
    uint64_t most = s->options.chunk - HEADER;
    uint64_t want = UNKNOWN_SIZE - HEADER;
    if (file->size > file->position)
        want = file->size - file->position;
    else
        want <<= 2 * (file->chunks < 16 ? file->chunks : 16);
    return (size_t) (want < most ? want : most);
}

/* ---- calls ---- */

/* Takes a free call and accounts for it. */
static struct call *call_new(struct sender *s, struct file *file, size_t bytes, bool is_last) {
    struct call *call = s->free_calls;
    s->free_calls = call->next_free;
    *call = (struct call){.sender = s, .file = file, .bytes = bytes, .is_last = is_last};
    s->calls_out++;
    s->bytes_out += HEADER + bytes;
    file->calls++;
    return call;
}

static void call_free(struct call *call) {
    struct sender *s = call->sender;
    s->calls_out--;
    s->bytes_out -= HEADER + call->bytes;
    call->file->calls--;
    call->next_free = s->free_calls;
    s->free_calls = call;
}

/* ---- the connection ---- */

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct sender *s = user;
    (void) conn;
    s->lost = event->reason < 0 ? event->reason : -EPIPE;
    snprintf(s->lost_text, sizeof s->lost_text, "%s", event->text);
}

static void on_done(sea_conn *conn, int status, sea_msg *reply, void *user) {
    struct call *call = user;
    struct sender *s = call->sender;
    struct file *file = call->file;
    if (reply != NULL && sea_msg_class(reply) == SEA_INLINE)
        s->figures.inline_bytes += sea_msg_size(reply);
    if (!sea_conn_is_open(conn) && s->lost == 0)
        s->lost = -EPIPE; /* on_close will store the exact error */
    if (status < 0)
        file_fail(file, status, reply != NULL ? sea_msg_text(reply) : status == -ETIMEDOUT ? "no answer in time" : "");
    else if (call->is_last && sea_msg_size(reply) == DIGEST_SIZE)
        memcpy(file->digest, sea_msg_data(reply), DIGEST_SIZE);
    else if (call->is_last)
        file_fail(file, -EPROTO, "the server answered with something that is no digest");
    if (status == 0)
        s->figures.bytes += call->bytes;
    call_free(call);
    sea_msg_release(reply);
}

/* Handles the messages that have arrived; waits for them at most `timeout_ms` (< 0: without end). */
static int sender_wait(struct sender *s, int timeout_ms) {
    int r = sea_conn_wait(s->conn, timeout_ms);
    if (r < 0 && s->lost == 0)
        s->lost = r;
    progress_show(s->figures.files, s->figures.bytes);
    return s->lost;
}

/* sea_conn_wait() returns when a message arrives. New room in the queue and the end of a call's time are no
 * messages, so waiting for them takes ticks. */
static bool needs_ticks(const struct sender *s) {
    return s->held_block != NULL || s->options.timeout_ms >= 0 || progress_is_on();
}

/* Waits until `fd`, which may never become ready, has input, and drives the connection meanwhile. */
static int sender_wait_input(struct sender *s, int fd) {
    for (;;) {
        struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                               {.fd = sea_conn_fd(s->conn), .events = sea_conn_events(s->conn)}};
        if (poll(fds, 2, needs_ticks(s) ? TICK_MS : sea_conn_prepare(s->conn)) < 0 && errno != EINTR)
            return -errno;
        int r = sender_wait(s, 0);
        if (r < 0)
            return r;
        if (fds[0].revents != 0)
            return 0;
    }
}

/* ---- chunks ---- */

/* Moves up to `want` bytes of the file into the block; fewer bytes mean the end of the file. */
static int64_t chunk_fill(struct sender *s, struct file *file, sea_block *block, size_t want) {
    size_t filled = 0;
    while (filled < want) {
        size_t part = want - filled;
        if (file->can_wait) {
            int r = sender_wait_input(s, file->fd);
            if (r < 0)
                return r;
            size_t ready = input_ready(file->fd);
            part = ready < part ? ready : part;
        }
        int64_t n = sea_block_fill_file(block, HEADER + filled, file->fd, -1, part);
        if (n == -EAGAIN || n == -EINTR)
            continue;
        if (n < 0)
            return n;
        if (n == 0)
            break;
        filled += (size_t) n;
    }
    return (int64_t) filled;
}

/* Reads the next chunk of the file into a new block, behind a header. */
static int chunk_new(struct sender *s, struct file *file, sea_block **ret_block, size_t *ret_bytes, bool *ret_is_last) {
    sea_block *block;
    size_t want = file_chunk_size(s, file);
    int r = sea_block_new_sealed(&block, s->ctx, HEADER + want, 0);
    if (r < 0)
        return r;
    int64_t bytes = chunk_fill(s, file, block, want);
    bool is_last = bytes >= 0 && (size_t) bytes < want;
    r = bytes < 0 ? (int) bytes : 0;
    if (is_last) {
        r = sea_block_shrink(block, HEADER + (size_t) bytes);
    } else if (r == 0 && file->size != 0) {
        r = file_look(file); /* the file may have grown */
        is_last = file->position + (uint64_t) bytes >= file->size;
    }
    struct digest_header *header = r == 0 ? sea_block_data(block) : NULL;
    if (header == NULL) {
        sea_block_unref(block);
        return r < 0 ? r : -ENOMEM;
    }
    *header =
        (struct digest_header){DIGEST_MAGIC, is_last ? DIGEST_LAST : 0, file->id, file->chunks, (uint64_t) bytes, {0}};
    *ret_block = block;
    *ret_bytes = (size_t) bytes;
    *ret_is_last = is_last;
    return 0;
}

/* Makes a block with a header alone, which tells the server to forget the file. */
static int chunk_new_abandon(struct sender *s, struct file *file, sea_block **ret_block) {
    sea_block *block;
    int r = sea_block_new_sealed(&block, s->ctx, HEADER, 0);
    if (r < 0)
        return r;
    struct digest_header *header = sea_block_data(block);
    if (header == NULL) {
        sea_block_unref(block);
        return -ENOMEM;
    }
    *header = (struct digest_header){DIGEST_MAGIC, DIGEST_ABANDON, file->id, file->chunks, 0, {0}};
    *ret_block = block;
    return 0;
}

/* ---- sending ---- */

/* Returns true for a shortage of memory, quota or descriptors that ends when one of the `calls` in flight ends. */
static bool is_short_for_now(unsigned calls, int error) {
    return error == -EAGAIN || (calls > 0 && (error == -ENOMEM || error == -EDQUOT || error == -EMFILE));
}

/* Begins the call. Takes `block`. When the queue has no room, keeps the block for the next try. */
static int call_send(struct sender *s, struct call *call, sea_block *block) {
    struct file *file = call->file;
    int r = sea_call_start(s->conn, DIGEST_CHUNK, sea_block_ref(block), s->options.timeout_ms, on_done, call, NULL);
    if (is_short_for_now(s->calls_out - 1, r)) {
        s->held_block = block;
        s->held_call = call;
        return -EAGAIN;
    }
    sea_block_unref(block);
    if (r == 0) {
        s->figures.blocks++;
        return 0;
    }
    call_free(call);
    if (r == -EPIPE || r == -EPROTO)
        return s->lost = r;
    file_fail(file, r, r == -EMSGSIZE ? "the server takes no blocks of this size: see --block" : "");
    file_end_reading(s, file);
    return 0;
}

static int call_send_held(struct sender *s) {
    sea_block *block = s->held_block;
    s->held_block = NULL;
    return call_send(s, s->held_call, block);
}

/* Sends the next piece of `file`. Returns 0, or -EAGAIN: the caller waits first. */
static int file_send(struct sender *s, struct file *file) {
    sea_block *block = NULL;
    size_t bytes = 0;
    bool is_last = false;
    int r = file->error != 0 ? 0 : chunk_new(s, file, &block, &bytes, &is_last);
    if (s->lost != 0)
        return s->lost;
    if (is_short_for_now(s->calls_out, r))
        return -EAGAIN;
    if (r < 0)
        file_fail(file, r, "");
    /* if this fails as well: the server forgets every file when the connection ends */
    if (file->error != 0 && file->chunks > 0)
        chunk_new_abandon(s, file, &block);
    file->position += bytes;
    file->chunks++;
    if (is_last || file->error != 0)
        file_end_reading(s, file);
    return block != NULL ? call_send(s, call_new(s, file, bytes, is_last), block) : 0;
}

static bool is_stdin_open(const struct sender *s) {
    for (size_t i = 0; i < s->reading_count; i++) {
        if (s->reading[i]->fd == STDIN_FILENO)
            return true;
    }
    return false;
}

/* Chooses the file to send from: an open file with few calls in flight, or a new one. NULL: there is none now. */
static struct file *next_file(struct sender *s) {
    for (size_t i = 0; i < s->reading_count; i++) {
        if (s->reading[i]->calls < FILE_CALLS_MAX)
            return s->reading[i];
    }
    while (s->reading_count < READING_MAX && s->next < s->tail) {
        struct file *file = &s->ring[s->next % RING_SIZE];
        if (is_stdin(file) && is_stdin_open(s))
            return NULL; /* the order is sequential */
        int r = file->error != 0 ? file->error : file_open(file);
        if ((r == -EMFILE || r == -ENFILE) && s->calls_out > 0)
            return NULL;
        s->next++;
        if (r == 0)
            return s->reading[s->reading_count++] = file;
        file_fail(file, r, "");
        file_end_reading(s, file);
    }
    return NULL;
}

static bool has_room(const struct sender *s) {
    return s->calls_out == 0 ||
           (s->calls_out < s->options.depth && s->bytes_out < s->options.chunk * (CHUNKS_IN_FLIGHT - 1));
}

/* Sends as many chunks as may be in flight. */
static int sender_send(struct sender *s) {
    int r = 0;
    if (s->held_block != NULL)
        r = call_send_held(s);
    while (r == 0 && has_room(s)) {
        struct file *file = next_file(s);
        if (file == NULL)
            break;
        r = file_send(s, file);
    }
    if (s->lost != 0)
        return sender_wait(s, 0); /* a last message of the server may still be unread */
    return r == -EAGAIN ? 0 : r;
}

/* ---- results ---- */

static void show_finished(struct sender *s) {
    while (s->head < s->next && s->ring[s->head % RING_SIZE].is_read && s->ring[s->head % RING_SIZE].calls == 0) {
        struct file *file = &s->ring[s->head++ % RING_SIZE];
        struct sender_result result = {.name = file->name, .error = file->error, .text = file->text};
        memcpy(result.digest, file->digest, DIGEST_SIZE);
        if (file->error == 0)
            s->figures.files++;
        s->options.show(&result, s->options.user);
        free(file->name);
        file->name = NULL;
    }
}

/* Sends and receives until at most `most` files are left. */
static int sender_run(struct sender *s, uint64_t most) {
    for (;;) {
        int r = sender_send(s);
        if (r < 0)
            return r;
        show_finished(s);
        if (s->tail - s->head <= most)
            return 0;
        r = sender_wait(s, needs_ticks(s) ? TICK_MS : -1);
        if (r < 0)
            return r;
    }
}

int sender_add(struct sender *s, const char *name, enum sender_origin origin, int error) {
    int r = sender_run(s, RING_SIZE - 1);
    if (r < 0)
        return r;
    struct file *file = &s->ring[s->tail % RING_SIZE];
    *file = (struct file){.name = strdup(name), .origin = origin, .fd = -1, .id = s->tail, .error = error};
    if (file->name == NULL)
        return -ENOMEM;
    s->tail++;
    return sender_send(s);
}

int sender_finish(struct sender *s) {
    return sender_run(s, 0);
}

const char *sender_text(const struct sender *s) {
    return s->lost_text;
}

void sender_figures(const struct sender *s, struct sender_figures *ret_figures) {
    *ret_figures = s->figures;
}

int sender_new(struct sender **ret_sender, sea_ctx *ctx, const struct sender_options *options) {
    struct sender *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->options = *options;
    s->ctx = sea_ctx_ref(ctx);
    for (size_t i = 0; i < SENDER_DEPTH_MAX; i++) {
        s->calls[i].next_free = s->free_calls;
        s->free_calls = &s->calls[i];
    }
    const sea_options conn_options = {.on_close = on_close, .user = s};
    int r = sea_connect(&s->conn, ctx, options->address, &conn_options);
    if (r < 0) {
        sender_free(s);
        return r;
    }
    *ret_sender = s;
    return 0;
}

struct sender *sender_free(struct sender *s) {
    if (s == NULL)
        return NULL;
    sea_conn_free(s->conn); /* this ends the calls in flight, and their on_done still needs the files */
    sea_block_unref(s->held_block);
    for (uint64_t i = s->head; i < s->tail; i++) {
        struct file *file = &s->ring[i % RING_SIZE];
        if (file->fd > STDIN_FILENO)
            close(file->fd);
        free(file->name);
    }
    sea_ctx_unref(s->ctx);
    free(s);
    return NULL;
}
