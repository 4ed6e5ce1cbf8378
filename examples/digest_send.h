/* SPDX-License-Identifier: MIT */
/*
 * The sender: files on their way through digestd. It cuts each into chunks, keeps several calls in flight, and
 * shows the results in the order in which the files were added. How many files, and of what size, makes no
 * difference to what it holds: one connection, a few open files, and a bounded number of blocks and names. One
 * thread.
 */
#ifndef EXAMPLES_DIGEST_SEND_H
#define EXAMPLES_DIGEST_SEND_H

#include <sealane/sealane.h>

#include "common/digest_wire.h"

struct sender;

/* What became of a file; borrowed for the call that shows it. */
struct sender_result {
    const char *name;
    int error;        /* 0, or a negative errno value */
    const char *text; /* says more than the errno text, or "" */
    uint8_t digest[DIGEST_SIZE];
};

struct sender_options {
    const char *address;
    unsigned depth; /* calls in flight at most, 1 to SENDER_DEPTH_MAX */
    size_t chunk;   /* bytes of the largest block, header included */
    int timeout_ms; /* of each call; < 0: none */
    void (*show)(const struct sender_result *result, void *user);
    void *user;
};

#define SENDER_DEPTH_MAX DIGEST_FILES_MAX
#define SENDER_CHUNK_MIN 4096

/* Connects. `options` is copied. The errors of sea_connect(). */
int sender_new(struct sender **ret_sender, sea_ctx *ctx, const struct sender_options *options);
struct sender *sender_free(struct sender *sender);

/* How a file got into the list. */
enum sender_origin {
    SENDER_NAMED, /* by the user: whatever it is, it is read. "-" is standard input */
    SENDER_FOUND  /* in a directory: only if it still is a regular file */
};

/*
 * Adds a file, or with a negative `error` one that is known to have failed. Waits, and shows results, as long as
 * the list is full. Returns 0, or a negative errno value when the server is lost: sender_text() tells more.
 */
int sender_add(struct sender *sender, const char *name, enum sender_origin origin, int error);

/* Waits for all that were added. */
int sender_finish(struct sender *sender);

const char *sender_text(const struct sender *sender); /* why the server was lost, or "" */

struct sender_figures {
    uint64_t files;        /* digested */
    uint64_t bytes;        /* of files, hashed by the server */
    uint64_t blocks;       /* sent */
    uint64_t inline_bytes; /* of replies that came inline */
};

void sender_figures(const struct sender *sender, struct sender_figures *ret_figures);

#endif
