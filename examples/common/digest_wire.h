/* SPDX-License-Identifier: MIT */
/*
 * The protocol between digest and digestd. Integers are in native byte order: both programs run on one machine.
 *
 * A file travels as one or more chunks. Each chunk is one call with a block of its own: this header, written in place,
 * and `bytes` bytes of the file behind it. The client numbers the chunks of a file from 0 and sends them in order. The
 * last chunk carries DIGEST_LAST, and the server answers it with the 32 bytes of the SHA-256. The server answers every
 * other chunk with an empty reply. A chunk 0 begins a file; the last chunk, a chunk that abandons the file, and a chunk
 * that is answered with an error end it. The client chooses the file's id, unique among its unfinished files.
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
    DIGEST_ABANDON = 2, /* forget the file: the client could not read it to its end */
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

/* The number of unfinished files that one client may have at a server; it equals the usual limit of calls in flight. */
#define DIGEST_FILES_MAX 256

#endif
