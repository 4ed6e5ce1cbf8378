/* SPDX-License-Identifier: MIT */
/* What every public header needs: the opaque types, visibility, and the C++ guards. */
#ifndef SEALANE_BASE_H
#define SEALANE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define SEA_BEGIN extern "C" {
#define SEA_END }
#else
#define SEA_BEGIN
#define SEA_END
#endif

#define SEA_API __attribute__((visibility("default")))

/* Numbered like the package: 10000 * major + 100 * minor + patch. */
#define SEA_VERSION_NUMBER 100

SEA_BEGIN

typedef struct sea_ctx sea_ctx;
typedef struct sea_block sea_block;
typedef struct sea_msg sea_msg;
typedef struct sea_pool sea_pool;
typedef struct sea_conn sea_conn;
typedef struct sea_server sea_server;

/* How a payload travels; also bits of the set that a side accepts. */
enum {
    SEA_INLINE = 1, /* copied through the connection */
    SEA_POOLED = 2, /* a block in the sender's arena: read in place, not stable */
    SEA_SEALED = 4, /* a memfd of its own, frozen by the kernel */
    SEA_STABLE_ONLY = SEA_INLINE | SEA_SEALED,
    SEA_ANY_CLASS = SEA_INLINE | SEA_POOLED | SEA_SEALED
};

/* The version of the library that is running, numbered like SEA_VERSION_NUMBER. */
SEA_API unsigned sea_version(void);

/* The class's name, "inline", "pooled" or "sealed"; "none" for anything else. Static. */
SEA_API const char *sea_class_name(int payload_class);

SEA_END

#endif
