/* SPDX-License-Identifier: MIT */
/*
 * What digest and digestd say to each other. Integers are native: both ends run on one machine.
 *
 * A file travels as one or more chunks, each a call with a block of its own: this header, written in place, and
 * `bytes` bytes of the file behind it. Chunks of a file are numbered from 0 and sent in order; the last one says
 * so, and is answered with the 32 bytes of the SHA-256. All others are answered with nothing. A chunk 0 begins a
 * file; the chunk that is the last, or abandons it, or is answered with an error, ends it. The id is the client's
 * choice, unique among its unfinished files.
 */
#ifndef COMMON_DIGEST_WIRE_H
#define COMMON_DIGEST_WIRE_H

#include <stdint.h>

#define DIGEST_ADDRESS "digest"
#define DIGEST_CHUNK 1 /* the only method */
#define DIGEST_MAGIC 0x31474453u
#define DIGEST_SIZE 32 /* bytes of a SHA-256 */

enum {
    DIGEST_LAST = 1,    /* answer with the digest */
    DIGEST_ABANDON = 2, /* forget the file: it could not be read to its end */
    DIGEST_FLAGS = 3
};

struct digest_header {
    uint32_t magic;
    uint32_t flags;
    uint64_t file;
    uint64_t chunk;
    uint64_t bytes;
    uint64_t reserved[4]; /* zero */
};

_Static_assert(sizeof(struct digest_header) == 64, "the file's bytes begin at 64");

/* A client may have so many unfinished files at a server; as many as calls in flight are usual. */
#define DIGEST_FILES_MAX 256

#endif
