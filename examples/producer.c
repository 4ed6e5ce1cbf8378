/* SPDX-License-Identifier: MIT */
/*
 * producer: sends a stream of sealed blocks, from files or standard input, to any number of consumers. All consumers
 * share each block by reference: a second consumer costs no copy and no second fill. common/stream_wire.h describes the
 * messages, producer_audience.c sends them, and this file makes the blocks. One thread.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/input.h"
#include "common/program.h"
#include "common/stop.h"
#include "common/stream_wire.h"
#include "producer_audience.h"

static const char help[] =
    "usage: producer [OPTION]... [FILE]...\n"
    "\n"
    "Streams the FILEs, one after the other, to consumers, in sealed blocks that they share.\n"
    "Without a FILE, or when it is -, reads standard input.\n"
    "\n"
    "  -a, --address=ADDRESS  where to listen (default: stream)\n"
    "  -b, --block=SIZE       bytes in a block, 1 to 16G (default: 1M)\n"
    "  -n, --limit=COUNT      stop after COUNT blocks\n"
    "      --repeat=K         send the FILEs K times; 0: without end (default: 1)\n"
    "      --rate=MB          send at most MB megabytes a second\n"
    "      --wait-for=N       begin when N consumers are connected (default: 1); with 0 the stream\n"
    "                         also runs without consumers\n"
    "      --slow=POLICY      for a consumer without room: wait, drop (it misses the block)\n"
    "                         or disconnect (default: wait)\n"
    "      --linger=SECONDS   at the end, how long to wait for a consumer that gives no block\n"
    "                         back (default: 10)\n"
    "      --checksum         read the blocks for a checksum, so that consumers can --verify\n"
    "      --hugetlb          use blocks of the system's hugetlb pool\n"
    "  -q, --quiet            print no summary\n"
    "  -v, --verbose          report the address, and each consumer that connects or leaves\n"
    "  -h, --help             print this text\n"
    "  -V, --version          print the version\n"
    "\n"
    "SIZE may end in k, M, G or T. Exit status: 0 all was sent, 1 not all,\n"
    "2 it could not begin, 130 interrupted.\n";

enum { OPTION_REPEAT = 256, OPTION_RATE, OPTION_WAIT_FOR, OPTION_SLOW, OPTION_LINGER, OPTION_CHECKSUM, OPTION_HUGETLB };

struct producer {
    const char *address;
    size_t block_size;
    uint64_t limit; /* blocks; 0: none */
    double rate;    /* bytes for each second; 0: no limit */
    double linger;  /* seconds */
    size_t wait_for;
    bool is_hugetlb, is_quiet;

    sea_ctx *ctx;
    struct audience audience;
    struct input input; /* the files that are sent */
    uint64_t bytes;     /* bytes sent, for any number of consumers */
    bool is_partial;    /* part of the input was not sent: a file could not be read, or no consumer was left */
};

/* ---- making blocks ---- */

/* Makes a writable block. While consumers hold blocks, a shortage makes the producer wait and not fail. */
static int block_new(struct producer *p, sea_block **ret_block) {
    unsigned flags = p->is_hugetlb ? SEA_BLOCK_HUGETLB : 0;
    for (;;) {
        int r = sea_block_new_sealed(ret_block, p->ctx, p->block_size, flags);
        bool is_short = r == -ENOMEM || r == -EDQUOT || r == -EMFILE;
        if (!is_short || audience_leases(&p->audience) == 0)
            return r;
        r = audience_attend(&p->audience, -1, -1);
        if (r < 0 || stop_is_asked())
            return r < 0 ? r : -EINTR;
    }
}

/* Moves the bytes that the open input has ready into the block, at most `size` of them. Returns 0 at the end of the
 * input. */
static int64_t fill_some(struct producer *p, sea_block *block, size_t at, size_t size) {
    int fd = input_fd(&p->input);
    if (!input_is_file(fd)) {
        int r = 0;
        while (r == 0 && !stop_is_asked())
            r = audience_attend(&p->audience, fd, -1);
        if (r <= 0)
            return r < 0 ? r : -EINTR;
        size_t ready = input_ready(fd);
        size = ready < size ? ready : size;
    }
    return sea_block_fill_file(block, at, fd, -1, size);
}

