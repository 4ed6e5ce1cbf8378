/* SPDX-License-Identifier: MIT */
/*
 * The protocol from a producer to its consumers: one-way messages. Each message is a block that contains bytes of the
 * stream and nothing else; the last message holds the totals of the blocks that this consumer was sent. Because the
 * totals are its own, a late or slow consumer can check its part of the stream, too. Integers are in native byte order:
 * all programs run on one machine.
 *
 * The checksum detects accidents, not malice: four lanes of xor and multiply over 64-bit words, some bytes a cycle. It
 * depends on the borders between the blocks, which both sides know.
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
    uint64_t sum;           /* stream_sum_add() over these blocks in order, when STREAM_HAS_SUM is set */
    uint64_t missed;        /* blocks that this consumer was not sent because it was too slow */
    uint64_t before;        /* blocks that were sent before this consumer came */
    uint64_t reserved[2];   /* zero */
};

_Static_assert(sizeof(struct stream_end) == 64, "no padding");

/* Returns the checksum of one block. */
uint64_t stream_sum_block(const void *data, size_t size);

/* Returns the stream's checksum `sum`, which begins at 0, extended by one block. */
uint64_t stream_sum_add(uint64_t sum, uint64_t block_sum);

#endif
