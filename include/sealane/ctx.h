/* SPDX-License-Identifier: MIT */
/*
 * The context: the budget, quotas, registry and figures of one process. All other objects belong to a context. A
 * process normally has one. Its functions may be called from any thread.
 *
 * After fork() the child must not use, unref or free contexts, pools, connections, servers or blocks of its parent. The
 * parent's writable memory is not mapped there (MADV_DONTFORK), and its addresses may belong to other memory. exec()
 * ends all of it. A child that does not exec makes a context of its own.
 */
#ifndef SEALANE_CTX_H
#define SEALANE_CTX_H

#include <sealane/base.h>

SEA_BEGIN

/*
 * A refusal in full. All texts end with a NUL. The struct may grow at its end: sea_ctx_refusal() takes its size, and
 * on_low_water gets one that may be longer than the program's headers know.
 */
typedef struct sea_refusal {
    int error;          /* negative errno; 0: nothing was refused yet */
    char limit[48];     /* the limit that refused, by the name that its owner uses: "peer quota (bytes)" */
    uint64_t needed;    /* in the limit's unit */
    uint64_t available; /* in the limit's unit */
    char advice[160];   /* a change that would help, or the cause */
} sea_refusal;

/* Flags of sea_ctx_options.memory_flags. */
enum {
    /* Pages are locked while their maker has them mapped for writing, as pooled blocks always are, so that the kernel
     * does not swap them out. RLIMIT_MEMLOCK bounds it. It does not hold against a reader that has the kernel collapse
     * pages (doc/memory.md). */
    SEA_MEMORY_LOCK = 1,
    /* Sealed blocks are mapped when they are made, as pooled blocks are, so that writing them takes no page faults. It
     * does not hold against a reader that has the kernel collapse pages. */
    SEA_MEMORY_PREFAULT = 2,
    /* The library asks for no larger pages, and pads nothing. shmem_enabled of always, within_size or force gives huge
     * pages unasked, from 2 MiB on. */
    SEA_MEMORY_NO_HUGE = 4,
    /* Memory that is shared with peers is in core dumps of this process if it was mapped while a context with this flag
     * lived, by any context. Without this flag no core dump has it: payloads do not end up in files, and a dump does
     * not grow with the memory that peers lend. */
    SEA_MEMORY_DUMP = 8
};

/*
 * Options of a context. Zero in any field means its default.
 *
 * The limits come in three units: bytes of payload memory, blocks that are held, and descriptors that are held for
 * them. They are plain fields, and no struct of their own, so that each of them has its place for ever while the
 * options grow at their end.
 */
typedef struct sea_ctx_options {
    /* sizeof(sea_ctx_options). 0: the size of the first version, so that a program that sets no later field may leave
     * it. See "Options" in <sealane/sealane.h>. */
    size_t size;
    /* What this process may hold in blocks of its own and in its connections' outboxes (4 KiB each, 84 KiB of busy
     * ones). Of pooled blocks the arenas count; each counts as a block for as long as it exists.
     * Default of the bytes: three quarters of the memory that is available to the process when the context is made, its
     * cgroups considered; at least 32 MiB, and no more where neither /proc nor /sys/fs/cgroup tells what our cgroup
     * has. Default of the blocks: 65 536, but no more than half of vm.max_map_count. Of the descriptors: half of
     * RLIMIT_NOFILE. */
    uint64_t budget_bytes;
    uint32_t budget_blocks, budget_fds;
    /* What one connection may make us hold, both ways together: blocks of ours that it has on lease, blocks of its own
     * that we import, its arenas (each counts as a block), inline payloads that we got from it (all but 64 KiB of them
     * at a time; in bytes alone, 256 more for each), and replies that it does not read. Our arenas for it have no more
     * bytes either.
     * Defaults: half of the budget's bytes; 4096 blocks, but no more than an eighth of vm.max_map_count; a quarter of
     * RLIMIT_NOFILE. */
    uint64_t peer_bytes;
    uint32_t peer_blocks, peer_fds;
    /* What all connections of one user id together may make us hold, and what is made of the budget for them: arenas
     * and blocks. Default: the budget.
     * A context without both peer_bytes and user_bytes applies fair shares: the memory that is made for one connection,
     * sent or not, is at most 0.30 of the budget. The share shrinks with the memory that is taken already, by the
     * connection's user above all, but always leaves room for another connection. Shares are of bytes; they call no
     * on_low_water. */
    uint64_t user_bytes;
    uint32_t user_blocks, user_fds;
    /* A bit for each NUMA node from which memory is to come; others serve only when these are full. Default: the
     * kernel's choice. Where one of the nodes does not exist blocks are refused with -ENODEV, and where the system does
     * not let us choose with -EACCES. */
    uint64_t numa_nodes;
    /* How memory of our own is made: SEA_MEMORY_.... */
    unsigned memory_flags;
    /* The mark of on_low_water, in bytes. Default: a sixteenth of the budget; without on_low_water it must be 0. */
    uint64_t low_water;
    /*
     * on_low_water is called when less than `low_water` bytes will be left of the budget, or of the tightest limit of
     * the machine and its cgroups, or less than a sixteenth of the budget's blocks or descriptors. The call comes
     * before the first block is refused for want of them, and the memory that it releases is there for that block
     * already. It is called again only after a quarter more than the mark was seen to be left. `nearly` (borrowed) says
     * which limit, how much is needed now, how much there is, and what to change; its error is 0.
     * Thread: the one that makes the block or the connection, or has a payload copied (one of libuv's threads, where
     * <sealane/uv.h> makes the block); no lock is held. The callback may drop references of blocks of this process's
     * own, and free other memory; it may not make blocks, nor use, end or free connections, nor drop the last reference
     * of a context. sea_ctx_trim() in it takes effect in the connections' next turns: too late for this block.
     */
    void (*on_low_water)(const sea_refusal *nearly, void *user);
    void *low_water_user; /* handed to on_low_water. The last field of the first version */
} sea_ctx_options;

