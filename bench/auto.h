/* SPDX-License-Identifier: MIT */
/* The variant "auto" of bench/sealane.c, which bench/instructions.c counts too: how it sends a payload of a size. */
#ifndef BENCH_AUTO_H
#define BENCH_AUTO_H

enum { AUTO_BYTES_MAX = 256 }; /* up to this size as plain bytes, above it in a block */

#endif
