/* SPDX-License-Identifier: MIT */
/*
 * A block: one payload's memory.
 *
 * It is *writable* from sea_block_new() until it is sealed, and *sealed* for good from then on: by
 * sea_block_seal(), or by the first call that sends it. Blocks that arrive from peers, or through
 * sea_block_import(), are sealed from the start. A sealed block may be sent any number of times, to
 * any peers, and a receiver may forward it; nothing is copied.
 *
 * A pooled block, which is what sea_block_new() makes of all but small payloads, is for one connection. Sent through
 * another one, or again while the peer still holds it, it travels as a copy, which is counted (the figure fallbacks).
 * The call that sends it makes the copy: 64 MiB take some 50 ms there (doc/measurements.md).
 * For several peers, for other software, and for keeping there is sea_block_new_sealed().
 *
 * References: every function that sends takes one reference. To send a block twice, or to keep it,
 * take another with sea_block_ref() first. A block's memory goes back to the kernel when its last
 * reference and its last lease are gone, in whichever order.
 *
 * Threads: a block may be handed from thread to thread, and once sealed be referenced from many. Any thread may drop
 * the last reference of any block. The lease of a block that came out of a message goes back in the next turn of its
 * connection, which this wakes, unless the connection's own thread drops it. A child after fork()
 * uses and unrefs none of its parent's (see <sealane/ctx.h>).
 */
#ifndef SEALANE_BLOCK_H
#define SEALANE_BLOCK_H

#include <sealane/base.h>

SEA_BEGIN

/* What kind of pages a block got. */
enum {
    SEA_PAGES_NONE = 0,   /* no pages of its own: an inline block, or an empty one */
    SEA_PAGES_SMALL = 1,  /* the machine's base pages */
    SEA_PAGES_THP = 2,    /* at least one transparent huge page, mapped whole */
    SEA_PAGES_HUGETLB = 3 /* all from the hugetlb pool */
};

/* Flags of sea_block_new_sealed(). */
enum {
    SEA_BLOCK_HUGETLB = 1, /* take 2 MiB pages from the hugetlb pool, or fail with -ENOMEM. Sent as it
                            * is only to peers that accept them (see sea_options.accept_hugetlb) */
    SEA_BLOCK_NO_HUGE = 2, /* asks for no larger pages: see SEA_MEMORY_NO_HUGE */
    /* Mapped when it is made, as SEA_MEMORY_PREFAULT has it for all blocks of a context: writing it takes no page
     * faults.
     * Before Linux 5.14: mapped, and no more. */
    SEA_BLOCK_PREFAULT = 4
};

/*
 * Loans a writable block of `size` bytes (0 is allowed) that will be sent over `conn`; the class is
 * chosen by the size, by the classes that the peer accepts, and by measured costs. The memory is
 * reserved from the kernel before this returns: writing to it cannot raise SIGBUS. The bytes of a sealed block
 * are zero; in others they are what an earlier payload for this peer left. Charged to the context's budget: `size`,
 * one block, and for a sealed block one descriptor (and see sea_block_new_sealed() on padding); pooled blocks, and
 * small inline ones for a peer that takes pooled ones, are charged with the arenas in which they lie.
 * May take milliseconds for large blocks; never waits for a peer. The caller owns one reference.
 * On the connection's thread. For the answer of another thread, the handler makes the block and hands it over with the
 * call, or that thread takes sea_block_new_sealed() or sea_reply_bytes().
 * Errors: -EDQUOT, -ENOMEM, -EMSGSIZE (the peer accepts no class that could carry that much: its block_max or
 * inline_max), -EMFILE, -ENODEV and -EACCES (sea_ctx_options.numa_nodes), -EPIPE
 * (not connected any more), -EAGAIN (the handshake is not finished), -EDEADLK (another thread drives `conn`), -EPERM,
 * -EACCES and -ENOSYS (a call that memory needs is forbidden in this sandbox; a payload that fits into inline_max is
 * made inline then: doc/sandbox.md), -EIO (a system call failed for no reason that is known here). sea_explain() has
 * the text of each.
 */
SEA_API int sea_block_new(sea_block **ret_block, sea_conn *conn, size_t size);

/*
 * Makes a block that is tied to no connection and always of the class SEA_SEALED: for blocks that go to several
 * peers, or to other software. `flags`: SEA_BLOCK_.... Errors: as above, and -EINVAL. Any thread may make one:
 * sea_uv_block_new_sealed() (<sealane/uv.h>) has one of libuv's do it.
 *
 * Padding: where the system grants transparent huge pages, a block whose last part fills at least 256 KiB of one, and
 * not all of it, is rounded up to 2 MiB, unless the budget has no room for that. All of it is charged: to the budget,
 * and wherever the block is on lease to the peer's quota and credit, on both sides. SEA_BLOCK_NO_HUGE goes without. A
 * block in hugetlb pages is rounded up, and charged, in this way, too.
 */
