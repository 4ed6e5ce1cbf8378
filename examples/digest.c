/* SPDX-License-Identifier: MIT */
/*
 * digest: the SHA-256 of files, computed by digestd, in the format of sha256sum.
 *
 * This file has the options, the sources of file names, and the printing. digest_send.c moves the files. One thread.
 * SIGINT keeps its default action: the kernel cleans up after the process.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/program.h"
#include "common/progress.h"
#include "common/walk.h"
#include "digest_send.h"

static const char help[] =
    "usage: digest [OPTION]... [FILE]...\n"
    "\n"
    "Prints the SHA-256 of each FILE as sha256sum does, computed by a digestd.\n"
    "Without a FILE, or when it is -, reads standard input.\n"
    "\n"
    "  -a, --address=ADDRESS  where digestd listens (default: digest)\n"
    "  -r, --recursive        also read the files in directories, sorted by name\n"
    "  -0                     read the file names from standard input, each ended by a NUL\n"
    "      --files0-from=F    read the file names from the file F\n"
    "  -j, --jobs=N           calls in flight, 1 to 256 (default: 64)\n"
    "      --block=SIZE       largest block, 4k to 1G (default: 16M)\n"
    "      --timeout=SECONDS  time limit of each call (default: no limit)\n"
    "  -q, --quiet            show no progress on a terminal\n"
    "      --summary          at the end, print totals on standard error\n"
    "  -h, --help             print this text\n"
    "  -V, --version          print the version\n"
    "\n"
    "SIZE may end in k, M, G or T. Exit status: 0 all well, 1 some FILE failed, 2 it could not go on.\n";

/* 16 MiB: hashing a chunk takes some 10 ms, which hides the cost of a block (a memfd, a call, a mapping: some 50
 * microseconds), and the eight chunks that may be in flight take 128 MiB. */
#define CHUNK_DEFAULT (16u << 20)
#define CHUNK_MAX (1u << 30)
#define TIMEOUT_MAX_S 2e6 /* in milliseconds it fits an int */

enum { OPTION_FILES0 = 256, OPTION_BLOCK, OPTION_TIMEOUT, OPTION_SUMMARY };

struct digest {
    struct sender_options options;
    const char *names_from; /* file with names, or NULL */
    bool is_recursive, is_quiet, is_summed_up;
    struct sender *sender;
    int lost;   /* negative errno: the server or the output was lost */
    int status; /* exit status of the program */
};

/* ---- output ---- */

/* Prints the hexadecimal digest, two blanks and the name. In a name with a newline, a carriage return or a backslash
 * these are escaped, and the line begins with a backslash. */
static void print_result(const char *name, const uint8_t digest[DIGEST_SIZE]) {
    if (name[strcspn(name, "\\\n\r")] != '\0')
        putchar('\\');
    for (int i = 0; i < DIGEST_SIZE; i++)
        printf("%02x", digest[i]);
    fputs("  ", stdout);
    for (const char *p = name; *p != '\0'; p++) {
        const char *escaped = *p == '\\' ? "\\\\" : *p == '\n' ? "\\n" : *p == '\r' ? "\\r" : NULL;
        if (escaped != NULL)
            fputs(escaped, stdout);
        else
            putchar(*p);
    }
    putchar('\n');
}

static void on_result(const struct sender_result *result, void *user) {
    struct digest *d = user;
    if (result->error == 0) {
        if (progress_is_on())
            progress_hide(); /* standard output may be the terminal that shows the progress */
        print_result(result->name, result->digest);
        return;
    }
    d->status = PROGRAM_SOME_FAILED;
    program_say("%s: %s%s%s", result->name, strerror(-result->error), *result->text != '\0' ? ": " : "", result->text);
}

/* ---- names ---- */

/* Returns false when the run cannot go on. */
static bool add(struct digest *d, const char *name, enum sender_origin origin, int error) {
    d->lost = sender_add(d->sender, name, origin, error);
    return d->lost == 0 && !ferror(stdout);
}

static bool on_found(const char *path, int error, void *user) {
    return add(user, path, SENDER_FOUND, error);
}

static bool add_name(struct digest *d, const char *name) {
    struct stat st;
    if (d->is_recursive && stat(name, &st) == 0 && S_ISDIR(st.st_mode))
        return walk(name, on_found, d);
    return add(d, name, SENDER_NAMED, 0);
}

