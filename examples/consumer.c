/* SPDX-License-Identifier: MIT */
/*
 * consumer: receives a producer's stream and reads each block in place. common/stream_wire.h describes the messages.
 *
 * One thread, one poll(): the connection's descriptor and the signals' descriptor. The consumer reads every byte for
 * the checksum; with --output it also writes every byte out, straight from the block. With --hold it keeps references
 * to messages: the producer sees these as leases.
 *
 * The consumer does not trust the producer: it checks the form of the end message, and compares its totals with the
 * blocks that arrived.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/program.h"
#include "common/stop.h"
#include "common/stream_wire.h"

static const char help[] =
    "usage: consumer [OPTION]...\n"
    "\n"
    "Receives the stream of a producer, block by block, and reads it in place.\n"
    "\n"
    "  -a, --address=ADDRESS  where the producer listens (default: stream)\n"
    "      --verify           compare a checksum with the producer's (see its --checksum)\n"
    "  -o, --output=FILE      write the stream to FILE; - is standard output\n"
    "      --delay=MS         wait MS milliseconds after each block\n"
    "      --hold=N           keep the newest N blocks\n"
    "      --window=N         blocks to have at a time, more than --hold keeps (default: 16 more)\n"
    "      --hugetlb          also accept blocks in hugetlb pages, from a producer that you trust\n"
    "  -q, --quiet            print no summary\n"
    "  -h, --help             print this text\n"
    "  -V, --version          print the version\n"
    "\n"
    "Exit status: 0 the whole stream came, 1 it did not, or not as it was sent, 2 it could not begin,\n"
    "130 interrupted.\n";

#define WINDOW_DEFAULT 16
#define WINDOW_MAX 1000000

enum { OPTION_VERIFY = 256, OPTION_DELAY, OPTION_HOLD, OPTION_WINDOW, OPTION_HUGETLB };

struct settings {
    const char *address, *output;
    bool is_verifying, is_hugetlb, is_quiet;
    uint64_t delay_ms;
    size_t hold, window; /* window 0: the default */
};

struct consumer {
    struct settings set;
    sea_ctx *ctx;
    sea_conn *conn; /* owned unless it is standard output; -1: not open yet */
    int stop_fd;    /* borrowed */
    int output;     /* when the first block arrived */
    sea_msg **held; /* as the producer sent it, checked; magic 0: not received yet */
    size_t next_held;
    uint64_t blocks, bytes, sum;
    double start;          /* error that ended the connection (negative errno), or 0 */
    struct stream_end end; /* negative errno: the run cannot go on */
    bool is_closed;
    int closed_with; /* negative errno, or 0 */
    char text[200];
    int failed; /* negative errno: it makes no sense to go on */
};

/* ---- what arrives ---- */

static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR && !stop_is_asked())
            continue;
        if (n < 0)
            return -errno;
        data += n;
        size -= (size_t) n;
    }
    return 0;
}

static void fail(struct consumer *c, int error, const char *what) {
    if (c->failed == 0 && !stop_is_asked())
        program_say("%s: %s", what, strerror(-error));
    c->failed = error;
}

/* Keeps the message. If the ring is full, releases the oldest message in it. */
static void hold(struct consumer *c, sea_msg *msg) {
    if (c->set.hold == 0) {
        sea_msg_release(msg);
        return;
    }
    sea_msg_release(c->held[c->next_held]);
    c->held[c->next_held] = msg;
    c->next_held = (c->next_held + 1) % c->set.hold;
}

static void release_held(struct consumer *c) {
    for (size_t i = 0; i < c->set.hold; i++)
        c->held[i] = sea_msg_release(c->held[i]);
}

