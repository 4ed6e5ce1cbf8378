/* SPDX-License-Identifier: MIT */
/* The variant "auto" of bench/sealane.c, which bench/instructions.c counts too: how it sends a payload of a size. */
#ifndef BENCH_AUTO_H
#define BENCH_AUTO_H

#include <sealane/sealane.h>

/* Calls or messages until a program asks again: the library's answer may follow what it measures meanwhile. */
enum { AUTO_ASKS_EACH = 4096 };

/*
 * Returns true if a payload of that size is sent as plain bytes, false if in a block. The library answers: a block that
 * it makes inline is copied on its way in any case, and plain bytes save the block.
 */
static inline bool auto_sends_bytes(sea_conn *conn, size_t size) {
    sea_block *block = NULL;
    bool is_inline = sea_block_new(&block, conn, size) == 0 && sea_block_class(block) == SEA_INLINE;
    sea_block_unref(block);
    return is_inline;
}

#endif