static void add_names_from(struct digest *d) {
    bool is_stdin = strcmp(d->names_from, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(d->names_from, "re");
    char *name = NULL;
    size_t size = 0;
    bool goes_on = true;
    if (file == NULL) {
        program_say("%s: %s", d->names_from, strerror(errno));
        d->status = PROGRAM_SOME_FAILED;
        return;
    }
    while (goes_on && getdelim(&name, &size, '\0', file) >= 0) {
        if (*name == '\0' || (is_stdin && strcmp(name, "-") == 0))
            goes_on = add(d, *name == '\0' ? "(empty name)" : name, SENDER_NAMED, -EINVAL);
        else
            goes_on = add_name(d, name);
    }
    if (ferror(file)) {
        program_say("%s: %s", d->names_from, strerror(errno));
        d->status = PROGRAM_SOME_FAILED;
    }
    free(name);
    if (!is_stdin)
        fclose(file);
}

/* Adds up the sizes of the files that were named: only these are known before the start. */
static uint64_t total_size(const struct digest *d, char **names) {
    uint64_t total = 0;
    struct stat st;
    if (d->names_from != NULL)
        return 0;
    for (; *names != NULL; names++) {
        if (stat(*names, &st) < 0 || !S_ISREG(st.st_mode))
            return 0;
        total += (uint64_t) st.st_size;
    }
    return total;
}

/* ---- the run ---- */

static void add_all(struct digest *d, char **names) {
    if (d->names_from != NULL)
        add_names_from(d);
    else if (*names == NULL)
        add(d, "-", SENDER_NAMED, 0);
    else
        while (*names != NULL && add_name(d, *names))
            names++;
    if (d->lost == 0 && !ferror(stdout))
        d->lost = sender_finish(d->sender);
}

static int report_no_server(const struct digest *d, sea_ctx *ctx, int error) {
    char reason[512];
    const char *address = d->options.address;
    if (error == -ENOENT || error == -ECONNREFUSED)
        program_say("no server at '%s'; start one with: digestd%s%s", address,
                    strcmp(address, DIGEST_ADDRESS) == 0 ? "" : " -a ",
                    strcmp(address, DIGEST_ADDRESS) == 0 ? "" : address);
    else
        program_say("cannot connect to '%s': %s", address, program_reason(ctx, error, reason, sizeof reason));
    return PROGRAM_TROUBLE;
}

static void sum_up(const struct digest *d, sea_ctx *ctx, double seconds) {
    struct sender_figures sent;
    uint64_t figures[SEA_FIGURES];
    sender_figures(d->sender, &sent);
    sea_ctx_figures(ctx, figures, SEA_FIGURES);
    program_sum_up("files", "%llu", (unsigned long long) sent.files);
    program_sum_up("bytes", "%llu", (unsigned long long) sent.bytes);
    program_sum_up("blocks", "%llu", (unsigned long long) sent.blocks);
    /* The library counts the digests that came back, too, because they are inline. */
    program_sum_up("bytes copied", "%llu (and %llu of digests)",
                   (unsigned long long) (figures[SEA_FIGURE_COPIED_BYTES] - sent.inline_bytes),
                   (unsigned long long) sent.inline_bytes);
    program_sum_up("huge blocks", "%llu", (unsigned long long) figures[SEA_FIGURE_HUGE_BLOCKS]);
    program_sum_up("rate", "%.0f MB/s", seconds > 0 ? (double) sent.bytes / seconds / 1e6 : 0);
}

static int run(struct digest *d, sea_ctx *ctx, char **names) {
    double start = program_now();
    int r = sender_new(&d->sender, ctx, &d->options);
    if (r < 0)
        return report_no_server(d, ctx, r);
    if (!d->is_quiet)
        progress_begin(total_size(d, names));
    add_all(d, names);
    progress_hide();
    if (d->lost != 0) {
        const char *text = sender_text(d->sender);
        program_say("lost the server at '%s': %s", d->options.address, *text != '\0' ? text : strerror(-d->lost));
        d->status = PROGRAM_TROUBLE;
    }
    if (program_flush() < 0)
        d->status = PROGRAM_TROUBLE;
    if (d->is_summed_up)
        sum_up(d, ctx, program_now() - start);
    sender_free(d->sender);
    return d->status;
}

static void parse_option(struct digest *d, int option) {
    switch (option) {
    case 'a':
        d->options.address = optarg;
        break;
    case 'r':
        d->is_recursive = true;
        break;
    case '0':
        d->names_from = "-";
        break;
    case OPTION_FILES0:
        d->names_from = optarg;
        break;
    case 'j':
        d->options.depth = (unsigned) program_number("--jobs", optarg, 1, SENDER_DEPTH_MAX);
        break;
    case OPTION_BLOCK:
        d->options.chunk = (size_t) program_size("--block", optarg, SENDER_CHUNK_MIN, CHUNK_MAX);
        break;
    case OPTION_TIMEOUT:
        d->options.timeout_ms = (int) (program_decimal("--timeout", optarg, TIMEOUT_MAX_S) * 1000);
        break;
    case 'q':
        d->is_quiet = true;
        break;
    case OPTION_SUMMARY:
        d->is_summed_up = true;
        break;
    default:
        program_other_option(option, help);
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},
        {"recursive", no_argument, NULL, 'r'},
        {"files0-from", required_argument, NULL, OPTION_FILES0},
        {"jobs", required_argument, NULL, 'j'},
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"timeout", required_argument, NULL, OPTION_TIMEOUT},
        {"quiet", no_argument, NULL, 'q'},
        {"summary", no_argument, NULL, OPTION_SUMMARY},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct digest d = {.options = {.address = DIGEST_ADDRESS, .depth = 64, .chunk = CHUNK_DEFAULT, .timeout_ms = -1}};
    d.options.show = on_result;
    d.options.user = &d;
    program_start("digest");
    for (int option; (option = getopt_long(argc, argv, "a:r0j:qhV", options, NULL)) != -1;)
        parse_option(&d, option);
    if (d.names_from != NULL && optind < argc)
        program_bad_usage("files cannot be given together with -0 or --files0-from");

    sea_ctx *ctx;
    int r = sea_ctx_new(&ctx, NULL);
    if (r < 0) {
        program_say("cannot make a context: %s", strerror(-r));
        return PROGRAM_TROUBLE;
    }
    int status = run(&d, ctx, argv + optind);
    sea_ctx_unref(ctx);
    return status;
}