/* Opens the output when the first block arrives: an absent producer must not cost the user a file. */
static void output_open(struct consumer *c) {
    if (c->set.output == NULL || c->output >= 0)
        return;
    if (strcmp(c->set.output, "-") == 0)
        c->output = STDOUT_FILENO;
    else
        c->output = open(c->set.output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (c->output < 0)
        fail(c, -errno, c->set.output);
}

static void on_block(sea_msg *msg, void *user) {
    struct consumer *c = user;
    if (c->failed != 0 || stop_is_asked() || c->end.magic != 0) {
        sea_msg_release(msg); /* it came after the end, or this consumer has failed */
        return;
    }
    if (c->blocks++ == 0)
        c->start = program_now();
    c->bytes += sea_msg_size(msg);
    c->sum = stream_sum_add(c->sum, stream_sum_block(sea_msg_data(msg), sea_msg_size(msg)));
    output_open(c);
    if (c->output >= 0) {
        int r = write_all(c->output, sea_msg_data(msg), sea_msg_size(msg));
        if (r < 0)
            fail(c, r, "write error");
    }
    hold(c, msg);
    if (c->set.delay_ms > 0) {
        struct timespec delay = {(time_t) (c->set.delay_ms / 1000), (long) (c->set.delay_ms % 1000) * 1000000};
        nanosleep(&delay, NULL); /* a signal may cut it short */
    }
}

static void on_end(sea_msg *msg, void *user) {
    struct consumer *c = user;
    struct stream_end end;
    bool is_good = sea_msg_is_stable(msg) && sea_msg_size(msg) == sizeof end;
    if (is_good)
        memcpy(&end, sea_msg_data(msg), sizeof end);
    if (is_good && end.magic == STREAM_MAGIC && c->end.magic == 0)
        c->end = end;
    else
        fail(c, -EPROTO, "the producer's last message makes no sense");
    output_open(c); /* an empty stream makes an empty file */
    sea_msg_release(msg);
    release_held(c); /* the producer waits for these blocks */
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct consumer *c = user;
    (void) conn;
    c->is_closed = true;
    c->closed_with = event->reason;
    snprintf(c->text, sizeof c->text, "%s", event->text);
}

/* ---- the run ---- */

/* Runs until the producer closes the connection, which it does after the last message, when it has every block back. */
static int consume(struct consumer *c) {
    while (!c->is_closed && !stop_is_asked() && c->failed == 0) {
        struct pollfd fds[] = {{.fd = sea_conn_fd(c->conn), .events = sea_conn_events(c->conn)},
                               {.fd = c->stop_fd, .events = POLLIN}};
        if (poll(fds, 2, sea_conn_prepare(c->conn)) < 0 && errno != EINTR)
            return -errno;
        int r = sea_conn_dispatch(c->conn, fds[0].revents);
        if (r < 0 && !c->is_closed)
            return r;
    }
    return 0;
}

/* Reports each difference between the stream and its totals; returns true if there is none. */
static bool is_whole(const struct consumer *c) {
    if (c->end.magic == 0) {
        program_say("the stream broke off: %s", *c->text != '\0'     ? c->text
                                                : c->closed_with < 0 ? strerror(-c->closed_with)
                                                                     : "the producer ended it");
        return false;
    }
    if (c->end.blocks != c->blocks || c->end.bytes != c->bytes) {
        program_say("the producer sent %llu blocks, %llu bytes, but %llu blocks, %llu bytes arrived",
                    (unsigned long long) c->end.blocks, (unsigned long long) c->end.bytes,
                    (unsigned long long) c->blocks, (unsigned long long) c->bytes);
        return false;
    }
    if (c->set.is_verifying && (c->end.flags & STREAM_HAS_SUM) == 0) {
        program_say("cannot verify the stream: the producer was started without --checksum");
        return false;
    }
    if ((c->end.flags & STREAM_HAS_SUM) != 0 && c->end.sum != c->sum) {
        program_say("the checksum of the stream differs from the producer's");
        return false;
    }
    return true;
}

static void sum_up(const struct consumer *c, bool is_good, double seconds) {
    uint64_t figures[SEA_FIGURES];
    sea_ctx_figures(c->ctx, figures, SEA_FIGURES);
    program_sum_up("blocks", "%llu", (unsigned long long) c->blocks);
    program_sum_up("bytes", "%llu", (unsigned long long) c->bytes);
    program_sum_up("bytes copied", "%llu", (unsigned long long) figures[SEA_FIGURE_COPIED_BYTES]);
    program_sum_up("rate", "%.0f MB/s", seconds > 0 ? (double) c->bytes / seconds / 1e6 : 0);
    program_sum_up("not received", "%llu blocks before, %llu in between", (unsigned long long) c->end.before,
                   (unsigned long long) c->end.missed);
    program_sum_up("verified", "%s", is_good && (c->end.flags & STREAM_HAS_SUM) != 0 ? "yes" : "no");
}

/* Some file systems report only at close() that they are full. */
static void close_output(struct consumer *c) {
    if (c->output > STDERR_FILENO && close(c->output) < 0)
        fail(c, -errno, "write error");
}

static int connect_to(struct consumer *c) {
    static const sea_method methods[] = {{.number = STREAM_BLOCK, .name = "block", .handler = on_block},
                                         {.number = STREAM_END, .name = "end", .handler = on_end}};
    const sea_options options = {
        SEA_METHODS(methods),
        .user = c,
        .on_close = on_close,
        .accept = SEA_STABLE_ONLY,
        .accept_hugetlb = c->set.is_hugetlb,
        .blocks_max = (uint32_t) (c->set.window != 0 ? c->set.window : c->set.hold + WINDOW_DEFAULT),
    };
    char reason[512];
    int r = sea_connect(&c->conn, c->ctx, c->set.address, &options);
    if (r == -ENOENT || r == -ECONNREFUSED)
        program_say("no producer at '%s'", c->set.address);
    else if (r < 0)
        program_say("cannot connect to '%s': %s", c->set.address, program_reason(c->ctx, r, reason, sizeof reason));
    return r;
}

static int run_connected(struct consumer *c) {
    int r = consume(c);
    double seconds = c->blocks > 0 ? program_now() - c->start : 0;
    if (r < 0)
        fail(c, r, "the connection");
    release_held(c);
    sea_conn_close(c->conn);
    close_output(c);
    bool is_good = c->failed == 0 && !stop_is_asked() && is_whole(c);
    if (!c->set.is_quiet)
        sum_up(c, is_good, seconds);
    if (stop_is_asked())
        return PROGRAM_INTERRUPTED;
    return is_good ? PROGRAM_OK : PROGRAM_SOME_FAILED;
}

static int run(struct consumer *c) {
    int r = c->stop_fd = stop_begin();
    int status = PROGRAM_TROUBLE;
    c->held = calloc(c->set.hold + 1, sizeof(sea_msg *));
    if (r >= 0)
        r = c->held != NULL ? sea_ctx_new(&c->ctx, NULL) : -ENOMEM;
    if (r < 0)
        program_say("cannot start: %s", strerror(-r));
    else if (connect_to(c) == 0)
        status = run_connected(c);
    sea_conn_free(c->conn);
    sea_ctx_unref(c->ctx);
    free(c->held);
    return status;
}

static void parse_option(struct settings *set, int option) {
    switch (option) {
    case 'a':
        set->address = optarg;
        break;
    case 'o':
        set->output = optarg;
        break;
    case OPTION_VERIFY:
        set->is_verifying = true;
        break;
    case OPTION_DELAY:
        set->delay_ms = program_number("--delay", optarg, 0, 1000000000);
        break;
    case OPTION_HOLD:
        set->hold = (size_t) program_number("--hold", optarg, 0, WINDOW_MAX - WINDOW_DEFAULT);
        break;
    case OPTION_WINDOW:
        set->window = (size_t) program_number("--window", optarg, 1, WINDOW_MAX);
        break;
    case OPTION_HUGETLB:
        set->is_hugetlb = true;
        break;
    case 'q':
        set->is_quiet = true;
        break;
    default:
        program_other_option(option, help);
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},
        {"verify", no_argument, NULL, OPTION_VERIFY},
        {"output", required_argument, NULL, 'o'},
        {"delay", required_argument, NULL, OPTION_DELAY},
        {"hold", required_argument, NULL, OPTION_HOLD},
        {"window", required_argument, NULL, OPTION_WINDOW},
        {"hugetlb", no_argument, NULL, OPTION_HUGETLB},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct consumer c = {.set = {.address = STREAM_ADDRESS}, .output = -1};
    program_start("consumer");
    for (int option; (option = getopt_long(argc, argv, "a:o:qhV", options, NULL)) != -1;)
        parse_option(&c.set, option);
    if (optind < argc)
        program_bad_usage("the program takes no arguments, but got '%s'", argv[optind]);
    if (c.set.window != 0 && c.set.window <= c.set.hold)
        program_bad_usage("--window must be larger than --hold, or no further block can arrive");
    return run(&c);
}
