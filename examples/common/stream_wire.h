/* SPDX-License-Identifier: MIT */
/*
 * What a producer sends to its consumers: one-way messages, each a block whose bytes are nothing but the stream's, and
 * at the end one message with the totals of what this consumer was sent. Late and slow consumers can check
 * what they got, too: the totals are their own. Integers are native: all ends run on one machine.
 *
 * The checksum tells accidents, not malice: four lanes of xor and multiply over 64-bit words, some bytes a cycle. It
 * depends on where the blocks are cut, which both sides see alike.
 */
#ifndef COMMON_STREAM_WIRE_H
#define COMMON_STREAM_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define STREAM_ADDRESS "stream"
#define STREAM_MAGIC 0x314d5453u

enum {
    STREAM_BLOCK = 1, /* the next bytes of the stream */
    STREAM_END = 2    /* a struct stream_end */
};

enum { STREAM_HAS_SUM = 1 };

struct stream_end {
    uint32_t magic;
    uint32_t flags;
    uint64_t blocks, bytes; /* sent to this consumer */
    uint64_t sum;           /* stream_sum_add() over them in order, when STREAM_HAS_SUM */
    uint64_t missed;        /* blocks that it was not sent because it was too slow */
    uint64_t before;        /* blocks that were sent before it came */
    uint64_t reserved[2];   /* zero */
};

_Static_assert(sizeof(struct stream_end) == 64, "no padding");

/* The checksum of one block. */
uint64_t stream_sum_block(const void *data, size_t size);

/* A stream's checksum, 0 at first, with one more block. */
uint64_t stream_sum_add(uint64_t sum, uint64_t block_sum);

#endif