/* Fills the block from one file after the other. It holds fewer than its size in bytes only at the end of all files. */
static int64_t fill(struct producer *p, sea_block *block) {
    size_t filled = 0;
    while (filled < p->block_size && input_fd(&p->input) >= 0) {
        int64_t n = fill_some(p, block, filled, p->block_size - filled);
        if (stop_is_asked())
            return -EINTR;
        if (n == -EAGAIN || n == -EINTR)
            continue;
        if (n > 0) {
            filled += (size_t) n;
            p->input.bytes += (uint64_t) n;
            continue;
        }
        if (n < 0) {
            program_say("%s: %s", input_name(&p->input), strerror((int) -n));
            p->is_partial = true;
        }
        input_next(&p->input);
    }
    return (int64_t) filled;
}

/* Makes the next block of the stream, sealed; sets *ret_block to NULL at the end of the stream. */
static int block_make(struct producer *p, sea_block **ret_block, uint64_t *ret_sum) {
    sea_block *block;
    int r = block_new(p, &block);
    if (r < 0)
        return r;
    int64_t filled = fill(p, block);
    r = filled < 0 ? (int) filled : 0;
    if (r == 0 && (size_t) filled < p->block_size)
        r = sea_block_shrink(block, (size_t) filled);
    if (r == 0)
        r = sea_block_seal(block);
    const void *view = r == 0 && p->audience.has_sum ? sea_block_view(block) : NULL;
    if (r == 0 && p->audience.has_sum && view == NULL)
        r = -ENOMEM;
    if (r < 0 || filled == 0) {
        block = sea_block_unref(block);
        *ret_block = NULL;
        return r;
    }
    *ret_sum = view != NULL ? stream_sum_block(view, (size_t) filled) : 0;
    *ret_block = block;
    return 0;
}

/* ---- the run ---- */

static int wait_for_consumers(struct producer *p) {
    int r = 0;
    while (r >= 0 && p->audience.here < p->wait_for && !stop_is_asked())
        r = audience_attend(&p->audience, -1, -1);
    return r < 0 ? r : 0;
}

static int stream(struct producer *p) {
    double start = program_now();
    int r = 0;
    while (r == 0 && !stop_is_asked() && (p->limit == 0 || p->audience.blocks < p->limit)) {
        sea_block *block;
        uint64_t sum = 0;
        r = block_make(p, &block, &sum);
        if (r < 0 || block == NULL)
            break;
        if (p->rate > 0)
            r = audience_attend_until(&p->audience, start + (double) p->bytes / p->rate);
        p->bytes += sea_block_size(block);
        if (r == 0)
            r = audience_give(&p->audience, block, sum);
        sea_block_unref(block);
        if (p->wait_for > 0 && p->audience.here == 0) {
            program_say("no consumer is left");
            p->is_partial = true;
            break;
        }
    }
    return r;
}

static void sum_up(struct producer *p, double seconds) {
    uint64_t figures[SEA_FIGURES];
    sea_ctx_figures(p->ctx, figures, SEA_FIGURES);
    program_sum_up("blocks", "%llu", (unsigned long long) p->audience.blocks);
    program_sum_up("bytes", "%llu", (unsigned long long) p->bytes);
    program_sum_up("bytes copied", "%llu", (unsigned long long) figures[SEA_FIGURE_COPIED_BYTES]);
    program_sum_up("memory", "%llu bytes at most", (unsigned long long) figures[SEA_FIGURE_BUDGET_PEAK_BYTES]);
    program_sum_up("huge pages", "%s, %llu blocks", figures[SEA_FIGURE_HUGE_BLOCKS] > 0 ? "yes" : "no",
                   (unsigned long long) figures[SEA_FIGURE_HUGE_BLOCKS]);
    program_sum_up("rate", "%.0f MB/s", seconds > 0 ? (double) p->bytes / seconds / 1e6 : 0);
    program_sum_up("consumers", "%llu served, %llu died, %llu too slow", (unsigned long long) p->audience.served,
                   (unsigned long long) p->audience.died, (unsigned long long) p->audience.too_slow);
    program_sum_up("reclaimed", "%llu blocks, %llu bytes", (unsigned long long) p->audience.reclaimed_blocks,
                   (unsigned long long) p->audience.reclaimed_bytes);
}

static int finish(struct producer *p) {
    int64_t left = audience_finish(&p->audience, p->linger);
    if (left > 0 && !stop_is_asked()) {
        program_say("%lld blocks did not come back", (long long) left);
        p->is_partial = true;
    }
    return left < 0 ? (int) left : 0;
}

