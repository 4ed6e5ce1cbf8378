/* SPDX-License-Identifier: MIT */
/*
 * The sender moves files through digestd. It cuts each file into chunks, keeps several calls in flight, and shows the
 * results in the order in which the files were added. Its memory does not grow with the number and the size of files:
 * one connection, a few open files, and a bounded number of blocks and names. One thread.
 */
#ifndef EXAMPLES_DIGEST_SEND_H
#define EXAMPLES_DIGEST_SEND_H

#include <sealane/sealane.h>

#include "common/digest_wire.h"

struct sender;

/* The result for one file; borrowed for the call that shows it. */
struct sender_result {
    const char *name;
    int error;        /* 0, or a negative errno value */
    const char *text; /* a longer explanation than the errno text, or "" */
    uint8_t digest[DIGEST_SIZE];
};

struct sender_options {
    const char *address;
    unsigned depth; /* maximum of calls in flight, 1 to SENDER_DEPTH_MAX */
    size_t chunk;   /* bytes of the largest block, header included */
    int timeout_ms; /* for each call; < 0: none */
    void (*show)(const struct sender_result *result, void *user);
    void *user;
};

#define SENDER_DEPTH_MAX DIGEST_FILES_MAX
#define SENDER_CHUNK_MIN 4096

/* Connects. `options` is copied. Returns the errors of sea_connect(). */
int sender_new(struct sender **ret_sender, sea_ctx *ctx, const struct sender_options *options);
struct sender *sender_free(struct sender *sender);

/* The origin of a file name. */
enum sender_origin {
    SENDER_NAMED, /* named by the user: read whatever its type is. "-" is standard input */
    SENDER_FOUND  /* found in a directory: read only if it still is a regular file */
};

/*
 * Adds a file; a negative `error` adds a file that is known to have failed. While the list is full, waits and shows
 * results. Returns 0, or a negative errno value when the server is lost; sender_text() explains it.
 */
int sender_add(struct sender *sender, const char *name, enum sender_origin origin, int error);

/* Waits until all files that were added have their results. */
int sender_finish(struct sender *sender);

const char *sender_text(const struct sender *sender); /* reason for the loss of the server, or "" */

struct sender_figures {
    uint64_t files;        /* digested */
    uint64_t bytes;        /* bytes of files that the server hashed */
    uint64_t blocks;       /* sent */
    uint64_t inline_bytes; /* bytes of replies that came inline */
};

void sender_figures(const struct sender *sender, struct sender_figures *ret_figures);

#endif