/*
 * Makes a context. `options` is borrowed for the call and may be NULL. The caller owns one reference.
 * Blocks only to read one small file, if it exists: the sizes that sealane-calibrate(1) measured, by which the library
 * chooses the class of payloads. A file that cannot be used is no error: the built-in values hold, and
 * sea_ctx_refusal() says why.
 * Errors: -EINVAL (unknown flags, a mark without on_low_water), -E2BIG (options that this library does not know),
 * -ENOMEM. They have no text beyond their names, because there is no context that could keep it.
 */
SEA_API int sea_ctx_new(sea_ctx **ret_ctx, const sea_ctx_options *options);

/*
 * Take a reference, and return `ctx`; drop one, and return NULL (`ctx` may be NULL). Blocks, connections and servers
 * hold references of their own, so the order of the destructors does not matter. Dropping the last reference waits
 * until the kernel has large memory back, some 0.1 s for each GiB (doc/memory.md).
 */
SEA_API sea_ctx *sea_ctx_ref(sea_ctx *ctx);
SEA_API sea_ctx *sea_ctx_unref(sea_ctx *ctx);

/*
 * Gives back memory that this process keeps for later and does not use now: free arenas of all pools, reserved ones
 * too, a sealed block that was made ahead, the buffers that connections receive into, messages that have ended, and
 * tables that are empty (doc/tuning.md lists them). Returns at once; from any thread. A connection belongs to its
 * thread, which gives its part back in its next turn. The call wakes connections of a server's own loop and of libuv
 * for that; others do it when the application next calls or waits.
 * Before a block or a reservation is refused for the budget, a fair share of it or the machine, and before a connection
 * is, free arenas go by themselves, at most once a second; reserved ones do not.
 */
SEA_API void sea_ctx_trim(sea_ctx *ctx);

/*
 * Copies the newest refusal of this context, in numbers: the limit, the amount that was needed, and the amount that was
 * there. `size` is sizeof(*ret_refusal). To explain an error to a person use sea_explain() (<sealane/conn.h>).
 */
SEA_API void sea_ctx_refusal(sea_ctx *ctx, sea_refusal *ret_refusal, size_t size);

/*
 * Writes a refusal as one line without its newline, as snprintf() does: at most `size` bytes with the NUL; returns the
 * length of the whole line. "Disk quota exceeded (budget (bytes): needed 4096, available 0; release blocks, or ...)".
 * The line of a refusal that on_low_water got begins with "Running low"; without a refusal it is "nothing was refused".
 * Control characters, which names and peers' texts may hold, become '?'. Any thread; nothing is charged.
 */
SEA_API int sea_refusal_format(const sea_refusal *refusal, char *ret_buf, size_t size);

/*
 * Returns the shared memory that this process maps and the kernel has in memory (RssShmem of proc(5)), in bytes;
 * UINT64_MAX where the kernel does not say.
 * It holds our arenas and the blocks that we have mapped, the touched pages of peers' blocks, and the shared memory of
 * the rest of the program, but no sealed blocks that this process has not looked at. Reads a file: some 30 us. The
 * kernel's number may be some hundred KiB old for each CPU.
 */
SEA_API uint64_t sea_ctx_resident(const sea_ctx *ctx);

/* The memory that a context shares with peers, each memfd by itself, in bytes. The struct may grow at its end. */
typedef struct sea_shared {
    uint64_t files;    /* memfds */
    uint64_t reserved; /* what the budget is charged with for them, in whole pages */
    uint64_t resident; /* what the kernel has of them; less than `reserved`: pages not used yet, or swapped out */
    uint64_t added;    /* what `resident` has beyond `reserved`, summed up over the memfds that have more */
    /* The part of `reserved` that the kernel does not tell about; `resident` counts it as reserved. */
    uint64_t untold;
} sea_shared;

/*
 * Asks the kernel how much memory all shared memory takes that this context has made: arenas, outboxes and their rings,
 * and sealed blocks from sea_block_seal() on, those of sea_block_import() too. `size` is sizeof(*ret_shared). `added`
 * is what readers have had the kernel add to them (doc/memory.md), and 0 otherwise.
 * It counts pages in memory, and of sealed blocks those that are swapped out, too. A page of an outbox or a ring counts
 * from its first use on. It does not count peers' shared memory, blocks that are not sealed yet, hugetlb pages of
 * blocks, private memory, and memory that is not ours any more and that a peer keeps. It cannot see which cgroup is
 * charged for the pages. The kernel may tell a program that has changed its user id nothing of arenas, outboxes and
 * rings that it made before: see `untold`.
 * Any thread. Does not block, but takes one system call for each sealed block, and for each other memfd three and one
 * for each 4 MiB, some 50 us: call it on request, not once for each message. A thread that makes or frees memory at the
 * same time may wait for a sixteenth of that. No errors.
 */
SEA_API void sea_ctx_shared(sea_ctx *ctx, sea_shared *ret_shared, size_t size);

SEA_END

#endif