static int serve(struct producer *p) {
    char reason[512];
    int r = wait_for_consumers(p);
    double start = program_now();
    if (r == 0)
        r = stream(p);
    double seconds = program_now() - start;
    if (r == 0 && !stop_is_asked())
        r = finish(p);
    if (r < 0 && !stop_is_asked()) {
        program_say("%s", program_reason(p->ctx, r, reason, sizeof reason));
        p->is_partial = true;
    }
    audience_deinit(&p->audience);
    if (!p->is_quiet)
        sum_up(p, seconds);
    if (stop_is_asked())
        return PROGRAM_INTERRUPTED;
    return p->is_partial || p->input.has_failed ? PROGRAM_SOME_FAILED : PROGRAM_OK;
}

static int run(struct producer *p) {
    char reason[512];
    int r = p->audience.stop_fd = stop_begin();
    if (r >= 0)
        r = sea_ctx_new(&p->ctx, NULL);
    if (r < 0) {
        program_say("cannot start: %s", strerror(-r));
        return PROGRAM_TROUBLE;
    }
    r = audience_init(&p->audience, p->ctx, p->address);
    if (r == -EADDRINUSE)
        program_say("there is a server at '%s' already", p->address);
    else if (r < 0)
        program_say("cannot listen at '%s': %s", p->address, program_reason(p->ctx, r, reason, sizeof reason));
    else if (p->audience.is_verbose)
        program_say("listening at %s", sea_server_address(p->audience.server));
    int status = r < 0 ? PROGRAM_TROUBLE : serve(p);
    input_deinit(&p->input);
    sea_ctx_unref(p->ctx);
    return status;
}

static enum audience_slow parse_slow(const char *text) {
    if (strcmp(text, "wait") == 0)
        return AUDIENCE_WAIT;
    if (strcmp(text, "drop") == 0)
        return AUDIENCE_DROP;
    if (strcmp(text, "disconnect") == 0)
        return AUDIENCE_DISCONNECT;
    program_bad_usage("--slow: the policy must be wait, drop or disconnect, not '%s'", text);
}

static void parse_option(struct producer *p, uint64_t *repeat, int option) {
    switch (option) {
    case 'a':
        p->address = optarg;
        break;
    case 'b':
        p->block_size = (size_t) program_size("--block", optarg, 1, (uint64_t) 16 << 30);
        break;
    case 'n':
        p->limit = program_number("--limit", optarg, 1, UINT64_MAX);
        break;
    case OPTION_REPEAT:
        *repeat = program_number("--repeat", optarg, 0, UINT64_MAX);
        break;
    case OPTION_RATE:
        p->rate = program_decimal("--rate", optarg, 1e9) * 1e6;
        break;
    case OPTION_WAIT_FOR:
        p->wait_for = (size_t) program_number("--wait-for", optarg, 0, 100000);
        break;
    case OPTION_SLOW:
        p->audience.slow = parse_slow(optarg);
        break;
    case OPTION_LINGER:
        p->linger = program_decimal("--linger", optarg, 1e9);
        break;
    case OPTION_CHECKSUM:
        p->audience.has_sum = true;
        break;
    case OPTION_HUGETLB:
        p->is_hugetlb = true;
        break;
    case 'q':
        p->is_quiet = true;
        break;
    case 'v':
        p->audience.is_verbose = true;
        break;
    default:
        program_other_option(option, help);
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},
        {"block", required_argument, NULL, 'b'},
        {"limit", required_argument, NULL, 'n'},
        {"repeat", required_argument, NULL, OPTION_REPEAT},
        {"rate", required_argument, NULL, OPTION_RATE},
        {"wait-for", required_argument, NULL, OPTION_WAIT_FOR},
        {"slow", required_argument, NULL, OPTION_SLOW},
        {"linger", required_argument, NULL, OPTION_LINGER},
        {"checksum", no_argument, NULL, OPTION_CHECKSUM},
        {"hugetlb", no_argument, NULL, OPTION_HUGETLB},
        {"quiet", no_argument, NULL, 'q'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    static char *standard_input[] = {"-", NULL};
    struct producer p = {.address = STREAM_ADDRESS, .block_size = 1 << 20, .wait_for = 1, .linger = 10};
    uint64_t repeat = 1;
    program_start("producer");
    for (int option; (option = getopt_long(argc, argv, "a:b:n:qvhV", options, NULL)) != -1;)
        parse_option(&p, &repeat, option);
    char **files = optind < argc ? argv + optind : standard_input;
    for (char **file = files; repeat != 1 && *file != NULL; file++) {
        if (strcmp(*file, "-") == 0)
            program_bad_usage("--repeat: standard input can be read only once");
    }
    input_init(&p.input, files, repeat);
    return run(&p);
}