SEA_API int sea_block_new_sealed(sea_block **ret_block, sea_ctx *ctx, size_t size, unsigned flags);

/* Both accept NULL. */
SEA_API sea_block *sea_block_ref(sea_block *block);
SEA_API sea_block *sea_block_unref(sea_block *block);

SEA_API size_t sea_block_size(const sea_block *block); /* bytes */
SEA_API int sea_block_class(const sea_block *block);   /* SEA_INLINE, SEA_POOLED or SEA_SEALED */
SEA_API bool sea_block_is_sealed(const sea_block *block);

/*
 * Where to write. Borrowed until the block is sealed, sent, or its last reference dropped. NULL when
 * it is sealed already, or when it cannot be mapped (address space or vm.max_map_count exhausted; the
 * refusal says so). Of a block with 0 bytes: not NULL, and not to be written to.
 */
SEA_API void *sea_block_data(sea_block *block);

/* Where to read. Borrowed until the last reference is dropped, or until the block is sealed. NULL only when it
 * cannot be mapped. */
SEA_API const void *sea_block_view(sea_block *block);

/*
 * Copies `size` bytes from `data` (borrowed) to `offset`, by the way measured to be the cheapest; a
 * block that is only filled so is never mapped by its maker. Errors: -EPERM (sealed), -EINVAL (out of
 * bounds), -ENOMEM (cannot be mapped).
 */
SEA_API int sea_block_fill(sea_block *block, size_t offset, const void *data, size_t size);

/*
 * Fills [offset, offset + size) from a file, pipe or socket, without passing through user memory
 * where the kernel can move the bytes itself. `fd` is borrowed. `file_offset` is the position in the
 * file, or -1 for the descriptor's own position, which then moves; use -1 for what cannot seek.
 * Blocks as long as reading `fd` does. Returns the number of bytes filled; fewer than `size` come
 * before the end of the input and before an error, which the next call then returns: 0 is the end.
 * Errors: -EPERM (sealed), -EINVAL (out of bounds), -EAGAIN (`fd` is non-blocking, nothing there yet), or what reading
 * gave.
 */
SEA_API int64_t sea_block_fill_file(sea_block *block, size_t offset, int fd, int64_t file_offset, size_t size);

/* Cuts a writable block to `size` bytes; the rest is given back. Pointers from sea_block_data() end.
 * Errors: -EPERM (sealed), -EINVAL (larger than it is). */
SEA_API int sea_block_shrink(sea_block *block, size_t size);

/*
 * Freezes the bytes for good; of a pooled block only for this interface: its maker's old pointers still write, which is
 * why its receiver is told that it is not stable. Pointers from sea_block_data() end. Sealing a sealed block does
 * nothing.
 * Errors: -EBUSY (something else maps or pins the pages for writing: a forked child's mapping of an
 * exported descriptor, a pipe, io_uring), -EMFILE. On failure the block stays writable.
 */
SEA_API int sea_block_seal(sea_block *block);

/* What pages a block of the class SEA_SEALED really got; asks the kernel, some ten microseconds and more. */
SEA_API int sea_block_pages(sea_block *block);

/*
 * What the kernel says that a block of the class SEA_SEALED takes up now, in bytes: pages that are in memory or swapped
 * out, beside sea_block_size(), which was reserved. It may be more, up to the next multiple of 2 MiB: where the system
 * gives huge pages, and when a reader has asked for one (doc/memory.md). Of other classes 0. Any thread; one system
 * call, which does not block. UINT64_MAX: the kernel did not say.
 */
SEA_API uint64_t sea_block_resident(sea_block *block);

/*
 * A plain descriptor of the sealed memfd, read-only and close-on-exec, for other software; the caller owns it. It is
 * opened anew, so that its offset (at first 0) and its flags are its own, and no peer moves them. The file is larger
 * than the payload (sea_block_size()) where the block is padded or in hugetlb pages: zeros
 * follow. It outlives the block. Does not block. Errors: -EPERM (not sealed yet), -EOPNOTSUPP (not of the class
 * SEA_SEALED), -EMFILE; and, for which sea_explain() has words: -ENOENT (/proc is not mounted), -EACCES (the peer
 * that made the memfd keeps this user from opening it), -EAGAIN (a process that has the memfd holds a lease on it).
 */
SEA_API int sea_block_export(sea_block *block, int *ret_fd);

/*
 * Makes a sealed block from other software's memfd. Takes `fd`, and makes it close-on-exec. It must carry the seals
 * SEAL, SHRINK, GROW and WRITE and have no holes; `max_size` limits its size in bytes. The whole file is the payload.
 * Charged to the budget like a block of our own. Errors: -EINVAL (not a sealed memfd: sea_explain() says which
 * seals are missing),
 * -EMSGSIZE (larger than `max_size`), -EDQUOT, -ENOMEM.
 */
SEA_API int sea_block_import(sea_block **ret_block, sea_ctx *ctx, int fd, size_t max_size);

SEA_END

#endif
