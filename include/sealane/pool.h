/* SPDX-License-Identifier: MIT */
/*
 * A pool: the memory of blocks of one lifetime, for one connection.
 *
 * Every connection has one, from which sea_block_new() takes its pooled blocks. Memory goes back to the kernel by whole
 * arenas, so that one block which is kept for long keeps all of its arena. Therefore blocks that live long have pools
 * of their own:
 *
 *     const sea_pool_options settings = {.name = "settings"};
 *     sea_pool_new(&pool, conn, &settings);
 *     sea_pool_block(&block, pool, size);              as sea_block_new(), and sent like any other
 *     ...
 *     sea_pool_free(pool);                             its blocks stay until they are let go
 *
 * Generations. sea_pool_rotate(), or the pool by itself as its options say, begins a new generation: the arenas of
 * older ones hand out no more blocks. They *drain*: an arena goes as a whole as soon as its last block is free,
 * whichever side or thread frees it. The library unmaps and closes it here, and tells the peer to do so, too. Free
 * arenas go at once.
 *
 * Threads: a pool belongs to the thread of its connection; only sea_ctx_trim() may be called from others. While another
 * thread drives the connection, functions of the pool do nothing, and return -EDEADLK.
 *
 * When: the library trims free memory, and begins generations by age, idleness or bytes, in the connection's turns: on
 * its own in a server's loop and on libuv; in the blocking functions (sea_call(), sea_conn_wait(), ...), and through
 * sea_conn_prepare() and sea_conn_dispatch(), when one of these is called. A program that
 * calls none of them for an hour keeps its free memory for an hour. A connection without free memory does not wake up.
 */
#ifndef SEALANE_POOL_H
#define SEALANE_POOL_H

#include <sealane/ctx.h>

SEA_BEGIN

/* Zero in any field means its default. */
typedef struct sea_pool_options {
    size_t size;      /* sizeof(sea_pool_options); 0: the size of the first version. See <sealane/sealane.h> */
    const char *name; /* for people: its lifetime; copied, at most 31 bytes of it. Default: "" */
    /* The most memory of its arenas, in bytes. Beyond it, blocks are sealed if the peer takes sealed ones, which is a
     * fallback, and else refused. Default: the peer's bytes_max, for all pools of the connection together. */
    uint64_t bytes_max;
    uint64_t retained_max; /* bytes of free memory kept for the next blocks; default 32 MiB, or a 64th of the context's
                            * budget if that is less */
    int retained_ms;       /* and kept for so long after a block was last taken; default 10 000, < 0: without end */
    int rotate_age_ms;     /* rotates so long after a generation's first arena was made; default: never */
    int rotate_idle_ms;    /* rotates when no block was taken for so long; default: never. Neither rotates before the
                            * first block was taken from a generation: reserved memory waits for it */
    uint64_t rotate_bytes; /* rotates when blocks of so many bytes were taken; looked at when an arena is made, and when
                            * the connection is about to sleep, so later under load (doc/tuning.md). Default: never. The
                            * last field of the first version */
} sea_pool_options;

/* Makes one, without any memory yet. `options` (borrowed for the call) may be NULL. The caller owns it. Errors: -EPIPE,
 * -EINVAL and -E2BIG (options), -ENOMEM. */
SEA_API int sea_pool_new(sea_pool **ret_pool, sea_conn *conn, const sea_pool_options *options);

/* Lets go of it, before or after the end of the connection. Blocks that are out stay as they are. Returns NULL. */
SEA_API sea_pool *sea_pool_free(sea_pool *pool);

/* The one of sea_block_new(), borrowed from the connection: not to be freed. Its options are sea_options.pool. */
SEA_API sea_pool *sea_conn_pool(sea_conn *conn);

/* As sea_block_new() for the pool's connection, from this pool. */
SEA_API int sea_pool_block(sea_block **ret_block, sea_pool *pool, size_t size);

/*
 * Has `count` blocks of `size` bytes free, so that as many can be taken without any memory to be made; of sizes that
 * the pool cycles over (doc/tuning.md), as many as that, if there is room for them. To be called off the hot path: it
 * may block for some 0.6 ms for each MiB in base pages, also a loop that drives the connection. Charged as blocks are:
 * to the budget and the peer's fair share of it, its bytes_max and the pool's, with one descriptor for each 16 MiB, or
 * each block of more than 4 MiB, until the peer has it.
 *
 * Reserved memory is kept, free or not, in spite of retained_max and retained_ms (it counts as retained all the
 * same), and also when other pools, or other sizes, want for room. The reservation ends with the next generation and
 * with sea_ctx_trim(): then the memory is free like any other, and a program that still wants it calls again. To
 * reserve while blocks are out adds to what these lie in.
 * Errors: as sea_block_new(); the blocks that were made until then stay reserved. -EOPNOTSUPP: payloads of that size do
 * not travel pooled to this peer.
 */
SEA_API int sea_pool_reserve(sea_pool *pool, size_t size, uint32_t count);

/*
 * As sea_pool_block(), with the bytes of `block` (borrowed), which may come from any pool, process or class: to move
 * a long-lived block out of a generation that drains, or to keep a payload without holding the sender's memory.
 * The copy is writable. It is made inside this call, as those are that sending makes. Errors: as sea_block_new(), and
 * -ENOMEM (`block` cannot be mapped).
 */
SEA_API int sea_pool_copy(sea_block **ret_copy, sea_pool *pool, sea_block *block);

/* Begins a new generation. Does not block. */
SEA_API void sea_pool_rotate(sea_pool *pool);

/* The pool's name, "" if it has none; borrowed until the pool is freed. */
SEA_API const char *sea_pool_name(const sea_pool *pool);

/* What the kernel says is in memory of the pool's arenas: bytes. Expensive: a system call for each 4 MiB. */
SEA_API uint64_t sea_pool_resident(sea_pool *pool);
SEA_API uint64_t sea_pool_generation_resident(sea_pool *pool, uint64_t number);

SEA_END

#endif
